//! `bench walls`: what the walls cost. Admission, for each object that an author applies; the worker's checks, for each operation.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::api::Api;
use super::finish;
use super::fleet::{Environment, Fleet, NAMESPACE};
use super::lab::Lab;
use super::report::Report;
use super::stats::milliseconds;
use crate::{exec, repo, tools, ui};

/// Measure what the walls cost: admission for each apply, the worker's checks for each operation.
#[derive(clap::Args)]
pub struct Args {
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Environments that are applied in turn.
const ENVIRONMENTS: u32 = 50;
/// Times that each is changed, with and without the policies.
const ROUNDS: u32 = 6;
/// Somebody with the role `odoofleet-operator`.
const AUTHOR: &str = "author";
const POLICIES: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
const ENVIRONMENTS_PATH: &str = "/apis/odoofleet.dev/v1alpha1/namespaces/odoo/odooenvironments";
/// The API server reads its policies anew once a second.
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("`bench` reads the processes' CPU time from /proc, which only Linux has");
    }
    tools::require_go()?;
    let mut lab = Lab::start(1, None)?;
    let measured = measure(&mut lab);
    finish(lab, measured, args.markdown)
}

fn measure(lab: &mut Lab) -> Result<Report> {
    let mut report = Report::new(["measured", "with the walls", "without", "goal"]);
    ui::heading("Admission");
    admission(lab, &mut report)?;
    ui::heading("The worker's checks");
    let task = ui::Task::start("Judging what charts/odoo renders");
    let checks = checks()?;
    task.done("Judged");
    report.add("the worker's checks of what charts/odoo renders, once an operation", milliseconds(checks), "", "");
    Ok(report)
}

/// What a change of an environment costs that an author applies. No operator acts on it.
fn admission(lab: &mut Lab, report: &mut Report) -> Result<()> {
    lab.stop_operator()?;
    let kube = lab.kube();
    let fleet = Fleet::new(ENVIRONMENTS);
    kube.apply(&fleet.base())?;
    kube.apply(&fleet.manifest(1))?;
    let namespace = format!("--namespace={NAMESPACE}");
    let role = ["create", "rolebinding", AUTHOR, "--clusterrole=odoofleet-operator", "--user=author", &namespace];
    exec::output(kube.kubectl().args(role))?;
    let author = Api::open_as(&kube, Some(AUTHOR))?;
    wait_until_held(&author, true)?;
    changes(lab, &author, &fleet, 2)?;
    let with = changes(lab, &author, &fleet, 100)?;
    exec::output(kube.kubectl().args(["delete", POLICIES, "--all"]))?;
    wait_until_held(&author, false)?;
    changes(lab, &author, &fleet, 3)?;
    let without = changes(lab, &author, &fleet, 200)?;
    report.add(
        "an author's change of an environment, one after the other: answered after",
        milliseconds(with.0),
        milliseconds(without.0),
        "",
    );
    report.add("CPU time of the control plane for it", milliseconds(with.1), milliseconds(without.1), "");
    Ok(())
}

/// Changes each environment some times. Returns the time and the control plane's CPU time of one change.
fn changes(lab: &Lab, author: &Api, fleet: &Fleet, first: u32) -> Result<(Duration, Duration)> {
    let task = ui::Task::start("Changing environments");
    let (since, cpu) = (Instant::now(), lab.cluster_cpu());
    for round in 0..ROUNDS {
        for environment in fleet.all() {
            author.patch(&path(environment), &json!({ "spec": environment.manifest(first + round)["spec"] }))?;
        }
    }
    let count = ROUNDS * ENVIRONMENTS;
    let measured = (since.elapsed() / count, lab.cluster_cpu().saturating_sub(cpu) / count);
    task.done(format!("Changed {count} times"));
    Ok(measured)
}

fn path(environment: &Environment) -> String {
    format!("{ENVIRONMENTS_PATH}/{}", environment.name())
}

/// Waits until the policies hold, or do not: an author who names a Secret is refused by one.
fn wait_until_held(author: &Api, wanted: bool) -> Result<()> {
    let mut probe: Value = Fleet::new(10).all()[0].manifest(0);
    probe["metadata"]["name"] = json!("probe");
    probe["spec"]["serviceName"] = json!("probe");
    probe["spec"]["masterPasswordSecretRef"] = json!({ "name": "somebodys" });
    let since = Instant::now();
    loop {
        let is_refused = author.create(&format!("{ENVIRONMENTS_PATH}?dryRun=All"), &probe).is_err();
        if is_refused == wanted {
            return Ok(());
        }
        if since.elapsed() > HELD_WITHIN {
            bail!("the policies {} hold after {} s", if wanted { "do not" } else { "still" }, HELD_WITHIN.as_secs());
        }
        sleep(Duration::from_millis(200));
    }
}

/// How long the Helm worker judges what charts/odoo renders, by the benchmark beside its tests.
fn checks() -> Result<Duration> {
    let mut go = tools::compile("test", &repo::path("crates/helm/worker"));
    let said = exec::output(go.args(["-run", "^$", "-bench", "^BenchmarkChecks$", "-benchtime", "2s", "."]))?;
    nanoseconds(&said).with_context(|| format!("go test did not say how long the checks took:\n{said}"))
}

fn nanoseconds(said: &str) -> Option<Duration> {
    let line = said.lines().find(|line| line.starts_with("BenchmarkChecks"))?;
    let (before, _) = line.split_once(" ns/op")?;
    Some(Duration::from_nanos(before.split_whitespace().last()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_benchmark_is_read() {
        let said = "goos: linux\nBenchmarkChecks-2   \t    1964\t    586962 ns/op\t  209458 B/op\nPASS\n";
        assert_eq!(nanoseconds(said), Some(Duration::from_nanos(586_962)));
        assert_eq!(nanoseconds("FAIL"), None);
    }
}
