//! Objects of a world: applying, changing and waiting for them.

use std::fmt::Debug;

use anyhow::{Result, anyhow, bail};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config as WatchConfig, watcher};
use kube::{Api, Resource};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Environment, World};
use crate::audit::{Audit, AuditEntry};
use crate::chart::Chart;

impl World {
    /// What the operator and its workers asked the API server in the namespace of the environments since a moment.
    pub async fn requests_since(&self, moment: Timestamp) -> Result<Vec<AuditEntry>> {
        let user = format!("system:serviceaccount:{}:{}", self.system, self.service_account().await?);
        Audit::of(&self.setup).since(moment, &user, &self.namespace)
    }

    /// The namespace's objects of a kind, as an administrator.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an object as `kubectl apply --server-side` does. The error is the API server's sentence.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let (kind, name) =
            (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
        let params = PatchParams::apply("e2e").force();
        let patch = Patch::Apply(object);
        match kind {
            "OdooCustomer" => self.api::<OdooCustomer>().patch(name, &params, &patch).await.map(drop)?,
            "OdooTemplate" => self.api::<OdooTemplate>().patch(name, &params, &patch).await.map(drop)?,
            "OdooEnvironment" => self.api::<OdooEnvironment>().patch(name, &params, &patch).await.map(drop)?,
            "Secret" => self.api::<Secret>().patch(name, &params, &patch).await.map(drop)?,
            "ConfigMap" => self.api::<ConfigMap>().patch(name, &params, &patch).await.map(drop)?,
            "Service" => self.api::<Service>().patch(name, &params, &patch).await.map(drop)?,
            "Pod" => self.api::<Pod>().patch(name, &params, &patch).await.map(drop)?,
            other => bail!("kind {other} is not applied here"),
        }
        Ok(())
    }

    /// Changes an environment's status by a merge patch, in the operator's place.
    pub async fn patch_status(&self, name: &str, patch: &Value) -> Result<()> {
        let api = self.api::<OdooEnvironment>();
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Changes an object by a merge patch.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Keeps a chart where template `small` looks for it.
    pub async fn put_chart(&self, chart: &Chart) -> Result<()> {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(chart.archive()?);
        self.apply(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "small-chart" }, "binaryData": { "chart.tgz": data } })).await
    }

    /// Waits until an object is as `ready` says. The error shows the object as it is.
    pub async fn wait<K>(&self, name: &str, what: &str, ready: impl Fn(&K) -> bool) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + serde::Serialize
            + 'static,
        K::DynamicType: Default,
    {
        let config = WatchConfig::default().fields(&format!("metadata.name={name}"));
        let mut objects = std::pin::pin!(watcher(self.api::<K>(), config).default_backoff().applied_objects());
        let mut last = None;
        let waited = tokio::time::timeout(self.patience, async {
            while let Some(object) = objects.try_next().await? {
                if ready(&object) {
                    return Ok(object);
                }
                last = Some(object);
            }
            Err(anyhow!("the watch ended"))
        });
        match waited.await {
            Ok(result) => result,
            Err(_) => bail!(
                "{name} did not become {what}; it is {}\nlog:\n{}",
                last.map_or_else(
                    || "not there".to_owned(),
                    |object| serde_json::to_string_pretty(&object).unwrap_or_default()
                ),
                tail(&self.log())
            ),
        }
    }

    /// Waits until an environment is in a phase for a reason, at its present generation.
    pub async fn wait_reason(&self, name: &str, phase: &str, reason: &str) -> Result<Environment> {
        self.wait(name, &format!("{phase}/{reason}"), |environment: &Environment| {
            is_observed(environment) && phase_of(environment) == phase && reason_of(environment) == reason
        })
        .await
    }

    /// Waits until an environment is ready in a phase, at its present generation.
    pub async fn wait_phase(&self, name: &str, phase: &str) -> Result<Environment> {
        self.wait(name, phase, |environment: &Environment| {
            is_observed(environment) && phase_of(environment) == phase && condition(environment, "Ready") == "True"
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn wait_gone<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Default,
    {
        let config = WatchConfig::default().fields(&format!("metadata.name={name}"));
        let api = self.api::<K>();
        let mut events = std::pin::pin!(watcher(api.clone(), config).default_backoff());
        let gone = async {
            while let Some(event) = events.next().await {
                let _ = event;
                if api.get_opt(name).await?.is_none() {
                    return Ok(());
                }
            }
            Err(anyhow!("the watch ended"))
        };
        tokio::time::timeout(self.patience, gone)
            .await
            .map_err(|_| anyhow!("{name} is still there\nlog:\n{}", tail(&self.log())))?
    }
}

fn is_observed(environment: &Environment) -> bool {
    environment.status.as_ref().and_then(|status| status.observed_generation) == environment.metadata.generation
}

fn phase_of(environment: &Environment) -> String {
    environment.status.as_ref().and_then(|status| status.phase).map(|phase| format!("{phase:?}")).unwrap_or_default()
}

fn reason_of(environment: &Environment) -> String {
    environment.status.as_ref().and_then(|status| status.reason.as_ref()).map(ToString::to_string).unwrap_or_default()
}

fn condition(environment: &Environment, type_: &str) -> String {
    let conditions = environment.status.iter().flat_map(|status| &status.conditions);
    conditions
        .filter(|condition| condition.type_ == type_)
        .map(|condition| condition.status.clone())
        .next()
        .unwrap_or_default()
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
