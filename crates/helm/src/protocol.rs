//! The lines that operator and worker exchange. `worker/protocol.go` is the other half; `testdata/protocol.jsonl` holds each of
//! them once, and the tests of both sides compare with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod results;

pub use results::*;

/// An enum whose variants are words of the protocol, of logs and of metrics: one table for all three.
macro_rules! vocabulary {
    ($(#[$attribute:meta])* $name:ident { $($(#[$own:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$own])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every one, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// What a worker does.
    Action {
        /// Helm's install.
        Install = "install",
        /// Helm's upgrade.
        Upgrade = "upgrade",
        /// Starts the pod in which a chart tries its new inputs.
        Check = "check",
        /// Renders a chart for nobody, to see whether it can be rendered.
        Render = "render",
        /// Tells what an upgrade would change in the cluster.
        Diff = "diff",
        /// Tells whether a chart renders what a release's newest record holds, whoever made it.
        Compare = "compare",
        /// Tells what of a release somebody has changed, and puts it right.
        Drift = "drift",
        /// Marks a revision as failed that a killed Helm left pending.
        Unlock = "unlock",
        /// Helm's uninstall.
        Uninstall = "uninstall",
    }
}

vocabulary! {
    /// How far an operation has come.
    Stage {
        /// The chart's archive was read.
        Loaded = "loaded",
        /// The chart is rendered: its hooks are known.
        Rendered = "rendered",
        /// What it renders may be written.
        Checked = "checked",
        /// The API server would take it: told by upgrades.
        Accepted = "accepted",
        /// The revision stands in the storage.
        Recorded = "recorded",
        /// The release's objects are written; hooks may still run.
        Applied = "applied",
    }
}

vocabulary! {
    /// Classes of failures. `worker/errors.go` says when.
    ErrorClass {
        /// The values do not fit the chart's schema.
        Schema = "schema",
        /// A template fails.
        Render = "render",
        /// The archive is no chart that can be installed, or lacks a dependency.
        Chart = "chart",
        /// The API server does not let the worker.
        Forbidden = "forbidden",
        /// An object is somebody else's, or changes at the same time.
        Conflict = "conflict",
        /// A revision is pending.
        Locked = "locked",
        /// A field cannot change in an object that exists.
        Immutable = "immutable",
        /// The API server refuses an object.
        Invalid = "invalid",
        /// The API server does not answer, or says that it cannot now.
        Unreachable = "unreachable",
        /// The release or an object is larger than the API server takes.
        TooLarge = "tooLarge",
        /// A hook failed.
        Hook = "hook",
        /// The operation took longer than it may.
        Deadline = "deadline",
        /// Volumes or databases would go.
        WouldDeleteData = "wouldDeleteData",
        /// The chart renders a kind that is not allowed.
        KindNotAllowed = "kindNotAllowed",
        /// The chart names a Secret that is not allowed.
        SecretNotAllowed = "secretNotAllowed",
        /// The chart's objects lead to what is not the release's, or are for hosts that are not the environment's.
        ReferenceNotAllowed = "referenceNotAllowed",
        /// The operator lost its lease.
        PermitExpired = "permitExpired",
        /// The release is at another revision than was expected.
        StaleRevision = "staleRevision",
        /// There is no such revision.
        NotFound = "notFound",
        /// The record of a revision cannot be read.
        RecordUnreadable = "recordUnreadable",
        /// The operator asked for something that makes no sense.
        InvalidRequest = "invalidRequest",
        /// The chart asks for a value by `fail` or `required`. A render alone says so, and it need not be the chart's fault: an
        /// environment may bring the value. Elsewhere it is `Render`.
        ValueRequired = "valueRequired",
        /// The worker ended without an answer. No worker says so.
        #[serde(skip)]
        Died = "died",
        /// Anything else.
        #[serde(other)]
        Unknown = "unknown",
    }
}

impl ErrorClass {
    /// Whether another try makes no sense before an input changes.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Schema
            | Self::Render
            | Self::Chart
            | Self::Immutable
            | Self::Invalid
            | Self::TooLarge
            | Self::WouldDeleteData
            | Self::KindNotAllowed
            | Self::SecretNotAllowed
            | Self::ReferenceNotAllowed
            | Self::RecordUnreadable
            | Self::InvalidRequest
            | Self::ValueRequired => true,
            Self::Forbidden
            | Self::Conflict
            | Self::Locked
            | Self::Unreachable
            | Self::Hook
            | Self::Deadline
            | Self::PermitExpired
            | Self::StaleRevision
            | Self::NotFound
            | Self::Died
            | Self::Unknown => false,
        }
    }
}

