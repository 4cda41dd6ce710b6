//! Objects as a watch brings them: one that cannot be read stops nobody but itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::problem::problem;

/// Levels that free-form values of our kinds may have. What holds them, such as a template's version, is deeper by a few, and has
/// to be read as well.
const VALUES: usize = 64;
/// The object and its spec lie around its values.
const AROUND: usize = 2;
/// Levels that any object may have: those that `serde_json` reads.
const LEVELS: usize = 127;
/// A map with this one key is taken by `serde_json` for JSON inside a string: what we read would not be what policies and Helm have read.
const RESERVED: &str = "\"$serde_json::private::RawValue\"";

/// An object of a kind, or what is known of one that cannot be read.
///
/// Reading it fails only where a whole response is not JSON, so `Api<Readable<K>>` and a watcher of it go on with everything else.
/// An object comes without `managedFields`, which are as deep as the values that they describe. Where metadata alone is read, they stay
/// without the fields: who wrote, and when.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a kind is not smaller: it has the same metadata")]
pub enum Readable<K> {
    /// The object.
    Object(K),
    /// It is there, and more cannot be said.
    Unreadable(Unreadable),
}

/// What is known of an object that cannot be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// All of it but `managedFields`; if that cannot be read either, name, namespace, UID and resource version.
    pub metadata: ObjectMeta,
    /// Why, in words that hold no value of the object.
    pub problem: String,
}

impl<K> Readable<K>
where
    K: Resource + DeserializeOwned,
    K::DynamicType: Default,
{
    fn read(text: &str) -> Self {
        let trimmed = trimmed(text, K::metadata_api());
        let text = trimmed.as_deref().unwrap_or(text);
        match object(text) {
            Ok(object) => Self::Object(object),
            Err(problem) => Self::Unreadable(Unreadable { metadata: metadata(text), problem }),
        }
    }
}

impl<'de, K> Deserialize<'de> for Readable<K>
where
    K: Resource + DeserializeOwned,
    K::DynamicType: Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw text is skipped without recursion, whatever its depth.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::read(raw.get()))
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn api_version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::api_version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn url_path(dynamic: &Self::DynamicType, namespace: Option<&str>) -> String {
        K::url_path(dynamic, namespace)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Object(object) => object.meta(),
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Object(object) => object.meta_mut(),
            Self::Unreadable(unreadable) => &mut unreadable.metadata,
        }
    }

    fn object_ref(&self, dynamic: &Self::DynamicType) -> ObjectReference {
        match self {
            Self::Object(object) => object.object_ref(dynamic),
            Self::Unreadable(Unreadable { metadata, .. }) => ObjectReference {
                api_version: Some(K::api_version(dynamic).into_owned()),
                kind: Some(K::kind(dynamic).into_owned()),
                name: metadata.name.clone(),
                namespace: metadata.namespace.clone(),
                resource_version: metadata.resource_version.clone(),
                uid: metadata.uid.clone(),
                ..ObjectReference::default()
            },
        }
    }
}

fn object<K>(text: &str) -> Result<K, String>
where
    K: Resource + DeserializeOwned,
    K::DynamicType: Default,
{
    if text.contains(RESERVED) {
        return Err(format!("the object holds the reserved name {RESERVED}"));
    }
    let levels = levels(text);
    if K::group(&K::DynamicType::default()) == odoofleet_api::GROUP && levels > VALUES + AROUND {
        return Err(format!("values are nested deeper than {VALUES} levels"));
    }
    let object: K = serde_json::from_str(text).map_err(|_| {
        if levels > LEVELS { format!("the object is nested deeper than {LEVELS} levels") } else { problem::<K>(text) }
    })?;
    if object.meta().name.as_deref().unwrap_or_default().is_empty() {
        return Err("\"metadata\" lacks the field \"name\"".to_owned());
    }
    Ok(object)
}

/// The fields of an object, none of them looked into.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The object's text without which fields somebody wrote, and unless `managers` says so without who wrote at all; `None` if there is no
/// such thing in it.
fn trimmed(text: &str, managers: bool) -> Option<String> {
    let mut object: Fields = serde_json::from_str(text).ok()?;
    let mut metadata: Fields = serde_json::from_str(object.get("metadata")?.get()).ok()?;
    let written = metadata.remove("managedFields")?;
    let bare = bare_managers(written).filter(|_| managers);
    if let Some(bare) = &bare {
        metadata.insert("managedFields".to_owned(), bare);
    }
    let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
    object.insert("metadata".to_owned(), &metadata);
    serde_json::to_string(&object).ok()
}

/// Who wrote, and when, without the fields.
fn bare_managers(written: &RawValue) -> Option<Box<RawValue>> {
    let mut entries: Vec<Fields> = serde_json::from_str(written.get()).ok()?;
    for entry in &mut entries {
        entry.remove("fieldsV1");
    }
    serde_json::value::to_raw_value(&entries).ok()
}

/// As much of an object's metadata as can be read.
fn metadata(text: &str) -> ObjectMeta {
    let object: Fields = serde_json::from_str(text).unwrap_or_default();
    let Some(metadata) = object.get("metadata") else { return ObjectMeta::default() };
    serde_json::from_str(metadata.get()).unwrap_or_else(|_| {
        let fields: Fields = serde_json::from_str(metadata.get()).unwrap_or_default();
        let text = |name: &str| serde_json::from_str(fields.get(name)?.get()).ok();
        ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        }
    })
}

/// How deep maps and lists lie in each other. The text is JSON.
fn levels(text: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b'}' | b']' => level = level.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "readable_tests.rs"]
mod tests;
