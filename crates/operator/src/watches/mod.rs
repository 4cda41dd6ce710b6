//! How the cluster is watched: each watch turns objects into facts of the fleet, and nothing else.

pub mod certificates;
mod convert;
mod own;
pub mod problem;
pub mod readable;
pub mod references;
pub mod releases;
pub mod seen;
pub mod versions;

use odoofleet_core::error::chain;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::api::networking::v1::Ingress;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::labels;
use odoofleet_core::environment::references::{ObjectKind, ObjectName};
use odoofleet_core::fleet::{Change, Delta, Item, ItemKey, ItemKind, ObjectWatch};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::context::{Context, Namespaced};
use readable::{Readable, Unreadable};

/// Objects in a page of a list. All watches begin at once, and what is read of a page is held until its last object is taken.
const PAGE: u32 = 100;
/// Release Secrets carry the customer's label as well; their payloads are nobody's reference.
const NOT_RELEASES: &str = "type!=helm.sh/release.v1";

/// Starts every watch. They run until the set is dropped.
pub fn start(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    own::start(ctx, tasks);
    seen::start(ctx, tasks);
    let releases = Config::default().fields("type=helm.sh/release.v1").labels("owner=helm,status!=superseded");
    collect(
        ctx,
        tasks,
        "releases",
        releases,
        |secret: PartialObjectMeta<Secret>| releases::read(&secret),
        Change::Releases,
    );
    items::<Deployment>(ctx, tasks, "deployments", ItemKind::Deployment, |o| {
        convert::deployment(o).map(Item::Workload)
    });
    items::<StatefulSet>(ctx, tasks, "statefulsets", ItemKind::StatefulSet, |o| {
        convert::stateful_set(o).map(Item::Workload)
    });
    items::<CronJob>(ctx, tasks, "cronjobs", ItemKind::CronJob, |o| convert::cron_job(o).map(Item::CronJob));
    items::<Service>(ctx, tasks, "services", ItemKind::Service, |o| {
        Some(Item::Service { release: convert::release_of(o)?, ports: convert::service(o) })
    });
    items::<Ingress>(ctx, tasks, "ingresses", ItemKind::Ingress, |o| {
        Some(Item::Ingress { release: convert::release_of(o)?, certificates: convert::certificates(o) })
    });
    items::<HorizontalPodAutoscaler>(ctx, tasks, "horizontalpodautoscalers", ItemKind::Autoscaler, convert::autoscaler);
    // A StatefulSet's claims do not say to which release they belong.
    let claim = |claim: PersistentVolumeClaim| Some(((ItemKind::Volume, claim.name_any()), convert::volume(&claim)));
    collect(ctx, tasks, "persistentvolumeclaims", Config::default(), claim, |delta| {
        Change::Items(ItemKind::Volume, delta)
    });
    collect(ctx, tasks, "pods", Config::default(), |pod: Pod| convert::pod_item(&pod), Change::Pods);
    let refusals = Config::default().fields("regarding.kind=StatefulSet,reason=FailedCreate");
    let refusal = |event: KubernetesEvent| Some((event.name_any(), convert::refusal(&event)?));
    collect(ctx, tasks, "refusals of pods", refusals, refusal, Change::Refusals);
    let tls = Config::default().fields("type=kubernetes.io/tls");
    let certificate = |secret: Secret| Some((secret.name_any(), certificates::read(&secret)));
    collect(ctx, tasks, "certificates", tls, certificate, Change::Certificates);
    objects(ctx, tasks);
    let versions = Config::default().labels(labels::TEMPLATE);
    let version = |revision: ControllerRevision| versions::read(&revision);
    collect(ctx, tasks, "template versions", versions, version, Change::TemplateVersions);
}

