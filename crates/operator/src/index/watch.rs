//! The watches: each fills its part of the index, and asks for a look at whoever a change concerns.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::template::WorkloadKind;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate, labels};
use odoofleet_core::environment::references::{ObjectKind, ObjectName, hosts, named_objects, names};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::references::{Incoming, config_map, secret};
use super::running::{Item, ItemKind};
use super::{certificates, convert};
use crate::context::Context;

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

fn releases(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let api: Api<PartialObjectMeta<Secret>> = ctx.api();
    let config = watcher::Config::default().fields("type=helm.sh/release.v1").labels("owner=helm,status!=superseded");
    let mut buffer = Vec::new();
    follow(ctx, tasks, "releases", api, config, move |ctx, event| match event {
        Event::Init => buffer.clear(),
        Event::InitApply(secret) => buffer.push(secret),
        Event::InitDone => {
            let changed = ctx.index.releases.replace(&std::mem::take(&mut buffer));
            for release in &changed {
                trigger_release(ctx, release);
            }
        }
        Event::Apply(secret) => {
            if let Some(release) = ctx.index.releases.apply(&secret) {
                trigger_release(ctx, &release);
            }
        }
        Event::Delete(secret) => {
            if let Some(release) = ctx.index.releases.remove(&secret) {
                trigger_release(ctx, &release);
                trigger_rivals_of_release(ctx, &release);
            }
        }
    });
}

fn items<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: ItemKind,
    read: impl Fn(&K) -> Option<Item> + Send + 'static,
) where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let config = watcher::Config::default().labels(&convert::managed_by_helm());
    let api: Api<K> = ctx.api();
    let mut cleared = std::collections::BTreeSet::new();
    follow(ctx, tasks, name, api, config, move |ctx, event| match event {
        Event::Init => cleared = ctx.index.running.clear(kind),
        Event::InitApply(object) | Event::Apply(object) => {
            if let (Some(release), Some(item)) = (convert::release_of(&object), read(&object)) {
                ctx.index.running.apply(&release, item);
                cleared.remove(&release);
                trigger_release(ctx, &release);
            }
        }
        Event::InitDone => std::mem::take(&mut cleared).iter().for_each(|release| trigger_release(ctx, release)),
        Event::Delete(object) => {
            if let Some(release) = convert::release_of(&object) {
                ctx.index.running.remove(&release, kind, &object.name_any());
                trigger_release(ctx, &release);
            }
        }
    });
}

fn pods(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let mut buffer = Vec::new();
    follow(ctx, tasks, "pods", ctx.api::<Pod>(), watcher::Config::default(), move |ctx, event| {
        let release = match event {
            Event::Init => {
                buffer.clear();
                None
            }
            Event::InitApply(pod) => {
                buffer.extend(convert::pod(&pod));
                None
            }
            Event::InitDone => {
                let changed = ctx.index.running.replace_pods(std::mem::take(&mut buffer));
                for release in &changed {
                    trigger_release(ctx, release);
                }
                None
            }
            Event::Apply(pod) => convert::pod(&pod).and_then(|pod| ctx.index.running.apply_pod(pod)),
            Event::Delete(pod) => convert::pod(&pod).and_then(|pod| ctx.index.running.remove_pod(&pod)),
        };
        if let Some(release) = release {
            trigger_release(ctx, &release);
        }
    });
}

fn certificates(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let config = watcher::Config::default().fields("type=kubernetes.io/tls");
    let mut buffer = HashMap::new();
    follow(ctx, tasks, "certificates", ctx.api::<Secret>(), config, move |ctx, event| {
        let changed = match event {
            Event::Init => {
                buffer.clear();
                Vec::new()
            }
            Event::InitApply(secret) => {
                buffer.insert(secret.name_any(), certificates::read(&secret));
                Vec::new()
            }
            Event::InitDone => {
                let names = buffer.keys().cloned().collect();
                ctx.index.certificates.replace(std::mem::take(&mut buffer));
                names
            }
            Event::Apply(secret) => {
                ctx.index.certificates.apply(&secret.name_any(), certificates::read(&secret));
                vec![secret.name_any()]
            }
            Event::Delete(secret) => {
                ctx.index.certificates.remove(&secret.name_any());
                vec![secret.name_any()]
            }
        };
        for secret in changed {
            ctx.index.running.with_certificate(&secret).iter().for_each(|release| trigger_release(ctx, release));
        }
    });
}

