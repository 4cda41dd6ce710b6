//! The operator of a world: running it, ending it, and asking it.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::{PATIENCE, World};
use crate::rival::{Rival, send};

impl World {
    /// The operator's log so far.
    pub fn log(&self) -> String {
        if self.in_cluster {
            return self.pod_log();
        }
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
        send(child, signal)
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
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
