//! The checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::bench::Bench;
use crate::commands::generate;
use crate::images::odoo;
use crate::layout::Layout;
use crate::{chart, compat, exec, images, in_cluster, node, operator, repo, tools};

/// The Helm worker.
const WORKER: &str = "crates/helm/worker";
/// What Flux, Argo CD and Prometheus make of our objects and files.
const GITOPS: &str = "e2e/gitops";
/// Crates that decide, and so see neither runtime nor client.
const PURE: [&str; 2] = ["odoofleet-api", "odoofleet-core"];
const IMPURE: [&str; 4] = ["tokio", "hyper", "kube-client", "reqwest"];

pub fn rust_format(_: &mut Bench) -> Result<()> {
    exec::stream(cargo().args(["fmt", "--all", "--check"]))
}

pub fn rust_lints(_: &mut Bench) -> Result<()> {
    exec::stream(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // What only `test real` runs is no target of the above, and would not even be compiled.
    exec::stream(cargo().args(["clippy", "--package", "e2e", "--test", "real", "--", "-D", "warnings"]))
}

pub fn rust_tests(_: &mut Bench) -> Result<()> {
    exec::stream(cargo().args(["test", "--workspace", "--exclude", "e2e"]))
}

pub fn go_lints(_: &mut Bench) -> Result<()> {
    tools::require_go()?;
    let root = exec::output(Command::new("go").args(["env", "GOROOT"]))?;
    let gofmt = Path::new(root.trim()).join("bin/gofmt");
    for folder in [WORKER, GITOPS] {
        let module = repo::path(folder);
        let unformatted = exec::output(Command::new(&gofmt).args(["-l", "."]).current_dir(&module))?;
        if !unformatted.trim().is_empty() {
            bail!("these files are not formatted; run gofmt -w in {folder}:\n{}", unformatted.trim_end());
        }
        exec::stream(tools::compile("vet", &module).arg("./..."))?;
    }
    Ok(())
}

pub fn gitops(_: &mut Bench) -> Result<()> {
    tools::require_go()?;
    // Go's cache of results does not look at files outside the module, which are all that is tested here.
    exec::stream(tools::compile("test", &repo::path(GITOPS)).args(["-count=1", "./..."]))
}

pub fn go_tests(bench: &mut Bench) -> Result<()> {
    tools::require_go()?;
    let mut command = tools::compile("test", &repo::path(WORKER));
    command.arg("./...");
    if let Some(cluster) = bench.optional_cluster()? {
        command.env("ODOOFLEET_TEST_KUBECONFIG", cluster.kubeconfig());
        command.env("ODOOFLEET_TEST_HELM", cluster.bin().join("helm"));
        command.env("ODOOFLEET_TEST_HELM3", cluster.bin().join("helm3"));
        // A result from the cache would be one of another cluster.
        command.arg("-count=1");
    }
    exec::stream(&mut command)
}

pub fn arrows(_: &mut Bench) -> Result<()> {
    for package in PURE {
        let tree = exec::output(cargo().args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"]))?;
        let found = forbidden(&tree);
        if !found.is_empty() {
            bail!("{package} depends on {}, see: cargo tree -p {package} -e normal -i {}", found.join(", "), found[0]);
        }
        println!("{package}: none of {}", IMPURE.join(", "));
    }
    Ok(())
}

pub fn generated(_: &mut Bench) -> Result<()> {
    generate::check()
}

pub fn compatible_kinds(_: &mut Bench) -> Result<()> {
    compat::check(&repo::root())
}

/// The core of the licence module, which needs no Odoo.
pub fn addon_tests(_: &mut Bench) -> Result<()> {
    let python = tools::python("addons/requirements.txt")?;
    let quiet = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "addons/tests"];
    exec::stream(Command::new(python).args(quiet).current_dir(repo::root()))
}

pub fn chart_lint(bench: &mut Bench) -> Result<()> {
    let helm = bench.cluster()?.bin().join("helm");
    exec::stream(Command::new(helm).args(["lint", "--strict"]).args(charts()?))
}

pub fn config(bench: &mut Bench) -> Result<()> {
    generate::check_config(&bench.cluster()?.bin().join("helm"))
}

pub fn chart_tests(bench: &mut Bench) -> Result<()> {
    let python = tools::python("charts/requirements.txt")?;
    let cluster = bench.cluster()?;
    let mut ran = 0;
    for test in charts()?.into_iter().map(|chart| chart.join("tests/run.py")).filter(|test| test.is_file()) {
        println!("{}", test.strip_prefix(repo::root()).unwrap_or(&test).display());
        // A chart that is only rendered knows neither kubectl nor a cluster.
        let known = exec::output(Command::new(&python).arg(&test).arg("--help"))?;
        let mut command = Command::new(&python);
        command.arg(&test).current_dir(repo::root());
        for (flag, value) in [
            ("--helm", cluster.bin().join("helm")),
            ("--kubectl", cluster.bin().join("kubectl")),
            ("--kubeconfig", cluster.kubeconfig()),
        ] {
            if known.contains(flag) {
                command.arg(flag).arg(value);
            }
        }
        exec::stream(&mut command)?;
        ran += 1;
    }
    if ran == 0 { Err(anyhow!("no chart has tests")) } else { Ok(()) }
}

pub fn end_to_end(bench: &mut Bench) -> Result<()> {
    let only = bench.only.clone();
    let cluster = bench.fresh_cluster()?;
    let charts = cluster.path("charts");
    operator::build(&cluster.bin(), false)?;
    chart::package(&repo::path("charts/odoo"), &charts)?;
    exec::stream(e2e_command(cluster, &charts).args(only))
}

pub fn real(bench: &mut Bench) -> Result<()> {
    let Some(cluster) = bench.real_cluster()? else { return Ok(()) };
    let layout = &cluster.layout;
    let charts = layout.path("charts");
    operator::build(&layout.bin(), false)?;
    chart::package(&repo::path("charts/odoo"), &charts)?;
    let image = in_cluster::image(layout)?;
    node::load(layout, &cluster.daemons, &image)?;
    let odoo: Vec<Value> =
        cluster.odoo.iter().map(|odoo| json!({"series": odoo.series, "values": odoo.values()})).collect();
    let facts = json!({
        "odoo": odoo,
        "image": in_cluster::tag(&image),
        "runtime": images::runtime_values(),
        "values": images::values()?,
        "postgresMajor": images::POSTGRES_MAJOR,
        "node": cluster.address,
        "hosts": node::hosts(layout),
    });
    let mut command = cargo();
    // One after the other: a scenario may take all of the machine.
    command.args(["test", "--package", "e2e", "--test", "real", "--no-fail-fast", "--", "--test-threads=1"]);
    command.args(&bench.only);
    exec::stream(setup(&mut command, layout, &charts).env("E2E_REAL", facts.to_string()))?;
    if cluster.odoo.is_empty() {
        bench.skip("every scenario with Odoo", &format!("none was given. {}", odoo::HOW));
    }
    Ok(())
}

fn e2e_command(cluster: &Layout, charts: &Path) -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "e2e", "--no-fail-fast", "--", "--test-threads=4"]);
    setup(&mut command, cluster, charts);
    command
}

