//! The image that a cluster runs: operator, Helm worker, command line and charts on a few libraries, without a shell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::images::oci::{self, Layer};
use crate::{exec, operator, repo};

mod base;
pub mod platform;
pub mod programs;
pub mod push;
pub mod sign;
mod tree;

pub use base::{Base, provide as base, renew as renew_base};
use platform::Platform;
use tree::Tree;

/// Its name without tag, as containerd has it.
pub const NAME: &str = "docker.io/odoofleet/odoofleet";
/// As whom it runs.
const USER: u32 = 65532;
const USER_NAME: &str = "odoofleet";
/// Where the programs are.
const BIN: &str = "usr/local/bin";
/// Where the operator looks for charts that a template names by `path`.
const CHARTS: &str = "charts";
/// What the operator writes, where no volume is put in its place.
const CACHE: &str = "var/cache/odoofleet";
/// What it is made of, in CycloneDX's JSON.
const BILLS: &str = "usr/share/sbom";

/// Of which state of the sources an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Of the workspace.
    pub version: String,
    /// The commit, if nothing differs from it.
    pub revision: Option<String>,
    /// When that was made.
    pub created: Option<String>,
}

impl Origin {
    /// That of this checkout. `SOURCE_DATE_EPOCH` says the time where there is no commit to say it.
    pub fn of_checkout() -> Result<Self> {
        let git = |arguments: &[&str]| {
            let said = exec::output(Command::new("git").args(arguments).current_dir(repo::root()));
            said.map(|text| text.trim().to_owned()).ok()
        };
        let clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
        let revision = git(&["rev-parse", "HEAD"]).filter(|_| clean);
        let committed = git(&["log", "-1", "--format=%ct"]).filter(|_| clean);
        let time = std::env::var("SOURCE_DATE_EPOCH").ok().or(committed);
        let created = time.map(|seconds| created(&seconds)).transpose()?;
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), revision, created })
    }
}

fn created(seconds: &str) -> Result<String> {
    let seconds: i64 = seconds.parse().map_err(|_| anyhow!("SOURCE_DATE_EPOCH {seconds:?} is no number of seconds"))?;
    Ok(jiff::Timestamp::from_second(seconds).context("SOURCE_DATE_EPOCH lies out of all time")?.to_string())
}

/// What people and tools read on it.
pub fn labels(origin: &Origin) -> BTreeMap<&'static str, String> {
    let all = [
        ("title", Some("odoofleet".to_owned())),
        ("description", Some("Runs every customer's Odoo from one Kubernetes cluster".to_owned())),
        ("source", Some(env!("CARGO_PKG_REPOSITORY").to_owned())),
        ("licenses", Some(env!("CARGO_PKG_LICENSE").to_owned())),
        ("version", Some(origin.version.clone())),
        ("revision", origin.revision.clone()),
        ("created", origin.created.clone()),
    ];
    let prefix = |(name, value): (&str, Option<String>)| Some((label(name)?, value?));
    all.into_iter().filter_map(prefix).collect()
}

fn label(name: &str) -> Option<&'static str> {
    LABELS.into_iter().find(|label| label.rsplit('.').next() == Some(name))
}

/// The labels that an image may have.
const LABELS: [&str; 7] = [
    "org.opencontainers.image.created",
    "org.opencontainers.image.description",
    "org.opencontainers.image.licenses",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.source",
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
];

/// How it is run.
pub fn config(origin: &Origin) -> Value {
    json!({
        "User": format!("{USER}:{USER}"),
        "Env": [format!("PATH=/{BIN}")],
        "Entrypoint": [format!("/{BIN}/{}", operator::NAME)],
        "WorkingDir": "/",
        "Labels": labels(origin),
    })
}

/// What an image is put together from.
pub struct Contents<'a> {
    /// For which machines.
    pub platform: Platform,
    /// The folder of the programs.
    pub programs: &'a Path,
    /// Which of them.
    pub names: &'a [&'a str],
    /// The folder of packaged charts.
    pub charts: &'a Path,
    /// Bills of materials by their file names.
    pub bills: &'a [(String, String)],
    /// The lowest layer.
    pub base: &'a Base,
}

/// Puts an image together; its layers lie in `work`, compressed unless it is for this machine alone.
pub fn assemble(contents: &Contents<'_>, origin: &Origin, work: &Path, compressed: bool) -> Result<oci::Image> {
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
    let (mut worker, mut own) = (Tree::default(), Tree::default());
    let library = contents.base.parts.iter().find(|part| part.name == "libc6").map(|part| part.version.as_str());
    for name in contents.names {
        let content = read(&contents.programs.join(name))?;
        programs::check(name, &content, contents.platform, library.unwrap_or_default())?;
        // The worker is the largest by far, and changes least.
        let tree = if *name == operator::WORKER { &mut worker } else { &mut own };
        tree.file(&format!("{BIN}/{name}"), 0o755, content);
    }
    for (name, content) in charts(contents.charts)? {
        own.file(&format!("{CHARTS}/{name}"), 0o644, content);
    }
    for (name, bill) in contents.bills {
        own.file(&format!("{BILLS}/{name}"), 0o644, bill.as_str());
    }
    own.file("usr/share/doc/odoofleet/copyright", 0o644, read(&repo::path("LICENSE"))?);
    own.folder(CACHE, 0o755, USER);
    let trees = [("base", &contents.base.tree), ("worker", &worker), ("own", &own)];
    let layers: Result<Vec<Layer>> =
        trees.into_iter().map(|(name, tree)| layer(tree, work, name, compressed)).collect();
    let architecture = contents.platform.architecture();
    Ok(oci::Image::new(architecture, &config(origin), origin.created.as_deref(), layers?))
}

fn layer(tree: &Tree, work: &Path, name: &str, compressed: bool) -> Result<Layer> {
    let plain = work.join(format!("{name}.tar"));
    tree.write(&plain)?;
    if !compressed {
        return Layer::plain(&plain);
    }
    let layer = Layer::compressed(&plain, &work.join(format!("{name}.tar.gz")))?;
    fs::remove_file(&plain).with_context(|| format!("cannot remove {}", plain.display()))?;
    Ok(layer)
}

/// The packaged charts of a folder.
fn charts(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let packed =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "tgz"));
    packed
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, read(&path)?))
        })
        .collect()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests;
