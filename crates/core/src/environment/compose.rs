//! The values of an environment, from their layers.

use odoofleet_api::Object;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::OdooEnvironmentSpec;
use serde_json::{Value, json};

use super::references::{ObjectKind, ObjectName, References, VersionView};
use super::{Refusal, check};
use crate::values::{BoundValue, Inputs, Layer, Layers, PathError, ValuePath, apply_bindings, bound_layer};

/// One value from a Secret or ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FedValue {
    /// Where it goes.
    pub to: ValuePath,
    /// Where it comes from.
    pub object: ObjectName,
    /// Its key.
    pub key: String,
}

/// Value paths, and digests of what is fed to them.
pub type Digests = Vec<(String, String)>;

/// The values of an environment, and what decides over them.
pub struct Values {
    /// Final values; what Secrets and ConfigMaps feed is empty.
    pub composed: Object,
    /// What Secrets and ConfigMaps feed.
    pub fed: Vec<FedValue>,
    /// The same as digests.
    pub fed_digests: Digests,
    /// Paths that are scaled live.
    pub live_paths: Vec<ValuePath>,
    /// Digest of what Odoo's pods begin with.
    pub check: String,
}

impl Values {
    /// Composes the layers, and refuses what contradicts the template or the schema.
    pub fn compose(
        spec: &OdooEnvironmentSpec,
        version: &VersionView,
        inputs: &Inputs,
        references: &References,
    ) -> Result<Self, Refusal> {
        let content = &version.content;
        let bound = apply_bindings(&content.bindings, inputs)
            .map_err(|error| Refusal::new(Reason::TemplateNotReady, error.to_string()))?;
        check_required(&content.required, inputs)?;
        check_bound(version, inputs)?;
        check_collisions(spec, &bound, &content.secret_value_paths())?;
        let (fed, fed_digests) = fed_values(spec, references)?;

        let invalid = |error: PathError| Refusal::new(Reason::ValueNotAllowed, error.to_string());
        let mut fed_layer = Object::new();
        for value in &fed {
            value.to.set(&mut fed_layer, json!("")).map_err(invalid)?;
        }
        let mut layers = Layers::default();
        layers.push(Layer::Template, content.values.clone());
        layers.push(Layer::Environment, spec.values.clone());
        layers.push(Layer::ValuesFrom, fed_layer);
        layers.push(Layer::Input, bound_layer(&bound).map_err(invalid)?);
        let composed = layers.composed();
        check_schema(version, &layers, &fed)?;
        let check = check::digest(&bound, &composed, &content.odoo_version);
        Ok(Self { composed, fed, fed_digests, live_paths: content.live_paths(), check })
    }
}

fn check_required(required: &[String], inputs: &Inputs) -> Result<(), Refusal> {
    let missing: Vec<&str> = required.iter().map(String::as_str).filter(|name| inputs.get(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::InputRequired,
        format!("the template requires \"spec.{}\": set it", missing.join("\", \"spec.")),
    ))
}

/// An input that is set and reaches no value would be a wish that nobody hears.
fn check_bound(version: &VersionView, inputs: &Inputs) -> Result<(), Refusal> {
    let covers = |from: &str, input: &str| {
        from == input
            || input.strip_prefix(from).is_some_and(|rest| rest.starts_with('.'))
            || from.strip_prefix(input).is_some_and(|rest| rest.starts_with('.'))
    };
    let is_bound = |input: &String| {
        version.content.bindings.iter().any(|binding| {
            binding.from.as_deref().is_some_and(|from| covers(from, input))
                || binding.value.as_deref().is_some_and(|value| value.contains(&format!("inputs.{input}")))
        })
    };
    let Some(deaf) = inputs.set_by_user().into_iter().find(|input| !is_bound(input)) else { return Ok(()) };
    let message = format!(
        "template \"{}\" does not bind \"spec.{deaf}\" to a value of its chart: remove the field, or add a binding to the template",
        version.template
    );
    Err(Refusal::new(Reason::InputNotBound, message))
}

fn check_collisions(
    spec: &OdooEnvironmentSpec,
    bound: &[BoundValue],
    secret_paths: &[ValuePath],
) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Reason::ValueNotAllowed, message));
    for item in bound {
        if sets(&spec.values, &item.to) {
            return refuse(item.collision("spec.values", &item.to));
        }
    }
    for path in secret_paths {
        let plain = path.get(&spec.values).is_some_and(|value| !value.is_null() && value.as_str() != Some(""));
        if plain {
            return refuse(format!(
                "\"spec.values.{path}\" may only come from a Secret: use spec.valuesFrom with secretKeyRef"
            ));
        }
    }
    for from in &spec.values_from {
        let target = ValuePath::parse(&from.target_path)
            .map_err(|error| Refusal::new(Reason::InvalidSpec, format!("spec.valuesFrom: {error}")))?;
        if let Some(item) = bound.iter().find(|item| item.value.is_some() && item.to.overlaps(&target)) {
            return refuse(item.collision("spec.valuesFrom", &target));
        }
        if from.secret_key_ref.is_none() && secret_paths.iter().any(|path| path.overlaps(&target)) {
            return refuse(format!("\"{target}\" may only come from a Secret: use secretKeyRef"));
        }
    }
    Ok(())
}

/// Whether values decide what stands at a path: they set it, or put something that is not a map on the way to it.
fn sets(values: &Object, path: &ValuePath) -> bool {
    if path.get(values).is_some() {
        return true;
    }
    path.set(&mut values.clone(), Value::Null).is_err()
}

fn fed_values(spec: &OdooEnvironmentSpec, references: &References) -> Result<(Vec<FedValue>, Digests), Refusal> {
    let (mut fed, mut digests) = (Vec::new(), Vec::new());
    for from in &spec.values_from {
        let (kind, key) = match (&from.secret_key_ref, &from.config_map_key_ref) {
            (Some(key), None) => (ObjectKind::Secret, key),
            (None, Some(key)) => (ObjectKind::ConfigMap, key),
            _ => {
                return Err(Refusal::new(
                    Reason::InvalidSpec,
                    "spec.valuesFrom needs exactly one of secretKeyRef and configMapKeyRef",
                ));
            }
        };
        let object = ObjectName { kind, name: key.name.clone() };
        let digest = references.key_digest(&object, &key.key)?.to_owned();
        let to = ValuePath::parse(&from.target_path)
            .map_err(|error| Refusal::new(Reason::InvalidSpec, format!("spec.valuesFrom: {error}")))?;
        digests.push((to.to_string(), digest));
        fed.push(FedValue { to, object, key: key.key.clone() });
    }
    Ok((fed, digests))
}

fn check_schema(version: &VersionView, layers: &Layers, fed: &[FedValue]) -> Result<(), Refusal> {
    let Some(schema) = &version.schema else { return Ok(()) };
    let mut with_defaults = Layers::default();
    with_defaults.push(Layer::Chart, version.chart.values.clone());
    with_defaults.extend(layers);
    let unknown: Vec<ValuePath> = fed.iter().map(|value| value.to.clone()).collect();
    let violations = schema.check(&with_defaults, &unknown);
    if violations.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(Refusal::new(
        Reason::SchemaViolation,
        format!("the values do not match the chart's schema: {}", list.join("; ")),
    ))
}
