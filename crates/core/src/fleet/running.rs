//! What runs, by release.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use odoofleet_api::template::WorkloadKind;

use super::{Delta, WorkloadKey};
use crate::observed::{Certificate, Check, CronJob, Pod, Running as Observed, ServicePort, Volume, Workload};
use crate::release::is_older;

/// A kind of object that a release may have. Each is one watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// Deployments.
    Deployment,
    /// StatefulSets.
    StatefulSet,
    /// CronJobs.
    CronJob,
    /// Services.
    Service,
    /// Volume claims.
    Volume,
    /// Ingresses.
    Ingress,
    /// Autoscalers.
    Autoscaler,
}

/// Kind and name of an object.
pub type ItemKey = (ItemKind, String);

/// An object that matters to a release, and the release to which Helm says that it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A Deployment or StatefulSet.
    Workload(Workload),
    /// A CronJob.
    CronJob(CronJob),
    /// The ports of a Service.
    Service {
        /// Release.
        release: String,
        /// Ports.
        ports: Vec<ServicePort>,
    },
    /// A volume claim. A StatefulSet makes some that do not say to which release they belong.
    Volume {
        /// Release.
        release: Option<String>,
        /// UID of the environment for which the operator has marked it.
        marked_for: Option<String>,
        /// The claim.
        volume: Volume,
    },
    /// The certificates that an Ingress asks for.
    Ingress {
        /// Release.
        release: String,
        /// Certificates.
        certificates: Vec<Certificate>,
    },
    /// What an autoscaler scales.
    Autoscaler {
        /// Release.
        release: String,
        /// Kind and name of the workload.
        target: (WorkloadKind, String),
    },
}

impl Item {
    fn release(&self) -> Option<&String> {
        match self {
            Self::Workload(workload) => Some(&workload.release),
            Self::CronJob(job) => Some(&job.release),
            Self::Volume { release, .. } => release.as_ref(),
            Self::Service { release, .. } | Self::Ingress { release, .. } | Self::Autoscaler { release, .. } => {
                Some(release)
            }
        }
    }
}

/// A pod that matters to a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodItem {
    /// It belongs to a workload.
    Workload(Pod),
    /// A change of this release is tried in it.
    Check(String, Check),
}

/// An Event that says why the pods of a StatefulSet are not made. Several can speak of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the StatefulSet.
    pub set: String,
    /// The API server's words.
    pub message: String,
    /// When it was said last.
    pub at: Timestamp,
}

/// Whom a change concerns.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub releases: BTreeSet<String>,
    pub uids: BTreeSet<String>,
}

/// What runs.
#[derive(Debug, Default)]
pub(super) struct Running {
    items: BTreeMap<ItemKey, Item>,
    by_release: HashMap<String, BTreeSet<ItemKey>>,
    marked: HashMap<String, BTreeSet<String>>,
    /// Releases of StatefulSets by the stem of their claims' names, `{template}-{set}`.
    claim_stems: HashMap<String, String>,
    certificates: HashMap<String, BTreeSet<String>>,
    /// Pods by workload and name. A pod can be told of before its workload.
    pods: HashMap<WorkloadKey, BTreeMap<String, Pod>>,
    pod_owners: HashMap<String, WorkloadKey>,
    checks: HashMap<String, Check>,
    /// By StatefulSet and Event.
    refusals: HashMap<String, BTreeMap<String, Refusal>>,
}

impl Running {
    pub fn apply_items(&mut self, kind: ItemKind, delta: Delta<(ItemKey, Item)>) -> Touched {
        let mut touched = Touched::default();
        match delta {
            Delta::All(list) => {
                let fresh: BTreeMap<ItemKey, Item> = list.into_iter().collect();
                let first = (kind, String::new());
                let known = self.items.range(first..).take_while(|(key, _)| key.0 == kind).map(|(key, _)| key.clone());
                let gone: Vec<ItemKey> = known.filter(|key| !fresh.contains_key(key)).collect();
                for key in gone {
                    self.set(key, None, &mut touched);
                }
                for (key, item) in fresh {
                    self.set(key, Some(item), &mut touched);
                }
            }
            Delta::Applied((key, item)) => self.set(key, Some(item), &mut touched),
            Delta::Deleted((key, _)) => self.set(key, None, &mut touched),
            Delta::Forgotten(name) => self.set((kind, name), None, &mut touched),
        }
        touched
    }

