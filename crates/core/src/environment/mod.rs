//! Environments: from a spec and what it refers to, through what is observed, to one step and a status.
//!
//! [`decide`] is the way in: for life and for deletion, from [`Facts`] and the present time to one [`Decision`].

pub mod adoption;
pub mod brake;
#[cfg(test)]
mod canary_tests;
mod certificate;
pub mod check;
pub(crate) mod claims;
mod compose;
mod continuation;
mod decide;
mod deletion;
pub mod diagnosis;
mod differences;
pub mod drift;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
mod git;
pub mod history;
mod life;
mod missing;
pub mod operation;
mod pod_reports;
pub mod preview;
pub mod proposal;
pub mod references;
mod restart;
pub mod scaling;
#[cfg(test)]
pub(crate) mod states_tests;
mod status;
pub mod step;
pub mod termination;
pub mod throttle;
pub mod validate;
mod value_rules;
mod view;

pub use compose::FedValue;
pub use decide::decide;
pub use facts::{BrakeHold, Facts};
pub use step::{Decision, HelmStep, Hold, HoldKind, Leftover, Plan, PodPurpose, Record, Step};
