//! Charts from a real registry, over TLS with an authority of its own, and with a password.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Chart, World};
use odoofleet_api::OdooTemplate;
use serde_json::json;

use crate::Result;

/// A registry that runs until it is dropped.
pub struct Registry {
    child: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// htpasswd's bcrypt line for user "puller" with password "canary-password", cost 4.
const USERS: &str = include_str!("htpasswd");

impl Registry {
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.is_ca = rcgen::IsCa::NoCa;
        let authority_key = rcgen::KeyPair::generate()?;
        let mut authority = rcgen::CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer_certificate = authority.self_signed(&authority_key)?;
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let certificate = params.signed_by(&key, &issuer)?;
        std::fs::write(path("ca.crt"), issuer_certificate.pem())?;
        std::fs::write(path("tls.crt"), certificate.pem())?;
        std::fs::write(path("tls.key"), key.serialize_pem())?;
        std::fs::write(path("htpasswd"), USERS)?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": { "addr": address, "tls": { "certificate": path("tls.crt"), "key": path("tls.key") } },
            "auth": { "htpasswd": { "realm": "e2e", "path": path("htpasswd") } },
        });
        std::fs::write(path("config.yml"), config.to_string())?;
        let log = std::fs::File::create(path("registry.log"))?;
        let child = Command::new(world.setup.bin.join("registry"))
            .args(["serve", &path("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&address).await.is_ok() {
                return Ok(Self { child, folder, address });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the registry does not listen: {}", std::fs::read_to_string(folder.path().join("registry.log"))?)
    }

    pub async fn push(&self, world: &World, chart: &Chart, version: &str) -> anyhow::Result<()> {
        let archive = self.folder.path().join(format!("small-{version}.tgz"));
        std::fs::write(&archive, chart.archive()?)?;
        let authority = self.folder.path().join("ca.crt").to_string_lossy().into_owned();
        let repository = format!("oci://{}/charts", self.address);
        let arguments = [
            "push",
            &archive.to_string_lossy(),
            &repository,
            "--ca-file",
            &authority,
            "--username",
            "puller",
            "--password",
            "canary-password",
        ];
        world.helm(&arguments).await.map(drop)
    }

    /// Template `private` of the chart that was pushed as 3.1.4.
    pub fn template(&self, version: &str) -> serde_json::Value {
        let mut template = e2e::template("private", version);
        template["spec"]["chart"] = json!({ "oci": format!("{}/charts/small", self.address), "version": "3.1.4" });
        template
    }

    /// Its certificate's authority.
    pub fn authority(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("ca.crt"))?)
    }

    /// Secret `registry` with which templates may pull.
    pub fn pull_secret(&self) -> serde_json::Value {
        let auth = json!({ "auths": { self.address.clone(): { "auth": STANDARD.encode("puller:canary-password") } } });
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": { "name": "registry", "labels": { "odoofleet.dev/registry": "true" } },
            "stringData": { ".dockerconfigjson": auth.to_string() },
        })
    }
}

async fn wait_reason(world: &World, reason: &str, part: &str) -> Result {
    world
        .wait::<OdooTemplate>("private", reason, |template| {
            let conditions = template.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|c| c.type_ == "Ready" && c.reason == reason && c.message.contains(part))
        })
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_comes_from_a_private_registry_with_its_own_authority_and_outlives_it() -> Result {
    let mut world = World::start("oci").await?;
    let registry = Registry::start(&world).await?;
    registry.push(&world, &Chart::small("3.1.4"), "3.1.4").await?;

    let mut template = registry.template("1");
    world.apply(&template).await?;
    wait_reason(&world, "ChartUnavailable", "certificate").await?;

    let authority = registry.authority()?;
    world.apply(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "registry-ca", "labels": { "odoofleet.dev/shared": "true" } }, "data": { "ca.crt": authority } })).await?;
    template["spec"]["version"] = json!("2");
    template["spec"]["chart"]["caRef"] = json!({ "name": "registry-ca" });
    world.apply(&template).await?;
    wait_reason(&world, "ChartUnavailable", "").await?;

    template["spec"]["version"] = json!("3");
    template["spec"]["chart"]["pullSecretRef"] = json!({ "name": "registry" });
    world.apply(&template).await?;
    wait_reason(&world, "ReferenceNotFound", "registry").await?;
    world.apply(&registry.pull_secret()).await?;
    wait_reason(&world, "Accepted", "").await?;
    assert!(!world.log().contains("canary-password"));

    drop(registry);
    world.stop_operator().await?;
    world.run_operator().await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["templateRef"]["name"] = json!("private");
    world.apply(&environment).await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(running.status.unwrap().release.unwrap().chart_version.as_deref(), Some("3.1.4"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_is_not_the_pinned_one_is_refused() -> Result {
    let world = World::start("pinned").await?;
    let mut template = e2e::template("private", "1");
    template["spec"]["chart"]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    world.apply(&template).await?;
    wait_reason(&world, "ChartInvalid", "digest").await?;
    template["spec"]["version"] = json!("2");
    template["spec"]["chart"] = json!({ "configMapRef": { "name": "small-chart" }, "version": "9.9.9" });
    world.apply(&template).await?;
    wait_reason(&world, "ChartInvalid", "9.9.9").await?;
    Ok(())
}
