//! `OdooEnvironment`: one Odoo of one customer.

mod status;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use status::*;

use crate::Object;
use crate::maintenance::Maintenance;
use crate::names::HOST_PATTERN;
use crate::schema::{free_form, read_free_form};
use crate::template::LocalReference;

/// One Odoo of one customer (production, staging, test …): one Helm release.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "odoofleet.dev",
    version = "v1alpha1",
    kind = "OdooEnvironment",
    plural = "odooenvironments",
    shortname = "oenv",
    category = "odoo",
    namespaced,
    status = "OdooEnvironmentStatus",
    derive = "PartialEq",
    doc = "One Odoo of one customer (production, staging, test …): one Helm release. Set replicas to 0 to stop it.",
    // `oldSelf` is empty when an object is created, and only then does the rule say anything: a name cannot be changed, so an
    // object that is older than the rule must stay editable, and lose its finalizer.
    validation = Rule::new("oldSelf.hasValue() || size(self.metadata.name) <= 63")
        .message("an environment's name may have at most 63 characters: its objects carry the name as a label")
        .optional_old_self(true),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Customer", type_ = "string", json_path = ".spec.customerRef.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.odooVersion"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Url", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", priority = 1),
    printcolumn(name = "Template", type_ = "string", json_path = ".status.template.version", priority = 1),
    printcolumn(name = "Chart", type_ = "string", json_path = ".status.release.chartVersion", priority = 1),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.release.revision", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    selectable = ".spec.customerRef.name",
    selectable = ".status.phase"
)]
#[x_kube(validation = ("self.customerRef.name == oldSelf.customerRef.name && self.serviceName == oldSelf.serviceName && has(self.releaseName) == has(oldSelf.releaseName) && (!has(self.releaseName) || self.releaseName == oldSelf.releaseName)", "customerRef, serviceName and releaseName are immutable: they name the release and its data; create another environment instead"))]
#[x_kube(validation = ("has(self.releaseName) || size(self.customerRef.name) + 1 + size(self.serviceName) <= 40", "customer name and service name may have 39 characters together: the release name is made of them"))]
#[x_kube(validation = ("self.replicas <= 1 || !has(self.storage) || !has(self.storage.accessMode) || self.storage.accessMode == 'ReadWriteMany'", "several replicas share the filestore: storage.accessMode must be ReadWriteMany"))]
#[serde(rename_all = "camelCase")]
pub struct OdooEnvironmentSpec {
    /// The customer. Immutable.
    pub customer_ref: CustomerReference,
    /// Name of this service within the customer, such as `prod`. Immutable.
    #[schemars(length(min = 1, max = 38), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service_name: String,
    /// Name of the Helm release, if it is not `{customer}-{serviceName}`. It begins with the customer's name, unless a release of that name is there,
    /// installed by somebody else. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 53), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub release_name: Option<String>,
    /// The template, and the version if the environment should not follow the newest.
    pub template_ref: TemplateReference,
    /// What the environment is for. Production is protected from deletion.
    pub stage: Stage,
    /// Where it runs. Default: Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Pods of Odoo's web part. 0 is Stopped.
    #[serde(default = "one_replica")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Odoo's image, if it is not the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How people reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// Addons from git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Image whose folder `/addons` holds addons, for places without a way to git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addons_image: Option<Image>,
    /// Odoo's modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Modules>,
    /// How a database begins. It counts when the database is made, and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// Secret with key `admin_passwd`: Odoo's master password. Default: generated once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_password_secret_ref: Option<LocalReference>,
    /// Requests and limits of Odoo's web container. Default: those of `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Workers, memory and database connections that fit together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Volume of the filestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Settings of the database, as the chart takes them under `postgresql`.
    #[serde(default, deserialize_with = "read_free_form", skip_serializing_if = "Object::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub postgresql: Object,
    /// Settings of outgoing mail, as the chart takes them under `mail`.
    #[serde(default, deserialize_with = "read_free_form", skip_serializing_if = "Object::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub mail: Object,
    /// Values over the template's. A path that a field above owns is refused.
    #[serde(default, deserialize_with = "read_free_form", skip_serializing_if = "Object::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub values: Object,
    /// Single values from Secrets and ConfigMaps that carry the customer's label. They are always strings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub values_from: Vec<ValueFrom>,
    /// What is done about a release of this name that the operator did not install. Default: Observe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
    /// What is done about what somebody changes by hand in the release's objects. Default: mode Warn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_detection: Option<DriftDetection>,
    /// What deleting this object does to the release. Default: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When rollouts may change the environment. Default: the customer's windows, or else the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Deadlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// True: the operator looks away from this object. What runs goes on running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

fn one_replica() -> i32 {
    1
}

/// The customer.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CustomerReference {
    /// `metadata.name` of the `OdooCustomer`.
    #[schemars(length(min = 1, max = 38))]
    pub name: String,
}

