use e2e::World;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::{Result, revisions};

#[tokio::test(flavor = "multi_thread")]
async fn start_brings_back_as_many_pods_as_there_were() -> Result {
    let world = World::start("cli-power").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(2);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let stopped = world.odoo(&["stop", "acme-prod", "--wait", "--reason", "moving house"]).await?;
    assert_eq!(
        (stopped.code, stopped.out.lines().last()),
        (0, Some("environment \"acme-prod\" is stopped")),
        "{stopped:?}"
    );
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.replicas, 0);
    assert_eq!(object.annotations()["odoofleet.dev/change-reason"], "moving house");
    let started = world.odoo(&["start", "acme-prod", "--wait"]).await?;
    assert_eq!((started.code, started.out.lines().last()), (0, Some("environment \"acme-prod\" runs")), "{started:?}");
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.replicas, 2);
    assert_eq!(revisions(&world, "acme-prod").await?, [1], "no Helm run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_by_role_starts_and_stops_production_and_a_viewer_is_told_the_role() -> Result {
    let world = World::start("cli-roles").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["stage"] = json!("Production");
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let viewer = world.person("odoofleet-viewer").await?;
    let refused = viewer.odoo(&["stop", "acme-prod"]).await?;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("the role \"odoofleet-operator\" permits it"), "{}", refused.err);
    let operator = world.person("odoofleet-operator").await?;
    assert_eq!(operator.odoo(&["stop", "acme-prod", "--wait"]).await?.code, 0);
    let answer = operator.odoo(&["start", "acme-prod", "--wait", "--reason", "again"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_owns_is_answered_with_the_patch_and_written_only_by_force() -> Result {
    let world = World::start("cli-git").await?;
    let mut environment = e2e::environment("acme", "prod");
    let id = format!("fleet:odoofleet.dev/OdooEnvironment:{}/acme-prod", world.namespace);
    environment["metadata"]["annotations"] = json!({ "argocd.argoproj.io/tracking-id": id });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let answer = world.odoo(&["stop", "acme-prod"]).await?;
    assert_eq!(answer.code, 7, "{answer:?}");
    assert!(answer.err.contains("Argo CD Application \"fleet\""), "{}", answer.err);
    let patch: serde_json::Value = serde_saphyr::from_str(&answer.out)?;
    assert_eq!((&patch["spec"], &patch["metadata"]["name"]), (&json!({ "replicas": 0 }), &json!("acme-prod")));
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.replicas, 1, "nothing was written");
    assert_eq!(world.odoo(&["stop", "acme-prod", "--force"]).await?.code, 0);
    world.wait_phase("acme-prod", "Stopped").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_replaces_the_pods_and_says_when_it_is_done() -> Result {
    let world = World::start("cli-restart").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let uids = |pods: &[k8s_openapi::api::core::v1::Pod]| -> std::collections::BTreeSet<String> {
        let web = pods.iter().filter(|pod| pod.name_any().starts_with("acme-prod-web"));
        web.filter_map(ResourceExt::uid).collect()
    };
    let pods = || async { anyhow::Ok(world.api().list(&kube::api::ListParams::default()).await?.items) };
    let before = uids(&pods().await?);
    let answer = world.odoo(&["restart", "acme-prod", "--wait"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(uids(&pods().await?).is_disjoint(&before));
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    let reason = object.status.unwrap_or_default().reason;
    assert_eq!(reason, Some(odoofleet_api::conditions::Reason::Running), "the new pods serve");
    world.odoo(&["stop", "acme-prod", "--wait"]).await?;
    let answer = world.odoo(&["restart", "acme-prod"]).await?;
    assert_eq!(answer.code, 8, "{answer:?}");
    assert!(answer.err.contains("kubectl odoo start acme-prod"), "{}", answer.err);
    Ok(())
}
