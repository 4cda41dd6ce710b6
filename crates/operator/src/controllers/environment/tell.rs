//! Telling how an environment is: written only when it differs from what stands there, whoever wrote that.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use kube::Resource;
use odoofleet_api::environment::OdooEnvironmentStatus;
use odoofleet_core::environment::Facts;
use odoofleet_core::environment::throttle::{Since, may_wait};
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

/// When the status of each environment was written last, and since when there is something to write.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<String, Moments>>);

#[derive(Default)]
struct Moments {
    written: Option<Instant>,
    differs: Option<Instant>,
}

impl Throttle {
    /// There is something to write.
    fn since(&self, name: &str) -> Since {
        let mut all = self.0.lock();
        let moments = all.entry(name.to_owned()).or_default();
        Since {
            written: moments.written.map(|written| written.elapsed()),
            differs: moments.differs.get_or_insert_with(Instant::now).elapsed(),
        }
    }

    /// It is written, or there is nothing to write any more.
    fn note(&self, name: &str, written: bool) {
        let mut all = self.0.lock();
        let moments = all.entry(name.to_owned()).or_default();
        moments.differs = None;
        if written {
            moments.written = Some(Instant::now());
        }
    }

    /// Forgets an environment.
    pub fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

/// Writes a status, if it differs. Mere progress may have to wait.
pub async fn tell(ctx: &Context, facts: &Facts, status: OdooEnvironmentStatus) -> Result<Told, Error> {
    let shown = facts.environment.status.clone().unwrap_or_default();
    let name = facts.name();
    if shown == status {
        ctx.throttle.note(name, false);
        return Ok(Told::Unchanged);
    }
    if let Some(rest) = may_wait(&shown, &status, ctx.throttle.since(name)) {
        return Ok(Told::Later(Timestamp::now() + rest));
    }
    let written = apply_status(ctx, facts.environment.as_ref(), &status).await.map_err(Error::Status)?;
    let Some(written) = written else { return Ok(Told::Gone) };
    ctx.throttle.note(name, true);
    report::environment_changed(ctx, &written.object_ref(&()), &facts.before, &status).await;
    ctx.fleet.affect(|fleet| fleet.note_told(written.into()));
    Ok(Told::Written)
}
