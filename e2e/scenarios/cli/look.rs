use std::io::Read;

use e2e::World;
use serde_json::{Value, json};

use crate::Result;

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_are_not_there_are_a_sentence() -> Result {
    let world = World::start("cli-logs").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let other = world.odoo(&["logs", "acme-prod", "--container", "nginx"]).await?;
    assert_eq!(other.code, 3, "{other:?}");
    assert!(other.err.contains("no pod of environment \"acme-prod\" has a container \"nginx\""), "{}", other.err);
    assert!(other.err.contains("next: there are: "), "{}", other.err);
    let before = world.odoo(&["logs", "acme-prod", "--previous"]).await?;
    assert_eq!(before.code, 3, "{before:?}");
    let viewer = world.person("odoofleet-viewer").await?;
    let refused = viewer.odoo(&["logs", "acme-prod"]).await?;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("you may not get pods/log"), "{}", refused.err);
    assert!(refused.err.contains("odoofleet-operator"), "{}", refused.err);
    let wrong = world.odoo(&["logs", "acme-prod", "--grep", "("]).await?;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_sees_the_installation_and_says_what_a_viewer_may_not_see() -> Result {
    let world = World::start("cli-preflight").await?;
    let outcomes = |text: &str| -> anyhow::Result<Value> {
        let checks: Vec<Value> = serde_json::from_str(text)?;
        let pairs = checks
            .iter()
            .map(|check| (check["check"].as_str().unwrap_or_default().to_owned(), check["outcome"].clone()));
        Ok(Value::Object(pairs.collect()))
    };
    // Other scenarios install and uninstall meanwhile: of the whole cluster nothing is said here.
    let admin = outcomes(&world.odoo(&["preflight", "-o", "json"]).await?.out)?;
    for check in ["kubernetes", "crds", "operator", "rights"] {
        assert_eq!(admin[check], json!("ok"), "{check}: {admin}");
    }
    let viewer = world.person("odoofleet-viewer").await?;
    let answer = viewer.odoo(&["preflight", "-o", "json"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let seen = outcomes(&answer.out)?;
    assert_eq!((&seen["operator"], &seen["rights"]), (&json!("unknown"), &json!("ok")), "{seen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn access_names_the_role_that_somebody_has() -> Result {
    let world = World::start("cli-access").await?;
    for role in ["odoofleet-viewer", "odoofleet-support", "odoofleet-operator", "odoofleet-admin"] {
        let person = world.person(role).await?;
        let answer = person.odoo(&["access", "-o", "json"]).await?;
        assert_eq!(answer.code, 0, "{answer:?}");
        let own: Value = serde_json::from_str(&answer.out)?;
        assert_eq!((&own["roles"], &own["beyond"]), (&json!([role]), &json!([])), "{own}");
        let asked = world.odoo(&["access", &format!("sa:person-{role}"), "-o", "json"]).await?;
        let asked: Value = serde_json::from_str(&asked.out)?;
        assert_eq!(asked["may"], own["may"]);
    }
    let viewer = world.person("odoofleet-viewer").await?;
    let refused = viewer.odoo(&["access", "li.wei"]).await?;
    assert_eq!(refused.code, 4, "{refused:?}");
    let nobody = world.odoo(&["access", "li.wei"]).await?;
    assert!(nobody.out.starts_with("li.wei, in namespace"), "{}", nobody.out);
    assert!(nobody.out.lines().next().is_some_and(|line| line.ends_with("nothing of OdooFleet")), "{}", nobody.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_metrics_server_top_says_so() -> Result {
    let world = World::start("cli-top").await?;
    let answer = world.odoo(&["top"]).await?;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.err.contains("it has no metrics-server"), "{}", answer.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_holds_no_secret_and_says_what_it_lacks() -> Result {
    const CANARY: &str = "Canary4711";
    let world = World::start("cli-report").await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["metadata"]["annotations"] = json!({"note": CANARY});
    environment["spec"]["mail"] = json!({"fromAddress": format!("{CANARY}@example.com")});
    world.apply(&environment).await?;
    world.patch::<odoofleet_api::OdooCustomer>("acme", json!({"spec": {"contact": {"phone": CANARY}}})).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.zip");
    let path = file.to_string_lossy().into_owned();
    let viewer = world.person("odoofleet-viewer").await?;
    let answer = viewer.odoo(&["report", "acme-prod", "--file", &path, "-o", "json"]).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let told: Value = serde_json::from_str(&answer.out)?;
    let not_read = told["notRead"].as_array().expect("is a list");
    assert!(not_read.iter().any(|entry| entry["what"] == "operator"), "{told}");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&file)?)?;
    assert_eq!(archive.len(), told["files"].as_array().expect("is a list").len());
    for index in 0..archive.len() {
        let mut text = String::new();
        archive.by_index(index)?.read_to_string(&mut text)?;
        assert!(!text.contains(CANARY), "{text}");
    }
    assert!(archive.by_name("environments/acme-prod.yaml").is_ok());
    let again = viewer.odoo(&["report", "acme-prod", "--file", &path]).await?;
    assert_eq!(again.code, 8, "{again:?}");
    Ok(())
}
