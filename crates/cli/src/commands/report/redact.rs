//! Objects without what is not everybody's to see. What is not known to be harmless is taken out.

use serde_json::{Map, Value};

use super::scrub::{REDACTED, Scrubber};

/// Fields of specs whose text stays, after what looks like a secret has been taken out of it: names, choices, dates, places.
pub const KEPT: &[&str] = &[
    // Every object's, and references to others.
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "uid",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "fieldPath",
    "key",
    // Ours.
    "accessMode",
    "action",
    "aliases",
    "className",
    "country",
    "days",
    "deletionPolicy",
    "digest",
    "domains",
    "expiresOn",
    "expose",
    "from",
    "host",
    "install",
    "languages",
    "lifecycle",
    "lockedPaths",
    "named",
    "oci",
    "odooVersion",
    "path",
    "placement",
    "ref",
    "releaseName",
    "repository",
    "required",
    "secretName",
    "secretPaths",
    "sectionName",
    "serviceName",
    "signedOn",
    "size",
    "stage",
    "startsOn",
    "tag",
    "targetPath",
    "timeZone",
    "to",
    "update",
    "url",
    "version",
    // Of pods and workloads.
    "claimName",
    "containerPort",
    "cpu",
    "ephemeral-storage",
    "image",
    "imagePullPolicy",
    "memory",
    "mountPath",
    "nodeName",
    "operator",
    "policy",
    "protocol",
    "restartPolicy",
    "serviceAccountName",
    "storage",
    "subPath",
    "type",
];

/// Fields below which nothing stays but the names of keys.
const FREE: &[&str] = &[
    "values",
    "valuesSchema",
    "mail",
    "postgresql",
    "contact",
    "attributes",
    "args",
    "command",
    "data",
    "stringData",
    "value",
    "annotations",
    "bootstrap",
];

/// Annotations that say something of the operation and nothing else.
const ANNOTATIONS: &[&str] = &[
    "odoofleet.dev/requestedAt",
    "odoofleet.dev/restartedAt",
    "odoofleet.dev/allow-deletion",
    "odoofleet.dev/allow-data-loss",
    "odoofleet.dev/allow-takeover",
    "odoofleet.dev/major-upgrade",
    "odoofleet.dev/role",
    "odoofleet.dev/replicas",
    "deployment.kubernetes.io/revision",
    "meta.helm.sh/release-name",
];

/// Labels whose values are names of ours or of Kubernetes.
const LABELS: &[&str] = &[
    "odoofleet.dev/",
    "app.kubernetes.io/",
    "apps.kubernetes.io/",
    "statefulset.kubernetes.io/",
    "helm.sh/chart",
    "pod-template-hash",
    "controller-revision-hash",
];

/// Fields whose text names an image or a commit, which looks as if nobody had thought of it.
const DIGESTS: &[&str] = &["commit", "digest", "image", "imageID", "containerID", "fingerprint"];

/// Learns what stands where names of people and companies, and secrets, have their place.
pub fn learn(object: &Value, scrubber: &mut Scrubber) {
    for pointer in ["/spec/displayName", "/spec/contact", "/spec/contract/number", "/spec/attributes"] {
        all_texts(object.pointer(pointer).unwrap_or(&Value::Null), &mut |text| scrubber.learn(text));
    }
    secrets(object, &mut |text| scrubber.learn(text));
}

fn all_texts(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(list) => list.iter().for_each(|value| all_texts(value, take)),
        Value::Object(map) => map.values().for_each(|value| all_texts(value, take)),
        _ => {}
    }
}

/// Texts below keys that are called like a secret, and values of variables that are.
fn secrets(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| secrets(value, take)),
        Value::Object(map) => {
            let is_secret = |name: &str| {
                let name = name.to_ascii_lowercase();
                let is_reference = name.ends_with("ref")
                    || name.ends_with("name")
                    || name.ends_with("paths")
                    || name.ends_with("from");
                !is_reference
                    && ["passw", "secret", "token", "apikey", "api_key", "credential"]
                        .iter()
                        .any(|word| name.contains(word))
            };
            if let (Some(Value::String(name)), Some(Value::String(text))) = (map.get("name"), map.get("value"))
                && is_secret(name)
            {
                take(text);
            }
            for (key, value) in map {
                match value {
                    Value::String(text) if is_secret(key) => take(text),
                    value => secrets(value, take),
                }
            }
        }
        _ => {}
    }
}

