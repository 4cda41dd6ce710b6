//! Charts of the shapes that are out there, each under the template and with the environment of `examples/templates`.

use std::collections::BTreeMap;

use anyhow::Context;
use e2e::handbook::DOMAIN;
use e2e::{Chart, Told, World};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

use crate::Result;

/// A shape, and what happens to its environment.
struct Shape {
    /// The chart's folder, the template's name and its file.
    chart: &'static str,
    /// The environment, and its release.
    release: &'static str,
    /// Ends of the names of its workloads, and their pods while it runs.
    running: &'static [(&'static str, i32)],
    /// The same of those that have pods while it is stopped.
    stopped: &'static [(&'static str, i32)],
    /// Part of the environment's spec that changes values.
    change: Value,
    /// Values of the template's next version.
    next: Value,
    /// Why a stopped one does not take it before its start, where that is so.
    deferred: Option<&'static str>,
    /// Whether others may give it more pods.
    autoscaled: bool,
}

/// A shape with one Deployment of its release's name, one pod of it, and nothing special.
fn plain(chart: &'static str, release: &'static str) -> Shape {
    Shape {
        chart,
        release,
        running: &[("", 1)],
        stopped: &[],
        change: json!({ "image": { "tag": "18.0-2" } }),
        next: json!({}),
        deferred: None,
        autoscaled: false,
    }
}

fn company() -> Shape {
    Shape {
        running: &[("", 1), ("-db", 1)],
        change: json!({ "values": { "odoo": { "config": { "limit_time_real": 300 } } } }),
        next: json!({ "odoo": { "config": { "limit_time_cpu": 60 } } }),
        ..plain("company", "acme-company")
    }
}

fn helm_create() -> Shape {
    Shape {
        running: &[("", 2)],
        change: json!({ "values": { "podAnnotations": { "note": "changed" } } }),
        next: json!({ "podLabels": { "line": "next" } }),
        ..plain("helm-create", "acme-created")
    }
}

fn many_replicas() -> Shape {
    Shape {
        running: &[("-web", 2), ("-websocket", 1), ("-cron", 1), ("-redis", 1)],
        next: json!({ "web": { "workers": 6 } }),
        ..plain("many-replicas", "acme-many")
    }
}

fn password_value() -> Shape {
    Shape {
        running: &[("", 1), ("-postgresql", 1)],
        change: json!({ "mail": { "host": "smtp2.acme.example", "port": 465, "user": "odoo" } }),
        next: json!({ "image": { "registry": "registry.example.cn" } }),
        ..plain("password-value", "acme-password")
    }
}

fn hook_database() -> Shape {
    Shape {
        running: &[("-odoo", 1), ("-postgresql", 1), ("-maintenance", 0)],
        stopped: &[("-maintenance", 1)],
        next: json!({ "maintenance": { "text": "Soon." } }),
        deferred: Some("UpgradeAtStart"),
        ..plain("hook-database", "acme-hooks")
    }
}

fn autoscaled() -> Shape {
    Shape {
        change: json!({ "size": "L" }),
        next: json!({ "workers": 4 }),
        autoscaled: true,
        ..plain("autoscaled", "acme-auto")
    }
}

fn own_kinds() -> Shape {
    Shape {
        change: json!({ "size": "M" }),
        next: json!({ "image": { "tag": "18.0-2" } }),
        ..plain("own-kinds", "acme-kinds")
    }
}

/// The objects of an example, in the world's namespace and with hosts of its own.
fn example(world: &World, chart: &str) -> anyhow::Result<Vec<Value>> {
    let file = world.setup.repo.join(format!("examples/templates/{chart}.yaml"));
    let text = std::fs::read_to_string(file)?.replace(DOMAIN, &world.domain());
    let object = |text: &str| -> anyhow::Result<Value> {
        let mut object: Value = serde_saphyr::from_str(text)?;
        object["metadata"]["namespace"] = json!(world.namespace);
        Ok(object)
    };
    text.split("\n---\n").map(object).collect()
}

/// Has Helm look at the chart, with the values that it asks for.
async fn lint(world: &World, chart: &str) -> Result {
    let folder = world.setup.repo.join("e2e/charts").join(chart);
    let values = folder.join("ci/values.yaml");
    let (path, file) = (folder.to_string_lossy(), values.to_string_lossy());
    let with: &[&str] = if values.is_file() { &["--values", &file] } else { &[] };
    world.helm(&[&["lint", "--strict", "--quiet", &path][..], with].concat()).await.map(drop)
}

