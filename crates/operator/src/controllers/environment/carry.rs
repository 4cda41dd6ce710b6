//! Carrying out a decision: at most one act. A Helm operation is only prepared here; it begins when it stands in the status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use odoofleet_api::environment::{Operation, TemplateStatus};
use odoofleet_api::labels;
use odoofleet_core::environment::references::{hosts, names};
use odoofleet_core::environment::validate::{Validated, validate};
use odoofleet_core::environment::{Decision, Facts, HelmStep, Leftover, Step, decide};
use odoofleet_core::finding::Finding;
use odoofleet_core::fleet::{Answer, Change, Delta};
use odoofleet_helm::{Lane, Request, Turn};
use serde_json::json;

use super::operations::{self, Begun, Handover};
use super::{Error, drift, request, scale, with_uid};
use crate::context::Context;
use crate::controllers::objects::set_finalizer;
use crate::controllers::records::object_name;
use crate::report;
use crate::watches::releases::{self, RETAINED_HOSTS};

/// Looked at again this soon when this operator does not hold its lease for the moment.
const NOT_LEADING: Duration = Duration::from_secs(2);

/// A decision that can be carried out.
pub struct Ready {
    /// The facts, with an obstacle if one was found.
    pub facts: Facts,
    /// The decision.
    pub decision: Decision,
    /// The operation to begin when it stands in the status, if it is one.
    pub operation: Option<Handover>,
}

/// What became of preparing a decision.
pub enum Prepared {
    /// It can be carried out.
    Ready(Box<Ready>),
    /// This operator does not hold its lease; looked at again then.
    NotLeading(Timestamp),
}

impl Prepared {
    fn ready(facts: Facts, decision: Decision, operation: Option<Handover>) -> Self {
        Self::Ready(Box::new(Ready { facts, decision, operation }))
    }
}

/// Prepares a Helm operation. What keeps it from being prepared is a fact like any other, from which is decided anew.
pub async fn prepare(ctx: &Context, facts: Facts, mut decision: Decision) -> Result<Prepared, Error> {
    let Step::Helm(step) = decision.step.clone() else {
        return Ok(Prepared::ready(facts, decision, None));
    };
    let id = format!("{:016x}", rand::random::<u64>());
    let wanted = validate(&facts.environment, &facts.references).ok();
    let Some(valid_until) = ctx.permit.obtain().await.map_err(Error::Permit)? else {
        return Ok(Prepared::NotLeading(Timestamp::now() + NOT_LEADING));
    };
    let (request, generated) = match request_and_passwords(ctx, &facts, wanted.as_ref(), id, &step).await? {
        Ok(both) => both,
        Err(obstacle) => return Ok(hindered(facts, obstacle)),
    };
    let now = Timestamp::now();
    decision.status.operation = Some(Operation {
        id: request.id.clone(),
        action: step.action.into(),
        expected_revision: step.revision,
        holder: ctx.settings.identity.clone(),
        queued: Some(true),
        generation: facts.generation(),
        template: wanted.as_ref().map(|wanted| TemplateStatus {
            name: wanted.version.template.clone(),
            version: wanted.version.content.version.clone(),
        }),
        started_at: Time(now),
        timeout_seconds: request.timeout_seconds,
        valid_until: Time(valid_until),
    });
    let begun = Begun {
        environment: facts.name().to_owned(),
        inputs: wanted.as_ref().map(|wanted| wanted.inputs.clone()).unwrap_or_default(),
        chart: wanted.as_ref().map(|wanted| wanted.version.content.chart_digest.clone()),
    };
    let operation = Some(Handover { request, turn: turn(&facts, &step), begun, generated });
    Ok(Prepared::ready(facts, decision, operation))
}

/// Builds the request, and generates the passwords: last, when nothing else is in the way; but first where the values hold one.
async fn request_and_passwords(
    ctx: &Context,
    facts: &Facts,
    wanted: Option<&Validated>,
    id: String,
    step: &HelmStep,
) -> Result<Result<(Request, Option<request::Generated>), Finding>, Error> {
    let rendered = wanted.filter(|_| step.action.makes());
    let holds_one = |wanted: &&Validated| wanted.fed.iter().any(|fed| fed.object.name == wanted.generated_secret);
    let generated = match rendered.filter(holds_one) {
        Some(wanted) => match request::generate(ctx, facts, wanted).await? {
            Ok(generated) => generated,
            Err(obstacle) => return Ok(Err(obstacle)),
        },
        None => None,
    };
    let request = match request::build(ctx, facts, wanted, id, step).await? {
        Ok(request) => request,
        Err(obstacle) => {
            if let Some(generated) = generated {
                request::take_back(ctx, generated).await?;
            }
            return Ok(Err(obstacle));
        }
    };
    match rendered.filter(|wanted| !holds_one(wanted)) {
        Some(wanted) => Ok(request::generate(ctx, facts, wanted).await?.map(|generated| (request, generated))),
        None => Ok(Ok((request, generated))),
    }
}