/// The object as it may be shown.
pub fn object(object: &Value, scrubber: &Scrubber) -> Value {
    let mut shown = Map::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let value = match key.as_str() {
            "metadata" => metadata(value, scrubber),
            // What the operator and Kubernetes write: nothing but messages is free in it.
            "status" | "involvedObject" | "source" | "message" | "reason" | "type" => said(key, value, scrubber),
            "data" | "stringData" | "binaryData" => Value::from(REDACTED),
            _ => strict(key, value, scrubber),
        };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

fn metadata(metadata: &Value, scrubber: &Scrubber) -> Value {
    let mut shown = Map::new();
    for (key, value) in metadata.as_object().into_iter().flatten() {
        let pairs = |is_kept: &dyn Fn(&str) -> bool| -> Value {
            let pairs = value.as_object().into_iter().flatten();
            let pairs = pairs.map(|(key, value)| {
                let value = value
                    .as_str()
                    .filter(|_| is_kept(key))
                    .map_or_else(|| REDACTED.to_owned(), |text| scrubber.text(text));
                (scrubber.text(key), Value::from(value))
            });
            Value::Object(pairs.collect())
        };
        let value = match key.as_str() {
            "managedFields" => continue,
            "annotations" => pairs(&|key| ANNOTATIONS.contains(&key)),
            "labels" => pairs(&|key| LABELS.iter().any(|prefix| key.starts_with(prefix))),
            _ => said(key, value, scrubber),
        };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

/// All of it, but for what looks like a secret in its texts.
fn said(key: &str, value: &Value, scrubber: &Scrubber) -> Value {
    match value {
        Value::String(text) if DIGESTS.contains(&key) => Value::from(digest(text, scrubber)),
        Value::String(text) => Value::from(scrubber.text(text)),
        Value::Array(list) => list.iter().map(|value| said(key, value, scrubber)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (scrubber.text(key), said(key, value, scrubber)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Hexadecimal digits are a digest here, whatever they look like; all else is a text as any other.
fn digest(text: &str, scrubber: &Scrubber) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
        return text.to_owned();
    }
    scrubber.text(text)
}

/// What is known to be harmless.
fn strict(key: &str, value: &Value, scrubber: &Scrubber) -> Value {
    match value {
        Value::Object(_) | Value::Array(_) | Value::String(_) if FREE.contains(&key) => emptied(value, scrubber),
        Value::Array(list) if key == "env" => list.iter().map(|variable| variable_of(variable, scrubber)).collect(),
        Value::Array(list) => list.iter().map(|value| strict(key, value, scrubber)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                if key == "metadata" {
                    (key.clone(), metadata(value, scrubber))
                } else {
                    (scrubber.text(key), strict(key, value, scrubber))
                }
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::String(text) if KEPT.contains(&key) => said(key, &Value::from(text.as_str()), scrubber),
        Value::String(_) => Value::from(REDACTED),
        other => other.clone(),
    }
}

/// A variable: its name, and where its value comes from.
fn variable_of(variable: &Value, scrubber: &Scrubber) -> Value {
    let mut shown = Map::new();
    for (key, value) in variable.as_object().into_iter().flatten() {
        let value = if key == "value" { Value::from(REDACTED) } else { strict(key, value, scrubber) };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

/// Nothing but keys.
fn emptied(value: &Value, scrubber: &Scrubber) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (scrubber.text(key), emptied(value, scrubber))).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.iter().map(|value| emptied(value, scrubber)).collect(),
        Value::Null => Value::Null,
        _ => Value::from(REDACTED),
    }
}
