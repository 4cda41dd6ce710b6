//! Keys of labels, annotations, finalizers, and the field managers under which the operator writes.

/// On references, releases and environments: `metadata.name` of the customer to whom the object belongs.
pub const CUSTOMER: &str = "odoofleet.dev/customer";
/// On a Secret or ConfigMap: `"true"` lets every customer's environments refer to it. Only administrators may set it.
pub const SHARED: &str = "odoofleet.dev/shared";
/// On a Secret: `"true"` lets templates fetch charts with it. Environments cannot name it.
pub const REGISTRY: &str = "odoofleet.dev/registry";
/// On a release: `metadata.name` of its environment. On a Secret or ConfigMap: the only environment that may refer to it.
pub const ENVIRONMENT: &str = "odoofleet.dev/environment";
/// On a release: UID of its environment.
pub const ENVIRONMENT_UID: &str = "odoofleet.dev/environment-uid";
/// On a release: the stage of its environment. On a Secret or ConfigMap: the only stage whose environments may refer to it.
pub const STAGE: &str = "odoofleet.dev/stage";
/// On a Secret: `"true"` once a Production environment has named it. Only who may change Production, or read the Secret, writes it then.
pub const NAMED_BY_PRODUCTION: &str = "odoofleet.dev/named-by-production";
/// On a release: id of the customer for whom it was made.
pub const CUSTOMER_ID: &str = "odoofleet.dev/customer-id";
/// On a release: Odoo's series, as its template version says.
pub const ODOO_VERSION: &str = "odoofleet.dev/odoo-version";
/// On a release: PostgreSQL's major version, as its template version says.
pub const POSTGRES_MAJOR: &str = "odoofleet.dev/postgres-major";
/// On a release: digest of everything that went into it, 52 characters of lowercase base32.
pub const SPEC_HASH: &str = "odoofleet.dev/spec-hash";
/// On a release: the revision that the operator made. It differs from Helm's `version` label after a human's
/// `helm upgrade` (which inherits labels) or `helm rollback` (which copies them).
pub const REVISION: &str = "odoofleet.dev/revision";
/// On a release and on the pod that tried it before: digest of what Odoo's pods begin with (image, addons, modules).
pub const CHECK: &str = "odoofleet.dev/check";
/// On a retained release: Unix seconds of the moment at which its environment was deleted.
pub const RETAINED_AT: &str = "odoofleet.dev/retained-at";
/// Annotation on the record of a revision: how its operation left each object, as JSON. The Helm worker writes it.
pub const APPLIED: &str = "odoofleet.dev/applied";
/// On a Secret: `"true"` when the operator generated it, so that deletion policy `Delete` may remove it.
pub const GENERATED: &str = "odoofleet.dev/generated";
/// On a kept chart archive (ConfigMap): sha256 of the archive, 52 characters of lowercase base32.
pub const CHART_DIGEST: &str = "odoofleet.dev/chart-digest";
/// On a ControllerRevision: the template to which the version belongs.
pub const TEMPLATE: &str = "odoofleet.dev/template";
/// Annotation on a ControllerRevision: `"true"` if its chart has hooks that run at an upgrade, `"false"` if it has none.
pub const UPGRADE_HOOKS: &str = "odoofleet.dev/upgrade-hooks";

/// On a namespace: `"true"` where the admission policies hold.
pub const MANAGED: &str = "odoofleet.dev/managed";
/// Kubernetes' label on a namespace: the pod security standard that pods there are held to.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// Annotation: reconcile now. Its value is echoed in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "odoofleet.dev/requestedAt";
/// Annotation: pods that are older than this RFC 3339 time are deleted one by one.
pub const RESTARTED_AT: &str = "odoofleet.dev/restartedAt";
/// Annotation: must carry the object's name before a Production environment may be deleted.
pub const ALLOW_DELETION: &str = "odoofleet.dev/allow-deletion";
/// Annotation `<release>/<revision>`: this one upgrade may remove volumes or databases.
pub const ALLOW_DATA_LOSS: &str = "odoofleet.dev/allow-data-loss";
/// Annotation `<release>/<revision>`: this Production release, which differs, may be taken over by an upgrade.
pub const ALLOW_TAKEOVER: &str = "odoofleet.dev/allow-takeover";
/// Annotation `<version>/<stage>` on a template, several joined by commas: the rollout of this version may begin with this stage.
pub const APPROVE: &str = "odoofleet.dev/approve";
/// Annotation `<version>/<failures>` on a template: the rollout of this version goes on in spite of so many failures.
pub const RESUME: &str = "odoofleet.dev/resume";
/// Annotation such as `17.0→18.0` (or `17.0->18.0`): this change of major version is wanted.
pub const MAJOR_UPGRADE: &str = "odoofleet.dev/major-upgrade";
/// Annotation on a workload, from its chart: `Web`, `Application`, `Database` or `Page`; on the pod in which a chart tries
/// its inputs, a hook of `helm test`: `Check`. `Web` is the Application whose
/// number of pods `spec.replicas` is.
pub const ROLE: &str = "odoofleet.dev/role";
/// Annotation on a workload: its replicas before it was stopped.
pub const REPLICAS: &str = "odoofleet.dev/replicas";

/// Finalizer on our kinds.
pub const FINALIZER: &str = "odoofleet.dev/cleanup";

/// Field manager of everything that the operator applies, except status.
pub const FIELD_MANAGER: &str = "odoofleet";
/// Field manager of status.
pub const STATUS_FIELD_MANAGER: &str = "odoofleet-status";

/// Kubernetes' recommended label that says which tool manages an object; Helm writes `Helm`.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation that Helm writes on every object of a release.
pub const HELM_RELEASE_NAME: &str = "meta.helm.sh/release-name";
