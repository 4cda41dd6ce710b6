//! Templates: their immutable versions, and how a new one reaches those who follow.

mod decide;
mod followers;
mod probe;
mod version;

pub use decide::{
    FollowerCounts, FreezeEvidence, TemplateDecision, TemplateFacts, TemplateStep, concurrent, decide, named_failures,
    place, rollout_is_paused,
};
pub use followers::{Follower, Followers};
pub use probe::{lacks_inputs, probe_values};
pub use version::{StopPlan, StoredVersion, VersionContent, VersionError, WorkloadRule, revision_name};
