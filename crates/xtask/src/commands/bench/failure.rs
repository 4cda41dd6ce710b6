//! From a pod's failure to the environment's phase.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;

use super::fleet::{Fleet, NAMESPACE};
use super::lab::Lab;
use super::report::Report;
use super::stats::median_and_most;
use super::watch::{self, Watch};
use crate::{exec, ui};

const ROUNDS: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: watch::Metadata,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    container_statuses: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    restart_count: i64,
}

impl Pod {
    fn failed(&self) -> bool {
        self.status.container_statuses.iter().any(|container| container.restart_count > 0)
    }
}

/// Lets pods of ten environments fail, one after the other.
pub fn measure(lab: &Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    lab.settle(NAMESPACE, fleet.size())?;
    let task = ui::Task::start(format!("{ROUNDS} pods fail"));
    let kube = lab.kube();
    let pods: Watch<Pod> = Watch::raw(&kube, &format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
    let environments = watch::environments(&kube, NAMESPACE)?;
    let mut all: Vec<Duration> = Vec::new();
    for environment in fleet.all().iter().take(ROUNDS) {
        let name = environment.name();
        all.push(round(lab, &pods, &environments, &name)?);
    }
    task.done("All are well again");
    report.add("pod's failure stored → phase Error", median_and_most(&all), "", "< 1 s");
    Ok(())
}

fn round(lab: &Lab, pods: &Watch<Pod>, environments: &Watch<watch::Environment>, name: &str) -> Result<Duration> {
    let mut get = lab.kube().kubectl();
    get.args(["get", "pods", "--namespace", NAMESPACE, "--output", "name"]);
    let prefix = format!("pod/{name}-web-");
    let pod = exec::output(&mut get)?.lines().find(|line| line.starts_with(&prefix)).map(str::to_owned);
    let pod = pod.ok_or_else(|| anyhow::anyhow!("environment {name} has no web pod"))?;
    let mut patch = lab.kube().kubectl();
    patch.args(["patch", &pod, "--namespace", NAMESPACE, "--subresource=status", "--patch", &crashed()]);
    exec::output(&mut patch)?;
    let own = pod.trim_start_matches("pod/");
    let failed = pods.find(|seen| seen.metadata.name == own && seen.failed())?.at;
    let told = environments.find(|seen| seen.metadata.name == name && seen.status.phase == "Error")?.at;
    let mut delete = lab.kube().kubectl();
    delete.args(["delete", &pod, "--namespace", NAMESPACE, "--wait=false"]);
    exec::output(&mut delete)?;
    environments.find(|seen| seen.metadata.name == name && seen.rests_in("Running"))?;
    Ok(told.saturating_duration_since(failed))
}

/// The status of a container that ended three times, as a kubelet would write it.
fn crashed() -> String {
    json!({"status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
            {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady"},
        ],
        "containerStatuses": [{
            "name": "odoo", "image": "odoo", "imageID": "", "ready": false, "started": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
        }],
    }})
    .to_string()
}
