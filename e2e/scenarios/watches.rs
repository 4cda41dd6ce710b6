//! Watches that are lost and begin anew: what is not known for a while must not look like what is not there.

use std::time::Duration;

use e2e::{Chart, Environment, Request, Told, World};
use http::StatusCode;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use odoofleet_api::OdooCustomer;
use serde_json::json;

use crate::quickstart::versions;
use crate::{Result, release_labels, revisions};

/// What everything that is decided hangs on.
const KINDS: [&str; 7] =
    ["odooenvironments", "odoocustomers", "odootemplates", "deployments", "statefulsets", "pods", "secrets"];
/// How long a list is kept back: several looks fit in.
const GAP: Duration = Duration::from_secs(8);

/// Two environments that run; both are looked at in the gap, one is changed.
async fn start(name: &str) -> anyhow::Result<World> {
    let world = World::behind_proxy(name, &[]).await?;
    for service in ["prod", "calm"] {
        world.apply(&e2e::environment("acme", service)).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    Ok(world)
}

/// Objects of these kinds have to be listed anew, and no answer comes before the value is dropped.
async fn without(world: &World, kinds: &'static [&'static str]) -> anyhow::Result<e2e::Disturbance> {
    let proxy = world.proxy()?;
    proxy.forget();
    let delayed = proxy.delay(move |request| !request.by_worker && kinds.iter().any(|kind| request.is_list(kind)));
    for kind in kinds {
        proxy.expire(kind);
        proxy.sees(kind, |request| !request.by_worker && request.is_list(kind)).await?;
    }
    Ok(delayed)
}

async fn pods(world: &World, selector: &str) -> anyhow::Result<usize> {
    Ok(world.api::<Pod>().list(&ListParams::default().labels(selector)).await?.items.len())
}

