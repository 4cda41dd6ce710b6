//! Tables of drift: when it is looked for, when it is put right, and what is told.

use odoofleet_api::environment::DriftIgnore;

use super::super::decide::decide;
use super::super::facts::GeneratedSecret;
use super::super::fixtures;
use super::super::step::Decision;
use super::super::validate::validate;
use super::*;
use crate::release::ReleaseStatus;

const NOW: i64 = 2000;

/// A release in sync, in a mode.
fn facts(mode: DriftMode, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut environment = fixtures::environment(1, |_| ());
    environment.spec.drift_detection = Some(DriftDetection { mode, ignore: vec![] });
    let mut facts = fixtures::facts(environment);
    facts.generated_secret = Some(GeneratedSecret { uid: Some("u1".into()) });
    facts.running = fixtures::running(1, 1);
    let wanted = validate(&facts.environment, &facts.references).unwrap();
    facts.history = fixtures::history(4, ReleaseStatus::Deployed, |ownership| {
        ownership.spec_hash = Some(wanted.spec_hash.clone());
    });
    facts.drift.everything_at = Timestamp::from_second(9000).unwrap();
    change(&mut facts);
    facts
}

fn look(facts: &Facts) -> Decision {
    decide(facts, Timestamp::from_second(NOW).unwrap())
}

fn difference() -> ObjectDifference {
    ObjectDifference {
        object: "Deployment/acme-prod-web".into(),
        change: "changed".into(),
        paths: vec!["spec.template.spec.containers[0].image".into()],
    }
}

fn found(facts: &mut Facts, differences: Vec<ObjectDifference>) {
    facts.drift.found = Some(DriftFound { revision: 4, rules: rules(facts), differences });
}

fn suspect(facts: &mut Facts) {
    facts.drift.suspects.insert("Deployment.apps/acme-prod-web".into());
}

/// At what a look is to look.
fn looked_at(decision: &Decision) -> String {
    match &decision.step {
        Step::LookForDrift { objects: Some(objects) } => format!("{} object(s)", objects.len()),
        Step::LookForDrift { objects: None } => "everything".to_owned(),
        step => format!("{step:?}"),
    }
}

#[test]
fn in_sync_nothing_is_done_until_everything_is_looked_at_again() {
    for mode in [DriftMode::Warn, DriftMode::Correct] {
        let decision = look(&facts(mode, |_| ()));
        assert_eq!((&decision.step, decision.wake_at.map(Timestamp::as_second)), (&Step::Nothing, Some(9000)));
        let due = look(&facts(mode, |facts| facts.drift.everything_at = Timestamp::UNIX_EPOCH));
        assert_eq!(looked_at(&due), "everything");
    }
    let decision = look(&facts(DriftMode::Disabled, |facts| {
        suspect(facts);
        facts.drift.everything_at = Timestamp::UNIX_EPOCH;
    }));
    assert_eq!((decision.step, decision.wake_at), (Step::Nothing, None));
}

#[test]
fn what_somebody_may_have_touched_is_looked_at_and_it_says_nothing_of_where_it_stands() {
    let decision = look(&facts(DriftMode::Warn, suspect));
    assert_eq!(looked_at(&decision), "1 object(s)");
    assert_eq!(decision.record, None);
    let ready = decision.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True");
    let while_looking = look(&facts(DriftMode::Warn, |facts| {
        suspect(facts);
        facts.drift.looking = true;
    }));
    assert_eq!(while_looking.step, Step::Nothing);
    let after_a_failure = look(&facts(DriftMode::Warn, |facts| {
        suspect(facts);
        facts.drift.not_before = Some(Timestamp::from_second(NOW + 5).unwrap());
    }));
    assert_eq!((after_a_failure.step, after_a_failure.wake_at.unwrap().as_second()), (Step::Nothing, NOW + 5));
}

#[test]
fn drift_is_told_and_put_right_only_where_the_spec_says_so() {
    for (mode, corrects) in [(DriftMode::Warn, false), (DriftMode::Correct, true)] {
        let decision = look(&facts(mode, |facts| found(facts, vec![difference()])));
        assert_eq!(decision.status.drift, [difference()]);
        let drifted = decision.status.conditions.iter().find(|condition| condition.type_ == "Drifted").unwrap();
        assert!(drifted.message.contains("Deployment/acme-prod-web spec.template"), "{}", drifted.message);
        let step =
            matches!(&decision.step, Step::Helm(step) if step.action == HelmAction::Correct && step.revision == 4);
        assert_eq!(step, corrects, "{mode:?}");
    }
    let clean = look(&facts(DriftMode::Correct, |facts| {
        found(facts, vec![]);
        facts.before.drift = vec![difference()];
    }));
    assert!(clean.status.drift.is_empty() && clean.step == Step::Nothing);
    assert!(!clean.status.conditions.iter().any(|condition| condition.type_ == "Drifted"));
}

#[test]
fn what_was_found_by_other_rules_or_before_a_restart_is_looked_at_anew() {
    let ruled = look(&facts(DriftMode::Warn, |facts| {
        found(facts, vec![]);
        let ignore = vec![DriftIgnore { object: None, paths: vec!["metadata.labels".into()] }];
        facts.drift.found.as_mut().unwrap().rules.ignore = ignore;
    }));
    assert_eq!(looked_at(&ruled), "everything");
    let restarted = look(&facts(DriftMode::Warn, |facts| {
        facts.before.drift = vec![difference()];
        let release = serde_json::json!({ "name": "acme-prod", "revision": 4, "status": "deployed" });
        facts.before.release = Some(serde_json::from_value(release).unwrap());
    }));
    assert_eq!(
        (looked_at(&restarted).as_str(), restarted.status.drift.len()),
        ("everything", 1),
        "until then it is told"
    );
}

#[test]
fn an_upgrade_has_put_everything_right() {
    let upgraded = look(&facts(DriftMode::Warn, |facts| {
        facts.before.drift = vec![difference()];
        let release = serde_json::json!({ "name": "acme-prod", "revision": 3, "status": "deployed" });
        facts.before.release = Some(serde_json::from_value(release).unwrap());
    }));
    assert!(upgraded.status.drift.is_empty() && upgraded.step == Step::Nothing, "and nobody looks whether it did");
    let found_before = look(&facts(DriftMode::Correct, |facts| {
        facts.drift.found = Some(DriftFound { revision: 3, rules: rules(facts), differences: vec![difference()] });
    }));
    assert!(found_before.status.drift.is_empty() && found_before.step == Step::Nothing);
}

#[test]
fn looks_at_everything_are_spread_over_hours() {
    let hours = |uid: &str| everything_after(Timestamp::UNIX_EPOCH, uid).as_second() / 60;
    let all: BTreeSet<i64> = (0..200).map(|number| hours(&format!("uid-{number}"))).collect();
    assert!(all.iter().all(|minutes| (180..=360).contains(minutes)) && all.len() > 80, "{all:?}");
}

#[test]
fn an_operation_waits_until_a_look_has_ended() {
    let outdated = |looking| {
        look(&facts(DriftMode::Warn, |facts| {
            facts.drift.looking = looking;
            facts.history = fixtures::history(4, ReleaseStatus::Failed, |_| ());
        }))
    };
    assert!(matches!(outdated(false).step, Step::Helm(_)));
    let waiting = outdated(true);
    assert_eq!((waiting.step, waiting.wake_at), (Step::Nothing, None), "its end asks for the next look");
}
