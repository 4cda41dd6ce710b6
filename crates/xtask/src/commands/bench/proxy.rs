//! kubectl as a server on loopback, with the administrator's certificate.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Result, bail};

use crate::exec;
use crate::layout::Kube;

/// A `kubectl proxy` that runs. It is ended with this.
pub struct Proxy {
    child: Child,
    /// Where it answers, without a slash at the end.
    pub url: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts it on a free port, with more arguments.
    pub fn open(kube: &Kube, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        let mut command = kube.kubectl();
        command.args(["proxy", "--port=0"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = exec::spawn(&mut command)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(address) = line.trim().strip_prefix("Starting to serve on ") else {
            let _ = child.kill();
            bail!("kubectl proxy said \"{}\"", line.trim());
        };
        Ok(Self { child, url: format!("http://{address}") })
    }
}
