//! Releases that nobody claims: what their records say of the charts that they were made from.

use std::collections::{BTreeSet, HashMap};

use odoofleet_api::template::{UnmanagedRelease, UnmanagedReleases};

use super::{Affected, Fleet};
use crate::record::RecordSummary;
use crate::release::{ReleaseStatus, Revision};

/// Releases that a status names.
const NAMED: usize = 100;

/// A record that is to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    /// Release.
    pub release: String,
    /// Revision.
    pub number: i64,
    /// Version of its Secret.
    pub resource_version: String,
}

/// Releases that somebody else installed, and what was read of their records.
#[derive(Debug, Default)]
pub(super) struct Records {
    foreign: BTreeSet<String>,
    known: HashMap<String, RecordKnown>,
}

/// What was read of a record: no summary if it cannot be read.
#[derive(Debug)]
struct RecordKnown {
    resource_version: String,
    summary: Option<RecordSummary>,
}

impl Fleet {
    /// Releases that somebody else installed, that live, and that no environment claims: with their newest revisions.
    fn unclaimed(&self) -> impl Iterator<Item = &Revision> {
        self.records.foreign.iter().filter_map(|name| {
            let newest = self.releases.get(name)?.history.newest()?;
            let goes = matches!(newest.status, ReleaseStatus::Uninstalling | ReleaseStatus::Uninstalled);
            let claimed = self.by_release.of(name).next().is_some();
            (!goes && !claimed).then_some(newest)
        })
    }

    /// Records of releases that nobody claims and that have not been read yet.
    pub fn unread_records(&self) -> Vec<RecordKey> {
        let unread = self.unclaimed().filter(|newest| {
            let known = self.records.known.get(&newest.release);
            known.is_none_or(|known| known.resource_version != newest.resource_version)
        });
        let key = |newest: &Revision| RecordKey {
            release: newest.release.clone(),
            number: newest.number,
            resource_version: newest.resource_version.clone(),
        };
        unread.map(key).collect()
    }

    /// Notes what a record says, or that it cannot be read.
    pub fn note_record(&mut self, key: RecordKey, summary: Option<RecordSummary>) -> Affected {
        if !self.releases.contains_key(&key.release) {
            return Affected::default();
        }
        self.records.known.insert(key.release, RecordKnown { resource_version: key.resource_version, summary });
        self.all_templates()
    }

    /// The live releases of a chart that nobody claims. None where there are none.
    pub(super) fn unmanaged(&self, chart: &str) -> Option<UnmanagedReleases> {
        let mut items: Vec<UnmanagedRelease> = self
            .unclaimed()
            .filter_map(|newest| {
                let summary = self.records.known.get(&newest.release)?.summary.as_ref()?;
                (summary.chart == chart).then(|| UnmanagedRelease {
                    name: newest.release.clone(),
                    revision: newest.number,
                    status: newest.status.as_str().to_owned(),
                    chart_version: summary.chart_version.clone(),
                })
            })
            .collect();
        if items.is_empty() {
            return None;
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        let total = i32::try_from(items.len()).unwrap_or(i32::MAX);
        items.truncate(NAMED);
        Some(UnmanagedReleases { total, items })
    }

    /// Notes whether somebody else installed a release. Nobody knows of whose chart it is, so all templates look at what they tell.
    pub(super) fn note_foreign(&mut self, release: &str, affected: &mut Affected) {
        let newest = self.releases.get(release).and_then(|release| release.history.newest());
        let is_foreign = newest.is_some_and(|newest| !newest.ownership.is_ours());
        let was_foreign = self.records.foreign.contains(release);
        if is_foreign {
            self.records.foreign.insert(release.to_owned());
        } else if was_foreign {
            self.records.foreign.remove(release);
            self.records.known.remove(release);
        }
        if was_foreign || is_foreign {
            affected.templates.extend(self.all_templates().templates);
        }
    }

    /// A release is claimed, or no longer.
    pub(super) fn note_claim(&self, release: &str, affected: &mut Affected) {
        if self.records.foreign.contains(release) {
            affected.templates.extend(self.all_templates().templates);
        }
    }

    fn all_templates(&self) -> Affected {
        let known = self.templates.iter().filter(|(_, known)| known.object.is_some());
        Affected { templates: known.map(|(name, _)| name.clone()).collect(), ..Affected::default() }
    }
}
