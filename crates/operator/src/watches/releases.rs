//! Helm releases, by the labels of their Secrets: their payloads are never read.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use odoofleet_api::labels;
use odoofleet_core::fleet::StoredRevision;
use odoofleet_core::release::{Revision, left_out_objects};

/// Annotation on a retained release: the hosts that stay reserved for its environment, joined by commas.
pub const RETAINED_HOSTS: &str = "odoofleet.dev/retained-hosts";

/// Reads the metadata of a release Secret. None for what Helm has not labelled as its own.
pub fn read(secret: &PartialObjectMeta<Secret>) -> Option<StoredRevision> {
    let created = secret.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let version = secret.metadata.resource_version.as_deref().unwrap_or_default();
    let hosts = secret.annotations().get(RETAINED_HOSTS).map(String::as_str).unwrap_or_default();
    Some(StoredRevision {
        revision: Revision::from_labels(secret.labels(), created, version)?,
        left_out: secret.annotations().get(labels::APPLIED).map(|text| left_out_objects(text)).unwrap_or_default(),
        retained_hosts: hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect(),
    })
}
