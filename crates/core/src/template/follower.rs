//! One environment, as its template's rollout sees it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use odoofleet_api::conditions::{ConditionType, Reason, find};
use odoofleet_api::environment::{Action, OdooEnvironmentStatus, Outcome, Phase, Placement, Stage, TemplateStatus};
use odoofleet_api::maintenance::MaintenanceWindow;
use odoofleet_api::{Object, OdooEnvironment};
use serde_json::Value;

use crate::digest;

/// What a template needs to know of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Follower {
    /// Its customer.
    pub customer: String,
    /// Its stage, and the hash of its UID; none if it names a version of its own, or is out of reach.
    pub seat: Option<(Stage, String)>,
    /// Its labels: some make it a canary.
    pub labels: BTreeMap<String, String>,
    /// Its windows, or its customer's; none if neither has any.
    pub windows: Option<Vec<MaintenanceWindow>>,
    /// Value paths that it sets itself.
    pub sets: BTreeSet<String>,
    /// Version that it names.
    pub pinned: Option<String>,
    /// Version that its release holds.
    pub held: Option<String>,
    /// Version that an operation brings now, or the last one brought or tried to bring.
    pub tried: Option<String>,
    /// Version with which it was installed, as far as it remembers.
    pub installed: Option<String>,
    /// Versions of its operations, as far as it remembers.
    pub known: BTreeSet<String>,
    /// Whether it is as it should be.
    pub well: bool,
    /// Since when it is, and since when nothing was done to it; none while it is stopped.
    pub well_since: Option<Timestamp>,
    /// Whether it waits for something of its own with the change that it may make: for its start, or a confirmation.
    pub parked: bool,
    /// Whether it is stopped: nobody works with it.
    pub asleep: bool,
    /// Whether it is in error, or waits for a person.
    pub ill: bool,
    /// Whether it is in error and nobody can work with it.
    pub down: bool,
    /// Whether the operator looks away from it.
    pub paused: bool,
    /// Version whose upgrade failed there last.
    pub failed: Option<String>,
}

/// How a follower stands to the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds it and is well.
    Arrived,
    /// It has begun to move.
    Arriving,
    /// It failed there.
    Failed,
    /// It has had its turn and waits for something of its own.
    Parked,
    /// The operator looks away from it.
    Apart,
    /// It was never on another version: it is being installed, which is no part of a rollout.
    New,
    /// It waits for its turn.
    Behind,
}

impl Follower {
    /// Reads an environment that refers to template `template`. Its windows are its own, if it has any.
    pub fn read(environment: &OdooEnvironment, status: &OdooEnvironmentStatus, template: &str) -> Self {
        let spec = &environment.spec;
        let here = spec.placement.unwrap_or_default() == Placement::Cluster;
        let pinned = spec.template_ref.version.clone();
        let follows = here && pinned.is_none() && environment.metadata.deletion_timestamp.is_none();
        let of_template = |of: &&TemplateStatus| of.name == template;
        let version = |of: &TemplateStatus| of.version.clone();
        let last =
            status.history.iter().find(|entry| !matches!(entry.action, Action::Start | Action::Stop | Action::Restart));
        let failed = last.filter(|last| last.outcome == Outcome::Failed).and_then(|last| last.template.as_ref());
        let asleep = status.phase == Some(Phase::Stopped);
        let condition = |type_| find(&status.conditions, type_).filter(|condition| condition.status == "True");
        let ready = condition(ConditionType::Ready).map(|ready| ready.last_transition_time.0);
        let ended = last.map(|last| last.ended_at.0);
        let stalled = condition(ConditionType::Stalled).map(|stalled| Reason::from(stalled.reason.as_str()));
        let stalled = stalled.is_some_and(|reason| reason != Reason::WindowNeverOpens);
        let parked = matches!(status.reason, Some(Reason::UpgradeAtStart | Reason::MajorUpgradeNotConfirmed));
        Self {
            customer: spec.customer_ref.name.clone(),
            seat: follows.then(|| {
                (spec.stage, digest::base32(environment.metadata.uid.as_deref().unwrap_or_default().as_bytes()))
            }),
            labels: environment.metadata.labels.clone().unwrap_or_default(),
            windows: spec.maintenance.clone().map(|maintenance| maintenance.windows),
            sets: own_paths(environment),
            pinned,
            held: status.template.as_ref().filter(of_template).map(version),
            tried: tried(status).filter(of_template).map(version),
            installed: status
                .history
                .iter()
                .filter(|entry| entry.action == Action::Install)
                .find_map(|entry| entry.template.as_ref())
                .filter(of_template)
                .map(version),
            known: status
                .history
                .iter()
                .filter_map(|entry| entry.template.as_ref())
                .filter(of_template)
                .map(version)
                .collect(),
            well: matches!(status.phase, Some(Phase::Running | Phase::Stopped | Phase::Offline)),
            well_since: ready.max(ended).filter(|_| !asleep && ready.is_some()),
            parked,
            asleep,
            ill: !parked && (status.phase == Some(Phase::Error) || stalled),
            down: status.phase == Some(Phase::Error) && condition(ConditionType::Available).is_none(),
            paused: spec.paused.unwrap_or_default(),
            failed: failed.filter(of_template).map(version),
        }
    }

