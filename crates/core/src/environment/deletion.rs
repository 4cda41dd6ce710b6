//! The plan for an environment that is being deleted. A broken spec does not get into its way: it needs names only.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{DeletionPolicy, Failures};

use super::continuation;
use super::decide::Look;
use super::facts::{Facts, GeneratedSecret};
use super::life::{TERMINAL_PAUSE, UNLOCK, backoff, held_by_helm, lock_ends, retry};
use super::operation::OperationState;
use super::references::names;
use super::scaling;
use super::step::{HelmStep, HoldKind, Leftover, Plan, Step};
use super::validate::generated_secret;
use crate::finding::Finding;
use crate::release::{ReleaseStatus, Revision};
use crate::task::HelmAction;

/// Stands for the inputs of an uninstall: failures of earlier upgrades are not its own.
pub(super) const INPUTS: &str = "deletion";

/// Plans the next step.
pub(super) fn plan(look: &Look<'_>) -> Plan {
    let facts = look.facts;
    if !facts.is_protected() {
        return Plan::nothing();
    }
    // When kind or namespace go, the rights in the namespace may be gone already. And their deletion is nobody's word about
    // this environment.
    if facts.is_orphaned || names(&facts.environment.spec).is_err() {
        return Plan::step(Step::LetGo);
    }
    if let Some(plan) = unfinished(look) {
        return plan;
    }
    let policy = facts.environment.spec.deletion_policy.unwrap_or_default();
    let Some(newest) = facts.history.newest() else { return without_release(facts, policy) };
    // What another environment of the name left, and this one may not go on with, is not its own to take down either.
    let is_barred = continuation::refusal(&facts.environment, &newest.release, None, &newest.ownership).is_some();
    if is_barred || !newest.ownership.belongs_to_environment(&facts.environment) {
        return Plan::step(Step::LetGo);
    }
    match policy {
        DeletionPolicy::Orphan => Plan::step(Step::LetGo),
        DeletionPolicy::Delete if newest.status == ReleaseStatus::Uninstalled => without_release(facts, policy),
        DeletionPolicy::Delete => locked(look, newest).unwrap_or_else(|| uninstall(look, newest)),
        DeletionPolicy::Retain => match locked(look, newest) {
            Some(plan) if !matches!(&plan.hold, Some(hold) if hold.kind == HoldKind::NeedsPerson) => plan,
            // A record that cannot be recovered is kept as it is.
            _ => retain(look, newest),
        },
    }
}

/// What waits for a worker is taken back; what has begun is waited for, so that nothing appears after the object is gone.
fn unfinished(look: &Look<'_>) -> Option<Plan> {
    let operation = look.facts.before.operation.as_ref();
    match (operation, look.operation) {
        (Some(operation), Some(OperationState::Queued)) => {
            Some(Plan::step(Step::Cancel { operation: operation.id.clone() }))
        }
        (Some(_), Some(OperationState::MayWriteUntil(until))) => {
            Some(Plan::wait(deleting("waiting for another operator's Helm worker to end"), Some(*until)))
        }
        (Some(_), Some(OperationState::Running)) => {
            Some(Plan::wait(deleting("waiting for a Helm operation to end"), None))
        }
        // Work that was begun and is not written down any more.
        _ if look.facts.task.is_some() => Some(Plan::wait(deleting("waiting for a Helm operation to end"), None)),
        _ => None,
    }
}

fn deleting(message: impl Into<String>) -> Finding {
    Finding::new(Reason::Deleting, message)
}

/// A revision that a killed Helm left pending is recovered first: no Helm removes it before.
fn locked(look: &Look<'_>, newest: &Revision) -> Option<Plan> {
    if !newest.status.is_pending() {
        return None;
    }
    let until = lock_ends(newest, look.facts.uid(), look.facts.fence);
    if look.now < until {
        return Some(Plan::wait(held_by_helm(newest, until), Some(until)));
    }
    Some(try_helm(look, HelmAction::Unlock, newest.number))
}

