//! How a Helm operation ended. The release storage is the judge; the worker's answer only adds the reason.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, Operation};

use crate::release::{History, ReleaseStatus};

/// After its permit a worker's last request may still be on its way to the API server.
const PERMIT_MARGIN: Duration = Duration::from_secs(5);

/// What became of the worker that ran an operation in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The operation.
    pub operation: String,
    /// Its answer.
    pub result: Result<(), Failure>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable word for it.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Whether another try makes no sense before an input changes.
    pub terminal: bool,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs in this process.
    Running,
    /// Its worker may still write, until then.
    MayWriteUntil(Timestamp),
    /// It did what it should.
    Succeeded,
    /// It failed.
    Failed(Failure),
    /// Nothing of it is in the storage, and nobody can add to it: as if it had never begun.
    NeverHappened,
}

/// Judges a recorded operation. `active` says that it runs in this process; `report` is what this process heard of its end;
/// from `fence` on no worker of an earlier leader can write any more, however often its permit was renewed.
pub fn judge(
    operation: &Operation,
    history: &History,
    report: Option<&Report>,
    active: bool,
    fence: Timestamp,
    now: Timestamp,
) -> Verdict {
    if active {
        return Verdict::Running;
    }
    let report = report.filter(|report| report.operation == operation.id);
    if let (None, until) = (report, fence.max(operation.valid_until.0 + PERMIT_MARGIN))
        && now < until
    {
        return Verdict::MayWriteUntil(until);
    }
    let newest = history.newest();
    let reached =
        newest.filter(|revision| revision.number >= operation.expected_revision).map(|revision| revision.status);
    let told = report.map(|report| &report.result);
    match (operation.action, reached, told) {
        (Action::Install | Action::Upgrade, Some(ReleaseStatus::Deployed), _)
        | (Action::Uninstall, None, None)
        | (_, _, Some(Ok(()))) => Verdict::Succeeded,
        (Action::Unlock, Some(status), None) if !status.is_pending() => Verdict::Succeeded,
        (Action::Install | Action::Upgrade, Some(status), None) => Verdict::Failed(silent(status)),
        (_, _, Some(Err(failure))) => Verdict::Failed(failure.clone()),
        (_, _, None) => Verdict::NeverHappened,
    }
}

fn silent(status: ReleaseStatus) -> Failure {
    Failure {
        reason: Reason::HelmFailed,
        message: format!("the operation was interrupted and left the release \"{}\"", status.as_str()),
        terminal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{Ownership, Revision};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn operation(action: Action) -> Operation {
        let time = |second| Time(Timestamp::from_second(second).unwrap());
        Operation {
            id: "1".into(),
            action,
            expected_revision: 2,
            holder: "h".into(),
            generation: 1,
            template: None,
            started_at: time(0),
            deadline: time(300),
            valid_until: time(100),
        }
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

    fn judged(
        operation: &Operation,
        history: &History,
        report: Option<&Report>,
        active: bool,
        now: Timestamp,
    ) -> Verdict {
        judge(operation, history, report, active, Timestamp::UNIX_EPOCH, now)
    }

    #[test]
    fn an_earlier_leaders_worker_is_waited_for_until_the_fence() {
        let fence = Timestamp::from_second(300).unwrap();
        let judge_at = |second| {
            let now = Timestamp::from_second(second).unwrap();
            judge(&operation(Action::Upgrade), &History::default(), None, false, fence, now)
        };
        assert_eq!(judge_at(299), Verdict::MayWriteUntil(fence));
        assert_eq!(judge_at(300), Verdict::NeverHappened);
    }

    #[test]
    fn the_storage_is_the_judge() {
        use ReleaseStatus as S;
        let late = Timestamp::from_second(200).unwrap();
        let failed = Report {
            operation: "1".into(),
            result: Err(Failure { reason: Reason::RenderFailed, message: "m".into(), terminal: true }),
        };
        let fine = Report { operation: "1".into(), result: Ok(()) };
        let stranger = Report { operation: "0".into(), ..failed.clone() };
        let upgrade = operation(Action::Upgrade);
        assert_eq!(
            judged(&upgrade, &history(2, S::Deployed), Some(&failed), false, late),
            Verdict::Succeeded,
            "the reply was lost"
        );
        assert_eq!(judged(&upgrade, &history(2, S::Deployed), None, false, late), Verdict::Succeeded);
        assert!(
            matches!(judged(&upgrade, &history(2, S::PendingUpgrade), None, false, late), Verdict::Failed(f) if f.reason == Reason::HelmFailed)
        );
        assert!(
            matches!(judged(&upgrade, &history(1, S::Deployed), Some(&failed), false, late), Verdict::Failed(f) if f.terminal)
        );
        assert_eq!(judged(&upgrade, &history(1, S::Deployed), Some(&stranger), false, late), Verdict::NeverHappened);
        assert_eq!(judged(&upgrade, &history(1, S::Deployed), None, false, late), Verdict::NeverHappened);
        assert_eq!(judged(&upgrade, &history(1, S::Deployed), Some(&failed), true, late), Verdict::Running);
        assert_eq!(judged(&operation(Action::Uninstall), &History::default(), None, false, late), Verdict::Succeeded);
        assert_eq!(
            judged(&operation(Action::Unlock), &history(2, S::Failed), Some(&fine), false, late),
            Verdict::Succeeded
        );
    }

    #[test]
    fn a_worker_of_another_process_is_waited_for_while_its_permit_holds() {
        let early = Timestamp::from_second(104).unwrap();
        let verdict =
            judged(&operation(Action::Upgrade), &history(2, ReleaseStatus::PendingUpgrade), None, false, early);
        assert_eq!(verdict, Verdict::MayWriteUntil(Timestamp::from_second(105).unwrap()));
    }
}