    /// How it stands to a version.
    pub fn standing(&self, newest: &str) -> Standing {
        let is = |version: &Option<String>| version.as_deref() == Some(newest);
        let on_newest = is(&self.held);
        let is_new =
            self.held.is_none() || (on_newest && is(&self.installed) && self.known.iter().all(|known| known == newest));
        match () {
            () if on_newest && self.well => Standing::Arrived,
            () if self.paused => Standing::Apart,
            () if is_new => Standing::New,
            () if self.parked => Standing::Parked,
            () if is(&self.failed) || (on_newest && self.ill) => Standing::Failed,
            () if on_newest || is(&self.tried) => Standing::Arriving,
            () => Standing::Behind,
        }
    }

    /// Its windows, where it needs one: nobody works with what is stopped or down.
    pub fn needed_windows(&self) -> Option<Vec<MaintenanceWindow>> {
        if self.asleep || self.down { Some(Vec::new()) } else { self.windows.clone() }
    }
}

/// The version that an operation brings now, or the last one brought or tried to bring.
pub fn tried(status: &OdooEnvironmentStatus) -> Option<&TemplateStatus> {
    let last =
        status.history.iter().find(|entry| matches!(entry.action, Action::Install | Action::Check | Action::Upgrade));
    let now = status.operation.as_ref().and_then(|operation| operation.template.as_ref());
    now.or_else(|| last.and_then(|last| last.template.as_ref()))
}

/// Value paths that an environment sets, those of its image included.
fn own_paths(environment: &OdooEnvironment) -> BTreeSet<String> {
    let mut paths = leaves(&environment.spec.values);
    if environment.spec.image.is_some() {
        paths.insert("image".to_owned());
    }
    if environment.spec.resources.is_some() {
        paths.insert("resources".to_owned());
    }
    paths
}

/// Paths of the values that are no objects themselves, their keys joined by dots.
pub fn leaves(values: &Object) -> BTreeSet<String> {
    fn walk(prefix: &str, values: &Object, paths: &mut BTreeSet<String>) {
        for (key, value) in values {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Object(inner) if !inner.is_empty() => walk(&path, inner, paths),
                _ => drop(paths.insert(path)),
            }
        }
    }
    let mut paths = BTreeSet::new();
    walk("", values, &mut paths);
    paths
}

/// Whether some path is another's, or lies above or below it.
pub fn meet(some: &BTreeSet<String>, others: &BTreeSet<String>) -> bool {
    some.iter().any(|path| {
        let below = format!("{path}.");
        let above = path.match_indices('.').any(|(dot, _)| others.contains(&path[..dot]));
        above
            || others.contains(path)
            || others.range(below.clone()..).next().is_some_and(|other| other.starts_with(&below))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_environment_sets_itself_stands_before_what_lies_at_above_or_below_it() {
        let paths = |values: Value| leaves(values.as_object().unwrap());
        let template = paths(json!({ "image": { "tag": "2" }, "odoo": { "workers": 4 }, "list": [1] }));
        for (own, expected) in [
            (json!({ "image": { "tag": "1" } }), true),
            (json!({ "image": "all of it" }), true),
            (json!({ "odoo": { "workers": { "deep": 1 } } }), true),
            (json!({ "odoo": { "worker": 1 }, "imageTag": 1 }), false),
            (json!({}), false),
        ] {
            assert_eq!(meet(&paths(own.clone()), &template), expected, "{own}");
        }
    }
}
