//! Every recipe, as on a machine that has never run one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::bench::Bench;
use crate::commands::provide;
use crate::node::needs;
use crate::{exec, repo, tools, ui};

/// Where recipes, and programs of others that they run, keep what they have fetched or built.
const CACHES: [&str; 5] = ["GOCACHE", "GOMODCACHE", "ODOOFLEET_CACHE", "PIP_CACHE_DIR", "npm_config_cache"];

/// Each recipe by itself, with caches in which nothing is and a mirror that has nothing: all is built.
pub fn every_recipe(bench: &mut Bench) -> Result<()> {
    let place = tools::cache()?.join("clean");
    let _alone = tools::lock(&place.with_extension("lock"), "builds everything from nothing")?;
    for name in provide::names() {
        let since = Instant::now();
        // What the last one made, or a run left that was killed.
        remove(&place)?;
        let mirror = place.join("mirror");
        fs::create_dir_all(&mirror).with_context(|| format!("cannot create {:?}", mirror.display()))?;
        let outcome = exec::stream(&mut alone(name, &place, &mirror)?);
        remove(&place)?;
        outcome.with_context(|| format!("recipe {name:?}"))?;
        println!("{name} {}", ui::elapsed(since.elapsed()));
    }
    if let Some(refusal) = needs::refusal() {
        bench.skip("the images", refusal);
    }
    Ok(())
}

fn alone(name: &str, place: &Path, mirror: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
    command.args(["provide", name]).current_dir(repo::root());
    command.envs(CACHES.map(|cache| (cache, place.join(cache)))).env(tools::MIRROR, mirror);
    // Else nobody but root can remove what Go has fetched.
    let flags = exec::output(Command::new("go").args(["env", "GOFLAGS"]))?;
    command.env("GOFLAGS", format!("{} -modcacherw", flags.trim()));
    Ok(command)
}

fn remove(place: &Path) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("cannot remove {:?}", place.display()))?;
    }
    Ok(())
}
