//! What the pods say, the cause before its consequences: node before pod, database before Odoo.

use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::LastFailure;
use odoofleet_api::template::WorkloadRole;

use super::scaling::left;
use crate::finding::Finding;
use crate::observed::{Container, Pod, Running, Termination, Workload};
use crate::template::StopPlan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// So much is told of the API server's words: they begin with long names.
const WORDS: usize = 600;
/// From so many restarts on, a container that is not ready counts as broken even while it runs.
const FLAPPING_RESTARTS: i32 = 3;

/// The state of a release's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing of it is there.
    Nothing,
    /// Everything is at zero.
    Stopped,
    /// Every wanted pod is ready.
    Ready,
    /// On the way.
    Waiting(Finding),
    /// It does not get better by itself.
    Broken(Finding),
}

/// Reads the state. `replicas` is what the web part shall have.
pub fn diagnose(replicas: i32, running: &Running, plan: &StopPlan) -> Diagnosis {
    if running.workloads.is_empty() {
        return Diagnosis::Nothing;
    }
    if replicas == 0 {
        let others = running.workloads.iter().filter(|workload| plan.role(workload) != WorkloadRole::Page);
        let left: i32 = others.map(|workload| left(workload, running).max(workload.replicas)).sum();
        let message = format!("{left} pods are still stopping");
        return if left == 0 {
            Diagnosis::Stopped
        } else {
            Diagnosis::Waiting(Finding::new(Reason::Stopping, message))
        };
    }
    let mut workloads: Vec<&Workload> = running.workloads.iter().collect();
    workloads.sort_by_key(|workload| (plan.role(workload) != WorkloadRole::Database, workload.name.clone()));
    let asleep = workloads.iter().any(|workload| workload.replicas == 0 && workload.replicas_before_stop.is_some());
    let problems = workloads.iter().filter_map(|workload| problem(workload, running, plan));
    match worst(&problems.collect::<Vec<_>>()) {
        Some(problem) => problem,
        None if asleep => Diagnosis::Waiting(Finding::new(Reason::Starting, "workloads are being started")),
        None if !is_complete(running, plan) => {
            Diagnosis::Waiting(Finding::new(Reason::WaitingForPods, "the release's workloads are not all there yet"))
        }
        None => Diagnosis::Ready,
    }
}

/// Watches tell of one workload after the other: the first to be seen may be one that wants no pods.
fn is_complete(running: &Running, plan: &StopPlan) -> bool {
    let serves = |workload: &Workload| plan.role(workload) != WorkloadRole::Page && workload.replicas > 0;
    plan.unmatched(running).is_none() && running.workloads.iter().any(serves)
}

/// Broken before waiting; within each the first, which is the cause. A lost node explains all that follows.
fn worst(problems: &[Diagnosis]) -> Option<Diagnosis> {
    let of_node =
        |problem: &Diagnosis| matches!(problem, Diagnosis::Broken(finding) if finding.reason == Reason::NodeDown);
    let broken = |problem: &Diagnosis| matches!(problem, Diagnosis::Broken(_));
    let unreachable = |problem: &Diagnosis| matches!(problem, Diagnosis::Broken(finding) if finding.reason == Reason::DatabaseUnreachable);
    // That the database is not ready explains why it cannot be reached.
    let explained = problems.iter().any(of_database);
    let found = problems
        .iter()
        .find(|problem| of_node(problem))
        .or_else(|| problems.iter().find(|problem| broken(problem) && !(explained && unreachable(problem))));
    found.or_else(|| problems.first()).cloned()
}

fn of_database(problem: &Diagnosis) -> bool {
    let (Diagnosis::Waiting(finding) | Diagnosis::Broken(finding)) = problem else { return false };
    matches!(finding.reason, Reason::WaitingForDatabase | Reason::DatabaseDown)
}

