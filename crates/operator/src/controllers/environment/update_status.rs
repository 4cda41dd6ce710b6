//! Telling how an environment is: derived by one function, written only when it differs, kept in memory.

use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::OdooEnvironmentStatus;
use odoofleet_core::environment::Refusal;
use odoofleet_core::environment::pace::may_wait;
use odoofleet_core::environment::plan::Step;
use odoofleet_core::environment::status::{StatusInputs, derive};
use odoofleet_core::environment::validate::Validated;

use super::{Error, Observed};
use crate::context::Context;
use crate::controllers::objects::apply_status;
use crate::report;

/// Derives and, if it differs from what was written last, writes the status. Mere progress may have to wait: then the
/// answer is how long until the next look.
pub async fn update(
    ctx: &Context,
    environment: &OdooEnvironment,
    wanted: Result<&Validated, &Refusal>,
    observed: &Observed,
    step: &Step,
    before: &OdooEnvironmentStatus,
    now: Timestamp,
) -> Result<Option<Duration>, Error> {
    let status = derive(&StatusInputs {
        environment,
        before,
        wanted,
        history: &observed.history,
        running: &observed.running,
        step,
        node_address: ctx.settings.node_address.as_deref(),
        now,
    });
    let since = environment.metadata.uid.as_deref().and_then(|uid| ctx.memory.since_status(uid));
    if let Some(rest) = since.and_then(|since| may_wait(&ctx.memory.status(environment), &status, since)) {
        return Ok(Some(rest));
    }
    write(ctx, environment, status).await.map(|()| None)
}

/// Writes a status, if it differs from what was written last.
pub async fn write(ctx: &Context, environment: &OdooEnvironment, status: OdooEnvironmentStatus) -> Result<(), Error> {
    let written = ctx.memory.status(environment);
    if written == status {
        return Ok(());
    }
    apply_status(ctx, environment, &status).await.map_err(Error::Status)?;
    report::environment_changed(ctx, &environment.object_ref(&()), &written, &status).await;
    if let Some(uid) = &environment.metadata.uid {
        ctx.memory.keep_status(uid, status);
    }
    Ok(())
}
