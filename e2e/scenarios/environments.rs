use e2e::World;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::{Result, release_labels, revisions};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_carries_its_labels_and_every_change_upgrades_it_once() -> Result {
    let world = World::start("labels").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    let labels = release_labels(&world, "acme-prod").await?;
    assert_eq!(labels["odoofleet.dev/customer"], "acme");
    assert_eq!(labels["odoofleet.dev/environment"], "acme-prod");
    assert_eq!(Some(&labels["odoofleet.dev/environment-uid"]), environment.metadata.uid.as_ref());
    assert_eq!(labels["odoofleet.dev/spec-hash"].len(), 52);
    assert_eq!(labels["odoofleet.dev/check"].len(), 52);
    assert_eq!(labels["odoofleet.dev/revision"], "1");

    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "second" } } })).await?;
    world.wait::<ConfigMap>("acme-prod-config", "changed", |map| note(map) == "second").await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    // A field that is removed leaves nothing behind.
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": null } })).await?;
    world.wait::<ConfigMap>("acme-prod-config", "changed back", |map| note(map).is_empty()).await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [2, 3], "two revisions are kept");
    let actions: Vec<String> = environment
        .status
        .unwrap()
        .history
        .iter()
        .map(|entry| format!("{:?}{:?}", entry.action, entry.revision))
        .collect();
    assert_eq!(actions, ["UpgradeSome(3)", "UpgradeSome(2)", "InstallSome(1)"]);
    Ok(())
}