fn references<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: ObjectKind,
    shared: bool,
    fields: Option<&str>,
    read: impl Fn(&K) -> Incoming + Send + 'static,
) where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let selector = if shared { format!("{}=true", labels::SHARED) } else { labels::CUSTOMER.to_owned() };
    let mut config = watcher::Config::default().labels(&selector);
    if let Some(fields) = fields {
        config = config.fields(fields);
    }
    let api: Api<K> = ctx.api();
    let mut buffer = Vec::new();
    follow(ctx, tasks, name, api, config, move |ctx, event| match event {
        Event::Init => buffer.clear(),
        Event::InitApply(object) => buffer.push(read(&object)),
        Event::InitDone => {
            ctx.index.references.replace(kind, shared, std::mem::take(&mut buffer));
            ctx.stores
                .environments
                .state()
                .iter()
                .for_each(|environment| ctx.triggers.environment(&environment.name_any()));
        }
        Event::Apply(object) => {
            let incoming = read(&object);
            let name = incoming.name.clone();
            ctx.index.references.apply(incoming);
            trigger_referrers(ctx, &name);
        }
        Event::Delete(object) => {
            let name = ObjectName { kind, name: object.name_any() };
            ctx.index.references.remove(&name, shared);
            trigger_referrers(ctx, &name);
        }
    });
}

/// Credentials with which templates fetch charts: who waits for them is told, nothing is kept.
fn registries(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let api: Api<PartialObjectMeta<Secret>> = ctx.api();
    let config = watcher::Config::default().labels(&format!("{}=true", labels::REGISTRY));
    follow(ctx, tasks, "registry secrets", api, config, move |ctx, event| {
        if let Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret) = event {
            trigger_referrers(ctx, &ObjectName { kind: ObjectKind::Secret, name: secret.name_any() });
        }
    });
}

fn versions(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let config = watcher::Config::default().labels(labels::TEMPLATE);
    let mut buffer = Vec::new();
    follow(ctx, tasks, "template versions", ctx.api::<ControllerRevision>(), config, move |ctx, event| {
        let template = match event {
            Event::Init => {
                buffer.clear();
                None
            }
            Event::InitApply(revision) => {
                buffer.push(revision);
                None
            }
            Event::InitDone => {
                ctx.index.versions.replace(&std::mem::take(&mut buffer));
                ctx.stores.templates.state().iter().for_each(|template| trigger_template(ctx, &template.name_any()));
                None
            }
            Event::Apply(revision) => ctx.index.versions.apply(&revision),
            Event::Delete(revision) => ctx.index.versions.remove(&revision),
        };
        if let Some(template) = template {
            trigger_template(ctx, &template);
        }
    });
}

fn trigger_release(ctx: &Context, release: &str) {
    ctx.index.claims.of(release).iter().for_each(|environment| ctx.triggers.environment(environment));
}

/// A retained release that is gone frees its hosts; whoever waits for one of them does not know its name.
fn trigger_rivals_of_release(ctx: &Context, release: &str) {
    for environment in ctx.stores.environments.state() {
        let status = environment.status.as_ref();
        let waits = status
            .and_then(|status| status.reason.as_deref())
            .is_some_and(|reason| matches!(reason, "HostTaken" | "ReleaseOwnedByAnother"));
        if waits && environment.name_any() != release {
            ctx.triggers.environment(&environment.name_any());
        }
    }
}

fn trigger_referrers(ctx: &Context, object: &ObjectName) {
    for environment in ctx.stores.environments.state() {
        if named_objects(&environment.spec).contains(object) {
            ctx.triggers.environment(&environment.name_any());
        }
    }
    for template in ctx.stores.templates.state() {
        let chart = &template.spec.chart;
        let named = chart.config_map_ref.as_ref().map(|map| &map.name).into_iter();
        let mut named = named
            .chain(chart.pull_secret_ref.as_ref().map(|secret| &secret.name))
            .chain(chart.ca_ref.as_ref().map(|map| &map.name));
        if named.any(|name| *name == object.name) {
            ctx.triggers.template(&template.name_any());
        }
    }
}

fn trigger_template(ctx: &Context, template: &str) {
    ctx.triggers.template(template);
    for environment in ctx.stores.environments.state() {
        if environment.spec.template_ref.name == template {
            ctx.triggers.environment(&environment.name_any());
        }
    }
}

/// Follows our own kinds: fills a store, and asks for a look at the object, and at all that depends on it if anything
/// changed that they read. The counts in its status follow them, not the other way round.
fn customers(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooCustomer>) {
    follow(ctx, tasks, "customers", ctx.api::<OdooCustomer>(), watcher::Config::default(), move |ctx, event| {
        let before = known(&event, &ctx.stores.customers);
        writer.apply_watcher_event(&event);
        each(ctx, event, &ctx.stores.customers, |ctx, customer| {
            ctx.triggers.customer(&customer.name_any());
            if before.as_deref().is_some_and(|before| governs(before) == governs(customer)) {
                return;
            }
            let name = customer.name_any();
            let environments = ctx.stores.environments.state();
            let own = environments.iter().filter(|environment| environment.spec.customer_ref.name == name);
            own.for_each(|environment| ctx.triggers.environment(&environment.name_any()));
        });
    });
}

