//! The list of past operations, and the count of failures in a row.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::environment::{Action, Failures, HistoryEntry, OdooEnvironmentStatus, Operation, Outcome};

use super::operation::OperationState;
use super::scaling::Direction;
use crate::task::Failure;

/// Entries that are kept.
const KEPT: usize = 10;

/// Takes an operation that is over from `status.operation` into the history. `inputs` is what it was tried with.
/// Returns false while it is not over.
pub fn settle(status: &mut OdooEnvironmentStatus, state: &OperationState, inputs: &str, now: Timestamp) -> bool {
    let failure = match state {
        OperationState::Queued | OperationState::Running | OperationState::MayWriteUntil(_) => return false,
        OperationState::NeverHappened => {
            status.operation = None;
            return true;
        }
        OperationState::Succeeded => None,
        OperationState::Failed(failure) => Some(failure),
    };
    let Some(operation) = status.operation.take() else { return true };
    // That the pod of a check was started, or a release looked at, is nothing to look back at.
    if failure.is_some() || !matches!(operation.action, Action::Check | Action::Compare) {
        push(status, entry(&operation, failure, now));
    }
    match failure {
        Some(failure) => count(status, failure, inputs, now),
        // A recovered lock or a check that has begun is not yet a success of what was wanted.
        None if matches!(operation.action, Action::Unlock | Action::Check) => {}
        None => status.failures = None,
    }
    true
}

fn entry(operation: &Operation, failure: Option<&Failure>, now: Timestamp) -> HistoryEntry {
    HistoryEntry {
        action: operation.action,
        outcome: if failure.is_some() { Outcome::Failed } else { Outcome::Succeeded },
        revision: Some(operation.expected_revision),
        template: operation.template.clone(),
        generation: operation.generation,
        attempts: 1,
        started_at: operation.started_at.clone(),
        ended_at: Time(now),
        message: failure.map(|failure| failure.message.clone()),
    }
}

/// Notes a stop, a start or a restart.
pub fn note(status: &mut OdooEnvironmentStatus, action: Action, generation: i64, now: Timestamp) {
    let last = status.history.first();
    if last.is_some_and(|last| last.action == action && last.generation == generation) {
        return;
    }
    let time = Time(now);
    let entry = HistoryEntry {
        action,
        outcome: Outcome::Succeeded,
        revision: None,
        template: None,
        generation,
        attempts: 1,
        started_at: time.clone(),
        ended_at: time,
        message: None,
    };
    push(status, entry);
}

/// The history's word for a scaling. Other numbers of pods are not worth an entry.
pub const fn action_of(direction: Direction) -> Option<Action> {
    match direction {
        Direction::Stop => Some(Action::Stop),
        Direction::Start => Some(Action::Start),
        Direction::Adjust => None,
    }
}

/// A retry is counted with what it retries.
fn push(status: &mut OdooEnvironmentStatus, mut entry: HistoryEntry) {
    if let Some(last) = status.history.first()
        && last.action == entry.action
        && last.generation == entry.generation
        && last.template == entry.template
        && last.outcome == Outcome::Failed
    {
        entry.attempts = last.attempts + 1;
        entry.started_at = last.started_at.clone();
        status.history.remove(0);
    }
    status.history.insert(0, entry);
    status.history.truncate(KEPT);
}

/// Counts one more failure in a row for the same inputs.
pub fn count(status: &mut OdooEnvironmentStatus, failure: &Failure, inputs: &str, now: Timestamp) {
    let before =
        status.failures.as_ref().filter(|failures| failures.inputs == inputs).map_or(0, |failures| failures.count);
    status.failures = Some(Failures {
        count: before + 1,
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        terminal: failure.terminal,
        inputs: inputs.to_owned(),
        at: Time(now),
    });
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use odoofleet_api::conditions::Reason;

    fn begun(action: Action) -> Operation {
        Operation { generation: 3, ..fixtures::operation(action, 1) }
    }

    #[test]
    fn retries_are_one_entry_and_failures_are_counted_for_the_same_inputs_only() {
        let mut status = OdooEnvironmentStatus::default();
        let failed =
            OperationState::Failed(Failure { reason: Reason::HelmFailed, message: "m".into(), terminal: false });
        for _ in 0..3 {
            status.operation = Some(begun(Action::Install));
            assert!(settle(&mut status, &failed, "a", Timestamp::UNIX_EPOCH));
        }
        assert_eq!(
            (status.history.len(), status.history[0].attempts, status.failures.as_ref().unwrap().count),
            (1, 3, 3)
        );
        status.operation = Some(begun(Action::Install));
        settle(&mut status, &failed, "b", Timestamp::UNIX_EPOCH);
        assert_eq!(status.failures.as_ref().unwrap().count, 1);
        status.operation = Some(begun(Action::Install));
        settle(&mut status, &OperationState::Succeeded, "b", Timestamp::UNIX_EPOCH);
        assert_eq!(
            (status.history.len(), status.history[0].outcome, status.failures.clone()),
            (1, Outcome::Succeeded, None)
        );
        for _ in 0..20 {
            status.operation = Some(begun(Action::Upgrade));
            settle(&mut status, &OperationState::Succeeded, "b", Timestamp::UNIX_EPOCH);
        }
        assert_eq!(status.history.len(), 10);
    }

    #[test]
    fn what_is_not_over_stays_recorded() {
        let mut status =
            OdooEnvironmentStatus { operation: Some(begun(Action::Upgrade)), ..OdooEnvironmentStatus::default() };
        assert!(!settle(&mut status, &OperationState::Running, "a", Timestamp::UNIX_EPOCH));
        assert!(status.operation.is_some() && status.history.is_empty());
    }
}