fn uninstall(look: &Look<'_>, newest: &Revision) -> Plan {
    let facts = look.facts;
    if let Some(brake) = &facts.brake {
        return Plan::hold(HoldKind::Braked, brake.finding.clone(), Some(brake.until));
    }
    // Only while the release is there is it known what is its own: a name alone proves nothing.
    let unmarked = unmarked(facts);
    if !unmarked.is_empty() {
        return Plan::step(Step::Mark(unmarked));
    }
    try_helm(look, HelmAction::Uninstall, newest.number)
}

/// What the release leaves behind and does not yet carry the environment's UID.
fn unmarked(facts: &Facts) -> Vec<Leftover> {
    let volumes = facts.running.volumes.iter().filter(|volume| !volume.marked);
    let mut all: Vec<Leftover> = volumes.map(|volume| Leftover::Volume(volume.name.clone())).collect();
    if facts.generated_secret.as_ref().is_some_and(|secret| secret.uid.as_deref() != Some(facts.uid())) {
        all.extend(generated(facts));
    }
    all
}

fn generated(facts: &Facts) -> Option<Leftover> {
    let (_, release) = names(&facts.environment.spec).ok()?;
    Some(Leftover::Secret(generated_secret(&release)))
}

/// Helm, with pauses after failures of the deletion's own.
fn try_helm(look: &Look<'_>, action: HelmAction, revision: i64) -> Plan {
    let helm = Plan::step(Step::Helm(HelmStep { action, revision, by_person: true }));
    let inputs = if action == HelmAction::Unlock { UNLOCK } else { INPUTS };
    let own = |failures: &&Failures| failures.inputs == inputs;
    let Some(failures) = look.status.failures.as_ref().filter(own) else { return helm };
    let pause = if failures.terminal { TERMINAL_PAUSE } else { backoff(failures.count, look.facts.uid()) };
    let until = failures.at.0 + pause;
    if look.now >= until {
        return helm;
    }
    if failures.terminal {
        let message = format!("{}; or set deletionPolicy to Orphan to leave the release as it is", failures.message);
        return Plan::hold(HoldKind::NeedsPerson, Finding::new(failures.reason.clone(), message), Some(until));
    }
    retry(failures, until)
}

fn without_release(facts: &Facts, policy: DeletionPolicy) -> Plan {
    if policy != DeletionPolicy::Delete {
        return Plan::step(Step::LetGo);
    }
    let leftovers = leftovers(facts);
    if !leftovers.is_empty() {
        return Plan::step(Step::Remove(leftovers));
    }
    let own = facts.running.volumes.iter().filter(|volume| volume.marked);
    let going: Vec<&str> = own.map(|volume| volume.name.as_str()).collect();
    if going.is_empty() {
        return Plan::step(Step::LetGo);
    }
    let message = format!(
        "the release is uninstalled; waiting for volume claim \"{}\" to go: a pod that uses it or a finalizer keeps it",
        going.join("\", \"")
    );
    Plan::wait(deleting(message), None)
}

/// Volume claims that were marked while the release was there, and the Secret that was generated for this very environment: others
/// of the same name, kept or left by somebody else, are nobody's to remove.
fn leftovers(facts: &Facts) -> Vec<Leftover> {
    let volumes = facts.running.volumes.iter().filter(|volume| volume.marked && !volume.deleting);
    let mut all: Vec<Leftover> = volumes.map(|volume| Leftover::Volume(volume.name.clone())).collect();
    let own = |secret: &&GeneratedSecret| secret.uid.as_deref() == Some(facts.uid());
    all.extend(facts.generated_secret.as_ref().filter(own).and_then(|_| generated(facts)));
    all
}