/// Keeps the chart, and applies its template and the environment.
async fn install(world: &World, shape: &Shape) -> Result {
    let chart = Chart::folder(&world.setup.repo, shape.chart)?;
    world.put_chart_as(&format!("{}-chart", shape.chart), &chart).await?;
    for object in example(world, shape.chart)? {
        world.apply(&object).await?;
    }
    settled(world, shape, "Running", 1).await.map(drop)
}

/// Waits until an environment is well in a phase, with so many revisions.
async fn settled(world: &World, shape: &Shape, phase: &str, revision: i64) -> anyhow::Result<Told> {
    let well = |told: &Told| {
        told.is_observed() && told.phase() == phase && told.is("Ready") && *told.field("/release/revision") == revision
    };
    world.until(shape.release, &format!("{phase} with revision {revision}"), well).await
}

/// Pods that each workload of a release is to have, by what its name has behind the release's.
async fn counts(world: &World, release: &str) -> anyhow::Result<BTreeMap<String, i32>> {
    let mut counts = BTreeMap::new();
    let mut add = |name: &str, replicas: Option<i32>| {
        if let Some(end) = name.strip_prefix(release).filter(|end| end.is_empty() || end.starts_with('-')) {
            counts.insert(end.to_owned(), replicas.unwrap_or(-1));
        }
    };
    for web in world.api::<Deployment>().list(&ListParams::default()).await? {
        add(&web.name_any(), web.spec.and_then(|spec| spec.replicas));
    }
    for database in world.api::<StatefulSet>().list(&ListParams::default()).await? {
        add(&database.name_any(), database.spec.and_then(|spec| spec.replicas));
    }
    Ok(counts)
}

async fn assert_running(world: &World, shape: &Shape) -> Result {
    let have = counts(world, shape.release).await?;
    let want: BTreeMap<String, i32> = shape.running.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect();
    if shape.autoscaled {
        assert!(want.iter().all(|(end, count)| have[end] >= *count), "{}: {have:?}", shape.chart);
    } else {
        assert_eq!(have, want, "{}", shape.chart);
    }
    Ok(())
}

async fn assert_stopped(world: &World, shape: &Shape) -> Result {
    let mut have = counts(world, shape.release).await?;
    assert_eq!(have.len(), shape.running.len(), "{}: {have:?}", shape.chart);
    have.retain(|_, count| *count != 0);
    let want: BTreeMap<String, i32> = shape.stopped.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect();
    assert_eq!(have, want, "{}", shape.chart);
    for job in world.api::<CronJob>().list(&ListParams::default()).await? {
        if job.name_any().starts_with(&format!("{}-", shape.release)) {
            assert_eq!(job.spec.and_then(|spec| spec.suspend), Some(true), "{}", shape.chart);
        }
    }
    Ok(())
}

/// How many pods `spec.replicas` wishes for while it runs.
fn wished(shape: &Shape) -> anyhow::Result<u32> {
    let most = shape.running.iter().map(|(_, count)| *count).max().unwrap_or_default();
    Ok(u32::try_from(most)?)
}

/// Change, stop, upgrade asleep, start.
async fn live(world: &World, shape: &Shape) -> Result {
    assert_running(world, shape).await?;
    world.patch::<OdooEnvironment>(shape.release, json!({ "spec": shape.change })).await?;
    settled(world, shape, "Running", 2).await?;
    assert_running(world, shape).await?;

    world.scale(shape.release, 0).await?;
    settled(world, shape, "Stopped", 2).await.context("a stop is no Helm run")?;
    assert_stopped(world, shape).await?;

    let template = json!({ "spec": { "version": "next", "values": shape.next } });
    world.patch::<OdooTemplate>(shape.chart, template).await?;
    match shape.deferred {
        Some(reason) => world.until_says(shape.release, "Stopped", reason).await?,
        None => settled(world, shape, "Stopped", 3).await?,
    };
    assert_stopped(world, shape).await?;

    world.scale(shape.release, wished(shape)?).await?;
    let awake = settled(world, shape, "Running", 3).await?;
    assert_eq!(awake.version(), "next", "{}", shape.chart);
    assert_running(world, shape).await
}

