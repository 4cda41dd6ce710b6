//! A real node: containerd, kubelet, kube-proxy, a name service and volumes, kept apart from this machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use crate::images::{self, Image, odoo};
use crate::layout::Layout;
use crate::pki::Client;
use crate::process::Daemons;
use crate::{exec, in_cluster, ui};

mod cgroup;
mod config;
pub mod enclosure;
mod metrics;
pub mod needs;
pub mod network;
mod storage;

pub use config::NAME;
use enclosure::Enclosure;
use needs::Host;
use network::Network;

/// Who of the node talks to the API server.
pub const CLIENTS: [Client; 3] = [
    Client { name: "kubelet", user: "system:node:node-1", group: Some("system:nodes") },
    Client { name: "kube-proxy", user: "system:kube-proxy", group: None },
    // As whom the API server passes requests on.
    Client { name: "front-proxy", user: FRONT_PROXY, group: None },
];
/// The name on the certificate with which the API server passes requests on to metrics-server.
pub const FRONT_PROXY: &str = "front-proxy-client";
/// In the order in which they are stopped.
const PARTS: [&str; 6] = ["metrics", "volumes", "coredns", "kube-proxy", "kubelet", "containerd"];
const READY_WITHIN: Duration = Duration::from_mins(1);

/// What a real node is made of.
#[derive(Clone)]
pub struct Node {
    /// What it uses of this machine.
    pub host: Host,
    /// Keeps containerd's images, from one cluster to the next.
    pub store: PathBuf,
    /// What can be run on it beside what was built.
    pub images: Vec<Image>,
    /// The Odoos to run on it.
    pub odoo: Vec<odoo::Source>,
}

impl Node {
    /// One whose programs and images are there; `store` keeps containerd's images.
    pub fn provide(store: PathBuf) -> Result<Self> {
        Ok(Self { host: needs::provide()?, store, odoo: odoo::Source::all()?, images: images::all()? })
    }

    /// Opens the enclosure, so that its addresses are known to the control plane.
    pub fn open(&self, layout: &Layout, daemons: &Daemons) -> Result<Network> {
        if let Some(open) = Enclosure::current(daemons) {
            return Ok(open.network);
        }
        Ok(Enclosure::open(daemons, &layout.path("node"), &self.store)?.network)
    }

    /// Starts what does not run, for the cluster of `layout`.
    pub fn start(&self, layout: &Layout, daemons: &Daemons) -> Result<()> {
        let enclosure = Enclosure::current(daemons).ok_or_else(|| anyhow!("the node's enclosure is not open"))?;
        let running = Running { layout, daemons, enclosure: &enclosure, images: &self.images };
        running.configure(&self.host)?;
        running.containerd()?;
        running.load(&self.images)?;
        for source in &self.odoo {
            running.forget(|name| source.replaces(name))?;
            let compile = |tree: &Path, into: &Path| running.compile(tree, into);
            if let Some(image) = source.image(running.image(images::RUNTIME)?, compile)? {
                running.load(&[image])?;
            }
        }
        running.kubernetes()
    }
}

/// Brings the operator's image onto the node that runs, and takes earlier ones away.
pub fn load(layout: &Layout, daemons: &Daemons, image: &Image) -> Result<()> {
    let enclosure = Enclosure::current(daemons).ok_or_else(|| anyhow!("the node's enclosure is not open"))?;
    let running = Running { layout, daemons, enclosure: &enclosure, images: &[] };
    running.load(std::slice::from_ref(image))?;
    running.forget(|name| in_cluster::replaces(image, name))
}

/// Whether a node is there.
pub fn runs(daemons: &Daemons) -> bool {
    Enclosure::current(daemons).is_some()
}

/// The file of names that pods know beside those of the cluster, in the form of `/etc/hosts`.
pub fn hosts(layout: &Layout) -> PathBuf {
    layout.path("node/config").join(config::HOSTS)
}

/// Where ports of nodes are reached: at the real one, else at this machine.
pub fn address(daemons: &Daemons) -> Ipv4Addr {
    Enclosure::current(daemons).map_or(Ipv4Addr::LOCALHOST, |enclosure| enclosure.network.node())
}

