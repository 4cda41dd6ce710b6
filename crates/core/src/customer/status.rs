//! A customer's status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::OdooCustomer;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::customer::{CustomerPhase, DeploymentType, EnvironmentCounts, OdooCustomerStatus};
use odoofleet_api::environment::{Phase, Placement};
use odoofleet_api::labels;

use super::phase::{CustomerState, Invalid};
use super::stops::{StopDecision, Waiting};
use crate::windows;

/// A customer's environments, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Counts.
    pub counts: EnvironmentCounts,
    /// Where they are.
    pub deployment_type: Option<DeploymentType>,
}

impl Rollup {
    /// Counts environments, given as how many there are in each phase and place.
    pub fn of(groups: impl IntoIterator<Item = ((Option<Phase>, Placement), i32)>) -> Self {
        let mut counts = EnvironmentCounts::default();
        let (mut here, mut there) = (false, false);
        for ((phase, placement), number) in groups.into_iter().filter(|(_, number)| *number > 0) {
            counts.total += number;
            match placement {
                Placement::Cluster => here = true,
                Placement::Offline => there = true,
            }
            match phase {
                Some(Phase::Running) => counts.running += number,
                Some(Phase::Stopped) => counts.stopped += number,
                Some(Phase::Error) => counts.error += number,
                Some(Phase::Pending | Phase::Deleting) | None => counts.pending += number,
                Some(Phase::Offline) => {}
            }
        }
        let deployment_type = match (here, there) {
            (true, true) => Some(DeploymentType::Mixed),
            (true, false) => Some(DeploymentType::Online),
            (false, true) => Some(DeploymentType::Offline),
            (false, false) => None,
        };
        Self { counts, deployment_type }
    }
}

/// The status that follows. A spec that contradicts itself leaves phase and stop as they were.
pub fn derive(
    customer: &OdooCustomer,
    state: &Result<CustomerState, Invalid>,
    decision: &StopDecision,
    rollup: Rollup,
    holders: usize,
    now: &Time,
) -> OdooCustomerStatus {
    let old = customer.status.clone().unwrap_or_default();
    let generation = customer.metadata.generation.unwrap_or_default();
    let paused = customer.spec.paused.unwrap_or_default();
    let (phase, stop) = match state {
        Ok(state) if !paused => (Some(state.phase), decision.in_force.clone()),
        _ => (old.phase, old.stop.clone()),
    };
    let requested = customer.metadata.annotations.as_ref().and_then(|all| all.get(labels::REQUESTED_AT));
    OdooCustomerStatus {
        observed_generation: Some(generation),
        phase,
        deployment_type: rollup.deployment_type,
        environments: Some(rollup.counts),
        stop,
        last_handled_reconcile_at: requested.cloned().or(old.last_handled_reconcile_at),
        conditions: merge(&old.conditions, conditions(customer, state, decision, holders), generation, now),
    }
}

fn conditions(
    customer: &OdooCustomer,
    state: &Result<CustomerState, Invalid>,
    decision: &StopDecision,
    holders: usize,
) -> Vec<Wanted> {
    let mut all = conditions_of_state(customer, state, decision, holders);
    let unopened = windows::finding(customer.spec.maintenance.as_ref());
    if let (false, Some(finding)) = (all.iter().any(|condition| condition.type_ == ConditionType::Stalled), unopened) {
        all.push(Wanted {
            type_: ConditionType::Stalled,
            status: ConditionStatus::True,
            reason: finding.reason,
            message: finding.message,
        });
    }
    all
}

fn conditions_of_state(
    customer: &OdooCustomer,
    state: &Result<CustomerState, Invalid>,
    decision: &StopDecision,
    holders: usize,
) -> Vec<Wanted> {
    let ready = |status: bool, reason, message: String| Wanted {
        type_: ConditionType::Ready,
        status: status.into(),
        reason,
        message,
    };
    if customer.metadata.deletion_timestamp.is_some() {
        let message = format!("deleting: in use by {holders} environment(s); delete them first");
        return vec![ready(false, Reason::InUse, message)];
    }
    if customer.spec.paused.unwrap_or_default() {
        return vec![ready(
            true,
            Reason::Paused,
            "paused: nothing is stopped or started because of this customer".to_owned(),
        )];
    }
    match (state, decision) {
        (Err(invalid), _) => {
            let message = format!("{invalid}; until then everything stays as it was");
            let stalled = Wanted {
                type_: ConditionType::Stalled,
                status: ConditionStatus::True,
                reason: Reason::InvalidSpec,
                message: message.clone(),
            };
            vec![ready(false, Reason::InvalidSpec, message), stalled]
        }
        (Ok(_), StopDecision { waiting: Some(Waiting { finding, .. }), .. }) => {
            vec![ready(true, finding.reason.clone(), finding.message.clone())]
        }
        (Ok(_), StopDecision { in_force: Some(stop), .. }) => {
            let message = format!("environments are stopped since {}; their data is kept", stop.since);
            vec![ready(true, stop.reason.clone(), message)]
        }
        (Ok(state), StopDecision { in_force: None, waiting: None, .. }) => {
            vec![ready(true, Reason::Accepted, sentence(state.phase).to_owned())]
        }
    }
}

const fn sentence(phase: CustomerPhase) -> &'static str {
    match phase {
        CustomerPhase::Prospect => "a prospect: environments are not installed before the lifecycle is Trial or Active",
        CustomerPhase::Trial => "on trial",
        CustomerPhase::Active => "in contract",
        CustomerPhase::ExpiringSoon => "the contract ends within 30 days",
        CustomerPhase::Grace => "the contract has expired; the days of grace run",
        CustomerPhase::Expired => "the contract has expired; nothing is stopped, because onExpiry.action says so",
        CustomerPhase::Suspended | CustomerPhase::Terminated => "environments are stopped",
    }
}