/// What environments read of their customer.
fn governs(customer: &OdooCustomer) -> impl PartialEq {
    let status = customer.status.as_ref();
    let read = status.map(|status| (status.phase, status.stop.clone()));
    (customer.metadata.uid.clone(), customer.metadata.generation, customer.metadata.deletion_timestamp.clone(), read)
}

/// Follows templates.
fn templates(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooTemplate>) {
    follow(ctx, tasks, "templates", ctx.api::<OdooTemplate>(), watcher::Config::default(), move |ctx, event| {
        let before = known(&event, &ctx.stores.templates);
        writer.apply_watcher_event(&event);
        each(ctx, event, &ctx.stores.templates, |ctx, template| {
            let name = template.name_any();
            match before.as_deref() {
                Some(before) if offers(before) == offers(template) => ctx.triggers.template(&name),
                _ => trigger_template(ctx, &name),
            }
        });
    });
}

/// What environments read of their template.
fn offers(template: &OdooTemplate) -> impl PartialEq {
    let status = template.status.as_ref();
    let admitted = status.and_then(|status| status.rollout.as_ref()).map(|one| (one.version.clone(), one.admitted));
    let conditions = status.map(|status| status.conditions.clone());
    let meta = &template.metadata;
    (meta.uid.clone(), meta.generation, meta.deletion_timestamp.clone(), admitted, conditions)
}

/// The object of an event as it was known until now.
fn known<K>(event: &Event<K>, store: &kube::runtime::reflector::Store<K>) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::Apply(object) => store.get(&kube::runtime::reflector::ObjectRef::from_obj(object)),
        Event::Delete(_) | Event::Init | Event::InitApply(_) | Event::InitDone => None,
    }
}

/// Follows environments.
fn environments(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooEnvironment>) {
    follow(ctx, tasks, "environments", ctx.api::<OdooEnvironment>(), watcher::Config::default(), move |ctx, event| {
        let gone = matches!(event, Event::Delete(_));
        let before = known(&event, &ctx.stores.environments);
        writer.apply_watcher_event(&event);
        each(ctx, event, &ctx.stores.environments, |ctx, environment| {
            if gone {
                ctx.index.claims.remove(environment);
            } else {
                ctx.index.claims.apply(environment);
            }
            // The echo of a status that was written here tells nothing new.
            if before.as_deref().is_none_or(|before| asks(before) != asks(environment)) {
                ctx.triggers.environment(&environment.name_any());
            }
            ctx.triggers.customer(&environment.spec.customer_ref.name);
            ctx.triggers.template(&environment.spec.template_ref.name);
            if gone {
                if let Some(uid) = environment.metadata.uid.as_deref() {
                    ctx.memory.forget(uid);
                }
                ctx.backoff.reset(&environment.name_any());
            }
            // Whoever claims the same name or host may now have it, or no longer.
            if gone || environment.metadata.generation == Some(1) {
                trigger_rivals(ctx, environment);
            }
        });
    });
}

/// All of an environment but its status.
fn asks(environment: &OdooEnvironment) -> impl PartialEq {
    let meta = &environment.metadata;
    (
        meta.uid.clone(),
        meta.generation,
        meta.deletion_timestamp.clone(),
        meta.annotations.clone(),
        meta.labels.clone(),
        meta.finalizers.clone(),
    )
}

fn trigger_rivals(ctx: &Context, changed: &OdooEnvironment) {
    let claims = hosts(&changed.spec);
    let release = names(&changed.spec).ok().map(|(_, release)| release);
    for other in ctx.stores.environments.state() {
        if other.name_any() == changed.name_any() {
            continue;
        }
        let same_release = release.is_some() && names(&other.spec).ok().map(|(_, release)| release) == release;
        let same_host = !claims.is_empty() && hosts(&other.spec).iter().any(|host| claims.contains(host));
        let same_customer = other.spec.customer_ref.name == changed.spec.customer_ref.name;
        let waits_for_limit =
            same_customer && other.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("LimitExceeded");
        if same_release || same_host || waits_for_limit {
            ctx.triggers.environment(&other.name_any());
        }
    }
}

/// Calls `act` for the object of an event; after a list, for every object.
fn each<K>(ctx: &Context, event: Event<K>, store: &kube::runtime::reflector::Store<K>, act: impl Fn(&Context, &K))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::Apply(object) | Event::Delete(object) => act(ctx, &object),
        Event::InitDone => store.state().iter().for_each(|object| act(ctx, object)),
        Event::Init | Event::InitApply(_) => {}
    }
}
