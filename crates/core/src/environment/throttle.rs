//! How often a status is written while an environment is on its way. Pods report a dozen steps a second; people read one.

use std::time::Duration;

use odoofleet_api::environment::OdooEnvironmentStatus;

/// Counts and messages are written at most this often.
pub const PACE: Duration = Duration::from_millis(250);

/// How long a status may still wait to be written, when the last was written `since` ago. Only progress waits: never a
/// phase, an operation, a result, a failure, or the state of a condition.
pub fn may_wait(written: &OdooEnvironmentStatus, next: &OdooEnvironmentStatus, since: Duration) -> Option<Duration> {
    let rest = PACE.checked_sub(since).filter(|rest| !rest.is_zero())?;
    // What is written already waits for nothing.
    (written != next && without_progress(written) == without_progress(next)).then_some(rest)
}

fn without_progress(status: &OdooEnvironmentStatus) -> OdooEnvironmentStatus {
    let mut status = status.clone();
    status.reason = None;
    status.message = None;
    status.replicas = None;
    status.ready_replicas = None;
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
    use odoofleet_api::environment::{LastFailure, Phase};

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

    #[test]
    fn progress_waits_for_the_rest_of_the_pace_and_no_longer() {
        let (written, next) = (pending("scheduling"), pending("pulling the image"));
        let wait = |since| may_wait(&written, &next, since);
        assert_eq!(wait(Duration::from_millis(50)), Some(Duration::from_millis(200)));
        assert_eq!(wait(PACE), None);
        assert_eq!(may_wait(&written, &written, Duration::ZERO), None, "nothing is to be written");
        assert_eq!(wait(Duration::from_secs(9)), None);
    }

    #[test]
    fn what_somebody_waits_for_is_written_at_once() {
        let written = pending("scheduling");
        let change = |change: fn(&mut OdooEnvironmentStatus)| {
            let mut next = pending("more");
            change(&mut next);
            may_wait(&written, &next, Duration::ZERO)
        };
        assert!(change(|_| ()).is_some());
        assert_eq!(change(|next| next.phase = Some(Phase::Error)), None);
        assert_eq!(change(|next| next.observed_generation = Some(2)), None);
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
