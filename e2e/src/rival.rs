//! A second operator in a world.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal};

/// A second operator in a world. It ends with this value.
pub struct Rival {
    child: Child,
    port: u16,
    log: PathBuf,
    http: reqwest::Client,
}

impl Rival {
    pub(crate) const fn new(child: Child, port: u16, log: PathBuf, http: reqwest::Client) -> Self {
        Self { child, port, log, http }
    }

    /// Waits until `/ready` answers with success and a text that begins like this; returns the text.
    pub async fn wait_ready(&mut self, begin: &str, patience: Duration) -> Result<String> {
        let deadline = tokio::time::Instant::now() + patience;
        let address = format!("http://127.0.0.1:{}/ready", self.port);
        loop {
            if let Ok(answer) = self.http.get(&address).send().await
                && answer.status().is_success()
            {
                let text = answer.text().await?;
                if text.starts_with(begin) {
                    return Ok(text);
                }
            }
            let over = self.child.try_wait()?.is_some() || tokio::time::Instant::now() > deadline;
            ensure!(!over, "the second operator did not say \"{begin}\":\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal: `STOP` and `CONT` are a pause of its machine.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(&self.child, signal)
    }
}

/// Sends a signal. One that stops has taken hold of every thread when this returns: a thread that waited for a processor could still
/// write something.
pub(crate) fn send(child: &Child, signal: Signal) -> Result<()> {
    rustix::process::kill_process(Pid::from_child(child), signal)?;
    while signal == Signal::STOP && !is_stopped(child.id())? {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn is_stopped(pid: u32) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        // The name before it may hold brackets and spaces.
        if !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
