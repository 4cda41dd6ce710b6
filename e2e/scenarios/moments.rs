//! What only the passing of time brings is seen when it comes, and until then nobody looks again and again.

use std::time::Duration;

use e2e::{Chart, Told, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Result, wait_status};

/// Certificate for a host, valid until a moment, in a Secret of customer `acme`.
fn certificate(secret: &str, host: &str, until: Timestamp) -> anyhow::Result<Value> {
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()])?;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let seconds = u64::try_from(until.as_second())?;
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": secret, "labels": { "odoofleet.dev/customer": "acme" } },
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_is_told_when_it_does() -> Result {
    let world = World::start("expiring").await?;
    world.apply(&e2e::odoo_template()).await?;
    // Certificates know whole seconds.
    let until = Timestamp::from_second(Timestamp::now().as_second() + 30)?;
    world.apply(&certificate("erp-tls", &world.host("erp"), until)?).await?;
    let mut environment = e2e::odoo_environment("acme", "prod");
    environment["spec"]["ingress"] = json!({ "host": world.host("erp"), "tls": { "secretName": "erp-tls" } });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.until_says("acme-prod", "Error", "CertificateExpired").await?;
    assert!(Timestamp::now() >= until);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_waits_for_a_worker_does_not_run_out_of_time() -> Result {
    let world = World::start_with("waiting", &["--workers", "1"]).await?;
    world.put_chart_as("slow-chart", &Chart::small("2.0.0").with_hanging_hook("pre-install")).await?;
    let mut template = e2e::template("slow", "1");
    template["spec"]["chart"]["configMapRef"]["name"] = json!("slow-chart");
    world.apply(&template).await?;
    let mut first = e2e::environment("acme", "first");
    first["spec"]["templateRef"]["name"] = json!("slow");
    world.apply(&first).await?;
    wait_status(&world, "acme-first", "pending-install").await?;
    let names = ["acme-a", "acme-b", "acme-c"];
    for name in names {
        let mut waiting = e2e::environment("acme", name.trim_start_matches("acme-"));
        waiting["spec"]["timeouts"] = json!({ "helm": 10 });
        world.apply(&waiting).await?;
    }
    for name in names {
        world.until(name, "waiting", Told::is_observed).await?;
    }
    // Beyond the deadline that each of them has.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = world.metric("odoo_operator_reconcile_total").await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let looks = world.metric("odoo_operator_reconcile_total").await? - before;
    assert!(looks < 15.5, "{looks} looks in 10 s at what cannot change");
    let patch = r#"{"spec":{"suspend":false}}"#;
    world.kubectl(&["patch", "job", "acme-first-hook", "--namespace", &world.namespace, "--patch", patch]).await?;
    for name in names {
        let told = Told::by(&world.wait_phase(name, "Running").await?);
        let tries = told.field("/history/0/attempts").as_i64();
        assert_eq!((tries, told.field("/release/revision").as_i64()), (Some(1), Some(1)), "{name}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_tell_times_in_whole_seconds() -> Result {
    let world = World::start("seconds").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    world.put_chart(&Chart::small("2.0.0").with_hanging_hook("pre-upgrade")).await?;
    world.apply(&e2e::template("small", "2")).await?;
    wait_status(&world, "acme-prod", "pending-upgrade").await?;
    world.annotate("acme-prod", "odoofleet.dev/requestedAt", "now").await?;
    let looked_at = |told: &Told| told.field("/lastHandledReconcileAt") == "now" && told.reason() == "Upgrading";
    let told = world.until("acme-prod", "looked at", looked_at).await?;
    let fraction = told.message().split('.').skip(1).any(|part| part.starts_with(|first: char| first.is_ascii_digit()));
    assert!(!fraction, "{}", told.message());
    Ok(())
}
