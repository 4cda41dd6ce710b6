//! The cluster and the operator that are measured: started here, ended whatever happens.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use odoofleet_api::labels;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{audit, flux, proc, watch};
use crate::cluster::ports::Ports;
use crate::cluster::{self, ControlPlane};
use crate::layout::{Kube, Layout};
use crate::node::Node;
use crate::node::enclosure::Enclosure;
use crate::process::Daemons;
use crate::{chart, http, operator, repo, tools, ui};

/// The parts whose CPU time is that of the control plane.
const CONTROL_PLANE: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"];
/// Below this share of one core the cluster counts as quiet.
const QUIET: f64 = 0.15;
const QUIET_WITHIN: Duration = Duration::from_mins(3);
const SECOND: Duration = Duration::from_secs(1);

/// A cluster of its own with an operator beside it.
pub struct Lab {
    layout: Layout,
    daemons: Daemons,
    ports: Ports,
    workers: u16,
    dir: Option<TempDir>,
    chart: PathBuf,
    peak: Peak,
}

/// The most memory that was seen, in bytes.
#[derive(Clone, Copy, Default)]
pub struct Peak {
    /// Of the operator.
    pub operator: u64,
    /// Of the largest worker.
    pub worker: u64,
}

impl Lab {
    /// Builds and starts everything, with a real node if one is given. The operator is built with optimisations.
    pub fn start(workers: u16, node: Option<Node>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("odoofleet-bench-").tempdir().context("no temporary folder")?;
        let layout = Layout::below(dir.path());
        let wanted = if node.is_some() { tools::real() } else { tools::CONTROL_PLANE.to_vec() };
        tools::install(&wanted, &layout.bin())?;
        operator::build(&layout.bin(), true)?;
        let chart = chart::package(&repo::path("charts/odoo"), &layout.path("charts"))?;
        let daemons = Daemons::attached(&layout.run(), &layout.logs());
        end_on_interrupt(&daemons, dir.path())?;
        let ports = Ports::free()?;
        let lab = Self { layout, daemons, ports, workers, dir: Some(dir), chart, peak: Peak::default() };
        match lab.start_all(node) {
            Ok(()) => Ok(lab),
            Err(error) => Err(error.context(format!("the logs are kept in {}", lab.keep().display()))),
        }
    }

    fn start_all(&self, node: Option<Node>) -> Result<()> {
        let task = ui::Task::start("Starting a cluster and the operator");
        ControlPlane::new(self.layout.clone(), self.ports, self.daemons.clone()).with_node(node).start()?;
        operator::install_without_operator(&self.layout)?;
        operator::write_identity(&self.layout)?;
        self.start_operator()?;
        task.done(format!("A cluster runs on port {}, with an operator", self.ports.api));
        Ok(())
    }

    /// Starts the operator and waits until it is ready.
    pub fn start_operator(&self) -> Result<()> {
        let workers = ["--workers".to_owned(), self.workers.to_string()];
        operator::start_with(&self.layout, &self.daemons, self.ports, false, &workers)
    }

    /// Asks the operator to end, and waits for it.
    pub fn stop_operator(&mut self) -> Result<()> {
        self.note_memory();
        self.daemons.stop(operator::DAEMON).map(|_| ())
    }

    /// The administrator's tools.
    pub fn kube(&self) -> Kube {
        self.layout.kube()
    }

    /// containerd's client, inside the real node.
    pub fn ctr(&self) -> Result<Command> {
        let enclosure = Enclosure::current(&self.daemons).ok_or_else(|| anyhow!("there is no real node"))?;
        let file = self.layout.path("node/config/containerd.toml");
        let config = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let socket = config.lines().find_map(|line| line.strip_prefix("address = "));
        let socket = socket.ok_or_else(|| anyhow!("{} names no socket", file.display()))?;
        let mut ctr = enclosure.command(self.layout.bin().join("ctr"));
        // It would warn of old control groups, which the machine has or has not.
        ctr.env("CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS", "1");
        ctr.args(["--address", socket.trim_matches('"'), "--namespace", "k8s.io"]);
        Ok(ctr)
    }

    /// Starts one more program beside the others.
    pub fn start_part(&self, name: &str, command: &Command) -> Result<()> {
        self.daemons.ensure(name, command).map(|_| ())
    }

