//! What an author may not take that will be somebody else's: names, hosts, credentials; and what Production is made of.

use e2e::{Chart, Environment, Told, World};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use odoofleet_api::OdooCustomer;
use serde_json::{Value, json};

use crate::{Result, revisions};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_name_of_another_customer_is_for_a_release_that_is_there_alone() -> Result {
    let world = World::start("squatter").await?;
    let mut squatter = e2e::environment("acme", "x");
    squatter["spec"]["releaseName"] = json!("globex-prod");
    world.apply(&squatter).await?;
    let told = world.until_refused("acme-x", "InvalidSpec").await?;
    assert!(told.message().contains("\"acme-\""), "{}", told.message());
    assert!(revisions(&world, "globex-prod").await?.is_empty());
    // Whose it will be gets it.
    world.apply(&e2e::customer("globex")).await?;
    world.apply(&e2e::environment("globex", "prod")).await?;
    world.wait_phase("globex-prod", "Running").await?;
    world.until_refused("acme-x", "ReleaseNameTaken").await?;
    // One that somebody installed by hand may have any name.
    let chart = world.setup.repo.join("e2e/charts/odooapp");
    let chart = chart.to_string_lossy();
    world.helm(&["install", "old-erp", &chart, "--namespace", &world.namespace]).await?;
    let mut found = e2e::environment("acme", "old");
    found["spec"]["releaseName"] = json!("old-erp");
    world.apply(&found).await?;
    world.until_refused("acme-old", "AdoptionPending").await?;
    assert_eq!(revisions(&world, "old-erp").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_belongs_to_one_environment_of_the_cluster() -> Result {
    let (first, second) = (World::start("hosts-a").await?, World::start("hosts-b").await?);
    let host = first.host("erp");
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["ingress"] = json!({ "host": host });
    first.apply(&environment).await?;
    first.wait_phase("acme-prod", "Running").await?;
    let mut rival = e2e::environment("acme", "prod");
    rival["spec"]["ingress"] = json!({ "host": second.host("own"), "aliases": [host] });
    second.apply(&rival).await?;
    let told = second.until_refused("acme-prod", "HostTaken").await?;
    assert!(told.message().contains(&first.namespace), "{}", told.message());
    assert!(revisions(&second, "acme-prod").await?.is_empty());
    // The first is not disturbed, and the host goes to the next when it is free.
    first.wait_phase("acme-prod", "Running").await?;
    assert_eq!(revisions(&first, "acme-prod").await?, [1]);
    first.patch::<Environment>("acme-prod", json!({ "spec": { "ingress": { "host": first.host("new") } } })).await?;
    second.wait_phase("acme-prod", "Running").await?;
    // What nobody was given is nobody's: a wish in a namespace without an operator keeps no host from anybody.
    let idle = World::bare("hosts-c", &[]).await?;
    let mut wish = e2e::environment("acme", "prod");
    wish["spec"]["ingress"] = json!({ "host": first.host("wished") });
    idle.apply(&wish).await?;
    first.patch::<Environment>("acme-prod", json!({ "spec": { "ingress": { "host": first.host("wished") } } })).await?;
    first.until_says("acme-prod", "Running", "Running").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_lie_in_the_domains_that_the_customer_may_use() -> Result {
    let world = World::start_with("domains", &["--allowed-domains", "apps.example"]).await?;
    let with = |host: &str| json!({ "spec": { "ingress": { "host": host } } });
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["ingress"] = with(&world.host("erp"))["spec"]["ingress"].clone();
    world.apply(&environment).await?;
    let told = world.until_refused("acme-prod", "HostNotAllowed").await?;
    assert!(told.message().contains("apps.example"), "{}", told.message());
    assert!(revisions(&world, "acme-prod").await?.is_empty());
    world.patch::<Environment>("acme-prod", with(&format!("{}.apps.example", world.namespace))).await?;
    world.until_says("acme-prod", "Running", "Running").await?;
    // The customer's own list counts instead, and at once; what runs goes on.
    world.patch::<OdooCustomer>("acme", json!({ "spec": { "domains": [world.domain()] } })).await?;
    world.until_refused("acme-prod", "HostNotAllowed").await?;
    assert_eq!(revisions(&world, "acme-prod").await?.len(), 1);
    world.patch::<Environment>("acme-prod", with(&world.host("erp"))).await?;
    world.until_says("acme-prod", "Running", "Running").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_production_names_says_so_and_is_still_a_tests_as_well() -> Result {
    const LABEL: &str = "odoofleet.dev/named-by-production";
    let world = World::start("reserve").await?;
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": { "text": "t" },
            "metadata": { "name": name, "labels": { "odoofleet.dev/customer": "acme" } },
        })
    };
    let feeding = |service: &str, stage: &str, secret: &str| {
        let mut environment = e2e::environment("acme", service);
        environment["spec"]["stage"] = json!(stage);
        environment["spec"]["valuesFrom"] =
            json!([{ "secretKeyRef": { "name": secret, "key": "text" }, "targetPath": "password" }]);
        environment
    };
    world.apply(&secret("both")).await?;
    world.apply(&secret("tests")).await?;
    for (service, stage, secret) in [("prod", "Production", "both"), ("a", "Test", "both"), ("b", "Test", "tests")] {
        world.apply(&feeding(service, stage, secret)).await?;
        world.wait_phase(&format!("acme-{service}"), "Running").await?;
    }
    let labels = async |name: &str| anyhow::Ok(world.api::<Secret>().get(name).await?.labels().clone());
    assert_eq!(labels("both").await?.get(LABEL).map(String::as_str), Some("true"));
    assert!(!labels("tests").await?.contains_key(LABEL));
    assert_eq!(revisions(&world, "acme-prod").await?, [1], "a label brings no revision");
    // Who may take it off sees it come back while Production names the Secret.
    world.patch::<Secret>("both", json!({ "metadata": { "labels": { LABEL: null } } })).await?;
    world.wait::<Secret>("both", "labelled again", |secret| secret.labels().contains_key(LABEL)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_git_that_do_not_say_what_they_are_for_are_not_used() -> Result {
    let world = World::start("git-url").await?;
    world.apply(&e2e::odoo_template()).await?;
    let secret = |data: Value| {
        let labels = json!({ "odoofleet.dev/customer": "acme" });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "git", "labels": labels }, "stringData": data })
    };
    world.apply(&secret(json!({ "username": "u", "password": "p" }))).await?;
    let mut environment = e2e::odoo_environment("acme", "prod");
    environment["spec"]["git"] = json!({ "customerAddons": [
        { "url": "https://git.acme.example/a.git", "ref": "main", "credentialsSecretRef": { "name": "git" } },
    ] });
    world.apply(&environment).await?;
    let told = world.until_refused("acme-prod", "ReferenceNotAllowed").await?;
    assert!(told.message().contains("\"url\""), "{}", told.message());
    world.apply(&secret(json!({ "url": "https://git.acme.example", "username": "u", "password": "p" }))).await?;
    world.wait_phase("acme-prod", "Running").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_takes_all_memory_ends_its_worker_alone() -> Result {
    let world = World::start_with("memory", &["--worker-memory", "256"]).await?;
    let bomb = "{{ if eq .Values.note \"boom\" }}{{ $all := list }}{{ range until 64 }}{{ $all = append $all (repeat 16777216 \"x\") }}{{ end }}{{ len $all }}{{ end }}";
    world.put_chart(&Chart::small("2.0.0").with("templates/bomb.yaml", bomb)).await?;
    world.apply(&e2e::template("small", "bomb")).await?;
    world.apply(&e2e::environment("acme", "calm")).await?;
    world.wait_phase("acme-calm", "Running").await?;
    let mut boom = e2e::environment("acme", "boom");
    boom["spec"]["values"] = json!({ "note": "boom" });
    world.apply(&boom).await?;
    let failed = |told: &Told| told.field("/failures/count").as_i64().is_some_and(|count| count >= 2);
    let told = world.until("acme-boom", "counted twice", failed).await?;
    assert!(told.field("/failures/message").to_string().contains("workerMemory"), "{}", told.message());
    // The operator is the same process, and works for everybody else.
    world.patch::<Environment>("acme-calm", json!({ "spec": { "values": { "note": "b" } } })).await?;
    world.until_says("acme-calm", "Running", "Running").await?;
    assert_eq!(revisions(&world, "acme-calm").await?, [1, 2]);
    world.get("/ready").await.map(drop)
}
