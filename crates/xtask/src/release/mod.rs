//! What stands in the repository about versions.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

pub mod archive;
pub mod krew;

/// The charts, which are released together with the operator.
const CHARTS: [&str; 2] = ["charts/odoofleet/Chart.yaml", "charts/odoo/Chart.yaml"];

#[derive(Deserialize)]
struct Manifest {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    version: String,
    repository: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chart {
    name: String,
    version: String,
    app_version: String,
}

/// The version of everything that is released.
pub fn version(root: &Path) -> Result<String> {
    Ok(package(root)?.version)
}

/// Where the project lives.
pub fn repository(root: &Path) -> Result<String> {
    Ok(package(root)?.repository)
}

fn package(root: &Path) -> Result<Package> {
    let manifest: Manifest = toml::from_str(&read(root, "Cargo.toml")?).context("Cargo.toml names no version")?;
    Ok(manifest.workspace.package)
}

/// Fails if the versions are not all `version`, or CHANGELOG.md has nothing dated of it.
pub fn check(root: &Path, version: &str) -> Result<()> {
    let mut wrong = disagreements(root, version)?;
    if let Err(error) = notes(&changelog(root)?, version) {
        wrong.push(error.to_string());
    }
    if !root.join("e2e/kinds/released").join(version).is_dir() {
        wrong.push(format!(
            "e2e/kinds/released does not hold the kinds of {version}: cargo xtask release kinds --version {version}"
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(anyhow!("this is not version {version:?}:\n  {}", wrong.join("\n  "))) }
}

/// Which files say another version.
fn disagreements(root: &Path, expected: &str) -> Result<Vec<String>> {
    let mut said = vec![("Cargo.toml".to_owned(), version(root)?)];
    for file in CHARTS {
        let chart: Chart =
            serde_saphyr::from_str(&read(root, file)?).with_context(|| format!("cannot read {file:?}"))?;
        said.push((format!("version in {file}"), chart.version));
        // The other chart's is Odoo's.
        if chart.name == "odoofleet" {
            said.push((format!("appVersion in {file}"), chart.app_version));
        }
    }
    let wrong = said.into_iter().filter(|(_, found)| found != expected);
    Ok(wrong.map(|(place, found)| format!("{place} says {found:?}, not {expected:?}")).collect())
}

/// CHANGELOG.md.
pub fn changelog(root: &Path) -> Result<String> {
    read(root, "CHANGELOG.md")
}

/// What a changelog says of a version that has a date.
pub fn notes(changelog: &str, version: &str) -> Result<String> {
    let heading = format!("## {version} - ");
    let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
    if lines.next().is_none() {
        bail!("CHANGELOG.md has no heading \"{heading}YYYY-MM-DD\"");
    }
    let text: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let text = text.join("\n");
    if text.trim().is_empty() {
        bail!("CHANGELOG.md says nothing of {version}");
    }
    Ok(text.trim().to_owned())
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;

    const CHANGELOG: &str =
        "# Changes\n\n## Unreleased\n\n- x\n\n## 0.2.0 - 2026-12-01\n\n### Added\n\n- a\n\n## 0.1.0 - 2026-11-01\n\n";

    #[test]
    fn every_file_of_the_repository_says_the_same_version() {
        let root = repo::root();
        assert_eq!(disagreements(&root, &version(&root).unwrap()).unwrap(), [""; 0]);
    }

    /// As cargo-release does it: with regular expressions over lines.
    #[test]
    fn what_cargo_release_replaces_makes_a_release() {
        let root = tempfile::tempdir().unwrap();
        let manifest: toml::Table = toml::from_str(&read(&repo::root(), "crates/xtask/Cargo.toml").unwrap()).unwrap();
        let replacements = manifest["package"]["metadata"]["release"]["pre-release-replacements"].as_array().unwrap();
        for one in replacements {
            let text = |key: &str| one[key].as_str().unwrap();
            let file = text("file").strip_prefix("../../").unwrap();
            let target = root.path().join(file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            let before = read(root.path(), file).or_else(|_| read(&repo::root(), file)).unwrap();
            let search = regex::RegexBuilder::new(text("search")).multi_line(true).build().unwrap();
            assert_eq!(search.find_iter(&before).count(), 1, "{one:?}");
            let replace = text("replace").replace("{{version}}", "9.8.7").replace("{{date}}", "2027-01-01");
            fs::write(&target, search.replace_all(&before, replace.as_str()).as_bytes()).unwrap();
        }
        let cargo = read(&repo::root(), "Cargo.toml").unwrap();
        let now = format!("\nversion = \"{}\"\n", version(&repo::root()).unwrap());
        fs::write(root.path().join("Cargo.toml"), cargo.replacen(&now, "\nversion = \"9.8.7\"\n", 1)).unwrap();
        fs::create_dir_all(root.path().join("e2e/kinds/released/9.8.7")).unwrap();
        let unreleased = changelog(&repo::root()).unwrap().contains("## Unreleased\n\n#");
        let checked = check(root.path(), "9.8.7");
        // Right after a release nothing stands under Unreleased, and there is nothing to release.
        assert_eq!(checked.is_ok(), unreleased, "{checked:?}");
        assert!(changelog(root.path()).unwrap().contains("## Unreleased\n\n## 9.8.7 - 2027-01-01\n"));
    }

    #[test]
    fn a_file_with_another_version_is_named() {
        let root = tempfile::tempdir().unwrap();
        for chart in ["odoofleet", "odoo"] {
            let folder = root.path().join("charts").join(chart);
            fs::create_dir_all(&folder).unwrap();
            let app = if chart == "odoo" { "18.0" } else { "0.2.0" };
            fs::write(folder.join("Chart.yaml"), format!("name: {chart}\nversion: 0.2.0\nappVersion: \"{app}\"\n"))
                .unwrap();
        }
        fs::write(root.path().join("Cargo.toml"), "[workspace.package]\nversion = \"0.2.0\"\nrepository = \"x\"\n")
            .unwrap();
        fs::write(root.path().join("CHANGELOG.md"), CHANGELOG).unwrap();
        fs::create_dir_all(root.path().join("e2e/kinds/released/0.2.0")).unwrap();
        check(root.path(), "0.2.0").unwrap();

        fs::write(
            root.path().join("charts/odoofleet/Chart.yaml"),
            "name: odoofleet\nversion: 0.2.0\nappVersion: 0.1.0\n",
        )
        .unwrap();
        assert_eq!(
            disagreements(root.path(), "0.2.0").unwrap(),
            ["appVersion in charts/odoofleet/Chart.yaml says \"0.1.0\", not \"0.2.0\""]
        );
        let error = check(root.path(), "0.3.0").unwrap_err().to_string();
        for part in
            ["Cargo.toml says \"0.2.0\"", "version in charts/odoo/Chart.yaml", "## 0.3.0 - YYYY", "the kinds of 0.3.0"]
        {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }

    #[test]
    fn notes_are_the_part_of_their_version() {
        assert_eq!(notes(CHANGELOG, "0.2.0").unwrap(), "### Added\n\n- a");
        assert!(notes(CHANGELOG, "0.1.0").unwrap_err().to_string().contains("says nothing"));
        assert!(notes(CHANGELOG, "0.2").unwrap_err().to_string().contains("\"## 0.2 - YYYY-MM-DD\""));
        assert!(notes(CHANGELOG, "Unreleased").is_err());
    }
}
