use std::time::Duration;

use e2e::{Chart, World};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::{Result, release_labels, revisions};

/// A chart whose hook never ends by itself: an operation that can be killed at leisure.
fn hanging() -> Chart {
    Chart::small("2.0.0").with("templates/hook.yaml", HOOK)
}

const HOOK: &str = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: \"{{ .Release.Name }}-hook\"\n  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}\nspec:\n  suspend: true\n  template:\n    spec:\n      restartPolicy: Never\n      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}\n      containers: [{name: c, image: x, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]\n";

/// Waits until the newest revision of a release has a status.
pub async fn wait_status(world: &World, release: &str, status: &str) -> Result {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if release_labels(world, release)
            .await
            .is_ok_and(|labels| labels.get("status").is_some_and(|found| found == status))
        {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{release} did not become {status}: {}", world.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn kill_all(workers: &[i32]) {
    for pid in workers.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_a_lock_that_is_recovered_without_losing_anything() -> Result {
    let world = World::start("killed").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&hanging()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    assert!(!world.workers().is_empty());
    // Meanwhile another environment is served.
    let mut other = e2e::environment("acme", "other");
    other["spec"]["templateRef"]["version"] = json!("1");
    world.apply(&other).await?;
    world.wait_phase("acme-other", "Running").await?;
    // The next version has no hook: what is recovered can succeed.
    world.put_chart(&Chart::small("3.0.0")).await?;
    world.apply(&e2e::template("small", "3")).await?;
    kill_all(&world.workers());
    world
        .wait::<OdooEnvironment>("acme-prod", "recovered", |e| {
            e.status.as_ref().and_then(|s| s.template.as_ref()).is_some_and(|t| t.version == "3")
        })
        .await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    let actions: Vec<String> = environment
        .status
        .unwrap()
        .history
        .iter()
        .map(|entry| format!("{:?} {:?}", entry.action, entry.outcome))
        .collect();
    assert!(actions.contains(&"Unlock Succeeded".to_owned()), "{actions:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_operator_takes_its_workers_along_and_the_next_one_recovers() -> Result {
    let mut world = World::start("operatorkilled").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&hanging()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    let workers = world.workers();
    world.kill_operator().await?;
    for pid in workers {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.contains("odoofleet-helm-worker"))
        {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "worker {pid} outlived its operator");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    world.put_chart(&Chart::small("3.0.0")).await?;
    world.apply(&e2e::template("small", "3")).await?;
    world.run_operator().await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "recovered", |e| {
            e.status.as_ref().and_then(|s| s.template.as_ref()).is_some_and(|t| t.version == "3")
        })
        .await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_hanging_helm_operation() -> Result {
    let world = World::start("stophang").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&hanging()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "replicas": 0 } })).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "stopped", |e| {
            e.status.as_ref().and_then(|s| s.phase).is_some_and(|p| format!("{p:?}") == "Stopped")
        })
        .await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_past_its_deadline_ends_alone_and_is_told() -> Result {
    let world = World::start("deadline").await?;
    world.put_chart(&hanging()).await?;
    world.apply(&e2e::template("small", "hook")).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["timeouts"] = json!({ "helm": 10 });
    world.apply(&environment).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "failed", |e| {
            e.status.as_ref().and_then(|s| s.failures.as_ref()).is_some_and(|f| f.count >= 1)
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_humans_upgrade_is_seen_and_left_until_the_spec_changes() -> Result {
    let world = World::start("byhand").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("small-1.0.0.tgz");
    std::fs::write(&chart, Chart::small("1.0.0").archive()?)?;
    let arguments = [
        "upgrade",
        "acme-prod",
        &chart.to_string_lossy(),
        "--namespace",
        &world.namespace,
        "--set",
        "note=by-hand",
        "--force-conflicts",
    ];
    world.helm(&arguments).await?;
    let drifted = |e: &OdooEnvironment| {
        e.status.as_ref().is_some_and(|s| s.conditions.iter().any(|c| c.type_ == "Drifted" && c.status == "True"))
    };
    world.wait::<OdooEnvironment>("acme-prod", "drifted", drifted).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "ours" } } })).await?;
    world
        .wait::<ConfigMap>("acme-prod-config", "ours", |map| map.data.as_ref().is_some_and(|d| d["note"] == "ours"))
        .await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    assert!(!drifted(&environment));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_helm_is_respected() -> Result {
    let world = World::start("lock").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    // As a helm that somebody runs just now would leave it: an upgrade inherits our labels.
    let newest = world.api::<Secret>().get("sh.helm.release.v1.acme-prod.v1").await?;
    let mut labels = newest.metadata.labels.clone().unwrap_or_default();
    labels.insert("status".into(), "pending-upgrade".into());
    labels.insert("version".into(), "2".into());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": { "name": "sh.helm.release.v1.acme-prod.v2", "labels": labels },
        "data": newest.data,
    });
    world.apply(&secret).await?;
    world.wait_reason("acme-prod", "Running", "ForeignOperation").await?;
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "values": { "note": "x" } } })).await?;
    world.wait_reason("acme-prod", "Running", "ForeignOperation").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1, 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_can_pass_is_tried_again_by_itself() -> Result {
    let world = World::start("retry").await?;
    // The namespace is full.
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "full" }, "spec": { "hard": { "count/deployments.apps": "0" } } });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), quota.to_string())?;
    world.kubectl(&["apply", "--namespace", &world.namespace, "-f", &file.path().to_string_lossy()]).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "failed once", |e| {
            e.status.as_ref().and_then(|s| s.failures.as_ref()).is_some_and(|f| f.count >= 1)
        })
        .await?;
    world.kubectl(&["delete", "resourcequota", "full", "--namespace", &world.namespace]).await?;
    let environment = world.wait_phase("acme-prod", "Running").await?;
    let history = environment.status.unwrap().history;
    assert!(history.iter().all(|entry| format!("{:?}", entry.action) != "Uninstall"), "uninstall is never a remedy");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_told_to_stop_lets_its_helm_operation_finish() -> Result {
    let mut world = World::start("graceful").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&hanging()).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    world.wait::<Job>("acme-prod-hook", "there", |_| true).await?;
    // The hook's Job is let run only after the operator was told to stop.
    world.terminate_operator()?;
    let patch = r#"{"spec":{"suspend":false}}"#;
    world.kubectl(&["patch", "job", "acme-prod-hook", "--namespace", &world.namespace, "--patch", patch]).await?;
    world.stop_operator().await?;
    wait_status(&world, "acme-prod", "deployed").await?;
    world.run_operator().await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
