//! How releases are found: failed, pending, at zero, another's, of charts that never render the same.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_another_customer_is_refused_and_not_stopped() -> Result {
    let world = World::start("anothers").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &["--set", "customer.id=globex"]).await?;
    until_pods_are_ready(&world).await?;
    quiet::settle(&world).await?;
    let (before, moment) = (pods(&world).await?, Timestamp::now());
    let mut object = environment("TakeOver");
    object["spec"]["replicas"] = json!(0);
    world.apply(&object).await?;
    let told = world.until_refused("acme-prod", "ReleaseOwnedByAnother").await?;
    assert!(told.message().contains("\"globex\""), "{}", told.message());
    quiet::settle(&world).await?;
    assert_eq!(written(&world, moment).await?, [""; 0]);
    assert_eq!(pods(&world).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_at_zero_stays_there_until_it_was_stopped_and_started_once() -> Result {
    let world = World::start("atzero").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    for workload in ["deployment/acme-prod-web", "statefulset/acme-prod-db"] {
        world.kubectl(&["scale", workload, "--replicas=0", "--namespace", &world.namespace]).await?;
    }
    world.apply(&environment("Observe")).await?;
    let told = world.until_says("acme-prod", "Stopped", "ScaledByHand").await?;
    assert_eq!((told.field("/adoption/revision"), told.condition("Ready").0), (&json!(1), "True"));
    quiet::settle(&world).await?;
    assert!(pods(&world).await?.is_empty(), "something was started");
    world.scale("acme-prod", 0).await?;
    world.until_says("acme-prod", "Stopped", "Stopped").await?;
    world.scale("acme-prod", 1).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_pods_that_was_set_by_hand_is_not_undone() -> Result {
    let world = World::start("scaled").await?;
    by_hand(&world, "acme-prod", &Chart::small("1.0.0"), &EQUAL).await?;
    world.kubectl(&["scale", "deployment/acme-prod-web", "--replicas=2", "--namespace", &world.namespace]).await?;
    until_pods_are_ready(&world).await?;
    let before = pods(&world).await?;
    world.apply(&environment("Observe")).await?;
    let told = world.until("acme-prod", "compared", is_pending).await?;
    assert!(told.message().contains("2 pods"), "{}", told.message());
    assert_eq!(pods(&world).await?, before);
    world.patch::<OdooEnvironment>("acme-prod", json!({ "spec": { "replicas": 2 } })).await?;
    let told = world.until("acme-prod", "compared again", is_pending).await?;
    assert!(differences(&told).iter().any(|one| one.contains("spec.replicas")), "the chart rendered one: {told:?}");
    assert_eq!(pods(&world).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_renders_differently_each_time_is_not_taken_over() -> Result {
    const RANDOM: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: \"{{ .Release.Name }}-random\"}\nstringData: {password: \"{{ randAlphaNum 20 }}\"}\n";
    let world = World::start("random").await?;
    let chart = Chart::small("1.0.0").with("templates/random.yaml", RANDOM);
    world.put_template("small", "2", &chart, |_| ()).await?;
    by_hand(&world, "acme-prod", &chart, &EQUAL).await?;
    let password = || async {
        let secret = world.api::<Secret>().get("acme-prod-random").await?;
        anyhow::Ok(secret.data)
    };
    let before = password().await?;
    world.apply(&environment("TakeOver")).await?;
    let told = world.until("acme-prod", "compared", is_pending).await?;
    assert!(told.message().contains("Secret/acme-prod-random"), "{}", told.message());
    quiet::settle(&world).await?;
    assert_eq!((revisions(&world, "acme-prod").await?, password().await?), (vec![1], before));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_another_chart_is_never_upgraded_to_this_one() -> Result {
    let world = World::start("chartother").await?;
    let other = Chart::small("1.0.0").with("Chart.yaml", "apiVersion: v2\nname: other\nversion: 1.0.0\n");
    by_hand(&world, "acme-prod", &other.with("templates/web.yaml", "").with("templates/db.yaml", ""), &EQUAL).await?;
    world.apply(&environment("TakeOver")).await?;
    let told = world.until("acme-prod", "refused", |told| told.is_observed() && told.is("Stalled")).await?;
    assert_eq!(told.reason(), "AdoptionPending", "{told:?}");
    quiet::settle(&world).await?;
    assert_eq!(revisions(&world, "acme-prod").await?, [1]);
    Ok(())
}
