//! What became of a recorded Helm operation. The release storage is the judge; the worker's answer only adds the reason.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, Operation};

use crate::release::{History, ReleaseStatus};
use crate::task::{Evidence, Failure, Stage, Task};

/// After its permit a worker's last request may still be on its way to the API server.
const PERMIT_MARGIN: Duration = Duration::from_secs(5);

/// The state of a recorded operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationState {
    /// It waits in this process for a worker.
    Queued,
    /// It runs in this process.
    Running,
    /// The worker of another process may still write, until then.
    MayWriteUntil(Timestamp),
    /// It did what it should.
    Succeeded,
    /// It failed.
    Failed(Failure),
    /// Nothing of it is in the storage, and nobody can add to it: as if it had never begun.
    NeverHappened,
}

/// What is known of an operation beside its record.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The release's revisions.
    pub history: &'a History,
    /// What waits or runs in this process for the release.
    pub task: Option<&'a Task>,
    /// What came of the last operation that ended in this process.
    pub evidence: Option<&'a Evidence>,
    /// From then on no worker of an earlier leader can write any more, however often its permit was renewed.
    pub fence: Timestamp,
}

/// The state of a recorded operation.
pub fn state_of(operation: &Operation, known: Known<'_>, now: Timestamp) -> OperationState {
    let evidence = known.evidence.filter(|evidence| evidence.operation == operation.id);
    let task = known.task.filter(|task| task.operation == operation.id);
    match (task.map(|task| task.stage), evidence) {
        (Some(Stage::Queued), _) => return OperationState::Queued,
        (Some(Stage::Running), _) | (Some(Stage::Reported), None) => return OperationState::Running,
        (Some(Stage::Reported) | None, _) => {}
    }
    let until = known.fence.max(operation.valid_until.0 + PERMIT_MARGIN);
    if evidence.is_none() && now < until {
        return OperationState::MayWriteUntil(until);
    }
    let newest = known.history.newest();
    let reached =
        newest.filter(|revision| revision.number >= operation.expected_revision).map(|revision| revision.status);
    let result = evidence.map(|evidence| &evidence.result);
    match (operation.action, reached, result) {
        (Action::Install | Action::Upgrade, Some(ReleaseStatus::Deployed), _)
        | (Action::Uninstall, None, None)
        | (_, _, Some(Ok(_))) => OperationState::Succeeded,
        (Action::Unlock, Some(status), None) if !status.is_pending() => OperationState::Succeeded,
        (Action::Install | Action::Upgrade, Some(status), None) => OperationState::Failed(interrupted(status)),
        (_, _, Some(Err(failure))) => OperationState::Failed(failure.clone()),
        (_, _, None) if operation.queued == Some(true) => OperationState::NeverHappened,
        (_, _, None) => OperationState::Failed(vanished(&operation.holder)),
    }
}

impl OperationState {
    /// Whether somebody may still write for it.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::MayWriteUntil(_))
    }
}

fn interrupted(status: ReleaseStatus) -> Failure {
    Failure {
        reason: Reason::HelmFailed,
        message: format!("the operation was interrupted and left the release \"{}\"", status.as_str()),
        terminal: false,
    }
}

