//! Canaries in every place where people write freely, looked for in the whole archive.

use std::io::{Cursor, Read};

use serde_json::{Map, Value, json};

use super::bundle::{archive, files};
use super::collect::Collected;
use super::redact::{self, KEPT};
use super::scrub::Scrubber;
use crate::language::Language;

const CANARY: &str = "Canary4711Canary";
/// What a text holds that may stay.
const HIDDEN: &str = "see https://bot:Canary4711Canary@git.example/x?token=Canary4711Canary and password=Canary4711Canary or Canary4711Canary@mail.example";

/// An object with a text in each place that a schema has.
fn filled(key: &str, schema: &Value, is_status: bool) -> Value {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        return json!({"deep": {"name": CANARY, "host": [CANARY, {"url": CANARY}], "plain": 4711}});
    }
    match schema["type"].as_str() {
        Some("object") => {
            let mut object = Map::new();
            for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
                object.insert(key.clone(), filled(key, schema, is_status));
            }
            if schema["additionalProperties"].is_object() {
                object.insert("some".into(), filled("some", &schema["additionalProperties"], is_status));
            }
            Value::Object(object)
        }
        Some("array") => json!([filled(key, &schema["items"], is_status)]),
        Some("string") if is_status || KEPT.contains(&key) => json!(HIDDEN),
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(7),
        _ => json!(CANARY),
    }
}

fn metadata() -> Value {
    json!({
        "name": "acme-prod", "namespace": "odoo", "uid": "0b5c5d0e-5a4e-4a55-9b0c-f1f3a5a36a0f",
        "labels": {"team": CANARY, "odoofleet.dev/customer": "acme"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"password\":\"{CANARY}\"}}"),
            "odoofleet.dev/change-reason": CANARY, "odoofleet.dev/role": "Web"},
        "managedFields": [{"manager": CANARY}],
    })
}

fn pod() -> Value {
    let container = json!({
        "name": "odoo", "image": "odoo@sha256:3f786850e387550fdab836ed7e6dc881de23001b", "command": ["sh", "-c", CANARY], "args": [CANARY],
        "env": [{"name": "DB_PASSWORD", "value": CANARY},
            {"name": "HOST", "valueFrom": {"secretKeyRef": {"name": "acme", "key": "password"}}}],
        "livenessProbe": {"httpGet": {"path": "/", "httpHeaders": [{"name": "Authorization", "value": CANARY}]},
            "exec": {"command": [CANARY]}},
        "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
        "resources": {"limits": {"memory": "1Gi"}},
    });
    json!({
        "kind": "Pod", "metadata": metadata(),
        "spec": {"containers": [container], "initContainers": [container], "nodeName": "node-1", "hostname": CANARY,
            "volumes": [{"name": "v", "secret": {"secretName": "acme"}, "csi": {"volumeAttributes": {"secret": CANARY}}}]},
        "status": {"phase": "Running", "message": HIDDEN,
            "containerStatuses": [{"name": "odoo", "state": {"terminated": {"exitCode": 1, "message": HIDDEN}}}]},
    })
}

fn collected() -> Collected {
    let mut objects = Vec::new();
    for crd in odoofleet_api::crds() {
        let crd = serde_json::to_value(&crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].clone();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let object = json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": kind, "metadata": metadata(),
            "spec": filled("spec", &schema["spec"], false), "status": filled("status", &schema["status"], true),
            "unknown": {"newer": CANARY},
        });
        objects.push((format!("objects/{}", kind.as_str().unwrap()), object));
    }
    let workload = json!({"kind": "Deployment", "metadata": metadata(), "spec": {"replicas": 1, "template": pod()}});
    let event = json!({"kind": "Event", "metadata": metadata(), "message": HIDDEN, "reason": "Failed", "note": CANARY,
        "involvedObject": {"kind": "Pod", "name": "acme-prod"}, "action": HIDDEN});
    objects.extend([
        ("pods/p".to_owned(), pod()),
        ("workloads/w".to_owned(), workload),
        ("events/e".to_owned(), event),
    ]);
    Collected {
        objects,
        // Known from the objects: it is found where nothing says what it is.
        logs: vec![("logs/p/odoo".into(), format!("{HIDDEN}\nplain {CANARY} text\n"))],
        not_read: vec![("pods".into(), HIDDEN.to_owned())],
    }
}

#[test]
fn no_canary_is_left_in_the_whole_archive() {
    for language in [Language::English, Language::Chinese] {
        let facts = vec![("preflight.json".to_owned(), HIDDEN.to_owned())];
        let bytes = archive(&files(language, &collected(), facts)).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 10);
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let mut text = file.name().unwrap().into_owned();
            file.read_to_string(&mut text).unwrap();
            for (number, line) in text.lines().enumerate() {
                assert!(!line.contains("4711"), "{number}: {line}");
            }
        }
    }
}

#[test]
fn each_place_is_emptied_without_its_text_being_known() {
    for (path, object) in collected().objects {
        let shown = redact::object(&object, &Scrubber::default());
        let text = serde_json::to_string_pretty(&shown).unwrap();
        for line in text.lines() {
            assert!(!line.contains("4711"), "{path}: {line}");
        }
    }
}

#[test]
fn what_helps_is_still_there() {
    let files = files(Language::English, &collected(), Vec::new());
    let text = |name: &str| &files.iter().find(|(path, _)| path == name).unwrap().1;
    let pod = text("pods/p.yaml");
    for kept in [
        "DB_PASSWORD",
        "secretKeyRef",
        "node-1",
        "odoo@sha256:3f786850e387550fdab836ed7e6dc881de23001b",
        "memory: 1Gi",
        "odoofleet.dev/customer: acme",
        "odoofleet.dev/role: Web",
        "phase: Running",
        "exitCode: 1",
    ] {
        assert!(pod.contains(kept), "{kept}: {pod}");
    }
    assert!(text("objects/OdooEnvironment.yaml").contains("values:"));
    assert!(text("README.txt").contains("LOOK THROUGH IT BEFORE YOU SEND IT"));
    assert!(text("not-read.txt").starts_with("pods: "));
}