    fn set(&mut self, key: ItemKey, item: Option<Item>, touched: &mut Touched) {
        let known = self.items.remove(&key);
        // What the API server answered to a scaling can be newer than what the watch still has to tell.
        let item = match (&known, item) {
            (Some(Item::Workload(known)), Some(Item::Workload(new)))
                if is_older(&new.resource_version, &known.resource_version) =>
            {
                Some(Item::Workload(known.clone()))
            }
            (_, item) => item,
        };
        // What could not be made is there now; the Event that said so lives for an hour.
        if let Some(Item::Workload(workload)) = &item
            && workload.kind == WorkloadKind::StatefulSet
            && workload.observed
            && workload.current_replicas >= workload.replicas
        {
            self.refusals.remove(&workload.name);
        }
        if known != item {
            if let Some(known) = &known {
                self.index(&key, known, false);
                self.touch(&key, known, touched);
            }
            if let Some(item) = &item {
                self.index(&key, item, true);
                self.touch(&key, item, touched);
            }
        }
        if let Some(item) = item {
            self.items.insert(key, item);
        }
    }

    fn index(&mut self, key: &ItemKey, item: &Item, add: bool) {
        if let Some(release) = item.release() {
            change(&mut self.by_release, release, key, add);
        }
        match item {
            Item::Workload(workload) => {
                for template in &workload.claim_templates {
                    let stem = format!("{template}-{}", workload.name);
                    if add {
                        self.claim_stems.insert(stem, workload.release.clone());
                    } else {
                        self.claim_stems.remove(&stem);
                    }
                }
            }
            Item::Volume { marked_for: Some(uid), .. } => change(&mut self.marked, uid, &key.1, add),
            Item::Ingress { release, certificates } => {
                for certificate in certificates {
                    change(&mut self.certificates, &certificate.secret, release, add);
                }
            }
            Item::Volume { .. } | Item::CronJob(_) | Item::Service { .. } | Item::Autoscaler { .. } => {}
        }
    }

    fn touch(&self, key: &ItemKey, item: &Item, touched: &mut Touched) {
        touched.releases.extend(item.release().cloned());
        if let Item::Volume { marked_for, .. } = item {
            touched.uids.extend(marked_for.clone());
            let stem = key.1.rsplit_once('-').map(|(stem, _)| stem);
            touched.releases.extend(stem.and_then(|stem| self.claim_stems.get(stem)).cloned());
        }
    }

    pub fn apply_pods(&mut self, delta: Delta<PodItem>) -> Touched {
        let mut touched = Touched::default();
        match delta {
            Delta::All(list) => {
                let (pods, checks) = (std::mem::take(&mut self.pods), std::mem::take(&mut self.checks));
                self.pod_owners.clear();
                for item in list {
                    self.set_pod(item);
                }
                let keys: BTreeSet<&WorkloadKey> = pods.keys().chain(self.pods.keys()).collect();
                let changed = keys.into_iter().filter(|key| pods.get(*key) != self.pods.get(*key));
                touched.releases.extend(changed.filter_map(|key| self.owner(key)));
                let releases: BTreeSet<&String> = checks.keys().chain(self.checks.keys()).collect();
                let changed = releases.into_iter().filter(|release| checks.get(*release) != self.checks.get(*release));
                touched.releases.extend(changed.cloned().collect::<Vec<_>>());
            }
            Delta::Applied(item) => touched.releases.extend(self.set_pod(item)),
            Delta::Deleted(item) => touched.releases.extend(self.remove_pod(&item)),
            Delta::Forgotten(name) => touched.releases.extend(self.forget_pod(&name)),
        }
        touched
    }