/// Tells scenarios where everything is.
fn setup<'a>(command: &'a mut Command, cluster: &Layout, charts: &Path) -> &'a mut Command {
    command.env("E2E_KUBECONFIG", cluster.kubeconfig()).env("E2E_BIN", cluster.bin());
    command.env("E2E_AUDIT", cluster.audit());
    command.env("E2E_CHARTS", charts).env("E2E_REPO", repo::root())
}

fn cargo() -> Command {
    let mut command = exec::cargo();
    command.current_dir(repo::root());
    command
}

/// The packages of a `cargo tree` that a pure crate may not have.
fn forbidden(tree: &str) -> Vec<&'static str> {
    let packages: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    IMPURE.into_iter().filter(|name| packages.contains(name)).collect()
}

fn charts() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(repo::path("charts")).context("cannot read charts")?;
    let mut charts: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|dir| dir.join("Chart.yaml").is_file()).collect();
    charts.sort();
    Ok(charts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_package_is_found_by_its_whole_name() {
        assert_eq!(forbidden("odoofleet-core v0.1.0\ntokio v1.54.0 (*)\nkube-core v5.0.0\n"), ["tokio"]);
        assert!(forbidden("tokio-util v0.7\nhyper-util v0.1\nkube-derive v5\n").is_empty());
    }
}
