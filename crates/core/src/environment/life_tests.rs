//! Tables for the plan of life: facts in, a step and what stands in its way out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::environment::{HistoryEntry, Operation, Outcome, Phase, ReleaseStatus as ReleaseRecord};
use odoofleet_api::template::{StopWorkload, WorkloadKind};
use serde_json::json;

use super::super::decide::decide;
use super::super::facts::{BrakeHold, Facts, GeneratedSecret};
use super::super::fixtures::{self, environment, running};
use super::super::references::HeldVersion;
use super::super::step::Decision;
use super::super::validate::validate;
use super::*;
use crate::observed::{Check, Container, Pod, Termination};
use crate::release::{History, Ownership, ReleaseStatus};
use crate::task::{Evidence, Stage, Success, Task};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const NOW: i64 = 2000;

/// What facts say that are as `change` makes them; nothing is there yet.
fn facts(replicas: i32, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = fixtures::facts(environment(replicas, |_| ()));
    facts.generated_secret = Some(GeneratedSecret { environment: Some("acme-prod".into()), uid: Some("u1".into()) });
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
        for status in [S::Deployed, S::Failed, S::PendingInstall, S::PendingUpgrade] {
            assert_eq!(refused(status, |o| *o = Ownership::default()), Reason::AdoptionPending, "{status:?}");
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

fn operation(action: Action) -> Operation {
    fixtures::operation(action, 5)
}

#[test]
fn a_running_operation_keeps_everything_but_a_stop_waiting_and_asks_for_no_look() {
    let during = |replicas, stage| {
        let mut facts = released(replicas, (1, 1), 5, ReleaseStatus::PendingUpgrade, true, |_| ());
        facts.before.operation = Some(operation(Action::Upgrade));
        facts.task = Some(Task { operation: "1".into(), stage, by_person: true });
        facts
    };
    for stage in [Stage::Queued, Stage::Running, Stage::Reported] {
        let decision = look(&during(1, stage));
        assert_eq!((decision.step, decision.wake_at), (Step::Nothing, None), "{stage:?}: its end is told");
        assert_eq!(decision.status.reason, Some(Reason::Upgrading));
    }
    for stage in [Stage::Running, Stage::Reported] {
        assert!(matches!(step(&during(0, stage)), Step::Scale(_)), "a stop does not wait for Helm");
    }
    let taken_back = step(&during(0, Stage::Queued));
    assert_eq!(taken_back, Step::Cancel { operation: "1".into() }, "it would start the pods that it was built with");
    let queued = look(&during(1, Stage::Queued)).status.message.unwrap();
    assert!(queued.contains("waits for a free Helm worker"), "{queued}");
}

/// The fixture's spec is at generation 3.
#[test]
fn an_edit_does_not_wait_behind_the_rollout_that_reached_its_environment_first() {
    let during = |generation, stage, by_person| {
        let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, false, |_| ());
        facts.before.operation = Some(Operation { generation, ..operation(Action::Upgrade) });
        facts.task = Some(Task { operation: "1".into(), stage, by_person });
        step(&facts)
    };
    assert_eq!(during(2, Stage::Queued, false), Step::Cancel { operation: "1".into() });
    assert_eq!(during(2, Stage::Queued, true), Step::Nothing, "who edits all the time keeps the first turn");
    assert_eq!(during(3, Stage::Queued, false), Step::Nothing, "nobody has edited it");
    assert_eq!(during(2, Stage::Running, false), Step::Nothing);
}

#[test]
fn what_was_asked_during_an_operation_is_still_a_persons_wish_after_it() {
    let after = |generation| {
        let mut facts = released(1, (1, 1), 5, ReleaseStatus::Deployed, false, |_| ());
        facts.before.observed_generation = Some(3);
        facts.before.release = Some(ReleaseRecord::default());
        facts.before.operation = Some(Operation { generation, ..operation(Action::Upgrade) });
        facts.evidence =
            Some(Evidence { operation: "1".into(), inputs: String::new(), result: Ok(Success::default()) });
        let Step::Helm(step) = look(&facts).step else { panic!("something else is wanted than what runs") };
        step.by_person
    };
    assert_eq!((after(2), after(3)), (true, false), "a rollout brings the second");
}

#[test]
fn what_is_edited_without_end_is_upgraded_now_and_then() {
    let edited = |generation: i64, ended: i64, replicas| {
        let mut facts = released(replicas, (1, 1), 5, ReleaseStatus::Deployed, false, |_| ());
        let mut object = (*facts.environment).clone();
        object.metadata.generation = Some(generation);
        facts.environment = object.into();
        facts.before.history = vec![HistoryEntry {
            action: Action::Upgrade,
            outcome: Outcome::Succeeded,
            revision: Some(5),
            template: None,
            generation: 3,
            attempts: 1,
            started_at: Time(at(ended)),
            ended_at: Time(at(ended)),
            message: None,
        }];
        look(&facts)
    };
    let upgrades = |decision: &Decision| matches!(decision.step, Step::Helm(_));
    let waits = edited(13, NOW - 4, 1);
    assert_eq!((&waits.step, waits.wake_at), (&Step::Nothing, Some(at(NOW + 6))));
    let message = waits.status.message.unwrap();
    assert!(message.contains("edited 10 times"), "{message}");
    assert!(upgrades(&edited(12, NOW - 4, 1)), "a person who edits often");
    assert!(upgrades(&edited(500, NOW - 10, 1)), "the pause is over");
    assert!(matches!(edited(500, NOW - 4, 0).step, Step::Scale(_)), "a stop waits for nothing");
}

#[test]
fn a_stop_goes_before_an_upgrade_and_a_start_after_it() {
    let next = |replicas, runs| step(&released(replicas, runs, 4, ReleaseStatus::Deployed, false, |_| ()));
    assert_eq!(scales(&next(0, (1, 1))), [("acme-prod-web".to_owned(), 0)]);
    assert_eq!(next(0, (0, 0)), helm(HelmAction::Upgrade, 5));
    assert_eq!(next(1, (0, 0)), helm(HelmAction::Upgrade, 5));
}

#[test]
fn an_upgrade_whose_hooks_may_need_the_database_waits_for_the_start_which_wakes_it_first() {
    let with = |replicas, runs: (i32, i32)| {
        let mut facts = released(replicas, runs, 4, ReleaseStatus::Deployed, false, |_| ());
        facts.has_upgrade_hooks = true;
        facts
    };
    let resting = with(0, (0, 0));
    assert_eq!((step(&resting), told(&resting)), (Step::Nothing, (Phase::Stopped, Reason::UpgradeAtStart)));
    assert_eq!(condition(&resting, "Ready").as_deref(), Some("True"), "waves of GitOps go on");
    assert_eq!(scales(&step(&with(1, (0, 0)))), [("acme-prod-db".to_owned(), 1)]);
    let mut waking = with(1, (0, 1));
    assert_eq!(step(&waking), helm(HelmAction::Upgrade, 5));
    waking.running.workloads[1].ready_replicas = 0;
    assert_eq!((step(&waking), told(&waking).1), (Step::Nothing, Reason::WaitingForDatabase));
    assert_eq!(step(&with(1, (1, 1))), helm(HelmAction::Upgrade, 5));
}

#[test]
fn what_was_stopped_starts_again_after_a_failed_upgrade() {
    for terminal in [true, false] {
        let mut facts = released(1, (0, 0), 5, ReleaseStatus::Failed, false, |_| ());
        facts.history.upsert(fixtures::history(4, ReleaseStatus::Deployed, |_| ()).newest().unwrap().clone());
        let inputs = inputs(&facts);
        facts.before.failures = Some(Failures { at: Time(at(1999)), ..fixtures::failures(4, terminal, &inputs) });
        assert_eq!(scales(&step(&facts)), [("acme-prod-db".to_owned(), 1)], "what ran is woken");
        assert_eq!(look(&facts).status.reason, Some(Reason::RenderFailed), "and the reason stays");
    }
}

#[test]
fn what_validation_refuses_is_stopped_and_started_all_the_same() {
    let refused = |replicas, runs, change: fn(&mut Facts)| {
        let mut facts = released(replicas, runs, 4, ReleaseStatus::Deployed, true, |_| ());
        change(&mut facts);
        facts
    };
    let table: [fn(&mut Facts); 3] = [
        |facts| facts.references.version = Err(Finding::new(Reason::VersionNotFound, "m")),
        |facts| facts.references.held = Some(HeldVersion { odoo_version: Some("17.0".into()), postgres_major: None }),
        |facts| {
            facts.environment = environment(facts.environment.spec.replicas, |o| o["spec"]["size"] = json!("M")).into();
        },
    ];
    for change in table {
        let reason = look(&refused(1, (1, 1), change)).status.reason;
        assert_eq!(step(&refused(1, (1, 1), change)), Step::Nothing, "what runs goes on");
        assert_eq!(scales(&step(&refused(0, (1, 1), change))), [("acme-prod-web".to_owned(), 0)]);
        let stopped = refused(0, (0, 0), change);
        assert_eq!(told(&stopped), (Phase::Stopped, reason.clone().unwrap()));
        assert_eq!(scales(&step(&refused(1, (0, 0), change))), [("acme-prod-db".to_owned(), 1)]);
        let suspended = refused(1, (1, 1), |_| ());
        let mut suspended = Facts { references: suspended.references.clone(), ..suspended };
        change(&mut suspended);
        let stop = json!({ "scope": "All", "reason": "CustomerSuspended", "since": "2026-11-27T00:00:00Z" });
        suspended.references.customer.as_mut().unwrap().stop = Some(serde_json::from_value(stop).unwrap());
        assert_eq!(scales(&step(&suspended)), [("acme-prod-web".to_owned(), 0)]);
        suspended.brake = Some(BrakeHold { finding: Finding::new(Reason::HeldByBrake, "m"), until: at(2500) });
        assert_eq!(
            (step(&suspended), look(&suspended).wake_at),
            (Step::Nothing, Some(at(2500))),
            "the brake counts it"
        );
    }
}

#[test]
fn a_lost_secret_is_told_and_never_made_anew_beside_a_release() {
    let lost = |current| {
        let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, current, |_| ());
        facts.generated_secret = None;
        facts
    };
    for current in [true, false] {
        assert_eq!(
            (step(&lost(current)), told(&lost(current))),
            (Step::Nothing, (Phase::Running, Reason::SecretMissing))
        );
    }
    assert_eq!(step(&facts(1, |facts| facts.generated_secret = None)), helm(HelmAction::Install, 1), "the first time");
}

