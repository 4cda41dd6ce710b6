//! A restart of the operator with everything in sync, and how little it does afterwards.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::fleet::{Fleet, NAMESPACE};
use super::lab::Lab;
use super::report::Report;
use super::requests::Writes;
use super::stats::seconds;
use crate::ui;

const IDLE: Duration = Duration::from_mins(1);
const LOOKED_WITHIN: Duration = Duration::from_mins(5);

/// Restarts the operator and lets it rest.
pub fn measure(lab: &mut Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    lab.settle(NAMESPACE, fleet.size())?;
    let task = ui::Task::start("The operator starts anew");
    lab.stop_operator()?;
    let before = Writes::count(lab)?;
    let since = Instant::now();
    lab.start_operator()?;
    let ready = since.elapsed();
    let looked = wait_until_looked(lab, fleet, since)?;
    let cpu = lab.operator_cpu()?;
    task.done("The operator looked at everything");
    let task = ui::Task::start("The operator rests for a minute");
    sleep(IDLE);
    let idle = lab.operator_cpu()?.saturating_sub(cpu);
    let writes = Writes::count(lab)?.since(&before);
    let started = lab.metrics()?.sum("odoo_operator_helm_workers_started", "");
    task.done("The operator rested");
    let size = fleet.size();
    report.add(format!("restart with {size} in sync: ready after"), seconds(ready), "", "");
    report.add(format!("restart with {size} in sync: each looked at after"), seconds(looked), "", "");
    report.add("restart: CPU time until then", seconds(cpu), "", "");
    report.add("restart and the minute after it: Helm workers started", format!("{started}"), "", "0");
    report.add("restart and the minute after it: writes to the API server, leases apart", writes, "", "0");
    let share = 100.0 * idle.as_secs_f64() / IDLE.as_secs_f64();
    report.add("idle minute: CPU of the operator", format!("{} ({share:.2} % of a core)", seconds(idle)), "", "");
    Ok(())
}

/// Looking at what is in sync changes no object, so only the operator's own count tells of it.
fn wait_until_looked(lab: &Lab, fleet: &Fleet, since: Instant) -> Result<Duration> {
    #[allow(clippy::cast_precision_loss, reason = "a count of environments is small")]
    let wanted = fleet.size() as f64;
    while lab.metrics()?.sum("odoo_operator_reconcile_total", "controller=\"environment\"") < wanted {
        if since.elapsed() > LOOKED_WITHIN {
            bail!("the operator did not look at all environments in {} s", LOOKED_WITHIN.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(since.elapsed())
}
