//! Freezing a template's content into an immutable version, and letting go of versions that nobody uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use odoofleet_api::conditions::Reason;
use odoofleet_api::{OdooEnvironment, OdooTemplate, labels};
use odoofleet_core::environment::Refusal;
use odoofleet_core::template::{VersionContent, VersionError, revision_name};

use super::holds;
use crate::charts::{self, FetchError};
use crate::context::Context;
use crate::error::chain;

/// Versions that nobody uses are kept up to this many, to go back to.
const KEPT_UNUSED: usize = 10;

/// Makes sure that the spec's version exists. The inner error is what a person, or the registry, must mend.
pub async fn ensure(ctx: &Context, template: &OdooTemplate) -> kube::Result<Result<(), Refusal>> {
    let (name, version) = (template.name_any(), &template.spec.version);
    if let Some(stored) = ctx.index.versions.get(&name, version) {
        return Ok(if stored.content.describes(&template.spec) { Ok(()) } else { Err(content_changed(version)) });
    }
    let archive = match charts::fetch(ctx, &template.spec.chart).await {
        Ok(archive) => archive,
        Err(error) => return Ok(Err(unfetched(&error))),
    };
    let digest = odoofleet_core::digest::hex(&archive);
    let loaded = match ctx.charts.take_in(&digest, &archive).await {
        Ok(loaded) => loaded,
        Err(error) => return Ok(Err(Refusal::new(Reason::ChartInvalid, chain(&error)))),
    };
    if let Some(wanted) = template.spec.chart.version.as_ref().filter(|wanted| **wanted != loaded.chart.version) {
        let error = FetchError::Version { wanted: wanted.clone(), actual: loaded.chart.version.clone() };
        return Ok(Err(unfetched(&error)));
    }
    let content = match VersionContent::new(&template.spec, &loaded.chart, digest.clone()) {
        Ok(content) => content,
        Err(error) => return Ok(Err(unusable(&error))),
    };
    charts::keep(&ctx.api::<ConfigMap>(), &digest, &archive).await?;
    create(ctx, template, &content).await
}

fn content_changed(version: &str) -> Refusal {
    let message = format!(
        "the content changed under version \"{version}\", which stays what it was: give the new content another version, or take the change back"
    );
    Refusal::new(Reason::VersionContentChanged, message)
}

fn unfetched(error: &FetchError) -> Refusal {
    Refusal::new(error.reason(), chain(error))
}

fn unusable(error: &VersionError) -> Refusal {
    let reason = match error {
        VersionError::SecretValue(_) => Reason::ValueNotAllowed,
        _ => Reason::InvalidSpec,
    };
    Refusal::new(reason, error.to_string())
}

async fn create(ctx: &Context, template: &OdooTemplate, content: &VersionContent) -> kube::Result<Result<(), Refusal>> {
    let name = template.name_any();
    let data = serde_json::to_value(content).map_err(kube::Error::SerdeError)?;
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(revision_name(&name, &content.version)),
            labels: Some(BTreeMap::from([(labels::TEMPLATE.to_owned(), name.clone())])),
            owner_references: template.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: i64::try_from(ctx.index.versions.of(&name).len()).unwrap_or(i64::MAX - 1) + 1,
    };
    let params = PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match ctx.api::<ControllerRevision>().create(&params, &revision).await {
        Ok(created) => {
            ctx.index.versions.apply(&created);
            tracing::info!(template = name, version = content.version, "template version kept");
            Ok(Ok(()))
        }
        // Made by an earlier look whose event is still on its way.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let known = ctx.index.versions.get(&name, &content.version);
            Ok(if known.is_none_or(|known| known.content.describes(&template.spec)) {
                Ok(())
            } else {
                Err(content_changed(&content.version))
            })
        }
        Err(error) => Err(error),
    }
}

/// Removes the oldest versions that nobody uses, and then charts that no version names.
pub async fn prune(ctx: &Context, template: &OdooTemplate, environments: &[Arc<OdooEnvironment>]) -> kube::Result<()> {
    let name = template.name_any();
    let is_used = |version: &str| {
        version == template.spec.version
            || environments.iter().any(|environment| {
                holds(environment, &name, version) || environment.spec.template_ref.version.as_deref() == Some(version)
            })
    };
    let stored = ctx.index.versions.of(&name);
    let unused = stored.iter().filter(|stored| !is_used(&stored.content.version)).skip(KEPT_UNUSED);
    let mut removed = false;
    for stored in unused {
        let revision = revision_name(&name, &stored.content.version);
        match ctx.api::<ControllerRevision>().delete(&revision, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => drop(result?),
        }
        removed = true;
    }
    if removed {
        charts::remove_unused(&ctx.api::<ConfigMap>(), &ctx.index.versions.chart_digests()).await?;
    }
    Ok(())
}