#[test]
fn two_replicas_never_share_a_volume_for_one() {
    let with = |replicas, web: i32, shared| {
        let mut facts = released(replicas, (web, 1), 4, ReleaseStatus::Deployed, true, |_| ());
        facts.running.workloads[0].claims = vec!["acme-prod-filestore".into()];
        facts.running.volumes = vec![crate::observed::Volume { shared, ..fixtures::volume("acme-prod-filestore") }];
        facts
    };
    assert_eq!(told(&with(2, 1, false)), (Phase::Running, Reason::VolumeNotShared));
    assert_eq!(step(&with(2, 1, false)), Step::Nothing);
    assert_eq!(scales(&step(&with(2, 1, true))), [("acme-prod-web".to_owned(), 2)]);
    assert!(matches!(step(&with(2, 0, false)), Step::Scale(_)), "what was stopped starts with one");
}

#[test]
fn an_autoscalers_number_is_left_alone_except_to_stop_and_to_start() {
    let with = |replicas, web| {
        let mut facts = released(replicas, (web, 1), 4, ReleaseStatus::Deployed, true, |_| ());
        facts.running.workloads[0].autoscaled = true;
        facts
    };
    assert_eq!(step(&with(1, 3)), Step::Nothing);
    assert_eq!(scales(&step(&with(0, 3))), [("acme-prod-web".to_owned(), 0)]);
    assert_eq!(scales(&step(&with(1, 0))), [("acme-prod-web".to_owned(), 1)]);
}

