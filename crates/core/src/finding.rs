//! A reason and its message: how everything that is good, on its way or wrong is told.

use odoofleet_api::conditions::Reason;

/// What was found: a stable word, and a sentence for people that says what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Finding {
    /// Stable word for it.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