fn hindered(facts: Facts, obstacle: Finding) -> Prepared {
    let facts = facts.with_obstacle(obstacle);
    let decision = decide(&facts, Timestamp::now());
    Prepared::ready(facts, decision, None)
}

fn turn(facts: &Facts, step: &HelmStep) -> Turn {
    Turn {
        lane: if step.by_person { Lane::Person } else { Lane::Rollout },
        tenant: facts.environment.spec.customer_ref.name.clone(),
        hooks: facts.has_upgrade_hooks,
    }
}

/// Does the one thing that was decided. The answer is what is to be told; nothing of an object that comes or goes just now.
pub async fn act(ctx: &Arc<Context>, facts: &Facts, decision: &Decision) -> Result<Option<Decision>, Error> {
    let mut decision = decision.clone();
    report::acts(facts.name(), decision.record.as_ref());
    for notice in &decision.notices {
        let object = facts.environment.object_ref(&());
        let reason = notice.reason.as_str();
        report::publish(ctx, &object, EventType::Warning, reason, "Look", notice.message.clone()).await;
    }
    match &decision.step {
        Step::Nothing | Step::Helm(_) => {}
        Step::Protect | Step::LetGo => {
            set(ctx, facts, decision.step == Step::Protect).await?;
            return Ok(None);
        }
        Step::Cancel { operation } => {
            // What no worker has begun never happened; if one has begun, its end will be told.
            if let Some(release) = release_of(facts).filter(|release| ctx.pool.cancel(release, operation)) {
                ctx.operations.forget(operation);
                operations::ask(ctx, &release);
                // The spec that it was begun for is the newest that anything was done about.
                decision.status.observed_generation =
                    decision.status.operation.take().map(|operation| operation.generation);
                decision.wake_at = Some(Timestamp::now());
            }
        }
        Step::Reserve(secrets) => reserve(ctx, secrets).await?,
        Step::Scale(scaling) => {
            scale::apply(ctx, scaling).await.map_err(|(what, error)| Error::Scale(what, error))?;
        }
        Step::DeletePod { name, uid, .. } => delete_pod(ctx, facts, name, uid).await?,
        Step::LookForDrift { objects } => {
            if let Some(release) = release_of(facts) {
                drift::begin(ctx, facts, &release, objects.as_ref());
            }
        }
        Step::Adopt { revision, resource_version, labels } => {
            adopt(ctx, facts, *revision, resource_version, labels).await?;
        }
        Step::Mark(leftovers) => mark(ctx, facts, leftovers).await?,
        Step::Retain { revision } => retain(ctx, facts, *revision).await?,
        Step::Remove(leftovers) => remove(ctx, facts, leftovers).await?,
    }
    Ok(Some(decision))
}

fn release_of(facts: &Facts) -> Option<String> {
    names(&facts.environment.spec).ok().map(|(_, release)| release.as_str().to_owned())
}

async fn set(ctx: &Context, facts: &Facts, wanted: bool) -> Result<(), Error> {
    let object = set_finalizer(ctx, facts.environment.as_ref(), wanted).await.map_err(Error::Finalizer)?;
    if let Some(object) = object.filter(|_| wanted) {
        ctx.fleet.affect(|fleet| fleet.note_answer(Answer::Environment(object.into())));
    }
    Ok(())
}

async fn delete_pod(ctx: &Context, facts: &Facts, name: &str, uid: &str) -> Result<(), Error> {
    match ctx.api::<Pod>().delete(name, &with_uid(uid)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
        result => drop(result.map_err(|error| Error::Pod(name.to_owned(), error))?),
    }
    if let Some(release) = release_of(facts) {
        ctx.fleet.with(|fleet| fleet.note_pod_deleted(&release, uid));
    }
    Ok(())
}

fn own() -> PatchParams {
    PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Labels Secrets. That they carry the label is told by their watch.
async fn reserve(ctx: &Context, secrets: &[String]) -> Result<(), Error> {
    let patch = Patch::Merge(json!({ "metadata": { "labels": { labels::NAMED_BY_PRODUCTION: "true" } } }));
    for name in secrets {
        match ctx.api::<Secret>().patch_metadata(name, &own(), &patch).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => drop(result.map_err(|error| Error::Reserve(name.clone(), error))?),
        }
    }
    Ok(())
}

