//! The tools that we build from source: one Go module each in `e2e/tools`, cached by content.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{exec, repo, ui};

mod cargo;
mod go;
mod list;

pub use cargo::cargo_deny;
pub use go::require_go;
use go::{Go, GoMod};
pub use list::*;

/// A tool, or several that share a module.
#[derive(Clone, Copy)]
pub struct Tool {
    /// The name of its folder in the cache.
    name: &'static str,
    /// Its module in `e2e/tools`.
    module: &'static str,
    /// The one package wanted of the module; none means all of its `tool` lines.
    only: Option<&'static str>,
    /// Files of the tool's own module to keep beside the binaries.
    files: &'static [&'static str],
}

/// Builds what the cache lacks, and links every binary into `bin`.
pub fn install(tools: &[Tool], bin: &Path) -> Result<()> {
    fs::create_dir_all(bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let go = Go::find()?;
    for tool in tools {
        let dir = tool.cached(&go)?;
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let link = bin.join(entry.file_name());
            if fs::read_link(&link).is_ok_and(|target| target == entry.path()) {
                continue;
            }
            let _ = fs::remove_file(&link);
            symlink(entry.path(), &link).with_context(|| format!("cannot link {}", link.display()))?;
        }
    }
    Ok(())
}

/// The folder with a tool's binaries, built now if need be.
pub fn folder(tool: Tool) -> Result<PathBuf> {
    tool.cached(&Go::find()?)
}

/// The folder of our caches: `$ODOOFLEET_CACHE`, else below the user's.
pub fn cache() -> Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("ODOOFLEET_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("odoofleet")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/odoofleet")))
        .ok_or_else(|| anyhow!("neither HOME nor ODOOFLEET_CACHE is set, so there is no place for the tools"))
}

/// Holds a lock on `file` until the value is dropped; `what` is said while another run holds it.
pub fn lock(file: &Path, what: &str) -> Result<File> {
    let parent = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let handle = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    match handle.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("… waiting for another run that {what}");
            handle.lock().with_context(|| format!("cannot lock {}", file.display()))?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(format!("cannot lock {}", file.display())),
    }
    Ok(handle)
}

