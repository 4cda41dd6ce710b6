//! The tools that we fetch or build from source: one Go module each in `e2e/tools`, cached by content.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{exec, repo, ui};

mod archives;
mod cargo;
mod fetch;
mod go;
mod list;
mod python;

pub use archives::MIRROR;
use archives::{Listed, Table};
pub use cargo::cargo_deny;
use fetch::{Fetched, Fetcher};
use go::{Go, GoMod};
pub use go::{compile, require_go};
pub use list::*;
pub use python::python;

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
    /// What its recipe is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

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
        let recipe = Recipe { name: self.name, version, source: &source, packages: &packages, ldflags: &ldflags };
        built_once(self.name, version, &key, |half, task| {
            let done = recipe.provide(&Table::read()?, &Fetcher::from_env()?, &go.platform, half, task)?;
            self.keep_files(path, &source, half)?;
            Ok(done)
        })
    }

    fn keep_files(&self, path: &str, source: &Path, into: &Path) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let origin = go::sources(path, source)?;
        let stages = into.join("stages");
        fs::create_dir(&stages)?;
        for file in self.files {
            let from = origin.join(file);
            let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            let name = from.file_name().ok_or_else(|| anyhow!("{} has no name", from.display()))?;
            fs::write(stages.join(name), content)?;
        }
        Ok(())
    }
}

/// How the programs of a module come to be.
struct Recipe<'a> {
    name: &'a str,
    version: &'a str,
    source: &'a Path,
    packages: &'a [String],
    ldflags: &'a str,
}

impl Recipe<'_> {
    /// Fetches what has an official archive that can be had, and builds the rest. Returns what was done, in words.
    fn provide(
        &self,
        table: &Table,
        fetcher: &Fetcher,
        platform: &str,
        into: &Path,
        task: &ui::Task,
    ) -> Result<String> {
        let (mut taken, mut rest, mut reasons) = (Vec::new(), Vec::new(), BTreeMap::<String, Vec<&str>>::new());
        for package in self.packages {
            let program = program(package);
            let why = match table.find(package, self.version, platform) {
                Listed::Not => None,
                Listed::Without(why) => Some(why),
                Listed::As(archive) => {
                    task.note(&format!("{program} from {}", fetcher.asks(&archive)));
                    match fetcher.get(&archive, &into.join(program))? {
                        Fetched::Away(why) => Some(why),
                        Fetched::Here => {
                            taken.push(program);
                            continue;
                        }
                    }
                }
            };
            rest.push(package.clone());
            if let Some(why) = why {
                reasons.entry(why).or_default().push(program);
            }
        }
        for (why, programs) in reasons {
            task.say(&format!("  From source: {}. {why}", programs.join(", ")));
        }
        if !rest.is_empty() {
            build(self.source, &rest, self.ldflags, into, task)?;
        }
        Ok(done(self.name, self.version, &taken, rest.len()))
    }
}

/// What was fetched and how much was built, in words.
fn done(name: &str, version: &str, fetched: &[&str], built: usize) -> String {
    match (fetched, built) {
        ([], _) => format!("Built {name} {version}"),
        (_, 0) => format!("Fetched {name} {version}"),
        _ => format!("Fetched {} and built the rest of {name} {version}", fetched.join(", ")),
    }
}

