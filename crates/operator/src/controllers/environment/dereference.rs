//! The facts about an environment. Nearly all are in the fleet; the API server is asked only about what no watch holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use odoofleet_core::environment::Facts;
use odoofleet_core::environment::references::{ObjectKind, ObjectName, ReferencedObject, VersionView, names};
use odoofleet_core::finding::Finding;
use odoofleet_core::fleet::{Affected, Choice, Look};
use odoofleet_core::task::{Stage, Task};
use odoofleet_helm::{Lane, TaskStage};

use super::Error;
use crate::context::Context;
use crate::watches::releases;

/// Collects the facts. None if the environment is gone, or cannot be read.
pub async fn facts(ctx: &Context, name: &str) -> Result<Option<Facts>, Error> {
    loop {
        let Some(look) = ctx.fleet.with(|fleet| fleet.look(name, Timestamp::now())) else {
            ctx.throttle.forget(name);
            return Ok(None);
        };
        // What was looked up outside belongs to this spec: after an edit meanwhile it is looked up anew.
        if let Some(facts) = facts_for(ctx, name, look).await? {
            return Ok(Some(facts));
        }
    }
}

async fn facts_for(ctx: &Context, name: &str, look: Look) -> Result<Option<Facts>, Error> {
    if look.lacks_applied {
        learn_applied(ctx, &look).await?;
    }
    let version = match look.version.clone() {
        Ok(choice) => load(ctx, &look, choice).await?,
        Err(finding) => Err(finding),
    };
    let mut unseen = BTreeMap::new();
    for object in &look.unseen {
        unseen.insert(object.clone(), look_for(ctx, object).await?);
    }
    let deleting = look.environment.metadata.deletion_timestamp.is_some();
    let is_orphaned = deleting && (is_kind_terminating(ctx).await? || is_namespace_terminating(ctx).await?);
    // First what runs, then what was kept of it: an operation that ends in between is in one of both.
    let task = names(&look.environment.spec).ok().and_then(|(_, release)| task(ctx, release.as_str()));
    Ok(ctx.fleet.with(|fleet| {
        let same = fleet.look(name, Timestamp::now()).is_some_and(|now| now.asks_the_same(&look));
        same.then(|| fleet.facts(name, version, unseen, task, is_orphaned, Timestamp::now())).flatten()
    }))
}

fn task(ctx: &Context, release: &str) -> Option<Task> {
    let found = ctx.pool.task(release)?;
    let stage = match found.stage {
        TaskStage::Queued => Stage::Queued,
        TaskStage::Running => Stage::Running,
        TaskStage::Reported => Stage::Reported,
    };
    Some(Task { operation: found.id, stage, by_person: found.lane == Lane::Person })
}

/// The chosen version with its chart.
async fn load(ctx: &Context, look: &Look, choice: Choice) -> Result<Result<VersionView, Finding>, Error> {
    let Choice { stored, waits_for } = choice;
    let loaded = match ctx.charts.load(&ctx.api::<ConfigMap>(), &stored.content.chart_digest).await {
        Ok(loaded) => loaded,
        // A stop and a deletion need no chart.
        Err(error) => return error.finding().map(Err).map_err(Error::Chart),
    };
    let schema = match &stored.content.values_schema {
        Some(schema) => ctx.charts.compiled(&stored.digest, schema),
        None => loaded.schema,
    };
    Ok(Ok(VersionView {
        template: look.environment.spec.template_ref.name.clone(),
        content: stored.content,
        digest: stored.digest,
        chart: loaded.chart,
        schema,
        waits_for,
    }))
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

/// What we applied last, if somebody ran Helm by hand meanwhile: the watch leaves superseded revisions out.
async fn learn_applied(ctx: &Context, look: &Look) -> Result<(), Error> {
    let Ok((_, release)) = names(&look.environment.spec) else { return Ok(()) };
    let params = ListParams::default().labels(&format!("owner=helm,name={release}"));
    let listed = ctx.api::<PartialObjectMeta<Secret>>().list(&params).await;
    let listed =
        listed.map_err(|error| Error::Dereference(format!("the revisions of release \"{release}\""), error))?;
    ctx.fleet.with(|fleet| {
        for stored in listed.items.iter().filter_map(releases::read) {
            // This look goes on with it; it concerns nobody else.
            let _: Affected = fleet.note_superseded(&stored.revision);
        }
    });
    Ok(())
}

async fn is_kind_terminating(ctx: &Context) -> Result<bool, Error> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(ctx.client.clone());
    let crd =
        api.get_opt("odooenvironments.odoofleet.dev").await.map_err(|error| Error::Deletion("read the CRD", error))?;
    Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
}

async fn is_namespace_terminating(ctx: &Context) -> Result<bool, Error> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let namespace =
        api.get_opt(&ctx.settings.namespace).await.map_err(|error| Error::Deletion("read the namespace", error))?;
    Ok(namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}
