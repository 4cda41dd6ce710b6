//! The clusters that checks run against: started when first needed, ended whatever happens.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::cluster::ports::Ports;
use crate::cluster::{self, ControlPlane};
use crate::images::odoo::Source;
use crate::layout::Layout;
use crate::node::{self, Node, needs};
use crate::process::Daemons;
use crate::{operator, tools, ui};

/// What the checks of one run share.
pub struct Bench {
    with_cluster: bool,
    /// The scenarios to run, by a part of their names; all of them if there is none.
    pub only: Option<String>,
    kubernetes: tools::Tool,
    cluster: Option<TestCluster>,
    skipped: Option<(String, String)>,
}

impl Bench {
    /// Nothing is started yet. Without a cluster, checks that could use one do with less.
    pub fn new(with_cluster: bool, only: Option<String>, kubernetes: tools::Tool) -> Self {
        Self { with_cluster, only, kubernetes, cluster: None, skipped: None }
    }

    /// The shared cluster, if this run has one.
    pub fn optional_cluster(&mut self) -> Result<Option<&Layout>> {
        if self.with_cluster { self.cluster().map(Some) } else { Ok(None) }
    }

    /// The shared cluster.
    pub fn cluster(&mut self) -> Result<&Layout> {
        let cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => TestCluster::start(&self.tools(), None)?,
        };
        Ok(&self.cluster.insert(cluster).layout)
    }

    /// A control plane, and the Helm whose releases tests take over.
    fn tools(&self) -> Vec<tools::Tool> {
        [&tools::control_plane(self.kubernetes)[..], &[tools::HELM3]].concat()
    }

    /// A cluster that no check has used; the shared one ends.
    pub fn fresh_cluster(&mut self) -> Result<&Layout> {
        if let Some(old) = self.cluster.take() {
            old.discard()?;
        }
        let tools = [&self.tools()[..], &[tools::REGISTRY]].concat();
        Ok(&self.cluster.insert(TestCluster::start(&tools, None)?).layout)
    }

    /// A place and a free port for a cluster that `up` starts, which ends whatever happens; the shared one ends.
    pub fn cluster_of_up(&mut self) -> Result<(&Layout, Ports)> {
        if let Some(old) = self.cluster.take() {
            old.discard()?;
        }
        Ok((&self.cluster.insert(TestCluster::at(Daemons::detached)?).layout, Ports::free()?))
    }

    /// A cluster with a real node; the shared one ends. None, with the reason kept, if this machine cannot have one.
    pub fn real_cluster(&mut self) -> Result<Option<RealCluster>> {
        if let Some(refusal) = needs::refusal() {
            self.skip("everything", refusal);
            return Ok(None);
        }
        if let Some(old) = self.cluster.take() {
            old.discard()?;
        }
        let store = tools::cache()?.join("nodes/test");
        let alone = tools::lock(&store.with_extension("lock"), "tests on a real node")?;
        let node = Node::provide(store)?;
        let odoo = node.odoo.clone();
        let cluster = self.cluster.insert(TestCluster::start(&tools::real(), Some(node))?);
        let address = node::address(&cluster.daemons);
        Ok(Some(RealCluster {
            layout: cluster.layout.clone(),
            daemons: cluster.daemons.clone(),
            odoo,
            address,
            _alone: alone,
        }))
    }

    /// Notes that a part of a check could not run here.
    pub fn skip(&mut self, what: &str, why: &str) {
        self.skipped = Some((what.to_owned(), why.to_owned()));
    }

    /// What the last check could not run, and why.
    pub fn take_skipped(&mut self) -> Option<(String, String)> {
        self.skipped.take()
    }

    /// Ends what runs and removes it.
    pub fn pass(mut self) -> Result<()> {
        self.cluster.take().map_or(Ok(()), TestCluster::discard)
    }

    /// Ends what runs, keeps the logs, and says where they are.
    pub fn fail(mut self) {
        if let Some(cluster) = self.cluster.take() {
            println!("The logs of the cluster are kept in {}", cluster.keep().display());
        }
    }
}

/// A cluster with a real node, and what runs on it.
pub struct RealCluster {
    /// Where it lies.
    pub layout: Layout,
    /// Its processes.
    pub daemons: Daemons,
    /// The Odoos that were given.
    pub odoo: Vec<Source>,
    /// The node's address.
    pub address: Ipv4Addr,
    /// Two clusters cannot share containerd's images.
    _alone: File,
}

/// A control plane in a folder of its own.
struct TestCluster {
    layout: Layout,
    daemons: Daemons,
    dir: Option<TempDir>,
}

/// What an interrupted run has to end.
static RUNNING: Mutex<Option<(Daemons, PathBuf)>> = Mutex::new(None);
static HANDLER: Once = Once::new();

impl TestCluster {
    /// A folder in which nothing runs yet.
    fn at(daemons: fn(&Path, &Path) -> Daemons) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("odoofleet-test-").tempdir().context("no temporary folder")?;
        let layout = Layout::below(dir.path());
        let daemons = daemons(&layout.run(), &layout.logs());
        end_on_interrupt(&daemons, dir.path().to_path_buf());
        Ok(Self { layout, daemons, dir: Some(dir) })
    }

    fn start(tools: &[tools::Tool], node: Option<Node>) -> Result<Self> {
        let cluster = Self::at(Daemons::attached)?;
        let (layout, daemons) = (cluster.layout.clone(), cluster.daemons.clone());
        tools::install(tools, &layout.bin())?;
        let ports = Ports::free()?;
        let task = ui::Task::start("Starting a cluster for the tests");
        if let Err(error) = ControlPlane::new(layout, ports, daemons).with_node(node).start() {
            drop(task);
            return Err(error.context(format!("the logs are kept in {}", cluster.keep().display())));
        }
        task.done(format!("A cluster for the tests runs on port {}", ports.api));
        Ok(cluster)
    }

    fn discard(mut self) -> Result<()> {
        end(&self.daemons)?;
        self.dir.take().map_or(Ok(()), TempDir::close).context("cannot remove the tests' cluster")
    }

    fn keep(mut self) -> PathBuf {
        self.dir.take().map_or_else(|| self.layout.logs(), |dir| dir.keep().join("logs"))
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if let Err(error) = end(&self.daemons) {
            eprintln!("the tests' cluster did not stop: {error:#}");
        }
    }
}

/// Ends an operator that `up` started, and the cluster.
fn end(daemons: &Daemons) -> Result<()> {
    daemons.stop(operator::DAEMON)?;
    cluster::stop(daemons).map(drop)
}

/// Ctrl-C and SIGTERM end the cluster, too.
fn end_on_interrupt(daemons: &Daemons, dir: PathBuf) {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some((daemons.clone(), dir));
    HANDLER.call_once(|| {
        let installed = ctrlc::set_handler(|| {
            if let Some((daemons, dir)) = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = end(&daemons);
                let _ = std::fs::remove_dir_all(dir);
            }
            exit(130);
        });
        if let Err(error) = installed {
            eprintln!("Ctrl-C will not stop the tests' cluster: {error}");
        }
    });
}
