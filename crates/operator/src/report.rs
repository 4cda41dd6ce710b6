//! What is told of a reconcile, in one place: log, metrics, and Events on a change.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};
use odoofleet_api::environment::{OdooEnvironmentStatus, Phase};

use crate::context::Context;

/// Tells people that an environment's phase has changed, that a Helm operation begins, or that they must act. The steps
/// between stand in the status.
pub async fn environment_changed(
    ctx: &Context,
    object: &ObjectReference,
    before: &OdooEnvironmentStatus,
    after: &OdooEnvironmentStatus,
) {
    if before.phase == after.phase && before.reason == after.reason {
        return;
    }
    let begins = after.operation.as_ref().map(|operation| &operation.id);
    let begins = begins.is_some() && begins != before.operation.as_ref().map(|operation| &operation.id);
    let (Some(phase), Some(reason)) = (after.phase, after.reason.clone()) else { return };
    let message = after.message.clone().unwrap_or_default();
    let stalled = after.conditions.iter().any(|condition| condition.type_ == "Stalled");
    let type_ = if phase == Phase::Error || stalled { EventType::Warning } else { EventType::Normal };
    if before.phase == after.phase && !begins && matches!(type_, EventType::Normal) {
        tracing::debug!(environment = object.name, ?phase, reason, message, "environment goes on");
        return;
    }
    tracing::info!(environment = object.name, ?phase, reason, message, "environment changed");
    publish(ctx, object, type_, &reason, &format!("{phase:?}"), message).await;
}

/// Publishes an Event. That it cannot be published is worth a line in the log, and nothing more.
pub async fn publish(
    ctx: &Context,
    object: &ObjectReference,
    type_: EventType,
    reason: &str,
    action: &str,
    note: String,
) {
    // The API server takes 1024 bytes.
    let note =
        note.char_indices().take_while(|(position, _)| *position < 1000).map(|(_, character)| character).collect();
    let event =
        Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None };
    if let Err(error) = ctx.recorder.publish(&event, object).await {
        tracing::warn!(%error, reason, "an Event cannot be written");
    }
}
