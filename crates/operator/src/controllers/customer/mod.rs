//! Customers: phase, stops, roll-ups.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use odoofleet_api::OdooCustomer;
use odoofleet_core::customer::{
    CustomerState, Invalid, RollupEnvironment, StopDecision, StopInputs, decide_stop, derive_status, rollup, state,
};

use super::objects::{apply_status, set_finalizer};
use crate::clock;
use crate::context::{Context, resync};

/// A stop that waits is looked at again this soon.
const WAITING_STOP: Duration = Duration::from_mins(1);

/// Why a customer could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer.
    #[error("failed to set the finalizer of customer \"{name}\"")]
    Finalizer {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// The status.
    #[error("failed to write the status of customer \"{name}\"")]
    Status {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
}

/// One look at a customer.
pub async fn reconcile(customer: Arc<OdooCustomer>, ctx: Arc<Context>) -> Result<Action, Error> {
    let name = customer.name_any();
    let now = Timestamp::now();
    let environments = rollup(environments_of(&ctx, &name));
    let in_use = environments.counts.total > 0;
    let deleting = customer.metadata.deletion_timestamp.is_some();
    // From the first look on, not from the first use: a deletion cannot slip in between.
    set_finalizer(&ctx, customer.as_ref(), in_use || !deleting)
        .await
        .map_err(|source| Error::Finalizer { name: name.clone(), source })?;
    if deleting && !in_use {
        return Ok(Action::await_change());
    }
    let state = state(&customer.spec, &ctx.settings.time_zone, now);
    let decision = decide(&ctx, &customer, state.as_ref().ok(), now).await;
    let status = derive_status(&customer, &state, &decision, environments, &Time(now));
    if customer.status.as_ref() != Some(&status) {
        apply_status(&ctx, customer.as_ref(), &status).await.map_err(|source| Error::Status { name, source })?;
    }
    Ok(Action::requeue(next_look(&state, &decision, now)))
}

fn environments_of(ctx: &Context, customer: &str) -> Vec<RollupEnvironment> {
    let all = ctx.stores.environments.state();
    let own = all.iter().filter(|environment| environment.spec.customer_ref.name == customer);
    own.map(|environment| RollupEnvironment {
        phase: environment.status.as_ref().and_then(|status| status.phase),
        placement: environment.spec.placement.unwrap_or_default(),
    })
    .collect()
}

async fn decide(ctx: &Context, customer: &OdooCustomer, state: Option<&CustomerState>, now: Timestamp) -> StopDecision {
    let Some(state) = state else { return StopDecision::None };
    let current = customer.status.as_ref().and_then(|status| status.stop.as_ref());
    let by_time = state.due.is_some_and(|due| due.by_time) && current.is_none();
    let clock_skewed = by_time && clock::is_skewed(&ctx.client).await;
    let window = customer.spec.on_expiry.as_ref().and_then(|on_expiry| on_expiry.stop_window.as_ref());
    decide_stop(&StopInputs { state, current, window, budget: budget(ctx, now), clock_skewed, now })
}

/// Stops for a date's sake that may still begin in this hour. The customers' own status is the record.
fn budget(ctx: &Context, now: Timestamp) -> u32 {
    let hour_ago = now - Duration::from_hours(1);
    let recent = |customer: &OdooCustomer| {
        let stop = customer.status.as_ref().and_then(|status| status.stop.as_ref());
        let since =
            stop.filter(|stop| stop.reason == "CustomerExpired").and_then(|stop| stop.since.parse::<Timestamp>().ok());
        since.is_some_and(|since| since > hour_ago)
    };
    let used = ctx.stores.customers.state().iter().filter(|customer| recent(customer)).count();
    ctx.settings.max_automatic_stops.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
}

fn next_look(state: &Result<CustomerState, Invalid>, decision: &StopDecision, now: Timestamp) -> Duration {
    if matches!(decision, StopDecision::Waiting { .. }) {
        return WAITING_STOP;
    }
    let change = state.as_ref().ok().and_then(|state| state.next_change);
    let left = change.and_then(|change| Duration::try_from(change.duration_since(now)).ok());
    // A second later, so that the moment has certainly come.
    left.map_or_else(resync, |left| (left + Duration::from_secs(1)).min(resync()))
}
