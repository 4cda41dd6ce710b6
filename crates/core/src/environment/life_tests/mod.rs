//! Tables for the plan of life: facts in, a step and what stands in its way out. Here: what each state of a release calls for.

mod checks;
mod operations;
mod runs;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::environment::{HistoryEntry, Operation, Outcome, Phase, ReleaseStatus as ReleaseRecord};
use odoofleet_api::template::{StopWorkload, WorkloadKind};
use serde_json::json;

use super::super::decide::decide;
use super::super::facts::{BrakeHold, Facts, GeneratedSecret};
use super::super::fixtures::{self, environment, running};
use super::super::references::{HeldVersion, ReferencedObject};
use super::super::step::Decision;
use super::super::validate::validate;
use super::*;
use crate::observed::{Check, Container, Pod, Termination, Workload};
use crate::release::{History, Ownership, ReleaseStatus};
use crate::task::{Evidence, Stage, Success, Task};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const NOW: i64 = 2000;

/// What facts say that are as `change` makes them; nothing is there yet.
fn facts(replicas: i32, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = fixtures::facts(environment(replicas, |_| ()));
    facts.generated_secret = Some(GeneratedSecret { uid: Some("u1".into()) });
    change(&mut facts);
    facts
}

/// A release with what is wanted, or with something else.
fn history(
    facts: &Facts,
    number: i64,
    status: ReleaseStatus,
    current: bool,
    change: impl FnOnce(&mut Ownership),
) -> History {
    let wanted = validate(&facts.environment, &facts.references).unwrap();
    fixtures::history(number, status, |ownership| {
        ownership.spec_hash = Some(if current { wanted.spec_hash.clone() } else { "h0".into() });
        ownership.check = Some(wanted.check.clone());
        change(ownership);
    })
}

/// Facts with a release that runs.
fn released(
    replicas: i32,
    (web, database): (i32, i32),
    number: i64,
    status: ReleaseStatus,
    current: bool,
    change: impl FnOnce(&mut Ownership),
) -> Facts {
    let mut facts = facts(replicas, |facts| facts.running = running(web, database));
    facts.history = history(&facts, number, status, current, change);
    facts
}

fn look(facts: &Facts) -> Decision {
    decide(facts, at(NOW))
}

fn helm(action: HelmAction, revision: i64) -> Step {
    Step::Helm(HelmStep { action, revision, by_person: true })
}

/// The step, with who asked for it left out.
fn step(facts: &Facts) -> Step {
    match look(facts).step {
        Step::Helm(step) => Step::Helm(HelmStep { by_person: true, ..step }),
        other => other,
    }
}

fn told(facts: &Facts) -> (Phase, Reason) {
    let status = look(facts).status;
    (status.phase.unwrap(), status.reason.unwrap())
}

fn condition(facts: &Facts, type_: &str) -> Option<String> {
    let conditions = look(facts).status.conditions;
    conditions.into_iter().find(|condition| condition.type_ == type_).map(|condition| condition.status)
}

