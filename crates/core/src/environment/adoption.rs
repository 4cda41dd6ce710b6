//! Taking over a release that somebody else installed (纳管).
//!
//! It is compared with what the environment renders, and taken over by labels on Helm's record alone once the two are equal: no pod is
//! touched, no revision made. Until then it is only told about; a person can stop it, and start what was stopped here.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{
    Adoption, AdoptionStatus, Comparison, ObjectDifference, OdooEnvironmentStatus, Stage,
};
use odoofleet_api::template::Binding;
use odoofleet_api::{Object, labels};
use serde_json::Value;

use super::decide::Look;
use super::differences::named;
use super::facts::Facts;
use super::life::Life;
use super::scaling;
use super::step::{HoldKind, Plan, Step};
use super::validate::Validated;
use crate::finding::Finding;
use crate::release::{ReleaseState, ReleaseStatus, Revision};
use crate::task::{Compared, HelmAction};
use crate::template::StopPlan;
use crate::values::ValuePath;

/// Workloads that a status names.
const NAMED: usize = 20;
/// Differences that a message names.
const TOLD: usize = 3;

/// Refuses a release whose values say that it is another customer's, where the template binds the customer's id. `config` are the
/// values that were given to it.
///
/// # Errors
/// What the record says, and what the customer's id is.
pub fn check_customer(config: &Object, wanted: &Validated) -> Result<(), Finding> {
    let other = other_customer(config, &wanted.version.content.bindings, &wanted.customer_id);
    let Some((path, found)) = other else { return Ok(()) };
    let message = format!(
        "the values of release \"{}\" say {path}: \"{found}\", and OdooCustomer \"{}\" has id \"{}\": it is another customer's; choose the customer to whom it belongs, or another releaseName",
        wanted.release, wanted.customer, wanted.customer_id
    );
    Err(Finding::new(Reason::ReleaseOwnedByAnother, message))
}

/// The place, and the id, of another customer than this one. `--set customer.id=4711` makes a number of it.
pub fn other_customer(config: &Object, bindings: &[Binding], id: &str) -> Option<(String, String)> {
    let bound = bindings.iter().filter(|binding| binding.from.as_deref() == Some("customer.id"));
    let found = bound.filter_map(|binding| {
        let found = match ValuePath::parse(&binding.to).ok()?.get(config)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (found != id).then(|| (binding.to.clone(), found))
    });
    found.into_iter().next()
}

/// Keeps what a comparison has shown, with what it was compared.
pub(super) fn take(status: &mut OdooEnvironmentStatus, compared: &Compared, inputs: &str, now: Timestamp) {
    status.adoption.get_or_insert_default().comparison = Some(Comparison {
        revision: compared.revision,
        resource_version: compared.resource_version.clone(),
        inputs: inputs.to_owned(),
        at: Time(now),
        chart: compared.chart.clone(),
        chart_version: compared.chart_version.clone(),
        total: i32::try_from(compared.differences.len()).unwrap_or(i32::MAX),
        differences: named(&compared.differences),
        unstable: named(&compared.unstable),
        changes: named(&compared.changes),
        restarts: compared.restarts.iter().take(NAMED).cloned().collect(),
    });
}

/// Notes how a release was found, and that it is taken over.
pub(super) fn note(status: &mut OdooEnvironmentStatus, facts: &Facts, wanted: Option<&Validated>, now: Timestamp) {
    let Some(wanted) = wanted else { return };
    let Some(newest) = facts.history.newest() else {
        status.adoption = None;
        return;
    };
    let foreign = ReleaseState::of(&facts.history, &wanted.claim()) == ReleaseState::Foreign;
    let asleep = scaling::is_asleep(&facts.running, &wanted.stop_plan);
    if foreign && status.adoption.is_none() {
        let by_hand = asleep && !was_stopped_here(facts);
        status.adoption = Some(AdoptionStatus { asleep: by_hand.then_some(true), ..AdoptionStatus::default() });
    }
    let Some(adoption) = &mut status.adoption else { return };
    if wanted.replicas == 0 || !asleep {
        adoption.asleep = None;
    }
    let ours = newest.ownership.belongs_to_environment(&facts.environment);
    if !foreign && adoption.comparison.take().is_some() && ours {
        (adoption.revision, adoption.adopted_at) = (Some(newest.number), Some(Time(now)));
    }
}

