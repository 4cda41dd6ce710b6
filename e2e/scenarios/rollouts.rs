//! Rollouts in waves: who moves when, what holds the rest, and how one goes on, or back.

use std::time::Duration;

use e2e::{Chart, Environment, Told, World};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use odoofleet_api::{OdooCustomer, OdooTemplate};
use serde_json::{Value, json};

use crate::{Result, revisions};

/// How long something that must not happen gets to happen.
const WHILE: Duration = Duration::from_secs(5);

/// Environments of customer `acme` on version 1: service, stage, and what else is to be said of each.
async fn fleet(world: &World, environments: &[(&str, &str, Value)]) -> Result {
    for (service, stage, change) in environments {
        let mut environment = e2e::environment("acme", service);
        environment["spec"]["stage"] = json!(stage);
        for (pointer, value) in change.as_object().into_iter().flatten() {
            let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
            environment.pointer_mut(parent).unwrap_or(&mut Value::Null)[field] = value.clone();
        }
        world.apply(&environment).await?;
    }
    for (service, _, change) in environments {
        let phase = if change["/spec/replicas"] == 0 { "Stopped" } else { "Running" };
        world.wait_phase(&format!("acme-{service}"), phase).await?;
    }
    Ok(())
}

/// Version 2 of template `small`, whose chart renders another ConfigMap.
async fn second(world: &World, chart: &Chart, rollout: Value) -> Result {
    world.put_chart(chart).await?;
    let mut second = e2e::template("small", "2");
    second["spec"]["values"] = json!({ "note": "two" });
    second["spec"]["rollout"] = rollout;
    world.apply(&second).await
}

/// Waits until the rollout stands so.
async fn rollout_is(world: &World, phase: &str, progress: &str) -> anyhow::Result<Told> {
    let what = format!("{phase} at {progress}");
    let stands = |template: &OdooTemplate| {
        let told = Told::by(template);
        told.is_observed() && told.field("/rollout/phase") == phase && told.field("/rollout/progress") == progress
    };
    Ok(Told::by(&world.wait::<OdooTemplate>("small", &what, stands).await?))
}

