//! From facts to a decision about a customer.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::customer::OdooCustomerStatus;
use odoofleet_api::{OdooCustomer, labels};

use super::phase::{Due, state};
use super::status::{Rollup, derive};
use super::stops::{StopDecision, StopInputs, decide as decide_stop};

/// Everything that a decision about one customer is made from.
pub struct CustomerFacts {
    /// The object.
    pub customer: Arc<OdooCustomer>,
    /// Its environments, counted.
    pub rollup: Rollup,
    /// Environments that keep it from going while it is being deleted.
    pub holders: usize,
    /// Whether a stop for time's sake may begin now, over all customers; else when the next one may.
    pub turn: Result<(), Timestamp>,
    /// Whether the operator's clock and the API server's differ by more than a minute.
    pub clock_skewed: bool,
    /// Zone of contracts that name none.
    pub time_zone: TimeZone,
}

/// The one thing that is done to a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerStep {
    /// Nothing but to tell how it is.
    Nothing,
    /// Put our finalizer on it: from the first look on, not from the first use, so that no deletion slips in between.
    Protect,
    /// Take our finalizer away.
    LetGo,
}

/// What a look at a customer decides.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerDecision {
    /// What is done.
    pub step: CustomerStep,
    /// What is told.
    pub status: OdooCustomerStatus,
    /// When to look again although nothing has told so.
    pub wake_at: Option<Timestamp>,
    /// Whether a stop begins for time's sake: it uses up a turn.
    pub uses_turn: bool,
}

/// Whether a stop is due only because of a date, so that the operator's clock matters.
pub fn depends_on_clock(customer: &OdooCustomer, time_zone: &TimeZone, now: Timestamp) -> bool {
    let current = customer.status.as_ref().and_then(|status| status.stop.as_ref());
    let due = state(&customer.spec, time_zone, now).ok().and_then(|state| state.due);
    due.is_some_and(|Due { scope, by_time, .. }| by_time && current.is_none_or(|current| current.scope != scope))
}

/// Decides about a customer.
pub fn decide(facts: &CustomerFacts, now: Timestamp) -> CustomerDecision {
    let customer = &facts.customer;
    let state = state(&customer.spec, &facts.time_zone, now);
    let stop = state.as_ref().map_or_else(
        |_| StopDecision::default(),
        |state| {
            decide_stop(&StopInputs {
                state,
                current: customer.status.as_ref().and_then(|status| status.stop.as_ref()),
                window: customer.spec.on_expiry.as_ref().and_then(|on_expiry| on_expiry.stop_window.as_ref()),
                turn: facts.turn,
                clock_skewed: facts.clock_skewed,
                now,
            })
        },
    );
    let paused = customer.spec.paused.unwrap_or_default();
    let change = state.as_ref().ok().and_then(|state| state.next_change);
    let waiting = stop.waiting.as_ref().map(|waiting| waiting.until).filter(|_| !paused);
    CustomerDecision {
        step: step(facts),
        status: derive(customer, &state, &stop, facts.rollup, facts.holders, &Time(now)),
        wake_at: [change, waiting].into_iter().flatten().min(),
        uses_turn: stop.uses_turn && !paused,
    }
}

fn step(facts: &CustomerFacts) -> CustomerStep {
    let meta = &facts.customer.metadata;
    let protected = meta.finalizers.iter().flatten().any(|finalizer| finalizer == labels::FINALIZER);
    match (meta.deletion_timestamp.is_some(), protected) {
        (false, false) => CustomerStep::Protect,
        (true, true) if facts.holders == 0 => CustomerStep::LetGo,
        (true | false, _) => CustomerStep::Nothing,
    }
}
