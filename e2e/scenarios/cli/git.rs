//! What Git owns is answered with the patch, by each command that writes a spec.

use e2e::World;
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

use crate::Result;

const URL: &str = "https://git.acme.example/acme/addons.git";

/// A world in which Argo CD owns `acme-prod`, which has addons and could move to version 2 of its template.
async fn owned(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    let mut template = e2e::template("small", "1");
    let bindings = template["spec"]["bindings"].as_array_mut().expect("is a list");
    for input in ["git.customerAddons", "modules"] {
        bindings.push(json!({ "to": input, "from": input }));
    }
    template["spec"]["version"] = json!("with-addons");
    world.apply(&template).await?;
    let mut environment = e2e::environment("acme", "prod");
    let id = format!("fleet:odoofleet.dev/OdooEnvironment:{}/acme-prod", world.namespace);
    environment["metadata"]["annotations"] = json!({ "argocd.argoproj.io/tracking-id": id });
    environment["spec"]["values"] = json!({ "note": "one", "extra": { "colour": "blue" } });
    environment["spec"]["git"] = json!({ "customerAddons": [{ "url": URL, "ref": "v1", "path": "addons" }] });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let second = json!({ "spec": { "version": "2", "rollout": { "paused": true } } });
    world.patch::<OdooTemplate>("small", second).await?;
    world
        .wait("small", "version 2", |template: &OdooTemplate| {
            let versions = template.status.iter().flat_map(|status| &status.versions);
            versions.into_iter().any(|version| version.version == "2")
        })
        .await?;
    Ok(world)
}

/// Runs a command that is to be refused, and returns its patch. Nothing is written.
async fn answered(world: &World, arguments: &[&str]) -> anyhow::Result<Value> {
    let before: OdooEnvironment = world.api().get("acme-prod").await?;
    let answer = world.odoo(arguments).await?;
    assert_eq!(answer.code, 7, "{answer:?}");
    assert!(answer.err.contains("Argo CD Application \"fleet\""), "{}", answer.err);
    assert!(answer.err.contains("--force"), "{}", answer.err);
    let after: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!((after.metadata.generation, after.spec), (before.metadata.generation, before.spec), "{arguments:?}");
    let patch: Value = serde_saphyr::from_str(&answer.out)?;
    assert_eq!(patch["kind"], json!("OdooEnvironment"), "{patch}");
    assert_eq!(patch["metadata"]["name"], json!("acme-prod"), "{patch}");
    assert_eq!(patch["metadata"]["namespace"], json!(world.namespace), "{patch}");
    Ok(patch)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_upgrades_and_addons_that_git_owns_are_written_only_by_force() -> Result {
    let world = owned("cli-owned").await?;
    let set = ["values", "set", "acme-prod", "note=two", "extra.colour=null"];
    let patch = answered(&world, &set).await?;
    assert_eq!(patch["spec"], json!({ "values": { "note": "two", "extra": null } }));
    let as_json = world.odoo(&[&set[..], &["-o", "json"]].concat()).await?;
    assert_eq!(serde_json::from_str::<Value>(&as_json.out)?, patch);

    let upgrade = ["upgrade", "acme-prod", "--to", "2", "--reason", "asked by it"];
    let patch = answered(&world, &upgrade).await?;
    assert_eq!(patch["spec"], json!({ "templateRef": { "version": "2" } }));
    assert_eq!(patch["metadata"]["annotations"], json!({ "odoofleet.dev/change-reason": "asked by it" }));

    let update = ["update", "acme-prod", "--addons", "v2", "--modules", "sale,stock"];
    let patch = answered(&world, &update).await?;
    let moved = json!({ "customerAddons": [{ "url": URL, "ref": "v2", "path": "addons" }] });
    assert_eq!(patch["spec"], json!({ "git": moved, "modules": { "named": ["sale", "stock"] } }));

    for arguments in [&set[..], &upgrade, &update] {
        let answer = world.odoo(&[arguments, &["--force"]].concat()).await?;
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(answer.err.contains("may put this back"), "{}", answer.err);
    }
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(Value::Object(object.spec.values), json!({ "note": "two" }));
    assert_eq!(object.spec.template_ref.version.as_deref(), Some("2"));
    assert_eq!(object.spec.git.unwrap_or_default().customer_addons[0].reference, "v2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patch_says_in_git_what_force_writes_beside_it() -> Result {
    let world = owned("cli-kustomize").await?;
    let folder = tempfile::tempdir()?;
    let before = world.kubectl(&["get", "oenv/acme-prod", "--namespace", &world.namespace, "-o", "json"]).await?;
    std::fs::write(folder.path().join("acme-prod.yaml"), before)?;
    let set = ["values", "set", "acme-prod", "note=two", "extra.colour=null"];
    let patch = world.odoo(&set).await?;
    std::fs::write(folder.path().join("patch.yaml"), patch.out)?;
    let kustomization = json!({ "resources": ["acme-prod.yaml"], "patches": [{ "path": "patch.yaml" }] });
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string())?;
    let built = world.kubectl(&["kustomize", &folder.path().to_string_lossy()]).await?;
    let built: OdooEnvironment = serde_saphyr::from_str(&built)?;
    world.odoo(&[&set[..], &["--force"]].concat()).await?;
    let written: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(built.spec, written.spec);
    Ok(())
}
