//! Environments, and the indexes by which others find them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentStatus, Phase, Placement};

use super::{Affected, Delta, Fleet, Kind};
use crate::environment::brake::taken_down_at;
use crate::environment::references::{ObjectKind, ObjectName, hosts, named_objects, names};
use crate::environment::validate::generated_secret;
use crate::release::is_older;
use crate::task::Evidence;
use crate::template::Follower;

/// What is known of an environment.
#[derive(Debug, Clone)]
pub struct EnvironmentFact {
    /// The object, as the API server told of it last.
    pub object: Arc<OdooEnvironment>,
    /// The status that this process wrote last, as the API server took it, and the version of the object with it.
    told: Option<(OdooEnvironmentStatus, String)>,
    /// What came of its last operation.
    pub evidence: Option<Evidence>,
    keys: Keys,
}

/// By what others find an environment.
#[derive(Debug, Clone, PartialEq)]
struct Keys {
    uid: String,
    customer: String,
    template: String,
    release: Option<String>,
    hosts: BTreeSet<String>,
    objects: Vec<ObjectName>,
    group: (Option<Phase>, Placement),
    follower: Follower,
}

impl EnvironmentFact {
    fn new(object: Arc<OdooEnvironment>, known: Option<&Self>) -> Self {
        let same = known.filter(|known| known.object.metadata.uid == object.metadata.uid);
        let mut fact = Self {
            told: same.and_then(|known| known.told.clone()),
            evidence: same.and_then(|known| known.evidence.clone()),
            keys: Keys::of(&object, &OdooEnvironmentStatus::default()),
            object,
        };
        fact.keys = Keys::of(&fact.object, fact.status());
        fact
    }

    /// The status that counts: the one that was written last, or else the one that the object brings.
    pub fn status(&self) -> &OdooEnvironmentStatus {
        static NONE: std::sync::LazyLock<OdooEnvironmentStatus> =
            std::sync::LazyLock::new(OdooEnvironmentStatus::default);
        match &self.told {
            Some((told, _)) => told,
            None => self.object.status.as_ref().unwrap_or(&NONE),
        }
    }

    /// Whether somebody else has changed the status since it was written.
    fn is_tampered(&self) -> bool {
        let version = self.object.metadata.resource_version.as_deref().unwrap_or_default();
        self.told.as_ref().is_some_and(|(told, at)| !is_older(version, at) && self.object.status.as_ref() != Some(told))
    }
}

impl Keys {
    fn of(object: &OdooEnvironment, status: &OdooEnvironmentStatus) -> Self {
        let spec = &object.spec;
        let placement = spec.placement.unwrap_or_default();
        // What runs at the customer's claims nothing here.
        let here = placement == Placement::Cluster;
        let mut all = hosts(spec);
        all.extend(status.hosts.iter().cloned());
        let release = names(spec).ok().map(|(_, release)| release);
        let generated =
            release.as_ref().map(|release| ObjectName { kind: ObjectKind::Secret, name: generated_secret(release) });
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            customer: spec.customer_ref.name.clone(),
            template: spec.template_ref.name.clone(),
            release: release.map(|release| release.as_str().to_owned()),
            hosts: if here { all.into_iter().collect() } else { BTreeSet::new() },
            objects: named_objects(spec).into_iter().chain(generated).collect(),
            group: (status.phase, placement),
            follower: Follower::read(object, status, &spec.template_ref.name),
        }
    }
}

/// All of an environment that a look reads, but its status.
fn asks(environment: &OdooEnvironment) -> impl PartialEq {
    let meta = &environment.metadata;
    (
        meta.uid.clone(),
        meta.generation,
        meta.deletion_timestamp.clone(),
        meta.annotations.clone(),
        meta.labels.clone(),
        meta.finalizers.clone(),
    )
}

fn name(environment: &OdooEnvironment) -> String {
    environment.metadata.name.clone().unwrap_or_default()
}

