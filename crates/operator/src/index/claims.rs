//! Which environments claim which release.

use std::collections::{BTreeSet, HashMap};

use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_core::environment::references::names;
use parking_lot::RwLock;

/// Environments by the release that they claim. The claim is immutable, so only births and deaths count.
#[derive(Default)]
pub struct ClaimIndex(RwLock<HashMap<String, BTreeSet<String>>>);

impl ClaimIndex {
    /// Takes in an environment.
    pub fn apply(&self, environment: &OdooEnvironment) {
        let Ok((_, release)) = names(&environment.spec) else { return };
        let mut all = self.0.write();
        all.entry(release.as_str().to_owned()).or_default().insert(environment.name_any());
    }

    /// Forgets an environment.
    pub fn remove(&self, environment: &OdooEnvironment) {
        let Ok((_, release)) = names(&environment.spec) else { return };
        let mut all = self.0.write();
        if let Some(claimants) = all.get_mut(release.as_str()) {
            claimants.remove(&environment.name_any());
            if claimants.is_empty() {
                all.remove(release.as_str());
            }
        }
    }

    /// Environments that claim a release.
    pub fn of(&self, release: &str) -> Vec<String> {
        self.0.read().get(release).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }
}