/// The template.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// `metadata.name` of the `OdooTemplate`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Version to stay on. Default: follow the rollout of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

/// What an environment is for. The order is the order of rollouts.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// For trying things out.
    Test,
    /// For checking what comes next.
    Staging,
    /// People work with it.
    Production,
}

impl Stage {
    /// The word for it, in specs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "Test",
            Self::Staging => "Staging",
            Self::Production => "Production",
        }
    }
}

/// Where an environment runs.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// In this cluster.
    #[default]
    Cluster,
    /// At the customer's, out of reach. Helm never runs for it.
    Offline,
}

/// An image.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Repository, such as `registry.example.cn/odoo/custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub repository: Option<String>,
    /// Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub tag: Option<String>,
    /// Digest, `sha256:…`. It wins over the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

/// How people reach an environment.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("!has(self.expose) || !(self.expose in ['Ingress', 'HTTPRoute']) || has(self.host)", "expose Ingress and HTTPRoute need a host"))]
#[x_kube(validation = ("!has(self.aliases) || !has(self.host) || !(self.host in self.aliases)", "host must not be repeated in aliases"))]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name. It belongs to one environment of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = HOST_PATTERN)
    )]
    pub host: Option<String>,
    /// Further host names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        inner(
            length(min = 1, max = 253),
            regex(pattern = HOST_PATTERN)
        )
    )]
    pub aliases: Vec<String>,
    /// Ingress class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Gateway to which an HTTPRoute attaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What stands in front. Default: Ingress when a host is set, else None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
}

/// A Gateway.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Name.
    pub name: String,
    /// Namespace. Default: the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// A certificate: from a cert-manager issuer, or from a Secret of the customer.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("has(self.issuerRef) != has(self.secretName)", "exactly one of issuerRef and secretName must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// cert-manager issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerReference>,
    /// Secret of type `kubernetes.io/tls` that carries the customer's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
}

/// A cert-manager issuer.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerReference {
    /// Name.
    pub name: String,
    /// Issuer or ClusterIssuer. Default: ClusterIssuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<IssuerKind>,
}

/// Kind of an issuer.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "cert-manager's own names")]
pub enum IssuerKind {
    Issuer,
    #[default]
    ClusterIssuer,
}

/// What stands in front of Odoo.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expose {
    /// An Ingress.
    Ingress,
    /// A Gateway API HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// A port on every node.
    NodePort,
    /// Nothing: only within the cluster.
    #[default]
    None,
}

/// Addons from git.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Git {
    /// Repositories, in the order in which Odoo looks for modules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub customer_addons: Vec<GitRepository>,
    /// Any text. A branch or tag is resolved to a commit once; changing this text resolves all of them anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub refresh: Option<String>,
}

/// A git repository with addons.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("self.url.startsWith('https://') || self.url.startsWith('ssh://')", "a git URL must start with https:// or ssh://"))]
#[serde(rename_all = "camelCase")]
pub struct GitRepository {
    /// URL, `https://…` or `ssh://…`, without credentials.
    #[schemars(length(min = 9, max = 500))]
    pub url: String,
    /// Branch, tag or commit.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1, max = 250), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"))]
    pub reference: String,
    /// Folder that holds the modules. Default: the repository's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250), regex(pattern = r"^[A-Za-z0-9._][A-Za-z0-9._/-]*$"))]
    pub path: Option<String>,
    /// Secret of type `kubernetes.io/basic-auth` or `kubernetes.io/ssh-auth` that carries the customer's label. Its key `ca.crt`, if
    /// it has one, is the authority of the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}

/// Odoo's modules.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Modules {
    /// Modules to install, beside those that they depend on. Removing one here does not uninstall it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_]+$")))]
    pub install: Vec<String>,
    /// What is updated when image or addons change. Default: Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<ModuleUpdate>,
    /// Modules to update whatever their version says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_]+$")))]
    pub named: Vec<String>,
}

