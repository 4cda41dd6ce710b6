//! Helm releases, by the labels of their Secrets.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use odoofleet_core::release::{History, Revision};
use parking_lot::RwLock;

/// Annotation on a retained release: the hosts that stay reserved for its environment, joined by commas.
pub const RETAINED_HOSTS: &str = "odoofleet.dev/retained-hosts";

/// Releases by name.
#[derive(Default)]
pub struct ReleaseIndex(RwLock<HashMap<String, Known>>);

#[derive(Default)]
struct Known {
    history: History,
    retained_hosts: Vec<String>,
}

/// A retained release.
#[derive(Debug, Clone)]
pub struct Retained {
    /// Release.
    pub release: String,
    /// Its environment.
    pub environment: String,
    /// Its customer.
    pub customer: String,
    /// Hosts that stay reserved.
    pub hosts: Vec<String>,
}

/// Reads the metadata of a release Secret.
pub fn revision_of(secret: &PartialObjectMeta<Secret>) -> Option<Revision> {
    let created = secret.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Revision::from_labels(secret.labels(), created, secret.metadata.resource_version.as_deref().unwrap_or_default())
}

impl ReleaseIndex {
    /// Takes in a Secret. Returns the release that changed.
    pub fn apply(&self, secret: &PartialObjectMeta<Secret>) -> Option<String> {
        let revision = revision_of(secret)?;
        let release = revision.release.clone();
        let mut all = self.0.write();
        let known = all.entry(release.clone()).or_default();
        known.retained_hosts = hosts(secret.annotations());
        known.history.upsert(revision);
        Some(release)
    }

    /// Forgets a Secret. Returns the release that changed.
    pub fn remove(&self, secret: &PartialObjectMeta<Secret>) -> Option<String> {
        let revision = revision_of(secret)?;
        let mut all = self.0.write();
        if let Some(known) = all.get_mut(&revision.release) {
            known.history.remove(revision.number);
            if known.history.is_empty() {
                all.remove(&revision.release);
            }
        }
        Some(revision.release)
    }

    /// Forgets a revision that is not in the storage.
    pub fn forget(&self, release: &str, revision: i64) {
        let mut all = self.0.write();
        if let Some(known) = all.get_mut(release) {
            known.history.remove(revision);
            if known.history.is_empty() {
                all.remove(release);
            }
        }
    }

    /// Replaces everything. Returns all releases that were or are there.
    pub fn replace(&self, secrets: &[PartialObjectMeta<Secret>]) -> Vec<String> {
        let mut fresh: HashMap<String, Known> = HashMap::new();
        for secret in secrets {
            if let Some(revision) = revision_of(secret) {
                let known = fresh.entry(revision.release.clone()).or_default();
                known.retained_hosts = hosts(secret.annotations());
                known.history.upsert(revision);
            }
        }
        let mut all = self.0.write();
        let names = all.keys().chain(fresh.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
        *all = fresh;
        names.into_iter().collect()
    }

    /// The revisions of a release.
    pub fn history(&self, release: &str) -> History {
        self.0.read().get(release).map(|known| known.history.clone()).unwrap_or_default()
    }

    /// Retained releases.
    pub fn retained(&self) -> Vec<Retained> {
        let all = self.0.read();
        let retained = all.iter().filter_map(|(release, known)| {
            let ownership = &known.history.newest()?.ownership;
            ownership.retained_at?;
            Some(Retained {
                release: release.clone(),
                environment: ownership.environment.clone().unwrap_or_default(),
                customer: ownership.customer.clone().unwrap_or_default(),
                hosts: known.retained_hosts.clone(),
            })
        });
        retained.collect()
    }
}

fn hosts(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let hosts = annotations.get(RETAINED_HOSTS).map(String::as_str).unwrap_or_default();
    hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect()
}
