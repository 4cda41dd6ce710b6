//! What a real node needs of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{exec, ui};

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 7] = [
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("sha256sum", "coreutils"),
];
const PLUGINS: &str = "containernetworking-plugins";
const PLUGIN_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// mmdebstrap checks Debian's signatures with it.
const KEYRING: &str = "debian-archive-keyring";
const KEYRING_FILE: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where things lie that the node uses.
#[derive(Clone, Debug)]
pub struct Host {
    /// runc.
    pub runc: PathBuf,
    /// Folder of the network plugins.
    pub plugins: PathBuf,
}

/// Why this machine cannot be a node at all; none if it can.
pub fn refusal() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("a real node needs Linux; here `cargo xtask up` plays the nodes");
    }
    if !rustix::process::geteuid().is_root() {
        return Some(
            "a real node needs root, as it makes network interfaces and mounts; run it with sudo or in a machine of its own",
        );
    }
    None
}

/// Installs what is missing, or says what is.
pub fn provide() -> Result<Host> {
    if let Some(refusal) = refusal() {
        bail!("{refusal}");
    }
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let (Some(runc), Some(plugins)) = (find("runc"), plugin_folder()) else {
        bail!("runc or the network plugins are not where Debian puts them");
    };
    Ok(Host { runc, plugins })
}

fn missing() -> Vec<&'static str> {
    let programs = PROGRAMS.into_iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| package);
    let mut missing: Vec<_> = programs.collect();
    if plugin_folder().is_none() {
        missing.push(PLUGINS);
    }
    if !Path::new(KEYRING_FILE).exists() {
        missing.push(KEYRING);
    }
    missing
}

fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("this machine lacks {names} (names of Debian packages), and there is no apt-get to install them");
    }
    let task = ui::Task::start(format!("Installing {names}"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        exec::output(&mut command)
    };
    // An old list of packages names versions that are gone.
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"][..], packages].concat())?;
    task.done(format!("Installed {names}"));
    let still = missing();
    if !still.is_empty() {
        bail!("apt-get installed {names}, but {} is still missing", still.join(" "));
    }
    Ok(())
}

fn plugin_folder() -> Option<PathBuf> {
    PLUGIN_FOLDERS.into_iter().map(PathBuf::from).find(|folder| folder.join("bridge").is_file())
}

/// A program in PATH, or where root's programs are when PATH is a user's.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
