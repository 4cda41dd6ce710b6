//! Writes archives that containerd imports.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exec;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

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

    fn described(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.size})
    }
}

/// What is to be written.
pub struct Contents<'a> {
    /// The image's full name.
    pub name: &'a str,
    /// How it is run, as an OCI image says it.
    pub config: Value,
    /// Layers that containerd has already, lowest first.
    pub below: &'a [Blob],
    /// Uncompressed layers above them.
    pub layers: &'a [&'a Path],
}

/// Writes the archive. Returns the image's digest and all its layers.
pub fn write(archive: &Path, contents: &Contents<'_>) -> Result<(String, Vec<Blob>)> {
    let own: Vec<Blob> = contents.layers.iter().map(|layer| Blob::of_file(layer)).collect::<Result<_>>()?;
    let layers = [contents.below, &own].concat();
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": architecture(), "os": "linux", "config": contents.config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": Blob::of(config.as_bytes()).described(CONFIG),
        "layers": layers.iter().map(|layer| layer.described(LAYER)).collect::<Vec<_>>(),
    })
    .to_string();
    let image = Blob::of(manifest.as_bytes());
    let mut entry = image.described(MANIFEST);
    entry["annotations"] = json!({"io.containerd.image.name": contents.name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

    let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
    let mut tar = tar::Builder::new(file);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put(&mut tar, "index.json", index.as_bytes())?;
    for bytes in [config.as_bytes(), manifest.as_bytes()] {
        put(&mut tar, &path(&Blob::of(bytes)), bytes)?;
    }
    for (blob, layer) in own.iter().zip(contents.layers) {
        let content = File::open(layer).with_context(|| format!("cannot read {}", layer.display()))?;
        append(&mut tar, &path(blob), 0o644, blob.size, content)?;
    }
    tar.into_inner()?.flush()?;
    Ok((image.digest, layers))
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

fn path(blob: &Blob) -> String {
    format!("blobs/{}", blob.digest.replace(':', "/"))
}

/// This machine's architecture in the words of OCI.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_a_digest_agree() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let blob = Blob::of(b"abc");
        assert_eq!(blob.digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Blob::of_file(file.path()).unwrap(), blob);
    }

    #[test]
    fn an_archive_holds_what_its_manifest_names() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer.tar");
        fs::write(&layer, vec![0; 1024]).unwrap();
        let below = [Blob::of(b"known")];
        let contents = Contents { name: "x/y:1", config: json!({}), below: &below, layers: &[&layer] };
        let (digest, layers) = write(&dir.path().join("image.tar"), &contents).unwrap();
        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(File::open(dir.path().join("image.tar")).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], json!(digest));
        let manifest: Value = serde_json::from_slice(&files[&path(&Blob { digest, size: 0 })]).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
        assert_eq!(layers[0], below[0]);
        assert!(!files.contains_key(&path(&layers[0])), "what containerd has is not packed again");
        assert_eq!(Blob::of(&files[&path(&layers[1])]), layers[1]);
    }
}
