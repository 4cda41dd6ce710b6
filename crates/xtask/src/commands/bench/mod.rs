//! `bench`: how fast the operator is, beside the Helm CLI in the same cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::ui;

mod api;
mod audit;
mod cli;
mod failure;
mod fleet;
mod flux;
mod lab;
mod power;
mod proc;
mod proxy;
mod rates;
mod real;
mod report;
mod restart;
mod scale;
mod single;
mod stats;
mod walls;
mod watch;

use fleet::Fleet;
use lab::Lab;
use report::Report;

/// Measure the operator beside the Helm CLI, in a cluster of its own.
///
/// Pods are played by kwok, so the figures are those of the operator, Helm and the control plane. Nothing passes or fails:
/// the goals stand beside the figures. Let the machine do nothing else meanwhile. `bench real` measures an Odoo that runs.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many environments.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    environments: u32,
    /// Most Helm workers at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Measure Flux's helm-controller as well: the program. What it needs of Flux besides is made here.
    #[arg(long, value_name = "PATH")]
    flux: Option<PathBuf>,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Measure one environment on a real node: from `kubectl apply` to the first page, and its memory.
    Real(real::Args),
    /// Measure what must not grow with the fleet: decisions, restarts, and changes under load.
    Scale(scale::Args),
    /// Measure what the walls cost: admission for each apply, the worker's checks for each operation.
    Walls(walls::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.part {
        Some(Part::Real(args)) => real::run(args),
        Some(Part::Scale(args)) => scale::run(args),
        Some(Part::Walls(args)) => walls::run(args),
        None => compare(args),
    }
}

fn compare(args: &Args) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("`bench` reads the processes' CPU time and memory from /proc, which only Linux has");
    }
    let flux =
        args.flux.as_deref().map(|path| path.canonicalize().with_context(|| format!("there is no {}", path.display())));
    let flux = flux.transpose()?;
    let mut lab = Lab::start(args.workers, None)?;
    let measured = measure(&mut lab, &Fleet::new(args.environments), flux.as_deref());
    finish(lab, measured, args.markdown)
}

/// Ends the cluster and prints the table, or says where the logs are.
fn finish(lab: Lab, measured: Result<Report>, markdown: bool) -> Result<()> {
    match measured {
        Ok(report) => {
            lab.discard()?;
            println!("\n{}", if markdown { report.markdown() } else { report.table() });
            Ok(())
        }
        Err(error) => {
            println!("The logs of the cluster are kept in {}", lab.keep().display());
            Err(error)
        }
    }
}

/// All measurements, in an order in which each begins with what it needs.
fn measure(lab: &mut Lab, fleet: &Fleet, flux: Option<&Path>) -> Result<Report> {
    let columns = ["measured", "OdooFleet", "Helm CLI"].into_iter().chain(flux.map(|_| flux::DAEMON)).chain(["goal"]);
    let mut report = Report::new(columns);
    rates::measure(lab, fleet, flux, &mut report)?;
    ui::heading("Single changes");
    single::warm(lab, fleet, &mut report)?;
    ui::heading("Restart");
    restart::measure(lab, fleet, &restart::Goals::default(), &mut report)?;
    ui::heading("First changes after a rest");
    single::cold(lab, fleet, &mut report)?;
    ui::heading("Failures");
    failure::measure(lab, fleet, &mut report)?;
    ui::heading("Stop and start");
    power::measure(lab, fleet, &mut report)?;
    lab.note_memory();
    report.memory(fleet.size(), lab.peak());
    Ok(report)
}
