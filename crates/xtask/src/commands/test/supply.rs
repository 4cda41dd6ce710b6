//! The checks of what we take from others.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::bench::Bench;
use crate::commands::sbom;
use crate::supply::advisories::{self, Database};
use crate::supply::policy::Policy;
use crate::supply::{crates, modules, npm, vulnerabilities};
use crate::{exec, repo, tools};

/// The lock file of the pages of the tests' mail catcher.
const NPM_LOCK: &str = "e2e/tools/mailpit/package-lock.json";
/// It takes half a minute. A network that gives out meanwhile must not hold up everything.
const SCANNED_WITHIN: Duration = Duration::from_mins(10);

pub fn rust(bench: &mut Bench) -> Result<()> {
    let deny = tools::cargo_deny()?;
    // cargo-deny looks at all platforms, whose crates a build here has not fetched.
    exec::output(exec::cargo().args(["fetch", "--locked"]).current_dir(repo::root()))?;
    let database = advisories::rustsec(&deny, &repo::root())?;
    let mut check = Command::new(&deny);
    check.args(["--locked", "--offline", "check", "bans", "licenses", "sources"]).current_dir(repo::root());
    if let Database::Here { .. } = database {
        check.arg("advisories");
    }
    exec::stream(&mut check)?;
    tell(bench, "advisories of crates", &database);
    Ok(())
}

pub fn go(bench: &mut Bench) -> Result<()> {
    tools::require_go()?;
    let mut worker = modules::worker(&crates::program_of(crates::OPERATOR)?.root.version)?;
    let mut policy = Policy::read("go")?;
    policy.clarify(&mut worker.parts);
    policy.judge(&worker.parts)?;
    println!("licences of {} modules ok", worker.parts.len());
    let govulncheck = tools::folder(tools::GOVULNCHECK)?.join("govulncheck");
    let database = advisories::go(&govulncheck)?;
    if let Database::Here { url, .. } = &database {
        let mut scan = Command::new(&govulncheck);
        scan.args(["-format", "json", "-db", url, "./..."]).env("GOWORK", "off").env("CGO_ENABLED", "0");
        let Some(output) = exec::within(scan.current_dir(repo::path("crates/helm/worker")), SCANNED_WITHIN)? else {
            bail!("govulncheck did not end within {} s", SCANNED_WITHIN.as_secs());
        };
        if !output.status.success() {
            bail!("govulncheck failed:\n{}", exec::tail(&String::from_utf8_lossy(&output.stderr), 15));
        }
        let report = vulnerabilities::report(&String::from_utf8_lossy(&output.stdout))?;
        for told in &report.uncalled {
            println!("{told}");
        }
        if !report.called.is_empty() {
            bail!("the Helm worker calls code with known vulnerabilities:\n{}", report.called.join("\n"));
        }
        println!("no vulnerability is called");
    }
    tell(bench, "advisories of Go modules", &database);
    Ok(())
}

pub fn npm(_: &mut Bench) -> Result<()> {
    let lock = fs::read_to_string(repo::path(NPM_LOCK)).with_context(|| format!("cannot read {NPM_LOCK}"))?;
    let mut parts = npm::locked(&lock).context(NPM_LOCK)?;
    let mut policy = Policy::read("npm")?;
    policy.clarify(&mut parts);
    policy.judge(&parts)?;
    println!("licences of {} packages ok", parts.len());
    Ok(())
}

pub fn bills(_: &mut Bench) -> Result<()> {
    sbom::check()
}

/// Says by which database was judged, and loudly what could not be.
fn tell(bench: &mut Bench, what: &str, database: &Database) {
    match database {
        Database::Away(why) => bench.skip(what, why),
        Database::Here { url, changed } => {
            println!("{what}: {url}, of {changed}");
            if let Some(gap) = database.gap(advisories::today()) {
                bench.skip(&format!("{what} since {changed}"), &gap);
            }
        }
    }
}
