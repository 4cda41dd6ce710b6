//! The facts for a look at one environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::DeletionPolicy;
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadKind;

use super::{Fleet, Kind};
use crate::customer::applies_to;
use crate::environment::brake::Cause;
use crate::environment::facts::GeneratedSecret;
use crate::environment::references::{
    HeldVersion, ObjectKind, ObjectName, ReferencedObject, References, VersionView, named_objects, names,
};
use crate::environment::validate::generated_secret;
use crate::environment::{BrakeHold, Facts, scaling};
use crate::finding::Finding;
use crate::observed::Running;
use crate::task::Task;
use crate::template::{StoredVersion, Why};

/// The version that an environment should hold, before its chart was loaded.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The version.
    pub stored: StoredVersion,
    /// Why a newer one has not come yet, and until when.
    pub waits_for: Option<Why>,
}

/// What has to be looked up outside before an environment's facts are whole.
#[derive(Debug, Clone)]
pub struct Look {
    /// The object.
    pub environment: Arc<OdooEnvironment>,
    /// The version to load, or why there is none.
    pub version: Result<Choice, Finding>,
    /// Objects that it names and no watch sees: they are missing, or lack a label.
    pub unseen: Vec<ObjectName>,
    /// Whether somebody ran Helm by hand and it is not known what we applied last.
    pub lacks_applied: bool,
}

impl Look {
    /// Whether what was looked up for one holds for the other. Only what decides it counts: an object that is edited all the
    /// time could not be looked at at all if each edit began it anew.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.asks() == other.asks()
    }

    fn asks(&self) -> impl PartialEq {
        let environment = &self.environment;
        let version = match &self.version {
            Ok(Choice { stored, waits_for }) => Ok((&environment.spec.template_ref, &stored.digest, waits_for)),
            Err(finding) => Err(finding),
        };
        let is_deleted = environment.metadata.deletion_timestamp.is_some();
        (&environment.metadata.uid, version, &self.unseen, is_deleted)
    }
}

impl Fleet {
    /// Begins a look: what has to be looked up outside. None if the environment is gone.
    pub fn look(&self, name: &str, now: Timestamp) -> Option<Look> {
        // What stands in a spec that cannot be read is not known: it is left as it is.
        let fact = self.environments.get(name).filter(|_| !self.is_unreadable(Kind::Environment, name))?;
        let environment = Arc::clone(&fact.object);
        let version = self
            .choose_version(&environment, fact.status(), now)
            .map(|(stored, waits_for)| Choice { stored, waits_for });
        let unseen =
            named_objects(&environment.spec).into_iter().filter(|object| self.object(object).is_none()).collect();
        let history = names(&environment.spec).map(|(_, release)| self.history(release.as_str())).unwrap_or_default();
        let by_hand = history.newest().is_some_and(|newest| {
            newest.ownership.belongs_to_environment(&environment) && newest.ownership.revision != Some(newest.number)
        });
        Some(Look { environment, version, unseen, lacks_applied: by_hand && history.applied().is_none() })
    }

    /// The facts about an environment. `version` is the loaded one, `unseen` what was found of objects that no watch sees.
    /// Where it is to be taken down without anybody having asked for it by name, its turn is taken here.
    pub fn facts(
        &mut self,
        name: &str,
        version: Result<VersionView, Finding>,
        unseen: BTreeMap<ObjectName, ReferencedObject>,
        task: Option<Task>,
        is_orphaned: bool,
        now: Timestamp,
    ) -> Option<Facts> {
        let fact = self.environments.get(name)?.clone();
        let environment = Arc::clone(&fact.object);
        let status = fact.status().clone();
        let customer = &environment.spec.customer_ref.name;
        let release = names(&environment.spec).ok().map(|(_, release)| release);
        let history = release.as_ref().map(|release| self.history(release.as_str())).unwrap_or_default();
        let mut objects = self.named(&named_objects(&environment.spec));
        for (name, object) in unseen {
            objects.entry(name).or_insert(object);
        }
        let chart = version.as_ref().ok().map(|version| version.content.chart_digest.clone());
        let customer_view = self.customer_view(customer);
        let limited = customer_view.as_ref().is_some_and(|customer| customer.max_environments.is_some());
        let references = References {
            version,
            held: HeldVersion::of_release(&status, history.newest().map(|newest| &newest.ownership)),
            release: history.newest().map(|newest| newest.ownership.clone()),
            objects,
            rivals: self.rivals(&fact),
            rank_in_customer: if limited && history.is_empty() { self.rank_in_customer(&fact) } else { 0 },
            hosts_elsewhere: self.hosts_elsewhere(&fact),
            allowed_git_hosts: self.settings.allowed_git_hosts.clone(),
            allowed_domains: self.settings.allowed_domains.clone(),
            namespace: self.settings.namespace.clone(),
            unreadable_customer: self.is_unreadable(Kind::Customer, customer),
            customer: customer_view,
        };
        // What runs of another's release is nobody else's to see.
        let own = history.newest().is_none_or(|newest| newest.ownership.may_belong_to(&environment));
        let running = release.as_ref().filter(|_| own).map(|release| self.running_of(release.as_str(), &environment));
        let uid = environment.metadata.uid.clone().unwrap_or_default();
        let drift = release.as_ref().map(|release| self.drift_of(name, &uid, release.as_str(), now));
        let mut facts = Facts {
            drift: drift.unwrap_or_default(),
            held_plan: self.held_plan(&environment, &status),
            generated_secret: release
                .as_ref()
                .and_then(|release| self.generated(&generated_secret(release), &environment)),
            has_upgrade_hooks: chart.is_some_and(|chart| self.has_upgrade_hooks(&chart)),
            running: running.unwrap_or_default(),
            evidence: fact.evidence.clone(),
            before: status,
            brake: None,
            obstacle: None,
            fence: self.settings.fence,
            node_address: self.settings.node_address.clone(),
            environment,
            references,
            history,
            task,
            is_orphaned,
        };
        facts.brake = self.brake(&facts, now);
        Some(facts)
    }

