//! What the operator remembers of an environment between two looks. It can be lost: status and storage hold the same.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::OdooEnvironmentStatus;
use odoofleet_core::environment::brake::WINDOW;
use odoofleet_core::environment::judge::Report;
use parking_lot::Mutex;

/// Memory of all environments, by UID.
#[derive(Default)]
pub struct Memory {
    environments: Mutex<HashMap<String, Remembered>>,
    taken_down: Mutex<Vec<(String, Timestamp)>>,
    hooks: Mutex<HashMap<String, bool>>,
    without_check: Mutex<HashSet<String>>,
}

#[derive(Default)]
struct Remembered {
    /// The last status that was written, and when: the object in the cache may be older.
    status: Option<(OdooEnvironmentStatus, Instant)>,
    /// What a worker said last.
    report: Option<Report>,
}

impl Memory {
    /// The last status that was written, or else the one that the object brings.
    pub fn status(&self, environment: &OdooEnvironment) -> OdooEnvironmentStatus {
        let known = environment.metadata.uid.as_ref().and_then(|uid| self.written(uid));
        known.or_else(|| environment.status.clone()).unwrap_or_default()
    }

    fn written(&self, uid: &str) -> Option<OdooEnvironmentStatus> {
        self.environments.lock().get(uid)?.status.as_ref().map(|(status, _)| status.clone())
    }

    /// How long ago this process wrote the status last.
    pub fn since_status(&self, uid: &str) -> Option<Duration> {
        self.environments.lock().get(uid)?.status.as_ref().map(|(_, at)| at.elapsed())
    }

    /// Keeps a status that was written just now.
    pub fn keep_status(&self, uid: &str, status: OdooEnvironmentStatus) {
        self.environments.lock().entry(uid.to_owned()).or_default().status = Some((status, Instant::now()));
    }

    /// What a worker said last.
    pub fn report(&self, uid: &str) -> Option<Report> {
        self.environments.lock().get(uid)?.report.clone()
    }

    /// Keeps what a worker said.
    pub fn keep_report(&self, uid: &str, report: Report) {
        self.environments.lock().entry(uid.to_owned()).or_default().report = Some(report);
    }

    /// Forgets an environment.
    pub fn forget(&self, uid: &str) {
        self.environments.lock().remove(uid);
    }

    /// Whether an environment may be taken down: `admits` is asked with the UIDs of those that were within the window, and
    /// the answer is kept at once, so that two at a time cannot both be the last. One that is counted already goes on.
    pub fn take_down(&self, uid: &str, now: Timestamp, admits: impl FnOnce(&[String]) -> bool) -> bool {
        let mut taken = self.taken_down.lock();
        taken.retain(|(_, at)| now.duration_since(*at) < WINDOW.try_into().unwrap_or_default());
        if taken.iter().any(|(known, _)| known == uid) {
            return true;
        }
        let known: Vec<String> = taken.iter().map(|(known, _)| known.clone()).collect();
        let admitted = admits(&known);
        if admitted {
            taken.push((uid.to_owned(), now));
        }
        admitted
    }

    /// Whether a chart is known to have hooks.
    pub fn has_hooks(&self, chart_digest: &str) -> bool {
        self.hooks.lock().get(chart_digest).copied().unwrap_or_default()
    }

    /// Whether a chart may have a pod in which it tries its inputs: it has, or nobody has looked yet.
    pub fn has_check(&self, chart_digest: &str) -> bool {
        !self.without_check.lock().contains(chart_digest)
    }

    /// Keeps that a chart has no such pod.
    pub fn keep_without_check(&self, chart_digest: &str) {
        self.without_check.lock().insert(chart_digest.to_owned());
    }

    /// Keeps whether a chart has hooks.
    pub fn keep_hooks(&self, chart_digest: &str, hooks: bool) {
        self.hooks.lock().insert(chart_digest.to_owned(), hooks);
    }
}