    /// Waits until a program that was started here has said something.
    pub fn wait_for_part(&self, name: &str, limit: Duration, said: &str) -> Result<()> {
        let log = self.daemons.log(name);
        self.daemons.wait(name, limit, || std::fs::read_to_string(&log).is_ok_and(|text| text.contains(said)))
    }

    /// CPU time of a program that was started here.
    pub fn cpu_of_part(&self, name: &str) -> Result<Duration> {
        self.pid(name).map(proc::cpu)
    }

    /// The most memory that a program that was started here ever had.
    pub fn peak_memory_of_part(&self, name: &str) -> Result<u64> {
        proc::peak_memory(self.pid(name)?).ok_or_else(|| anyhow!("{name} does not run"))
    }

    /// A program that is the cluster's administrator.
    pub fn with_kubeconfig(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.layout.kubeconfig());
        command
    }

    /// Ends a part of the control plane, or what was started beside it. It stays away.
    pub fn stop_part(&self, name: &str) -> Result<()> {
        self.daemons.stop(name).map(|_| ())
    }

    /// The packaged chart.
    pub fn chart(&self) -> &Path {
        &self.chart
    }

    /// A folder for files of the measurements.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.layout.path(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// CPU time of the operator and its workers.
    pub fn operator_cpu(&self) -> Result<Duration> {
        self.pid(operator::DAEMON).map(proc::cpu_with_children)
    }

    /// Memory of the operator without its workers.
    pub fn operator_memory(&self) -> Result<proc::Memory> {
        let memory = proc::memory(self.pid(operator::DAEMON)?);
        memory.ok_or_else(|| anyhow!("the operator does not run"))
    }

    /// What the operator wrote since a moment.
    pub fn operator_writes_since(&self, moment: Timestamp) -> Result<String> {
        audit::writes_since(&self.layout.audit(), moment)
    }

    /// CPU time of the control plane, kwok included.
    pub fn cluster_cpu(&self) -> Duration {
        CONTROL_PLANE.iter().filter_map(|name| self.pid(name).ok()).map(proc::cpu).sum()
    }

    /// Begins to watch what else the machine does.
    pub fn others(&self) -> Result<Others<'_>> {
        Ok(Others { lab: self, since: Instant::now(), before: self.cpu_of_others()? })
    }

    /// CPU time of the machine without ours: we, what we started, and the operator's workers.
    fn cpu_of_others(&self) -> Result<Duration> {
        let workers = proc::children(self.pid(operator::DAEMON)?).into_iter().map(proc::cpu).sum::<Duration>();
        let own = proc::cpu_with_children(i32::try_from(std::process::id())?) + workers;
        Ok(proc::cpu_of_machine().saturating_sub(own))
    }

    /// The operator's figures.
    pub fn metrics(&self) -> Result<Metrics> {
        let within = Duration::from_secs(10);
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.operator());
        Ok(Metrics(http::get(&url, within, within)?.body))
    }

    /// Waits until the operator has no workers.
    pub fn wait_for_no_workers(&self) -> Result<()> {
        // Ending a worker changes no object, so no watch tells of it.
        while self.metrics()?.sum("odoo_operator_helm_workers", "") > 0.0 {
            sleep(SECOND);
        }
        Ok(())
    }

    /// Waits until every workload of a namespace is complete.
    pub fn complete(&self, namespace: &str, workloads: usize) -> Result<()> {
        for resource in ["deployments", "statefulsets"] {
            let watch = watch::workloads(&self.kube(), namespace, resource)?;
            let mut complete = std::collections::HashSet::new();
            while complete.len() < workloads {
                let workload = watch.next()?.object;
                if workload.is_complete() {
                    complete.insert(workload.metadata.name);
                } else {
                    complete.remove(&workload.metadata.name);
                }
            }
        }
        Ok(())
    }

    /// Waits until every workload of a namespace is complete and the control plane has little to do, so that one
    /// measurement does not pay for another's pods.
    pub fn settle(&self, namespace: &str, workloads: usize) -> Result<()> {
        self.complete(namespace, workloads)?;
        let since = Instant::now();
        loop {
            let (before, begun) = (self.cluster_cpu() + self.operator_cpu()?, Instant::now());
            sleep(SECOND);
            let used = (self.cluster_cpu() + self.operator_cpu()?).saturating_sub(before);
            if used.as_secs_f64() / begun.elapsed().as_secs_f64() < QUIET || since.elapsed() > QUIET_WITHIN {
                return Ok(());
            }
        }
    }

    /// Takes the present peaks into account. A worker's must be read before it ends.
    pub fn note_memory(&mut self) {
        let Ok(pid) = self.pid(operator::DAEMON) else { return };
        let workers = proc::children(pid).into_iter().filter_map(proc::peak_memory);
        self.peak.worker = workers.fold(self.peak.worker, u64::max);
        self.peak.operator = self.peak.operator.max(proc::peak_memory(pid).unwrap_or_default());
    }

    /// The most memory that was noted.
    pub fn peak(&self) -> Peak {
        self.peak
    }

    fn pid(&self, name: &str) -> Result<i32> {
        let file = self.layout.run().join(format!("{name}.pid"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("{name} does not run"))?;
        let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| anyhow!("{} holds no process id", file.display()))
    }

    /// Ends everything and removes it.
    pub fn discard(mut self) -> Result<()> {
        stop(&self.daemons)?;
        self.dir.take().map_or(Ok(()), TempDir::close).context("cannot remove the cluster")
    }

    /// Ends everything, keeps the files, and says where the logs are.
    pub fn keep(mut self) -> PathBuf {
        self.dir.take().map_or_else(|| self.layout.logs(), |dir| dir.keep().join("logs"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = stop(&self.daemons) {
            eprintln!("the cluster did not stop: {error:#}");
        }
    }
}

/// A namespace in which the API server checks as much as in the operator's.
pub fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {
            labels::MANAGED: "true",
            labels::POD_SECURITY: "restricted",
        }},
    })
}

