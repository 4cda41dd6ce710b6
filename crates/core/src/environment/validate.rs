//! From a spec and its references to an environment that cannot be wrong.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentSpec, Stage};
use odoofleet_api::names::{CustomerName, MAX_OBJECT_NAME, ReleaseName};
use odoofleet_api::template::LocalReference;
use odoofleet_api::{Object, OdooEnvironment, labels};
use serde_json::{Value, json};

use super::compose::{FedValue, Values};
use super::references::{
    CustomerView, HeldVersion, ObjectKind, ObjectName, ReferencedObject, References, Referrer, VersionView,
    named_objects, names,
};
use super::{claims, continuation, git};
use crate::customer::{applies_to, may_install};
use crate::digest;
use crate::finding::Finding;
use crate::template::StopPlan;
use crate::values::{InputContext, Inputs};

/// Form of the spec hash; a new form upgrades every release once.
const HASH_FORMAT: u32 = 1;

/// An environment that cannot be wrong.
#[derive(Clone)]
pub struct Validated {
    /// Namespace.
    pub namespace: String,
    /// Name of the environment.
    pub environment: String,
    /// UID of the environment.
    pub uid: String,
    /// Customer.
    pub customer: CustomerName,
    /// The customer's id for charts.
    pub customer_id: String,
    /// Release.
    pub release: ReleaseName,
    /// Stage.
    pub stage: Stage,
    /// Template version.
    pub version: VersionView,
    /// Pods of the web part that shall run now.
    pub replicas: i32,
    /// Why that is less than the spec wishes for.
    pub overlay: Option<Finding>,
    /// Final values; what Secrets and ConfigMaps feed is still missing.
    pub values: Object,
    /// What Secrets and ConfigMaps feed.
    pub fed: Vec<FedValue>,
    /// Digest of everything that goes into the release.
    pub spec_hash: String,
    /// Digest of what Odoo's pods begin with; a release and the pod that tried it carry it as a label.
    pub check: String,
    /// Changes with every input, and says nothing about what it is.
    pub inputs: String,
    /// How it is stopped and started.
    pub stop_plan: StopPlan,
    /// Why a first installation must not happen.
    pub install_hold: Option<Finding>,
    /// Name of the Secret with generated passwords, if the operator keeps one.
    pub generated_secret: String,
    /// Seconds that one Helm operation may take.
    pub helm_timeout: i32,
    /// `odoofleet.dev/allow-data-loss`, as it stands.
    pub allow_data_loss: Option<String>,
}

/// Name of the Secret that holds the passwords which the operator generates for a release.
pub fn generated_secret(release: &ReleaseName) -> String {
    format!("{release}-odoofleet")
}

/// Checks everything that can be known without Helm.
pub fn validate(environment: &OdooEnvironment, references: &References) -> Result<Validated, Finding> {
    let spec = &environment.spec;
    let (customer_name, release) = names(spec).map_err(|error| Finding::new(Reason::InvalidSpec, error.to_string()))?;
    check_name(environment)?;
    let Some(customer) = &references.customer else {
        if references.unreadable_customer {
            let message = format!(
                "customer \"{customer_name}\" cannot be read by this operator; what runs goes on until it is mended"
            );
            return Err(Finding::new(Reason::CustomerNotFound, message));
        }
        let message = format!(
            "customer \"{customer_name}\" does not exist: create the OdooCustomer; what runs goes on until then"
        );
        return Err(Finding::new(Reason::CustomerNotFound, message));
    };
    claims::check(environment, &customer_name, &release, references)?;
    if let Some(made_for) = &references.release
        && let Some(finding) = continuation::refusal(environment, release.as_str(), Some(&customer.id), made_for)
    {
        return Err(finding);
    }
    check_references(environment, references)?;
    git::check(spec.git.as_ref().map_or(&[], |git| &git.customer_addons), &references.allowed_git_hosts)?;
    let version = references.version.clone()?;
    check_major(environment, references.held.as_ref(), &version)?;

    let (replicas, overlay) = effective_replicas(spec, customer);
    let generated_secret = generated_secret(&release);
    let allowed_git_hosts = git::hosts(&references.allowed_git_hosts);
    let inputs = inputs(spec, &customer.id, &release, replicas, &version, &allowed_git_hosts);
    let values = Values::compose(spec, &version, &inputs, references)?;
    Ok(Validated {
        namespace: references.namespace.clone(),
        environment: environment.metadata.name.clone().unwrap_or_default(),
        uid: environment.metadata.uid.clone().unwrap_or_default(),
        install_hold: install_hold(customer, &customer_name, references.rank_in_customer),
        inputs: fingerprint(environment, &version, references),
        check: values.check.clone(),
        spec_hash: spec_hash(&values, &version, &release, &references.namespace),
        stop_plan: version.content.stop_plan(&release),
        customer: customer_name,
        customer_id: customer.id.clone(),
        release,
        stage: spec.stage,
        replicas,
        overlay,
        values: values.composed,
        fed: values.fed,
        generated_secret,
        helm_timeout: spec.timeouts.as_ref().and_then(|timeouts| timeouts.helm).unwrap_or(300),
        allow_data_loss: annotation(environment, labels::ALLOW_DATA_LOSS),
        version,
    })
}