fn problem(workload: &Workload, running: &Running, plan: &StopPlan) -> Option<Diagnosis> {
    if workload.replicas == 0 || (workload.observed && workload.updated && workload.ready_replicas >= workload.replicas)
    {
        return None;
    }
    let database = plan.role(workload) == WorkloadRole::Database;
    let found = running.pods_of(workload).filter(|pod| !pod.deleting).find_map(|pod| of_pod(pod, running));
    let found = found.unwrap_or_else(|| {
        let Workload { kind, name, ready_replicas, replicas, .. } = workload;
        if let Some(words) = workload.pods_refused.as_ref().filter(|_| workload.current_replicas < *replicas) {
            let words: String = words.chars().take(WORDS).collect();
            let message = format!("pods of {kind:?} \"{name}\" cannot be created: {words}");
            return Diagnosis::Broken(Finding::new(Reason::PodsRefused, message));
        }
        let message = format!("{kind:?} \"{name}\" has {ready_replicas} of {replicas} pods ready");
        Diagnosis::Waiting(Finding::new(Reason::WaitingForPods, message))
    });
    Some(if database { as_database(found) } else { found })
}

/// What happens to the database is named as such: Odoo's trouble is only its consequence.
fn as_database(problem: Diagnosis) -> Diagnosis {
    match problem {
        // Those name the database, or what explains more than it, themselves.
        Diagnosis::Broken(finding)
            if !matches!(finding.reason, Reason::NodeDown | Reason::DatabaseMajorMismatch | Reason::PodsRefused) =>
        {
            Diagnosis::Broken(Finding::new(Reason::DatabaseDown, format!("the database is down: {}", finding.message)))
        }
        Diagnosis::Waiting(finding) if finding.reason == Reason::WaitingForPods => Diagnosis::Waiting(Finding::new(
            Reason::WaitingForDatabase,
            format!("waiting for the database: {}", finding.message),
        )),
        other => other,
    }
}

/// What keeps one pod from being ready; none if it is, or is on the way.
pub fn of_pod(pod: &Pod, running: &Running) -> Option<Diagnosis> {
    if pod.ready {
        return None;
    }
    if pod.node_lost {
        let node = pod.node.as_deref().unwrap_or("?");
        let message = format!(
            "node \"{node}\" does not answer; pod \"{}\" cannot be moved before it is back or removed",
            pod.name
        );
        return Some(Diagnosis::Broken(Finding::new(Reason::NodeDown, message)));
    }
    if let Some(complaint) = &pod.unschedulable {
        let unbound: Vec<&str> =
            running.volumes.iter().filter(|volume| !volume.bound).map(|volume| volume.name.as_str()).collect();
        let (reason, message) = if unbound.is_empty() {
            (Reason::Unschedulable, format!("no node takes pod \"{}\": {complaint}", pod.name))
        } else {
            (
                Reason::WaitingForVolume,
                format!("volume \"{}\" is not bound: check its storage class", unbound.join("\", \"")),
            )
        };
        return Some(Diagnosis::Waiting(Finding::new(reason, message)));
    }
    pod.containers.iter().find_map(|container| container_problem(pod, container)).or_else(|| preparing(pod))
}

/// The database is being made or updated: an init container runs after another one has told what is to be done.
fn preparing(pod: &Pod) -> Option<Diagnosis> {
    let plan = pod
        .containers
        .iter()
        .filter(|container| container.ready)
        .find_map(|container| container.terminated.as_ref()?.message.as_ref()?.plan.as_ref())?;
    let at_work = pod.containers.iter().any(|container| container.init && container.running && !container.ready);
    let what = plan.describe().filter(|_| at_work)?;
    Some(Diagnosis::Waiting(Finding::new(Reason::Migrating, format!("{what}; Odoo starts when that is done"))))
}

fn container_problem(pod: &Pod, container: &Container) -> Option<Diagnosis> {
    if container.ready {
        return None;
    }
    if let Some(finding) = own_words(container) {
        return Some(Diagnosis::Broken(finding));
    }
    let place = format!("container \"{}\" of pod \"{}\"", container.name, pod.name);
    if let Some((reason, message)) = &container.waiting {
        match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                let message = format!("the image of {place} cannot be pulled ({reason}): {}", short(message));
                return Some(Diagnosis::Broken(Finding::new(Reason::ImagePull, message)));
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                let message = format!("{place} cannot be created ({reason}): {}", short(message));
                return Some(Diagnosis::Broken(Finding::new(Reason::ContainerConfig, message)));
            }
            "CrashLoopBackOff" => return Some(crashed(&place, container, container.terminated.as_ref())),
            _ => {}
        }
    }
    let ended = container.terminated.as_ref().filter(|end| end.exit_code != 0 && end.current);
    if ended.is_some() || container.restarts >= FLAPPING_RESTARTS {
        return Some(crashed(&place, container, ended.or(container.terminated.as_ref())));
    }
    None
}

