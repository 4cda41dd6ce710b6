//! Tables for the picture: what is known after changes, and who is looked at because of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::environment::Phase;
use odoofleet_api::template::WorkloadKind;
use odoofleet_api::{OdooCustomer, OdooEnvironment};
use serde_json::{Value, json};

use super::*;
use crate::environment::fixtures;
use crate::environment::references::ObjectKind;
use crate::release::{Ownership, ReleaseStatus};
use crate::task::{Evidence, Success};
use crate::template::VersionContent;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn fleet() -> Fleet {
    Fleet::new(Settings {
        namespace: "odoo".into(),
        allowed_git_hosts: vec![],
        node_address: None,
        max_stops: 1,
        max_automatic_stops: 1,
        fence: at(0),
        time_zone: jiff::tz::TimeZone::UTC,
    })
}

/// An environment `{customer}-{service}` with UID `u-{name}`, changed by a merge.
fn environment(name: &str, version: u64, change: &Value) -> Arc<OdooEnvironment> {
    let (customer, service) = name.split_once('-').unwrap();
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
        "metadata": {
            "name": name, "uid": format!("u-{name}"), "generation": 1, "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-11-27T08:00:00Z", "finalizers": ["odoofleet.dev/cleanup"],
        },
        "spec": {
            "customerRef": { "name": customer }, "serviceName": service, "stage": "Test", "replicas": 1,
            "templateRef": { "name": "odoo-18" },
        },
    });
    merge(&mut object, change);
    Arc::new(serde_json::from_value(object).unwrap())
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn applied(fleet: &mut Fleet, object: Arc<OdooEnvironment>) -> Affected {
    fleet.apply(Change::Environments(Delta::Applied(object)))
}

fn listed(fleet: &mut Fleet, objects: Vec<Arc<OdooEnvironment>>) -> Affected {
    fleet.apply(Change::Environments(Delta::All(objects)))
}

fn names<'a>(all: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    all.into_iter().map(String::as_str).collect()
}

fn facts(fleet: &mut Fleet, name: &str, now: i64) -> crate::environment::Facts {
    fleet.facts(name, Ok(fixtures::version(|_| ())), BTreeMap::new(), None, false, at(now)).unwrap()
}

fn host(host: &str) -> Value {
    json!({ "spec": { "ingress": { "host": host } } })
}

#[test]
fn an_own_status_write_asks_for_no_look_and_a_foreign_one_does() {
    let mut fleet = fleet();
    assert_eq!(names(&applied(&mut fleet, environment("acme-prod", 1, &json!({}))).environments), ["acme-prod"]);
    let running = json!({ "status": { "phase": "Running" } });
    let told = fleet.note_told(environment("acme-prod", 5, &running));
    assert_eq!(names(&told.environments), [""; 0]);
    assert_eq!(names(&told.customers), ["acme"], "it is counted");
    assert_eq!(applied(&mut fleet, environment("acme-prod", 5, &running)), Affected::default(), "the watch repeats it");
    let older = environment("acme-prod", 4, &json!({ "status": { "phase": "Error" } }));
    assert_eq!(applied(&mut fleet, older), Affected::default(), "what a watch still had to tell is older");
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, Some(Phase::Running));
    let tampered = environment("acme-prod", 6, &json!({ "status": { "phase": "Error" } }));
    assert_eq!(names(&applied(&mut fleet, tampered).environments), ["acme-prod"]);
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, Some(Phase::Running), "what was written counts");
}

#[test]
fn a_status_of_an_object_that_was_deleted_is_not_the_next_ones() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    fleet.note_told(environment("acme-prod", 2, &json!({ "status": { "phase": "Running" } })));
    let next = json!({ "metadata": { "uid": "another" } });
    assert_eq!(names(&applied(&mut fleet, environment("acme-prod", 9, &next)).environments), ["acme-prod"]);
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, None);
    fleet.note_told(environment("acme-prod", 10, &json!({ "status": { "phase": "Running" } })));
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, None, "an answer about the one before");
}

