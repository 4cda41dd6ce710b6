//! One run: an environment begins, rests, is restarted, stopped and woken.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::containers::Containers;
use super::pods::{Pod, Pods};
use super::samples::Samples;
use super::{CUSTOMER, TEMPLATE, memory, page};
use crate::commands::bench::fleet::NAMESPACE;
use crate::commands::bench::lab::Lab;
use crate::commands::bench::watch;
use crate::{exec, ui};

const REST: Duration = Duration::from_mins(1);

/// Measures one environment, and leaves it stopped so that the next has the machine for itself.
pub fn measure(lab: &Lab, containers: &mut Containers, number: u8, samples: &mut Samples) -> Result<()> {
    let service = format!("r{number}");
    let name = format!("{CUSTOMER}-{service}");
    let address = begin(lab, containers, &service, samples)?;
    rest(lab, &name, samples)?;
    restart(lab, containers, &name, samples)?;
    stop(lab, &name, samples)?;
    wake(lab, &name, address, samples)?;
    scale(lab, &name, 0)?;
    wait_for(lab, &name, "Stopped").map(drop)
}

/// When the containers of a web pod began and ended.
struct Steps {
    configure: [Instant; 2],
    prepare: [Instant; 2],
    odoo: Instant,
}

impl Steps {
    fn of(containers: &mut Containers, web: &Pod) -> Result<Self> {
        let mut span = |name| {
            let id = web.container(name)?;
            anyhow::Ok([containers.began(id)?, containers.ended(id)?])
        };
        let (configure, prepare) = (span("configure")?, span("prepare")?);
        Ok(Self { configure, prepare, odoo: containers.began(web.container("odoo")?)? })
    }

    /// What passes between the containers.
    fn pauses(&self) -> Duration {
        (self.prepare[0] - self.configure[1]) + (self.odoo - self.prepare[1])
    }
}

/// From `kubectl apply` to phase Running. Returns where the page is.
fn begin(lab: &Lab, containers: &mut Containers, service: &str, samples: &mut Samples) -> Result<SocketAddr> {
    let name = format!("{CUSTOMER}-{service}");
    let task = ui::Task::start(format!("Until {name} runs"));
    let kube = lab.kube();
    let (mut pods, revisions) = (Pods::follow(lab)?, watch::deployed(&kube, NAMESPACE)?);
    let environments = watch::environments(&kube, NAMESPACE)?;
    let since = Instant::now();
    kube.apply(&environment(service))?;
    let deployed = revisions.find(|seen| seen.release == name)?.at;
    let address = page::address(lab, &name)?;
    let first = page::first(address)?;
    let running = environments.find(|seen| seen.metadata.name == name && seen.rests_in("Running"))?.at;
    let scheduled = pods.at(|pod| pod.is(&name, "web") && pod.has("PodScheduled"))?;
    let database = pods.at(|pod| pod.is(&name, "postgresql") && pod.has("Ready"))?;
    let ready = pods.first(|pod| pod.is(&name, "web") && pod.has("Ready"))?;
    let steps = Steps::of(containers, &ready.object)?;
    let ready = ready.at;
    task.done(format!("{name} runs"));
    samples.between("`kubectl apply` → first page", since, first);
    samples.between("– Helm: → release deployed", since, deployed);
    samples.between("– scheduling, volumes included: → web pod scheduled", deployed, scheduled);
    samples.between("– → `configure` begins", scheduled, steps.configure[0]);
    samples.between("– `configure`, which waits for the database", steps.configure[0], steps.configure[1]);
    samples.between("– `prepare`", steps.prepare[0], steps.prepare[1]);
    samples.time("– kubelet's pauses between them and before Odoo", "", steps.pauses());
    samples.between("– Odoo's start: container → first page", steps.odoo, first);
    samples.between("meanwhile: release deployed → database ready", deployed, database);
    samples.between("web pod ready → first page (0: it came before)", ready, first);
    samples.between("web pod ready → phase Running", ready, running);
    samples.between("first page → phase Running (0: it was told before)", first, running);
    Ok(address)
}

fn rest(lab: &Lab, name: &str, samples: &mut Samples) -> Result<()> {
    let task = ui::Task::start(format!("{name} rests for a minute"));
    sleep(REST);
    let found = memory::of(lab, name)?;
    task.done(format!("{name} rested"));
    samples.memory("memory after a minute at rest, working set", found.values().sum());
    for (container, bytes) in found {
        samples.memory(&format!("– {container}"), bytes);
    }
    Ok(())
}

/// Replaces the web pod; nothing changed.
fn restart(lab: &Lab, containers: &mut Containers, name: &str, samples: &mut Samples) -> Result<()> {
    let task = ui::Task::start(format!("Another web pod for {name}"));
    let mut pods = Pods::follow(lab)?;
    let old = pods.first(|pod| pod.is(name, "web"))?.object.name().to_owned();
    let kubectl = |arguments: &[&str]| exec::output(lab.kube().kubectl().args(arguments));
    kubectl(&["delete", "pod", &old, "--namespace", NAMESPACE])?;
    let new = &pods.first(|pod| pod.is(name, "web") && pod.name() != old && pod.has("Ready"))?.object;
    let steps = Steps::of(containers, new)?;
    wait_for(lab, name, "Running")?;
    task.done("It is ready");
    let [configure, prepare] = [steps.configure, steps.prepare].map(|[began, ended]| ended - began);
    samples.time("restart, nothing changed: `configure` and `prepare` run", "< 1 s", configure + prepare);
    samples.time("– restart: `configure`", "", configure);
    samples.time("– restart: `prepare`", "", prepare);
    samples.time("– restart: kubelet's pauses between them and before Odoo, not counted", "", steps.pauses());
    Ok(())
}

fn stop(lab: &Lab, name: &str, samples: &mut Samples) -> Result<()> {
    let task = ui::Task::start(format!("Stopping {name}"));
    let since = Instant::now();
    scale(lab, name, 0)?;
    let stopped = wait_for(lab, name, "Stopped")?;
    task.done("It is stopped");
    samples.between("stop: `kubectl scale --replicas=0` → phase Stopped", since, stopped);
    Ok(())
}

fn wake(lab: &Lab, name: &str, address: SocketAddr, samples: &mut Samples) -> Result<()> {
    let task = ui::Task::start(format!("Waking {name}"));
    let since = Instant::now();
    scale(lab, name, 1)?;
    let first = page::first(address)?;
    wait_for(lab, name, "Running")?;
    task.done("It is awake");
    samples.between("wake: `kubectl scale --replicas=1` → first page", since, first);
    Ok(())
}

fn scale(lab: &Lab, name: &str, replicas: u8) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let mut kubectl = lab.kube().kubectl();
    kubectl.args(["scale", "odooenvironment", name, "--namespace", NAMESPACE, &replicas]);
    exec::output(&mut kubectl).map(drop)
}

/// When an environment was in a phase with nothing left to do.
fn wait_for(lab: &Lab, name: &str, phase: &str) -> Result<Instant> {
    let environments = watch::environments(&lab.kube(), NAMESPACE)?;
    environments.find(|seen| seen.metadata.name == name && seen.rests_in(phase)).map(|event| event.at)
}

fn environment(service: &str) -> String {
    json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooEnvironment",
        "metadata": {"name": format!("{CUSTOMER}-{service}"), "namespace": NAMESPACE},
        "spec": {
            "customerRef": {"name": CUSTOMER},
            "serviceName": service,
            "stage": "Test",
            "templateRef": {"name": TEMPLATE},
            "size": "S",
        },
    })
    .to_string()
}
