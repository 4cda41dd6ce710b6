//! An archive of the command-line tool: the program, its licence, its completions; and the checksum beside it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::exec;

/// The program, which kubectl finds by this name as `kubectl odoo`.
pub const PROGRAM: &str = "kubectl-odoo";
/// What completes it, by the shell's name, in the file that the shell looks for.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "completions/kubectl-odoo.bash"),
    ("zsh", "completions/_kubectl-odoo"),
    ("fish", "completions/kubectl-odoo.fish"),
    ("powershell", "completions/kubectl-odoo.ps1"),
    ("kubectl", "kubectl_complete-odoo"),
];

/// For whom an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// As Go and kubectl call it, such as `linux`.
    pub os: &'static str,
    /// As Go and kubectl call it, such as `amd64`.
    pub arch: &'static str,
}

/// The platforms that a release has archives of, with Rust's names.
pub const PLATFORMS: [(&str, Platform); 4] = [
    ("x86_64-unknown-linux-gnu", Platform { os: "linux", arch: "amd64" }),
    ("aarch64-unknown-linux-gnu", Platform { os: "linux", arch: "arm64" }),
    ("x86_64-apple-darwin", Platform { os: "darwin", arch: "amd64" }),
    ("aarch64-apple-darwin", Platform { os: "darwin", arch: "arm64" }),
];

impl Platform {
    /// That of a Rust target.
    pub fn of(target: &str) -> Result<Self> {
        match PLATFORMS.iter().find(|(name, _)| *name == target) {
            Some((_, platform)) => Ok(*platform),
            None => bail!(
                "{target:?} is none of the targets that are released: {}",
                PLATFORMS.map(|(name, _)| name).join(", ")
            ),
        }
    }

    /// The name of its archive.
    pub fn archive(self, version: &str) -> String {
        format!("{PROGRAM}_{version}_{}_{}.tar.gz", self.os, self.arch)
    }
}

/// One file of an archive.
struct Entry {
    name: &'static str,
    content: Vec<u8>,
    executable: bool,
}

/// Writes the archive of a program that runs on this machine, with a file `….sha256` beside it.
pub fn write(program: &Path, license: &Path, platform: Platform, version: &str, out: &Path) -> Result<PathBuf> {
    let read = |file: &Path| fs::read(file).with_context(|| format!("cannot read {:?}", file.display()));
    let mut entries = vec![
        Entry { name: PROGRAM, content: read(program)?, executable: true },
        Entry { name: "LICENSE", content: read(license)?, executable: false },
    ];
    for (shell, name) in COMPLETIONS {
        // In English, whatever the language of whoever builds.
        let script = exec::output(Command::new(program).args(["completion", shell]).env("LC_ALL", "C"))?;
        if script.trim().is_empty() {
            bail!("{PROGRAM} completion {shell} prints nothing");
        }
        entries.push(Entry { name, content: script.into_bytes(), executable: shell == "kubectl" });
    }
    let archive = pack(&mut entries)?;
    fs::create_dir_all(out).with_context(|| format!("cannot create {:?}", out.display()))?;
    let name = platform.archive(version);
    let file = out.join(&name);
    let put = |file: &Path, content: &[u8]| {
        fs::write(file, content).with_context(|| format!("cannot write {:?}", file.display()))
    };
    put(&file, &archive)?;
    put(&out.join(format!("{name}.sha256")), format!("{}  {name}\n", digest(&archive)).as_bytes())?;
    Ok(file)
}

/// The same bytes for the same files: no times, no owners, sorted.
fn pack(entries: &mut [Entry]) -> Result<Vec<u8>> {
    entries.sort_by_key(|entry| entry.name);
    let zip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(zip);
    for entry in entries.iter() {
        let mut header = tar::Header::new_ustar();
        header.set_size(entry.content.len() as u64);
        header.set_mode(if entry.executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, entry.name, entry.content.as_slice())?;
    }
    let mut zip = tar.into_inner()?;
    zip.flush()?;
    Ok(zip.finish()?)
}