async fn mark(ctx: &Context, facts: &Facts, leftovers: &[Leftover]) -> Result<(), Error> {
    let patch = Patch::Merge(json!({ "metadata": { "labels": { labels::ENVIRONMENT_UID: facts.uid() } } }));
    for leftover in leftovers {
        let result = match leftover {
            Leftover::Volume(name) => {
                ctx.api::<PersistentVolumeClaim>().patch_metadata(name, &own(), &patch).await.map(drop)
            }
            Leftover::Secret(name) => ctx.api::<Secret>().patch_metadata(name, &own(), &patch).await.map(drop),
        };
        match result {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => result.map_err(|error| Error::Deletion("mark what is the release's own", error))?,
        }
    }
    Ok(())
}

/// Puts our labels on the record of a release that equals what is wanted. If the record has changed since it was compared, nothing is
/// written: its watch asks for the next look.
async fn adopt(
    ctx: &Context,
    facts: &Facts,
    revision: i64,
    resource_version: &str,
    labels: &[(&'static str, String)],
) -> Result<(), Error> {
    let Some(release) = release_of(facts) else { return Ok(()) };
    let labels: BTreeMap<&str, &String> = labels.iter().map(|(key, value)| (*key, value)).collect();
    let patch = json!({ "metadata": { "resourceVersion": resource_version, "labels": labels } });
    let name = object_name(&release, revision);
    let labelled = match ctx.api::<Secret>().patch_metadata(&name, &own(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => return Ok(()),
        result => result.map_err(|error| Error::Adopt(release.clone(), error))?,
    };
    let note =
        format!("release \"{release}\" is taken over at revision {revision}: no pod was touched, no revision made");
    report::publish(ctx, &facts.environment.object_ref(&()), EventType::Normal, "Adopted", "Adopt", note).await;
    if let Some(labelled) = releases::read(&labelled) {
        ctx.fleet.apply(Change::Releases(Delta::Applied(labelled)));
    }
    Ok(())
}

/// Marks the newest revision. Hosts stay reserved for whoever creates the same environment again.
async fn retain(ctx: &Context, facts: &Facts, revision: i64) -> Result<(), Error> {
    let Some(release) = release_of(facts) else { return Ok(()) };
    let name = object_name(&release, revision);
    let patch = json!({ "metadata": {
        "labels": {
            labels::RETAINED_AT: Timestamp::now().as_second().to_string(),
            labels::STAGE: facts.environment.spec.stage.as_str(),
        },
        "annotations": { RETAINED_HOSTS: hosts(&facts.environment.spec).join(",") },
    } });
    let marked = ctx.api::<Secret>().patch_metadata(&name, &own(), &Patch::Merge(patch)).await;
    let marked = marked.map_err(|error| Error::Deletion("mark the release as retained", error))?;
    let note = format!("release \"{release}\" and its data are kept; creating the environment again starts it");
    report::publish(ctx, &facts.environment.object_ref(&()), EventType::Normal, "Retained", "Delete", note).await;
    if let Some(marked) = releases::read(&marked) {
        ctx.fleet.apply(Change::Releases(Delta::Applied(marked)));
    }
    Ok(())
}

/// Asks the API server to remove what is left. That it is gone is told by the watches.
async fn remove(ctx: &Context, facts: &Facts, leftovers: &[Leftover]) -> Result<(), Error> {
    let params = DeleteParams::default();
    let mut removed = Vec::new();
    for leftover in leftovers {
        let (what, result) = match leftover {
            Leftover::Volume(name) => (
                format!("PersistentVolumeClaim {name}"),
                ctx.api::<PersistentVolumeClaim>().delete(name, &params).await.map(drop),
            ),
            Leftover::Secret(name) => {
                (format!("Secret {name}"), ctx.api::<Secret>().delete(name, &params).await.map(drop))
            }
        };
        match result {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => result.map_err(|error| Error::Deletion("remove what the release left", error))?,
        }
        removed.push(what);
    }
    let note =
        format!("removed {}; an external database and volumes with reclaim policy Retain remain", removed.join(", "));
    tracing::info!(environment = facts.environment.name_any(), note, "data of a deleted environment is removed");
    report::publish(ctx, &facts.environment.object_ref(&()), EventType::Normal, "DataRemoved", "Delete", note).await;
    Ok(())
}
