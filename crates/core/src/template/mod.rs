//! Templates: their immutable versions, and how a new one reaches those who follow.

mod rollout;
mod version;

pub use rollout::{Follower, RolloutDecision, decide as decide_rollout, order};
pub use version::{StopPlan, VersionContent, VersionError, WorkloadRule, revision_name};
