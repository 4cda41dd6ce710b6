//! Records of releases in every state, and broken ones.

use super::*;

/// Writes something else into the record of revision 1.
async fn break_record(world: &World, data: &str) -> Result {
    let patch = json!({ "data": { "release": data } }).to_string();
    let secret = "secret/sh.helm.release.v1.acme-prod.v1";
    world.kubectl(&["patch", secret, "--type=merge", "--patch", &patch, "--namespace", &world.namespace]).await?;
    Ok(())
}

/// Gives a record a state, as a Helm would that was killed, failed or is uninstalling.
async fn set_status(world: &World, status: &str) -> Result {
    let (secret, label) = ("secret/sh.helm.release.v1.acme-prod.v1", format!("status={status}"));
    world.kubectl(&["label", secret, &label, "--overwrite", "--namespace", &world.namespace]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_told_and_the_rest_of_the_fleet_goes_on() -> Result {
    use base64::Engine;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let world = World::start("broken").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    let whole = world.api::<Secret>().get("sh.helm.release.v1.acme-prod.v1").await?;
    let whole = whole.data.and_then(|mut data| data.remove("release")).map(|bytes| bytes.0).unwrap_or_default();
    let cut = base64(&whole[..whole.len() / 2]);
    break_record(&world, &cut).await?;
    world.apply(&environment("Observe")).await?;
    let told = world.until("acme-prod", "refused", is_pending).await?;
    assert!(told.message().contains("cannot be compared"), "{}", told.message());
    for (data, words) in [(base64(b"%%%"), "base64"), (base64(base64(b"no JSON").as_bytes()), "JSON")] {
        break_record(&world, &data).await?;
        world.until("acme-prod", words, |told| is_pending(told) && told.message().contains(words)).await?;
    }
    world.apply(&e2e::environment("acme", "test")).await?;
    world.wait_phase("acme-test", "Running").await?;
    break_record(&world, &base64(&whole)).await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_release_of_another_helm_is_waited_for_and_a_failed_one_is_named() -> Result {
    let world = World::start("states").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    set_status(&world, "pending-upgrade").await?;
    quiet::settle(&world).await?;
    let moment = Timestamp::now();
    world.apply(&environment("Observe")).await?;
    for (status, words) in
        [("pending-upgrade", "another Helm"), ("uninstalling", "helm uninstall"), ("failed", "\"failed\"")]
    {
        set_status(&world, status).await?;
        world.until("acme-prod", status, |told| is_pending(told) && told.message().contains(words)).await?;
    }
    quiet::settle(&world).await?;
    assert_eq!(written(&world, moment).await?, [""; 0]);
    set_status(&world, "deployed").await?;
    world.until("acme-prod", "taken over", |told| told.field("/adoption/revision") == &json!(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_failed_is_upgraded_where_it_is_to_be_taken_over() -> Result {
    let world = World::start("failed").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    let broken = Chart::small("1.0.0").with_hanging_hook("pre-upgrade");
    let again = by_hand(&world, "acme-prod", &broken, &[&EQUAL[..], &["--timeout", "1s"]].concat()).await;
    assert!(again.is_err(), "the hook hangs");
    world.kubectl(&["delete", "job", "--all", "--namespace", &world.namespace]).await?;
    world.apply(&environment("TakeOver")).await?;
    world.until("acme-prod", "upgraded", |told| told.field("/adoption/revision") == &json!(3)).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(())
}
