//! The standard inputs: what an environment says about itself in our words, before a template turns it into a chart's.

use odoofleet_api::Object;
use odoofleet_api::environment::{Bootstrap, Expose, Git, GitRepository, Ingress, OdooEnvironmentSpec, Tls};
use odoofleet_api::names::ReleaseName;
use odoofleet_api::template::WorkloadKind;
use serde::Serialize;
use serde_json::{Value, json};

/// What the operator itself decides; the rest comes from fields of the spec. For the message of a refused value.
const OPERATOR_OWNED: [&str; 10] = [
    "customer",
    "releaseName",
    "stage",
    "replicas",
    "odooVersion",
    "postgresMajor",
    "masterPasswordSecret",
    "databaseSecret",
    "administratorSecret",
    "allowedGitHosts",
];

/// Values of the standard inputs. An input that is not set is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs(Object);

/// What is needed beside the spec.
pub struct Context<'a> {
    /// `spec.id` of the customer, or its name.
    pub customer_id: &'a str,
    /// Release name.
    pub release: &'a ReleaseName,
    /// Secret with the master password.
    pub master_password_secret: &'a str,
    /// Secret with the database's password.
    pub database_secret: &'a str,
    /// Secret with the administrator's first password.
    pub administrator_secret: &'a str,
    /// Hosts from which addons may come; empty means any public one.
    pub allowed_git_hosts: &'a [String],
    /// Odoo's series.
    pub odoo_version: &'a str,
    /// PostgreSQL's major version.
    pub postgres_major: Option<i32>,
}

impl Inputs {
    /// Collects the inputs of an environment. `replicas` is what shall run now, not what the spec wishes for.
    pub fn new(spec: &OdooEnvironmentSpec, replicas: i32, context: &Context<'_>) -> Self {
        let mut inputs = Object::new();
        let mut put = |name: &str, value: Value| {
            if !is_empty(&value) {
                inputs.insert(name.to_owned(), value);
            }
        };
        put("customer", json!({ "id": context.customer_id, "name": spec.customer_ref.name }));
        put("releaseName", json!(context.release.as_str()));
        put("stage", to_value(&spec.stage));
        put("replicas", json!(replicas));
        put("odooVersion", json!(context.odoo_version));
        put("postgresMajor", json!(context.postgres_major));
        put("masterPasswordSecret", json!(context.master_password_secret));
        put("databaseSecret", json!(context.database_secret));
        put("administratorSecret", json!(context.administrator_secret));
        put("allowedGitHosts", json!(context.allowed_git_hosts));
        put("image", to_value(&spec.image));
        put("ingress", ingress(spec.ingress.as_ref()));
        put("git", git(spec.git.as_ref()));
        put("addonsImage", to_value(&spec.addons_image));
        put("modules", to_value(&spec.modules));
        put("bootstrap", bootstrap(spec.bootstrap.as_ref()));
        put("mail", Value::Object(spec.mail.clone()));
        put("resources", to_value(&spec.resources));
        put("size", to_value(&spec.size));
        put("storage", to_value(&spec.storage));
        put("postgresql", Value::Object(spec.postgresql.clone()));
        Self(inputs)
    }

    /// The value of an input, if it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut parts = name.split('.');
        let first = self.0.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// All inputs as one value, for expressions.
    pub fn as_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Names of the inputs that the user set, in dotted form down to the fields that bindings name.
    pub fn set_by_user(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !is_operator_owned(name)) {
            match value {
                Value::Object(fields)
                    if matches!(name.as_str(), "ingress" | "git" | "storage" | "image" | "modules" | "bootstrap") =>
                {
                    names.extend(fields.keys().filter(|key| !is_derived(name, key)).map(|key| format!("{name}.{key}")));
                }
                _ => names.push(name.clone()),
            }
        }
        names
    }
}

/// `expose` and `enabled` always have a value; a template that does not bind them is not thereby wrong.
fn is_derived(name: &str, key: &str) -> bool {
    name == "ingress" && matches!(key, "enabled" | "expose")
}

/// Whether the operator, not a field of the spec, decides this input.
pub fn is_operator_owned(input: &str) -> bool {
    OPERATOR_OWNED.contains(&input.split('.').next().unwrap_or_default())
}

/// What to set instead of a value that an input owns, for the message.
pub fn spec_field(input: &str) -> String {
    match input.split('.').next().unwrap_or_default() {
        "replicas" => "\"spec.replicas\"".to_owned(),
        "stage" => "\"spec.stage\"".to_owned(),
        "masterPasswordSecret" | "masterPassword" => "\"spec.masterPasswordSecretRef\"".to_owned(),
        "databasePassword" => "nothing, the operator generates it".to_owned(),
        "databaseSecret" => "\"spec.postgresql\"".to_owned(),
        "administratorSecret" | "administratorPassword" => "\"spec.bootstrap.adminPasswordSecretRef\"".to_owned(),
        "customer" | "releaseName" | "odooVersion" | "postgresMajor" | "allowedGitHosts" => {
            "nothing, the operator sets it".to_owned()
        }
        _ if input == "git.customerAddons" => "\"spec.git.customerAddons\"".to_owned(),
        _ => format!("\"spec.{input}\""),
    }
}

fn ingress(ingress: Option<&Ingress>) -> Value {
    let Some(ingress) = ingress else { return Value::Null };
    let expose = ingress.expose.unwrap_or(if ingress.host.is_some() { Expose::Ingress } else { Expose::None });
    let mut fields = without_empty(json!({
        "host": ingress.host,
        "aliases": ingress.aliases,
        "className": ingress.class_name,
        "annotations": ingress.annotations,
        "gateway": ingress.gateway.as_ref().map(to_value),
        "tls": ingress.tls.as_ref().map(tls),
    }));
    fields.insert("expose".to_owned(), to_value(&expose));
    fields.insert("enabled".to_owned(), json!(expose != Expose::None));
    Value::Object(fields)
}

fn tls(tls: &Tls) -> Value {
    let issuer =
        tls.issuer_ref.as_ref().map(|issuer| json!({ "name": issuer.name, "kind": issuer.kind.unwrap_or_default() }));
    Value::Object(without_empty(json!({ "secretName": tls.secret_name, "issuerRef": issuer })))
}

fn git(git: Option<&Git>) -> Value {
    let Some(git) = git else { return Value::Null };
    let repositories: Vec<Value> = git.customer_addons.iter().map(repository).collect();
    Value::Object(without_empty(json!({ "customerAddons": repositories, "refresh": git.refresh })))
}

/// The Secret is an input of its own, which always has a value.
fn bootstrap(bootstrap: Option<&Bootstrap>) -> Value {
    let mut value = bootstrap.map_or(Value::Null, to_value);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("adminPasswordSecretRef");
    }
    value
}

fn repository(repository: &GitRepository) -> Value {
    Value::Object(without_empty(json!({
        "url": repository.url,
        "ref": repository.reference,
        "path": repository.path,
        "credentialsSecret": repository.credentials_secret_ref.as_ref().map(|secret| &secret.name),
    })))
}

fn without_empty(value: Value) -> Object {
    let Value::Object(mut map) = value else { return Object::new() };
    map.retain(|_, value| !is_empty(value));
    map
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Types of ours always serialise; what could not would count as not set.
fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Name of a workload from a template's pattern.
pub fn workload_name(pattern: &str, release: &ReleaseName) -> String {
    pattern.replace("{release}", release.as_str())
}

/// `Deployment/name`, the form in which requests and messages name workloads.
pub fn workload_key(kind: WorkloadKind, name: &str) -> String {
    format!("{kind:?}/{name}")
}