    /// Takes in a pod. Somebody may have moved it from one workload to another.
    fn set_pod(&mut self, item: PodItem) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        match item {
            PodItem::Workload(pod) => {
                let owner = pod.owner.clone();
                if self.pod_owners.get(&pod.name).is_some_and(|known| *known != owner) {
                    touched.extend(self.forget_pod(&pod.name));
                }
                self.pod_owners.insert(pod.name.clone(), owner.clone());
                self.pods.entry(owner.clone()).or_default().insert(pod.name.clone(), pod);
                touched.extend(self.owner(&owner));
            }
            PodItem::Check(release, check) => {
                self.checks.insert(release.clone(), check);
                touched.insert(release);
            }
        }
        touched
    }

    /// Forgets a pod that belongs to none of our workloads any more.
    fn forget_pod(&mut self, name: &str) -> Option<String> {
        if let Some(owner) = self.pod_owners.remove(name) {
            if let Some(pods) = self.pods.get_mut(&owner) {
                pods.remove(name);
                if pods.is_empty() {
                    self.pods.remove(&owner);
                }
            }
            return self.owner(&owner);
        }
        let check = self.checks.iter().find(|(_, check)| check.pod.name == name).map(|(release, _)| release.clone())?;
        self.checks.remove(&check);
        Some(check)
    }

    /// Forgets a pod, unless another of the same name has come meanwhile.
    fn remove_pod(&mut self, item: &PodItem) -> Option<String> {
        match item {
            PodItem::Workload(pod) => {
                if let Some(pods) = self.pods.get_mut(&pod.owner) {
                    if pods.get(&pod.name).is_some_and(|known| known.uid == pod.uid) {
                        pods.remove(&pod.name);
                        self.pod_owners.remove(&pod.name);
                    }
                    if pods.is_empty() {
                        self.pods.remove(&pod.owner);
                    }
                }
                self.owner(&pod.owner)
            }
            PodItem::Check(release, check) => {
                if self.checks.get(release).is_some_and(|known| known.pod.uid == check.pod.uid) {
                    self.checks.remove(release);
                }
                Some(release.clone())
            }
        }
    }

    pub fn apply_refusals(&mut self, delta: Delta<(String, Refusal)>) -> Touched {
        let sets: BTreeSet<String> = match delta {
            Delta::All(list) => {
                let before = std::mem::take(&mut self.refusals);
                for (event, refusal) in list {
                    self.refusals.entry(refusal.set.clone()).or_default().insert(event, refusal);
                }
                let all = before.keys().chain(self.refusals.keys());
                all.filter(|set| before.get(*set) != self.refusals.get(*set)).cloned().collect()
            }
            Delta::Applied((event, refusal)) => {
                let set = refusal.set.clone();
                self.refusals.entry(set.clone()).or_default().insert(event, refusal);
                BTreeSet::from([set])
            }
            Delta::Deleted((event, refusal)) => {
                if let Some(events) = self.refusals.get_mut(&refusal.set) {
                    events.remove(&event);
                    if events.is_empty() {
                        self.refusals.remove(&refusal.set);
                    }
                }
                BTreeSet::from([refusal.set])
            }
            Delta::Forgotten(_) => BTreeSet::new(),
        };
        let releases = sets.into_iter().filter_map(|set| self.owner(&(WorkloadKind::StatefulSet, set)));
        Touched { releases: releases.collect(), uids: BTreeSet::new() }
    }

    fn owner(&self, key: &WorkloadKey) -> Option<String> {
        let kind = match key.0 {
            WorkloadKind::Deployment => ItemKind::Deployment,
            WorkloadKind::StatefulSet => ItemKind::StatefulSet,
        };
        self.items.get(&(kind, key.1.clone()))?.release().cloned()
    }

    /// Notes a scaling that the API server has accepted, before the watch tells of it.
    pub fn note_scaled(&mut self, key: &WorkloadKey, replicas: i32, remember: Option<i32>, version: &str) {
        let kind = match key.0 {
            WorkloadKind::Deployment => ItemKind::Deployment,
            WorkloadKind::StatefulSet => ItemKind::StatefulSet,
        };
        let Some(Item::Workload(workload)) = self.items.get_mut(&(kind, key.1.clone())) else { return };
        if !is_older(version, &workload.resource_version) {
            workload.replicas = replicas;
            workload.observed = false;
            workload.replicas_before_stop = remember.or(workload.replicas_before_stop);
            version.clone_into(&mut workload.resource_version);
        }
    }

    /// Notes that a pod of a release was told to go, before the watch tells of it.
    pub fn note_pod_deleted(&mut self, release: &str, uid: &str) {
        let note = |pod: &mut Pod| pod.deleting |= pod.uid == uid;
        for (kind, name) in self.by_release.get(release).into_iter().flatten() {
            let kind = match kind {
                ItemKind::Deployment => WorkloadKind::Deployment,
                ItemKind::StatefulSet => WorkloadKind::StatefulSet,
                _ => continue,
            };
            self.pods.get_mut(&(kind, name.clone())).into_iter().flat_map(BTreeMap::values_mut).for_each(note);
        }
        self.checks.get_mut(release).map(|check| &mut check.pod).into_iter().for_each(note);
    }

    /// Releases with an Ingress that takes its certificate from a Secret.
    pub fn with_certificate(&self, secret: &str) -> impl Iterator<Item = &String> {
        self.certificates.get(secret).into_iter().flatten()
    }

    /// What runs of a release, in a stable order; claims that are marked for `uid` are among its volumes.
    pub fn of(&self, release: &str, uid: &str) -> Observed {
        let mut all = Observed { check: self.checks.get(release).cloned(), ..Observed::default() };
        let mut targets = BTreeSet::new();
        let keys = self.by_release.get(release).into_iter().flatten();
        for item in keys.filter_map(|key| self.items.get(key)) {
            match item {
                Item::Workload(workload) => all.workloads.push(self.refused(workload)),
                Item::CronJob(job) => all.cron_jobs.push(job.clone()),
                Item::Service { ports, .. } => all.ports.extend(ports.iter().cloned()),
                Item::Volume { volume, marked_for, .. } => {
                    all.volumes.push(Volume { marked: marked_for.as_deref() == Some(uid), ..volume.clone() });
                }
                Item::Ingress { certificates, .. } => all.certificates.extend(certificates.iter().cloned()),
                Item::Autoscaler { target, .. } => drop(targets.insert(target.clone())),
            }
        }
        let claims: Vec<Volume> = all.workloads.iter().flat_map(|workload| self.claims_of(workload, uid)).collect();
        let marked = self.marked.get(uid).into_iter().flatten().filter_map(|name| self.volume(name, uid));
        all.volumes.extend(claims.into_iter().chain(marked));
        for workload in &mut all.workloads {
            workload.autoscaled = targets.contains(&(workload.kind, workload.name.clone()));
            let pods = self.pods.get(&(workload.kind, workload.name.clone()));
            all.pods.extend(pods.into_iter().flat_map(|pods| pods.values().cloned()));
        }
        all.workloads.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        all.ports.sort_by(|a, b| (&a.service, a.port).cmp(&(&b.service, b.port)));
        all.certificates.sort_by(|a, b| (&a.secret, &a.hosts).cmp(&(&b.secret, &b.hosts)));
        all.volumes.sort_by(|a, b| (&a.name, !a.marked).cmp(&(&b.name, !b.marked)));
        all.volumes.dedup_by(|a, b| a.name == b.name);
        all.pods.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        all
    }

    /// StatefulSets have no condition that says why their pods are not made: only an Event does.
    fn refused(&self, workload: &Workload) -> Workload {
        let words = match workload.kind {
            WorkloadKind::StatefulSet => {
                let own = self.refusals.get(&workload.name).into_iter().flat_map(BTreeMap::values);
                own.max_by_key(|refusal| refusal.at).map(|refusal| refusal.message.clone())
            }
            WorkloadKind::Deployment => None,
        };
        Workload { pods_refused: workload.pods_refused.clone().or(words), ..workload.clone() }
    }

    /// Claims that a StatefulSet made from its templates: `{template}-{set}-{number}`.
    fn claims_of(&self, workload: &Workload, uid: &str) -> Vec<Volume> {
        let stems = workload.claim_templates.iter().map(|template| format!("{template}-{}-", workload.name));
        stems
            .flat_map(|stem| {
                let from = (ItemKind::Volume, stem.clone());
                let range = self.items.range(from..).map(|(key, _)| &key.1);
                let names: Vec<String> = range.take_while(|name| name.starts_with(&stem)).cloned().collect();
                let number = move |name: &String| name[stem.len()..].bytes().all(|byte| byte.is_ascii_digit());
                names.into_iter().filter(number)
            })
            .filter_map(|name| self.volume(&name, uid))
            .collect()
    }

    /// A claim, as it is for an environment with this UID.
    fn volume(&self, name: &str, uid: &str) -> Option<Volume> {
        match self.items.get(&(ItemKind::Volume, name.to_owned()))? {
            Item::Volume { volume, marked_for, .. } => {
                Some(Volume { marked: marked_for.as_deref() == Some(uid), ..volume.clone() })
            }
            _ => None,
        }
    }
}

