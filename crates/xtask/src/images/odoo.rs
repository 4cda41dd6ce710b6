//! Where Odoo itself comes from: a source tree (`ODOO_SRC`) or an image (`ODOO_IMAGE`).

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::oci::{self, Layer};
use super::{Image, RUNTIME, keep};
use crate::{tools, ui};

/// How to give one, for people.
pub const HOW: &str =
    "Give an Odoo with ODOO_SRC=<folder with odoo-bin>, or with ODOO_IMAGE=<image>, such as odoo:18.0";
/// Raised when the same tree would give another image.
const FORMAT: &str = "1";
/// What of a source tree is no source.
const SKIPPED: [&str; 6] = [".git", ".github", "__pycache__", "venv", ".venv", "node_modules"];

/// One Odoo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Such as `18.0`.
    pub series: String,
    /// The image's name without tag, as `charts/odoo` takes it.
    repository: String,
    tag: String,
    digest: String,
    tree: Option<PathBuf>,
}

impl Source {
    /// What the environment names; the first is the one to use unless something else is said.
    pub fn all() -> Result<Vec<Self>> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut all = Vec::new();
        let folders = var("ODOO_SRC").unwrap_or_default();
        for folder in std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()) {
            all.push(Self::tree(&folder)?);
        }
        if let Some(reference) = var("ODOO_IMAGE") {
            all.push(Self::image_named(&reference, var("ODOO_VERSION"))?);
        }
        Ok(all)
    }

    fn tree(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("ODOO_SRC: {} is not there", folder.display()))?;
        if !folder.join("odoo-bin").is_file() {
            bail!("ODOO_SRC: {} has no odoo-bin", folder.display());
        }
        let file = folder.join("odoo/release.py");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let series = series(&text).ok_or_else(|| anyhow!("{} names no version", file.display()))?;
        let mut state = String::from(FORMAT);
        for path in files(&folder)? {
            let data = folder.join(&path).symlink_metadata()?;
            let changed = std::os::unix::fs::MetadataExt::mtime(&data);
            let _ = write!(state, "\n{} {} {changed}", path.display(), data.len());
        }
        let tag = format!("{series}-{}", tools::key(&[&state]));
        Ok(Self { series, repository: "odoo".into(), tag, digest: String::new(), tree: Some(folder) })
    }

    fn image_named(reference: &str, version: Option<String>) -> Result<Self> {
        let (rest, digest) = reference.split_once('@').unwrap_or((reference, ""));
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (rest, ""),
        };
        let series = version.or_else(|| series_of_tag(tag)).ok_or_else(|| {
            anyhow!("ODOO_IMAGE: {reference} does not tell the version of Odoo; say it with ODOO_VERSION=18.0")
        })?;
        let (repository, tag, digest) = (repository.to_owned(), tag.to_owned(), digest.to_owned());
        Ok(Self { series, repository, tag, digest, tree: None })
    }

    /// The values of `charts/odoo` that choose it.
    pub fn values(&self) -> Value {
        json!({"image": {"repository": self.repository, "tag": self.tag, "digest": self.digest}})
    }

    /// Whether an image was built from an earlier state of the same series' tree. Each takes gigabytes.
    pub fn replaces(&self, image: &str) -> bool {
        let built = image.strip_prefix(&format!("docker.io/library/odoo:{}-", self.series));
        let hash = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.tree.is_some() && built.is_some_and(hash) && !image.ends_with(&self.tag)
    }

    /// The image to load; none if the node pulls it. It lies on `runtime`, with whose Python `compile` makes of one folder's files
    /// those of another.
    pub fn image(&self, runtime: &Image, compile: impl Fn(&Path, &Path) -> Result<()>) -> Result<Option<Image>> {
        let Some(tree) = &self.tree else { return Ok(None) };
        let name = format!("docker.io/library/{}:{}", self.repository, self.tag);
        let key = tools::key(&[&runtime.digest]);
        super::forget(|folder| self.replaces(&format!("docker.io/library/{}", folder.replacen('-', ":", 1))))?;
        keep(&format!("odoo-{}-{key}", self.tag), &name, |half| {
            let task = ui::Task::start(format!("Building image {name}"));
            task.note("compiling");
            let compiled = half.join("pycache");
            fs::create_dir(&compiled)?;
            // The pods' root is read-only: without this, each start of Odoo would compile everything again.
            compile(tree, &compiled)?;
            task.note("packing");
            let layer = half.join("layer.tar");
            let mut tar = tar::Builder::new(fs::File::create(&layer)?);
            add(&mut tar, tree, "opt/odoo")?;
            add(&mut tar, &compiled, "opt/pycache")?;
            tar.finish()?;
            fs::remove_dir_all(compiled)?;
            let below = runtime.layers.iter().map(Layer::known);
            let layers = below.chain([Layer::plain(&layer)?]).collect();
            let written = super::write(&half.join("image.tar"), &name, &super::config(RUNTIME)?, layers)?;
            fs::remove_file(layer)?;
            task.done(format!("Built image {name}"));
            Ok(written)
        })
        .map(Some)
    }
}

