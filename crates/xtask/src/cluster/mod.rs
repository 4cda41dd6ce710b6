//! A Kubernetes on this machine: etcd, API server, controller manager, scheduler, and nodes that kwok plays, or a real one.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::layout::{Kube, Layout};
use crate::node::network::Network;
use crate::node::{self, Node};
use crate::process::Daemons;
use crate::{exec, pki};

mod audit;
mod kwok;
pub mod ports;

use ports::Ports;

/// In the order in which they are stopped.
const COMPONENTS: [&str; 5] = ["kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"];
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Where the API server is, and where Services are.
#[derive(Clone)]
struct Reach {
    api: Ipv4Addr,
    services: String,
    first_service: Ipv4Addr,
}

impl Reach {
    /// For nodes that are played: nothing leaves this machine.
    fn loopback() -> Self {
        let first_service = Ipv4Addr::new(10, 96, 0, 1);
        Self { api: Ipv4Addr::LOCALHOST, services: "10.96.0.0/16".to_owned(), first_service }
    }

    /// For a real node: what this machine and the node reach, and nobody else.
    fn of(network: Network) -> Self {
        Self { api: network.host(), services: network.services(), first_service: network.first_service() }
    }
}

/// A control plane, running or not.
pub struct ControlPlane {
    layout: Layout,
    ports: Ports,
    daemons: Daemons,
    /// How many nodes are played, if none is real.
    played: u16,
    node: Option<Node>,
}

impl ControlPlane {
    /// One whose binaries lie in `layout.bin()`.
    pub fn new(layout: Layout, ports: Ports, daemons: Daemons) -> Self {
        Self { layout, ports, daemons, played: 3, node: None }
    }

    /// The same with a real node, if one is given, in place of played ones.
    #[must_use]
    pub fn with_node(self, node: Option<Node>) -> Self {
        Self { node, ..self }
    }

    /// Whether any part of it runs.
    pub fn runs(&self) -> bool {
        COMPONENTS.iter().any(|name| self.daemons.alive(name))
    }

    /// Starts what does not run. With nothing running it begins with an empty store. Returns the API server's address.
    pub fn start(&self) -> Result<Ipv4Addr> {
        let first = !self.runs();
        if first {
            self.ports.require_free()?;
        }
        let reach = self.reach(first)?;
        if first {
            self.prepare(&reach)?;
        }
        self.start_store_and_api(&reach)?;
        self.start_controllers()?;
        let kube = self.layout.kube();
        // Helm and pods need the ServiceAccount that the controller manager makes in each namespace.
        let account = ["wait", "--for=create", "serviceaccount/default", "--namespace=default", "--timeout=60s"];
        exec::output(kube.kubectl().args(account))?;
        match &self.node {
            Some(node) => node.start(&self.layout, &self.daemons)?,
            None => self.play(&kube)?,
        }
        let all = ["--for=condition=Ready", "nodes", "--all", "--timeout=60s"];
        exec::output(kube.kubectl().args(["wait", "--for=create", "nodes", "--all", "--timeout=60s"]))?;
        exec::output(kube.kubectl().arg("wait").args(all))?;
        Ok(reach.api)
    }

    fn reach(&self, first: bool) -> Result<Reach> {
        let Some(node) = &self.node else { return Ok(Reach::loopback()) };
        if !first && !node::runs(&self.daemons) {
            bail!("the control plane runs, but its node does not. Stop it first: cargo xtask down");
        }
        Ok(Reach::of(node.open(&self.layout, &self.daemons)?))
    }

    fn prepare(&self, reach: &Reach) -> Result<()> {
        for stale in ["etcd", "pki", "logs/audit"] {
            let dir = self.layout.path(stale);
            if dir.exists() {
                fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
            }
        }
        let pki = self.layout.path("pki");
        let server = format!("https://{}:{}", reach.api, self.ports.api);
        let mut clients = vec![pki::ADMIN];
        if self.node.is_some() {
            clients.extend(node::CLIENTS);
        }
        pki::write(&pki, &[Ipv4Addr::LOCALHOST, reach.api, reach.first_service], &clients)?;
        for client in &clients {
            pki::secret(&pki.join(format!("{}.kubeconfig", client.name)), &kubeconfig(&pki, client.name, &server))?;
        }
        pki::secret(&self.layout.kubeconfig(), &kubeconfig(&pki, pki::ADMIN.name, &server))
    }

