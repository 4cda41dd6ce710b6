//! What we take from others: of which parts our programs are made, under which licences, and what is known against them.

use std::collections::{BTreeMap, BTreeSet};

pub mod advisories;
pub mod bill;
pub mod crates;
pub mod modules;
pub mod npm;
pub mod policy;
pub mod vulnerabilities;

/// For which system our programs are listed: that of the image, whatever machine asks.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// A crate.
    Cargo,
    /// A Go module.
    Go,
    /// An npm package.
    Npm,
    /// A package of Debian.
    Debian,
}

/// A crate, a Go module or an npm package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name there.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// Its licence as an SPDX expression, if it can be told.
    pub license: Option<String>,
    /// The SHA-256 by which its lock file knows it, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Whether it lies in this repository.
    pub ours: bool,
}

impl Part {
    /// Its package URL, by which databases of vulnerabilities know it, and by which a bill refers to it.
    pub fn purl(&self) -> String {
        let kind = match self.ecosystem {
            Ecosystem::Cargo => "cargo",
            Ecosystem::Go => "golang",
            Ecosystem::Npm => "npm",
            Ecosystem::Debian => "deb/debian",
        };
        // A plus is a blank to some who read URLs.
        let version = self.version.replace('+', "%2B");
        // Whoever finds one of our own names in a registry would find something else.
        let origin = if self.ours { concat!("?vcs_url=git%2B", env!("CARGO_PKG_REPOSITORY")) } else { "" };
        format!("pkg:{kind}/{}@{version}{origin}", self.name.replace('@', "%40"))
    }

    /// Its name and version, as people write them.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// A program, and all that is linked into it.
#[derive(Debug)]
pub struct Program {
    /// The program itself.
    pub root: Part,
    /// What it is made of, in the order of their package URLs.
    pub parts: Vec<Part>,
    /// Which part uses which, by package URL.
    pub uses: BTreeMap<String, BTreeSet<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with nothing but a name, a version and a licence.
    pub fn part(ecosystem: Ecosystem, name: &str, version: &str, license: Option<&str>) -> Part {
        let (name, version) = (name.to_owned(), version.to_owned());
        Part { ecosystem, name, version, license: license.map(str::to_owned), sha256: None, ours: false }
    }

    #[test]
    fn a_package_url_is_one_that_others_can_read() {
        let purl = |ecosystem, name, version| part(ecosystem, name, version, None).purl();
        assert_eq!(purl(Ecosystem::Cargo, "toml", "1.2.2+spec-1.1.0"), "pkg:cargo/toml@1.2.2%2Bspec-1.1.0");
        assert_eq!(
            purl(Ecosystem::Go, "github.com/peterbourgon/diskv", "v2.0.1+incompatible"),
            "pkg:golang/github.com/peterbourgon/diskv@v2.0.1%2Bincompatible"
        );
        assert_eq!(purl(Ecosystem::Npm, "@vue/shared", "3.5.45"), "pkg:npm/%40vue/shared@3.5.45");
    }

    #[test]
    fn a_part_of_ours_is_not_taken_for_one_of_a_registry() {
        let ours = Part { ours: true, ..part(Ecosystem::Cargo, "odoofleet-core", "0.1.0", None) };
        assert!(ours.purl().starts_with("pkg:cargo/odoofleet-core@0.1.0?vcs_url=git%2Bhttps://"), "{}", ours.purl());
    }
}