#[test]
fn a_workload_that_is_gone_is_named_and_comes_back_when_somebody_asks() {
    let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, true, |_| ());
    facts.before = look(&facts).status;
    facts.running.workloads.retain(|workload| workload.kind == WorkloadKind::StatefulSet);
    let decision = look(&facts);
    assert_eq!((decision.step, decision.status.reason), (Step::Nothing, Some(Reason::WorkloadMissing)));
    let message = decision.status.message.unwrap();
    assert!(message.contains("Deployment \"acme-prod-web\"") && message.contains("requestedAt"), "{message}");
    facts.before.workloads.clone_from(&decision.status.workloads);
    assert_eq!(look(&facts).status.reason, Some(Reason::WorkloadMissing), "it is not forgotten by the next look");
    let asked = environment(1, |o| o["metadata"]["annotations"] = json!({ "odoofleet.dev/requestedAt": "1" }));
    facts.environment = asked.into();
    assert_eq!(step(&facts), helm(HelmAction::Upgrade, 5));
}

#[test]
fn a_rule_that_matches_nothing_is_named() {
    let rule = |name: &str| StopWorkload {
        kind: WorkloadKind::Deployment,
        name: name.into(),
        role: WorkloadRole::Application,
        replicas_path: Some("replicaCount".into()),
    };
    let mut facts = facts(1, |facts| facts.running = running(1, 1));
    facts.references.version = Ok(fixtures::version(|content| content.workloads = vec![rule("{release}-odooapp")]));
    facts.history = history(&facts, 1, ReleaseStatus::Deployed, true, |_| ());
    let message = look(&facts).status.message.unwrap();
    assert!(message.contains("\"acme-prod-odooapp\"") && message.contains("template"), "{message}");
    assert_eq!(told(&facts).1, Reason::WorkloadMissing);
}

