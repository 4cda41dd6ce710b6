//! The table "Attacks tried" of docs/security.md, from what the chart's tests counted and from the tests of other layers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::sources;

/// The document that holds the table.
pub const DOCUMENT: &str = "docs/security.md";
/// What `charts/odoofleet/tests/run.py --write` writes.
const COUNTS: &str = "charts/odoofleet/tests/attacks.json";
const BEGIN: &str = "<!-- attacks: generated -->\n";
const END: &str = "<!-- attacks: end -->\n";

/// Attacks that were refused, by layer and by part of the chart's tests.
type Counts = BTreeMap<String, BTreeMap<String, u32>>;

/// The layers that the chart's tests count, in the order in which an attack meets them: their name there, and in the table.
const COUNTED: [(&str, &str); 4] = [
    ("rbac", "RBAC of the API server"),
    ("schema", "patterns of the kinds"),
    ("admission", "admission policies"),
    ("rendering", "rendering of charts/odoofleet"),
];

/// A layer behind them, and the files whose tests try it.
struct Tested {
    layer: &'static str,
    folder: &'static str,
    files: &'static [&'static str],
}

const TESTED: [Tested; 3] = [
    Tested {
        layer: "core: rules of the operator",
        folder: "crates/core/src/environment",
        files: &["canary_tests.rs", "claims.rs", "continuation.rs", "git.rs", "validate_tests.rs", "value_rules.rs"],
    },
    Tested {
        layer: "Helm worker: what charts render",
        folder: "crates/helm/worker",
        files: &[
            "chart_test.go",
            "checks_test.go",
            "cluster_safety_test.go",
            "dataloss_test.go",
            "lookup_test.go",
            "reach_test.go",
            "redact_test.go",
        ],
    },
    Tested { layer: "end to end", folder: "e2e/scenarios", files: &["refusals.rs", "walls.rs", "walls_around.rs"] },
];

/// Writes the table into the document.
pub fn write(root: &Path) -> Result<()> {
    let (document, table) = (read(root)?, table(root)?);
    fs::write(root.join(DOCUMENT), place(&document, &table)?).with_context(|| format!("cannot write \"{DOCUMENT}\""))
}

/// Fails if the table is not what the tests say.
pub fn check(root: &Path) -> Result<()> {
    let document = read(root)?;
    if place(&document, &table(root)?)? != document {
        bail!("the table of attacks in \"{DOCUMENT}\" is not what the tests say\nWrite it: cargo xtask generate");
    }
    println!("✓ The table of attacks is what the tests say");
    Ok(())
}

fn read(root: &Path) -> Result<String> {
    fs::read_to_string(root.join(DOCUMENT)).with_context(|| format!("cannot read \"{DOCUMENT}\""))
}

fn table(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join(COUNTS)).with_context(|| format!("cannot read \"{COUNTS}\""))?;
    let counts = serde_json::from_str(&text)
        .with_context(|| format!("\"{COUNTS}\" does not say how many attacks each layer refused"))?;
    let mut rows = counted(&counts)?;
    for tested in &TESTED {
        rows.push(count(root, tested)?);
    }
    let mut table = "| layer | attacks or tests | where they are |\n|---|---|---|\n".to_owned();
    for [layer, number, place] in rows {
        writeln!(table, "| {layer} | {number} | {place} |")?;
    }
    Ok(table)
}

fn counted(counts: &Counts) -> Result<Vec<[String; 3]>> {
    if let Some(layer) = counts.keys().find(|layer| COUNTED.iter().all(|(name, _)| name != layer)) {
        bail!("\"{COUNTS}\" counts for the layer \"{layer}\", which has no row: add it to COUNTED");
    }
    let row = |(name, title): (&str, &str)| {
        let parts = counts.get(name).filter(|parts| !parts.is_empty()).with_context(|| {
            format!("\"{COUNTS}\" counts nothing for the layer \"{name}\": run charts/odoofleet/tests/run.py --write")
        })?;
        let number: u32 = parts.values().sum();
        Ok([title.to_owned(), format!("{number} attacks"), names(parts.keys().map(String::as_str))])
    };
    COUNTED.into_iter().map(row).collect()
}

fn count(root: &Path, tested: &Tested) -> Result<[String; 3]> {
    let mut number = 0;
    for name in tested.files {
        let found = sources::tests(&root.join(tested.folder).join(name))?.len();
        if found == 0 {
            bail!("\"{}/{name}\" has no test: take it out of TESTED", tested.folder);
        }
        number += found;
    }
    let files = names(tested.files.iter().copied());
    Ok([tested.layer.to_owned(), format!("{number} tests"), format!("`{}`: {files}", tested.folder)])
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The document with the table between its marks.
fn place(document: &str, table: &str) -> Result<String> {
    let parts = document.split_once(BEGIN).and_then(|(above, rest)| Some((above, rest.split_once(END)?.1)));
    let Some((above, below)) = parts else {
        bail!(
            "\"{DOCUMENT}\" has no place for the table: write the lines \"{}\" and \"{}\"",
            BEGIN.trim_end(),
            END.trim_end()
        );
    };
    Ok(format!("{above}{BEGIN}\n{table}\n{END}{below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn layers_stand_in_the_order_in_which_an_attack_meets_them() {
        let text = r#"{"admission": {"b": 2, "a": 3}, "rbac": {"c": 1}, "rendering": {"d": 4}, "schema": {"a": 5}}"#;
        let rows = counted(&counts(text)).unwrap();
        assert_eq!(
            rows.iter().map(|[_, number, _]| number.as_str()).collect::<Vec<_>>(),
            ["1 attacks", "5 attacks", "5 attacks", "4 attacks"]
        );
        assert_eq!(rows[2], ["admission policies", "5 attacks", "`a`, `b`"]);
    }

    #[test]
    fn a_layer_too_many_or_too_few_is_named() {
        let more = counts(r#"{"moon": {"a": 1}}"#);
        assert!(counted(&more).unwrap_err().to_string().contains("\"moon\""));
        let fewer = counts(r#"{"admission": {"a": 1}, "rbac": {"a": 1}, "schema": {}}"#);
        assert!(counted(&fewer).unwrap_err().to_string().contains("\"schema\""));
    }

    #[test]
    fn tests_of_files_are_counted_and_a_file_without_any_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.rs"), "#[test]\nfn a() {}\n#[test]\nfn b() {}\n").unwrap();
        fs::write(root.path().join("b_test.go"), "func TestC(t *testing.T) {}\n").unwrap();
        fs::write(root.path().join("c.rs"), "fn d() {}\n").unwrap();
        let row = count(root.path(), &Tested { layer: "l", folder: ".", files: &["a.rs", "b_test.go"] }).unwrap();
        assert_eq!(row, ["l", "3 tests", "`.`: `a.rs`, `b_test.go`"]);
        let error = count(root.path(), &Tested { layer: "l", folder: ".", files: &["c.rs"] }).unwrap_err().to_string();
        assert!(error.contains("\"./c.rs\""), "{error}");
    }

    #[test]
    fn the_table_takes_the_place_of_an_older_one_and_of_nothing_else() {
        let document = format!("above\n{BEGIN}old\n{END}below\n");
        let placed = place(&document, "| new |\n").unwrap();
        assert_eq!(placed, format!("above\n{BEGIN}\n| new |\n\n{END}below\n"));
        assert_eq!(place(&placed, "| new |\n").unwrap(), placed);
        let error = place("above\n", "").unwrap_err().to_string();
        assert!(error.contains("<!-- attacks: generated -->\""), "{error}");
    }
}
