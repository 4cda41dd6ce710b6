//! What the pool tells: the end of an operation is checked against the storage and asks for a look at its environment.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use odoofleet_api::conditions::Reason;
use odoofleet_api::labels;
use odoofleet_core::environment::judge::{Failure, Report};
use odoofleet_helm::{Action, ErrorClass, Event, Outcome, WorkerError};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;

/// Follows the pool until it ends.
pub async fn follow(ctx: Arc<Context>, mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress { release, stage, hooks } => {
                tracing::debug!(release, stage, "Helm operation goes on");
                if let Some(hooks) = hooks {
                    keep_hooks(&ctx, &release, hooks > 0);
                }
            }
            Event::Finished(outcome) => {
                // One GET each; the next outcome need not wait for it.
                let ctx = Arc::clone(&ctx);
                tokio::spawn(async move { finished(&ctx, outcome).await });
            }
        }
    }
}

fn keep_hooks(ctx: &Context, release: &str, hooks: bool) {
    for chart in charts(ctx, release) {
        ctx.memory.keep_hooks(&chart, hooks);
    }
}

/// Digests of the charts with which something is done to a release.
fn charts(ctx: &Context, release: &str) -> Vec<String> {
    let names = ctx.index.claims.of(release);
    let chart = |name: &String| {
        let environment = ctx.stores.environments.get(&ObjectRef::new(name).within(&ctx.settings.namespace))?;
        let template = ctx.memory.status(&environment).operation?.template?;
        Some(ctx.index.versions.get(&template.name, &template.version)?.content.chart_digest.clone())
    };
    names.iter().filter_map(chart).collect()
}

async fn finished(ctx: &Context, outcome: Outcome) {
    let class = outcome.result.as_ref().err().map_or_else(|| "success".to_owned(), |error| error.class.as_str());
    let operation = format!("{:?}", outcome.action).to_lowercase();
    ctx.metrics.helm_finished(&operation, &class, outcome.duration);
    match &outcome.result {
        Ok(()) => {
            tracing::info!(release = outcome.release, operation, revision = outcome.expected_revision, took = ?outcome.duration, "Helm operation succeeded");
        }
        Err(error) => {
            tracing::warn!(release = outcome.release, operation, class, message = error.message, details = ?error.details, "Helm operation failed");
        }
    }
    if outcome.action == Action::Check && outcome.result.is_ok() && outcome.checks == 0 {
        for chart in charts(ctx, &outcome.release) {
            ctx.memory.keep_without_check(&chart);
        }
    }
    refresh(ctx, &outcome.release, outcome.expected_revision).await;
    let place = format!("{}/{}", outcome.release, outcome.expected_revision);
    let report = Report { operation: outcome.id, result: outcome.result.map_err(|error| failure(&error, &place)) };
    for name in ctx.index.claims.of(&outcome.release) {
        let environment = ctx.stores.environments.get(&ObjectRef::new(&name).within(&ctx.settings.namespace));
        if let Some(uid) = environment.and_then(|environment| environment.uid()) {
            ctx.memory.keep_report(&uid, report.clone());
        }
        ctx.triggers.environment(&name);
    }
}

/// Reads what the storage holds of a revision: the watch's word may still be on its way.
async fn refresh(ctx: &Context, release: &str, revision: i64) {
    let name = format!("sh.helm.release.v1.{release}.v{revision}");
    let api = ctx.api::<PartialObjectMeta<Secret>>();
    match api.get_opt(&name).await {
        Ok(Some(secret)) => drop(ctx.index.releases.apply(&secret)),
        Ok(None) => ctx.index.releases.forget(release, revision),
        Err(error) => tracing::warn!(release, %error, "the release cannot be read; the watch will tell"),
    }
}

/// The worker's class as our reason. `place` is `<release>/<revision>`.
fn failure(error: &WorkerError, place: &str) -> Failure {
    let reason = match error.class {
        ErrorClass::Schema => Reason::SchemaViolation,
        ErrorClass::Render => Reason::RenderFailed,
        ErrorClass::Chart => Reason::ChartInvalid,
        ErrorClass::Forbidden => Reason::Forbidden,
        ErrorClass::Immutable => Reason::ImmutableField,
        ErrorClass::Invalid => Reason::InvalidObject,
        ErrorClass::TooLarge => Reason::ReleaseTooLarge,
        ErrorClass::Hook => Reason::HookFailed,
        ErrorClass::Deadline => Reason::DeadlineExceeded,
        ErrorClass::WouldDeleteData => Reason::WouldDeleteData,
        ErrorClass::KindNotAllowed => Reason::KindNotAllowed,
        ErrorClass::SecretNotAllowed => Reason::ReferenceNotAllowed,
        _ => Reason::HelmFailed,
    };
    // The message often is the first detail.
    let more: Vec<&str> =
        error.details.iter().map(String::as_str).filter(|detail| !error.message.contains(detail)).collect();
    let details = if more.is_empty() { String::new() } else { format!(": {}", more.join("; ")) };
    let remedy = match reason {
        Reason::WouldDeleteData => format!(
            "; nothing was changed. Take the change back, or, if this data may go: kubectl annotate oenv <name> --overwrite {}={place}",
            labels::ALLOW_DATA_LOSS
        ),
        _ => String::new(),
    };
    Failure { reason, message: format!("{}{details}{remedy}", error.message), terminal: error.class.is_terminal() }
}
