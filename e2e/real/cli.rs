//! What `kubectl odoo` can only show where pods run: logs that go on, what is used, addons that are fetched.

use std::time::Duration;

use e2e::{Person, Real, RealWorld};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

use crate::Result;
use crate::acme::version_of;
use crate::addons::{self, HTTPS};

const RELEASE: &str = "acme-one";

/// Reads lines until one holds a text, and returns it.
async fn line_with<R>(world: &RealWorld, lines: &mut Lines<R>, text: &str) -> anyhow::Result<String>
where
    R: AsyncBufReadExt + Unpin,
{
    let found = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains(text) {
                return Ok(line);
            }
        }
        anyhow::bail!("the log has ended without \"{text}\"")
    };
    tokio::time::timeout(world.patience, found).await?
}

fn lines<R: AsyncRead + Unpin>(output: Option<R>) -> Lines<BufReader<R>> {
    BufReader::new(output.expect("is piped")).lines()
}

/// What `top` tells, as soon as all of it was measured: of each container there are two readings after half a minute.
async fn measured(world: &RealWorld, person: &Person<'_>, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let measured = async {
        loop {
            let answer = person.odoo(&[arguments, &["-o", "json"]].concat()).await?;
            let rows: Vec<Value> = serde_json::from_str(&answer.out).unwrap_or_default();
            if !rows.is_empty() && rows.iter().all(|row| row["used"]["memoryBytes"].as_u64() > Some(0)) {
                return anyhow::Ok(rows);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(world.patience, measured).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_follows_logs_to_a_new_pod_and_tells_what_pods_take() -> Result {
    let real = Real::from_env()?;
    let scenario = "cli_follows_logs_to_a_new_pod_and_tells_what_pods_take";
    let Some(odoo) = real.odoo_or_skip(scenario) else { return Ok(()) };
    let world = RealWorld::start("cli-logs", odoo).await?;
    world.apply(&world.environment("one")).await?;
    world.wait_phase(RELEASE, "Running").await?;
    let operator = world.person("odoofleet-operator").await?;

    let mut following = operator.begin(&["logs", RELEASE, "--follow", "--grep", "canary=", "--timestamps"])?;
    let mut log = lines(following.stdout.take());
    world.page(RELEASE, "/web/login?canary=4711").await?;
    let line = line_with(&world, &mut log, "canary=4711").await?;
    assert!(line.contains(" INFO ") && !line.contains('\u{1b}'), "{line:?}");
    // Another pod, whose log is followed as soon as there is one.
    let web = ListParams::default().labels("app.kubernetes.io/instance=acme-one,app.kubernetes.io/component=web");
    let old = world.api::<Pod>().list(&web).await?.items.first().map(ResourceExt::name_any).unwrap_or_default();
    world.api::<Pod>().delete(&old, &DeleteParams::default()).await?;
    world.wait_gone::<Pod>(&old).await?;
    world.wait_phase(RELEASE, "Running").await?;
    world.page(RELEASE, "/web/login?canary=4712").await?;
    line_with(&world, &mut log, "canary=4712").await?;
    let pid = following.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("runs");
    kill_process(pid, Signal::INT)?;
    let status = tokio::time::timeout(world.patience, following.wait()).await??;
    assert_eq!(status.code(), Some(130));

    // What was written, and by whom, for programs; the database's, too.
    let all = operator.odoo(&["logs", RELEASE, "--all-pods", "-o", "json"]).await?;
    assert_eq!(all.code, 0, "{}", all.err);
    let records: Vec<Value> = all.out.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    let of = |container: &str| records.iter().filter(|record| record["container"] == container).count();
    assert!(
        of("odoo") > 0 && of("postgresql") > 0,
        "{} records of Odoo, {} of PostgreSQL",
        of("odoo"),
        of("postgresql")
    );
    assert!(records.iter().any(|record| record["logger"] == "odoo" && record["level"] == "info"), "{}", all.out);

    let viewer = world.person("odoofleet-viewer").await?;
    let pods = measured(&world, &viewer, &["top", RELEASE]).await?;
    let names: Vec<&str> = pods.iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"acme-one-postgresql-0") && names.len() > 1, "{names:?}");
    let whole = measured(&world, &viewer, &["top"]).await?;
    assert_eq!((whole.len(), &whole[0]["name"]), (1, &Value::from(RELEASE)));
    let memory = |row: &Value| row["used"]["memoryBytes"].as_u64().unwrap_or_default();
    let largest = pods.iter().map(memory).max().unwrap_or_default();
    assert!(memory(&whole[0]) > largest, "the environment takes more than its largest pod: {whole:?} {pods:?}");
    let table = viewer.odoo(&["top", "--sort", "cpu"]).await?;
    assert!(table.out.starts_with("NAME ") && table.out.contains("Mi"), "{}", table.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_moves_addons_to_a_tag_and_tells_the_commit() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("cli_moves_addons_to_a_tag_and_tells_the_commit") else { return Ok(()) };
    let (world, acme) = addons::start("cli-addons", odoo, HTTPS).await?;
    let operator = world.person("odoofleet-operator").await?;
    let update = ["update", RELEASE, "--addons", "v1.4.3", "--modules", "acme_base", "--wait"];
    let done = operator.odoo(&update).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains(&format!("{HTTPS} v1.4.3 {}", acme.addons[1])), "{}", done.out);
    assert_eq!(version_of(&world, RELEASE, "acme_base").await?, "1.4.3");
    let refused = operator.odoo(&["update", RELEASE, "--addons", "v9.9.9", "--wait"]).await?;
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.err.contains("AddonRefNotFound"), "{}", refused.err);
    assert_eq!(world.page(RELEASE, "/web/login").await?.status(), 200, "people work on");
    Ok(())
}
