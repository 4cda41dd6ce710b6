//! Deletions that meet something on its way: an operation that waits or was killed, a claim that does not go.

use std::time::Duration;

use e2e::{Chart, Environment, World};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::{Result, release_labels, wait_status};

const POLICIES: [&str; 3] = ["Retain", "Delete", "Orphan"];

/// An environment of a template, with a policy.
fn environment(service: &str, template: &str, policy: &str) -> Value {
    let mut environment = e2e::environment_of(service, template);
    environment["spec"]["deletionPolicy"] = json!(policy);
    environment
}

async fn delete(world: &World, name: &str) -> Result {
    world.api::<Environment>().delete(name, &DeleteParams::default()).await?;
    Ok(())
}

async fn claims(world: &World) -> anyhow::Result<Vec<String>> {
    let all = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    Ok(all.items.iter().map(ResourceExt::name_any).collect())
}

/// Names of all releases that have a record.
async fn releases(world: &World) -> anyhow::Result<Vec<String>> {
    let all = world.api::<Secret>().list(&ListParams::default().labels("owner=helm")).await?;
    Ok(all.items.iter().filter_map(|secret| secret.labels().get("name").cloned()).collect())
}

async fn let_hook_end(world: &World, release: &str) -> Result {
    let patch = r#"{"spec":{"suspend":false}}"#;
    let hook = format!("{release}-hook");
    world.kubectl(&["patch", "job", &hook, "--namespace", &world.namespace, "--patch", patch]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_its_installation_waits_for_a_worker_is_never_installed() -> Result {
    let world = World::start_with("queued", &["--workers", "1"]).await?;
    world.put_template("slow", "1", &Chart::small("2.0.0").with_hanging_hook("pre-install"), |_| ()).await?;
    world.apply(&environment("first", "slow", "Retain")).await?;
    wait_status(&world, "acme-first", "pending-install").await?;
    for policy in POLICIES {
        let service = policy.to_lowercase();
        let name = format!("acme-{service}");
        world.apply(&environment(&service, "small", policy)).await?;
        world.until(&name, "queued", e2e::Told::is_observed).await?;
        delete(&world, &name).await?;
        world.wait_gone::<Environment>(&name).await?;
    }
    // The only worker gets free, and takes what waits in its order.
    let_hook_end(&world, "acme-first").await?;
    world.wait_phase("acme-first", "Running").await?;
    world.apply(&environment("last", "small", "Retain")).await?;
    world.wait_phase("acme-last", "Running").await?;
    let mut left = releases(&world).await?;
    left.sort();
    assert_eq!(left, ["acme-first", "acme-last"]);
    assert!(world.api::<Secret>().get_opt("acme-delete-odoofleet").await?.is_none(), "a generated Secret is left");
    Ok(())
}

/// Environments in whose installation and upgrade the operator was killed, deleted before the next operator begins.
async fn killed(policy: &str) -> anyhow::Result<World> {
    let mut world = World::start(&format!("killed-{}", policy.to_lowercase())).await?;
    let plain = Chart::small("1.0.0").with_volume();
    world.put_template("plain", "1", &plain, |_| ()).await?;
    world.apply(&environment("old", "plain", policy)).await?;
    world.wait_phase("acme-old", "Running").await?;
    let hanging = plain.with_hanging_hook("pre-install,pre-upgrade");
    world.put_template("hanging", "1", &hanging, |_| ()).await?;
    world.put_template("plain", "2", &hanging, |_| ()).await?;
    world.apply(&environment("new", "hanging", policy)).await?;
    wait_status(&world, "acme-old", "pending-upgrade").await?;
    wait_status(&world, "acme-new", "pending-install").await?;
    world.kill_operator().await?;
    for name in ["acme-old", "acme-new"] {
        delete(&world, name).await?;
    }
    world.run_operator().await?;
    for name in ["acme-old", "acme-new"] {
        world.wait_gone::<Environment>(name).await?;
    }
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_helm_left_pending_is_uninstalled_with_its_volumes() -> Result {
    let world = killed("Delete").await?;
    assert_eq!(releases(&world).await?, Vec::<String>::new());
    assert_eq!(claims(&world).await?, Vec::<String>::new());
    let deployments = world.api::<Deployment>().list(&ListParams::default()).await?;
    assert!(deployments.items.is_empty(), "{:?}", deployments.items.iter().map(ResourceExt::name_any));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_helm_left_pending_is_retained() -> Result {
    let world = killed("Retain").await?;
    for release in ["acme-old", "acme-new"] {
        let labels = release_labels(&world, release).await?;
        assert!(labels.contains_key("odoofleet.dev/retained-at"), "{release}: {labels:?}");
    }
    let web = world.api::<Deployment>().get("acme-old-web").await?;
    let database = world.api::<StatefulSet>().get("acme-old-db").await?;
    let replicas = (web.spec.unwrap().replicas, database.spec.unwrap().replicas);
    assert_eq!(replicas, (Some(0), Some(0)));
    assert_eq!(claims(&world).await?, ["acme-old-data"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_helm_left_pending_is_let_go() -> Result {
    let world = killed("Orphan").await?;
    let web = world.api::<Deployment>().get("acme-old-web").await?;
    assert_eq!(web.spec.unwrap().replicas, Some(1), "it runs on");
    let labels = release_labels(&world, "acme-old").await?;
    assert!(!labels.contains_key("odoofleet.dev/retained-at"), "{labels:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_before_its_finalizer_is_written_is_not_installed() -> Result {
    let world = World::behind_proxy("toolate", &["--max-stops", "100"]).await?;
    let proxy = world.proxy()?;
    let is_finalizer = |request: &e2e::Request| request.is_write() && request.is_of("acme-gone");
    let delayed = proxy.delay(is_finalizer);
    world.apply(&environment("gone", "small", "Delete")).await?;
    proxy.sees("the finalizer", is_finalizer).await?;
    delete(&world, "acme-gone").await?;
    world.wait_gone::<Environment>("acme-gone").await?;
    drop(delayed);
    // And many in a row, without any help.
    for number in 0..20 {
        world.apply(&environment(&format!("gone-{number}"), "small", "Delete")).await?;
        delete(&world, &format!("acme-gone-{number}")).await?;
    }
    for number in 0..20 {
        world.wait_gone::<Environment>(&format!("acme-gone-{number}")).await?;
    }
    world.apply(&environment("stays", "small", "Delete")).await?;
    world.wait_phase("acme-stays", "Running").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(releases(&world).await?, ["acme-stays"]);
    let generated = world.api::<Secret>().list(&ListParams::default().labels("odoofleet.dev/generated")).await?;
    assert_eq!(generated.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["acme-stays-odoofleet"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_does_not_go_is_waited_for_in_peace_and_named() -> Result {
    let world = World::behind_proxy("stuckclaim", &[]).await?;
    world.put_template("small", "2", &Chart::small("1.0.0").with_volume(), |_| ()).await?;
    world.apply(&environment("prod", "small", "Delete")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let finalizers = |list: Value| json!({ "metadata": { "finalizers": list } });
    world.patch::<PersistentVolumeClaim>("acme-prod-data", finalizers(json!(["e2e.odoofleet.dev/stuck"]))).await?;
    delete(&world, "acme-prod").await?;
    let named = |told: &e2e::Told| told.phase() == "Deleting" && told.message().contains("\"acme-prod-data\"");
    let told = world.until("acme-prod", "waiting for its claim", named).await?;
    assert_eq!(told.reason(), "Deleting");
    let proxy = world.proxy()?;
    proxy.forget();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = proxy.seen(|request| !request.by_worker && !request.is_of("leases"));
    assert!(asked.len() <= 20, "{} requests in 20 s: {:#?}", asked.len(), &asked[..20]);
    world.patch::<PersistentVolumeClaim>("acme-prod-data", finalizers(Value::Null)).await?;
    world.wait_gone::<Environment>("acme-prod").await?;
    assert_eq!(claims(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_takes_the_claims_of_claim_templates_and_none_of_another_release() -> Result {
    let world = World::start("claimtemplates").await?;
    world.put_template("small", "2", &Chart::small("1.0.0").with_database_volume(), |_| ()).await?;
    for service in ["gone", "stays"] {
        world.apply(&environment(service, "small", "Delete")).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    let mut both = claims(&world).await?;
    both.sort();
    assert_eq!(both, ["data-acme-gone-db-0", "data-acme-stays-db-0"]);
    // Somebody's own claim, whose name only looks as if.
    let other = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data-acme-gone-db-copy" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    world.apply_any(&other).await?;
    delete(&world, "acme-gone").await?;
    world.wait_gone::<Environment>("acme-gone").await?;
    let mut left = claims(&world).await?;
    left.sort();
    assert_eq!(left, ["data-acme-gone-db-copy", "data-acme-stays-db-0"]);
    world.wait_phase("acme-stays", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_installation_is_uninstalled_at_once() -> Result {
    let mut world = World::start("failedinstall").await?;
    let mut template = e2e::template("inithook", "1");
    world.put_chart_as("inithook-chart", &Chart::folder(&world.setup.repo, "inithook")?).await?;
    template["spec"]["chart"]["configMapRef"]["name"] = json!("inithook-chart");
    template["spec"]["bindings"] = json!([]);
    template["spec"]["stop"] = Value::Null;
    world.apply(&template).await?;
    world.apply(&environment("init", "inithook", "Delete")).await?;
    world.until("acme-init", "failed once", |told| told.field("/failures/count").as_i64() >= Some(1)).await?;
    delete(&world, "acme-init").await?;
    // Well below the pause after an uninstall that failed.
    world.patience = Duration::from_secs(15);
    world.wait_gone::<Environment>("acme-init").await?;
    assert_eq!(releases(&world).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_deleted_says_so_in_one_word() -> Result {
    let world = World::start("deletingphase").await?;
    world.apply(&environment("prod", "small", "Retain")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    // Somebody else's finalizer keeps it to be looked at.
    let mut finalizers = world.api::<Environment>().get("acme-prod").await?.metadata.finalizers.unwrap_or_default();
    finalizers.push("e2e.odoofleet.dev/hold".to_owned());
    let kept = json!({ "metadata": { "finalizers": finalizers } });
    world.patch::<Environment>("acme-prod", kept).await?;
    delete(&world, "acme-prod").await?;
    world.until("acme-prod", "deleting", |told| told.phase() == "Deleting" && told.reason() == "Deleting").await?;
    world.patch::<Environment>("acme-prod", json!({ "metadata": { "finalizers": null } })).await?;
    world.wait_gone::<Environment>("acme-prod").await
}
