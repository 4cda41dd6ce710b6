//! The operator as everybody runs it: pods of its image, under its chart.

use std::time::Duration;

use e2e::{AuditEntry, Chart, RealWorld, customer, environment, template};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::Result;

/// As many environments as take a while, one after the other.
const FLEET: usize = 4;

/// A world in which the operator runs as a pod, with a template whose pods do nothing.
async fn furnished(name: &str) -> anyhow::Result<RealWorld> {
    let mut world = RealWorld::bare(name).await?;
    world.run_operator().await?;
    world.put_chart(&Chart::small("1.0.0").on_a_node()).await?;
    world.apply(&customer("acme")).await?;
    world.apply(&template("small", "1")).await?;
    Ok(world)
}

/// The revisions of a release, as Helm's CLI lists them.
async fn revisions(world: &RealWorld, release: &str) -> anyhow::Result<Vec<String>> {
    let history = world.helm(&["history", release, "--namespace", &world.namespace, "--output", "json"]).await?;
    let history: Vec<Value> = serde_json::from_str(&history)?;
    Ok(history.iter().map(|revision| revision["status"].as_str().unwrap_or_default().to_owned()).collect())
}

/// The note that reached a release's pods.
async fn note(world: &RealWorld, release: &str) -> anyhow::Result<String> {
    let web: Deployment = world.api().get(&format!("{release}-web")).await?;
    let containers = web.spec.and_then(|spec| spec.template.spec).map(|spec| spec.containers).unwrap_or_default();
    let variables = containers.into_iter().flat_map(|container| container.env.unwrap_or_default());
    Ok(variables.filter(|variable| variable.name == "NOTE").filter_map(|variable| variable.value).collect())
}

