//! Objects that Git owns. Argo CD and Flux put back what is changed beside Git, so the change belongs into Git.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};
use crate::say;
use crate::session::Session;

/// Who applies an object from Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOwner {
    /// Such as `Argo CD Application`.
    pub kind: &'static str,
    /// Its name; Flux's with the namespace.
    pub name: String,
}

/// Who applies this object from Git, if anybody does: Argo CD by its tracking id (its labels are ambiguous), Flux by its labels.
pub fn of(metadata: &ObjectMeta) -> Option<GitOwner> {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let annotation = |key: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
    // `<application>:<group>/<kind>:<namespace>/<name>`; a copied annotation still names the object that it was copied from.
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        let (application, object) = id.split_once(':')?;
        let own = format!("/{}", metadata.name.as_deref().unwrap_or_default());
        return object.ends_with(&own).then(|| GitOwner { kind: "Argo CD Application", name: application.to_owned() });
    }
    for (kind, prefix) in
        [("Flux Kustomization", "kustomize.toolkit.fluxcd.io"), ("Flux HelmRelease", "helm.toolkit.fluxcd.io")]
    {
        if let Some(name) = label(&format!("{prefix}/name")) {
            let namespace = label(&format!("{prefix}/namespace")).map_or_else(String::new, |own| format!("{own}/"));
            return Some(GitOwner { kind, name: format!("{namespace}{name}") });
        }
    }
    None
}

/// Refuses to write what Git owns, unless `--force` was given; says what is to be changed in Git.
pub fn guard(session: &Session, kind: &str, metadata: &ObjectMeta, patch: &Value) -> Result<(), Failure> {
    let (language, Some(owner)) = (session.language, of(metadata)) else { return Ok(()) };
    let (owned_by, by, name) = (owner.kind, owner.name, metadata.name.as_deref().unwrap_or_default());
    if session.force {
        output::remark(&say!(
            language,
            "{kind} \"{name}\" belongs to {owned_by} \"{by}\", which may put this back",
            "{kind} \"{name}\" 由 {owned_by} \"{by}\" 管理，此修改可能会被还原"
        ));
        return Ok(());
    }
    // The patch is the answer, and can be written to a file; what is said about it goes beside.
    let format = if session.format == Format::Json { Format::Json } else { Format::Yaml };
    output::data(format, &in_git(kind, name, &session.namespace, patch))?;
    let message = say!(
        language,
        "{kind} \"{name}\" belongs to {owned_by} \"{by}\": nothing was written",
        "{kind} \"{name}\" 由 {owned_by} \"{by}\" 管理：没有写入任何内容"
    );
    Err(Failure::new(Exit::OwnedByGit, message).hint(say!(
        language,
        "make this change in Git, or write all the same with --force",
        "请在 Git 中作此修改，或使用 --force 强制写入"
    )))
}

/// The change as a strategic patch of Kustomize: it names its object.
fn in_git(kind: &str, name: &str, namespace: &str, patch: &Value) -> Value {
    let mut object = json!({"apiVersion": "odoofleet.dev/v1alpha1", "kind": kind});
    object["metadata"] = json!({"name": name, "namespace": namespace});
    for (key, value) in patch.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("metadata", Value::Object(metadata)) => {
                for (key, value) in metadata {
                    object["metadata"][key] = value.clone();
                }
            }
            _ => object[key] = value.clone(),
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn owners_are_told_by_what_they_write_on_objects() {
        let argo = |id: &str| {
            of(&metadata(json!({"name": "acme-prod", "annotations": {"argocd.argoproj.io/tracking-id": id}})))
        };
        let owner = argo("fleet:odoofleet.dev/OdooEnvironment:odoo/acme-prod").unwrap();
        assert_eq!((owner.kind, owner.name.as_str()), ("Argo CD Application", "fleet"));
        assert_eq!(argo("fleet:odoofleet.dev/OdooEnvironment:odoo/acme-test"), None, "copied from another object");
        let flux = of(&metadata(json!({"labels": {
            "kustomize.toolkit.fluxcd.io/name": "fleet", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}})));
        assert_eq!(flux.unwrap().name, "flux-system/fleet");
        assert_eq!(of(&metadata(json!({"labels": {"app.kubernetes.io/instance": "acme-prod"}}))), None);
    }

    #[test]
    fn the_patch_for_git_names_its_object() {
        let patch = json!({"spec": {"replicas": 0}, "metadata": {"annotations": {"a": "b"}}});
        let expected = json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "acme-prod", "namespace": "odoo", "annotations": {"a": "b"}},
            "spec": {"replicas": 0},
        });
        assert_eq!(in_git("OdooEnvironment", "acme-prod", "odoo", &patch), expected);
    }
}
