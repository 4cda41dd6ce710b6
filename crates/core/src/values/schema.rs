//! The schema check of the final values. Helm's own check has the last word; this one comes earlier and names the layer.

use jsonschema::{ValidationError, error::ValidationErrorKind};
use odoofleet_api::Object;
use serde_json::Value;

use super::layers::lies_in;
use super::{Layer, Layers, ValuePath};

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
    /// The rule, such as `type` or `maximum`, and what is wrong.
    pub rule: String,
    /// Who set what stands there; of what is missing, the map that lacks it.
    pub origin: Option<Layer>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, rule, origin } = self;
        let origin = origin.map_or("nobody", Layer::as_str);
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
        let is_known = |error: &ValidationError<'_>| {
            let pointer = error.instance_path().as_str();
            !unknown.iter().any(|place| lies_in(pointer, place))
        };
        let errors = self.0.iter_errors(&values).filter(is_known);
        errors.flat_map(|error| violations(&error, layers)).take(MAX_VIOLATIONS).collect()
    }

    /// Checks what stands under `fed`, when it is there. Helm would refuse it, too, but does not know who feeds it.
    pub fn check_fed(&self, chart: &Object, values: &Object, fed: &[ValuePath]) -> Vec<Violation> {
        let mut layers = Layers::default();
        layers.push(Layer::Chart, chart.clone());
        layers.push(Layer::ValuesFrom, values.clone());
        let places: Vec<String> = fed.iter().map(ValuePath::pointer).collect();
        let mut values = Value::Object(layers.composed());
        drop_nulls(&mut values);
        let is_fed = |error: &ValidationError<'_>| {
            let pointer = error.instance_path().as_str();
            places.iter().any(|place| lies_in(pointer, place))
        };
        let errors = self.0.iter_errors(&values).filter(is_fed);
        errors.flat_map(|error| violations(&error, &layers)).take(MAX_VIOLATIONS).collect()
    }
}

/// All violations in one sentence, if there are any.
pub fn told(violations: &[Violation]) -> Option<String> {
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    (!list.is_empty()).then(|| format!("the values do not match the chart's schema: {}", list.join("; ")))
}

/// A rule about the keys of a map is broken by these keys, not by the map.
fn violations(error: &ValidationError<'_>, layers: &Layers) -> Vec<Violation> {
    use ValidationErrorKind::{AdditionalProperties, PropertyNames, Required, UnevaluatedProperties};
    let at = error.instance_path().as_str();
    let schema_path = error.schema_path().as_str();
    let rule = schema_path.rsplit('/').next().unwrap_or_default();
    let violation = |pointer: &str, text: &str| Violation {
        path: path_of(pointer),
        rule: format!("\"{rule}\" ({text})"),
        origin: layers.origin(pointer),
    };
    let key = |key: &str, text: &str| violation(&format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), text);
    match error.kind() {
        AdditionalProperties { unexpected } | UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| key(name, "there is no such value")).collect()
        }
        Required { property: Value::String(name) } => vec![key(name, "it is missing")],
        PropertyNames { error: name } => {
            let text = name.masked_with("its name").to_string();
            vec![name.instance().as_str().map_or_else(|| violation(at, &text), |name| key(name, &text))]
        }
        _ => vec![violation(at, &error.masked().to_string())],
    }
}

