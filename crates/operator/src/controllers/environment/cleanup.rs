//! Deleting an environment.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::environment::{Action as Operation, DeletionPolicy, OdooEnvironmentStatus};
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::Refusal;
use odoofleet_core::environment::brake::Cause;
use odoofleet_core::environment::cleanup::{CleanupSituation, CleanupStep, plan};
use odoofleet_core::environment::history;
use odoofleet_core::environment::judge::{Verdict, judge};
use odoofleet_core::environment::references::{hosts, names};
use odoofleet_core::environment::validate::generated_secret;
use odoofleet_core::template::StopPlan;
use odoofleet_helm::Action as HelmAction;
use serde_json::json;

use super::apply::{Handover, operation_id, record};
use super::{Error, Observed, brake, observe, request, scale, update_status};
use crate::context::{Context, resync};
use crate::controllers::objects::set_finalizer;
use crate::index::RETAINED_HOSTS;
use crate::report;

/// A deletion that the brake holds is looked at again this soon.
const HELD: Duration = Duration::from_secs(30);

/// One look at an environment that is being deleted. The spec need not be valid.
pub async fn run(environment: &OdooEnvironment, ctx: &Context) -> Result<Action, Error> {
    if !environment.finalizers().iter().any(|finalizer| finalizer == labels::FINALIZER) {
        return Ok(Action::await_change());
    }
    let Ok((_, release)) = names(&environment.spec) else { return let_go(ctx, environment).await };
    let release = release.as_str();
    let observed = observe(ctx, environment);
    let now = Timestamp::now();
    let mut status = ctx.memory.status(environment);
    let operation_running = settle(ctx, environment, &mut status, release, &observed, now);
    // First of all: when kind or namespace go, the rights in the namespace may be gone already. And their deletion is
    // nobody's word about this environment.
    if is_kind_terminating(ctx).await? || is_namespace_terminating(ctx).await? {
        return let_go(ctx, environment).await;
    }
    let leftovers = match environment.spec.deletion_policy {
        Some(DeletionPolicy::Delete) => leftovers(ctx, environment, release, &observed).await?,
        _ => Vec::new(),
    };
    let step = plan(&CleanupSituation {
        policy: environment.spec.deletion_policy.unwrap_or_default(),
        environment: &environment.name_any(),
        customer: &environment.spec.customer_ref.name,
        history: &observed.history,
        running: &observed.running,
        stop_plan: &stop_plan(ctx, environment, &status),
        operation_running,
        leftovers: !leftovers.is_empty(),
    });
    if let Some(refusal) = braked(ctx, environment, &step, now) {
        tell(ctx, environment, status, &refusal).await?;
        return Ok(Action::requeue(HELD));
    }
    act(ctx, environment, release, &observed, step, &leftovers, status).await
}

fn settle(
    ctx: &Context,
    environment: &OdooEnvironment,
    status: &mut OdooEnvironmentStatus,
    release: &str,
    observed: &Observed,
    now: Timestamp,
) -> bool {
    let Some(operation) = status.operation.clone() else { return ctx.pool.is_busy(release) };
    let report = environment.metadata.uid.as_deref().and_then(|uid| ctx.memory.report(uid));
    let verdict = judge(
        &operation,
        &observed.history,
        report.as_ref(),
        ctx.pool.is_active(release, &operation.id),
        ctx.fence,
        now,
    );
    history::settle(status, &verdict, "", now);
    matches!(verdict, Verdict::Running | Verdict::MayWriteUntil(_)) || ctx.pool.is_busy(release)
}

/// The template may be gone or broken: then the rules for unlisted workloads hold.
fn stop_plan(ctx: &Context, environment: &OdooEnvironment, status: &OdooEnvironmentStatus) -> StopPlan {
    let held = status.template.as_ref().and_then(|held| ctx.index.versions.get(&held.name, &held.version));
    match (held, names(&environment.spec)) {
        (Some(held), Ok((_, release))) => held.content.stop_plan(&release),
        _ => StopPlan::default(),
    }
}

async fn is_kind_terminating(ctx: &Context) -> Result<bool, Error> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(ctx.client.clone());
    let crd =
        api.get_opt("odooenvironments.odoofleet.dev").await.map_err(|error| Error::Cleanup("read the CRD", error))?;
    Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
}

