//! `provide`: everything that other commands fetch or build before they begin.

use anyhow::{Result, bail};

use crate::node::needs;
use crate::{images, operator, tools};

/// Fetch or build every tool and image that other commands use, so that none of them has to wait for it.
///
/// Images need Linux and root; elsewhere they are left out.
#[derive(clap::Args)]
pub struct Args {
    /// Only these, such as `etcd` or `images`.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

type Recipe = fn() -> Result<()>;

/// What is made beside the tools of `e2e/tools`.
const OTHERS: [(&str, Recipe); 5] = [
    ("cargo-deny", || tools::cargo_deny().map(drop)),
    ("python", || tools::python("charts/requirements.txt").map(drop)),
    ("python-addons", || tools::python("addons/requirements.txt").map(drop)),
    ("worker", || operator::build_worker().map(drop)),
    ("images", build_images),
];

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let all = names();
    if let Some(unknown) = args.names.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("there is no recipe {unknown:?}. There are {}", all.join(", "));
    }
    for name in all.into_iter().filter(|name| args.names.is_empty() || args.names.iter().any(|wanted| wanted == name)) {
        if let Some(tool) = tools::ALL.into_iter().find(|tool| tool.name() == name) {
            tools::folder(tool)?;
        } else if let Some((_, make)) = OTHERS.into_iter().find(|(other, _)| *other == name) {
            make()?;
        }
    }
    println!("\nEverything lies in {}", tools::cache()?.display());
    Ok(())
}

/// The names of all recipes.
pub fn names() -> Vec<&'static str> {
    tools::ALL.iter().map(tools::Tool::name).chain(OTHERS.map(|(name, _)| name)).collect()
}

fn build_images() -> Result<()> {
    if let Some(refusal) = needs::refusal() {
        println!("! no images: {refusal}");
        return Ok(());
    }
    needs::provide()?;
    images::all().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_that_is_not_there_is_refused_with_those_that_are() {
        let error = run(&Args { names: vec!["etcd".into(), "docker".into()] }).unwrap_err().to_string();
        assert!(error.starts_with("there is no recipe \"docker\". There are etcd, kubernetes, helm, "), "{error}");
        assert!(error.ends_with("python, python-addons, worker, images"), "{error}");
    }
}