/// The standard inputs of an environment.
pub(super) fn inputs(
    spec: &OdooEnvironmentSpec,
    customer_id: &str,
    release: &ReleaseName,
    replicas: i32,
    version: &VersionView,
    allowed_git_hosts: &[String],
) -> Inputs {
    let generated = generated_secret(release);
    let administrator = spec.bootstrap.as_ref().and_then(|bootstrap| bootstrap.admin_password_secret_ref.as_ref());
    let named = |reference: Option<&LocalReference>| reference.map_or(generated.clone(), |own| own.name.clone());
    let context = InputContext {
        customer_id,
        release,
        master_password_secret: &named(spec.master_password_secret_ref.as_ref()),
        database_secret: &generated,
        administrator_secret: &named(administrator),
        allowed_git_hosts,
        odoo_version: &version.content.odoo_version,
        postgres_major: version.content.postgres_major,
    };
    Inputs::new(spec, replicas, &context)
}

fn annotation(environment: &OdooEnvironment, key: &str) -> Option<String> {
    environment.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned()
}

/// Admission refuses longer names. An object can be older than the rule.
fn check_name(environment: &OdooEnvironment) -> Result<(), Finding> {
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    if name.len() <= MAX_OBJECT_NAME {
        return Ok(());
    }
    let message = format!(
        "the environment's name has {} characters, and a label holds {MAX_OBJECT_NAME}: make it anew under a shorter name",
        name.len()
    );
    Err(Finding::new(Reason::InvalidSpec, message))
}

fn check_references(environment: &OdooEnvironment, references: &References) -> Result<(), Finding> {
    let spec = &environment.spec;
    let referrer = Referrer::of(environment);
    named_objects(spec).iter().try_for_each(|object| references.check_object(object, referrer))?;
    let administrator = spec.bootstrap.as_ref().and_then(|bootstrap| bootstrap.admin_password_secret_ref.as_ref());
    let named =
        [(&spec.master_password_secret_ref, "admin_passwd"), (&administrator.cloned(), "administrator_password")];
    for (reference, key) in named {
        if let Some(reference) = reference {
            let object = ObjectName { kind: ObjectKind::Secret, name: reference.name.clone() };
            references.key_digest(&object, key)?;
        }
    }
    let repositories = spec.git.iter().flat_map(|git| &git.customer_addons);
    repositories
        .filter_map(|repository| repository.credentials_secret_ref.as_ref())
        .try_for_each(|reference| git::check_credentials(&reference.name, references))
}

/// A change of a major version is confirmed by an annotation that names it, such as `17.0→18.0`.
fn check_major(
    environment: &OdooEnvironment,
    held: Option<&HeldVersion>,
    version: &VersionView,
) -> Result<(), Finding> {
    let Some(held) = held else { return Ok(()) };
    let confirmation = annotation(environment, labels::MAJOR_UPGRADE);
    let content = &version.content;
    let open = held.unconfirmed(&content.odoo_version, content.postgres_major, confirmation.as_deref());
    let Some((what, change)) = open.into_iter().next() else { return Ok(()) };
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    Err(Finding::new(
        Reason::MajorUpgradeNotConfirmed,
        format!(
            "template version \"{}\" changes {what} {change}, which cannot be undone: make a backup, then kubectl annotate oenv {name} '{}={change}'",
            version.content.version,
            labels::MAJOR_UPGRADE
        ),
    ))
}

/// Pods of the web part that shall run now, and why that is less than the spec wishes for.
pub(super) fn effective_replicas(spec: &OdooEnvironmentSpec, customer: &CustomerView) -> (i32, Option<Finding>) {
    let Some(stop) = customer.stop.as_ref().filter(|stop| applies_to(stop, spec.stage)) else {
        return (spec.replicas, None);
    };
    let (reason, what) = match &stop.reason {
        reason @ Reason::CustomerTerminated => (reason.clone(), "the customer's contract is terminated"),
        reason @ Reason::CustomerExpired => (reason.clone(), "the customer's contract has expired"),
        _ => (Reason::CustomerSuspended, "the customer is suspended"),
    };
    (
        0,
        Some(Finding::new(
            reason,
            format!("stopped because {what}, since {}; data is kept, and it starts again when that ends", stop.since),
        )),
    )
}

