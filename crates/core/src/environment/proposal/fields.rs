//! Fields of the spec, from the places to which the template brings them.

use odoofleet_api::Object;
use odoofleet_api::environment::{Expose, OdooEnvironmentSpec};
use odoofleet_api::names::ReleaseName;
use serde_json::{Value, json};

use super::{Draft, Why, own};
use crate::environment::validate::generated_secret;
use crate::values::{ValuePath, has_password, is_operator_owned, merge, password};

/// Inputs that follow from others, and so come last.
const DERIVED: [&str; 2] = ["ingress.enabled", "ingress.expose"];

impl Draft<'_> {
    /// Sets the fields whose places have something else than without them.
    pub(super) fn bind(&mut self) {
        let mut current = self.base.clone();
        merge(&mut current, &self.own);
        let bound: Vec<(ValuePath, String)> =
            self.bound.iter().filter_map(|(to, from)| Some((to.clone(), (*from)?.to_owned()))).collect();
        let (last, first): (Vec<_>, Vec<_>) =
            bound.into_iter().partition(|(_, input)| DERIVED.contains(&input.as_str()));
        for (to, input) in first.iter().chain(&last) {
            let Some(want) = to.get(&self.desired).filter(|want| !want.is_null()).cloned() else { continue };
            if let Some(field) = secret_field(input) {
                self.name_secret(to, field, &want);
            } else if let Some(password) = password(input) {
                self.bring_password(to, input, password.key, &want);
            } else if DERIVED.contains(&input.as_str()) {
                self.expose(to.get(&current), &want);
            } else if !is_operator_owned(input) && to.get(&current) != Some(&want) {
                self.set(to, input, to.get(&current).cloned(), want);
            }
        }
    }

    /// A Secret that the release names, unless it is the one that the operator keeps anyway.
    fn name_secret(&mut self, to: &ValuePath, field: &str, want: &Value) {
        let Some(name) = want.as_str().filter(|name| !name.is_empty() && !self.is_generated(name)) else { return };
        if field.is_empty() {
            // The database's: what the release says goes into spec.postgresql, where that lies around it.
            let around = |(place, from): &(ValuePath, Option<&str>)| *from == Some("postgresql") && to.lies_in(place);
            if !self.bound.iter().any(around) {
                self.note(to, Why::GeneratedSecret);
            }
            return;
        }
        self.place(to, field, json!(name));
    }

    fn is_generated(&self, name: &str) -> bool {
        ReleaseName::parse(&self.release).is_ok_and(|release| generated_secret(&release) == name)
    }

    /// A password by value: the release goes on with the one that it has.
    fn bring_password(&mut self, to: &ValuePath, input: &str, key: &str, want: &Value) {
        let Some(text) = own::text(want).filter(|text| !text.is_empty()) else { return };
        let field = match input {
            "masterPassword" => "masterPasswordSecretRef.name",
            "administratorPassword" => "bootstrap.adminPasswordSecretRef.name",
            _ => return self.note(to, Why::GeneratedSecret),
        };
        self.secrets.insert(key.to_owned(), text);
        let name = self.secret_name();
        self.place(to, field, json!(name));
        self.fed.push(to.clone());
    }

    /// What stands in front. With a host it is an Ingress unless something else is said, without one nothing.
    fn expose(&mut self, current: Option<&Value>, want: &Value) {
        let has_ingress = self.spec.get("ingress").is_some();
        let has_host = self.spec.get("ingress").is_some_and(|ingress| ingress["host"].is_string());
        let usual = if has_host { Expose::Ingress } else { Expose::None };
        let (usual, is_on) = (json!(usual), has_host);
        let same = match want {
            Value::Bool(want) if has_ingress => *want == is_on,
            want if has_ingress => *want == usual,
            want => Some(want) == current,
        };
        let word = match want {
            _ if same => return,
            Value::Bool(false) => json!(Expose::None),
            Value::String(_) => want.clone(),
            // It is on without a host: the composed values tell.
            _ => return,
        };
        let field = "ingress.expose";
        if self.fits(field, &word) {
            self.insert(field, word);
        }
    }

    /// A field that differs. Of maps only what differs is said, and nothing that is not this field's to say.
    fn set(&mut self, to: &ValuePath, input: &str, current: Option<Value>, want: Value) {
        let (Value::Object(_), Some(Value::Object(_)) | None) = (&want, &current) else {
            if want.as_str().is_some_and(has_password) {
                return self.note(to, Why::OpenSecret);
            }
            return self.place(to, input, want);
        };
        let around = |value: Option<Value>| {
            let mut values = Object::new();
            // A place below a list begins with its position 0 here, too, and what cannot be set is not there.
            let _ = value.map(|value| to.set(&mut values, value));
            values
        };
        let (mut desired, mut base) = (around(Some(want)), around(current));
        for (other, from) in self.bound.iter().filter(|(other, _)| other.lies_in(to) && other != to) {
            let theirs = other.get(&desired).and_then(Value::as_str).unwrap_or_default();
            if *from == Some("databaseSecret") && !theirs.is_empty() && !self.is_generated(theirs) {
                continue;
            }
            other.remove(&mut desired);
            other.remove(&mut base);
        }
        let mut own = own::over(&base, &desired);
        self.take_locked(&mut own);
        let secrets = self.take_secrets(&mut own);
        self.take_leaks(&mut own);
        let rest = to.get(&own).filter(|rest| rest.as_object().is_some_and(|map| !map.is_empty())).cloned();
        for (path, value) in secrets {
            if rest.is_some() {
                self.note(&path, Why::SecretInField);
            } else {
                self.feed(&path, &value);
            }
        }
        if let Some(rest) = rest {
            self.place(to, input, rest);
        }
    }

    /// Sets a field if it has a form for the value; of a map what it has a form for.
    fn place(&mut self, to: &ValuePath, field: &str, value: Value) {
        let Some(value) = self.as_field(to, field, value) else { return };
        let texts = as_texts(&value);
        if let Some(fit) = [&value, &texts].into_iter().find(|value| self.fits(field, value)) {
            self.insert(field, fit.clone());
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if DERIVED.contains(&format!("{field}.{key}").as_str()) {
                        self.expose(None, &value);
                    } else {
                        self.place(&to.key(&key), &format!("{field}.{key}"), value);
                    }
                }
            }
            _ => self.note(to, Why::NoForm),
        }
    }

    /// Charts take the name of a repository's Secret; a URL with a password is written nowhere.
    fn as_field(&mut self, to: &ValuePath, field: &str, value: Value) -> Option<Value> {
        let (true, Value::Array(list)) = (field == "git.customerAddons", &value) else { return Some(value) };
        let mut repositories = list.clone();
        for repository in &mut repositories {
            if repository["url"].as_str().is_some_and(has_password) {
                self.note(to, Why::OpenSecret);
                return None;
            }
            if let Some(fields) = repository.as_object_mut() {
                fields.retain(|_, value| own::is_plain(value));
                if let Some(name) = fields.remove("credentialsSecret") {
                    fields.insert("credentialsSecretRef".to_owned(), json!({ "name": name }));
                }
            }
        }
        Some(Value::Array(repositories))
    }

    /// Whether a field holds the value and gives it back.
    fn fits(&self, field: &str, value: &Value) -> bool {
        let Ok(path) = ValuePath::parse(field) else { return false };
        let mut spec = self.spec.clone();
        if path.set(&mut spec, value.clone()).is_err() {
            return false;
        }
        let read = serde_json::from_value::<OdooEnvironmentSpec>(Value::Object(spec)).ok();
        let again = read.and_then(|spec| serde_json::to_value(spec).ok());
        let again = again.as_ref().and_then(Value::as_object).and_then(|spec| path.get(spec));
        again.is_some_and(|again| covers(again, value)) || !own::is_plain(value)
    }

    fn insert(&mut self, field: &str, value: Value) {
        if let (true, Ok(path)) = (own::is_plain(&value), ValuePath::parse(field)) {
            let _ = path.set(&mut self.spec, value);
        }
    }
}

/// The field that names the Secret of an input: empty for the database's, which has none.
fn secret_field(input: &str) -> Option<&'static str> {
    match input {
        "masterPasswordSecret" => Some("masterPasswordSecretRef.name"),
        "administratorSecret" => Some("bootstrap.adminPasswordSecretRef.name"),
        "databaseSecret" => Some(""),
        _ => None,
    }
}

/// Whether everything of one value stands in another.
fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, part)| match whole.get(key) {
            Some(whole) => covers(whole, part),
            None => !own::is_plain(part),
        }),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| covers(whole, part))
        }
        (whole, part) => whole == part,
    }
}

/// The same with numbers as texts: `cpu: 1` is as good as `cpu: "1"`.
fn as_texts(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), as_texts(value))).collect(),
        Value::Array(list) => list.iter().map(as_texts).collect(),
        other => other.clone(),
    }
}
