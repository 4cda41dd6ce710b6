//! What runs: workloads, pods and volumes.

use super::*;

#[test]
fn a_pod_may_be_told_of_before_its_workload() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let pod = fixtures::pod(WorkloadKind::Deployment, "acme-prod", "acme-prod-1");
    let affected = fleet.apply(Change::Pods(Delta::Applied(PodItem::Workload(pod.clone()))));
    assert_eq!(affected, Affected::default(), "nobody knows yet whose it is");
    let affected = fleet.apply(Change::Items(ItemKind::Deployment, Delta::Applied(deployment(1))));
    assert_eq!(names(&affected.environments), ["acme-prod"]);
    assert_eq!(facts(&mut fleet, "acme-prod", 0).running.pods, [pod]);
    let affected = fleet.apply(Change::Pods(Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["acme-prod"], "it vanished while nobody watched");
    assert!(facts(&mut fleet, "acme-prod", 0).running.pods.is_empty());
}

#[test]
fn a_pod_that_somebody_took_from_its_workload_is_waited_for_no_more() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    fleet.apply(Change::Items(ItemKind::Deployment, Delta::Applied(deployment(1))));
    let pod = |owner: &str| PodItem::Workload(fixtures::pod(WorkloadKind::Deployment, owner, "acme-prod-1"));
    let pods = |fleet: &mut Fleet| facts(fleet, "acme-prod", 0).running.pods.len();
    fleet.apply(Change::Pods(Delta::Applied(pod("acme-prod"))));
    assert_eq!(pods(&mut fleet), 1);
    assert_eq!(names(&fleet.apply(Change::Pods(Delta::Applied(pod("other")))).environments), ["acme-prod"]);
    assert_eq!(pods(&mut fleet), 0, "it has another owner");
    fleet.apply(Change::Pods(Delta::Applied(pod("acme-prod"))));
    assert_eq!(names(&fleet.apply(Change::Pods(Delta::Forgotten("acme-prod-1".into()))).environments), ["acme-prod"]);
    assert_eq!(pods(&mut fleet), 0, "it has none");
    let forgotten = Change::Items(ItemKind::Deployment, Delta::Forgotten("acme-prod".into()));
    assert_eq!(names(&fleet.apply(forgotten).environments), ["acme-prod"]);
    assert!(facts(&mut fleet, "acme-prod", 0).running.workloads.is_empty(), "it says no more that it is Helm's");
}

#[test]
fn the_newest_word_about_refused_pods_counts_until_the_pods_are_there() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let set = |pods, version: &str| {
        let mut set = fixtures::workload(WorkloadKind::StatefulSet, "acme-prod-db");
        (set.current_replicas, set.resource_version) = (pods, version.into());
        let item = ((ItemKind::StatefulSet, "acme-prod-db".to_owned()), Item::Workload(set));
        Change::Items(ItemKind::StatefulSet, Delta::Applied(item))
    };
    fleet.apply(set(0, "1"));
    let event = |name: &str, second| {
        let refusal = Refusal { set: "acme-prod-db".into(), message: name.into(), at: at(second) };
        (name.to_owned(), refusal)
    };
    let told = |fleet: &mut Fleet| facts(fleet, "acme-prod", 0).running.workloads[0].pods_refused.clone();
    fleet.apply(Change::Refusals(Delta::Applied(event("quota", 20))));
    let affected = fleet.apply(Change::Refusals(Delta::Applied(event("policy", 10))));
    assert_eq!(names(&affected.environments), ["acme-prod"]);
    assert_eq!(told(&mut fleet).as_deref(), Some("quota"));
    fleet.apply(Change::Refusals(Delta::Deleted(event("policy", 10))));
    assert_eq!(told(&mut fleet).as_deref(), Some("quota"), "an Event that expires takes no other's words along");
    fleet.apply(set(1, "2"));
    fleet.apply(set(0, "3"));
    assert_eq!(told(&mut fleet), None, "the pods were there since");
}

#[test]
fn what_an_old_watch_tells_does_not_undo_a_scaling() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    fleet.apply(Change::Items(ItemKind::Deployment, Delta::Applied(deployment(5))));
    fleet.note_scaled(&(WorkloadKind::Deployment, "acme-prod".into()), 0, Some(1), "7");
    for delta in [Delta::Applied(deployment(6)), Delta::All(vec![deployment(6)])] {
        fleet.apply(Change::Items(ItemKind::Deployment, delta));
        assert_eq!(facts(&mut fleet, "acme-prod", 0).running.workloads[0].replicas, 0);
    }
    fleet.apply(Change::Items(ItemKind::Deployment, Delta::Applied(deployment(8))));
    assert_eq!(facts(&mut fleet, "acme-prod", 0).running.workloads[0].replicas, 1, "somebody has scaled it up since");
}

#[test]
fn a_claim_is_found_by_its_set_and_after_that_by_its_mark() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let mut workload = fixtures::workload(WorkloadKind::StatefulSet, "acme-prod-db");
    workload.claim_templates = vec!["data".into()];
    let set = ((ItemKind::StatefulSet, "acme-prod-db".to_owned()), Item::Workload(workload));
    fleet.apply(Change::Items(ItemKind::StatefulSet, Delta::Applied(set.clone())));
    let claim = |name: &str, marked_for: Option<&str>| {
        let volume = crate::observed::Volume { marked: false, ..fixtures::volume(name) };
        let item = Item::Volume { release: None, marked_for: marked_for.map(str::to_owned), volume };
        Change::Items(ItemKind::Volume, Delta::Applied(((ItemKind::Volume, name.to_owned()), item)))
    };
    assert_eq!(names(&fleet.apply(claim("data-acme-prod-db-0", None)).environments), ["acme-prod"]);
    fleet.apply(claim("data-acme-prod-db-0x", None));
    fleet.apply(claim("data-acme-prod-db2-0", None));
    let volumes = |fleet: &mut Fleet| {
        let volumes = facts(fleet, "acme-prod", 0).running.volumes;
        volumes.into_iter().map(|volume| (volume.name, volume.marked)).collect::<Vec<_>>()
    };
    assert_eq!(volumes(&mut fleet), [("data-acme-prod-db-0".to_owned(), false)]);
    fleet.apply(claim("data-acme-prod-db-0", Some("u-acme-prod")));
    fleet.apply(Change::Items(ItemKind::StatefulSet, Delta::Deleted(set)));
    assert_eq!(volumes(&mut fleet), [("data-acme-prod-db-0".to_owned(), true)]);
    let helms = Item::Volume { release: Some("acme-prod".into()), marked_for: None, volume: fixtures::volume("kept") };
    let key = (ItemKind::Volume, "kept".to_owned());
    fleet.apply(Change::Items(ItemKind::Volume, Delta::Applied((key.clone(), helms.clone()))));
    assert_eq!(volumes(&mut fleet)[1], ("kept".to_owned(), false), "Helm's word alone does not say for whom");
    fleet.apply(Change::Items(ItemKind::Volume, Delta::Deleted((key, helms))));
    let affected = fleet.apply(Change::Items(ItemKind::Volume, Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["acme-prod"], "a deletion waits for it to go");
}
