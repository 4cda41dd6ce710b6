//! Which official archives there are, and where they are looked for. `fetch` gets them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::repo;

/// The table.
const TABLE: &str = "e2e/tools/archives.toml";
/// Names a mirror of the archives: a URL or a folder.
pub const MIRROR: &str = "ODOOFLEET_MIRROR";

/// All programs that have official archives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    program: Vec<Program>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    package: String,
    version: String,
    url: String,
    member: Option<String>,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
}

/// The archive of one program, for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where its makers offer it.
    pub url: String,
    /// The file in it that is the program; none if it is the program itself.
    pub member: Option<String>,
    /// What its content must be.
    pub sha256: String,
}

/// What the table says of a program.
#[derive(Debug, PartialEq, Eq)]
pub enum Listed {
    /// It has this archive.
    As(Archive),
    /// It has one that cannot be taken, for this reason.
    Without(String),
    /// Nothing: its makers offer none, or nobody has looked.
    Not,
}

impl Table {
    /// The repository's.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(repo::path(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
        Self::parse(&text).context(TABLE)
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("the table of archives cannot be understood")
    }

    /// What it says of a package's program in a version, for a platform such as `linux/amd64`.
    pub fn find(&self, package: &str, version: &str, platform: &str) -> Listed {
        let Some(program) = self.program.iter().find(|program| program.package == package) else {
            return Listed::Not;
        };
        if program.version != version {
            return Listed::Without(format!("{TABLE} has the archive of {} alone", program.version));
        }
        let Some(arch) = platform.strip_prefix("linux/") else {
            return Listed::Without(format!("{TABLE} has archives for Linux alone"));
        };
        let Some(sha256) = program.sha256.get(arch) else {
            return Listed::Without(format!("{TABLE} has no checksum for {platform}"));
        };
        let fill = |text: &str| text.replace("{version}", version).replace("{arch}", arch);
        Listed::As(Archive {
            url: fill(&program.url),
            member: program.member.as_deref().map(fill),
            sha256: sha256.clone(),
        })
    }
}

/// Whom archives are asked of.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// Their makers.
    Makers,
    /// A server, by its URL without a slash at the end.
    Server(String),
    /// A folder of this machine.
    Folder(PathBuf),
}

/// Where an archive is looked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// At a URL.
    Url(String),
    /// In a file.
    File(PathBuf),
}

impl Origin {
    /// What `ODOOFLEET_MIRROR` asks for.
    pub fn of(mirror: Option<&str>) -> Result<Self> {
        let Some(mirror) = mirror.filter(|mirror| !mirror.is_empty()) else { return Ok(Self::Makers) };
        if mirror.starts_with("https://") || mirror.starts_with("http://") {
            return Ok(Self::Server(mirror.trim_end_matches('/').to_owned()));
        }
        if !Path::new(mirror).is_dir() {
            bail!("{MIRROR} is {mirror:?}, which is neither the URL of a server nor a folder that is there");
        }
        Ok(Self::Folder(PathBuf::from(mirror)))
    }

    /// Where what its makers offer at `url` is found: a mirror has it below the name of their host.
    pub fn place(&self, url: &str) -> Place {
        let path = url.trim_start_matches("https://");
        match self {
            Self::Makers => Place::Url(url.to_owned()),
            Self::Server(server) => Place::Url(format!("{server}/{path}")),
            Self::Folder(folder) => Place::File(folder.join(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn the_table_names_archive_and_sum_of_a_version_and_platform_alone() {
        let table = format!(
            "[[program]]\npackage = \"a.org/a\"\nversion = \"v1\"\nmember = \"{{arch}}/a\"\n\
             url = \"https://a.org/{{version}}/a-{{arch}}.tar.gz\"\nsha256.arm64 = \"{SUM}\"\n"
        );
        let table = Table::parse(&table).unwrap();
        let archive = Archive {
            url: "https://a.org/v1/a-arm64.tar.gz".into(),
            member: Some("arm64/a".into()),
            sha256: SUM.into(),
        };
        assert_eq!(table.find("a.org/a", "v1", "linux/arm64"), Listed::As(archive));
        assert_eq!(table.find("a.org/b", "v1", "linux/arm64"), Listed::Not);
        for (version, platform, why) in [
            ("v2", "linux/arm64", "has the archive of v1 alone"),
            ("v1", "linux/amd64", "has no checksum for linux/amd64"),
            ("v1", "darwin/arm64", "has archives for Linux alone"),
        ] {
            let Listed::Without(said) = table.find("a.org/a", version, platform) else {
                panic!("{version} {platform}")
            };
            assert_eq!(said, format!("{TABLE} {why}"));
        }
    }

    #[test]
    fn every_sum_of_the_table_is_one() {
        for program in Table::read().unwrap().program {
            assert!(program.url.starts_with("https://"), "{}", program.url);
            for text in [&program.url, program.member.as_ref().unwrap_or(&program.url)] {
                assert!(text.contains("{arch}"), "{text}");
            }
            assert!(program.url.contains("{version}"), "{}", program.url);
            let platforms: Vec<&str> = program.sha256.keys().map(String::as_str).collect();
            assert!(platforms.is_empty() || platforms == ["amd64", "arm64"], "{}: {platforms:?}", program.package);
            for sum in program.sha256.values() {
                let digits = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
                assert!(sum.len() == 64 && sum.chars().all(digits), "{}: {sum}", program.package);
            }
        }
    }

    #[test]
    fn a_mirror_has_everything_below_the_name_of_its_host() {
        let url = "https://dl.k8s.io/v1/kubectl";
        let folder = tempfile::tempdir().unwrap();
        let place = |mirror: Option<&str>| Origin::of(mirror).unwrap().place(url);
        assert_eq!(place(None), Place::Url(url.into()));
        assert_eq!(place(Some("")), Place::Url(url.into()));
        let below = Place::Url("http://mirror.example/k8s/dl.k8s.io/v1/kubectl".into());
        assert_eq!(place(Some("http://mirror.example/k8s/")), below);
        let file = Place::File(folder.path().join("dl.k8s.io/v1/kubectl"));
        assert_eq!(place(folder.path().to_str()), file);
        let error = Origin::of(Some("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("ODOOFLEET_MIRROR is \"/nowhere/at/all\""), "{error}");
    }
}
