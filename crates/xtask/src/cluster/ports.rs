//! The ports of a control plane, and who holds one that is taken.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, anyhow, bail};

/// The ports of one control plane, all counted from the API server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The API server.
    pub api: u16,
}

impl Ports {
    /// The operator's metrics and probes.
    pub fn operator(self) -> u16 {
        self.api + 3
    }

    /// etcd's clients.
    pub fn etcd(self) -> u16 {
        self.api + 1000
    }

    /// etcd's peers.
    pub fn peer(self) -> u16 {
        self.api + 1001
    }

    /// kwok's own server.
    pub fn kwok(self) -> u16 {
        self.api + 1002
    }

    /// Ports of an API server at `api`; the others must exist too.
    pub fn from(api: u16) -> Result<Self> {
        if !(1024..=64_000).contains(&api) {
            bail!("port {api} does not do: take one between 1024 and 64000 with `--port`");
        }
        Ok(Self { api })
    }

    /// Ports that nobody uses now. They lie below the range that systems give to outgoing connections.
    pub fn free() -> Result<Self> {
        let start = u16::try_from(std::process::id() % 150).unwrap_or(0);
        let tries = (0..150).map(|step| Self { api: 16_000 + (start + step) % 150 * 100 });
        tries
            .into_iter()
            .find(|ports| ports.all().into_iter().all(|(_, port)| is_free(port)))
            .ok_or_else(|| anyhow!("no free ports between 16000 and 32000"))
    }

    /// Fails if one of the ports of a control plane is taken.
    pub fn require_free(self) -> Result<()> {
        match self.all().into_iter().find(|(_, port)| !is_free(*port)) {
            Some((user, port)) => bail!("{}", taken(user, port, holder(port).as_deref())),
            None => Ok(()),
        }
    }

    fn all(self) -> [(&'static str, u16); 5] {
        [
            ("the API server", self.api),
            ("the operator", self.operator()),
            ("etcd", self.etcd()),
            ("etcd", self.peer()),
            ("kwok", self.kwok()),
        ]
    }
}

/// Fails if the operator's port is taken.
pub fn require_free_for_operator(ports: Ports) -> Result<()> {
    let port = ports.operator();
    if is_free(port) { Ok(()) } else { bail!("{}", taken("the operator", port, holder(port).as_deref())) }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn taken(user: &str, port: u16, holder: Option<&str>) -> String {
    let holder = holder.unwrap_or("another program");
    format!("port {port}, which {user} needs, is held by {holder}. Choose other ports: cargo xtask up --port 16443")
}

/// The program that listens on a port, where the system tells.
fn holder(port: u16) -> Option<String> {
    let mut tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let socket = tables.find_map(|table| listener(&table, port).map(str::to_owned))?;
    let socket = format!("socket:[{socket}]");
    let mut processes = fs::read_dir("/proc").ok()?.flatten();
    processes.find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

/// The inode of the listening socket of a port in a table such as `/proc/net/tcp`.
fn listener(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        (local == port && *fields.get(3)? == LISTEN).then_some(*fields.get(9)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_holder_and_remedy() {
        let said = taken("etcd", 7443, Some("nginx (process 12)"));
        assert!(said.contains("port 7443, which etcd needs, is held by nginx (process 12)"), "{said}");
        assert!(said.contains("--port"), "{said}");
        assert!(taken("etcd", 7443, None).contains("held by another program"));
    }

    #[test]
    fn the_listener_is_found_among_connections() {
        let table = "  sl  local_address rem_address   st tx rx tr tm retrnsmt uid timeout inode\n\
            0: 0100007F:192B 0100007F:AAAA 01 0:0 0:0 0 0 0 111 1\n\
            1: 0100007F:192B 00000000:0000 0A 0:0 0:0 0 0 0 222 1\n";
        assert_eq!(listener(table, 6443), Some("222"));
        assert_eq!(listener(table, 6444), None);
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(!is_free(port));
        if cfg!(target_os = "linux") {
            let holder = holder(port).unwrap();
            assert!(holder.contains(&format!("(process {})", std::process::id())), "{holder}");
        }
    }

    #[test]
    fn the_last_port_exists() {
        assert!(Ports::from(64_000).unwrap().kwok() > 64_000);
        assert!(Ports::from(65_000).is_err());
        assert!(Ports::from(80).is_err());
    }
}