#[test]
fn a_list_tells_of_what_vanished_while_nobody_watched() {
    let mut fleet = fleet();
    let both = vec![environment("acme-a", 1, &host("a.example.com")), environment("acme-b", 2, &host("a.example.com"))];
    listed(&mut fleet, both.clone());
    assert_eq!(facts(&mut fleet, "acme-b", 0).references.rivals.len(), 1);
    let affected = listed(&mut fleet, vec![Arc::clone(&both[1])]);
    assert_eq!(names(&affected.environments), ["acme-a", "acme-b"], "it is forgotten everywhere, and its host is free");
    assert_eq!(names(&affected.customers), ["acme"]);
    assert!(facts(&mut fleet, "acme-b", 0).references.rivals.is_empty());
    assert_eq!(listed(&mut fleet, vec![Arc::clone(&both[1])]), Affected::default(), "the same list again");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_gone() {
    let mut fleet = fleet();
    let both = vec![environment("acme-a", 1, &json!({})), environment("acme-b", 2, &json!({}))];
    listed(&mut fleet, both.clone());
    assert!(fleet.note_unreadable(Kind::Environment, "acme-a", "missing field"));
    assert!(!fleet.note_unreadable(Kind::Environment, "acme-a", "missing field"), "told once");
    listed(&mut fleet, vec![Arc::clone(&both[1])]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a", "acme-b"]);
    assert_eq!(names(&fleet.forget(Kind::Environment, "acme-a").customers), ["acme"]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-b"]);
    assert_eq!(fleet.unreadable().count(), 0);
}

#[test]
fn who_was_given_a_host_keeps_it_and_the_other_is_told_when_it_is_free() {
    let mut fleet = fleet();
    let given = json!({ "metadata": { "creationTimestamp": "2026-11-27T09:00:00Z" }, "status": { "hosts": ["a.example.com"] } });
    let mut young = host("a.example.com");
    merge(&mut young, &given);
    applied(&mut fleet, environment("acme-young", 1, &young));
    let affected = applied(&mut fleet, environment("beta-old", 2, &host("a.example.com")));
    assert_eq!(names(&affected.environments), ["acme-young", "beta-old"], "both have to know");
    let has = |fleet: &mut Fleet, name| facts(fleet, name, 0).references.rivals[0].has_hosts;
    assert!(!has(&mut fleet, "acme-young"));
    assert!(has(&mut fleet, "beta-old"), "the younger one got it first");
    let elsewhere = json!({ "spec": { "placement": "Offline" } });
    let mut moved = young.clone();
    merge(&mut moved, &elsewhere);
    let affected = applied(&mut fleet, environment("acme-young", 3, &moved));
    assert!(affected.environments.contains("beta-old"));
    assert!(
        facts(&mut fleet, "beta-old", 0).references.rivals.is_empty(),
        "what runs at the customer's claims nothing"
    );
}

fn customer(version: u64, change: &Value) -> Arc<OdooCustomer> {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooCustomer",
        "metadata": { "name": "acme", "uid": "c1", "generation": 1, "resourceVersion": version.to_string() },
        "spec": { "displayName": "Acme", "lifecycle": "Active" },
    });
    merge(&mut object, change);
    Arc::new(serde_json::from_value(object).unwrap())
}

#[test]
fn environments_hear_of_their_customer_only_what_governs_them() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let counts = json!({ "total": 1, "running": 1, "stopped": 0, "pending": 0, "error": 0 });
    let stop =
        json!({ "scope": "All", "reason": "CustomerSuspended", "message": "m", "since": "2026-11-27T08:00:00Z" });
    let rows = [
        ("it comes", json!({}), true),
        ("nothing", json!({}), false),
        ("its phase", json!({ "status": { "phase": "Active" } }), true),
        ("a count of its environments", json!({ "status": { "phase": "Active", "environments": counts } }), false),
        ("a stop", json!({ "status": { "phase": "Active", "stop": stop } }), true),
        ("a new spec", json!({ "metadata": { "generation": 2 }, "status": { "phase": "Active", "stop": stop } }), true),
    ];
    for (number, (what, change, hears)) in (1..).zip(rows) {
        let affected = fleet.apply(Change::Customers(Delta::Applied(customer(number, &change))));
        assert_eq!(affected.environments.contains("acme-prod"), hears, "{what}");
    }
    let affected = fleet.apply(Change::Customers(Delta::All(vec![])));
    assert!(affected.environments.contains("acme-prod"), "it vanished while nobody watched");
}

