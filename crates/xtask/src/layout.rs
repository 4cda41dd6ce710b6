//! Where everything of a cluster on this machine lies, and the tools that reach it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::exec;

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

    /// What the API server was asked, one JSON object a line. Older lines lie beside it, in files named after the time.
    pub fn audit(&self) -> PathBuf {
        self.logs().join("audit/audit.log")
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

    /// `kubectl odoo`; arguments are to be added.
    pub fn odoo(&self) -> Command {
        self.tool("kubectl-odoo")
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
