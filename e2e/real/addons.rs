//! Addons from a git server: what is wrong with them stops no Odoo that runs, and what was fetched stays.

use e2e::{Environment, Real, RealWorld};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use serde_json::{Value, json};

use crate::Result;
use crate::acme::{Acme, version_of};

const RELEASE: &str = "acme-one";
/// Acme's addons, as a person with a password has them.
pub const HTTPS: &str = "https://git.acme.example/acme/addons.git";
const SSH: &str = "ssh://git@git.acme.example/srv/git/acme/addons.git";

fn addons(url: &str, reference: &str) -> Value {
    json!({ "spec": { "git": { "customerAddons": [
        { "url": url, "ref": reference, "path": "addons", "credentialsSecretRef": { "name": "git-deploy" } },
    ] } } })
}

/// A world in which environment `acme-one` runs with Acme's addons at tag `v1.4.2`.
pub async fn start(name: &str, odoo: &e2e::Odoo, url: &str) -> anyhow::Result<(RealWorld, Acme)> {
    let world = RealWorld::start(name, odoo).await?;
    let acme = Acme::start(&world).await?;
    let (username, password) = e2e::git_server::USER;
    let secret = if url == SSH {
        let key = world.exec("git", "git", &["cat", "/srv/.ssh/deploy"]).await?;
        let host = world.exec("git", "git", &["cat", "/srv/.ssh/host.pub"]).await?;
        json!({ "url": "ssh://git@git.acme.example/srv/git/acme", "ssh-privatekey": key, "known_hosts": format!("git.acme.example {host}") })
    } else {
        json!({ "url": "https://git.acme.example/acme", "username": username, "password": password, "ca.crt": acme.git.authority })
    };
    world.apply(&credentials(&secret)).await?;
    let mut environment = e2e::merged(world.environment("one"), &addons(url, "v1.4.2"));
    environment["spec"]["modules"] = json!({ "install": ["acme_base"] });
    world.apply(&environment).await?;
    world.wait_phase(RELEASE, "Running").await?;
    Ok((world, acme))
}

fn credentials(data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": data,
        "metadata": { "name": "git-deploy", "labels": { "odoofleet.dev/customer": "acme" } },
    })
}

async fn web_pod(world: &RealWorld) -> anyhow::Result<String> {
    let web = ListParams::default().labels("app.kubernetes.io/instance=acme-one,app.kubernetes.io/component=web");
    let pods = world.api::<Pod>().list(&web).await?;
    pods.items.first().map(ResourceExt::name_any).ok_or_else(|| anyhow::anyhow!("there is no web pod"))
}

/// Makes a change that cannot work, and sees that people work on.
async fn is_refused(world: &RealWorld, change: Value, reason: &str) -> anyhow::Result<Environment> {
    let pod = web_pod(world).await?;
    world.patch::<OdooEnvironment>(RELEASE, change).await?;
    let refused = world.wait_reason(RELEASE, "Running", reason).await?;
    assert_eq!(web_pod(world).await?, pod, "{reason}");
    assert_eq!(world.page(RELEASE, "/web/login").await?.status(), 200, "{reason}");
    Ok(refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn addons_that_cannot_be_had_stop_no_odoo_that_runs() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("addons_that_cannot_be_had_stop_no_odoo") else { return Ok(()) };
    let (world, acme) = start("addons", odoo, HTTPS).await?;
    is_refused(&world, addons(HTTPS, "v9.9.9"), "AddonRefNotFound").await?;
    is_refused(&world, addons("https://git.acme.example/acme/nothing.git", "v1.4.2"), "AddonRefused").await?;
    let mut folder = addons(HTTPS, "v1.4.2");
    folder["spec"]["git"]["customerAddons"][0]["path"] = json!("addons/acme_base");
    is_refused(&world, folder, "AddonManifestMissing").await?;
    let mut module = addons(HTTPS, "v1.4.2");
    module["spec"]["modules"] = json!({ "install": ["acme_base", "acme_nothing"] });
    let refused = is_refused(&world, module, "ModuleNotFound").await?;
    assert!(refused.status.unwrap_or_default().message.unwrap_or_default().contains("acme_nothing"));
    let image = json!({ "spec": { "image": { "repository": "registry.invalid/odoo" }, "modules": { "install": ["acme_base"] } } });
    is_refused(&world, image, "ImagePull").await?;
    world
        .apply(&credentials(&json!({ "url": "https://git.acme.example/acme", "username": "deploy", "password": "expired", "ca.crt": acme.git.authority })))
        .await?;
    let mut moved = addons(HTTPS, "v1.4.3");
    moved["spec"]["image"] = Value::Null;
    is_refused(&world, moved, "AddonRefused").await?;

    // Mending is enough.
    let (username, password) = e2e::git_server::USER;
    let mended = json!({ "url": "https://git.acme.example/acme", "username": username, "password": password, "ca.crt": acme.git.authority });
    world.apply(&credentials(&mended)).await?;
    world
        .wait::<OdooEnvironment>(RELEASE, "at the new tag", |environment| {
            let status = environment.status.clone().unwrap_or_default();
            let at_new = status.addons.first().is_some_and(|addon| addon.commit == acme.addons[1]);
            at_new && status.reason == Some(Reason::Running)
        })
        .await?;
    assert_eq!(version_of(&world, RELEASE, "acme_base").await?, "1.4.3");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_odoo_starts_without_its_git_server() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("an_unchanged_odoo_starts_without_its_git_server") else { return Ok(()) };
    let (world, acme) = start("offline", odoo, SSH).await?;
    world.api::<Pod>().delete("git", &DeleteParams::default()).await?;
    world.wait_gone::<Pod>("git").await?;
    let old = web_pod(&world).await?;
    world.api::<Pod>().delete(&old, &DeleteParams::default()).await?;
    world.wait_gone::<Pod>(&old).await?;
    let running = world.wait_phase(RELEASE, "Running").await?;
    assert_ne!(web_pod(&world).await?, old);
    assert_eq!(running.status.unwrap_or_default().addons[0].commit, acme.addons[0]);
    assert_eq!(version_of(&world, RELEASE, "acme_base").await?, "1.4.2");
    is_refused(&world, addons(SSH, "v1.4.3"), "AddonUnreachable").await?;
    Ok(())
}
