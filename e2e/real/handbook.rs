//! The handbook's pages on a real node, as typed.

use std::time::Duration;

use e2e::{Real, RealWorld};
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::Result;
use crate::acme::{Acme, version_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_comes_is_suspended_and_crashes_as_the_handbook_says() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("a_customer_comes_is_suspended_and_crashes") else { return Ok(()) };
    let mut world = RealWorld::bare("handbook").await?;
    world.run_operator().await?;
    let acme = Acme::start(&world).await?;
    let reader = acme.reader(&world, odoo)?;

    reader.follow("docs/handbook/new-customer.md").await?;
    let password = world.administrator_password("acme-prod").await?;
    assert!(world.authenticate("acme-prod", "it@acme.example", &password).await?.is_number());
    for (release, version) in [("acme-prod", "1.4.3"), ("acme-staging", "1.4.3")] {
        assert_eq!(version_of(&world, release, "acme_base").await?, version, "{release}");
        let environment = world.wait_phase(release, "Running").await?;
        let addons = environment.status.unwrap_or_default().addons;
        assert_eq!(addons[0].commit, acme.addons[1], "{release}");
    }
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'res_partner' AND column_name = 'acme_region'";
    assert_eq!(world.psql("acme-prod", columns).await?, "1", "the update reached the tables");

    reader.follow("docs/handbook/suspended-customer.md").await?;
    assert!(world.authenticate("acme-prod", "it@acme.example", &password).await?.is_number(), "all is as before");

    run_out_of_memory(&world).await?;
    reader.follow("docs/handbook/monday-crash.md").await?;
    assert_eq!(version_of(&world, "acme-prod", "acme_base").await?, "1.4.3", "no data was lost");
    Ok(())
}

/// Gives Odoo little memory, and uses it up, until the kernel ends it.
async fn run_out_of_memory(world: &RealWorld) -> Result {
    let little = json!({ "spec": {
        "resources": { "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "memory": "512Mi" } },
        "values": { "workers": 0, "odoo": { "config": { "limit_memory_soft": 400 << 20 } } },
    } });
    world.patch::<OdooEnvironment>("acme-prod", little).await?;
    // The largest process is the one that is ended: each of these is smaller than Odoo.
    let one = "python3 -c 'import time; eaten = bytearray(50 << 20); time.sleep(5)' &";
    let eat = format!("head -c 60M /dev/zero >/dev/shm/eaten; {} wait", one.repeat(10));
    let eaten = async {
        loop {
            let _ = world.exec("deployment/acme-prod-web", "odoo", &["sh", "-c", &eat]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        found = world.wait_reason("acme-prod", "Error", "OutOfMemory") => found.map(drop),
        () = eaten => Ok(()),
    }
}
