//! How answers look: on a terminal, on a narrow one, in a pipe, and while somebody watches.

use e2e::World;
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::Result;

const COLOUR: &str = "\u{1b}[";

/// A world with an environment that runs, and one whose message has several lines and a terminal's command in it.
async fn start(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_for_those_who_ask() -> Result {
    let world = start("cli-colour").await?;
    for (variables, flags, on_terminal, in_pipe) in [
        (&[][..], &[][..], true, false),
        (&[("NO_COLOR", "1")], &[], false, false),
        (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], &[], false, false),
        (&[("NO_COLOR", "1")], &["--color", "always"], true, true),
        (&[], &["--color", "never"], false, false),
    ] {
        for subject in [&["status"][..], &["status", "acme-prod"], &["status", "missing"], &["status", "--bogus"]] {
            let arguments = [subject, flags].concat();
            let ended = world.odoo_at_terminal("C", 120, variables, &arguments)?.ends().await?;
            assert_eq!(ended.written.contains(COLOUR), on_terminal, "{variables:?} {arguments:?}: {:?}", ended.written);
            let piped = world.odoo_with(variables, &arguments).await?;
            let said = format!("{}{}", piped.out, piped.err);
            assert_eq!(said.contains(COLOUR), in_pipe, "{variables:?} {arguments:?}: {said:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_has_colours_for_itself() -> Result {
    let world = start("cli-streams").await?;
    let folder = tempfile::tempdir()?;
    for (redirect, is_out) in [("2>", false), (">", true)] {
        let file = folder.path().join("file");
        let script = format!("kubectl-odoo --namespace {} status {redirect}{}", world.namespace, file.display());
        let shell = world.shell_at_terminal(120, &script)?.ends().await?;
        let filed = std::fs::read_to_string(&file)?;
        assert_eq!(filed.contains("acme-prod"), is_out, "{filed}");
        assert!(!filed.contains(COLOUR), "{filed:?}");
        assert!(shell.written.contains(COLOUR), "{:?}", shell.written);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_terminal_loses_nothing_and_a_line_that_changes_stays_one() -> Result {
    let mut world = start("cli-narrow").await?;
    let narrow = world.odoo_at_terminal("C", 30, &[], &["status"])?.ends().await?;
    let wide = world.odoo_at_terminal("C", 200, &[], &["status"])?.ends().await?;
    // Rows wrap, as kubectl's do.
    assert_eq!(words(&narrow.screen), words(&wide.screen));
    let waited = world.odoo_at_terminal("C", 40, &[], &["restart", "acme-prod", "--wait"])?.ends().await?;
    assert_eq!(waited.code, 0, "{}", waited.screen);
    let lines: Vec<&str> = waited.screen.lines().collect();
    assert!(lines.len() == 2 && lines[1].ends_with("was restarted"), "the line is gone: {}", waited.screen);
    world.stop_operator().await?;
    // Nobody is there who would stop it.
    let arguments = ["stop", "acme-prod", "--wait", "--timeout", "1h"];
    let mut waiting = world.odoo_at_terminal("C", 40, &[], &arguments)?;
    waiting.shows("acme-prod").await?;
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    let generation = object.metadata.generation;
    let message = json!({ "status": { "observedGeneration": generation, "message": format!("a\n b \u{1b}[2J{}", "long ".repeat(40)) } });
    world.patch_status("acme-prod", &message).await?;
    waiting.shows(": a b").await?;
    waiting.types("\u{3}").await?;
    let ended = waiting.ends().await?;
    assert_eq!(ended.code, 130, "{}", ended.screen);
    assert!(ended.screen.contains("no longer waiting"), "{}", ended.screen);
    assert!(!ended.written.contains("\u{1b}[2J"), "{:?}", ended.written);
    Ok(())
}

fn words(screen: &str) -> Vec<&str> {
    let is_age = |word: &&str| word.ends_with('s') && word.starts_with(|first: char| first.is_ascii_digit());
    screen.split_whitespace().filter(|word| !is_age(word)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_moves_no_terminal_and_breaks_no_table() -> Result {
    let mut world = start("cli-escape").await?;
    world.stop_operator().await?;
    let message = json!({ "status": { "message": "one\ntwo \u{1b}[2J\u{1b}]0;title\u{7}" } });
    world.patch_status("acme-prod", &message).await?;
    let reason = json!({ "metadata": { "annotations": { "odoofleet.dev/change-reason": "\u{1b}[2Jgone" } } });
    world.patch::<OdooEnvironment>("acme-prod", reason).await?;
    let table = world.odoo(&["status", "-o", "wide"]).await?;
    assert_eq!(table.out.lines().count(), 2, "{}", table.out);
    assert!(table.out.contains("one two ␛[2J␛]0;title␇"), "{}", table.out);
    let one = world.odoo(&["status", "acme-prod"]).await?;
    assert!(one.out.contains("␛[2Jgone") && !one.out.contains('\u{1b}'), "{:?}", one.out);
    let data = world.odoo(&["status", "acme-prod", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&data.out)?;
    assert_eq!(report["changeReason"], "\u{1b}[2Jgone", "programs get it as it is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_goes_on_below_the_same_columns_and_tells_what_is_wrong() -> Result {
    let mut world = start("cli-watching").await?;
    let mut watching = world.odoo_at_terminal("C", 120, &[], &["status", "--watch"])?;
    watching.shows("1 environments: 1 Running").await?;
    world.stop_operator().await?;
    let lost = json!({ "status": { "phase": "Error", "reason": "OutOfMemory", "message": "it had too little" } });
    world.patch_status("acme-prod", &lost).await?;
    watching.shows("OutOfMemory: it had too little").await?;
    watching.shows("next: ").await?;
    world.apply(&e2e::environment("acme", "new")).await?;
    watching.shows("acme-new").await?;
    world.kubectl(&["delete", "oenv", "acme-new", "--namespace", &world.namespace, "--wait=false"]).await?;
    watching.shows("acme-new was deleted").await?;
    watching.types("\u{3}").await?;
    let ended = watching.ends().await?;
    assert_eq!(ended.code, 130, "{}", ended.screen);
    let rows: Vec<&str> =
        ended.screen.lines().filter(|line| line.starts_with("acme-") && line.contains("acme ")).collect();
    let column = ended.screen.lines().next().and_then(|headings| headings.find("STATUS")).unwrap_or_default();
    assert!(rows.len() >= 3, "{}", ended.screen);
    for row in &rows {
        let customer = row.find("   acme").map(|at| at + 3);
        assert_eq!(customer, Some("NAME        ".len()), "{}", ended.screen);
    }
    assert!(rows[1][column..].starts_with("Error"), "{}", ended.screen);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_watches_gets_documents_and_nothing_else() -> Result {
    let mut world = start("cli-watch-data").await?;
    world.stop_operator().await?;
    let viewer = world.person("odoofleet-viewer").await?;
    let mut watching = viewer.begin(&["status", "--watch", "-o", "yaml"])?;
    let mut out = BufReader::new(watching.stdout.take().expect("is piped")).lines();
    let mut said = String::new();
    let patience = world.patience;
    let read = async |said: &mut String, until: &str| -> Result {
        while !said.contains(until) {
            let line = tokio::time::timeout(patience, out.next_line()).await??;
            said.push_str(&line.expect("goes on"));
            said.push('\n');
        }
        Ok(())
    };
    let mut read = read;
    read(&mut said, "name: acme-prod").await?;
    let changed = json!({ "status": { "phase": "Error", "message": "canary-4711" } });
    world.patch_status("acme-prod", &changed).await?;
    read(&mut said, "canary-4711").await?;
    watching.kill().await?;
    assert!(said.contains("\n---\n"), "{said}");
    Ok(())
}
