//! What goes into a report, as the caller may see it. Secrets are never asked for.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures::AsyncReadExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::conditions::{ConditionType, find};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::{pods, preflight};
use crate::failure::Failure;
use crate::session::{Asked, Session};

/// The last lines of a log that go into a report.
const LINES: i64 = 1000;
/// The most of one log.
const BYTES: u64 = 1 << 20;
/// Without a name, logs are taken of so many environments that are not well.
const LOGGED: usize = 10;

/// What was collected, as it is.
#[derive(Debug, Default)]
pub struct Collected {
    /// Folder and name of each object.
    pub objects: Vec<(String, Value)>,
    /// Folder and name of each log.
    pub logs: Vec<(String, String)>,
    /// What was not read, and why.
    pub not_read: Vec<(String, String)>,
}

impl Collected {
    fn object<K: Resource + Serialize>(&mut self, folder: &str, kind: &str, object: &K) {
        let name = object.meta().name.clone().unwrap_or_default();
        if let Ok(mut value) = serde_json::to_value(object) {
            if let Some(map) = value.as_object_mut() {
                map.entry("kind").or_insert_with(|| Value::from(kind));
            }
            self.objects.push((format!("{folder}/{name}"), value));
        }
    }

    fn seen<T>(&mut self, what: &str, outcome: Result<T, Failure>) -> Option<T> {
        outcome.map_err(|failure| self.not_read.push((what.to_owned(), failure.message))).ok()
    }
}

/// Collects all of one environment, or of all.
pub async fn collect(session: &Session, name: Option<&str>) -> Result<Collected, Failure> {
    let mut collected = Collected::default();
    let environments = match name {
        Some(name) => vec![session.get::<OdooEnvironment>(name).await?],
        None => session.list::<OdooEnvironment>(&ListParams::default()).await?,
    };
    if let (Some(_), Some(environment)) = (name, environments.first()) {
        let customer = session.get::<OdooCustomer>(&environment.spec.customer_ref.name).await;
        if let Some(customer) = collected.seen("customer", customer) {
            collected.object("customers", "OdooCustomer", &customer);
        }
        let template = session.get::<OdooTemplate>(&environment.spec.template_ref.name).await;
        if let Some(template) = collected.seen("template", template) {
            collected.object("templates", "OdooTemplate", &template);
        }
    } else {
        for customer in listed::<OdooCustomer>(session, &mut collected, "customers").await {
            collected.object(&folder(session, "customers", &customer), "OdooCustomer", &customer);
        }
        for template in listed::<OdooTemplate>(session, &mut collected, "templates").await {
            collected.object(&folder(session, "templates", &template), "OdooTemplate", &template);
        }
    }
    for environment in &environments {
        collected.object(&folder(session, "environments", environment), "OdooEnvironment", environment);
    }
    around(session, &mut collected, &environments, name.is_some()).await;
    operator(session, &mut collected).await;
    Ok(collected)
}

/// A folder for a kind; for each namespace one, where there are several.
fn folder(session: &Session, kind: &str, object: &impl ResourceExt) -> String {
    if session.all_namespaces { format!("{kind}/{}", object.namespace().unwrap_or_default()) } else { kind.to_owned() }
}

async fn listed<K>(session: &Session, collected: &mut Collected, what: &str) -> Vec<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let outcome = session.list::<K>(&ListParams::default()).await;
    collected.seen(what, outcome).unwrap_or_default()
}

