//! Everything that is not of our own kinds.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::labels;
use odoofleet_core::environment::references::{ObjectKind, ObjectName};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::dependants::{trigger_referrers, trigger_release, trigger_rivals_of_release, trigger_template};
use super::{Change, collect, follow};
use crate::context::Context;
use crate::index::references::Incoming;
use crate::index::running::{Item, ItemKind};
use crate::index::{certificates, convert};

/// Helm's releases.
pub fn releases(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let api: Api<PartialObjectMeta<Secret>> = ctx.api();
    let config = Config::default().fields("type=helm.sh/release.v1").labels("owner=helm,status!=superseded");
    collect(ctx, tasks, "releases", api, config, Some, |ctx, change| match change {
        Change::All(secrets) => {
            ctx.index.releases.replace(&secrets).iter().for_each(|release| trigger_release(ctx, release));
        }
        Change::Applied(secret) => {
            ctx.index.releases.apply(&secret).iter().for_each(|release| trigger_release(ctx, release));
        }
        Change::Deleted(secret) => {
            if let Some(release) = ctx.index.releases.remove(&secret) {
                trigger_release(ctx, &release);
                trigger_rivals_of_release(ctx, &release);
            }
        }
    });
}

/// Objects of releases, other than pods.
pub fn items<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: ItemKind,
    read: impl Fn(&K) -> Option<Item> + Send + 'static,
) where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let config = Config::default().labels(&convert::managed_by_helm());
    let api: Api<K> = ctx.api();
    let mut cleared = BTreeSet::new();
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

/// Pods.
pub fn pods(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let read = |pod: Pod| convert::pod_item(&pod);
    collect(ctx, tasks, "pods", ctx.api::<Pod>(), Config::default(), read, |ctx, change| {
        let changed: BTreeSet<String> = match change {
            Change::All(pods) => ctx.index.running.replace_pods(pods),
            Change::Applied(pod) => ctx.index.running.apply_pod(pod).into_iter().collect(),
            Change::Deleted(pod) => ctx.index.running.remove_pod(&pod).into_iter().collect(),
        };
        for release in changed {
            trigger_release(ctx, &release);
        }
    });
}

/// Certificates, for the releases whose Ingresses name them.
pub fn certificates(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let config = Config::default().fields("type=kubernetes.io/tls");
    let read = |secret: Secret| Some((secret.name_any(), certificates::read(&secret)));
    collect(ctx, tasks, "certificates", ctx.api::<Secret>(), config, read, |ctx, change| {
        let changed = match change {
            Change::All(found) => ctx.index.certificates.replace(found.into_iter().collect()),
            Change::Applied((name, found)) => ctx.index.certificates.apply(name, found),
            Change::Deleted((name, _)) => ctx.index.certificates.remove(name),
        };
        for secret in changed {
            ctx.index.running.with_certificate(&secret).iter().for_each(|release| trigger_release(ctx, release));
        }
    });
}

/// Secrets and ConfigMaps that environments may name.
pub fn references<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: ObjectKind,
    shared: bool,
    fields: Option<&str>,
    read: impl Fn(&K) -> Incoming + Send + 'static,
) where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let selector = if shared { format!("{}=true", labels::SHARED) } else { labels::CUSTOMER.to_owned() };
    let mut config = Config::default().labels(&selector);
    if let Some(fields) = fields {
        config = config.fields(fields);
    }
    let api: Api<K> = ctx.api();
    let read = move |object: K| Some(read(&object));
    collect(ctx, tasks, name, api, config, read, move |ctx, change| match change {
        Change::All(incoming) => {
            ctx.index.references.replace(kind, shared, incoming);
            for environment in ctx.stores.environments.state() {
                ctx.triggers.environment(&environment.name_any());
            }
        }
        Change::Applied(incoming) => {
            let name = incoming.name.clone();
            ctx.index.references.apply(incoming);
            trigger_referrers(ctx, &name);
        }
        Change::Deleted(incoming) => {
            ctx.index.references.remove(&incoming.name, shared);
            trigger_referrers(ctx, &incoming.name);
        }
    });
}

/// Credentials with which templates fetch charts: who waits for them is told, nothing is kept.
pub fn registries(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let api: Api<PartialObjectMeta<Secret>> = ctx.api();
    let config = Config::default().labels(&format!("{}=true", labels::REGISTRY));
    follow(ctx, tasks, "registry secrets", api, config, move |ctx, event| {
        if let Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret) = event {
            trigger_referrers(ctx, &ObjectName { kind: ObjectKind::Secret, name: secret.name_any() });
        }
    });
}

/// Versions of templates.
pub fn versions(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let config = Config::default().labels(labels::TEMPLATE);
    let api = ctx.api::<ControllerRevision>();
    collect(ctx, tasks, "template versions", api, config, Some, |ctx, change| match change {
        Change::All(revisions) => {
            ctx.index.versions.replace(&revisions);
            ctx.stores.templates.state().iter().for_each(|template| trigger_template(ctx, &template.name_any()));
        }
        Change::Applied(revision) => {
            ctx.index.versions.apply(&revision).iter().for_each(|template| trigger_template(ctx, template));
        }
        Change::Deleted(revision) => {
            ctx.index.versions.remove(&revision).iter().for_each(|template| trigger_template(ctx, template));
        }
    });
}
