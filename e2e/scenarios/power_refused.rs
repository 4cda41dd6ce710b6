//! A stop always works, what was stopped starts again, and nobody pulls at a number of pods that is somebody else's.

use std::time::Duration;

use e2e::{Chart, Environment, Request, Told, World, environment_of};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::OdooCustomer;
use serde_json::{Value, json};

use crate::{Result, revisions};

const RESTARTED_AT: &str = "odoofleet.dev/restartedAt";

async fn web_replicas(world: &World, release: &str) -> anyhow::Result<i32> {
    let web = world.api::<Deployment>().get(&format!("{release}-web")).await?;
    Ok(web.spec.and_then(|spec| spec.replicas).unwrap_or(1))
}

async fn pods(world: &World, selector: &str) -> anyhow::Result<Vec<String>> {
    let pods = world.api::<Pod>().list(&ListParams::default().labels(selector)).await?;
    let mut uids: Vec<String> = pods.items.iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    Ok(uids)
}

/// Four environments that run, each with a spec that is refused for another reason.
async fn refused(name: &str) -> anyhow::Result<(World, [(&'static str, &'static str); 4])> {
    let world = World::start(name).await?;
    world.put_template("major", "1", &Chart::small("1.0.0"), |_| ()).await?;
    let reasons = [
        ("acme-schema", "SchemaViolation"),
        ("acme-reference", "ReferenceNotFound"),
        ("acme-version", "VersionNotFound"),
        ("acme-major", "MajorUpgradeNotConfirmed"),
    ];
    for (name, _) in reasons {
        let template = if name == "acme-major" { "major" } else { "small" };
        world.apply(&environment_of(name.trim_start_matches("acme-"), template)).await?;
    }
    for (name, _) in reasons {
        world.wait_phase(name, "Running").await?;
    }
    let patch = |name, spec: Value| world.patch::<Environment>(name, json!({ "spec": spec }));
    patch("acme-schema", json!({ "values": { "note": 7 } })).await?;
    let missing = json!([{ "secretKeyRef": { "name": "missing", "key": "k" }, "targetPath": "password" }]);
    patch("acme-reference", json!({ "valuesFrom": missing })).await?;
    patch("acme-version", json!({ "templateRef": { "version": "9" } })).await?;
    world.put_template("major", "2", &Chart::small("1.0.0"), |t| t["spec"]["odooVersion"] = json!("19.0")).await?;
    for (name, reason) in reasons {
        world.until_says(name, "Running", reason).await?;
    }
    Ok((world, reasons))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_can_be_stopped_and_started_by_scale() -> Result {
    let (world, reasons) = refused("refusedscale").await?;
    for (name, _) in reasons {
        world.scale(name, 0).await?;
    }
    for (name, reason) in reasons {
        world.until_says(name, "Stopped", reason).await?;
        assert_eq!(web_replicas(&world, name).await?, 0, "{name}");
        world.scale(name, 1).await?;
    }
    for (name, reason) in reasons {
        world.until_says(name, "Running", reason).await?;
        assert_eq!(web_replicas(&world, name).await?, 1, "{name}");
        assert_eq!(revisions(&world, name).await?, [1], "{name}: Helm ran");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_stops_with_its_customer_and_starts_with_it() -> Result {
    let (world, reasons) = refused("refusedsuspend").await?;
    let lifecycle = |word: &str| json!({ "spec": { "lifecycle": word } });
    world.patch::<OdooCustomer>("acme", lifecycle("Suspended")).await?;
    for (name, reason) in reasons {
        world.until_says(name, "Stopped", reason).await?;
        assert_eq!(web_replicas(&world, name).await?, 0, "{name}");
    }
    world.patch::<OdooCustomer>("acme", lifecycle("Active")).await?;
    for (name, reason) in reasons {
        world.until_says(name, "Running", reason).await?;
        assert_eq!(web_replicas(&world, name).await?, 1, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_after_a_failed_upgrade_runs_again() -> Result {
    let world = World::start("failedthenstopped").await?;
    world.put_template("object", "1", &Chart::small("1.0.0"), |_| ()).await?;
    world.put_template("hook", "1", &Chart::small("1.0.0"), |_| ()).await?;
    for service in ["object", "hook"] {
        world.apply(&environment_of(service, service)).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    let bad_object = Chart::small("2.0.0").with("templates/service.yaml", NO_SERVICE);
    world.put_template("object", "2", &bad_object, |_| ()).await?;
    world.put_template("hook", "2", &Chart::small("2.0.0").with("templates/job.yaml", FAILING_HOOK), |_| ()).await?;
    world.until_says("acme-object", "Running", "InvalidObject").await?;
    world.until_says("acme-hook", "Running", "HookFailed").await?;
    for name in ["acme-object", "acme-hook"] {
        world.scale(name, 0).await?;
    }
    for name in ["acme-object", "acme-hook"] {
        world.until(name, "stopped", |told| told.is_observed() && told.phase() == "Stopped").await?;
        assert_eq!(web_replicas(&world, name).await?, 0, "{name}");
        world.scale(name, 1).await?;
    }
    world.until_says("acme-object", "Running", "InvalidObject").await?;
    world.until_says("acme-hook", "Running", "HookFailed").await?;
    for name in ["acme-object", "acme-hook"] {
        assert_eq!(web_replicas(&world, name).await?, 1, "{name}");
        let told = world.told(name).await?;
        assert!(told.is("Available") && !told.is("Ready"), "{told:?}");
    }
    Ok(())
}

/// A port that does not exist.
const NO_SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-bad"}
spec: {ports: [{port: 99999}]}
"#;

/// Its pod finds no node, and its time is over soon.
const FAILING_HOOK: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-migrate"
  annotations: {helm.sh/hook: pre-upgrade}
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 2
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {no-such: node}
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: migrate
          image: busybox:1.37
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_whose_hook_needs_the_database_waits_for_the_start() -> Result {
    let world = World::start("hookdb").await?;
    let chart = Chart::folder(&world.setup.repo, "hookdb")?;
    let version = |version: &'static str, values: Value| {
        let (world, chart) = (&world, &chart);
        async move {
            world
                .put_template("hookdb", version, chart, |template| {
                    template["spec"]["bindings"] = json!([{ "to": "web.replicas", "from": "replicas" }]);
                    template["spec"]["stop"]["workloads"][0]["replicasPath"] = json!("web.replicas");
                    template["spec"]["values"] = values.clone();
                })
                .await
        }
    };
    version("1", json!({})).await?;
    let mut hook = environment_of("hook", "hookdb");
    hook["spec"]["timeouts"] = json!({ "helm": 30 });
    world.apply(&hook).await?;
    world.wait_phase("acme-hook", "Running").await?;
    world.scale("acme-hook", 0).await?;
    world.wait_phase("acme-hook", "Stopped").await?;
    version("2", json!({ "web": { "note": "two" } })).await?;
    let asleep = world.until_says("acme-hook", "Stopped", "UpgradeAtStart").await?;
    assert!(asleep.is("Ready") && !asleep.is("Stalled"), "{asleep:?}");
    assert_eq!(asleep.version(), "1");
    assert_eq!(revisions(&world, "acme-hook").await?, [1], "it was tried while its database sleeps");
    world.scale("acme-hook", 1).await?;
    let awake = world.until("acme-hook", "running on the new version", |told| {
        told.is_observed() && told.phase() == "Running" && told.version() == "2" && told.is("Ready")
    });
    awake.await?;
    let web = world.api::<Deployment>().get("acme-hook-web").await?;
    let annotations = web.spec.and_then(|spec| spec.template.metadata?.annotations).unwrap_or_default();
    assert_eq!(annotations["note"], "two");
    Ok(())
}

/// Two pods of Odoo, ready.
async fn two_pods(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(2);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(pods(&world, "app=acme-prod-web").await?.len(), 2);
    Ok(world)
}

fn in_an_hour() -> String {
    (jiff::Timestamp::now() + Duration::from_hours(1)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_by_a_clock_that_is_ahead_replaces_each_pod_once() -> Result {
    let world = two_pods("ahead").await?;
    let before = pods(&world, "app=acme-prod-web").await?;
    let all = world.count::<Pod>("app=acme-prod-web").await?;
    let moment = in_an_hour();
    world.annotate("acme-prod", RESTARTED_AT, &moment).await?;
    let handled = |told: &Told| told.field("/lastHandledRestartAt") == moment.as_str();
    world.until("acme-prod", "restarted", handled).await?;
    world.wait_phase("acme-prod", "Running").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = pods(&world, "app=acme-prod-web").await?;
    assert!(after.len() == 2 && after.iter().all(|uid| !before.contains(uid)), "{before:?} {after:?}");
    assert_eq!(all.count(), 4, "each pod is replaced once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_waits_for_the_pod_that_is_not_there_yet() -> Result {
    let world = two_pods("restartwaits").await?;
    let before = pods(&world, "app=acme-prod-web").await?;
    // Three pods are there; what goes finds no successor.
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "full" }, "spec": { "hard": { "pods": "2" } },
    });
    world.apply_any(&quota).await?;
    let moment = in_an_hour();
    world.annotate("acme-prod", RESTARTED_AT, &moment).await?;
    let one_left = |web: &Deployment| web.status.as_ref().and_then(|status| status.replicas).unwrap_or_default() == 1;
    world.wait::<Deployment>("acme-prod-web", "one pod short", one_left).await?;
    world.stays::<Deployment>("acme-prod-web", Duration::from_secs(6), "one pod short", one_left).await?;
    let left = pods(&world, "app=acme-prod-web").await?;
    assert!(left.len() == 1 && before.contains(&left[0]), "{before:?} {left:?}");
    world.kubectl(&["delete", "resourcequota", "full", "--namespace", &world.namespace]).await?;
    // The controller of Deployments comes back in its own time.
    world.scale("acme-prod", 1).await?;
    world.scale("acme-prod", 2).await?;
    let handled = |told: &Told| told.field("/lastHandledRestartAt") == moment.as_str();
    world.until("acme-prod", "restarted", handled).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_for_no_moment_is_told_and_replaces_nothing() -> Result {
    let world = two_pods("nomoment").await?;
    let before = pods(&world, "app=acme-prod-web").await?;
    world.annotate("acme-prod", RESTARTED_AT, "tomorrow morning").await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let events = ListParams::default().fields("involvedObject.name=acme-prod,type=Warning");
    loop {
        let events = world.api::<Event>().list(&events).await?;
        let by_event =
            events.items.iter().any(|event| event.message.as_deref().unwrap_or_default().contains("restartedAt"));
        if by_event || world.told("acme-prod").await?.message().contains("restartedAt") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody is told");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(pods(&world, "app=acme-prod-web").await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_that_an_autoscaler_sets_stays() -> Result {
    let world = World::behind_proxy("hpa", &[]).await?;
    let chart = Chart::folder(&world.setup.repo, "hpa")?;
    world
        .put_template("hpa", "1", &chart, |template| {
            template["spec"]["bindings"] = json!([]);
            template["spec"]["stop"] = json!(null);
        })
        .await?;
    world.apply(&environment_of("hpa", "hpa")).await?;
    let has = |count: i32| move |web: &Deployment| web.spec.as_ref().and_then(|spec| spec.replicas) == Some(count);
    let is_scaled = |request: &Request| request.is_write() && request.uri.path().ends_with("/scale");
    // Below its minimum it scales without any metric.
    world.wait::<Deployment>("acme-hpa-web", "scaled by its autoscaler", has(2)).await?;
    world.wait_phase("acme-hpa", "Running").await?;
    world.proxy()?.forget();
    world.stays("acme-hpa-web", Duration::from_secs(15), "as its autoscaler wants it", has(2)).await?;
    world.kubectl(&["scale", "deployment", "acme-hpa-web", "--namespace", &world.namespace, "--replicas=3"]).await?;
    world.wait::<Deployment>("acme-hpa-web", "scaled", has(3)).await?;
    world.stays("acme-hpa-web", Duration::from_secs(15), "as somebody wants it", has(3)).await?;
    let scaled = world.proxy()?.seen(is_scaled);
    assert!(scaled.is_empty(), "{scaled:?}");
    world.wait_phase("acme-hpa", "Running").await?;

    world.scale("acme-hpa", 0).await?;
    world.wait_phase("acme-hpa", "Stopped").await?;
    assert_eq!(web_replicas(&world, "acme-hpa").await?, 0);
    world.stays("acme-hpa-web", Duration::from_secs(5), "stopped", has(0)).await?;
    world.scale("acme-hpa", 1).await?;
    world.wait_phase("acme-hpa", "Running").await?;
    world
        .wait::<Deployment>("acme-hpa-web", "up", |web| web.spec.as_ref().and_then(|spec| spec.replicas) >= Some(2))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pods_never_share_a_claim_of_one_node() -> Result {
    let world = World::start("sharedclaim").await?;
    world.put_template("small", "2", &Chart::small("1.0.0").with_volume(), |_| ()).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let one = |web: &Deployment| web.spec.as_ref().and_then(|spec| spec.replicas) == Some(1);
    let told = async {
        world.scale("acme-prod", 2).await?;
        world.until_says("acme-prod", "Running", "VolumeNotShared").await
    };
    let (told, ()) = tokio::try_join!(told, world.stays("acme-prod-web", Duration::from_secs(8), "alone", one))?;
    assert!(told.message().contains("acme-prod-data"), "{}", told.message());
    assert!(told.is("Available") && told.is("Stalled") && !told.is("Ready"), "{told:?}");
    world.scale("acme-prod", 1).await?;
    world.until("acme-prod", "well", |told| told.says("Running", "Running") && told.is("Ready")).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}
