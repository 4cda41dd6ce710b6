//! One scenario's world.

mod objects;
mod operator;
mod pod;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::config::{Cluster, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use odoofleet_api::OdooEnvironment;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::chart::Chart;
use crate::objects::{customer, template};
use crate::proxy::Proxy;

/// How long a scenario waits for what should happen. Generous: a wait that is over ends at once.
const PATIENCE: Duration = Duration::from_mins(1);

/// Short name for the kind that scenarios look at most.
pub type Environment = OdooEnvironment;

/// Where everything is, as `cargo xtask test e2e` says.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Folder of kubectl, helm, registry, kubectl-odoo, odoofleet and odoofleet-helm-worker.
    pub bin: PathBuf,
    /// Folder of packaged charts.
    pub charts: PathBuf,
    /// The API server's audit log.
    pub audit: PathBuf,
    /// The repository.
    pub repo: PathBuf,
}

impl Setup {
    /// Reads the environment variables.
    pub fn from_env() -> Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} is not set: run cargo xtask test e2e"))
        };
        Ok(Self {
            kubeconfig: path("E2E_KUBECONFIG")?,
            bin: path("E2E_BIN")?,
            charts: path("E2E_CHARTS")?,
            audit: path("E2E_AUDIT")?,
            repo: path("E2E_REPO")?,
        })
    }
}

/// CRDs, roles and policies are the cluster's: one installation serves all scenarios.
static BASE: OnceCell<()> = OnceCell::const_new();

/// One scenario's world.
pub struct World {
    /// Where everything is.
    pub setup: Setup,
    /// An administrator's client.
    pub client: Client,
    /// Asks for pages, each by a connection of its own; follows nothing.
    pub http: reqwest::Client,
    /// Namespace of the environments.
    pub namespace: String,
    /// How long a wait may take.
    pub patience: Duration,
    system: String,
    folder: tempfile::TempDir,
    operator: Option<Child>,
    in_cluster: bool,
    release: String,
    flags: Vec<String>,
    proxy: Option<Proxy>,
}

impl World {
    /// A world with a running operator, customer `acme`, and template `small` in version `1`.
    pub async fn start(name: &str) -> Result<Self> {
        Self::start_with(name, &[]).await
    }

    /// The same with more flags for the operator.
    pub async fn start_with(name: &str, flags: &[&str]) -> Result<Self> {
        let mut world = Self::bare(name, flags).await?;
        world.furnish().await?;
        Ok(world)
    }

    /// The same with a proxy between the API server and the operator.
    pub async fn behind_proxy(name: &str, flags: &[&str]) -> Result<Self> {
        let mut world = Self::bare(name, flags).await?;
        let mut config = Config::from_custom_kubeconfig(
            Kubeconfig::read_from(&world.setup.kubeconfig)?,
            &KubeConfigOptions::default(),
        )
        .await?;
        // Nobody passes for an administrator by way of the proxy.
        config.auth_info = kube::config::AuthInfo::default();
        let token = world.folder.path().join("token");
        let proxy = Proxy::start(Client::try_from(config)?, token.clone()).await?;
        let cluster = serde_json::from_value(json!({ "server": proxy.address() }))?;
        std::fs::write(world.operator_kubeconfig(), kubeconfig_with_token(&cluster, &token))?;
        world.proxy = Some(proxy);
        world.furnish().await?;
        Ok(world)
    }

    async fn furnish(&mut self) -> Result<()> {
        self.run_operator().await?;
        self.put_chart(&Chart::small("1.0.0")).await?;
        self.apply(&customer("acme")).await?;
        self.apply(&template("small", "1")).await
    }

