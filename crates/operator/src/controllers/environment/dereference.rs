//! What a spec refers to, from caches. The API server is asked only about what the caches do not hold: a missing object.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{OdooEnvironmentStatus, Placement};
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use odoofleet_core::environment::Refusal;
use odoofleet_core::environment::references::{
    CustomerView, ObjectKind, ObjectName, ReferencedObject, References, Rival, VersionView, hosts, is_older,
    named_objects, names,
};

use super::Error;
use crate::context::Context;
use crate::controllers::template::rollout;
use crate::index::{Retained, StoredVersion};

/// Collects everything outside the spec that decides what an environment should be.
pub async fn dereference(
    ctx: &Context,
    environment: &OdooEnvironment,
    status: &OdooEnvironmentStatus,
) -> Result<References, Error> {
    let mut objects = BTreeMap::new();
    for name in named_objects(&environment.spec) {
        let object = match ctx.index.references.get(&name) {
            Some(object) => object,
            None => look_for(ctx, &name).await?,
        };
        objects.insert(name, object);
    }
    Ok(References {
        customer: customer(ctx, &environment.spec.customer_ref.name),
        version: version(ctx, environment, status).await?,
        objects,
        rivals: rivals(ctx, environment, status),
        rank_in_customer: rank_in_customer(ctx, environment),
        allowed_git_hosts: ctx.settings.allowed_git_hosts.clone(),
        namespace: ctx.settings.namespace.clone(),
    })
}

/// An object that no watch holds is missing, or lacks the label: the message differs.
async fn look_for(ctx: &Context, name: &ObjectName) -> Result<ReferencedObject, Error> {
    let found = match name.kind {
        ObjectKind::Secret => ctx.api::<Secret>().get_metadata_opt(&name.name).await.map(|found| found.is_some()),
        ObjectKind::ConfigMap => ctx.api::<ConfigMap>().get_metadata_opt(&name.name).await.map(|found| found.is_some()),
    };
    let found = found.map_err(|error| Error::Dereference(format!("{:?} \"{}\"", name.kind, name.name), error))?;
    Ok(if found { ReferencedObject::Unlabelled } else { ReferencedObject::Missing })
}

fn customer(ctx: &Context, name: &str) -> Option<CustomerView> {
    let customer = ctx.stores.customers.get(&ObjectRef::new(name).within(&ctx.settings.namespace))?;
    let status = customer.status.clone().unwrap_or_default();
    Some(CustomerView {
        id: customer.spec.id.clone().unwrap_or_else(|| name.to_owned()),
        phase: status.phase,
        stop: status.stop,
        max_environments: customer.spec.limits.as_ref().and_then(|limits| limits.environments),
    })
}

