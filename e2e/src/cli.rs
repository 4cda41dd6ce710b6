//! `kubectl odoo` as people type it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use kube::config::Kubeconfig;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::World;
use crate::terminal::Terminal;
use crate::world::kubeconfig_with_token;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Somebody at a terminal.
pub struct Person<'a> {
    world: &'a World,
    kubeconfig: tempfile::NamedTempFile,
    locale: &'static str,
}

impl World {
    /// Runs `kubectl odoo` as an administrator, in English.
    pub async fn odoo(&self, arguments: &[&str]) -> Result<Answer> {
        let mut command = self.odoo_command(&self.setup.kubeconfig, "C");
        command.args(arguments);
        finished(&mut command).await
    }

    /// Somebody who has a role of the chart in the namespace of the environments, and nothing else.
    pub async fn person(&self, role: &str) -> Result<Person<'_>> {
        let name = format!("person-{role}");
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
            }),
        ] {
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), object.to_string())?;
            let path = file.path().to_string_lossy();
            self.kubectl(&["apply", "--namespace", &self.namespace, "-f", &path]).await?;
        }
        let token = self.kubectl(&["create", "token", &name, "--namespace", &self.namespace]).await?;
        let (kubeconfig, mut file) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
        std::io::Write::write_all(&mut file, token.trim().as_bytes())?;
        let (_, token) = file.keep()?;
        let admin = Kubeconfig::read_from(&self.setup.kubeconfig)?;
        let cluster = admin.clusters.first().and_then(|named| named.cluster.clone());
        let cluster = cluster.context("the kubeconfig names no cluster")?;
        std::fs::write(kubeconfig.path(), kubeconfig_with_token(&cluster, &token))?;
        Ok(Person { world: self, kubeconfig, locale: "C" })
    }

    /// Runs `kubectl odoo` as an administrator, in English, with other variables of the environment.
    pub async fn odoo_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Answer> {
        let mut command = self.odoo_command(&self.setup.kubeconfig, "C");
        command.args(arguments).envs(variables.iter().copied());
        finished(&mut command).await
    }

    /// Begins `kubectl odoo` as an administrator at a terminal of this many columns.
    pub fn odoo_at_terminal(
        &self,
        locale: &str,
        columns: u16,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Terminal> {
        let command = pty_process::Command::new(self.setup.bin.join("kubectl-odoo"))
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .envs(self.variables(&self.setup.kubeconfig, locale))
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied());
        Terminal::start(command, columns, self.patience)
    }

    /// Begins a script of bash at a terminal of this many columns, with `kubectl-odoo` on its path.
    pub fn shell_at_terminal(&self, columns: u16, script: &str) -> Result<Terminal> {
        let command = pty_process::Command::new("bash")
            .args(["-c", script])
            .envs(self.variables(&self.setup.kubeconfig, "C"))
            .env_remove("NO_COLOR");
        Terminal::start(command, columns, self.patience)
    }

    fn odoo_command(&self, kubeconfig: &Path, locale: &str) -> Command {
        let mut command = Command::new(self.setup.bin.join("kubectl-odoo"));
        command.args(["--namespace", &self.namespace]).envs(self.variables(kubeconfig, locale)).env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn variables(&self, kubeconfig: &Path, locale: &str) -> [(&'static str, OsString); 3] {
        let path = format!("{}:{}", self.setup.bin.display(), std::env::var("PATH").unwrap_or_default());
        [("KUBECONFIG", kubeconfig.into()), ("PATH", path.into()), ("LC_ALL", locale.into())]
    }
}

impl Person<'_> {
    /// The same person, who reads Chinese.
    #[must_use]
    pub fn chinese(self) -> Self {
        Self { locale: "zh_CN.UTF-8", ..self }
    }

    /// Runs `kubectl odoo`.
    pub async fn odoo(&self, arguments: &[&str]) -> Result<Answer> {
        let mut command = self.world.odoo_command(self.kubeconfig.path(), self.locale);
        command.args(arguments);
        finished(&mut command).await
    }

    /// Begins a `kubectl odoo` that goes on until it is ended.
    pub fn begin(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.world.odoo_command(self.kubeconfig.path(), self.locale);
        command.args(arguments).spawn().context("kubectl-odoo cannot be started")
    }
}

async fn finished(command: &mut Command) -> Result<Answer> {
    let output = command.output().await.context("kubectl-odoo cannot be started")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Answer { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}
