//! Templates: what their versions can do is known before an environment asks, and one bad object stops nobody else.

use std::time::Duration;

use e2e::{Chart, Environment, Told, World, environment_of};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use odoofleet_api::{OdooCustomer, OdooTemplate};
use serde_json::json;

use crate::templates::registry::Registry;
use crate::{Result, revisions};

/// How long something that must not happen gets to happen.
const WHILE: Duration = Duration::from_secs(8);
/// What should be noticed at once.
const SOON: Duration = Duration::from_secs(15);

async fn put_template(world: &World, name: &str, version: &str, map: &str) -> Result {
    world.apply(&e2e::template_of(name, version, map)).await
}

/// Waits until a template is ready or not for a reason, at its present generation.
async fn template_says(world: &World, name: &str, status: &str, reason: &str) -> anyhow::Result<OdooTemplate> {
    let says = |template: &OdooTemplate| {
        let told = Told::by(template);
        told.is_observed() && told.condition("Ready") == (status, reason)
    };
    world.wait::<OdooTemplate>(name, &format!("Ready={status} {reason}"), says).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rollout_admits_nobody_whoever_leaves_it() -> Result {
    let world = World::start("pausedrollout").await?;
    let names = ["acme-a", "acme-b", "acme-c"];
    for name in names {
        world.apply(&e2e::environment("acme", name.trim_start_matches("acme-"))).await?;
    }
    for name in names {
        world.wait_phase(name, "Running").await?;
    }
    let nowhere = Chart::small("2.0.0").with("templates/web.yaml", crate::templates::WEB_NOWHERE);
    world.put_chart(&nowhere).await?;
    let mut second = e2e::template("small", "2");
    second["spec"]["rollout"] = json!({ "maxConcurrent": 1 });
    world.apply(&second).await?;
    let moved = |template: &OdooTemplate| Told::by(template).field("/versions/0/inUse") == 1;
    world.wait::<OdooTemplate>("small", "rolling", moved).await?;
    // The template may tell of it a moment before, or the environment be in the middle of its next status.
    let deadline = tokio::time::Instant::now() + world.patience;
    let first = 'moved: loop {
        for name in names {
            if world.told(name).await?.version() == "2" {
                break 'moved name;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "one has moved");
    };
    world.patch::<OdooTemplate>("small", json!({ "spec": { "rollout": { "paused": true } } })).await?;
    let seen = |template: &OdooTemplate| Told::by(template).is_observed();
    world.wait::<OdooTemplate>("small", "seen paused", seen).await?;
    world.patch::<Environment>(first, json!({ "spec": { "templateRef": { "version": "1" } } })).await?;
    world.until(first, "back", |told| told.is_observed() && told.version() == "1" && told.is("Ready")).await?;
    for name in names {
        world.annotate(name, "odoofleet.dev/requestedAt", "now").await?;
    }
    for name in names {
        let looked_at = |told: &Told| told.field("/lastHandledReconcileAt") == "now";
        world.until(name, "looked at", looked_at).await?;
    }
    tokio::time::sleep(WHILE).await;
    for name in names {
        assert_eq!(world.told(name).await?.version(), "1", "{name} moved in a paused rollout");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_two_templates_are_told_apart_whatever_their_names() -> Result {
    let world = World::start("colliding").await?;
    for (name, version, note) in [("odoo", "18.0-1", "first"), ("odoo-18.0", "1", "second")] {
        let mut template = e2e::template(name, version);
        template["spec"]["values"] = json!({ "note": note });
        world.apply(&template).await?;
        template_says(&world, name, "True", "Accepted").await?;
    }
    world.apply(&environment_of("one", "odoo")).await?;
    world.apply(&environment_of("two", "odoo-18.0")).await?;
    for (name, note) in [("acme-one", "first"), ("acme-two", "second")] {
        world.wait_phase(name, "Running").await?;
        assert_eq!(crate::rendered(&world, name, "note").await?, note);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_chart_is_taken_within_seconds() -> Result {
    let mut world = World::start("mendedchart").await?;
    let broken = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "late-chart" }, "binaryData": { "chart.tgz": "bm8gY2hhcnQ=" } });
    world.apply(&broken).await?;
    put_template(&world, "late", "1", "late-chart").await?;
    template_says(&world, "late", "False", "ChartInvalid").await?;
    // Nothing else asks for another look.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.put_chart_as("late-chart", &Chart::small("1.0.0")).await?;
    world.patience = SOON;
    template_says(&world, "late", "True", "Accepted").await?;
    world.apply(&environment_of("prod", "late")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_authority_is_taken_within_seconds() -> Result {
    let mut world = World::start("mendedauthority").await?;
    let registry = Registry::start(&world).await?;
    registry.push(&world, &Chart::small("3.1.4"), "3.1.4").await?;
    world.apply(&registry.pull_secret()).await?;
    let other = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()])?.cert.pem();
    let authority = |pem: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "registry-ca" }, "data": { "ca.crt": pem } });
    world.apply(&authority(&other)).await?;
    let mut template = registry.template("1");
    template["spec"]["chart"]["caRef"] = json!({ "name": "registry-ca" });
    template["spec"]["chart"]["pullSecretRef"] = json!({ "name": "registry" });
    world.apply(&template).await?;
    template_says(&world, "private", "False", "ChartUnavailable").await?;
    // Whatever was going to be tried again soon has been.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.apply(&authority(&registry.authority()?)).await?;
    world.patience = SOON;
    template_says(&world, "private", "True", "Accepted").await?;
    Ok(())
}

