use e2e::World;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::{Result, release_labels, revisions};

async fn delete(world: &World, name: &str) -> Result {
    world.api::<OdooEnvironment>().delete(name, &DeleteParams::default()).await?;
    world.wait_gone::<OdooEnvironment>(name).await
}

/// An environment of charts/odoo, which has volumes.
async fn with_volumes(world: &World, service: &str, policy: &str) -> Result {
    world.apply(&e2e::odoo_template()).await?;
    let mut environment = e2e::odoo_environment("acme", service);
    environment["spec"]["deletionPolicy"] = json!(policy);
    environment["spec"]["ingress"] = json!({ "host": world.host(service) });
    world.apply(&environment).await?;
    world.wait_phase(&format!("acme-{service}"), "Running").await.map(drop)
}

async fn volumes(world: &World) -> anyhow::Result<Vec<String>> {
    let all = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    Ok(all
        .items
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        .map(|claim| format!("{}@{}", claim.name_any(), claim.uid().unwrap_or_default()))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_release_keeps_its_data_and_starts_when_created_again() -> Result {
    let world = World::start("retain").await?;
    with_volumes(&world, "prod", "Retain").await?;
    let data = volumes(&world).await?;
    assert_eq!(data.len(), 2, "{data:?}");
    let password = world.api::<Secret>().get("acme-prod-odoofleet").await?.data;
    delete(&world, "acme-prod").await?;
    assert_eq!(volumes(&world).await?, data);
    assert!(release_labels(&world, "acme-prod").await?.contains_key("odoofleet.dev/retained-at"));
    let web = world.api::<Deployment>().get("acme-prod-web").await?;
    assert_eq!(web.spec.unwrap().replicas, Some(0));
    let listed = world
        .kubectl(&["get", "secrets", "--namespace", &world.namespace, "-l", "odoofleet.dev/retained-at", "-o", "name"])
        .await?;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    // Nobody else gets its host or its name.
    world.apply(&e2e::customer("acme-prod")).await?;
    let mut thief = e2e::environment("acme-prod", "x");
    thief["spec"]["releaseName"] = json!("acme-prod");
    world.apply(&thief).await?;
    world.wait_reason("acme-prod-x", "Error", "ReleaseOwnedByAnother").await?;
    let mut squatter = e2e::environment("acme", "squatter");
    squatter["spec"]["ingress"] = json!({ "host": world.host("prod") });
    world.apply(&squatter).await?;
    world.wait_reason("acme-squatter", "Error", "HostTaken").await?;
    with_volumes(&world, "prod", "Retain").await?;
    assert_eq!(volumes(&world).await?, data);
    assert_eq!(world.api::<Secret>().get("acme-prod-odoofleet").await?.data, password);
    assert!(!release_labels(&world, "acme-prod").await?.contains_key("odoofleet.dev/retained-at"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_the_release_its_volumes_and_generated_secrets_and_nothing_of_others() -> Result {
    let world = World::start("delete").await?;
    with_volumes(&world, "gone", "Delete").await?;
    // Superseded revisions hold values, too, and no watch tells of them.
    for size in ["M", "L", "S"] {
        world.patch::<OdooEnvironment>("acme-gone", json!({ "spec": { "size": size } })).await?;
        world.wait_phase("acme-gone", "Running").await?;
    }
    assert_eq!(revisions(&world, "acme-gone").await?, [3, 4], "two revisions are kept");
    with_volumes(&world, "stays", "Retain").await?;
    let referenced = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mine", "labels": { "odoofleet.dev/customer": "acme" } }, "stringData": { "k": "v" } });
    world.apply(&referenced).await?;
    // A label that lies must not make a neighbour's volume vanish.
    let foreign = json!({ "metadata": { "labels": { "app.kubernetes.io/instance": "acme-gone" } } });
    world.patch::<PersistentVolumeClaim>("acme-stays-filestore", foreign).await?;
    delete(&world, "acme-gone").await?;
    assert!(revisions(&world, "acme-gone").await?.is_empty());
    let left = volumes(&world).await?;
    assert!(left.len() == 2 && left.iter().all(|volume| volume.starts_with("acme-stays")), "{left:?}");
    assert!(world.api::<Secret>().get_opt("acme-gone-odoofleet").await?.is_none());
    assert!(world.api::<Secret>().get_opt("mine").await?.is_some());
    world.wait_phase("acme-stays", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_runs_on_and_a_broken_spec_can_be_deleted() -> Result {
    let world = World::start("orphan").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["deletionPolicy"] = json!("Orphan");
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let broken = json!({ "spec": { "templateRef": { "name": "nobody" }, "values": { "replicaCount": 9 } } });
    world.patch::<OdooEnvironment>("acme-prod", broken).await?;
    world.wait_reason("acme-prod", "Running", "TemplateNotFound").await?;
    delete(&world, "acme-prod").await?;
    assert_eq!(world.api::<Deployment>().get("acme-prod-web").await?.status.unwrap().ready_replicas, Some(1));
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_retained_is_not_taken_to_another_major_version_without_a_word() -> Result {
    let world = World::start("keptmajor").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.kubectl(&["delete", "oenv", "acme-prod", "--namespace", &world.namespace]).await?;
    let mut next = e2e::template("small", "2");
    next["spec"]["odooVersion"] = json!("19.0");
    world.apply(&next).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let told = world.until_refused("acme-prod", "MajorUpgradeNotConfirmed").await?;
    assert!(told.message().contains("18.0→19.0"), "{}", told.message());
    world.annotate("acme-prod", "odoofleet.dev/major-upgrade", "18.0→19.0").await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn production_is_deleted_only_by_a_word_that_names_it() -> Result {
    let world = World::start("production").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["stage"] = json!("Production");
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let answer = world.api::<OdooEnvironment>().delete("acme-prod", &DeleteParams::default()).await;
    let refused = answer.map(drop).unwrap_err().to_string();
    assert!(refused.contains("odoofleet.dev/allow-deletion"), "{refused}");
    world.wait_phase("acme-prod", "Running").await?;
    world
        .patch::<OdooEnvironment>(
            "acme-prod",
            json!({ "metadata": { "annotations": { "odoofleet.dev/allow-deletion": "acme-prod" } } }),
        )
        .await?;
    delete(&world, "acme-prod").await
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_few_deletions_at_once_are_held_until_vouched_for() -> Result {
    let world = World::start_with("brake", &["--max-stops", "2"]).await?;
    for service in ["a", "b", "c"] {
        world.apply(&e2e::environment("acme", service)).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    for service in ["a", "b"] {
        delete(&world, &format!("acme-{service}")).await?;
    }
    world.api::<OdooEnvironment>().delete("acme-c", &DeleteParams::default()).await?;
    world
        .wait::<OdooEnvironment>("acme-c", "held", |e| {
            e.status.as_ref().and_then(|s| s.reason.as_ref()).is_some_and(|reason| reason.as_str() == "HeldByBrake")
        })
        .await?;
    let web = world.api::<Deployment>().get("acme-c-web").await?;
    assert_eq!(web.spec.unwrap().replicas, Some(1), "it runs on");
    world
        .patch::<OdooEnvironment>(
            "acme-c",
            json!({ "metadata": { "annotations": { "odoofleet.dev/allow-deletion": "acme-c" } } }),
        )
        .await?;
    world.wait_gone::<OdooEnvironment>("acme-c").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_does_not_hang() -> Result {
    let world = World::start("namespace").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["stage"] = json!("Production");
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let answer = namespaces.delete(&world.namespace, &DeleteParams::default()).await;
    let refused = answer.map(drop).unwrap_err().to_string();
    assert!(refused.contains("odoofleet.dev/allow-deletion"), "{refused}");
    let annotation = format!("odoofleet.dev/allow-deletion={}", world.namespace);
    world.kubectl(&["annotate", "namespace", &world.namespace, &annotation]).await?;
    world.kubectl(&["delete", "namespace", &world.namespace, "--timeout=60s"]).await?;
    Ok(())
}
