//! What controllers do to any of our objects: finalizers and status.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use odoofleet_api::labels;
use serde::Serialize;
use serde_json::json;

use crate::context::{Context, Namespaced};
use crate::watches::readable::Readable;

/// Adds or removes our finalizer. The object's version is a precondition: somebody else's finalizer is never lost, and what has
/// changed meanwhile is an error. None: the object is gone, or cannot be read.
pub async fn set_finalizer<K>(ctx: &Context, object: &K, wanted: bool) -> kube::Result<Option<K>>
where
    K: Namespaced,
{
    let mut finalizers: Vec<&str> =
        object.finalizers().iter().map(String::as_str).filter(|f| *f != labels::FINALIZER).collect();
    if wanted {
        finalizers.push(labels::FINALIZER);
    }
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version(), "uid": object.uid() } });
    let api: Api<Readable<K>> = ctx.api();
    let params = PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&object.name_any(), &params, &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        result => result.map(readable),
    }
}

/// Applies a status as a whole: what is not in it any more goes away. An object of another UID is not written to. None: the
/// object is gone, another has taken its name, or it cannot be read any more.
pub async fn apply_status<K, S>(ctx: &Context, object: &K, status: &S) -> kube::Result<Option<K>>
where
    K: Namespaced,
    S: Serialize,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": status,
    });
    let api: Api<Readable<K>> = ctx.api();
    let params = PatchParams::apply(labels::STATUS_FIELD_MANAGER).force();
    match api.patch_status(&object.name_any(), &params, &Patch::Apply(&patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(None),
        result => result.map(readable),
    }
}

/// An answer is read as a watch reads: what it leaves out does not come in by another way.
fn readable<K>(object: Readable<K>) -> Option<K> {
    match object {
        Readable::Object(object) => Some(object),
        Readable::Unreadable(_) => None,
    }
}
