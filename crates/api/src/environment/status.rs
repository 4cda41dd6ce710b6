//! What the operator knows of an environment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Reason;
use crate::template::{WorkloadKind, WorkloadRole};

/// What the operator knows of an environment.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OdooEnvironmentStatus {
    /// The generation of the spec that this status describes; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// In one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Why the phase is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The reason for people: what, why, what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where people log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Every way in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Hosts that belong to this environment. Nobody else gets them while they stand here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Pods of the web part that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods of the web part that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Label selector of the web part's pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Odoo's series, as the template version says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odoo_version: Option<String>,
    /// PostgreSQL's major version, as the template version says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_major: Option<i32>,
    /// The release's workloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadStatus>,
    /// The Helm release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseStatus>,
    /// How taking over a release that somebody else installed stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionStatus>,
    /// What somebody has changed by hand in the release's objects, at most 20 of them. It names fields and holds no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<ObjectDifference>,
    /// The template version that the release holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// Odoo's database, as the pods' `prepare` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// Commits of the addons that the pods hold, in the order of `spec.git.customerAddons`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<AddonStatus>,
    /// The Helm operation that was begun last and is not yet judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The last operations, newest first, at most 10. A retry counts with what it retries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// The last failure of a container. It stays after the container is well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// Helm operations that failed in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// Value of annotation `odoofleet.dev/requestedAt` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of annotation `odoofleet.dev/restartedAt` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_restart_at: Option<String>,
    /// The restart that is going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartStatus>,
    /// Conditions: Ready, Available, Released; Reconciling, Stalled and Drifted while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// An environment in one word.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// On the way, or waiting; `reason` says for what.
    Pending,
    /// People can work with it.
    Running,
    /// Scaled to zero.
    Stopped,
    /// Something is wrong; `reason` says what.
    Error,
    /// At the customer's, out of reach.
    Offline,
    /// It is being deleted; `reason` and `message` say what is waited for.
    Deleting,
}

/// A way in.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// `Ingress`, `HTTPRoute`, `NodePort` or `Service`.
    #[serde(rename = "type")]
    pub type_: String,
    /// URL, or `host:port` where only the port is known.
    pub address: String,
}

/// A workload of the release.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Kind.
    pub kind: WorkloadKind,
    /// Name.
    pub name: String,
    /// Its place in the order of stop and start.
    pub role: WorkloadRole,
    /// Pods wanted.
    pub replicas: i32,
    /// Pods ready.
    pub ready_replicas: i32,
}

/// The Helm release.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Name.
    pub name: String,
    /// Newest revision.
    pub revision: i64,
    /// Helm's word for its state, such as `deployed`.
    pub status: String,
    /// Name of the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// Version of the chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_version: Option<String>,
    /// When the revision was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_at: Option<Time>,
}

/// How taking over a release that somebody else installed stands.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionStatus {
    /// What the release was compared with last. Absent once it is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// True: it was at zero when it was found, and stays so until `spec.replicas` was 0 once, or somebody starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep: Option<bool>,
    /// The revision that was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When it was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_at: Option<Time>,
}

/// A release beside what its environment renders. It names fields and holds no value.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The revision that was compared.
    pub revision: i64,
    /// Version of its record.
    pub resource_version: String,
    /// With what it was compared: changes when any input changes. It says nothing about the inputs.
    pub inputs: String,
    /// When.
    pub at: Time,
    /// Name of the chart that the release was made from.
    pub chart: String,
    /// Version of that chart.
    pub chart_version: String,
    /// In how many objects they differ; 0 where they are equal.
    pub total: i32,
    /// Where they differ, at most 20 objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<ObjectDifference>,
    /// What the chart renders differently each time, at most 20 objects: such a release is not taken over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unstable: Vec<ObjectDifference>,
    /// What taking over would do to the objects in the cluster, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ObjectDifference>,
    /// Workloads whose pods taking over would replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
}

/// An object that differs.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDifference {
    /// Kind and name, such as `Deployment/acme-prod-web`.
    pub object: String,
    /// What would happen to it: `created`, `changed` or `removed`.
    pub change: String,
    /// Paths of its fields, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// The template version that the release holds.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateStatus {
    /// Name of the template.
    pub name: String,
    /// Version.
    pub version: String,
}

/// Odoo's database.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Whether Odoo has been set up in it.
    pub initialised: bool,
    /// Digest of image, addons and modules for which it was prepared last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// `database.uuid`, to which licences are bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Modules that failed in the last preparation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules_failed: Vec<String>,
}

/// Addons from one repository.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AddonStatus {
    /// URL.
    pub url: String,
    /// Branch, tag or commit that was asked for.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Commit to which it was resolved.
    pub commit: String,
}

/// A Helm operation, written down before it starts.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Id; the worker's requests carry it in their User-Agent.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// The revision that it makes, or acts on.
    pub expected_revision: i64,
    /// The operator that runs it.
    pub holder: String,
    /// True until a worker has begun it: an operator that ends before leaves nothing behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<bool>,
    /// Generation of the spec for which it runs.
    pub generation: i64,
    /// Template version that it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// When it was handed over. It may have to wait for a worker.
    pub started_at: Time,
    /// A worker that has been at it for so many seconds is ended by force. Waiting does not count.
    #[serde(default)]
    pub timeout_seconds: i64,
    /// After this moment its worker can no longer write, unless the permit was renewed.
    pub valid_until: Time,
}

/// What an operation does.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "Helm's own verbs")]
pub enum Action {
    Install,
    /// A release that somebody else installed is compared with what is wanted. Nothing is written.
    Compare,
    /// A release that somebody else installed gets our labels. Nothing else is written.
    Adopt,
    /// What somebody changed by hand is put right, without a revision.
    Correct,
    /// A change is tried in a pod of its own, before an upgrade.
    Check,
    Upgrade,
    Unlock,
    Uninstall,
    Start,
    Stop,
    Restart,
    /// The release is scaled to zero and kept, because its environment is deleted.
    Retain,
    /// Volumes and generated Secrets are removed, because its environment is deleted under policy Delete.
    RemoveData,
}

/// An operation that is over.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Revision, for Helm operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Template version, for Helm operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// Generation of the spec for which it ran.
    pub generation: i64,
    /// How often it was tried.
    pub attempts: i32,
    /// Begin of the first attempt.
    pub started_at: Time,
    /// End of the last attempt.
    pub ended_at: Time,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How an operation ended.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Outcome {
    Succeeded,
    Failed,
}

/// The last failure of a container.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// Reason, such as `OutOfMemory`.
    pub reason: Reason,
    /// Pod and container.
    pub pod: String,
    /// Container.
    pub container: String,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Restarts of the container so far.
    pub restarts: i32,
}

/// A restart that is going on.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RestartStatus {
    /// Value of annotation `odoofleet.dev/restartedAt` that asked for it.
    pub requested: String,
    /// UIDs of the pods that were there when it was asked for and are still to be replaced: each is replaced once, whatever
    /// anybody's clock says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
}

/// Helm operations that failed in a row for the same inputs.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// How many.
    pub count: i32,
    /// Reason of the last.
    pub reason: Reason,
    /// Message of the last.
    pub message: String,
    /// Whether another try makes no sense before an input changes.
    pub terminal: bool,
    /// What the tries were made with: changes when any input changes. It says nothing about the inputs.
    pub inputs: String,
    /// When the last one failed.
    pub at: Time,
}
