//! What somebody changes by hand in a release's objects: told, put right without a revision, or left as a rule says.

use e2e::{Chart, Told, World};
use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::requests::meddle;
use crate::{Result, quiet, rendered, revisions};

/// An environment that runs, in a mode.
async fn running(name: &str, detection: Value) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    let mut object = e2e::environment("acme", "prod");
    object["spec"]["driftDetection"] = detection;
    object["spec"]["values"] = json!({ "note": "ours" });
    world.apply(&object).await?;
    world.wait_phase("acme-prod", "Running").await?;
    quiet::settle(&world).await?;
    Ok(world)
}

async fn edit(world: &World, object: &str, patch: Value) -> Result {
    let patch = patch.to_string();
    world.kubectl(&["patch", object, "--type=merge", "--patch", &patch, "--namespace", &world.namespace]).await?;
    Ok(())
}

/// `ConfigMap/acme-prod-config ["data.note"]` of each object that differs.
fn drift(told: &Told) -> Vec<String> {
    let all = told.field("/drift").as_array().cloned().unwrap_or_default();
    all.iter().map(|one| format!("{} {}", one["object"].as_str().unwrap_or_default(), one["paths"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_is_told_by_paths_and_no_longer_when_it_is_put_back() -> Result {
    let world = running("warned", json!({ "mode": "Warn" })).await?;
    edit(&world, "configmap/acme-prod-config", json!({ "data": { "note": "their-secret-note" } })).await?;
    let told = world.until("acme-prod", "told", |told| told.is("Drifted")).await?;
    assert_eq!(drift(&told), ["ConfigMap/acme-prod-config [\"data.note\"]"]);
    assert_eq!((told.phase(), told.condition("Ready").0), ("Running", "True"));
    assert!(!told.field("").to_string().contains("their-secret-note"), "a value is told");
    quiet::settle(&world).await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "their-secret-note", "it is only told");
    world.kubectl(&["delete", "deployment/acme-prod-web", "--namespace", &world.namespace]).await?;
    let gone = |told: &Told| drift(told).iter().any(|one| one.starts_with("Deployment/acme-prod-web"));
    world.until("acme-prod", "told of the other", |told| gone(told) || told.reason() == "WorkloadMissing").await?;
    // The next upgrade puts all of it right.
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "next" } } })).await?;
    world
        .until("acme-prod", "put right", |told| told.field("/release/revision") == &json!(2) && !told.is("Drifted"))
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "next");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_is_put_right_without_a_revision() -> Result {
    let world = running("corrected", json!({ "mode": "Correct" })).await?;
    let edits = [
        ("configmap/acme-prod-config", json!({ "data": { "note": "theirs" } })),
        ("configmap/acme-prod-config", json!({ "data": { "note": null } })),
    ];
    for (object, patch) in edits {
        edit(&world, object, patch).await?;
        let corrected = async || anyhow::Ok(rendered(&world, "acme-prod", "note").await? == "ours");
        let deadline = tokio::time::Instant::now() + world.patience;
        while !corrected().await? {
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "it is not put right: {:?}",
                world.told("acme-prod").await?
            );
        }
    }
    let image = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "odoo:theirs" }]);
    let image = image.to_string();
    let web = "deployment/acme-prod-web";
    world.kubectl(&["patch", web, "--type=json", "--patch", &image, "--namespace", &world.namespace]).await?;
    world
        .kubectl(&[
            "wait",
            web,
            "--for=jsonpath={.spec.template.spec.containers[0].image}=odoo:a",
            "--timeout=60s",
            "--namespace",
            &world.namespace,
        ])
        .await?;
    world.kubectl(&["delete", "configmap/acme-prod-config", "--namespace", &world.namespace]).await?;
    world
        .kubectl(&[
            "wait",
            "configmap/acme-prod-config",
            "--for=create",
            "--timeout=60s",
            "--namespace",
            &world.namespace,
        ])
        .await?;
    let told =
        world.until("acme-prod", "at rest", |told| told.field("/operation").is_null() && !told.is("Drifted")).await?;
    assert_eq!(told.field("/history/0/action"), &json!("Correct"));
    quiet::settle(&world).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_names_and_what_a_person_adds_is_no_drift() -> Result {
    let rules =
        json!({ "mode": "Correct", "ignore": [{ "object": "ConfigMap/acme-prod-config", "paths": ["data.note"] }] });
    let world = running("ignored", rules).await?;
    let moment = Timestamp::now();
    edit(&world, "configmap/acme-prod-config", json!({ "data": { "note": "theirs" } })).await?;
    edit(&world, "deployment/acme-prod-web", json!({ "metadata": { "labels": { "cost-centre": "7" } } })).await?;
    quiet::settle(&world).await?;
    let told = world.told("acme-prod").await?;
    assert_eq!((drift(&told), told.field("/history/0/action")), (vec![], &json!("Install")));
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "theirs");
    let writes = world.requests_since(moment).await?;
    assert!(!writes.iter().any(e2e::AuditEntry::is_write), "in sync, nothing is written: {writes:?}");
    // Once the rule goes, it is drift.
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "driftDetection": { "ignore": null } } })).await?;
    world.until("acme-prod", "put right", |told| told.field("/history/0/action") == &json!("Correct")).await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "ours");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_admission_makes_of_objects_and_what_is_made_up_is_not_put_right_for_ever() -> Result {
    const RANDOM: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: \"{{ .Release.Name }}-random\"}\nstringData: {password: \"{{ randAlphaNum 20 }}\"}\n";
    let world = World::start("noloop").await?;
    let meddles = meddle(&world).await?;
    world.put_template("small", "2", &Chart::small("1.0.0").with("templates/random.yaml", RANDOM), |_| ()).await?;
    let mut object = e2e::environment("acme", "prod");
    object["spec"]["driftDetection"] = json!({ "mode": "Correct" });
    world.apply(&object).await?;
    world.wait_phase("acme-prod", "Running").await?;
    edit(&world, "configmap/acme-prod-config", json!({ "data": { "note": "theirs" } })).await?;
    world.until("acme-prod", "put right", |told| told.field("/history/0/action") == &json!("Correct")).await?;
    quiet::settle(&world).await?;
    let told = world.told("acme-prod").await?;
    assert_eq!((drift(&told), told.field("/history/0/attempts")), (vec![], &json!(1)));
    if meddles {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            world.kubectl(&["delete", kind, &world.namespace]).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_pods_are_no_drift_and_stop_and_start_ask_no_worker() -> Result {
    let world = running("counts", json!({ "mode": "Correct" })).await?;
    let moment = Timestamp::now();
    world.scale("acme-prod", 0).await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    world.scale("acme-prod", 2).await?;
    world.wait_phase("acme-prod", "Running").await?;
    quiet::settle(&world).await?;
    let worker = world.requests_since(moment).await?;
    let worker = worker.iter().filter(|request| request.user_agent.starts_with("odoofleet-helm-worker"));
    assert_eq!(worker.count(), 0);
    assert!(!world.told("acme-prod").await?.is("Drifted"));
    Ok(())
}
