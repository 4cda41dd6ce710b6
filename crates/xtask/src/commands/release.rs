//! `release`: what a release needs beside cargo-release, which moves the version (CONTRIBUTING.md).

use anyhow::{Result, bail};

use crate::{compat, exec, release, repo};

/// Steps of a release. cargo-release moves the version, the workflow builds: CONTRIBUTING.md.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand)]
enum Step {
    /// Keep today's kinds as those of the release, for the tests of the next one. cargo-release runs it.
    Kinds {
        /// The version.
        #[arg(long, env = "NEW_VERSION")]
        version: String,
        /// Only say what would be done.
        #[arg(long, env = "DRY_RUN")]
        dry_run: bool,
    },
    /// Fail if versions do not agree with each other, with a tag, or with CHANGELOG.md.
    Check {
        /// A tag such as `v1.2.3`.
        tag: String,
    },
    /// Print what CHANGELOG.md says of a version.
    Notes {
        /// The version, without `v`.
        version: String,
    },
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let root = repo::root();
    match &args.step {
        Step::Kinds { version, dry_run } => {
            // What breaks is to be seen before the former kinds are gone.
            compat::check(&root)?;
            if *dry_run {
                println!("would keep the kinds as those of {version}");
                return Ok(());
            }
            compat::keep(&root, version)?;
            // cargo-release commits what git knows.
            exec::output(std::process::Command::new("git").args(["add", "--all", "e2e/kinds"]).current_dir(&root))?;
            println!("✓ Kept the kinds as those of {version}");
        }
        Step::Check { tag } => {
            let Some(version) = tag.strip_prefix('v') else { bail!("{tag:?} is no tag of a release, such as v1.2.3") };
            release::check(&root, version)?;
            println!("✓ Everything is of version {version}");
        }
        Step::Notes { version } => println!("{}", release::notes(&release::changelog(&root)?, version)?),
    }
    Ok(())
}