fn replicas(web: &Deployment) -> i32 {
    web.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_not_retained_while_its_pods_run_though_the_deployments_are_not_known() -> Result {
    let world = start("gapretain").await?;
    let delayed = without(&world, &["deployments"]).await?;
    world.api::<Environment>().delete("acme-prod", &DeleteParams::default()).await?;
    let deadline = tokio::time::Instant::now() + GAP;
    while tokio::time::Instant::now() < deadline {
        if release_labels(&world, "acme-prod").await?.contains_key("odoofleet.dev/retained-at") {
            let web = world.api::<Deployment>().get("acme-prod-web").await?;
            assert_eq!(replicas(&web), 0, "retained while it is to run");
            assert_eq!(pods(&world, "app=acme-prod-web").await?, 0, "retained while pods run");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(delayed);
    world.wait_gone::<Environment>("acme-prod").await?;
    assert_eq!(replicas(&world.api::<Deployment>().get("acme-prod-web").await?), 0);
    assert!(release_labels(&world, "acme-prod").await?.contains_key("odoofleet.dev/retained-at"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_does_not_stop_before_odoo_though_the_deployments_are_not_known() -> Result {
    let world = start("gapstop").await?;
    let delayed = without(&world, &["deployments"]).await?;
    world.scale("acme-prod", 0).await?;
    let in_gap = async {
        tokio::time::sleep(GAP).await;
        drop(delayed);
        world.wait_phase("acme-prod", "Stopped").await
    };
    let order = async {
        let down = |database: &StatefulSet| database.spec.as_ref().and_then(|spec| spec.replicas) == Some(0);
        world.wait::<StatefulSet>("acme-prod-db", "down", down).await?;
        anyhow::Ok(pods(&world, "app=acme-prod-web").await?)
    };
    let (_, left) = tokio::try_join!(in_gap, order)?;
    assert_eq!(left, 0, "the database was stopped under a running Odoo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_not_made_untried_because_the_workloads_are_not_known() -> Result {
    let world = World::behind_proxy("gapcheck", &[]).await?;
    world.put_chart(&Chart::small("1.0.0").with_check()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let delayed = without(&world, &["deployments", "statefulsets"]).await?;
    // A check that does not end by itself.
    let change = json!({ "spec": { "image": { "tag": "b" }, "values": { "note": "by hand" } } });
    world.patch::<Environment>("acme-prod", change).await?;
    tokio::time::sleep(GAP).await;
    drop(delayed);
    world.until_says("acme-prod", "Running", "Checking").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1], "what ran was replaced by what nobody has tried");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_does_not_change_because_a_list_is_made_anew() -> Result {
    let world = start("gapstatus").await?;
    let before = world.told("acme-calm").await?;
    let in_gap = async {
        let delayed = without(&world, &["deployments"]).await?;
        // Something that concerns the environment comes by another watch, so that it is looked at.
        world
            .kubectl(&["label", "pods", "--namespace", &world.namespace, "-l", "app=acme-calm-web", "e2e/touched=yes"])
            .await?;
        tokio::time::sleep(GAP / 2).await;
        drop(delayed);
        tokio::time::sleep(GAP / 2).await;
        anyhow::Ok(())
    };
    let same = |environment: &Environment| Told::by(environment) == before;
    let unchanged = world.stays("acme-calm", GAP + Duration::from_secs(2), "as it was", same);
    tokio::try_join!(in_gap, unchanged)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_goes_when_its_last_environment_vanished_unseen() -> Result {
    let mut world = start("gapcustomer").await?;
    world.api::<Environment>().delete("acme-calm", &DeleteParams::default()).await?;
    world.wait_gone::<Environment>("acme-calm").await?;
    world.api::<OdooCustomer>().delete("acme", &DeleteParams::default()).await?;
    let held = |customer: &OdooCustomer| Told::by(customer).condition("Ready").1 == "InUse";
    world.wait::<OdooCustomer>("acme", "held", held).await?;
    let delayed = without(&world, &["odooenvironments"]).await?;
    // Deleted by force, as a restored backup or a careless tool would.
    world.patch::<Environment>("acme-prod", json!({ "metadata": { "finalizers": null } })).await?;
    world.api::<Environment>().delete("acme-prod", &DeleteParams::default()).await?;
    world.wait_gone::<Environment>("acme-prod").await?;
    drop(delayed);
    world.patience = Duration::from_secs(20);
    world.wait_gone::<OdooCustomer>("acme").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_somebody_wrote_is_put_right() -> Result {
    let mut world = World::start("patchedstatus").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let right =
        |told: &Told| told.says("Running", "Running") && told.is("Ready") && told.field("/release/revision") == 1;
    let counted = |customer: &OdooCustomer| Told::by(customer).field("/environments/running") == 1;
    world.wait::<OdooCustomer>("acme", "counted", counted).await?;
    world.patience = Duration::from_secs(15);
    let patch = |kind: &'static str, name: &'static str, status: serde_json::Value| {
        let patch = json!({ "status": status }).to_string();
        let world = &world;
        async move {
            let arguments = ["patch", kind, name, "--namespace", &world.namespace, "--subresource=status"];
            world.kubectl(&[&arguments[..], &["--type=merge", "--patch", &patch]].concat()).await
        }
    };
    patch("oenv", "acme-prod", json!({ "phase": "Error", "reason": "CrashLoop", "conditions": [] })).await?;
    world.until("acme-prod", "put right", right).await?;
    patch("oenv", "acme-prod", json!({ "release": null, "observedGeneration": null })).await?;
    world.until("acme-prod", "put right", right).await?;
    patch("ocust", "acme", json!({ "phase": "Terminated", "environments": { "running": 7, "total": 9 } })).await?;
    let active = |customer: &OdooCustomer| counted(customer) && Told::by(customer).phase() == "Active";
    world.wait::<OdooCustomer>("acme", "put right", active).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_leaves_nothing_to_be_done() -> Result {
    let world = start("away").await?;
    let counted = |customer: &OdooCustomer| Told::by(customer).field("/environments/running") == 2;
    world.wait::<OdooCustomer>("acme", "counted", counted).await?;
    let operations = world.metric("odoo_operator_helm_operations_total").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = versions(&world).await?;
    let proxy = world.proxy()?;
    let away = proxy.refuse(StatusCode::INTERNAL_SERVER_ERROR, |_| true);
    proxy.cut();
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.forget();
    drop(away);
    for kind in KINDS {
        proxy.sees(kind, |request| request.is_watch_of(kind)).await?;
    }
    // It has forgotten what it was asked before, and one list takes longer than the others.
    let delayed = without(&world, &["deployments"]).await?;
    for kind in KINDS {
        proxy.expire(kind);
    }
    for kind in KINDS {
        proxy.sees(kind, |request| request.is_list(kind)).await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(delayed);
    // Whatever the lists bring is looked at.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(versions(&world).await?, before, "something was written");
    let written = proxy.seen(Request::is_write);
    assert!(written.is_empty(), "{written:#?}");
    assert!((world.metric("odoo_operator_helm_operations_total").await? - operations).abs() < 0.5, "Helm ran");
    Ok(())
}
