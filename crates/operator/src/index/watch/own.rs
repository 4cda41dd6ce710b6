//! Our own kinds: each fills a store, and asks for a look at the object, and at all that depends on it if anything changed
//! that they read. The counts in a status follow its environments, not the other way round.

use std::sync::Arc;

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{Config, Event};
use kube::{Resource, ResourceExt};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use odoofleet_core::environment::references::hosts;
use tokio::task::JoinSet;

use super::dependants::{trigger_rivals, trigger_template};
use super::follow;
use crate::context::Context;

/// Follows customers.
pub fn customers(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooCustomer>) {
    follow(ctx, tasks, "customers", ctx.api::<OdooCustomer>(), Config::default(), move |ctx, event| {
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
pub fn templates(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooTemplate>) {
    follow(ctx, tasks, "templates", ctx.api::<OdooTemplate>(), Config::default(), move |ctx, event| {
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
fn known<K>(event: &Event<K>, store: &Store<K>) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::Apply(object) => store.get(&ObjectRef::from_obj(object)),
        Event::Delete(_) | Event::Init | Event::InitApply(_) | Event::InitDone => None,
    }
}

/// Follows environments.
pub fn environments(ctx: &Arc<Context>, tasks: &mut JoinSet<()>, mut writer: Writer<OdooEnvironment>) {
    follow(ctx, tasks, "environments", ctx.api::<OdooEnvironment>(), Config::default(), move |ctx, event| {
        let gone = matches!(event, Event::Delete(_));
        let listed = matches!(event, Event::InitDone);
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
            // Whoever claims the same name or host may now have it, or no longer. After a list all are looked at anyway.
            let before = before.as_deref();
            if !listed && (gone || before.map(claimed) != Some(claimed(environment))) {
                let mut freed = claimed(environment);
                freed.extend(before.map(claimed).unwrap_or_default());
                trigger_rivals(ctx, environment, &freed);
            }
        });
    });
}

/// Hosts that an environment wants or has.
fn claimed(environment: &OdooEnvironment) -> Vec<String> {
    let mut all = hosts(&environment.spec);
    all.extend(environment.status.iter().flat_map(|status| status.hosts.iter().cloned()));
    all
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

/// Calls `act` for the object of an event; after a list, for every object.
fn each<K>(ctx: &Context, event: Event<K>, store: &Store<K>, act: impl Fn(&Context, &K))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::Apply(object) | Event::Delete(object) => act(ctx, &object),
        Event::InitDone => store.state().iter().for_each(|object| act(ctx, object)),
        Event::Init | Event::InitApply(_) => {}
    }
}
