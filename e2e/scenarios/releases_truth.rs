//! What the status says of a release is so, and what is somebody else's stays as it is.

use std::process::Stdio;
use std::time::Duration;

use e2e::{Chart, Environment, Told, World, environment_of};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{Result, release_labels, rendered, revisions, wait_status};

/// How long something that must not happen gets to happen.
const WHILE: Duration = Duration::from_secs(8);

/// A template whose chart lies in a ConfigMap of its own, without bindings and rules unless `change` sets them.
async fn put_bare_template(
    world: &World,
    name: &str,
    version: &str,
    chart: &Chart,
    change: impl Fn(&mut Value),
) -> Result {
    let bare = |template: &mut Value| {
        template["spec"]["bindings"] = json!([]);
        template["spec"]["stop"] = json!(null);
        change(template);
    };
    world.put_template(name, version, chart, bare).await
}

async fn set_note(world: &World, name: &str, note: &str) -> Result {
    world.patch::<Environment>(name, json!({ "spec": { "values": { "note": note } } })).await.map(drop)
}

/// Fails as soon as an environment tells something else.
async fn keeps_telling(world: &World, name: &str, time: Duration, what: &str, holds: impl Fn(&Told) -> bool) -> Result {
    world.stays::<Environment>(name, time, what, |environment| holds(&Told::by(environment))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_not_complete_before_its_hooks_have_succeeded() -> Result {
    let world = World::start("inithook").await?;
    let chart = Chart::folder(&world.setup.repo, "inithook")?;
    put_bare_template(&world, "inithook", "1", &chart, |_| ()).await?;
    // The hook's label is its Job's.
    let runs = world.count::<Job>("").await?;
    world.apply(&environment_of("init", "inithook")).await?;
    world.until("acme-init", "failed once", |told| told.field("/failures/count").as_i64() >= Some(1)).await?;
    let not_yet = |told: &Told| !told.is("Ready") && !told.is("Released") && told.phase() != "Running";
    keeps_telling(&world, "acme-init", Duration::from_secs(40), "unready", not_yet).await?;
    assert!(runs.count() >= 2, "the hook was run {} times", runs.count());
    world.until("acme-init", "naming its hook", |told| told.message().contains("acme-init-init")).await?;
    // A hook that succeeds.
    let all = std::fs::read_to_string(world.setup.repo.join("e2e/charts/inithook/templates/all.yaml"))?;
    let mended = all.replace("      nodeSelector: {field.example/no-such-node: \"true\"}\n", "");
    assert_ne!(all, mended);
    put_bare_template(&world, "inithook", "2", &chart.with("templates/all.yaml", &mended), |_| ()).await?;
    world.wait_phase("acme-init", "Running").await?;
    let job = world.api::<Job>().get("acme-init-init").await?;
    assert_eq!(job.status.and_then(|status| status.succeeded), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_that_is_lost_is_missed_and_not_made_anew() -> Result {
    let mut world = World::start("secretlost").await?;
    // A release that reads no password of ours misses none.
    let mut template = e2e::template("small", "2");
    let binding = json!({ "to": "existingSecret", "from": "databaseSecret" });
    template["spec"]["bindings"].as_array_mut().expect("a list").push(binding);
    world.apply(&template).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let name = "acme-prod-odoofleet";
    let secret = world.api::<Secret>().get(name).await?;
    world.api::<Secret>().delete(name, &DeleteParams::default()).await?;
    world.patience = Duration::from_secs(20);
    let missed = world.until_says("acme-prod", "Running", "SecretMissing").await?;
    assert!(missed.message().contains(name), "{}", missed.message());
    assert!(missed.is("Stalled") && !missed.is("Ready"), "{missed:?}");
    set_note(&world, "acme-prod", "later").await?;
    world.until_says("acme-prod", "Running", "SecretMissing").await?;
    keeps_telling(&world, "acme-prod", WHILE, "without its Secret", |told| told.reason() == "SecretMissing").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    assert!(world.api::<Secret>().get_opt(name).await?.is_none(), "another password was made");
    let restored = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": secret.metadata.labels },
        "data": secret.data,
    });
    world.apply(&restored).await?;
    world.until("acme-prod", "upgraded", |told| told.says("Running", "Running") && told.is("Ready")).await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "later");
    Ok(())
}

/// Somebody's own Helm, killed in a hook after it made everything.
async fn killed_helm(world: &World, release: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("small-1.0.0.tgz");
    std::fs::write(&chart, Chart::small("1.0.0").with_hanging_hook("post-install").archive()?)?;
    let mut helm = tokio::process::Command::new(world.setup.bin.join("helm"))
        .args(["install", release, &chart.to_string_lossy(), "--namespace", &world.namespace])
        .env("KUBECONFIG", &world.setup.kubeconfig)
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    world.wait::<Job>(&format!("{release}-hook"), "there", |_| true).await?;
    world.wait::<Deployment>(&format!("{release}-web"), "up", is_up).await?;
    helm.kill().await?;
    wait_status(world, release, "pending-install").await
}

fn is_up(web: &Deployment) -> bool {
    web.status.as_ref().and_then(|status| status.ready_replicas) == Some(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_somebody_else_is_never_written_to_while_it_is_pending() -> Result {
    let world = World::start("foreignpending").await?;
    let mut before = Vec::new();
    let names = [("acme-one", 1), ("acme-zero", 0)];
    for (name, _) in names {
        killed_helm(&world, name).await?;
        let record = world.api::<Secret>().get(&format!("sh.helm.release.v1.{name}.v1")).await?;
        let web = world.api::<Deployment>().get(&format!("{name}-web")).await?;
        before.push((record, web));
    }
    for (name, replicas) in names {
        let mut environment = e2e::environment("acme", name.trim_start_matches("acme-"));
        environment["spec"]["replicas"] = json!(replicas);
        world.apply(&environment).await?;
    }
    for (name, _) in names {
        world.until(name, "left alone", |told| told.is_observed() && told.reason() == "AdoptionPending").await?;
    }
    for ((name, _), (record, web)) in names.into_iter().zip(before) {
        let alone = |told: &Told| told.reason() == "AdoptionPending";
        keeps_telling(&world, name, WHILE / 2, "left alone", alone).await?;
        let now = world.api::<Secret>().get(&format!("sh.helm.release.v1.{name}.v1")).await?;
        assert_eq!(now.metadata.resource_version, record.metadata.resource_version, "{name}: its record was written");
        let now = world.api::<Deployment>().get(&format!("{name}-web")).await?;
        assert_eq!(now.spec, web.spec, "{name}");
        assert_eq!(now.metadata.annotations, web.metadata.annotations, "{name}");
        assert_eq!(revisions(&world, name).await?, [1], "{name}");
        assert!(world.api::<Secret>().get_opt(&format!("{name}-odoofleet")).await?.is_none(), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_can_read_is_not_recovered_again_and_again() -> Result {
    let world = World::start("unreadable").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["paused"] = json!(true);
    world.apply(&environment).await?;
    let uid = world.api::<Environment>().get("acme-prod").await?.metadata.uid;
    let record = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": { "name": "sh.helm.release.v1.acme-prod.v1", "labels": {
            "owner": "helm", "name": "acme-prod", "version": "1", "status": "pending-upgrade",
            "odoofleet.dev/customer": "acme", "odoofleet.dev/environment": "acme-prod",
            "odoofleet.dev/environment-uid": uid, "odoofleet.dev/revision": "1",
        } },
        "stringData": { "release": "nobody can read this" },
    });
    world.apply(&record).await?;
    let before = world.metric("odoo_operator_helm_operations_total").await?;
    world.patch::<Environment>("acme-prod", json!({ "spec": { "paused": false } })).await?;
    world.until("acme-prod", "stalled", |told| told.is_observed() && told.is("Stalled")).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let tried = world.metric("odoo_operator_helm_operations_total").await? - before;
    assert!(tried < 6.5, "{tried} operations");
    let told = world.told("acme-prod").await?;
    assert!(told.is("Stalled"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_hand_is_seen_and_left_until_the_spec_changes() -> Result {
    let world = World::start("rollback").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    set_note(&world, "acme-prod", "second").await?;
    world.until("acme-prod", "upgraded", |told| told.field("/release/revision") == 2 && told.is("Ready")).await?;
    world.helm(&["rollback", "acme-prod", "1", "--namespace", &world.namespace]).await?;
    let drifted = |told: &Told| told.condition("Drifted") == ("True", "ChangedByHand");
    world.until("acme-prod", "drifted", drifted).await?;
    keeps_telling(&world, "acme-prod", WHILE, "drifted", drifted).await?;
    assert_eq!(revisions(&world, "acme-prod").await?.last(), Some(&3), "it was undone");
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "");
    set_note(&world, "acme-prod", "third").await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "ours", |map| map.data.as_ref().is_some_and(|d| d["note"] == "third"))
        .await?;
    let told = world.until("acme-prod", "well", |told| told.says("Running", "Running") && told.is("Ready")).await?;
    assert!(!drifted(&told), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_somebody_deleted_is_named_and_comes_back_on_request() -> Result {
    let world = World::start("deletedworkload").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.api::<Deployment>().delete("acme-prod-web", &DeleteParams::default()).await?;
    let missing = world.until("acme-prod", "missed", |told| told.reason() == "WorkloadMissing").await?;
    assert!(missing.message().contains("Deployment \"acme-prod-web\""), "{}", missing.message());
    assert!(missing.is("Stalled") && !missing.is("Ready"), "{missing:?}");
    world.annotate("acme-prod", "odoofleet.dev/requestedAt", "now").await?;
    world.until("acme-prod", "back", |told| told.says("Running", "Running") && told.is("Ready")).await?;
    assert!(is_up(&world.api::<Deployment>().get("acme-prod-web").await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_template_that_matches_no_workload_is_named() -> Result {
    let world = World::start("norule").await?;
    let chart = Chart::folder(&world.setup.repo, "odooapp")?;
    put_bare_template(&world, "odooapp", "1", &chart, |template| {
        template["spec"]["bindings"] = json!([{ "to": "replicaCount", "from": "replicas" }]);
        template["spec"]["stop"] = json!({ "workloads": [
            { "kind": "Deployment", "name": "{release}-odooapp", "role": "Application", "replicasPath": "replicaCount" },
        ] });
    })
    .await?;
    world.apply(&e2e::customer("my-odooapp")).await?;
    world.apply(&environment_of("full", "odooapp")).await?;
    let mut contains = environment_of("full", "odooapp");
    contains["metadata"]["name"] = json!("my-odooapp-full");
    contains["spec"]["customerRef"]["name"] = json!("my-odooapp");
    world.apply(&contains).await?;
    world.wait_phase("acme-full", "Running").await?;
    let told = world.until("my-odooapp-full", "told", |told| told.reason() == "WorkloadMissing").await?;
    assert!(told.message().contains("Deployment \"my-odooapp-full-odooapp\""), "{}", told.message());
    assert!(told.is("Stalled"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_api_server_refuses_are_told_in_its_words() -> Result {
    let mut world = World::start("podsrefused").await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "no-pods" }, "spec": { "hard": { "pods": "0" } },
    });
    world.apply_any(&quota).await?;
    put_bare_template(&world, "web", "1", &Chart::small("1.0.0").without("templates/db.yaml"), |_| ()).await?;
    put_bare_template(&world, "db", "1", &Chart::small("1.0.0").without("templates/web.yaml"), |_| ()).await?;
    for kind in ["web", "db"] {
        world.apply(&environment_of(kind, kind)).await?;
    }
    for (name, workload) in [("acme-web", "Deployment \"acme-web-web\""), ("acme-db", "StatefulSet \"acme-db-db\"")] {
        let told = world.until(name, "told", |told| told.reason() == "PodsRefused").await?;
        assert!(told.message().contains("exceeded quota: no-pods"), "{}", told.message());
        assert!(told.message().contains(workload), "{}", told.message());
    }
    world.kubectl(&["delete", "resourcequota", "no-pods", "--namespace", &world.namespace]).await?;
    // The controllers try again in their own time.
    world.patience = Duration::from_mins(2);
    for name in ["acme-web", "acme-db"] {
        world.until(name, "well", |told| told.says("Running", "Running")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_too_long_for_a_pod_is_told() -> Result {
    let world = World::start("longlabel").await?;
    let mut long = e2e::environment("acme", "prod");
    long["spec"]["releaseName"] = json!(format!("acme-{}", "a".repeat(48)));
    world.apply(&long).await?;
    let told = world.until("acme-prod", "told", |told| told.reason() == "PodsRefused").await?;
    assert!(told.message().contains("63"), "{}", told.message());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_too_long_are_refused_at_once() -> Result {
    let world = World::bare("longnames", &[]).await?;
    let mut environment = e2e::environment("acme", "prod");
    let mut template = e2e::template("small", "1");
    for (object, longest) in [(&mut environment, 63), (&mut template, 63)] {
        object["metadata"]["name"] = json!("n".repeat(longest + 1));
        let refused = world.apply(object).await.expect_err("too long a name was taken").to_string();
        assert!(refused.contains("63"), "{refused}");
        object["metadata"]["name"] = json!("n".repeat(longest));
        world.apply(object).await?;
    }
    Ok(())
}

const NO_INGRESS: &str = r#"apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: "{{ .Release.Name }}"}
spec: {ingressClassName: nobody}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_the_api_server_refuses_is_an_error() -> Result {
    let world = World::start("refusedinstall").await?;
    let chart = Chart::small("1.0.0").with("templates/ingress.yaml", NO_INGRESS);
    put_bare_template(&world, "ingress", "1", &chart, |_| ()).await?;
    world.apply(&environment_of("prod", "ingress")).await?;
    let told = world.until("acme-prod", "stalled", |told| told.is_observed() && told.is("Stalled")).await?;
    assert_eq!((told.phase(), told.reason()), ("Error", "InvalidObject"), "{told:?}");
    assert_eq!(told.condition("Released"), ("False", "InvalidObject"));
    assert_eq!(told.condition("Ready"), ("False", "InvalidObject"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_somebody_enlarged_stays_large_and_blocks_nothing() -> Result {
    let world = World::start("largevolume").await?;
    put_bare_template(&world, "volume", "1", &Chart::small("1.0.0").with_volume(), |_| ()).await?;
    world.apply(&environment_of("prod", "volume")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    world.wait::<PersistentVolumeClaim>("acme-prod-data", "bound", bound).await?;
    let large = json!({ "spec": { "resources": { "requests": { "storage": "20Gi" } } } });
    world.patch::<PersistentVolumeClaim>("acme-prod-data", large).await?;
    // What a resizer would say.
    let resized = r#"{"status":{"capacity":{"storage":"20Gi"}}}"#;
    let arguments = ["patch", "pvc", "acme-prod-data", "--namespace", &world.namespace, "--subresource=status"];
    world.kubectl(&[&arguments[..], &["--type=merge", "--patch", resized]].concat()).await?;
    set_note(&world, "acme-prod", "later").await?;
    world.until("acme-prod", "upgraded", |told| told.field("/release/revision") == 2 && told.is("Ready")).await?;
    assert_eq!(rendered(&world, "acme-prod", "note").await?, "later");
    let claim = world.api::<PersistentVolumeClaim>().get("acme-prod-data").await?;
    let requests = claim.spec.and_then(|spec| spec.resources?.requests).unwrap_or_default();
    assert_eq!(requests["storage"].0, "20Gi");
    assert_eq!(release_labels(&world, "acme-prod").await?["status"], "deployed");
    Ok(())
}

/// A port that does not exist.
const NO_SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-bad"}
spec: {ports: [{port: 99999}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_cannot_pass_is_not_tried_again_by_the_next_operator() -> Result {
    let mut world = World::start("terminal").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&Chart::small("2.0.0").with("templates/service.yaml", NO_SERVICE)).await?;
    world.apply(&e2e::template("small", "2")).await?;
    world.until_says("acme-prod", "Running", "InvalidObject").await?;
    let tried = revisions(&world, "acme-prod").await?;
    world.stop_operator().await?;
    world.run_operator().await?;
    // A customer, a template and an environment are looked at.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while world.metric("odoo_operator_reconcile_total").await? < 3.0 {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "nothing was looked at");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = |told: &Told| told.says("Running", "InvalidObject");
    keeps_telling(&world, "acme-prod", WHILE, "refused", told).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, tried);
    Ok(())
}

/// A ConfigMap that the first version does not have.
const LATE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-late"}
data: {is: ours}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_failure_is_not_lost_while_its_record_is_read() -> Result {
    let world = World::behind_proxy("lostreport", &[]).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let chart = Chart::small("2.0.0").with("templates/late.yaml", LATE).with_hanging_hook("pre-upgrade");
    world.put_chart(&chart).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    // What the API server would have taken before the operation began.
    let taken = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "acme-prod-late" }, "immutable": true,
        "data": { "is": "another's" },
    });
    world.apply(&taken).await?;
    // Longer than the permit that stands in the status.
    tokio::time::sleep(Duration::from_secs(22)).await;
    let is_read = |request: &e2e::Request| {
        !request.by_worker && request.method == http::Method::GET && request.uri.path().contains("/sh.helm.release.")
    };
    let delayed = world.proxy()?.delay(is_read);
    let patch = r#"{"spec":{"suspend":false}}"#;
    world.kubectl(&["patch", "job", "acme-prod-hook", "--namespace", &world.namespace, "--patch", patch]).await?;
    wait_status(&world, "acme-prod", "failed").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Something comes by another watch, so that the environment is looked at.
    world
        .kubectl(&["label", "pods", "--namespace", &world.namespace, "-l", "app=acme-prod-web", "e2e/touched=yes"])
        .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(delayed);
    world.until_says("acme-prod", "Running", "ImmutableField").await?;
    let told = world.told("acme-prod").await?;
    assert_eq!(told.field("/failures/terminal"), true, "{told:?}");
    assert_eq!(told.field("/failures/count"), 1, "{told:?}");
    let newest = revisions(&world, "acme-prod").await?;
    keeps_telling(&world, "acme-prod", WHILE, "refused", |told| told.reason() == "ImmutableField").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, newest);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chart_is_refused_for_the_data_before_anything_is_tried() -> Result {
    let world = World::start("otherchart").await?;
    world.apply(&e2e::odoo_template()).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let other = json!({ "spec": { "templateRef": { "name": "odoo" }, "ingress": { "host": world.host("erp") } } });
    world.patch::<Environment>("acme-prod", other).await?;
    let told = world.until_says("acme-prod", "Running", "WouldDeleteData").await?;
    assert!(told.message().contains("acme-prod-db") || told.message().contains("\"small\""), "{}", told.message());
    assert!(!told.message().contains("<name>"), "{}", told.message());
    assert!(told.is("Stalled"), "{told:?}");
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_customer_and_of_everybody_is_missed_when_it_is_gone() -> Result {
    let world = World::start("bothlabels").await?;
    let labels = json!({ "odoofleet.dev/customer": "acme", "odoofleet.dev/shared": "true" });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "both", "labels": labels }, "stringData": { "k": "v" },
    });
    world.apply(&secret).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["valuesFrom"] =
        json!([{ "secretKeyRef": { "name": "both", "key": "k" }, "targetPath": "password" }]);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.api::<Secret>().delete("both", &DeleteParams::default()).await?;
    world.until_says("acme-prod", "Running", "ReferenceNotFound").await?;
    world.apply(&secret).await?;
    world.until_says("acme-prod", "Running", "Running").await?;
    // Neither label is left: it is nobody's.
    world.patch::<Secret>("both", json!({ "metadata": { "labels": null } })).await?;
    world.until("acme-prod", "refused", |told| told.reason().starts_with("Reference")).await?;
    Ok(())
}
