//! Metadata of what Helm manages: whether somebody has touched an object since Helm applied it.
//!
//! Nothing waits for these watches. While one does not follow, its kind's objects are not known, and are sent with each upgrade.

use odoofleet_core::digest;
use odoofleet_core::error::chain;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::PartialObjectMeta;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, DefaultBackoff, Event, watcher};
use kube::{Resource, ResourceExt};
use odoofleet_core::fleet::{Change, Delta, Seen, SeenRelease, mark_of_annotation, mark_of_label};
use odoofleet_helm::{Observe, SeenObject};
use tokio::task::JoinSet;

use super::readable::Readable;
use super::{PAGE, convert};
use crate::context::{Context, Namespaced};
use crate::fleet::SharedFleet;

/// Whether a kind's generation tells of each change of what a chart can say, metadata apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// It does (Kubernetes: `pkg/registry/{apps,batch,networking,policy}`, each kind's `strategy.go`).
    Tells,
    /// There is none. The version changes with the status as well, and tells of everything.
    Missing,
}

/// Starts them, for the kinds that charts may render.
pub fn start(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    use Generation::{Missing, Tells};
    kind::<ConfigMap>(ctx, tasks, "ConfigMap", Missing);
    kind::<Secret>(ctx, tasks, "Secret", Missing);
    kind::<Service>(ctx, tasks, "Service", Missing);
    kind::<PersistentVolumeClaim>(ctx, tasks, "PersistentVolumeClaim", Missing);
    kind::<ServiceAccount>(ctx, tasks, "ServiceAccount", Missing);
    kind::<Deployment>(ctx, tasks, "Deployment.apps", Tells);
    kind::<StatefulSet>(ctx, tasks, "StatefulSet.apps", Tells);
    kind::<CronJob>(ctx, tasks, "CronJob.batch", Tells);
    kind::<Ingress>(ctx, tasks, "Ingress.networking.k8s.io", Tells);
    kind::<NetworkPolicy>(ctx, tasks, "NetworkPolicy.networking.k8s.io", Tells);
    kind::<PodDisruptionBudget>(ctx, tasks, "PodDisruptionBudget.policy", Tells);
}

/// What the pool of Helm workers asks when one begins.
pub fn observe(fleet: &Arc<SharedFleet>) -> Observe {
    let fleet = Arc::clone(fleet);
    Arc::new(move |release| fleet.with(|fleet| fleet.seen(release)).map(told))
}

fn told(seen: SeenRelease) -> odoofleet_helm::Seen {
    let object = |(name, seen): (String, Seen)| {
        let Seen { uid, generation, resource_version, marks, .. } = seen;
        (name, SeenObject { uid, generation, resource_version, marks: marks.into_vec() })
    };
    odoofleet_helm::Seen {
        revision: seen.revision,
        resource_version: seen.resource_version,
        objects: seen.objects.into_iter().map(object).collect(),
    }
}

fn kind<K>(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, name: &'static str, generation: Generation)
where
    K: Namespaced,
{
    let allowed = format!("{}/{}", K::api_version(&()), K::kind(&()));
    if !ctx.settings.allowed_kinds.contains(&allowed) {
        return;
    }
    let ctx = Arc::clone(ctx);
    tasks.spawn(async move {
        let mut pauses = DefaultBackoff::default();
        loop {
            let error = follow::<K>(&ctx, name, generation, &mut pauses).await;
            // What came while it was cut is only known after a new list.
            ctx.fleet.with(|fleet| fleet.note_watch_lost(name));
            tracing::warn!(watch = name, error, "a watch of metadata was interrupted; it lists anew");
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    });
}

/// Follows a kind until its watch is cut. The answer is why.
async fn follow<K>(ctx: &Context, name: &'static str, generation: Generation, pauses: &mut DefaultBackoff) -> String
where
    K: Namespaced,
{
    let api = ctx.api::<Readable<PartialObjectMeta<K>>>();
    let config = Config::default().labels(&convert::managed_by_helm()).page_size(PAGE);
    let mut events = std::pin::pin!(watcher(api, config));
    let mut list = Vec::new();
    while let Some(event) = events.next().await {
        let delta = match event {
            Ok(Event::Init) => {
                list.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                list.extend(read(&object, generation));
                continue;
            }
            Ok(Event::InitDone) => {
                pauses.reset();
                Delta::All(std::mem::take(&mut list))
            }
            Ok(Event::Apply(object)) => match read(&object, generation) {
                Some(seen) => Delta::Applied(seen),
                None => Delta::Forgotten(object.name_any()),
            },
            Ok(Event::Delete(object)) => match read(&object, generation) {
                Some(seen) => Delta::Deleted(seen),
                None => Delta::Forgotten(object.name_any()),
            },
            Err(error) => return chain(&error),
        };
        ctx.fleet.apply(Change::Seen(name, delta));
    }
    "it ended".to_owned()
}

/// Helm's field manager, and our workers'.
const HELM: &str = "helm";
/// Who writes what is no drift: Helm, the operator, and Kubernetes' own controllers.
const NO_DRIFT: [&str; 3] = [HELM, odoofleet_api::labels::FIELD_MANAGER, "kube-controller-manager"];
/// Its controller numbers each change of a Deployment in annotations below this.
const OF_CONTROLLER: &str = "deployment.kubernetes.io/";

/// Changes with each second in which somebody wrote whose writes are no drift. Nor is one of a status, or of a number of pods. Their
/// fields do not count: somebody else's edit takes them away.
fn written<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry>) -> u64 {
    let aside = |entry: &ManagedFieldsEntry| matches!(entry.subresource.as_deref(), Some("scale" | "status"));
    let known = |entry: &ManagedFieldsEntry| NO_DRIFT.contains(&entry.manager.as_deref().unwrap_or_default());
    let text = |entry: &ManagedFieldsEntry| {
        let second = entry.time.as_ref().map(|time| time.0.as_second());
        format!("{:?} {:?} {:?} {second:?}", entry.manager, entry.operation, entry.subresource)
    };
    let mut all: Vec<String> = entries.filter(|entry| aside(entry) || known(entry)).map(text).collect();
    all.sort_unstable();
    digest::mark(&all.join("\n"))
}

/// None for what belongs to no release, or cannot be read.
fn read<K: Resource>(object: &Readable<PartialObjectMeta<K>>, generation: Generation) -> Option<Seen> {
    let Readable::Object(object) = object else { return None };
    let metadata = &object.metadata;
    let tells = generation == Generation::Tells && metadata.generation.is_some();
    let none = BTreeMap::new();
    let labels = metadata.labels.as_ref().unwrap_or(&none).iter().map(|(key, value)| mark_of_label(key, value));
    let annotations = metadata.annotations.as_ref().unwrap_or(&none).iter();
    let annotations = annotations
        .filter(|(key, _)| !key.starts_with(OF_CONTROLLER))
        .map(|(key, value)| mark_of_annotation(key, value));
    Some(Seen {
        release: metadata.annotations.as_ref()?.get(odoofleet_api::labels::HELM_RELEASE_NAME)?.clone(),
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        generation: metadata.generation.filter(|_| tells),
        resource_version: metadata.resource_version.clone()?,
        written: written(metadata.managed_fields.iter().flatten()),
        by_helm: metadata.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref() == Some(HELM)),
        marks: if tells { labels.chain(annotations).collect() } else { Box::default() },
    })
}
