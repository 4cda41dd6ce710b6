//! Images in the form of OCI, and archives of them that containerd, Docker, Podman and skopeo import.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exec;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Some content, named by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Its length.
    pub size: u64,
}

impl Blob {
    /// A file's. sha256sum is many times faster than our own code, which is not optimised.
    pub fn of_file(file: &Path) -> Result<Self> {
        let said = exec::output(Command::new("sha256sum").arg("--binary").arg(file))?;
        let digits = said.split_whitespace().next().map(|word| word.trim_start_matches('\\'));
        let digits = digits.ok_or_else(|| anyhow!("sha256sum said nothing about {}", file.display()))?;
        Ok(Self { digest: format!("sha256:{digits}"), size: fs::metadata(file)?.len() })
    }

    /// Some bytes'.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = HEXLOWER.encode(&Sha256::digest(bytes));
        Self { digest: format!("sha256:{digest}"), size: bytes.len() as u64 }
    }

    /// How a document refers to it.
    pub fn described(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.size})
    }
}

/// A layer of an image.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As it is stored and sent.
    pub stored: Blob,
    /// The digest of the plain tar in it.
    diff_id: String,
    media_type: &'static str,
    /// Where it lies; none if whoever reads the archive has it already.
    pub file: Option<PathBuf>,
}

impl Layer {
    /// A plain tar.
    pub fn plain(file: &Path) -> Result<Self> {
        let layer = Self::known(&Blob::of_file(file)?);
        Ok(Self { file: Some(file.to_owned()), ..layer })
    }

    /// The plain tar in `file`, compressed into `into`. The same tar gives the same bytes.
    pub fn compressed(file: &Path, into: &Path) -> Result<Self> {
        let diff_id = Blob::of_file(file)?.digest;
        let mut plain = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let packed = File::create(into).with_context(|| format!("cannot write {}", into.display()))?;
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(packed, Compression::best());
        std::io::copy(&mut plain, &mut gzip)?;
        gzip.finish()?;
        Ok(Self { stored: Blob::of_file(into)?, diff_id, media_type: LAYER_GZIP, file: Some(into.to_owned()) })
    }

    /// A plain tar that whoever reads the archive has.
    pub fn known(stored: &Blob) -> Self {
        Self { stored: stored.clone(), diff_id: stored.digest.clone(), media_type: LAYER, file: None }
    }
}

/// An image for one architecture.
#[derive(Clone, Debug)]
pub struct Image {
    /// In the words of OCI.
    pub architecture: &'static str,
    /// The document that says how it is run.
    pub config: String,
    /// The document that names all of it.
    pub manifest: String,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// One that is run as `config` says, and was made at `created`, if that may be told.
    pub fn new(architecture: &'static str, config: &Value, created: Option<&str>, layers: Vec<Layer>) -> Self {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut document = json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        if let Some(created) = created {
            document["created"] = json!(created);
        }
        let config = document.to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": Blob::of(config.as_bytes()).described(CONFIG),
            "layers": layers.iter().map(|layer| layer.stored.described(layer.media_type)).collect::<Vec<_>>(),
        });
        Self { architecture, config, manifest: manifest.to_string(), layers }
    }

    /// Its manifest's name.
    pub fn blob(&self) -> Blob {
        Blob::of(self.manifest.as_bytes())
    }

    /// How many bytes a registry holds of it.
    pub fn stored_size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|layer| layer.stored.size).sum();
        layers + self.config.len() as u64 + self.manifest.len() as u64
    }
}

/// One document for images of several architectures.
pub fn index(images: &[Image]) -> String {
    let entries = images.iter().map(|image| {
        let mut entry = image.blob().described(MANIFEST);
        entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        entry
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries.collect::<Vec<_>>()}).to_string()
}

/// What a name leads to: the manifest of the only image, else an index of several; with its media type.
pub fn top(images: &[Image]) -> (String, &'static str) {
    match images {
        [only] => (only.manifest.clone(), MANIFEST),
        several => (index(several), INDEX),
    }
}

