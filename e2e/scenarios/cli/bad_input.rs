use std::process::Stdio;

use e2e::World;
use odoofleet_api::OdooEnvironment;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::Result;

/// A failure is a sentence and what to do: never a stack trace, never the names of Rust's types.
fn is_a_sentence(err: &str) -> bool {
    err.starts_with("error: ") && !err.contains("panicked") && !err.contains("Error(") && err.lines().count() <= 2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_is_answered_with_the_one_that_was_meant() -> Result {
    let world = World::start("cli-name").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    for arguments in [["status", "acme-prd"], ["stop", "acme-prd"], ["open", "acme-prd"], ["shell", "acme-prd"]] {
        let answer = world.odoo(&arguments).await?;
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(is_a_sentence(&answer.err) && answer.err.contains("did you mean \"acme-prod\"?"), "{}", answer.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_kubeconfigs_and_silent_servers_are_a_sentence_and_an_exit_code() -> Result {
    let world = World::bare("cli-config", &[]).await?;
    let folder = tempfile::tempdir()?;
    let nobody = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": { "token": "t" } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    for (name, content) in [
        ("empty", String::new()),
        ("no-yaml", "users: [{user: {token: canary, x: [}}]".to_owned()),
        ("no-mapping", "users:\n- name: u\n  user: canary\n".to_owned()),
        ("no-context", r#"{"apiVersion": "v1", "kind": "Config"}"#.to_owned()),
        ("nobody", nobody.to_string()),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, content)?;
        let answer = world.odoo(&["--kubeconfig", &file.to_string_lossy(), "status"]).await?;
        assert_eq!(answer.code, 5, "{name}: {answer:?}");
        assert!(is_a_sentence(&answer.err), "{name}: {}", answer.err);
        assert!(!answer.err.contains("canary"), "{name}: {}", answer.err);
    }
    let answer = world.odoo(&["--context", "elsewhere", "status"]).await?;
    assert_eq!(answer.code, 5, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_accepted_are_told_from_missing_permissions() -> Result {
    let world = World::bare("cli-token", &[]).await?;
    let admin = kube::config::Kubeconfig::read_from(&world.setup.kubeconfig)?;
    let cluster = serde_json::to_value(&admin.clusters[0].cluster)?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": { "token": "expired" } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), config.to_string())?;
    let answer = world.odoo(&["--kubeconfig", &file.path().to_string_lossy(), "status"]).await?;
    assert_eq!(answer.code, 4, "{answer:?}");
    assert!(answer.err.contains("does not accept the kubeconfig's credentials"), "{}", answer.err);
    assert!(!answer.err.contains("expired"), "{}", answer.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_closes_ends_it_without_a_word() -> Result {
    let world = World::start("cli-pipe").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let script = format!("kubectl-odoo --namespace {} status -o yaml | true; exit ${{PIPESTATUS[0]}}", world.namespace);
    let path = format!("{}:{}", world.setup.bin.display(), std::env::var("PATH")?);
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", &script]).env("PATH", path).env("KUBECONFIG", &world.setup.kubeconfig);
    let output = command.stdin(Stdio::null()).output().await?;
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_waiting_and_nothing_else() -> Result {
    let mut world = World::start("cli-interrupt").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["replicas"] = json!(0);
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Stopped").await?;
    // Nobody is there who would start it: it waits for ever.
    world.stop_operator().await?;
    let operator = world.person("odoofleet-operator").await?;
    let mut waiting = operator.begin(&["start", "acme-prod", "--wait", "--timeout", "1h"])?;
    let mut told = BufReader::new(waiting.stderr.take().expect("is piped")).lines();
    // It waits when it has told the first thing that the operator says.
    tokio::time::timeout(world.patience, told.next_line()).await??;
    let pid = waiting.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("runs");
    kill_process(pid, Signal::INT)?;
    let status = tokio::time::timeout(world.patience, waiting.wait()).await??;
    assert_eq!(status.code(), Some(130));
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    assert_eq!(object.spec.replicas, 1, "what was asked for stands");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_says_what_the_operator_said_last() -> Result {
    let world = World::bare("cli-timeout", &[]).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    // No operator runs here: nothing will come.
    let answer = world.odoo(&["restart", "acme-prod", "--wait", "--timeout", "1s"]).await?;
    assert_eq!(answer.code, 6, "{answer:?}");
    assert!(answer.err.contains("kubectl odoo status acme-prod --watch"), "{}", answer.err);
    Ok(())
}
