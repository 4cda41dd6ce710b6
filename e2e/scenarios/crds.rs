//! What the API server itself refuses: each rule of the CRDs once.

use e2e::World;
use serde_json::{Value, json};

use crate::Result;

/// The object with a value at a path such as `spec.ingress.host`.
fn with(mut object: Value, path: &str, value: Value) -> Value {
    let mut place = &mut object;
    for key in path.split('.') {
        place = &mut place[key];
    }
    *place = value;
    object
}

async fn refused(world: &World, object: &Value, told: &str) {
    let error = world
        .apply(object)
        .await
        .expect_err(&format!("taken, though it should be refused with {told:?}: {object}"))
        .to_string();
    assert!(error.contains(told), "{told:?} is not in {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_what_cannot_be_right() -> Result {
    let world = World::bare("crds", &[]).await?;
    let environment = || e2e::environment("acme", "prod");
    for name in ["--post-renderer=x", "-x", "Prod", "a_b", "a.b", "1a", "prod-", ""] {
        refused(&world, &with(environment(), "spec.serviceName", json!(name)), "spec.serviceName").await;
    }
    refused(&world, &with(environment(), "spec.releaseName", json!("--kubeconfig=x")), "spec.releaseName").await;
    refused(&world, &with(environment(), "spec.serviceName", json!("s".repeat(36))), "39 characters together").await;
    refused(&world, &with(environment(), "spec.replicas", json!(-1)), "spec.replicas").await;
    refused(&world, &with(environment(), "spec.stage", json!("Live")), "Live").await;
    refused(&world, &with(environment(), "spec.ingress", json!({ "host": "*.acme.example" })), "spec.ingress.host")
        .await;
    refused(
        &world,
        &with(environment(), "spec.ingress", json!({ "host": "a.example", "aliases": ["a.example"] })),
        "repeated in aliases",
    )
    .await;
    refused(&world, &with(environment(), "spec.ingress", json!({ "expose": "Ingress" })), "need a host").await;
    refused(
        &world,
        &with(environment(), "spec.ingress", json!({ "host": "a.example", "tls": {} })),
        "exactly one of issuerRef and secretName",
    )
    .await;
    for url in ["http://github.com/x", "file:///etc/passwd", "ext::sh -c x", "--upload-pack=x"] {
        let git = json!({ "customerAddons": [{ "url": url, "ref": "main" }] });
        refused(&world, &with(environment(), "spec.git", git), "must start with https:// or ssh://").await;
    }
    let git = json!({ "customerAddons": [{ "url": "https://github.com/x", "ref": "--upload-pack=x" }] });
    refused(&world, &with(environment(), "spec.git", git), "ref").await;
    let both = json!([{ "secretKeyRef": { "name": "a", "key": "b" }, "configMapKeyRef": { "name": "a", "key": "b" }, "targetPath": "x" }]);
    refused(&world, &with(environment(), "spec.valuesFrom", both), "exactly one of secretKeyRef and configMapKeyRef")
        .await;

    let wide =
        with(with(environment(), "spec.replicas", json!(2)), "spec.storage", json!({ "accessMode": "ReadWriteOnce" }));
    refused(&world, &wide, "storage.accessMode must be ReadWriteMany").await;
    refused(&world, &with(environment(), "spec.modules", json!({ "install": ["sale; drop"] })), "spec.modules.install")
        .await;
    for bootstrap in [
        json!({ "languages": ["Chinese"] }),
        json!({ "country": "China" }),
        json!({ "databaseUuid": "1" }),
        json!({ "timeZone": "../etc" }),
    ] {
        refused(&world, &with(environment(), "spec.bootstrap", bootstrap), "spec.bootstrap").await;
    }

    let customer = |name: &str| e2e::customer(name);
    refused(&world, &customer("1acme"), "must start with a lowercase letter").await;
    refused(&world, &customer("acme.cn"), "must start with a lowercase letter").await;
    refused(&world, &with(customer("acme"), "spec.lifecycle", json!("Sleeping")), "Sleeping").await;
    refused(
        &world,
        &with(customer("acme"), "spec.contract", json!({ "startsOn": "2027-01-02", "expiresOn": "2027-01-01" })),
        "expiresOn must not lie before startsOn",
    )
    .await;
    refused(&world, &with(customer("acme"), "spec.contract", json!({ "expiresOn": "31.12.2027" })), "expiresOn").await;
    let window = json!({ "stopWindow": { "days": ["Monday"], "from": "16:00", "to": "10:00" } });
    refused(&world, &with(customer("acme"), "spec.onExpiry", window), "must end after it begins").await;

    let template = || e2e::template("small", "1");
    refused(&world, &with(template(), "spec.chart", json!({})), "exactly one of oci, configMapRef and path").await;
    refused(
        &world,
        &with(template(), "spec.chart", json!({ "path": "odoo", "oci": "r.example/c", "version": "1" })),
        "exactly one of oci",
    )
    .await;
    refused(&world, &with(template(), "spec.chart", json!({ "oci": "r.example/c" })), "needs a version or a digest")
        .await;
    refused(
        &world,
        &with(template(), "spec.chart", json!({ "path": "odoo", "caRef": { "name": "x" } })),
        "go with oci",
    )
    .await;
    refused(&world, &with(template(), "spec.chart", json!({ "path": "../etc" })), "spec.chart.path").await;
    refused(&world, &with(template(), "spec.version", json!("Über")), "spec.version").await;
    refused(&world, &with(template(), "spec.bindings", json!([{ "to": "a" }])), "exactly one of from and value").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_is_immutable_as_one_group() -> Result {
    let world = World::bare("identity", &[]).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let mut named = e2e::environment("acme", "named");
    named["spec"]["releaseName"] = json!("old-name");
    world.apply(&named).await?;
    let told = "customerRef, serviceName and releaseName are immutable";
    refused(&world, &with(e2e::environment("acme", "prod"), "spec.customerRef.name", json!("globex")), told).await;
    refused(&world, &with(e2e::environment("acme", "prod"), "spec.serviceName", json!("other")), told).await;
    refused(&world, &with(e2e::environment("acme", "prod"), "spec.releaseName", json!("late")), told).await;
    refused(&world, &with(named.clone(), "spec.releaseName", json!("new-name")), told).await;
    named["spec"].as_object_mut().unwrap().remove("releaseName");
    refused(&world, &named, told).await;
    let mut customer = e2e::customer("acme");
    customer["spec"]["id"] = json!("C0123");
    world.apply(&customer).await?;
    refused(&world, &with(customer, "spec.id", json!("C0124")), "id is immutable").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_born_not_observed_and_every_field_is_explained() -> Result {
    let world = World::bare("born-unobserved", &[]).await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    let born = world
        .kubectl(&[
            "get",
            "oenv",
            "acme-prod",
            "--namespace",
            &world.namespace,
            "-o",
            "jsonpath={.status.observedGeneration}",
        ])
        .await?;
    assert_eq!(born, "-1");
    for kind in ["odooenvironment", "odoocustomer", "odootemplate"] {
        let text = world.kubectl(&["explain", &format!("{kind}.spec"), "--recursive=false"]).await?;
        assert!(!text.contains("<no description>"), "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_label_values_but_older_objects_stay_editable() -> Result {
    let world = World::bare("names", &[]).await?;
    let named = |mut object: Value, length: usize| {
        object["metadata"]["name"] = json!("n".repeat(length));
        object
    };
    let told = "name may have at most 63 characters";
    for object in [e2e::environment("acme", "prod"), e2e::template("small", "1")] {
        refused(&world, &named(object.clone(), 64), told).await;
        world.apply(&named(object, 63)).await?;
    }

    // The kind as it was before the rule, under names and a group of its own: for as long as it is there, whoever
    // else asks kubectl for `odootemplate` must get the operator's.
    let crd = std::fs::read_to_string(world.setup.repo.join("crds/odootemplates.odoofleet.dev.yaml"))?;
    let group = format!("names-{:x}.example", std::process::id());
    let mut crd: Value = serde_saphyr::from_str(&crd.replace("odoofleet.dev", &group))?;
    crd["spec"]["names"] = json!({ "kind": "OldTemplate", "listKind": "OldTemplateList", "plural": "oldtemplates", "singular": "oldtemplate" });
    let rules = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        .as_object_mut()
        .and_then(|schema| schema.remove("x-kubernetes-validations"))
        .expect("the kind has a rule");
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    let file_name = file.path().to_string_lossy().into_owned();
    let kind = format!("oldtemplates.{group}");
    crd["metadata"]["name"] = json!(kind);
    std::fs::write(&file, crd.to_string())?;
    world.kubectl(&["apply", "--server-side", "-f", &file_name]).await?;
    world.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{kind}")]).await?;
    let mut old = named(e2e::template("small", "1"), 70);
    old["apiVersion"] = json!(format!("{group}/v1alpha1"));
    old["kind"] = json!("OldTemplate");
    old["metadata"]["namespace"] = json!(world.namespace);
    old["metadata"]["finalizers"] = json!([format!("{group}/cleanup")]);
    std::fs::write(&file, old.to_string())?;
    world.kubectl(&["apply", "--server-side", "-f", &file_name]).await?;

    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = rules;
    std::fs::write(&file, crd.to_string())?;
    world.kubectl(&["apply", "--server-side", "-f", &file_name]).await?;
    // Once the rule is in force, a new name is refused; then the old object is changed and goes.
    let mut young = old.clone();
    young["metadata"]["name"] = json!("m".repeat(70));
    std::fs::write(&file, young.to_string())?;
    let deadline = tokio::time::Instant::now() + world.patience;
    loop {
        match world.kubectl(&["apply", "--server-side", "--dry-run=server", "-f", &file_name]).await {
            Err(error) if error.to_string().contains(told) => break,
            other => assert!(tokio::time::Instant::now() < deadline, "the rule is not in force: {other:?}"),
        }
    }
    let object = format!("{kind}/{}", "n".repeat(70));
    let namespace = world.namespace.as_str();
    let patch = |subresource: &'static [&'static str], patch: Value| {
        let (world, object) = (&world, object.clone());
        async move {
            let patch = patch.to_string();
            let mut arguments = vec!["patch", &object, "--namespace", namespace, "--type=merge", "--patch", &patch];
            arguments.extend(subresource);
            world.kubectl(&arguments).await
        }
    };
    patch(&[], json!({ "spec": { "version": "2" } })).await?;
    patch(&["--subresource=status"], json!({ "status": { "inUse": 1 } })).await?;
    world.kubectl(&["delete", &object, "--namespace", namespace, "--wait=false"]).await?;
    patch(&[], json!({ "metadata": { "finalizers": null } })).await?;
    world.kubectl(&["wait", "--for=delete", "--timeout=60s", &object, "--namespace", namespace]).await?;
    world.kubectl(&["delete", "crd", &kind]).await.map(drop)
}
