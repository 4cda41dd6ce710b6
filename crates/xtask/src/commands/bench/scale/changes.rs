//! A person's change while the operator has much else to do.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::objects::ours;
use crate::commands::bench::api::Api;
use crate::commands::bench::fleet::{Environment, Fleet, NAMESPACE, TEMPLATE, values};
use crate::commands::bench::lab::Lab;
use crate::commands::bench::rates::all_environments;
use crate::commands::bench::report::Report;
use crate::commands::bench::restart::{self, Goals};
use crate::commands::bench::stats::{median_and_most, seconds};
use crate::commands::bench::watch::{self, Watch, Workload};
use crate::ui;

const GOALS: Goals = Goals { looked: "< 2 s", memory: "" };
/// Changes that a median is made of.
const ROUNDS: usize = 10;
/// So many upgrades of a rollout are waited for before others begin to change something.
const UNDER_WAY: usize = 20;
/// Changes of one environment a second, and hands that send them.
const STORM: u32 = 500;
const HANDS: u32 = 4;
/// A namespace without an operator.
const ELSEWHERE: &str = "elsewhere";
/// How long the storm blows before others begin to change something.
const BEFORE: Duration = Duration::from_secs(5);

/// Measures it.
pub fn measure(lab: &mut Lab, size: u32) -> Result<Report> {
    let fleet = Fleet::new(size);
    let mut report = Report::new(["measured", "OdooFleet", "", "goal"]);
    ui::heading("Installs");
    install(lab, &fleet, &mut report)?;
    ui::heading("Restart");
    restart::measure(lab, &fleet, &GOALS, &mut report)?;
    ui::heading("Changes");
    let api = Api::open(&lab.kube())?;
    let mut changes = Changes { api: &api, deployments: deployments(lab)?, next: 1000 };
    let alone = changes.of(fleet.all().iter().rev().take(ROUNDS))?;
    add(&mut report, "a person's change, nothing else to do", &alone, "");
    rollout(lab, &mut changes, &fleet, &mut report)?;
    elsewhere(lab, &api)?;
    let nobodys = Storm {
        path: path_in(ELSEWHERE, &fleet.all()[0]),
        what: "of an environment in a namespace that no operator watches",
    };
    nobodys.blow(lab, &mut changes, &fleet, &mut report)?;
    let customers = Storm { path: path_of(&fleet.all()[0]), what: "of another customer's environment" };
    customers.blow(lab, &mut changes, &fleet, &mut report)?;
    Ok(report)
}

fn deployments(lab: &Lab) -> Result<Watch<Workload>> {
    watch::workloads(&lab.kube(), NAMESPACE, "deployments")
}

fn install(lab: &mut Lab, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let kube = lab.kube();
    kube.apply(&fleet.base())?;
    let task = ui::Task::start(format!("The operator installs {} environments", fleet.size()));
    let environments = watch::environments(&kube, NAMESPACE)?;
    let since = Instant::now();
    kube.apply(&fleet.manifest(0))?;
    let last = all_environments(&environments, fleet, |seen| seen.rests_in("Running"))?;
    task.done("All run");
    report.add(format!("{} installs, until each is Running", fleet.size()), seconds(last - since), "", "");
    Ok(())
}

/// How long one change took, from the moment at which it was sent.
struct Times {
    /// Until the API server answered.
    stored: Duration,
    /// Until the Deployment was another.
    workload: Duration,
}

fn add(report: &mut Report, what: &str, all: &[Times], goal: &str) {
    let of = |time: fn(&Times) -> Duration| median_and_most(&all.iter().map(time).collect::<Vec<_>>());
    report.add(format!("{what}: patch → Deployment"), of(|times| times.workload), "", goal);
    report.add(format!("{what}: the API server's answer to the patch alone"), of(|times| times.stored), "", "");
}

/// Changes of single environments.
struct Changes<'a> {
    api: &'a Api,
    deployments: Watch<Workload>,
    /// A value that was not there before.
    next: u32,
}

impl Changes<'_> {
    /// Changes one after the other. Says for each how long it took until its Deployment was another.
    fn of<'e>(&mut self, environments: impl Iterator<Item = &'e Environment>) -> Result<Vec<Times>> {
        environments.map(|environment| self.one(environment)).collect()
    }

    fn one(&mut self, environment: &Environment) -> Result<Times> {
        let (name, path) = (format!("{}-web", environment.name()), path_of(environment));
        let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}");
        let before = self.api.get(&deployment)?["metadata"]["generation"].as_i64().context("no generation")?;
        self.next += 1;
        let since = Instant::now();
        self.api.patch(&path, &json!({"spec": {"values": values(self.next)}}))?;
        let stored = since.elapsed();
        let newer = |seen: &Workload| seen.metadata.name == name && seen.metadata.generation > before;
        Ok(Times { stored, workload: self.deployments.find(newer)?.at.saturating_duration_since(since) })
    }
}

fn path_of(environment: &Environment) -> String {
    ours(&format!("odooenvironments/{}", environment.name()))
}

fn path_in(namespace: &str, environment: &Environment) -> String {
    path_of(environment).replace(&format!("/namespaces/{NAMESPACE}/"), &format!("/namespaces/{namespace}/"))
}

