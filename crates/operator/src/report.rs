//! What is told of a reconcile, in one place: log, metrics, and Events on a change.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentStatus, Phase};
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::Record;
use odoofleet_core::error::chain;
use odoofleet_core::fleet::Kind;
use serde_json::json;

use crate::context::Context;

/// Tells people that an environment's phase has changed, that a Helm operation begins or is over, or that they must act. The
/// steps between stand in the status.
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
    let ends = before.operation.is_some() && after.operation.is_none();
    let (Some(phase), Some(reason)) = (after.phase, after.reason.clone()) else { return };
    let message = after.message.clone().unwrap_or_default();
    let stalled = after.conditions.iter().any(|condition| condition.type_ == "Stalled");
    let type_ = if phase == Phase::Error || stalled { EventType::Warning } else { EventType::Normal };
    if before.phase == after.phase && !begins && !ends && matches!(type_, EventType::Normal) {
        tracing::debug!(environment = object.name, ?phase, reason = reason.as_str(), message, "environment goes on");
        return;
    }
    tracing::info!(environment = object.name, ?phase, reason = reason.as_str(), message, "environment changed");
    publish(ctx, object, type_, reason.as_str(), &format!("{phase:?}"), message).await;
}

/// Tells what is done to an environment.
pub fn acts(environment: &str, record: Option<&Record>) {
    if let Some(Record { action, generation, revision }) = record {
        tracing::info!(environment, ?action, generation, revision, "the operator acts");
    }
}

/// Tells that an object of ours cannot be read: by an Event, and for an environment in its status, whose rest stays.
pub fn unreadable(ctx: &Context, kind: Kind, metadata: ObjectMeta, problem: &str) {
    let object = ObjectReference {
        api_version: Some(format!("{}/v1alpha1", odoofleet_api::GROUP)),
        kind: Some(kind.as_str().to_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace,
        uid: metadata.uid,
        ..ObjectReference::default()
    };
    let note = format!("this operator cannot read the object, and leaves it as it is: {problem}; mend it by an edit");
    let (recorder, api) = (ctx.recorder.clone(), ctx.api::<kube::core::PartialObjectMeta<OdooEnvironment>>());
    tokio::spawn(async move {
        let event = Event {
            type_: EventType::Warning,
            reason: Reason::InvalidSpec.as_str().to_owned(),
            note: Some(note.clone()),
            action: "Read".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &object).await {
            tracing::warn!(error = chain(&error), "an Event cannot be written");
        }
        let Some(name) = metadata.name.filter(|_| kind == Kind::Environment) else { return };
        let status = json!({ "status": { "phase": Phase::Error, "reason": Reason::InvalidSpec, "message": note } });
        let params =
            PatchParams { field_manager: Some(labels::STATUS_FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // The answer is the object that cannot be read; that it was written is enough.
        if let Err(kube::Error::Api(error)) = api.patch_status(&name, &params, &Patch::Merge(status)).await {
            tracing::warn!(
                name,
                reason = error.reason,
                "the status of an object that cannot be read cannot be written"
            );
        }
    });
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
        tracing::warn!(error = chain(&error), reason, "an Event cannot be written");
    }
}
