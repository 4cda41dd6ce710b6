//! Objects of each kind in every state that the decisions tell, for the tests of those who read our objects: `e2e/gitops` looks at them with
//! what Flux and Argo CD look with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use odoofleet_api::conditions::Reason;
use odoofleet_api::{OdooCustomer, OdooTemplate, labels};
use serde_json::{Value, json};

use crate::customer::{self, CustomerFacts, Rollup};
use crate::environment::{fixtures, states_tests};
use crate::finding::Finding;
use crate::template::{self, FollowerCounts, FreezeEvidence, StoredVersion, TemplateFacts, VersionContent};

const FILE: &str = "e2e/gitops/testdata/objects.jsonl";
/// 2026-11-28.
const NOW: i64 = 1_795_824_000;
const DELETED: &str = "2026-11-27T08:00:00Z";

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// A name for people, and the object with its status.
type Named = (String, Value);

fn environments() -> Vec<Named> {
    let name = |(table, what, wish): (&str, String, String)| format!("{table}: {what}, {wish}");
    states_tests::objects().into_iter().map(|(names, object)| (name(names), object)).collect()
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "namespace": "odoo", "generation": 3, "finalizers": [labels::FINALIZER] })
}

fn told(object: &impl serde::Serialize, status: &impl serde::Serialize) -> Value {
    let mut object = serde_json::to_value(object).unwrap();
    object["status"] = serde_json::to_value(status).unwrap();
    object
}

fn customer(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooCustomer", "metadata": metadata("acme"),
        "spec": {
            "displayName": "Acme", "lifecycle": "Active",
            "contract": { "startsOn": "2026-01-01", "expiresOn": "2027-12-31" },
        },
    });
    change(&mut object);
    let customer: OdooCustomer = serde_json::from_value(object).unwrap();
    let facts = CustomerFacts {
        customer: Arc::new(customer.clone()),
        rollup: Rollup::default(),
        holders: 1,
        turn: Ok(()),
        clock_skewed: false,
        time_zone: TimeZone::UTC,
    };
    told(&customer, &customer::decide(&facts, now()).status)
}

fn customers() -> Vec<Named> {
    let contract = |expires: &'static str, action: &'static str| {
        move |object: &mut Value| {
            object["spec"]["contract"]["expiresOn"] = json!(expires);
            object["spec"]["onExpiry"] = json!({ "action": action, "graceDays": 10 });
        }
    };
    let lifecycle = |lifecycle: &'static str| customer(|object| object["spec"]["lifecycle"] = json!(lifecycle));
    let named = [
        ("in contract", customer(|_| ())),
        ("a prospect", lifecycle("Prospect")),
        ("on trial", lifecycle("Trial")),
        ("suspended", lifecycle("Suspended")),
        ("terminated", lifecycle("Terminated")),
        ("expires soon", customer(contract("2026-12-10", "Warn"))),
        ("in grace", customer(contract("2026-11-25", "Warn"))),
        ("expired, only a warning", customer(contract("2026-11-01", "Warn"))),
        ("expired, to be stopped", customer(contract("2026-11-01", "Stop"))),
        ("a contract that ends before it begins", customer(contract("2025-01-01", "Warn"))),
        ("paused", customer(|object| object["spec"]["paused"] = json!(true))),
        ("deleted, in use", customer(|object| object["metadata"]["deletionTimestamp"] = json!(DELETED))),
    ];
    named.map(|(name, object)| (name.to_owned(), object)).into()
}

fn template(change: impl FnOnce(&mut Value), with: impl FnOnce(&mut TemplateFacts)) -> Value {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": metadata("odoo-18"),
        "spec": { "version": "1", "odooVersion": "18.0", "chart": { "path": "odoo" } },
    });
    change(&mut object);
    let template: OdooTemplate = serde_json::from_value(object).unwrap();
    let rules = Arc::new(template::Rules::of(&template, &jiff::tz::TimeZone::UTC));
    let turn = template::Turn { rules: &rules, before: None, now: now() };
    let mut facts = TemplateFacts {
        unmanaged: None,
        template: Arc::new(template.clone()),
        versions: vec![],
        inputs: "1".to_owned(),
        evidence: None,
        freezing: None,
        rollout: template::Followers::default().plan(&turn),
        rules: Arc::clone(&rules),
        counts: FollowerCounts::default(),
        holders: 1,
    };
    with(&mut facts);
    told(&template, &template::decide(&facts, now()).status)
}

fn templates() -> Vec<Named> {
    let kept = |facts: &mut TemplateFacts| {
        let spec = json!({ "version": "1", "odooVersion": "18.0", "chart": { "path": "odoo" } });
        let chart = fixtures::version(|_| ()).chart;
        let content = VersionContent::new(&serde_json::from_value(spec).unwrap(), &chart, "0".repeat(64)).unwrap();
        let (digest, created_at) = (content.digest(), Timestamp::UNIX_EPOCH);
        let object = format!("odoo-18-{digest}");
        let stored =
            StoredVersion { object, digest, content: Arc::new(content), created_at, has_upgrade_hooks: Some(false) };
        facts.versions = vec![(stored, 1, true)];
    };
    let failed = |reason, transient| {
        move |facts: &mut TemplateFacts| {
            let finding = Finding::new(reason, "m");
            facts.evidence = Some(FreezeEvidence { inputs: "1".to_owned(), finding, transient, count: 1, at: now() });
        }
    };
    let same = |_: &mut Value| ();
    let named = [
        ("its chart is being fetched", template(same, |facts| facts.freezing = Some("1".to_owned()))),
        ("its version is kept", template(same, kept)),
        ("changed under the same version", template(|object| object["spec"]["odooVersion"] = json!("17.0"), kept)),
        ("a registry does not answer", template(same, failed(Reason::ChartUnavailable, true))),
        ("the chart is not what it should be", template(same, failed(Reason::ChartInvalid, false))),
        ("paused", template(|object| object["spec"]["paused"] = json!(true), kept)),
        ("deleted, in use", template(|object| object["metadata"]["deletionTimestamp"] = json!(DELETED), kept)),
    ];
    named.map(|(name, object)| (name.to_owned(), object)).into()
}

/// What another tool can tell apart: of environments that differ in nothing of it, one is enough.
fn class(object: &Value) -> String {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<String> = conditions.map(|one| format!("{}={}", one["type"], one["status"])).collect();
    let deleted = object["metadata"].get("deletionTimestamp").is_some();
    format!("{} {deleted} {} {} {conditions:?}", object["kind"], status["phase"], status["reason"])
}

/// One JSON object a line.
fn lines() -> String {
    let mut lines = String::new();
    let mut seen = BTreeSet::new();
    let all = environments().into_iter().map(|named| (named, false));
    let all = all.chain(customers().into_iter().chain(templates()).map(|named| (named, true)));
    for ((name, object), always) in all {
        if seen.insert(class(&object)) || always {
            writeln!(lines, "{}", json!({ "name": name, "object": object })).unwrap();
        }
    }
    lines
}

/// `UPDATE_GOLDEN=1 cargo test -p odoofleet-core` writes the file anew.
#[test]
fn the_objects_that_other_tools_are_tested_with_are_what_is_decided() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE);
    let lines = lines();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let other = lines.lines().zip(golden.lines()).find(|(is, was)| is != was);
    assert!(
        lines == golden,
        "{FILE} is not what is decided (UPDATE_GOLDEN=1 writes it anew); the first difference: {other:?}"
    );
}
