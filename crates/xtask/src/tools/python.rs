//! The Python that tests of charts and of the Odoo module run with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, key, lock};
use crate::{exec, repo};

/// A Python with the packages of a file such as `charts/requirements.txt`, made once a content of it.
pub fn python(list: &str) -> Result<PathBuf> {
    let wanted = repo::path(list);
    let requirements = fs::read_to_string(&wanted).with_context(|| format!("cannot read {list}"))?;
    let version = exec::output(Command::new("python3").arg("--version"))?;
    let cache = cache()?;
    let dir = cache.join(format!("python-{}", key(&[&requirements, &version])));
    let (python, finished) = (dir.join("bin/python"), dir.join(".finished"));
    let _lock = lock(&cache.join(".python.lock"), "installs the tests' Python packages")?;
    if finished.is_file() {
        return Ok(python);
    }
    exec::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("Python cannot make a virtual environment; on Debian install python3-venv")?;
    exec::output(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted))?;
    fs::write(&finished, "")?;
    Ok(python)
}
