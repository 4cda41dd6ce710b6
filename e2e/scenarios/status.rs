use e2e::World;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::Result;

/// Makes a container of a workload's first pod end, as a kubelet would tell it.
pub async fn crash(
    world: &World,
    selector: &str,
    container: &str,
    reason: &str,
    exit_code: i32,
) -> anyhow::Result<String> {
    let pods = world.api::<Pod>().list(&ListParams::default().labels(selector)).await?;
    let pod = pods.items.first().map(ResourceExt::name_any).unwrap_or_default();
    let ended = json!({ "terminated": { "reason": reason, "exitCode": exit_code, "finishedAt": "2026-11-23T08:57:00Z", "startedAt": "2026-11-23T08:56:00Z" } });
    let status = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": "False", "reason": "ContainersNotReady" }, { "type": "ContainersReady", "status": "False" }],
        "containerStatuses": [{
            "name": container, "image": "x", "imageID": "", "ready": false, "started": false, "restartCount": 1,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } }, "lastState": ended,
        }],
    } });
    world.api::<Pod>().patch_status(&pod, &PatchParams::default(), &Patch::Strategic(status)).await?;
    Ok(pod)
}

fn message(environment: &OdooEnvironment) -> String {
    environment.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashing_pod_turns_the_environment_to_error_and_its_failure_is_remembered() -> Result {
    let world = World::start("crash").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let pod = crash(&world, "app=acme-prod-web", "odoo", "OOMKilled", 137).await?;
    let failed = world.wait_reason("acme-prod", "Error", "OutOfMemory").await?;
    assert!(message(&failed).contains("\"odoo\"") && message(&failed).contains("137"), "{}", message(&failed));
    let ready = failed.status.as_ref().unwrap().conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "OutOfMemory"));
    // The pod is replaced and well again; what happened at 8:57 is still told.
    world.api::<Pod>().delete(&pod, &kube::api::DeleteParams::default()).await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    let failure = running.status.unwrap().last_failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.exit_code, failure.container.as_str()),
        ("OutOfMemory", Some(137), "odoo")
    );
    let events = world
        .api::<Event>()
        .list(&ListParams::default().fields("involvedObject.kind=OdooEnvironment,type=Warning"))
        .await?;
    assert!(events.items.iter().any(|event| event.reason.as_deref() == Some("OutOfMemory")));
    Ok(())
}

/// Sets what the init containers of the web pod say, as a kubelet would tell it.
async fn tell(world: &World, containers: serde_json::Value) -> anyhow::Result<()> {
    let pods = world.api::<Pod>().list(&ListParams::default().labels("app=acme-prod-web")).await?;
    let pod = pods.items.first().map(ResourceExt::name_any).unwrap_or_default();
    let status = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": "False", "reason": "ContainersNotReady" }, { "type": "ContainersReady", "status": "False" }],
        "initContainerStatuses": containers,
    } });
    world.api::<Pod>().patch_status(&pod, &PatchParams::default(), &Patch::Strategic(status)).await?;
    Ok(())
}

fn init(name: &str, state: &serde_json::Value, ready: bool) -> serde_json::Value {
    json!({ "name": name, "image": "x", "imageID": "", "ready": ready, "started": false, "restartCount": 0, "state": state })
}

fn ended(exit_code: i32, message: &serde_json::Value) -> serde_json::Value {
    let at = "2026-11-23T08:56:00Z";
    json!({ "terminated": { "reason": "x", "exitCode": exit_code, "message": message.to_string(), "startedAt": at, "finishedAt": at } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_a_database_before_odoo_starts_is_told_by_the_status() -> Result {
    let world = World::start("inside").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let plan = ended(0, &json!({ "plan": { "action": "Update", "modules": ["sale", "stock"], "total": 2 } }));
    let running = json!({ "running": { "startedAt": "2026-11-23T08:57:00Z" } });
    tell(&world, json!([init("configure", &plan, true), init("prepare", &running, false)])).await?;
    let migrating = world.wait_reason("acme-prod", "Pending", "Migrating").await?;
    assert!(message(&migrating).contains("sale, stock"), "{}", message(&migrating));

    let failed = ended(
        1,
        &json!({ "error": { "reason": "ModuleUpdateFailed", "message": "module stock failed: see the log" },
                 "database": { "initialised": true, "uuid": "6f1c", "modulesFailed": ["stock"] } }),
    );
    tell(&world, json!([init("configure", &plan, true), init("prepare", &failed, false)])).await?;
    let failed = world.wait_reason("acme-prod", "Error", "ModuleUpdateFailed").await?;
    assert_eq!(message(&failed), "module stock failed: see the log");
    let database = failed.status.unwrap().database.unwrap();
    assert_eq!((database.modules_failed, database.uuid.as_deref()), (vec!["stock".to_owned()], Some("6f1c")));

    let done = ended(
        0,
        &json!({ "database": { "initialised": true, "fingerprint": "f2", "updatedAt": "2026-11-23T09:00:00Z" } }),
    );
    let addon = ended(0, &json!({ "addon": { "url": "https://git.example.cn/a.git", "ref": "main", "commit": "c1" } }));
    tell(&world, json!([init("addons-0", &addon, true), init("prepare", &done, true)])).await?;
    let environment = world
        .wait::<OdooEnvironment>("acme-prod", "prepared", |environment| {
            let database = environment.status.as_ref().and_then(|status| status.database.as_ref());
            database.and_then(|database| database.fingerprint.as_deref()) == Some("f2")
        })
        .await?;
    let status = environment.status.unwrap();
    assert_eq!(status.addons[0].commit, "c1");
    assert_eq!(status.database.unwrap().modules_failed, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_named_before_odoo() -> Result {
    let world = World::start("cause").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    crash(&world, "app=acme-prod-web", "odoo", "Error", 1).await?;
    world.wait_reason("acme-prod", "Error", "CrashLoop").await?;
    crash(&world, "app=acme-prod-db", "postgresql", "Error", 1).await?;
    let failed = world.wait_reason("acme-prod", "Error", "DatabaseDown").await?;
    assert!(message(&failed).contains("postgresql"), "{}", message(&failed));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn url_and_endpoints_follow_the_ingress() -> Result {
    let world = World::start("url").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["ingress"] = json!({ "host": world.host("erp") });
    world.apply(&environment).await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(running.status.unwrap().url.as_deref(), Some(format!("http://{}", world.host("erp")).as_str()));
    let by_phase = world
        .kubectl(&[
            "get",
            "oenv",
            "--namespace",
            &world.namespace,
            "--field-selector",
            "status.phase=Running,spec.customerRef.name=acme",
            "-o",
            "name",
        ])
        .await?;
    assert_eq!(by_phase.trim(), "odooenvironment.odoofleet.dev/acme-prod");
    let columns = world.kubectl(&["get", "odoo", "--namespace", &world.namespace]).await?;
    assert!(columns.contains("CUSTOMER") && columns.contains(&format!("http://{}", world.host("erp"))), "{columns}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn node_ports_are_told_with_the_operators_node_address() -> Result {
    let world = World::start_with("nodeport", &["--node-address", "192.0.2.7"]).await?;
    world.apply(&e2e::odoo_template()).await?;
    let mut environment = e2e::odoo_environment("acme", "prod");
    environment["spec"]["ingress"] = json!({ "expose": "NodePort" });
    world.apply(&environment).await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    let url = running.status.unwrap().url.unwrap();
    assert!(url.starts_with("http://192.0.2.7:3"), "{url}");
    Ok(())
}
