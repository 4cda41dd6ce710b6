use e2e::World;
use serde_json::{Value, json};

use crate::Result;

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_kubectls_columns_and_says_what_is_wrong_and_what_to_do() -> Result {
    let world = World::start("cli-table").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let mut lost = e2e::environment("acme", "lost");
    lost["spec"]["customerRef"]["name"] = json!("nobody");
    world.apply(&lost).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.wait_reason("acme-lost", "Error", "CustomerNotFound").await?;
    let answer = world.odoo(&["status"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let kubectl = world.kubectl(&["get", "oenv", "--namespace", &world.namespace]).await?;
    let words = |line: Option<&str>| -> Vec<String> {
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words(answer.out.lines().next()), words(kubectl.lines().next()), "{}", answer.out);
    assert!(answer.out.contains("acme-prod") && answer.out.contains("Running"), "{}", answer.out);
    assert!(answer.err.contains("2 environments: 1 Running, 1 Error"), "{}", answer.err);
    assert!(answer.err.contains("CustomerNotFound") && answer.err.contains("next: "), "{}", answer.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_environment_is_shown_with_all_that_belongs_to_it() -> Result {
    let world = World::start("cli-one").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let answer = world.odoo(&["status", "acme-prod"]).await?;
    for part in [
        "customer",
        "acme, Active",
        "small 1",
        "acme-prod, revision 1 deployed",
        "Deployment acme-prod-web 1/1",
        "pods",
    ] {
        assert!(answer.out.contains(part), "{part}: {}", answer.out);
    }
    assert!(!answer.out.contains("next:"), "{}", answer.out);
    let answer = world.odoo(&["status", "acme-prod", "-o", "json"]).await?;
    let report: Value = serde_json::from_str(&answer.out)?;
    assert_eq!(report["phase"], "Running");
    assert_eq!(report["customer"]["found"]["name"], "acme");
    assert!(report["pods"]["found"][0]["ready"].as_bool().unwrap_or_default(), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_all_of_it_and_reads_it_in_chinese() -> Result {
    let world = World::start("cli-viewer").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let viewer = world.person("odoofleet-viewer").await?.chinese();
    let answer = viewer.odoo(&["status", "acme-prod"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.out.contains("客户") && answer.out.contains("工作负载"), "{}", answer.out);
    assert!(!answer.out.contains("权限"), "{}", answer.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_each_change_and_ends_when_the_environment_is_gone() -> Result {
    let world = World::start("cli-watch").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let viewer = world.person("odoofleet-viewer").await?;
    let watching = viewer.begin(&["status", "acme-prod", "--watch", "-o", "wide"])?;
    world.odoo(&["stop", "acme-prod", "--wait"]).await?;
    world.kubectl(&["delete", "oenv", "acme-prod", "--namespace", &world.namespace]).await?;
    let output = tokio::time::timeout(world.patience, watching.wait_with_output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Stopped") && said.ends_with("acme-prod was deleted\n"), "{said}");
    Ok(())
}