fn install_hold(customer: &CustomerView, name: &CustomerName, rank: usize) -> Option<Finding> {
    if customer.is_deleting {
        let message = format!(
            "customer \"{name}\" is being deleted: environments made meanwhile are not installed; apply the customer again when it is gone"
        );
        return Some(Finding::new(Reason::CustomerNotActive, message));
    }
    match customer.phase {
        None => {
            return Some(Finding::new(Reason::Progressing, format!("customer \"{name}\" has not been looked at yet")));
        }
        Some(phase) if !may_install(phase) => {
            let message = format!(
                "customer \"{name}\" is {phase:?}: environments are installed only while the lifecycle is Trial or Active and the contract holds"
            );
            return Some(Finding::new(Reason::CustomerNotActive, message));
        }
        Some(_) => {}
    }
    let limit = customer.max_environments.and_then(|limit| usize::try_from(limit).ok())?;
    let message = || {
        format!(
            "customer \"{name}\" may have {limit} environments (spec.limits.environments), and has them: delete one or raise the limit"
        )
    };
    (rank >= limit).then(|| Finding::new(Reason::LimitExceeded, message()))
}

/// Changes whenever a new try of something that failed makes sense.
fn fingerprint(environment: &OdooEnvironment, version: &VersionView, references: &References) -> String {
    // Versions, not digests of contents: a digest in status would let its readers test guesses of a password.
    let version_of = |object: &ReferencedObject| match object {
        ReferencedObject::Found { resource_version, .. } => resource_version.clone(),
        ReferencedObject::Unlabelled | ReferencedObject::Missing => String::new(),
    };
    let objects: Vec<String> = references.objects.values().map(version_of).collect();
    let words =
        [labels::ALLOW_DATA_LOSS, labels::MAJOR_UPGRADE, labels::REQUESTED_AT].map(|key| annotation(environment, key));
    let value = json!([
        environment.metadata.generation,
        version.digest,
        words,
        references.customer.as_ref().map(|customer| &customer.id),
        environment.metadata.uid,
        objects,
    ]);
    digest::base32(digest::canonical(&value).as_bytes()).chars().take(8).collect()
}

/// Digest over everything that goes into a release, except what is scaled live. What Secrets feed counts by its digest.
fn spec_hash(values: &Values, version: &VersionView, release: &ReleaseName, namespace: &str) -> String {
    let mut hashed = values.composed.clone();
    for path in &values.live_paths {
        path.remove(&mut hashed);
    }
    let everything = json!([
        HASH_FORMAT,
        release.as_str(),
        namespace,
        version.content.chart_digest,
        version.digest,
        hashed,
        values.fed_digests,
    ]);
    digest::base32(digest::canonical(&everything).as_bytes())
}

impl Validated {
    /// `odoofleet.dev/allow-data-loss` names this release and this revision.
    pub fn allows_data_loss(&self, revision: i64) -> bool {
        self.allow_data_loss.as_deref() == Some(&format!("{}/{revision}", self.release))
    }

    /// Whether the release reads a password that the operator generates: by the Secret's name, or by value.
    pub fn needs_generated_secret(&self) -> bool {
        let fed = || self.fed.iter().any(|fed| fed.object.name == self.generated_secret);
        fed() || self.values.values().any(|value| says(value, &self.generated_secret))
    }

    /// Labels of every revision that is made for this environment.
    pub fn release_labels(&self, revision: i64) -> Vec<(&'static str, String)> {
        let content = &self.version.content;
        let postgres = content.postgres_major.map(|major| (labels::POSTGRES_MAJOR, major.to_string()));
        let mut all = vec![
            (labels::CUSTOMER, self.customer.to_string()),
            (labels::CUSTOMER_ID, self.customer_id.clone()),
            (labels::STAGE, self.stage.as_str().to_owned()),
            (labels::ENVIRONMENT, self.environment.clone()),
            (labels::ENVIRONMENT_UID, self.uid.clone()),
            (labels::SPEC_HASH, self.spec_hash.clone()),
            (labels::CHECK, self.check.clone()),
            (labels::REVISION, revision.to_string()),
            (labels::ODOO_VERSION, content.odoo_version.clone()),
        ];
        all.extend(postgres);
        all
    }

    /// The claim on the release.
    pub fn claim(&self) -> crate::release::Claim<'_> {
        crate::release::Claim {
            customer: self.customer.as_str(),
            environment: &self.environment,
            environment_uid: &self.uid,
            spec_hash: &self.spec_hash,
        }
    }
}

/// Whether a text stands somewhere in a value.
fn says(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(all) => all.iter().any(|one| says(one, text)),
        Value::Object(all) => all.values().any(|one| says(one, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
