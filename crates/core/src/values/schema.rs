//! The schema check of the final values. Helm's own check has the last word; this one comes earlier and names the layer.

use serde_json::Value;

use super::{Layers, ValuePath};

/// At most so many violations are told at once.
const MAX_VIOLATIONS: usize = 5;

/// A compiled schema.
pub struct Schema(jsonschema::Validator);

/// A schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the values schema is not a valid JSON Schema: {0}")]
pub struct SchemaError(String);

/// A place where values break the schema. It never holds the value itself: that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place, as a value path.
    pub path: String,
    /// The rule, such as `type` or `maximum`.
    pub rule: String,
    /// Who set the value.
    pub origin: &'static str,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, rule, origin } = self;
        write!(f, "\"{path}\" breaks {rule} of the schema (set by {origin})")
    }
}

impl Schema {
    /// Compiles a schema. References to other documents are refused: nothing is ever fetched.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        jsonschema::validator_for(schema).map(Self).map_err(|error| SchemaError(error.masked().to_string()))
    }

    /// Checks the final values. What stands under one of `unknown` (fed from a Secret) is left to Helm's check.
    pub fn check(&self, layers: &Layers, unknown: &[ValuePath]) -> Vec<Violation> {
        let mut values = Value::Object(layers.composed());
        drop_nulls(&mut values);
        let unknown: Vec<String> = unknown.iter().map(ValuePath::pointer).collect();
        let errors = self.0.iter_errors(&values).map(|error| {
            let pointer = error.instance_path().to_string();
            let rule = error.schema_path().to_string();
            (pointer, rule.rsplit('/').next().unwrap_or_default().to_owned(), error.masked().to_string())
        });
        errors
            .filter(|(pointer, ..)| !unknown.iter().any(|path| pointer.starts_with(path)))
            .take(MAX_VIOLATIONS)
            .map(|(pointer, rule, text)| Violation {
                origin: layers.origin(&pointer).map_or("nobody", super::Layer::as_str),
                path: if pointer.is_empty() {
                    "(all values)".to_owned()
                } else {
                    pointer.trim_start_matches('/').replace('/', ".")
                },
                rule: format!("\"{rule}\" ({text})"),
            })
            .collect()
    }
}

/// Helm drops what is set to null before it validates.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, inner| !inner.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Layer;
    use serde_json::json;

    fn layers(chart: Value, environment: Value) -> Layers {
        let mut layers = Layers::default();
        layers.push(Layer::Chart, serde_json::from_value(chart).unwrap());
        layers.push(Layer::Environment, serde_json::from_value(environment).unwrap());
        layers
    }

    #[test]
    fn a_violation_names_path_rule_and_layer_but_not_the_value() {
        let schema =
            Schema::compile(&json!({"properties": {"odoo": {"properties": {"workers": {"type": "integer"}}}}}))
                .unwrap();
        let violations =
            schema.check(&layers(json!({"odoo": {"workers": 2}}), json!({"odoo": {"workers": "s3cret"}})), &[]);
        assert_eq!(violations.len(), 1);
        let text = violations[0].to_string();
        assert!(
            text.contains("\"odoo.workers\"") && text.contains("\"type\"") && text.contains("spec.values"),
            "{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn what_a_secret_feeds_is_left_to_helm_and_null_is_absent() {
        let schema =
            Schema::compile(&json!({"properties": {"password": {"maxLength": 1}, "n": {"type": "integer"}}})).unwrap();
        let unknown = [ValuePath::parse("password").unwrap()];
        assert_eq!(schema.check(&layers(json!({"n": 1}), json!({"password": "long", "n": null})), &unknown), vec![]);
    }

    #[test]
    fn a_schema_that_refers_elsewhere_is_refused() {
        for elsewhere in ["https://example.com/schema.json", "file:///dev/zero"] {
            assert!(Schema::compile(&json!({"$ref": elsewhere})).is_err(), "{elsewhere}");
        }
    }
}