fn secret(customer: Option<&str>, shared: bool, version: u64) -> (ObjectName, ReferencedObject) {
    let name = ObjectName { kind: ObjectKind::Secret, name: "tls".into() };
    let found = ReferencedObject::Found {
        customer: customer.map(str::to_owned),
        shared,
        type_: "Opaque".into(),
        generated_for: None,
        generated_uid: None,
        keys: BTreeMap::new(),
        resource_version: version.to_string(),
    };
    (name, found)
}

#[test]
fn a_secret_that_loses_one_of_two_labels_is_still_seen() {
    let mut fleet = fleet();
    let objects = |fleet: &mut Fleet, watch, delta| drop(fleet.apply(Change::Objects(watch, delta)));
    objects(&mut fleet, ObjectWatch::CustomersSecrets, Delta::Applied(secret(Some("acme"), true, 9)));
    objects(&mut fleet, ObjectWatch::SharedSecrets, Delta::Applied(secret(Some("acme"), true, 9)));
    assert_eq!(fleet.secrets_for("beta"), ["tls"]);
    // The label that shares it is taken away. The watches tell so in any order.
    objects(&mut fleet, ObjectWatch::SharedSecrets, Delta::Deleted(secret(Some("acme"), true, 10)));
    objects(&mut fleet, ObjectWatch::CustomersSecrets, Delta::Applied(secret(Some("acme"), false, 10)));
    assert_eq!(fleet.secrets_for("beta"), Vec::<String>::new());
    assert_eq!(fleet.secrets_for("acme"), ["tls"]);
    // The newest version counts, not the watch that tells first.
    objects(&mut fleet, ObjectWatch::SharedSecrets, Delta::Applied(secret(None, true, 11)));
    assert_eq!(fleet.object(&secret(None, true, 0).0), Some(&secret(None, true, 11).1));
    objects(&mut fleet, ObjectWatch::CustomersSecrets, Delta::All(vec![]));
    assert_eq!(fleet.object(&secret(None, true, 0).0), Some(&secret(None, true, 11).1));
}