async fn is_namespace_terminating(ctx: &Context) -> Result<bool, Error> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let namespace =
        api.get_opt(&ctx.settings.namespace).await.map_err(|error| Error::Cleanup("read the namespace", error))?;
    Ok(namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}

/// A deletion that takes something down counts for the brake; one that was vouched for does not wait.
fn braked(ctx: &Context, environment: &OdooEnvironment, step: &CleanupStep, now: Timestamp) -> Option<Refusal> {
    let takes_down = matches!(step, CleanupStep::Scale(_) | CleanupStep::Uninstall { .. });
    let vouched = environment.annotations().get(labels::ALLOW_DELETION) == Some(&environment.name_any());
    if takes_down { brake::hold(ctx, environment, Cause::Deletion, vouched, now) } else { None }
}

async fn act(
    ctx: &Context,
    environment: &OdooEnvironment,
    release: &str,
    observed: &Observed,
    step: CleanupStep,
    leftovers: &[Leftover],
    status: OdooEnvironmentStatus,
) -> Result<Action, Error> {
    let deleting = |message: &str| Refusal::new(Reason::Deleting, message);
    match step {
        CleanupStep::LetGo => let_go(ctx, environment).await,
        CleanupStep::WaitForOperation => {
            tell(ctx, environment, status, &deleting("waiting for a Helm operation to end")).await?;
            Ok(Action::requeue(Duration::from_secs(10)))
        }
        CleanupStep::WaitForPods => {
            tell(ctx, environment, status, &deleting("scaled to zero; waiting for the pods to end")).await?;
            Ok(Action::requeue(resync()))
        }
        CleanupStep::Scale(scaling) => {
            scale::apply(ctx, release, &scaling).await.map_err(|(what, error)| Error::Scale(what, error))?;
            tell(ctx, environment, status, &deleting("scaling to zero; the release and its data are kept")).await?;
            Ok(Action::requeue(resync()))
        }
        CleanupStep::Retain { revision } => {
            retain(ctx, environment, release, revision).await?;
            Ok(Action::requeue(Duration::from_secs(5)))
        }
        CleanupStep::Uninstall { revision } => uninstall(ctx, environment, release, observed, revision, status).await,
        CleanupStep::RemoveLeftovers => {
            remove(ctx, environment, leftovers).await?;
            Ok(Action::requeue(Duration::from_millis(100)))
        }
    }
}

async fn let_go(ctx: &Context, environment: &OdooEnvironment) -> Result<Action, Error> {
    set_finalizer(ctx, environment, false).await.map_err(Error::Finalizer)?;
    Ok(Action::await_change())
}

async fn tell(
    ctx: &Context,
    environment: &OdooEnvironment,
    before: OdooEnvironmentStatus,
    refusal: &Refusal,
) -> Result<(), Error> {
    let generation = environment.metadata.generation.unwrap_or_default();
    let ready = Wanted {
        type_: ConditionType::Ready,
        status: ConditionStatus::False,
        reason: refusal.reason,
        message: refusal.message.clone(),
    };
    let reconciling = Wanted { type_: ConditionType::Reconciling, status: ConditionStatus::True, ..ready.clone() };
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now());
    let status = OdooEnvironmentStatus {
        observed_generation: Some(generation),
        reason: Some(refusal.reason.as_str()),
        message: Some(refusal.message.clone()),
        conditions: merge(&before.conditions, vec![ready, reconciling], generation, &now),
        ..before
    };
    update_status::write(ctx, environment, status).await
}

/// Marks the newest revision. Hosts stay reserved for whoever creates the same environment again.
async fn retain(ctx: &Context, environment: &OdooEnvironment, release: &str, revision: i64) -> Result<(), Error> {
    let name = format!("sh.helm.release.v1.{release}.v{revision}");
    let patch = json!({ "metadata": {
        "labels": { labels::RETAINED_AT: Timestamp::now().as_second().to_string() },
        "annotations": { RETAINED_HOSTS: hosts(&environment.spec).join(",") },
    } });
    let params = PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let marked = ctx.api::<Secret>().patch_metadata(&name, &params, &Patch::Merge(patch)).await;
    let marked = marked.map_err(|error| Error::Cleanup("mark the release as retained", error))?;
    ctx.index.releases.apply(&marked);
    let note = format!("release \"{release}\" and its data are kept; creating the environment again starts it");
    report::publish(ctx, &environment.object_ref(&()), EventType::Normal, "Retained", "Delete", note).await;
    Ok(())
}

