use e2e::RealWorld;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::Result;

const POD: &str = "data-postgresql-0";

#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_its_data_over_stop_and_start() -> Result {
    let world = RealWorld::bare("database").await?;
    install(&world).await?;
    world.wait_pod_ready(POD).await?;
    assert_eq!(world.psql_in("data", "postgres", "SHOW data_checksums").await?, "on");
    world.psql_in("data", "postgres", "CREATE TABLE kept AS SELECT 42 AS answer").await?;

    scale(&world, 0).await?;
    world.wait_gone::<Pod>(POD).await?;
    scale(&world, 1).await?;
    world.wait_pod_ready(POD).await?;
    assert_eq!(world.psql_in("data", "postgres", "SELECT answer FROM kept").await?, "42");
    let log = world.logs(POD, "postgresql").await?;
    assert!(!log.contains("was not properly shut down"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odoos_role_may_create_databases_and_nothing_more() -> Result {
    let world = RealWorld::bare("role").await?;
    install(&world).await?;
    world.wait_pod_ready(POD).await?;
    let role = "SELECT rolcreatedb, rolsuper, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = 'odoo'";
    assert_eq!(world.psql_in("data", "postgres", role).await?, "t|f|f|f");
    // By the Service: the pod's own loopback address is trusted as its socket is.
    let over_tcp = ["psql", "-X", "-w", "-h", "data-postgresql", "-U", "postgres", "-c", "SELECT 1"];
    let refused = world.exec(POD, "postgresql", &over_tcp).await.map_err(|error| error.to_string());
    assert!(refused.is_err_and(|error| error.contains("no password supplied")), "the superuser came in over TCP");
    Ok(())
}

/// The chart by plain Helm, with an image that has all of Odoo's needs but no Odoo: its web pod does not become ready.
async fn install(world: &RealWorld) -> Result {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "database" }, "stringData": { "password": "of the scenario" },
    });
    world.apply(&secret).await?;
    let mut values = world.values_without_odoo();
    values["postgresql"]["auth"] = json!({ "existingSecret": "database" });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), values.to_string())?;
    let chart = world.setup.repo.join("charts/odoo");
    let (chart, file) = (chart.to_string_lossy(), file.path().to_string_lossy());
    world.helm(&["install", "data", &chart, "--namespace", &world.namespace, "--values", &file]).await.map(drop)
}

async fn scale(world: &RealWorld, replicas: u8) -> Result {
    let replicas = format!("--replicas={replicas}");
    let arguments = ["scale", "statefulset", "data-postgresql", "--namespace", &world.namespace, &replicas];
    world.kubectl(&arguments).await.map(drop)
}
