//! What `prepare` does to a database, and what the status tells of it.

use e2e::{Environment, Odoo, Real, RealWorld};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::DatabaseStatus;
use serde_json::{Value, json};

use crate::Result;

const WEB: &str = "app.kubernetes.io/instance=acme-one,app.kubernetes.io/component=web";

async fn start(name: &str, odoo: &Odoo, change: impl FnOnce(&mut Value)) -> anyhow::Result<RealWorld> {
    let world = RealWorld::start(name, odoo).await?;
    let mut environment = world.environment("one");
    change(&mut environment["spec"]);
    world.apply(&environment).await?;
    Ok(world)
}

fn database(environment: &Environment) -> DatabaseStatus {
    environment.status.as_ref().and_then(|status| status.database.clone()).unwrap_or_default()
}

async fn web_pod(world: &RealWorld) -> anyhow::Result<String> {
    let pods = world.api::<Pod>().list(&ListParams::default().labels(WEB)).await?;
    pods.items.first().map(ResourceExt::name_any).ok_or_else(|| anyhow::anyhow!("there is no web pod"))
}

/// Replaces the web pod, and waits until its successor serves.
async fn replace(world: &RealWorld) -> anyhow::Result<Environment> {
    let old = web_pod(world).await?;
    world.api::<Pod>().delete(&old, &DeleteParams::default()).await?;
    world.wait_gone::<Pod>(&old).await?;
    world.wait_phase("acme-one", "Running").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_begins_as_the_environment_says_and_a_restart_changes_nothing() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("a_database_begins_as_the_environment_says") else { return Ok(()) };
    let uuid = "6f1c2d3e-4b5a-4978-8796-a5b4c3d2e1f0";
    let world = start("bootstrap", odoo, |spec| {
        spec["bootstrap"] = json!({
            "adminLogin": "it@acme.example", "languages": ["zh_CN"], "country": "CN", "timeZone": "Asia/Shanghai",
            "databaseUuid": uuid,
        });
        spec["ingress"] = json!({ "host": "erp.acme.example" });
    })
    .await?;
    let first = world.wait_phase("acme-one", "Running").await?;
    let told = database(&first);
    assert!(told.initialised && told.modules_failed.is_empty(), "{told:?}");
    assert_eq!(told.uuid.as_deref(), Some(uuid));

    let password = world.administrator_password("acme-one").await?;
    let nobody = world.authenticate("acme-one", "admin", "admin").await?;
    assert_eq!(nobody, json!(false), "nobody ever meets admin/admin");
    assert!(world.authenticate("acme-one", "it@acme.example", &password).await?.is_number());
    let asked = "SELECT c.code, p.lang, p.tz FROM res_users u JOIN res_partner p ON p.id = u.partner_id, res_company o \
                 JOIN res_partner q ON q.id = o.partner_id JOIN res_country c ON c.id = q.country_id WHERE u.login = 'it@acme.example'";
    assert_eq!(world.psql("acme-one", asked).await?, "CN|zh_CN|Asia/Shanghai");
    let url = "SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'";
    assert_eq!(world.psql("acme-one", url).await?, "http://erp.acme.example");
    let demo = "SELECT count(*) FROM ir_module_module WHERE demo";
    assert_eq!(world.psql("acme-one", demo).await?, "0");

    let again = replace(&world).await?;
    assert_eq!(database(&again), told, "nothing changed, so nothing was done");
    let log = world.logs(&web_pod(&world).await?, "prepare").await?;
    assert!(!log.contains("odoo.modules"), "Odoo was not started: {log}");
    assert!(!log.contains(&password) && !serde_json::to_string(&again.status)?.contains(&password));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_a_module_that_does_not_exist_is_told_and_mended_by_the_spec() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("a_wish_for_a_module_that_does_not_exist") else { return Ok(()) };
    let world = start("module", odoo, |spec| spec["modules"] = json!({ "install": ["no_such_module"] })).await?;
    let failed = world.wait_reason("acme-one", "Error", "ModuleNotFound").await?;
    assert!(failed.status.unwrap().message.unwrap().contains("no_such_module"));
    let mend = json!({ "spec": { "modules": { "install": ["contacts"] } } });
    world.patch::<OdooEnvironment>("acme-one", mend).await?;
    let running = world.wait_phase("acme-one", "Running").await?;
    assert!(database(&running).initialised);
    let state = "SELECT state FROM ir_module_module WHERE name = 'contacts'";
    assert_eq!(world.psql("acme-one", state).await?, "installed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wished_while_an_environment_sleeps_is_done_when_it_wakes() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("what_is_wished_while_an_environment_sleeps") else { return Ok(()) };
    let world = start("asleep", odoo, |_| ()).await?;
    let before = database(&world.wait_phase("acme-one", "Running").await?);
    world.kubectl(&["scale", "oenv", "acme-one", "--namespace", &world.namespace, "--replicas=0"]).await?;
    world.wait_phase("acme-one", "Stopped").await?;

    // People who come meanwhile are told so, in both languages.
    world.wait_pod_ready(&page_pod(&world).await?).await?;
    let page = world.page("acme-one", "/web/login").await?;
    assert_eq!(page.status(), 503);
    assert!(page.headers().contains_key("retry-after"));
    let page = page.text().await?;
    assert!(page.contains('停') && page.contains("stopped"), "{page}");

    let wish = json!({ "spec": { "modules": { "install": ["contacts"] } } });
    world.patch::<OdooEnvironment>("acme-one", wish).await?;
    world
        .wait::<OdooEnvironment>("acme-one", "upgraded asleep", |environment| {
            let release = environment.status.as_ref().and_then(|status| status.release.as_ref());
            release.is_some_and(|release| release.revision == 2)
        })
        .await?;
    let asleep = world.wait_phase("acme-one", "Stopped").await?;
    assert_eq!(database(&asleep), before, "the database keeps its name while it sleeps");
    world.kubectl(&["scale", "oenv", "acme-one", "--namespace", &world.namespace, "--replicas=1"]).await?;
    world
        .wait::<OdooEnvironment>("acme-one", "migrating", |environment| {
            environment.status.as_ref().and_then(|status| status.reason.clone()) == Some(Reason::Migrating)
        })
        .await?;
    let awake = database(&world.wait_phase("acme-one", "Running").await?);
    assert_ne!(awake.fingerprint, before.fingerprint);
    assert_eq!(awake.uuid, before.uuid);
    assert_eq!(world.page("acme-one", "/web/login").await?.status(), 200);
    Ok(())
}

async fn page_pod(world: &RealWorld) -> anyhow::Result<String> {
    let selector = "app.kubernetes.io/instance=acme-one,app.kubernetes.io/component=page";
    let pods = world.api::<Pod>().list(&ListParams::default().labels(selector)).await?;
    pods.items.first().map(ResourceExt::name_any).ok_or_else(|| anyhow::anyhow!("there is no page"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_killed_while_it_makes_the_database_ends_right_at_its_next_start() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("a_pod_killed_while_it_makes_the_database") else { return Ok(()) };
    let world = start("killed", odoo, |_| ()).await?;
    world.wait_reason("acme-one", "Pending", "Migrating").await?;
    let pod = web_pod(&world).await?;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.api::<Pod>().delete(&pod, &now).await?;
    let running = world.wait_phase("acme-one", "Running").await?;
    assert!(database(&running).initialised);
    assert_ne!(web_pod(&world).await?, pod);
    assert_eq!(world.page("acme-one", "/web/login").await?.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_named_and_taken_up_when_it_is_mended() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("a_database_that_refuses_is_named") else { return Ok(()) };
    let world = start("refused", odoo, |_| ()).await?;
    let before = database(&world.wait_phase("acme-one", "Running").await?);
    world.psql("acme-one", "ALTER ROLE odoo NOLOGIN").await?;
    world.api::<Pod>().delete(&web_pod(&world).await?, &DeleteParams::default()).await?;
    let refused = world.wait_reason("acme-one", "Error", "DatabaseRefused").await?;
    assert_eq!(database(&refused), before, "what is known of the database stays");
    world.psql("acme-one", "ALTER ROLE odoo LOGIN").await?;
    world.wait_phase("acme-one", "Running").await?;
    Ok(())
}
