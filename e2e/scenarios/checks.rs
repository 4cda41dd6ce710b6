//! A change is tried in a pod of its own before it replaces what runs.

use std::time::Duration;

use e2e::{Chart, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::{Result, revisions};

const CHECK: &str = "acme-prod-check";

async fn start(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    world.put_chart(&Chart::small("1.0.0").with_check()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    world.apply(&environment(&json!({}))).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(world)
}

fn environment(more: &Value) -> Value {
    let mut environment = e2e::environment("acme", "prod");
    for (key, value) in more.as_object().into_iter().flatten() {
        environment["spec"][key] = value.clone();
    }
    environment
}

/// Another image, whose check the scenario plays itself.
fn by_hand(tag: &str) -> Value {
    environment(&json!({ "image": { "tag": tag }, "values": { "note": "by hand" } }))
}

async fn image(world: &World) -> anyhow::Result<String> {
    let web: Deployment = world.api().get("acme-prod-web").await?;
    let pod = web.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
    Ok(pod.containers[0].image.clone().unwrap_or_default())
}

/// Lets the check's init container end, as a kubelet would tell it.
/// Tells how the check ended as a kubelet would, until nobody listens any more. The simulated node has its own word for a new pod, and
/// may say it later.
async fn ends(world: &World, exit_code: i32, phase: &str, told: &Value) -> Result {
    loop {
        end(world, exit_code, phase, told).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn end(world: &World, exit_code: i32, phase: &str, told: &Value) -> Result {
    let at = "2026-11-23T08:56:00Z";
    let state = json!({ "terminated": { "reason": "x", "exitCode": exit_code, "message": told.to_string(), "startedAt": at, "finishedAt": at } });
    let status = json!({ "status": {
        "phase": phase,
        "conditions": [{ "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" }],
        "initContainerStatuses": [{
            "name": "addons-0", "image": "x", "imageID": "", "ready": exit_code == 0, "started": false, "restartCount": 0, "state": state,
        }],
    } });
    match world.api::<Pod>().patch_status(CHECK, &PatchParams::default(), &Patch::Strategic(status)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

async fn running_because_of(world: &World, reason: &str) -> anyhow::Result<OdooEnvironment> {
    world.wait_reason("acme-prod", "Running", reason).await
}

fn condition(environment: &OdooEnvironment, type_: &str) -> Option<String> {
    let conditions = &environment.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_works_replaces_what_runs_and_leaves_no_check() -> Result {
    let world = start("check-well").await?;
    world.apply(&environment(&json!({ "image": { "tag": "b" } }))).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "upgraded", |environment| {
            let release = environment.status.as_ref().and_then(|status| status.release.as_ref());
            release.is_some_and(|release| release.revision == 2)
                && condition(environment, "Ready") == Some("True".into())
        })
        .await?;
    assert_eq!(image(&world).await?, "odoo:b");
    world.wait_gone::<Pod>(CHECK).await?;
    let copies = world.api::<ConfigMap>().list(&ListParams::default().labels("odoofleet.dev/check")).await?;
    for copy in copies {
        world.wait_gone::<ConfigMap>(&copy.name_any()).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_work_stops_nobody_and_is_made_once_it_can() -> Result {
    let world = start("check-bad").await?;
    world.apply(&by_hand("b")).await?;
    running_because_of(&world, "Checking").await?;
    let pod = world.wait::<Pod>(CHECK, "there", |pod| pod.status.is_some()).await?;
    assert!(!pod.labels().contains_key("odoofleet.dev/spec-hash"), "who may read pods learns nothing of passwords");
    let config = pod.spec.and_then(|spec| spec.volumes?.first()?.config_map.clone()).unwrap_or_default();
    let copy: ConfigMap = world.api().get(&config.name).await?;
    assert_eq!(copy.data.unwrap_or_default()["note"], "by hand", "what the next revision would bring");

    let told = json!({ "error": { "reason": "AddonRefNotFound", "message": "there is no tag v9" } });
    let refused = tokio::select! {
        refused = running_because_of(&world, "AddonRefNotFound") => refused?,
        failed = ends(&world, 1, "Running", &told) => return failed,
    };
    let message = refused.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    assert!(message.contains("what ran goes on") && message.contains("v9"), "{message}");
    assert_eq!(condition(&refused, "Ready"), Some("False".into()));
    assert_eq!(condition(&refused, "Available"), Some("True".into()));
    assert_eq!(condition(&refused, "Stalled"), Some("True".into()), "somebody must act");
    assert_eq!((image(&world).await?.as_str(), revisions(&world, "acme-prod").await?), ("odoo:a", vec![1]));

    // The kubelet goes on trying: somebody has pushed the tag.
    let upgraded = world.wait::<OdooEnvironment>("acme-prod", "upgraded", |environment| {
        condition(environment, "Ready") == Some("True".into()) && condition(environment, "Stalled").is_none()
    });
    let works = json!({});
    tokio::select! {
        upgraded = upgraded => drop(upgraded?),
        failed = ends(&world, 0, "Succeeded", &works) => return failed,
    }
    assert_eq!((image(&world).await?.as_str(), revisions(&world, "acme-prod").await?), ("odoo:b", vec![1, 2]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_taken_back_was_never_made() -> Result {
    let world = start("check-back").await?;
    world.apply(&by_hand("b")).await?;
    running_because_of(&world, "Checking").await?;
    let first = world.wait::<Pod>(CHECK, "there", |_| true).await?.uid();
    world.apply(&by_hand("c")).await?;
    world.wait::<Pod>(CHECK, "that of the newer change", |pod| pod.uid() != first).await?;
    world.apply(&environment(&json!({ "image": { "tag": "a" } }))).await?;
    world.wait_gone::<Pod>(CHECK).await?;
    running_because_of(&world, "Running").await?;
    assert_eq!(image(&world).await?, "odoo:a");
    Ok(())
}
