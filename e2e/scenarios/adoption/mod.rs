//! Releases that somebody else installed: compared, told about, and taken over.

mod found;
mod records;

use std::collections::BTreeMap;

use e2e::{Chart, Told, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, ObjectList};
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

use crate::{Result, quiet, release_labels, rendered, revisions};

/// Has a person's Helm install a release of a chart.
pub(crate) async fn by_hand(world: &World, release: &str, chart: &Chart, more: &[&str]) -> Result {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("small.tgz");
    std::fs::write(&archive, chart.archive()?)?;
    let archive = archive.to_string_lossy();
    let mut arguments = vec!["upgrade", "--install", release, &archive, "--namespace", &world.namespace];
    arguments.extend(more);
    world.helm(&arguments).await?;
    Ok(())
}

/// What an environment of the small chart renders without a word of its own.
pub(crate) const EQUAL: [&str; 2] = ["--set", "customer.id=acme"];

/// The environment in a mode.
fn environment(mode: &str) -> Value {
    let mut object = e2e::environment("acme", "prod");
    object["spec"]["adoption"] = json!(mode);
    object
}

/// UIDs and versions of the pods, which tell of every touch.
pub(crate) async fn pods(world: &World) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let pods: ObjectList<Pod> = world.api().list(&ListParams::default()).await?;
    Ok(pods.items.into_iter().map(|pod| (pod.name_any(), pod.metadata.resource_version)).collect())
}

pub(crate) async fn until_pods_are_ready(world: &World) -> Result {
    for workload in ["deployment/acme-prod-web", "statefulset/acme-prod-db"] {
        world.kubectl(&["rollout", "status", workload, "--namespace", &world.namespace, "--timeout=60s"]).await?;
    }
    Ok(())
}

/// What the operator and its workers wrote since a moment, in the namespace, beside their own kinds' status, finalizers and Events.
async fn written(world: &World, moment: Timestamp) -> anyhow::Result<Vec<String>> {
    let requests = world.requests_since(moment).await?;
    let writes = requests.iter().filter(|request| request.is_write() && request.code < 400);
    let theirs = writes.filter(|request| !request.resource.starts_with("odoo") && request.resource != "events");
    Ok(theirs.map(ToString::to_string).collect())
}

fn is_pending(told: &Told) -> bool {
    told.is_observed() && told.reason() == "AdoptionPending"
}

