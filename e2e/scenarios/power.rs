use e2e::World;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::{Result, revisions};

async fn counts(world: &World) -> anyhow::Result<(i32, i32)> {
    let web = world.api::<Deployment>().get("acme-prod-web").await?;
    let database = world.api::<StatefulSet>().get("acme-prod-db").await?;
    let replicas = |replicas: Option<i32>| replicas.unwrap_or(-1);
    Ok((replicas(web.spec.and_then(|spec| spec.replicas)), replicas(database.spec.and_then(|spec| spec.replicas))))
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_start_go_by_kubectl_scale_without_a_helm_run() -> Result {
    let world = World::start("scale").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let scale = |replicas: &'static str| {
        let world = &world;
        async move { world.kubectl(&["scale", "oenv/acme-prod", "--namespace", &world.namespace, replicas]).await }
    };
    scale("--replicas=0").await?;
    let stopped = world.wait_phase("acme-prod", "Stopped").await?;
    let available =
        stopped.status.as_ref().unwrap().conditions.iter().find(|condition| condition.type_ == "Available").unwrap();
    assert_eq!(available.status, "False");
    assert_eq!(counts(&world).await?, (0, 0));
    scale("--replicas=3").await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(counts(&world).await?, (3, 1));
    assert_eq!(running.status.as_ref().unwrap().replicas, Some(3));
    let selector = running.status.unwrap().selector.unwrap();
    assert_eq!(selector, "app=acme-prod-web");
    assert_eq!(revisions(&world, "acme-prod").await?, [1], "no Helm run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_environment_is_not_woken_by_an_upgrade_even_with_hard_coded_replicas() -> Result {
    let world = World::start("asleep").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(2);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let patch = json!({ "spec": { "replicas": 0 } });
    world.patch::<OdooEnvironment>("acme-prod", patch).await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    let stateful_set = world.api::<StatefulSet>().get("acme-prod-db").await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "asleep" } } })).await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "upgraded", |map| {
            map.data.as_ref().is_some_and(|data| data["note"] == "asleep")
        })
        .await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    assert_eq!(counts(&world).await?, (0, 0));
    let pods = world.api::<Pod>().list(&ListParams::default()).await?;
    assert!(pods.items.is_empty(), "{:?}", pods.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    assert_eq!(world.api::<StatefulSet>().get("acme-prod-db").await?.uid(), stateful_set.uid());
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "replicas": 2 } })).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(counts(&world).await?, (2, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_can_be_born_stopped_and_started_later() -> Result {
    let world = World::start("born").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(0);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    assert_eq!(counts(&world).await?, (0, 0));
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "replicas": 1 } })).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(counts(&world).await?, (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_the_pods_of_odoo_once_and_makes_no_revision() -> Result {
    let world = World::start("restart").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(2);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let pods = |selector: &'static str| {
        let world = &world;
        async move {
            let pods = world.api::<Pod>().list(&ListParams::default().labels(selector)).await?;
            let mut uids: Vec<String> = pods.items.iter().filter_map(ResourceExt::uid).collect();
            uids.sort();
            anyhow::Ok(uids)
        }
    };
    let (web, database) = (pods("app=acme-prod-web").await?, pods("app=acme-prod-db").await?);
    // Creation times have whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let moment = jiff::Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { "odoofleet.dev/restartedAt": moment } } });
    world.patch::<OdooEnvironment>("acme-prod", patch).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "restarted", |e| {
            e.status.as_ref().is_some_and(|status| status.last_handled_restart_at.as_ref() == Some(&moment))
        })
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    let after = pods("app=acme-prod-web").await?;
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|uid| !web.contains(uid)), "{after:?} {web:?}");
    assert_eq!(pods("app=acme-prod-db").await?, database, "the database is left alone");
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_environment_is_looked_at_and_left_alone() -> Result {
    let world = World::start("paused").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world
        .patch::<OdooEnvironment>(
            "acme-prod",
            json!({ "spec": { "paused": true, "replicas": 0, "values": { "note": "x" } } }),
        )
        .await?;
    world.wait_reason("acme-prod", "Running", "Paused").await?;
    assert_eq!((counts(&world).await?, revisions(&world, "acme-prod").await?), ((1, 1), vec![1]));
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "paused": false } })).await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    Ok(())
}
