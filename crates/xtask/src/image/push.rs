//! Sends an image to a registry, with its bills and signatures.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use serde_json::{Value, json};

use super::sign::{Key, payload};
use crate::images::oci::{self, Blob, INDEX, Image, MANIFEST};

/// The name and password for a registry, where they are not in Docker's configuration.
const USER_VARIABLE: &str = "ODOOFLEET_REGISTRY_USER";
const PASSWORD_VARIABLE: &str = "ODOOFLEET_REGISTRY_PASSWORD";
const BILL: &str = "application/vnd.cyclonedx+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An image, and the bills of what is in it by their file names.
pub struct Billed {
    /// The image.
    pub image: Image,
    /// CycloneDX's JSON.
    pub bills: Vec<(String, String)>,
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The repository with the digest that the tag leads to.
    pub reference: String,
    /// How many blobs were sent; the registry had the others.
    pub sent: usize,
}

/// Sends images that go by one name, `REGISTRY/REPOSITORY[:TAG]`, and signs them if there is a key.
pub fn push(target: &str, version: &str, images: &[Billed], key: Option<&Key>) -> Result<Pushed> {
    let reference = reference(target, version)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    // The first who asks chooses for the whole process; it is the only one here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let mut registry = Registry::enter(reference).await?;
        let digest = registry.image(images).await?;
        if let Some(key) = key {
            registry.sign(&digest, key).await?;
        }
        let repository = registry.repository();
        Ok(Pushed { reference: format!("{repository}@{digest}"), sent: registry.sent.len() })
    })
}

/// Fails if images cannot be sent there, as far as the name tells.
pub fn check(target: &str, version: &str) -> Result<()> {
    reference(target, version).map(drop)
}

/// Reads the name; without a tag it is the version.
fn reference(target: &str, version: &str) -> Result<Reference> {
    let wrong =
        || anyhow!("{target:?} names no place in a registry: write it as registry.example/odoofleet/odoofleet:TAG");
    let named = target.split_once('/').ok_or_else(wrong)?;
    // Else it would be taken for a repository of Docker Hub's, and pushed there.
    if !named.0.contains(['.', ':']) && named.0 != "localhost" || target.contains('@') {
        return Err(wrong());
    }
    let tagged = if named.1.contains(':') { target.to_owned() } else { format!("{target}:{version}") };
    tagged.parse().map_err(|_| wrong())
}

/// The one repository that is written to.
struct Registry {
    client: Client,
    target: Reference,
    sent: BTreeSet<String>,
}

impl Registry {
    async fn enter(target: Reference) -> Result<Self> {
        let host = target.resolve_registry().to_owned();
        let protocol = if is_loopback(&host) { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_mins(2)),
            user_agent: concat!("odoofleet/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| refused(&host, &error))?;
        let login = login(&host)?;
        client.auth(&target, &login, RegistryOperation::Push).await.map_err(|error| refused(&host, &error))?;
        Ok(Self { client, target, sent: BTreeSet::new() })
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.target.registry(), self.target.repository())
    }

    fn refused(&self, error: &OciDistributionError) -> anyhow::Error {
        refused(self.target.resolve_registry(), error)
    }

    /// Sends the images with their bills. Returns the digest that the tag leads to.
    async fn image(&mut self, images: &[Billed]) -> Result<String> {
        for Billed { image, .. } in images {
            for layer in &image.layers {
                let file = layer.file.as_deref().ok_or_else(|| anyhow!("a layer of the image is not here"))?;
                self.blob(&layer.stored, || read(file)).await?;
            }
            self.bytes(image.config.as_bytes()).await?;
            self.manifest(&image.blob().digest, &image.manifest, MANIFEST).await?;
        }
        let plain: Vec<Image> = images.iter().map(|billed| billed.image.clone()).collect();
        let (top, media_type) = oci::top(&plain);
        let tag = self.target.tag().unwrap_or("latest").to_owned();
        // The tag comes last: until then whoever pulls it gets the image before.
        for Billed { image, bills } in images {
            self.bills(&image.blob(), bills).await?;
        }
        self.manifest(&tag, &top, media_type).await?;
        Ok(Blob::of(top.as_bytes()).digest)
    }

    async fn bytes(&mut self, content: &[u8]) -> Result<Blob> {
        let blob = Blob::of(content);
        self.blob(&blob, || Ok(content.to_vec())).await?;
        Ok(blob)
    }

    /// Sends a blob unless it is there.
    async fn blob(&mut self, blob: &Blob, content: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
        let there = self.client.blob_exists(&self.target, &blob.digest).await.map_err(|error| self.refused(&error))?;
        if !there {
            let sent = self.client.push_blob(&self.target, content()?, &blob.digest).await;
            sent.map_err(|error| self.refused(&error))?;
            self.sent.insert(blob.digest.clone());
        }
        Ok(())
    }

    /// Puts a manifest under a tag or a digest.
    async fn manifest(&self, name: &str, content: &str, media_type: &'static str) -> Result<()> {
        let target = self.named(name)?;
        let media_type = http::HeaderValue::from_static(media_type);
        let put = self.client.push_manifest_raw(&target, content.as_bytes().to_vec(), media_type).await;
        put.map(drop).map_err(|error| self.refused(&error))
    }

