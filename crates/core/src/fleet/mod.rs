//! The picture of one namespace: plain facts, indexed by name, host, release, customer, template and owner.
//!
//! Watches feed it, each with atomic snapshots: a list that is read again replaces what was known at once, so that nobody
//! ever sees an emptier world, and what vanished while nobody watched is told like any other deletion. [`Fleet::apply`]
//! says who must be looked at. Everything else is a query, and what a query costs does not grow with the fleet.

mod affected;
mod answers;
mod certificates;
mod charts;
mod customers;
mod drift;
mod elsewhere;
mod environments;
mod facts;
mod objects;
mod records;
mod references;
mod releases;
mod running;
mod seen;
mod stops;
mod templates;
#[cfg(test)]
mod tests;
mod unreadable;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use odoofleet_api::template::WorkloadKind;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

use crate::environment::references::{ObjectName, ReferencedObject};
use crate::observed::FoundCertificate;
use crate::release::{LeftOut, Revision, is_older};
use crate::template::StoredVersion;

pub use affected::Affected;
pub use answers::Answer;
pub use elsewhere::HostClaim;
pub use environments::EnvironmentFact;
pub use facts::{Choice, Look};
pub use records::RecordKey;
pub use running::{Item, ItemKey, ItemKind, PodItem, Refusal};
pub use seen::{Seen, SeenRelease, mark_of_annotation, mark_of_label};
pub use templates::TemplateKnown;
pub use unreadable::Kind;

/// What a watch tells of a kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta<T> {
    /// All that there are: after a start, or after the watch was lost.
    All(Vec<T>),
    /// One came or changed.
    Applied(T),
    /// One is gone.
    Deleted(T),
    /// One by this name is gone, or is nothing of ours any more.
    Forgotten(String),
}

/// What has changed in the namespace.
#[derive(Debug, Clone)]
pub enum Change {
    /// Customers.
    Customers(Delta<Arc<OdooCustomer>>),
    /// Templates.
    Templates(Delta<Arc<OdooTemplate>>),
    /// Environments.
    Environments(Delta<Arc<OdooEnvironment>>),
    /// Hosts of environments in other namespaces, by namespace and name.
    Elsewhere(Delta<(String, HostClaim)>),
    /// Revisions of Helm releases that are not superseded.
    Releases(Delta<StoredRevision>),
    /// Objects of releases of one kind, other than pods.
    Items(ItemKind, Delta<(ItemKey, Item)>),
    /// Metadata of objects of releases, of one kind: `Deployment.apps`, `ConfigMap`.
    Seen(&'static str, Delta<Seen>),
    /// Pods of workloads, and those in which changes are tried.
    Pods(Delta<PodItem>),
    /// Words of the API server to controllers of StatefulSets whose pods it refuses, by the name of the Event.
    Refusals(Delta<(String, Refusal)>),
    /// Certificates, by the name of their Secret.
    Certificates(Delta<(String, FoundCertificate)>),
    /// Secrets or ConfigMaps that one watch finds by one of our labels.
    Objects(ObjectWatch, Delta<(ObjectName, ReferencedObject)>),
    /// Versions of Secrets and ConfigMaps of which no more is known; templates name some.
    Versions(ObjectWatch, Delta<(ObjectName, String)>),
    /// Versions of templates: template and version.
    TemplateVersions(Delta<(String, StoredVersion)>),
}

/// A watch of Secrets or ConfigMaps. An object can be seen by several, and leave one while it stays in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectWatch {
    /// Secrets with a customer's label.
    CustomersSecrets,
    /// Secrets that are shared.
    SharedSecrets,
    /// ConfigMaps with a customer's label.
    CustomersConfigMaps,
    /// ConfigMaps that are shared.
    SharedConfigMaps,
    /// Secrets with a registry's credentials.
    RegistrySecrets,
    /// All ConfigMaps.
    ConfigMaps,
}

/// A revision, with the hosts that it keeps when it is retained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRevision {
    /// The revision.
    pub revision: Revision,
    /// Hosts that stay reserved for its environment.
    pub retained_hosts: Vec<String>,
    /// The objects that its operation left out, by the mark of their names.
    pub left_out: BTreeMap<u64, LeftOut>,
}

/// What the picture depends on beside what is watched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace.
    pub namespace: String,
    /// Hosts from which addons may come; empty means any public one.
    pub allowed_git_hosts: Vec<String>,
    /// Domains in which hosts lie, of customers who name none; empty means any.
    pub allowed_domains: Vec<String>,
    /// Name under which NodePorts are reached.
    pub node_address: Option<String>,
    /// Environments that may be taken down within ten minutes without having been asked for by name.
    pub max_stops: usize,
    /// Customers whose environments may be stopped within an hour for a date's sake.
    pub max_automatic_stops: usize,
    /// From then on no worker of an earlier leader can write any more.
    pub fence: Timestamp,
    /// Zone of contracts that name none.
    pub time_zone: jiff::tz::TimeZone,
}

