//! `generate`: the CRDs as files, from the Rust types; and what docs/security.md says of tests, from the tests.

mod attacks;
mod sources;
mod threats;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::{exec, repo};

/// Where the CRDs lie: for `kubectl apply`, and for the chart.
const FOLDERS: [&str; 2] = ["crds", "charts/odoofleet/files/crds"];

/// Write the CRDs from the Rust types, and the table of attacks from the tests.
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
    if args.check {
        return check();
    }
    let files = crds()?;
    for folder in FOLDERS {
        write(&repo::path(folder), &files)?;
    }
    println!("✓ Wrote {} CRDs to {}", files.len(), FOLDERS.join(" and "));
    attacks::write(&repo::root())?;
    println!("✓ Wrote the table of attacks to {}", attacks::DOCUMENT);
    Ok(())
}

/// Fails if a file is not what the types or the tests say.
pub fn check() -> Result<()> {
    let root = repo::root();
    compare(&root, &crds()?)?;
    attacks::check(&root)?;
    threats::check(&root)
}

/// What the operator prints.
fn crds() -> Result<BTreeMap<String, String>> {
    let mut command = exec::cargo();
    command.args(["run", "--quiet", "--package", "odoofleet", "--", "crds"]).current_dir(repo::root());
    split(&exec::output(&mut command)?)
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

fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for name in present(folder)?.into_iter().filter(|name| !files.contains_key(name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, content) in files {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn compare(root: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let mut wrong = Vec::new();
    for folder in FOLDERS {
        let dir = root.join(folder);
        let stale = present(&dir)?.into_iter().filter(|name| !files.contains_key(name));
        wrong.extend(stale.map(|name| format!("{folder}/{name} (no such kind)")));
        let differing =
            files.iter().filter(|(name, content)| fs::read_to_string(dir.join(name)).ok().as_ref() != Some(content));
        wrong.extend(differing.map(|(name, _)| format!("{folder}/{name}")));
    }
    if wrong.is_empty() {
        println!("✓ {} CRDs are what the types say", files.len());
        return Ok(());
    }
    Err(anyhow!("these files are not what the types say:\n  {}\nWrite them: cargo xtask generate", wrong.join("\n  ")))
}

/// The YAML files in a folder; none if there is no folder.
fn present(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml")).collect())
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

    #[test]
    fn the_check_names_what_differs() {
        let root = tempfile::tempdir().unwrap();
        let files = split(TEXT).unwrap();
        for folder in FOLDERS {
            write(&root.path().join(folder), &files).unwrap();
        }
        compare(root.path(), &files).unwrap();
        fs::write(root.path().join("crds/a.odoofleet.dev.yaml"), "changed").unwrap();
        fs::write(root.path().join("charts/odoofleet/files/crds/old.yaml"), "").unwrap();
        let error = compare(root.path(), &files).unwrap_err().to_string();
        assert!(error.contains("crds/a.odoofleet.dev.yaml\n") && error.contains("old.yaml (no such kind)"), "{error}");
        assert!(!error.contains("b.odoofleet.dev.yaml"), "{error}");
        assert!(error.ends_with("cargo xtask generate"), "{error}");
    }

    #[test]
    fn writing_removes_what_no_kind_has() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("old.yaml"), "").unwrap();
        fs::write(root.path().join("README.md"), "").unwrap();
        write(root.path(), &split(TEXT).unwrap()).unwrap();
        assert!(!root.path().join("old.yaml").exists());
        assert!(root.path().join("README.md").exists());
    }
}
