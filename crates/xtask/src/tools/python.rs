//! The Python that tests of charts run with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, key, lock};
use crate::{exec, repo};

/// A Python with what the charts' tests import, made once a content of `charts/requirements.txt`.
pub fn python() -> Result<PathBuf> {
    let wanted = repo::path("charts/requirements.txt");
    let requirements = fs::read_to_string(&wanted).context("cannot read charts/requirements.txt")?;
    let version = exec::output(Command::new("python3").arg("--version"))?;
    let cache = cache()?;
    let dir = cache.join(format!("python-{}", key(&[&requirements, &version])));
    let (python, finished) = (dir.join("bin/python"), dir.join(".finished"));
    let _lock = lock(&cache.join(".python.lock"), "installs the charts' Python packages")?;
    if finished.is_file() {
        return Ok(python);
    }
    exec::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("Python cannot make a virtual environment; on Debian install python3-venv")?;
    exec::output(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted))?;
    fs::write(&finished, "")?;
    Ok(python)
}
