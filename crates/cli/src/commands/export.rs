//! `export`: objects as Git should hold them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use kube::Resource;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate, labels};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output::{self, Format};
use crate::say;
use crate::session::Session;

/// What `export` takes.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Objects as KIND/NAME: customer, template or environment, or kubectl's short names
    #[arg(value_name = "KIND/NAME", required_unless_present = "all", conflicts_with = "all")]
    pub objects: Vec<String>,
    /// All customers, templates and environments, in the order in which they are applied
    #[arg(long)]
    pub all: bool,
    /// A folder that gets a file for each object
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Annotations that say what is to happen now, or that tools write: in Git they would say it again and again.
const PASSING: [&str; 10] = [
    labels::REQUESTED_AT,
    labels::RESTARTED_AT,
    labels::ALLOW_DELETION,
    labels::ALLOW_DATA_LOSS,
    labels::ALLOW_TAKEOVER,
    labels::MAJOR_UPGRADE,
    "kubectl.kubernetes.io/last-applied-configuration",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/refresh",
    "reconcile.fluxcd.io/requestedAt",
];
/// What these begin with is a tool's own note of who applied the object.
const OWNERS: [&str; 2] = ["kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"];

/// `kubectl odoo export`
pub async fn run(session: &Session, args: &ExportArgs) -> Result<(), Failure> {
    let mut objects = Vec::new();
    if args.all {
        objects.extend(all::<OdooCustomer>(session).await?);
        objects.extend(all::<OdooTemplate>(session).await?);
        objects.extend(all::<OdooEnvironment>(session).await?);
    }
    for object in &args.objects {
        objects.push(one(session, object).await?);
    }
    let cleaned: Vec<Value> = objects.iter().map(cleaned).collect();
    match &args.out {
        Some(folder) => write(session.language, folder, &cleaned)?,
        None => print(session, &cleaned)?,
    }
    let secrets: BTreeSet<String> = cleaned.iter().flat_map(|object| secrets(&object["spec"])).collect();
    if !secrets.is_empty() {
        let (language, names) = (session.language, secrets.into_iter().collect::<Vec<_>>().join(", "));
        output::remark(&say!(
            language,
            "not in it, and referred to: Secrets {names}",
            "不包含其中引用的 Secret：{names}"
        ));
    }
    Ok(())
}

async fn all<K>(session: &Session) -> Result<Vec<Value>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    session.list::<K>(&ListParams::default()).await?.iter().map(value).collect()
}

async fn one(session: &Session, named: &str) -> Result<Value, Failure> {
    let language = session.language;
    let Some((kind, name)) = named.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        let message = say!(language, "\"{named}\" is not KIND/NAME", "\"{named}\" 不是 KIND/NAME 的形式");
        return Err(Failure::new(Exit::Usage, message).hint("env/acme-prod, customer/acme, template/odoo-18"));
    };
    match kind_of(kind) {
        Some("OdooCustomer") => value(&session.get::<OdooCustomer>(name).await?),
        Some("OdooTemplate") => value(&session.get::<OdooTemplate>(name).await?),
        Some(_) => value(&session.get::<OdooEnvironment>(name).await?),
        None => {
            let message = say!(language, "there is no kind \"{kind}\"", "没有类型 \"{kind}\"");
            Err(Failure::new(Exit::Usage, message).hint("customer, template, environment"))
        }
    }
}

/// The kind that people mean by a word.
fn kind_of(word: &str) -> Option<&'static str> {
    match word.to_lowercase().as_str() {
        "ocust" | "customer" | "customers" | "odoocustomer" | "odoocustomers" => Some("OdooCustomer"),
        "otpl" | "template" | "templates" | "odootemplate" | "odootemplates" => Some("OdooTemplate"),
        "oenv" | "env" | "environment" | "environments" | "odooenvironment" | "odooenvironments" => {
            Some("OdooEnvironment")
        }
        _ => None,
    }
}

