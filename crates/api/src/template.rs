//! `OdooTemplate`: a chart, default values, and a mapping from our standard inputs to that chart's values.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Object;
use crate::rollout::{RolloutSpec, RolloutStatus};
use crate::schema::{free_form, read_free_form};

/// A chart with default values and a mapping from the standard inputs to the chart's values.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "odoofleet.dev",
    version = "v1alpha1",
    kind = "OdooTemplate",
    plural = "odootemplates",
    shortname = "otpl",
    category = "odoo",
    namespaced,
    status = "OdooTemplateStatus",
    derive = "PartialEq",
    doc = "A chart with default values, a schema, and a mapping from the standard inputs to the chart's values. Its content is versioned: each version is immutable and keeps its chart in the cluster.",
    // As for OdooEnvironment: asked at creation alone.
    validation = Rule::new("oldSelf.hasValue() || size(self.metadata.name) <= 63")
        .message("a template's name may have at most 63 characters: its versions carry the name as a label")
        .optional_old_self(true),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Odoo", type_ = "string", json_path = ".spec.odooVersion"),
    printcolumn(name = "Chart", type_ = "string", json_path = ".status.chart"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".status.rollout.progress"),
    printcolumn(name = "InUse", type_ = "integer", json_path = ".status.inUse"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[x_kube(validation = ("self.version != oldSelf.version || (self.chart == oldSelf.chart && self.odooVersion == oldSelf.odooVersion && has(self.postgresMajor) == has(oldSelf.postgresMajor) && (!has(self.postgresMajor) || self.postgresMajor == oldSelf.postgresMajor) && has(self.required) == has(oldSelf.required) && (!has(self.required) || self.required == oldSelf.required) && has(self.secretPaths) == has(oldSelf.secretPaths) && (!has(self.secretPaths) || self.secretPaths == oldSelf.secretPaths) && has(self.lockedPaths) == has(oldSelf.lockedPaths) && (!has(self.lockedPaths) || self.lockedPaths == oldSelf.lockedPaths))", "the content of a version is immutable: give the changed content another version"))]
#[serde(rename_all = "camelCase")]
pub struct OdooTemplateSpec {
    /// Name of this content, chosen by people, such as `18.0-2026.11`. Content changes only together with it.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub version: String,
    /// The Helm chart.
    pub chart: ChartSource,
    /// Odoo's series, such as `18.0`. A change of its major needs a confirmation at each environment.
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+$"))]
    pub odoo_version: String,
    /// PostgreSQL's major version, if the chart brings a database. A change needs a confirmation at each environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10))]
    pub postgres_major: Option<i32>,
    /// Values over the chart's defaults, for every environment of this template.
    #[serde(default, deserialize_with = "read_free_form", skip_serializing_if = "Object::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub values: Object,
    /// JSON Schema of the final values. Default: the chart's own `values.schema.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_form")]
    pub values_schema: Option<Object>,
    /// How the standard inputs reach the chart's values. Default: the paths of charts/odoo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub bindings: Option<Vec<Binding>>,
    /// Standard inputs that every environment must set, such as `ingress.host`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub required: Vec<String>,
    /// Value paths that are fed from Secrets and from nothing else, such as `odoo.config.admin_passwd`. What the chart renders of
    /// them must lie in Secrets. Secrets reach no other path. A chart may name more in annotation `odoofleet.dev/secret-paths` of its
    /// `Chart.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub secret_paths: Vec<String>,
    /// Value paths that no environment may set, such as `networkPolicy`: this template's `values` decide alone. A chart may name
    /// more in annotation `odoofleet.dev/locked-paths` of its `Chart.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub locked_paths: Vec<String>,
    /// How environments of this template are stopped and started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopSpec>,
    /// How a new version reaches the environments that follow the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
    /// True: the operator looks away from this object. No version is made, nobody moves to a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Where a chart comes from: exactly one of `oci`, `configMapRef` and `path`. It is fetched once for each version and kept in
/// the cluster from then on.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("[has(self.oci), has(self.configMapRef), has(self.path)].filter(x, x).size() == 1", "exactly one of oci, configMapRef and path must be set"))]
#[x_kube(validation = ("!has(self.oci) || has(self.version) || has(self.digest)", "an OCI chart needs a version or a digest"))]
#[x_kube(validation = ("has(self.oci) || (!has(self.pullSecretRef) && !has(self.caRef))", "pullSecretRef and caRef go with oci"))]
#[serde(rename_all = "camelCase")]
pub struct ChartSource {
    /// OCI repository, such as `registry.example.cn/charts/odoo`, without a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 255),
        regex(pattern = r"^(oci://)?[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub oci: Option<String>,
    /// ConfigMap in this namespace whose `binaryData` holds the packaged chart (`.tgz`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKey>,
    /// Name of a packaged chart in the operator's chart directory, without version and `.tgz`, such as `odoo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub path: Option<String>,
    /// Version of the chart. With `oci` also the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$"))]
    pub version: Option<String>,
    /// sha256 that the archive must have, `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// Secret of type `kubernetes.io/dockerconfigjson`, with the registry's credentials. It carries the label `odoofleet.dev/registry:
    /// "true"`, or `odoofleet.dev/shared: "true"` if environments pull their images with it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<LocalReference>,
    /// ConfigMap whose key `ca.crt` holds the registry's certificate authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<LocalReference>,
}

/// The name of an object in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// `metadata.name`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a ConfigMap.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// `metadata.name`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key. Default: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One way from the standard inputs to a value.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq)]
#[x_kube(validation = ("has(self.from) != has(self.value)", "exactly one of from and value must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Path in the chart's values: keys joined by dots, list positions in brackets, such as `ingress.hosts[0].host`. What stands
    /// beside it stays, in lists too.
    #[schemars(length(min = 1, max = 253))]
    pub to: String,
    /// Name of a standard input, such as `ingress.host`. An input that is not set writes nothing. `masterPassword`, `databasePassword`
    /// and `administratorPassword` bring a password itself, for charts that take no Secret's name: `to` must be among `secretPaths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub from: Option<String>,
    /// CEL expression over `inputs`, such as `inputs.ingress.host.startsWith("www.")`. An expression that touches an input
    /// which is not set writes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub value: Option<String>,
}

/// How environments are stopped and started.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StopSpec {
    /// Workloads with a special part. Deployments that are not listed are Application, StatefulSets Database; CronJobs are suspended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub workloads: Vec<StopWorkload>,
}

/// A workload's part in stop and start.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StopWorkload {
    /// Kind.
    pub kind: WorkloadKind,
    /// Name; `{release}` stands for the release name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Applications stop before databases and start after them. Default: annotation `odoofleet.dev/role` of the workload; without
    /// one, Deployments are Application and StatefulSets Database.
    pub role: WorkloadRole,
    /// Value path from which the chart reads this workload's replicas. `spec.replicas` counts for it, live, without a Helm run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub replicas_path: Option<String>,
}

