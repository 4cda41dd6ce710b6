//! Helm releases, by the labels of their Secrets.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Affected, Delta, Fleet, StoredRevision};
use crate::release::{History, LeftOut, Revision};

/// A release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Release {
    pub history: History,
    pub retained_hosts: Vec<String>,
    /// The objects that each revision's operation left out.
    pub left_out: BTreeMap<i64, BTreeMap<u64, LeftOut>>,
}

impl Release {
    /// Whether it is kept for an environment that is gone.
    pub fn is_retained(&self) -> bool {
        self.history.newest().is_some_and(|newest| newest.ownership.retained_at.is_some())
    }

    /// Takes what a newer state of a record says of its objects, and an older one does not.
    fn keep_left_out(&mut self, known: &Self) {
        for (number, left_out) in &mut self.left_out {
            if let Some(known) = known.left_out.get(number).filter(|_| left_out.is_empty()) {
                left_out.clone_from(known);
            }
        }
    }

    fn reserved_hosts(&self) -> &[String] {
        if self.is_retained() { &self.retained_hosts } else { &[] }
    }
}

impl Fleet {
    pub(super) fn apply_releases(&mut self, delta: Delta<StoredRevision>, affected: &mut Affected) {
        match delta {
            Delta::All(list) => {
                let mut fresh: BTreeMap<String, Release> = BTreeMap::new();
                for StoredRevision { revision, retained_hosts, left_out } in list {
                    let release = fresh.entry(revision.release.clone()).or_default();
                    release.retained_hosts = retained_hosts;
                    release.left_out.insert(revision.number, left_out);
                    release.history.upsert(revision);
                }
                let names: BTreeSet<String> = self.releases.keys().chain(fresh.keys()).cloned().collect();
                for name in names {
                    let mut release = fresh.remove(&name).unwrap_or_default();
                    if let Some(known) = self.releases.get(&name) {
                        release.history.remember(&known.history);
                        release.history.keep_newer(&known.history);
                        release.keep_left_out(known);
                    }
                    self.set_release(&name, release, affected);
                }
            }
            Delta::Applied(StoredRevision { revision, retained_hosts, left_out }) => {
                let name = revision.release.clone();
                let mut release = self.releases.get(&name).cloned().unwrap_or_default();
                release.retained_hosts = retained_hosts;
                release.left_out.insert(revision.number, left_out);
                release.history.upsert(revision);
                self.set_release(&name, release, affected);
            }
            Delta::Deleted(StoredRevision { revision, .. }) => self.forget_revision(&revision, affected),
            // A record that cannot be read is no record that is gone.
            Delta::Forgotten(_) => {}
        }
    }

    /// A revision is gone, or superseded: then it may still be the newest that we made.
    fn forget_revision(&mut self, revision: &Revision, affected: &mut Affected) {
        let Some(mut release) = self.releases.get(&revision.release).cloned() else { return };
        release.history.note_applied(revision);
        release.history.remove(revision.number);
        release.left_out.remove(&revision.number);
        self.set_release(&revision.release, release, affected);
    }

    /// Forgets a revision that is not in the storage.
    pub fn forget_number(&mut self, release: &str, number: i64) -> Affected {
        let mut affected = Affected::default();
        if let Some(mut known) = self.releases.get(release).cloned() {
            known.history.remove(number);
            known.left_out.remove(&number);
            self.set_release(release, known, &mut affected);
        }
        affected
    }

    /// How many releases are kept for environments that are gone.
    pub fn retained(&self) -> usize {
        self.releases.values().filter(|release| release.is_retained()).count()
    }

    /// Notes what a superseded revision holds, which no watch tells of.
    pub fn note_superseded(&mut self, revision: &Revision) -> Affected {
        let mut affected = Affected::default();
        if let Some(mut release) = self.releases.get(&revision.release).cloned() {
            release.history.note_applied(revision);
            self.set_release(&revision.release, release, &mut affected);
        }
        affected
    }

    fn set_release(&mut self, name: &str, release: Release, affected: &mut Affected) {
        let before = self.releases.get(name).cloned().unwrap_or_default();
        if before == release {
            return;
        }
        // Who was retained lately counts for the brake, though the object is gone.
        if let Some(ownership) = release.history.newest().map(|newest| &newest.ownership)
            && let (Some(uid), Some(second)) = (&ownership.environment_uid, ownership.retained_at)
            && let Ok(at) = Timestamp::from_second(second)
        {
            self.stops.note_taken_down(uid, at);
        }
        let owned = name.to_owned();
        for host in before.reserved_hosts() {
            self.retained_by_host.remove(host, &owned);
            affected.environments.extend(self.by_host.of(host).cloned());
        }
        for host in release.reserved_hosts() {
            self.retained_by_host.add(host, &owned);
            affected.environments.extend(self.by_host.of(host).cloned());
        }
        affected.environments.extend(self.by_release.of(&owned).cloned());
        if release.history.is_empty() {
            self.releases.remove(name);
            self.seen.forget_gone(name);
        } else {
            self.releases.insert(owned, release);
        }
        self.note_foreign(name, affected);
    }

    /// The revisions of a release.
    pub fn history(&self, release: &str) -> History {
        let mut history = self.releases.get(release).map(|known| known.history.clone()).unwrap_or_default();
        history.note_missed(self.missed(release));
        history
    }
}
