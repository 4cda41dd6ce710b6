//! What follows from what was seen.

use super::cluster::{argo, certificates, kubernetes, links, metrics, routes, storage};
use super::facts::{Facts, Look};
use super::installation::{crds, installation, namespaces, operator, operators, rights};
use super::{Check, Outcome};
use crate::language::Language;

/// All checks, in their order.
pub fn all(facts: &Facts, language: Language) -> Vec<Check> {
    vec![
        kubernetes(facts, language),
        installation(facts, language),
        crds(facts, language),
        operator(facts, language),
        operators(facts, language),
        namespaces(facts, language),
        storage(facts, language),
        routes(facts, language),
        certificates(facts, language),
        metrics(facts, language),
        links(facts, language),
        argo(facts, language),
        rights(facts, language),
    ]
}

/// A check without advice.
pub fn check(name: &'static str, outcome: Outcome, message: impl Into<String>) -> Check {
    Check { name, outcome, message: message.into(), remedy: None }
}

impl Check {
    /// The same with advice.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// What was seen; else the check that says why it was not.
pub fn seen<'a, T>(name: &'static str, look: &'a Look<T>) -> Result<&'a T, Check> {
    look.as_ref().map_err(|why| check(name, Outcome::Unknown, why.clone()))
}

/// The check that came about, or the one that says why none did.
pub fn told(outcome: Result<Check, Check>) -> Check {
    outcome.unwrap_or_else(|unseen| unseen)
}

/// Whether the API server has the group.
pub fn is_served(facts: &Facts, group: &str) -> bool {
    facts.groups.as_ref().is_ok_and(|groups| groups.contains(group))
}
