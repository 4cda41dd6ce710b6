//! Carrying out a step: at most one action. A Helm operation is only prepared here; it is handed over after it stands in
//! the status.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Preconditions};
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus, Operation, TemplateStatus};
use odoofleet_core::environment::plan::Step;
use odoofleet_core::environment::validate::Validated;
use odoofleet_core::environment::{Refusal, history};
use odoofleet_helm::{Action as HelmAction, Lane, Request, Submitted};

use super::{Error, Observed, request, scale};
use crate::context::Context;

/// A step that was carried out, or prepared.
pub struct Applied {
    /// The step as the status should tell it.
    pub step: Step,
    /// A Helm operation to hand over once it stands in the status.
    pub handover: Option<Handover>,
}

/// A Helm operation that is ready to begin.
pub struct Handover {
    request: Request,
    lane: Lane,
    hooks: bool,
}

impl Handover {
    /// An operation that renders nothing and waits for nobody.
    pub const fn plain(request: Request) -> Self {
        Self { request, lane: Lane::Person, hooks: false }
    }

    /// Hands the operation to the pool. What the pool does not take is found never to have happened.
    pub fn submit(self, ctx: &Context) {
        let (release, id) = (self.request.release.clone(), self.request.id.clone());
        match ctx.pool.submit(self.request, self.lane, self.hooks) {
            Submitted::Accepted => tracing::debug!(release, operation = id, "Helm operation handed over"),
            Submitted::Busy | Submitted::Closed => tracing::info!(release, operation = id, "Helm operation not taken"),
        }
    }
}

/// Carries out a step.
pub async fn apply(
    ctx: &Context,
    environment: &OdooEnvironment,
    wanted: Option<&Validated>,
    observed: &Observed,
    step: Step,
    status: &mut OdooEnvironmentStatus,
) -> Result<Applied, Error> {
    let generation = environment.metadata.generation.unwrap_or_default();
    match (step, wanted) {
        (Step::Helm { action, revision }, Some(wanted)) => {
            prepare(ctx, wanted, observed, (action, revision), generation, status).await
        }
        (Step::Scale(scaling), Some(wanted)) => {
            scale::apply(ctx, wanted.release.as_str(), &scaling)
                .await
                .map_err(|(what, error)| Error::Scale(what, error))?;
            if let Some(action) = history::action_of(scaling.direction) {
                history::note(status, action, generation, Timestamp::now());
            }
            Ok(Applied { step: Step::Scale(scaling), handover: None })
        }
        (Step::EndCheck { name, uid }, _) => {
            replace_pod(ctx, &name, &uid).await?;
            Ok(Applied { step: Step::EndCheck { name, uid }, handover: None })
        }
        (Step::RestartPod { name, uid }, _) => {
            replace_pod(ctx, &name, &uid).await?;
            history::note(status, Action::Restart, generation, Timestamp::now());
            Ok(Applied { step: Step::RestartPod { name, uid }, handover: None })
        }
        (step, _) => Ok(Applied { step, handover: None }),
    }
}

async fn replace_pod(ctx: &Context, name: &str, uid: &str) -> Result<(), Error> {
    let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    match ctx.api::<Pod>().delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop).map_err(|error| Error::Restart(name.to_owned(), error)),
    }
}

async fn prepare(
    ctx: &Context,
    wanted: &Validated,
    observed: &Observed,
    (action, revision): (Action, i64),
    generation: i64,
    status: &mut OdooEnvironmentStatus,
) -> Result<Applied, Error> {
    let id = operation_id();
    let helm_action = match action {
        Action::Install => HelmAction::Install,
        Action::Unlock => HelmAction::Unlock,
        Action::Uninstall => HelmAction::Uninstall,
        Action::Check => HelmAction::Check,
        _ => HelmAction::Upgrade,
    };
    let request = match action {
        Action::Unlock => {
            Ok(request::bare(ctx, wanted.release.as_str(), &observed.history, id.clone(), (helm_action, revision)))
        }
        _ => {
            request::build(ctx, wanted, &observed.history, &observed.running, id.clone(), (helm_action, revision))
                .await?
        }
    };
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return Ok(Applied { step: Step::Refuse(refusal), handover: None }),
    };
    let Some(operation) = record(ctx, id, (action, revision), generation, request.timeout_seconds).await? else {
        return Ok(Applied { step: not_leading(), handover: None });
    };
    let message = match action {
        Action::Check => "the change is tried in a pod of its own before it replaces what runs".to_owned(),
        Action::Install => format!("Helm installs revision {revision}"),
        Action::Unlock => format!("recovering revision {revision}, which a killed Helm left pending"),
        _ => format!("Helm upgrades to revision {revision}"),
    };
    let reason = match action {
        Action::Check => Reason::Checking,
        Action::Install => Reason::Installing,
        Action::Unlock => Reason::Unlocking,
        _ => Reason::Upgrading,
    };
    let template =
        TemplateStatus { name: wanted.version.template.clone(), version: wanted.version.content.version.clone() };
    let by_person = status.observed_generation != Some(generation) || status.release.is_none();
    let until = Some(operation.deadline.0);
    status.operation = Some(Operation { template: Some(template), ..operation });
    let handover = Handover {
        request,
        lane: if by_person { Lane::Person } else { Lane::Rollout },
        hooks: ctx.memory.has_hooks(&wanted.version.content.chart_digest),
    };
    Ok(Applied { step: Step::Wait { refusal: Refusal::new(reason, message), until }, handover: Some(handover) })
}

/// The record of an operation that is about to begin. None when this process does not hold the lease.
pub async fn record(
    ctx: &Context,
    id: String,
    (action, revision): (Action, i64),
    generation: i64,
    timeout_seconds: i64,
) -> Result<Option<Operation>, Error> {
    let Some(valid_until) = ctx.permit.obtain().await.map_err(Error::Permit)? else { return Ok(None) };
    let now = Timestamp::now();
    let timeout = Duration::from_secs(u64::try_from(timeout_seconds).unwrap_or_default());
    Ok(Some(Operation {
        id,
        action,
        expected_revision: revision,
        holder: ctx.settings.identity.clone(),
        generation,
        template: None,
        started_at: Time(now),
        deadline: Time(now + timeout),
        valid_until: Time(valid_until),
    }))
}

fn not_leading() -> Step {
    let refusal = Refusal::new(Reason::Progressing, "this operator does not hold its lease");
    Step::Wait { refusal, until: Some(Timestamp::now() + Duration::from_secs(2)) }
}

/// A name for an operation, unique enough to find it in logs.
pub fn operation_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}
