//! An environment's values for people who may read its template version and not its Secrets.

use std::collections::BTreeMap;

use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;

use super::compose::{FedValue, Values};
use super::references::{CustomerView, ObjectName, ReferencedObject, References, VersionView, names};
use super::validate::{effective_replicas, inputs};
use crate::finding::Finding;
use crate::values::{Layers, ValuePath};

/// The values of an environment, composed as for a release.
pub struct Preview {
    /// The layers of which they are made. What Secrets and ConfigMaps feed is empty.
    pub layers: Layers,
    /// What Secrets and ConfigMaps feed.
    pub fed: Vec<FedValue>,
    /// Places that the operator's setting `allowedGitHosts` feeds, which only the operator knows; they are left out.
    pub of_settings: Vec<ValuePath>,
    /// What breaks the schema, if anything does.
    pub violation: Option<Finding>,
}

/// Composes the values, and refuses what contradicts the template. That an object exists, and may be used, is the operator's to ask.
pub fn preview(
    environment: &OdooEnvironment,
    customer: &CustomerView,
    version: &VersionView,
) -> Result<Preview, Finding> {
    let spec = &environment.spec;
    let (_, release) = names(spec).map_err(|error| Finding::new(Reason::InvalidSpec, error.to_string()))?;
    let (replicas, _) = effective_replicas(spec, customer);
    let inputs = inputs(spec, &customer.id, &release, replicas, version, &[]);
    let values = Values::layered(spec, version, &inputs, &assumed(environment, version))?;
    let violation = values.check_schema(version).err();
    let of_settings =
        version.content.bindings.iter().filter(|binding| binding.from.as_deref() == Some("allowedGitHosts"));
    let of_settings = of_settings.filter_map(|binding| ValuePath::parse(&binding.to).ok()).collect();
    Ok(Preview { layers: values.layers, fed: values.fed, of_settings, violation })
}

/// References in which all is there that the spec feeds to values.
fn assumed(environment: &OdooEnvironment, version: &VersionView) -> References {
    let mut keys: BTreeMap<ObjectName, BTreeMap<String, String>> = BTreeMap::new();
    for from in &environment.spec.values_from {
        for (object, key) in ObjectName::of_value(from) {
            keys.entry(object).or_default().insert(key.to_owned(), String::new());
        }
    }
    let found = |keys| ReferencedObject::Found {
        customer: None,
        shared: false,
        type_: String::new(),
        environment: None,
        stage: None,
        named_by_production: false,
        generated_for: None,
        generated_uid: None,
        keys,
        resource_version: String::new(),
    };
    References {
        customer: None,
        unreadable_customer: false,
        version: Ok(version.clone()),
        held: None,
        release: None,
        objects: keys.into_iter().map(|(object, keys)| (object, found(keys))).collect(),
        rivals: Vec::new(),
        rank_in_customer: 0,
        hosts_elsewhere: BTreeMap::new(),
        allowed_git_hosts: Vec::new(),
        allowed_domains: Vec::new(),
        namespace: environment.metadata.namespace.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures;
    use super::*;
    use crate::values::{Layer, default_bindings};

    fn customer() -> CustomerView {
        CustomerView {
            id: "4711".into(),
            phase: None,
            stop: None,
            max_environments: None,
            domains: Vec::new(),
            is_deleting: false,
        }
    }

    fn previewed(spec: &Value) -> Result<Preview, Finding> {
        let version = fixtures::version(|content| {
            content.bindings = default_bindings();
            content.secret_paths = vec!["mail.password".into()];
            content.locked_paths = vec!["networkPolicy".into()];
            content.values = serde_json::from_value(json!({"odoo": {"workers": 2}})).unwrap();
            content.values_schema = serde_json::from_value(
                json!({"properties": {"odoo": {"properties": {"workers": {"type": "integer"}}}}}),
            )
            .unwrap();
        });
        let content = (*version.content).clone();
        let version = VersionView::new("odoo-18".into(), content, (*version.chart).clone());
        let environment = fixtures::environment(2, |object| {
            for (key, value) in spec.as_object().into_iter().flatten() {
                object["spec"][key] = value.clone();
            }
        });
        preview(&environment, &customer(), &version)
    }

    #[test]
    fn every_layer_is_there_and_what_a_secret_feeds_is_only_named() {
        let found = previewed(&json!({
            "values": {"odoo": {"log": "debug"}},
            "valuesFrom": [{"secretKeyRef": {"name": "acme-mail", "key": "password"}, "targetPath": "mail.password"}],
        }));
        let found = found.unwrap();
        let values = Value::Object(found.layers.composed());
        assert_eq!(values["customer"]["id"], "4711");
        assert_eq!(values["replicaCount"], 2);
        assert_eq!(values["mail"]["password"], "");
        assert_eq!(found.layers.origin("/odoo/workers"), Some(Layer::Template));
        assert_eq!(found.layers.origin("/odoo/log"), Some(Layer::Environment));
        assert_eq!(found.fed[0].object.name, "acme-mail");
        assert_eq!(found.of_settings, [ValuePath::parse("git.allowedHosts").unwrap()]);
        assert_eq!(found.violation, None);
    }

    #[test]
    fn the_rules_are_the_operators_own() {
        for (values, reason) in [
            (json!({"networkPolicy": {"enabled": false}}), Reason::ValueNotAllowed),
            (json!({"replicaCount": 3}), Reason::ValueNotAllowed),
            (json!({"mail": {"password": "x"}}), Reason::ValueNotAllowed),
        ] {
            let refused = previewed(&json!({"values": values})).err().map(|finding| finding.reason);
            assert_eq!(refused, Some(reason), "{values}");
        }
        let found = previewed(&json!({"values": {"odoo": {"workers": "many"}}})).unwrap();
        assert_eq!(found.violation.map(|finding| finding.reason), Some(Reason::SchemaViolation), "shown all the same");
    }
}
