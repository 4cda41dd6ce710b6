//! Environments: from spec to release to status.

mod apply;
mod brake;
mod cleanup;
mod dereference;
pub mod operations;
mod request;
mod scale;
mod update_status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use odoofleet_api::environment::{OdooEnvironmentStatus, Placement};
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::brake::Cause;
use odoofleet_core::environment::judge::{Verdict, judge};
use odoofleet_core::environment::plan::{Situation, Step, plan, restart_is_over};
use odoofleet_core::environment::references::names;
use odoofleet_core::environment::validate::{Validated, validate};
use odoofleet_core::environment::{Refusal, history, scaling};
use odoofleet_core::observed::Running;
use odoofleet_core::release::History;

use super::objects::set_finalizer;
use crate::context::{Context, resync};

/// Why an environment could not be looked at. Each is transient: the API server, or the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer.
    #[error("failed to set the finalizer")]
    Finalizer(#[source] kube::Error),
    /// What the spec refers to.
    #[error("failed to read {0}")]
    Dereference(String, #[source] kube::Error),
    /// The chart.
    #[error("failed to load the chart")]
    Chart(#[from] crate::charts::LoadError),
    /// The generated Secret, or the values from Secrets.
    #[error("failed to prepare the Helm operation")]
    Prepare(#[source] kube::Error),
    /// The lease.
    #[error("failed to read the lease")]
    Permit(#[source] kube::Error),
    /// Workloads.
    #[error("failed to scale {0}")]
    Scale(String, #[source] kube::Error),
    /// A pod.
    #[error("failed to replace pod \"{0}\"")]
    Restart(String, #[source] kube::Error),
    /// Cleaning up.
    #[error("failed to {0}")]
    Cleanup(&'static str, #[source] kube::Error),
    /// The status.
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

/// What was seen of an environment.
struct Observed {
    history: History,
    running: Running,
}

/// One look at an environment: read, decide, act once, tell.
pub async fn reconcile(environment: Arc<OdooEnvironment>, ctx: Arc<Context>) -> Result<Action, Error> {
    let environment = environment.as_ref();
    if environment.metadata.deletion_timestamp.is_some() {
        return cleanup::run(environment, &ctx).await;
    }
    if is_left_alone(environment) {
        return look_only(environment, &ctx).await;
    }
    set_finalizer(&ctx, environment, true).await.map_err(Error::Finalizer)?;

    let now = Timestamp::now();
    let mut status = ctx.memory.status(environment);
    let references = dereference::dereference(&ctx, environment, &status).await?; // caches
    let wanted = validate(environment, &references); // pure
    let observed = observe(&ctx, environment); // caches
    let verdict = settle(&ctx, environment, &mut status, &observed.history, wanted.as_ref().ok(), now);
    let step = choose(&ctx, environment, &wanted, &observed, &status, verdict.as_ref(), now); // pure
    if let Ok(wanted) = &wanted {
        note_restart(environment, &mut status, wanted, &observed.running);
    }
    let applied = apply::apply(&ctx, environment, wanted.as_ref().ok(), &observed, step, &mut status).await?; // at most one action
    let unwritten =
        update_status::update(&ctx, environment, wanted.as_ref(), &observed, &applied.step, &status, now).await?;
    // What was announced begins only now: whoever finds it in the status knows what may have happened.
    if let Some(handover) = applied.handover {
        handover.submit(&ctx);
    }
    let next = next_look(&applied.step, now);
    Ok(Action::requeue(unwritten.map_or(next, |rest| rest.min(next))))
}

/// Paused, or out of reach: nothing is done but to tell how it is.
fn is_left_alone(environment: &OdooEnvironment) -> bool {
    environment.spec.paused.unwrap_or_default() || environment.spec.placement == Some(Placement::Offline)
}

async fn look_only(environment: &OdooEnvironment, ctx: &Context) -> Result<Action, Error> {
    let status = ctx.memory.status(environment);
    let references = dereference::dereference(ctx, environment, &status).await?;
    let (wanted, observed) = (validate(environment, &references), observe(ctx, environment));
    let now = Timestamp::now();
    let unwritten =
        update_status::update(ctx, environment, wanted.as_ref(), &observed, &Step::Nothing, &status, now).await?;
    Ok(Action::requeue(unwritten.unwrap_or_else(resync)))
}

fn observe(ctx: &Context, environment: &OdooEnvironment) -> Observed {
    let Ok((_, release)) = names(&environment.spec) else {
        return Observed { history: History::default(), running: Running::default() };
    };
    let history = ctx.index.releases.history(release.as_str());
    // What runs of another's release is nobody else's to see.
    let own = history.newest().is_none_or(|newest| newest.ownership.may_belong_to(environment));
    let mut running = if own { ctx.index.running.of(release.as_str()) } else { Running::default() };
    for certificate in &mut running.certificates {
        certificate.found = ctx.index.certificates.get(&certificate.secret);
    }
    Observed { history, running }
}

/// Judges the recorded operation, and takes it into the history when it is over.
fn settle(
    ctx: &Context,
    environment: &OdooEnvironment,
    status: &mut OdooEnvironmentStatus,
    history: &History,
    wanted: Option<&Validated>,
    now: Timestamp,
) -> Option<Verdict> {
    let operation = status.operation.clone()?;
    let uid = environment.metadata.uid.as_deref().unwrap_or_default();
    let release = names(&environment.spec).ok().map(|(_, release)| release)?;
    let active = ctx.pool.is_active(release.as_str(), &operation.id);
    let verdict = judge(&operation, history, ctx.memory.report(uid).as_ref(), active, ctx.fence, now);
    let inputs = wanted.map(|wanted| wanted.inputs.clone()).unwrap_or_default();
    history::settle(status, &verdict, &inputs, now);
    Some(verdict)
}

fn choose(
    ctx: &Context,
    environment: &OdooEnvironment,
    wanted: &Result<Validated, Refusal>,
    observed: &Observed,
    status: &OdooEnvironmentStatus,
    verdict: Option<&Verdict>,
    now: Timestamp,
) -> Step {
    match wanted {
        Err(refusal) => Step::Refuse(refusal.clone()),
        Ok(wanted) => plan(&Situation {
            held: held(ctx, environment, wanted, &observed.running, now).as_ref(),
            wanted,
            history: &observed.history,
            running: &observed.running,
            status,
            verdict,
            fence: ctx.fence,
            has_check: ctx.memory.has_check(&wanted.version.content.chart_digest),
            restart_before: restart_before(environment, status),
            now,
        }),
    }
}

/// Whether the brake holds a stop that nobody asked for by this environment's own name.
fn held(
    ctx: &Context,
    environment: &OdooEnvironment,
    wanted: &Validated,
    running: &Running,
    now: Timestamp,
) -> Option<Refusal> {
    let is_up = scaling::is_up(running, &wanted.stop_plan);
    let by_customer = wanted.overlay.is_some() && environment.spec.replicas > 0;
    if is_up && by_customer { brake::hold(ctx, environment, Cause::Customer, false, now) } else { None }
}

/// The restart that was asked for and is not complete.
fn restart_before(environment: &OdooEnvironment, status: &OdooEnvironmentStatus) -> Option<Timestamp> {
    let asked = environment.annotations().get(labels::RESTARTED_AT)?;
    let handled = status.last_handled_restart_at.as_ref() == Some(asked);
    asked.parse().ok().filter(|_| !handled)
}

/// Notes that a restart is complete.
fn note_restart(
    environment: &OdooEnvironment,
    status: &mut OdooEnvironmentStatus,
    wanted: &Validated,
    running: &Running,
) {
    if let Some(before) = restart_before(environment, status)
        && restart_is_over(running, &wanted.stop_plan, before)
    {
        status.last_handled_restart_at = environment.annotations().get(labels::RESTARTED_AT).cloned();
    }
}

/// Watches tell of everything but the passing of time.
fn next_look(step: &Step, now: Timestamp) -> Duration {
    match step {
        Step::Wait { until: Some(until), .. } => {
            Duration::try_from(until.duration_since(now)).unwrap_or_default() + Duration::from_millis(100)
        }
        _ => resync(),
    }
}
