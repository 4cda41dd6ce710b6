//! The values of an environment, from their layers.

use odoofleet_api::Object;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::OdooEnvironmentSpec;
use serde_json::{Value, json};

use super::references::{ObjectKind, ObjectName, References, VersionView};
use super::value_rules::ValueRules;
use crate::digest;
use crate::finding::Finding;
use crate::values::{
    BoundValue, Inputs, Layer, Layers, PathError, ValuePath, apply_bindings, password, told_violations,
};

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
    /// The layers of which they are made.
    pub layers: Layers,
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
    ) -> Result<Self, Finding> {
        let values = Self::layered(spec, version, inputs, references)?;
        values.check_schema(version)?;
        Ok(values)
    }

    /// The same without asking the schema.
    pub fn layered(
        spec: &OdooEnvironmentSpec,
        version: &VersionView,
        inputs: &Inputs,
        references: &References,
    ) -> Result<Self, Finding> {
        let content = &version.content;
        let bound = apply_bindings(&content.bindings, inputs)
            .map_err(|error| Finding::new(Reason::TemplateNotReady, error.to_string()))?;
        check_required(&content.required, inputs)?;
        check_bound(version, inputs)?;
        ValueRules::new(version, &bound).check(spec)?;
        let (mut fed, mut fed_digests) = fed_values(spec, references)?;
        for (value, digest) in passwords(&bound, inputs, references)? {
            fed_digests.push((value.to.to_string(), digest));
            fed.push(value);
        }

        let invalid = |error: PathError| Finding::new(Reason::ValueNotAllowed, error.to_string());
        let fed_places = fed.iter().map(|value| (value.to.clone(), json!("")));
        let bound_places = bound.iter().filter_map(|item| Some((item.to.clone(), item.value.clone()?)));
        let mut layers = Layers::default();
        layers.push(Layer::Chart, version.chart.values.clone());
        layers.push(Layer::Template, content.values.clone());
        layers.push(Layer::Environment, spec.values.clone());
        layers.set(Layer::ValuesFrom, fed_places).map_err(invalid)?;
        layers.set(Layer::Input, bound_places).map_err(invalid)?;
        let composed = layers.over_chart();
        let check = check_digest(&bound, &version.chart.check_paths, &composed, &content.odoo_version);
        Ok(Self { layers, composed, fed, fed_digests, live_paths: content.live_paths(), check })
    }

    /// Refuses what breaks the schema.
    pub fn check_schema(&self, version: &VersionView) -> Result<(), Finding> {
        let Some(schema) = &version.schema else { return Ok(()) };
        let unknown: Vec<ValuePath> = self.fed.iter().map(|value| value.to.clone()).collect();
        match told_violations(&schema.check(&self.layers, &unknown)) {
            Some(told) => Err(Finding::new(Reason::SchemaViolation, told)),
            None => Ok(()),
        }
    }
}

/// Inputs with which Odoo's pods begin.
const BEGINNINGS: [&str; 8] =
    ["image", "addonsImage", "git", "allowedGitHosts", "modules", "odooVersion", "mail", "masterPasswordSecret"];

/// Digest of the final values with which Odoo's pods begin: those of inputs, and those that the chart names beside. It holds no secret: they
/// only name them.
fn check_digest(bound: &[BoundValue], beside: &[ValuePath], composed: &Object, odoo_version: &str) -> String {
    let begins = |input: &str| BEGINNINGS.iter().any(|name| input.split('.').next() == Some(name));
    let of_inputs = bound
        .iter()
        .filter(|value| begins(&value.input))
        .map(|value| json!([value.to.to_string(), value.to.get(composed)]));
    let beside = beside.iter().filter_map(|path| Some(json!([path.to_string(), path.get(composed)?])));
    let values: Vec<_> = of_inputs.chain(beside).collect();
    digest::base32(digest::canonical(&json!([odoo_version, values])).as_bytes())
}

fn check_required(required: &[String], inputs: &Inputs) -> Result<(), Finding> {
    let missing: Vec<&str> = required.iter().map(String::as_str).filter(|name| inputs.get(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Finding::new(
        Reason::InputRequired,
        format!("the template requires \"spec.{}\": set it", missing.join("\", \"spec.")),
    ))
}

/// An input that is set and reaches no value would be a wish that nobody hears.
fn check_bound(version: &VersionView, inputs: &Inputs) -> Result<(), Finding> {
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
    Err(Finding::new(Reason::InputNotBound, message))
}

fn fed_values(spec: &OdooEnvironmentSpec, references: &References) -> Result<(Vec<FedValue>, Digests), Finding> {
    let (mut fed, mut digests) = (Vec::new(), Vec::new());
    for from in &spec.values_from {
        let [(object, key)] = &ObjectName::of_value(from)[..] else {
            return Err(Finding::new(
                Reason::InvalidSpec,
                "spec.valuesFrom needs exactly one of secretKeyRef and configMapKeyRef",
            ));
        };
        let digest = references.key_digest(object, key)?.to_owned();
        let to = ValuePath::parse(&from.target_path)
            .map_err(|error| Finding::new(Reason::InvalidSpec, format!("spec.valuesFrom: {error}")))?;
        digests.push((to.to_string(), digest));
        fed.push(FedValue { to, object: object.clone(), key: (*key).to_owned() });
    }
    Ok((fed, digests))
}

/// Passwords that bindings bring. Those that the operator generates never change, and are not there before an installation: their
/// digests would make a second revision of the first.
fn passwords(
    bound: &[BoundValue],
    inputs: &Inputs,
    references: &References,
) -> Result<Vec<(FedValue, String)>, Finding> {
    let mut fed = Vec::new();
    for item in bound {
        let Some(password) = password(&item.input) else { continue };
        let name = inputs.get(password.secret).and_then(Value::as_str).unwrap_or_default();
        let object = ObjectName { kind: ObjectKind::Secret, name: name.to_owned() };
        let digest = match references.objects.get(&object) {
            Some(_) => references.key_digest(&object, password.key)?.to_owned(),
            None => "generated".to_owned(),
        };
        fed.push((FedValue { to: item.to.clone(), object, key: password.key.to_owned() }, digest));
    }
    Ok(fed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::ValuePath;

    #[test]
    fn the_digest_follows_what_odoos_pods_begin_with_and_nothing_else() {
        let bound = |to: &str, input: &str| BoundValue {
            to: ValuePath::parse(to).unwrap(),
            input: input.to_owned(),
            value: None,
        };
        let bound = [bound("git.customerAddons", "git.customerAddons"), bound("image", "image"), bound("size", "size")];
        let beside = [ValuePath::parse("env").unwrap()];
        let of = |values: serde_json::Value| check_digest(&bound, &beside, values.as_object().unwrap(), "18.0");
        let before = of(json!({ "image": { "tag": "18.0-1" }, "size": "S" }));
        assert_eq!(before, of(json!({ "image": { "tag": "18.0-1" }, "size": "L", "other": 1 })));
        assert_ne!(before, of(json!({ "image": { "tag": "18.0-2" }, "size": "S" })));
        assert_ne!(before, of(json!({ "image": { "tag": "18.0-1" }, "git": { "customerAddons": [{ "ref": "v2" }] } })));
        assert_ne!(before, of(json!({ "image": { "tag": "18.0-1" }, "env": [{ "name": "A", "value": "b" }] })));
        assert_ne!(
            before,
            check_digest(&bound, &beside, json!({ "image": { "tag": "18.0-1" } }).as_object().unwrap(), "19.0")
        );
    }
}
