//! What a person should know of a proposal: places, and why.

use serde::Serialize;

use crate::values::ValuePath;

/// Something that is not as the release has it, or that a person must see to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Why, as a word for programs.
    pub why: Why,
    /// Place in the chart's values.
    pub path: String,
}

impl Note {
    pub(super) fn new(path: &ValuePath, why: Why) -> Self {
        Self { why, path: path.to_string() }
    }
}

/// Why a value is not as the release has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Why {
    /// It looks like a password, and the template lets no Secret feed it: it was left out.
    OpenSecret,
    /// A Secret may feed it, but it lies in a field of the spec that is set: it was left out.
    SecretInField,
    /// The operator keeps this password in its own Secret, which must be made first with the one that is in use.
    GeneratedSecret,
    /// The template locks it.
    Locked,
    /// A field of the spec owns it, and has no form for what is there.
    NoForm,
    /// The operator sets it.
    SetByOperator,
    /// The template sets it, and the release does not have it.
    SetByTemplate,
    /// The template computes it, and something else comes of it.
    Computed,
    /// The release has no text there, and a Secret brings nothing else.
    Text,
    /// A default of the release's chart that the template's chart does not have: it was left out.
    UnknownDefault,
    /// Nothing of the release runs: it stays so until it was stopped and started.
    Asleep,
    /// It comes out otherwise for another reason.
    Other,
}
