//! One change at a time: how long until it is in the cluster, and until the status says so.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::cli::{CLI_NAMESPACE, Cli, change_file};
use super::fleet::{Environment, Fleet, NAMESPACE, marker, values};
use super::lab::Lab;
use super::report::Report;
use super::stats::median_and_most;
use super::watch::{self, Watch, Workload};
use crate::{exec, ui};

/// Changes that a median is made of.
const ROUNDS: usize = 10;
const COLD_ROUNDS: usize = 3;
/// Other numbers than those of the changes of all.
const FIRST_CHANGE: u32 = 1000;

/// The moments of one change, counted from the start of the command that asked for it.
struct Times {
    /// The API server stored the new spec.
    stored: Duration,
    /// The ConfigMap has the new content.
    config: Duration,
    /// The Deployment has a new pod template.
    workload: Duration,
    /// The status names the new revision as deployed.
    status: Duration,
    /// Every pod is new and ready.
    running: Duration,
}

/// The watches of one namespace.
struct Watches {
    configs: Watch<String>,
    deployments: Watch<Workload>,
}

impl Watches {
    fn open(lab: &Lab, namespace: &str) -> Result<Self> {
        let kube = lab.kube();
        let mut configs = kube.kubectl();
        configs.args(["get", "--raw", &format!("/api/v1/namespaces/{namespace}/configmaps?watch=true")]);
        Ok(Self {
            configs: Watch::open(configs, |line| Some(line.to_owned()))?,
            deployments: watch::workloads(&kube, namespace, "deployments")?,
        })
    }

    /// When the ConfigMap of a release had the change.
    fn config(&self, change: u32) -> Result<Instant> {
        let marker = marker(change);
        self.configs.find(|line| line.contains(&marker)).map(|event| event.at)
    }

    /// When the Deployment of a release had a later generation.
    fn deployment(&self, name: &str, after: i64) -> Result<Instant> {
        let newer = |workload: &Workload| workload.metadata.name == name && workload.metadata.generation > after;
        self.deployments.find(newer).map(|event| event.at)
    }
}

/// Changes of the operator with workers that are warm from the one before, and of the CLI.
pub fn warm(lab: &Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let task = ui::Task::start(format!("The operator, {ROUNDS} changes"));
    // The worker that the first of all starts is warm for the others.
    let times = operator_rounds(lab, fleet, FIRST_CHANGE, ROUNDS + 1)?.split_off(1);
    task.done("The operator is done");
    let task = ui::Task::start(format!("The Helm CLI, {ROUNDS} changes"));
    let (config, workload, ended) = cli_rounds(lab, fleet)?;
    task.done("The Helm CLI is done");
    let after = |at: fn(&Times) -> Duration| {
        let of = |times: &Times| at(times).saturating_sub(times.stored);
        median_and_most(&times.iter().map(of).collect::<Vec<_>>())
    };
    let whole = |at: fn(&Times) -> Duration| median_and_most(&times.iter().map(at).collect::<Vec<_>>());
    let (config, workload, ended) = (median_and_most(&config), median_and_most(&workload), median_and_most(&ended));
    report.add("one change: stored spec → ConfigMap", after(|times| times.config), "", "< 0.3 s");
    report.add("one change: stored spec → Deployment", after(|times| times.workload), "", "< 0.3 s");
    report.add("one change: stored spec → status", after(|times| times.status), "", "< 1 s");
    report.add("one change: command started → ConfigMap", whole(|times| times.config), config, "");
    report.add("one change: command started → Deployment", whole(|times| times.workload), workload, "");
    report.add("one change: command started → status, end of the CLI", whole(|times| times.status), ended, "");
    report.add("one change: command started → new pods ready", whole(|times| times.running), "", "");
    Ok(())
}