#[test]
fn a_first_installation_may_be_held_and_what_is_installed_goes_on() {
    let limited = |facts: &mut Facts| {
        facts.references.customer.as_mut().unwrap().max_environments = Some(1);
        facts.references.rank_in_customer = 1;
    };
    let fresh = facts(1, limited);
    assert_eq!((step(&fresh), told(&fresh)), (Step::Nothing, (Phase::Error, Reason::LimitExceeded)));
    let mut installed = released(1, (1, 1), 1, ReleaseStatus::Deployed, true, |_| ());
    limited(&mut installed);
    assert_eq!((step(&installed), told(&installed).0), (Step::Nothing, Phase::Running));
    let unknown = facts(1, |facts| facts.references.customer.as_mut().unwrap().phase = None);
    assert_eq!(told(&unknown), (Phase::Pending, Reason::Progressing));
    let going = facts(1, |facts| facts.references.customer.as_mut().unwrap().is_deleting = true);
    assert_eq!((step(&going), told(&going).1), (Step::Nothing, Reason::CustomerNotActive));
}

#[test]
fn an_install_that_was_refused_is_an_error_and_says_so_everywhere() {
    let mut facts = released(1, (1, 1), 1, ReleaseStatus::Failed, true, |_| ());
    facts.running.workloads[0].ready_replicas = 0;
    let inputs = inputs(&facts);
    facts.before.failures = Some(fixtures::failures(1, true, &inputs));
    assert_eq!(told(&facts), (Phase::Error, Reason::RenderFailed));
    assert_eq!(condition(&facts, "Stalled").as_deref(), Some("True"));
    let released = look(&facts).status.conditions.into_iter().find(|condition| condition.type_ == "Released").unwrap();
    assert_eq!((released.status.as_str(), released.reason.as_str()), ("False", "RenderFailed"));
}

#[test]
fn an_obstacle_that_was_found_while_a_step_was_prepared_is_told() {
    let obstacle = Finding::new(Reason::ReferenceNotFound, "m");
    let fresh = facts(1, |_| ()).with_obstacle(obstacle.clone());
    assert_eq!((step(&fresh), told(&fresh)), (Step::Nothing, (Phase::Error, Reason::ReferenceNotFound)));
    let running = released(1, (1, 1), 4, ReleaseStatus::Deployed, false, |_| ()).with_obstacle(obstacle);
    assert_eq!((step(&running), told(&running).0), (Step::Nothing, Phase::Running));
}