/// Everything that is known of one namespace.
pub struct Fleet {
    settings: Settings,
    customers: HashMap<String, Arc<OdooCustomer>>,
    templates: HashMap<String, TemplateKnown>,
    environments: HashMap<String, EnvironmentFact>,
    by_uid: HashMap<String, String>,
    by_customer: HashMap<String, customers::Environments>,
    by_release: Index<String, String>,
    by_host: Index<String, String>,
    elsewhere: elsewhere::Elsewhere,
    by_object: Index<ObjectName, String>,
    templates_by_object: Index<ObjectName, String>,
    releases: HashMap<String, releases::Release>,
    records: records::Records,
    retained_by_host: Index<String, String>,
    running: running::Running,
    seen: seen::SeenObjects,
    drift: HashMap<String, drift::DriftKnown>,
    certificates: HashMap<String, FoundCertificate>,
    objects: BTreeMap<ObjectWatch, HashMap<ObjectName, ReferencedObject>>,
    object_versions: BTreeMap<ObjectWatch, HashMap<ObjectName, String>>,
    versions: HashMap<(String, String), StoredVersion>,
    versions_of: Index<String, String>,
    chart_hooks: HashMap<String, bool>,
    stops: stops::Stops,
    unreadable: HashMap<(Kind, String), String>,
}

impl Fleet {
    /// An empty picture.
    pub fn new(settings: Settings) -> Self {
        Self {
            stops: stops::Stops::new(settings.max_stops, settings.max_automatic_stops),
            settings,
            customers: HashMap::new(),
            templates: HashMap::new(),
            environments: HashMap::new(),
            by_uid: HashMap::new(),
            by_customer: HashMap::new(),
            by_release: Index::default(),
            by_host: Index::default(),
            elsewhere: elsewhere::Elsewhere::default(),
            by_object: Index::default(),
            templates_by_object: Index::default(),
            releases: HashMap::new(),
            records: records::Records::default(),
            retained_by_host: Index::default(),
            running: running::Running::default(),
            seen: seen::SeenObjects::default(),
            drift: HashMap::new(),
            certificates: HashMap::new(),
            objects: BTreeMap::new(),
            object_versions: BTreeMap::new(),
            versions: HashMap::new(),
            versions_of: Index::default(),
            chart_hooks: HashMap::new(),
            unreadable: HashMap::new(),
        }
    }

    /// Says from when on no worker of an earlier leader can write any more.
    pub const fn set_fence(&mut self, fence: Timestamp) {
        self.settings.fence = fence;
    }

    /// Takes in a change. Says who must be looked at because of it.
    pub fn apply(&mut self, change: Change) -> Affected {
        let mut affected = Affected::default();
        match change {
            Change::Customers(delta) => self.apply_customers(delta, &mut affected),
            Change::Templates(delta) => self.apply_templates(delta, &mut affected),
            Change::Environments(delta) => self.apply_environments(delta, &mut affected),
            Change::Elsewhere(delta) => self.apply_elsewhere(delta, &mut affected),
            Change::Releases(delta) => self.apply_releases(delta, &mut affected),
            Change::Items(kind, delta) => {
                let touched = self.running.apply_items(kind, delta);
                self.touch(&touched, &mut affected);
            }
            Change::Seen(kind, delta) => self.apply_seen(kind, delta, &mut affected),
            Change::Pods(delta) => {
                let touched = self.running.apply_pods(delta);
                self.touch(&touched, &mut affected);
            }
            Change::Refusals(delta) => {
                let touched = self.running.apply_refusals(delta);
                self.touch(&touched, &mut affected);
            }
            Change::Certificates(delta) => self.apply_certificates(delta, &mut affected),
            Change::Objects(watch, delta) => self.apply_objects(watch, delta, &mut affected),
            Change::Versions(watch, delta) => self.apply_object_versions(watch, delta, &mut affected),
            Change::TemplateVersions(delta) => self.apply_template_versions(delta, &mut affected),
        }
        affected
    }

    /// Whoever claims one of these releases, or is the owner of a claim with one of these UIDs, must be looked at.
    fn touch(&self, touched: &running::Touched, affected: &mut Affected) {
        for release in &touched.releases {
            affected.environments.extend(self.by_release.of(release).cloned());
        }
        affected.environments.extend(touched.uids.iter().filter_map(|uid| self.by_uid.get(uid)).cloned());
    }
}

/// Names by a key that several share.
#[derive(Debug)]
struct Index<K, V>(HashMap<K, BTreeSet<V>>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone, V: Ord + Clone> Index<K, V> {
    fn add(&mut self, key: &K, value: &V) {
        self.0.entry(key.clone()).or_default().insert(value.clone());
    }

    fn remove(&mut self, key: &K, value: &V) {
        if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    fn of<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).into_iter().flatten()
    }
}

/// Whether this is an earlier state of the same object than what is known.
fn is_outdated(told: &ObjectMeta, known: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.clone().unwrap_or_default();
    told.uid == known.uid && is_older(&version(told), &version(known))
}

/// Takes a delta into a plain map. Returns the keys of what is different now: a list also tells what is gone.
fn absorb<K, T>(map: &mut HashMap<K, T>, delta: Delta<(K, T)>) -> BTreeSet<K>
where
    K: Eq + Hash + Ord + Clone,
    T: PartialEq,
{
    let mut changed = BTreeSet::new();
    match delta {
        Delta::All(list) => {
            let fresh: HashMap<K, T> = list.into_iter().collect();
            changed.extend(map.keys().filter(|key| !fresh.contains_key(*key)).cloned());
            changed
                .extend(fresh.iter().filter(|(key, value)| map.get(*key) != Some(*value)).map(|(key, _)| key.clone()));
            *map = fresh;
        }
        Delta::Applied((key, value)) => {
            if map.get(&key) != Some(&value) {
                changed.insert(key.clone());
                map.insert(key, value);
            }
        }
        Delta::Deleted((key, _)) => {
            if map.remove(&key).is_some() {
                changed.insert(key);
            }
        }
        // Objects of these kinds stay what they are; what is in the way of reading one says nothing.
        Delta::Forgotten(_) => {}
    }
    changed
}

/// Kind and name of a workload.
type WorkloadKey = (WorkloadKind, String);