/// What the container itself says of its failure. It holds while the container is tried again: each try ends alike until
/// something changes, and people should not see the state go to and fro.
fn own_words(container: &Container) -> Option<Finding> {
    let end = container.terminated.as_ref().filter(|end| end.exit_code != 0)?;
    end.message.as_ref()?.error.clone()
}

fn crashed(place: &str, container: &Container, end: Option<&Termination>) -> Diagnosis {
    let how = end
        .map_or_else(|| "ended".to_owned(), |end| format!("ended with exit code {} ({})", end.exit_code, end.reason));
    let restarts = container.restarts;
    let reason = failure_reason(end, restarts);
    let hint = match reason {
        Reason::OutOfMemory => "give it more memory (spec.size or spec.resources), or fewer workers",
        _ => "its log says why: kubectl logs with --previous",
    };
    Diagnosis::Broken(Finding::new(reason, format!("{place} {how}, {restarts} restarts; {hint}")))
}

fn failure_reason(end: Option<&Termination>, restarts: i32) -> Reason {
    match end {
        Some(end) if end.reason == "OOMKilled" => Reason::OutOfMemory,
        _ if restarts > 0 => Reason::CrashLoop,
        _ => Reason::ContainerFailed,
    }
}

/// Runtimes' messages can be pages long.
fn short(message: &str) -> String {
    message.chars().take(200).collect()
}