vocabulary! {
    /// What an upgrade would do to an object.
    Change {
        /// It does not exist, and would.
        Created = "created",
        /// Some of its fields would get other values.
        Changed = "changed",
        /// It is no longer rendered, and would be removed.
        Removed = "removed",
    }
}

/// One operation.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Id; it stands in the User-Agent of the worker's requests.
    pub id: String,
    /// Release. For a render it is a name that stands for any.
    pub release: String,
    /// Namespace: always the worker's own.
    pub namespace: String,
    /// The revision that the operation makes or would make; for uninstall, unlock and drift the one that it acts on.
    pub expected_revision: i64,
    /// Revisions in the storage: no other is asked for.
    pub revisions: Vec<i64>,
    /// Seconds after which the worker gives up.
    pub timeout_seconds: i64,
    /// What to do, with what.
    #[serde(flatten)]
    pub command: Command,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, release, expected_revision, command, .. } = self;
        write!(f, "{} {release} revision {expected_revision} (operation {id})", command.action())
    }
}

/// An action and what it needs.
#[derive(Clone, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Command {
    /// Makes the first revision. A later one only while no revision was ever deployed: then the install hooks run again.
    Install {
        /// What is installed.
        inputs: Box<Inputs>,
    },
    /// Makes the next revision.
    Upgrade {
        /// To what.
        inputs: Box<Inputs>,
        /// What is known of the release's objects: the pool asks for it at the moment at which a worker begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen: Option<Seen>,
    },
    /// Starts the pod in which the chart tries its inputs, if it has one. Whether it succeeds is for others to watch.
    Check {
        /// What is tried.
        inputs: Box<Inputs>,
        /// What the pod carries.
        check: Check,
    },
    /// Renders the chart and judges what it renders, but for what only an environment can bring. Reads no release.
    Render {
        /// Chart, values and allowed kinds; the rest is not looked at.
        inputs: Box<Inputs>,
    },
    /// Asks the API server what an upgrade would change, of what differs from the stored manifest and of the named objects.
    Diff {
        /// To what.
        inputs: Box<Inputs>,
        /// Objects, by `Kind/name`, that are compared even if they are rendered as they were.
        objects: Vec<String>,
    },
    /// Compares what the chart renders, before the worker changes anything in it, with the record of the newest revision, hooks included.
    /// It reads only. As for a diff, the expected revision is the one that an upgrade would make.
    Compare {
        /// With what.
        inputs: Box<Inputs>,
    },
    /// Compares what is live with the manifest of the newest deployed revision, hooks left out. What a person has added and Helm does not
    /// own is no drift and stays; nor are defaults, what admission makes of an object, its status, or a claim that was enlarged.
    Drift {
        /// What is looked at, and whether it is put right.
        drift: Drift,
    },
    /// Marks a pending revision as failed.
    Unlock,
    /// Removes the release.
    Uninstall,
}

impl Command {
    /// Which action it is.
    pub const fn action(&self) -> Action {
        match self {
            Self::Install { .. } => Action::Install,
            Self::Upgrade { .. } => Action::Upgrade,
            Self::Check { .. } => Action::Check,
            Self::Render { .. } => Action::Render,
            Self::Diff { .. } => Action::Diff,
            Self::Compare { .. } => Action::Compare,
            Self::Drift { .. } => Action::Drift,
            Self::Unlock => Action::Unlock,
            Self::Uninstall => Action::Uninstall,
        }
    }
}

