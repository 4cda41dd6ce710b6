//! What the watches brought, as small structs. Whole pods, workloads and Secrets are never kept.

mod certificates;
mod claims;
mod convert;
mod references;
mod releases;
mod running;
mod versions;
mod watch;

use std::collections::BTreeSet;

use parking_lot::Mutex;

pub use references::ReferenceIndex;
pub use releases::{RETAINED_HOSTS, ReleaseIndex, Retained};
pub use running::RunningIndex;
pub use versions::{StoredVersion, VersionIndex};
pub use watch::{Writers, start};

/// Everything that the watches brought.
#[derive(Default)]
pub struct Index {
    /// Helm releases.
    pub releases: ReleaseIndex,
    /// Workloads, pods, ports and volumes.
    pub running: RunningIndex,
    /// Secrets and ConfigMaps that may be referred to.
    pub references: ReferenceIndex,
    /// Certificates.
    pub certificates: certificates::CertificateIndex,
    /// Which environments claim which release.
    pub claims: claims::ClaimIndex,
    /// Template versions.
    pub versions: VersionIndex,
    /// Watches that have not brought everything yet.
    pub awaited: Awaited,
}

/// Watches that have not brought everything yet.
#[derive(Default)]
pub struct Awaited {
    names: Mutex<BTreeSet<&'static str>>,
    changed: tokio::sync::Notify,
}

impl Awaited {
    /// Adds a watch.
    pub fn expect(&self, name: &'static str) {
        self.names.lock().insert(name);
    }

    /// Notes that a watch has brought everything.
    pub fn arrived(&self, name: &'static str) {
        if self.names.lock().remove(name) {
            self.changed.notify_waiters();
        }
    }

    /// The watches that are waited for.
    pub fn names(&self) -> Vec<&'static str> {
        self.names.lock().iter().copied().collect()
    }

    /// Returns when every watch has brought everything once.
    pub async fn all(&self) {
        loop {
            let changed = self.changed.notified();
            if self.names.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }
}