/// Whether a release that had been at zero before it was taken over stays there.
pub(super) fn stays_asleep(status: &OdooEnvironmentStatus) -> bool {
    status.adoption.as_ref().is_some_and(|adoption| adoption.asleep == Some(true))
}

/// What is said of such a release.
pub(super) fn asleep(environment: &str) -> Plan {
    let message = format!(
        "it had been scaled to zero by hand before it was taken over, and stays so; set spec.replicas to 0 to say that it is to be so, or start it: kubectl scale oenv {environment} --replicas=0, and then --replicas=1"
    );
    Plan::hold(HoldKind::Deferred, Finding::new(Reason::ScaledByHand, message), None)
}

/// Whether a release that somebody else installed may be scaled. Only once it was compared, so that it is known whose it is; and it is
/// started only where it was stopped here.
pub(super) fn may_power(look: &Look<'_>, replicas: i32, plan: &StopPlan) -> bool {
    let compared = look.status.adoption.as_ref().is_some_and(|adoption| adoption.comparison.is_some());
    let starts = || scaling::is_asleep(&look.facts.running, plan) && was_stopped_here(look.facts);
    compared && (replicas == 0 || starts())
}

/// Whether the operator has scaled anything of it to zero.
fn was_stopped_here(facts: &Facts) -> bool {
    facts.running.workloads.iter().any(|workload| workload.replicas == 0 && workload.replicas_before_stop.is_some())
}

/// Plans what is done about a release that somebody else installed. `next` is the revision that an upgrade would make.
pub(super) fn plan(life: &Life<'_>, next: i64) -> Plan {
    let facts = life.look.facts;
    let Some(newest) = facts.history.newest() else { return Plan::nothing() };
    let mode = facts.environment.spec.adoption.unwrap_or_default();
    if newest.status.is_pending() {
        return match allowed(life, newest, mode) {
            Ok(()) => life.stop_first().unwrap_or_else(|| life.locked()),
            Err(_) => life.pending(held_by_another(newest)),
        };
    }
    if matches!(newest.status, ReleaseStatus::Uninstalling | ReleaseStatus::Uninstalled) {
        return life.pending(format!(
            "somebody is uninstalling release \"{0}\": finish it with helm uninstall {0}, then it is installed anew",
            newest.release
        ));
    }
    let comparison = life.look.status.adoption.as_ref().and_then(|adoption| adoption.comparison.as_ref());
    let Some(comparison) = comparison.filter(|known| is_about(known, newest, life.wanted)) else {
        return life.problem().unwrap_or_else(|| compare(life, newest, next));
    };
    if let Some(problem) = life.problem() {
        return problem;
    }
    judge(life, newest, comparison, mode, next)
}

/// Compares. What keeps it from being compared, such as another chart, keeps it from being taken over.
fn compare(life: &Life<'_>, newest: &Revision, next: i64) -> Plan {
    let mut plan = life.try_helm(HelmAction::Compare, next);
    if let Some(hold) = &mut plan.hold {
        let message = format!("release \"{}\" cannot be compared: {}", newest.release, hold.finding.message);
        hold.finding = Finding::new(Reason::AdoptionPending, message);
    }
    plan
}

fn is_about(known: &Comparison, newest: &Revision, wanted: &Validated) -> bool {
    known.revision == newest.number
        && known.resource_version == newest.resource_version
        && known.inputs == wanted.inputs
}

fn judge(life: &Life<'_>, newest: &Revision, comparison: &Comparison, mode: Adoption, next: i64) -> Plan {
    if !comparison.unstable.is_empty() {
        return life.pending(format!(
            "{} renders differently each time, so nobody can say whether it equals what runs: {}; give these values by spec.values or valuesFrom, then it is compared again",
            made_from(newest, comparison),
            told(&comparison.unstable, comparison.unstable.len())
        ));
    }
    let differences = differences(life, comparison);
    let equal = differences.is_none();
    match mode {
        Adoption::Monitor => life.pending(match differences {
            None => format!(
                "{} equals what this environment renders; it is only watched, since spec.adoption is Monitor",
                made_from(newest, comparison)
            ),
            Some(differences) => format!(
                "{} {differences}; it is only watched, since spec.adoption is Monitor",
                made_from(newest, comparison)
            ),
        }),
        Adoption::Observe | Adoption::TakeOver if equal && newest.status == ReleaseStatus::Deployed => {
            Plan::step(Step::Adopt {
                revision: newest.number,
                resource_version: newest.resource_version.clone(),
                labels: life.wanted.release_labels(newest.number),
            })
        }
        Adoption::TakeOver => match allowed(life, newest, mode) {
            Ok(()) => life.stop_first().unwrap_or_else(|| life.upgrade(next)),
            Err(missing) => life.pending(format!(
                "{} {}; {missing}",
                made_from(newest, comparison),
                differences.unwrap_or_else(|| is_not_deployed(newest))
            )),
        },
        Adoption::Observe => life.pending(format!(
            "{} {}; mend the environment or its template until they are equal, then it is taken over without touching a pod, or set spec.adoption to TakeOver to have it upgraded",
            made_from(newest, comparison),
            differences.unwrap_or_else(|| is_not_deployed(newest))
        )),
    }
}

