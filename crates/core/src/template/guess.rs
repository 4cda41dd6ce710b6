//! Bindings for a chart for which nobody has written a template: by the names that charts have for what every Odoo needs. A person looks
//! at them before they hold.

use odoofleet_api::Object;
use odoofleet_api::template::Binding;
use serde_json::Value;

use crate::values::{ValuePath, is_password_key, leaves};

/// What is proposed of a template.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guess {
    /// Bindings, each to a place that the chart has.
    pub bindings: Vec<Binding>,
    /// Places of passwords.
    pub secret_paths: Vec<String>,
    /// Inputs for which the chart has no place of a name that is known.
    pub unknown: Vec<&'static str>,
}

/// What stands at a place that an input can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Number,
    Switch,
    List,
    Map,
}

impl Form {
    /// Whether a default is of this form. Null may become anything.
    const fn fits(self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::String(_) => matches!(self, Self::Text),
            Value::Number(_) => matches!(self, Self::Number),
            Value::Bool(_) => matches!(self, Self::Switch),
            Value::Array(_) => matches!(self, Self::List),
            Value::Object(_) => matches!(self, Self::Map),
        }
    }
}

/// Inputs, what stands at their places, and the names of these, the likeliest first.
const PLACES: [(&str, Form, &[&str]); 16] = [
    ("customer.id", Form::Text, &["customer.id", "customerId", "tenant.id", "tenantId"]),
    ("releaseName", Form::Text, &["releaseNameOverride"]),
    (
        "replicas",
        Form::Number,
        &["replicaCount", "replicas", "odoo.replicaCount", "odoo.replicas", "web.replicaCount", "web.replicas"],
    ),
    ("image.repository", Form::Text, &["image.repository", "odoo.image.repository", "web.image.repository"]),
    ("image.tag", Form::Text, &["image.tag", "odoo.image.tag", "web.image.tag"]),
    ("image.digest", Form::Text, &["image.digest", "odoo.image.digest", "web.image.digest"]),
    ("ingress.enabled", Form::Switch, &["ingress.enabled"]),
    (
        "ingress.host",
        Form::Text,
        &["ingress.host", "ingress.hostname", "ingress.hosts[0].host", "ingress.hosts[0].name"],
    ),
    ("ingress.className", Form::Text, &["ingress.className", "ingress.ingressClassName"]),
    ("ingress.annotations", Form::Map, &["ingress.annotations"]),
    ("git.customerAddons", Form::List, &["git.customerAddons"]),
    ("resources", Form::Map, &["resources", "odoo.resources", "web.resources"]),
    ("storage.size", Form::Text, &["persistence.size", "storage.size", "filestore.size", "persistence.filestore.size"]),
    (
        "storage.className",
        Form::Text,
        &["persistence.storageClassName", "persistence.storageClass", "storage.className", "filestore.storageClass"],
    ),
    (
        "masterPassword",
        Form::Text,
        &[
            "odoo.config.admin_passwd",
            "config.admin_passwd",
            "odoo.adminPasswd",
            "odoo.masterPassword",
            "masterPassword",
        ],
    ),
    (
        "databasePassword",
        Form::Text,
        &["postgresql.auth.password", "postgresql.password", "database.password", "db.password"],
    ),
];

/// Proposes bindings for a chart's defaults. `templates` is the text of its templates, where it is known: what none of them mentions is no
/// place.
pub fn guess(values: &Object, templates: Option<&str>) -> Guess {
    let is_used = |path: &str| {
        let first = path.split(['.', '[']).next().unwrap_or_default();
        templates.is_none_or(|text| mentions(text, first))
    };
    let mut guess = Guess::default();
    for (input, form, places) in PLACES {
        let is_there = |place: &&&str| {
            let value = ValuePath::parse(place).ok().and_then(|path| path.get(values).cloned());
            value.is_some_and(|value| form.fits(&value)) && is_used(place)
        };
        match places.iter().find(is_there) {
            Some(place) => {
                let to = (*place).to_owned();
                guess.bindings.push(Binding { to, from: Some(input.to_owned()), value: None });
            }
            None => guess.unknown.push(input),
        }
    }
    let passwords = leaves(values).into_iter().filter(|(path, value)| {
        (value.is_string() || value.is_null()) && is_password_key(path.last_key()) && is_used(&path.to_string())
    });
    guess.secret_paths = passwords.map(|(path, _)| path.to_string()).take(50).collect();
    guess
}

/// Whether templates speak of a value: `.Values.key`, and no longer word.
fn mentions(templates: &str, key: &str) -> bool {
    let goes_on = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = format!(".Values.{key}");
    let mut ends = templates.match_indices(&name).map(|(start, found)| start + found.len());
    ends.any(|end| !templates[end..].starts_with(goes_on))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guessed(values: &Value, templates: Option<&str>) -> (Vec<String>, Vec<String>) {
        let guess = guess(values.as_object().unwrap(), templates);
        let told =
            guess.bindings.iter().map(|one| format!("{} <- {}", one.to, one.from.as_deref().unwrap_or_default()));
        (told.collect(), guess.secret_paths)
    }

    #[test]
    fn charts_of_known_shapes_are_bound() {
        let created = json!({
            "replicaCount": 1, "image": {"repository": "nginx", "tag": ""}, "fullnameOverride": "", "resources": {},
            "ingress": {"enabled": false, "className": "", "annotations": {}, "hosts": [{"host": "x", "paths": []}]},
        });
        let (bindings, secrets) = guessed(&created, None);
        assert_eq!(
            bindings,
            [
                "replicaCount <- replicas",
                "image.repository <- image.repository",
                "image.tag <- image.tag",
                "ingress.enabled <- ingress.enabled",
                "ingress.hosts[0].host <- ingress.host",
                "ingress.className <- ingress.className",
                "ingress.annotations <- ingress.annotations",
                "resources <- resources",
            ],
            "a fullnameOverride would rename what runs"
        );
        assert_eq!(secrets, [""; 0]);
        let theirs = json!({
            "customer": {"id": ""}, "odoo": {"replicas": 1, "config": {"admin_passwd": ""}}, "api": {"token": null},
            "postgresql": {"auth": {"password": "x", "existingSecret": ""}}, "git": {"customerAddons": []},
        });
        let (bindings, secrets) = guessed(&theirs, None);
        assert_eq!(
            bindings,
            [
                "customer.id <- customer.id",
                "odoo.replicas <- replicas",
                "git.customerAddons <- git.customerAddons",
                "odoo.config.admin_passwd <- masterPassword",
                "postgresql.auth.password <- databasePassword",
            ]
        );
        assert_eq!(secrets, ["api.token", "odoo.config.admin_passwd", "postgresql.auth.password"]);
    }

    #[test]
    fn a_place_of_another_form_or_of_which_no_template_speaks_is_none() {
        let values = json!({"replicaCount": "one", "replicas": 2, "git": {"customerAddons": {}}, "resources": {}});
        let (bindings, _) = guessed(&values, Some("{{ .Values.replicas }} {{ .Values.resourcesOfOthers }}"));
        assert_eq!(bindings, ["replicas <- replicas"]);
    }

    #[test]
    fn what_is_proposed_is_valid() {
        for (input, _, places) in PLACES {
            for to in places {
                let binding = Binding { to: (*to).to_owned(), from: Some(input.to_owned()), value: None };
                assert_eq!(crate::values::check_bindings(&[binding]), Ok(()));
            }
        }
    }
}
