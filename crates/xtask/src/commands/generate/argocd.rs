//! The ConfigMap that tells Argo CD of our kinds, from Lua files in Argo CD's own layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::tree::Tree;

/// Group, kind, and in it `health.lua` and `actions/`.
pub const SOURCES: &str = "config/argocd/resource_customizations";
const TARGET: &str = "config/argocd/argocd-cm.yaml";
const HEAD: &str =
    "# Made of resource_customizations/ by `cargo xtask generate`. It adds keys to Argo CD's own ConfigMap:
# kubectl patch configmap argocd-cm -n argocd --type merge --patch-file config/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/part-of: argocd
data:
";
/// People start and stop with replicas, which Git need not hold.
const IGNORED: &str = "  resource.customizations.ignoreDifferences.odoofleet.dev_OdooEnvironment: |
    jsonPointers:
      - /spec/replicas
";

/// What Argo CD is told of one kind.
#[derive(Default)]
struct Customization {
    health: Option<String>,
    discovery: Option<String>,
    /// Scripts by the name of their action.
    actions: BTreeMap<String, String>,
}

/// The ConfigMap.
pub fn tree(root: &Path) -> Result<Tree> {
    let mut text = HEAD.to_owned();
    for (name, one) in sources(&root.join(SOURCES))? {
        text.push_str(&entries(&name, &one)?);
    }
    text.push_str(IGNORED);
    Ok(Tree { files: [(TARGET.to_owned(), text)].into(), folders: vec![] })
}

/// Each kind's scripts, under `<group>_<kind>`.
fn sources(folder: &Path) -> Result<BTreeMap<String, Customization>> {
    let mut all = BTreeMap::new();
    for group in names(folder)? {
        for kind in names(&folder.join(&group))? {
            let of = folder.join(&group).join(&kind);
            let actions = of.join("actions");
            let mut one = Customization { health: script(&of.join("health.lua"))?, ..Customization::default() };
            if actions.is_dir() {
                one.discovery = script(&actions.join("discovery.lua"))?;
                for name in names(&actions)? {
                    let action = script(&actions.join(&name).join("action.lua"))?;
                    one.actions.extend(action.map(|action| (name, action)));
                }
            }
            all.insert(format!("{group}_{kind}"), one);
        }
    }
    if all.is_empty() {
        bail!("{} holds no kind", folder.display());
    }
    Ok(all)
}

/// Names of the folders in a folder, in order.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read \"{}\"", folder.display()))?;
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn script(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read.with_context(|| format!("cannot read \"{}\"", file.display()))?)),
    }
}

fn entries(name: &str, one: &Customization) -> Result<String> {
    let mut text = String::new();
    if let Some(health) = &one.health {
        text.push_str(&block(&format!("  resource.customizations.health.{name}"), health, 4));
    }
    match (&one.discovery, one.actions.is_empty()) {
        (None, true) => {}
        (Some(discovery), false) => {
            let mut actions = block("discovery.lua", discovery, 2) + "definitions:\n";
            for (action, script) in &one.actions {
                actions.push_str("  - name: ");
                actions.push_str(action);
                actions.push('\n');
                actions.push_str(&block("    action.lua", script, 6));
            }
            text.push_str(&block(&format!("  resource.customizations.actions.{name}"), &actions, 4));
        }
        (None, false) => bail!("{name} has actions, but no actions/discovery.lua"),
        (Some(_), true) => bail!("{name} has actions/discovery.lua, but no action"),
    }
    Ok(text)
}

/// A literal block of YAML.
fn block(key: &str, content: &str, depth: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:depth$}{line}\n", "") };
    let lines: Vec<String> = content.lines().map(line).collect();
    format!("{key}: |\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_config_map_holds_each_script_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let of = root.path().join(SOURCES).join("example.com/Thing");
        for (file, content) in [
            ("health.lua", "-- a: b\n\nif x then\n  return {}\nend\n"),
            ("health_test.yaml", ""),
            ("actions/discovery.lua", "return {}\n"),
            ("actions/stop/action.lua", "return obj\n"),
            ("actions/testdata/a.yaml", ""),
        ] {
            let path = of.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let tree = tree(root.path()).unwrap();
        let map: Value = serde_saphyr::from_str(&tree.files[TARGET]).unwrap();
        let data = &map["data"];
        let health = &data["resource.customizations.health.example.com_Thing"];
        assert_eq!(health, "-- a: b\n\nif x then\n  return {}\nend\n");
        let actions = data["resource.customizations.actions.example.com_Thing"].as_str().unwrap();
        let actions: Value = serde_saphyr::from_str(actions).unwrap();
        assert_eq!(actions["discovery.lua"], "return {}\n");
        assert_eq!(actions["definitions"], serde_json::json!([{ "name": "stop", "action.lua": "return obj\n" }]));
    }

    #[test]
    fn actions_that_nobody_is_offered_are_refused() {
        let of = |discovery: Option<&str>, action: Option<&str>| Customization {
            health: None,
            discovery: discovery.map(str::to_owned),
            actions: action.map(|name| (name.to_owned(), String::new())).into_iter().collect(),
        };
        let error = |one: &Customization| entries("g_K", one).unwrap_err().to_string();
        assert_eq!(error(&of(None, Some("stop"))), "g_K has actions, but no actions/discovery.lua");
        assert_eq!(error(&of(Some(""), None)), "g_K has actions/discovery.lua, but no action");
    }
}
