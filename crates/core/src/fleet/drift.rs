//! Looks for drift: which go on, and what they found.

use jiff::Timestamp;

use super::{Affected, Fleet};
use crate::environment::drift::{DriftFacts, DriftFound, PAUSE, everything_after};
use crate::environment::references::names;

/// What is kept of an environment's looks for drift.
#[derive(Debug, Clone, Default)]
pub(super) struct DriftKnown {
    looking: bool,
    found: Option<DriftFound>,
    everything_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
}

impl Fleet {
    /// What is known of an environment's drift.
    pub(super) fn drift_of(&mut self, environment: &str, uid: &str, release: &str, now: Timestamp) -> DriftFacts {
        let known = self.drift.entry(environment.to_owned()).or_default();
        let everything_at = *known.everything_at.get_or_insert_with(|| everything_after(now, uid));
        let DriftKnown { looking, found, not_before, .. } = known.clone();
        DriftFacts { suspects: self.seen.suspects(release), looking, found, everything_at, not_before }
    }

    /// Notes that a worker looks. False if one does already.
    pub fn begin_drift(&mut self, environment: &str) -> bool {
        let Some(release) = self.release_of(environment) else { return false };
        let known = self.drift.entry(environment.to_owned()).or_default();
        if std::mem::replace(&mut known.looking, true) {
            return false;
        }
        self.seen.take_suspects(&release);
        true
    }

    /// Keeps what a look found; nothing if it failed: then everything is looked at, after a pause. `everything` says that all objects
    /// were looked at.
    pub fn end_drift(
        &mut self,
        environment: &str,
        found: Option<DriftFound>,
        everything: bool,
        now: Timestamp,
    ) -> Affected {
        let Some(fact) = self.environments.get(environment) else {
            self.drift.remove(environment);
            return Affected::default();
        };
        let uid = fact.object.metadata.uid.clone().unwrap_or_default();
        let known = self.drift.entry(environment.to_owned()).or_default();
        known.looking = false;
        if let Some(found) = found {
            known.not_before = None;
            known.found = Some(found);
            if everything {
                known.everything_at = Some(everything_after(now, &uid));
            }
        } else {
            (known.not_before, known.everything_at) = (Some(now + PAUSE), Some(now + PAUSE));
        }
        Affected::environment(environment)
    }

    /// What was found is put right.
    pub fn note_corrected(&mut self, environment: &str) {
        if let Some(found) = self.drift.get_mut(environment).and_then(|known| known.found.as_mut()) {
            found.differences.clear();
        }
    }

    fn release_of(&self, environment: &str) -> Option<String> {
        let fact = self.environments.get(environment)?;
        names(&fact.object.spec).ok().map(|(_, release)| release.as_str().to_owned())
    }
}
