//! What an environment refers to, as it was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::{CustomerPhase, CustomerStop};
use odoofleet_api::environment::{OdooEnvironmentSpec, OdooEnvironmentStatus, Stage, ValueFrom};
use odoofleet_api::names::{CustomerName, NameError, ReleaseName};
use odoofleet_api::{OdooCustomer, OdooEnvironment, labels};

use crate::chart::Chart;
use crate::finding::Finding;
use crate::release::Ownership;
use crate::template::{VersionContent, Why};
use crate::values::Schema;

/// Everything outside its spec that decides what an environment should be.
#[derive(Clone)]
pub struct References {
    /// The customer, if it exists.
    pub customer: Option<CustomerView>,
    /// Whether the customer exists, and this operator cannot read it.
    pub unreadable_customer: bool,
    /// The template version, or why there is none.
    pub version: Result<VersionView, Finding>,
    /// What the release holds, if there is one.
    pub held: Option<HeldVersion>,
    /// What the newest revision of the release says of whom it was made for.
    pub release: Option<Ownership>,
    /// Secrets and ConfigMaps that the spec names.
    pub objects: BTreeMap<ObjectName, ReferencedObject>,
    /// Other environments and retained releases with the same release name or host.
    pub rivals: Vec<Rival>,
    /// The environment's place among its customer's, from 0: behind those that are installed, or older.
    pub rank_in_customer: usize,
    /// Hosts that were given to environments of other namespaces before, each with one such namespace.
    pub hosts_elsewhere: BTreeMap<String, String>,
    /// Hosts from which addons may come; empty means any public one.
    pub allowed_git_hosts: Vec<String>,
    /// Domains of customers who name none; empty means any.
    pub allowed_domains: Vec<String>,
    /// Namespace.
    pub namespace: String,
}

/// What counts of a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerView {
    /// Its id for charts.
    pub id: String,
    /// Its phase; none before the first look at it.
    pub phase: Option<CustomerPhase>,
    /// The stop in force.
    pub stop: Option<CustomerStop>,
    /// Most environments that it may have.
    pub max_environments: Option<i32>,
    /// Domains in which its hosts lie; empty: those of the fleet.
    pub domains: Vec<String>,
    /// Whether it is being deleted: nothing is installed for it any more.
    pub is_deleting: bool,
}

/// The major versions that a release holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldVersion {
    /// Odoo's series.
    pub odoo_version: Option<String>,
    /// PostgreSQL's major version.
    pub postgres_major: Option<i32>,
}

