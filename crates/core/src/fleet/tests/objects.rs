//! Customers, templates and their versions, Secrets: what environments refer to.

use odoofleet_api::environment::Stage;

use super::*;
use crate::environment::references::Referrer;

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

fn of(customer: &str) -> Referrer<'_> {
    Referrer { customer, environment: "e", stage: Stage::Test }
}

#[test]
fn a_secret_that_loses_one_of_two_labels_is_still_seen() {
    let mut fleet = fleet();
    let objects = |fleet: &mut Fleet, watch, delta| drop(fleet.apply(Change::Objects(watch, delta)));
    objects(&mut fleet, ObjectWatch::CustomersSecrets, Delta::Applied(secret(Some("acme"), true, 9)));
    objects(&mut fleet, ObjectWatch::SharedSecrets, Delta::Applied(secret(Some("acme"), true, 9)));
    assert_eq!(fleet.objects_for(ObjectKind::Secret, of("beta")), ["tls"]);
    // The label that shares it is taken away. The watches tell so in any order.
    objects(&mut fleet, ObjectWatch::SharedSecrets, Delta::Deleted(secret(Some("acme"), true, 10)));
    objects(&mut fleet, ObjectWatch::CustomersSecrets, Delta::Applied(secret(Some("acme"), false, 10)));
    assert_eq!(fleet.objects_for(ObjectKind::Secret, of("beta")), Vec::<String>::new());
    assert_eq!(fleet.objects_for(ObjectKind::Secret, of("acme")), ["tls"]);
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
        let has = |name| fleet.look(name, at(0)).unwrap().version.is_ok();
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
fn an_edit_begins_a_look_anew_only_where_something_else_is_to_be_looked_up() {
    let secret = json!({ "spec": { "ingress": { "tls": { "secretName": "other" } } } });
    let going = json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z" } });
    let edits = [
        (json!({ "spec": { "values": { "note": "another" } } }), true),
        (json!({ "spec": { "replicas": 0 } }), true),
        (json!({ "spec": { "templateRef": { "name": "odoo-19" } } }), false),
        (json!({ "spec": { "templateRef": { "version": "2" } } }), false),
        (secret, false),
        (going, false),
        (json!({ "metadata": { "uid": "another" } }), false),
    ];
    for (edit, same) in edits {
        let mut fleet = fleet();
        fleet.apply(Change::Templates(Delta::Applied(template(&json!({})))));
        fleet.apply(Change::TemplateVersions(Delta::All(vec![stored("1", None), stored("2", None)])));
        let before = json!({ "spec": { "templateRef": { "version": "1" } } });
        applied(&mut fleet, environment("acme-a", 1, &before));
        let look = fleet.look("acme-a", at(0)).unwrap();
        let mut after = before.clone();
        merge(&mut after, &json!({ "metadata": { "generation": 2 } }));
        merge(&mut after, &edit);
        applied(&mut fleet, environment("acme-a", 2, &after));
        assert_eq!(fleet.look("acme-a", at(0)).unwrap().asks_the_same(&look), same, "{edit}");
    }
}
