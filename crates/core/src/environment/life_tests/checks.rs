//! Changes that are tried before they replace what runs.

use super::*;

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
            result: Ok(Success { nothing_to_check: true, ..Success::default() }),
        });
        facts
    };
    let mut unseen = other_inputs(|_, _| None);
    let started = |inputs: &str, second| Evidence {
        operation: "1".into(),
        inputs: inputs.into(),
        result: Ok(Success { check_started: Some(at(second)), ..Success::default() }),
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