#[test]
fn an_object_wakes_those_who_name_it_and_nobody_else() {
    let mut fleet = fleet();
    let names_tls = json!({ "spec": { "ingress": { "host": "a.example.com", "tls": { "secretName": "tls" } } } });
    applied(&mut fleet, environment("acme-a", 1, &names_tls));
    applied(&mut fleet, environment("acme-b", 2, &json!({})));
    let affected =
        fleet.apply(Change::Objects(ObjectWatch::CustomersSecrets, Delta::Applied(secret(Some("acme"), false, 3))));
    assert_eq!(names(&affected.environments), ["acme-a"]);
    let affected = fleet.apply(Change::Objects(ObjectWatch::CustomersSecrets, Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["acme-a"], "it vanished while nobody watched");
    let name = ObjectName { kind: ObjectKind::Secret, name: "acme-b-odoofleet".into() };
    let generated = (name, secret(Some("acme"), false, 4).1);
    let affected = fleet.apply(Change::Objects(ObjectWatch::CustomersSecrets, Delta::Applied(generated)));
    assert_eq!(names(&affected.environments), ["acme-b"], "its passwords");
}

fn deployment(version: u64) -> (ItemKey, Item) {
    let mut workload = fixtures::workload(WorkloadKind::Deployment, "acme-prod");
    workload.resource_version = version.to_string();
    ((ItemKind::Deployment, "acme-prod".into()), Item::Workload(workload))
}

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
fn what_was_unreadable_and_went_unseen_is_gone() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    fleet.note_unreadable(Kind::Environment, "acme-a", "missing field");
    assert!(fleet.look("acme-a").is_none(), "nothing is decided from what stood there before");
    fleet.retain_unreadable(Kind::Environment, &BTreeSet::from(["acme-a".to_owned()]));
    listed(&mut fleet, vec![]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a"]);
    fleet.retain_unreadable(Kind::Customer, &BTreeSet::new());
    listed(&mut fleet, vec![]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a"]);
    fleet.retain_unreadable(Kind::Environment, &BTreeSet::new());
    listed(&mut fleet, vec![]);
    assert_eq!(fleet.environments_of("acme").count(), 0);
}

#[test]
fn a_late_event_undoes_no_write_of_a_customer_or_template() {
    let mut fleet = fleet();
    let stopped =
        json!({ "scope": "All", "reason": "CustomerSuspended", "message": "m", "since": "2026-11-27T08:00:00Z" });
    fleet.apply(Change::Customers(Delta::Applied(customer(5, &json!({ "status": { "stop": stopped } })))));
    let late = [Delta::Applied(customer(4, &json!({}))), Delta::All(vec![customer(4, &json!({}))])];
    for late in late {
        assert_eq!(fleet.apply(Change::Customers(late)), Affected::default());
        assert!(fleet.customer("acme").unwrap().status.as_ref().unwrap().stop.is_some());
    }
    let at_version = |version: &str, of: &str| {
        template(&json!({ "metadata": { "resourceVersion": version }, "spec": { "version": of } }))
    };
    fleet.apply(Change::Templates(Delta::Applied(at_version("5", "2"))));
    for late in [Delta::Applied(at_version("4", "1")), Delta::All(vec![at_version("4", "1")])] {
        fleet.apply(Change::Templates(late));
        assert_eq!(fleet.template("odoo-18").unwrap().spec.version, "2");
    }
}

#[test]
fn the_end_of_an_operation_is_told_to_all_who_claim_the_release() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    applied(&mut fleet, environment("beta-b", 2, &json!({ "spec": { "releaseName": "acme-a" } })));
    let evidence = Evidence { operation: "1".into(), inputs: "i".into(), result: Ok(Success::default()) };
    assert_eq!(names(&fleet.note_evidence("acme-a", evidence).environments), ["acme-a", "beta-b"]);
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

fn revision(release: &str, number: i64, retained: bool) -> StoredRevision {
    let (customer, _) = release.split_once('-').unwrap();
    StoredRevision {
        revision: Revision {
            release: release.into(),
            number,
            status: ReleaseStatus::Deployed,
            ownership: Ownership {
                customer: Some(customer.into()),
                environment: Some(release.into()),
                environment_uid: Some(format!("u-{release}")),
                spec_hash: None,
                check: None,
                revision: Some(number),
                retained_at: retained.then_some(5),
            },
            created_at: at(0),
            resource_version: number.to_string(),
        },
        retained_hosts: vec!["a.example.com".into()],
    }
}

#[test]
fn a_retained_release_keeps_its_hosts_until_its_record_is_gone() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("beta-prod", 1, &host("a.example.com")));
    let retained = revision("acme-prod", 3, true);
    let affected = fleet.apply(Change::Releases(Delta::Applied(retained.clone())));
    assert_eq!(names(&affected.environments), ["beta-prod"]);
    let rivals = facts(&mut fleet, "beta-prod", 0).references.rivals;
    assert!(matches!(&rivals[..], [rival] if rival.retained && rival.has_hosts && rival.customer == "acme"));
    assert_eq!(fleet.retained(), 1);
    let affected = fleet.apply(Change::Releases(Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["beta-prod"], "it vanished while nobody watched");
    assert!(facts(&mut fleet, "beta-prod", 0).references.rivals.is_empty());
}

#[test]
fn two_deletions_never_both_take_the_last_turn() {
    let mut fleet = fleet();
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z" }, "spec": { "deletionPolicy": "Delete" } });
    for (version, name) in (1..).zip(["acme-a", "acme-b", "acme-c"]) {
        applied(&mut fleet, environment(name, version, &going));
        fleet.apply(Change::Releases(Delta::Applied(revision(name, 1, false))));
    }
    assert!(facts(&mut fleet, "acme-a", 1000).brake.is_none());
    assert_eq!(facts(&mut fleet, "acme-b", 1001).brake.map(|hold| hold.until), Some(at(1600)));
    assert!(facts(&mut fleet, "acme-a", 1002).brake.is_none(), "it has its turn");
    assert!(facts(&mut fleet, "acme-b", 1700).brake.is_none());
    assert_eq!(facts(&mut fleet, "acme-c", 1701).brake.map(|hold| hold.until), Some(at(2300)));
}

fn template(change: &Value) -> Arc<OdooTemplate> {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate",
        "metadata": { "name": "odoo-18", "uid": "t1", "generation": 1 },
        "spec": { "version": "1", "odooVersion": "18.0", "chart": { "configMapRef": { "name": "chart" } } },
    });
    merge(&mut object, change);
    Arc::new(serde_json::from_value(object).unwrap())
}

