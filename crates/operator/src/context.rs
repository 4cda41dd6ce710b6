//! What every controller needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use kube::{Api, Client};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use odoofleet_helm::Pool;

use crate::backoff::Backoff;
use crate::charts::ChartStore;
use crate::index::Index;
use crate::lease::Permit;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::triggers::Triggers;

/// What every controller needs. Made once.
pub struct Context {
    /// Client under the operator's own account.
    pub client: Client,
    /// Settings.
    pub settings: Settings,
    /// Our objects, as the watches brought them.
    pub stores: Stores,
    /// Releases, workloads and references, as the watches brought them.
    pub index: Arc<Index>,
    /// Charts.
    pub charts: ChartStore,
    /// Helm workers.
    pub pool: Pool,
    /// The permit under which they write.
    pub permit: Permit,
    /// What is remembered between two looks.
    pub memory: Memory,
    /// Who is to be looked at.
    pub triggers: Triggers,
    /// Pauses after errors.
    pub backoff: Backoff,
    /// Writes Events.
    pub recorder: Recorder,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// From then on no worker of an earlier leader can write any more.
    pub fence: Timestamp,
}

/// Settings of the operator.
pub struct Settings {
    /// Namespace of the environments.
    pub namespace: String,
    /// Name of this process among operators.
    pub identity: String,
    /// Folder of packaged charts.
    pub charts_dir: PathBuf,
    /// Time zone of contracts that name none.
    pub time_zone: TimeZone,
    /// Stops for a date's sake in an hour.
    pub max_automatic_stops: u32,
    /// Deletions in ten minutes.
    pub max_stops: usize,
    /// Kinds that charts may render.
    pub allowed_kinds: Vec<String>,
    /// Hosts from which addons may come.
    pub allowed_git_hosts: Vec<String>,
    /// Host of NodePorts.
    pub node_address: Option<String>,
}

/// Our objects.
pub struct Stores {
    /// Environments.
    pub environments: Store<OdooEnvironment>,
    /// Customers.
    pub customers: Store<OdooCustomer>,
    /// Templates.
    pub templates: Store<OdooTemplate>,
}

impl Context {
    /// The namespace's objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.settings.namespace)
    }
}

/// How soon an object is looked at again although nothing told so: watches tell, this only covers what they lost.
pub fn resync() -> Duration {
    Duration::from_hours(6).mul_f64(rand::random_range(0.8..1.2))
}
