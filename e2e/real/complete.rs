//! `examples/complete`: a production and a staging environment as a company would have them.

use e2e::{Real, RealWorld};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::Result;
use crate::acme::{Acme, version_of};

/// What an issuer would do: a certificate for each host of an Ingress.
async fn issue(world: &RealWorld, release: &str, host: &str) -> Result {
    let secret =
        ["get", "ingress", release, "--namespace", &world.namespace, "-o", "jsonpath={.spec.tls[0].secretName}"];
    let secret = world.kubectl(&secret).await?;
    world.apply(&e2e::certificate(secret.trim(), host, 2199)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_complete_example_reaches_login_pages_with_addons_cron_and_workers() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("the_complete_example_reaches_login_pages") else { return Ok(()) };
    let mut world = RealWorld::bare("complete").await?;
    world.run_operator().await?;
    let acme = Acme::start(&world).await?;
    let reader = acme.reader(&world, odoo)?;
    let complete = reader.examples().join("complete");
    world.kubectl(&["apply", "--filename", &complete.to_string_lossy()]).await?;

    let hosts = [("acme-prod", "erp.acme.example"), ("acme-staging", "staging.acme.example")];
    for (release, host) in hosts {
        world.wait_reason(release, "Pending", "WaitingForCertificate").await?;
        issue(&world, release, host).await?;
    }
    for (release, host) in hosts {
        let environment = world.wait_phase(release, "Running").await?;
        let status = environment.status.unwrap_or_default();
        assert_eq!(status.url.as_deref(), Some(format!("https://{host}").as_str()));
        let commits: Vec<&str> = status.addons.iter().map(|addon| addon.commit.as_str()).collect();
        let own = &acme.addons[usize::from(release == "acme-staging")];
        assert_eq!(commits, [own.as_str(), acme.public.as_str()]);
        assert_eq!(version_of(&world, release, "web_environment_ribbon").await?, "1.0.0");
        let page = world.page(release, "/web/login").await?;
        assert_eq!(page.status(), 200);
        assert!(page.text().await?.contains("name=\"password\""));
        let password = world.administrator_password(release).await?;
        assert!(world.authenticate(release, "it@acme.example", &password).await?.is_number());
    }
    assert_eq!(version_of(&world, "acme-prod", "acme_base").await?, "1.4.2");
    assert_eq!(world.page("acme-prod", "/web/database/manager").await?.status(), 404, "the proxy blocks it");
    assert_eq!(world.websocket("acme-prod").await?, 101, "the proxy and the gevent process answer");
    let mail = json!([{ "subject": "试", "email_from": "erp@acme.example", "email_to": "a@b.example", "body_html": "<p>x</p>" }]);
    let mail = world.call("acme-staging", "it@acme.example", ("mail.mail", "create"), mail).await?;
    world.call("acme-staging", "it@acme.example", ("mail.mail", "send"), json!([[mail]])).await?;
    let caught = world.mails("acme-staging").await?;
    assert_eq!(caught["messages"][0]["Subject"], json!("试"), "{caught}");
    let cron = world.wait::<Deployment>("acme-prod-cron", "ready", |cron| {
        cron.status.as_ref().and_then(|status| status.ready_replicas) == Some(1)
    });
    cron.await?;
    Ok(())
}
