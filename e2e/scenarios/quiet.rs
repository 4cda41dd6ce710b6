use std::time::Duration;

use anyhow::ensure;
use e2e::{AuditEntry, World};
use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use serde_json::json;
use tokio::time::sleep;

use crate::Result;

/// Longer than anything rests that is written after something else.
const REST: Duration = Duration::from_secs(2);

async fn writes_since(world: &World, moment: Timestamp) -> anyhow::Result<Vec<AuditEntry>> {
    let requests = world.requests_since(moment).await?;
    Ok(requests.into_iter().filter(AuditEntry::is_write).collect())
}

fn told(writes: &[AuditEntry]) -> Vec<String> {
    writes.iter().map(ToString::to_string).collect()
}

/// Waits until all that follows from what was done is written: roll-ups, Events.
pub async fn settle(world: &World) -> Result {
    let since = tokio::time::Instant::now();
    loop {
        let moment = Timestamp::now();
        sleep(REST).await;
        let writes = writes_since(world, moment).await?;
        if writes.is_empty() {
            return Ok(());
        }
        ensure!(since.elapsed() < world.patience, "it does not come to rest: {:?}", told(&writes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_in_sync_is_written_to_only_when_somebody_asks_for_a_look() -> Result {
    let started = Timestamp::now();
    let world = World::start("quiet").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    settle(&world).await?;
    let before = told(&writes_since(&world, started).await?);
    assert!(before.contains(&"patch odooenvironments/status acme-prod".to_owned()), "the log is not whole: {before:?}");

    let left_alone = Timestamp::now();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(told(&writes_since(&world, left_alone).await?), [""; 0]);

    let asked = Timestamp::now();
    let mark = json!({ "metadata": { "annotations": { "odoofleet.dev/requestedAt": "1" } } });
    world.patch::<OdooEnvironment>("acme-prod", mark).await?;
    world
        .wait("acme-prod", "looked at", |environment: &OdooEnvironment| {
            environment.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref()) == Some("1")
        })
        .await?;
    settle(&world).await?;
    assert_eq!(told(&writes_since(&world, asked).await?), ["patch odooenvironments/status acme-prod"]);
    Ok(())
}
