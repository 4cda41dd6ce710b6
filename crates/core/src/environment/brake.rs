//! The brake: what takes many environments down at once, without having been asked for one by one, needs a second look.
//! One wrong line in Git can suspend every customer, or delete every environment.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus, Phase};

use crate::finding::Finding;

/// So long does an environment that was taken down count.
pub const WINDOW: Duration = Duration::from_mins(10);

/// What takes an environment down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its customer's state.
    Customer,
    /// Its deletion.
    Deletion,
}

/// How many may be taken down within [`WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brake {
    /// Fixed limit.
    pub limit: usize,
    /// Environments of the fleet.
    pub fleet: usize,
}

impl Brake {
    /// Whether one more may be taken down after `recent` others.
    pub fn admits(self, recent: usize) -> bool {
        recent < self.most()
    }

    /// The larger of the fixed number and a twentieth of the fleet.
    fn most(self) -> usize {
        self.limit.max(self.fleet / 20)
    }

    /// Why an environment waits, and what to do.
    pub fn finding(self, cause: Cause, environment: &str) -> Finding {
        let (what, way_out) = match cause {
            Cause::Customer => {
                ("stops", format!("stop this one yourself: kubectl scale oenv {environment} --replicas=0"))
            }
            Cause::Deletion => (
                "deletions",
                format!(
                    "vouch for this one: kubectl annotate oenv {environment} odoofleet.dev/allow-deletion={environment}"
                ),
            ),
        };
        let message = format!(
            "held: {} environments were stopped or deleted within ten minutes, and more {what} at once may be a mistake; it goes on by itself as time passes, or {way_out}",
            self.most()
        );
        Finding::new(Reason::HeldByBrake, message)
    }
}

/// When a status says that the environment was taken down without having been asked for by name, if it was: its customer's state
/// stopped it, or its deletion scales it down. The record outlives the operator.
pub fn taken_down_at(status: &OdooEnvironmentStatus) -> Option<Timestamp> {
    let customers =
        matches!(status.reason, Some(Reason::CustomerSuspended | Reason::CustomerExpired | Reason::CustomerTerminated));
    let deleted = status.phase == Some(Phase::Deleting);
    let last = status.history.iter().find(|entry| entry.action == Action::Stop).filter(|_| customers || deleted)?;
    Some(last.started_at.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use odoofleet_api::environment::{HistoryEntry, Outcome};

    use super::*;

    #[test]
    fn it_holds_beyond_the_larger_of_its_limits() {
        let admits = |recent, fleet| Brake { limit: 20, fleet }.admits(recent);
        assert!(admits(19, 100) && !admits(20, 100) && admits(20, 1000) && !admits(50, 1000));
    }

    #[test]
    fn a_stop_counts_if_nobody_asked_for_it_by_name() {
        let status = |reason: Reason, phase: Phase| {
            let at = Time(Timestamp::from_second(9).unwrap());
            let stop = HistoryEntry {
                action: Action::Stop,
                outcome: Outcome::Succeeded,
                revision: None,
                template: None,
                generation: 1,
                attempts: 1,
                started_at: at.clone(),
                ended_at: at,
                message: None,
            };
            OdooEnvironmentStatus {
                reason: Some(reason),
                phase: Some(phase),
                history: vec![stop],
                ..OdooEnvironmentStatus::default()
            }
        };
        let counted = |reason, phase| taken_down_at(&status(reason, phase)).map(Timestamp::as_second);
        assert_eq!(counted(Reason::CustomerSuspended, Phase::Stopped), Some(9));
        assert_eq!(counted(Reason::Deleting, Phase::Deleting), Some(9));
        assert_eq!(counted(Reason::Stopped, Phase::Stopped), None, "somebody scaled it");
        assert_eq!(counted(Reason::CustomerNotFound, Phase::Stopped), None, "that stops nobody");
    }

    #[test]
    fn the_way_out_names_the_environment() {
        let brake = Brake { limit: 20, fleet: 3 };
        assert!(brake.finding(Cause::Customer, "acme-prod").message.contains("scale oenv acme-prod --replicas=0"));
        assert!(brake.finding(Cause::Deletion, "acme-prod").message.contains("allow-deletion=acme-prod"));
    }
}
