//! All installs and all changes, by each side.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cli::{CLI_NAMESPACE, Cli};
use super::fleet::{Fleet, NAMESPACE};
use super::flux::{self, FLUX_NAMESPACE, Flux};
use super::lab::Lab;
use super::proc;
use super::report::Report;
use super::stats::{mebibytes, seconds};
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

/// The same work by each side.
struct Sides {
    ours: OperatorRun,
    cli: Run,
    flux: Option<Run>,
}

/// What the operator's side has beyond that.
struct OperatorRun {
    run: Run,
    /// Until `kubectl apply` was over.
    applied: Duration,
    /// CPU time of `kubectl apply`.
    kubectl: Duration,
}

/// Installs all, and changes one value of all: the operator, the CLI, and helm-controller if its program is given.
pub fn measure(lab: &mut Lab, fleet: &Fleet, flux: Option<&Path>, report: &mut Report) -> Result<()> {
    ui::heading("Installs");
    let mut installs = installs(lab, fleet)?;
    ui::heading("Changes");
    let mut changes = changes(lab, fleet)?;
    let replaced = replaced(lab, fleet)?;
    let peak = flux.map(|program| with_flux(lab, fleet, program, &mut installs, &mut changes)).transpose()?;
    installs.tell(report, "install", fleet.size(), "≥ 1.3× the CLI");
    changes.tell(report, "change", fleet.size(), "≥ 2.2× the CLI");
    let what =
        "CPU time of the control plane and kwok for one pod that is only replaced: `kubectl rollout restart`, no Helm";
    report.add(what, "", format!("{:.3} CPU-s", replaced.as_secs_f64()), "");
    if let Some(peak) = peak {
        let what = format!("peak memory of {}", flux::DAEMON);
        report.row(vec![what, String::new(), String::new(), mebibytes(peak), String::new()]);
    }
    Ok(())
}

/// Installs all.
fn installs(lab: &mut Lab, fleet: &Fleet) -> Result<Sides> {
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
    Ok(Sides { ours, cli: theirs, flux: None })
}

/// Changes one value of all.
fn changes(lab: &mut Lab, fleet: &Fleet) -> Result<Sides> {
    let cli = Cli::of(lab, fleet)?;
    cli.write_values(1)?;
    let theirs = by_cli(lab, fleet, 2, || cli.upgrade_all())?;
    lab.settle(CLI_NAMESPACE, fleet.size())?;
    let ours = by_operator(lab, fleet, 1)?;
    lab.note_memory();
    lab.settle(NAMESPACE, fleet.size())?;
    Ok(Sides { ours, cli: theirs, flux: None })
}

/// What the control plane takes for one web pod of the CLI's that is replaced, whoever asks for it: no driver of Helm can save that of a change.
fn replaced(lab: &Lab, fleet: &Fleet) -> Result<Duration> {
    let task = ui::Task::start(format!("{} pods are replaced", fleet.size()));
    let cluster = lab.cluster_cpu();
    let namespace = format!("--namespace={CLI_NAMESPACE}");
    let restart = ["rollout", "restart", "deployment", "--selector=app.kubernetes.io/component=web", &namespace];
    exec::output(lab.kube().kubectl().args(restart))?;
    lab.complete(CLI_NAMESPACE, fleet.size())?;
    let taken = lab.cluster_cpu().saturating_sub(cluster);
    lab.settle(CLI_NAMESPACE, fleet.size())?;
    task.done("The pods are replaced");
    Ok(taken / u32::try_from(fleet.size())?)
}

/// Both by helm-controller, after the others. Returns the most memory that it had.
fn with_flux(lab: &Lab, fleet: &Fleet, program: &Path, installs: &mut Sides, changes: &mut Sides) -> Result<u64> {
    let (flux, cli) = (Flux::start(lab, fleet, program)?, Cli::of(lab, fleet)?);
    // Other values than the operator's releases have by now, from which they are derived.
    for (revision, change, sides) in [(1, 2, installs), (2, 3, changes)] {
        cli.write_values(change)?;
        sides.flux = Some(by_flux(lab, fleet, &flux, &flux.manifest(&cli)?, revision)?);
        lab.settle(FLUX_NAMESPACE, fleet.size())?;
    }
    flux.peak_memory()
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

fn by_flux(lab: &Lab, fleet: &Fleet, flux: &Flux, manifest: &str, revision: i64) -> Result<Run> {
    let task = ui::Task::start(format!("{}, {} releases", flux::DAEMON, fleet.size()));
    let deployed = watch::deployed(&lab.kube(), FLUX_NAMESPACE)?;
    let others = lab.others()?;
    let (cpu, cluster, since) = (flux.cpu()?, lab.cluster_cpu(), Instant::now());
    lab.kube().apply(manifest)?;
    let last = all_deployed(&deployed, fleet, revision)?;
    let cluster = lab.cluster_cpu().saturating_sub(cluster);
    lab.complete(FLUX_NAMESPACE, fleet.size())?;
    let running = since.elapsed();
    task.done(format!("{} is done", flux::DAEMON));
    let cpu = flux.cpu()?.saturating_sub(cpu);
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

impl Sides {
    fn tell(&self, report: &mut Report, what: &str, count: usize, goal: &str) {
        let (ours, cli) = (&self.ours.run, &self.cli);
        #[allow(clippy::cast_precision_loss, reason = "a count of environments is small")]
        let per_second = |run: &Run| count as f64 / run.deployed.as_secs_f64();
        let rate = |run: &Run| format!("{:.1}/s = **{:.2}×**", per_second(run), per_second(run) / per_second(cli));
        #[allow(clippy::cast_precision_loss, reason = "a count of environments is small")]
        let each = |cpu: Duration| format!("{:.3} CPU-s", cpu.as_secs_f64() / count as f64);
        let mut row = |title: String, of: &dyn Fn(&Run) -> String, goal: &str| {
            let runs = [ours, cli].into_iter().chain(&self.flux);
            let cells = std::iter::once(title).chain(runs.map(of)).chain([goal.to_owned()]);
            report.row(cells.collect());
        };
        row(format!("{count} {what}s, until each release is deployed"), &rate, goal);
        row(format!("{count} {what}s, time until each release is deployed"), &|run| seconds(run.deployed), "");
        row(
            format!("{count} {what}s, time until every pod is ready, and each environment Running"),
            &|run| seconds(run.running),
            "",
        );
        row(format!("CPU time of one {what}"), &|run| each(run.cpu), "");
        row(
            format!("CPU time of the control plane and kwok until the last is deployed, by {what}"),
            &|run| each(run.cluster),
            "",
        );
        row("CPU of other programs on the machine meanwhile".to_owned(), &|run| format!("{:.2} cores", run.others), "");
        let apply = format!("{} ({})", seconds(self.ours.applied), each(self.ours.kubectl));
        report.add(format!("{count} {what}s, `kubectl apply` alone (CPU time of one)"), apply, "", "");
    }
}
