//! What keeps a node apart from this machine: network, mounts and processes of its own.
//!
//! Everything that a node makes (a bridge, packet rules, mounts of pods, containers) lives inside and ends with the first
//! process. Outside remain a link, four packet rules and a control group, which `close` removes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::cgroup;
use super::network::Network;
use crate::exec;
use crate::process::Daemons;

/// Locally administered.
const BRIDGE_ADDRESS: &str = "02:0d:00:f1:ee:01";
const DAEMON: &str = "enclosure";
const ENTER: &str = include_str!("enter.sh");
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Says that this machine forwarded nothing before the first node. The last one to close switches it off again.
const FORWARDING: &str = "/run/odoofleet-forwarding";
const OPEN_WITHIN: Duration = Duration::from_secs(20);

/// An open enclosure, as it is written down for whoever closes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Enclosure {
    /// Its addresses.
    pub network: Network,
    /// The node's folder.
    folder: PathBuf,
    #[serde(default)]
    init: i32,
}

impl Enclosure {
    /// Opens one; what ran in `folder` before is forgotten. `store` keeps containerd's images.
    pub fn open(daemons: &Daemons, folder: &Path, store: &Path) -> Result<Self> {
        close(daemons)?;
        let logs = daemons.log_folder("pods");
        if logs.exists() {
            fs::remove_dir_all(&logs).with_context(|| format!("cannot remove {}", logs.display()))?;
        }
        for dir in [folder, store, &logs] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let network = Network::free()?;
        let mut enclosure = Self { network, folder: folder.to_path_buf(), init: 0 };
        // Written before anything is made, so that whatever is made will be removed.
        enclosure.save(daemons)?;
        enclosure.init = start(daemons, [folder, store, &logs])?;
        enclosure.save(daemons)?;
        enclosure.connect()?;
        cgroup::create(&network.cgroup())?;
        Ok(enclosure)
    }

    /// The one that is open.
    pub fn current(daemons: &Daemons) -> Option<Self> {
        let enclosure: Self = serde_json::from_str(&fs::read_to_string(file(daemons)).ok()?).ok()?;
        daemons.alive(DAEMON).then_some(enclosure)
    }

    /// A program inside; arguments are to be added.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--net", "--pid", "--"]).arg(program.as_ref());
        command
    }

    fn save(&self, daemons: &Daemons) -> Result<()> {
        let file = file(daemons);
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        fs::write(&file, serde_json::to_string(self)?).with_context(|| format!("cannot write {}", file.display()))
    }

    /// A link with one end on each side, and a bridge for the pods.
    fn connect(&self) -> Result<()> {
        let network = self.network;
        let (link, init) = (network.link(), self.init.to_string());
        let (host, node) = (format!("{}/30", network.host()), format!("{}/30", network.node()));
        run(&["ip", "link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", &init])?;
        run(&["ip", "address", "add", &host, "dev", &link])?;
        run(&["ip", "link", "set", &link, "up"])?;
        let bridge = format!("{}/17", network.bridge());
        let gateway = network.host().to_string();
        for inside in [
            &["ip", "address", "add", &node, "dev", "uplink"][..],
            &["ip", "link", "set", "uplink", "up"],
            &["ip", "route", "add", "default", "via", &gateway],
            // Made now and not by the first pod, as the name service listens on it.
            // Left to itself, a bridge takes the lowest address of its pods' links: with each pod that comes or goes, the others
            // would look for their gateway where it no longer is, for as long as their kernels remember.
            &["ip", "link", "add", "cni0", "address", BRIDGE_ADDRESS, "type", "bridge"],
            &["ip", "address", "add", &bridge, "dev", "cni0"],
            &["ip", "link", "set", "cni0", "up"],
            &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"],
            // Without it, a pod cannot reach a pod beside it through a Service.
            &["sh", "-c", "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables"],
        ] {
            exec::output(self.command(inside[0]).args(&inside[1..]))?;
        }
        run(&["ip", "route", "add", &network.whole(), "via", &network.node().to_string()])?;
        if fs::read_to_string(FORWARD).is_ok_and(|value| value.trim() == "0") {
            fs::write(FORWARDING, "").with_context(|| format!("cannot write {FORWARDING}"))?;
            fs::write(FORWARD, "1").context("this machine cannot forward packets for the pods")?;
        }
        rules(network).iter().try_for_each(|rule| packet_rule("-I", rule))
    }
}

