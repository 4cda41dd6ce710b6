//! Our own kinds. One that cannot be read is told by name and stays what it was; all others go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::watcher::{Config, Event};
use kube::{Api, Resource, ResourceExt};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use odoofleet_core::fleet::{Change, Delta, HostClaim, Kind};
use tokio::task::JoinSet;

use super::follow;
use super::readable::{Readable, Unreadable};
use crate::context::{Context, Namespaced};
use crate::report;

/// Follows our kinds.
pub fn start(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    own::<OdooCustomer>(ctx, tasks, "customers", Kind::Customer, Change::Customers);
    own::<OdooTemplate>(ctx, tasks, "templates", Kind::Template, Change::Templates);
    own::<OdooEnvironment>(ctx, tasks, "environments", Kind::Environment, Change::Environments);
    elsewhere(ctx, tasks);
}

/// Follows what other namespaces' environments were given: of them, nothing else is read.
fn elsewhere(ctx: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let others = Config::default().fields(&format!("metadata.namespace!={}", ctx.settings.namespace));
    let api: Api<Readable<OdooEnvironment>> = Api::all(ctx.client.clone());
    let mut list = Vec::new();
    follow(ctx, tasks, "environments of other namespaces", api, others, move |ctx, event| {
        let delta = match event {
            Event::Init => return list.clear(),
            Event::InitApply(object) => return list.extend(claim(object)),
            Event::InitDone => Delta::All(std::mem::take(&mut list)),
            Event::Apply(object) => match claim(object) {
                Some(claim) => Delta::Applied(claim),
                None => return,
            },
            Event::Delete(object) => match claim(object) {
                Some(claim) => Delta::Deleted(claim),
                None => return,
            },
        };
        ctx.fleet.apply(Change::Elsewhere(delta));
    });
}

/// What an environment was given; none if it cannot be read, which its own operator tells.
fn claim(object: Readable<OdooEnvironment>) -> Option<(String, HostClaim)> {
    let Readable::Object(object) = object else { return None };
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    Some((key, HostClaim::of(&object)))
}

fn own<K>(
    ctx: &Arc<Context>,
    tasks: &mut JoinSet<()>,
    name: &'static str,
    kind: Kind,
    change: impl Fn(Delta<Arc<K>>) -> Change + Send + 'static,
) where
    K: Namespaced,
{
    let mut list: Vec<Arc<K>> = Vec::new();
    let mut listed = BTreeSet::new();
    follow(ctx, tasks, name, ctx.api::<Readable<K>>(), Config::default(), move |ctx, event| {
        let delta = match event {
            Event::Init => {
                listed.clear();
                return list.clear();
            }
            Event::InitApply(object) => {
                listed.insert(object.name_any());
                return list.extend(read(ctx, kind, object));
            }
            Event::InitDone => {
                ctx.fleet.with(|fleet| fleet.retain_unreadable(kind, &listed));
                Delta::All(std::mem::take(&mut list))
            }
            Event::Apply(object) => match read(ctx, kind, object) {
                Some(object) => Delta::Applied(object),
                None => return,
            },
            Event::Delete(Readable::Object(object)) => {
                ctx.fleet.with(|fleet| fleet.note_readable(kind, object.meta().name.as_deref().unwrap_or_default()));
                Delta::Deleted(Arc::new(object))
            }
            Event::Delete(Readable::Unreadable(Unreadable { metadata, .. })) => {
                return ctx.fleet.affect(|fleet| fleet.forget(kind, metadata.name.as_deref().unwrap_or_default()));
            }
        };
        ctx.fleet.apply(change(delta));
    });
}

/// The object; none if it cannot be read, which is told.
fn read<K>(ctx: &Context, kind: Kind, object: Readable<K>) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()>,
{
    match object {
        Readable::Object(object) => {
            ctx.fleet.with(|fleet| fleet.note_readable(kind, object.meta().name.as_deref().unwrap_or_default()));
            Some(Arc::new(object))
        }
        Readable::Unreadable(Unreadable { metadata, problem }) => {
            let name = metadata.name.clone().unwrap_or_default();
            if ctx.fleet.with(|fleet| fleet.note_unreadable(kind, &name, &problem)) {
                tracing::warn!(kind = kind.as_str(), name, problem, "an object cannot be read; all others go on");
                report::unreadable(ctx, kind, metadata, &problem);
            }
            None
        }
    }
}
