//! Everything that a decision about one environment is made from.

use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::environment::{OdooEnvironmentStatus, Placement};
use odoofleet_api::{OdooEnvironment, labels};

use super::drift::DriftFacts;
use super::references::References;
use crate::finding::Finding;
use crate::observed::Running;
use crate::release::History;
use crate::task::{Evidence, Task};
use crate::template::StopPlan;

/// The facts about one environment at one moment.
#[derive(Clone)]
pub struct Facts {
    /// The object.
    pub environment: Arc<OdooEnvironment>,
    /// The last status that was written.
    pub before: OdooEnvironmentStatus,
    /// Everything outside the spec that decides what the environment should be.
    pub references: References,
    /// The release's revisions.
    pub history: History,
    /// What runs of the release.
    pub running: Running,
    /// How what the release holds is stopped and started; what is wanted may differ.
    pub held_plan: StopPlan,
    /// What waits or runs in this process for the release.
    pub task: Option<Task>,
    /// What came of the last operation that ended in this process.
    pub evidence: Option<Evidence>,
    /// Why taking the environment down has to wait. Where it has not, its turn is reserved.
    pub brake: Option<BrakeHold>,
    /// Whether the chart is known to have hooks that run at an upgrade.
    pub has_upgrade_hooks: bool,
    /// Whether the Secret with the generated passwords is there, and which environment it was generated for.
    pub generated_secret: Option<GeneratedSecret>,
    /// Whether the kind or the namespace is being deleted: then nobody said a word about this environment.
    pub is_orphaned: bool,
    /// What kept the last step from being carried out, found while it was prepared.
    pub obstacle: Option<Finding>,
    /// From then on no worker of an earlier leader can write any more.
    pub fence: Timestamp,
    /// What is known of drift.
    pub drift: DriftFacts,
    /// Name under which NodePorts are reached.
    pub node_address: Option<String>,
}

/// The Secret with the generated passwords: labels that only the operator, and whoever reads Secrets, can set say that it is that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedSecret {
    /// UID of the environment for which it was made.
    pub uid: Option<String>,
}

/// The brake holds a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeHold {
    /// Why, and the way out.
    pub finding: Finding,
    /// When the next one may go.
    pub until: Timestamp,
}

impl Facts {
    /// Whether any revision was ever deployed. After a rollback that failed, Helm's storage has the one that was as superseded,
    /// which no watch tells of; then the status knows.
    pub fn was_ever_deployed(&self) -> bool {
        let known = self.before.release.as_ref().is_some_and(|release| release.chart.is_some());
        self.history.was_ever_deployed() || (known && !self.history.is_empty())
    }

    /// Name of the environment.
    pub fn name(&self) -> &str {
        self.environment.metadata.name.as_deref().unwrap_or_default()
    }

    /// UID of the environment.
    pub fn uid(&self) -> &str {
        self.environment.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Generation of the spec.
    pub fn generation(&self) -> i64 {
        self.environment.metadata.generation.unwrap_or_default()
    }

    /// Value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&String> {
        self.environment.metadata.annotations.as_ref().and_then(|all| all.get(key))
    }

    /// Whether our finalizer is on the object.
    pub fn is_protected(&self) -> bool {
        self.environment.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == labels::FINALIZER)
    }

    /// Whether the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.environment.metadata.deletion_timestamp.is_some()
    }

    /// Paused, or out of reach: nothing is done but to tell how it is.
    pub fn is_left_alone(&self) -> bool {
        let spec = &self.environment.spec;
        spec.paused.unwrap_or_default() || spec.placement == Some(Placement::Offline)
    }

    /// Whether somebody asks for a look by an annotation whose value was not handled yet.
    pub fn is_requested(&self) -> bool {
        let asked = self.annotation(labels::REQUESTED_AT);
        asked.is_some() && asked != self.before.last_handled_reconcile_at.as_ref()
    }
}
