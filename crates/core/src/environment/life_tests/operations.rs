//! What an operation keeps waiting, and what keeps an operation waiting.

use super::*;

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
