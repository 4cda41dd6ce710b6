//! Tables of taking over: what a comparison, the mode and the state of the release call for.

use odoofleet_api::environment::Action;

use super::super::decide::decide;
use super::super::facts::GeneratedSecret;
use super::super::fixtures;
use super::super::step::Decision;
use super::super::validate::validate;
use super::*;
use crate::release::Ownership;
use crate::task::{Evidence, Success};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Revision 4 of a release that somebody else installed, in a state, with an environment in a mode.
fn found(status: ReleaseStatus, mode: Adoption, change: impl FnOnce(&mut Facts)) -> Facts {
    let environment = fixtures::environment(1, |object| object["spec"]["stage"] = "Staging".into());
    let mut facts = fixtures::facts(environment);
    facts.running = fixtures::running(1, 1);
    facts.references.version = Ok(fixtures::version(|content| content.values.clear()));
    facts.history = fixtures::history(4, status, |ownership| *ownership = Ownership::default());
    spec(&mut facts, |spec| spec.adoption = Some(mode));
    change(&mut facts);
    facts
}

fn spec(facts: &mut Facts, change: impl FnOnce(&mut odoofleet_api::environment::OdooEnvironmentSpec)) {
    let mut environment = (*facts.environment).clone();
    change(&mut environment.spec);
    facts.environment = environment.into();
}