/// A release whose pods began with something else than what is wanted now, and one pod that serves.
fn other_inputs(check: impl FnOnce(&str, &str) -> Option<Check>) -> Facts {
    let mut facts =
        released(1, (1, 1), 1, ReleaseStatus::Deployed, false, |ownership| ownership.check = Some("c0".into()));
    let wanted = validate(&facts.environment, &facts.references).unwrap();
    facts.running.check = check(&wanted.check, &wanted.inputs);
    facts
}

fn tried(digest: &str, inputs: &str, change: impl FnOnce(&mut Check)) -> Check {
    let pod = fixtures::pod(WorkloadKind::Deployment, "acme-prod-check", "acme-prod-check");
    let mut check = Check { digest: digest.into(), inputs: inputs.into(), pod, succeeded: false };
    change(&mut check);
    check
}

#[test]
fn a_change_of_what_odoo_begins_with_is_tried_before_it_replaces_what_runs() {
    let start = helm(HelmAction::Check, 2);
    let upgrade = helm(HelmAction::Upgrade, 2);
    assert_eq!(step(&other_inputs(|_, _| None)), start);
    assert_eq!(
        step(&other_inputs(|_, inputs| Some(tried("c9", inputs, |check| check.succeeded = true)))),
        start,
        "another change"
    );
    let waits = other_inputs(|check, inputs| Some(tried(check, inputs, |_| ())));
    assert_eq!((step(&waits), told(&waits)), (Step::Nothing, (Phase::Running, Reason::Checking)));
    let done = |check: &mut Check| (check.succeeded, check.pod.finished) = (true, true);
    assert_eq!(step(&other_inputs(|check, inputs| Some(tried(check, inputs, done)))), upgrade);
    assert_eq!(step(&other_inputs(|check, _| Some(tried(check, "i0", |_| ())))), start, "something else was mended");
    let nothing_to_check = |inputs: String| {
        let mut facts = other_inputs(|_, _| None);
        let inputs =
            if inputs.is_empty() { validate(&facts.environment, &facts.references).unwrap().inputs } else { inputs };
        facts.evidence = Some(Evidence {
            operation: "1".into(),
            inputs,
            result: Ok(Success { nothing_to_check: true, check_started: None }),
        });
        facts
    };
    let mut unseen = other_inputs(|_, _| None);
    let started = |inputs: &str, second| Evidence {
        operation: "1".into(),
        inputs: inputs.into(),
        result: Ok(Success { nothing_to_check: false, check_started: Some(at(second)) }),
    };
    let inputs_now = inputs(&unseen);
    unseen.evidence = Some(started(&inputs_now, 1990));
    assert_eq!((step(&unseen), look(&unseen).wake_at), (Step::Nothing, Some(at(2020))), "its watch is late");
    unseen.evidence = Some(started(&inputs_now, 1970));
    assert_eq!(step(&unseen), start, "somebody has deleted it");
    unseen.evidence = Some(started(&inputs_now, 1990));
    unseen.before.failures = Some(Failures { at: Time(at(1995)), ..fixtures::failures(1, false, &inputs_now) });
    assert_ne!(told(&unseen).1, Reason::Checking, "it has ended in vain, and its pod was removed");
    unseen.before.failures = None;
    unseen.evidence = Some(started("other", 1990));
    assert_eq!(step(&unseen), start);
    assert_eq!(step(&nothing_to_check(String::new())), upgrade, "the chart has nothing to try these values with");
    assert_eq!(step(&nothing_to_check("other".into())), start, "other values may be tried");
}

