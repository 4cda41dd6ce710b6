//! A customer's status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::OdooCustomer;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::customer::{CustomerPhase, CustomerStop, DeploymentType, EnvironmentCounts, OdooCustomerStatus};
use odoofleet_api::environment::{Phase, Placement};
use odoofleet_api::labels;

use super::phase::{CustomerState, Invalid};
use super::stops::StopDecision;

/// What a roll-up needs to know of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupEnvironment {
    /// Its phase, if it has one yet.
    pub phase: Option<Phase>,
    /// Where it runs.
    pub placement: Placement,
}

/// A customer's environments, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Counts.
    pub counts: EnvironmentCounts,
    /// Where they are.
    pub deployment_type: Option<DeploymentType>,
}

/// Counts environments.
pub fn rollup(environments: impl IntoIterator<Item = RollupEnvironment>) -> Rollup {
    let mut counts = EnvironmentCounts::default();
    let (mut here, mut there) = (false, false);
    for environment in environments {
        counts.total += 1;
        match environment.placement {
            Placement::Cluster => here = true,
            Placement::Offline => there = true,
        }
        match environment.phase {
            Some(Phase::Running) => counts.running += 1,
            Some(Phase::Stopped) => counts.stopped += 1,
            Some(Phase::Error) => counts.error += 1,
            Some(Phase::Pending) | None => counts.pending += 1,
            Some(Phase::Offline) => {}
        }
    }
    let deployment_type = match (here, there) {
        (true, true) => Some(DeploymentType::Mixed),
        (true, false) => Some(DeploymentType::Online),
        (false, true) => Some(DeploymentType::Offline),
        (false, false) => None,
    };
    Rollup { counts, deployment_type }
}

/// The status that follows. A spec that contradicts itself leaves phase and stop as they were.
pub fn derive(
    customer: &OdooCustomer,
    state: &Result<CustomerState, Invalid>,
    decision: &StopDecision,
    rollup: Rollup,
    now: &Time,
) -> OdooCustomerStatus {
    let old = customer.status.clone().unwrap_or_default();
    let generation = customer.metadata.generation.unwrap_or_default();
    let paused = customer.spec.paused.unwrap_or_default();
    let (phase, stop) = match state {
        Ok(state) if !paused => (Some(state.phase), in_force(decision)),
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
        conditions: merge(&old.conditions, conditions(customer, state, decision, rollup), generation, now),
    }
}

fn in_force(decision: &StopDecision) -> Option<CustomerStop> {
    match decision {
        StopDecision::InForce { stop, .. } => Some(stop.clone()),
        StopDecision::None | StopDecision::Waiting { .. } => None,
    }
}

fn conditions(
    customer: &OdooCustomer,
    state: &Result<CustomerState, Invalid>,
    decision: &StopDecision,
    rollup: Rollup,
) -> Vec<Wanted> {
    let ready = |status: bool, reason, message: String| Wanted {
        type_: ConditionType::Ready,
        status: status.into(),
        reason,
        message,
    };
    if customer.metadata.deletion_timestamp.is_some() && rollup.counts.total > 0 {
        let message = format!("deleting: in use by {} environment(s); delete them first", rollup.counts.total);
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
        (Ok(_), StopDecision::Waiting { reason, message }) => vec![ready(true, *reason, message.clone())],
        (Ok(_), StopDecision::InForce { stop, .. }) => {
            let reason = match stop.reason.as_str() {
                "CustomerTerminated" => Reason::CustomerTerminated,
                "CustomerExpired" => Reason::CustomerExpired,
                _ => Reason::CustomerSuspended,
            };
            vec![ready(true, reason, format!("environments are stopped since {}; their data is kept", stop.since))]
        }
        (Ok(state), StopDecision::None) => vec![ready(true, Reason::Accepted, sentence(state.phase).to_owned())],
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