/// What is updated when image or addons change.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ModuleUpdate {
    /// Installed modules whose version in the addons differs from the one in the database.
    #[default]
    Auto,
    /// None but those that are named.
    Never,
}

/// How a database begins.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Login of the administrator. Default: `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub admin_login: Option<String>,
    /// Secret with key `administrator_password`: the administrator's first password. Default: generated once, in Secret
    /// `{release}-odoofleet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_password_secret_ref: Option<LocalReference>,
    /// Languages to load, such as `zh_CN`. The first is the administrator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(regex(pattern = r"^[a-z]{2,3}(_[A-Z]{2}|_[0-9]{3})?(@[a-z]+)?$")))]
    pub languages: Vec<String>,
    /// Country of the company, ISO 3166-1 alpha-2, such as `CN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Z]{2}$"))]
    pub country: Option<String>,
    /// Time zone of the administrator, such as `Asia/Shanghai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9_+/-]*$"))]
    pub time_zone: Option<String>,
    /// True: with Odoo's demonstration data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demo: Option<bool>,
    /// `database.uuid`, if it must be known before the database exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    pub database_uuid: Option<String>,
}

/// Workers, memory and database connections that fit together. The chart says what each means.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Size {
    S,
    M,
    L,
}

/// Volume of the filestore. It can grow, never shrink.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size, such as `20Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"))]
    pub size: Option<String>,
    /// Storage class. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Access mode. Several replicas need `ReadWriteMany`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<AccessMode>,
}

/// Access mode of a volume.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Kubernetes' own names")]
pub enum AccessMode {
    ReadWriteOnce,
    ReadWriteOncePod,
    ReadWriteMany,
}

/// One value from a Secret or ConfigMap.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq)]
#[x_kube(validation = ("has(self.secretKeyRef) != has(self.configMapKeyRef)", "exactly one of secretKeyRef and configMapKeyRef must be set"))]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// Path in the chart's values.
    #[schemars(length(min = 1, max = 253))]
    pub target_path: String,
}

/// A key of a Secret or ConfigMap.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// `metadata.name`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What deleting an environment does to its release.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Scaled to zero and kept, for the same customer and environment to come back to.
    #[default]
    Retain,
    /// Left alone, running.
    Orphan,
    /// Uninstalled, and its volumes and generated Secrets removed. There is no way back.
    Delete,
}

/// What is done about a release that somebody else installed. Phase, logs, start, stop and metrics work in each mode.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Adoption {
    /// Compared, and never taken over: Helm does not run, no label is written.
    Monitor,
    /// Taken over once it equals what this environment renders, by labels on Helm's record alone. Until then `status.adoption` says
    /// what differs.
    #[default]
    Observe,
    /// Taken over by one upgrade if it differs. In Production this wants annotation `odoofleet.dev/allow-takeover` with the release and
    /// its revision.
    TakeOver,
}

/// What is done about what somebody changes by hand in the release's objects.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DriftDetection {
    /// Default: Warn.
    #[serde(default)]
    pub mode: DriftMode,
    /// What is as somebody wants it: neither told nor put right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub ignore: Vec<DriftIgnore>,
}

/// What is done about drift.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriftMode {
    /// It is not looked for. The next upgrade puts right what was changed.
    Disabled,
    /// It is told in `status.drift` and by condition Drifted.
    #[default]
    Warn,
    /// It is put right at once, without a revision of Helm's.
    Correct,
}

/// Fields that are neither told nor put right.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DriftIgnore {
    /// Kind and name of an object, such as `Deployment/acme-prod-web`. Default: every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = r"^[A-Za-z]+/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub object: Option<String>,
    /// Paths, each with all that is below it, such as `spec.template.metadata.annotations`; `[*]` is every place in a list.
    #[schemars(length(min = 1, max = 50))]
    pub paths: Vec<String>,
}

/// Deadlines.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Seconds for one Helm operation, hooks included. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub helm: Option<i32>,
}
