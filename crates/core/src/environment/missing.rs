//! Workloads that should be there and are not.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus, Outcome, WorkloadStatus};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadRole;

use crate::finding::Finding;
use crate::observed::Running;
use crate::template::StopPlan;

/// Watches tell of a release and of its workloads one after the other: what is not there so long after the operation is missing.
const SETTLING: Duration = Duration::from_secs(10);

/// A workload that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It may still come: the operation has just ended.
    Awaited {
        /// What.
        finding: Finding,
        /// From then on it is missing.
        until: Timestamp,
    },
    /// Somebody deleted it, or the chart does not make it.
    Gone(Finding),
}

/// What is missing of a release that holds what it should. `before` is the last status.
pub fn find(
    environment: &str,
    before: &OdooEnvironmentStatus,
    running: &Running,
    plan: &StopPlan,
    now: Timestamp,
) -> Option<Missing> {
    let message = if let Some((kind, name)) = plan.unmatched(running) {
        format!(
            "{kind:?} \"{name}\", of which the template speaks in spec.stop.workloads, is not in the release: the chart gives it another name, or somebody deleted it"
        )
    } else if let Some(gone) = before.workloads.iter().find(|known| !is_there(known, running)) {
        format!("{:?} \"{}\" of the release is gone: somebody deleted it", gone.kind, gone.name)
    } else if running.workloads.is_empty() {
        "the release has no Deployment and no StatefulSet: nothing of it runs".to_owned()
    } else {
        return None;
    };
    let until = settled_at(before) + SETTLING;
    if now < until {
        return Some(Missing::Awaited { finding: Finding::new(Reason::WaitingForPods, message), until });
    }
    let remedy = format!(
        "; have Helm apply the release again: kubectl annotate oenv {environment} --overwrite {}=$(date +%s)",
        labels::REQUESTED_AT
    );
    Some(Missing::Gone(Finding::new(Reason::WorkloadMissing, message + &remedy)))
}

/// Workloads that stood in the last status and are gone: they stay in it until they are back or another revision is made.
/// Just after an operation they are those that it removed.
pub fn kept<'a>(
    before: &'a OdooEnvironmentStatus,
    running: &'a Running,
    now: Timestamp,
) -> impl Iterator<Item = &'a WorkloadStatus> {
    let settled = now >= settled_at(before) + SETTLING;
    before.workloads.iter().filter(move |known| settled && !is_there(known, running))
}

/// Whether something is gone without which Odoo does not serve.
pub fn takes_down(before: &OdooEnvironmentStatus, running: &Running) -> bool {
    before.workloads.iter().any(|known| known.role != WorkloadRole::Page && !is_there(known, running))
}

fn is_there(known: &WorkloadStatus, running: &Running) -> bool {
    running.workloads.iter().any(|workload| workload.kind == known.kind && workload.name == known.name)
}

/// The end of the operation that made what is there.
fn settled_at(before: &OdooEnvironmentStatus) -> Timestamp {
    let made = before
        .history
        .iter()
        .find(|entry| matches!(entry.action, Action::Install | Action::Upgrade) && entry.outcome == Outcome::Succeeded);
    made.map_or(Timestamp::UNIX_EPOCH, |entry| entry.ended_at.0)
}
