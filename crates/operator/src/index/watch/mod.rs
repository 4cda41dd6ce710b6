//! The watches: each fills its part of the index, and asks for a look at whoever a change concerns.

mod dependants;
mod others;
mod own;

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::template::WorkloadKind;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use odoofleet_core::environment::references::ObjectKind;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::convert;
use super::references::{config_map, secret};
use super::running::{Item, ItemKind};
use crate::context::Context;
use others::{certificates, items, pods, references, registries, releases, versions};
use own::{customers, environments, templates};

/// Starts every watch. They run until the set is dropped.
pub fn start(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, writers: Writers) {
    customers(ctx, tasks, writers.customers);
    templates(ctx, tasks, writers.templates);
    environments(ctx, tasks, writers.environments);
    releases(ctx, tasks);
    items::<Deployment>(ctx, tasks, "deployments", ItemKind::Workload(WorkloadKind::Deployment), |o| {
        convert::deployment(o).map(Item::Workload)
    });
    items::<StatefulSet>(ctx, tasks, "statefulsets", ItemKind::Workload(WorkloadKind::StatefulSet), |o| {
        convert::stateful_set(o).map(Item::Workload)
    });
    items::<CronJob>(ctx, tasks, "cronjobs", ItemKind::CronJob, |o| convert::cron_job(o).map(Item::CronJob));
    items::<Service>(ctx, tasks, "services", ItemKind::Service, |o| {
        Some(Item::Service(o.name_any(), convert::service(o)))
    });
    items::<PersistentVolumeClaim>(ctx, tasks, "persistentvolumeclaims", ItemKind::Volume, |o| {
        Some(Item::Volume(convert::volume(o)))
    });
    items::<Ingress>(ctx, tasks, "ingresses", ItemKind::Ingress, |o| {
        Some(Item::Ingress(o.name_any(), convert::certificates(o)))
    });
    certificates(ctx, tasks);
    pods(ctx, tasks);
    // Release Secrets carry the customer's label as well; their payloads are nobody's reference.
    let not_releases = "type!=helm.sh/release.v1";
    references::<Secret>(ctx, tasks, "secrets", ObjectKind::Secret, false, Some(not_releases), secret);
    references::<Secret>(ctx, tasks, "shared secrets", ObjectKind::Secret, true, Some(not_releases), secret);
    references::<ConfigMap>(ctx, tasks, "configmaps", ObjectKind::ConfigMap, false, None, config_map);
    references::<ConfigMap>(ctx, tasks, "shared configmaps", ObjectKind::ConfigMap, true, None, config_map);
    registries(ctx, tasks);
    versions(ctx, tasks);
}

/// The writing ends of the stores of our own kinds.
pub struct Writers {
    /// Customers.
    pub customers: Writer<OdooCustomer>,
    /// Templates.
    pub templates: Writer<OdooTemplate>,
    /// Environments.
    pub environments: Writer<OdooEnvironment>,
}

/// Runs a watch for ever. Errors are told and retried with backoff; what was lost meanwhile comes with the next list.
fn follow<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    api: Api<K>,
    config: watcher::Config,
    mut handle: impl FnMut(&Context, Event<K>) + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    watcher::Config: Send,
{
    ctx.index.awaited.expect(name);
    let ctx = Arc::clone(ctx);
    tasks.spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config).default_backoff().modify(trim));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let done = matches!(event, Event::InitDone);
                    handle(&ctx, event);
                    if done {
                        ctx.index.awaited.arrived(name);
                    }
                }
                Err(error) => tracing::warn!(watch = name, %error, "a watch was interrupted"),
            }
        }
    });
}

/// Who wrote which field, and what kubectl applied last, are most of an object and nothing that is read here.
fn trim<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = object.meta_mut().annotations.as_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// What a watch tells of a kind of which small structs are kept.
enum Change<T> {
    /// All that there are: after a start, or after the watch was lost.
    All(Vec<T>),
    /// One came or changed.
    Applied(T),
    /// One is gone.
    Deleted(T),
}

/// Follows a kind as structs: `read` makes them, and leaves out what is nobody's. Lists are collected until they are whole.
fn collect<K, T>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    api: Api<K>,
    config: watcher::Config,
    read: impl Fn(K) -> Option<T> + Send + 'static,
    mut handle: impl FnMut(&Context, Change<T>) + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + 'static,
{
    let mut list = Vec::new();
    follow(ctx, tasks, name, api, config, move |ctx, event| {
        let change = match event {
            Event::Init => return list.clear(),
            Event::InitApply(object) => return list.extend(read(object)),
            Event::InitDone => Some(Change::All(std::mem::take(&mut list))),
            Event::Apply(object) => read(object).map(Change::Applied),
            Event::Delete(object) => read(object).map(Change::Deleted),
        };
        if let Some(change) = change {
            handle(ctx, change);
        }
    });
}