    /// What lies between the API server and the operator.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().context("this world has no proxy: begin it with World::behind_proxy")
    }

    /// A world in which nothing runs yet.
    pub async fn bare(name: &str, flags: &[&str]) -> Result<Self> {
        let setup = Setup::from_env()?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(&setup.kubeconfig)?, &KubeConfigOptions::default())
                .await?;
        let world = Self {
            client: Client::try_from(config)?,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()?,
            // The process id lets scenarios run again on a cluster that is still there.
            namespace: format!("odoo-{name}-{:x}", std::process::id()),
            system: format!("system-{name}-{:x}", std::process::id()),
            folder: tempfile::tempdir()?,
            patience: PATIENCE,
            operator: None,
            in_cluster: false,
            release: format!("fleet-{name}-{:x}", std::process::id()),
            flags: flags.iter().map(ToString::to_string).collect(),
            proxy: None,
            setup,
        };
        BASE.get_or_try_init(|| world.install_base()).await?;
        world.install().await?;
        Ok(world)
    }

    /// A host of this world alone: one leads to one environment of the cluster, in which other worlds are, and those of earlier runs.
    pub fn host(&self, part: &str) -> String {
        format!("{part}.{}", self.domain())
    }

    /// The domain of [`World::host`].
    pub fn domain(&self) -> String {
        format!("{}.example", self.namespace)
    }

    async fn install_base(&self) -> Result<()> {
        let chart = self.setup.repo.join("charts/odoofleet");
        let chart = chart.to_string_lossy();
        self.helm(&[
            "upgrade",
            "odoofleet",
            &chart,
            "--install",
            "--namespace",
            "odoofleet-system",
            "--create-namespace",
            "--set",
            "replicas=0",
        ])
        .await?;
        let crds = self.setup.repo.join("crds");
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", &crds.to_string_lossy()])
            .await
            .map(drop)
    }

    async fn install(&self) -> Result<()> {
        let chart = self.setup.repo.join("charts/odoofleet");
        let watch = format!("watchNamespace={}", self.namespace);
        let settings =
            ["replicas=0", "crds.install=false", "roles.create=false", "policies.create=false", watch.as_str()];
        let chart = chart.to_string_lossy();
        let mut arguments =
            vec!["install", self.release.as_str(), &chart, "--namespace", &self.system, "--create-namespace"];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        self.helm(&arguments).await?;
        let account = self.service_account().await?;
        let token =
            self.kubectl(&["create", "token", &account, "--namespace", &self.system, "--duration", "2h"]).await?;
        let path = self.folder.path().join("token");
        std::fs::write(&path, token.trim())?;
        let admin = Kubeconfig::read_from(&self.setup.kubeconfig)?;
        let cluster = admin.clusters.first().and_then(|named| named.cluster.clone());
        let cluster = cluster.context("the kubeconfig names no cluster")?;
        std::fs::write(self.operator_kubeconfig(), kubeconfig_with_token(&cluster, &path))?;
        Ok(())
    }

    async fn service_account(&self) -> Result<String> {
        let names = self
            .kubectl(&[
                "get",
                "serviceaccounts",
                "--namespace",
                &self.system,
                "-o",
                "jsonpath={.items[*].metadata.name}",
            ])
            .await?;
        names
            .split_whitespace()
            .find(|name| *name != "default")
            .map(str::to_owned)
            .context("the chart made no ServiceAccount")
    }

    fn operator_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Namespace of the operator and its Lease.
    pub fn system_namespace(&self) -> &str {
        &self.system
    }

    /// Runs kubectl as an administrator and returns what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.tool("kubectl", arguments).await
    }

    /// Runs the plain Helm CLI as an administrator and returns what it prints.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.tool("helm", arguments).await
    }

    async fn tool(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(self.setup.bin.join(name));
        command.args(arguments).env("KUBECONFIG", &self.setup.kubeconfig).env("HOME", self.folder.path());
        let output = command.output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{name} {} failed: {}{text}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("E2E_KEEP_LOGS").is_some() {
            let kept = std::env::temp_dir().join(format!("{}.log", self.namespace));
            let _ = std::fs::write(kept, self.log());
        }
        if self.in_cluster {
            self.remove_pods();
        }
        if let Some(mut child) = self.operator.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A kubeconfig whose only user has the token in a file.
pub(crate) fn kubeconfig_with_token(cluster: &Cluster, token: &Path) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": { "tokenFile": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    config.to_string()
}