impl Fleet {
    pub(super) fn apply_environments(&mut self, delta: Delta<Arc<OdooEnvironment>>, affected: &mut Affected) {
        match delta {
            Delta::All(list) => {
                let listed: BTreeSet<String> = list.iter().map(|environment| name(environment)).collect();
                let known = self.environments.keys().filter(|known| !listed.contains(*known));
                // A list leaves out what cannot be read; that is not gone.
                let gone: Vec<String> =
                    known.filter(|known| !self.is_unreadable(Kind::Environment, known)).cloned().collect();
                for name in &gone {
                    self.set_environment(name, None, affected);
                }
                for environment in list {
                    self.set_environment(&name(&environment), Some(environment), affected);
                }
            }
            Delta::Applied(environment) => self.set_environment(&name(&environment), Some(environment), affected),
            Delta::Deleted(environment) => self.set_environment(&name(&environment), None, affected),
            Delta::Forgotten(name) => self.set_environment(&name, None, affected),
        }
    }

    /// Notes the status that was written just now: `object` is what the API server answered.
    pub fn note_told(&mut self, object: Arc<OdooEnvironment>) -> Affected {
        let mut affected = Affected::default();
        let name = name(&object);
        let told = object.status.clone().unwrap_or_default();
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        if let Some(known) = self
            .environments
            .get_mut(&name)
            .filter(|known| known.keys.uid == object.metadata.uid.clone().unwrap_or_default())
        {
            known.told = Some((told, version));
            self.set_environment(&name, Some(object), &mut affected);
        }
        affected
    }

    /// Keeps what came of an environment's operation. All who claim the release may have waited for its end.
    pub fn note_evidence(&mut self, environment: &str, evidence: Evidence) -> Affected {
        if let Some(known) = self.environments.get_mut(environment) {
            known.evidence = Some(evidence);
        }
        let mut affected = Affected::environment(environment);
        let release = self.environments.get(environment).and_then(|known| known.keys.release.as_ref());
        affected.environments.extend(release.into_iter().flat_map(|release| self.by_release.of(release)).cloned());
        affected
    }

    fn set_environment(&mut self, name: &str, object: Option<Arc<OdooEnvironment>>, affected: &mut Affected) {
        let before = self.environments.remove(name);
        let newer = |known: &EnvironmentFact, object: &OdooEnvironment| {
            super::is_outdated(&object.metadata, &known.object.metadata)
        };
        let after = object.map(|object| match &before {
            // What the API server answered to a write can be newer than what a watch still has to tell.
            Some(known) if newer(known, &object) => known.clone(),
            known => EnvironmentFact::new(object, known.as_ref()),
        });
        let owned = name.to_owned();
        let keys = |fact: &Option<EnvironmentFact>| fact.as_ref().map(|fact| fact.keys.clone());
        let (old, new) = (keys(&before), keys(&after));
        if old != new {
            if let Some(old) = &old {
                self.unindex(&owned, old);
            }
            if let Some(new) = &new {
                self.index(&owned, new);
            }
            self.tell_others(&owned, old.as_ref(), new.as_ref(), affected);
        }
        if after.is_none() && before.is_some() {
            self.drift.remove(name);
            // What is kept of it elsewhere is forgotten by a look that finds nothing.
            affected.environments.insert(owned.clone());
        }
        if let Some(after) = after {
            if let Some(at) = taken_down_at(after.status()) {
                self.stops.note_taken_down(&after.keys.uid, at);
            }
            let same = before.as_ref().is_some_and(|before| asks(&before.object) == asks(&after.object));
            if !same || after.is_tampered() {
                affected.environments.insert(owned.clone());
            }
            self.environments.insert(owned, after);
        }
    }

    fn index(&mut self, name: &String, keys: &Keys) {
        self.by_uid.insert(keys.uid.clone(), name.clone());
        let own = self.by_customer.entry(keys.customer.clone()).or_default();
        own.names.insert(name.clone());
        own.count(keys.group, true);
        if let Some(release) = &keys.release {
            self.by_release.add(release, name);
        }
        keys.hosts.iter().for_each(|host| self.by_host.add(host, name));
        keys.objects.iter().for_each(|object| self.by_object.add(object, name));
        let follower = self.with_windows(&keys.follower);
        self.templates.entry(keys.template.clone()).or_default().followers.upsert(name, follower);
    }