impl CustomerView {
    /// What counts of it.
    pub fn of(customer: &OdooCustomer) -> Self {
        let status = customer.status.clone().unwrap_or_default();
        let name = || customer.metadata.name.clone().unwrap_or_default();
        Self {
            id: customer.spec.id.clone().unwrap_or_else(name),
            phase: status.phase,
            stop: status.stop,
            max_environments: customer.spec.limits.as_ref().and_then(|limits| limits.environments),
            domains: customer.spec.domains.clone(),
            is_deleting: customer.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl HeldVersion {
    /// What the release of an environment holds; none if it has none.
    pub fn of(status: &OdooEnvironmentStatus) -> Option<Self> {
        status.release.as_ref()?;
        Some(Self { odoo_version: status.odoo_version.clone(), postgres_major: status.postgres_major })
    }

    /// The same, where the release itself says what the status does not: an environment that was made again for a release that was kept
    /// has no status of its own.
    pub fn of_release(status: &OdooEnvironmentStatus, release: Option<&Ownership>) -> Option<Self> {
        let told = Self::of(status);
        let Some(release) = release.filter(|release| release.is_ours()) else { return told };
        let told = told.unwrap_or_default();
        Some(Self {
            odoo_version: told.odoo_version.or_else(|| release.odoo_version.clone()),
            postgres_major: told.postgres_major.or(release.postgres_major),
        })
    }

    /// Changes of a major version that another version brings, such as (`Odoo`, `17.0→18.0`), and that nobody has confirmed. A
    /// confirmation names the change; several are joined by commas, and `->` is as good as the arrow.
    pub fn unconfirmed(
        &self,
        odoo_version: &str,
        postgres_major: Option<i32>,
        confirmation: Option<&str>,
    ) -> Vec<(&'static str, String)> {
        let mut changes = Vec::new();
        if let Some(old) = self.odoo_version.as_ref().filter(|old| major(old) != major(odoo_version)) {
            changes.push(("Odoo", format!("{old}→{odoo_version}")));
        }
        if let (Some(old), Some(new)) = (self.postgres_major, postgres_major)
            && old != new
        {
            changes.push(("PostgreSQL", format!("{old}→{new}")));
        }
        let confirmation = confirmation.unwrap_or_default().replace("->", "→");
        let confirmed: Vec<&str> = confirmation.split(',').map(str::trim).collect();
        changes.retain(|(_, change)| !confirmed.contains(&change.as_str()));
        changes
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// A template version, ready for use.
#[derive(Clone)]
pub struct VersionView {
    /// Name of the template.
    pub template: String,
    /// Content.
    pub content: Arc<VersionContent>,
    /// Digest of the content.
    pub digest: String,
    /// The chart.
    pub chart: Arc<Chart>,
    /// Schema of the final values, unless Helm alone can judge them.
    pub schema: Option<Arc<Schema>>,
    /// Why a newer version has not come yet, for people, and when that may be otherwise.
    pub waits_for: Option<Why>,
}

impl VersionView {
    /// A version with its chart, as it was read.
    pub fn new(template: String, content: VersionContent, chart: Chart) -> Self {
        let own = content.values_schema.as_ref();
        let schema = match own {
            Some(schema) => Schema::compile(&serde_json::Value::Object(schema.clone())).ok(),
            None => chart.own_schema(),
        };
        Self {
            template,
            digest: content.digest(),
            content: Arc::new(content),
            chart: Arc::new(chart),
            schema: schema.map(Arc::new),
            waits_for: None,
        }
    }
}

/// Kind and name of a Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Kind.
    pub kind: ObjectKind,
    /// Name.
    pub name: String,
}

impl ObjectName {
    /// Objects and keys that one entry of `spec.valuesFrom` names: exactly one, where the API server has checked it.
    pub fn of_value(from: &ValueFrom) -> Vec<(Self, &str)> {
        let secret = from.secret_key_ref.iter().map(|key| (ObjectKind::Secret, key));
        let map = from.config_map_key_ref.iter().map(|key| (ObjectKind::ConfigMap, key));
        secret.chain(map).map(|(kind, key)| (Self { kind, name: key.name.clone() }, key.key.as_str())).collect()
    }
}

/// A kind that can be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ObjectKind {
    Secret,
    ConfigMap,
}

/// A Secret or ConfigMap, as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferencedObject {
    /// It is there and may be used by those whose label it carries.
    Found {
        /// Label `odoofleet.dev/customer`.
        customer: Option<String>,
        /// Label `odoofleet.dev/shared`.
        shared: bool,
        /// Type of a Secret.
        type_: String,
        /// Label `odoofleet.dev/environment`: no other may refer to it.
        environment: Option<String>,
        /// Label `odoofleet.dev/stage`: environments of no other stage may refer to it.
        stage: Option<String>,
        /// Label `odoofleet.dev/named-by-production`: people need the right to Production to write it.
        named_by_production: bool,
        /// The environment for which the operator generated it, if it did.
        generated_for: Option<String>,
        /// UID of that environment, or of a later one of the name that has deleted its release since.
        generated_uid: Option<String>,
        /// Digest of each key's content.
        keys: BTreeMap<String, String>,
        /// Version of the object.
        resource_version: String,
    },
    /// It is there without one of our labels.
    Unlabelled,
    /// It is not there.
    Missing,
}

/// Who refers to a Secret or ConfigMap.
#[derive(Debug, Clone, Copy)]
pub struct Referrer<'a> {
    /// Customer.
    pub customer: &'a str,
    /// Name of the environment.
    pub environment: &'a str,
    /// Its stage.
    pub stage: Stage,
}

impl<'a> Referrer<'a> {
    /// An environment.
    pub fn of(environment: &'a OdooEnvironment) -> Self {
        Self {
            customer: &environment.spec.customer_ref.name,
            environment: environment.metadata.name.as_deref().unwrap_or_default(),
            stage: environment.spec.stage,
        }
    }
}

/// Another claim on a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The environment.
    pub environment: String,
    /// Its customer.
    pub customer: String,
    /// Its release.
    pub release: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Whether the release name is rather its own than the environment's.
    pub has_release: bool,
    /// Whether the hosts are rather its own than the environment's.
    pub has_hosts: bool,
    /// Whether it is a retained release whose environment is gone.
    pub retained: bool,
}

