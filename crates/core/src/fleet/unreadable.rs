//! Objects of ours that this operator cannot read. They stop nobody but themselves, and are never taken for gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Affected, Change, Delta, Fleet};

/// A kind of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `OdooCustomer`.
    Customer,
    /// `OdooTemplate`.
    Template,
    /// `OdooEnvironment`.
    Environment,
}

impl Kind {
    /// The kind as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "OdooCustomer",
            Self::Template => "OdooTemplate",
            Self::Environment => "OdooEnvironment",
        }
    }
}

impl Fleet {
    /// Notes that an object cannot be read. What was known of it stays. Returns whether that is new.
    pub fn note_unreadable(&mut self, kind: Kind, name: &str, problem: &str) -> bool {
        let known = self.unreadable.insert((kind, name.to_owned()), problem.to_owned());
        known.as_deref() != Some(problem)
    }

    /// Notes that an object can be read, or is gone.
    pub fn note_readable(&mut self, kind: Kind, name: &str) {
        self.unreadable.remove(&(kind, name.to_owned()));
    }

    /// Forgets an object that is gone, and was unreadable at the end.
    pub fn forget(&mut self, kind: Kind, name: &str) -> Affected {
        self.note_readable(kind, name);
        let change = match kind {
            Kind::Customer => self.customers.get(name).cloned().map(|gone| Change::Customers(Delta::Deleted(gone))),
            Kind::Template => self.template(name).cloned().map(|gone| Change::Templates(Delta::Deleted(gone))),
            Kind::Environment => {
                let gone = self.environments.get(name).map(|known| Arc::clone(&known.object));
                gone.map(|gone| Change::Environments(Delta::Deleted(gone)))
            }
        };
        change.map(|change| self.apply(change)).unwrap_or_default()
    }

    /// Forgets what was unreadable and is not in a list any more: it went while nobody watched.
    pub fn retain_unreadable(&mut self, kind: Kind, listed: &BTreeSet<String>) {
        self.unreadable.retain(|(other, name), _| *other != kind || listed.contains(name));
    }

    /// Objects that cannot be read, and why.
    pub fn unreadable(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        self.unreadable.iter().map(|((kind, name), problem)| (*kind, name.as_str(), problem.as_str()))
    }

    pub(super) fn is_unreadable(&self, kind: Kind, name: &str) -> bool {
        self.unreadable.contains_key(&(kind, name.to_owned()))
    }
}