/// The environments in the order in which revision 2 of each was written last: versions of objects grow, and times are whole seconds.
async fn order(world: &World) -> anyhow::Result<Vec<String>> {
    let records = ListParams::default().labels("owner=helm,version=2");
    let records = world.api::<PartialObjectMeta<Secret>>().list(&records).await?;
    let written = |record: &PartialObjectMeta<Secret>| {
        let version = record.metadata.resource_version.as_ref()?.parse::<u64>().ok()?;
        Some((version, record.labels().get("name")?.clone()))
    };
    let mut moved: Vec<_> = records.iter().filter_map(written).collect();
    moved.sort();
    Ok(moved.into_iter().map(|(_, name)| name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_then_test_then_staging_and_production_when_somebody_approves() -> Result {
    let world = World::start("waves").await?;
    let first = json!({ "/metadata/labels": { "first": "yes" } });
    let none = json!({});
    fleet(
        &world,
        &[
            ("p", "Production", none.clone()),
            ("s", "Staging", none.clone()),
            ("t", "Test", none),
            ("c", "Production", first),
        ],
    )
    .await?;
    let stages = json!([{ "stage": "Staging", "soak": "3s" }, { "stage": "Production", "approval": "Manual" }]);
    let rollout = json!({ "canary": { "matchLabels": { "first": "yes" } }, "stages": stages });
    second(&world, &Chart::small("2.0.0"), rollout).await?;
    let held = rollout_is(&world, "AwaitingApproval", "3/4 Production AwaitingApproval").await?;
    assert_eq!(held.condition("RolledOut"), ("False", "AwaitingApproval"));
    assert_eq!(held.field("/rollout/waiting/0/reason"), "Approval", "{held:?}");
    let waits =
        world.until("acme-p", "told why it waits", |told| told.message().contains("waits for an approval")).await?;
    assert_eq!((waits.reason(), waits.version()), ("WaitingForRollout", "1"));
    let column = world.kubectl(&["get", "otpl", "small", "-n", &world.namespace]).await?;
    assert!(column.contains("ROLLOUT") && column.contains("3/4 Production AwaitingApproval"), "{column}");
    // An approval of another version is none.
    let approve = |what: &str| json!({ "metadata": { "annotations": { "odoofleet.dev/approve": what } } });
    world.patch::<OdooTemplate>("small", approve("1/Production")).await?;
    let still = |environment: &Environment| Told::by(environment).version() == "1";
    world.stays::<Environment>("acme-p", WHILE, "on version 1", still).await?;
    let approved = world.odoo(&["rollout", "approve", "small"]).await?;
    assert_eq!(approved.code, 0, "{approved:?}");
    let done = rollout_is(&world, "Complete", "4/4").await?;
    assert_eq!(done.condition("RolledOut"), ("True", "RolledOut"));
    assert_eq!(order(&world).await?, ["acme-c", "acme-t", "acme-s", "acme-p"]);
    Ok(())
}

/// A schema that refuses a note of more than five characters.
const STRICT: &str =
    r#"{"type":"object","properties":{"note":{"type":"string","maxLength":5},"replicaCount":{"type":"integer"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_holds_the_rollout_until_it_is_accepted_and_the_version_before_is_one_step_away() -> Result {
    let world = World::start("failures").await?;
    let long = json!({ "/spec/values": { "note": "more than five characters" } });
    fleet(&world, &[("a", "Test", long), ("b", "Production", json!({}))]).await?;
    second(&world, &Chart::small("2.0.0").with("values.schema.json", STRICT), json!({})).await?;
    let held = rollout_is(&world, "PausedAfterFailures", "0/2 Test PausedAfterFailures").await?;
    assert_eq!(held.condition("RolledOut"), ("False", "PausedAfterFailures"));
    assert_eq!((held.field("/rollout/failed"), held.field("/rollout/failures")), (&json!(["acme-a"]), &json!(1)));
    assert_eq!(held.field("/rollout/overridden"), &json!(["acme-a"]), "its own note stands before the template's");
    world.until("acme-b", "told why it waits", |told| told.message().contains("paused after 1 failure")).await?;
    assert_eq!((revisions(&world, "acme-a").await?, revisions(&world, "acme-b").await?), (vec![1], vec![1]));
    let resumed = world.odoo(&["rollout", "resume", "small"]).await?;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    world.until("acme-b", "moved", |told| told.version() == "2" && told.is("Ready")).await?;
    // Back: the version before is still there, with its own chart, and needs no approval.
    let mut first = e2e::template("small", "1");
    first["spec"]["rollout"] = json!({ "stages": [{ "stage": "Production", "approval": "Manual" }] });
    world.apply(&first).await?;
    world.until("acme-b", "back", |told| told.version() == "1" && told.is("Ready")).await?;
    let done = rollout_is(&world, "Complete", "2/2").await?;
    assert_eq!(done.field("/rollout/failures"), &Value::Null, "failures are a version's own");
    assert_eq!(revisions(&world, "acme-a").await?, [1], "who never moved was not touched");
    Ok(())
}

/// A window of one hour that opens half a day from now.
fn later() -> anyhow::Result<Value> {
    let opens = Timestamp::now().checked_add(12.hours())?.strftime("%H").to_string();
    Ok(json!({ "windows": [{ "cron": format!("0 {opens} * * *"), "duration": "1h", "timeZone": "UTC" }] }))
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_customer_and_environment_hold_who_works_and_let_through_who_does_not() -> Result {
    let world = World::start("windows").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "maintenance": later()? } })).await?;
    let any_time = json!({ "/spec/maintenance": { "windows": [] } });
    let asleep = json!({ "/spec/replicas": 0 });
    fleet(&world, &[("a", "Test", any_time), ("b", "Test", json!({})), ("s", "Test", asleep)]).await?;
    second(&world, &Chart::small("2.0.0"), json!({})).await?;
    let held = rollout_is(&world, "AwaitingWindow", "2/3 Test AwaitingWindow").await?;
    assert_eq!(held.field("/rollout/waiting/0/reason"), "Window", "{held:?}");
    assert_eq!(held.field("/rollout/waiting/0/until"), held.field("/rollout/nextMoment"));
    world.until("acme-b", "told until when it waits", |told| told.message().contains("its window opens at")).await?;
    assert_eq!(world.told("acme-s").await?.version(), "2", "nobody works with it: it was upgraded asleep");
    // One that never opens is told where it is written, and something that is no window is refused.
    let never = |cron: &str| json!({ "spec": { "maintenance": { "windows": [{ "cron": cron, "duration": "1h" }] } } });
    world.patch::<Environment>("acme-b", never("0 0 31 2 *")).await?;
    let told = world.until("acme-b", "told", |told| told.condition("Stalled") == ("True", "WindowNeverOpens")).await?;
    assert_eq!((told.phase(), told.version()), ("Running", "1"), "{told:?}");
    rollout_is(&world, "Blocked", "2/3 Test Blocked").await?;
    let refused = world.patch::<Environment>("acme-b", never("every night")).await.unwrap_err().to_string();
    assert!(refused.contains("spec.maintenance.windows[0].cron"), "{refused}");
    // A window that is open now lets it through.
    let open = json!({ "windows": [{ "cron": "* * * * *", "duration": "2h" }] });
    world.patch::<Environment>("acme-b", json!({ "spec": { "maintenance": open } })).await?;
    world.until("acme-b", "moved", |told| told.version() == "2" && told.is("Ready")).await?;
    rollout_is(&world, "Complete", "3/3").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollout_cannot_mean_is_refused_or_told() -> Result {
    let world = World::start("rolloutinput").await?;
    fleet(&world, &[("a", "Test", json!({}))]).await?;
    let spec = |rollout: Value| json!({ "spec": { "rollout": rollout } });
    for (rollout, expected) in [
        (json!({ "canary": { "matchLabels": {} } }), "canary must name labels"),
        (json!({ "canary": { "matchExpressions": [{ "key": "a", "operator": "In" }] } }), "In and NotIn need values"),
        (json!({ "pauseAfterFailures": 0 }), "pauseAfterFailures"),
        (json!({ "stages": [{ "stage": "Test", "soak": "tomorrow" }] }), "soak"),
        (json!({ "stages": [{ "stage": "Test" }, { "stage": "Test" }] }), "Duplicate value"),
        (json!({ "stages": [{ "stage": "Night" }] }), "Unsupported value"),
    ] {
        let refused = world.patch::<OdooTemplate>("small", spec(rollout.clone())).await;
        let refused = refused.map(drop).unwrap_err().to_string();
        assert!(refused.contains(expected), "{rollout}: {refused}");
    }
    let stages = json!([{ "stage": "Test", "windows": [{ "cron": "0 0 30 2 *", "duration": "1h" }] }]);
    let rollout = json!({ "canary": { "matchLabels": { "first": "yes" } }, "stages": stages });
    world.patch::<OdooTemplate>("small", spec(rollout)).await?;
    let told = |template: &OdooTemplate| {
        let blockers = Told::by(template).field("/rollout/blockers").to_string();
        blockers.contains("never opens") && blockers.contains("matches no environment")
    };
    let template = world.wait::<OdooTemplate>("small", "told", told).await?;
    assert_eq!(Told::by(&template).condition("Stalled"), ("True", "WindowNeverOpens"));
    assert_eq!(Told::by(&template).condition("Ready"), ("True", "Accepted"));
    Ok(())
}