/// Release and customer names of an environment.
pub fn names(spec: &OdooEnvironmentSpec) -> Result<(CustomerName, ReleaseName), NameError> {
    let customer = CustomerName::parse(&spec.customer_ref.name)?;
    let release = match &spec.release_name {
        Some(name) => ReleaseName::parse(name)?,
        None => ReleaseName::derive(&customer, &spec.service_name)?,
    };
    Ok((customer, release))
}

/// Every host that an environment claims, in their one form: in lower case, without a dot at the end. An object can be older than the
/// pattern by which admission asks for that.
pub fn hosts(spec: &OdooEnvironmentSpec) -> Vec<String> {
    let ingress = spec.ingress.iter();
    ingress
        .flat_map(|ingress| ingress.host.iter().chain(&ingress.aliases))
        .map(|host| host.trim_end_matches('.').to_ascii_lowercase())
        .collect()
}

/// Every Secret and ConfigMap that a spec names.
pub fn named_objects(spec: &OdooEnvironmentSpec) -> Vec<ObjectName> {
    let secret = |name: &String| ObjectName { kind: ObjectKind::Secret, name: name.clone() };
    let mut objects: Vec<ObjectName> = Vec::new();
    for from in &spec.values_from {
        objects.extend(ObjectName::of_value(from).into_iter().map(|(object, _)| object));
    }
    objects.extend(spec.master_password_secret_ref.iter().map(|reference| secret(&reference.name)));
    let bootstrap = spec.bootstrap.iter().filter_map(|bootstrap| bootstrap.admin_password_secret_ref.as_ref());
    objects.extend(bootstrap.map(|reference| secret(&reference.name)));
    let repositories = spec.git.iter().flat_map(|git| &git.customer_addons);
    objects.extend(
        repositories
            .filter_map(|repository| repository.credentials_secret_ref.as_ref())
            .map(|reference| secret(&reference.name)),
    );
    let tls = spec.ingress.iter().filter_map(|ingress| ingress.tls.as_ref());
    objects.extend(tls.filter_map(|tls| tls.secret_name.as_ref()).map(secret));
    objects.sort();
    objects.dedup();
    objects
}

/// Secrets of a Production environment that somebody could write who may not change Production: they do not yet carry the label that says
/// what they are for. None if there are none.
pub fn unreserved(environment: &OdooEnvironment, references: &References) -> Option<Vec<String>> {
    let referrer = Referrer::of(environment);
    let is_open = |object: &&ObjectName| {
        let found = references.objects.get(*object).filter(|found| found.may_be_used_by(object.kind, referrer));
        // Shared ones are written by those alone who read them.
        matches!(found, Some(ReferencedObject::Found { shared: false, stage: None, named_by_production: false, .. }))
    };
    let named = named_objects(&environment.spec);
    let open = named.iter().filter(|object| object.kind == ObjectKind::Secret).filter(is_open);
    let open: Vec<String> = open.map(|object| object.name.clone()).collect();
    (referrer.stage == Stage::Production && !open.is_empty()).then_some(open)
}

