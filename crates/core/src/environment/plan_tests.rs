//! Tables for the choice of the next step.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::Object;
use odoofleet_api::environment::{Operation, Stage};
use odoofleet_api::names::{CustomerName, ReleaseName};
use odoofleet_api::template::WorkloadKind;

use super::super::fixtures;
use super::*;
use crate::observed::{Check, Container, Pod, Termination, Workload};
use crate::release::{Ownership, ReleaseStatus};
use crate::template::WorkloadRule;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn wanted(replicas: i32) -> Validated {
    let rule = WorkloadRule {
        kind: WorkloadKind::Deployment,
        name: "acme-prod-web".into(),
        role: WorkloadRole::Application,
        live: true,
    };
    Validated {
        namespace: "odoo".into(),
        environment: "acme-prod".into(),
        uid: "u1".into(),
        customer: CustomerName::parse("acme").unwrap(),
        release: ReleaseName::parse("acme-prod").unwrap(),
        stage: Stage::Production,
        version: fixtures::version(|_| ()),
        replicas,
        overlay: None,
        values: Object::new(),
        fed: vec![],
        spec_hash: "h1".into(),
        check: "c1".into(),
        inputs: "i1".into(),
        stop_plan: StopPlan::new(vec![rule]),
        install_refusal: None,
        generated_secret: "acme-prod-odoofleet".into(),
        helm_timeout: 300,
        allow_data_loss: None,
    }
}

fn history(number: i64, status: ReleaseStatus, change: impl FnOnce(&mut Ownership)) -> History {
    let mut ownership = Ownership {
        customer: Some("acme".into()),
        environment: Some("acme-prod".into()),
        environment_uid: Some("u1".into()),
        spec_hash: Some("h1".into()),
        check: Some("c1".into()),
        revision: Some(number),
        retained_at: None,
    };
    change(&mut ownership);
    let mut history = History::default();
    history.upsert(Revision {
        release: "acme-prod".into(),
        number,
        status,
        ownership,
        created_at: at(1000),
        resource_version: "1".into(),
    });
    history
}

fn running(replicas: i32) -> Running {
    let workload = Workload {
        replicas,
        current_replicas: replicas,
        ready_replicas: replicas,
        ..fixtures::workload(WorkloadKind::Deployment, "acme-prod-web")
    };
    Running { workloads: vec![workload], ..Running::default() }
}

/// A situation at second 2000 in which nothing is recorded.
fn step(
    wanted: &Validated,
    history: &History,
    running: &Running,
    change: impl FnOnce(&mut OdooEnvironmentStatus, &mut Option<Verdict>, &mut Timestamp),
) -> Step {
    let (mut status, mut verdict, mut now) = (OdooEnvironmentStatus::default(), None, at(2000));
    change(&mut status, &mut verdict, &mut now);
    plan(&Situation {
        wanted,
        history,
        running,
        status: &status,
        verdict: verdict.as_ref(),
        fence: at(1500),
        has_check: true,
        held: None,
        restart_before: None,
        now,
    })
}

fn failed(count: i32, terminal: bool, inputs: &str, at_second: i64) -> Failures {
    Failures {
        count,
        reason: "RenderFailed".into(),
        message: "m".into(),
        terminal,
        inputs: inputs.into(),
        at: Time(at(at_second)),
    }
}

#[test]
fn each_state_of_a_release_has_its_step() {
    use ReleaseStatus as S;
    let helm = |action, revision| Step::Helm { action, revision };
    let table = [
        (History::default(), helm(Action::Install, 1)),
        (history(4, S::Deployed, |_| {}), Step::Nothing),
        (history(4, S::Deployed, |o| o.spec_hash = Some("h0".into())), helm(Action::Upgrade, 5)),
        (history(4, S::Failed, |_| {}), helm(Action::Upgrade, 5)),
        (history(4, S::PendingUpgrade, |_| {}), helm(Action::Unlock, 4)),
        (history(4, S::Deployed, |o| o.retained_at = Some(1)), helm(Action::Upgrade, 5)),
        // A human's upgrade on the same spec is left alone, on another it is overwritten.
        (history(5, S::Deployed, |o| o.revision = Some(4)), Step::Nothing),
        (
            history(5, S::Deployed, |o| {
                o.revision = Some(4);
                o.spec_hash = Some("h0".into());
            }),
            helm(Action::Upgrade, 6),
        ),
    ];
    for (history, expected) in table {
        assert_eq!(step(&wanted(1), &history, &running(1), |_, _, _| {}), expected, "{history:?}");
    }
}

