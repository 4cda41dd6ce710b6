//! What statuses tell, how long it stays so, and which objects have come and gone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures::TryStreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::chart::Chart;
use crate::world::{Environment, World};

/// An object's status as it stands in the API. Words are text here, whatever this build knows of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    generation: Option<i64>,
    status: Value,
}

impl Told {
    /// The status of an object.
    pub fn by<K: Resource + Serialize>(object: &K) -> Self {
        let whole = serde_json::to_value(object).unwrap_or_default();
        Self { generation: object.meta().generation, status: whole["status"].clone() }
    }

    /// A field, such as `/release/revision`.
    pub fn field(&self, pointer: &str) -> &Value {
        self.status.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Whether it tells of the present spec.
    pub fn is_observed(&self) -> bool {
        self.generation.is_some() && self.field("/observedGeneration").as_i64() == self.generation
    }

    /// The phase.
    pub fn phase(&self) -> &str {
        self.text("/phase")
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        self.text("/reason")
    }

    /// The message.
    pub fn message(&self) -> &str {
        self.text("/message")
    }

    /// The template version that the release holds.
    pub fn version(&self) -> &str {
        self.text("/template/version")
    }

    /// Status and reason of a condition; empty if it is not there.
    pub fn condition(&self, type_: &str) -> (&str, &str) {
        let conditions = self.field("/conditions").as_array().map(Vec::as_slice).unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        let text = |key: &str| found.and_then(|condition| condition[key].as_str()).unwrap_or_default();
        (text("status"), text("reason"))
    }

    /// Whether a condition is `True`.
    pub fn is(&self, type_: &str) -> bool {
        self.condition(type_).0 == "True"
    }

    /// Whether it is in a phase for a reason, and tells of the present spec.
    pub fn says(&self, phase: &str, reason: &str) -> bool {
        self.is_observed() && self.phase() == phase && self.reason() == reason
    }

    fn text(&self, pointer: &str) -> &str {
        self.field(pointer).as_str().unwrap_or_default()
    }
}

/// UIDs of all objects that were there since it began. It ends with this value.
pub struct Uids {
    seen: Arc<Mutex<BTreeSet<String>>>,
    watch: AbortHandle,
}

impl Uids {
    /// How many there were.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Uids {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl World {
    /// What an environment tells now.
    pub async fn told(&self, name: &str) -> Result<Told> {
        Ok(Told::by(&self.api::<Environment>().get(name).await?))
    }

    /// Waits until an environment tells something.
    pub async fn until(&self, name: &str, what: &str, ready: impl Fn(&Told) -> bool) -> Result<Told> {
        let environment = self.wait::<Environment>(name, what, |environment| ready(&Told::by(environment))).await?;
        Ok(Told::by(&environment))
    }

    /// Waits until an environment is in a phase for a reason, at its present generation. Both are text here.
    pub async fn until_says(&self, name: &str, phase: &str, reason: &str) -> Result<Told> {
        self.until(name, &format!("{phase}/{reason}"), |told| told.says(phase, reason)).await
    }

    /// Waits until an environment's present spec was looked at and has this reason, in whatever phase it is.
    pub async fn until_refused(&self, name: &str, reason: &str) -> Result<Told> {
        self.until(name, reason, |told| told.is_observed() && told.reason() == reason).await
    }

    /// Fails as soon as an object is not as `holds` says, and looks for so long.
    pub async fn stays<K>(&self, name: &str, time: Duration, what: &str, holds: impl Fn(&K) -> bool) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Serialize + 'static,
        K::DynamicType: Default,
    {
        let config = Config::default().fields(&format!("metadata.name={name}"));
        let mut objects = std::pin::pin!(watcher(self.api::<K>(), config).default_backoff().applied_objects());
        let looked = tokio::time::timeout(time, async {
            while let Some(object) = objects.try_next().await? {
                if !holds(&object) {
                    let shown = serde_json::to_string_pretty(&object)?;
                    bail!("{name} did not stay {what}; it is {shown}\nlog:\n{}", self.log());
                }
            }
            Err(anyhow!("the watch ended"))
        });
        looked.await.unwrap_or(Ok(()))
    }

    /// Counts the objects with these labels: those that are there, and from now on all that come.
    pub async fn count<K>(&self, labels: &str) -> Result<Uids>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Default,
    {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let (api, kept) = (self.api::<K>(), Arc::clone(&seen));
        let config = Config::default().labels(labels);
        let (listed, begins) = tokio::sync::oneshot::channel();
        let mut listed = Some(listed);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff());
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    Event::Init => {}
                    Event::InitDone => drop(listed.take().map(|listed| listed.send(()))),
                    Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) => {
                        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(object.uid());
                    }
                }
            }
        });
        let watch = watch.abort_handle();
        begins.await?;
        Ok(Uids { seen, watch })
    }

    /// Applies an object of any kind as `kubectl apply --server-side` does.
    pub async fn apply_any(&self, object: &Value) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), object.to_string())?;
        let path = file.path().to_string_lossy();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "--namespace", &self.namespace, "-f", &path])
            .await
            .map(drop)
    }

    /// Scales an environment as people do.
    pub async fn scale(&self, name: &str, replicas: u32) -> Result<()> {
        let count = format!("--replicas={replicas}");
        self.kubectl(&["scale", "oenv", name, "--namespace", &self.namespace, &count]).await.map(drop)
    }

    /// Sets an annotation of an environment.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { annotation: value } } });
        self.patch::<Environment>(name, patch).await.map(drop)
    }

    /// Keeps a chart in a ConfigMap of this name.
    pub async fn put_chart_as(&self, name: &str, chart: &Chart) -> Result<()> {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(chart.archive()?);
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "binaryData": { "chart.tgz": data } });
        self.apply(&map).await
    }
}