fn stored(version: &str, has_upgrade_hooks: Option<bool>) -> (String, StoredVersion) {
    let content = VersionContent { version: version.into(), ..(*fixtures::version(|_| ()).content).clone() };
    let (object, digest) = (format!("odoo-18-{version}"), content.digest());
    (
        "odoo-18".into(),
        StoredVersion { object, digest, content: Arc::new(content), created_at: at(1), has_upgrade_hooks },
    )
}

#[test]
fn hooks_are_assumed_until_a_version_says_that_there_are_none() {
    let mut fleet = fleet();
    let chart = fixtures::version(|_| ()).content.chart_digest.clone();
    let apply = |fleet: &mut Fleet, version| drop(fleet.apply(Change::TemplateVersions(Delta::Applied(version))));
    assert!(fleet.has_upgrade_hooks(&chart), "nobody has said so");
    apply(&mut fleet, stored("1", None));
    assert!(fleet.has_upgrade_hooks(&chart), "a version that an older operator made");
    apply(&mut fleet, stored("2", Some(false)));
    assert!(!fleet.has_upgrade_hooks(&chart));
    fleet.note_hooks(&chart, true);
    fleet.note_hooks(&chart, false);
    assert!(fleet.has_upgrade_hooks(&chart), "another release has turned them off");
}

#[test]
fn what_is_made_while_its_template_is_being_deleted_gets_no_version_pinned_or_not() {
    let mut fleet = fleet();
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z", "finalizers": ["odoofleet.dev/cleanup"] } });
    fleet.apply(Change::TemplateVersions(Delta::Applied(stored("1", Some(false)))));
    let pinned = json!({ "spec": { "templateRef": { "version": "1" } } });
    let mut held = pinned.clone();
    merge(&mut held, &json!({ "status": { "template": { "name": "odoo-18", "version": "1" } } }));
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    applied(&mut fleet, environment("acme-b", 2, &pinned));
    applied(&mut fleet, environment("acme-c", 3, &held));
    for (template, all) in [(template(&json!({})), [true, true, true]), (template(&going), [false, false, true])] {
        fleet.apply(Change::Templates(Delta::Applied(template)));
        let has = |name| fleet.look(name).unwrap().version.is_ok();
        assert_eq!(["acme-a", "acme-b", "acme-c"].map(has), all);
    }
}

#[test]
fn an_archive_is_of_no_use_when_the_last_version_is_gone() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    let (one, two) = (stored("1", Some(false)), stored("2", Some(false)));
    fleet.apply(Change::Templates(Delta::Applied(template(&json!({})))));
    let affected = fleet.apply(Change::TemplateVersions(Delta::All(vec![one.clone(), two])));
    assert_eq!(
        (names(&affected.environments), affected.charts),
        (vec!["acme-a"], false),
        "it waits for its first version"
    );
    assert_eq!(fleet.versions_of("odoo-18").len(), 2);
    let affected = fleet.apply(Change::TemplateVersions(Delta::All(vec![one.clone()])));
    assert!(affected.charts);
    assert_eq!(fleet.versions_of("odoo-18").len(), 1);
    fleet.apply(Change::TemplateVersions(Delta::Deleted(one)));
    assert!(fleet.versions_of("odoo-18").is_empty());
}