    fn play(&self, kube: &Kube) -> Result<()> {
        let kwok = kwok::command(
            &self.layout.bin().join("kwok"),
            &self.layout.kubeconfig(),
            self.ports,
            &self.layout.path("kwok"),
        )?;
        self.daemons.ensure("kwok", &kwok)?;
        kwok::populate(kube, self.played)
    }

    fn start_store_and_api(&self, reach: &Reach) -> Result<()> {
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
        let address = reach.api.to_string();
        api.args(["--bind-address", &address, "--advertise-address", &address]);
        api.args(["--service-cluster-ip-range", &reach.services, "--authorization-mode", "Node,RBAC"]);
        api.args(["--service-account-issuer", "https://kubernetes.default.svc", "--allow-privileged"]);
        match &self.node {
            Some(_) => {
                api.args(["--kubelet-preferred-address-types", "InternalIP"]);
                self.pass_on(&mut api);
            }
            None => drop(api.args(["--endpoint-reconciler-type", "none"])),
        }
        for (flag, file) in [
            ("--client-ca-file", "ca.crt"),
            ("--tls-cert-file", "apiserver.crt"),
            ("--tls-private-key-file", "apiserver.key"),
            ("--service-account-key-file", "sa.pub"),
            ("--service-account-signing-key-file", "sa.key"),
            ("--kubelet-client-certificate", "admin.crt"),
            ("--kubelet-client-key", "admin.key"),
        ] {
            api.arg(flag).arg(self.layout.path("pki").join(file));
        }
        audit::record(&mut api, &self.layout)?;
        self.daemons.ensure("kube-apiserver", &api)?;
        let kube = self.layout.kube();
        let ready = || exec::output(kube.kubectl().args(["get", "--raw", "/readyz"])).is_ok();
        self.daemons.wait("kube-apiserver", READY_WITHIN, ready)
    }

    /// Lets the API server pass requests on to servers that add to its API.
    fn pass_on(&self, api: &mut Command) {
        let pki = self.layout.path("pki");
        for (flag, file) in [
            ("--requestheader-client-ca-file", "ca.crt"),
            ("--proxy-client-cert-file", "front-proxy.crt"),
            ("--proxy-client-key-file", "front-proxy.key"),
        ] {
            api.arg(flag).arg(pki.join(file));
        }
        api.args(["--requestheader-allowed-names", node::FRONT_PROXY]);
        api.args([
            "--requestheader-username-headers",
            "X-Remote-User",
            "--requestheader-group-headers",
            "X-Remote-Group",
        ]);
        api.args(["--requestheader-extra-headers-prefix", "X-Remote-Extra-"]);
        // By the address of the endpoint: that of the Service leads through the node.
        api.arg("--enable-aggregator-routing");
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
        self.daemons.ensure("kube-scheduler", &scheduler).map(|_| ())
    }

    fn component(&self, name: &str) -> Command {
        Command::new(self.layout.bin().join(name))
    }
}

/// Ends the node, if there is a real one, and the parts of the control plane. Returns the names of what ran.
pub fn stop(daemons: &Daemons) -> Result<Vec<&'static str>> {
    let mut ran = node::stop(daemons)?;
    for name in COMPONENTS {
        if daemons.stop(name)? {
            ran.push(name);
        }
    }
    node::close(daemons)?;
    Ok(ran)
}

fn kubeconfig(pki: &Path, user: &str, server: &str) -> String {
    let pki = pki.display();
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: odoofleet
  cluster: {{server: "{server}", certificate-authority: "{pki}/ca.crt"}}
users:
- name: {user}
  user: {{client-certificate: "{pki}/{user}.crt", client-key: "{pki}/{user}.key"}}
contexts:
- name: odoofleet
  context: {{cluster: odoofleet, user: {user}}}
current-context: odoofleet
"#
    )
}
