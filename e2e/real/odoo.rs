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
    Ok(())
}
