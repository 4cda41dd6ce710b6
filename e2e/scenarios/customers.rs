use e2e::World;
use kube::api::DeleteParams;
use odoofleet_api::conditions::Reason;
use odoofleet_api::{OdooCustomer, OdooEnvironment};
use serde_json::json;

use crate::{Result, revisions};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_customers_environments_stop_and_each_own_wish_returns() -> Result {
    let world = World::start("suspend").await?;
    let mut asleep = e2e::environment("acme", "asleep");
    asleep["spec"]["replicas"] = json!(0);
    let mut wide = e2e::environment("acme", "wide");
    wide["spec"]["replicas"] = json!(2);
    world.apply(&asleep).await?;
    world.apply(&wide).await?;
    world.wait_phase("acme-asleep", "Stopped").await?;
    world.wait_phase("acme-wide", "Running").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Suspended" } })).await?;
    let stopped = world.wait_reason("acme-wide", "Stopped", "CustomerSuspended").await?;
    assert_eq!(stopped.spec.replicas, 2, "the wish stands in the spec, untouched");
    let customer = world
        .wait::<OdooCustomer>("acme", "counted", |c| {
            c.status.as_ref().and_then(|s| s.environments).is_some_and(|e| e.stopped == 2)
        })
        .await?;
    assert_eq!(customer.status.unwrap().phase, Some(odoofleet_api::customer::CustomerPhase::Suspended));
    // A change while suspended is carried out asleep.
    world.patch::<OdooEnvironment>("acme-wide", json!({ "spec": { "values": { "note": "x" } } })).await?;
    world
        .wait::<OdooEnvironment>("acme-wide", "upgraded", |e| {
            e.status.as_ref().and_then(|s| s.release.as_ref()).is_some_and(|r| r.revision == 2)
        })
        .await?;
    world.wait_reason("acme-wide", "Stopped", "CustomerSuspended").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Active" } })).await?;
    let running = world.wait_phase("acme-wide", "Running").await?;
    assert_eq!(running.status.unwrap().ready_replicas, Some(2));
    world.wait_phase("acme-asleep", "Stopped").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prospect_gets_nothing_installed_until_the_lifecycle_says_so() -> Result {
    let world = World::start("prospect").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Prospect" } })).await?;
    world
        .wait::<OdooCustomer>("acme", "a prospect", |c| {
            c.status.as_ref().and_then(|s| s.phase).is_some_and(|p| format!("{p:?}") == "Prospect")
        })
        .await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_reason("acme-prod", "Error", "CustomerNotActive").await?;
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Trial" } })).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_contract_warns_and_its_dates_can_be_mended() -> Result {
    let world = World::start("expired").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let contract =
        |expires: &str| json!({ "spec": { "contract": { "expiresOn": expires }, "onExpiry": { "graceDays": 0 } } });
    world.patch::<OdooCustomer>("acme", contract("2020-01-01")).await?;
    world
        .wait::<OdooCustomer>("acme", "expired", |c| {
            c.status.as_ref().and_then(|s| s.phase).is_some_and(|p| format!("{p:?}") == "Expired")
        })
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.patch::<OdooCustomer>("acme", contract("2021-02-30")).await?;
    let customer = world
        .wait::<OdooCustomer>("acme", "refused", |c| {
            c.status.as_ref().is_some_and(|s| s.conditions.iter().any(|c| c.type_ == "Stalled"))
        })
        .await?;
    assert_eq!(
        customer.status.unwrap().phase,
        Some(odoofleet_api::customer::CustomerPhase::Expired),
        "the phase stays"
    );
    world.patch::<OdooCustomer>("acme", contract("2099-12-31")).await?;
    world
        .wait::<OdooCustomer>("acme", "active", |c| {
            c.status.as_ref().and_then(|s| s.phase).is_some_and(|p| format!("{p:?}") == "Active")
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn time_stops_only_a_few_customers_an_hour() -> Result {
    let world = World::start_with("budget", &["--max-automatic-stops", "1"]).await?;
    // Every day, all day: the window does not matter here.
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    for name in ["acme", "globex"] {
        let mut customer = e2e::customer(name);
        world.apply(&customer).await?;
        world.apply(&e2e::environment(name, "prod")).await?;
        world.wait_phase(&format!("{name}-prod"), "Running").await?;
        customer["spec"]["contract"] = json!({ "expiresOn": "2020-01-01" });
        customer["spec"]["onExpiry"] =
            json!({ "action": "Stop", "graceDays": 0, "stopWindow": { "days": days, "from": "00:00", "to": "23:59" } });
        world.apply(&customer).await?;
        let waits = name == "globex";
        world
            .wait::<OdooCustomer>(name, "decided", |c| {
                let status = c.status.clone().unwrap_or_default();
                let reason =
                    status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.reason.clone()).unwrap_or_default();
                if waits { reason == "StopScheduled" && status.stop.is_none() } else { status.stop.is_some() }
            })
            .await?;
    }
    world.wait_reason("acme-prod", "Stopped", "CustomerExpired").await?;
    world.wait_phase("globex-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_cannot_be_deleted_while_environments_exist() -> Result {
    let world = World::start("inuse").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.api::<OdooCustomer>().delete("acme", &DeleteParams::default()).await?;
    world
        .wait::<OdooCustomer>("acme", "held", |c| {
            c.status.as_ref().is_some_and(|s| s.conditions.iter().any(|c| c.reason == "InUse"))
        })
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.api::<OdooEnvironment>().delete("acme-prod", &DeleteParams::default()).await?;
    world.wait_gone::<OdooCustomer>("acme").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_customer_stalls_its_environments_and_stops_nothing() -> Result {
    let world = World::start("unknown").await?;
    world.apply(&e2e::environment("globex", "prod")).await?;
    world.wait_reason("globex-prod", "Error", "CustomerNotFound").await?;
    world.apply(&e2e::customer("globex")).await?;
    world.wait_phase("globex-prod", "Running").await?;
    // Deleted by force, as a restored backup or a careless tool would.
    world.patch::<OdooCustomer>("globex", json!({ "metadata": { "finalizers": null } })).await?;
    world.api::<OdooCustomer>().delete("globex", &DeleteParams::default()).await?;
    let force = json!({ "metadata": { "finalizers": null } });
    while world.api::<OdooCustomer>().get_opt("globex").await?.is_some() {
        if let Err(error) = world.patch::<OdooCustomer>("globex", force.clone()).await {
            assert!(error.to_string().contains("not found"), "{error}");
        }
    }
    let left = world.wait_reason("globex-prod", "Running", "CustomerNotFound").await?;
    assert_eq!(left.status.unwrap().ready_replicas, Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_refuses_one_more_environment_and_stops_none() -> Result {
    let world = World::start("limit").await?;
    world.apply(&e2e::environment("acme", "one")).await?;
    world.wait_phase("acme-one", "Running").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "limits": { "environments": 1 } } })).await?;
    // Watches of two kinds are not ordered: the limit counts for what is created once the operator has seen it.
    world
        .wait::<OdooCustomer>("acme", "seen with its limit", |customer| {
            customer.status.as_ref().and_then(|status| status.observed_generation) == customer.metadata.generation
        })
        .await?;
    world.apply(&e2e::environment("acme", "two")).await?;
    world.wait_reason("acme-two", "Error", "LimitExceeded").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "limits": { "environments": 0 } } })).await?;
    world.wait_phase("acme-one", "Running").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "limits": null } })).await?;
    world.wait_phase("acme-two", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_stop_for_a_customer_is_held_and_a_stop_by_name_is_not() -> Result {
    let mut world = World::start_with("massstop", &["--max-stops", "2"]).await?;
    let names = ["acme-a", "acme-b", "acme-c", "acme-d"];
    for name in names {
        world.apply(&e2e::environment("acme", name.trim_start_matches("acme-"))).await?;
    }
    for name in names {
        world.wait_phase(name, "Running").await?;
    }
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Suspended" } })).await?;
    let mut settled = Vec::new();
    for name in names {
        let environment = world
            .wait::<OdooEnvironment>(name, "stopped or held", |environment| {
                let reason = environment.status.as_ref().and_then(|status| status.reason.as_ref());
                matches!(reason.map(Reason::as_str), Some("CustomerSuspended" | "HeldByBrake"))
            })
            .await?;
        settled.push((name, environment.status.unwrap().reason.unwrap()));
    }
    let held: Vec<&str> =
        settled.iter().filter(|(_, reason)| *reason == Reason::HeldByBrake).map(|(name, _)| *name).collect();
    assert_eq!(held.len(), 2, "{settled:?}");
    world.wait_reason(held[0], "Running", "HeldByBrake").await?;
    // The operator's successor counts what was stopped before it.
    world.stop_operator().await?;
    world.run_operator().await?;
    world
        .kubectl(&["annotate", "oenv", held[1], "--namespace", &world.namespace, "odoofleet.dev/requestedAt=1"])
        .await?;
    world
        .wait::<OdooEnvironment>(held[1], "looked at again", |environment| {
            environment.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref()) == Some("1")
        })
        .await?;
    world.wait_reason(held[1], "Running", "HeldByBrake").await?;
    world.kubectl(&["scale", "oenv", held[0], "--namespace", &world.namespace, "--replicas=0"]).await?;
    world.wait_phase(held[0], "Stopped").await?;
    world.wait_reason(held[1], "Running", "HeldByBrake").await?;
    // Given back, nothing is held any more.
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Active" } })).await?;
    for (name, _) in settled.iter().filter(|(name, _)| *name != held[0]) {
        world.wait_reason(name, "Running", "Running").await?;
    }
    Ok(())
}