#[test]
fn a_check_that_ended_in_vain_is_removed_counted_and_begun_again_after_a_pause() {
    let ended = other_inputs(|check, inputs| Some(tried(check, inputs, |check| check.pod.finished = true)));
    let decision = look(&ended);
    assert!(matches!(decision.step, Step::DeletePod { purpose: PodPurpose::EndCheck, .. }));
    assert_eq!(decision.status.failures.as_ref().map(|failures| failures.count), Some(1));
    let mut gone = other_inputs(|_, _| None);
    gone.before = decision.status;
    assert_eq!(step(&gone), Step::Nothing);
    let until = look(&gone).wake_at.unwrap();
    assert!((at(NOW + 10)..at(NOW + 13)).contains(&until), "{until}");
    assert!(matches!(decide(&gone, until).step, Step::Helm(HelmStep { action: HelmAction::Check, .. })));
}

#[test]
fn a_change_that_cannot_work_is_told_and_replaces_nothing() {
    let message = r#"{"error": {"reason": "AddonRefNotFound", "message": "there is no tag v9"}}"#;
    let end = Termination {
        reason: "Error".into(),
        exit_code: 1,
        at: None,
        current: true,
        message: crate::environment::termination::parse(message),
    };
    let container = Container { init: true, running: false, terminated: Some(end), ..fixtures::container("addons-0") };
    let facts =
        other_inputs(|check, inputs| Some(tried(check, inputs, |check| check.pod.containers = vec![container])));
    let decision = look(&facts);
    assert_eq!(
        (decision.step, decision.wake_at),
        (Step::Nothing, None),
        "it waits until the pod succeeds or an input changes"
    );
    let status = decision.status;
    assert_eq!((status.phase, status.reason), (Some(Phase::Running), Some(Reason::AddonRefNotFound)));
    let message = status.message.unwrap();
    assert!(message.contains("what ran goes on") && message.contains("v9"), "{message}");
    assert_eq!(condition(&facts, "Stalled").as_deref(), Some("True"));
}

#[test]
fn what_protects_nobody_is_upgraded_at_once() {
    let upgrade = helm(HelmAction::Upgrade, 2);
    let mut broken = other_inputs(|_, _| None);
    broken.running.workloads[0].ready_replicas = 0;
    assert_eq!(step(&broken), upgrade, "nobody can work with it anyway");
    let stopped =
        released(0, (0, 0), 1, ReleaseStatus::Deployed, false, |ownership| ownership.check = Some("c0".into()));
    assert_eq!(step(&stopped), upgrade, "it is stopped");
    assert_eq!(step(&released(1, (1, 1), 1, ReleaseStatus::Deployed, false, |_| ())), upgrade, "it begins as before");
}

#[test]
fn a_check_of_no_more_use_is_removed() {
    let with = |check: Option<Check>| {
        let mut facts = released(1, (1, 1), 1, ReleaseStatus::Deployed, true, |_| ());
        facts.running.check = check;
        step(&facts)
    };
    let end = Step::DeletePod {
        name: "acme-prod-check".into(),
        uid: "acme-prod-check".into(),
        purpose: PodPurpose::EndCheck,
    };
    assert_eq!(with(Some(tried("c1", "i", |check| check.succeeded = true))), end, "the upgrade is made");
    assert_eq!(with(Some(tried("c2", "i", |_| ()))), end, "the change was taken back");
    assert_eq!(with(Some(tried("c1", "i", |check| check.pod.deleting = true))), Step::Nothing);
}

#[test]
fn a_restart_replaces_a_pod_only_where_the_release_is_current() {
    let pod = Pod { ready: true, ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", "p1") };
    let mut facts = released(1, (1, 1), 1, ReleaseStatus::Deployed, true, |_| ());
    facts.running.pods = vec![pod];
    let asked = environment(1, |o| {
        o["metadata"]["annotations"] = json!({ "odoofleet.dev/restartedAt": "2026-01-01T00:00:00Z" });
    });
    facts.environment = asked.into();
    let decision = look(&facts);
    assert!(matches!(decision.step, Step::DeletePod { purpose: PodPurpose::Restart, .. }));
    assert_eq!(decision.status.restart.map(|restart| restart.pods), Some(vec!["p1".to_owned()]));
    assert_eq!(decision.record.map(|record| record.action), Some(Action::Restart));
}