/// Writes an archive of images that go by one name. Returns the digest that the name leads to.
pub fn write(archive: &Path, name: &str, images: &[Image]) -> Result<String> {
    let (top, media_type) = top(images);
    let blob = Blob::of(top.as_bytes());
    let mut entry = blob.described(media_type);
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    let root = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();

    let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
    let mut tar = tar::Builder::new(file);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put(&mut tar, "index.json", root.as_bytes())?;
    let documents = images.iter().flat_map(|image| [image.config.as_bytes(), image.manifest.as_bytes()]);
    let mut written = BTreeSet::new();
    for bytes in documents.chain([top.as_bytes()]) {
        let blob = Blob::of(bytes);
        if written.insert(blob.digest.clone()) {
            put(&mut tar, &path(&blob), bytes)?;
        }
    }
    for layer in images.iter().flat_map(|image| &image.layers) {
        let Some(file) = &layer.file else { continue };
        if written.insert(layer.stored.digest.clone()) {
            let content = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            append(&mut tar, &path(&layer.stored), 0o644, layer.stored.size, content)?;
        }
    }
    tar.into_inner()?.flush()?;
    Ok(blob.digest)
}

/// Adds a file that belongs to root; nothing of this machine stands in its header.
pub fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, mode: u32, size: u64, content: impl Read) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    tar.append_data(&mut header, path, content).with_context(|| format!("cannot pack {path}"))
}

fn put<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    append(tar, path, 0o644, bytes.len() as u64, bytes)
}

/// Where an archive has it.
fn path(blob: &Blob) -> String {
    format!("blobs/{}", blob.digest.replace(':', "/"))
}

/// This machine's architecture in the words of OCI.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn both_ways_to_a_digest_agree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let blob = Blob::of(b"abc");
        assert_eq!(blob.digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Blob::of_file(file.path()).unwrap(), blob);
    }

    fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(archive).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        files
    }

    fn document(files: &BTreeMap<String, Vec<u8>>, described: &Value) -> Value {
        let blob = Blob { digest: described["digest"].as_str().unwrap().to_owned(), size: 0 };
        serde_json::from_slice(&files[&path(&blob)]).unwrap()
    }

    #[test]
    fn an_archive_holds_what_its_manifest_names() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, archive) = (dir.path().join("layer.tar"), dir.path().join("image.tar"));
        fs::write(&layer, vec![0; 1024]).unwrap();
        let known = Layer::known(&Blob::of(b"known"));
        let layers = vec![known.clone(), Layer::plain(&layer).unwrap()];
        let image = Image::new("amd64", &json!({}), None, layers);
        let digest = write(&archive, "x/y:1", std::slice::from_ref(&image)).unwrap();
        let files = files(&archive);
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], json!(digest));
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "x/y:1");
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
        let manifest = document(&files, entry);
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
        assert!(!files.contains_key(&path(&known.stored)), "what containerd has is not packed again");
        assert_eq!(Blob::of(&files[&path(&image.layers[1].stored)]), image.layers[1].stored);
    }

    #[test]
    fn several_architectures_go_by_one_name_and_a_shared_layer_is_packed_once() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, archive) = (dir.path().join("layer.tar"), dir.path().join("image.tar"));
        fs::write(&layer, vec![0; 1024]).unwrap();
        let layers = vec![Layer::plain(&layer).unwrap()];
        let images = ["amd64", "arm64"].map(|name| Image::new(name, &json!({}), None, layers.clone()));
        write(&archive, "x/y:1", &images).unwrap();
        let files = files(&archive);
        let root: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let index = document(&files, &root["manifests"][0]);
        let architectures: Vec<&Value> =
            index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]["architecture"]).collect();
        assert_eq!(architectures, ["amd64", "arm64"]);
        for entry in index["manifests"].as_array().unwrap() {
            let config = document(&files, &document(&files, entry)["config"]);
            assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        }
        assert_eq!(files.len(), 2 + 2 * 2 + 1 + 1, "{:?}", files.keys());
    }

    #[test]
    fn a_compressed_layer_is_known_by_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, one, two) = (dir.path().join("plain"), dir.path().join("one"), dir.path().join("two"));
        fs::write(&plain, vec![7; 4096]).unwrap();
        let layer = Layer::compressed(&plain, &one).unwrap();
        assert_eq!(layer.diff_id, Blob::of_file(&plain).unwrap().digest);
        assert!(layer.stored.size < 4096);
        assert_eq!(Layer::compressed(&plain, &two).unwrap().stored, layer.stored);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(File::open(&one).unwrap()).read_to_end(&mut back).unwrap();
        assert_eq!(back, vec![7; 4096]);
    }
}
