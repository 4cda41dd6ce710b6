//! Fetching a chart from where its template says.

use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use odoofleet_api::conditions::Reason;
use odoofleet_api::labels;
use odoofleet_api::template::{ChartSource, ConfigMapKey};
use odoofleet_core::chart::{ChartError, MAX_ARCHIVE};
use odoofleet_core::digest;

use super::oci::{self, OciError};
use crate::context::Context;

/// Why a chart cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The spec names nothing, or more than one thing.
    #[error("spec.chart needs exactly one of oci, configMapRef and path")]
    Ambiguous,
    /// The ConfigMap.
    #[error("ConfigMap \"{name}\" {problem}")]
    ConfigMap {
        /// Name.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A Secret or ConfigMap for the registry.
    #[error("{kind} \"{name}\" for the registry {problem}")]
    Access {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The operator's folder.
    #[error("the operator's chart folder holds no chart \"{0}\"")]
    NotInFolder(String),
    /// The folder cannot be read.
    #[error("the operator's chart folder cannot be read")]
    Folder(#[source] std::io::Error),
    /// The registry.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// The API server.
    #[error("the API server does not give what the chart needs")]
    Api(#[from] kube::Error),
    /// The archive is not the one that the spec pins.
    #[error(
        "the chart's archive has digest sha256:{actual}, but spec.chart.digest is {wanted}: somebody replaced it, or the digest is wrong"
    )]
    Digest {
        /// What the spec says.
        wanted: String,
        /// What came.
        actual: String,
    },
    /// The chart is not the version that the spec names.
    #[error("the chart is version \"{actual}\", but spec.chart.version is \"{wanted}\"")]
    Version {
        /// What the spec says.
        wanted: String,
        /// What came.
        actual: String,
    },
    /// The archive.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

impl FetchError {
    /// The condition's reason.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Ambiguous => Reason::InvalidSpec,
            Self::Digest { .. } | Self::Version { .. } | Self::Chart(_) => Reason::ChartInvalid,
            Self::ConfigMap { .. } | Self::Access { .. } => Reason::ReferenceNotFound,
            Self::NotInFolder(_) | Self::Folder(_) | Self::Oci(_) | Self::Api(_) => Reason::ChartUnavailable,
        }
    }
}

/// Fetches an archive and checks it against the digest that the spec pins, if any.
pub async fn fetch(ctx: &Context, source: &ChartSource) -> Result<Vec<u8>, FetchError> {
    let archive = match (&source.oci, &source.config_map_ref, &source.path) {
        (Some(repository), None, None) => from_oci(ctx, source, repository).await?,
        (None, Some(reference), None) => from_config_map(ctx, reference).await?,
        (None, None, Some(name)) => from_folder(&ctx.settings.charts_dir, name, source.version.as_deref()).await?,
        _ => return Err(FetchError::Ambiguous),
    };
    let actual = digest::hex(&archive);
    match &source.digest {
        Some(wanted) if wanted.strip_prefix("sha256:") != Some(actual.as_str()) => {
            Err(FetchError::Digest { wanted: wanted.clone(), actual })
        }
        _ => Ok(archive),
    }
}

async fn from_config_map(ctx: &Context, reference: &ConfigMapKey) -> Result<Vec<u8>, FetchError> {
    let problem = |problem: String| FetchError::ConfigMap { name: reference.name.clone(), problem };
    let map = ctx
        .api::<ConfigMap>()
        .get_opt(&reference.name)
        .await?
        .ok_or_else(|| problem("does not exist: create it".to_owned()))?;
    let mut data = map.binary_data.unwrap_or_default();
    let key = match &reference.key {
        Some(key) => key.clone(),
        None if data.len() == 1 => data.keys().next().cloned().unwrap_or_default(),
        None => return Err(problem(format!("has {} keys in binaryData: name one in configMapRef.key", data.len()))),
    };
    data.remove(&key).map(|bytes| bytes.0).ok_or_else(|| problem(format!("has no key \"{key}\" in binaryData")))
}