fn add<W: Write>(tar: &mut tar::Builder<W>, folder: &Path, into: &str) -> Result<()> {
    for path in files(folder)? {
        let file = folder.join(&path);
        let data = file.symlink_metadata()?;
        let name = format!("{into}/{}", path.display());
        if data.is_symlink() {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, &name, fs::read_link(&file)?)?;
        } else {
            let run = std::os::unix::fs::MetadataExt::mode(&data) & 0o100;
            let mode = if run == 0 { 0o644 } else { 0o755 };
            oci::append(tar, &name, mode, data.len(), fs::File::open(&file)?)?;
        }
    }
    Ok(())
}

/// The files and links below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let dir = folder.join(&below);
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            let path = below.join(&name);
            if entry.file_type()?.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// `18.0` of `version_info = (18, 0, 0, FINAL, 0, '')`.
fn series(release: &str) -> Option<String> {
    let line = release.lines().find_map(|line| line.strip_prefix("version_info = ("))?;
    let mut numbers = line.split(',').map(str::trim);
    let mut number = || numbers.next()?.parse::<u32>().ok();
    Some(format!("{}.{}", number()?, number()?))
}

/// `18.0` of the tags `18`, `18.0` and `18.0-20261101`.
fn series_of_tag(tag: &str) -> Option<String> {
    let version = tag.split('-').next()?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok()).then(|| format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_is_read_from_the_sources() {
        assert_eq!(series("x = 1\nversion_info = (19, 0, 0, FINAL, 0, '')\n").as_deref(), Some("19.0"));
        assert_eq!(series("version = 'x'\n"), None);
    }

    #[test]
    fn an_image_tells_its_series_by_its_tag() {
        let source = Source::image_named("registry.example:5000/odoo:18.0-20261101", None).unwrap();
        assert_eq!((source.series.as_str(), source.repository.as_str()), ("18.0", "registry.example:5000/odoo"));
        assert_eq!(Source::image_named("odoo:17", None).unwrap().series, "17.0");
        assert!(Source::image_named("registry.example:5000/odoo", None).is_err());
        let pinned = Source::image_named("odoo@sha256:0", Some("18.0".into())).unwrap();
        assert_eq!((pinned.tag.as_str(), pinned.digest.as_str()), ("", "sha256:0"));
    }

    #[test]
    fn only_what_was_built_of_the_same_series_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("odoo")).unwrap();
        fs::write(dir.path().join("odoo-bin"), "").unwrap();
        fs::write(dir.path().join("odoo/release.py"), "version_info = (18, 0, 0, FINAL, 0, '')\n").unwrap();
        let source = Source::tree(dir.path()).unwrap();
        assert!(source.replaces("docker.io/library/odoo:18.0-0123456789ab"));
        for kept in ["odoo:17.0-0123456789ab", "odoo:18.0", "odoo:18.0-20261101", &format!("odoo:{}", source.tag)] {
            assert!(!source.replaces(&format!("docker.io/library/{kept}")), "{kept}");
        }
    }

    #[test]
    fn a_changed_tree_is_another_image() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("odoo")).unwrap();
        fs::create_dir(dir.path().join("__pycache__")).unwrap();
        fs::write(dir.path().join("odoo-bin"), "").unwrap();
        fs::write(dir.path().join("odoo/release.py"), "version_info = (18, 0, 0, FINAL, 0, '')\n").unwrap();
        let one = Source::tree(dir.path()).unwrap();
        fs::write(dir.path().join("__pycache__/x"), "").unwrap();
        assert_eq!(Source::tree(dir.path()).unwrap(), one);
        fs::write(dir.path().join("odoo/more.py"), "").unwrap();
        let other = Source::tree(dir.path()).unwrap();
        assert!(one.tag.starts_with("18.0-") && other.tag != one.tag);
    }
}
