//! Template versions, by the ControllerRevisions that hold them.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use odoofleet_api::labels;
use odoofleet_core::template::VersionContent;
use parking_lot::RwLock;

/// Versions by template and name.
#[derive(Default)]
pub struct VersionIndex(RwLock<HashMap<(String, String), StoredVersion>>);

/// A version as it is kept.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// Content.
    pub content: Arc<VersionContent>,
    /// Digest of the content.
    pub digest: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Template and version of a ControllerRevision, with its content. None for what is not ours or cannot be read.
pub fn read(revision: &ControllerRevision) -> Option<((String, String), StoredVersion)> {
    let template = revision.labels().get(labels::TEMPLATE)?.clone();
    let content: VersionContent = match serde_json::from_value(revision.data.as_ref()?.0.clone()) {
        Ok(content) => content,
        Err(error) => {
            tracing::warn!(revision = revision.name_any(), %error, "a template version cannot be read");
            return None;
        }
    };
    let created_at = revision.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let key = (template, content.version.clone());
    Some((key, StoredVersion { digest: content.digest(), content: Arc::new(content), created_at }))
}

impl VersionIndex {
    /// Takes in a version. Returns its template.
    pub fn apply(&self, revision: &ControllerRevision) -> Option<String> {
        let (key, version) = read(revision)?;
        let template = key.0.clone();
        self.0.write().insert(key, version);
        Some(template)
    }

    /// Forgets a version. Returns its template.
    pub fn remove(&self, revision: &ControllerRevision) -> Option<String> {
        let (key, _) = read(revision)?;
        self.0.write().remove(&key);
        Some(key.0)
    }

    /// Replaces everything.
    pub fn replace(&self, revisions: &[ControllerRevision]) {
        *self.0.write() = revisions.iter().filter_map(read).collect();
    }

    /// A version.
    pub fn get(&self, template: &str, version: &str) -> Option<StoredVersion> {
        self.0.read().get(&(template.to_owned(), version.to_owned())).cloned()
    }

    /// A template's versions, newest first.
    pub fn of(&self, template: &str) -> Vec<StoredVersion> {
        let all = self.0.read();
        let mut versions: Vec<StoredVersion> =
            all.iter().filter(|(key, _)| key.0 == template).map(|(_, version)| version.clone()).collect();
        versions.sort_by(|a, b| (b.created_at, &b.content.version).cmp(&(a.created_at, &a.content.version)));
        versions
    }

    /// Digests of all charts that versions name.
    pub fn chart_digests(&self) -> Vec<String> {
        self.0.read().values().map(|version| version.content.chart_digest.clone()).collect()
    }
}
