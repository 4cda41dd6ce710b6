//! Customers: what lifecycle and dates come to, and what they stop.

mod decide;
mod phase;
mod status;
mod stops;

pub use decide::{CustomerDecision, CustomerFacts, CustomerStep, decide, depends_on_clock};
pub use phase::{CustomerState, Due, Invalid, may_install, state};
pub use status::Rollup;
pub use stops::{StopDecision, StopInputs, Waiting, applies_to, decide as decide_stop, next_window};
