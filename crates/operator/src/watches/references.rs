//! Secrets and ConfigMaps that carry a customer's label or are shared: digests of their keys, never their contents.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use odoofleet_api::labels;
use odoofleet_core::digest;
use odoofleet_core::environment::references::{ObjectKind, ObjectName, ReferencedObject};

/// Reads a Secret.
pub fn secret(secret: &Secret) -> (ObjectName, ReferencedObject) {
    let keys = secret.data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(&value.0))).collect();
    found(ObjectKind::Secret, secret, secret.type_.clone().unwrap_or_default(), keys)
}

/// Reads a ConfigMap.
pub fn config_map(map: &ConfigMap) -> (ObjectName, ReferencedObject) {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(value.as_bytes())));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(&value.0)));
    found(ObjectKind::ConfigMap, map, String::new(), text.chain(binary).collect())
}

fn found(
    kind: ObjectKind,
    object: &impl ResourceExt,
    type_: String,
    keys: BTreeMap<String, String>,
) -> (ObjectName, ReferencedObject) {
    let all = object.labels();
    let is_true = |label| all.get(label).is_some_and(|value| value == "true");
    let found = ReferencedObject::Found {
        customer: all.get(labels::CUSTOMER).cloned(),
        shared: is_true(labels::SHARED),
        type_,
        environment: all.get(labels::ENVIRONMENT).cloned(),
        stage: all.get(labels::STAGE).cloned(),
        named_by_production: is_true(labels::NAMED_BY_PRODUCTION),
        generated_for: all.get(labels::ENVIRONMENT).filter(|_| is_true(labels::GENERATED)).cloned(),
        generated_uid: all.get(labels::ENVIRONMENT_UID).filter(|_| is_true(labels::GENERATED)).cloned(),
        keys,
        resource_version: object.resource_version().unwrap_or_default(),
    };
    (ObjectName { kind, name: object.name_any() }, found)
}