impl Tool {
    /// The folder with the finished binaries, built now if need be.
    fn cached(&self, go: &Go) -> Result<PathBuf> {
        let source = repo::path("e2e/tools").join(self.module);
        let read = |name: &str| {
            fs::read_to_string(source.join(name)).with_context(|| format!("cannot read {}/{name}", source.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let module = GoMod::parse(&go_mod);
        let packages: Vec<String> = match self.only {
            Some(package) => vec![package.to_owned()],
            None => module.tools.clone(),
        };
        let (path, version) = packages
            .first()
            .and_then(|package| module.provider(package))
            .ok_or_else(|| anyhow!("{}/go.mod names no tool with a version", source.display()))?;
        let ldflags = ldflags(path, version);
        let key = key(&[&go_mod, &go_sum, &ldflags, &go.version, &go.platform]);
        built_once(self.name, version, &key, |half, task| {
            build(&source, &packages, &ldflags, half, task)?;
            self.keep_files(path, &source, half)
        })
    }

    fn keep_files(&self, path: &str, source: &Path, into: &Path) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let origin = exec::output(Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", path]).current_dir(source))?;
        let stages = into.join("stages");
        fs::create_dir(&stages)?;
        for file in self.files {
            let from = Path::new(origin.trim()).join(file);
            let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            let name = from.file_name().ok_or_else(|| anyhow!("{} has no name", from.display()))?;
            fs::write(stages.join(name), content)?;
        }
        Ok(())
    }
}

/// The folder in the cache that `build` fills, unless it has done so before.
fn built_once(
    name: &str,
    version: &str,
    key: &str,
    build: impl FnOnce(&Path, &ui::Task) -> Result<()>,
) -> Result<PathBuf> {
    let tools = cache()?.join("tools");
    let dir = tools.join(format!("{name}-{version}-{key}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    let _lock = lock(&tools.join(format!(".{name}.lock")), &format!("builds {name}"))?;
    if dir.is_dir() {
        return Ok(dir);
    }
    let prefix = format!(".half-{name}-");
    remove_halves(&tools, &prefix);
    let half = tempfile::Builder::new().prefix(&prefix).tempdir_in(&tools)?;
    let task = ui::Task::start(format!("Building {name} {version}"));
    build(half.path(), &task)?;
    // A rename is all or nothing, so a build that was cut off never counts.
    fs::rename(half.keep(), &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    task.done(format!("Built {name} {version}"));
    Ok(dir)
}

/// Removes what killed builds left. Only called under the tool's lock.
fn remove_halves(tools: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(tools) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// One `go build` of all packages of a module.
fn build(source: &Path, packages: &[String], ldflags: &str, into: &Path, task: &ui::Task) -> Result<()> {
    let mut command = Command::new("go");
    command.args(["build", "-v", "-trimpath", "-ldflags", ldflags, "-o"]).arg(into).args(packages);
    command.current_dir(source).env("CGO_ENABLED", "0").env("GOWORK", "off");
    let mut child = exec::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            // `-v` prints the package that was begun; a failure has spaces in it.
            if !line.contains(' ') {
                task.note(&line);
                continue;
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
    if !child.wait()?.success() {
        bail!("go could not build {}:\n{}{}", packages.join(", "), exec::tail(&said, 15), network_hint(&said));
    }
    for package in packages {
        let built = into.join(go_name(package));
        if !built.is_file() {
            bail!("go built {package}, but {} is not there", built.display());
        }
    }
    // The package of etcd is called server.
    if into.join("server").is_file() {
        fs::rename(into.join("server"), into.join("etcd"))?;
    }
    Ok(())
}

fn network_hint(said: &str) -> &'static str {
    let lost = ["dial tcp", "i/o timeout", "connection refused", "no such host", "TLS handshake"];
    if lost.iter().any(|sign| said.contains(sign)) {
        return "\nGo could not fetch its modules. Set GOPROXY to a mirror that this machine reaches, then try again.";
    }
    ""
}

/// The name that `go build` gives a package's binary: the last element that is not a major version.
fn go_name(package: &str) -> &str {
    let major = |element: &&str| {
        element.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    package.rsplit('/').find(|element| !major(element)).unwrap_or(package)
}

/// Small binaries; Kubernetes also learns its version, else clients see v0.0.0.
fn ldflags(module: &str, version: &str) -> String {
    if module != "k8s.io/kubernetes" {
        return "-s -w".to_owned();
    }
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

/// Twelve hexadecimal digits over everything that shapes a binary.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_of_the_repository_has_a_version() {
        for tool in [&[ETCD, KUBERNETES, KUBECTL, HELM, KWOK, REGISTRY, GOVULNCHECK][..], &REAL_NODE].concat() {
            let file = repo::path("e2e/tools").join(tool.module).join("go.mod");
            let parsed = GoMod::parse(&fs::read_to_string(&file).unwrap());
            let package = tool.only.map_or_else(|| parsed.tools[0].clone(), str::to_owned);
            assert!(parsed.provider(&package).is_some(), "{package} in {}", file.display());
        }
    }

    #[test]
    fn the_node_is_of_the_version_of_the_control_plane() {
        let version = |tool: Tool| {
            let file = repo::path("e2e/tools").join(tool.module).join("go.mod");
            let parsed = GoMod::parse(&fs::read_to_string(file).unwrap());
            parsed.provider("k8s.io/kubernetes/cmd/any").map(|(_, version)| version.to_owned()).unwrap()
        };
        assert_eq!(version(NODE), version(KUBERNETES));
    }

    #[test]
    fn binaries_are_named_as_go_names_them() {
        assert_eq!(go_name("k8s.io/kubernetes/cmd/kubectl"), "kubectl");
        assert_eq!(go_name("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(go_name("example.org/vim"), "vim");
    }

    #[test]
    fn the_key_depends_on_every_part_and_on_its_borders() {
        let keys = [key(&["a", "b"]), key(&["a", "c"]), key(&["ab", ""]), key(&["", "ab"]), key(&["a"])];
        for (index, one) in keys.iter().enumerate() {
            assert_eq!(one.len(), 12);
            assert!(keys[index + 1..].iter().all(|other| other != one), "{keys:?}");
        }
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }

    #[test]
    fn kubernetes_learns_its_version() {
        let flags = ldflags("k8s.io/kubernetes", "v1.36.3");
        assert!(flags.contains("gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("gitMajor=1 ") && flags.ends_with("gitMinor=36"), "{flags}");
        assert_eq!(ldflags("helm.sh/helm/v4", "v4.3.1"), "-s -w");
    }

    #[test]
    fn the_lock_keeps_a_second_holder_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.lock");
        let held = lock(&file, "tests").unwrap();
        assert!(matches!(File::create(&file).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(File::create(&file).unwrap().try_lock().is_ok());
    }
}
