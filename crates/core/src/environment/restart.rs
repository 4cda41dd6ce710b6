//! Replacing pods on request, one by one.
//!
//! Which pods are to be replaced is written down once, by their UIDs: then no clock, neither the asker's nor anybody else's,
//! can make a new pod look like one of them.

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentStatus, RestartStatus};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadRole;

use crate::finding::Finding;
use crate::observed::{Pod, Running};
use crate::template::StopPlan;

/// What a restart needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartStep {
    /// Nothing: none was asked for, or it is complete.
    Nothing,
    /// A pod must become ready, or go, first.
    Wait(Finding),
    /// This pod is the next.
    Replace {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

/// Takes a new request into the status, and forgets pods that are gone. Returns what is wrong with a request that cannot be
/// read: it counts as handled, so that this is told once.
pub fn note(
    environment: &OdooEnvironment,
    status: &mut OdooEnvironmentStatus,
    running: &Running,
    plan: &StopPlan,
) -> Option<Finding> {
    let asked = environment.metadata.annotations.as_ref().and_then(|all| all.get(labels::RESTARTED_AT));
    let Some(asked) = asked.filter(|asked| status.last_handled_restart_at.as_ref() != Some(asked)) else {
        status.restart = None;
        return None;
    };
    let Ok(before) = asked.parse::<Timestamp>() else {
        status.last_handled_restart_at = Some(asked.clone());
        status.restart = None;
        let message = format!(
            "annotation {} is \"{asked}\", which is no time: write it as 2026-11-27T08:00:00Z; no pod was replaced",
            labels::RESTARTED_AT
        );
        return Some(Finding::new(Reason::InvalidSpec, message));
    };
    let pods = || application_pods(running, plan);
    let left: Vec<String> = match status.restart.take().filter(|restart| restart.requested == *asked) {
        Some(known) => known.pods.into_iter().filter(|uid| pods().any(|pod| pod.uid == *uid)).collect(),
        None => pods().filter(|pod| pod.created_at < before).map(|pod| pod.uid.clone()).collect(),
    };
    // Whoever waits for it counts on the new ones.
    if left.is_empty() && serve(running, plan) {
        status.last_handled_restart_at = Some(asked.clone());
    } else {
        status.restart = Some(RestartStatus { requested: asked.clone(), pods: left });
    }
    None
}

/// One pod at a time, and only while all that are not to be replaced are ready. Databases are not restarted.
pub fn next(restart: Option<&RestartStatus>, running: &Running, plan: &StopPlan) -> RestartStep {
    let Some(restart) = restart else { return RestartStep::Nothing };
    let is_old = |pod: &Pod| restart.pods.contains(&pod.uid);
    let pods: Vec<&Pod> = application_pods(running, plan).collect();
    let Some(old) = pods.iter().find(|pod| is_old(pod) && !pod.deleting) else {
        return if pods.iter().any(|pod| is_old(pod)) { wait() } else { RestartStep::Nothing };
    };
    let busy = pods.iter().any(|pod| pod.deleting || (!pod.ready && !is_old(pod)));
    // Counted by the pods themselves: what the workload's status says of them comes later.
    let workloads = plan.with_role(running, WorkloadRole::Application);
    let complete = workloads.iter().all(|workload| {
        let there = running.pods_of(workload).filter(|pod| !pod.deleting).count();
        i32::try_from(there).is_ok_and(|there| there >= workload.replicas)
    });
    if busy || !complete {
        return wait();
    }
    RestartStep::Replace { name: old.name.clone(), uid: old.uid.clone() }
}

/// Whether every application has the pods that it is to have, and they are ready. Counted by the pods themselves: what the workload's
/// status says of them comes later.
fn serve(running: &Running, plan: &StopPlan) -> bool {
    plan.with_role(running, WorkloadRole::Application).iter().all(|workload| {
        let ready = running.pods_of(workload).filter(|pod| pod.ready && !pod.deleting).count();
        i32::try_from(ready).is_ok_and(|ready| ready >= workload.replicas)
    })
}

fn wait() -> RestartStep {
    RestartStep::Wait(Finding::new(Reason::Restarting, "pods are being replaced one by one"))
}

fn application_pods<'a>(running: &'a Running, plan: &'a StopPlan) -> impl Iterator<Item = &'a Pod> {
    plan.with_role(running, WorkloadRole::Application).into_iter().flat_map(|workload| running.pods_of(workload))
}

#[cfg(test)]
mod tests {
    use odoofleet_api::template::WorkloadKind;
    use serde_json::json;

    use super::super::fixtures;
    use super::*;
    use crate::observed::Workload;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(uid: &str, created: i64, ready: bool, deleting: bool) -> Pod {
        Pod {
            uid: uid.into(),
            created_at: at(created),
            deleting,
            ready,
            ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", uid)
        }
    }

    fn running(pods: Vec<Pod>) -> Running {
        let replicas = i32::try_from(pods.iter().filter(|pod| !pod.deleting).count()).unwrap();
        let web = fixtures::workload(WorkloadKind::Deployment, "acme-prod-web");
        Running { workloads: vec![Workload { replicas, ..web }], pods, ..Running::default() }
    }

    fn environment(restarted_at: &str) -> OdooEnvironment {
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": { "name": "acme-prod", "annotations": { "odoofleet.dev/restartedAt": restarted_at } },
            "spec": {
                "customerRef": { "name": "acme" }, "serviceName": "prod", "stage": "Test", "replicas": 2,
                "templateRef": { "name": "odoo-18" },
            },
        }))
        .unwrap()
    }

    /// Looks until nothing is left to do; each replaced pod is followed by one that is ready. Returns the replaced ones.
    fn play(restarted_at: &str, mut pods: Vec<Pod>) -> (Vec<String>, OdooEnvironmentStatus) {
        let (plan, environment) = (StopPlan::default(), environment(restarted_at));
        let (mut status, mut replaced) = (OdooEnvironmentStatus::default(), Vec::new());
        for round in 0..10 {
            note(&environment, &mut status, &running(pods.clone()), &plan);
            let RestartStep::Replace { uid, .. } = next(status.restart.as_ref(), &running(pods.clone()), &plan) else {
                break;
            };
            pods.retain(|pod| pod.uid != uid);
            // The API server's clock is behind: the new pod seems to be older than what was asked for.
            pods.push(pod(&format!("new-{round}"), 10, true, false));
            replaced.push(uid);
        }
        (replaced, status)
    }

    #[test]
    fn each_pod_is_replaced_once_however_far_in_the_future_the_request_lies() {
        let two = || vec![pod("a", 1, true, false), pod("b", 1, true, false)];
        for asked in ["1970-01-01T00:00:05Z", "2999-01-01T00:00:00Z"] {
            let (replaced, status) = play(asked, two());
            assert_eq!(replaced, ["a", "b"], "{asked}");
            assert_eq!((status.last_handled_restart_at.as_deref(), status.restart), (Some(asked), None));
        }
        assert!(play("1970-01-01T00:00:01Z", two()).0.is_empty(), "they are younger than that");
    }

    #[test]
    fn the_next_pod_waits_for_those_that_are_not_ready_yet() {
        let restart = RestartStatus { requested: "t".into(), pods: vec!["a".into(), "b".into()] };
        let next = |pods| next(Some(&restart), &running(pods), &StopPlan::default());
        let old = |uid| pod(uid, 1, true, false);
        assert!(matches!(next(vec![old("a"), old("b")]), RestartStep::Replace { uid, .. } if uid == "a"));
        assert!(matches!(next(vec![pod("a", 1, true, true), old("b")]), RestartStep::Wait(_)));
        assert!(matches!(next(vec![pod("c", 0, false, false), old("b")]), RestartStep::Wait(_)), "whatever its age");
        assert!(
            matches!(next(vec![pod("c", 9, true, false), old("b")]), RestartStep::Replace { uid, .. } if uid == "b")
        );
        assert!(
            matches!(next(vec![pod("a", 1, false, false)]), RestartStep::Replace { .. }),
            "it may help the crashed"
        );
        assert_eq!(next(vec![pod("c", 9, true, false), pod("d", 9, false, false)]), RestartStep::Nothing);
    }

    #[test]
    fn the_next_pod_waits_for_the_successor_of_the_one_before() {
        let restart = RestartStatus { requested: "t".into(), pods: vec!["b".into()] };
        let mut running = running(vec![pod("b", 1, true, false)]);
        running.workloads[0].replicas = 2;
        running.workloads[0].current_replicas = 2;
        assert!(matches!(next(Some(&restart), &running, &StopPlan::default()), RestartStep::Wait(_)));
    }

    #[test]
    fn a_restart_is_handled_when_the_new_pods_serve() {
        let plan = StopPlan::default();
        let asked = environment("1970-01-01T00:00:20Z");
        let mut status = OdooEnvironmentStatus::default();
        let mut look = |pods: Vec<Pod>, replicas: i32| {
            let mut running = running(pods);
            running.workloads[0].replicas = replicas;
            note(&asked, &mut status, &running, &plan);
            status.last_handled_restart_at.is_some()
        };
        assert!(!look(vec![pod("a", 10, true, false)], 1));
        assert!(!look(vec![], 1), "the old one is gone, and the new one is not there");
        assert!(!look(vec![pod("b", 30, false, false)], 1));
        assert!(look(vec![pod("b", 30, true, false)], 1));
    }

    #[test]
    fn a_request_that_is_no_time_is_told_once_and_replaces_nothing() {
        let (plan, environment) = (StopPlan::default(), environment("now"));
        let (mut status, running) = (OdooEnvironmentStatus::default(), running(vec![pod("a", 1, true, false)]));
        let wrong = note(&environment, &mut status, &running, &plan).unwrap();
        assert!(wrong.message.contains("\"now\""), "{}", wrong.message);
        assert_eq!(note(&environment, &mut status, &running, &plan), None);
        assert_eq!(status.restart, None);
    }
}