/// `NAME-VERSION.tgz`; without a version the newest archive of that name.
async fn from_folder(folder: &Path, name: &str, version: Option<&str>) -> Result<Vec<u8>, FetchError> {
    let mut entries = tokio::fs::read_dir(folder).await.map_err(FetchError::Folder)?;
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(FetchError::Folder)? {
        let file = entry.file_name().to_string_lossy().into_owned();
        let rest = file.strip_suffix(".tgz").and_then(|stem| stem.strip_prefix(name)?.strip_prefix('-'));
        let matches = |rest: &&str| {
            version.map_or_else(|| rest.starts_with(|c: char| c.is_ascii_digit()), |version| *rest == version)
        };
        if let Some(rest) = rest.filter(matches) {
            // A version that cannot be read is older than any that can.
            found.push((semver::Version::parse(rest).ok(), file));
        }
    }
    let (_, file) = found.into_iter().max().ok_or_else(|| {
        FetchError::NotInFolder(version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}")))
    })?;
    tokio::fs::read(folder.join(file)).await.map_err(FetchError::Folder)
}

async fn from_oci(ctx: &Context, source: &ChartSource, repository: &str) -> Result<Vec<u8>, FetchError> {
    let credentials = match &source.pull_secret_ref {
        Some(reference) => Some(pull_secret(ctx, &reference.name).await?),
        None => None,
    };
    let authority = match &source.ca_ref {
        Some(reference) => Some(authority(ctx, &reference.name).await?),
        None => None,
    };
    let pull = oci::Pull { repository, version: source.version.as_deref(), credentials, authority, limit: MAX_ARCHIVE };
    Ok(oci::pull(pull).await?)
}

async fn pull_secret(ctx: &Context, name: &str) -> Result<Vec<u8>, FetchError> {
    let problem =
        |problem: &str| FetchError::Access { kind: "Secret", name: name.to_owned(), problem: problem.to_owned() };
    let secret = ctx
        .api::<Secret>()
        .get_opt(name)
        .await?
        .ok_or_else(|| problem("does not exist: create it with kubectl create secret docker-registry"))?;
    let set =
        |label| secret.metadata.labels.as_ref().and_then(|all| all.get(label)).is_some_and(|value| value == "true");
    if !set(labels::REGISTRY) && !set(labels::SHARED) {
        return Err(problem(
            "must carry label odoofleet.dev/registry=true, or odoofleet.dev/shared=true if environments pull their images with it too",
        ));
    }
    let data = secret.data.and_then(|mut data| data.remove(".dockerconfigjson"));
    data.map(|bytes| bytes.0).ok_or_else(|| problem("must be of type kubernetes.io/dockerconfigjson"))
}

async fn authority(ctx: &Context, name: &str) -> Result<Vec<u8>, FetchError> {
    let problem =
        |problem: &str| FetchError::Access { kind: "ConfigMap", name: name.to_owned(), problem: problem.to_owned() };
    let map = ctx
        .api::<ConfigMap>()
        .get_opt(name)
        .await?
        .ok_or_else(|| problem("does not exist: create it with key ca.crt"))?;
    let text = map.data.and_then(|mut data| data.remove("ca.crt"));
    text.map(String::into_bytes).ok_or_else(|| problem("has no key ca.crt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_folder_gives_the_version_that_is_named_and_else_the_newest() {
        let table: [(&[&str], Option<&str>, Option<&str>); 9] = [
            (&["odoo-1.9.0", "odoo-1.10.0"], None, Some("odoo-1.10.0")),
            (&["odoo-1.9.0", "odoo-1.10.0"], Some("1.9.0"), Some("odoo-1.9.0")),
            (&["odoo-1.10.0-rc.1", "odoo-1.9.0"], None, Some("odoo-1.10.0-rc.1")),
            (&["odoo-1.10.0-rc.1", "odoo-1.10.0"], None, Some("odoo-1.10.0")),
            (&["odoo-2", "odoo-1.9.0"], None, Some("odoo-1.9.0")),
            (&["odoo-2"], None, Some("odoo-2")),
            (&["odoo-18-extra-3.0.0", "odoo-1.9.0"], None, Some("odoo-1.9.0")),
            (&["odoo-extra-3.0.0", "odoofleet-1.0.0"], None, None),
            (&["odoo-1.9.0"], Some("1.9"), None),
        ];
        for (files, version, expected) in table {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                std::fs::write(folder.path().join(format!("{file}.tgz")), file).unwrap();
            }
            let found = from_folder(folder.path(), "odoo", version).await;
            let found = found.ok().map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expected, "{files:?} {version:?}");
        }
    }
}
