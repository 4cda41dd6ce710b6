//! Templates: immutable versions, the charts that they keep, and the rollout of the newest.

mod freeze;
pub mod rollout;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::template::{OdooTemplateStatus, TemplateVersion};
use odoofleet_api::{OdooEnvironment, OdooTemplate, labels};
use odoofleet_core::environment::Refusal;

use super::objects::{apply_status, set_finalizer};
use crate::context::{Context, resync};

/// A chart that could not be fetched is fetched again this soon.
const RETRY_FETCH: Duration = Duration::from_secs(30);

/// Why a template could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer.
    #[error("failed to set the finalizer of template \"{name}\"")]
    Finalizer {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// A version or its chart.
    #[error("failed to keep a version of template \"{name}\"")]
    Version {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// The status.
    #[error("failed to write the status of template \"{name}\"")]
    Status {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
}

/// One look at a template.
pub async fn reconcile(template: Arc<OdooTemplate>, ctx: Arc<Context>) -> Result<Action, Error> {
    let name = template.name_any();
    let environments = environments_of(&ctx, &name);
    let in_use = !environments.is_empty();
    let deleting = template.metadata.deletion_timestamp.is_some();
    // From the first look on, not from the first use: a deletion cannot slip in between.
    set_finalizer(&ctx, template.as_ref(), in_use || !deleting)
        .await
        .map_err(|source| Error::Finalizer { name: name.clone(), source })?;
    if deleting && !in_use {
        // The versions go with their owner; their charts are removed by the next template that looks.
        return Ok(Action::await_change());
    }
    let frozen = if deleting || template.spec.paused.unwrap_or_default() {
        Ok(())
    } else {
        freeze::ensure(&ctx, &template).await.map_err(|source| Error::Version { name: name.clone(), source })?
    };
    let status = status(&ctx, &template, &environments, &frozen);
    if template.status.as_ref() != Some(&status) {
        apply_status(&ctx, template.as_ref(), &status)
            .await
            .map_err(|source| Error::Status { name: name.clone(), source })?;
    }
    freeze::prune(&ctx, &template, &environments).await.map_err(|source| Error::Version { name, source })?;
    let again = matches!(&frozen, Err(refusal) if refusal.reason == Reason::ChartUnavailable);
    Ok(Action::requeue(if again { RETRY_FETCH } else { resync() }))
}

fn environments_of(ctx: &Context, template: &str) -> Vec<Arc<OdooEnvironment>> {
    ctx.stores.environments.state_filter(|environment| environment.spec.template_ref.name == template)
}

fn status(
    ctx: &Context,
    template: &OdooTemplate,
    environments: &[Arc<OdooEnvironment>],
    frozen: &Result<(), Refusal>,
) -> OdooTemplateStatus {
    let old = template.status.clone().unwrap_or_default();
    let (name, now) = (template.name_any(), Time(Timestamp::now()));
    let generation = template.metadata.generation.unwrap_or_default();
    let stored = ctx.index.versions.of(&name);
    let on = |version: &str| environments.iter().filter(|environment| holds(environment, &name, version)).count();
    let versions = stored.iter().map(|stored| TemplateVersion {
        version: stored.content.version.clone(),
        digest: stored.digest.clone(),
        chart_digest: format!("sha256:{}", stored.content.chart_digest),
        chart_version: stored.content.chart_version.clone(),
        created_at: Time(stored.created_at),
        in_use: i32::try_from(on(&stored.content.version)).unwrap_or(i32::MAX),
    });
    let newest = ctx.index.versions.get(&name, &template.spec.version);
    let requested = template.annotations().get(labels::REQUESTED_AT).cloned();
    OdooTemplateStatus {
        observed_generation: Some(generation),
        chart: newest
            .as_ref()
            .map(|newest| format!("{}-{}", newest.content.chart_name, newest.content.chart_version))
            .or(old.chart),
        in_use: Some(i32::try_from(environments.len()).unwrap_or(i32::MAX)),
        versions: versions.collect(),
        rollout: newest.map(|_| rollout::status(template, environments)),
        last_handled_reconcile_at: requested.or(old.last_handled_reconcile_at),
        conditions: merge(&old.conditions, conditions(template, environments.len(), frozen), generation, &now),
    }
}

/// Whether an environment's release holds a version.
pub fn holds(environment: &OdooEnvironment, template: &str, version: &str) -> bool {
    let held = environment.status.as_ref().and_then(|status| status.template.as_ref());
    held.is_some_and(|held| held.name == template && held.version == version)
}

fn conditions(template: &OdooTemplate, in_use: usize, frozen: &Result<(), Refusal>) -> Vec<Wanted> {
    let condition = |type_, status: ConditionStatus, reason, message: String| Wanted { type_, status, reason, message };
    if template.metadata.deletion_timestamp.is_some() {
        let message =
            format!("deleting: in use by {in_use} environment(s); delete them or move them to another template first");
        return vec![condition(ConditionType::Ready, ConditionStatus::False, Reason::InUse, message)];
    }
    if template.spec.paused.unwrap_or_default() {
        let message = "paused: no version is made, nobody moves".to_owned();
        return vec![condition(ConditionType::Ready, ConditionStatus::True, Reason::Paused, message)];
    }
    match frozen {
        Ok(()) => {
            let message = format!("version \"{}\" is kept with its chart", template.spec.version);
            vec![condition(ConditionType::Ready, ConditionStatus::True, Reason::Accepted, message)]
        }
        Err(refusal) => {
            let again = refusal.reason == Reason::ChartUnavailable;
            let type_ = if again { ConditionType::Reconciling } else { ConditionType::Stalled };
            vec![
                condition(ConditionType::Ready, ConditionStatus::False, refusal.reason, refusal.message.clone()),
                condition(type_, ConditionStatus::True, refusal.reason, refusal.message.clone()),
            ]
        }
    }
}
