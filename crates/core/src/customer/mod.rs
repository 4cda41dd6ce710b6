//! Customers: what lifecycle and dates come to, and what they stop.

mod phase;
mod status;
mod stops;

pub use phase::{CustomerState, Due, Invalid, may_install, state};
pub use status::{Rollup, RollupEnvironment, derive as derive_status, rollup};
pub use stops::{StopDecision, StopInputs, applies_to, decide as decide_stop, within_window};
