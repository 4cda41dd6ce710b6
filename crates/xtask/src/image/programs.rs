//! The programs of the image, built so that the folder and the machine cannot be told from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::platform::Platform;
use crate::operator::WORKER;
use crate::supply::crates;
use crate::{exec, operator, repo, ui};

/// What a cluster runs; `kubectl odoo` is for people, who take it out of the image or run it there.
pub const NEEDED: [&str; 2] = [operator::NAME, operator::WORKER];
/// What Rust builds: the package and its program.
const RUST: [(&str, &str); 2] = [(crates::OPERATOR, operator::NAME), (crates::CLI, operator::CLI)];

/// All of them.
pub fn all() -> Vec<&'static str> {
    RUST.into_iter().map(|(_, program)| program).chain([WORKER]).collect()
}

/// Builds them for a platform, with optimisations, into a folder. It keeps a folder of its own below cargo's, because other flags make
/// other objects.
pub fn build(platform: Platform) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo::path("target"), PathBuf::from);
    let target = std::path::absolute(target)?.join("image");
    let into = target.join("programs").join(platform.architecture());
    fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    let task = ui::Task::start(format!("Building the programs for {platform}"));
    require(platform)?;
    task.note("Rust");
    let said = exec::output(&mut cargo(platform, &target, RUST.iter().map(|(package, _)| *package))?)?;
    for (package, program) in RUST {
        let built = operator::executable(&said, program)
            .ok_or_else(|| anyhow!("cargo built {package}, but did not say where {program} is"))?;
        operator::install(&built, &into, program)?;
    }
    task.note("Go");
    exec::output(operator::worker_build(&into.join(WORKER)).env("GOARCH", platform.architecture()))?;
    task.done(format!("Built the programs for {platform}"));
    Ok(into)
}

/// Fails with what to do if this machine cannot build for the platform.
fn require(platform: Platform) -> Result<()> {
    let mut ask = Command::new("rustc");
    ask.args(["--print", "target-libdir", "--target", platform.target()]).current_dir(repo::root());
    let folder = exec::output(&mut ask)?;
    if !Path::new(folder.trim()).is_dir() {
        bail!(
            "an image for {platform} cannot be built here: Rust lacks the target {0}. Add it with `rustup target add {0}`, or give programs \
             that were built elsewhere with --programs",
            platform.target()
        );
    }
    let compiler = compiler(platform);
    if Command::new(&compiler).arg("--version").output().is_err() {
        bail!(
            "an image for {platform} cannot be built here: the C compiler {compiler} is missing. On Debian and Ubuntu: apt-get install \
             gcc-{}",
            platform.triplet().replace('_', "-")
        );
    }
    Ok(())
}

/// Compiles C for the platform, and links for it.
fn compiler(platform: Platform) -> String {
    if Platform::here() == Some(platform) { "cc".to_owned() } else { format!("{}-gcc", platform.triplet()) }
}

fn cargo<'a>(platform: Platform, target: &Path, packages: impl Iterator<Item = &'a str>) -> Result<Command> {
    let mut command = exec::cargo();
    command.args(["build", "--quiet", "--release", "--locked", "--message-format", "json-render-diagnostics"]);
    command.args(["--target", platform.target(), "--target-dir"]).arg(target);
    for package in packages {
        command.args(["--package", package]);
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let home = home.ok_or_else(|| anyhow!("neither HOME nor CARGO_HOME is set"))?;
    let folders = [(repo::root(), "/src"), (home, "/cargo"), (target.to_owned(), "/target")];
    let rust: Vec<String> =
        folders.iter().map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect();
    let c: Vec<String> =
        folders.iter().map(|(folder, name)| format!("-ffile-prefix-map={}={name}", folder.display())).collect();
    let triple = platform.target().replace('-', "_");
    // Whatever this machine sets for other builds has no say here.
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
    command.env(format!("CFLAGS_{triple}"), c.join(" ")).env(format!("CC_{triple}"), compiler(platform));
    command.env(format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()), compiler(platform));
    command.current_dir(repo::root());
    Ok(command)
}

/// Fails unless a program can run in an image for the platform, on the base's C library.
pub fn check(name: &str, content: &[u8], platform: Platform, library: &str) -> Result<()> {
    match Platform::of_program(content) {
        Some(found) if found == platform => {}
        Some(found) => bail!("{name:?} is a program for {found}, and the image is to be for {platform}"),
        None => bail!("{name:?} is no program for Linux on a machine that images are made for"),
    }
    let (needed, there) = (needed_library(content), minor(library));
    if let (Some(needed), Some(there)) = (needed, there)
        && needed > there
    {
        bail!(
            "{name:?} was built on a system newer than the image: it needs version 2.{needed} of the C library, and the image has 2.{there}. \
             Build it on Debian 13, Ubuntu 24.04, or older"
        );
    }
    Ok(())
}

/// The newest version of the C library that a program asks for: what follows `2.`.
fn needed_library(content: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let starts = content.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    starts.filter_map(|(at, _)| number(&content[at + NAME.len()..])).max()
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("2.").and_then(|rest| number(rest.as_bytes()))
}

fn number(text: &[u8]) -> Option<u32> {
    let digits: Vec<u8> = text.iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(machine: u8, needs: &str) -> Vec<u8> {
        let mut content = b"\x7fELF".to_vec();
        content.resize(64, 0);
        content[18] = machine;
        content.extend(needs.as_bytes());
        content
    }

    #[test]
    fn a_program_of_another_machine_is_refused() {
        let arm = program(0xb7, "");
        assert!(check("odoofleet", &arm, Platform::Arm64, "2.41-12").is_ok());
        let error = check("odoofleet", &arm, Platform::Amd64, "2.41-12").unwrap_err().to_string();
        assert_eq!(error, "\"odoofleet\" is a program for linux/arm64, and the image is to be for linux/amd64");
        let error = check("odoofleet", b"#!/bin/sh\n", Platform::Amd64, "2.41-12").unwrap_err().to_string();
        assert!(error.contains("is no program"), "{error}");
    }

    #[test]
    fn a_program_of_a_newer_system_is_refused() {
        let needs = |symbols| check("odoofleet", &program(0x3e, symbols), Platform::Amd64, "2.41-12+deb13u5");
        assert!(needs("\0GLIBC_2.2.5\0GLIBC_2.41\0").is_ok());
        let error = needs("\0GLIBC_2.42\0GLIBC_2.9\0").unwrap_err().to_string();
        assert!(error.contains("needs version 2.42 of the C library, and the image has 2.41"), "{error}");
    }
}
