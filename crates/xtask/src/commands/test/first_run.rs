//! `up` and `down` as somebody types them, in a folder of their own.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench::Bench;
use crate::layout::Layout;
use crate::{exec, repo};

/// What kubectl keeps of what was applied last.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `up` three times: the first makes everything, those after it leave the fleet as it is.
pub fn up_again_and_again(bench: &mut Bench) -> Result<()> {
    let (layout, ports) = bench.cluster_of_up()?;
    let port = ports.api.to_string();
    for time in ["first", "second", "third"] {
        println!("cargo xtask up, the {time} time");
        exec::output(xtask(layout)?.args(["up", "--port", &port])).with_context(|| format!("the {time} up"))?;
        for object in fleet(layout)? {
            unchanged(&object).with_context(|| format!("after the {time} up"))?;
        }
    }
    exec::output(xtask(layout)?.arg("down"))?;
    ensure!(!layout.kubeconfig().exists(), "down has left the administrator's kubeconfig");
    Ok(())
}

/// This very program, with a folder of its own for what it starts.
fn xtask(layout: &Layout) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
    command.env(repo::DEV, layout.path("")).current_dir(repo::root());
    Ok(command)
}

fn fleet(layout: &Layout) -> Result<Vec<Value>> {
    let mut get = layout.kube().kubectl();
    get.args(["get", "odoo", "--namespace", "odoo", "--output", "json"]);
    let mut list: Value = serde_json::from_str(&exec::output(&mut get)?).context("kubectl did not print JSON")?;
    let Value::Array(objects) = list["items"].take() else { return Ok(vec![]) };
    ensure!(objects.len() >= 6, "the fleet has {} objects", objects.len());
    Ok(objects)
}

/// Fails if more was applied than the examples say, or if an object was written again.
fn unchanged(object: &Value) -> Result<()> {
    let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let applied = object["metadata"]["annotations"][APPLIED].as_str().unwrap_or_default();
    let applied: Value = serde_json::from_str(applied).with_context(|| format!("{name} was not applied"))?;
    for alien in ["resourceVersion", "uid", "generation", "creationTimestamp"] {
        ensure!(applied["metadata"][alien].is_null(), "{name} was applied with a {alien}");
    }
    ensure!(applied["status"].is_null(), "{name} was applied with a status");
    ensure!(object["metadata"]["generation"] == 1, "the spec of {name} was written again");
    Ok(())
}
