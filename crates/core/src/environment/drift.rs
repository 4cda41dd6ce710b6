//! What somebody changes by hand in a release's objects: found, told, and put right where the spec says so.
//!
//! Watches of metadata say which objects somebody may have touched; a worker, which only reads, says what differs. What no watch tells
//! of is found by a look at everything, at a moment of its own for each environment. In sync, nothing is written.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{DriftDetection, DriftMode, ObjectDifference, OdooEnvironmentStatus};

use super::differences::named;
use super::facts::Facts;
use super::life::Life;
use super::step::{Plan, Step};
use crate::digest;
use crate::finding::Finding;
use crate::release::Revision;
use crate::task::HelmAction;

/// Everything is looked at so often.
const EVERYTHING: Duration = Duration::from_hours(6);
/// After a look that failed, the next one waits for so long.
pub const PAUSE: Duration = Duration::from_mins(1);
/// Objects that a message names.
const TOLD: usize = 3;

/// What is known of drift.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriftFacts {
    /// Objects that somebody may have touched since they were looked at, as `Deployment.apps/acme-prod-web`.
    pub suspects: BTreeSet<String>,
    /// Whether a worker looks just now.
    pub looking: bool,
    /// What the last look found.
    pub found: Option<DriftFound>,
    /// When everything is looked at next.
    pub everything_at: Timestamp,
    /// No look before then: the last one failed.
    pub not_before: Option<Timestamp>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftFound {
    /// The revision that was looked at.
    pub revision: i64,
    /// The rules by which.
    pub rules: DriftDetection,
    /// What differs. `removed` is what is missing.
    pub differences: Vec<ObjectDifference>,
}

/// When everything is looked at next, from the start of the operator or the last such look: spread over the fleet.
pub fn everything_after(moment: Timestamp, uid: &str) -> Timestamp {
    let spread =
        digest::base32(uid.as_bytes()).bytes().take(2).fold(0_u32, |sum, byte| sum * 32 + u32::from(byte % 32));
    moment + EVERYTHING / 2 + EVERYTHING / 2 * spread / 1024
}

/// The rules of an environment.
pub fn rules(facts: &Facts) -> DriftDetection {
    facts.environment.spec.drift_detection.clone().unwrap_or_default()
}

/// What was found of this revision by these rules.
fn known<'a>(facts: &'a Facts, newest: &Revision, rules: &DriftDetection) -> Option<&'a DriftFound> {
    facts.drift.found.as_ref().filter(|found| found.revision == newest.number && found.rules == *rules)
}

/// What is done about drift of a release that holds what it should: one thing, or nothing until everything is looked at again.
pub(super) fn plan(life: &Life<'_>) -> Plan {
    let facts = life.look.facts;
    let (rules, drift) = (rules(facts), &facts.drift);
    let Some(newest) = facts.history.newest() else { return Plan::nothing() };
    if rules.mode == DriftMode::Disabled || drift.looking {
        return Plan::nothing();
    }
    if let Some(until) = drift.not_before.filter(|until| life.look.now < *until) {
        return Plan { wake_at: Some(until), ..Plan::nothing() };
    }
    let found = known(facts, newest, &rules);
    let revision = Some(newest.number);
    // After a restart the status knows what was found; and the rules can have changed since. An upgrade has put everything right.
    let told = facts.before.release.as_ref().map(|release| release.revision);
    let outdated = drift.found.as_ref().map_or_else(
        || told == revision && !facts.before.drift.is_empty(),
        |last| Some(last.revision) == revision && last.rules != rules,
    );
    let everything = outdated || life.look.now >= drift.everything_at;
    let differs = found.is_some_and(|found| !found.differences.is_empty());
    if everything || !drift.suspects.is_empty() {
        let some = (!everything && !differs).then(|| drift.suspects.clone());
        return Plan::step(Step::LookForDrift { objects: some });
    }
    if differs && rules.mode == DriftMode::Correct {
        return life.try_helm(HelmAction::Correct, newest.number);
    }
    Plan { wake_at: Some(drift.everything_at), ..Plan::nothing() }
}

/// A look for drift has the release's place among the workers, for a moment; its end asks for the next look. Were an operation handed over
/// meanwhile, it would be refused, and nobody would know soon that it never began.
pub(super) fn in_the_way(facts: &Facts) -> Option<Plan> {
    let message = "a worker looks at the release's objects; it begins when that has ended";
    facts.drift.looking.then(|| Plan::wait(Finding::new(Reason::Progressing, message), None))
}

/// Tells what is known of drift.
pub(super) fn tell(status: &mut OdooEnvironmentStatus, facts: &Facts) {
    let rules = rules(facts);
    let revision = facts.before.release.as_ref().map(|release| release.revision);
    let Some(newest) = facts.history.newest().filter(|_| rules.mode != DriftMode::Disabled) else {
        status.drift = Vec::new();
        return;
    };
    if let Some(found) = known(facts, newest, &rules) {
        status.drift = named(&found.differences);
    } else if revision != Some(newest.number) {
        // The operation that made it has put everything right.
        status.drift = Vec::new();
    }
}

/// What is said of drift, if there is any.
pub(super) fn finding(status: &OdooEnvironmentStatus, facts: &Facts) -> Option<Finding> {
    if status.drift.is_empty() {
        return None;
    }
    let one = |difference: &ObjectDifference| match (difference.change.as_str(), difference.paths.first()) {
        ("removed", _) => format!("{} is gone", difference.object),
        (_, Some(path)) => format!("{} {path}", difference.object),
        _ => difference.object.clone(),
    };
    let named: Vec<String> = status.drift.iter().take(TOLD).map(one).collect();
    let more = status.drift.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let rest = match rules(facts).mode {
        DriftMode::Correct => "it is put right",
        DriftMode::Warn | DriftMode::Disabled => {
            "the next upgrade puts it right, and spec.driftDetection.mode Correct does so at once"
        }
    };
    let message = format!("somebody changed objects of the release by hand: {}{more}; {rest}", named.join(", "));
    Some(Finding::new(Reason::Drifted, message))
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