fn value<K: Serialize>(object: &K) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// An object without what the cluster and its tools wrote on it.
fn cleaned(object: &Value) -> Value {
    let kept = |of: &Value| -> Map<String, Value> {
        let is_passing = |key: &str| PASSING.contains(&key) || OWNERS.iter().any(|owner| key.starts_with(owner));
        let pairs = of.as_object().into_iter().flatten().filter(|(key, _)| !is_passing(key));
        pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut metadata = json!({"name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"]});
    for part in ["labels", "annotations"] {
        let kept = kept(&object["metadata"][part]);
        if !kept.is_empty() {
            metadata[part] = Value::Object(kept);
        }
    }
    json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "spec": object["spec"]})
}

/// The Secrets that a spec names.
fn secrets(spec: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match spec {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("secretName", Value::String(name)) => {
                        found.insert(name.clone());
                    }
                    (key, Value::Object(_)) if key.ends_with("SecretRef") || key == "secretKeyRef" => {
                        found.extend(value["name"].as_str().map(str::to_owned));
                    }
                    _ => found.extend(secrets(value)),
                }
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(secrets)),
        _ => {}
    }
    found
}

fn print(session: &Session, objects: &[Value]) -> Result<(), Failure> {
    if session.format == Format::Json {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        return output::data(Format::Json, if let [only] = objects { only } else { &list });
    }
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            output::line("---")?;
        }
        output::data(Format::Yaml, object)?;
    }
    Ok(())
}

/// `customers/acme.yaml`, `environments/acme-prod.yaml`; of several namespaces each in a folder of its own.
fn write(language: Language, folder: &Path, objects: &[Value]) -> Result<(), Failure> {
    for object in objects {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let kind = object["kind"].as_str().unwrap_or_default().trim_start_matches("Odoo").to_lowercase();
        let place = folder.join(text("namespace")).join(format!("{kind}s"));
        let file = place.join(format!("{}.yaml", text("name")));
        let yaml = serde_saphyr::to_string(object).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        fs::create_dir_all(&place).and_then(|()| fs::write(&file, yaml)).map_err(|error| {
            let file = file.display();
            let message = say!(language, "cannot write \"{file}\": {error}", "无法写入 \"{file}\"：{error}");
            Failure::new(Exit::Failed, message)
        })?;
        output::line(&file.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_gets_what_people_wrote_and_nothing_else() {
        let object = json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "acme-prod", "namespace": "odoo", "uid": "u", "resourceVersion": "5", "generation": 3,
                "creationTimestamp": "2026-11-28T00:00:00Z", "managedFields": [], "finalizers": ["odoofleet.dev/cleanup"],
                "labels": {"team": "a", "kustomize.toolkit.fluxcd.io/name": "fleet"},
                "annotations": {"odoofleet.dev/restartedAt": "x", "note": "kept"}},
            "spec": {"replicas": 1}, "status": {"phase": "Running"},
        });
        let expected = json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "acme-prod", "namespace": "odoo", "labels": {"team": "a"}, "annotations": {"note": "kept"}},
            "spec": {"replicas": 1},
        });
        assert_eq!(cleaned(&object), expected);
    }

    #[test]
    fn every_secret_that_a_spec_names_is_told() {
        let spec = json!({
            "masterPasswordSecretRef": {"name": "a"}, "bootstrap": {"adminPasswordSecretRef": {"name": "b"}},
            "git": {"customerAddons": [{"credentialsSecretRef": {"name": "c"}}]},
            "valuesFrom": [{"secretKeyRef": {"name": "d", "key": "k"}}, {"configMapKeyRef": {"name": "no", "key": "k"}}],
            "ingress": {"tls": {"secretName": "e"}}, "chart": {"pullSecretRef": {"name": "f"}},
        });
        assert_eq!(secrets(&spec).into_iter().collect::<String>(), "abcdef");
    }

    #[test]
    fn kinds_go_by_kubectls_names_and_by_peoples() {
        assert_eq!(kind_of("oenv"), Some("OdooEnvironment"));
        assert_eq!(kind_of("Customers"), Some("OdooCustomer"));
        assert_eq!(kind_of("pod"), None);
    }
}