/// A JSON pointer as people write the place in values.
fn path_of(pointer: &str) -> String {
    match pointer.strip_prefix('/') {
        Some(path) => path.replace('/', ".").replace("~1", "/").replace("~0", "~"),
        None => "(all values)".to_owned(),
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
    fn a_rule_about_keys_names_the_keys_and_who_set_them() {
        let schema = Schema::compile(&json!({
            "additionalProperties": false,
            "required": ["name"],
            "properties": {
                "name": {},
                "odoo": {"properties": {"workers": {}}, "additionalProperties": false},
                "tls": {"required": ["secretName"]},
                "labels": {"propertyNames": {"maxLength": 3}},
                "free": {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": false},
            },
        }))
        .unwrap();
        let cases: [(Value, &[&str]); 8] = [
            (json!({"extraEnv": ["s3cret"]}), &["extraEnv", "additionalProperties", "no such value", "spec.values"]),
            (json!({"x": 1, "y": "s3cret"}), &["\"x\"", "\"y\"", "spec.values"]),
            (json!({"odoo": {"a/b.c": "s3cret"}}), &["odoo.a/b.c", "additionalProperties", "spec.values"]),
            (json!({"tls": {"key": "s3cret"}}), &["tls.secretName", "required", "it is missing", "spec.values"]),
            (json!({"name": null}), &["\"name\"", "required", "it is missing"]),
            (json!({"labels": {"long": "s3cret"}}), &["labels.long", "maxLength", "spec.values"]),
            (json!({"free": {"a": 1, "b": "s3cret"}}), &["free.b", "unevaluatedProperties", "spec.values"]),
            (json!({"odoo": {"old": null}}), &[]),
        ];
        for (environment, expected) in cases {
            let layers = layers(json!({"name": "n"}), environment.clone());
            let found: Vec<String> = schema.check(&layers, &[]).iter().map(ToString::to_string).collect();
            let text = found.join("; ");
            assert_eq!(found.is_empty(), expected.is_empty(), "{environment}: {text}");
            for part in expected {
                assert!(text.contains(part), "{environment}: {text}");
            }
            assert!(!text.contains("s3cret") && !text.contains("(all values)"), "{text}");
        }
    }

    #[test]
    fn a_key_that_the_schema_does_not_know_is_told_whatever_feeds_it() {
        let schema = Schema::compile(&json!({"additionalProperties": false, "properties": {"pass": {}}})).unwrap();
        let mut layers = layers(json!({}), json!({"passwordPolicy": 1}));
        let fed = ValuePath::parse("password").unwrap();
        layers.set(Layer::ValuesFrom, [(fed.clone(), json!(""))]).unwrap();
        let found = schema.check(&layers, &[fed]);
        let told: Vec<_> = found.iter().map(|violation| (violation.path.as_str(), violation.origin)).collect();
        assert_eq!(told, [("password", Some(Layer::ValuesFrom)), ("passwordPolicy", Some(Layer::Environment))]);
    }

    #[test]
    fn what_is_fed_is_checked_when_it_is_there_and_nothing_else_then() {
        let schema = Schema::compile(&json!({"properties": {
            "note": {"pattern": "^[^\\r\\n]*$"}, "port": {"type": "integer"}, "other": {"type": "integer"},
        }}))
        .unwrap();
        let object = |value| serde_json::from_value(value).unwrap();
        let (chart, values) = (object(json!({"port": 1})), object(json!({"note": "s3cret\r\n", "other": "x"})));
        let fed = [ValuePath::parse("note").unwrap()];
        let text = told(&schema.check_fed(&chart, &values, &fed)).unwrap();
        assert!(text.contains("\"note\"") && text.contains("set by spec.valuesFrom"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("other"), "{text}");
        assert_eq!(told(&schema.check_fed(&chart, &object(json!({"note": "fine"})), &fed)), None);
    }

    #[test]
    fn a_place_that_only_begins_like_what_is_fed_is_checked() {
        let schema = Schema::compile(&json!({"properties": {"passwordPolicy": {"type": "string"}}})).unwrap();
        let layers = layers(json!({}), json!({"passwordPolicy": 1}));
        assert_eq!(schema.check(&layers, &[ValuePath::parse("password").unwrap()]).len(), 1);
    }

    #[test]
    fn a_schema_that_refers_elsewhere_is_refused() {
        for elsewhere in ["https://example.com/schema.json", "file:///dev/zero"] {
            assert!(Schema::compile(&json!({"$ref": elsewhere})).is_err(), "{elsewhere}");
        }
    }
}
