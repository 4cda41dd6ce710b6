//! The Go of this machine, and what a `go.mod` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::{exec, repo};

/// The Go of this machine.
pub struct Go {
    /// Such as `go1.26.0`.
    pub version: String,
    /// Operating system and architecture.
    pub platform: String,
}

impl Go {
    /// Finds it, or says what to do.
    pub fn find() -> Result<Self> {
        let module = repo::path("e2e/tools/kubernetes");
        let go_mod = fs::read_to_string(module.join("go.mod")).context("cannot read e2e/tools/kubernetes/go.mod")?;
        let needed = GoMod::parse(&go_mod).go;
        let remedy = format!("Install Go {needed} or newer from https://go.dev/dl/ and put its bin folder into PATH");
        let mut ask = Command::new("go");
        ask.args(["env", "GOVERSION", "GOOS", "GOARCH"]).current_dir(&module);
        let said = exec::output(&mut ask).map_err(|error| anyhow!("{error:#}\n{remedy}"))?;
        let mut lines = said.lines().map(str::to_owned);
        let version = lines.next().unwrap_or_default();
        if !new_enough(&version, &needed) {
            bail!("{version} is too old. {remedy}");
        }
        Ok(Self { version, platform: lines.collect::<Vec<_>>().join("/") })
    }
}

/// `go build`, `test` or `vet` in a module. Packages that two modules share are compiled once, as all are compiled the same way.
pub fn compile(what: &str, module: &Path) -> Command {
    let mut command = Command::new("go");
    command.arg(what).arg("-trimpath").current_dir(module).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command
}

/// The folder with the sources of a module that the one in `module` requires; fetched now, if nothing has done so.
pub fn sources(path: &str, module: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", path]).current_dir(module).env("GOWORK", "off");
    let said = exec::output(&mut download)?;
    let downloaded: Downloaded = serde_json::from_str(&said).with_context(|| format!("go printed {said:?}"))?;
    Ok(downloaded.dir)
}

/// Fails with what to do if Go is missing or too old.
pub fn require_go() -> Result<()> {
    Go::find().map(|_| ())
}

fn new_enough(version: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
        text.trim_start_matches("go").split('.').map(|part| digits(part).parse().unwrap_or(0)).collect()
    };
    numbers(version) >= numbers(needed)
}

/// What we need of a `go.mod`.
pub struct GoMod {
    go: String,
    /// The packages of its `tool` lines.
    pub tools: Vec<String>,
    required: BTreeMap<String, String>,
}

impl GoMod {
    /// Reads it.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self { go: String::new(), tools: Vec::new(), required: BTreeMap::new() };
        let mut block = None;
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            match (words.as_slice(), block) {
                ([keyword, "("], _) => block = Some(*keyword),
                ([")"], _) => block = None,
                (["go", version], None) => parsed.go = String::from(*version),
                (["tool", package], None) | ([package], Some("tool")) => parsed.tools.push((*package).to_owned()),
                (["require", path, version], None) | ([path, version], Some("require")) => {
                    parsed.required.insert((*path).to_owned(), (*version).to_owned());
                }
                _ => {}
            }
        }
        parsed
    }

    /// Modules that both require, in different versions.
    #[cfg(test)]
    pub fn differs_from(&self, other: &Self) -> Vec<String> {
        let both = self.required.iter().filter_map(|(path, version)| Some((path, version, other.required.get(path)?)));
        both.filter(|(_, one, two)| one != two).map(|(path, one, two)| format!("{path} {one} {two}")).collect()
    }

    /// The module that holds a package, and its version.
    pub fn provider(&self, package: &str) -> Option<(&str, &str)> {
        let holds =
            |path: &str| package == path || package.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let module = self.required.iter().filter(|(path, _)| holds(path)).max_by_key(|(path, _)| path.len());
        module.map(|(path, version)| (path.as_str(), version.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "// About it.\nmodule x\n\ngo 1.26.0\n\ntool (\n\tk8s.io/kubernetes/cmd/kubectl\n)\n\n\
        require (\n\tk8s.io/kubernetes v1.36.3 // indirect\n\tk8s.io/kube v0.1.0\n)\n\
        require go.etcd.io/etcd/server/v3 v3.6.8\ntool go.etcd.io/etcd/server/v3\nreplace (\n\ta => b v1.0.0\n)\n";

    #[test]
    fn a_go_mod_tells_tools_and_versions() {
        let parsed = GoMod::parse(GO_MOD);
        assert_eq!(parsed.go, "1.26.0");
        assert_eq!(parsed.tools, ["k8s.io/kubernetes/cmd/kubectl", "go.etcd.io/etcd/server/v3"]);
        assert_eq!(parsed.provider("k8s.io/kubernetes/cmd/kubectl"), Some(("k8s.io/kubernetes", "v1.36.3")));
        assert_eq!(parsed.provider("go.etcd.io/etcd/server/v3"), Some(("go.etcd.io/etcd/server/v3", "v3.6.8")));
        assert_eq!(parsed.provider("k8s.io/kubelet"), None);
    }

    #[test]
    fn go_versions_compare_by_number() {
        assert!(new_enough("go1.26.8", "1.26.0"));
        assert!(new_enough("go1.27rc1", "1.26.0"));
        assert!(!new_enough("go1.9", "1.26.0"));
        assert!(!new_enough("go1.25.10", "1.26.0"));
        assert!(!new_enough("", "1.26.0"));
    }
}
