//! What a look at an environment decides: at most one step, what stands in its way, and what is told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus};

use super::scaling::ScaleStep;
use crate::finding::Finding;
use crate::task::{Failure, HelmAction};

/// The one thing that is done now, for life and for deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Put our finalizer on the object: before anything is made for it.
    Protect,
    /// Label Secrets that a Production environment names, so that only who may change Production writes them.
    Reserve(Vec<String>),
    /// One Helm operation.
    Helm(HelmStep),
    /// Put our labels on the record of a release that somebody else installed, if it is still the one that was compared.
    Adopt {
        /// The revision.
        revision: i64,
        /// Version of its record.
        resource_version: String,
        /// The labels.
        labels: Vec<(&'static str, String)>,
    },
    /// Have a worker look whether somebody has changed objects by hand. It only reads.
    LookForDrift {
        /// The objects; none for all.
        objects: Option<BTreeSet<String>>,
    },
    /// Take back an operation that no worker has begun.
    Cancel {
        /// Its id.
        operation: String,
    },
    /// Scale workloads.
    Scale(ScaleStep),
    /// Delete a pod.
    DeletePod {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// What for.
        purpose: PodPurpose,
    },
    /// Mark what the release will leave behind, so that it is known to be this environment's when it is uninstalled.
    Mark(Vec<Leftover>),
    /// Mark the newest revision as retained.
    Retain {
        /// That revision.
        revision: i64,
    },
    /// Remove what policy Delete removes beside the release.
    Remove(Vec<Leftover>),
    /// Take our finalizer away: nothing is left to do.
    LetGo,
}

/// A Helm operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmStep {
    /// What.
    pub action: HelmAction,
    /// The revision that it makes; for an unlock or an uninstall the one that it acts on.
    pub revision: i64,
    /// Whether a person waits for it, and not only a rollout.
    pub by_person: bool,
}

/// Why a pod is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPurpose {
    /// A restart was asked for.
    Restart,
    /// The check is of no more use.
    EndCheck,
}

/// Something that policy Delete removes after the uninstall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// A volume claim.
    Volume(String),
    /// A Secret that the operator generated.
    Secret(String),
}

/// What stands between an environment and its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What.
    pub finding: Finding,
    /// Whether it goes away by itself.
    pub kind: HoldKind,
}

/// Whether a hold goes away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// Something else must happen first, and will.
    Waiting,
    /// It fails so often, or in such a way, that somebody should look; it goes on trying.
    FailingOn,
    /// Nothing happens before a person changes something.
    NeedsPerson,
    /// The brake holds a stop.
    Braked,
    /// It is right as it is, and the rest is done when the environment is started.
    Deferred,
}

/// A step, and what stands in the way of all that should follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The step.
    pub step: Step,
    /// What stands in the way.
    pub hold: Option<Hold>,
    /// When to look again although nothing has told so.
    pub wake_at: Option<Timestamp>,
    /// A failure that was found without an operation, to be counted.
    pub failure: Option<Failure>,
}

impl Plan {
    /// A step with nothing in its way.
    pub const fn step(step: Step) -> Self {
        Self { step, hold: None, wake_at: None, failure: None }
    }

    /// Nothing is to be done.
    pub const fn nothing() -> Self {
        Self::step(Step::Nothing)
    }

    /// A hold of a kind, until a moment if nothing tells earlier.
    pub const fn hold(kind: HoldKind, finding: Finding, wake_at: Option<Timestamp>) -> Self {
        Self { step: Step::Nothing, hold: Some(Hold { finding, kind }), wake_at, failure: None }
    }

    /// Something else must happen first.
    pub const fn wait(finding: Finding, wake_at: Option<Timestamp>) -> Self {
        Self::hold(HoldKind::Waiting, finding, wake_at)
    }

    /// A person must change something first.
    pub const fn refuse(finding: Finding) -> Self {
        Self::hold(HoldKind::NeedsPerson, finding, None)
    }

    /// With a step that is done all the same.
    #[must_use]
    pub fn with(self, step: Option<Step>) -> Self {
        match step {
            Some(step) => Self { step, ..self },
            None => self,
        }
    }
}

/// What a look decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is done.
    pub step: Step,
    /// What is told.
    pub status: OdooEnvironmentStatus,
    /// When to look again although nothing has told so. Exact: at that moment something is different by itself.
    pub wake_at: Option<Timestamp>,
    /// What is kept of the step for the record.
    pub record: Option<Record>,
    /// What people should read once: it becomes an Event.
    pub notices: Vec<Finding>,
}

/// An act, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is done.
    pub action: Action,
    /// Generation of the spec for which it is done.
    pub generation: i64,
    /// The revision, for Helm operations.
    pub revision: Option<i64>,
}
