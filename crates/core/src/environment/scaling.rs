//! Stop and start: which workload gets how many pods next.

use odoofleet_api::template::{WorkloadKind, WorkloadRole};

use crate::observed::{Running, Workload};
use crate::template::StopPlan;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards zero.
    Stop,
    /// Up from zero.
    Start,
    /// From one number to another.
    Adjust,
}

/// What to do to the workloads now. What follows comes with the next look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleStep {
    /// Which way.
    pub direction: Direction,
    /// Workloads to scale.
    pub workloads: Vec<Scaling>,
    /// CronJobs to suspend (true) or to resume (false).
    pub cron_jobs: Vec<(String, bool)>,
}

/// A workload to scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaling {
    /// Kind.
    pub kind: WorkloadKind,
    /// Name.
    pub name: String,
    /// Number of pods that it gets.
    pub replicas: i32,
    /// Number of pods to be remembered for the next start.
    pub remember: Option<i32>,
}

/// The next scaling, if any: `replicas` is what the web part shall have. 0 means that everything stops, and that the page
/// which says so is shown.
pub fn next(replicas: i32, running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    if replicas == 0 { stop(running, plan).or_else(|| pages(1, running, plan)) } else { start(replicas, running, plan) }
}

/// The next scaling towards nothing at all, not even a page.
pub fn retire(running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    stop(running, plan).or_else(|| pages(0, running, plan))
}

/// Pods of a workload that are still there.
pub fn left(workload: &Workload, running: &Running) -> i32 {
    let pods = i32::try_from(running.pods_of(workload).count()).unwrap_or(i32::MAX);
    workload.current_replicas.max(pods)
}

/// Whether anything but the page still has pods, or is to have some.
pub fn is_up(running: &Running, plan: &StopPlan) -> bool {
    let mut others = running.workloads.iter().filter(|workload| plan.role(workload) != WorkloadRole::Page);
    others.any(|workload| workload.replicas > 0 || left(workload, running) > 0)
}

/// Whether what `spec.replicas` counts is there, and all of it rests.
pub fn is_asleep(running: &Running, plan: &StopPlan) -> bool {
    let mut live = running.workloads.iter().filter(|workload| plan.is_live(workload, running)).peekable();
    live.peek().is_some() && live.all(|workload| workload.replicas == 0)
}

/// Brings up the databases alone, for an upgrade whose hooks need one while everything is asleep. None if they are up, or on
/// their way.
pub fn wake_databases(running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    let databases = plan.with_role(running, WorkloadRole::Database);
    let asleep = databases.into_iter().filter(|workload| workload.replicas == 0);
    let workloads: Vec<Scaling> = asleep.map(|workload| scaling(workload, count_before_stop(workload))).collect();
    step(Direction::Start, workloads, running, true)
}

/// Whether every database has the pods that it wants.
pub fn databases_are_ready(running: &Running, plan: &StopPlan) -> bool {
    let ready = |workload: &&Workload| {
        workload.observed && workload.replicas > 0 && workload.ready_replicas >= workload.replicas
    };
    plan.with_role(running, WorkloadRole::Database).iter().all(ready)
}

fn count_before_stop(workload: &Workload) -> i32 {
    workload.replicas_before_stop.filter(|count| *count > 0).unwrap_or(1)
}

fn pages(replicas: i32, running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    let pages = plan.with_role(running, WorkloadRole::Page);
    let others = pages.into_iter().filter(|workload| workload.replicas != replicas);
    let workloads: Vec<Scaling> = others.map(|workload| scaling(workload, replicas)).collect();
    (!workloads.is_empty()).then(|| ScaleStep { direction: Direction::Adjust, workloads, cron_jobs: Vec::new() })
}

fn scaling(workload: &Workload, replicas: i32) -> Scaling {
    Scaling { kind: workload.kind, name: workload.name.clone(), replicas, remember: None }
}

fn stop(running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    let applications = plan.with_role(running, WorkloadRole::Application);
    let databases = plan.with_role(running, WorkloadRole::Database);
    let up = |workloads: &[&Workload]| workloads.iter().any(|workload| workload.replicas > 0);
    let gone =
        applications.iter().all(|workload| workload.replicas == 0 && workload.observed && left(workload, running) == 0);
    let targets = if up(&applications) {
        applications
    } else if gone && up(&databases) {
        databases
    } else {
        Vec::new()
    };
    let to_zero = |workload: &&Workload| Scaling { remember: Some(workload.replicas), ..scaling(workload, 0) };
    let workloads: Vec<Scaling> = targets.iter().filter(|workload| workload.replicas > 0).map(to_zero).collect();
    step(Direction::Stop, workloads, running, true)
}

