//! Bad input that only the operator can know: each becomes a condition that tells what to do, nothing is touched, and the
//! mended spec is taken up.

use e2e::{Chart, World};
use k8s_openapi::api::core::v1::ConfigMap;
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::{Result, revisions};

fn message(environment: &OdooEnvironment) -> String {
    environment.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()
}

/// Changes a running environment for the worse, and back.
async fn refused(world: &World, patch: Value, reason: &str, told: &str, mend: Value) -> Result {
    let before = revisions(world, "acme-prod").await?;
    world.patch::<OdooEnvironment>("acme-prod", patch).await?;
    let environment = world.wait_reason("acme-prod", "Running", reason).await?;
    assert!(message(&environment).contains(told), "{reason}: {}", message(&environment));
    let stalled = environment.status.unwrap().conditions.iter().any(|condition| condition.type_ == "Stalled");
    assert!(stalled, "{reason}");
    assert_eq!(revisions(world, "acme-prod").await?, before, "{reason}: Helm ran");
    world.patch::<OdooEnvironment>("acme-prod", mend).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_spec_leaves_what_runs_alone_and_is_taken_up_when_mended() -> Result {
    let world = World::start("refused").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let no_values = json!({ "spec": { "values": null } });
    let values = |values: Value| json!({ "spec": { "values": values } });
    refused(
        &world,
        json!({ "spec": { "templateRef": { "name": "nobody" } } }),
        "TemplateNotFound",
        "\"nobody\"",
        json!({ "spec": { "templateRef": { "name": "small" } } }),
    )
    .await?;
    refused(
        &world,
        json!({ "spec": { "templateRef": { "version": "9" } } }),
        "VersionNotFound",
        "there is: 1",
        json!({ "spec": { "templateRef": { "version": null } } }),
    )
    .await?;
    refused(&world, values(json!({ "note": 7 })), "SchemaViolation", "\"note\"", no_values.clone()).await?;
    refused(&world, values(json!({ "note": "n".repeat(41) })), "SchemaViolation", "maxLength", no_values.clone())
        .await?;
    refused(&world, values(json!({ "replicaCount": 3 })), "ValueNotAllowed", "\"spec.replicas\"", no_values.clone())
        .await?;
    refused(
        &world,
        values(json!({ "customer": { "id": "globex" } })),
        "ValueNotAllowed",
        "customer.id",
        no_values.clone(),
    )
    .await?;
    refused(
        &world,
        values(json!({ "host": "evil.example" })),
        "ValueNotAllowed",
        "\"spec.ingress.host\"",
        no_values.clone(),
    )
    .await?;
    refused(
        &world,
        json!({ "spec": { "size": "M" } }),
        "InputNotBound",
        "spec.size",
        json!({ "spec": { "size": null } }),
    )
    .await?;
    let secret = |name: &str| json!({ "spec": { "valuesFrom": [{ "secretKeyRef": { "name": name, "key": "release" }, "targetPath": "password" }] } });
    let no_secret = json!({ "spec": { "valuesFrom": null } });
    refused(&world, secret("missing"), "ReferenceNotFound", "\"missing\"", no_secret.clone()).await?;
    refused(&world, secret("sh.helm.release.v1.acme-prod.v1"), "ReferenceNotFound", "sh.helm.release", no_secret)
        .await?;
    let git = |url: &str| json!({ "spec": { "git": { "customerAddons": [{ "url": url, "ref": "main" }] } } });
    let no_git = json!({ "spec": { "git": null } });
    refused(&world, git("https://169.254.169.254/x"), "GitUrlNotAllowed", "169.254.169.254", no_git.clone()).await?;
    refused(&world, git("https://user:t0ken@github.com/x"), "GitUrlNotAllowed", "credentials", no_git).await?;
    assert!(!world.log().contains("t0ken"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_helm_can_know_is_told_without_a_retry_and_mended_by_an_input() -> Result {
    let world = World::start("helmrefuses").await?;
    // With a template's values alone these charts are in order: what is wrong shows with this environment's.
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["values"] = json!({ "note": "mine" });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let guarded = |text: &str| format!("{{{{ if .Values.note }}}}{text}{{{{ end }}}}");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: []\n";
    let secret_of_another = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-thief"}
spec:
  selector: {matchLabels: {app: thief}}
  template:
    metadata: {labels: {app: thief}}
    spec: {containers: [{name: c, image: x, envFrom: [{secretRef: {name: globex-odoofleet}}]}]}
"#;
    let cases = [
        (
            Chart::small("2.0.0").with("templates/x.yaml", &guarded("{{ fail \"on purpose\" }}")),
            "RenderFailed",
            "x.yaml",
        ),
        (Chart::small("2.0.0").with("templates/x.yaml", &guarded(role)), "KindNotAllowed", "Role"),
        (Chart::small("2.0.0").with("templates/x.yaml", secret_of_another), "ReferenceNotAllowed", "globex-odoofleet"),
        (Chart::small("2.0.0").without("templates/db.yaml"), "WouldDeleteData", "acme-prod-db"),
    ];
    for (position, (chart, reason, told)) in cases.into_iter().enumerate() {
        world.put_chart(&chart).await?;
        world.apply(&e2e::template("small", &format!("bad-{position}"))).await?;
        let environment = world.wait_reason("acme-prod", "Running", reason).await?;
        assert!(message(&environment).contains(told), "{reason}: {}", message(&environment));
        assert_eq!(revisions(&world, "acme-prod").await?, [1], "{reason}: something was written");
    }
    let before = world.metric("odoo_operator_helm_operations_total").await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "metadata": { "labels": { "touched": "yes" } } })).await?;
    world.put_chart(&Chart::small("2.0.0")).await?;
    world.apply(&e2e::template("small", "good")).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "moved", |e| {
            e.status.as_ref().and_then(|s| s.template.as_ref()).is_some_and(|t| t.version == "good")
        })
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    // The check of the chart, and the upgrade.
    assert!(
        (world.metric("odoo_operator_helm_operations_total").await? - before - 2.0).abs() < 0.5,
        "a terminal failure was tried again"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_environment_does_not_hold_up_the_others() -> Result {
    let world = World::start("poison").await?;
    // Deep and wide, but within what the API server takes.
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!({ "a": [deep.clone(), deep] });
        if deep.to_string().len() > 200_000 {
            break;
        }
    }
    let mut poison = e2e::environment("acme", "poison");
    poison["spec"]["values"] = json!({ "bomb": deep, "note": 1 });
    world.apply(&poison).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.wait_reason("acme-poison", "Error", "SchemaViolation").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fed_value_that_breaks_the_schema_is_told_with_who_feeds_it() -> Result {
    let world = World::start("fedschema").await?;
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "note", "labels": { "odoofleet.dev/customer": "acme" } },
        "data": { "text": "x".repeat(41) },
    });
    world.apply(&config).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["valuesFrom"] =
        json!([{ "configMapKeyRef": { "name": "note", "key": "text" }, "targetPath": "note" }]);
    world.apply(&environment).await?;
    let refused = world.wait_reason("acme-prod", "Error", "SchemaViolation").await?;
    let told = message(&refused);
    assert!(told.contains("\"note\"") && told.contains("set by spec.valuesFrom"), "{told}");
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    world.patch::<ConfigMap>("note", json!({ "data": { "text": "short" } })).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