async fn uninstall(
    ctx: &Context,
    environment: &OdooEnvironment,
    release: &str,
    observed: &Observed,
    revision: i64,
    mut status: OdooEnvironmentStatus,
) -> Result<Action, Error> {
    let generation = environment.metadata.generation.unwrap_or_default();
    if let Some(failures) = &status.failures {
        // Tried before: not more often than every half minute.
        let pause = Duration::from_secs(30);
        if Timestamp::now() < failures.at.0 + pause {
            let refusal = Refusal::new(
                Reason::HelmFailed,
                format!("the uninstall failed and is tried again: {}", failures.message),
            );
            tell(ctx, environment, status, &refusal).await?;
            return Ok(Action::requeue(pause));
        }
    }
    let id = operation_id();
    let request = request::bare(ctx, release, &observed.history, id.clone(), (HelmAction::Uninstall, revision));
    let Some(operation) =
        record(ctx, id, (Operation::Uninstall, revision), generation, request.timeout_seconds).await?
    else {
        return Ok(Action::requeue(Duration::from_secs(2)));
    };
    status.operation = Some(operation);
    tell(ctx, environment, status, &Refusal::new(Reason::Deleting, "Helm uninstalls the release")).await?;
    Handover::plain(request).submit(ctx);
    Ok(Action::requeue(Duration::from_secs(10)))
}

/// Something that policy Delete removes after the uninstall.
enum Leftover {
    Volume(String),
    Secret(String),
}

/// Volume claims that Helm itself made for the release, and Secrets that the operator generated for the environment.
/// A label that comes from values proves nothing and is not looked at.
async fn leftovers(
    ctx: &Context,
    environment: &OdooEnvironment,
    release: &str,
    observed: &Observed,
) -> Result<Vec<Leftover>, Error> {
    let mut all: Vec<Leftover> =
        observed.running.volumes.iter().map(|volume| Leftover::Volume(volume.name.clone())).collect();
    let selector = format!("{}=true,{}={}", labels::GENERATED, labels::ENVIRONMENT, environment.name_any());
    let secrets = ctx.api::<Secret>().list_metadata(&ListParams::default().labels(&selector)).await;
    let secrets = secrets.map_err(|error| Error::Cleanup("list the generated Secrets", error))?;
    let own = generated_secret_name(environment, release);
    all.extend(secrets.items.iter().map(ResourceExt::name_any).filter(|name| *name == own).map(Leftover::Secret));
    Ok(all)
}

fn generated_secret_name(environment: &OdooEnvironment, release: &str) -> String {
    names(&environment.spec).map_or_else(|_| format!("{release}-odoofleet"), |(_, release)| generated_secret(&release))
}

async fn remove(ctx: &Context, environment: &OdooEnvironment, leftovers: &[Leftover]) -> Result<(), Error> {
    let params = DeleteParams::default();
    let mut removed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for leftover in leftovers {
        let (kind, name, result) = match leftover {
            Leftover::Volume(name) => (
                "PersistentVolumeClaim",
                name,
                ctx.api::<PersistentVolumeClaim>().delete(name, &params).await.map(drop),
            ),
            Leftover::Secret(name) => ("Secret", name, ctx.api::<Secret>().delete(name, &params).await.map(drop)),
        };
        match result {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => result.map_err(|error| Error::Cleanup("remove what the release left", error))?,
        }
        removed.entry(kind).or_default().push(name);
    }
    let list: Vec<String> = removed.iter().map(|(kind, names)| format!("{kind} {}", names.join(", "))).collect();
    let note =
        format!("removed {}; an external database and volumes with reclaim policy Retain remain", list.join("; "));
    report::publish(ctx, &environment.object_ref(&()), EventType::Normal, "DataRemoved", "Delete", note).await;
    Ok(())
}
