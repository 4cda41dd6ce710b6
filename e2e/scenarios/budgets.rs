//! What may be stopped for a date's sake, however many ask at once and whenever somebody changes his mind.

use std::time::Duration;

use e2e::{Told, World};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::apps::v1::Deployment;
use odoofleet_api::OdooCustomer;
use serde_json::{Value, json};

use crate::Result;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const CUSTOMERS: usize = 8;

/// Expired, with an action and a window of whole days.
fn expired(name: &str, action: &str, days: &[&str]) -> Value {
    let mut customer = e2e::customer(name);
    customer["spec"]["contract"] = json!({ "expiresOn": "2020-01-01" });
    customer["spec"]["onExpiry"] =
        json!({ "action": action, "graceDays": 0, "stopWindow": { "days": days, "from": "00:00", "to": "23:59" } });
    customer
}

/// How many customers are stopped, when each was looked at for this request.
async fn stopped(world: &World, request: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for number in 0..CUSTOMERS {
        let name = format!("expired-{number}");
        let patch = json!({ "metadata": { "annotations": { "odoofleet.dev/requestedAt": request } } });
        world.patch::<OdooCustomer>(&name, patch).await?;
    }
    for number in 0..CUSTOMERS {
        let name = format!("expired-{number}");
        let looked_at = |customer: &OdooCustomer| {
            let told = Told::by(customer);
            let decided = !told.field("/stop").is_null() || told.condition("Ready").1 == "StopScheduled";
            decided && told.field("/lastHandledReconcileAt") == request
        };
        let customer = world.wait::<OdooCustomer>(&name, "decided", looked_at).await?;
        count += usize::from(!Told::by(&customer).field("/stop").is_null());
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_that_expire_together_share_one_budget_and_so_they_do_after_a_restart() -> Result {
    let mut world = World::start_with("together", &["--max-automatic-stops", "1"]).await?;
    world.stop_operator().await?;
    for number in 0..CUSTOMERS {
        world.apply(&expired(&format!("expired-{number}"), "Stop", &DAYS)).await?;
    }
    world.run_operator().await?;
    assert_eq!(stopped(&world, "1").await?, 1);
    world.stop_operator().await?;
    world.run_operator().await?;
    assert_eq!(stopped(&world, "2").await?, 1);
    world.kill_operator().await?;
    world.run_operator().await?;
    assert_eq!(stopped(&world, "3").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_stop_that_waits_wakes_nobody_who_is_stopped() -> Result {
    let world = World::start("wider").await?;
    for (service, stage) in [("test", "Test"), ("prod", "Production")] {
        let mut environment = e2e::environment("acme", service);
        environment["spec"]["stage"] = json!(stage);
        world.apply(&environment).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    world.apply(&expired("acme", "StopNonProduction", &DAYS)).await?;
    world.wait_reason("acme-test", "Stopped", "CustomerExpired").await?;
    let asleep = |deployment: &Deployment| deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0);
    let change = async {
        world.apply(&expired("acme", "Stop", &[another_day()])).await?;
        let seen = |customer: &OdooCustomer| Told::by(customer).is_observed();
        world.wait::<OdooCustomer>("acme", "seen", seen).await
    };
    let (customer, ()) =
        tokio::try_join!(change, world.stays("acme-test-web", Duration::from_secs(8), "stopped", asleep))?;
    assert_eq!(Told::by(&customer).field("/stop/scope"), "NonProduction", "what is in force stays in force");
    world.wait_reason("acme-test", "Stopped", "CustomerExpired").await?;
    world.wait_reason("acme-prod", "Running", "Running").await?;
    Ok(())
}

/// Neither today nor tomorrow in any time zone.
fn another_day() -> &'static str {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).weekday();
    DAYS[(usize::from(today.to_monday_zero_offset().unsigned_abs()) + 3) % 7]
}
