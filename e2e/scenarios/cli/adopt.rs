//! Releases that somebody else installed, brought in by `kubectl odoo adopt`.

use std::collections::BTreeMap;
use std::path::Path;

use e2e::{Chart, World};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

use crate::adoption::{EQUAL, by_hand, pods, until_pods_are_ready};
use crate::{Result, quiet, release_labels, revisions};

const ADOPT: [&str; 6] = ["adopt", "old-erp", "--customer", "acme", "--template", "small"];

/// What the release was given: a password among it, and something for a field of the spec.
const GIVEN: [&str; 8] =
    ["--set", "customer.id=acme", "--set", "note=their note", "--set", "password=hunter2", "--set", "image.tag=b"];

/// A world whose template has its version.
async fn world(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    world
        .wait::<OdooTemplate>("small", "frozen", |template| {
            template.status.as_ref().is_some_and(|status| !status.versions.is_empty())
        })
        .await?;
    Ok(world)
}

async fn secrets(world: &World) -> anyhow::Result<Vec<String>> {
    let all = world.api::<Secret>().list_metadata(&kube::api::ListParams::default()).await?;
    let names = all.items.iter().map(ResourceExt::name_any);
    Ok(names.filter(|name| !name.starts_with("sh.helm") && !name.ends_with("-own")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_the_template_is_written_and_the_release_is_taken_over_untouched() -> Result {
    let world = world("cli-adopt").await?;
    // A host is one environment's in the whole cluster, which the scenarios share.
    let given = [&GIVEN[..], &["--set", "host=erp.adopted.example"]].concat();
    by_hand(&world, "old-erp", &Chart::small("1.0.0"), &given).await?;
    for workload in ["deployment/old-erp-web", "statefulset/old-erp-db"] {
        world.kubectl(&["rollout", "status", workload, "--namespace", &world.namespace, "--timeout=60s"]).await?;
    }
    quiet::settle(&world).await?;
    let before = (pods(&world).await?, secrets(&world).await?);
    let more = ["--service", "erp", "--stage", "Test"];
    let tried = world.odoo(&[&ADOPT[..], &more, &["--dry-run"]].concat()).await?;
    assert_eq!(tried.code, 0, "{tried:?}");
    assert!(!format!("{tried:?}").contains("hunter2"), "{tried:?}");
    assert!(tried.out.contains("<redacted>") && tried.out.contains("targetPath: password"), "{tried:?}");
    assert!(world.api::<OdooEnvironment>().get_opt("acme-erp").await?.is_none(), "a dry run writes nothing");
    assert_eq!(secrets(&world).await?, before.1, "a dry run writes nothing");
    let done = world.odoo(&[&ADOPT[..], &more, &["--wait"]].concat()).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("taken over"), "{done:?}");
    let object: OdooEnvironment = world.api().get("acme-erp").await?;
    let spec = json!({
        "customerRef": {"name": "acme"}, "serviceName": "erp", "releaseName": "old-erp", "templateRef": {"name": "small"},
        "stage": "Test", "replicas": 1, "image": {"tag": "b"}, "ingress": {"host": "erp.adopted.example"},
        "values": {"note": "their note"}, "adoption": "Observe",
        "valuesFrom": [{"secretKeyRef": {"name": "acme-erp-values", "key": "password"}, "targetPath": "password"}],
    });
    assert_eq!(serde_json::to_value(&object.spec)?, spec);
    let secret: Secret = world.api().get("acme-erp-values").await?;
    let labels: BTreeMap<String, String> = secret.labels().clone();
    assert_eq!(labels.get("odoofleet.dev/customer").map(String::as_str), Some("acme"));
    assert_eq!(revisions(&world, "old-erp").await?, [1]);
    assert_eq!(pods(&world).await?, before.0, "a pod was touched");
    let proposed = world.odoo(&["template", "from-release", "old-erp", "--odoo", "18.0"]).await?;
    assert!(proposed.code == 0 && !format!("{proposed:?}").contains("hunter2"), "{proposed:?}");
    let template: OdooTemplate = serde_saphyr::from_str(&proposed.out)?;
    assert_eq!(template.spec.secret_paths, ["password"]);
    let again = world.odoo(&ADOPT).await?;
    assert_eq!((again.code, again.err.contains("\"acme-erp\" already")), (8, true), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_is_shown_as_a_table_of_what_differs() -> Result {
    const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}-config\"}\ndata: {other: \"secret-value\"}\n";
    let world = world("cli-differs").await?;
    by_hand(&world, "old-erp", &Chart::small("1.0.0").with("templates/config.yaml", OTHER), &EQUAL).await?;
    let done = world.odoo(&[&ADOPT[..], &["--service", "erp", "--stage", "Test", "--wait"]].concat()).await?;
    assert_eq!(done.code, 9, "{done:?}");
    assert!(done.out.contains("ConfigMap/old-erp-config") && done.err.contains("not taken over"), "{done:?}");
    assert!(!format!("{done:?}").contains("secret-value"), "{done:?}");
    assert_eq!(revisions(&world, "old-erp").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_at_zero_is_taken_over_and_stays_there() -> Result {
    let world = world("cli-zero").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    until_pods_are_ready(&world).await?;
    for workload in ["deployment/acme-prod-web", "statefulset/acme-prod-db"] {
        world.kubectl(&["scale", workload, "--replicas=0", "--namespace", &world.namespace]).await?;
    }
    let done = world
        .odoo(&["adopt", "acme-prod", "--customer", "acme", "--template", "small", "--wait", "-o", "json"])
        .await?;
    assert_eq!(done.code, 0, "{done:?}");
    let answer: Value = serde_json::from_str(&done.out)?;
    assert_eq!(answer["environment"]["spec"]["stage"], "Production");
    assert!(answer["notes"].to_string().contains("Asleep"), "{answer}");
    world.until_says("acme-prod", "Stopped", "ScaledByHand").await?;
    assert!(pods(&world).await?.is_empty(), "something was started");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_and_nothing_is_written() -> Result {
    let world = world("cli-adopt-bad").await?;
    by_hand(&world, "old-erp", &Chart::small("1.0.0"), &["--set", "customer.id=globex"]).await?;
    let other = Chart::small("1.0.0").with("Chart.yaml", "apiVersion: v2\nname: another\nversion: 1.0.0\n");
    by_hand(&world, "another", &other, &EQUAL).await?;
    by_hand(&world, "broken", &Chart::small("1.0.0"), &EQUAL).await?;
    let patch = r#"{"data":{"release":"JSUl"}}"#;
    let record = "secret/sh.helm.release.v1.broken.v1";
    world.kubectl(&["patch", record, "--type=merge", "--patch", patch, "--namespace", &world.namespace]).await?;
    let before = secrets(&world).await?;
    let adopt = |release: &'static str, customer: &'static str, template: &'static str| {
        ["adopt", release, "--customer", customer, "--template", template]
    };
    for (arguments, code, said) in [
        (adopt("old-epr", "acme", "small"), 3, "did you mean \"old-erp\"?"),
        (adopt("old-erp", "acme", "smal"), 3, "did you mean \"small\"?"),
        (adopt("old-erp", "acne", "small"), 3, "did you mean \"acme\"?"),
        (adopt("old-erp", "acme", "small"), 8, "customer.id"),
        (adopt("another", "acme", "small"), 8, "chart \"another\""),
        (adopt("broken", "acme", "small"), 1, "base64"),
    ] {
        let answer = world.odoo(&arguments).await?;
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.err.contains(said), "{said}: {}", answer.err);
        assert!(answer.out.is_empty() && !answer.err.contains("globex"), "{answer:?}");
    }
    for arguments in
        [&["adopt"][..], &["adopt", "old-erp", "--template", "small"], &["adopt", "--all", "--template", "small"]]
    {
        assert_eq!(world.odoo(arguments).await?.code, 2, "{arguments:?}");
    }
    let viewer = world.person("odoofleet-viewer").await?.odoo(&ADOPT).await?;
    assert_eq!((viewer.code, viewer.err.contains("odoofleet-admin")), (4, true), "{viewer:?}");
    let chinese = world.person("odoofleet-admin").await?.chinese().odoo(&adopt("old-epr", "acme", "small")).await?;
    assert!(chinese.err.contains("没有 Helm Release"), "{chinese:?}");
    assert_eq!(secrets(&world).await?, before);
    assert!(world.api::<OdooEnvironment>().list(&kube::api::ListParams::default()).await?.items.is_empty());
    Ok(())
}

/// Names of files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                all.push(entry.path().display().to_string());
            }
        }
    }
    all.sort();
    all.iter().map(|file| file.trim_start_matches(&folder.display().to_string()).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_becomes_files_for_git_that_are_taken_over_when_they_are_applied() -> Result {
    let world = world("cli-fleet").await?;
    world.apply(&e2e::customer("globex")).await?;
    by_hand(&world, "old-erp", &Chart::small("1.0.0"), &GIVEN).await?;
    by_hand(&world, "globex-trial", &Chart::small("1.0.0"), &["--set", "customer.id=globex"]).await?;
    by_hand(&world, "forgotten", &Chart::small("1.0.0"), &EQUAL).await?;
    world
        .wait::<OdooTemplate>("small", "told of them", |template| {
            let all = template.status.as_ref().and_then(|status| status.unmanaged_releases.as_ref());
            all.is_some_and(|all| all.total == 3)
        })
        .await?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let csv = "\u{feff}Release,Customer,Service,Stage\r\n\"old-erp\",acme,erp,Test\r\nglobex-trial,globex,,Test\r\nnobody,acme,,\r\nold-erp,acme,,\r\nforgotten,globex,,\r\n";
    std::fs::write(path("fleet.csv"), csv)?;
    let (file, out, apart) = (path("fleet.csv"), path("out"), path("secrets"));
    let all = ["adopt", "--all", "--template", "small", "--customers", &file, "--out", &out];
    let first = world.odoo(&all).await?;
    assert_eq!(first.code, 1, "three rows are wrong: {first:?}");
    for said in [
        "line 4: there is no Helm release \"nobody\"",
        "line 5: release \"old-erp\"",
        "line 6: ",
        "\"acme-erp-values\" was not written",
    ] {
        assert!(first.err.contains(said), "{said}: {}", first.err);
    }
    assert_eq!(files(Path::new(&out)), ["/acme/environment-acme-erp.yaml", "/globex/environment-globex-trial.yaml"]);
    std::fs::write(&file, csv.lines().take(3).collect::<Vec<_>>().join("\n"))?;
    let second = world.odoo(&[&all[..], &["--secrets-out", &apart, "-o", "json"]].concat()).await?;
    assert_eq!(second.code, 0, "files that are as they should be stay: {second:?}");
    let answer: Value = serde_json::from_str(&second.out)?;
    assert_eq!((answer["written"].as_array().map(Vec::len), &answer["unnamed"]), (Some(2), &json!(["forgotten"])));
    assert!(!second.out.contains("hunter2"));
    assert_eq!(files(Path::new(&apart)), ["/acme/secret-acme-erp-values.yaml"]);
    for file in files(Path::new(&out)) {
        assert!(!std::fs::read_to_string(format!("{out}{file}"))?.contains("hunter2"), "{file}");
    }
    for folder in [&apart, &out] {
        world.kubectl(&["apply", "--server-side", "--recursive", "-f", folder]).await?;
    }
    for (environment, release) in [("acme-erp", "old-erp"), ("globex-trial", "globex-trial")] {
        world.until(environment, "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
        assert_eq!(revisions(&world, release).await?, [1]);
        let labels = release_labels(&world, release).await?;
        assert_eq!(labels.get("odoofleet.dev/environment").map(String::as_str), Some(environment));
    }
    Ok(())
}
