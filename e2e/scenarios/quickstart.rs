use e2e::World;
use e2e::handbook::DOMAIN;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

use crate::Result;

/// Applies every manifest of a folder of examples into the world's namespace.
async fn apply_examples(world: &World, folder: &str) -> Result {
    let path = world.setup.repo.join("examples").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let text =
            std::fs::read_to_string(file)?.replace("namespace: odoo\n", &format!("namespace: {}\n", world.namespace));
        let text = text.replace(DOMAIN, &world.domain()).replace("globex.trial.example", &world.host("globex"));
        let copy = tempfile::NamedTempFile::new()?;
        std::fs::write(copy.path(), text)?;
        world.kubectl(&["apply", "--server-side", "-f", &copy.path().to_string_lossy()]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_reaches_running_and_the_plain_helm_cli_shows_it() -> Result {
    let mut world = World::bare("quickstart", &[]).await?;
    world.run_operator().await?;
    apply_examples(&world, "quickstart").await?;
    for name in ["acme-prod", "acme-test", "globex-trial"] {
        world.wait_phase(name, "Running").await?;
    }
    let list = world.helm(&["list", "--namespace", &world.namespace]).await?;
    assert!(list.contains("acme-prod") && list.contains("deployed"), "{list}");
    let history = world.helm(&["history", "acme-prod", "--namespace", &world.namespace]).await?;
    assert!(history.contains("Install complete"), "{history}");
    let customer: OdooCustomer = world
        .wait("acme", "rolled up", |customer: &OdooCustomer| {
            customer
                .status
                .as_ref()
                .and_then(|status| status.environments)
                .is_some_and(|counts| counts.running == 2 && counts.total == 2)
        })
        .await?;
    assert_eq!(customer.status.unwrap().deployment_type, Some(odoofleet_api::customer::DeploymentType::Online));
    let template: OdooTemplate = world
        .wait("odoo-18", "done", |template: &OdooTemplate| {
            template.status.as_ref().and_then(|status| status.rollout.as_ref()).is_some_and(|rollout| rollout.done == 3)
        })
        .await?;
    assert_eq!(template.status.unwrap().in_use, Some(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted() -> Result {
    let world = World::bare("examples", &[]).await?;
    let mut files = Vec::new();
    for folder in ["examples", "examples/complete", "examples/templates"] {
        files.extend(std::fs::read_dir(world.setup.repo.join(folder))?.flatten().map(|entry| entry.path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let text =
            std::fs::read_to_string(&file)?.replace("namespace: odoo\n", &format!("namespace: {}\n", world.namespace));
        let copy = tempfile::NamedTempFile::new()?;
        std::fs::write(copy.path(), text)?;
        let path = copy.path().to_string_lossy().into_owned();
        world.kubectl(&["apply", "--server-side", "--dry-run=server", "-f", &path]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_everything_in_sync_starts_no_worker_and_writes_nothing() -> Result {
    let mut world = World::start("insync").await?;
    for service in ["a", "b", "c"] {
        world.apply(&e2e::environment("acme", service)).await?;
    }
    for service in ["a", "b", "c"] {
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    // Roll-ups follow within their second.
    world
        .wait::<OdooCustomer>("acme", "counted", |c| {
            c.status.as_ref().and_then(|s| s.environments).is_some_and(|e| e.running == 3)
        })
        .await?;
    world
        .wait::<OdooTemplate>("small", "done", |t| {
            t.status.as_ref().and_then(|s| s.rollout.as_ref()).is_some_and(|r| r.done == 3)
        })
        .await?;
    world.stop_operator().await?;
    let before = versions(&world).await?;
    world.run_operator().await?;
    // Every environment was looked at, which the operator's own figures tell.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while world.metric("odoo_operator_reconcile_total").await? < 5.0 {
        assert!(tokio::time::Instant::now() < deadline, "nothing was looked at");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(versions(&world).await?, before, "something was written");
    assert!(world.metric("odoo_operator_helm_workers_started").await?.abs() < 0.5);
    Ok(())
}

/// Resource versions of everything that the operator could write.
pub async fn versions(world: &World) -> anyhow::Result<Vec<String>> {
    let all = ListParams::default();
    let mut versions = Vec::new();
    let mut add = |kind: &str, name: String, version: Option<String>| {
        versions.push(format!("{kind}/{name}@{}", version.unwrap_or_default()));
    };
    for object in world.api::<OdooEnvironment>().list(&all).await? {
        add("environment", object.name_any(), object.resource_version());
    }
    for object in world.api::<OdooCustomer>().list(&all).await? {
        add("customer", object.name_any(), object.resource_version());
    }
    for object in world.api::<OdooTemplate>().list(&all).await? {
        add("template", object.name_any(), object.resource_version());
    }
    for object in world.api::<Secret>().list(&all).await? {
        add("secret", object.name_any(), object.resource_version());
    }
    for object in world.api::<Pod>().list(&all).await? {
        add("pod", object.name_any(), object.uid());
    }
    versions.sort();
    Ok(versions)
}