#[test]
fn what_is_not_ours_is_never_touched() {
    use ReleaseStatus as S;
    let refused = |history: &History| match step(&wanted(1), history, &running(1), |_, _, _| {}) {
        Step::Refuse(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&history(1, S::Deployed, |o| *o = Ownership::default())), Reason::AdoptionPending);
    assert_eq!(refused(&history(1, S::Failed, |o| *o = Ownership::default())), Reason::AdoptionPending);
    assert_eq!(refused(&history(1, S::Deployed, |o| o.customer = Some("a".into()))), Reason::ReleaseOwnedByAnother);
    assert_eq!(
        refused(&history(1, S::PendingInstall, |o| o.customer = Some("a".into()))),
        Reason::ReleaseOwnedByAnother
    );
    assert_eq!(refused(&history(1, S::Uninstalling, |_| {})), Reason::HelmFailed);
}

#[test]
fn a_lock_waits_for_the_fence_if_ours_and_for_the_grace_if_foreign() {
    let ours = history(4, ReleaseStatus::PendingUpgrade, |_| {});
    let foreign = history(4, ReleaseStatus::PendingUpgrade, |o| *o = Ownership::default());
    let waits = |history: &History, second| match step(&wanted(1), history, &running(1), |_, _, now| *now = at(second))
    {
        Step::Wait { refusal, until } => Some((refusal.reason, until.map(Timestamp::as_second))),
        Step::Helm { action: Action::Unlock, revision: 4 } => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(&ours, 1499), Some((Reason::ForeignOperation, Some(1500))));
    assert_eq!(waits(&ours, 1500), None);
    assert_eq!(waits(&foreign, 1899), Some((Reason::ForeignOperation, Some(1900))), "15 minutes from its creation");
    assert_eq!(waits(&foreign, 1900), None);
}

#[test]
fn failures_wait_longer_each_time_and_terminal_ones_for_an_input() {
    let outdated = history(4, ReleaseStatus::Failed, |_| {});
    let with =
        |failures: Failures| step(&wanted(1), &outdated, &running(1), |status, _, _| status.failures = Some(failures));
    let until = |count, since| match with(failed(count, false, "i1", since)) {
        Step::Wait { until: Some(until), .. } => Some(until.as_second() - since),
        Step::Helm { .. } => None,
        other => panic!("{other:?}"),
    };
    let (first, second, last) = (until(1, 1999).unwrap(), until(2, 1999).unwrap(), until(30, 1999).unwrap());
    assert!((10..=12).contains(&first) && second == first * 2, "{first} {second}");
    assert!((900..=1080).contains(&last), "{last}");
    assert_eq!(until(1, 1980), None, "the pause is over");
    assert!(matches!(with(failed(1, true, "i1", 0)), Step::Refuse(refusal) if refusal.reason == Reason::RenderFailed));
    assert!(matches!(with(failed(9, true, "i0", 1999)), Step::Helm { .. }), "an input has changed");
}

