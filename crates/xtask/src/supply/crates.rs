//! The crates that the operator is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use super::{Ecosystem, Part, Program, TARGET};
use crate::{exec, repo};

/// The package of the operator.
pub const OPERATOR: &str = "odoofleet";
/// The package of the command line.
pub const CLI: &str = "odoofleet-cli";

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// A program of ours, from cargo's own tree: `cargo metadata` also names what only other members of the workspace ask for.
pub fn program_of(package: &str) -> Result<Program> {
    let tree = exec::output(tree(package).args(["--prefix", "depth", "--format", "|{p}|{l}"]))?;
    let lock = fs::read_to_string(repo::path("Cargo.lock")).context("cannot read Cargo.lock")?;
    program(&tree, &lock)
}

/// Name and version of each crate, as cargo lists them.
pub fn listed(of: &str) -> Result<BTreeSet<(String, String)>> {
    let list = exec::output(tree(of).args(["--prefix", "none", "--format", "{p}"]))?;
    list.lines().map(|line| package(line).map(|(name, version, _)| (name, version))).collect()
}

fn tree(package: &str) -> Command {
    let mut command = exec::cargo();
    command.args(["tree", "--locked", "--package", package, "--edges", "normal", "--target", TARGET]);
    command.current_dir(repo::root());
    command
}

/// Reads a tree whose lines are `depth|package|licence`. A crate is told with what it uses at its first place only.
fn program(tree: &str, lock: &str) -> Result<Program> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock cannot be read")?;
    let checksums: BTreeMap<(&str, &str), &String> = lock
        .package
        .iter()
        .filter_map(|locked| Some(((locked.name.as_str(), locked.version.as_str()), locked.checksum.as_ref()?)))
        .collect();
    let (mut parts, mut uses) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let (mut root, mut above) = (None, Vec::new());
    for line in tree.lines() {
        let fields: Option<(&str, &str, &str)> = line
            .split_once('|')
            .and_then(|(depth, rest)| rest.rsplit_once('|').map(|(package, license)| (depth, package, license)));
        let (depth, told, license) = fields.ok_or_else(|| anyhow!("cargo tree printed {line:?}"))?;
        let depth: usize = depth.parse().with_context(|| format!("cargo tree printed {line:?}"))?;
        let (name, version, ours) = package(told)?;
        let license = license.trim_end_matches(" (*)").trim();
        let part = Part {
            ecosystem: Ecosystem::Cargo,
            sha256: checksums.get(&(name.as_str(), version.as_str())).map(|checksum| (*checksum).clone()),
            // As old crates write it: `MIT/Apache-2.0`.
            license: (!license.is_empty()).then(|| spdx(license)),
            name,
            version,
            ours,
        };
        let purl = part.purl();
        above.truncate(depth);
        if let Some(user) = above.last() {
            uses.entry(String::clone(user)).or_default().insert(purl.clone());
        }
        above.push(purl.clone());
        if depth == 0 {
            root = Some(part);
        } else {
            parts.insert(purl, part);
        }
    }
    let Some(root) = root.filter(|_| !parts.is_empty()) else { bail!("cargo tree printed no crates") };
    Ok(Program { root, parts: parts.into_values().collect(), uses })
}

/// An expression in its present form; one that is none stays as it is, for the policy to refuse.
fn spdx(license: &str) -> String {
    spdx::Expression::canonicalize(license).ok().flatten().unwrap_or_else(|| license.to_owned())
}

/// Name, version and whether it lies here, of `name v1.0.0 (/folder)`.
fn package(told: &str) -> Result<(String, String, bool)> {
    let (name, rest) = told.split_once(" v").ok_or_else(|| anyhow!("cargo tree printed {told:?}"))?;
    let (version, more) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok((name.to_owned(), version.to_owned(), more.starts_with("(/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0|odoofleet v0.1.0 (/work/crates/operator)|Apache-2.0\n\
        1|http v1.5.0|MIT OR Apache-2.0\n\
        2|bytes v1.12.2|MIT\n\
        1|odoofleet-core v0.1.0 (/work/crates/core)|Apache-2.0\n\
        2|http v1.5.0|MIT OR Apache-2.0 (*)\n\
        2|serde_derive v1.0.1 (proc-macro)|MIT/Apache-2.0\n\
        3|bytes v0.9.0|\n";
    const LOCK: &str = "version = 4\n[[package]]\nname = \"bytes\"\nversion = \"1.12.2\"\nchecksum = \"ab\"\n\
        [[package]]\nname = \"bytes\"\nversion = \"0.9.0\"\nchecksum = \"cd\"\n\
        [[package]]\nname = \"odoofleet\"\nversion = \"0.1.0\"\n";

    #[test]
    fn each_version_of_a_crate_is_one_part() {
        let program = program(TREE, LOCK).unwrap();
        assert_eq!((program.root.title().as_str(), program.root.ours), ("odoofleet 0.1.0", true));
        let titles: Vec<String> = program.parts.iter().map(Part::title).collect();
        assert_eq!(titles, ["bytes 0.9.0", "bytes 1.12.2", "http 1.5.0", "odoofleet-core 0.1.0", "serde_derive 1.0.1"]);
        let sums: Vec<Option<&str>> = program.parts.iter().map(|part| part.sha256.as_deref()).collect();
        assert_eq!(sums, [Some("cd"), Some("ab"), None, None, None]);
        let ours: Vec<bool> = program.parts.iter().map(|part| part.ours).collect();
        assert_eq!(ours, [false, false, false, true, false]);
    }

    #[test]
    fn licences_are_told_in_their_present_form() {
        let program = program(TREE, LOCK).unwrap();
        let licenses: Vec<Option<&str>> = program.parts.iter().map(|part| part.license.as_deref()).collect();
        let both = Some("MIT OR Apache-2.0");
        assert_eq!(licenses, [None, Some("MIT"), both, Some("Apache-2.0"), both]);
    }

    #[test]
    fn the_tree_says_who_uses_whom() {
        let uses = program(TREE, LOCK).unwrap().uses;
        let of = |name: &str| {
            let entry = uses.iter().find(|(user, _)| user.starts_with(&format!("pkg:cargo/{name}@")));
            entry.map(|(_, used)| used.iter().map(|purl| &purl["pkg:cargo/".len()..]).collect::<Vec<_>>())
        };
        assert_eq!(of("http"), Some(vec!["bytes@1.12.2"]), "known from its first place");
        assert_eq!(of("serde_derive"), Some(vec!["bytes@0.9.0"]));
        assert!(of("odoofleet-core").unwrap().contains(&"http@1.5.0"), "an edge to a crate told before");
        assert_eq!(of("odoofleet").map(|used| used.len()), Some(2));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert!(program("", LOCK).is_err());
        assert!(program("warning: something\n", LOCK).is_err());
    }
}