fn stop(daemons: &Daemons) -> Result<()> {
    daemons.stop(operator::DAEMON)?;
    daemons.stop(flux::DAEMON)?;
    cluster::stop(daemons).map(|_| ())
}

/// Ctrl-C and SIGTERM end everything, too.
fn end_on_interrupt(daemons: &Daemons, dir: &Path) -> Result<()> {
    let (daemons, dir) = (daemons.clone(), dir.to_path_buf());
    let end = move || {
        let _ = stop(&daemons);
        let _ = std::fs::remove_dir_all(&dir);
        exit(130);
    };
    ctrlc::set_handler(end).context("Ctrl-C cannot be handled")
}

/// What the machine does beside the measurement.
pub struct Others<'a> {
    lab: &'a Lab,
    since: Instant,
    before: Duration,
}

impl Others<'_> {
    /// How many cores it took on average.
    pub fn cores(&self) -> Result<f64> {
        let used = self.lab.cpu_of_others()?.saturating_sub(self.before);
        Ok(used.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// Figures in the text form of Prometheus.
pub struct Metrics(String);

impl Metrics {
    /// The sum over all series of a name whose labels contain a text.
    pub fn sum(&self, name: &str, labels: &str) -> f64 {
        self.series(name).filter(|(own, _)| own.contains(labels)).map(|(_, value)| value).sum()
    }

    /// Labels and value of each series of a name.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let whole = labels.is_empty() || labels.starts_with('{');
            Some((labels, value.parse().ok()?)).filter(|_| whole)
        })
    }
}

/// The value of a label in a series' labels.
pub fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let begin = |text: &'a str, sign: &str| text.split_once(&format!("{sign}{name}=\"")).map(|(_, rest)| rest);
    let value = begin(labels, "{").or_else(|| begin(labels, ","));
    value.and_then(|rest| rest.split_once('"')).map_or("", |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_whole_name() {
        let labels = "{subpod=\"x\",pod=\"a-web-1\"}";
        assert_eq!((label(labels, "pod"), label(labels, "subpod"), label(labels, "node")), ("a-web-1", "x", ""));
    }

    #[test]
    fn series_are_told_apart_by_their_whole_name() {
        let text = "# HELP a_b x\na_b 2\na_b_c 7\na{k=\"x y\",l=\"1\"} 3\na{k=\"z\",l=\"1\"} 4\n";
        let metrics = Metrics(text.to_owned());
        assert!((metrics.sum("a_b", "") - 2.0).abs() < 1e-9);
        assert!((metrics.sum("a", "") - 7.0).abs() < 1e-9);
        assert!((metrics.sum("a", "k=\"z\"") - 4.0).abs() < 1e-9);
    }
}
