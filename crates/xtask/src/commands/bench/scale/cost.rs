//! What one decision costs in fleets of several sizes. It must not grow with the fleet.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use odoofleet_core::fleet::{Change, Delta, PodItem};
use odoofleet_core::observed::Pod;

use super::chart::Chart;
use super::model::Model;
use crate::commands::bench::fleet::{Fleet, TEMPLATE};
use crate::commands::bench::report::Report;
use crate::commands::bench::stats::median;
use crate::ui;

/// Sizes of the fleets.
const SIZES: [u32; 3] = [100, 1_000, 10_000];
/// Environments that are asked about: as many in each fleet, so that a larger one has no more to read.
const ENVIRONMENTS: usize = 50;
/// Customers that are asked about: as many as the smallest fleet has.
const CUSTOMERS: usize = 10;
/// Times that each is asked about, the fleets in turn.
const ROUNDS: usize = 40;
/// Environments that arrive in one rollout.
const STEPS: usize = 50;

/// What was measured of one question, for each size.
type Samples = [Vec<Duration>; SIZES.len()];

/// Measures all, and writes it down.
pub fn measure(chart: &Chart) -> Result<Report> {
    let mut models = fill(chart, "environments", Fleet::new)?;
    let mut report = Report::new(["measured, median", "100", "1,000", "10,000", "10,000 : 100", "goal"]);
    let task = ui::Task::start("Asking each fleet in turn");
    let looks = each(&mut models, |model| timed(model.spread(ENVIRONMENTS), |name| model.look(&name).map(drop)))?;
    add(&mut report, "one look: facts and decision", &looks);
    let customers = each(&mut models, decide_customers)?;
    add(&mut report, "a customer's roll-up: `decide_customer`, ten environments each", &customers);
    let templates = each(&mut models, |model| {
        timed(vec![TEMPLATE; CUSTOMERS], |name| {
            let now = model.now();
            black_box(model.fleet().decide_template(name, now)).map(drop).context("the template is gone")
        })
    })?;
    add(&mut report, "the template's roll-up: `decide_template`", &templates);
    let steps = each(&mut models, rollout)?;
    add(&mut report, "one step of a rollout: a status taken in, the template decided, the next one found", &steps);
    let pods = each(&mut models, change_pods)?;
    add(&mut report, "a pod's change taken in: whom it concerns", &pods);
    let deleted = each(&mut models, delete_pods)?;
    add(&mut report, "a pod that a restart deletes noted", &deleted);
    task.done("Asked each fleet");
    drop(models);
    let mut models = fill(chart, "environments of one customer", Fleet::of_one_customer)?;
    let customers = each(&mut models, decide_customers)?;
    add(&mut report, "the roll-up of a customer who has all environments", &customers);
    Ok(report)
}

/// A fleet of each size.
fn fill(chart: &Chart, what: &str, describe: impl Fn(u32) -> Fleet) -> Result<Vec<Model>> {
    let model = |size| {
        let task = ui::Task::start(format!("{size} {what} in memory"));
        let model = Model::new(&describe(size), chart)?;
        task.done(format!("{size} {what} are in memory, and in sync"));
        Ok(model)
    };
    SIZES.into_iter().map(model).collect()
}

fn decide_customers(model: &mut Model) -> Result<Vec<Duration>> {
    timed(model.spread_customers(CUSTOMERS), |name| {
        let now = model.now();
        black_box(model.fleet().decide_customer(&name, false, now)).map(drop).context("a customer is gone")
    })
}

/// Pods become unready and ready again.
fn change_pods(model: &mut Model) -> Result<Vec<Duration>> {
    let change = |pod: Pod, ready: bool| Change::Pods(Delta::Applied(PodItem::Workload(Pod { ready, ..pod })));
    let pods = model.spread_pods(ENVIRONMENTS).into_iter();
    let changes: Vec<Change> = pods.flat_map(|pod| [change(pod.clone(), false), change(pod, true)]).collect();
    timed(changes, |change| {
        let concerned = model.fleet().apply(change);
        if concerned.environments.len() == 1 { Ok(()) } else { bail!("a pod concerns {concerned:?}") }
    })
}

fn delete_pods(model: &mut Model) -> Result<Vec<Duration>> {
    let pods = model.spread_pods(ENVIRONMENTS);
    timed(pods, |pod| {
        let release = pod.owner.1.trim_end_matches("-web");
        model.fleet().note_pod_deleted(release, &pod.uid);
        Ok(())
    })
}

/// Asks every model in turn, again and again. The first time is for warming up.
fn each(models: &mut [Model], mut ask: impl FnMut(&mut Model) -> Result<Vec<Duration>>) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 0..=ROUNDS {
        for (model, own) in models.iter_mut().zip(&mut samples) {
            let taken = ask(model)?;
            if round > 0 {
                own.extend(taken);
            }
        }
    }
    Ok(samples)
}

/// Asks about all once to have them at hand, then once more with a clock for each.
fn timed<T: Clone>(subjects: Vec<T>, mut ask: impl FnMut(T) -> Result<()>) -> Result<Vec<Duration>> {
    subjects.iter().cloned().try_for_each(&mut ask)?;
    let one = |subject: T| {
        let since = Instant::now();
        ask(subject)?;
        Ok(since.elapsed())
    };
    subjects.into_iter().map(one).collect()
}

/// A new version, to which environments come one by one.
fn rollout(model: &mut Model) -> Result<Vec<Duration>> {
    let mut admitted = model.release_version()?;
    let mut taken = Vec::new();
    for _ in 0..STEPS {
        let Some(name) = admitted.pop_front() else { bail!("nobody is admitted") };
        let arrived = model.arrived(&name)?;
        let since = Instant::now();
        let asked = model.fleet().note_told(arrived);
        let next = model.decide_template()?;
        taken.push(since.elapsed());
        if !asked.templates.contains(TEMPLATE) || next.environments.len() != 1 {
            bail!("{name} arrived, and {} environments were admitted instead of one", next.environments.len());
        }
        admitted.extend(next.environments);
    }
    Ok(taken)
}

fn add(report: &mut Report, what: &str, samples: &Samples) {
    let medians = samples.each_ref().map(|all| median(all));
    let growth = medians[SIZES.len() - 1].as_secs_f64() / medians[0].as_secs_f64();
    let mut row = vec![what.to_owned()];
    row.extend(medians.iter().map(|median| format!("{:.1} µs", median.as_secs_f64() * 1e6)));
    row.extend([format!("{growth:.2}×"), "≤ 1.5×".to_owned()]);
    report.row(row);
}
