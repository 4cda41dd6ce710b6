//! What runs, by release.

use std::collections::{BTreeSet, HashMap};

use odoofleet_api::template::WorkloadKind;
use odoofleet_core::observed::{Certificate, Check, CronJob, Pod, Running, ServicePort, Volume, Workload};
use parking_lot::RwLock;

/// A workload's kind and name.
pub type WorkloadKey = (WorkloadKind, String);

/// What runs, by release.
#[derive(Default)]
pub struct RunningIndex(RwLock<State>);

#[derive(Default)]
struct State {
    releases: HashMap<String, ReleaseObjects>,
    /// Release of each workload.
    owners: HashMap<WorkloadKey, String>,
    /// Pods by workload and name. A pod can be told of before its workload.
    pods: HashMap<WorkloadKey, HashMap<String, Pod>>,
    /// The pod in which a change is tried, by release.
    checks: HashMap<String, Check>,
}

#[derive(Default)]
struct ReleaseObjects {
    workloads: HashMap<WorkloadKey, Workload>,
    cron_jobs: HashMap<String, CronJob>,
    ports: HashMap<String, Vec<ServicePort>>,
    volumes: HashMap<String, Volume>,
    certificates: HashMap<String, Vec<Certificate>>,
}

/// An object of a release, other than a pod.
pub enum Item {
    /// A Deployment or StatefulSet.
    Workload(Workload),
    /// A CronJob.
    CronJob(CronJob),
    /// A Service and its ports.
    Service(String, Vec<ServicePort>),
    /// A volume claim.
    Volume(Volume),
    /// An Ingress and the certificates that it asks for.
    Ingress(String, Vec<Certificate>),
}

/// A pod that matters to a release.
pub enum PodItem {
    /// It belongs to a workload.
    Workload(Pod),
    /// A change of this release is tried in it.
    Check(String, Check),
}

/// Which objects one watch sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// Deployments or StatefulSets.
    Workload(WorkloadKind),
    /// CronJobs.
    CronJob,
    /// Services.
    Service,
    /// Volume claims.
    Volume,
    /// Ingresses.
    Ingress,
}

impl RunningIndex {
    /// Takes in an object of a release.
    pub fn apply(&self, release: &str, item: Item) {
        let mut state = self.0.write();
        if let Item::Workload(workload) = &item {
            state.owners.insert((workload.kind, workload.name.clone()), release.to_owned());
        }
        let objects = state.releases.entry(release.to_owned()).or_default();
        match item {
            Item::Workload(workload) => {
                let key = (workload.kind, workload.name.clone());
                let known = objects.workloads.get(&key);
                if known.is_none_or(|known| !is_older(&workload.resource_version, &known.resource_version)) {
                    objects.workloads.insert(key, workload);
                }
            }
            Item::CronJob(job) => {
                objects.cron_jobs.insert(job.name.clone(), job);
            }
            Item::Service(name, ports) => {
                objects.ports.insert(name, ports);
            }
            Item::Volume(volume) => {
                objects.volumes.insert(volume.name.clone(), volume);
            }
            Item::Ingress(name, certificates) => {
                objects.certificates.insert(name, certificates);
            }
        }
    }

    /// Forgets an object of a release.
    pub fn remove(&self, release: &str, kind: ItemKind, name: &str) {
        let mut state = self.0.write();
        if let ItemKind::Workload(kind) = kind {
            state.owners.remove(&(kind, name.to_owned()));
        }
        let Some(objects) = state.releases.get_mut(release) else { return };
        match kind {
            ItemKind::Workload(kind) => drop(objects.workloads.remove(&(kind, name.to_owned()))),
            ItemKind::CronJob => drop(objects.cron_jobs.remove(name)),
            ItemKind::Service => drop(objects.ports.remove(name)),
            ItemKind::Volume => drop(objects.volumes.remove(name)),
            ItemKind::Ingress => drop(objects.certificates.remove(name)),
        }
        if objects.is_empty() {
            state.releases.remove(release);
        }
    }

    /// Forgets all objects of a kind, before a watch brings them anew. Returns the releases that had some.
    pub fn clear(&self, kind: ItemKind) -> BTreeSet<String> {
        let mut state = self.0.write();
        let mut had = BTreeSet::new();
        for (release, objects) in &mut state.releases {
            let before = objects.count();
            match kind {
                ItemKind::Workload(kind) => objects.workloads.retain(|key, _| key.0 != kind),
                ItemKind::CronJob => objects.cron_jobs.clear(),
                ItemKind::Service => objects.ports.clear(),
                ItemKind::Volume => objects.volumes.clear(),
                ItemKind::Ingress => objects.certificates.clear(),
            }
            if objects.count() < before {
                had.insert(release.clone());
            }
        }
        had
    }