/// A kind of workload that is scaled.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
}

/// A workload's place in the order of stop and start.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadRole {
    /// Needs the database: stops first, starts last.
    Application,
    /// Stops last, starts first.
    Database,
    /// Tells visitors that Odoo is stopped: one pod while everything else is at zero, none otherwise.
    Page,
}

/// What the operator knows of a template.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OdooTemplateStatus {
    /// The generation of the spec that this status describes; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name and version of the newest version's chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// How many environments use the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<i32>,
    /// The versions that exist, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<TemplateVersion>,
    /// How far the newest version has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Live releases of this template's chart that somebody else installed and no environment claims. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged_releases: Option<UnmanagedReleases>,
    /// Value of annotation `odoofleet.dev/requestedAt` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Conditions: Ready; Reconciling and Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Live releases that no environment claims.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedReleases {
    /// How many.
    pub total: i32,
    /// The first of them by name, at most 100.
    pub items: Vec<UnmanagedRelease>,
}

/// A live release that no environment claims.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedRelease {
    /// Name.
    pub name: String,
    /// Newest revision.
    pub revision: i64,
    /// Helm's word for its state, such as `deployed`.
    pub status: String,
    /// Version of the chart that it was made from.
    pub chart_version: String,
}

/// One immutable version.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateVersion {
    /// Its name.
    pub version: String,
    /// Digest of its content.
    pub digest: String,
    /// sha256 of its chart's archive.
    pub chart_digest: String,
    /// Version of its chart.
    pub chart_version: String,
    /// When it was made.
    pub created_at: Time,
    /// How many environments are on it.
    pub in_use: i32,
}