fn change<V: Ord + Clone>(index: &mut HashMap<String, BTreeSet<V>>, key: &str, value: &V, add: bool) {
    if add {
        index.entry(key.to_owned()).or_default().insert(value.clone());
    } else if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::fixtures;

    #[test]
    fn a_pod_that_was_told_to_go_goes_before_its_watch_says_so() {
        let mut running = Running::default();
        let kind = WorkloadKind::Deployment;
        for release in ["acme-prod", "acme-test"] {
            let workload = Workload { release: release.into(), ..fixtures::workload(kind, release) };
            let item = ((ItemKind::Deployment, release.into()), Item::Workload(workload));
            running.apply_items(ItemKind::Deployment, Delta::Applied(item));
            let pods = ["1", "2"].map(|number| fixtures::pod(kind, release, &format!("{release}-{number}")));
            for pod in pods {
                running.apply_pods(Delta::Applied(PodItem::Workload(pod)));
            }
        }
        let check = Check {
            digest: "c1".into(),
            inputs: "i1".into(),
            pod: fixtures::pod(kind, "acme-prod", "acme-prod-check"),
            succeeded: false,
        };
        running.apply_pods(Delta::Applied(PodItem::Check("acme-prod".into(), check)));
        for uid in ["acme-prod-2", "acme-prod-check"] {
            running.note_pod_deleted("acme-prod", uid);
        }
        let going = |release: &str| {
            let of = running.of(release, "");
            let pods = of.pods.into_iter().chain(of.check.map(|check| check.pod));
            pods.filter(|pod| pod.deleting).map(|pod| pod.name).collect::<Vec<_>>()
        };
        assert_eq!(going("acme-prod"), ["acme-prod-2", "acme-prod-check"]);
        assert!(going("acme-test").is_empty());
    }
}