/// Asks for a look at an environment, and waits until it was made.
async fn look(world: &RealWorld, name: &str, mark: &str) -> Result {
    let asked = json!({ "metadata": { "annotations": { "odoofleet.dev/requestedAt": mark } } });
    world.patch::<OdooEnvironment>(name, asked).await?;
    let looked = |environment: &OdooEnvironment| {
        environment.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref()) == Some(mark)
    };
    world.wait(name, "looked at", looked).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_has_no_rights_on_its_node_and_writes_into_its_volumes_alone() -> Result {
    let mut world = RealWorld::bare("rights").await?;
    // The strictest of Kubernetes' standards admits its pod.
    let strict = "pod-security.kubernetes.io/enforce=restricted";
    world.kubectl(&["label", "namespace", world.system_namespace(), strict]).await?;
    world.run_operator().await?;
    let pods = world.operator_pods().await?;
    let process = world.operator_process(&pods[0])?.as_raw_nonzero();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}"));
    let status = read("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    assert_eq!(field("Uid"), ["65532"; 4].join(" "));
    assert_eq!(field("Gid"), ["65532"; 4].join(" "));
    for (name, wanted) in [("CapEff", "0000000000000000"), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1")] {
        assert_eq!(field(name), wanted, "{name}");
    }
    assert_eq!(field("Seccomp"), "2", "a filter of system calls");
    let mounts = read("mounts")?;
    // Memory of the container's own, and what kubelet writes for it.
    let small = ["proc", "tmpfs", "devpts", "mqueue"];
    let writable: Vec<&str> = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|mount| mount[3].split(',').any(|option| option == "rw") && !small.contains(&mount[2]))
        .map(|mount| mount[1])
        .collect();
    let volumes =
        ["/tmp", "/var/cache/odoofleet", "/dev/termination-log", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    assert!(writable.iter().all(|path| volumes.contains(path)), "{writable:?}");
    assert!(writable.contains(&"/var/cache/odoofleet"), "{writable:?}");
    assert!(world.ask_operator("/ready").await?.starts_with("ready"));
    assert!(world.ask_operator("/metrics").await?.contains("odoo_operator_"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_operator_goes_on_when_the_one_that_leads_is_lost() -> Result {
    let world = furnished("replicas").await?;
    world.apply(&environment("acme", "test")).await?;
    world.wait_phase("acme-test", "Running").await?;
    world.upgrade_chart(&["replicas=2".to_owned()]).await?;
    let first = world.leader().await?;
    let pods = world.operator_pods().await?;
    assert_eq!(pods.len(), 2);
    let lost = pods.iter().find(|pod| pod.name_any() == first).expect("the leader is one of the pods");
    world.lose_operator(lost).await?;

    world.patch::<OdooEnvironment>("acme-test", json!({ "spec": { "values": { "note": "after" } } })).await?;
    world.wait_phase("acme-test", "Running").await?;
    assert_eq!(note(&world, "acme-test").await?, "after");
    assert_ne!(world.leader().await?, first);
    assert_eq!(revisions(&world, "acme-test").await?, ["superseded", "deployed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_the_operator_while_a_rollout_runs_loses_nothing_and_repeats_nothing() -> Result {
    let world = furnished("upgrade").await?;
    let names: Vec<String> = (0..FLEET).map(|number| format!("acme-n{number}")).collect();
    for number in 0..FLEET {
        world.apply(&environment("acme", &format!("n{number}"))).await?;
    }
    for name in &names {
        world.wait_phase(name, "Running").await?;
    }
    let old: Vec<String> = world.operator_pods().await?.iter().map(ResourceExt::name_any).collect();

    let mut next = template("small", "2");
    next["spec"]["values"] = json!({ "note": "second" });
    next["spec"]["rollout"] = json!({ "maxConcurrent": 1 });
    world.apply(&next).await?;
    // It runs: one has the new version, the last has not.
    let moved = async {
        loop {
            let mut done = 0;
            for name in &names {
                done += usize::from(revisions(&world, name).await?.len() == 2);
            }
            if done > 0 {
                return anyhow::Ok(done);
            }
        }
    };
    let moved = tokio::time::timeout(world.patience, moved).await??;
    assert!(moved < FLEET, "the rollout was over before the operator was upgraded");
    world.upgrade_chart(&["podAnnotations.upgraded=again".to_owned()]).await?;

    for name in &names {
        let version = |environment: &OdooEnvironment| {
            let status = environment.status.as_ref();
            status.and_then(|status| status.template.as_ref()).map(|template| template.version.as_str()) == Some("2")
        };
        world.wait(name, "of version 2", version).await?;
        world.wait_phase(name, "Running").await?;
        assert_eq!(note(&world, name).await?, "second", "{name}");
        assert_eq!(revisions(&world, name).await?, ["superseded", "deployed"], "{name}");
    }
    let leader = world.leader().await?;
    assert!(!old.contains(&leader), "{leader} is of before the upgrade");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odoos_run_on_without_the_operator_and_are_in_sync_when_it_comes_back() -> Result {
    let world = furnished("uninstall").await?;
    world.apply(&environment("acme", "test")).await?;
    world.wait_phase("acme-test", "Running").await?;
    let pods = || async {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?;
        anyhow::Ok(pods.into_iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect::<Vec<_>>())
    };
    let before = pods().await?;
    assert!(!before.is_empty());

    world.uninstall_chart().await?;
    let gone = async {
        while !world.operator_pods().await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(world.patience, gone).await??;
    assert_eq!(pods().await?, before, "nothing of the customer's was touched");
    world.api::<OdooEnvironment>().get("acme-test").await?;

    let back = Timestamp::now();
    let said = world.install_chart_again(&world.operator_values()).await?;
    assert!(said.contains("helm uninstall") && said.contains("come back"), "{said}");
    look(&world, "acme-test", "1").await?;
    world.wait_phase("acme-test", "Running").await?;
    assert_eq!(pods().await?, before);
    assert_eq!(revisions(&world, "acme-test").await?, ["deployed"]);
    let stored: Vec<String> = world
        .requests_since(back)
        .await?
        .iter()
        .filter(|request| request.is_write() && request.resource == "secrets")
        .map(AuditEntry::to_string)
        .collect();
    assert_eq!(stored, [""; 0], "Helm did something");

    world.patch::<OdooEnvironment>("acme-test", json!({ "spec": { "values": { "note": "after" } } })).await?;
    world.wait_phase("acme-test", "Running").await?;
    assert_eq!(note(&world, "acme-test").await?, "after");
    Ok(())
}