fn note(map: &ConfigMap) -> String {
    map.data.as_ref().and_then(|data| data.get("note")).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_never_writes_spec_and_passwords_are_generated_once() -> Result {
    let world = World::start("spec").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(environment.metadata.generation, Some(1));
    let managers = environment.metadata.managed_fields.unwrap_or_default();
    let ours = managers
        .iter()
        .filter(|entry| entry.manager.as_deref().is_some_and(|manager| manager.starts_with("odoofleet")));
    for entry in ours {
        let fields = serde_json::to_string(&entry.fields_v1)?;
        assert!(!fields.contains("f:spec"), "{:?} owns {fields}", entry.manager);
    }
    let password =
        |secret: &Secret| secret.data.as_ref().and_then(|data| data.get("admin_passwd")).map(|bytes| bytes.0.clone());
    let first = world.api::<Secret>().get("acme-prod-odoofleet").await?;
    assert_eq!(password(&first).map(|bytes| bytes.len()), Some(32));
    assert_eq!(first.labels()["odoofleet.dev/generated"], "true");
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "x" } } })).await?;
    world.wait::<ConfigMap>("acme-prod-config", "changed", |map| note(map) == "x").await?;
    assert_eq!(password(&world.api::<Secret>().get("acme-prod-odoofleet").await?), password(&first));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_from_secrets_are_read_only_with_the_customers_label_and_followed_at_once() -> Result {
    let world = World::start("valuesfrom").await?;
    let secret = |labels: serde_json::Value, value: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "fed", "labels": labels }, "stringData": { "text": value } });
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["valuesFrom"] =
        json!([{ "secretKeyRef": { "name": "fed", "key": "text" }, "targetPath": "password" }]);
    world.apply(&environment).await?;
    let absent = message(&world.wait_reason("acme-prod", "Error", "ReferenceNotFound").await?);
    // That there is one, and whose, is not for everybody to know who reads statuses.
    for labels in [json!({}), json!({ "odoofleet.dev/customer": "globex" })] {
        let moment = labels.to_string();
        world.apply(&secret(labels, "one-canary")).await?;
        world.annotate("acme-prod", "odoofleet.dev/requestedAt", &moment).await?;
        let told =
            world.until("acme-prod", "looked at", |told| *told.field("/lastHandledReconcileAt") == moment).await?;
        assert_eq!((told.reason(), told.message()), ("ReferenceNotFound", absent.as_str()));
        assert!(revisions(&world, "acme-prod").await?.is_empty());
    }
    world.apply(&secret(json!({ "odoofleet.dev/customer": "acme" }), "one-canary")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let holds =
        |secret: &Secret, text: &str| secret.data.as_ref().is_some_and(|data| data["password"].0 == text.as_bytes());
    world.wait::<Secret>("acme-prod-own", "fed", |secret| holds(secret, "one-canary")).await?;
    world.apply(&secret(json!({ "odoofleet.dev/customer": "acme" }), "two-canary")).await?;
    world.wait::<Secret>("acme-prod-own", "fed anew", |secret| holds(secret, "two-canary")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    // The value is in the release and in the chart's own Secret, and nowhere else.
    let told = serde_json::to_string(&world.api::<OdooEnvironment>().get("acme-prod").await?)?;
    assert!(!told.contains("canary"), "{told}");
    assert!(!world.log().contains("canary"));
    let events = world.kubectl(&["get", "events", "--namespace", &world.namespace, "-o", "yaml"]).await?;
    assert!(!events.contains("canary"));
    world.patch::<Secret>("fed", json!({ "data": { "text": null, "other": "eA==" } })).await?;
    world.wait_reason("acme-prod", "Running", "ReferenceNotFound").await?;
    let own = world.api::<Secret>().get("acme-prod-own").await?;
    assert!(holds(&own, "two-canary"), "what runs is left alone");
    Ok(())
}

fn message(environment: &OdooEnvironment) -> String {
    environment.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_and_a_release_name_belong_to_the_first_and_go_to_the_next_when_freed() -> Result {
    let world = World::start("rivals").await?;
    world.apply(&e2e::customer("acme-cn")).await?;
    let mut first = e2e::environment("acme", "cn-prod");
    first["spec"]["ingress"] = json!({ "host": world.host("erp"), "aliases": [world.host("old")] });
    first["spec"]["deletionPolicy"] = json!("Delete");
    world.apply(&first).await?;
    world.wait_phase("acme-cn-prod", "Running").await?;
    // Another customer and service that come to the same release name, under another object name.
    let mut second = e2e::environment("acme-cn", "prod");
    second["metadata"]["name"] = json!("second");
    world.apply(&second).await?;
    world.wait_reason("second", "Error", "ReleaseNameTaken").await?;
    let mut third = e2e::environment("acme-cn", "other");
    third["spec"]["ingress"] = json!({ "host": world.host("www"), "aliases": [world.host("erp")] });
    world.apply(&third).await?;
    world.wait_reason("acme-cn-other", "Error", "HostTaken").await?;
    let mut fourth = e2e::environment("acme", "old");
    fourth["spec"]["ingress"] = json!({ "host": world.host("old") });
    world.apply(&fourth).await?;
    world.wait_reason("acme-old", "Error", "HostTaken").await?;
    first["spec"]["ingress"] = json!({ "host": world.host("erp") });
    world.apply(&first).await?;
    world.wait_phase("acme-old", "Running").await?;
    world.api::<OdooEnvironment>().delete("acme-cn-prod", &kube::api::DeleteParams::default()).await?;
    world.wait_phase("acme-cn-other", "Running").await?;
    world.wait_phase("second", "Running").await?;
    assert_eq!(release_labels(&world, "acme-cn-prod").await?["odoofleet.dev/customer"], "acme-cn");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_does_not_say_so_gets_no_service_links_and_no_token() -> Result {
    let world = World::start("transform").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let deployment = world.api::<Deployment>().get("acme-prod-web").await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec).unwrap();
    assert_eq!((pod.enable_service_links, pod.automount_service_account_token), (Some(false), Some(false)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_odoo_begins_with_reaches_the_chart_and_the_administrators_password_is_never_admin() -> Result {
    let world = World::start("bootstrap").await?;
    world.apply(&e2e::odoo_template()).await?;
    let mut environment = e2e::odoo_environment("acme", "prod");
    environment["spec"]["bootstrap"] =
        json!({ "adminLogin": "it@acme.example", "languages": ["zh_CN"], "country": "CN" });
    environment["spec"]["modules"] = json!({ "install": ["sale_management"], "update": "Never" });
    environment["spec"]["git"] = json!({
        "customerAddons": [{ "url": "https://git.example.cn/acme/addons.git", "ref": "main" }], "refresh": "2",
    });
    environment["spec"]["mail"] = json!({ "host": "smtp.example.cn", "port": 587 });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let values = world.helm(&["get", "values", "acme-prod", "--namespace", &world.namespace, "-o", "json"]).await?;
    let values: serde_json::Value = serde_json::from_str(&values)?;
    let generated = "acme-prod-odoofleet";
    assert_eq!(
        values["bootstrap"],
        json!({ "adminLogin": "it@acme.example", "languages": ["zh_CN"], "country": "CN", "existingSecret": generated })
    );
    assert_eq!(values["modules"], json!({ "install": ["sale_management"], "update": "Never" }));
    assert_eq!((&values["git"]["refresh"], &values["mail"]["port"]), (&json!("2"), &json!(587)));
    let secret = world.api::<Secret>().get(generated).await?.data.unwrap();
    let passwords: std::collections::BTreeSet<_> = secret.values().map(|value| value.0.clone()).collect();
    assert_eq!((secret.len(), passwords.len()), (3, 3), "three passwords, each its own");
    assert!(secret["administrator_password"].0.len() >= 32);

    // Another administrator's Secret must be the customer's, and have the key.
    environment["spec"]["bootstrap"]["adminPasswordSecretRef"] = json!({ "name": "acme-admin" });
    world.apply(&environment).await?;
    world.wait_reason("acme-prod", "Running", "ReferenceNotFound").await?;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "acme-admin", "labels": { "odoofleet.dev/customer": "acme" } },
            "stringData": { "administrator_password": "canary-password" },
        }))
        .await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "upgraded", |environment| {
            let status = environment.status.as_ref();
            status.and_then(|status| status.release.as_ref()).is_some_and(|release| release.revision == 2)
                && status.and_then(|status| status.reason.as_ref()).is_some_and(|reason| reason.as_str() == "Running")
        })
        .await?;
    assert!(!world.log().contains("canary-password"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_whose_last_key_server_side_apply_takes_away_are_no_values() -> Result {
    let world = World::start("emptied").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["values"] = json!({ "note": "x" });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    environment["spec"]["values"] = json!({});
    world.apply(&environment).await?;
    let note = |config: &ConfigMap| config.data.as_ref().and_then(|data| data.get("note").cloned());
    world.wait::<ConfigMap>("acme-prod-config", "emptied", |config| note(config).as_deref() == Some("")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