#[test]
fn what_was_retained_before_a_restart_counts_for_the_brake() {
    let mut fleet = fleet();
    let mut retained = revision("acme-gone", 1, true);
    retained.revision.ownership.retained_at = Some(900);
    fleet.apply(Change::Releases(Delta::All(vec![retained])));
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z" }, "spec": { "deletionPolicy": "Delete" } });
    applied(&mut fleet, environment("acme-a", 1, &going));
    applied(&mut fleet, environment("acme-b", 2, &json!({})));
    fleet.apply(Change::Releases(Delta::Applied(revision("acme-a", 1, false))));
    assert_eq!(facts(&mut fleet, "acme-a", 1000).brake.map(|hold| hold.until), Some(at(1500)));
    assert!(facts(&mut fleet, "acme-a", 1500).brake.is_none());
}

/// Whatever the order of changes was, the picture is the one that a list of what is there now gives.
#[test]
fn indexes_never_drift_from_the_objects() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut fleet = fleet();
    let mut there: BTreeMap<String, Arc<OdooEnvironment>> = BTreeMap::new();
    let all_names: Vec<String> = ["acme", "beta", "gamma"]
        .iter()
        .flat_map(|customer| (0..4).map(move |number| format!("{customer}-{number}")))
        .collect();
    for version in 1..3000 {
        let name = &all_names[usize::try_from(random(12)).unwrap()];
        let known = there.get(name).cloned();
        match (random(10), known) {
            (0..3, Some(gone)) => {
                there.remove(name);
                fleet.apply(Change::Environments(Delta::Deleted(gone)));
            }
            (3, _) => {
                listed(&mut fleet, there.values().cloned().collect());
            }
            (kind, _) => {
                let phases = ["Running", "Stopped", "Error"];
                let change = json!({
                    "spec": {
                        "ingress": { "host": format!("{}.example.com", random(5)) },
                        "templateRef": { "name": format!("odoo-{}", random(3)) },
                        "placement": if random(4) == 0 { "Offline" } else { "Cluster" },
                    },
                    "status": { "phase": phases[usize::try_from(random(3)).unwrap()] },
                });
                let object = environment(name, version, &change);
                there.insert(name.clone(), Arc::clone(&object));
                if kind < 6 && fleet.environment(name).is_some() {
                    fleet.note_told(object);
                } else {
                    applied(&mut fleet, object);
                }
            }
        }
    }
    let mut fresh = self::fleet();
    listed(&mut fresh, there.values().cloned().collect());
    assert_eq!(picture(&fleet), picture(&fresh));
    listed(&mut fleet, vec![]);
    assert_eq!(picture(&fleet), picture(&self::fleet()), "nothing is left of what is gone");
}

fn picture(fleet: &Fleet) -> Vec<String> {
    let index = |index: &Index<String, String>| {
        let mut all: Vec<String> = index.0.iter().map(|(key, values)| format!("{key}: {values:?}")).collect();
        all.sort();
        all.join(", ")
    };
    let mut customers: Vec<String> =
        fleet.by_customer.iter().map(|(name, own)| format!("{name}: {:?} {:?}", own.names, own.rollup())).collect();
    customers.sort();
    let mut templates: Vec<String> = fleet
        .templates
        .iter()
        .map(|(name, known)| {
            let followers = &known.followers;
            let members: BTreeSet<_> = followers.names().collect();
            format!("{name}: {members:?} {} {} {}", followers.in_use(), followers.following(), followers.pinned())
        })
        .collect();
    templates.sort();
    let mut uids: Vec<String> = fleet.by_uid.iter().map(|(uid, name)| format!("{uid}={name}")).collect();
    uids.sort();
    let mut all = vec![index(&fleet.by_release), index(&fleet.by_host), uids.join(", ")];
    all.extend(customers);
    all.extend(templates);
    all
}