/// Whether the spec, and in Production a word of its own, lets Helm run on it.
fn allowed(life: &Life<'_>, newest: &Revision, mode: Adoption) -> Result<(), String> {
    if mode != Adoption::TakeOver {
        return Err("spec.adoption is not TakeOver".to_owned());
    }
    let word = format!("{}/{}", newest.release, newest.number);
    let facts = life.look.facts;
    if facts.environment.spec.stage != Stage::Production || facts.annotation(labels::ALLOW_TAKEOVER) == Some(&word) {
        return Ok(());
    }
    Err(format!(
        "taking over Production by an upgrade wants a word of its own: kubectl annotate oenv {} --overwrite {}={word}",
        facts.name(),
        labels::ALLOW_TAKEOVER
    ))
}

fn made_from(newest: &Revision, comparison: &Comparison) -> String {
    let Comparison { chart, chart_version, .. } = comparison;
    format!("release \"{}\" (revision {}, chart {chart} {chart_version})", newest.release, newest.number)
}

/// In what the release differs from what is wanted. A number of pods that somebody set by hand counts: the spec's would replace it.
fn differences(life: &Life<'_>, comparison: &Comparison) -> Option<String> {
    let mut parts = Vec::new();
    if comparison.total > 0 {
        let total = usize::try_from(comparison.total).unwrap_or(usize::MAX);
        parts.push(format!(
            "differs from what this environment renders in {total} object(s): {}",
            told(&comparison.differences, total)
        ));
    }
    let (running, wanted) = (&life.look.facts.running, life.wanted);
    let scaled = running.workloads.iter().find(|workload| {
        wanted.stop_plan.is_live(workload, running)
            && !workload.autoscaled
            && workload.replicas > 0
            && wanted.replicas > 0
            && workload.replicas != wanted.replicas
    });
    parts.extend(scaled.map(|workload| {
        format!(
            "has {} pods in {:?} \"{}\" where spec.replicas says {}",
            workload.replicas, workload.kind, workload.name, wanted.replicas
        )
    }));
    (!parts.is_empty()).then(|| parts.join(", and "))
}

fn told(all: &[ObjectDifference], total: usize) -> String {
    let one = |difference: &ObjectDifference| match (difference.change.as_str(), difference.paths.first()) {
        ("changed", Some(path)) if difference.paths.len() > 1 => {
            format!("{} {path} and {} more", difference.object, difference.paths.len() - 1)
        }
        ("changed", Some(path)) => format!("{} {path}", difference.object),
        ("created", _) => format!("{} is not in the release", difference.object),
        ("removed", _) => format!("{} is not rendered", difference.object),
        _ => difference.object.clone(),
    };
    let first: Vec<String> = all.iter().take(TOLD).map(one).collect();
    let more = total.saturating_sub(first.len());
    let more = if more > 0 { format!(", and {more} more in status.adoption") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

fn is_not_deployed(newest: &Revision) -> String {
    format!("is \"{}\": its last Helm operation did not end well", newest.status.as_str())
}

fn held_by_another(newest: &Revision) -> String {
    format!(
        "release \"{}\" is \"{}\" at revision {}: another Helm is at work, or was killed; it is left alone until that has ended (helm rollback, or the tool that began it)",
        newest.release,
        newest.status.as_str(),
        newest.number
    )
}

impl Life<'_> {
    /// It is told, and left as it is; stopping, and starting what was stopped here, goes on.
    fn pending(&self, message: String) -> Plan {
        let hold = Plan::hold(HoldKind::NeedsPerson, Finding::new(Reason::AdoptionPending, message), None);
        self.power(self.wanted.replicas, hold)
    }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
