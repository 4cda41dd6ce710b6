//! What is known of charts, and which of them versions need.

use super::{Affected, Delta, Fleet, absorb};
use crate::template::StoredVersion;

impl Fleet {
    pub(super) fn apply_template_versions(&mut self, delta: Delta<(String, StoredVersion)>, affected: &mut Affected) {
        let key = |(template, stored): (String, StoredVersion)| ((template, stored.content.version.clone()), stored);
        let delta = match delta {
            Delta::All(list) => Delta::All(list.into_iter().map(key).collect()),
            Delta::Applied(one) => Delta::Applied(key(one)),
            Delta::Deleted(one) => Delta::Deleted(key(one)),
            Delta::Forgotten(name) => Delta::Forgotten(name),
        };
        let changed = absorb(&mut self.versions, delta);
        for (template, version) in changed {
            if let Some(stored) = self.version(&template, &version).cloned() {
                self.versions_of.add(&template, &version);
                if let Some(has_upgrade_hooks) = stored.has_upgrade_hooks {
                    self.note_hooks(&stored.content.chart_digest, has_upgrade_hooks);
                }
            } else {
                self.versions_of.remove(&template, &version);
                affected.charts = true;
            }
            // Not before a version is there can a follower hold it; and one that is pinned waits for its name.
            affected.environments.extend(self.waiting_for(&template, &version));
            self.frame(&template);
            affected.templates.insert(template);
        }
    }

    /// A version of a template.
    pub fn version(&self, template: &str, version: &str) -> Option<&StoredVersion> {
        self.versions.get(&(template.to_owned(), version.to_owned()))
    }

    /// A template's versions, newest first.
    pub fn versions_of(&self, template: &str) -> Vec<&StoredVersion> {
        let own = self.versions_of.of(template);
        let mut all: Vec<&StoredVersion> = own.filter_map(|version| self.version(template, version)).collect();
        all.sort_by(|a, b| (b.created_at, &b.content.version).cmp(&(a.created_at, &a.content.version)));
        all
    }

    /// Keeps whether a chart has hooks that run at an upgrade. Values may turn some off: one release that has them is enough.
    pub fn note_hooks(&mut self, chart_digest: &str, has_upgrade_hooks: bool) {
        *self.chart_hooks.entry(chart_digest.to_owned()).or_default() |= has_upgrade_hooks;
    }

    /// Whether a chart may have hooks that run at an upgrade: of one of which nobody has said so yet, it is assumed.
    pub fn has_upgrade_hooks(&self, chart_digest: &str) -> bool {
        self.chart_hooks.get(chart_digest).copied().unwrap_or(true)
    }
}