/// An environment that nobody acts upon: what its changes cost, the API server alone costs.
fn elsewhere(lab: &Lab, api: &Api) -> Result<()> {
    lab.kube()
        .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ELSEWHERE } }).to_string())?;
    let first = Fleet::new(1).all()[0].clone();
    let collection =
        ours("odooenvironments").replace(&format!("/namespaces/{NAMESPACE}/"), &format!("/namespaces/{ELSEWHERE}/"));
    let mut manifest = first.manifest(0);
    manifest["metadata"]["namespace"] = json!(ELSEWHERE);
    api.create(&collection, &manifest).map(drop)
}

/// Changes of one object, as fast as the API server takes them, up to [`STORM`] a second.
struct Storm {
    path: String,
    what: &'static str,
}

impl Storm {
    fn blow(&self, lab: &Lab, changes: &mut Changes<'_>, fleet: &Fleet, report: &mut Report) -> Result<()> {
        let task = ui::Task::start(format!("Up to {STORM} changes a second {}", self.what));
        let (over, sent) = (AtomicBool::new(false), AtomicU32::new(0));
        let (operator, cluster) = (lab.operator_cpu()?, lab.cluster_cpu());
        let (api, since) = (changes.api, Instant::now());
        let hand = || -> Result<()> {
            while !over.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                let due = Duration::from_secs(1) * number / STORM;
                sleep(due.saturating_sub(since.elapsed()));
                api.patch(&self.path, &json!({"spec": {"values": values(100_000 + number)}}))?;
            }
            Ok(())
        };
        let (others, rate) = thread::scope(|scope| {
            let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(hand)).collect();
            sleep(BEFORE);
            let others = changes.of(fleet.all().iter().rev().take(ROUNDS));
            let rate = f64::from(sent.load(Ordering::Relaxed)) / since.elapsed().as_secs_f64();
            over.store(true, Ordering::Relaxed);
            let ended = hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| anyhow!("a hand ended"))?);
            ended.and(others.map(|others| (others, rate)))
        })?;
        task.done(format!("The API server took {rate:.0} changes a second"));
        add(report, &format!("a person's change beside {rate:.0} changes a second {}", self.what), &others, "");
        let cores = |cpu: Duration| cpu.as_secs_f64() / since.elapsed().as_secs_f64();
        let operator = lab.operator_cpu()?.saturating_sub(operator);
        let cluster = lab.cluster_cpu().saturating_sub(cluster);
        let cores = format!("{:.2} and {:.2} cores", cores(operator), cores(cluster));
        report.add(
            "CPU of the operator with its workers, and of the control plane with kwok, meanwhile",
            cores,
            "",
            "",
        );
        Ok(())
    }
}

/// A new version of the template comes to all, as many at once as may be.
fn rollout(lab: &Lab, changes: &mut Changes<'_>, fleet: &Fleet, report: &mut Report) -> Result<()> {
    let size = fleet.size();
    let task = ui::Task::start(format!("A rollout to {size} environments"));
    let deployed = watch::deployed(&lab.kube(), NAMESPACE)?;
    let template = ours(&format!("odootemplates/{TEMPLATE}"));
    let at_once = size.min(100);
    let version = json!({"spec": {
        "version": "2",
        "values": {"odoo": {"config": {"limit_time_cpu": 601}}},
        "rollout": {"maxConcurrent": at_once},
    }});
    let mut before = HashMap::new();
    changes.api.patch(&template, &version)?;
    let since = Instant::now();
    let mut moved = 0;
    while moved < UNDER_WAY {
        // The watch begins with what is there.
        let seen = deployed.next()?.object;
        let newer = before.insert(seen.release, seen.revision).is_some_and(|known| known < seen.revision);
        moved += usize::from(newer);
    }
    let under_way = since.elapsed();
    let waiting: Vec<&Environment> = still(changes.api, fleet, "1")?.into_iter().take(ROUNDS).collect();
    let times = changes.of(waiting.into_iter())?;
    let left = still(changes.api, fleet, "1")?.len();
    task.done(format!("{left} environments still wait for their turn"));
    let what = format!("a person's change under a rollout to {size}, {at_once} at once, {left} left to move");
    add(report, &what, &times, "< 1 s");
    report.add(format!("the same rollout: first {UNDER_WAY} moved after"), seconds(under_way), "", "");
    // What is measured next shall not pay for the rest.
    changes.api.patch(&template, &json!({"spec": {"rollout": {"paused": true}}}))?;
    lab.settle(NAMESPACE, size)
}

/// Environments that hold a version and whose turn has not come.
fn still<'f>(api: &Api, fleet: &'f Fleet, version: &str) -> Result<Vec<&'f Environment>> {
    let list = api.get(&ours("odooenvironments"))?;
    let holds =
        |object: &&Value| object["status"]["template"]["version"] == version && object["status"]["operation"].is_null();
    let objects = list["items"].as_array().into_iter().flatten().filter(holds);
    let names: HashSet<&str> = objects.filter_map(|object| object["metadata"]["name"].as_str()).collect();
    Ok(fleet.all().iter().filter(|environment| names.contains(environment.name().as_str())).collect())
}
