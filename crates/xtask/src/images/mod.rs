//! The images of a real node, built without a container engine and cached by what they are made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{exec, repo, tools, ui};

pub mod oci;
pub mod odoo;
mod recipe;

use oci::{Blob, Layer};
use recipe::{Base, RECIPES, Recipe, SUITE};
pub use recipe::{HELPER, PAUSE, POSTGRES_MAJOR, RUNTIME, VALUES};

/// Raised when the same recipe would give another image.
const FORMAT: &str = "1";
/// What no image needs.
const WITHOUT: [&str; 5] =
    ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*"];

/// An image, ready to be imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its full name.
    pub name: String,
    /// The archive that holds it.
    pub archive: PathBuf,
    /// Its digest.
    pub digest: String,
    /// Its layers, lowest first.
    layers: Vec<Blob>,
}

impl Image {
    /// One whose archive lies somewhere else than in the cache.
    pub fn of_archive(name: String, archive: PathBuf, digest: String, layers: Vec<Blob>) -> Self {
        Self { name, archive, digest, layers }
    }
}

/// Builds what the cache lacks.
pub fn all() -> Result<Vec<Image>> {
    RECIPES.iter().map(cached).collect()
}

/// Whether `ctr images list` names the image with this very digest.
pub fn listed(list: &str, image: &Image) -> bool {
    let mut lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.any(|fields| fields.first() == Some(&image.name.as_str()) && fields.get(2) == Some(&image.digest.as_str()))
}

/// The values of `charts/odoo` with which all images but Odoo's are on the node.
pub fn values() -> Result<Value> {
    serde_json::from_str(VALUES).context("the values of the images are no JSON")
}

/// The values that choose the image without Odoo.
pub fn runtime_values() -> Value {
    let (repository, tag) = RUNTIME.rsplit_once(':').unwrap_or((RUNTIME, ""));
    json!({"image": {"repository": repository, "tag": tag}})
}

/// The image of a recipe, built now if need be.
fn cached(recipe: &Recipe) -> Result<Image> {
    let program = match recipe.base {
        Base::Program(name) => read(&repo::path("e2e/tools").join(name).join("main.go"))?,
        Base::Built(name) => sources(&repo::path("e2e/tools").join(name))?,
        Base::Debian { .. } => String::new(),
    };
    let key =
        tools::key(&[FORMAT, &format!("{recipe:?}"), SUITE, &WITHOUT.join(" "), &program, std::env::consts::ARCH]);
    let short = recipe.name.rsplit('/').next().unwrap_or(recipe.name).replace(':', "-");
    keep(&format!("{short}-{key}"), recipe.name, |half| {
        let base = half.join("base.tar");
        let extra = half.join("files.tar");
        let task = ui::Task::start(format!("Building image {}", recipe.name));
        match &recipe.base {
            Base::Debian { .. } => debian(&recipe.base, &base)?,
            Base::Program(name) => program_layer(name, half, &base)?,
            Base::Built(name) => built_layer(name, half, &base)?,
        }
        files_layer(recipe, &extra)?;
        let layers = vec![Layer::plain(&base)?, Layer::plain(&extra)?];
        let written = write(&half.join("image.tar"), recipe.name, &config(recipe.name)?, layers)?;
        fs::remove_file(base)?;
        fs::remove_file(extra)?;
        task.done(format!("Built image {}", recipe.name));
        Ok(written)
    })
}

/// Writes the archive of an image for this machine. Returns its digest and its layers.
fn write(archive: &Path, name: &str, config: &Value, layers: Vec<Layer>) -> Result<(String, Vec<Blob>)> {
    let stored = layers.iter().map(|layer| layer.stored.clone()).collect();
    let digest = oci::write(archive, name, &[oci::Image::new(oci::architecture(), config, None, layers)])?;
    Ok((digest, stored))
}

/// How an image is run.
fn config(name: &str) -> Result<Value> {
    let recipe =
        RECIPES.iter().find(|recipe| recipe.name == name).ok_or_else(|| anyhow!("there is no image {name}"))?;
    serde_json::from_str(recipe.config).with_context(|| format!("the configuration of image {name} is no JSON"))
}

