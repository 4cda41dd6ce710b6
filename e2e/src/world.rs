//! One scenario's world.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::{Patch, PatchParams};
use kube::config::{Cluster, KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config as WatchConfig, watcher};
use kube::{Api, Client, Config, Resource};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use rustix::process::{Pid, Signal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::audit::{Audit, AuditEntry};
use crate::chart::Chart;
use crate::objects::{customer, template};
use crate::proxy::Proxy;
use crate::rival::Rival;

/// How long a scenario waits for what should happen. Generous: a wait that is over ends at once.
const PATIENCE: Duration = Duration::from_mins(1);

/// Short name for the kind that scenarios look at most.
pub type Environment = OdooEnvironment;

/// Where everything is, as `cargo xtask test e2e` says.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Folder of kubectl, helm, registry, odoofleet and odoofleet-helm-worker.
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
            flags: flags.iter().map(ToString::to_string).collect(),
            proxy: None,
            setup,
        };
        BASE.get_or_try_init(|| world.install_base()).await?;
        world.install(name).await?;
        Ok(world)
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

    async fn install(&self, name: &str) -> Result<()> {
        let chart = self.setup.repo.join("charts/odoofleet");
        let watch = format!("watchNamespace={}", self.namespace);
        let settings =
            ["replicas=0", "crds.install=false", "roles.create=false", "policies.create=false", watch.as_str()];
        let release = format!("fleet-{name}-{:x}", std::process::id());
        let chart = chart.to_string_lossy();
        let mut arguments =
            vec!["install", release.as_str(), &chart, "--namespace", &self.system, "--create-namespace"];
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

    /// The operator's log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("operator.log")).unwrap_or_default()
    }

    /// Starts the operator under its own ServiceAccount, and waits until it is ready.
    pub async fn run_operator(&mut self) -> Result<()> {
        let port = free_port()?;
        self.operator = Some(self.spawn_operator("operator.log", port)?);
        std::fs::write(self.folder.path().join("port"), port.to_string())?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.operator.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the operator ended ({status}):\n{}", self.log());
            }
            if self.get("/ready").await.is_ok_and(|answer| answer.starts_with("ready")) {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "the operator is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts another operator beside the first. It is in no hurry: the first one leads.
    pub fn run_rival(&self) -> Result<Rival> {
        let port = free_port()?;
        let child = self.spawn_operator("rival.log", port)?;
        Ok(Rival::new(child, port, self.folder.path().join("rival.log"), self.http.clone()))
    }

    fn spawn_operator(&self, log: &str, port: u16) -> Result<Child> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(log))?;
        let mut command = Command::new(self.setup.bin.join("odoofleet"));
        command.env_clear().env("KUBECONFIG", self.operator_kubeconfig()).env("RUST_LOG", "info,odoofleet=debug");
        command.args([
            "run",
            "--log-format",
            "text",
            "--namespace",
            &self.namespace,
            "--system-namespace",
            &self.system,
        ]);
        command.arg("--helm-worker").arg(self.setup.bin.join("odoofleet-helm-worker"));
        command.arg("--charts-dir").arg(&self.setup.charts).arg("--cache-dir").arg(self.folder.path().join("cache"));
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(&self.flags);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("the operator does not start")
    }

    /// Tells the operator to stop, as Kubernetes would.
    pub fn terminate_operator(&self) -> Result<()> {
        self.signal_operator(Signal::TERM)
    }

    /// Sends a signal to the operator: `STOP` and `CONT` are a pause of its machine.
    pub fn signal_operator(&self, signal: Signal) -> Result<()> {
        let child = self.operator.as_ref().context("no operator runs")?;
        Ok(rustix::process::kill_process(Pid::from_child(child), signal)?)
    }

    /// Waits until the operator has ended by itself.
    pub async fn wait_operator_end(&mut self) -> Result<ExitStatus> {
        let mut child = self.operator.take().context("no operator runs")?;
        Ok(tokio::task::spawn_blocking(move || child.wait()).await??)
    }

    /// Stops the operator as Kubernetes would, and waits for its end.
    pub async fn stop_operator(&mut self) -> Result<()> {
        if self.operator.is_some() {
            self.terminate_operator()?;
        }
        let Some(mut child) = self.operator.take() else { return Ok(()) };
        tokio::task::spawn_blocking(move || child.wait()).await??;
        Ok(())
    }

    /// Kills the operator without a warning.
    pub async fn kill_operator(&mut self) -> Result<()> {
        let Some(mut child) = self.operator.take() else { return Ok(()) };
        child.kill()?;
        tokio::task::spawn_blocking(move || child.wait()).await??;
        Ok(())
    }

    /// Process ids of the operator's Helm workers.
    pub fn workers(&self) -> Vec<i32> {
        let Some(operator) = &self.operator else { return Vec::new() };
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", operator.id())).unwrap_or_default();
        // Children of other threads stand in other files; the process's own threads are few.
        let mut all: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", operator.id())) {
            for thread in threads.flatten() {
                let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A figure from /metrics; 0 if it is not there.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics").await?;
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Asks the operator's own server.
    pub async fn get(&self, path: &str) -> Result<String> {
        let port = std::fs::read_to_string(self.folder.path().join("port"))?;
        Ok(self.http.get(format!("http://127.0.0.1:{port}{path}")).send().await?.text().await?)
    }

    /// What the operator and its workers asked the API server in the namespace of the environments since a moment.
    pub async fn requests_since(&self, moment: Timestamp) -> Result<Vec<AuditEntry>> {
        let user = format!("system:serviceaccount:{}:{}", self.system, self.service_account().await?);
        Audit::of(&self.setup).since(moment, &user, &self.namespace)
    }

    /// The namespace's objects of a kind, as an administrator.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an object as `kubectl apply --server-side` does. The error is the API server's sentence.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let (kind, name) =
            (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
        let params = PatchParams::apply("e2e").force();
        let patch = Patch::Apply(object);
        match kind {
            "OdooCustomer" => self.api::<OdooCustomer>().patch(name, &params, &patch).await.map(drop)?,
            "OdooTemplate" => self.api::<OdooTemplate>().patch(name, &params, &patch).await.map(drop)?,
            "OdooEnvironment" => self.api::<OdooEnvironment>().patch(name, &params, &patch).await.map(drop)?,
            "Secret" => self.api::<Secret>().patch(name, &params, &patch).await.map(drop)?,
            "ConfigMap" => self.api::<ConfigMap>().patch(name, &params, &patch).await.map(drop)?,
            "Service" => self.api::<Service>().patch(name, &params, &patch).await.map(drop)?,
            "Pod" => self.api::<Pod>().patch(name, &params, &patch).await.map(drop)?,
            other => bail!("kind {other} is not applied here"),
        }
        Ok(())
    }

    /// Changes an object by a merge patch.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Keeps a chart where template `small` looks for it.
    pub async fn put_chart(&self, chart: &Chart) -> Result<()> {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(chart.archive()?);
        self.apply(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "small-chart" }, "binaryData": { "chart.tgz": data } })).await
    }

    /// Waits until an object is as `ready` says. The error shows the object as it is.
    pub async fn wait<K>(&self, name: &str, what: &str, ready: impl Fn(&K) -> bool) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + serde::Serialize
            + 'static,
        K::DynamicType: Default,
    {
        let config = WatchConfig::default().fields(&format!("metadata.name={name}"));
        let mut objects = std::pin::pin!(watcher(self.api::<K>(), config).default_backoff().applied_objects());
        let mut last = None;
        let waited = tokio::time::timeout(self.patience, async {
            while let Some(object) = objects.try_next().await? {
                if ready(&object) {
                    return Ok(object);
                }
                last = Some(object);
            }
            Err(anyhow!("the watch ended"))
        });
        match waited.await {
            Ok(result) => result,
            Err(_) => bail!(
                "{name} did not become {what}; it is {}\nlog:\n{}",
                last.map_or_else(
                    || "not there".to_owned(),
                    |object| serde_json::to_string_pretty(&object).unwrap_or_default()
                ),
                tail(&self.log())
            ),
        }
    }

    /// Waits until an environment is in a phase for a reason, at its present generation.
    pub async fn wait_reason(&self, name: &str, phase: &str, reason: &str) -> Result<Environment> {
        self.wait(name, &format!("{phase}/{reason}"), |environment: &Environment| {
            is_observed(environment) && phase_of(environment) == phase && reason_of(environment) == reason
        })
        .await
    }

    /// Waits until an environment is ready in a phase, at its present generation.
    pub async fn wait_phase(&self, name: &str, phase: &str) -> Result<Environment> {
        self.wait(name, phase, |environment: &Environment| {
            is_observed(environment) && phase_of(environment) == phase && condition(environment, "Ready") == "True"
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn wait_gone<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Default,
    {
        let config = WatchConfig::default().fields(&format!("metadata.name={name}"));
        let api = self.api::<K>();
        let mut events = std::pin::pin!(watcher(api.clone(), config).default_backoff());
        let gone = async {
            while let Some(event) = events.next().await {
                let _ = event;
                if api.get_opt(name).await?.is_none() {
                    return Ok(());
                }
            }
            Err(anyhow!("the watch ended"))
        };
        tokio::time::timeout(self.patience, gone)
            .await
            .map_err(|_| anyhow!("{name} is still there\nlog:\n{}", tail(&self.log())))?
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
            let _ = std::fs::copy(self.folder.path().join("operator.log"), kept);
        }
        if let Some(mut child) = self.operator.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn kubeconfig_with_token(cluster: &Cluster, token: &Path) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": { "tokenFile": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    config.to_string()
}

fn is_observed(environment: &Environment) -> bool {
    environment.status.as_ref().and_then(|status| status.observed_generation) == environment.metadata.generation
}

fn phase_of(environment: &Environment) -> String {
    environment.status.as_ref().and_then(|status| status.phase).map(|phase| format!("{phase:?}")).unwrap_or_default()
}

fn reason_of(environment: &Environment) -> String {
    environment.status.as_ref().and_then(|status| status.reason.as_ref()).map(ToString::to_string).unwrap_or_default()
}

fn condition(environment: &Environment, type_: &str) -> String {
    let conditions = environment.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == type_)
        .map(|condition| condition.status.clone())
        .next()
        .unwrap_or_default()
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
