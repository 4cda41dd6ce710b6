//! All installs and all changes, by the operator and by the CLI.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cli::{CLI_NAMESPACE, Cli};
use super::fleet::{Fleet, NAMESPACE};
use super::lab::Lab;
use super::proc;
use super::report::Report;
use super::stats::seconds;
use super::watch::{self, Deployed, Environment, Watch};
use crate::{exec, ui};

/// One side's work on all releases.
struct Run {
    /// Until the last release was deployed.
    deployed: Duration,
    /// CPU time of the side itself until all was over.
    cpu: Duration,
    /// CPU time of the control plane until then.
    cluster: Duration,
    /// Until every pod was ready, and with the operator every environment Running.
    running: Duration,
    /// Cores that other programs took meanwhile.
    others: f64,
}

/// What the operator's side has beyond that.
struct OperatorRun {
    run: Run,
    /// Until `kubectl apply` was over.
    applied: Duration,
    /// CPU time of `kubectl apply`.
    kubectl: Duration,
}

/// Installs all.
pub fn installs(lab: &mut Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let kube = lab.kube();
    kube.apply(&fleet.base())?;
    exec::output(kube.kubectl().args([
        "wait",
        "odootemplates,odoocustomers",
        "--all",
        "--namespace",
        NAMESPACE,
        "--for=condition=Ready",
        "--timeout=60s",
    ]))?;
    lab.settle(NAMESPACE, 0)?;
    let ours = by_operator(lab, fleet, 0)?;
    lab.note_memory();
    lab.settle(NAMESPACE, fleet.size())?;
    let cli = Cli::prepare(lab, fleet)?;
    let theirs = by_cli(lab, fleet, 1, || cli.install_all())?;
    lab.settle(CLI_NAMESPACE, fleet.size())?;
    tell(report, "install", fleet.size(), &ours, &theirs, "≥ 1.3× the CLI");
    Ok(())
}

/// Changes one value of all.
pub fn changes(lab: &mut Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let cli = Cli::of(lab, fleet)?;
    cli.write_values(1)?;
    let theirs = by_cli(lab, fleet, 2, || cli.upgrade_all())?;
    lab.settle(CLI_NAMESPACE, fleet.size())?;
    let ours = by_operator(lab, fleet, 1)?;
    lab.note_memory();
    lab.settle(NAMESPACE, fleet.size())?;
    tell(report, "change", fleet.size(), &ours, &theirs, "≥ 2× the CLI");
    Ok(())
}

/// Applies all environments and waits for them. The first change is the second revision.
fn by_operator(lab: &Lab, fleet: &Fleet, change: u32) -> Result<OperatorRun> {
    let task = ui::Task::start(format!("The operator, {} environments", fleet.size()));
    let (kube, revision) = (lab.kube(), i64::from(change) + 1);
    let manifest = fleet.manifest(change);
    let environments = watch::environments(&kube, NAMESPACE)?;
    let deployed = watch::deployed(&kube, NAMESPACE)?;
    let others = lab.others()?;
    let (cpu, cluster, since) = (lab.operator_cpu()?, lab.cluster_cpu(), Instant::now());
    let own = proc::cpu_of_ended_children();
    kube.apply(&manifest)?;
    let (applied, kubectl) = (since.elapsed(), proc::cpu_of_ended_children().saturating_sub(own));
    let last_deployed = all_deployed(&deployed, fleet, revision)?;
    let cluster = lab.cluster_cpu().saturating_sub(cluster);
    let rests = |environment: &Environment| environment.rests_in("Running") && environment.has_deployed(revision);
    let last_running = all_environments(&environments, fleet, rests)?;
    let run = Run {
        deployed: last_deployed - since,
        cpu: lab.operator_cpu()?.saturating_sub(cpu),
        cluster,
        running: last_running - since,
        others: others.cores()?,
    };
    task.done("The operator is done");
    Ok(OperatorRun { run, applied, kubectl })
}

fn by_cli(lab: &Lab, fleet: &Fleet, revision: i64, work: impl Fn() -> Result<()>) -> Result<Run> {
    let task = ui::Task::start(format!("The Helm CLI, {} releases", fleet.size()));
    let deployed = watch::deployed(&lab.kube(), CLI_NAMESPACE)?;
    let others = lab.others()?;
    let (cpu, cluster, since) = (proc::cpu_of_ended_children(), lab.cluster_cpu(), Instant::now());
    work()?;
    let (cpu, cluster) = (proc::cpu_of_ended_children().saturating_sub(cpu), lab.cluster_cpu().saturating_sub(cluster));
    let last = all_deployed(&deployed, fleet, revision)?;
    lab.complete(CLI_NAMESPACE, fleet.size())?;
    let running = since.elapsed();
    task.done("The Helm CLI is done");
    Ok(Run { deployed: last - since, cpu, cluster, running, others: others.cores()? })
}

/// Waits until all releases have a deployed revision of this number. Says when the last came.
fn all_deployed(watch: &Watch<Deployed>, fleet: &Fleet, revision: i64) -> Result<Instant> {
    let (mut seen, mut last) = (HashSet::new(), Instant::now());
    while seen.len() < fleet.size() {
        let event = watch.find(|deployed| deployed.revision == revision)?;
        seen.insert(event.object.release);
        last = event.at;
    }
    Ok(last)
}

/// Waits until all environments are as wanted at the same time. Says when the last one became so.
pub fn all_environments(
    watch: &Watch<Environment>,
    fleet: &Fleet,
    wanted: impl Fn(&Environment) -> bool,
) -> Result<Instant> {
    let (mut seen, mut last) = (HashSet::new(), Instant::now());
    while seen.len() < fleet.size() {
        let event = watch.next()?;
        let is_wanted = wanted(&event.object);
        let name = event.object.metadata.name;
        if is_wanted && seen.insert(name.clone()) {
            last = event.at;
        } else if !is_wanted {
            seen.remove(&name);
        }
    }
    Ok(last)
}

#[allow(clippy::cast_precision_loss, reason = "a count of environments is small")]
fn tell(report: &mut Report, what: &str, count: usize, ours: &OperatorRun, theirs: &Run, goal: &str) {
    let per_second = |run: &Run| count as f64 / run.deployed.as_secs_f64();
    let each = |cpu: Duration| format!("{:.3} CPU-s", cpu.as_secs_f64() / count as f64);
    let (rate, cli) = (per_second(&ours.run), per_second(theirs));
    let ratio = format!("{rate:.1}/s = **{:.2}×**", rate / cli);
    report.add(format!("{count} {what}s, until each release is deployed"), ratio, format!("{cli:.1}/s"), goal);
    report.add(
        format!("{count} {what}s, time until each release is deployed"),
        seconds(ours.run.deployed),
        seconds(theirs.deployed),
        "",
    );
    report.add(
        format!("{count} {what}s, time until every pod is ready, and each environment Running"),
        seconds(ours.run.running),
        seconds(theirs.running),
        "",
    );
    let apply = format!("{} ({})", seconds(ours.applied), each(ours.kubectl));
    report.add(format!("{count} {what}s, `kubectl apply` alone (CPU time of one)"), apply, "", "");
    report.add(format!("CPU time of one {what}"), each(ours.run.cpu), each(theirs.cpu), "");
    report.add(
        format!("CPU time of the control plane and kwok until the last is deployed, by {what}"),
        each(ours.run.cluster),
        each(theirs.cluster),
        "",
    );
    let cores = |run: &Run| format!("{:.2} cores", run.others);
    report.add("CPU of other programs on the machine meanwhile", cores(&ours.run), cores(theirs), "");
}
