//! What an environment refers to, as it was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::{CustomerPhase, CustomerStop};
use odoofleet_api::environment::OdooEnvironmentSpec;
use odoofleet_api::names::{CustomerName, NameError, ReleaseName};

use crate::chart::Chart;
use crate::finding::Finding;
use crate::template::VersionContent;
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
    /// Secrets and ConfigMaps that the spec names.
    pub objects: BTreeMap<ObjectName, ReferencedObject>,
    /// Other environments and retained releases with the same release name or host.
    pub rivals: Vec<Rival>,
    /// The environment's place among its customer's, from 0: behind those that are installed, or older.
    pub rank_in_customer: usize,
    /// Hosts from which addons may come; empty means any public one.
    pub allowed_git_hosts: Vec<String>,
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
    /// Why a newer version has not come yet, for people.
    pub waits_for: Option<String>,
}

/// Kind and name of a Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Kind.
    pub kind: ObjectKind,
    /// Name.
    pub name: String,
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

/// Every host that an environment claims, in lowercase.
pub fn hosts(spec: &OdooEnvironmentSpec) -> Vec<String> {
    let ingress = spec.ingress.iter();
    ingress
        .flat_map(|ingress| ingress.host.iter().chain(&ingress.aliases))
        .map(|host| host.to_ascii_lowercase())
        .collect()
}

/// Every Secret and ConfigMap that a spec names.
pub fn named_objects(spec: &OdooEnvironmentSpec) -> Vec<ObjectName> {
    let secret = |name: &String| ObjectName { kind: ObjectKind::Secret, name: name.clone() };
    let mut objects: Vec<ObjectName> = Vec::new();
    for from in &spec.values_from {
        objects.extend(from.secret_key_ref.iter().map(|key| secret(&key.name)));
        objects.extend(
            from.config_map_key_ref
                .iter()
                .map(|key| ObjectName { kind: ObjectKind::ConfigMap, name: key.name.clone() }),
        );
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

impl References {
    /// Refuses a reference to what is not there or not this customer's.
    pub fn check_object(&self, object: &ObjectName, customer: &CustomerName) -> Result<(), Finding> {
        let ObjectName { kind, name } = object;
        let label =
            format!("kubectl -n {} label {} {name} odoofleet.dev/customer={customer}", self.namespace, kind.resource());
        match self.objects.get(object) {
            None | Some(ReferencedObject::Missing) => Err(Finding::new(
                Reason::ReferenceNotFound,
                format!("{kind:?} \"{name}\" does not exist: create it, with label odoofleet.dev/customer={customer}"),
            )),
            Some(ReferencedObject::Unlabelled) => Err(Finding::new(
                Reason::ReferenceNotAllowed,
                format!("{kind:?} \"{name}\" is not labelled for a customer: {label}"),
            )),
            Some(ReferencedObject::Found { customer: owner, shared, type_, .. }) => {
                if *kind == ObjectKind::Secret && !ALLOWED_TYPES.contains(&type_.as_str()) {
                    let message = format!(
                        "Secret \"{name}\" has type \"{type_}\", which environments may not refer to; allowed are {}",
                        ALLOWED_TYPES.join(", ")
                    );
                    return Err(Finding::new(Reason::ReferenceNotAllowed, message));
                }
                if *shared || owner.as_deref() == Some(customer.as_str()) {
                    return Ok(());
                }
                Err(Finding::new(
                    Reason::ReferenceNotAllowed,
                    format!(
                        "{kind:?} \"{name}\" belongs to another customer: refer to one that carries label odoofleet.dev/customer={customer}"
                    ),
                ))
            }
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

impl ObjectKind {
    const fn resource(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }
}