/// The archives of a version in a folder, each with its sha256, which must be the one that was written beside it.
pub fn all(folder: &Path, version: &str) -> Result<Vec<(Platform, String)>> {
    let mut found = Vec::new();
    for (_, platform) in PLATFORMS {
        let name = platform.archive(version);
        let file = folder.join(&name);
        if !file.is_file() {
            continue;
        }
        let sum = digest(&fs::read(&file).with_context(|| format!("cannot read {:?}", file.display()))?);
        let beside = format!("{name}.sha256");
        let said = fs::read_to_string(folder.join(&beside)).with_context(|| format!("cannot read {beside:?}"))?;
        if said.split_whitespace().next() != Some(&sum) {
            bail!("{name:?} is not the archive that {beside:?} was written for");
        }
        found.push((platform, sum));
    }
    Ok(found)
}

fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use flate2::read::GzDecoder;

    use super::*;

    const LINUX: Platform = Platform { os: "linux", arch: "amd64" };

    /// A folder with a program that answers like the real one, and its licence.
    fn source(script: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(PROGRAM);
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("LICENSE"), "free").unwrap();
        folder
    }

    fn written(source: &Path, out: &Path) -> Result<PathBuf> {
        write(&source.join(PROGRAM), &source.join("LICENSE"), LINUX, "0.2.0", out)
    }

    #[test]
    fn an_archive_has_program_licence_and_completions() {
        let (source, out) = (source("#!/bin/sh\necho \"$1 of $2\"\n"), tempfile::tempdir().unwrap());
        let file = written(source.path(), out.path()).unwrap();
        assert_eq!(file, out.path().join("kubectl-odoo_0.2.0_linux_amd64.tar.gz"));
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(GzDecoder::new(fs::File::open(&file).unwrap())).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let mode = entry.header().mode().unwrap();
            found.insert(entry.path().unwrap().display().to_string(), (mode, text));
        }
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let all = [
            "LICENSE",
            "completions/_kubectl-odoo",
            "completions/kubectl-odoo.bash",
            "completions/kubectl-odoo.fish",
            "completions/kubectl-odoo.ps1",
            PROGRAM,
            "kubectl_complete-odoo",
        ];
        assert_eq!(names, all);
        assert_eq!(found["completions/_kubectl-odoo"], (0o644, "completion of zsh\n".to_owned()));
        assert_eq!(found[PROGRAM].0, 0o755);
        assert_eq!(found["kubectl_complete-odoo"].0, 0o755);
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let source = source("#!/bin/sh\necho \"$1 of $2\"\n");
        let outs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let bytes = outs.each_ref().map(|out| fs::read(written(source.path(), out.path()).unwrap()).unwrap());
        assert_eq!(bytes[0], bytes[1]);
    }

    #[test]
    fn a_completion_that_is_empty_or_fails_makes_no_archive() {
        for script in ["#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 2\n"] {
            let (source, out) = (source(script), tempfile::tempdir().unwrap());
            assert!(written(source.path(), out.path()).unwrap_err().to_string().contains("completion bash"));
            assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn an_archive_that_changed_is_not_taken() {
        let (source, out) = (source("#!/bin/sh\necho \"$1 of $2\"\n"), tempfile::tempdir().unwrap());
        let file = written(source.path(), out.path()).unwrap();
        let found = all(out.path(), "0.2.0").unwrap();
        assert_eq!((found.len(), found[0].0), (1, LINUX));
        assert_eq!(all(out.path(), "0.3.0").unwrap(), []);
        fs::write(&file, "other").unwrap();
        assert!(all(out.path(), "0.2.0").unwrap_err().to_string().contains("is not the archive"));
    }

    #[test]
    fn only_released_targets_have_archives() {
        assert_eq!(
            Platform::of("aarch64-apple-darwin").unwrap().archive("1.0.0"),
            "kubectl-odoo_1.0.0_darwin_arm64.tar.gz"
        );
        assert!(Platform::of("riscv64gc-unknown-linux-gnu").is_err());
    }
}
