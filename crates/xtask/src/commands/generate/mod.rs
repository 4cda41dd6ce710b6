//! `generate`: the CRDs as files, from the Rust types; what docs/security.md says of tests, from the tests; `config/`, from the chart.

mod argocd;
mod attacks;
mod config;
mod sources;
mod threats;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use self::tree::Tree;
use crate::{exec, repo, tools};

/// Where the CRDs lie: for `kubectl apply`, and for the chart.
const FOLDERS: [&str; 2] = ["crds", "charts/odoofleet/files/crds"];

/// Write the CRDs from the Rust types, the table of attacks from the tests, and config/ from the chart.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if a file is not what it should be.
    #[arg(long)]
    check: bool,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let root = repo::root();
    let helm = || Ok::<_, anyhow::Error>(tools::folder(tools::HELM)?.join("helm"));
    if args.check {
        check()?;
        return check_config(&helm()?);
    }
    crds()?.write(&root)?;
    println!("✓ Wrote the CRDs to {}", FOLDERS.join(" and "));
    attacks::write(&root)?;
    println!("✓ Wrote the table of attacks to {}", attacks::DOCUMENT);
    argocd::tree(&root)?.write(&root)?;
    println!("✓ Wrote the ConfigMap for Argo CD");
    // The chart holds the CRDs that were written above.
    config::tree(&helm()?)?.write(&root)?;
    println!("✓ Wrote config/");
    Ok(())
}

/// Fails if a file is not what the types or the tests say.
pub fn check() -> Result<()> {
    let root = repo::root();
    crds()?.check(&root, "the types")?;
    println!("✓ The CRDs are what the types say");
    argocd::tree(&root)?.check(&root, argocd::SOURCES)?;
    println!("✓ The ConfigMap for Argo CD is what the scripts say");
    attacks::check(&root)?;
    threats::check(&root)
}

/// Fails if a file of `config/` is not what the chart renders.
pub fn check_config(helm: &Path) -> Result<()> {
    let tree = config::tree(helm)?;
    tree.check(&repo::root(), "the chart")?;
    println!("✓ {} files of config/ are what the chart renders", tree.files.len());
    Ok(())
}

/// What the operator prints.
fn crds() -> Result<Tree> {
    let mut command = exec::cargo();
    command.args(["run", "--quiet", "--package", "odoofleet", "--", "crds"]).current_dir(repo::root());
    let files = split(&exec::output(&mut command)?)?;
    let copies = |folder| files.iter().map(move |(name, content)| (format!("{folder}/{name}"), content.clone()));
    Ok(Tree { files: FOLDERS.into_iter().flat_map(copies).collect(), folders: FOLDERS.map(str::to_owned).into() })
}

/// The documents of a YAML text, each under the file name that its object's name gives.
fn split(text: &str) -> Result<BTreeMap<String, String>> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let mut files = BTreeMap::new();
    for document in documents.into_iter().filter(|document| !document.trim().is_empty()) {
        let object: Object = serde_saphyr::from_str(&document).context("the operator printed a CRD without a name")?;
        let name = format!("{}.yaml", object.metadata.name);
        if files.insert(name.clone(), document).is_some() {
            bail!("the operator printed {name} twice");
        }
    }
    if files.is_empty() {
        bail!("the operator printed no CRD");
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "---\nmetadata:\n  name: b.odoofleet.dev\nspec: {}\n---\nmetadata:\n  name: a.odoofleet.dev\n";

    #[test]
    fn documents_are_named_by_their_objects() {
        let files = split(TEXT).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.odoofleet.dev.yaml", "b.odoofleet.dev.yaml"]);
        assert_eq!(files["b.odoofleet.dev.yaml"], "metadata:\n  name: b.odoofleet.dev\nspec: {}\n");
    }

    #[test]
    fn doubles_and_nothing_are_refused() {
        assert!(split(&format!("{TEXT}{TEXT}")).is_err());
        assert!(split("---\n").is_err());
        assert!(split("kind: X\n").is_err());
    }
}