/// Changes of the operator that begin without any worker.
pub fn cold(lab: &Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let mut all = Vec::new();
    for (round, change) in (FIRST_CHANGE + 100..).take(COLD_ROUNDS).enumerate() {
        let task = ui::Task::start(format!("Waiting until no worker runs, then change {} of {COLD_ROUNDS}", round + 1));
        lab.wait_for_no_workers()?;
        all.extend(operator_rounds(lab, fleet, change, 1)?);
        task.done("Done");
    }
    let of = |times: &Times| times.workload.saturating_sub(times.stored);
    let slowest = median_and_most(&all.iter().map(of).collect::<Vec<_>>());
    let what = format!("one change, no worker running, median of {COLD_ROUNDS}: stored spec → Deployment");
    report.add(what, slowest, "", "");
    Ok(())
}

fn operator_rounds(lab: &Lab, fleet: &Fleet, first: u32, rounds: usize) -> Result<Vec<Times>> {
    let watches = Watches::open(lab, NAMESPACE)?;
    let environments = watch::environments(&lab.kube(), NAMESPACE)?;
    let changes = fleet.all().iter().cycle().zip(first..).take(rounds);
    changes.map(|(environment, change)| operator_round(lab, &watches, &environments, environment, change)).collect()
}

fn operator_round(
    lab: &Lab,
    watches: &Watches,
    environments: &Watch<watch::Environment>,
    environment: &Environment,
    change: u32,
) -> Result<Times> {
    let name = environment.name();
    let deployment = format!("{name}-web");
    let before: Value = get(lab, NAMESPACE, &format!("odooenvironment/{name}"))?;
    let (generation, revision) =
        (number(&before, "/metadata/generation")?, number(&before, "/status/release/revision")?);
    let workload = number(&get(lab, NAMESPACE, &format!("deployment/{deployment}"))?, "/metadata/generation")?;
    let patch = json!({"spec": {"values": values(change)}}).to_string();
    let since = Instant::now();
    let mut kubectl = lab.kube().kubectl();
    kubectl.args(["patch", "odooenvironment", &name, "--namespace", NAMESPACE, "--type=merge", "--patch", &patch]);
    exec::output(&mut kubectl)?;
    let own = |seen: &watch::Environment| seen.metadata.name == name && seen.metadata.generation > generation;
    let stored = environments.find(own)?.at;
    let config = watches.config(change)?;
    let deployed = environments.find(|seen| own(seen) && seen.has_deployed(revision + 1))?;
    let running = if deployed.object.rests_in("Running") {
        deployed.at
    } else {
        environments.find(|seen| own(seen) && seen.has_deployed(revision + 1) && seen.rests_in("Running"))?.at
    };
    Ok(Times {
        stored: stored - since,
        config: config - since,
        workload: watches.deployment(&deployment, workload)? - since,
        status: deployed.at - since,
        running: running - since,
    })
}

/// Until ConfigMap, Deployment and the end of the process, for each round.
fn cli_rounds(lab: &Lab, fleet: &Fleet) -> Result<(Vec<Duration>, Vec<Duration>, Vec<Duration>)> {
    let (cli, watches) = (Cli::of(lab, fleet)?, Watches::open(lab, CLI_NAMESPACE)?);
    let (mut config, mut workload, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (environment, change) in fleet.all().iter().cycle().zip(FIRST_CHANGE..).take(ROUNDS) {
        let name = environment.name();
        let deployment = format!("{name}-web");
        let before = number(&get(lab, CLI_NAMESPACE, &format!("deployment/{deployment}"))?, "/metadata/generation")?;
        change_file(&cli.file(&name), change)?;
        let since = Instant::now();
        exec::output(cli.upgrade(&name).stdout(Stdio::null()))?;
        ended.push(since.elapsed());
        config.push(watches.config(change)? - since);
        workload.push(watches.deployment(&deployment, before)? - since);
        watches.deployments.find(|seen| seen.metadata.name == deployment && seen.is_complete())?;
    }
    Ok((config, workload, ended))
}

fn get(lab: &Lab, namespace: &str, object: &str) -> Result<Value> {
    let mut kubectl = lab.kube().kubectl();
    kubectl.args(["get", object, "--namespace", namespace, "--output", "json"]);
    Ok(serde_json::from_str(&exec::output(&mut kubectl)?)?)
}

fn number(object: &Value, path: &str) -> Result<i64> {
    object.pointer(path).and_then(Value::as_i64).ok_or_else(|| anyhow!("an object has no {path}"))
}
