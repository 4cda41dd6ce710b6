//! Secrets and ConfigMaps that carry a customer's label or are shared: digests of their keys, never their contents.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use odoofleet_api::labels;
use odoofleet_core::digest;
use odoofleet_core::environment::references::{ObjectKind, ObjectName, ReferencedObject};
use parking_lot::RwLock;

/// Objects by kind and name, with the label by which each watch found them.
#[derive(Default)]
pub struct ReferenceIndex(RwLock<HashMap<ObjectName, ReferencedObject>>);

/// A Secret or ConfigMap on its way into the index.
pub struct Incoming {
    /// Kind and name.
    pub name: ObjectName,
    /// As digests.
    pub object: ReferencedObject,
}

/// Reads a Secret.
pub fn secret(secret: &Secret) -> Incoming {
    let keys = secret.data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(&value.0))).collect();
    found(ObjectKind::Secret, secret, secret.type_.clone().unwrap_or_default(), keys)
}

/// Reads a ConfigMap.
pub fn config_map(map: &ConfigMap) -> Incoming {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(value.as_bytes())));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), digest::base32(&value.0)));
    found(ObjectKind::ConfigMap, map, String::new(), text.chain(binary).collect())
}

fn found(kind: ObjectKind, object: &impl ResourceExt, type_: String, keys: BTreeMap<String, String>) -> Incoming {
    let all = object.labels();
    Incoming {
        name: ObjectName { kind, name: object.name_any() },
        object: ReferencedObject::Found {
            customer: all.get(labels::CUSTOMER).cloned(),
            shared: all.get(labels::SHARED).is_some_and(|value| value == "true"),
            type_,
            keys,
            resource_version: object.resource_version().unwrap_or_default(),
        },
    }
}

impl ReferenceIndex {
    /// Takes in an object.
    pub fn apply(&self, incoming: Incoming) {
        self.0.write().insert(incoming.name, incoming.object);
    }

    /// Forgets an object that a watch by `shared` no longer sees. An object can leave one watch and stay in the other.
    pub fn remove(&self, name: &ObjectName, by_shared: bool) {
        let mut all = self.0.write();
        let stays = all.get(name).is_some_and(|object| is_seen_by(object, !by_shared));
        if !stays {
            all.remove(name);
        }
    }

    /// Replaces everything of a kind that one watch sees.
    pub fn replace(&self, kind: ObjectKind, by_shared: bool, incoming: Vec<Incoming>) {
        let mut all = self.0.write();
        all.retain(|name, object| {
            name.kind != kind || !is_seen_by(object, by_shared) || is_seen_by(object, !by_shared)
        });
        all.extend(incoming.into_iter().map(|incoming| (incoming.name, incoming.object)));
    }

    /// An object, if a watch sees it.
    pub fn get(&self, name: &ObjectName) -> Option<ReferencedObject> {
        self.0.read().get(name).cloned()
    }

    /// Names of the Secrets that a customer's pods may refer to.
    pub fn secrets_for(&self, customer: &str) -> Vec<String> {
        let all = self.0.read();
        let allowed = |object: &ReferencedObject| match object {
            ReferencedObject::Found { customer: owner, shared, .. } => *shared || owner.as_deref() == Some(customer),
            ReferencedObject::Unlabelled | ReferencedObject::Missing => false,
        };
        let secrets = all.iter().filter(|(name, object)| name.kind == ObjectKind::Secret && allowed(object));
        let mut names: Vec<String> = secrets.map(|(name, _)| name.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

fn is_seen_by(object: &ReferencedObject, shared_watch: bool) -> bool {
    match object {
        ReferencedObject::Found { customer, shared, .. } => {
            if shared_watch {
                *shared
            } else {
                customer.is_some()
            }
        }
        ReferencedObject::Unlabelled | ReferencedObject::Missing => false,
    }
}