/// Secrets and ConfigMaps that environments and templates may name.
fn objects(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let shared = format!("{}=true", labels::SHARED);
    let secrets = |selector: &str| Config::default().fields(NOT_RELEASES).labels(selector);
    let maps = |selector: &str| Config::default().labels(selector);
    let secret = |secret: Secret| Some(references::secret(&secret));
    let map = |map: ConfigMap| Some(references::config_map(&map));
    let to = |watch| move |delta| Change::Objects(watch, delta);
    collect(ctx, tasks, "secrets", secrets(labels::CUSTOMER), secret, to(ObjectWatch::CustomersSecrets));
    collect(ctx, tasks, "shared secrets", secrets(&shared), secret, to(ObjectWatch::SharedSecrets));
    collect(ctx, tasks, "configmaps", maps(labels::CUSTOMER), map, to(ObjectWatch::CustomersConfigMaps));
    collect(ctx, tasks, "shared configmaps", maps(&shared), map, to(ObjectWatch::SharedConfigMaps));
    // Of what only templates name, nothing but the version is kept.
    let registry = secrets(&format!("{}=true", labels::REGISTRY));
    let version = |kind| {
        move |name: String, version: Option<String>| Some((ObjectName { kind, name }, version.unwrap_or_default()))
    };
    let of_secret = version(ObjectKind::Secret);
    let read = move |secret: PartialObjectMeta<Secret>| of_secret(secret.name_any(), secret.resource_version());
    let to = |watch| move |delta| Change::Versions(watch, delta);
    collect(ctx, tasks, "registry secrets", registry, read, to(ObjectWatch::RegistrySecrets));
    let of_map = version(ObjectKind::ConfigMap);
    let read = move |map: PartialObjectMeta<ConfigMap>| of_map(map.name_any(), map.resource_version());
    collect(ctx, tasks, "versions of configmaps", Config::default(), read, to(ObjectWatch::ConfigMaps));
}

/// Objects that Helm manages.
fn items<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: ItemKind,
    read: impl Fn(&K) -> Option<Item> + Send + 'static,
) where
    K: Namespaced,
{
    let config = Config::default().labels(&convert::managed_by_helm());
    let item = move |object: K| Some(((kind, object.name_any()), read(&object)?));
    collect(ctx, tasks, name, config, item, move |delta: Delta<(ItemKey, Item)>| Change::Items(kind, delta));
}

/// Follows a kind as facts: `read` makes them, and leaves out what is nobody's. A list is handed over when it is whole.
fn collect<K, T>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    config: Config,
    read: impl Fn(K) -> Option<T> + Send + 'static,
    change: impl Fn(Delta<T>) -> Change + Send + 'static,
) where
    K: Namespaced,
    T: Send + 'static,
{
    let mut list = Vec::new();
    let api: Api<Readable<K>> = ctx.api();
    follow(ctx, tasks, name, api, config, move |ctx, event| {
        let unreadable = |Unreadable { metadata, problem }: Unreadable| {
            let object = metadata.name.unwrap_or_default();
            tracing::warn!(watch = name, object, problem, "an object cannot be read; it is left out");
            object
        };
        let delta = match event {
            Event::Init => return list.clear(),
            Event::InitApply(Readable::Object(object)) => return list.extend(read(object)),
            // What is known of it stays what it was.
            Event::InitApply(Readable::Unreadable(object)) | Event::Apply(Readable::Unreadable(object)) => {
                unreadable(object);
                return;
            }
            Event::InitDone => Delta::All(std::mem::take(&mut list)),
            Event::Apply(Readable::Object(object)) => {
                let name = object.name_any();
                read(object).map_or(Delta::Forgotten(name), Delta::Applied)
            }
            Event::Delete(Readable::Object(object)) => {
                let name = object.name_any();
                read(object).map_or(Delta::Forgotten(name), Delta::Deleted)
            }
            Event::Delete(Readable::Unreadable(object)) => Delta::Forgotten(unreadable(object)),
        };
        ctx.fleet.apply(change(delta));
    });
}

/// Runs a watch for ever. Errors are told and retried with backoff; what was lost meanwhile comes with the next list.
fn follow<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    api: Api<Readable<K>>,
    config: watcher::Config,
    mut handle: impl FnMut(&Context, Event<Readable<K>>) + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Clone,
{
    let list = format!("the list of {name}");
    ctx.awaited.expect(&list);
    let ctx = Arc::clone(ctx);
    tasks.spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config.page_size(PAGE)).default_backoff().modify(trim));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let done = matches!(event, Event::InitDone);
                    handle(&ctx, event);
                    if done {
                        ctx.awaited.arrived(&list);
                    }
                }
                Err(error) => tracing::warn!(watch = name, error = chain(&error), "a watch was interrupted"),
            }
        }
    });
}

/// What kubectl applied last is as long as the object, and nothing that is read here.
fn trim<K: Resource>(object: &mut Readable<K>) {
    if let Some(annotations) = object.meta_mut().annotations.as_mut() {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}