fn scales(step: &Step) -> Vec<(String, i32)> {
    match step {
        Step::Scale(scaling) => scaling.workloads.iter().map(|one| (one.name.clone(), one.replicas)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_state_of_a_release_has_its_step() {
    use ReleaseStatus as S;
    let of = |number, status, current, change: fn(&mut Ownership)| {
        step(&released(1, (1, 1), number, status, current, change))
    };
    assert_eq!(step(&facts(1, |_| ())), helm(HelmAction::Install, 1));
    assert_eq!(of(4, S::Deployed, true, |_| ()), Step::Nothing);
    assert_eq!(of(4, S::Deployed, false, |_| ()), helm(HelmAction::Upgrade, 5));
    assert_eq!(of(4, S::PendingUpgrade, true, |_| ()), helm(HelmAction::Unlock, 4));
    assert_eq!(of(4, S::Deployed, true, |o| o.retained_at = Some(1)), helm(HelmAction::Upgrade, 5));
    assert_eq!(of(5, S::Deployed, true, |o| o.revision = Some(4)), Step::Nothing, "a human's upgrade on the same spec");
    let unprotected =
        facts(1, |facts| facts.environment = environment(1, |o| o["metadata"]["finalizers"] = json!([])).into());
    assert_eq!(step(&unprotected), Step::Protect);
}

#[test]
fn where_nothing_was_ever_deployed_helm_installs_again() {
    let failed = released(1, (1, 1), 1, ReleaseStatus::Failed, true, |_| ());
    assert_eq!(step(&failed), helm(HelmAction::Install, 2), "an upgrade would never run the install hooks");
    assert_eq!(told(&failed).0, Phase::Pending, "whatever its pods say, it is not Running");
    let mut upgraded = released(1, (1, 1), 2, ReleaseStatus::Failed, true, |_| ());
    upgraded.history.upsert(fixtures::history(1, ReleaseStatus::Deployed, |_| ()).newest().unwrap().clone());
    assert_eq!(step(&upgraded), helm(HelmAction::Upgrade, 3));
    // A rollback by hand that failed: what was deployed is superseded, and no watch tells of it.
    let mut rolled_back = released(1, (1, 1), 3, ReleaseStatus::Failed, true, |ownership| ownership.revision = Some(1));
    rolled_back.before.release = Some(ReleaseRecord { chart: Some("odoo".into()), ..ReleaseRecord::default() });
    assert_ne!(step(&rolled_back), helm(HelmAction::Install, 4));
    assert_eq!(told(&rolled_back).0, Phase::Running);
}

#[test]
fn what_is_not_ours_is_never_touched() {
    use ReleaseStatus as S;
    for replicas in [0, 1] {
        let refused = |status, change: fn(&mut Ownership)| {
            let facts = released(replicas, (1, 1), 1, status, true, change);
            assert_eq!(step(&facts), Step::Nothing);
            look(&facts).status.reason.unwrap()
        };
        for status in [S::PendingInstall, S::PendingUpgrade, S::Uninstalling] {
            assert_eq!(refused(status, |o| *o = Ownership::default()), Reason::AdoptionPending, "{status:?}");
        }
        for status in [S::Deployed, S::Failed, S::PendingInstall, S::PendingUpgrade] {
            assert_eq!(refused(status, |o| o.customer = Some("a".into())), Reason::ReleaseOwnedByAnother, "{status:?}");
        }
    }
    let uninstalling = |replicas, runs| step(&released(replicas, runs, 1, S::Uninstalling, true, |_| ()));
    assert_eq!((uninstalling(1, (1, 1)), uninstalling(0, (0, 0))), (Step::Nothing, Step::Nothing));
    assert!(matches!(uninstalling(0, (1, 1)), Step::Scale(_)), "a stop needs no Helm");
}

#[test]
fn a_lock_waits_for_the_fence_if_ours_and_for_the_grace_if_another_helm_holds_it() {
    let locked = |change: fn(&mut Ownership), second| {
        let decision = decide(&released(1, (1, 1), 4, ReleaseStatus::PendingUpgrade, true, change), at(second));
        (decision.step != Step::Nothing, decision.wake_at.map(Timestamp::as_second))
    };
    let by_hand = |o: &mut Ownership| o.revision = Some(3);
    assert_eq!(locked(|_| (), 1499), (false, Some(1500)));
    assert_eq!(locked(|_| (), 1500), (true, None));
    assert_eq!(locked(by_hand, 1899), (false, Some(1900)), "15 minutes from its creation");
    assert_eq!(locked(by_hand, 1900), (true, None));
}

fn inputs(facts: &Facts) -> String {
    validate(&facts.environment, &facts.references).unwrap().inputs
}

#[test]
fn failures_wait_longer_each_time_and_terminal_ones_for_an_input() {
    let with = |count, terminal, own: bool, since| {
        let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, false, |_| ());
        let inputs = if own { inputs(&facts) } else { "other".into() };
        facts.before.failures = Some(Failures { at: Time(at(since)), ..fixtures::failures(count, terminal, &inputs) });
        facts
    };
    let pause = |count, since| look(&with(count, false, true, since)).wake_at.map(|until| until.as_second() - since);
    let (first, second, last) = (pause(1, 1999).unwrap(), pause(2, 1999).unwrap(), pause(30, 1999).unwrap());
    assert!((10..=12).contains(&first) && second == first * 2, "{first} {second}");
    assert!((900..=1080).contains(&last), "{last}");
    assert_eq!(step(&with(1, false, true, 1980)), helm(HelmAction::Upgrade, 5), "the pause is over");
    let terminal = with(1, true, true, 0);
    assert_eq!((step(&terminal), look(&terminal).wake_at), (Step::Nothing, Some(at(3600))));
    assert_eq!(
        step(&with(1, true, true, 2000 - 3600)),
        helm(HelmAction::Upgrade, 5),
        "not all that is mended is watched"
    );
    assert_eq!(told(&terminal), (Phase::Running, Reason::RenderFailed));
    assert_eq!(step(&with(9, true, false, 1999)), helm(HelmAction::Upgrade, 5), "an input has changed");
    let stalled = |count| condition(&with(count, false, true, 1999), "Stalled");
    assert_eq!((stalled(2), stalled(3)), (None, Some("True".into())));
}

#[test]
fn an_unlock_that_cannot_work_is_not_tried_without_a_pause() {
    let mut facts = released(1, (1, 1), 4, ReleaseStatus::PendingUpgrade, true, |_| ());
    facts.before.failures = Some(Failures { at: Time(at(1999)), ..fixtures::failures(1, false, UNLOCK) });
    let decision = look(&facts);
    assert!(decision.step == Step::Nothing && decision.wake_at.is_some());
    facts.before.failures = Some(fixtures::failures(1, true, UNLOCK));
    assert_eq!((look(&facts).step, look(&facts).wake_at), (Step::Nothing, Some(at(3600))), "its record cannot be read");
    facts.before.failures = Some(fixtures::failures(1, true, &inputs(&facts)));
    assert_eq!(step(&facts), helm(HelmAction::Unlock, 4), "why an upgrade failed keeps nothing locked");
}