/// `Deployment/acme-prod-web spec.template…` of every difference.
fn differences(told: &Told) -> Vec<String> {
    let all = told.field("/adoption/comparison/differences").as_array().cloned().unwrap_or_default();
    all.iter().map(|one| format!("{} {}", one["object"].as_str().unwrap_or_default(), one["paths"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_release_is_taken_over_by_labels_alone() -> Result {
    let world = World::start("adopted").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    until_pods_are_ready(&world).await?;
    quiet::settle(&world).await?;
    let (before, moment) = (pods(&world).await?, Timestamp::now());
    world.apply(&environment("Observe")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    quiet::settle(&world).await?;
    assert_eq!(written(&world, moment).await?, ["patch secrets sh.helm.release.v1.acme-prod.v1"]);
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    assert_eq!(pods(&world).await?, before, "a pod was touched");
    let labels = release_labels(&world, "acme-prod").await?;
    assert_eq!(labels.get("odoofleet.dev/environment").map(String::as_str), Some("acme-prod"));
    let told = world.told("acme-prod").await?;
    assert_eq!(told.field("/adoption/revision"), &json!(1));
    assert_eq!(told.field("/history/0/action"), &json!("Adopt"));
    assert_eq!(told.condition("Ready").0, "True");
    // From now on it is one like all others.
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "ours" } } })).await?;
    world.until("acme-prod", "upgraded", |told| told.field("/release/revision") == &json!(2)).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "ours");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_by_paths_and_runs_on_until_it_is_mended() -> Result {
    let world = World::start("differs").await?;
    let theirs = [&EQUAL[..], &["--set", "note=their-secret-note"]].concat();
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &theirs).await?;
    until_pods_are_ready(&world).await?;
    quiet::settle(&world).await?;
    let (before, moment) = (pods(&world).await?, Timestamp::now());
    world.apply(&environment("Observe")).await?;
    let told = world.until("acme-prod", "compared", is_pending).await?;
    assert_eq!((told.phase(), told.condition("Ready").0), ("Running", "False"));
    let found = differences(&told);
    assert!(
        found.iter().any(|one| one.contains("Deployment/acme-prod-web") && one.contains("env[0].value")),
        "{found:?}"
    );
    assert!(!told.field("").to_string().contains("their-secret-note"), "a value is told");
    // The database's pods, too: an upgrade takes service links and tokens from every pod.
    let restarts = json!(["Deployment/acme-prod-web", "StatefulSet/acme-prod-db"]);
    assert_eq!(told.field("/adoption/comparison/restarts"), &restarts);
    quiet::settle(&world).await?;
    assert_eq!(written(&world, moment).await?, [""; 0]);
    assert_eq!(pods(&world).await?, before);
    // Stop and start work all the same.
    world.scale("acme-prod", 0).await?;
    world.until("acme-prod", "stopped", |told| told.is_observed() && told.phase() == "Stopped").await?;
    world.scale("acme-prod", 1).await?;
    world.until("acme-prod", "started", |told| told.is_observed() && told.phase() == "Running").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    // Mended in the spec, it is equal.
    world
        .patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "their-secret-note" } } }))
        .await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_human_upgrades_meanwhile_is_compared_again() -> Result {
    let world = World::start("meanwhile").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &[&EQUAL[..], &["--set", "note=other"]].concat()).await?;
    world.apply(&environment("Observe")).await?;
    world.until("acme-prod", "compared", is_pending).await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(2)).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_over_upgrades_once_and_production_wants_a_word_of_its_own() -> Result {
    let world = World::start("takeover").await?;
    by_hand(&world, "acme-prod", &Chart::small("0.9.0"), &[&EQUAL[..], &["--set", "note=old"]].concat()).await?;
    let mut object = environment("TakeOver");
    object["spec"]["stage"] = json!("Production");
    world.apply(&object).await?;
    let told = world.until("acme-prod", "compared", is_pending).await?;
    assert!(told.message().contains("allow-takeover=acme-prod/1"), "{}", told.message());
    assert_eq!(told.field("/release/chartVersion"), &json!("0.9.0"));
    world.annotate("acme-prod", "odoofleet.dev/allow-takeover", "acme-prod/1").await?;
    world.until("acme-prod", "upgraded", |told| told.field("/adoption/revision") == &json!(2)).await?;
    world.wait_phase("acme-prod", "Running").await?;
    quiet::settle(&world).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_monitored_is_never_written_to() -> Result {
    let world = World::start("monitored").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    quiet::settle(&world).await?;
    let moment = Timestamp::now();
    world.apply(&environment("Monitor")).await?;
    let told = world.until("acme-prod", "compared", is_pending).await?;
    assert!(told.message().contains("equals"), "{}", told.message());
    quiet::settle(&world).await?;
    assert_eq!(written(&world, moment).await?, [""; 0]);
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "adoption": "Observe" } })).await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_tells_of_releases_that_nobody_claims_and_one_is_claimed_by_its_name() -> Result {
    let world = World::start("unmanaged").await?;
    by_hand(&world, "old-erp", &Chart::small("1.0.0"), &EQUAL).await?;
    let told = |template: &OdooTemplate| {
        let all = template.status.as_ref().and_then(|status| status.unmanaged_releases.as_ref());
        all.map_or(0, |all| all.total)
    };
    let template = world.wait::<OdooTemplate>("small", "told of it", |template| told(template) == 1).await?;
    let told_of = Told::by(&template).field("/unmanagedReleases/items/0").clone();
    assert_eq!(told_of, json!({ "name": "old-erp", "revision": 1, "status": "deployed", "chartVersion": "1.0.0" }));
    let mut object = environment("Observe");
    object["spec"]["releaseName"] = json!("old-erp");
    world.apply(&object).await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
    world.wait::<OdooTemplate>("small", "no longer", |template| told(template) == 0).await?;
    // A second one for the same release is refused.
    let mut second = e2e::environment("acme", "second");
    second["spec"]["releaseName"] = json!("old-erp");
    world.apply(&second).await?;
    world.until_refused("acme-second", "ReleaseNameTaken").await?;
    assert!(world.api::<Secret>().get_opt("sh.helm.release.v1.old-erp.v2").await?.is_none());
    Ok(())
}
