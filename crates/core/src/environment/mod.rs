//! Environments: from a spec and what it refers to, through what is observed, to one step and a status.

pub mod brake;
mod certificate;
pub mod check;
pub mod cleanup;
pub mod compose;
pub mod diagnosis;
#[cfg(test)]
mod fixtures;
mod git;
pub mod history;
mod inside;
pub mod judge;
pub mod pace;
pub mod plan;
pub mod references;
pub mod scaling;
pub mod status;
pub mod told;
pub mod validate;

use odoofleet_api::conditions::Reason;

/// A refusal: what is wrong, why, and what to do. Nothing that runs is touched because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable word for it.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
