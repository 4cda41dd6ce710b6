//! Charts from OCI registries.

use odoofleet_core::error::chain;
use std::time::Duration;

use futures::TryStreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use odoofleet_core::digest;

use super::credentials::{self, CredentialsError};

/// Media type of a chart's archive (Helm's `pkg/registry/constants.go`).
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Why a chart cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The repository's name.
    #[error("\"{0}\" is not an OCI repository: write it as registry.example.cn/charts/odoo")]
    Name(String),
    /// The pull Secret.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry's answer.
    #[error("registry \"{registry}\" does not give the chart: {problem}")]
    Registry {
        /// Host.
        registry: String,
        /// What it said.
        problem: String,
    },
    /// What it gave is not a chart.
    #[error("\"{0}\" is not a Helm chart: it has no layer of type {CHART_LAYER}")]
    NotAChart(String),
    /// It is too large.
    #[error("the chart in the registry has {size} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// It is not what the manifest says.
    #[error("the chart that registry \"{0}\" gave does not match its manifest")]
    Corrupt(String),
}

/// What to pull, and how.
pub struct Pull<'a> {
    /// Repository, without a tag.
    pub repository: &'a str,
    /// Tag.
    pub version: Option<&'a str>,
    /// A `.dockerconfigjson`.
    pub credentials: Option<Vec<u8>>,
    /// Certificate authority, PEM.
    pub authority: Option<Vec<u8>>,
    /// Most bytes.
    pub limit: usize,
}

/// Pulls a chart's archive, over TLS only.
pub async fn pull(pull: Pull<'_>) -> Result<Vec<u8>, OciError> {
    let reference = reference(&pull)?;
    let registry = reference.registry().to_owned();
    let failed =
        |error: OciDistributionError| OciError::Registry { registry: registry.clone(), problem: chain(&error) };
    let auth = match &pull.credentials {
        Some(config) => credentials::login(config, &registry, reference.repository())?,
        None => RegistryAuth::Anonymous,
    };
    let client = Client::try_from(config(pull.authority)).map_err(failed)?;
    client.auth(&reference, &auth, RegistryOperation::Pull).await.map_err(failed)?;
    let (manifest, _) = client.pull_manifest(&reference, &auth).await.map_err(failed)?;
    let not_a_chart = || OciError::NotAChart(reference.to_string());
    let OciManifest::Image(manifest) = manifest else { return Err(not_a_chart()) };
    let layer = manifest.layers.into_iter().find(|layer| layer.media_type == CHART_LAYER).ok_or_else(not_a_chart)?;
    let too_large = |size| OciError::TooLarge { size, limit: pull.limit };
    let size = usize::try_from(layer.size).unwrap_or(usize::MAX);
    if size > pull.limit {
        return Err(too_large(size));
    }
    let mut stream = client.pull_blob_stream(&reference, &layer).await.map_err(failed)?.stream;
    let mut archive = Vec::with_capacity(size);
    while let Some(part) = stream
        .try_next()
        .await
        .map_err(|error| OciError::Registry { registry: registry.clone(), problem: error.to_string() })?
    {
        archive.extend_from_slice(&part);
        if archive.len() > pull.limit {
            return Err(too_large(archive.len()));
        }
    }
    let matches = layer.digest == format!("sha256:{}", digest::hex(&archive));
    if matches { Ok(archive) } else { Err(OciError::Corrupt(registry)) }
}

fn reference(pull: &Pull<'_>) -> Result<Reference, OciError> {
    let repository = pull.repository.trim_start_matches("oci://");
    let error = || OciError::Name(repository.to_owned());
    // A tag cannot hold the plus sign of a version; Helm writes an underscore.
    let tag = pull.version.map_or_else(|| "latest".to_owned(), |version| version.replace('+', "_"));
    let reference: Reference = format!("{repository}:{tag}").parse().map_err(|_| error())?;
    if reference.repository().is_empty() { Err(error()) } else { Ok(reference) }
}

fn config(authority: Option<Vec<u8>>) -> ClientConfig {
    let authority = authority.map(|data| Certificate { encoding: CertificateEncoding::Pem, data });
    ClientConfig {
        extra_root_certificates: authority.into_iter().collect(),
        connect_timeout: Some(Duration::from_secs(10)),
        read_timeout: Some(Duration::from_secs(30)),
        user_agent: concat!("odoofleet/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    }
}