    /// The repository with another tag, or a digest.
    fn named(&self, name: &str) -> Result<Reference> {
        let separator = if name.contains(':') { '@' } else { ':' };
        let text = format!("{}{separator}{name}", self.repository());
        text.parse().with_context(|| format!("{text:?} is no name in a registry"))
    }

    /// Puts the bills beside the image, for those who ask a registry what refers to it.
    async fn bills(&mut self, image: &Blob, bills: &[(String, String)]) -> Result<()> {
        let mut layers = Vec::new();
        for (name, bill) in bills {
            let mut layer = self.bytes(bill.as_bytes()).await?.described(BILL);
            layer["annotations"] = json!({"org.opencontainers.image.title": name});
            layers.push(layer);
        }
        let empty = self.bytes(b"{}").await?.described(EMPTY);
        let artifact = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BILL, "config": empty, "layers": layers,
            "subject": image.described(MANIFEST),
        })
        .to_string();
        let blob = Blob::of(artifact.as_bytes());
        self.manifest(&blob.digest, &artifact, MANIFEST).await?;
        let mut entry = blob.described(MANIFEST);
        entry["artifactType"] = json!(BILL);
        self.refer(image, entry).await
    }

    /// A registry that cannot say itself what refers to an image is told by a tag.
    async fn refer(&self, image: &Blob, entry: Value) -> Result<()> {
        let known = self.client.pull_referrers(&self.named(&image.digest)?, None).await;
        let known = serde_json::to_value(known.map_err(|error| self.refused(&error))?)?;
        let mut manifests = known["manifests"].as_array().cloned().unwrap_or_default();
        if manifests.iter().any(|manifest| manifest["digest"] == entry["digest"]) {
            return Ok(());
        }
        manifests.push(entry);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
        self.manifest(&image.digest.replace(':', "-"), &index, INDEX).await
    }

    /// Puts a signature where cosign looks for it.
    async fn sign(&mut self, digest: &str, key: &Key) -> Result<()> {
        let payload = payload(&self.repository(), digest);
        let signature = key.sign(payload.as_bytes())?;
        let mut layer = self.bytes(payload.as_bytes()).await?.described(SIGNATURE);
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
        let config = json!({
            "architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let config = self.bytes(config.to_string().as_bytes()).await?.described(CONFIG);
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.manifest(&format!("{}.sig", digest.replace(':', "-")), &manifest.to_string(), MANIFEST).await
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Whether a registry is on this machine, where no TLS is needed.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What Docker's configuration has for a registry, or the environment.
fn login(host: &str) -> Result<RegistryAuth> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable(USER_VARIABLE), variable(PASSWORD_VARIABLE)) {
        (Some(user), Some(password)) => return Ok(RegistryAuth::Basic(user, password)),
        (None, None) => {}
        _ => bail!("{USER_VARIABLE} and {PASSWORD_VARIABLE} are set together or not at all"),
    }
    match docker_credential::get_credential(host) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(token)) => Ok(RegistryAuth::Bearer(token)),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(error) => bail!("Docker's configuration has no login for {host:?} that can be used: {error}"),
    }
}

fn refused(host: &str, error: &OciDistributionError) -> anyhow::Error {
    let login = || {
        format!(
            "it asks for a login that may write there. Log in with `docker login {host}`, or set {USER_VARIABLE} and {PASSWORD_VARIABLE}"
        )
    };
    let why = match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => login(),
        OciDistributionError::RequestError(error)
            if error.status().is_some_and(|status| [401, 403].contains(&status.as_u16())) =>
        {
            login()
        }
        OciDistributionError::RequestError(error) if error.is_connect() || error.is_timeout() => {
            format!("it does not answer ({})", root(error))
        }
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .first()
            .map_or_else(|| "it says no more".to_owned(), |error| format!("{} ({:?})", error.message, error.code)),
        other => root(other),
    };
    anyhow!("registry {host:?} refuses the image: {why}")
}

/// The first cause of an error.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_registry_is_told_from_what_is_none() {
        let table = [
            ("registry.example/odoofleet/odoofleet", Some("registry.example/odoofleet/odoofleet:0.1.0")),
            ("registry.example/odoofleet:dev", Some("registry.example/odoofleet:dev")),
            ("127.0.0.1:5000/odoofleet", Some("127.0.0.1:5000/odoofleet:0.1.0")),
            ("localhost/odoofleet", Some("localhost/odoofleet:0.1.0")),
            ("odoofleet/odoofleet", None),
            ("registry.example", None),
            ("https://registry.example/odoofleet", None),
            ("registry.example/Odoo Fleet", None),
            ("registry.example/odoofleet@sha256:00", None),
        ];
        for (target, expected) in table {
            let found = reference(target, "0.1.0").map(|reference| reference.to_string());
            assert_eq!(found.as_deref().ok(), expected, "{target}: {found:?}");
            if let Err(error) = found {
                assert!(error.to_string().contains(&format!("{target:?}")), "{error}");
            }
        }
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for host in ["localhost:5000", "127.0.0.1:5000", "127.0.0.1", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["registry.example", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod with_a_registry;
