//! Long work that is done outside a look, and what came of it.
//!
//! A look never waits. It decides that something is to be done, the operator hands it over, and the outcome comes back as
//! [`Evidence`] in the facts of a later look.

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, ObjectDifference};

/// What Helm is asked to do to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HelmAction {
    /// Makes the first revision; or another one where none was ever deployed, so that install hooks run again.
    Install,
    /// Compares a release that somebody else installed with what is wanted. It writes nothing.
    Compare,
    /// Starts the pod in which a chart tries its new inputs.
    Check,
    /// Puts right what somebody has changed by hand, without a revision.
    Correct,
    /// Makes the next revision.
    Upgrade,
    /// Marks a revision as failed that a killed Helm left pending.
    Unlock,
    /// Removes the release.
    Uninstall,
}

impl HelmAction {
    /// Whether it renders the chart.
    pub const fn renders(self) -> bool {
        matches!(self, Self::Install | Self::Compare | Self::Check | Self::Upgrade)
    }

    /// Whether anything is made with what it renders.
    pub const fn makes(self) -> bool {
        matches!(self, Self::Install | Self::Check | Self::Upgrade)
    }
}

impl From<HelmAction> for Action {
    fn from(action: HelmAction) -> Self {
        match action {
            HelmAction::Install => Self::Install,
            HelmAction::Compare => Self::Compare,
            HelmAction::Correct => Self::Correct,
            HelmAction::Check => Self::Check,
            HelmAction::Upgrade => Self::Upgrade,
            HelmAction::Unlock => Self::Unlock,
            HelmAction::Uninstall => Self::Uninstall,
        }
    }
}

/// How far an operation of this process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a worker; nothing has happened yet, and it can still be taken back.
    Queued,
    /// A worker has begun. Its deadline counts from then.
    Running,
    /// It is over, and its evidence is about to be kept.
    Reported,
}

/// An operation that waits or runs in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Id of the operation.
    pub operation: String,
    /// How far it has come.
    pub stage: Stage,
    /// Whether a person waits for it; else a rollout brought it.
    pub by_person: bool,
}

/// What came of an operation, kept until a decision has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Id of the operation.
    pub operation: String,
    /// The inputs for which it was begun.
    pub inputs: String,
    /// How it ended.
    pub result: Result<Success, Failure>,
}

/// What a successful operation showed beside its success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Success {
    /// The chart has no pod in which it tries these inputs.
    pub nothing_to_check: bool,
    /// When the pod in which they are tried was started; its watch may tell of it later.
    pub check_started: Option<Timestamp>,
    /// How a release that somebody else installed compares.
    pub compared: Option<Box<Compared>>,
}

/// A release that somebody else installed, beside what its environment renders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The revision.
    pub revision: i64,
    /// Version of its record.
    pub resource_version: String,
    /// Name of the chart that it was made from.
    pub chart: String,
    /// Version of that chart.
    pub chart_version: String,
    /// Where they differ: nowhere if they are equal.
    pub differences: Vec<ObjectDifference>,
    /// What two renderings have in different forms.
    pub unstable: Vec<ObjectDifference>,
    /// What taking over would do to the objects in the cluster.
    pub changes: Vec<ObjectDifference>,
    /// Workloads whose pods that would replace.
    pub restarts: Vec<String>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable word for it.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Whether another try makes no sense before an input changes.
    pub terminal: bool,
}
