use e2e::{Chart, World};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::{Result, revisions};

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_release_goes_only_when_its_name_is_said_twice() -> Result {
    let world = World::start("cli-retained").await?;
    world.put_template("kept", "1", &Chart::small("1.0.0").with_volume(), |_| {}).await?;
    let mut environment = e2e::environment_of("prod", "kept");
    environment["spec"]["stage"] = json!("Production");
    environment["metadata"]["annotations"] = json!({ "odoofleet.dev/allow-deletion": "acme-prod" });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.kubectl(&["delete", "oenv", "acme-prod", "--namespace", &world.namespace]).await?;
    let list = world.odoo(&["retained", "list", "-o", "json"]).await?;
    let retained: Value = serde_json::from_str(&list.out)?;
    assert_eq!(retained[0]["release"], "acme-prod");
    assert_eq!(retained[0]["stage"], "Production");
    let volumes =
        || async { anyhow::Ok(world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items) };
    let asked = world.odoo(&["retained", "purge", "acme-prod"]).await?;
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.err.contains("--confirm acme-prod"), "{}", asked.err);
    assert_eq!(world.odoo(&["retained", "purge", "acme-prod", "--confirm", "acme"]).await?.code, 2);
    assert!(!revisions(&world, "acme-prod").await?.is_empty());
    assert!(!volumes().await?.is_empty(), "nothing is gone yet");
    let purged = world.odoo(&["retained", "purge", "acme-prod", "--confirm", "acme-prod"]).await?;
    assert_eq!(purged.code, 0, "{purged:?}");
    world.wait_gone::<OdooEnvironment>("acme-prod").await?;
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    assert!(volumes().await?.is_empty());
    let list = world.odoo(&["retained", "list"]).await?;
    assert_eq!((list.code, list.err.trim()), (0, "nothing is retained"));
    Ok(())
}