/// Pods and workloads of the environments, their events and logs.
async fn around(session: &Session, collected: &mut Collected, environments: &[OdooEnvironment], is_one: bool) {
    let all = listed::<Pod>(session, collected, "pods").await;
    let (mut names, mut workloads): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for environment in environments {
        names.extend([environment.name_any(), environment.spec.customer_ref.name.clone()]);
        names.insert(environment.spec.template_ref.name.clone());
        workloads.extend(environment.status.iter().flat_map(|status| &status.workloads).map(|own| own.name.clone()));
    }
    let mut logged = 0;
    for environment in environments {
        let is_near = |pod: &&Pod| pod.namespace() == environment.namespace();
        let own = pods::of(environment, all.iter().filter(is_near).cloned().collect());
        let takes_logs = is_one || (!is_well(environment) && logged < LOGGED);
        logged += usize::from(takes_logs && !is_one);
        for (_, pod) in &own {
            names.insert(pod.name_any());
            collected.object(&folder(session, "pods", pod), "Pod", pod);
            if takes_logs {
                logs(session, collected, pod).await;
            }
        }
    }
    for workload in listed::<Deployment>(session, collected, "deployments").await {
        if workloads.contains(&workload.name_any()) {
            collected.object(&folder(session, "workloads", &workload), "Deployment", &workload);
        }
    }
    for workload in listed::<StatefulSet>(session, collected, "statefulsets").await {
        if workloads.contains(&workload.name_any()) {
            collected.object(&folder(session, "workloads", &workload), "StatefulSet", &workload);
        }
    }
    for event in listed::<Event>(session, collected, "events").await {
        let about = event.involved_object.name.as_deref().unwrap_or_default();
        // A ReplicaSet bears the name of its Deployment and a hash.
        let replica_set = about.rsplit_once('-').map_or("", |(deployment, _)| deployment);
        if names.contains(about) || workloads.contains(about) || workloads.contains(replica_set) {
            collected.object(&folder(session, "events", &event), "Event", &event);
        }
    }
}

fn is_well(environment: &OdooEnvironment) -> bool {
    let conditions = environment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::Ready).is_some_and(|condition| condition.status == "True")
}

/// The end of the log of each container that has one, and of the one before a restart.
async fn logs(session: &Session, collected: &mut Collected, pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    let containers =
        status.init_container_statuses.into_iter().flatten().chain(status.container_statuses.into_iter().flatten());
    for container in containers {
        let waits = container.state.as_ref().is_some_and(|state| state.waiting.is_some());
        let runs = if container.restart_count > 0 { [false, true].as_slice() } else { &[false] };
        for previous in runs.iter().copied().filter(|previous| *previous || !waits) {
            let suffix = if previous { ".previous" } else { "" };
            let path = format!("logs/{}/{}{suffix}", pod.name_any(), container.name);
            let outcome = log(session, pod, &container.name, previous).await;
            if let Some(text) = collected.seen(&path, outcome) {
                collected.logs.push((path, text));
            }
        }
    }
}

async fn log(session: &Session, pod: &Pod, container: &str, previous: bool) -> Result<String, Failure> {
    let namespace = pod.namespace().unwrap_or_else(|| session.namespace.clone());
    let api: Api<Pod> = Api::namespaced(session.client.clone(), &namespace);
    let params = LogParams {
        container: Some(container.to_owned()),
        previous,
        tail_lines: Some(LINES),
        timestamps: true,
        ..LogParams::default()
    };
    let name = pod.name_any();
    let log = match api.log_stream(&name, &params).await {
        Ok(log) => log,
        Err(error) => return Err(session.explain(&Asked::of::<Pod>("get", Some(&name)).on("log"), error).await),
    };
    let mut bytes = Vec::new();
    log.take(BYTES).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The operator's Deployment, pods and logs.
async fn operator(session: &Session, collected: &mut Collected) {
    let ours = ListParams::default().labels("app.kubernetes.io/name=odoofleet");
    let deployments: Api<Deployment> = Api::all(session.client.clone());
    let found = match deployments.list(&ours).await {
        Ok(list) => list.items,
        Err(error) => {
            let why = preflight::why(session, &Asked::of::<Deployment>("list", None), error).await;
            collected.not_read.push(("operator".into(), why));
            return;
        }
    };
    // Of several operators that of the namespace, if it can be told.
    let (own, others): (Vec<Deployment>, Vec<Deployment>) =
        found.into_iter().partition(|deployment| preflight::watches(deployment).as_ref() == Some(&session.namespace));
    for deployment in if own.is_empty() || session.all_namespaces { [own, others].concat() } else { own } {
        collected.object("operator", "Deployment", &deployment);
        let namespace = deployment.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &namespace);
        match pods.list(&ours).await {
            Ok(list) => {
                for pod in list.items {
                    collected.object("operator", "Pod", &pod);
                    logs(session, collected, &pod).await;
                }
            }
            Err(error) => {
                let failure = session.explain(&Asked::of::<Pod>("list", None), error).await;
                collected.not_read.push((format!("pods of {namespace}"), failure.message));
            }
        }
    }
}
