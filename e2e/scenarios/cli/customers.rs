use e2e::World;
use odoofleet_api::OdooCustomer;
use odoofleet_api::customer::Lifecycle;
use serde_json::json;

use crate::Result;

#[tokio::test(flavor = "multi_thread")]
async fn resume_returns_to_the_lifecycle_before_the_suspension() -> Result {
    let world = World::start("cli-suspend").await?;
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "lifecycle": "Trial" } })).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let answer = world.odoo(&["suspend", "acme", "--reason", "unpaid"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    world.wait_reason("acme-prod", "Stopped", "CustomerSuspended").await?;
    let held = world.odoo(&["start", "acme-prod"]).await?;
    assert_eq!(held.code, 9, "{held:?}");
    assert!(held.err.contains("CustomerSuspended"), "{}", held.err);
    let answer = world.odoo(&["resume", "acme", "--reason", "paid"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let customer: OdooCustomer = world.api().get("acme").await?;
    assert_eq!(customer.spec.lifecycle, Some(Lifecycle::Trial));
    world.wait_phase("acme-prod", "Running").await?;
    let again = world.odoo(&["resume", "acme", "--reason", "paid"]).await?;
    assert_eq!(again.code, 8, "{again:?}");
    Ok(())
}
