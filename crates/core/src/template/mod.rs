//! Templates: their immutable versions, and how a new one reaches those who follow.

mod decide;
mod follower;
mod followers;
pub mod guess;
mod probe;
mod rollout;
mod rules;
mod tell;
#[cfg(test)]
mod tests;
mod version;
mod waits;

pub use decide::{
    FollowerCounts, FreezeEvidence, TemplateDecision, TemplateFacts, TemplateStep, decide, rollout_before,
};
pub use follower::{Follower, Standing, leaves, tried};
pub use followers::{Followers, Frame};
pub use probe::{lacks_inputs, probe_values};
pub use rollout::{Gate, NAMED, RolloutPlan, Turn};
pub use rules::{Rules, StageRules};
pub use tell::progress_of;
pub use version::{StopPlan, StoredVersion, VersionContent, VersionError, WorkloadRule, revision_name};
pub use waits::Why;
