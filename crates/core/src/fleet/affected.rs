//! Who must be looked at.

use std::collections::BTreeSet;

/// Who must be looked at because of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affected {
    /// Names of environments.
    pub environments: BTreeSet<String>,
    /// Names of customers.
    pub customers: BTreeSet<String>,
    /// Names of templates.
    pub templates: BTreeSet<String>,
    /// A version of a template is gone: archives of charts may be of no more use.
    pub charts: bool,
}

impl Affected {
    /// One environment.
    pub fn environment(name: impl Into<String>) -> Self {
        Self { environments: BTreeSet::from([name.into()]), ..Self::default() }
    }

    /// One template.
    pub fn template(name: impl Into<String>) -> Self {
        Self { templates: BTreeSet::from([name.into()]), ..Self::default() }
    }
}