#[test]
fn a_running_operation_keeps_everything_but_a_stop_waiting() {
    let operation = Operation {
        id: "1".into(),
        action: Action::Upgrade,
        expected_revision: 5,
        holder: "h".into(),
        generation: 1,
        template: None,
        started_at: Time(at(1990)),
        deadline: Time(at(2290)),
        valid_until: Time(at(2005)),
    };
    let outdated = history(5, ReleaseStatus::PendingUpgrade, |_| {});
    let during = |replicas| {
        step(&wanted(replicas), &outdated, &running(1), |status, verdict, _| {
            status.operation = Some(operation.clone());
            *verdict = Some(Verdict::Running);
        })
    };
    assert!(matches!(during(1), Step::Wait { refusal, .. } if refusal.reason == Reason::Upgrading));
    assert!(matches!(during(0), Step::Scale(_)));
}

#[test]
fn a_stop_goes_before_an_upgrade_and_a_start_after_it() {
    let outdated = history(4, ReleaseStatus::Deployed, |o| o.spec_hash = Some("h0".into()));
    let next = |replicas, running: &Running| step(&wanted(replicas), &outdated, running, |_, _, _| {});
    assert!(matches!(next(0, &running(1)), Step::Scale(_)));
    assert!(matches!(next(0, &running(0)), Step::Helm { action: Action::Upgrade, .. }));
    assert!(matches!(next(1, &running(0)), Step::Helm { action: Action::Upgrade, .. }));
}

#[test]
fn a_first_installation_may_be_refused_and_what_is_installed_goes_on() {
    let mut limited = wanted(1);
    limited.install_refusal = Some(Refusal::new(Reason::LimitExceeded, "m"));
    let next = |history: &History| step(&limited, history, &running(1), |_, _, _| {});
    assert!(matches!(next(&History::default()), Step::Refuse(refusal) if refusal.reason == Reason::LimitExceeded));
    assert_eq!(next(&history(1, ReleaseStatus::Deployed, |_| {})), Step::Nothing);
    limited.install_refusal = Some(Refusal::new(Reason::Progressing, "m"));
    assert!(matches!(step(&limited, &History::default(), &running(1), |_, _, _| {}), Step::Wait { .. }));
}

#[test]
fn pods_are_replaced_one_by_one() {
    let pod = |name: &str, created: i64, ready: bool, deleting: bool| Pod {
        created_at: at(created),
        deleting,
        ready,
        ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", name)
    };
    let current = history(1, ReleaseStatus::Deployed, |_| {});
    let next = |pods: Vec<Pod>| {
        let running = Running { pods, ..running(2) };
        let wanted = wanted(2);
        let status = OdooEnvironmentStatus::default();
        plan(&Situation {
            wanted: &wanted,
            history: &current,
            running: &running,
            status: &status,
            verdict: None,
            fence: at(0),
            has_check: true,
            held: None,
            restart_before: Some(at(100)),
            now: at(200),
        })
    };
    assert!(
        matches!(next(vec![pod("a", 1, true, false), pod("b", 1, true, false)]), Step::RestartPod { name, .. } if name == "a")
    );
    assert!(matches!(next(vec![pod("a", 1, true, true), pod("b", 1, true, false)]), Step::Wait { .. }));
    assert!(matches!(next(vec![pod("c", 150, false, false), pod("b", 1, true, false)]), Step::Wait { .. }));
    assert!(
        matches!(next(vec![pod("c", 150, true, false), pod("b", 1, true, false)]), Step::RestartPod { name, .. } if name == "b")
    );
    assert_eq!(next(vec![pod("c", 150, true, false), pod("d", 160, true, false)]), Step::Nothing);
}

/// A release whose pods began with something else than what is wanted now, and one pod that serves.
fn other_inputs() -> (History, Running) {
    let other = |ownership: &mut Ownership| {
        ownership.spec_hash = Some("h0".into());
        ownership.check = Some("c0".into());
    };
    (history(1, ReleaseStatus::Deployed, other), running(1))
}

fn tried(digest: &str, change: impl FnOnce(&mut Check)) -> Check {
    let pod = fixtures::pod(WorkloadKind::Deployment, "acme-prod-check", "acme-prod-check");
    let mut check = Check { digest: digest.into(), inputs: "i1".into(), pod, succeeded: false };
    change(&mut check);
    check
}

