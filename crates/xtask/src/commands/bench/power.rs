//! Stopping everything, and starting it again.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::fleet::{Fleet, NAMESPACE};
use super::lab::Lab;
use super::rates::all_environments;
use super::report::Report;
use super::stats::seconds;
use super::watch;
use crate::{exec, ui};

/// Stops all with one command, then starts all.
pub fn measure(lab: &Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let goal = if fleet.size() == 100 { "< 10 s" } else { "" };
    for (replicas, phase, what, goal) in [(0, "Stopped", "stop", goal), (1, "Running", "start", "")] {
        lab.settle(NAMESPACE, fleet.size())?;
        let task = ui::Task::start(format!("Until all are {phase}"));
        let (command, all) = scale(lab, fleet, replicas, phase)?;
        task.done(format!("All are {phase}"));
        let told = format!("{} (`kubectl patch` alone {})", seconds(all), seconds(command));
        report.add(format!("{what} {}: until each is {phase}", fleet.size()), told, "", goal);
    }
    Ok(())
}

/// How long the command took, and how long it took until all were in the phase.
fn scale(lab: &Lab, fleet: &Fleet, replicas: u8, phase: &str) -> Result<(Duration, Duration)> {
    let environments = watch::environments(&lab.kube(), NAMESPACE)?;
    let mut kubectl = lab.kube().kubectl();
    // Not `kubectl scale --all`: it never sends more than five requests a second.
    let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
    kubectl.args(["patch", "--type=merge", "--patch", &patch, "--filename", "-"]);
    let manifest = fleet.manifest(0);
    let since = Instant::now();
    exec::feed(&mut kubectl, &manifest)?;
    let command = since.elapsed();
    let last = all_environments(&environments, fleet, |environment| environment.rests_in(phase))?;
    Ok((command, last - since))
}