/// Ends what talks to the API server. Returns the names of what ran. The control plane is to end next, while its address is
/// there, and then `close` takes the rest away.
pub fn stop(daemons: &Daemons) -> Result<Vec<&'static str>> {
    let ran: Vec<_> = PARTS.into_iter().filter(|part| daemons.alive(part)).collect();
    for part in ["metrics", "volumes"] {
        daemons.stop(part)?;
    }
    for part in ["coredns", "kube-proxy", "kubelet"] {
        if let Some(inside) = inside(daemons, part) {
            let _ = kill_process(inside, Signal::KILL);
            daemons.wait_for_end(part)?;
        }
    }
    Ok(ran)
}

/// Ends all containers, and removes every trace of the node but its images.
pub fn close(daemons: &Daemons) -> Result<()> {
    enclosure::close(daemons)?;
    PARTS.into_iter().try_for_each(|part| daemons.stop(part).map(drop))
}

/// The process of a part itself; the one that we started outside only waits for it.
fn inside(daemons: &Daemons, part: &str) -> Option<Pid> {
    daemons.pid(part).and_then(enclosure::child_of).and_then(Pid::from_raw)
}

/// A node in the making.
struct Running<'a> {
    layout: &'a Layout,
    daemons: &'a Daemons,
    enclosure: &'a Enclosure,
    images: &'a [Image],
}

