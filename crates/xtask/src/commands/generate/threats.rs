//! Whether the tests are there that the threat model of docs/security.md names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::attacks::DOCUMENT;
use super::sources;

const HEADING: &str = "## Threat model\n";
/// Where the tests are that it may name.
const FOLDERS: [&str; 3] = ["charts/odoofleet/tests", "crates", "e2e"];

/// Fails if a test that the threat model names does not exist.
pub fn check(root: &Path) -> Result<()> {
    let document = fs::read_to_string(root.join(DOCUMENT)).with_context(|| format!("cannot read \"{DOCUMENT}\""))?;
    let named = named(&document)?;
    let mut present = BTreeSet::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut present)?;
    }
    let missing: Vec<_> = named.difference(&present).map(|name| format!("\"{name}\"")).collect();
    if !missing.is_empty() {
        bail!(
            "the threat model in \"{DOCUMENT}\" names tests that do not exist: {}\nName those that try the attack, in {}",
            missing.join(", "),
            FOLDERS.join(", ")
        );
    }
    println!("✓ {} tests that the threat model names exist", named.len());
    Ok(())
}

/// What stands in backticks in the last column. Names have no spaces; titles and commands have.
fn named(document: &str) -> Result<BTreeSet<String>> {
    let section = document.split_once(HEADING).and_then(|(_, rest)| rest.split("\n## ").next());
    let section = section.with_context(|| format!("\"{DOCUMENT}\" has no section \"{}\"", HEADING.trim_end()))?;
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')).skip(2);
    let cells = rows.filter_map(|row| row.rsplit('|').next());
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let names: BTreeSet<_> = words.filter(|word| !word.contains(' ')).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("the threat model in \"{DOCUMENT}\" names no test: they stand in backticks in the last column");
    }
    Ok(names)
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read \"{}\"", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else {
            found.extend(sources::tests(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "| who | test |\n|---|---|\n| `a`, who is nobody's | `b`, `TestC`; the steps `D e` |\n";

    fn tree(document: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("docs/security.md", document),
            ("charts/odoofleet/tests/walls.py", "def b(checks, asks):\n"),
            ("crates/helm/worker/reach_test.go", "func TestC(t *testing.T) {}\n"),
            ("e2e/scenarios/walls.rs", "fn helper() {}\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn tests_are_named_in_backticks_in_the_last_column_of_the_threat_model() {
        let document = format!("| x | `no` |\n{HEADING}Text of `no` test.\n\n{ROWS}\n## Next\n| x | `no` |\n");
        assert_eq!(named(&document).unwrap().into_iter().collect::<Vec<_>>(), ["TestC", "b"]);
    }

    #[test]
    fn a_document_that_names_no_test_is_refused() {
        assert!(named("## Other\n").is_err());
        assert!(named(&format!("{HEADING}Text.\n")).is_err());
    }

    #[test]
    fn tests_that_do_not_exist_are_named() {
        check(tree(&format!("{HEADING}\n{ROWS}")).path()).unwrap();
        let more = format!("{HEADING}\n{ROWS}| x | `helper`, `b` |\n");
        let error = check(tree(&more).path()).unwrap_err().to_string();
        assert!(error.contains("do not exist: \"helper\"\n"), "{error}");
    }
}