#[test]
fn a_change_of_what_odoo_begins_with_is_tried_before_it_replaces_what_runs() {
    let (history, running) = other_inputs();
    let next = |check: Option<Check>| step(&wanted(1), &history, &Running { check, ..running.clone() }, |_, _, _| ());
    let start = Step::Helm { action: Action::Check, revision: 2 };
    let upgrade = Step::Helm { action: Action::Upgrade, revision: 2 };
    assert_eq!(next(None), start);
    assert_eq!(next(Some(tried("c0", |check| check.succeeded = true))), start, "that was another change");
    assert!(
        matches!(next(Some(tried("c1", |_| ()))), Step::Wait { refusal, .. } if refusal.reason == Reason::Checking)
    );
    assert_eq!(next(Some(tried("c1", |check| (check.succeeded, check.pod.finished) = (true, true)))), upgrade);
    assert_eq!(next(Some(tried("c1", |check| check.inputs = "i0".into()))), start, "something else was mended");
    assert_eq!(
        next(Some(tried("c1", |check| check.pod.finished = true))),
        start,
        "an evicted pod tries nothing any more"
    );
}

#[test]
fn a_change_that_cannot_work_is_told_and_replaces_nothing() {
    let (history, running) = other_inputs();
    let told = r#"{"error": {"reason": "AddonRefNotFound", "message": "there is no tag v9"}}"#;
    let end = Termination {
        reason: "Error".into(),
        exit_code: 1,
        at: None,
        current: true,
        told: crate::environment::told::parse(told),
    };
    let container = Container { init: true, running: false, terminated: Some(end), ..fixtures::container("addons-0") };
    let check = Some(tried("c1", |check| check.pod.containers = vec![container]));
    let Step::Wait { refusal, until: None } = step(&wanted(1), &history, &Running { check, ..running }, |_, _, _| ())
    else {
        panic!("it waits until the pod succeeds or the input changes")
    };
    assert_eq!(refusal.reason, Reason::AddonRefNotFound);
    assert!(refusal.message.contains("what ran goes on") && refusal.message.contains("v9"), "{}", refusal.message);
}

#[test]
fn what_protects_nobody_is_upgraded_at_once() {
    let (history, up) = other_inputs();
    let upgrade = Step::Helm { action: Action::Upgrade, revision: 2 };
    let mut broken = up.clone();
    broken.workloads[0].ready_replicas = 0;
    assert_eq!(step(&wanted(1), &history, &broken, |_, _, _| ()), upgrade, "nobody can work with it anyway");
    assert_eq!(step(&wanted(0), &history, &running(0), |_, _, _| ()), upgrade, "it is stopped");
    let mut same = wanted(1);
    same.check = "c0".into();
    assert_eq!(step(&same, &history, &up, |_, _, _| ()), upgrade, "what Odoo begins with did not change");
    let (status, wanted) = (OdooEnvironmentStatus::default(), wanted(1));
    let plain = plan(&Situation {
        wanted: &wanted,
        history: &history,
        running: &up,
        status: &status,
        verdict: None,
        fence: at(0),
        has_check: false,
        held: None,
        restart_before: None,
        now: at(2000),
    });
    assert_eq!(plain, upgrade, "the chart has nothing to try with");
}

#[test]
fn a_check_of_no_more_use_is_removed() {
    let current = history(1, ReleaseStatus::Deployed, |_| {});
    let next = |check| step(&wanted(1), &current, &Running { check: Some(check), ..running(1) }, |_, _, _| ());
    let end = Step::EndCheck { name: "acme-prod-check".into(), uid: "acme-prod-check".into() };
    assert_eq!(next(tried("c1", |check| check.succeeded = true)), end, "the upgrade is made");
    assert_eq!(next(tried("c2", |_| ())), end, "the change was taken back");
    assert_eq!(next(tried("c1", |check| check.pod.deleting = true)), Step::Nothing);
}
