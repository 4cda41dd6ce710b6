//! `dist`: archives of the command-line tool, and what is made of all of them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::release::archive::{self, PROGRAM, Platform};
use crate::release::{krew, repository, version};
use crate::{exec, repo};

/// Write the archive of `kubectl odoo` for this machine, with completions and a checksum.
///
/// The same program makes the same archive. With `--finish` nothing is built: the archives of every platform that lie in the folder
/// get a list of checksums and a manifest for krew.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of the archives.
    #[arg(long, value_name = "DIR", default_value_os_t = repo::path("target/dist"))]
    out: PathBuf,
    /// Write SHA256SUMS and odoo.yaml for the archives that are there.
    #[arg(long)]
    finish: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let root = repo::root();
    let version = version(&root)?;
    if args.finish {
        return finish(&args.out, &version, &repository(&root)?);
    }
    let platform = Platform::of(&host()?)?;
    let file = archive::write(&build()?, &root.join("LICENSE"), platform, &version, &args.out)?;
    println!("✓ Wrote {}", file.display());
    Ok(())
}

/// The target for which Rust builds here.
fn host() -> Result<String> {
    let said = exec::output(Command::new("rustc").arg("-vV").current_dir(repo::root()))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| anyhow!("rustc -vV names no host"))
}

fn build() -> Result<PathBuf> {
    let mut command = exec::cargo();
    command.args(["build", "--release", "--locked", "--bin", PROGRAM, "--message-format", "json-render-diagnostics"]);
    let said = exec::output(command.current_dir(repo::root()))?;
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == PROGRAM);
    let program = built.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| anyhow!("cargo built {PROGRAM}, but did not say where"))
}

fn finish(folder: &Path, version: &str, repository: &str) -> Result<()> {
    let archives = archive::all(folder, version)?;
    if archives.is_empty() {
        bail!("{:?} holds no archive of version {version}; write them with cargo xtask dist", folder.display());
    }
    let manifest = serde_saphyr::to_string(&krew::manifest(repository, version, &archives)?)?;
    let mut sums = String::new();
    for (platform, sum) in &archives {
        writeln!(sums, "{sum}  {}", platform.archive(version))?;
    }
    for (name, content) in [("SHA256SUMS".to_owned(), sums), (format!("{}.yaml", krew::NAME), manifest)] {
        let file = folder.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {:?}", file.display()))?;
        println!("✓ Wrote {}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::archive::PLATFORMS;

    #[test]
    fn the_last_step_asks_for_every_archive_and_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let finished = || finish(folder.path(), "0.2.0", "https://example.org/fleet");
        assert!(finished().unwrap_err().to_string().contains("no archive of version 0.2.0"));
        let (program, license) = (folder.path().join("program"), folder.path().join("LICENSE"));
        fs::write(&program, "#!/bin/sh\necho \"$1 of $2\"\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(&license, "free").unwrap();
        for (index, (_, platform)) in PLATFORMS.iter().enumerate() {
            archive::write(&program, &license, *platform, "0.2.0", folder.path()).unwrap();
            assert_eq!(finished().is_ok(), index + 1 == PLATFORMS.len());
        }
        let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).unwrap();
        assert_eq!(sums.lines().count(), PLATFORMS.len());
        let manifest: Value =
            serde_saphyr::from_str(&fs::read_to_string(folder.path().join("odoo.yaml")).unwrap()).unwrap();
        let first = manifest["spec"]["platforms"][0]["sha256"].as_str().unwrap();
        assert!(sums.starts_with(&format!("{first}  kubectl-odoo_0.2.0_linux_amd64.tar.gz\n")), "{sums}");
    }
}
