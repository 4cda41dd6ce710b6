//! Tables for the picture: what is known after changes, and who is looked at because of them.

mod budgets;
mod environments;
mod indexes;
mod objects;
mod records;
mod running;
mod seen;

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
        allowed_domains: vec![],
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

fn customer(version: u64, change: &Value) -> Arc<OdooCustomer> {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooCustomer",
        "metadata": { "name": "acme", "uid": "c1", "generation": 1, "resourceVersion": version.to_string() },
        "spec": { "displayName": "Acme", "lifecycle": "Active" },
    });
    merge(&mut object, change);
    Arc::new(serde_json::from_value(object).unwrap())
}

fn secret(customer: Option<&str>, shared: bool, version: u64) -> (ObjectName, ReferencedObject) {
    let (name, mut found) = fixtures::secret("tls", customer, &[]);
    if let ReferencedObject::Found { shared: is_shared, resource_version, .. } = &mut found {
        (*is_shared, *resource_version) = (shared, version.to_string());
    }
    (name, found)
}

fn deployment(version: u64) -> (ItemKey, Item) {
    let mut workload = fixtures::workload(WorkloadKind::Deployment, "acme-prod");
    workload.resource_version = version.to_string();
    ((ItemKind::Deployment, "acme-prod".into()), Item::Workload(workload))
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
                stage: None,
                customer_id: None,
                odoo_version: None,
                postgres_major: None,
                spec_hash: None,
                check: None,
                revision: Some(number),
                retained_at: retained.then_some(5),
            },
            created_at: at(0),
            resource_version: number.to_string(),
        },
        retained_hosts: vec!["a.example.com".into()],
        left_out: BTreeMap::new(),
    }
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
