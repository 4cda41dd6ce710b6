use e2e::{Chart, World};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::json;

use crate::{Result, rendered, revisions};

pub mod registry;

fn held(environment: &OdooEnvironment) -> String {
    environment
        .status
        .as_ref()
        .and_then(|status| status.template.as_ref())
        .map(|held| held.version.clone())
        .unwrap_or_default()
}

async fn wait_template(world: &World, reason: &str) -> anyhow::Result<OdooTemplate> {
    world
        .wait::<OdooTemplate>("small", reason, |template| {
            let status = template.status.clone().unwrap_or_default();
            status.observed_generation == template.metadata.generation
                && status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == reason)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_or_edited_chart_changes_nothing_for_a_version_that_exists() -> Result {
    let mut world = World::start("frozen").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let kept = world.api::<ConfigMap>().list(&ListParams::default().labels("odoofleet.dev/chart-digest")).await?;
    assert_eq!((kept.items.len(), kept.items[0].immutable), (1, Some(true)));
    let versions =
        world.api::<ControllerRevision>().list(&ListParams::default().labels("odoofleet.dev/template=small")).await?;
    assert_eq!(versions.items.len(), 1);
    let edited = Chart::small("1.0.0").with("templates/config.yaml", "# nothing\n");
    world.put_chart(&edited).await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "still" } } })).await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "changed", |map| map.data.as_ref().is_some_and(|d| d["note"] == "still"))
        .await?;
    world.api::<ConfigMap>().delete("small-chart", &DeleteParams::default()).await?;
    // Neither the operator's memory nor its folder is needed.
    world.stop_operator().await?;
    world.run_operator().await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "and again" } } })).await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "changed", |map| {
            map.data.as_ref().is_some_and(|d| d["note"] == "and again")
        })
        .await?;
    world.apply(&e2e::environment("acme", "new")).await?;
    world.wait_phase("acme-new", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_move_a_bounded_number_at_a_time_and_pinned_ones_stay() -> Result {
    let world = World::start("rollout").await?;
    let mut pinned = e2e::environment("acme", "pinned");
    pinned["spec"]["templateRef"]["version"] = json!("1");
    world.apply(&pinned).await?;
    for service in ["a", "b", "c", "d"] {
        world.apply(&e2e::environment("acme", service)).await?;
    }
    for service in ["a", "b", "c", "d", "pinned"] {
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    // The second version's pods never get ready: whoever moves keeps its place.
    let mut second = e2e::template("small", "2");
    second["spec"]["values"] = json!({ "note": "second" });
    second["spec"]["rollout"] = json!({ "maxConcurrent": 2 });
    let broken = Chart::small("2.0.0").with("templates/web.yaml", WEB_NOWHERE);
    world.put_chart(&broken).await?;
    world.apply(&second).await?;
    let template = world
        .wait::<OdooTemplate>("small", "rolling", |t| {
            let status = t.status.clone().unwrap_or_default();
            let moved = status.versions.iter().any(|version| version.version == "2" && version.in_use == 2);
            moved && status.rollout.is_some_and(|rollout| rollout.version == "2")
        })
        .await?;
    let rollout = template.status.unwrap().rollout.unwrap();
    assert!(rollout.place.is_some(), "{rollout:?}");
    assert_eq!((rollout.total, rollout.done, rollout.pinned), (4, 0, 1), "{rollout:?}");
    let all = world.api::<OdooEnvironment>().list(&ListParams::default()).await?;
    let moved: Vec<String> = all.items.iter().filter(|e| held(e) == "2").map(ResourceExt::name_any).collect();
    assert_eq!(moved.len(), 2, "{moved:?}");
    // Back to the first version: it is used again, not made anew; everybody returns.
    let mut first = e2e::template("small", "1");
    first["spec"]["rollout"] = json!({ "maxConcurrent": 2 });
    world.apply(&first).await?;
    for service in ["a", "b", "c", "d", "pinned"] {
        let environment = world.wait_phase(&format!("acme-{service}"), "Running").await?;
        assert_eq!(held(&environment), "1");
    }
    Ok(())
}

/// The small chart's Deployment for a node that does not exist.
pub const WEB_NOWHERE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-web"}
spec:
  replicas: {{ .Values.replicaCount }}
  strategy: {type: Recreate}
  selector: {matchLabels: {app: "{{ .Release.Name }}-web"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}-web"}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      nodeSelector: {no-such: node}
      containers:
        - name: odoo
          image: "odoo:{{ .Values.image.tag }}"
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn content_changed_under_the_same_version_is_refused_and_nobody_moves() -> Result {
    let world = World::start("content").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let mut changed = e2e::template("small", "1");
    changed["spec"]["odooVersion"] = json!("19.0");
    let refused = world.apply(&changed).await.unwrap_err().to_string();
    assert!(refused.contains("the content of a version is immutable"), "{refused}");
    // Free-form values are beyond the API server's rules; the operator sees them.
    let mut changed = e2e::template("small", "1");
    changed["spec"]["values"] = json!({ "note": "smuggled" });
    if world.apply(&changed).await.is_ok() {
        wait_template(&world, "VersionContentChanged").await?;
        assert_eq!(rendered(&world, "acme-prod", "note").await?, "");
        world.wait_phase("acme-prod", "Running").await?;
        changed["spec"]["version"] = json!("2");
        world.apply(&changed).await?;
        world
            .wait::<ConfigMap>("acme-prod-config", "moved", |map| {
                map.data.as_ref().is_some_and(|d| d["note"] == "smuggled")
            })
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_wrong_says_so_and_is_taken_when_mended() -> Result {
    let world = World::start("wrong").await?;
    let mut wrong = e2e::template("wrong", "1");
    let cases = [
        (json!([{ "to": "a", "from": "no.such.input" }]), "no.such.input"),
        (json!([{ "to": "a..b", "from": "replicas" }]), "a..b"),
        (json!([{ "to": "a", "value": "inputs.(" }]), "CEL"),
    ];
    for (bindings, named) in cases {
        wrong["spec"]["bindings"] = bindings;
        world.apply(&wrong).await?;
        world
            .wait::<OdooTemplate>("wrong", named, |t| {
                let status = t.status.clone().unwrap_or_default();
                status.conditions.iter().any(|c| c.type_ == "Stalled" && c.message.contains(named))
            })
            .await?;
    }
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["templateRef"]["name"] = json!("wrong");
    world.apply(&environment).await?;
    world.wait_reason("acme-prod", "Error", "TemplateNotReady").await?;
    wrong["spec"]["bindings"] = json!([
        { "to": "replicaCount", "from": "replicas" },
        { "to": "note", "value": "inputs.customer.id + '/' + inputs.stage" },
        { "to": "host", "value": "'www.' + inputs.ingress.host" },
    ]);
    world.apply(&wrong).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "acme/Test");
    assert_eq!(rendered(&world, "acme-prod", "host").await?, "", "an expression over an unset input writes nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_in_use_cannot_be_deleted_and_its_versions_stay() -> Result {
    let world = World::start("tplinuse").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.api::<OdooTemplate>().delete("small", &DeleteParams::default()).await?;
    wait_template(&world, "InUse").await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "still" } } })).await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "changed", |map| map.data.as_ref().is_some_and(|d| d["note"] == "still"))
        .await?;
    world.api::<OdooEnvironment>().delete("acme-prod", &DeleteParams::default()).await?;
    world.wait_gone::<OdooTemplate>("small").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_major_version_needs_a_confirmation_that_names_it() -> Result {
    let world = World::start("major").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let mut next = e2e::template("small", "2");
    next["spec"]["odooVersion"] = json!("19.0");
    world.apply(&next).await?;
    world.wait_reason("acme-prod", "Running", "MajorUpgradeNotConfirmed").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    let annotate = |text: &str| json!({ "metadata": { "annotations": { "odoofleet.dev/major-upgrade": text } } });
    world.patch::<OdooEnvironment>("acme-prod", annotate("17.0→18.0")).await?;
    world.patch::<OdooEnvironment>("acme-prod", annotate("18.0->19.0")).await?;
    world.wait::<OdooEnvironment>("acme-prod", "upgraded", |e| held(e) == "2").await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
