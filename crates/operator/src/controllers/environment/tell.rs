//! Telling how an environment is: written only when it differs from what stands there, whoever wrote that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Resource;
use odoofleet_api::environment::OdooEnvironmentStatus;
use odoofleet_core::environment::Facts;
use odoofleet_core::environment::throttle::may_wait;
use parking_lot::Mutex;

use super::Error;
use crate::context::Context;
use crate::controllers::objects::apply_status;
use crate::report;

/// What became of a status.
pub enum Told {
    /// It was written.
    Written,
    /// It stands there already.
    Unchanged,
    /// Mere progress waits until then.
    Later(Timestamp),
    /// The object is gone, or another has taken its name.
    Gone,
}

/// When the status of each environment was written last.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<String, Instant>>);

impl Throttle {
    fn since(&self, name: &str) -> Option<Duration> {
        self.0.lock().get(name).map(Instant::elapsed)
    }

    fn note(&self, name: &str) {
        self.0.lock().insert(name.to_owned(), Instant::now());
    }

    /// Forgets an environment.
    pub fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

/// Writes a status, if it differs. Mere progress may have to wait.
pub async fn tell(ctx: &Context, facts: &Facts, status: OdooEnvironmentStatus) -> Result<Told, Error> {
    let shown = facts.environment.status.clone().unwrap_or_default();
    if shown == status {
        return Ok(Told::Unchanged);
    }
    let name = facts.name();
    if let Some(rest) = ctx.throttle.since(name).and_then(|since| may_wait(&shown, &status, since)) {
        return Ok(Told::Later(Timestamp::now() + rest));
    }
    let written = apply_status(ctx, facts.environment.as_ref(), &status).await.map_err(Error::Status)?;
    let Some(written) = written else { return Ok(Told::Gone) };
    ctx.throttle.note(name);
    report::environment_changed(ctx, &written.object_ref(&()), &facts.before, &status).await;
    ctx.fleet.affect(|fleet| fleet.note_told(written.into()));
    Ok(Told::Written)
}
