//! Developer commands, run as `cargo xtask …`.
//!
//! Every tool that they need beside Rust, Go, Node and Python is fetched or built from source at a pinned version, and cached.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod chart;
mod cluster;
mod commands;
mod compat;
mod environments;
mod exec;
mod http;
mod image;
mod images;
mod in_cluster;
mod layout;
mod node;
mod operator;
mod pki;
mod process;
mod release;
mod repo;
mod supply;
mod tools;
mod ui;

/// Developer commands of OdooFleet.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a Kubernetes on this machine with the operator and an example fleet.
    Up(commands::up::Args),
    /// Stop what `up` started.
    Down(commands::down::Args),
    /// Run the checks: everything, or one part.
    Test(commands::test::Args),
    /// Write the CRDs from the Rust types, and the table of attacks from the tests.
    Generate(commands::generate::Args),
    /// Write the bills of materials of the operator, of its Helm worker and of `kubectl odoo`.
    Sbom(commands::sbom::Args),
    /// Build the image that a cluster runs, without a container engine.
    Image(commands::image::Args),
    /// Fetch or build every tool and image now.
    Provide(commands::provide::Args),
    /// Write the archive of `kubectl odoo` for this machine.
    Dist(commands::dist::Args),
    /// Steps of a release.
    Release(commands::release::Args),
    /// Measure the operator beside the Helm CLI, in a cluster of its own.
    Bench(commands::bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(args) => commands::up::run(&args),
        Command::Down(args) => commands::down::run(&args),
        Command::Test(args) => commands::test::run(&args),
        Command::Generate(args) => commands::generate::run(&args),
        Command::Sbom(args) => commands::sbom::run(&args),
        Command::Image(args) => commands::image::run(&args),
        Command::Provide(args) => commands::provide::run(&args),
        Command::Dist(args) => commands::dist::run(&args),
        Command::Release(args) => commands::release::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<ui::Reported>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
