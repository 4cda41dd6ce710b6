//! A restart of the operator with everything in sync, and how little it does afterwards.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::fleet::{Fleet, NAMESPACE};
use super::lab::Lab;
use super::report::Report;
use super::stats::{mebibytes, seconds};
use crate::ui;

const IDLE: Duration = Duration::from_mins(1);
const LOOKED_WITHIN: Duration = Duration::from_mins(5);
/// Shortest pause between two questions how far the operator is.
const PAUSE: Duration = Duration::from_millis(50);

/// What is aimed at; an empty text names no goal.
#[derive(Default)]
pub struct Goals {
    /// Until each was looked at.
    pub looked: &'static str,
    /// The operator's memory.
    pub memory: &'static str,
}

/// Restarts the operator and lets it rest.
pub fn measure(lab: &mut Lab, fleet: &Fleet, goals: &Goals, report: &mut Report) -> Result<()> {
    lab.settle(NAMESPACE, fleet.size())?;
    let task = ui::Task::start("The operator starts anew");
    lab.stop_operator()?;
    let (moment, since) = (Timestamp::now(), Instant::now());
    lab.start_operator()?;
    let ready = since.elapsed();
    let looked = wait_until_looked(lab, fleet, since)?;
    let cpu = lab.operator_cpu()?;
    task.done("The operator looked at everything");
    let task = ui::Task::start("The operator rests for a minute");
    sleep(IDLE);
    let idle = lab.operator_cpu()?.saturating_sub(cpu);
    let memory = lab.operator_memory()?;
    let writes = lab.operator_writes_since(moment)?;
    let started = lab.metrics()?.sum("odoo_operator_helm_workers_started", "");
    task.done("The operator rested");
    let size = fleet.size();
    report.add(format!("restart with {size} in sync: ready after"), seconds(ready), "", "");
    report.add(format!("restart with {size} in sync: each looked at after"), seconds(looked), "", goals.looked);
    report.add("restart: CPU time until then", seconds(cpu), "", "");
    report.add("restart and the minute after it: Helm workers started", format!("{started}"), "", "0");
    report.add("restart and the minute after it: the operator's writes to the API server", writes, "", "0");
    let share = 100.0 * idle.as_secs_f64() / IDLE.as_secs_f64();
    report.add("idle minute: CPU of the operator", format!("{} ({share:.2} % of a core)", seconds(idle)), "", "");
    let memory = format!("{} (most {})", mebibytes(memory.now), mebibytes(memory.most));
    report.add("memory of the operator after that minute", memory, "", goals.memory);
    Ok(())
}

/// Looking at what is in sync changes no object, so only the operator's own count tells of it.
fn wait_until_looked(lab: &Lab, fleet: &Fleet, since: Instant) -> Result<Duration> {
    #[allow(clippy::cast_precision_loss, reason = "a count of environments is small")]
    let wanted = fleet.size() as f64;
    loop {
        let asked = Instant::now();
        let looked = lab.metrics()?.sum("odoo_operator_reconcile_total", "controller=\"environment\"");
        // The answer tells how it was when it was begun.
        if looked >= wanted {
            return Ok(asked - since);
        }
        if since.elapsed() > LOOKED_WITHIN {
            bail!("the operator did not look at all environments in {} s", LOOKED_WITHIN.as_secs());
        }
        // Figures of many environments are long: asking all the time would be what is measured.
        sleep(PAUSE.max(asked.elapsed() * 4));
    }
}
