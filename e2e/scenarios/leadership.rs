use std::time::Duration;

use e2e::World;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use odoofleet_api::OdooEnvironment;
use rustix::process::Signal;
use serde_json::json;

use crate::Result;

/// Environments whose creation a leader has not seen when it falls asleep.
const UNSEEN: usize = 8;

async fn leader(world: &World) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), world.system_namespace());
    let lease = leases.get("odoofleet-operator").await?;
    Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_through_its_lease_writes_nothing_more() -> Result {
    let mut world = World::start("slept").await?;
    let mut rival = world.run_rival()?;
    let first = leader(&world).await?;
    let told = rival.wait_ready("standing by", world.patience).await?;
    assert_eq!(told, format!("standing by: {first} leads\n"));

    world.signal_operator(Signal::STOP)?;
    rival.wait_ready("ready", world.patience).await?;
    let second = leader(&world).await?;
    assert_ne!(second, first);
    // The new leader sleeps, too: whatever is written now, the old one writes.
    rival.signal(Signal::STOP)?;
    for number in 0..UNSEEN {
        world.apply(&e2e::environment("acme", &format!("n{number}"))).await?;
    }
    world.signal_operator(Signal::CONT)?;
    let ended = world.wait_operator_end().await?;
    assert!(!ended.success(), "it says that its lease is lost");
    assert!(world.log().contains("the lease is lost"), "{}", world.log());
    for environment in world.api::<OdooEnvironment>().list(&ListParams::default()).await? {
        let managers: Vec<_> = environment.managed_fields().iter().map(|entry| entry.manager.clone()).collect();
        assert!(managers.iter().all(|manager| manager.as_deref() == Some("e2e")), "{managers:?}: {}", world.log());
    }
    let ours = ListParams::default().labels("odoofleet.dev/environment");
    assert_eq!(world.api::<Secret>().list(&ours).await?.items.len(), 0, "{}", world.log());

    // The new leader wakes before anybody took its lease, and goes on.
    rival.signal(Signal::CONT)?;
    for number in 0..UNSEEN {
        world.wait_phase(&format!("acme-n{number}"), "Running").await?;
    }
    assert_eq!(leader(&world).await?, second);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over() -> Result {
    let mut world = World::start("handover").await?;
    let mut rival = world.run_rival()?;
    rival.wait_ready("standing by", world.patience).await?;
    let first = leader(&world).await?;
    world.stop_operator().await?;
    assert_ne!(leader(&world).await?, first, "it gave the lease back before it ended");
    rival.wait_ready("ready", world.patience).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

/// A restored etcd counts versions from an earlier one on, and watches that were open wait for what is long to come.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_api_server_was_restored_from_a_backup_starts_anew() -> Result {
    let mut world = World::behind_proxy("restored", &[]).await?;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), world.system_namespace());
    let mut rewritten = Vec::new();
    // A renewal can come between the two; then the next one finds out.
    for round in 0..5 {
        let touch = Patch::Merge(json!({ "metadata": { "annotations": { "e2e/round": round.to_string() } } }));
        let lease = leases.patch("odoofleet-operator", &PatchParams::default(), &touch).await?;
        let version = format!("\"resourceVersion\":\"{}\"", lease.resource_version().unwrap_or_default());
        rewritten.push(world.proxy()?.rewrite(&version, "\"resourceVersion\":\"1\""));
        if let Ok(ended) = tokio::time::timeout(Duration::from_secs(8), world.wait_operator_end()).await {
            assert!(!ended?.success());
            assert!(world.log().contains("storage went back"), "{}", world.log());
            return Ok(());
        }
        rewritten.clear();
    }
    anyhow::bail!("it went on:\n{}", world.log())
}