    fn unindex(&mut self, name: &String, keys: &Keys) {
        self.by_uid.remove(&keys.uid);
        if let Some(own) = self.by_customer.get_mut(&keys.customer) {
            own.names.remove(name);
            own.count(keys.group, false);
            if own.names.is_empty() {
                self.by_customer.remove(&keys.customer);
            }
        }
        if let Some(release) = &keys.release {
            self.by_release.remove(release, name);
        }
        keys.hosts.iter().for_each(|host| self.by_host.remove(host, name));
        keys.objects.iter().for_each(|object| self.by_object.remove(object, name));
        if let Some(template) = self.templates.get_mut(&keys.template) {
            template.followers.remove(name);
            if template.is_empty() {
                self.templates.remove(&keys.template);
            }
        }
    }

    /// Tells templates of the windows that a customer has given to its environments.
    pub(super) fn renew_windows(&mut self, customer: &str, affected: &mut Affected) {
        let names: Vec<String> = self.environments_of(customer).cloned().collect();
        for name in names {
            let Some(keys) = self.environments.get(&name).map(|known| &known.keys) else { continue };
            let (template, follower) = (keys.template.clone(), self.with_windows(&keys.follower));
            if self.templates.get_mut(&template).is_some_and(|known| known.followers.upsert(&name, follower)) {
                affected.environments.insert(name);
                affected.templates.insert(template);
            }
        }
    }

    /// Whoever counts an environment, and whoever claims the same name or host, or waits for its customer's limit.
    fn tell_others(&self, name: &String, old: Option<&Keys>, new: Option<&Keys>, affected: &mut Affected) {
        let counted = |keys: Option<&Keys>| keys.map(|keys| (keys.customer.clone(), keys.group));
        let claimed = |keys: Option<&Keys>| keys.map(|keys| (keys.hosts.clone(), keys.release.clone()));
        let followed = |keys: Option<&Keys>| keys.map(|keys| (keys.template.clone(), keys.follower.clone()));
        for keys in [old, new].into_iter().flatten() {
            if counted(old) != counted(new) {
                affected.customers.insert(keys.customer.clone());
            }
            if followed(old) != followed(new) {
                affected.templates.insert(keys.template.clone());
            }
            if claimed(old) != claimed(new) {
                let rivals = keys.hosts.iter().flat_map(|host| self.by_host.of(host));
                let rivals = rivals.chain(keys.release.iter().flat_map(|release| self.by_release.of(release)));
                affected.environments.extend(rivals.filter(|rival| *rival != name).cloned());
                keys.release.iter().for_each(|release| self.note_claim(release, affected));
            }
            if old.is_none() != new.is_none() {
                let waits = |other: &&String| {
                    let known = self.environments.get(*other);
                    known.is_some_and(|known| known.status().reason == Some(Reason::LimitExceeded))
                };
                affected.environments.extend(self.environments_of(&keys.customer).filter(waits).cloned());
            }
        }
    }

    /// An environment.
    pub fn environment(&self, name: &str) -> Option<&EnvironmentFact> {
        self.environments.get(name)
    }

    /// All environments.
    pub fn environments(&self) -> impl Iterator<Item = &EnvironmentFact> {
        self.environments.values()
    }

    /// Names of the environments that claim a release.
    pub fn claimants(&self, release: &str) -> Vec<String> {
        self.by_release.of(&release.to_owned()).cloned().collect()
    }

    /// How many of these environments keep what they refer to, and what goes since a moment, from going. Those that were made
    /// later and have nothing yet do not.
    pub(super) fn holders<'a>(&self, names: impl Iterator<Item = &'a String>, since: &Time) -> usize {
        let holds = |name: &&String| {
            let Some(known) = self.environments.get(*name) else { return false };
            let created =
                known.object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            let status = known.status();
            let installed = status.release.is_some() || status.operation.is_some();
            created < since.0 || installed
        };
        names.filter(holds).count()
    }
}
