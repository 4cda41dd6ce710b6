//! A Kubernetes on this machine: etcd, API server, controller manager, scheduler and kwok, all on 127.0.0.1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::exec;

mod kwok;
pub mod pki;
pub mod ports;
pub mod process;

use ports::Ports;
use process::Daemons;

/// In the order in which they are stopped.
const COMPONENTS: [&str; 5] = ["kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"];
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Where a control plane keeps its things.
#[derive(Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// All below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path below the root.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The binaries.
    pub fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    /// Process ids and what belongs to this run alone.
    pub fn run(&self) -> PathBuf {
        self.path("run")
    }

    /// The output of all processes.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// The administrator's tools.
    pub fn kube(&self) -> Kube {
        Kube { bin: self.bin(), kubeconfig: self.kubeconfig() }
    }
}

/// kubectl and Helm with the rights of one kubeconfig.
pub struct Kube {
    bin: PathBuf,
    kubeconfig: PathBuf,
}

impl Kube {
    /// kubectl; arguments are to be added.
    pub fn kubectl(&self) -> Command {
        self.tool("kubectl")
    }

    /// Helm; arguments are to be added.
    pub fn helm(&self) -> Command {
        self.tool("helm")
    }

    /// Applies manifests.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        exec::feed(self.kubectl().args(["apply", "-f", "-"]), manifest).map(|_| ())
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// A control plane, running or not.
pub struct ControlPlane {
    layout: Layout,
    ports: Ports,
    daemons: Daemons,
    nodes: u16,
}

impl ControlPlane {
    /// One whose binaries lie in `layout.bin()`.
    pub fn new(layout: Layout, ports: Ports, daemons: Daemons) -> Self {
        Self { layout, ports, daemons, nodes: 3 }
    }

    /// Whether any part of it runs.
    pub fn runs(&self) -> bool {
        COMPONENTS.iter().any(|name| self.daemons.alive(name))
    }

    /// Starts what does not run. With nothing running it begins with an empty store.
    pub fn start(&self) -> Result<()> {
        if !self.runs() {
            self.ports.require_free()?;
            self.prepare()?;
        }
        self.start_store_and_api()?;
        self.start_controllers()?;
        let kube = self.layout.kube();
        kwok::populate(&kube, self.nodes)?;
        exec::output(kube.kubectl().args(["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s"]))?;
        // Helm and pods need the ServiceAccount that the controller manager makes in each namespace.
        let account = ["wait", "--for=create", "serviceaccount/default", "--namespace=default", "--timeout=60s"];
        exec::output(kube.kubectl().args(account)).map(|_| ())
    }

    fn prepare(&self) -> Result<()> {
        for stale in ["etcd", "pki"] {
            let dir = self.layout.path(stale);
            if dir.exists() {
                fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
            }
        }
        pki::write(&self.layout.path("pki"))?;
        pki::secret(&self.layout.kubeconfig(), &kubeconfig(&self.layout.path("pki"), self.ports))
    }

    fn start_store_and_api(&self) -> Result<()> {
        let store = format!("http://127.0.0.1:{}", self.ports.etcd());
        let peer = format!("http://127.0.0.1:{}", self.ports.peer());
        let mut etcd = self.component("etcd");
        etcd.arg("--data-dir").arg(self.layout.path("etcd"));
        etcd.args(["--listen-client-urls", &store, "--advertise-client-urls", &store]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
        etcd.args(["--quota-backend-bytes", "8589934592"]);
        etcd.args(["--auto-compaction-mode", "revision", "--auto-compaction-retention", "5000"]);
        self.daemons.ensure("etcd", &etcd)?;

        let mut api = self.component("kube-apiserver");
        api.args(["--etcd-servers", &store, "--secure-port", &self.ports.api.to_string()]);
        api.args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"]);
        api.args(["--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "Node,RBAC"]);
        api.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        api.args(["--allow-privileged", "--endpoint-reconciler-type", "none"]);
        for (flag, file) in [
            ("--client-ca-file", "ca.crt"),
            ("--tls-cert-file", "apiserver.crt"),
            ("--tls-private-key-file", "apiserver.key"),
            ("--service-account-key-file", "sa.pub"),
            ("--service-account-signing-key-file", "sa.key"),
        ] {
            api.arg(flag).arg(self.layout.path("pki").join(file));
        }
        self.daemons.ensure("kube-apiserver", &api)?;
        let kube = self.layout.kube();
        let ready = || exec::output(kube.kubectl().args(["get", "--raw", "/readyz"])).is_ok();
        self.daemons.wait("kube-apiserver", READY_WITHIN, ready)
    }

    fn start_controllers(&self) -> Result<()> {
        let quick = ["--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"];
        let pki = self.layout.path("pki");
        let mut manager = self.component("kube-controller-manager");
        manager.arg("--kubeconfig").arg(self.layout.kubeconfig()).args(quick);
        manager.arg("--service-account-private-key-file").arg(pki.join("sa.key"));
        manager.arg("--root-ca-file").arg(pki.join("ca.crt")).arg("--use-service-account-credentials");
        manager.args(["--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20"]);
        self.daemons.ensure("kube-controller-manager", &manager)?;

        let mut scheduler = self.component("kube-scheduler");
        scheduler.arg("--kubeconfig").arg(self.layout.kubeconfig()).args(quick);
        self.daemons.ensure("kube-scheduler", &scheduler)?;

        let kwok = kwok::command(&self.layout.bin().join("kwok"), &self.layout.kubeconfig(), self.ports)?;
        self.daemons.ensure("kwok", &kwok)?;
        Ok(())
    }

    fn component(&self, name: &str) -> Command {
        Command::new(self.layout.bin().join(name))
    }
}

/// Ends the parts of a control plane. Returns the names of what ran.
pub fn stop(daemons: &Daemons) -> Result<Vec<&'static str>> {
    let mut ran = Vec::new();
    for name in COMPONENTS {
        if daemons.stop(name)? {
            ran.push(name);
        }
    }
    Ok(ran)
}

fn kubeconfig(pki: &Path, ports: Ports) -> String {
    let pki = pki.display();
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: odoofleet
  cluster: {{server: "https://127.0.0.1:{}", certificate-authority: "{pki}/ca.crt"}}
users:
- name: admin
  user: {{client-certificate: "{pki}/admin.crt", client-key: "{pki}/admin.key"}}
contexts:
- name: odoofleet
  context: {{cluster: odoofleet, user: admin}}
current-context: odoofleet
"#,
        ports.api
    )
}