    /// Takes in a pod. Returns its release, if its workload is known.
    pub fn apply_pod(&self, pod: PodItem) -> Option<String> {
        let mut state = self.0.write();
        let pod = match pod {
            PodItem::Workload(pod) => pod,
            PodItem::Check(release, check) => {
                state.checks.insert(release.clone(), check);
                return Some(release);
            }
        };
        let owner = pod.owner.clone();
        state.pods.entry(owner.clone()).or_default().insert(pod.name.clone(), pod);
        state.owners.get(&owner).cloned()
    }

    /// Forgets a pod. Returns its release.
    pub fn remove_pod(&self, pod: &PodItem) -> Option<String> {
        let mut state = self.0.write();
        let pod = match pod {
            PodItem::Workload(pod) => pod,
            PodItem::Check(release, check) => {
                // The next one has the same name.
                if state.checks.get(release).is_some_and(|known| known.pod.uid == check.pod.uid) {
                    state.checks.remove(release);
                }
                return Some(release.clone());
            }
        };
        if let Some(pods) = state.pods.get_mut(&pod.owner) {
            // A StatefulSet's next pod has the same name.
            if pods.get(&pod.name).is_some_and(|known| known.uid == pod.uid) {
                pods.remove(&pod.name);
            }
            if pods.is_empty() {
                state.pods.remove(&pod.owner);
            }
        }
        state.owners.get(&pod.owner).cloned()
    }

    /// Replaces all pods. Returns the releases that had or have some.
    pub fn replace_pods(&self, pods: Vec<PodItem>) -> BTreeSet<String> {
        let mut state = self.0.write();
        let old = std::mem::take(&mut state.pods);
        let mut changed: BTreeSet<String> = std::mem::take(&mut state.checks).into_keys().collect();
        for pod in pods {
            match pod {
                PodItem::Workload(pod) => {
                    state.pods.entry(pod.owner.clone()).or_default().insert(pod.name.clone(), pod);
                }
                PodItem::Check(release, check) => {
                    changed.insert(release.clone());
                    state.checks.insert(release, check);
                }
            }
        }
        let keys = old.keys().chain(state.pods.keys());
        changed.extend(keys.filter_map(|key| state.owners.get(key).cloned()));
        changed
    }

    /// What runs of a release, in a stable order.
    pub fn of(&self, release: &str) -> Running {
        let state = self.0.read();
        let Some(objects) = state.releases.get(release) else { return Running::default() };
        let mut running = Running {
            workloads: objects.workloads.values().cloned().collect(),
            cron_jobs: objects.cron_jobs.values().cloned().collect(),
            ports: objects.ports.values().flatten().cloned().collect(),
            volumes: objects.volumes.values().cloned().collect(),
            certificates: objects.certificates.values().flatten().cloned().collect(),
            pods: objects
                .workloads
                .keys()
                .filter_map(|key| state.pods.get(key))
                .flat_map(|pods| pods.values().cloned())
                .collect(),
            check: state.checks.get(release).cloned(),
        };
        running.workloads.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        running.cron_jobs.sort_by(|a, b| a.name.cmp(&b.name));
        running.ports.sort_by(|a, b| (&a.service, a.port).cmp(&(&b.service, b.port)));
        running.certificates.sort_by(|a, b| (&a.secret, &a.hosts).cmp(&(&b.secret, &b.hosts)));
        running.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        running.pods.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        running
    }

    /// Releases with an Ingress that takes its certificate from a Secret.
    pub fn with_certificate(&self, secret: &str) -> Vec<String> {
        let state = self.0.read();
        let asks = |objects: &ReleaseObjects| objects.certificates.values().flatten().any(|one| one.secret == secret);
        state.releases.iter().filter(|(_, objects)| asks(objects)).map(|(release, _)| release.clone()).collect()
    }

    /// Notes a scaling that the API server has accepted, before the watch tells of it.
    pub fn note_scaled(
        &self,
        release: &str,
        kind: WorkloadKind,
        name: &str,
        replicas: i32,
        remember: Option<i32>,
        version: &str,
    ) {
        let mut state = self.0.write();
        let workload =
            state.releases.get_mut(release).and_then(|objects| objects.workloads.get_mut(&(kind, name.to_owned())));
        if let Some(workload) = workload.filter(|workload| !is_older(version, &workload.resource_version)) {
            workload.replicas = replicas;
            workload.observed = false;
            workload.replicas_before_stop = remember.or(workload.replicas_before_stop);
            version.clone_into(&mut workload.resource_version);
        }
    }
}

impl ReleaseObjects {
    fn count(&self) -> usize {
        self.workloads.len() + self.cron_jobs.len() + self.ports.len() + self.volumes.len() + self.certificates.len()
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

/// Resource versions are decimal numbers that grow.
fn is_older(one: &str, other: &str) -> bool {
    match (one.parse::<u128>(), other.parse::<u128>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => false,
    }
}