/// Ends everything inside, and removes what is outside. Says whether an enclosure was open.
pub fn close(daemons: &Daemons) -> Result<bool> {
    let Ok(text) = fs::read_to_string(file(daemons)) else { return Ok(false) };
    let enclosure: Enclosure = serde_json::from_str(&text).context("cannot read what the node left behind")?;
    if let Some(init) = daemons.pid(DAEMON).and_then(child_of).and_then(Pid::from_raw) {
        // unshare waits for it, so this is the end of both.
        let _ = kill_process(init, Signal::KILL);
    }
    let ran = daemons.stop(DAEMON)?;
    let network = enclosure.network;
    for rule in rules(network) {
        // Gone already if the machine was started anew in between.
        let _ = packet_rule("-D", &rule);
    }
    let _ = run(&["ip", "link", "delete", &network.link()]);
    if !another_link() && fs::remove_file(FORWARDING).is_ok() {
        let _ = fs::write(FORWARD, "0");
    }
    cgroup::remove(&network.cgroup())?;
    for place in ["/var/lib/kubelet", "/var/lib/cni", "/var/log/containers"] {
        // Only an empty folder goes: ours, under which the node's own was mounted.
        let _ = fs::remove_dir(place);
    }
    if enclosure.folder.exists() {
        fs::remove_dir_all(&enclosure.folder)
            .with_context(|| format!("cannot remove {}", enclosure.folder.display()))?;
    }
    fs::remove_file(file(daemons))?;
    Ok(ran)
}

/// Starts the first process inside. Returns its process id, as this machine sees it.
fn start(daemons: &Daemons, folders: [&Path; 3]) -> Result<i32> {
    let script = folders[0].join("enter.sh");
    fs::write(&script, ENTER).with_context(|| format!("cannot write {}", script.display()))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"]);
    daemons.ensure(DAEMON, command.arg(&script).args(folders))?;
    let init = || daemons.pid(DAEMON).and_then(child_of);
    let ready = || init().is_some_and(|init| Path::new(&format!("/proc/{init}/root/run/ready")).exists());
    daemons.wait(DAEMON, OPEN_WITHIN, ready)?;
    init().ok_or_else(|| anyhow!("the node's first process ended at once"))
}

/// The only child of a process.
pub fn child_of(parent: i32) -> Option<i32> {
    let mut processes = fs::read_dir("/proc").ok()?.flatten();
    processes.find_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let found: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (found == parent).then_some(pid)
    })
}

/// What lets pods out with this machine's address, past a firewall that forwards and accepts nothing.
fn rules(network: Network) -> Vec<Vec<String>> {
    let (link, whole) = (network.link(), network.whole());
    let rules = [
        format!("nat POSTROUTING -s {whole} ! -o {link} -j MASQUERADE"),
        format!("filter FORWARD -i {link} -j ACCEPT"),
        format!("filter FORWARD -o {link} -j ACCEPT"),
        format!("filter INPUT -i {link} -j ACCEPT"),
    ];
    rules.iter().map(|rule| rule.split(' ').map(str::to_owned).collect()).collect()
}

fn packet_rule(action: &str, rule: &[String]) -> Result<()> {
    let mut command = Command::new("iptables");
    command.args(["--wait", "-t", &rule[0], action]).args(&rule[1..]);
    exec::output(command.args(["-m", "comment", "--comment", "odoofleet"])).map(|_| ())
}

fn another_link() -> bool {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("odoofleet"))
}

fn run(words: &[&str]) -> Result<()> {
    exec::output(Command::new(words[0]).args(&words[1..])).map(|_| ())
}

fn file(daemons: &Daemons) -> PathBuf {
    daemons.file("node.json")
}
