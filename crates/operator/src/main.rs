//! The OdooFleet operator: `odoofleet run`, and `odoofleet crds` for those who install by hand.

mod args;
mod charts;
mod clock;
mod context;
mod controllers;
mod fleet;
mod lease;
mod looks;
mod metrics;
mod namespace;
mod report;
mod run;
mod server;
mod telemetry;
mod watches;

use args::{Cli, Command};
use clap::Parser;

/// Takes a fifth less memory than the system's after ten thousand objects were listed (ADR 21).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crds => print_crds(),
        Command::Run(args) => {
            telemetry::init(args.log_format);
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads())
                .enable_all()
                .build()?
                .block_on(run::run(*args))
        }
    }
}

/// A look that computes must not keep the permit from being renewed: two at least.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().max(2))
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn print_crds() -> anyhow::Result<()> {
    for crd in odoofleet_api::crds() {
        print!("---\n{}", serde_saphyr::to_string(&crd)?);
    }
    Ok(())
}