/// The latest failure of any container, if it is later than the one that is known.
pub fn last_failure(known: Option<&LastFailure>, running: &Running) -> Option<LastFailure> {
    let ends = running.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
    let failures = ends.filter_map(|(pod, container)| {
        let end = container.terminated.as_ref().filter(|end| end.exit_code != 0)?;
        let reason =
            own_words(container).map_or_else(|| failure_reason(Some(end), container.restarts), |words| words.reason);
        Some(LastFailure {
            reason,
            pod: pod.name.clone(),
            container: container.name.clone(),
            exit_code: Some(end.exit_code),
            at: end.at.map(Time),
            restarts: container.restarts,
        })
    });
    let latest = failures.max_by_key(|failure| failure.at.as_ref().map(|time| time.0));
    match (known, latest) {
        (Some(known), Some(latest)) if latest.at.as_ref().map(|t| t.0) < known.at.as_ref().map(|t| t.0) => {
            Some(known.clone())
        }
        (known, latest) => latest.or_else(|| known.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::observed::Volume;
    use jiff::Timestamp;
    use odoofleet_api::template::WorkloadKind;

    fn workload(kind: WorkloadKind, name: &str, ready: i32) -> Workload {
        Workload { ready_replicas: ready, ..fixtures::workload(kind, name) }
    }

    fn container(waiting: Option<&str>, end: Option<(&str, i32)>, restarts: i32) -> Container {
        Container {
            restarts,
            running: waiting.is_none() && end.is_none(),
            waiting: waiting.map(|reason| (reason.into(), "why".into())),
            terminated: end.map(|(reason, exit_code)| Termination {
                reason: reason.into(),
                exit_code,
                at: Some(Timestamp::UNIX_EPOCH),
                current: waiting.is_none(),
                message: None,
            }),
            ..fixtures::container("odoo")
        }
    }

    fn pod(owner: (WorkloadKind, &str), containers: Vec<Container>) -> Pod {
        Pod { containers, ..fixtures::pod(owner.0, owner.1, &format!("{}-0", owner.1)) }
    }

    const WEB: (WorkloadKind, &str) = (WorkloadKind::Deployment, "r-web");
    const DATABASE: (WorkloadKind, &str) = (WorkloadKind::StatefulSet, "r-postgresql");

    fn diagnosis(web: (i32, Vec<Pod>), database: (i32, Vec<Pod>)) -> Diagnosis {
        let running = Running {
            workloads: vec![workload(WEB.0, WEB.1, web.0), workload(DATABASE.0, DATABASE.1, database.0)],
            pods: [web.1, database.1].concat(),
            ..Running::default()
        };
        diagnose(1, &running, &StopPlan::default())
    }

    fn reason(diagnosis: &Diagnosis) -> (bool, Reason) {
        match diagnosis {
            Diagnosis::Broken(finding) => (true, finding.reason.clone()),
            Diagnosis::Waiting(finding) => (false, finding.reason.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_crash_is_told_with_container_reason_and_exit_code() {
        let crash = |container| diagnosis((0, vec![pod(WEB, vec![container])]), (1, vec![]));
        let table = [
            (container(None, Some(("Error", 3)), 0), Reason::ContainerFailed),
            (container(Some("CrashLoopBackOff"), Some(("Error", 1)), 4), Reason::CrashLoop),
            (container(Some("CrashLoopBackOff"), Some(("OOMKilled", 137)), 2), Reason::OutOfMemory),
            (container(None, Some(("OOMKilled", 137)), 0), Reason::OutOfMemory),
            (container(Some("ImagePullBackOff"), None, 0), Reason::ImagePull),
            (container(Some("CreateContainerConfigError"), None, 0), Reason::ContainerConfig),
        ];
        for (container, expected) in table {
            assert_eq!(reason(&crash(container.clone())), (true, expected), "{container:?}");
        }
        let Diagnosis::Broken(finding) = crash(container(None, Some(("Error", 3)), 0)) else { panic!() };
        assert!(finding.message.contains("\"odoo\"") && finding.message.contains("exit code 3"), "{}", finding.message);
        assert_eq!(reason(&crash(container(Some("ContainerCreating"), None, 0))), (false, Reason::WaitingForPods));
    }

    /// An init container that ended with a message.
    fn init(name: &str, exit_code: i32, message: &str) -> Container {
        let mut container = container(None, Some(("Error", exit_code)), 0);
        container.terminated.as_mut().unwrap().message = crate::environment::termination::parse(message);
        Container { name: name.into(), init: true, ready: exit_code == 0, ..container }
    }

    const MODULE_FAILED: &str = r#"{"error": {"reason": "ModuleUpdateFailed", "message": "module sale failed"}}"#;

    #[test]
    fn what_an_init_container_tells_is_the_reason_even_while_it_is_tried_again() {
        let failed = init("prepare", 1, MODULE_FAILED);
        let mut again = failed.clone();
        (again.running, again.restarts) = (true, 2);
        again.terminated.as_mut().unwrap().current = false;
        for container in [failed, again] {
            let found = diagnosis((0, vec![pod(WEB, vec![container])]), (1, vec![]));
            assert_eq!(reason(&found), (true, Reason::ModuleUpdateFailed));
            let Diagnosis::Broken(finding) = found else { panic!() };
            assert_eq!(finding.message, "module sale failed");
        }
        let of_database = r#"{"error": {"reason": "DatabaseMajorMismatch", "message": "16 is not 15"}}"#;
        let found = diagnosis((0, vec![]), (0, vec![pod(DATABASE, vec![init("version", 1, of_database)])]));
        assert_eq!(reason(&found), (true, Reason::DatabaseMajorMismatch));
    }

    #[test]
    fn that_a_starting_database_cannot_be_reached_yet_is_no_error() {
        let unreachable = r#"{"error": {"reason": "DatabaseUnreachable", "message": "no route"}}"#;
        let web = || (0, vec![pod(WEB, vec![init("configure", 1, unreachable)])]);
        let starting = (0, vec![pod(DATABASE, vec![container(Some("ContainerCreating"), None, 0)])]);
        assert_eq!(reason(&diagnosis(web(), starting)), (false, Reason::WaitingForDatabase));
        assert_eq!(reason(&diagnosis(web(), (1, vec![]))), (true, Reason::DatabaseUnreachable));
    }

    #[test]
    fn a_database_on_its_way_is_migrating_and_says_what_is_done() {
        let plan = r#"{"plan": {"action": "Update", "modules": ["sale"], "total": 1}}"#;
        let mut prepare = init("prepare", 1, "");
        (prepare.running, prepare.terminated) = (true, None);
        let at_work = vec![init("configure", 0, plan), prepare.clone()];
        let found = diagnosis((0, vec![pod(WEB, at_work)]), (1, vec![]));
        assert_eq!(reason(&found), (false, Reason::Migrating));
        let Diagnosis::Waiting(finding) = found else { panic!() };
        assert!(finding.message.contains("sale"), "{}", finding.message);
        let nothing = vec![init("configure", 0, r#"{"plan": {"action": "Nothing"}}"#), prepare];
        assert_eq!(reason(&diagnosis((0, vec![pod(WEB, nothing)]), (1, vec![]))), (false, Reason::WaitingForPods));
    }

    #[test]
    fn the_cause_is_named_before_its_consequence() {
        let crashing = |owner| pod(owner, vec![container(None, Some(("Error", 1)), 0)]);
        assert_eq!(
            reason(&diagnosis((0, vec![crashing(WEB)]), (0, vec![crashing(DATABASE)]))),
            (true, Reason::DatabaseDown)
        );
        let mut lost = crashing(WEB);
        lost.node_lost = true;
        assert_eq!(reason(&diagnosis((0, vec![lost]), (0, vec![crashing(DATABASE)]))), (true, Reason::NodeDown));
        let starting = |owner| pod(owner, vec![container(Some("PodInitializing"), None, 0)]);
        assert_eq!(
            reason(&diagnosis((0, vec![starting(WEB)]), (0, vec![starting(DATABASE)]))),
            (false, Reason::WaitingForDatabase)
        );
        assert_eq!(
            reason(&diagnosis((0, vec![crashing(WEB)]), (0, vec![starting(DATABASE)]))),
            (true, Reason::ContainerFailed)
        );
    }

    #[test]
    fn an_environment_does_not_run_before_its_web_part_is_seen() {
        let page = Workload { role: WorkloadRole::Page, replicas: 0, ..workload(WEB.0, "r-page", 0) };
        let database = workload(DATABASE.0, DATABASE.1, 1);
        let web = workload(WEB.0, WEB.1, 1);
        let named = StopPlan::new(vec![crate::template::WorkloadRule {
            kind: WEB.0,
            name: WEB.1.into(),
            role: WorkloadRole::Application,
            live: true,
        }]);
        let ready = |workloads: Vec<Workload>, plan: &StopPlan| {
            diagnose(1, &Running { workloads, ..Running::default() }, plan) == Diagnosis::Ready
        };
        assert!(!ready(vec![page.clone()], &StopPlan::default()));
        assert!(!ready(vec![page.clone(), database.clone()], &named));
        assert!(ready(vec![page, database, web], &named));
    }

    #[test]
    fn what_a_pending_pod_waits_for_is_named() {
        let mut waiting = pod(WEB, vec![]);
        waiting.unschedulable = Some("0/3 nodes are available".into());
        assert_eq!(reason(&diagnosis((0, vec![waiting.clone()]), (1, vec![]))), (false, Reason::Unschedulable));
        let running = Running {
            workloads: vec![workload(WEB.0, WEB.1, 0)],
            pods: vec![waiting],
            volumes: vec![Volume { bound: false, ..fixtures::volume("r-filestore") }],
            ..Running::default()
        };
        let Diagnosis::Waiting(finding) = diagnose(1, &running, &StopPlan::default()) else { panic!() };
        assert_eq!(finding.reason, Reason::WaitingForVolume);
        assert!(finding.message.contains("r-filestore"));
    }

    #[test]
    fn the_last_failure_stays_after_the_pod_is_gone_and_yields_to_a_later_one() {
        let mut running =
            Running { pods: vec![pod(WEB, vec![container(None, Some(("OOMKilled", 137)), 1)])], ..Running::default() };
        let first = last_failure(None, &running).unwrap();
        assert_eq!((first.reason.as_str(), first.exit_code), ("OutOfMemory", Some(137)));
        assert_eq!(last_failure(Some(&first), &Running::default()), Some(first.clone()));
        running.pods[0].containers[0].terminated = Some(Termination {
            reason: "Error".into(),
            exit_code: 1,
            at: Some(Timestamp::from_second(9).unwrap()),
            current: true,
            message: None,
        });
        assert_eq!(last_failure(Some(&first), &running).unwrap().exit_code, Some(1));
    }
}