/// Deletes it with its data. Afterwards nothing of it is there but what a chart's hooks made, which Helm never removes.
async fn end(world: &World, shape: &Shape) -> Result {
    world.patch::<OdooEnvironment>(shape.release, json!({ "spec": { "deletionPolicy": "Delete" } })).await?;
    world.api::<OdooEnvironment>().delete(shape.release, &DeleteParams::default()).await?;
    world.wait_gone::<OdooEnvironment>(shape.release).await?;
    let left = counts(world, shape.release).await?;
    assert!(left.is_empty(), "{}: {left:?}", shape.chart);
    let prefix = format!("{}-", shape.release);
    for claim in world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await? {
        assert!(!claim.name_any().contains(&prefix) || claim.metadata.deletion_timestamp.is_some(), "{claim:?}");
    }
    let generated = world.api::<Secret>().get_opt(&format!("{prefix}odoofleet")).await?;
    assert!(generated.is_none(), "{}", shape.chart);
    assert!(crate::revisions(world, shape.release).await?.is_empty(), "{}", shape.chart);
    Ok(())
}

/// A whole life.
async fn lives(world: &World, shape: &Shape) -> Result {
    let whole = async {
        lint(world, shape.chart).await?;
        install(world, shape).await?;
        live(world, shape).await?;
        end(world, shape).await
    };
    whole.await.with_context(|| format!("chart {}", shape.chart))
}

