//! Scaling workloads through their `scale` subresource, and suspending CronJobs. Helm is not asked.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use kube::Api;
use kube::api::{Patch, PatchParams};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadKind;
use odoofleet_core::environment::scaling::{ScaleStep, Scaling};
use serde_json::json;

use crate::context::{Context, Namespaced};

/// Carries out a scaling. What has vanished meanwhile is no error.
pub async fn apply(ctx: &Context, step: &ScaleStep) -> Result<(), (String, kube::Error)> {
    for (name, suspend) in &step.cron_jobs {
        let patch = Patch::Merge(json!({ "spec": { "suspend": suspend } }));
        found(ctx.api::<CronJob>().patch(name, &params(), &patch).await)
            .map_err(|error| (format!("CronJob \"{name}\""), error))?;
    }
    for scaling in &step.workloads {
        let result = match scaling.kind {
            WorkloadKind::Deployment => scale::<Deployment>(ctx, scaling).await,
            WorkloadKind::StatefulSet => scale::<StatefulSet>(ctx, scaling).await,
        };
        result.map_err(|error| (format!("{:?} \"{}\"", scaling.kind, scaling.name), error))?;
    }
    Ok(())
}

async fn scale<K>(ctx: &Context, scaling: &Scaling) -> kube::Result<()>
where
    K: Namespaced,
{
    let api: Api<K> = ctx.api();
    // First remembered, then taken down: a crash in between forgets nothing.
    if let Some(count) = scaling.remember {
        let patch = json!({ "metadata": { "annotations": { labels::REPLICAS: count.to_string() } } });
        if found(api.patch_metadata(&scaling.name, &params(), &Patch::Merge(patch)).await)?.is_none() {
            return Ok(());
        }
    }
    let patch = json!({ "spec": { "replicas": scaling.replicas } });
    if let Some(scale) = found(api.patch_scale(&scaling.name, &params(), &Patch::Merge(patch)).await)? {
        let version = scale.metadata.resource_version.unwrap_or_default();
        let workload = (scaling.kind, scaling.name.clone());
        ctx.fleet.with(|fleet| fleet.note_scaled(&workload, scaling.replicas, scaling.remember, &version));
    }
    Ok(())
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn found<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
