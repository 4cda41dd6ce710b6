//! What deleting an environment does, step by step. A broken spec does not get into its way: it needs names only.

use odoofleet_api::environment::DeletionPolicy;

use super::scaling::{self, ScaleStep};
use crate::observed::Running;
use crate::release::{History, ReleaseStatus, Revision};
use crate::template::StopPlan;

/// What is known when the step is chosen.
pub struct CleanupSituation<'a> {
    /// What the user asked for.
    pub policy: DeletionPolicy,
    /// Name of the environment.
    pub environment: &'a str,
    /// Name of the customer.
    pub customer: &'a str,
    /// The release's revisions.
    pub history: &'a History,
    /// What runs.
    pub running: &'a Running,
    /// Which workload plays which part.
    pub stop_plan: &'a StopPlan,
    /// Whether a Helm operation of ours runs.
    pub operation_running: bool,
    /// Volumes and generated Secrets that are still there, for policy Delete.
    pub leftovers: bool,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanupStep {
    /// A Helm operation must end first.
    WaitForOperation,
    /// Scale down.
    Scale(ScaleStep),
    /// Scaling was ordered; pods are still there.
    WaitForPods,
    /// Mark the newest revision as retained.
    Retain {
        /// That revision.
        revision: i64,
    },
    /// Uninstall; the revision is the newest.
    Uninstall {
        /// That revision.
        revision: i64,
    },
    /// Remove volumes and generated Secrets.
    RemoveLeftovers,
    /// Nothing is left to do: let the object go.
    LetGo,
}

/// Chooses the step.
pub fn plan(situation: &CleanupSituation<'_>) -> CleanupStep {
    let Some(newest) = situation.history.newest() else { return without_release(situation) };
    if !is_own(newest, situation) {
        return CleanupStep::LetGo;
    }
    if situation.operation_running {
        return CleanupStep::WaitForOperation;
    }
    match situation.policy {
        DeletionPolicy::Orphan => CleanupStep::LetGo,
        DeletionPolicy::Delete if newest.status == ReleaseStatus::Uninstalled => without_release(situation),
        DeletionPolicy::Delete => CleanupStep::Uninstall { revision: newest.number },
        DeletionPolicy::Retain => retain(situation, newest),
    }
}

fn without_release(situation: &CleanupSituation<'_>) -> CleanupStep {
    if situation.policy == DeletionPolicy::Delete && situation.leftovers {
        CleanupStep::RemoveLeftovers
    } else {
        CleanupStep::LetGo
    }
}

fn is_own(newest: &Revision, situation: &CleanupSituation<'_>) -> bool {
    let ownership = &newest.ownership;
    ownership.customer.as_deref() == Some(situation.customer)
        && ownership.environment.as_deref() == Some(situation.environment)
}

fn retain(situation: &CleanupSituation<'_>, newest: &Revision) -> CleanupStep {
    if let Some(step) = scaling::retire(situation.running, situation.stop_plan) {
        return CleanupStep::Scale(step);
    }
    let still_up = situation
        .running
        .workloads
        .iter()
        .any(|workload| workload.replicas > 0 || scaling::left(workload, situation.running) > 0);
    if still_up {
        return CleanupStep::WaitForPods;
    }
    if newest.ownership.retained_at.is_none() {
        CleanupStep::Retain { revision: newest.number }
    } else {
        CleanupStep::LetGo
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::observed::Workload;
    use crate::release::Ownership;
    use jiff::Timestamp;
    use odoofleet_api::template::WorkloadKind;

    fn history(change: impl FnOnce(&mut Revision)) -> History {
        let mut revision = Revision {
            release: "acme-prod".into(),
            number: 3,
            status: ReleaseStatus::Deployed,
            ownership: Ownership {
                customer: Some("acme".into()),
                environment: Some("acme-prod".into()),
                ..Ownership::default()
            },
            created_at: Timestamp::UNIX_EPOCH,
            resource_version: "1".into(),
        };
        change(&mut revision);
        let mut history = History::default();
        history.upsert(revision);
        history
    }

    fn running(replicas: i32, current: i32) -> Running {
        let workload = Workload {
            replicas,
            current_replicas: current,
            ready_replicas: 0,
            ..fixtures::workload(WorkloadKind::Deployment, "acme-prod-web")
        };
        Running { workloads: vec![workload], ..Running::default() }
    }

    fn step(
        policy: DeletionPolicy,
        history: &History,
        running: &Running,
        change: impl FnOnce(&mut CleanupSituation<'_>),
    ) -> CleanupStep {
        let stop_plan = StopPlan::default();
        let mut situation = CleanupSituation {
            policy,
            environment: "acme-prod",
            customer: "acme",
            history,
            running,
            stop_plan: &stop_plan,
            operation_running: false,
            leftovers: true,
        };
        change(&mut situation);
        plan(&situation)
    }

    #[test]
    fn retain_scales_down_marks_and_lets_go() {
        use DeletionPolicy::Retain;
        let release = history(|_| {});
        assert!(matches!(step(Retain, &release, &running(2, 2), |_| {}), CleanupStep::Scale(_)));
        assert_eq!(step(Retain, &release, &running(0, 1), |_| {}), CleanupStep::WaitForPods);
        assert_eq!(step(Retain, &release, &running(0, 0), |_| {}), CleanupStep::Retain { revision: 3 });
        let marked = history(|revision| revision.ownership.retained_at = Some(1));
        assert_eq!(step(Retain, &marked, &running(0, 0), |_| {}), CleanupStep::LetGo);
    }

    #[test]
    fn delete_uninstalls_and_then_removes_what_is_left() {
        use DeletionPolicy::Delete;
        assert_eq!(step(Delete, &history(|_| {}), &running(2, 2), |_| {}), CleanupStep::Uninstall { revision: 3 });
        assert_eq!(step(Delete, &History::default(), &Running::default(), |_| {}), CleanupStep::RemoveLeftovers);
        assert_eq!(step(Delete, &History::default(), &Running::default(), |s| s.leftovers = false), CleanupStep::LetGo);
    }

    #[test]
    fn nothing_happens_to_a_release_of_another_or_of_nobody() {
        for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete, DeletionPolicy::Orphan] {
            let up = running(2, 2);
            let another = history(|revision| revision.ownership.customer = Some("a".into()));
            assert_eq!(step(policy, &another, &up, |_| {}), CleanupStep::LetGo);
            let foreign = history(|revision| revision.ownership = Ownership::default());
            assert_eq!(step(policy, &foreign, &up, |_| {}), CleanupStep::LetGo);
        }
        assert_eq!(step(DeletionPolicy::Orphan, &history(|_| {}), &running(2, 2), |_| {}), CleanupStep::LetGo);
        assert_eq!(
            step(DeletionPolicy::Delete, &history(|_| {}), &running(2, 2), |s| s.operation_running = true),
            CleanupStep::WaitForOperation
        );
    }
}
