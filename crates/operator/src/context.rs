//! What every controller needs.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource};
use odoofleet_helm::Pool;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::charts::ChartStore;
use crate::controllers::counts::Settling;
use crate::controllers::environment::{Operations, Throttle};
use crate::controllers::template::Freezing;
use crate::fleet::SharedFleet;
use crate::lease::Permit;
use crate::metrics::Metrics;

/// A kind whose objects lie in the namespace.
pub trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// What every controller needs. Made once.
pub struct Context {
    /// Client under the operator's own account. It writes as long as the permit holds.
    pub client: Client,
    /// Settings.
    pub settings: Settings,
    /// Everything that is known of the namespace.
    pub fleet: Arc<SharedFleet>,
    /// What must be there before anything is decided.
    pub awaited: Awaited,
    /// Charts.
    pub charts: ChartStore,
    /// Helm workers.
    pub pool: Pool,
    /// The permit under which they and the client write.
    pub permit: Arc<Permit>,
    /// Operations that were handed to the pool.
    pub operations: Operations,
    /// Versions of templates that are being made.
    pub freezing: Freezing,
    /// When statuses were written last.
    pub throttle: Throttle,
    /// Customers whose counts differ from what is written.
    pub customer_counts: Settling,
    /// The same of templates.
    pub template_counts: Settling,
    /// Writes Events.
    pub recorder: Recorder,
    /// Figures.
    pub metrics: Arc<Metrics>,
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
    /// Kinds that charts may render.
    pub allowed_kinds: Vec<String>,
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

/// What must be there before anything is decided: watches that have not brought everything yet, walls that do not stand.
#[derive(Default)]
pub struct Awaited {
    names: Mutex<BTreeSet<String>>,
    changed: tokio::sync::Notify,
}

impl Awaited {
    /// Adds something, in words for people.
    pub fn expect(&self, name: &str) {
        self.names.lock().insert(name.to_owned());
    }

    /// Notes that it is there.
    pub fn arrived(&self, name: &str) {
        if self.names.lock().remove(name) {
            self.changed.notify_waiters();
        }
    }

    /// What is waited for.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().iter().cloned().collect()
    }

    /// Returns when everything was there once.
    pub async fn all(&self) {
        loop {
            let changed = self.changed.notified();
            if self.names.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }
}
