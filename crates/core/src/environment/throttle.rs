//! How often a status is written while an environment is on its way. Pods report a dozen steps a second; people read one.

use std::time::Duration;

use odoofleet_api::environment::{OdooEnvironmentStatus, Phase};

/// Progress is written at most this often. Most operations are over sooner, and their end is told at once.
pub const PACE: Duration = Duration::from_secs(1);

/// How long it is since things happened to a status.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// It was written, if this process has written it.
    pub written: Option<Duration>,
    /// What is to be told came to differ from what is written.
    pub differs: Duration,
}

/// How long a status may still wait to be written. While an operation is under way, what has come up within the last second waits: under a
/// rollout, operations wait for long and are over within the second, and their end is told at once. Else the last writing counts. Only progress waits, and that a new
/// generation was seen, and what an announced operation brings about: never an error, an operation's begin or end, a result, a
/// failure, or, with no operation under way, a phase or the state of a condition.
pub fn may_wait(written: &OdooEnvironmentStatus, next: &OdooEnvironmentStatus, since: Since) -> Option<Duration> {
    // What is written already waits for nothing.
    if written == next {
        return None;
    }
    let since = if written.operation.is_some() { since.differs } else { since.written? };
    let rest = PACE.checked_sub(since).filter(|rest| !rest.is_zero())?;
    let progress = without_progress(written) == without_progress(next);
    let course = || is_under_way(written, next) && without_course(written) == without_course(next);
    (progress || course()).then_some(rest)
}

/// Whether both tell of the same operation, and neither of an error.
fn is_under_way(written: &OdooEnvironmentStatus, next: &OdooEnvironmentStatus) -> bool {
    let fails = |status: &OdooEnvironmentStatus| status.phase == Some(Phase::Error);
    let id = |status: &OdooEnvironmentStatus| status.operation.as_ref().map(|operation| operation.id.clone());
    written.operation.is_some() && id(written) == id(next) && !fails(written) && !fails(next)
}

/// What remains when the course of an operation is left out: its release's state, and the pods that come and go.
fn without_course(status: &OdooEnvironmentStatus) -> OdooEnvironmentStatus {
    let mut status = without_progress(status);
    status.phase = None;
    status.release = None;
    status.conditions.retain(|condition| condition.type_ == "Stalled");
    status
}

