use e2e::{Real, RealWorld};

use crate::Result;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_becomes_an_odoo_that_people_can_log_in_to() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("an_environment_becomes_an_odoo_that_people_can_log_in_to") else {
        return Ok(());
    };
    let world = RealWorld::start("login", odoo).await?;
    world.apply(&world.environment("one")).await?;
    world.wait_phase("acme-one", "Running").await?;

    let page = world.page("acme-one", "/web/login").await?;
    assert_eq!(page.status(), 200, "{page:?}");
    let page = page.text().await?;
    assert!(page.contains("name=\"login\"") && page.contains("name=\"password\""), "{page}");
    let base = "SELECT state, split_part(latest_version, '.', 1) FROM ir_module_module WHERE name = 'base'";
    let major = odoo.series.split('.').next().unwrap_or_default();
    assert_eq!(world.psql("acme-one", base).await?, format!("installed|{major}"));

    // What it uses, as `kubectl top` tells it: of each container there are two readings after half a minute.
    let top = ["top", "pods", "--containers", "--no-headers", "--namespace", &world.namespace];
    let used = tokio::time::timeout(world.patience, async {
        loop {
            match world.kubectl(&top).await {
                Ok(used) if used.contains(" odoo ") => return used,
                _ => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            }
        }
    });
    let used = used.await.map_err(|_| anyhow::anyhow!("kubectl top tells nothing of container odoo"))?;
    assert!(used.lines().any(|line| line.contains(" postgresql ") && line.contains("Mi")), "{used}");
    Ok(())
}