fn start(replicas: i32, running: &Running, plan: &StopPlan) -> Option<ScaleStep> {
    // Before anything else: visitors must not be shown the page in turn with Odoo.
    if let Some(step) = pages(0, running, plan) {
        return Some(step);
    }
    let applications = plan.with_role(running, WorkloadRole::Application);
    let databases = plan.with_role(running, WorkloadRole::Database);
    let is_live = |workload: &Workload| plan.is_live(workload, running);
    let asleep = running.workloads.iter().any(|workload| is_live(workload) && workload.replicas == 0);
    // A workload at zero is woken if it was put to sleep by us, or if the whole environment is asleep.
    let wakes = |workload: &Workload| workload.replicas == 0 && (asleep || workload.replicas_before_stop.is_some());
    let sleeping: Vec<Scaling> =
        databases.iter().filter(|w| wakes(w)).map(|w| scaling(w, count_before_stop(w))).collect();
    if !sleeping.is_empty() {
        return step(Direction::Start, sleeping, running, true);
    }
    let database_ready =
        databases.iter().all(|workload| workload.observed && workload.ready_replicas >= workload.replicas);
    if asleep && !database_ready {
        return None;
    }
    let target = |workload: &&Workload| {
        // An autoscaler's number is left alone; at zero it rests, and has to be woken.
        if is_live(workload) && !(workload.autoscaled && workload.replicas > 0) {
            (workload.replicas != replicas).then(|| scaling(workload, replicas))
        } else {
            wakes(workload).then(|| scaling(workload, count_before_stop(workload)))
        }
    };
    let workloads: Vec<Scaling> = applications.iter().filter_map(target).collect();
    step(if asleep { Direction::Start } else { Direction::Adjust }, workloads, running, false)
}

