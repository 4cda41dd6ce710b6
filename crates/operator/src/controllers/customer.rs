//! Customers: phase, stops, roll-ups.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use odoofleet_core::customer::{CustomerStep, depends_on_clock};
use odoofleet_core::fleet::Answer;

use super::objects::{apply_status, set_finalizer};
use crate::clock;
use crate::context::Context;

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

/// One look at a customer. The answer is when the next look is due by itself.
pub async fn look(name: String, ctx: Arc<Context>) -> Result<Option<Timestamp>, Error> {
    let Some(customer) = ctx.fleet.with(|fleet| fleet.customer(&name).map(Arc::clone)) else { return Ok(None) };
    let by_clock = depends_on_clock(&customer, &ctx.settings.time_zone, Timestamp::now());
    let clock_skewed = by_clock && clock::is_skewed(&ctx.client).await;
    let decided = ctx.fleet.with(|fleet| {
        let customer = Arc::clone(fleet.customer(&name)?);
        Some((customer, fleet.decide_customer(&name, clock_skewed, Timestamp::now())?))
    });
    let Some((customer, decision)) = decided else {
        ctx.customer_counts.forget(&name);
        return Ok(None);
    };
    if decision.step != CustomerStep::Nothing {
        let wanted = decision.step == CustomerStep::Protect;
        let set = set_finalizer(&ctx, customer.as_ref(), wanted).await;
        let set = set.map_err(|source| Error::Finalizer { name: name.clone(), source })?;
        // What has changed meanwhile comes with its event, and so does what was written here.
        if let Some(object) = set.filter(|_| wanted) {
            ctx.fleet.affect(|fleet| fleet.note_answer(Answer::Customer(object.into())));
        }
        return Ok(None);
    }
    let (written, wake_at) = (customer.status.as_ref(), decision.wake_at);
    if let Some(later) = ctx.customer_counts.later(&name, written, &decision.status, wake_at) {
        return Ok(Some(later));
    }
    if customer.status.as_ref() != Some(&decision.status) {
        let written = apply_status(&ctx, customer.as_ref(), &decision.status).await;
        let written = written.map_err(|source| Error::Status { name: customer.name_any(), source })?;
        if let Some(object) = written {
            ctx.fleet.affect(|fleet| fleet.note_answer(Answer::Customer(object.into())));
        }
    }
    Ok(decision.wake_at)
}
