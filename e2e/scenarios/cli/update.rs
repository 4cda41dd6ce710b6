//! `update`: other addons, and the modules that are updated with them. Fetching them is the real node's part: `e2e/real/cli.rs`.

use e2e::World;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::Result;

const URL: &str = "https://git.acme.example/acme/addons.git";

/// The values that Helm got last.
async fn values(world: &World) -> anyhow::Result<Value> {
    let values = world.helm(&["get", "values", "acme-prod", "--namespace", &world.namespace, "-o", "json"]).await?;
    Ok(serde_json::from_str(&values)?)
}

/// Lets the pods of Odoo say which commit they hold, as a kubelet would tell it.
async fn hold(world: &World, commit: &str) -> Result {
    let at = "2026-11-23T08:56:00Z";
    let told = json!({ "addon": { "url": URL, "ref": "v2", "commit": commit } }).to_string();
    let status = json!({ "status": { "initContainerStatuses": [{
        "name": "addons-0", "image": "x", "imageID": "", "ready": true, "started": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 0, "reason": "Completed", "message": told, "startedAt": at, "finishedAt": at } },
    }] } });
    let web = "app.kubernetes.io/instance=acme-prod,app.kubernetes.io/component=web";
    for pod in world.api::<Pod>().list(&ListParams::default().labels(web)).await? {
        let patch = Patch::Strategic(&status);
        world.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?;
    }
    world
        .wait::<OdooEnvironment>("acme-prod", "told of its addons", |environment| {
            let addons = environment.status.as_ref().map(|status| status.addons.as_slice());
            addons.and_then(<[_]>::first).is_some_and(|addon| addon.commit == commit)
        })
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn addons_and_modules_reach_the_release_and_the_commits_are_told() -> Result {
    let world = World::start("cli-update").await?;
    world.apply(&e2e::odoo_template()).await?;
    let mut environment = e2e::odoo_environment("acme", "prod");
    let other = json!({ "url": "https://git.acme.example/shared.git", "ref": "main" });
    environment["spec"]["git"] = json!({ "customerAddons": [{ "url": URL, "ref": "v1", "path": "addons" }, other] });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;

    let ambiguous = world.odoo(&["update", "acme-prod", "--addons", "v2"]).await?;
    assert_eq!((ambiguous.code, ambiguous.err.contains("--url")), (2, true), "{ambiguous:?}");
    let operator = world.person("odoofleet-operator").await?;
    let update = ["update", "acme-prod", "--addons", "v2", "--url", "acme/addons", "--modules", "sale,stock"];
    let done = operator.odoo(&[&update[..], &["--reason", "a mended invoice", "--wait"]].concat()).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("\nenvironment \"acme-prod\" is updated"), "{}", done.out);
    let got = values(&world).await?;
    assert_eq!(got["git"]["customerAddons"], json!([{ "url": URL, "ref": "v2", "path": "addons" }, other]));
    assert_eq!(got["modules"]["named"], json!(["sale", "stock"]));
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.annotations()["odoofleet.dev/change-reason"], "a mended invoice");

    hold(&world, "0123456789abcdef0123456789abcdef01234567").await?;
    let again = operator.odoo(&[&update[..], &["--wait"]].concat()).await?;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("has these addons already"), "{}", again.out);
    assert!(again.out.contains(&format!("{URL} v2 0123456789abcdef0123456789abcdef01234567")), "{}", again.out);
    let after: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(after.metadata.generation, object.metadata.generation, "nothing was written");

    // A branch is looked up anew.
    let anew = operator.odoo(&["update", "acme-prod", "--again", "--wait"]).await?;
    assert_eq!(anew.code, 0, "{anew:?}");
    assert!(!values(&world).await?["git"]["refresh"].as_str().unwrap_or_default().is_empty());
    Ok(())
}