/// Which of two environments came first: by creation, then by UID.
pub fn is_older(one: &OdooEnvironment, other: &OdooEnvironment) -> bool {
    let key = |environment: &OdooEnvironment| {
        let created = environment.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0);
        (created, environment.metadata.uid.clone())
    };
    key(one) < key(other)
}

/// Types of Secrets that environments may refer to.
const ALLOWED_TYPES: [&str; 5] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
    "kubernetes.io/dockerconfigjson",
];

impl ReferencedObject {
    /// Why somebody may not refer to the object, if he may not.
    fn refusal(&self, kind: ObjectKind, referrer: Referrer<'_>) -> Option<Refusal> {
        let Self::Found { customer, shared, type_, environment, stage, .. } = self else {
            return Some(Refusal::NotThere);
        };
        if !shared && customer.as_deref() != Some(referrer.customer) {
            return Some(Refusal::NotThere);
        }
        if kind == ObjectKind::Secret && !ALLOWED_TYPES.contains(&type_.as_str()) {
            return Some(Refusal::Type(type_.clone()));
        }
        let reserved =
            [(labels::ENVIRONMENT, environment, referrer.environment), (labels::STAGE, stage, referrer.stage.as_str())];
        reserved.into_iter().find_map(|(label, only, own)| {
            let only = only.as_ref().filter(|only| *only != own)?;
            Some(Refusal::Reserved { label, only: only.clone() })
        })
    }

    /// Whether somebody may refer to the object.
    pub fn may_be_used_by(&self, kind: ObjectKind, referrer: Referrer<'_>) -> bool {
        self.refusal(kind, referrer).is_none()
    }
}

/// Why an object may not be referred to.
enum Refusal {
    /// It does not exist, or is not the customer's: whoever reads the status may not learn which.
    NotThere,
    /// It is of a type that no environment may use.
    Type(String),
    /// A label keeps it for others.
    Reserved { label: &'static str, only: String },
}

impl References {
    /// Refuses a reference to what is not there for those who refer to it.
    pub fn check_object(&self, object: &ObjectName, referrer: Referrer<'_>) -> Result<(), Finding> {
        let ObjectName { kind, name } = object;
        let missing = ReferencedObject::Missing;
        let found = self.objects.get(object).unwrap_or(&missing);
        let Some(refusal) = found.refusal(*kind, referrer) else { return Ok(()) };
        let not_allowed = |message| Err(Finding::new(Reason::ReferenceNotAllowed, message));
        match refusal {
            Refusal::NotThere => {
                let customer = referrer.customer;
                let message = format!(
                    "{kind:?} \"{name}\" does not exist for customer \"{customer}\": create it with label {}={customer}; if there is one of this name, it lacks the label or is somebody else's",
                    labels::CUSTOMER
                );
                Err(Finding::new(Reason::ReferenceNotFound, message))
            }
            Refusal::Type(type_) => not_allowed(format!(
                "Secret \"{name}\" has type \"{type_}\", which environments may not refer to; allowed are {}",
                ALLOWED_TYPES.join(", ")
            )),
            Refusal::Reserved { label, only } => not_allowed(format!(
                "{kind:?} \"{name}\" is kept by its label {label} for \"{only}\": refer to another one"
            )),
        }
    }

    /// Digest of a key's content.
    pub fn key_digest(&self, object: &ObjectName, key: &str) -> Result<&str, Finding> {
        let found = match self.objects.get(object) {
            Some(ReferencedObject::Found { keys, .. }) => keys.get(key),
            _ => None,
        };
        found.map(String::as_str).ok_or_else(|| {
            let ObjectName { kind, name } = object;
            Finding::new(
                Reason::ReferenceNotFound,
                format!("{kind:?} \"{name}\" has no key \"{key}\": add it, or name another key"),
            )
        })
    }
}