/// What a chart is rendered with, and by what the result is judged.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The chart.
    pub chart: Chart,
    /// Values, secrets included. They exist here and in the worker's memory, never in a file or an argument.
    pub values: Map<String, Value>,
    /// Labels of the release Secret, or of the pod of a check.
    pub labels: BTreeMap<String, String>,
    /// Live numbers of pods, by `Kind/name`.
    pub replicas: BTreeMap<String, i32>,
    /// Number of pods of all other workloads; none leaves the chart's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_replicas: Option<i32>,
    /// Whether CronJobs are suspended.
    pub suspend_cron_jobs: bool,
    /// Sizes that claims of volumes have, by name, as Kubernetes writes quantities. A smaller one that is rendered is raised to it.
    pub volumes: BTreeMap<String, String>,
    /// Kinds that may be rendered, as `apps/v1/Deployment`.
    pub allowed_kinds: Vec<String>,
    /// Secrets that may be referred to besides those that the chart renders.
    pub allowed_secrets: Vec<String>,
    /// ConfigMaps that may be referred to besides those that the chart renders.
    pub allowed_config_maps: Vec<String>,
    /// Places, as JSON pointers, of values that came from Secrets: what is rendered of them may lie in Secrets alone.
    pub secret_paths: Vec<String>,
    /// Hosts for which routes and certificates may be rendered, in lower case. None for a render, where there is no environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Whether volumes and databases may be removed.
    pub allow_data_loss: bool,
}

/// What is known of a release's objects. What nobody has touched need not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The newest deployed revision.
    pub revision: i64,
    /// Version of its record: with another one in the storage, all this is known of another time.
    pub resource_version: String,
    /// Objects, by `Deployment.apps/acme-prod-web` or `ConfigMap/acme-prod`.
    pub objects: BTreeMap<String, SeenObject>,
}

/// An object as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenObject {
    /// UID.
    pub uid: String,
    /// Given where it tells of each change of what a chart can say, metadata apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Version: counts where there is no generation.
    pub resource_version: String,
    /// The first eight bytes of the SHA-256 of `label\0key\0value` and `annotation\0key\0value`, given with the generation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<u64>,
}

/// A chart's archive.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Chart {
    /// Path of the archive.
    pub path: String,
    /// Its sha256, hexadecimal: the worker checks it.
    pub sha256: String,
}

/// What the pod of a check carries.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Digest of what is checked: a pod with the same one is left alone.
    pub digest: String,
    /// The object with which the pod goes.
    pub owner: Owner,
}

/// What of a release is compared with what is live, and what is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Whether what differs is put right: by the same writes that were tried, without a revision. Else nothing is written.
    pub correct: bool,
    /// Objects to look at, named as in [`Seen`]; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<String>>,
    /// What is as somebody wants it.
    pub ignore: Vec<Ignore>,
    /// Workloads, by `Kind/name`, whose number of pods is nobody's mistake, and CronJobs whose suspension is.
    pub scaled: Vec<String>,
}

/// Fields that are neither drift nor put right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ignore {
    /// The object, named as in [`Seen`]; none for every object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Paths as drift is told, each with all that is below it; `[*]` is every place in a list.
    pub paths: Vec<String>,
}

/// An object that owns others.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in Kubernetes' owner references")]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

/// How long a worker may write from the moment of sending.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validity {
    /// Milliseconds.
    pub valid_for_millis: i64,
    /// Moment of sending on the machine's clock that goes on through suspension: a message that waited counts from then.
    pub sent_at_millis: i64,
}

/// A line to a worker.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Message<'a> {
    Operation {
        #[serde(flatten)]
        request: &'a Request,
        #[serde(flatten)]
        validity: Validity,
    },
    Permit(Validity),
}

/// A line from a worker.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(crate) enum Answer {
    Ready {
        helm_version: String,
        worker_version: String,
    },
    Progress {
        id: String,
        stage: Stage,
        #[serde(skip_serializing_if = "Option::is_none")]
        hooks: Option<Hooks>,
    },
    Success {
        id: String,
        success: Success,
    },
    Failure {
        id: String,
        error: WorkerError,
    },
}

#[cfg(test)]
mod tests;