fn without_progress(status: &OdooEnvironmentStatus) -> OdooEnvironmentStatus {
    let mut status = status.clone();
    // Whoever edits many times a second is answered once for all of it.
    status.observed_generation = None;
    status.reason = None;
    status.message = None;
    status.replicas = None;
    status.ready_replicas = None;
    if let Some(operation) = &mut status.operation {
        operation.queued = None;
    }
    for workload in &mut status.workloads {
        workload.replicas = 0;
        workload.ready_replicas = 0;
    }
    for condition in &mut status.conditions {
        condition.reason.clear();
        condition.message.clear();
        condition.observed_generation = None;
        condition.last_transition_time.0 = jiff::Timestamp::UNIX_EPOCH;
    }
    status
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use odoofleet_api::environment::{Action, LastFailure, ReleaseStatus};

    use super::super::fixtures;
    use super::*;

    fn pending(message: &str) -> OdooEnvironmentStatus {
        let condition = Condition {
            type_: "Ready".to_owned(),
            status: "False".to_owned(),
            reason: message.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: Some(1),
        };
        OdooEnvironmentStatus {
            phase: Some(Phase::Pending),
            message: Some(message.to_owned()),
            ready_replicas: Some(0),
            conditions: vec![condition],
            ..OdooEnvironmentStatus::default()
        }
    }

    /// Written and different for so long.
    fn at(since: Duration) -> Since {
        Since { written: Some(since), differs: since }
    }

    #[test]
    fn progress_waits_for_the_rest_of_the_pace_and_no_longer() {
        let (written, next) = (pending("scheduling"), pending("pulling the image"));
        let wait = |since| may_wait(&written, &next, at(since));
        assert_eq!(wait(Duration::from_millis(50)), Some(Duration::from_millis(950)));
        assert_eq!(wait(PACE), None);
        assert_eq!(may_wait(&written, &written, at(Duration::ZERO)), None, "nothing is to be written");
        assert_eq!(wait(Duration::from_secs(9)), None);
    }

    #[test]
    fn a_generation_of_which_nothing_else_is_to_be_told_waits() {
        let written = pending("waiting for the pods");
        let next = OdooEnvironmentStatus { observed_generation: Some(2), ..written.clone() };
        assert_eq!(may_wait(&written, &next, at(Duration::from_millis(100))), Some(Duration::from_millis(900)));
        let next = OdooEnvironmentStatus { phase: Some(Phase::Error), ..next };
        assert_eq!(may_wait(&written, &next, at(Duration::from_millis(100))), None);
    }

    #[test]
    fn under_an_operation_progress_waits_although_nothing_was_written_for_long() {
        let since = Since { written: Some(Duration::from_mins(1)), differs: Duration::from_millis(10) };
        let next = |written: &OdooEnvironmentStatus| {
            let message = Some("Helm upgrades revision 2 since 12:00".to_owned());
            OdooEnvironmentStatus { message, ..written.clone() }
        };
        let idle = pending("waits for a free Helm worker");
        assert_eq!(may_wait(&idle, &next(&idle), since), None);
        assert_eq!(may_wait(&idle, &next(&idle), Since { written: None, ..since }), None, "nobody wrote yet");
        let operation = Some(fixtures::operation(Action::Upgrade, 2));
        let queued = OdooEnvironmentStatus { operation, ..idle };
        assert_eq!(may_wait(&queued, &next(&queued), since), Some(Duration::from_millis(990)));
        let mut begun = next(&queued);
        begun.operation.as_mut().unwrap().queued = Some(true);
        assert!(may_wait(&queued, &begun, since).is_some(), "that a worker has begun it is progress");
    }

    #[test]
    fn what_an_announced_operation_brings_about_waits_for_its_end() {
        let operation = Some(fixtures::operation(Action::Upgrade, 2));
        let written = OdooEnvironmentStatus { operation, ..pending("Helm upgrades revision 2") };
        let change = |change: fn(&mut OdooEnvironmentStatus)| {
            let mut next = written.clone();
            change(&mut next);
            may_wait(&written, &next, at(Duration::from_millis(250)))
        };
        let rest = Duration::from_millis(750);
        let release = |next: &mut OdooEnvironmentStatus| next.release = Some(ReleaseStatus::default());
        assert_eq!(change(release), Some(rest));
        assert_eq!(change(|next| next.conditions[0].status = "True".into()), Some(rest));
        assert_eq!(change(|next| next.phase = Some(Phase::Running)), Some(rest));
        assert_eq!(change(|next| next.phase = Some(Phase::Error)), None);
        assert_eq!(change(|next| next.operation = None), None);
        assert_eq!(change(|next| next.last_handled_restart_at = Some("now".to_owned())), None);
    }

    #[test]
    fn what_somebody_waits_for_is_written_at_once() {
        let written = pending("scheduling");
        let change = |change: fn(&mut OdooEnvironmentStatus)| {
            let mut next = pending("more");
            change(&mut next);
            may_wait(&written, &next, at(Duration::ZERO))
        };
        assert!(change(|_| ()).is_some());
        assert_eq!(change(|next| next.phase = Some(Phase::Error)), None);
        assert_eq!(change(|next| next.conditions[0].status = "True".to_owned()), None);
        assert_eq!(change(|next| next.last_handled_restart_at = Some("now".to_owned())), None);
        assert_eq!(change(|next| next.hosts = vec!["odoo.example.com".to_owned()]), None);
        let failure = |next: &mut OdooEnvironmentStatus| {
            next.last_failure = Some(LastFailure {
                reason: odoofleet_api::conditions::Reason::OutOfMemory,
                pod: "p".to_owned(),
                container: "c".to_owned(),
                exit_code: Some(137),
                at: None,
                restarts: 1,
            });
        };
        assert_eq!(change(failure), None);
    }
}
