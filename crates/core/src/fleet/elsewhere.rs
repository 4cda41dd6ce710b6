//! Hosts that environments of other namespaces were given: a host leads to one environment of the cluster.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::Placement;

use super::{Affected, Delta, EnvironmentFact, Fleet, Index};
use crate::environment::references::hosts;

/// What an environment of another namespace was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostClaim {
    namespace: String,
    hosts: Vec<String>,
    /// By this the older of two is known: when it was made, and its UID.
    age: (Timestamp, String),
}

impl HostClaim {
    /// What an environment was given: an operator says so in its status. What only stands in a spec counts for nothing, or whoever may
    /// write in a namespace that no operator looks after could keep a host from everybody.
    pub fn of(environment: &OdooEnvironment) -> Self {
        let here = environment.spec.placement.unwrap_or_default() == Placement::Cluster;
        let given = environment.status.iter().filter(|_| here).flat_map(|status| &status.hosts);
        Self {
            namespace: environment.metadata.namespace.clone().unwrap_or_default(),
            hosts: given.cloned().collect(),
            age: age(environment),
        }
    }
}

fn age(environment: &OdooEnvironment) -> (Timestamp, String) {
    let created = environment.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0);
    (created, environment.metadata.uid.clone().unwrap_or_default())
}

/// Claims by namespace and name, and who holds a host.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    claims: HashMap<String, HostClaim>,
    by_host: Index<String, String>,
}

impl Fleet {
    pub(super) fn apply_elsewhere(&mut self, delta: Delta<(String, HostClaim)>, affected: &mut Affected) {
        match delta {
            Delta::All(list) => {
                let mut fresh: HashMap<String, HostClaim> = list.into_iter().collect();
                let known: Vec<String> = self.elsewhere.claims.keys().cloned().collect();
                for key in known {
                    let claim = fresh.remove(&key);
                    self.set_elsewhere(&key, claim, affected);
                }
                for (key, claim) in fresh {
                    self.set_elsewhere(&key, Some(claim), affected);
                }
            }
            Delta::Applied((key, claim)) => self.set_elsewhere(&key, Some(claim), affected),
            Delta::Deleted((key, _)) | Delta::Forgotten(key) => self.set_elsewhere(&key, None, affected),
        }
    }

    fn set_elsewhere(&mut self, key: &String, claim: Option<HostClaim>, affected: &mut Affected) {
        let Elsewhere { claims, by_host } = &mut self.elsewhere;
        let now = claim.as_ref().map(|claim| claim.hosts.clone()).unwrap_or_default();
        let before = match claim {
            Some(claim) => claims.insert(key.clone(), claim),
            None => claims.remove(key),
        };
        let before = before.map(|claim| claim.hosts).unwrap_or_default();
        if before == now {
            return;
        }
        for host in &before {
            by_host.remove(host, key);
        }
        for host in &now {
            by_host.add(host, key);
        }
        let claimants = before.iter().chain(&now).flat_map(|host| self.by_host.of(host));
        affected.environments.extend(claimants.cloned());
    }

    /// Hosts of an environment that another namespace's was given, and this one was not, or later.
    pub(super) fn hosts_elsewhere(&self, fact: &EnvironmentFact) -> BTreeMap<String, String> {
        let environment = &fact.object;
        let own_age = age(environment);
        let mut held = BTreeMap::new();
        for host in hosts(&environment.spec) {
            let given = fact.status().hosts.contains(&host);
            let claims = self.elsewhere.by_host.of(&host).filter_map(|key| self.elsewhere.claims.get(key));
            let holder = claims.into_iter().find(|claim| !given || claim.age < own_age);
            held.extend(holder.map(|claim| (host.clone(), claim.namespace.clone())));
        }
        held
    }
}
