//! What a chart is rendered with when only its template is there.

use odoofleet_api::Object;
use odoofleet_api::environment::{CustomerReference, Ingress, OdooEnvironmentSpec, Stage, TemplateReference};
use odoofleet_api::names::ReleaseName;
use serde_json::{Value, json};

use super::VersionContent;
use crate::chart::Chart;
use crate::values::{InputContext, Inputs, Layer, Layers, ValuePath, apply_bindings, password};

/// Stands for whatever only an environment brings.
const PLACEHOLDER: &str = "placeholder";
/// Stands for what a Secret feeds. It stands nowhere else: the worker looks where the chart puts it.
const SECRET_PLACEHOLDER: &str = "placeholder-for-a-secret";

/// Values with which a chart must be able to be rendered: the template's, and stand-ins for what every environment brings by
/// itself (names, the generated Secret, a host) and for what only Secrets may feed.
pub fn probe_values(content: &VersionContent, chart: &Chart, release: &ReleaseName) -> Object {
    let inputs = inputs(content, release);
    let fed = content.secret_value_paths(chart).into_iter().map(|path| (path, json!(SECRET_PLACEHOLDER)));
    // An expression may want more of an environment than a stand-in has; then its place stays as the template leaves it.
    let bound =
        content.bindings.iter().filter_map(|binding| apply_bindings(std::slice::from_ref(binding), &inputs).ok());
    let bound = bound.flatten().filter(|bound| password(&bound.input).is_none());
    let bound: Vec<(ValuePath, Value)> = bound.filter_map(|bound| Some((bound.to, bound.value?))).collect();
    let mut layers = Layers::default();
    layers.push(Layer::Chart, chart.values.clone());
    layers.push(Layer::Template, content.values.clone());
    // What cannot be set is told where an environment wants it.
    let _ = layers.set(Layer::ValuesFrom, fed);
    let _ = layers.set(Layer::Input, bound);
    layers.over_chart()
}

/// Whether every environment must bring something for which there is no stand-in: then a value that the chart asks for may come
/// from there.
pub fn lacks_inputs(content: &VersionContent, release: &ReleaseName) -> bool {
    let inputs = inputs(content, release);
    content.required.iter().any(|name| inputs.get(name).is_none())
}

fn inputs(content: &VersionContent, release: &ReleaseName) -> Inputs {
    let surroundings = InputContext {
        customer_id: PLACEHOLDER,
        release,
        master_password_secret: PLACEHOLDER,
        database_secret: PLACEHOLDER,
        administrator_secret: PLACEHOLDER,
        allowed_git_hosts: &[],
        odoo_version: &content.odoo_version,
        postgres_major: content.postgres_major,
    };
    Inputs::new(&environment(), 1, &surroundings)
}

fn environment() -> OdooEnvironmentSpec {
    OdooEnvironmentSpec {
        customer_ref: CustomerReference { name: PLACEHOLDER.to_owned() },
        service_name: PLACEHOLDER.to_owned(),
        release_name: None,
        template_ref: TemplateReference::default(),
        stage: Stage::Test,
        placement: None,
        replicas: 1,
        image: None,
        ingress: Some(Ingress { host: Some("placeholder.example".to_owned()), ..Ingress::default() }),
        git: None,
        addons_image: None,
        modules: None,
        bootstrap: None,
        master_password_secret_ref: None,
        resources: None,
        size: None,
        storage: None,
        postgresql: Object::new(),
        mail: Object::new(),
        values: Object::new(),
        adoption: None,
        drift_detection: None,
        values_from: Vec::new(),
        deletion_policy: None,
        maintenance: None,
        timeouts: None,
        paused: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::fixtures;
    use crate::values::default_bindings;

    #[test]
    fn stand_ins_are_where_an_environment_would_put_its_own() {
        let version = fixtures::version(|content| {
            content.bindings = default_bindings();
            content.secret_paths = vec!["mail.password".into()];
            content.values = serde_json::from_value(json!({ "size": "S" })).unwrap();
        });
        let release = ReleaseName::parse("check").unwrap();
        let values = probe_values(&version.content, &version.chart, &release);
        assert_eq!(values["size"], "S");
        assert_eq!(values["releaseNameOverride"], "check");
        assert_eq!(values["postgresql"]["auth"]["existingSecret"], PLACEHOLDER);
        assert_eq!(values["mail"]["password"], SECRET_PLACEHOLDER);
        assert_eq!(values["ingress"]["host"], "placeholder.example");
        let requires = |names: &[&str]| {
            let required = names.iter().map(|name| (*name).to_owned()).collect();
            lacks_inputs(&VersionContent { required, ..(*version.content).clone() }, &release)
        };
        assert!(!requires(&["ingress.host"]) && requires(&["ingress.host", "size"]));
    }
}