fn retain(look: &Look<'_>, newest: &Revision) -> Plan {
    let (running, plan) = (&look.facts.running, &look.facts.held_plan);
    if let Some(step) = scaling::retire(running, plan) {
        return match &look.facts.brake {
            Some(brake) => Plan::hold(HoldKind::Braked, brake.finding.clone(), Some(brake.until)),
            None => Plan::step(Step::Scale(step)),
        };
    }
    let mut workloads = running.workloads.iter();
    if workloads.any(|workload| workload.replicas > 0 || scaling::left(workload, running) > 0) {
        return Plan::wait(deleting("scaled to zero; waiting for the pods to end"), None);
    }
    if newest.ownership.retained_at.is_none() {
        Plan::step(Step::Retain { revision: newest.number })
    } else {
        Plan::step(Step::LetGo)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use odoofleet_api::OdooEnvironment;
    use odoofleet_api::environment::Action;
    use odoofleet_api::template::WorkloadKind;
    use serde_json::json;

    use super::super::decide::decide;
    use super::super::fixtures;
    use super::*;
    use crate::observed::{Volume, Workload};
    use crate::release::{History, Ownership};
    use crate::task::{Stage, Task};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn facts(policy: &str, change: impl FnOnce(&mut Facts)) -> Facts {
        let environment: OdooEnvironment = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {
                "name": "acme-prod", "uid": "u1", "generation": 2, "finalizers": ["odoofleet.dev/cleanup"],
                "deletionTimestamp": "2026-11-27T08:00:00Z",
            },
            "spec": {
                "customerRef": { "name": "acme" }, "serviceName": "prod", "stage": "Test", "replicas": 1,
                "templateRef": { "name": "odoo-18" }, "deletionPolicy": policy,
            },
        }))
        .unwrap();
        let mut facts = fixtures::facts(environment);
        change(&mut facts);
        facts
    }

    fn release(status: ReleaseStatus, change: impl FnOnce(&mut Ownership)) -> History {
        fixtures::history(3, status, change)
    }

    fn step(facts: &Facts) -> Step {
        decide(facts, at(5000)).step
    }

    fn up() -> Workload {
        fixtures::workload(WorkloadKind::Deployment, "acme-prod-web")
    }

    const POLICIES: [&str; 3] = ["Retain", "Orphan", "Delete"];

    #[test]
    fn what_waits_for_a_worker_is_taken_back_and_what_runs_is_waited_for() {
        for policy in POLICIES {
            let during = |stage| {
                facts(policy, |facts| {
                    facts.before.operation = Some(fixtures::operation(Action::Install, 1));
                    facts.task = Some(Task { operation: "1".into(), stage, by_person: true });
                })
            };
            assert_eq!(step(&during(Stage::Queued)), Step::Cancel { operation: "1".into() }, "{policy}");
            assert_eq!(step(&during(Stage::Running)), Step::Nothing, "{policy}");
            assert_eq!(step(&during(Stage::Reported)), Step::Nothing, "{policy}");
        }
    }

    #[test]
    fn each_policy_ends_from_each_state_of_the_release() {
        use ReleaseStatus as S;
        let deployed = || release(S::Deployed, |_| ());
        let of = |policy, history: History| step(&facts(policy, |facts| facts.history = history));
        let helm = |action| Step::Helm(HelmStep { action, revision: 3, by_person: true });
        assert_eq!(of("Retain", deployed()), Step::Retain { revision: 3 });
        assert_eq!(of("Orphan", deployed()), Step::LetGo);
        assert_eq!(of("Delete", deployed()), helm(HelmAction::Uninstall));
        assert_eq!(of("Retain", release(S::Deployed, |o| o.retained_at = Some(1))), Step::LetGo);
        for status in [S::PendingInstall, S::PendingUpgrade] {
            assert_eq!(of("Delete", release(status, |_| ())), helm(HelmAction::Unlock));
            assert_eq!(of("Retain", release(status, |_| ())), helm(HelmAction::Unlock));
            assert_eq!(of("Orphan", release(status, |_| ())), Step::LetGo);
        }
        assert_eq!(of("Delete", release(S::Uninstalled, |_| ())), Step::LetGo);
        for policy in POLICIES {
            assert_eq!(of(policy, History::default()), Step::LetGo);
            assert_eq!(of(policy, release(S::Deployed, |o| o.customer = Some("other".into()))), Step::LetGo);
            assert_eq!(of(policy, release(S::PendingUpgrade, |o| *o = Ownership::default())), Step::LetGo);
            let orphaned = facts(policy, |facts| (facts.history, facts.is_orphaned) = (deployed(), true));
            assert_eq!(step(&orphaned), Step::LetGo, "the kind or the namespace is going");
        }
    }

    #[test]
    fn retain_scales_down_before_it_marks_and_says_what_it_waits_for() {
        let with = |workload: Workload| {
            facts("Retain", |facts| {
                facts.history = release(ReleaseStatus::Deployed, |_| ());
                facts.running.workloads = vec![workload];
            })
        };
        assert!(matches!(step(&with(up())), Step::Scale(_)));
        let ending = decide(&with(Workload { replicas: 0, current_replicas: 1, ..up() }), at(5000));
        assert_eq!(ending.step, Step::Nothing);
        assert!(ending.status.message.unwrap().contains("waiting for the pods"));
        let down = with(Workload { replicas: 0, current_replicas: 0, ready_replicas: 0, ..up() });
        assert_eq!(step(&down), Step::Retain { revision: 3 });
    }

    #[test]
    fn delete_takes_the_claims_of_stateful_sets_and_waits_for_what_terminates() {
        let volume = |deleting, marked| Volume { deleting, marked, ..fixtures::volume("data-acme-prod-db-0") };
        let with = |installed: bool, volume: Volume| {
            facts("Delete", |facts| {
                if installed {
                    facts.history = release(ReleaseStatus::Deployed, |_| ());
                }
                facts.running.volumes = vec![volume];
                facts.generated_secret = Some(GeneratedSecret { uid: Some("u1".into()) });
            })
        };
        assert_eq!(
            step(&with(true, volume(false, false))),
            Step::Mark(vec![Leftover::Volume("data-acme-prod-db-0".into())])
        );
        assert!(matches!(step(&with(true, volume(false, true))), Step::Helm(_)));
        let all = [Leftover::Volume("data-acme-prod-db-0".into()), Leftover::Secret("acme-prod-odoofleet".into())];
        assert_eq!(step(&with(false, volume(false, true))), Step::Remove(all.into()));
        let mut going = with(false, volume(true, true));
        going.generated_secret = Some(GeneratedSecret { uid: Some("u0".into()) });
        let decision = decide(&going, at(5000));
        assert_eq!((decision.step, decision.wake_at), (Step::Nothing, None), "its end is told; nothing polls");
        let mut earlier = with(true, volume(false, true));
        earlier.generated_secret.clone_from(&going.generated_secret);
        let secret = Leftover::Secret("acme-prod-odoofleet".into());
        assert_eq!(step(&earlier), Step::Mark(vec![secret]), "an earlier environment's, kept for this one");
        let mut foreign = with(false, volume(false, false));
        foreign.generated_secret.clone_from(&going.generated_secret);
        assert_eq!(step(&foreign), Step::LetGo, "what somebody else left under the same name stays");
        assert!(decision.status.message.unwrap().contains("data-acme-prod-db-0"));
    }

    #[test]
    fn an_earlier_failure_does_not_delay_the_uninstall_and_its_own_does() {
        let with = |inputs: &str, terminal: bool, policy: &str, status| {
            let failures = Failures { at: Time(at(4999)), ..fixtures::failures(1, terminal, inputs) };
            facts(policy, |facts| {
                facts.history = release(status, |_| ());
                facts.before.failures = Some(failures);
            })
        };
        let failed = ReleaseStatus::Failed;
        assert!(matches!(step(&with("i1", true, "Delete", failed)), Step::Helm(_)), "that was an upgrade's");
        let own = decide(&with(INPUTS, false, "Delete", failed), at(5000));
        assert!(own.step == Step::Nothing && own.wake_at.is_some());
        let pending = ReleaseStatus::PendingUpgrade;
        let unlocks = step(&with("i1", true, "Delete", pending));
        assert!(
            matches!(unlocks, Step::Helm(helm) if helm.action == HelmAction::Unlock),
            "an upgrade's failure is another"
        );
        let stuck = decide(&with(UNLOCK, true, "Delete", pending), at(5000));
        assert_eq!((stuck.step, stuck.wake_at), (Step::Nothing, Some(at(4999 + 3600))));
        assert!(stuck.status.message.unwrap().contains("Orphan"), "the way out is told");
        assert_eq!(step(&with(UNLOCK, true, "Retain", pending)), Step::Retain { revision: 3 }, "kept as it is");
    }

    #[test]
    fn deletion_has_a_phase_of_its_own() {
        let decision =
            decide(&facts("Delete", |facts| facts.history = release(ReleaseStatus::Deployed, |_| ())), at(5000));
        assert_eq!(decision.status.phase, Some(odoofleet_api::environment::Phase::Deleting));
    }
}
