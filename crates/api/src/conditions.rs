//! Conditions: their types, their reasons, and how a list of them changes.
//!
//! `Ready` is always there. `Reconciling` and `Stalled` are present only while they are true, as kstatus expects, so that
//! `kubectl wait`, Argo CD and Flux understand our kinds without being taught.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Type of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The object is as its spec wants it. A stopped environment is ready.
    Ready,
    /// Present only while the operator works towards the spec.
    Reconciling,
    /// Present only while nothing will happen before somebody changes an input.
    Stalled,
    /// People can work with the environment.
    Available,
    /// The newest Helm revision is deployed and holds what the spec wants.
    Released,
    /// Somebody changed the release by hand.
    Drifted,
    /// Every host that is served by TLS has a valid certificate.
    CertificateReady,
    /// Every follower of a template that can be is on its version.
    RolledOut,
}

impl ConditionType {
    /// The type as it stands in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Available => "Available",
            Self::Released => "Released",
            Self::Drifted => "Drifted",
            Self::CertificateReady => "CertificateReady",
            Self::RolledOut => "RolledOut",
        }
    }
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}

impl ConditionStatus {
    /// The status as it stands in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Makes an enum of words: each word is written once, and what it is called in an object follows from it.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is. Stable: scripts, alerts and translations match on these words.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
            /// What an older or newer operator wrote, and this one does not know.
            Other(String),
        }

        impl Reason {
            /// Every reason that this operator knows.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason as it stands in the object: `CamelCase`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => stringify!($name),)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(word: &str) -> Self {
                match word {
                    $(stringify!($name) => Self::$name,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

reasons! {
    // Everything is as it should be.
    /// Pods are ready and the release is current.
    Running,
    /// Scaled to zero because the spec says so.
    Stopped,
    /// Accepted and in force.
    Accepted,
    /// The environment lives outside this cluster.
    Offline,
    /// The operator looks away because `spec.paused` is true.
    Paused,

    // On the way.
    /// Not looked at yet.
    Progressing,
    /// Helm installs the release.
    Installing,
    /// A release that somebody else installed is compared with what is wanted.
    Comparing,
    /// What somebody changed by hand is being put right.
    Correcting,
    /// A change is tried in a pod of its own before it replaces what runs.
    Checking,
    /// Helm upgrades the release.
    Upgrading,
    /// A release that was left in a pending state is being recovered.
    Unlocking,
    /// Another Helm holds the release.
    ForeignOperation,
    /// Workloads are being started.
    Starting,
    /// Workloads are being stopped.
    Stopping,
    /// Pods are being replaced on request.
    Restarting,
    /// Pods exist and are not ready yet.
    WaitingForPods,
    /// The database is not ready yet.
    WaitingForDatabase,
    /// The database is being initialised, or its modules are being updated.
    Migrating,
    /// The certificate of a host is not there yet.
    WaitingForCertificate,
    /// A pod finds no node.
    Unschedulable,
    /// A volume is not bound yet.
    WaitingForVolume,
    /// The rollout of a template version has not reached this environment yet.
    WaitingForRollout,
    /// An image cannot be pulled.
    ImagePull,
    /// The object is being deleted.
    Deleting,
    /// More stops or deletions than allowed at once are waiting.
    HeldByBrake,
    /// Stopped; the change is applied when it is started, because the chart's hooks need what is stopped.
    UpgradeAtStart,

    // A person must change something.
    /// A field of the spec contradicts another or is malformed.
    InvalidSpec,
    /// The customer does not exist.
    CustomerNotFound,
    /// The customer's lifecycle does not allow a first installation.
    CustomerNotActive,
    /// The template does not exist.
    TemplateNotFound,
    /// The template has no such version.
    VersionNotFound,
    /// The template is not usable; its own conditions say why.
    TemplateNotReady,
    /// The content of a template changed under the same version.
    VersionContentChanged,
    /// The chart cannot be fetched.
    ChartUnavailable,
    /// The chart is not what its digest, its size or its form should be.
    ChartInvalid,
    /// Another environment has the same release name.
    ReleaseNameTaken,
    /// The release belongs to another customer or environment.
    ReleaseOwnedByAnother,
    /// A release of this name exists that the operator did not install.
    AdoptionPending,
    /// A release that was taken over had been scaled to zero by hand, and stays so.
    ScaledByHand,
    /// Another environment has the same host.
    HostTaken,
    /// A host lies in none of the domains that the customer may use.
    HostNotAllowed,
    /// A Secret or ConfigMap that is referred to does not exist, or lacks the key.
    ReferenceNotFound,
    /// The Secret with the generated passwords is gone while the release exists.
    SecretMissing,
    /// Several replicas would share a volume that one pod at a time may use.
    VolumeNotShared,
    /// A Secret or ConfigMap does not carry the customer's label, or is of a kind that is never read.
    ReferenceNotAllowed,
    /// A value stands on a path that a field of the spec owns, or may only come from a Secret.
    ValueNotAllowed,
    /// A field is set that the template does not bind to anything.
    InputNotBound,
    /// An input that the template requires is missing.
    InputRequired,
    /// The final values do not match the schema.
    SchemaViolation,
    /// A git URL is not https or ssh, or its host is not allowed.
    GitUrlNotAllowed,
    /// The chart does not render with these values.
    RenderFailed,
    /// The chart renders a kind that is not on the allow-list.
    KindNotAllowed,
    /// The upgrade would remove a volume, a database, or the Secret of one.
    WouldDeleteData,
    /// A change of Odoo's or PostgreSQL's major version was not confirmed.
    MajorUpgradeNotConfirmed,
    /// Kubernetes does not allow this change of an existing object.
    ImmutableField,
    /// The API server refused an object of the chart.
    InvalidObject,
    /// The operator lacks a permission in the namespace.
    Forbidden,
    /// The release does not fit into a Secret.
    ReleaseTooLarge,
    /// Helm failed.
    HelmFailed,
    /// A hook of the chart failed.
    HookFailed,
    /// An operation took longer than its deadline.
    DeadlineExceeded,
    /// A limit of the customer is reached.
    LimitExceeded,
    /// Somebody changed the release by hand.
    ChangedByHand,
    /// Somebody changed objects of the release by hand.
    Drifted,

    // What runs has a problem.
    /// A workload of the release is gone, or the template names one that the chart does not make.
    WorkloadMissing,
    /// Pods cannot be created: a quota, a policy, a name that is too long.
    PodsRefused,
    /// A container ends again and again.
    CrashLoop,
    /// A container ran out of memory.
    OutOfMemory,
    /// A container ended with an error.
    ContainerFailed,
    /// The database fails; Odoo's failure is only its consequence.
    DatabaseDown,
    /// The node does not answer.
    NodeDown,
    /// A container cannot be created from its configuration.
    ContainerConfig,

    /// The certificate of a host has expired.
    CertificateExpired,
    /// The certificate of a host is for other names, or cannot be read.
    CertificateMismatch,

    // What `prepare` and its neighbours tell from inside a pod; the words are charts/odoo's.
    /// The database server does not answer.
    DatabaseUnreachable,
    /// The database server refuses the login, or what it asks for.
    DatabaseRefused,
    /// The database server has no connection left.
    DatabaseConnectionsExhausted,
    /// The database's disk is full.
    DatabaseFull,
    /// The database holds something that is not this release's Odoo.
    DatabaseForeign,
    /// The database's files were made by another major version of PostgreSQL.
    DatabaseMajorMismatch,
    /// The database was made by another series of Odoo.
    OdooVersionMismatch,
    /// The database could not be initialised.
    InitialisationFailed,
    /// A module that is to be installed or updated does not exist.
    ModuleNotFound,
    /// A module needs a Python library or a program that the image lacks, or cannot be imported.
    ModuleDependencyMissing,
    /// A module failed in its installation or update.
    ModuleUpdateFailed,
    /// The branch, tag or commit does not exist in the addons' repository.
    AddonRefNotFound,
    /// The addons' repository cannot be reached.
    AddonUnreachable,
    /// The addons' repository refuses the credentials, or shows another host key.
    AddonRefused,
    /// The addons' repository is larger than the chart allows.
    AddonTooLarge,
    /// The addons' repository lacks the folder.
    AddonFolderMissing,
    /// The addons' folder holds no module.
    AddonManifestMissing,
    /// A submodule of the addons' repository cannot be fetched.
    AddonSubmoduleFailed,
    /// A volume cannot be written to.
    VolumeReadOnly,
    /// A volume is full.
    VolumeFull,
    /// A volume belongs to another user.
    VolumeNotOwned,
    /// Odoo's configuration cannot be written as it is wished.
    ConfigurationInvalid,
    /// Something else failed before Odoo could start.
    PrepareFailed,

    // A template's rollout, and what holds it.
    /// Every follower that can be is on the version.
    RolledOut,
    /// A wave has arrived, and has to be well for a while before the next begins.
    Soaking,
    /// The next stage waits for an approval.
    AwaitingApproval,
    /// Nobody's window is open.
    AwaitingWindow,
    /// Nobody begins to move, because the version failed somewhere.
    PausedAfterFailures,
    /// Nobody moves, and nobody will before somebody does something.
    Blocked,
    /// A maintenance window cannot be understood, or never opens.
    WindowNeverOpens,

    // The customer's state.
    /// Stopped because the customer is suspended.
    CustomerSuspended,
    /// Stopped because the contract has ended.
    CustomerExpired,
    /// Stopped because the customer's contract is terminated.
    CustomerTerminated,
    /// A stop that time asks for waits for its window or its turn.
    StopScheduled,
    /// The operator's clock and the API server's differ; nothing is done because of a date.
    ClockSkew,
    /// The object cannot be deleted while others use it.
    InUse,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

impl JsonSchema for Reason {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reason".into()
    }

    /// Any word: a list of them would refuse what another version of the operator wrote.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// One condition as it should be, before times are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Type.
    pub type_: ConditionType,
    /// Status.
    pub status: ConditionStatus,
    /// Reason.
    pub reason: Reason,
    /// Message for people: what, why, what to do.
    pub message: String,
}

/// The list of conditions that follows `old` when exactly `wanted` holds at `now`.
///
/// `lastTransitionTime` moves only with the status. Types that are not in `wanted` are dropped.
pub fn merge(old: &[Condition], wanted: Vec<Wanted>, generation: i64, now: &Time) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = wanted
        .into_iter()
        .map(|wanted| {
            let status = wanted.status.as_str();
            let before = old.iter().find(|condition| condition.type_ == wanted.type_.as_str());
            let unchanged = before.filter(|condition| condition.status == status);
            Condition {
                type_: wanted.type_.as_str().to_owned(),
                status: status.to_owned(),
                reason: wanted.reason.as_str().to_owned(),
                message: wanted.message,
                observed_generation: Some(generation),
                last_transition_time: unchanged
                    .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
            }
        })
        .collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

/// The condition of this type, if present.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn wanted(status: ConditionStatus, message: &str) -> Vec<Wanted> {
        vec![Wanted { type_: ConditionType::Ready, status, reason: Reason::Running, message: message.into() }]
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let (first, second) = (Time(Timestamp::from_second(1).unwrap()), Time(Timestamp::from_second(2).unwrap()));
        let born = merge(&[], wanted(ConditionStatus::False, "a"), 1, &first);
        let reworded = merge(&born, wanted(ConditionStatus::False, "b"), 2, &second);
        assert_eq!((reworded[0].last_transition_time.clone(), reworded[0].message.as_str()), (first, "b"));
        let turned = merge(&reworded, wanted(ConditionStatus::True, "b"), 2, &second);
        assert_eq!(turned[0].last_transition_time, second);
    }

    #[test]
    fn every_reason_is_explained_to_people() {
        let document = include_str!("../../../docs/conditions.md");
        let missing: Vec<&Reason> =
            Reason::ALL.iter().filter(|reason| !document.contains(&format!("`{}`", reason.as_str()))).collect();
        assert!(missing.is_empty(), "docs/conditions.md does not explain {missing:?}");
    }
}