fn difference(paths: &[&str]) -> ObjectDifference {
    ObjectDifference {
        object: "Deployment/acme-prod-web".into(),
        change: "changed".into(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

/// The same after a comparison of its newest revision.
fn compared(mut facts: Facts, change: impl FnOnce(&mut Compared)) -> Facts {
    let mut shown = Compared {
        revision: 4,
        resource_version: "1".into(),
        chart: "odoo".into(),
        chart_version: "0.9.0".into(),
        ..Compared::default()
    };
    change(&mut shown);
    let inputs = validate(&facts.environment, &facts.references).unwrap().inputs;
    take(&mut facts.before, &shown, &inputs, NOW);
    facts
}

fn look(facts: &Facts) -> Decision {
    decide(facts, Timestamp::from_second(2000).unwrap())
}

fn helm(decision: &Decision) -> Option<HelmAction> {
    match &decision.step {
        Step::Helm(step) => Some(step.action),
        _ => None,
    }
}

#[test]
fn a_release_of_somebody_else_is_compared_once_for_the_same_record_and_the_same_inputs() {
    use ReleaseStatus as S;
    for status in [S::Deployed, S::Failed, S::Superseded] {
        for mode in [Adoption::Monitor, Adoption::Observe, Adoption::TakeOver] {
            let facts = found(status, mode, |_| ());
            assert_eq!(helm(&look(&facts)), Some(HelmAction::Compare), "{status:?} {mode:?}");
        }
    }
    let facts = compared(found(S::Deployed, Adoption::Observe, |_| ()), |shown| {
        shown.differences = vec![difference(&["spec.template"])];
    });
    assert_eq!(look(&facts).step, Step::Nothing);
    assert_eq!(look(&facts).wake_at, None, "nothing polls");
    let mut upgraded_by_hand = facts.clone();
    upgraded_by_hand.history = fixtures::history(5, S::Deployed, |ownership| *ownership = Ownership::default());
    assert_eq!(helm(&look(&upgraded_by_hand)), Some(HelmAction::Compare));
    let mut edited = facts;
    spec(&mut edited, |spec| spec.paused = Some(false));
    let mut environment = (*edited.environment).clone();
    environment.metadata.generation = Some(4);
    edited.environment = environment.into();
    assert_eq!(helm(&look(&edited)), Some(HelmAction::Compare));
}

#[test]
fn equal_is_taken_over_by_labels_and_different_by_an_upgrade_where_the_spec_says_so() {
    use Adoption as M;
    use ReleaseStatus as S;
    type Row = (S, M, &'static [&'static str], &'static str);
    let table: [Row; 9] = [
        (S::Deployed, M::Observe, &[], "adopt"),
        (S::Deployed, M::TakeOver, &[], "adopt"),
        (S::Deployed, M::Monitor, &[], "equals"),
        (S::Deployed, M::Monitor, &["spec.template"], "only watched"),
        (S::Deployed, M::Observe, &["spec.template"], "mend the environment"),
        (S::Deployed, M::TakeOver, &["spec.template"], "upgrade"),
        (S::Failed, M::Observe, &[], "\"failed\""),
        (S::Failed, M::TakeOver, &[], "install"),
        (S::PendingUpgrade, M::Observe, &[], "another Helm"),
    ];
    for (status, mode, paths, expected) in table {
        let facts = compared(found(status, mode, |_| ()), |shown| {
            shown.differences = if paths.is_empty() { vec![] } else { vec![difference(paths), difference(paths)] };
        });
        let decision = look(&facts);
        let told = match (&decision.step, helm(&decision)) {
            (Step::Adopt { revision: 4, resource_version, labels }, _) => {
                assert!(resource_version == "1" && labels.contains(&(labels::REVISION, "4".to_owned())));
                "adopt".to_owned()
            }
            // A change is tried first.
            (_, Some(HelmAction::Check)) => "upgrade".to_owned(),
            (_, Some(HelmAction::Install)) => "install".to_owned(),
            (step, _) => {
                assert_eq!(*step, Step::Nothing);
                assert_eq!(decision.status.reason, Some(Reason::AdoptionPending));
                decision.status.message.clone().unwrap()
            }
        };
        assert!(told.contains(expected), "{status:?} {mode:?} {paths:?}: {told}");
    }
}

#[test]
fn production_is_taken_over_by_an_upgrade_only_with_a_word_for_this_revision() {
    let facts = |word: Option<&str>| {
        let mut facts = found(ReleaseStatus::Deployed, Adoption::TakeOver, |_| ());
        let mut environment = (*facts.environment).clone();
        environment.spec.stage = Stage::Production;
        environment.metadata.annotations =
            word.map(|word| [(labels::ALLOW_TAKEOVER.to_owned(), word.to_owned())].into());
        facts.environment = environment.into();
        compared(facts, |shown| shown.differences = vec![difference(&["spec"])])
    };
    for word in [None, Some("acme-prod"), Some("acme-prod/3")] {
        let decision = look(&facts(word));
        assert_eq!(decision.step, Step::Nothing, "{word:?}");
        assert!(decision.status.message.unwrap().contains("allow-takeover=acme-prod/4"));
    }
    assert_eq!(helm(&look(&facts(Some("acme-prod/4")))), Some(HelmAction::Check), "the upgrade begins with a trial");
}

#[test]
fn what_renders_differently_each_time_is_never_taken_over() {
    for mode in [Adoption::Observe, Adoption::TakeOver] {
        let facts = compared(found(ReleaseStatus::Deployed, mode, |_| ()), |shown| {
            shown.unstable = vec![difference(&["data.password"])];
        });
        let decision = look(&facts);
        assert_eq!(decision.step, Step::Nothing);
        assert!(decision.status.message.unwrap().contains("data.password"), "{mode:?}");
    }
}

#[test]
fn a_number_of_pods_that_somebody_set_by_hand_is_a_difference_and_an_autoscalers_is_none() {
    let with = |autoscaled| {
        compared(
            found(ReleaseStatus::Deployed, Adoption::Observe, |facts| {
                (facts.running.workloads[0].replicas, facts.running.workloads[0].autoscaled) = (3, autoscaled);
            }),
            |_| (),
        )
    };
    let told = look(&with(false));
    assert_eq!(told.step, Step::Nothing, "three pods are not scaled to one");
    assert!(told.status.message.unwrap().contains("3 pods"));
    assert!(matches!(look(&with(true)).step, Step::Adopt { .. }));
}

#[test]
fn what_is_compared_can_be_stopped_and_started_and_what_is_not_is_left_alone() {
    let stopped = |facts: Facts| {
        let mut facts = facts;
        spec(&mut facts, |spec| spec.replicas = 0);
        facts
    };
    let unknown = stopped(found(ReleaseStatus::Deployed, Adoption::Observe, |_| ()));
    assert_eq!(helm(&look(&unknown)), Some(HelmAction::Compare), "it may be another customer's");
    let different = |facts| compared(facts, |shown| shown.differences = vec![difference(&["spec"])]);
    let stop = different(stopped(found(ReleaseStatus::Deployed, Adoption::Observe, |_| ())));
    assert!(matches!(look(&stop).step, Step::Scale(_)));
    let start = different(found(ReleaseStatus::Deployed, Adoption::Observe, |facts| {
        facts.running = fixtures::running(0, 0);
    }));
    assert!(matches!(look(&start).step, Step::Scale(_)), "it was stopped here");
}

#[test]
fn a_release_that_was_at_zero_stays_there_until_somebody_says_otherwise() {
    let at_zero = |facts: &mut Facts| {
        facts.running = fixtures::running(0, 0);
        for workload in &mut facts.running.workloads {
            workload.replicas_before_stop = None;
        }
    };
    let mut facts = found(ReleaseStatus::Deployed, Adoption::Observe, at_zero);
    facts.before = look(&facts).status;
    facts.before.operation = None;
    assert_eq!(facts.before.adoption.as_ref().unwrap().asleep, Some(true));
    let mut facts = compared(facts, |_| ());
    assert!(matches!(look(&facts).step, Step::Adopt { .. }));
    // Taken over.
    let wanted = validate(&facts.environment, &facts.references).unwrap();
    facts.history = fixtures::history(4, ReleaseStatus::Deployed, |ownership| {
        ownership.spec_hash = Some(wanted.spec_hash.clone());
    });
    let decision = look(&facts);
    let adoption = decision.status.adoption.as_ref().unwrap();
    assert_eq!((adoption.revision, adoption.comparison.as_ref(), adoption.asleep), (Some(4), None, Some(true)));
    assert_eq!(decision.step, Step::Nothing, "nothing wakes it");
    assert_eq!(decision.status.reason, Some(Reason::ScaledByHand));
    let ready = decision.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True");
    facts.before = decision.status;
    // Somebody says that it is to be stopped, and later that it is to run.
    let mut stopped = facts.clone();
    spec(&mut stopped, |spec| spec.replicas = 0);
    stopped.before = look(&stopped).status;
    assert_eq!(stopped.before.adoption.as_ref().unwrap().asleep, None);
    spec(&mut stopped, |spec| spec.replicas = 1);
    assert!(matches!(look(&stopped).step, Step::Scale(_)));
}

#[test]
fn a_comparison_is_kept_from_its_evidence_and_makes_no_history() {
    let mut facts = found(ReleaseStatus::Deployed, Adoption::Observe, |_| ());
    let inputs = validate(&facts.environment, &facts.references).unwrap().inputs;
    facts.before.operation = Some(fixtures::operation(Action::Compare, 5));
    let shown = Compared { revision: 4, resource_version: "1".into(), ..Compared::default() };
    let success = Success { compared: Some(Box::new(shown)), ..Success::default() };
    facts.evidence = Some(Evidence { operation: "1".into(), inputs, result: Ok(success) });
    let decision = look(&facts);
    assert!(matches!(decision.step, Step::Adopt { .. }));
    assert_eq!(decision.status.history.iter().map(|entry| entry.action).collect::<Vec<_>>(), [Action::Adopt]);
}

#[test]
fn a_secret_with_generated_passwords_is_missed_only_by_what_reads_it() {
    let mut facts = compared(found(ReleaseStatus::Deployed, Adoption::Observe, |_| ()), |_| ());
    assert!(matches!(look(&facts).step, Step::Adopt { .. }), "the template binds none");
    facts.references.version = Ok(fixtures::version(|_| ()));
    let mut facts = compared(facts, |_| ());
    assert_eq!(look(&facts).status.reason, Some(Reason::SecretMissing), "told before it is taken over");
    facts.generated_secret = Some(GeneratedSecret { uid: Some("u1".into()) });
    assert!(matches!(look(&facts).step, Step::Adopt { .. }));
}

#[test]
fn a_release_whose_values_name_another_customer_is_not_compared() {
    let mut facts = found(ReleaseStatus::Deployed, Adoption::Observe, |_| ());
    facts.references.version = Ok(fixtures::version(|content| {
        content.bindings =
            vec![serde_json::from_value(serde_json::json!({ "to": "tenant.id", "from": "customer.id" })).unwrap()];
    }));
    let wanted = validate(&facts.environment, &facts.references).unwrap();
    let says = |config: serde_json::Value| check_customer(config.as_object().unwrap(), &wanted);
    assert_eq!(says(serde_json::json!({ "tenant": { "id": "acme" } })), Ok(()));
    assert_eq!(says(serde_json::json!({})), Ok(()), "it does not say");
    let refused = says(serde_json::json!({ "tenant": { "id": "globex" } })).unwrap_err();
    assert!(refused.reason == Reason::ReleaseOwnedByAnother && refused.message.contains("\"globex\""));
    // What keeps it from being compared is told, and nothing of it is stopped.
    spec(&mut facts, |spec| spec.replicas = 0);
    let decision = look(&facts.with_obstacle(refused));
    assert_eq!((decision.step, decision.status.reason), (Step::Nothing, Some(Reason::ReleaseOwnedByAnother)));
}

#[test]
fn what_cannot_be_compared_is_not_taken_over_and_says_why() {
    let mut facts = found(ReleaseStatus::Deployed, Adoption::TakeOver, |_| ());
    let inputs = validate(&facts.environment, &facts.references).unwrap().inputs;
    facts.before.failures = Some(fixtures::failures(1, true, &inputs));
    let decision = look(&facts);
    assert_eq!((decision.step, decision.status.reason), (Step::Nothing, Some(Reason::AdoptionPending)));
    assert!(decision.status.message.unwrap().contains("cannot be compared: m"));
}
