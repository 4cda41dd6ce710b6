use e2e::{Chart, World};
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

use crate::{Result, rendered};

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_moves_to_a_version_and_back_to_following() -> Result {
    let world = World::start("cli-upgrade").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    // Nobody follows it of himself.
    let second = json!({ "spec": { "version": "2", "values": { "note": "two" }, "rollout": { "paused": true } } });
    world.patch::<OdooTemplate>("small", second).await?;
    world
        .wait("small", "version 2", |template: &OdooTemplate| {
            let versions = template.status.iter().flat_map(|status| &status.versions);
            versions.into_iter().any(|version| version.version == "2")
        })
        .await?;
    let unknown = world.odoo(&["upgrade", "acme-prod", "--to", "3"]).await?;
    assert!(unknown.code != 0 && unknown.err.contains('2'), "{unknown:?}");
    let tried = world.odoo(&["upgrade", "acme-prod", "--to", "2", "--dry-run"]).await?;
    assert_eq!(tried.code, 0, "{tried:?}");
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.template_ref.version, None, "a dry run writes nothing");
    let done = world.odoo(&["upgrade", "acme-prod", "--to", "2", "--wait"]).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "two");
    let history = world.odoo(&["history", "acme-prod", "-o", "json"]).await?;
    assert!(history.out.contains("\"Upgrade\""), "{history:?}");
    let followed = world.odoo(&["upgrade", "acme-prod", "--follow"]).await?;
    assert_eq!(followed.code, 0, "{followed:?}");
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.template_ref.version, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_shown_by_their_layers_and_set_after_a_check() -> Result {
    let world = World::start("cli-values").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let set = world.odoo(&["values", "set", "acme-prod", "note=typed", "--wait"]).await?;
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "typed");
    let shown = world.odoo(&["values", "acme-prod"]).await?;
    let values: Value = serde_saphyr::from_str(&shown.out)?;
    assert_eq!((&values["note"], &values["customer"]["id"]), (&json!("typed"), &json!("acme")), "{shown:?}");
    let owned = world.odoo(&["values", "set", "acme-prod", "customer.id=other"]).await?;
    assert_eq!(owned.code, 8, "{owned:?}");
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.values.get("customer"), None, "nothing was written");
    let viewer = world.person("odoofleet-viewer").await?.odoo(&["values", "acme-prod"]).await?;
    assert_eq!(viewer.code, 4, "{viewer:?}");
    assert!(viewer.err.contains("odoofleet-admin"), "{}", viewer.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_read_before_the_templates_status_tells_of_the_version() -> Result {
    let mut world = World::start("cli-early").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.stop_operator().await?;
    let namespace = world.namespace.clone();
    let early = r#"--patch={"status":{"versions":null}}"#;
    world
        .kubectl(&[
            "patch",
            "odootemplate/small",
            "--subresource=status",
            "--type=merge",
            early,
            "--namespace",
            &namespace,
        ])
        .await?;
    let set = world.odoo(&["values", "set", "acme-prod", "note=typed"]).await?;
    assert_eq!(set.code, 0, "{set:?}");
    let unknown = world.odoo(&["values", "acme-prod", "--diff", "9"]).await?;
    assert_eq!((unknown.code, unknown.err.contains("no version \"9\"")), (3, true), "{unknown:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_comes_back_as_it_was_and_what_is_new_is_checked_by_the_api_server() -> Result {
    let world = World::start("cli-export").await?;
    world.put_template("kept", "1", &Chart::small("1.0.0"), |_| {}).await?;
    let made = world
        .odoo(&[
            "new",
            "environment",
            "--customer",
            "acme",
            "--service",
            "prod",
            "--stage",
            "Test",
            "--template",
            "kept",
            "--apply",
        ])
        .await?;
    assert_eq!(made.code, 0, "{made:?}");
    world.wait_phase("acme-prod", "Running").await?;
    let again = world
        .odoo(&[
            "new",
            "environment",
            "--customer",
            "acme",
            "--service",
            "prod",
            "--stage",
            "Test",
            "--template",
            "kept",
        ])
        .await?;
    assert_eq!(again.code, 8, "it exists already: {again:?}");
    let folder = tempfile::tempdir()?;
    let all = world.odoo(&["export", "--all", "--out", &folder.path().to_string_lossy()]).await?;
    assert_eq!(all.code, 0, "{all:?}");
    let before: OdooEnvironment = world.api().get("acme-prod").await?;
    let file = folder.path().join(&world.namespace).join("environments/acme-prod.yaml");
    world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file.to_string_lossy()]).await?;
    let after: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!((after.spec, after.metadata.generation), (before.spec, before.metadata.generation));
    let one = world.odoo(&["export", "env/acme-prod", "customer/acme", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&one.out)?;
    assert_eq!(list["items"][1]["metadata"], json!({ "name": "acme", "namespace": world.namespace }));
    assert_eq!(world.odoo(&["export", "pod/x"]).await?.code, 2);
    Ok(())
}
