//! The handbook's pages, as typed.

use e2e::World;
use e2e::handbook::{DOMAIN, Reader, blocks};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::Result;
use crate::status::crash;

const PAGES: [&str; 3] = ["new-customer", "suspended-customer", "monday-crash"];

/// A world with the quickstart's customer, template and production environment.
async fn with_production(name: &str) -> anyhow::Result<World> {
    let mut world = World::bare(name, &[]).await?;
    world.run_operator().await?;
    for file in ["customers", "template", "environments"] {
        let text = std::fs::read_to_string(world.setup.repo.join(format!("examples/quickstart/{file}.yaml")))?;
        let text = text.replace(DOMAIN, &world.domain()).replace("globex.trial", &world.namespace);
        for object in text.split("\n---\n") {
            let mut object: serde_json::Value = serde_saphyr::from_str(object)?;
            object["metadata"]["namespace"] = json!(world.namespace);
            world.apply(&object).await?;
        }
    }
    world.wait_phase("acme-prod", "Running").await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_reaches_running_as_the_handbook_says() -> Result {
    let mut world = World::bare("handbook-new", &[]).await?;
    world.run_operator().await?;
    Reader::new(&world)?.with_own_domain()?.follow("docs/handbook/new-customer.md").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_customer_stops_and_comes_back_as_the_handbook_says() -> Result {
    let world = with_production("handbook-stop").await?;
    Reader::new(&world)?.with_own_domain()?.follow("docs/handbook/suspended-customer.md").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_found_and_mended_as_the_handbook_says() -> Result {
    let world = with_production("handbook-crash").await?;
    let web = "app.kubernetes.io/instance=acme-prod,app.kubernetes.io/component=web";
    assert_eq!(world.api::<Pod>().list(&ListParams::default().labels(web)).await?.items.len(), 1);
    let pod = crash(&world, web, "odoo", "OOMKilled", 137).await?;
    world.wait_reason("acme-prod", "Error", "OutOfMemory").await?;
    Reader::new(&world)?.with_own_domain()?.follow("docs/handbook/monday-crash.md").await?;
    let left = world.api::<Pod>().list(&ListParams::default().labels(web)).await?;
    assert!(left.items.iter().all(|left| left.name_any() != pod), "the page replaces the pod that crashed");
    Ok(())
}

#[test]
fn both_languages_of_the_handbook_type_the_same() -> Result {
    let repo = e2e::Setup::from_env()?.repo;
    for page in PAGES {
        let read = |suffix: &str| std::fs::read_to_string(repo.join(format!("docs/handbook/{page}{suffix}")));
        let typed =
            |text: String| blocks(&text).into_iter().map(|block| (block.real, block.script)).collect::<Vec<_>>();
        assert_eq!(typed(read(".md")?), typed(read(".zh.md")?), "{page}");
    }
    Ok(())
}
