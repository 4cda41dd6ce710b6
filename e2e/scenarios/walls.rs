//! What an author may not do by way of the operator, whose rights are more than his own.

use std::time::Duration;

use e2e::{Chart, Environment, Told, World};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::{Result, revisions};

/// A Secret of the customer's, or of nobody's.
fn secret(name: &str, labels: &Value, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": labels },
        "stringData": { "text": text, "admin_passwd": text },
    })
}

fn feeding(mut environment: Value, secret: &str, to: &str) -> Value {
    environment["spec"]["valuesFrom"] =
        json!([{ "secretKeyRef": { "name": secret, "key": "text" }, "targetPath": to }]);
    environment
}

async fn delete(world: &World, name: &str) -> Result {
    world.api::<Environment>().delete(name, &DeleteParams::default()).await?;
    world.wait_gone::<Environment>(name).await
}

async fn volumes(world: &World) -> anyhow::Result<Vec<Option<String>>> {
    let all = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    Ok(all.items.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()).map(ResourceExt::uid).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_holds_comes_to_no_place_that_others_read() -> Result {
    let world = World::start("canary").await?;
    world.apply(&e2e::odoo_template()).await?;
    world.apply(&secret("mine", &json!({ "odoofleet.dev/customer": "acme" }), "canary-in-a-mine")).await?;
    let places = [
        "podAnnotations.leak",
        "odoo.config.aws_secret",
        "page.contact",
        "postgresql.parameters.x",
        "image.tag",
        "ingress.annotations.x",
        "ingress.aliases[0]",
        "ingress.tls.secretName",
        "git.refresh",
        "nodeSelector.x",
        "networkPolicy.extraEgress[0]",
        "mail.host",
    ];
    for to in places {
        world.apply(&feeding(e2e::odoo_environment("acme", "prod"), "mine", to)).await?;
        let told = world.until_refused("acme-prod", "ValueNotAllowed").await?;
        assert!(told.message().contains(to), "{to}: {}", told.message());
        assert!(revisions(&world, "acme-prod").await?.is_empty(), "{to}");
    }
    // Where Secrets may go, the chart keeps it in a Secret.
    world.apply(&feeding(e2e::odoo_environment("acme", "prod"), "mine", "odoo.config.admin_passwd")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let namespace = world.namespace.as_str();
    let kinds = world.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]).await?;
    for kind in kinds.lines().filter(|kind| *kind != "secrets") {
        let all = world.kubectl(&["get", kind, "--namespace", namespace, "-o", "json"]).await?;
        assert!(!all.contains("canary-in"), "{kind}: {all}");
    }
    assert!(!world.log().contains("canary-in"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_shows_what_secrets_feed_is_refused_with_the_template() -> Result {
    let world = World::start("leaky").await?;
    let leaky = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}-leak\"}\ndata: {ini: \"password={{ .Values.password }}\"}\n";
    world.put_chart(&Chart::small("2.0.0").with("templates/leak.yaml", leaky)).await?;
    world.apply(&e2e::template("small", "leaky")).await?;
    let told = world
        .wait::<odoofleet_api::OdooTemplate>("small", "refused", |template| {
            Told::by(template).condition("Ready") == ("False", "ReferenceNotAllowed")
        })
        .await?;
    let told = Told::by(&told);
    let text = serde_json::to_string(told.field("/conditions"))?;
    assert!(text.contains("data.ini") && text.contains("password"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_passwords_are_their_environments_alone() -> Result {
    let world = World::start("generated").await?;
    world.apply(&e2e::odoo_template()).await?;
    let mut production = e2e::odoo_environment("acme", "prod");
    production["spec"]["stage"] = json!("Production");
    world.apply(&production).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let mut probe = e2e::odoo_environment("acme", "probe");
    probe["spec"]["masterPasswordSecretRef"] = json!({ "name": "acme-prod-odoofleet" });
    world.apply(&probe).await?;
    let told = world.until_refused("acme-probe", "ReferenceNotAllowed").await?;
    assert!(told.message().contains("acme-prod"), "{}", told.message());
    // The free values of a chart reach it no better.
    let mut mail = e2e::odoo_environment("acme", "probe");
    mail["spec"]["mail"] = json!({ "host": "m.example", "existingSecret": "acme-prod-odoofleet" });
    world.apply(&mail).await?;
    world.patch::<Environment>("acme-probe", json!({ "spec": { "masterPasswordSecretRef": null } })).await?;
    world.until_refused("acme-probe", "ReferenceNotAllowed").await?;
    assert!(revisions(&world, "acme-probe").await?.is_empty());
    // One that is kept for Production is no Test's either.
    let kept = json!({ "odoofleet.dev/customer": "acme", "odoofleet.dev/stage": "Production" });
    world.apply(&secret("kept", &kept, "for production")).await?;
    world
        .patch::<Environment>(
            "acme-probe",
            json!({ "spec": { "mail": null, "masterPasswordSecretRef": { "name": "kept" } } }),
        )
        .await?;
    let told = world.until_refused("acme-probe", "ReferenceNotAllowed").await?;
    assert!(told.message().contains("odoofleet.dev/stage"), "{}", told.message());
    world
        .patch::<Environment>("acme-prod", json!({ "spec": { "masterPasswordSecretRef": { "name": "kept" } } }))
        .await?;
    world.until_says("acme-prod", "Running", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_somebody_prepared_are_not_taken() -> Result {
    let world = World::start("squatted").await?;
    world.apply(&e2e::odoo_template()).await?;
    world.apply(&secret("acme-prod-odoofleet", &json!({ "odoofleet.dev/customer": "acme" }), "known")).await?;
    world.apply(&e2e::odoo_environment("acme", "prod")).await?;
    let told = world.until_refused("acme-prod", "ReferenceNotAllowed").await?;
    assert!(told.message().contains("acme-prod-odoofleet"), "{}", told.message());
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    world.api::<Secret>().delete("acme-prod-odoofleet", &DeleteParams::default()).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let generated = world.api::<Secret>().get("acme-prod-odoofleet").await?;
    assert_eq!(generated.labels()["odoofleet.dev/generated"], "true");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_production_left_is_continued_by_production_alone() -> Result {
    let world = World::start("left").await?;
    world.apply(&e2e::odoo_template()).await?;
    for policy in ["Retain", "Orphan"] {
        let name = format!("acme-{}", policy.to_lowercase());
        let of_stage = |stage: &str, policy: &str| {
            let mut environment = e2e::odoo_environment("acme", name.trim_start_matches("acme-"));
            environment["metadata"]["annotations"] = json!({ "odoofleet.dev/allow-deletion": name });
            environment["spec"]["stage"] = json!(stage);
            environment["spec"]["deletionPolicy"] = json!(policy);
            environment
        };
        world.apply(&of_stage("Production", policy)).await?;
        world.wait_phase(&name, "Running").await?;
        let (data, held) = (volumes(&world).await?, revisions(&world, &name).await?);
        delete(&world, &name).await?;
        world.apply(&of_stage("Test", "Delete")).await?;
        let told = world.until_refused(&name, "ReleaseOwnedByAnother").await?;
        assert!(told.message().contains("Production"), "{}", told.message());
        delete(&world, &name).await?;
        assert_eq!((volumes(&world).await?, revisions(&world, &name).await?), (data.clone(), held), "{policy}");
        world.apply(&of_stage("Production", policy)).await?;
        world.wait_phase(&name, "Running").await?;
        assert_eq!(volumes(&world).await?, data, "{policy}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_made_again_with_another_id_takes_no_release_along() -> Result {
    let world = World::start("otherid").await?;
    let customer = |id: &str| {
        let mut customer = e2e::customer("initech");
        customer["spec"]["id"] = json!(id);
        customer
    };
    world.apply(&customer("C1")).await?;
    world.apply(&e2e::environment("initech", "prod")).await?;
    world.wait_phase("initech-prod", "Running").await?;
    world.api::<odoofleet_api::OdooCustomer>().delete("initech", &DeleteParams::default()).await?;
    world.patch::<odoofleet_api::OdooCustomer>("initech", json!({ "metadata": { "finalizers": null } })).await?;
    world.wait_gone::<odoofleet_api::OdooCustomer>("initech").await?;
    world.apply(&customer("C2")).await?;
    let told = world.until_refused("initech-prod", "ReleaseOwnedByAnother").await?;
    assert!(told.message().contains("\"C1\"") && told.message().contains("\"C2\""), "{}", told.message());
    assert_eq!(revisions(&world, "initech-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_reaches_hosts_and_pods_of_its_own_environment_alone() -> Result {
    let world = World::start("reach").await?;
    let ingress = r#"{{ if .Values.note }}apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: "{{ .Release.Name }}"}
spec:
  rules:
    - host: {{ .Values.note | quote }}
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: "{{ .Release.Name }}", port: {number: 80}}}}]}
{{ end }}"#;
    let service = r#"apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: "{{ .Values.selects | default (printf "%s-web" .Release.Name) }}"}, ports: [{port: 80}]}
"#;
    let chart = Chart::small("2.0.0").with("templates/ingress.yaml", ingress).with("templates/service.yaml", service);
    world.put_chart(&chart).await?;
    world.apply(&e2e::template("small", "reach")).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["ingress"] = json!({ "host": world.host("erp") });
    environment["spec"]["values"] = json!({ "note": world.host("erp") });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    for (values, named) in [
        (json!({ "note": "erp.globex.example" }), "erp.globex.example"),
        (json!({ "note": "*.example" }), "*.example"),
        (json!({ "selects": "globex-prod-web" }), "globex-prod-web"),
    ] {
        world.patch::<Environment>("acme-prod", json!({ "spec": { "values": values } })).await?;
        let told = world.until_refused("acme-prod", "ReferenceNotAllowed").await?;
        assert!(told.message().contains(named), "{}", told.message());
        assert_eq!(revisions(&world, "acme-prod").await?, [1]);
        world
            .patch::<Environment>(
                "acme-prod",
                json!({ "spec": { "values": { "note": world.host("erp"), "selects": null } } }),
            )
            .await?;
        world.until_says("acme-prod", "Running", "Running").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_knows_no_secrets_name_gets_the_master_password_by_value() -> Result {
    let world = World::start("byvalue").await?;
    world
        .put_template("small", "2", &Chart::small("1.0.0"), |template| {
            if let Some(bindings) = template["spec"]["bindings"].as_array_mut() {
                bindings.push(json!({ "to": "password", "from": "masterPassword" }));
            }
        })
        .await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let generated = world.api::<Secret>().get("acme-prod-odoofleet").await?.data.unwrap_or_default();
    let own = world.api::<Secret>().get("acme-prod-own").await?.data.unwrap_or_default();
    assert_eq!(own["password"], generated["admin_passwd"]);
    assert_eq!(revisions(&world, "acme-prod").await?, [1], "that it is known now makes no second revision");
    world.apply(&secret("master", &json!({ "odoofleet.dev/customer": "acme" }), "of my own")).await?;
    world
        .patch::<Environment>("acme-prod", json!({ "spec": { "masterPasswordSecretRef": { "name": "master" } } }))
        .await?;
    let is_mine = |secret: &Secret| secret.data.as_ref().is_some_and(|data| data["password"].0 == b"of my own");
    world.wait::<Secret>("acme-prod-own", "the one that is named", is_mine).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_in_a_namespace_in_which_no_policy_holds() -> Result {
    let mut world = World::start("nowalls").await?;
    world.stop_operator().await?;
    let namespace = world.namespace.clone();
    world.kubectl(&["label", "namespace", &namespace, "odoofleet.dev/managed-"]).await?;
    let mut operator = world.run_rival()?;
    let deadline = tokio::time::Instant::now() + world.patience;
    while !operator.log().contains("odoofleet.dev/managed=true") {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "nothing is said of the label: {}", operator.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.apply(&e2e::environment("acme", "prod")).await?;
    let untouched =
        |seen: &Environment| seen.finalizers().is_empty() && *Told::by(seen).field("/observedGeneration") == -1;
    world.stays::<Environment>("acme-prod", Duration::from_secs(3), "untouched", untouched).await?;
    world.kubectl(&["label", "namespace", &namespace, "odoofleet.dev/managed=true"]).await?;
    operator.wait_ready("ready", world.patience).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_release_can_hold_is_not_fed() -> Result {
    let world = World::start("toomuch").await?;
    let labels = json!({ "odoofleet.dev/customer": "acme" });
    world.apply(&secret("large", &labels, &"x".repeat(300 * 1024))).await?;
    world.apply(&feeding(e2e::environment("acme", "prod"), "large", "password")).await?;
    let told = world.until_refused("acme-prod", "ReleaseTooLarge").await?;
    assert!(told.message().contains("256 KiB"), "{}", told.message());
    world.apply(&secret("large", &labels, "small")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