impl Running<'_> {
    fn configure(&self, host: &Host) -> Result<()> {
        let facts = config::Facts {
            network: self.enclosure.network,
            plugins: &host.plugins,
            runc: &host.runc,
            authority: &self.layout.path("pki/ca.crt"),
            proxy: &self.layout.path("pki/kube-proxy.kubeconfig"),
            names: &self.layout.kubeconfig(),
            pause: images::PAUSE,
        };
        config::write(&self.layout.path("node/config"), &facts)
    }

    fn containerd(&self) -> Result<()> {
        if self.daemons.alive("containerd") {
            return Ok(());
        }
        self.start_containerd()?;
        // The store keeps the images of the cluster before, and the records of its containers with them.
        let stale = exec::output(self.ctr().args(["containers", "list", "--quiet"]))?;
        let stale: Vec<&str> = stale.split_whitespace().collect();
        if stale.is_empty() {
            return Ok(());
        }
        exec::output(self.ctr().args(["containers", "remove"]).args(&stale))?;
        let sandboxes = exec::output(self.ctr().args(["sandboxes", "list"]))?;
        for sandbox in sandboxes.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
            exec::output(self.ctr().args(["sandboxes", "remove", "--force", sandbox]))?;
        }
        // It remembers them until it starts again.
        self.stop_inside("containerd")?;
        self.start_containerd()
    }

    fn start_containerd(&self) -> Result<()> {
        let mut containerd = self.inside("containerd");
        containerd.arg("--config").arg(self.layout.path("node/config/containerd.toml"));
        self.daemons.ensure("containerd", &containerd)?;
        let ready = || exec::output(self.ctr().args(["version"])).is_ok();
        self.daemons.wait("containerd", READY_WITHIN, ready)
    }

    /// Asks a part to end.
    fn stop_inside(&self, part: &str) -> Result<()> {
        if let Some(inside) = inside(self.daemons, part) {
            kill_process(inside, Signal::TERM)?;
            self.daemons.wait_for_end(part)?;
        }
        self.daemons.stop(part).map(|_| ())
    }

    /// Imports the images that containerd lacks.
    fn load(&self, wanted: &[Image]) -> Result<()> {
        let list = exec::output(self.ctr().args(["images", "list"]))?;
        for image in wanted.iter().filter(|image| !images::listed(&list, image)) {
            let task = ui::Task::start(format!("Loading {}", image.name));
            exec::output(self.ctr().args(["images", "import", "--local"]).arg(&image.archive))?;
            task.done(format!("Loaded {}", image.name));
        }
        Ok(())
    }

    /// Removes what was built of an earlier state.
    fn forget(&self, outdated: impl Fn(&str) -> bool) -> Result<()> {
        let list = exec::output(self.ctr().args(["images", "list", "--quiet"]))?;
        list.lines()
            .filter(|name| outdated(name))
            .try_for_each(|name| exec::output(self.ctr().args(["images", "remove", "--sync", name])).map(drop))
    }

    fn kubernetes(&self) -> Result<()> {
        let config = self.layout.path("node/config");
        let mut kubelet = self.inside("kubelet");
        kubelet.arg("--config").arg(config.join("kubelet.yaml"));
        kubelet.arg("--kubeconfig").arg(self.layout.path("pki/kubelet.kubeconfig"));
        kubelet.args(["--root-dir", "/run/kubelet", "--hostname-override", NAME]);
        kubelet.args(["--node-ip", &self.enclosure.network.node().to_string()]);
        self.daemons.ensure("kubelet", &kubelet)?;
        let mut proxy = self.inside("kube-proxy");
        self.daemons.ensure("kube-proxy", proxy.arg("--config").arg(config.join("kube-proxy.yaml")))?;
        let mut names = self.inside("coredns");
        self.daemons.ensure("coredns", names.arg("-conf").arg(config.join("Corefile")))?;

        let mut volumes = Command::new(self.layout.bin().join("local-path-provisioner"));
        volumes.arg("start").arg("--kubeconfig").arg(self.layout.kubeconfig());
        volumes.args(["--namespace", storage::NAMESPACE, "--configmap-name", storage::CONFIG_MAP]);
        volumes.args(["--service-account-name", "default", "--helper-image", images::HELPER]);
        self.layout.kube().apply(&storage::manifest())?;
        self.daemons.ensure("volumes", &volumes)?;
        self.metrics()
    }

    fn metrics(&self) -> Result<()> {
        let address = self.enclosure.network.host();
        let mut server = Command::new(self.layout.bin().join("metrics-server"));
        for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            server.arg(flag).arg(self.layout.kubeconfig());
        }
        server.args(["--bind-address", &address.to_string(), "--secure-port", &metrics::PORT.to_string()]);
        server.arg("--cert-dir").arg(self.layout.path("node/metrics"));
        // kubelet makes its certificate itself.
        server.args(["--kubelet-insecure-tls", "--kubelet-preferred-address-types", "InternalIP"]);
        server.args(["--metric-resolution", "15s"]);
        self.layout.kube().apply(&metrics::manifest(address))?;
        self.daemons.ensure("metrics", &server)?;
        // Clients that list all kinds complain as long as one group does not answer.
        let available = ["wait", "--for=condition=Available", "apiservice", metrics::API_SERVICE, "--timeout=60s"];
        exec::output(self.layout.kube().kubectl().args(available)).map(drop)
    }

    fn inside(&self, program: &str) -> Command {
        self.enclosure.command(self.layout.bin().join(program))
    }

    /// One of the images that were built.
    fn image(&self, name: &str) -> Result<&Image> {
        self.images.iter().find(|image| image.name == name).ok_or_else(|| anyhow!("image {name} was not built"))
    }

    /// Compiles a tree of Python files with the Python of Odoo's image.
    fn compile(&self, tree: &Path, into: &Path) -> Result<()> {
        let mount = |from: &Path, to: &str, mode: &str| {
            format!("type=bind,src={},dst={to},options=rbind:{mode}", from.display())
        };
        let mut run = self.ctr();
        run.args(["run", "--rm", "--user", "0", "--cgroup", &format!("/{}/compile", self.enclosure.network.cgroup())]);
        run.args(["--mount", &mount(tree, "/opt/odoo", "ro"), "--mount", &mount(into, "/opt/pycache", "rw")]);
        run.args([images::RUNTIME, "compile", "sh", "-c"]);
        // A file that does not compile is one that Odoo does not load.
        run.arg("python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/odoo || true");
        exec::output(&mut run).map(|_| ())
    }

    /// containerd's client.
    fn ctr(&self) -> Command {
        let mut command = self.inside("ctr");
        command.args(["--address", config::SOCKET, "--namespace", "k8s.io"]);
        command
    }
}
