//! `config/`: what the chart renders by default, for those who install with kustomize.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::tree::Tree;
use crate::{exec, repo};

/// Where everything lies.
const ROOT: &str = "config";
/// Folders that are made as a whole.
const FOLDERS: [&str; 6] = ["crd", "namespace", "rbac", "policies", "network", "operator"];
/// The namespace of the operator, which the chart leaves to `--create-namespace`.
const SYSTEM: &str = "odoofleet-system";
const SYSTEM_NAMESPACE: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: odoofleet-system
  labels:
    app.kubernetes.io/part-of: odoofleet
    pod-security.kubernetes.io/enforce: restricted
";
/// The lowest version that the chart supports.
const KUBERNETES: &str = "1.33.0";
/// What only Helm's own objects have.
const OF_HELM: [&str; 3] = ["helm.sh/chart:", "helm.sh/resource-policy:", "app.kubernetes.io/managed-by: Helm"];

/// What the chart renders, as the files of `config/`.
pub fn tree(helm: &Path) -> Result<Tree> {
    let mut command = Command::new(helm);
    command.args(["template", "odoofleet", "charts/odoofleet", "--namespace", SYSTEM, "--kube-version", KUBERNETES]);
    command.args(["--set", "metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true"]);
    arrange(&exec::output(command.current_dir(repo::root()))?)
}

/// Sorts rendered documents into files.
fn arrange(rendered: &str) -> Result<Tree> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for document in documents(rendered) {
        let source = document.lines().find_map(|line| line.strip_prefix("# Source: odoofleet/templates/"));
        let source = source.ok_or_else(|| anyhow!("Helm rendered a document without its source:\n{document}"))?;
        let path = format!("{ROOT}/{}", place(source, &document)?);
        let text = plain(&document);
        match files.get_mut(&path) {
            Some(file) => {
                file.push_str("---\n");
                file.push_str(&text);
            }
            None => {
                files.insert(path, format!("# Made of charts/odoofleet by `cargo xtask generate`.\n{text}"));
            }
        }
    }
    files.insert(format!("{ROOT}/namespace/{SYSTEM}.yaml"), SYSTEM_NAMESPACE.to_owned());
    for folder in FOLDERS {
        files.insert(format!("{ROOT}/{folder}/kustomization.yaml"), kustomization(folder, &files)?);
    }
    Ok(Tree { files, folders: FOLDERS.iter().map(|folder| format!("{ROOT}/{folder}")).collect() })
}

fn documents(rendered: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in rendered.lines() {
        if line.trim_end() == "---" {
            all.push(String::new());
        } else if let Some(document) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    all.into_iter().filter(|document| !document.trim().is_empty()).collect()
}

/// The file for a document of a template.
fn place(source: &str, document: &str) -> Result<String> {
    let (folder, file) = source.rsplit_once('/').unwrap_or(("", source));
    let name = || {
        let mut names = document.lines().skip_while(|line| *line != "metadata:");
        let name = names.find_map(|line| line.strip_prefix("  name: "));
        name.ok_or_else(|| anyhow!("{source} renders an object without a name"))
    };
    let path = match (folder, file) {
        ("", "crds.yaml") => format!("crd/{}.yaml", name()?),
        ("", "namespace.yaml") => format!("namespace/{}.yaml", name()?),
        ("operator", "deployment.yaml" | "service.yaml") => format!("operator/{file}"),
        // Rights of the operator, which has a role for people of the same name beside it.
        ("operator", _) => format!("rbac/controller-{file}"),
        ("roles", _) => format!("rbac/{file}"),
        ("policies" | "network", _) => format!("{folder}/{file}"),
        ("monitoring", _) => format!("prometheus/{file}"),
        _ => bail!(
            "no folder of {ROOT}/ is named for {source}; name one in crates/xtask/src/commands/generate/config.rs"
        ),
    };
    Ok(path)
}

/// A document without what only Helm's own objects have, each with the comment above it.
fn plain(document: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in document.lines().filter(|line| !line.starts_with("# Source: ")) {
        if OF_HELM.iter().any(|own| line.trim_start().starts_with(own)) {
            while kept.last().is_some_and(|above| above.trim_start().starts_with('#')) {
                kept.pop();
            }
        } else if !line.trim().is_empty() || !kept.is_empty() {
            kept.push(line);
        }
    }
    let depth = |line: &str| line.len() - line.trim_start().len();
    let childless = |at: usize, line: &str| {
        line.trim() == "annotations:" && kept.get(at + 1).is_none_or(|next| depth(next) <= depth(line))
    };
    let lines = kept.iter().enumerate().filter(|(at, line)| !childless(*at, line));
    let mut text = lines.map(|(_, line)| line.trim_end()).collect::<Vec<_>>().join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn kustomization(folder: &str, files: &BTreeMap<String, String>) -> Result<String> {
    let within = format!("{ROOT}/{folder}/");
    let names: BTreeSet<&str> = files.keys().filter_map(|path| path.strip_prefix(&within)).collect();
    if names.is_empty() {
        return Err(anyhow!("the chart renders nothing for {within}")).context("config/ cannot be made");
    }
    let resources = names.into_iter().collect::<Vec<_>>().join("\n  - ");
    Ok(format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - {resources}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_helm_has_goes_with_its_comment() {
        let document = "# Source: odoofleet/templates/namespace.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: odoo
  labels:
    helm.sh/chart: odoofleet-0.1.0
    app.kubernetes.io/managed-by: Helm
    # Binds the policies.
    odoofleet.dev/managed: \"true\"
  annotations:
    # Uninstalling keeps it.
    helm.sh/resource-policy: keep
";
        let expected = "apiVersion: v1
kind: Namespace
metadata:
  name: odoo
  labels:
    # Binds the policies.
    odoofleet.dev/managed: \"true\"
";
        assert_eq!(plain(document), expected);
    }

    #[test]
    fn annotations_of_ones_own_stay() {
        let document = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n    mine: \"1\"\n  name: a\n";
        assert_eq!(plain(document), "metadata:\n  annotations:\n    mine: \"1\"\n  name: a\n");
    }

    #[test]
    fn a_document_lies_where_its_template_says() {
        let named = "kind: X\nmetadata:\n  name: odoo\n";
        for (source, place_of) in [
            ("crds.yaml", "crd/odoo.yaml"),
            ("namespace.yaml", "namespace/odoo.yaml"),
            ("operator/deployment.yaml", "operator/deployment.yaml"),
            ("operator/role.yaml", "rbac/controller-role.yaml"),
            ("roles/operator.yaml", "rbac/operator.yaml"),
            ("policies/secrets.yaml", "policies/secrets.yaml"),
            ("monitoring/servicemonitor.yaml", "prometheus/servicemonitor.yaml"),
        ] {
            assert_eq!(place(source, named).unwrap(), place_of);
        }
        let error = place("new/thing.yaml", named).unwrap_err().to_string();
        assert!(error.starts_with("no folder of config/ is named for new/thing.yaml"), "{error}");
    }
}