async fn world(name: &str, flags: &[&str]) -> anyhow::Result<World> {
    let mut world = World::bare(name, flags).await?;
    world.run_operator().await?;
    world.apply(&e2e::customer("acme")).await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_every_shape_are_installed_changed_stopped_upgraded_asleep_started_and_deleted() -> Result {
    let world = world("shapes", &[]).await?;
    let shapes = [company(), helm_create(), many_replicas(), password_value(), hook_database(), autoscaled()];
    futures::future::try_join_all(shapes.iter().map(|shape| lives(&world, shape))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_every_shape_come_back_with_their_data_after_they_were_retained() -> Result {
    let world = world("shape-kept", &[]).await?;
    let shapes = [company(), helm_create(), many_replicas(), password_value(), hook_database(), autoscaled()];
    futures::future::try_join_all(shapes.iter().map(|shape| comes_back(&world, shape))).await?;
    Ok(())
}

async fn comes_back(world: &World, shape: &Shape) -> Result {
    let whole = async {
        install(world, shape).await?;
        let before = claims(world, shape).await?;
        world.api::<OdooEnvironment>().delete(shape.release, &DeleteParams::default()).await?;
        world.wait_gone::<OdooEnvironment>(shape.release).await?;
        let left = counts(world, shape.release).await?;
        assert!(left.len() == shape.running.len() && left.values().all(|count| *count == 0), "{left:?}");
        for object in example(world, shape.chart)? {
            world.apply(&object).await?;
        }
        world.wait_phase(shape.release, "Running").await?;
        assert_running(world, shape).await?;
        assert_eq!(claims(world, shape).await?, before, "{}", shape.chart);
        anyhow::Ok(())
    };
    whole.await.with_context(|| format!("chart {}", shape.chart))
}

/// UIDs of a release's volume claims.
async fn claims(world: &World, shape: &Shape) -> anyhow::Result<Vec<String>> {
    let all = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    let own = all.items.iter().filter(|claim| claim.name_any().contains(&format!("{}-", shape.release)));
    let mut uids: Vec<String> = own.filter_map(ResourceExt::uid).collect();
    uids.sort();
    Ok(uids)
}

/// A value of a Secret.
async fn secret(world: &World, name: &str, key: &str) -> anyhow::Result<String> {
    let data = world.api::<Secret>().get(name).await?.data.unwrap_or_default();
    let value = data.get(key).with_context(|| format!("Secret {name} has no {key}"))?;
    Ok(String::from_utf8(value.0.clone())?)
}

/// Hosts of the only Ingress of a release, without the world's domain.
async fn hosts(world: &World, release: &str) -> anyhow::Result<Vec<String>> {
    let rules = world.api::<Ingress>().get(release).await?.spec.and_then(|spec| spec.rules).unwrap_or_default();
    let domain = format!(".{}", world.domain());
    Ok(rules.iter().filter_map(|rule| Some(rule.host.as_ref()?.trim_end_matches(&domain).to_owned())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shape_gets_what_its_environment_says_where_its_chart_looks_for_it() -> Result {
    let world = world("shape-values", &[]).await?;
    let shapes = [company(), helm_create(), many_replicas(), password_value(), hook_database(), autoscaled()];
    futures::future::try_join_all(shapes.iter().map(|shape| install(&world, shape))).await?;

    let conf = secret(&world, "acme-company-conf", "odoo.conf").await?;
    let master = secret(&world, "acme-company-odoofleet", "admin_passwd").await?;
    for line in [&format!("admin_passwd = {master}"), "workers = 4", "limit_time_real = 240"] {
        assert!(conf.contains(line), "{line} is not in:\n{}", conf.replace(&master, "…"));
    }
    let addons = world.api::<ConfigMap>().get("acme-company-addons").await?.data.unwrap_or_default();
    assert_eq!(addons["customer"], "acme");
    assert!(addons["repositories"].contains("reports.git 17.0"), "{addons:?}");

    assert_eq!(hosts(&world, "acme-created").await?, ["created", "www.created"]);
    let created = serde_json::to_value(world.api::<Deployment>().get("acme-created").await?)?;
    let variables = &created["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(variables[0]["valueFrom"]["secretKeyRef"]["name"], "acme-created-odoofleet", "{variables}");
    assert_eq!(variables[1]["name"], "HOST", "what stands beside a bound entry stays");

    assert_eq!(hosts(&world, "acme-many").await?, ["many", "shop.many"]);
    assert_eq!(secret(&world, "acme-many-db", "password").await?, "change-me-now");

    let database = secret(&world, "acme-password-odoofleet", "password").await?;
    assert_eq!(secret(&world, "acme-password-postgresql", "password").await?, database);
    assert_eq!(secret(&world, "acme-password", "smtp-password").await?, "change-me-now");

    let made: Option<Job> = world.api().get_opt("acme-hooks-create-database").await?;
    assert!(made.is_none(), "the hook has succeeded, and its policy takes it away");

    let autoscaler = world.api::<HorizontalPodAutoscaler>().get("acme-auto").await?.spec.unwrap_or_default();
    assert_eq!((autoscaler.min_replicas, autoscaler.max_replicas), (Some(2), 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_switches_on_the_charts_own_maintenance_is_refused() -> Result {
    let world = world("shape-locked", &[]).await?;
    let shape = hook_database();
    install(&world, &shape).await?;
    let maintenance = json!({ "spec": { "values": { "maintenance": { "enabled": true } } } });
    world.patch::<OdooEnvironment>(shape.release, maintenance).await?;
    let told = world.until_refused(shape.release, "ValueNotAllowed").await?;
    assert!(told.message().contains("locked by the template"), "{}", told.message());
    assert_running(&world, &shape).await
}

const MAILBOX: &str = "extraAllowedKinds[0].apiVersion=mail.example.com/v1,extraAllowedKinds[0].kind=Mailbox,extraAllowedKinds[0].resource=mailboxes";

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_ones_own_lives_with_its_release_once_it_is_allowed() -> Result {
    let allowed = "v1/Secret,v1/Service,apps/v1/Deployment,mail.example.com/v1/Mailbox";
    let world = world("shape-kinds", &["--allowed-kinds", allowed]).await?;
    let crd = world.setup.repo.join("e2e/charts/own-kinds-crd.yaml");
    let crd = crd.to_string_lossy();
    world.kubectl(&["apply", "--server-side", "-f", &crd]).await?;
    world.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", &crd]).await?;
    let (chart, system) = (world.setup.repo.join("charts/odoofleet"), world.system_namespace());
    let installed = world.helm(&["list", "--namespace", system, "--short"]).await?;
    let chart = chart.to_string_lossy();
    world
        .helm(&["upgrade", installed.trim(), &chart, "--namespace", system, "--reuse-values", "--set", MAILBOX])
        .await?;

    let shape = own_kinds();
    lint(&world, shape.chart).await?;
    install(&world, &shape).await?;
    let mailbox = ["get", "mailbox", "acme-kinds", "--namespace", &world.namespace, "--ignore-not-found"];
    let quota = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let made = world.kubectl(&[&mailbox[..], &["-o", "jsonpath={.spec.address} {.spec.quota}"]].concat()).await?;
    assert_eq!(quota(&made), "acme-kinds@mail.example.com 1Gi");
    live(&world, &shape).await?;
    let changed = world.kubectl(&[&mailbox[..], &["-o", "jsonpath={.spec.quota}"]].concat()).await?;
    assert_eq!(quota(&changed), "5Gi");
    end(&world, &shape).await?;
    assert_eq!(world.kubectl(&[&mailbox[..], &["-o", "name"]].concat()).await?, "");
    Ok(())
}