/// What ended the operator may have been this very operation, so it counts like any failure: else it would do so again at once.
fn vanished(holder: &str) -> Failure {
    Failure {
        reason: Reason::HelmFailed,
        message: format!("operator \"{holder}\" ended while its Helm worker was at it, before anything was stored"),
        terminal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::release::{Ownership, Revision};
    use crate::task::Success;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn operation(action: Action) -> Operation {
        let valid_until = Time(Timestamp::from_second(100).unwrap());
        Operation { valid_until, queued: Some(true), ..fixtures::operation(action, 2) }
    }

    fn history(number: i64, status: ReleaseStatus) -> History {
        let mut history = History::default();
        history.upsert(Revision {
            release: "r".into(),
            number,
            status,
            ownership: Ownership::default(),
            created_at: Timestamp::UNIX_EPOCH,
            resource_version: "1".into(),
        });
        history
    }

    fn state(
        operation: &Operation,
        history: &History,
        evidence: Option<&Evidence>,
        stage: Option<Stage>,
        now: Timestamp,
    ) -> OperationState {
        let task = stage.map(|stage| Task { operation: "1".into(), stage, by_person: true });
        state_of(operation, Known { history, task: task.as_ref(), evidence, fence: Timestamp::UNIX_EPOCH }, now)
    }

    #[test]
    fn an_earlier_leaders_worker_is_waited_for_until_the_fence() {
        let fence = Timestamp::from_second(300).unwrap();
        let at = |second| {
            let now = Timestamp::from_second(second).unwrap();
            let history = History::default();
            state_of(&operation(Action::Upgrade), Known { history: &history, task: None, evidence: None, fence }, now)
        };
        assert_eq!(at(299), OperationState::MayWriteUntil(fence));
        assert_eq!(at(300), OperationState::NeverHappened);
    }

    #[test]
    fn the_storage_is_the_judge() {
        use ReleaseStatus as S;
        let late = Timestamp::from_second(200).unwrap();
        let failed = Evidence {
            operation: "1".into(),
            inputs: "i".into(),
            result: Err(Failure { reason: Reason::RenderFailed, message: "m".into(), terminal: true }),
        };
        let fine = Evidence { operation: "1".into(), inputs: "i".into(), result: Ok(Success::default()) };
        let stranger = Evidence { operation: "0".into(), ..failed.clone() };
        let upgrade = operation(Action::Upgrade);
        assert_eq!(
            state(&upgrade, &history(2, S::Deployed), Some(&failed), None, late),
            OperationState::Succeeded,
            "the reply was lost"
        );
        assert_eq!(state(&upgrade, &history(2, S::Deployed), None, None, late), OperationState::Succeeded);
        assert!(
            matches!(state(&upgrade, &history(2, S::PendingUpgrade), None, None, late), OperationState::Failed(f) if f.reason == Reason::HelmFailed)
        );
        assert!(
            matches!(state(&upgrade, &history(1, S::Deployed), Some(&failed), None, late), OperationState::Failed(f) if f.terminal)
        );
        assert_eq!(
            state(&upgrade, &history(1, S::Deployed), Some(&stranger), None, late),
            OperationState::NeverHappened
        );
        assert_eq!(state(&upgrade, &history(1, S::Deployed), None, None, late), OperationState::NeverHappened);
        assert_eq!(
            state(&upgrade, &history(1, S::Deployed), Some(&failed), Some(Stage::Running), late),
            OperationState::Running
        );
        assert_eq!(
            state(&operation(Action::Uninstall), &History::default(), None, None, late),
            OperationState::Succeeded
        );
        assert_eq!(
            state(&operation(Action::Unlock), &history(2, S::Failed), Some(&fine), None, late),
            OperationState::Succeeded
        );
    }

    #[test]
    fn what_a_worker_had_begun_when_its_operator_ended_has_failed() {
        let late = Timestamp::from_second(200).unwrap();
        let begun = Operation { queued: None, ..operation(Action::Upgrade) };
        let now = state(&begun, &history(1, ReleaseStatus::Deployed), None, None, late);
        assert!(
            matches!(now, OperationState::Failed(failure) if !failure.terminal && failure.message.contains("\"h\""))
        );
        let now = state(&begun, &history(2, ReleaseStatus::Deployed), None, None, late);
        assert_eq!(now, OperationState::Succeeded, "only its report is lost");
    }

    #[test]
    fn an_operation_whose_report_is_on_its_way_is_not_over() {
        let late = Timestamp::from_second(900).unwrap();
        let upgrade = operation(Action::Upgrade);
        let reported =
            |evidence| state(&upgrade, &history(1, ReleaseStatus::Deployed), evidence, Some(Stage::Reported), late);
        assert_eq!(reported(None), OperationState::Running, "else a terminal failure would be tried again");
        let failure = Failure { reason: Reason::RenderFailed, message: "m".into(), terminal: true };
        let evidence = Evidence { operation: "1".into(), inputs: "i".into(), result: Err(failure.clone()) };
        assert_eq!(reported(Some(&evidence)), OperationState::Failed(failure));
        let queued = state(&upgrade, &History::default(), None, Some(Stage::Queued), late);
        assert_eq!(queued, OperationState::Queued, "no deadline counts before it begins");
    }

    #[test]
    fn a_worker_of_another_process_is_waited_for_while_its_permit_holds() {
        let early = Timestamp::from_second(104).unwrap();
        let verdict = state(&operation(Action::Upgrade), &history(2, ReleaseStatus::PendingUpgrade), None, None, early);
        assert_eq!(verdict, OperationState::MayWriteUntil(Timestamp::from_second(105).unwrap()));
    }
}