async fn archives(world: &World) -> anyhow::Result<usize> {
    let kept = world.api::<ConfigMap>().list(&ListParams::default().labels("odoofleet.dev/chart-digest")).await?;
    Ok(kept.items.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_deleted_templates_go_and_those_that_are_needed_stay() -> Result {
    let world = World::start("archives").await?;
    world.put_chart_as("alone-chart", &Chart::small("2.0.0")).await?;
    world.put_chart_as("shared-chart", &Chart::small("3.0.0")).await?;
    for (name, map) in [("alone", "alone-chart"), ("shared-a", "shared-chart"), ("shared-b", "shared-chart")] {
        put_template(&world, name, "1", map).await?;
        template_says(&world, name, "True", "Accepted").await?;
    }
    world.apply(&environment_of("prod", "shared-b")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    // Template `small`, too, has one.
    assert_eq!(archives(&world).await?, 3);
    for name in ["alone", "shared-a"] {
        world.api::<OdooTemplate>().delete(name, &DeleteParams::default()).await?;
        world.wait_gone::<OdooTemplate>(name).await?;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while archives(&world).await? > 2 {
        assert!(tokio::time::Instant::now() < deadline, "the chart of a deleted template is kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(archives(&world).await?, 2);
    world.patch::<Environment>("acme-prod", json!({ "spec": { "values": { "note": "x" } } })).await?;
    world.until("acme-prod", "upgraded", |told| told.field("/release/revision") == 2 && told.is("Ready")).await?;
    // The last template goes, and its chart with it.
    world.api::<OdooTemplate>().delete("small", &DeleteParams::default()).await?;
    world.api::<OdooTemplate>().delete("shared-b", &DeleteParams::default()).await?;
    world.patch::<Environment>("acme-prod", json!({ "spec": { "deletionPolicy": "Delete" } })).await?;
    world.api::<Environment>().delete("acme-prod", &DeleteParams::default()).await?;
    world.wait_gone::<OdooTemplate>("shared-b").await?;
    while archives(&world).await? > 0 {
        assert!(
            tokio::time::Instant::now() < deadline + Duration::from_mins(1),
            "a chart is kept without any template"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_of_a_version_that_only_a_newer_operator_reads_stays() -> Result {
    let world = World::start("laterversion").await?;
    for (name, chart) in [("later", "4.0.0"), ("alone", "5.0.0")] {
        world.put_chart_as(&format!("{name}-chart"), &Chart::small(chart)).await?;
        put_template(&world, name, "1", &format!("{name}-chart")).await?;
        template_says(&world, name, "True", "Accepted").await?;
    }
    let versions = world.api::<ControllerRevision>();
    let of = |template: &str| ListParams::default().labels(&format!("odoofleet.dev/template={template}"));
    let digest =
        |version: &ControllerRevision| version.data.as_ref().unwrap().0["chartDigest"].as_str().unwrap().to_owned();
    let mut later = versions.list(&of("later")).await?.items.remove(0);
    let own = later.name_any();
    let (kept, removed) = (digest(&later), digest(&versions.list(&of("alone")).await?.items[0]));
    later.metadata =
        ObjectMeta { name: Some("later-2".into()), labels: later.metadata.labels, ..ObjectMeta::default() };
    later.data = Some(RawExtension(json!({ "chartDigest": kept, "version": { "in": "a form of later" } })));
    versions.create(&PostParams::default(), &later).await?;
    world.api::<OdooTemplate>().delete("later", &DeleteParams::default()).await?;
    world.wait_gone::<ControllerRevision>(&own).await?;
    world.api::<OdooTemplate>().delete("alone", &DeleteParams::default()).await?;
    let archive = |digest: &str| format!("odoofleet-chart-{}", &digest[..32]);
    world.wait_gone::<ConfigMap>(&archive(&removed)).await?;
    assert!(world.api::<ConfigMap>().get_opt(&archive(&kept)).await?.is_some());
    Ok(())
}

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: []\n";
const NO_DEPENDENCY: &str = r#"apiVersion: v2
name: small
version: 1.0.0
dependencies: [{name: postgresql, version: 1.0.0, repository: "https://charts.example"}]
"#;

/// A template of this chart is not ready for a reason, says a part of it, and nothing of it is installed.
async fn is_unusable(name: &str, chart: &Chart, reason: &str, part: &str) -> Result {
    let world = World::start(name).await?;
    world.put_chart_as("unusable-chart", chart).await?;
    put_template(&world, "unusable", "1", "unusable-chart").await?;
    let template = template_says(&world, "unusable", "False", reason).await?;
    let conditions = template.status.map(|status| status.conditions).unwrap_or_default();
    let message = &conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().message;
    assert!(message.contains(part), "{message}");
    world.apply(&environment_of("prod", "unusable")).await?;
    world.until("acme-prod", "refused", |told| told.reason() == "TemplateNotReady").await?;
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_says_itself_that_its_chart_lacks_a_dependency() -> Result {
    let chart = Chart::small("1.0.0").with("Chart.yaml", NO_DEPENDENCY);
    is_unusable("nodependency", &chart, "ChartInvalid", "postgresql").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_says_itself_that_its_chart_does_not_render() -> Result {
    let chart = Chart::small("1.0.0").with("templates/x.yaml", "{{ fail \"on purpose\" }}");
    is_unusable("norender", &chart, "RenderFailed", "on purpose").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_says_itself_that_its_chart_brings_a_kind_that_is_not_allowed() -> Result {
    is_unusable("nokind", &Chart::small("1.0.0").with("templates/x.yaml", ROLE), "KindNotAllowed", "Role").await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_deleted_and_applied_again_at_once_runs() -> Result {
    let world = World::start("again").await?;
    let everything = [e2e::customer("acme"), e2e::template("small", "1"), e2e::environment("acme", "old")];
    world.apply(&everything[2]).await?;
    world.wait_phase("acme-old", "Running").await?;
    // Something keeps the old environment for a while, and so its customer and its template.
    let mut kept = world.api::<Environment>().get("acme-old").await?.finalizers().to_vec();
    kept.push("e2e.odoofleet.dev/hold".to_owned());
    world.patch::<Environment>("acme-old", json!({ "metadata": { "finalizers": kept } })).await?;
    for (kind, name) in [("ocust", "acme"), ("otpl", "small"), ("oenv", "acme-old")] {
        world.kubectl(&["delete", kind, name, "--namespace", &world.namespace, "--wait=false"]).await?;
    }
    for object in &everything {
        world.apply(object).await?;
    }
    world.apply(&e2e::environment("acme", "new")).await?;
    let told = world.until("acme-new", "waiting", |told| told.message().contains("being deleted")).await?;
    assert!(!told.is("Ready"), "{told:?}");
    let waits = |environment: &Environment| Told::by(environment).message().contains("being deleted");
    world.stays::<Environment>("acme-new", WHILE, "waiting", waits).await?;
    assert!(revisions(&world, "acme-new").await?.is_empty(), "it was installed");
    // An environment without a release keeps neither of them.
    let mut left = world.api::<Environment>().get("acme-old").await?.finalizers().to_vec();
    left.retain(|finalizer| finalizer != "e2e.odoofleet.dev/hold");
    world.patch::<Environment>("acme-old", json!({ "metadata": { "finalizers": left } })).await?;
    world.wait_gone::<Environment>("acme-old").await?;
    world.wait_gone::<OdooCustomer>("acme").await?;
    world.wait_gone::<OdooTemplate>("small").await?;
    for object in &everything {
        world.apply(object).await?;
    }
    for name in ["acme-old", "acme-new"] {
        world.wait_phase(name, "Running").await?;
    }
    template_says(&world, "small", "True", "Accepted").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_ends_for_good_is_begun_again_with_growing_pauses() -> Result {
    let world = World::start("checkagain").await?;
    let chart = Chart::small("1.0.0").with_check_that_ends();
    world.put_chart(&chart).await?;
    world.apply(&e2e::template("small", "2")).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let began = world.count::<Pod>("odoofleet.dev/check").await?;
    let mut change = e2e::environment("acme", "prod");
    change["spec"]["image"] = json!({ "tag": "b" });
    change["spec"]["values"] = json!({ "note": "by hand" });
    world.apply(&change).await?;
    let window = tokio::time::timeout(Duration::from_secs(35), fail_checks(&world));
    window.await.unwrap_or(Ok(()))?;
    // At once, after about 10 seconds, after about 20 more.
    assert!((2..=4).contains(&began.count()), "{} pods in 35 s", began.count());
    // The next may have begun a moment ago.
    tokio::select! {
        told = world.until_says("acme-prod", "Running", "AddonRefNotFound") => { told?; }
        failed = fail_checks(&world) => failed?,
    }
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

/// Lets every check fail, until it is no longer asked for.
async fn fail_checks(world: &World) -> Result {
    loop {
        fail_check(world).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Lets a check that runs fail, as a kubelet would tell it.
async fn fail_check(world: &World) -> Result {
    let name = "acme-prod-check";
    let Some(pod) = world.api::<Pod>().get_opt(name).await? else { return Ok(()) };
    if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed") {
        return Ok(());
    }
    let told = json!({ "error": { "reason": "AddonRefNotFound", "message": "there is no tag v9" } }).to_string();
    let at = "2026-11-23T08:56:00Z";
    let state = json!({ "terminated": { "reason": "Error", "exitCode": 1, "message": told, "startedAt": at, "finishedAt": at } });
    let status = json!({ "status": {
        "phase": "Failed",
        "conditions": [{ "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" }],
        "initContainerStatuses": [{
            "name": "addons-0", "image": "x", "imageID": "", "ready": false, "started": false, "restartCount": 0, "state": state,
        }],
    } });
    match world.api::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

/// Creates an environment whose values are maps in maps, around a word that no log may hold.
async fn create_nested(world: &World, service: &str, levels: usize) -> Result {
    let mut environment = e2e::environment("acme", service);
    environment["spec"]["values"] = json!({ "deep": "NESTED" });
    let nested = format!("{}\"canary-deep\"{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let body = environment.to_string().replace("\"NESTED\"", &nested);
    let path = format!("/apis/odoofleet.dev/v1alpha1/namespaces/{}/odooenvironments", world.namespace);
    let request = http::Request::post(path).header("content-type", "application/json").body(body.into_bytes())?;
    world.client.request_text(request).await?;
    Ok(())
}

/// Whether an Event of the type Warning is about this environment.
async fn is_named(world: &World, name: &str) -> anyhow::Result<bool> {
    let events = ListParams::default().fields("type=Warning");
    let events = world.api::<Event>().list(&events).await?;
    Ok(events.items.iter().any(|event| {
        event.involved_object.name.as_deref() == Some(name)
            || event.message.as_deref().unwrap_or_default().contains(&format!("\"{name}\""))
    }))
}

/// One more environment is served, by this operator and by the next one; whoever is bad is named; mended it is served, too.
async fn others_go_on(mut world: World, bad: &[&str]) -> anyhow::Result<World> {
    world.apply(&e2e::environment("acme", "after")).await?;
    world.wait_phase("acme-after", "Running").await?;
    world.stop_operator().await?;
    world.run_operator().await?;
    world.patch::<Environment>("acme-after", json!({ "spec": { "values": { "note": "x" } } })).await?;
    world.until("acme-after", "upgraded", |told| told.field("/release/revision") == 2 && told.is("Ready")).await?;
    for name in bad {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is_named(&world, name).await? {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "no Event names {name}: {}", world.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    anyhow::ensure!(!world.log().contains("canary"), "the log holds the object");
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_nested_without_end_stop_nobody_else() -> Result {
    let world = World::start("nested").await?;
    let bad = [("acme-deep", 200), ("acme-abyss", 9_000)];
    for (name, levels) in bad {
        create_nested(&world, name.trim_start_matches("acme-"), levels).await?;
    }
    let world = others_go_on(world, &["acme-deep", "acme-abyss"]).await?;
    for (name, _) in bad {
        world.patch::<Environment>(name, json!({ "spec": { "values": null } })).await?;
    }
    for (name, _) in bad {
        world.wait_phase(name, "Running").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_only_a_newer_operator_knows_stops_nobody_else() -> Result {
    let world = World::behind_proxy("newerword", &[]).await?;
    // What a newer operator's CRD would have let in: to this operator the API server shows another stage.
    let newer = world.proxy()?.rewrite("\"stage\":\"Staging\"", "\"stage\":\"Sandbox\"");
    let mut odd = e2e::environment("acme", "odd");
    odd["spec"]["stage"] = json!("Staging");
    odd["spec"]["values"] = json!({ "note": "canary-odd" });
    world.apply(&odd).await?;
    let world = others_go_on(world, &["acme-odd"]).await?;
    drop(newer);
    odd["spec"]["stage"] = json!("Test");
    world.apply(&odd).await?;
    world.wait_phase("acme-odd", "Running").await?;
    Ok(())
}