fn step(direction: Direction, workloads: Vec<Scaling>, running: &Running, suspend: bool) -> Option<ScaleStep> {
    // CronJobs sleep from the first moment of a stop to the last of a start.
    let cron_jobs: Vec<(String, bool)> = match direction {
        Direction::Stop => {
            running.cron_jobs.iter().filter(|job| !job.suspended).map(|job| (job.name.clone(), true)).collect()
        }
        Direction::Start if !suspend => {
            running.cron_jobs.iter().filter(|job| job.suspended).map(|job| (job.name.clone(), false)).collect()
        }
        Direction::Start | Direction::Adjust => Vec::new(),
    };
    if workloads.is_empty() && cron_jobs.is_empty() {
        None
    } else {
        Some(ScaleStep { direction, workloads, cron_jobs })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::observed::CronJob;

    fn workload(kind: WorkloadKind, name: &str, replicas: i32, ready: i32, before: Option<i32>) -> Workload {
        Workload {
            replicas,
            current_replicas: ready.max(replicas),
            ready_replicas: ready,
            replicas_before_stop: before,
            ..fixtures::workload(kind, name)
        }
    }

    fn fleet(
        web: (i32, i32, Option<i32>),
        cron: (i32, i32, Option<i32>),
        database: (i32, i32, Option<i32>),
    ) -> Running {
        Running {
            workloads: vec![
                workload(WorkloadKind::Deployment, "r-web", web.0, web.1, web.2),
                workload(WorkloadKind::Deployment, "r-cron", cron.0, cron.1, cron.2),
                workload(WorkloadKind::StatefulSet, "r-postgresql", database.0, database.1, database.2),
            ],
            cron_jobs: vec![CronJob { name: "r-backup".into(), release: "r".into(), suspended: web.0 == 0 }],
            ..Running::default()
        }
    }

    fn plan() -> StopPlan {
        use crate::template::WorkloadRule;
        StopPlan::new(vec![WorkloadRule {
            kind: WorkloadKind::Deployment,
            name: "r-web".into(),
            role: WorkloadRole::Application,
            live: true,
        }])
    }

    fn targets(replicas: i32, running: &Running) -> Vec<(String, i32)> {
        next(replicas, running, &plan())
            .map_or_else(Vec::new, |step| step.workloads.into_iter().map(|s| (s.name, s.replicas)).collect())
    }

    #[test]
    fn odoo_stops_before_its_database_and_counts_are_remembered() {
        let running = fleet((3, 3, None), (1, 1, None), (1, 1, None));
        let first = next(0, &running, &plan()).unwrap();
        assert_eq!(
            first.workloads.iter().map(|s| (s.name.as_str(), s.replicas, s.remember)).collect::<Vec<_>>(),
            [("r-web", 0, Some(3)), ("r-cron", 0, Some(1))]
        );
        assert_eq!(first.cron_jobs, [("r-backup".to_owned(), true)]);
        let still_there = fleet((0, 2, Some(3)), (0, 0, Some(1)), (1, 1, None));
        assert_eq!(targets(0, &still_there), [], "pods of Odoo are still there");
        let gone = fleet((0, 0, Some(3)), (0, 0, Some(1)), (1, 1, None));
        assert_eq!(targets(0, &gone), [("r-postgresql".to_owned(), 0)]);
        assert_eq!(next(0, &fleet((0, 0, Some(3)), (0, 0, Some(1)), (0, 0, Some(1))), &plan()), None);
    }

    #[test]
    fn the_database_starts_first_and_the_spec_counts_for_the_web_part() {
        let asleep = fleet((0, 0, Some(3)), (0, 0, Some(1)), (0, 0, Some(1)));
        assert_eq!(targets(2, &asleep), [("r-postgresql".to_owned(), 1)]);
        assert_eq!(
            targets(2, &fleet((0, 0, Some(3)), (0, 0, Some(1)), (1, 0, Some(1)))),
            [],
            "the database is not ready yet"
        );
        let ready = fleet((0, 0, Some(3)), (0, 0, Some(1)), (1, 1, Some(1)));
        let step = next(2, &ready, &plan()).unwrap();
        assert_eq!(step.direction, Direction::Start);
        assert_eq!(targets(2, &ready), [("r-web".to_owned(), 2), ("r-cron".to_owned(), 1)]);
        assert_eq!(step.cron_jobs, [("r-backup".to_owned(), false)]);
    }

    #[test]
    fn a_database_stays_up_until_the_last_pod_of_odoo_has_really_ended() {
        let pod = |deleting, finished| crate::observed::Pod {
            deleting,
            finished,
            ..fixtures::pod(WorkloadKind::Deployment, "r-web", "r-web-1")
        };
        let mut running = fleet((0, 0, Some(1)), (0, 0, None), (1, 1, None));
        running.pods = vec![pod(true, false)];
        assert_eq!(targets(0, &running), [], "its controller counts it no longer, but it writes to the database");
        assert!(is_up(&running, &plan()));
        running.pods = vec![pod(false, true)];
        assert_eq!(targets(0, &running), [("r-postgresql".to_owned(), 0)], "an evicted pod is but an object");
    }

    #[test]
    fn unknown_counts_start_with_one_and_what_runs_is_left_alone() {
        assert_eq!(targets(1, &fleet((0, 0, None), (0, 0, None), (0, 0, None))), [("r-postgresql".to_owned(), 1)]);
        assert_eq!(targets(1, &fleet((1, 0, None), (5, 5, None), (1, 1, None))), []);
        assert_eq!(targets(1, &fleet((1, 1, None), (0, 0, None), (1, 1, None))), [], "the chart itself may want zero");
        let adjusted = next(2, &fleet((1, 1, None), (1, 1, None), (1, 1, None)), &plan()).unwrap();
        assert_eq!((adjusted.direction, adjusted.cron_jobs.len()), (Direction::Adjust, 0));
    }

    #[test]
    fn without_a_rule_the_charts_word_or_the_only_application_counts() {
        let mut running = fleet((1, 1, None), (1, 1, None), (1, 1, None));
        let targets = |running: &Running| {
            let step = next(2, running, &StopPlan::default());
            step.map_or_else(Vec::new, |step| step.workloads.into_iter().map(|s| (s.name, s.replicas)).collect())
        };
        assert_eq!(targets(&running), [], "two Applications, and nobody says which");
        running.workloads[0].live = true;
        assert_eq!(targets(&running), [("r-web".to_owned(), 2)]);
        running.workloads[0].live = false;
        running.workloads.remove(1);
        assert_eq!(targets(&running), [("r-web".to_owned(), 2)]);
    }

    #[test]
    fn the_page_comes_after_everything_is_down_and_goes_before_anything_is_up() {
        let with_page = |web, database, page| {
            let mut running = fleet((web, web, Some(1)), (0, 0, None), (database, database, Some(1)));
            let workload = workload(WorkloadKind::Deployment, "r-page", page, page, None);
            running.workloads.push(Workload { role: WorkloadRole::Page, ..workload });
            running
        };
        let page = |replicas| vec![("r-page".to_owned(), replicas)];
        assert_eq!(targets(0, &with_page(1, 1, 0)), [("r-web".to_owned(), 0)]);
        assert_eq!(targets(0, &with_page(0, 0, 0)), page(1));
        assert_eq!(targets(0, &with_page(0, 0, 1)), []);
        assert_eq!(targets(1, &with_page(0, 0, 1)), page(0));
        assert_eq!(targets(1, &with_page(0, 0, 0)), [("r-postgresql".to_owned(), 1)]);
        assert_eq!(targets(1, &with_page(1, 1, 0)), []);
        assert!(!is_up(&with_page(0, 0, 1), &plan()) && is_up(&with_page(1, 0, 0), &plan()));
        let retired = retire(&with_page(0, 0, 1), &plan()).unwrap();
        assert_eq!((retired.workloads[0].name.as_str(), retired.workloads[0].replicas), ("r-page", 0));
        assert_eq!(retire(&with_page(0, 0, 0), &plan()), None);
    }
}