async fn version(
    ctx: &Context,
    environment: &OdooEnvironment,
    status: &OdooEnvironmentStatus,
) -> Result<Result<VersionView, Refusal>, Error> {
    let name = &environment.spec.template_ref.name;
    let Some(template) = ctx.stores.templates.get(&ObjectRef::new(name).within(&ctx.settings.namespace)) else {
        let message = format!(
            "template \"{name}\" does not exist: create the OdooTemplate, or name another; what runs goes on until then"
        );
        return Ok(Err(Refusal::new(Reason::TemplateNotFound, message)));
    };
    let (stored, waits_for) = match choose_version(ctx, &template, environment, status) {
        Ok(chosen) => chosen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let loaded = match ctx.charts.load(&ctx.api::<ConfigMap>(), &stored.content.chart_digest).await {
        Ok(loaded) => loaded,
        Err(error @ crate::charts::LoadError::Missing(_)) => {
            return Ok(Err(Refusal::new(Reason::ChartUnavailable, error.to_string())));
        }
        Err(error) => return Err(error.into()),
    };
    let schema = match &stored.content.values_schema {
        Some(schema) => ctx.charts.compiled(&stored.digest, schema),
        None => loaded.schema,
    };
    let view = VersionView {
        template: name.clone(),
        content: stored.content,
        digest: stored.digest,
        chart: loaded.chart,
        schema,
        waits_for,
    };
    Ok(Ok(view))
}

/// The version that an environment should hold now, and a newer one to which it has not been admitted yet.
fn choose_version(
    ctx: &Context,
    template: &OdooTemplate,
    environment: &OdooEnvironment,
    status: &OdooEnvironmentStatus,
) -> Result<(StoredVersion, Option<String>), Refusal> {
    let name = template.name_any();
    let find = |version: &str| ctx.index.versions.get(&name, version);
    if let Some(pinned) = &environment.spec.template_ref.version {
        return find(pinned).map(|stored| (stored, None)).ok_or_else(|| no_version(ctx, &name, pinned));
    }
    let newest = &template.spec.version;
    let held = status.template.as_ref().filter(|held| held.name == name).map(|held| held.version.as_str());
    if let Some(held) = held.filter(|held| held != newest).and_then(find) {
        let all = ctx.stores.environments.state_filter(|other| other.spec.template_ref.name == name);
        let admitted = find(newest).is_some() && rollout::admits(template, &all, environment);
        if !admitted {
            return Ok((held, Some(newest.clone())));
        }
    }
    find(newest).map(|stored| (stored, None)).ok_or_else(|| not_ready(template))
}

fn no_version(ctx: &Context, template: &str, version: &str) -> Refusal {
    let known: Vec<String> =
        ctx.index.versions.of(template).into_iter().map(|stored| stored.content.version.clone()).collect();
    let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
    Refusal::new(
        Reason::VersionNotFound,
        format!("template \"{template}\" has no version \"{version}\"; there is: {known}"),
    )
}

fn not_ready(template: &OdooTemplate) -> Refusal {
    let conditions = template.status.iter().flat_map(|status| &status.conditions);
    let problem = conditions
        .filter(|condition| condition.type_ == "Ready" && condition.status == "False")
        .map(|condition| condition.message.clone())
        .next();
    let name = template.name_any();
    match problem {
        Some(problem) => Refusal::new(Reason::TemplateNotReady, format!("template \"{name}\" is not ready: {problem}")),
        None => Refusal::new(Reason::Progressing, format!("template \"{name}\" has not been looked at yet")),
    }
}

/// Other claims on the same release name or hosts.
fn rivals(ctx: &Context, environment: &OdooEnvironment, status: &OdooEnvironmentStatus) -> Vec<Rival> {
    let (own_hosts, own_name) = (hosts(&environment.spec), environment.name_any());
    let release = names(&environment.spec).map(|(_, release)| release.to_string()).unwrap_or_default();
    let retained = ctx.index.releases.retained();
    let is_own = |retained: &Retained| {
        retained.environment == own_name && retained.customer == environment.spec.customer_ref.name
    };
    let kept_for_us = retained.iter().any(is_own);
    let history = ctx.index.releases.history(&release);
    let owner = history.newest().map(|newest| &newest.ownership).filter(|ownership| ownership.is_ours());
    let owns_release = |candidate: &OdooEnvironment| owner.is_some_and(|owner| owner.may_belong_to(candidate));
    let claims =
        |release_name: &str, other_hosts: &[String]| release_name == release || shares(&own_hosts, other_hosts);
    let others = ctx.stores.environments.state();
    let here = |other: &&Arc<OdooEnvironment>| {
        other.name_any() != own_name && other.spec.placement.unwrap_or_default() == Placement::Cluster
    };
    let others = others.iter().filter(here).filter_map(|other| {
        let other_release = names(&other.spec).map(|(_, release)| release.to_string()).unwrap_or_default();
        let other_hosts = if own_hosts.is_empty() { Vec::new() } else { hosts(&other.spec) };
        if !claims(&other_release, &other_hosts) {
            return None;
        }
        let other_status = ctx.memory.status(other);
        let older = is_older(other, environment);
        Some(Rival {
            environment: other.name_any(),
            customer: other.spec.customer_ref.name.clone(),
            release: other_release,
            has_release: owns_release(other) || (older && !owns_release(environment)),
            // Who was given a host keeps it, whoever else is older.
            has_hosts: match (
                shares(&other_status.hosts, &own_hosts),
                kept_for_us || shares(&status.hosts, &other_hosts),
            ) {
                (true, false) => true,
                (false, true) => false,
                _ => older,
            },
            hosts: other_hosts,
            retained: false,
        })
    });
    let retained = retained.iter().filter(|retained| claims(&retained.release, &retained.hosts));
    let retained = retained.map(|retained| Rival {
        environment: retained.environment.clone(),
        customer: retained.customer.clone(),
        release: retained.release.clone(),
        hosts: retained.hosts.clone(),
        has_release: true,
        has_hosts: true,
        retained: true,
    });
    others.chain(retained).collect()
}

fn shares(some: &[String], others: &[String]) -> bool {
    some.iter().any(|host| others.contains(host))
}

/// How many of the customer's environments come before: they are there already, or are older.
fn rank_in_customer(ctx: &Context, environment: &OdooEnvironment) -> usize {
    let customer = &environment.spec.customer_ref.name;
    // Creation times have seconds: of two in one second, the one that was installed counts as the first.
    let is_there = |other: &OdooEnvironment| {
        let status = ctx.memory.status(other);
        status.release.is_some() || status.operation.is_some()
    };
    let before = |other: &Arc<OdooEnvironment>| {
        other.spec.customer_ref.name == *customer
            && other.uid() != environment.uid()
            && (is_older(other, environment) || is_there(other))
    };
    ctx.stores.environments.state().iter().filter(|other| before(other)).count()
}