    fn running_of(&self, release: &str, environment: &OdooEnvironment) -> Running {
        let mut running = self.running.of(release, environment.metadata.uid.as_deref().unwrap_or_default());
        for certificate in &mut running.certificates {
            certificate.found = self.certificates.get(&certificate.secret).cloned();
        }
        running
    }

    /// What somebody else put under its name is not it.
    fn generated(&self, name: &str, environment: &OdooEnvironment) -> Option<GeneratedSecret> {
        let object = ObjectName { kind: ObjectKind::Secret, name: name.to_owned() };
        match self.object(&object)? {
            ReferencedObject::Found { customer, generated_for, generated_uid, .. }
                if customer.as_ref() == Some(&environment.spec.customer_ref.name)
                    && *generated_for == environment.metadata.name =>
            {
                Some(GeneratedSecret { uid: generated_uid.clone() })
            }
            _ => None,
        }
    }

    /// Whether taking an environment down has to wait, where nobody asked for it by this environment's own name.
    fn brake(&mut self, facts: &Facts, now: Timestamp) -> Option<BrakeHold> {
        let spec = &facts.environment.spec;
        let is_up = scaling::is_up(&facts.running, &facts.held_plan);
        let by_customer = || {
            let stop = facts.references.customer.as_ref().and_then(|customer| customer.stop.as_ref());
            spec.replicas > 0 && stop.is_some_and(|stop| applies_to(stop, spec.stage))
        };
        let cause = if facts.is_deleting() {
            let takes_down = match spec.deletion_policy.unwrap_or_default() {
                DeletionPolicy::Retain => is_up,
                DeletionPolicy::Delete => !facts.history.is_empty(),
                DeletionPolicy::Orphan => false,
            };
            (takes_down && !facts.is_orphaned).then_some(Cause::Deletion)
        } else if facts.is_left_alone() {
            None
        } else {
            (is_up && by_customer()).then_some(Cause::Customer)
        };
        let vouched =
            facts.is_deleting() && facts.annotation(labels::ALLOW_DELETION).map(String::as_str) == Some(facts.name());
        let fleet = self.environments.len();
        self.stops.take_down((facts.uid(), facts.name()), cause?, vouched, fleet, now)
    }

    /// Notes a scaling that the API server has accepted, before the watch tells of it.
    pub fn note_scaled(
        &mut self,
        workload: &(WorkloadKind, String),
        replicas: i32,
        remember: Option<i32>,
        version: &str,
    ) {
        self.running.note_scaled(workload, replicas, remember, version);
        let kind = match workload.0 {
            WorkloadKind::Deployment => "Deployment.apps",
            WorkloadKind::StatefulSet => "StatefulSet.apps",
        };
        self.seen.note_own(kind, &workload.1, version);
    }

    /// Notes that a pod of a release was told to go, before the watch tells of it.
    pub fn note_pod_deleted(&mut self, release: &str, uid: &str) {
        self.running.note_pod_deleted(release, uid);
    }

    /// How many environments there are.
    pub fn len(&self) -> usize {
        self.environments.len()
    }

    /// Whether there is no environment.
    pub fn is_empty(&self) -> bool {
        self.environments.is_empty()
    }
}
