//! The one tool that is written in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{built_once, key};
use crate::{exec, repo};

/// The version of cargo-deny.
const CARGO_DENY: &str = "0.20.2";

/// cargo-deny, built once for each version of it and of Rust.
pub fn cargo_deny() -> Result<PathBuf> {
    let rust = exec::output(Command::new("rustc").arg("-vV").current_dir(repo::root()))?;
    let folder = built_once("cargo-deny", CARGO_DENY, &key(&[CARGO_DENY, &rust]), |half, _| {
        exec::output(&mut install(half)).map(|_| format!("Built cargo-deny {CARGO_DENY}"))
    })?;
    Ok(folder.join("bin/cargo-deny"))
}

fn install(into: &Path) -> Command {
    let mut command = exec::cargo();
    // Without optimisations it is built in a third of the time, and a check takes two seconds longer.
    command.args(["install", "--quiet", "--locked", "--profile", "dev", "--no-track", "--root"]).arg(into);
    command.arg(format!("cargo-deny@{CARGO_DENY}"));
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    // Else it is built among our own crates, and stays there.
    command.env_remove("CARGO_TARGET_DIR").current_dir(repo::root());
    command
}
