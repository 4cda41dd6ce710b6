//! Corrections that the derived CRDs need before an API server takes them as we mean them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::json;

use crate::Object;

/// Schema of a free-form object: Helm values may hold anything. Null, because the API server makes that of an object whose last
/// key server-side apply takes away.
pub fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}

/// Reads a free-form object; null is an empty one.
pub fn read_free_form<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Object, D::Error> {
    Option::<Object>::deserialize(from).map(Option::unwrap_or_default)
}

/// Finishes a derived CRD: status is born not observed, and Rust's integer formats are left out.
pub fn finish(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        drop_unsigned_formats(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            // Whoever reads the object before the operator did must not take it for ready (kstatus).
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
    }
}

/// The API server warns about `uint32` and the like at every apply.
fn drop_unsigned_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    let children = schema.properties.iter_mut().flat_map(|map| map.values_mut());
    children.for_each(drop_unsigned_formats);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => drop_unsigned_formats(items),
        Some(JSONSchemaPropsOrArray::Schemas(list)) => list.iter_mut().for_each(drop_unsigned_formats),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &mut schema.additional_properties {
        drop_unsigned_formats(inner);
    }
}
