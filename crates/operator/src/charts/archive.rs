//! The archives that are kept in the cluster: one immutable ConfigMap for each digest.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use odoofleet_api::labels;
use odoofleet_core::chart::{ARCHIVE_KEY, archive_name};
use odoofleet_core::digest;

use super::LoadError;

/// Keeps an archive, unless it is kept already.
pub async fn keep(api: &Api<ConfigMap>, digest: &str, archive: &[u8]) -> kube::Result<()> {
    let label = digest::hex_to_base32(digest).unwrap_or_default();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(archive_name(digest)),
            labels: Some(BTreeMap::from([(labels::CHART_DIGEST.to_owned(), label)])),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        binary_data: Some(BTreeMap::from([(ARCHIVE_KEY.to_owned(), ByteString(archive.to_vec()))])),
        ..ConfigMap::default()
    };
    let params = PostParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &map).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(drop),
    }
}

/// Reads an archive and checks that it is the one that was kept.
pub async fn read(api: &Api<ConfigMap>, digest: &str) -> Result<Vec<u8>, LoadError> {
    let found = api.get_opt(&archive_name(digest)).await;
    let map = found.map_err(|source| LoadError::Api { digest: digest.to_owned(), source })?;
    let archive = map.and_then(|map| map.binary_data?.remove(ARCHIVE_KEY)).map(|bytes| bytes.0);
    archive.filter(|archive| digest::hex(archive) == digest).ok_or_else(|| LoadError::Missing(digest.to_owned()))
}

/// Removes archives that no version names any more.
pub async fn remove_unused(api: &Api<ConfigMap>, used: &BTreeSet<String>) -> kube::Result<()> {
    let used: HashSet<String> = used.iter().map(|digest| archive_name(digest)).collect();
    let kept = api.list_metadata(&ListParams::default().labels(labels::CHART_DIGEST)).await?;
    for map in kept.items.iter().filter(|map| !used.contains(&map.name_any())) {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: map.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        tracing::info!(archive = map.name_any(), "removing a chart archive that no version names");
        match api.delete(&map.name_any(), &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            result => drop(result?),
        }
    }
    Ok(())
}