/// An image from the cache; `build` makes it in a folder that counts only once it is complete.
fn keep(folder: &str, name: &str, build: impl FnOnce(&Path) -> Result<(String, Vec<Blob>)>) -> Result<Image> {
    let images = tools::cache()?.join("images");
    let dir = images.join(folder);
    if !dir.is_dir() {
        let _lock = tools::lock(&images.join(format!(".{folder}.lock")), &format!("builds image {name}"))?;
        if !dir.is_dir() {
            let half = tempfile::Builder::new().prefix(".half-").tempdir_in(&images)?;
            let (digest, layers) = build(half.path())?;
            let image = Image { name: name.to_owned(), archive: PathBuf::new(), digest, layers };
            fs::write(half.path().join("image.json"), serde_json::to_string(&image)?)?;
            fs::rename(half.keep(), &dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
    }
    let image: Image = serde_json::from_str(&read(&dir.join("image.json"))?)?;
    Ok(Image { archive: dir.join("image.tar"), ..image })
}

/// Removes images from the cache, told by their folders without the key at the end.
fn forget(outdated: impl Fn(&str) -> bool) -> Result<()> {
    let images = tools::cache()?.join("images");
    for entry in fs::read_dir(&images).with_context(|| format!("cannot read {}", images.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('-').is_some_and(|(image, _)| outdated(image)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// A root file system of Debian as a layer.
fn debian(base: &Base, layer: &Path) -> Result<()> {
    let Base::Debian { packages, users, groups, without, finish } = base else { return Ok(()) };
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--components=main"]);
    command.arg(format!("--include={}", packages.split_whitespace().collect::<Vec<_>>().join(",")));
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    for path in WITHOUT.iter().chain(*without) {
        command.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    for (lines, file) in [(users, "passwd"), (groups, "group")] {
        if !lines.is_empty() {
            command.arg(format!("--essential-hook=printf '%s\\n' '{lines}' >>\"$1\"/etc/{file}"));
        }
    }
    command.arg(format!("--customize-hook={finish}")).arg(SUITE).arg(layer);
    exec::output(&mut command).map(|_| ()).context("Debian's packages could not be put together")
}

/// A static program at the root.
fn program_layer(name: &str, dir: &Path, layer: &Path) -> Result<()> {
    tools::require_go()?;
    let binary = dir.join(name);
    let mut command = Command::new("go");
    command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&binary).arg(".");
    command.current_dir(repo::path("e2e/tools").join(name)).env("CGO_ENABLED", "0").env("GOWORK", "off");
    exec::output(&mut command)?;
    pack(name, &binary, layer)
}

/// The same of a program that has a script to build it.
fn built_layer(name: &str, dir: &Path, layer: &Path) -> Result<()> {
    tools::require_go()?;
    let (work, binary) = (dir.join("work"), dir.join(name));
    let mut command = Command::new(repo::path("e2e/tools").join(name).join("build.sh"));
    command.arg(&work).arg(&binary).env("CGO_ENABLED", "0").env("GOWORK", "off");
    exec::output(&mut command).with_context(|| format!("cannot build {name}; it needs Go, Node and npm"))?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    pack(name, &binary, layer)
}

/// Moves a program into a layer, at the root.
fn pack(name: &str, binary: &Path, layer: &Path) -> Result<()> {
    let content = fs::read(binary)?;
    let mut tar = tar::Builder::new(fs::File::create(layer)?);
    oci::append(&mut tar, name, 0o755, content.len() as u64, content.as_slice())?;
    tar.finish()?;
    fs::remove_file(binary).context("cannot remove a program that is packed")
}

/// All files of a folder, one after the other.
fn sources(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn files_layer(recipe: &Recipe, layer: &Path) -> Result<()> {
    let mut tar = tar::Builder::new(fs::File::create(layer)?);
    for file in recipe.files {
        oci::append(&mut tar, file.path, file.mode, file.content.len() as u64, file.content.as_bytes())?;
    }
    tar.finish().context("cannot pack an image's files")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_is_json() {
        for recipe in &RECIPES {
            assert!(config(recipe.name).is_ok(), "{}", recipe.name);
        }
        assert!(values().is_ok());
    }

    #[test]
    fn an_image_counts_as_loaded_with_this_digest_alone() {
        let image = Image { name: "a/b:1".into(), archive: PathBuf::new(), digest: "sha256:1".into(), layers: vec![] };
        assert!(listed("REF TYPE DIGEST SIZE\na/b:1 x sha256:1 1 MiB\n", &image));
        assert!(!listed("REF TYPE DIGEST SIZE\na/b:1 x sha256:2 1 MiB\n", &image));
        assert!(!listed("REF TYPE DIGEST SIZE\na/b:2 x sha256:1 1 MiB\n", &image));
    }
}
