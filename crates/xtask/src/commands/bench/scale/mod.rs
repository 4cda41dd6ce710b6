//! `bench scale`: what must not grow with the fleet.

mod changes;
mod chart;
mod cost;
mod model;
mod objects;

use anyhow::{Context, Result, bail};

use super::finish;
use super::lab::Lab;
use super::report::Report;
use crate::{chart as charts, exec, repo};

/// Measure what must not grow with the fleet.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure.
    part: Part,
    /// How many environments, of `objects` and `changes`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=20_000))]
    environments: Option<u32>,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// What decisions cost with 100, 1,000 and 10,000 environments in memory. Needs no cluster.
    Decisions,
    /// A restart with 10,000 environments, of which only the objects are there.
    Objects,
    /// A restart with 1,000 environments, and changes while there is much else to do.
    Changes,
}

/// Most Helm workers at once.
const WORKERS: u16 = 4;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match args.part {
        Part::Decisions => decisions(args.markdown),
        Part::Objects => in_cluster(args, 10_000, objects::measure),
        Part::Changes => in_cluster(args, 1_000, changes::measure),
    }
}

fn in_cluster(args: &Args, usual: u32, measure: impl FnOnce(&mut Lab, u32) -> Result<Report>) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("`bench` reads the processes' CPU time and memory from /proc, which only Linux has");
    }
    let mut lab = Lab::start(WORKERS, None)?;
    let measured = measure(&mut lab, args.environments.unwrap_or(usual));
    finish(lab, measured, args.markdown)
}

fn decisions(markdown: bool) -> Result<()> {
    if cfg!(debug_assertions) {
        return run_optimised();
    }
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let archive = charts::package(&repo::path("charts/odoo"), folder.path())?;
    let report = cost::measure(&chart::Chart::read(&archive)?)?;
    println!("\n{}", if markdown { report.markdown() } else { report.table() });
    Ok(())
}

/// The same command by a program that is built with optimisations, as the operator is.
fn run_optimised() -> Result<()> {
    let mut command = exec::cargo();
    command.current_dir(repo::root()).args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    exec::stream(command.args(std::env::args_os().skip(1)))
}
