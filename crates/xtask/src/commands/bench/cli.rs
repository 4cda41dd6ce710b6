//! The same work by the Helm CLI, four processes at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::fleet::{Fleet, NAMESPACE, values};
use super::lab::{self, Lab};
use crate::exec;

/// The namespace of the CLI's releases.
pub const CLI_NAMESPACE: &str = "bench-cli";
const PARALLEL: usize = 4;

/// The CLI with what it needs for this fleet.
pub struct Cli<'a> {
    lab: &'a Lab,
    fleet: &'a Fleet,
    folder: PathBuf,
}

impl<'a> Cli<'a> {
    /// Makes the namespace, and a file of values for each release: those that the operator gave to its own.
    pub fn prepare(lab: &'a Lab, fleet: &'a Fleet) -> Result<Self> {
        lab.kube().apply(&lab::namespace(CLI_NAMESPACE).to_string())?;
        let cli = Self { lab, fleet, folder: lab.scratch("cli")? };
        cli.write_values(0)?;
        Ok(cli)
    }

    /// The same CLI later on.
    pub fn of(lab: &'a Lab, fleet: &'a Fleet) -> Result<Self> {
        Ok(Self { lab, fleet, folder: lab.scratch("cli")? })
    }

    /// Writes each release's values; `change` as in the environments.
    pub fn write_values(&self, change: u32) -> Result<()> {
        let first = self.fleet.all().first().ok_or_else(|| anyhow!("there are no environments"))?;
        let mut get = self.lab.kube().helm();
        get.args(["get", "values", &first.name(), "--namespace", NAMESPACE, "--output", "json"]);
        let stored: Value = serde_json::from_str(&exec::output(&mut get)?)?;
        for (environment, mut own) in self.fleet.all().iter().zip(self.fleet.stored_values(&stored)?) {
            if change > 0 {
                merge(&mut own, &values(change));
            }
            let file = self.file(&environment.name());
            std::fs::write(&file, own.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// Installs all.
    pub fn install_all(&self) -> Result<()> {
        self.each(|release| self.command("install", release))
    }

    /// Upgrades all.
    pub fn upgrade_all(&self) -> Result<()> {
        self.each(|release| self.upgrade(release))
    }

    /// Upgrades one.
    pub fn upgrade(&self, release: &str) -> Command {
        let mut command = self.command("upgrade", release);
        // Like the operator: values are whole, and one older revision is kept.
        command.args(["--reset-values", "--history-max", "2"]);
        command
    }

    /// The file with a release's values.
    pub fn file(&self, release: &str) -> PathBuf {
        self.folder.join(format!("{release}.json"))
    }

    fn command(&self, action: &str, release: &str) -> Command {
        let mut command = self.lab.kube().helm();
        command.args([action, release]).arg(self.lab.chart()).args(["--namespace", CLI_NAMESPACE, "--values"]);
        command.arg(self.file(release)).arg("--disable-openapi-validation");
        command.env("HELM_QPS", "1000").env("HELM_BURST_LIMIT", "1000");
        // A warm cache of discovery, but not the user's.
        command.env("KUBECACHEDIR", self.folder.join("kube")).env("HELM_CACHE_HOME", self.folder.join("helm"));
        command
    }

    fn each(&self, command: impl Fn(&str) -> Command + Sync) -> Result<()> {
        let (next, all) = (AtomicUsize::new(0), self.fleet.all());
        let work = || -> Result<()> {
            while let Some(environment) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                exec::output(command(&environment.name()).stdout(Stdio::null()))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let hands: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(work)).collect();
            hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| anyhow!("a thread of the CLI ended"))?)
        })
    }
}

/// Puts `more` over `base`, objects key by key.
pub fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more.clone(),
    }
}

/// Values of one release with another change.
pub fn change_file(file: &Path, change: u32) -> Result<()> {
    let mut own: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    merge(&mut own, &values(change));
    std::fs::write(file, own.to_string()).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_leaves_the_other_values() {
        let mut own = json!({"odoo": {"existingSecret": "x", "config": {"limit_time_real": 1}}, "size": "S"});
        merge(&mut own, &values(2));
        assert_eq!(own, json!({"odoo": {"existingSecret": "x", "config": {"limit_time_real": 2}}, "size": "S"}));
    }
}