/// The folder in the cache that `provide` fills, unless it has done so before. It returns what it did, in words.
fn built_once(
    name: &str,
    version: &str,
    key: &str,
    provide: impl FnOnce(&Path, &ui::Task) -> Result<String>,
) -> Result<PathBuf> {
    let tools = cache()?.join("tools");
    let dir = tools.join(format!("{name}-{version}-{key}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    let _lock = lock(&tools.join(format!(".{name}.lock")), &format!("provides {name}"))?;
    if dir.is_dir() {
        return Ok(dir);
    }
    let prefix = format!(".half-{name}-");
    remove_halves(&tools, &prefix);
    let half = tempfile::Builder::new().prefix(&prefix).tempdir_in(&tools)?;
    let task = ui::Task::start(format!("Providing {name} {version}"));
    let done = provide(half.path(), &task)?;
    // A rename is all or nothing, so a build that was cut off never counts.
    fs::rename(half.keep(), &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    task.done(done);
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
    let mut command = go::compile("build", source);
    command.args(["-v", "-ldflags", ldflags, "-o"]).arg(into).args(packages);
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
        let (built, wanted) = (into.join(go_name(package)), into.join(program(package)));
        fs::rename(&built, wanted)
            .with_context(|| format!("go built {package}, but {:?} is not there", built.display()))?;
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

/// The name that a package's program is known by.
fn program(package: &str) -> &str {
    match go_name(package) {
        // etcd's.
        "server" => "etcd",
        "helm" if package.starts_with("helm.sh/helm/v3/") => "helm3",
        name => name,
    }
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
        for tool in [&[ETCD, KUBERNETES, KUBECTL, HELM, HELM3, KWOK, REGISTRY, GOVULNCHECK, ACTIONLINT][..], &REAL_NODE]
            .concat()
        {
            let file = repo::path("e2e/tools").join(tool.module).join("go.mod");
            let parsed = GoMod::parse(&fs::read_to_string(&file).unwrap());
            let package = tool.only.map_or_else(|| parsed.tools[0].clone(), str::to_owned);
            assert!(parsed.provider(&package).is_some(), "{package} in {}", file.display());
        }
    }

    fn kubernetes_of(tool: Tool) -> String {
        let file = repo::path("e2e/tools").join(tool.module).join("go.mod");
        let parsed = GoMod::parse(&fs::read_to_string(file).unwrap());
        parsed.provider("k8s.io/kubernetes/cmd/any").map(|(_, version)| version.to_owned()).unwrap()
    }

    #[test]
    fn the_node_is_of_the_version_of_the_control_plane() {
        assert_eq!(kubernetes_of(NODE), kubernetes_of(KUBERNETES));
    }

    #[test]
    fn a_minor_version_is_the_one_that_its_module_pins() {
        for minor in minors() {
            let version = kubernetes_of(kubernetes(minor).unwrap());
            assert!(version.starts_with(&format!("v{minor}.")), "{minor}: {version}");
        }
        let error = kubernetes("1.2").err().unwrap().to_string();
        assert_eq!(error, "Kubernetes \"1.2\" is not pinned in e2e/tools. There are 1.36 and 1.33");
    }

    #[test]
    fn archives_are_of_the_versions_that_are_built() {
        let table = Table::read().unwrap();
        let mut listed = 0;
        for tool in [ETCD, KUBERNETES, HELM, HELM3, KWOK, NODE] {
            let file = repo::path("e2e/tools").join(tool.module).join("go.mod");
            let parsed = GoMod::parse(&fs::read_to_string(file).unwrap());
            for package in &parsed.tools {
                let (_, version) = parsed.provider(package).unwrap();
                match table.find(package, version, "linux/amd64") {
                    Listed::As(_) => listed += 1,
                    Listed::Without(why) => assert!(why.contains("no checksum"), "{package}: {why}"),
                    Listed::Not => panic!("{package} has official archives, but is not in the table"),
                }
            }
        }
        assert!(listed >= 4, "{listed} archives can be taken");
    }

    #[test]
    fn what_was_done_is_said() {
        assert_eq!(done("etcd", "v3", &[], 1), "Built etcd v3");
        assert_eq!(done("etcd", "v3", &["etcd"], 0), "Fetched etcd v3");
        assert_eq!(done("node", "v1", &["kubelet"], 1), "Fetched kubelet and built the rest of node v1");
    }

    #[test]
    fn the_helm_cli_is_linked_from_the_packages_of_the_worker() {
        let read = |file: &str| GoMod::parse(&fs::read_to_string(repo::path(file)).unwrap());
        let (cli, worker) = (read("e2e/tools/helm/go.mod"), read("crates/helm/worker/go.mod"));
        assert_eq!(
            cli.differs_from(&worker),
            Vec::<String>::new(),
            "these are compiled twice, and are not what the worker is judged by"
        );
    }

    #[test]
    fn binaries_are_named_as_go_names_them() {
        assert_eq!(go_name("k8s.io/kubernetes/cmd/kubectl"), "kubectl");
        assert_eq!(go_name("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(go_name("example.org/vim"), "vim");
        assert_eq!(program("go.etcd.io/etcd/server/v3"), "etcd");
        assert_eq!(program("helm.sh/helm/v3/cmd/helm"), "helm3");
        assert_eq!(program("helm.sh/helm/v4/cmd/helm"), "helm");
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
