//! Template versions, by the ControllerRevisions that hold them.

use odoofleet_core::error::chain;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use odoofleet_api::labels;
use odoofleet_core::template::{StoredVersion, VersionContent};

/// Template and version of a ControllerRevision. None for what is not ours or cannot be read.
pub fn read(revision: &ControllerRevision) -> Option<(String, StoredVersion)> {
    let template = revision.labels().get(labels::TEMPLATE)?.clone();
    let content: VersionContent = match serde_json::from_value(revision.data.as_ref()?.0.clone()) {
        Ok(content) => content,
        Err(error) => {
            tracing::warn!(revision = revision.name_any(), error = chain(&error), "a template version cannot be read");
            return None;
        }
    };
    let created_at = revision.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let has_upgrade_hooks = revision.annotations().get(labels::UPGRADE_HOOKS).map(|hooks| hooks == "true");
    let (object, digest) = (revision.name_any(), content.digest());
    Some((template, StoredVersion { object, digest, content: Arc::new(content), created_at, has_upgrade_hooks }))
}
