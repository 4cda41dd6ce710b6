//! Asking the brake before an environment is taken down.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_core::environment::Refusal;
use odoofleet_core::environment::brake::{Brake, Cause, was_stopped_lately};

use crate::context::Context;

/// Counts an environment as taken down, or says why it must wait. One that was vouched for counts without waiting.
pub fn hold(
    ctx: &Context,
    environment: &OdooEnvironment,
    cause: Cause,
    vouched: bool,
    now: Timestamp,
) -> Option<Refusal> {
    let uid = environment.uid().unwrap_or_default();
    let brake = Brake { limit: ctx.settings.max_stops, fleet: ctx.stores.environments.len() };
    let admitted = ctx.memory.take_down(&uid, now, |known| {
        if vouched || was_stopped_lately(&ctx.memory.status(environment), now) {
            return true;
        }
        // What an operator before this one stopped stands in the statuses.
        let all = ctx.stores.environments.state();
        let stopped = all.iter().filter(|other| was_stopped_lately(&ctx.memory.status(other), now));
        let stopped: BTreeSet<String> = stopped.filter_map(|other| other.uid()).collect();
        brake.admits(stopped.union(&known.iter().cloned().collect()).count())
    });
    (!admitted).then(|| brake.refusal(cause, &environment.name_any()))
}
