//! `down`: ends what `up` started, and nothing else.

use std::fs;

use anyhow::{Context, Result};

use super::up::Session;
use crate::cluster;
use crate::layout::Layout;
use crate::process::Daemons;
use crate::{operator, repo, tools, ui};

/// Stop what `up` started.
///
/// The operator ends first, then the cluster. Objects in a cluster of your own (`up --context`) stay.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args) -> Result<()> {
    let layout = Layout::below(repo::dev());
    let _alone = tools::lock(&layout.path("lock"), "starts or stops the cluster")?;
    let session = Session::saved(&layout);
    let daemons = Daemons::detached(&layout.run(), &layout.logs());
    let task = ui::Task::start("Stopping");
    let mut ran = Vec::new();
    task.note(operator::DAEMON);
    if daemons.stop(operator::DAEMON)? {
        ran.push(operator::DAEMON);
    }
    task.note("Kubernetes");
    ran.extend(cluster::stop(&daemons)?);
    let context = session.and_then(|session| session.context);
    operator::forget_credentials(&layout, context.is_some())?;
    if layout.run().exists() {
        fs::remove_dir_all(layout.run()).context("cannot remove .dev/run")?;
    }
    if ran.is_empty() {
        task.done("Nothing ran");
        return Ok(());
    }
    task.done(format!("Stopped {}", ran.join(", ")));
    match context {
        Some(context) => {
            println!(
                "The objects in the cluster of context {context} stay as they are. Its credentials are gone from .dev."
            );
        }
        None => println!("The logs stay in .dev/logs. The next `up` begins with an empty cluster."),
    }
    Ok(())
}
