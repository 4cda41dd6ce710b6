use e2e::World;
use k8s_openapi::api::core::v1::Secret;
use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::Result;

async fn put_certificate(world: &World, secret: &str, host: &str, year: i32) -> Result {
    world.apply(&e2e::certificate(secret, host, year)?).await
}

fn condition(environment: &OdooEnvironment) -> Option<(String, String)> {
    let conditions = &environment.status.as_ref()?.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == "CertificateReady")?;
    Some((found.status.clone(), found.reason.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_runs_when_its_main_host_has_a_valid_certificate() -> Result {
    let world = World::start("certificate").await?;
    world.apply(&e2e::odoo_template()).await?;
    let erp = world.host("erp");
    let mut environment = e2e::odoo_environment("acme", "prod");
    environment["spec"]["ingress"] = json!({
        "host": erp, "aliases": [world.host("www")], "tls": { "issuerRef": { "name": "letsencrypt" } },
    });
    world.apply(&environment).await?;
    let waiting = world.wait_reason("acme-prod", "Pending", "WaitingForCertificate").await?;
    let secrets = world
        .kubectl(&[
            "get",
            "ingress",
            "acme-prod",
            "--namespace",
            &world.namespace,
            "-o",
            "jsonpath={.spec.tls[*].secretName}",
        ])
        .await?;
    let [main, alias] = secrets.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{secrets}") };
    let message = waiting.status.unwrap().message.unwrap();
    assert!(message.contains(&erp) && message.contains(main), "{message}");

    put_certificate(&world, main, &erp, 2199).await?;
    let running = world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(condition(&running), Some(("False".into(), "WaitingForCertificate".into())), "of the alias");
    put_certificate(&world, alias, &world.host("*"), 2199).await?;
    world
        .wait::<OdooEnvironment>("acme-prod", "all certificates", |environment| {
            condition(environment) == Some(("True".into(), "Accepted".into()))
        })
        .await?;

    put_certificate(&world, main, &erp, 2021).await?;
    world.wait_reason("acme-prod", "Error", "CertificateExpired").await?;
    put_certificate(&world, main, "erp.globex.example", 2199).await?;
    let wrong = world.wait_reason("acme-prod", "Error", "CertificateMismatch").await?;
    let key = world.api::<Secret>().get(main).await?.data.unwrap().remove("tls.key").unwrap();
    let status = serde_json::to_string(&wrong.status)?;
    assert!(!status.contains(String::from_utf8(key.0)?.lines().nth(1).unwrap()), "the key is nobody's to see");
    put_certificate(&world, main, &erp, 2199).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
