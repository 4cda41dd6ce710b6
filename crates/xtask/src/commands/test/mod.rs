//! `test`: all checks, one after the other, until the first that fails.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use console::style;

use crate::{tools, ui};

mod bench;
mod clean;
mod first_run;
mod steps;
mod supply;
mod workflows;

use bench::Bench;

/// Run the checks: everything, or one part.
///
/// Stops at the first that fails. The last line counts the checks.
#[derive(clap::Args)]
pub struct Args {
    /// Which part.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Of `e2e` and `real`, only scenarios with this in their names.
    #[arg(value_name = "NAME")]
    only: Option<String>,
    /// The minor version of the cluster's Kubernetes: one that e2e/tools pins. Default: the newest.
    #[arg(long, value_name = "MINOR", env = "ODOOFLEET_KUBERNETES")]
    kubernetes: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, lints, unit tests, dependencies, generated files, what we take from others: no cluster.
    Unit,
    /// The charts, against a cluster of its own.
    Chart,
    /// The operator end to end, in a cluster of its own.
    E2e,
    /// Pods that run: a database, an Odoo. Needs Linux and root; an Odoo is given with `ODOO_SRC` or `ODOO_IMAGE`.
    Real,
    /// Every tool and image, each built with caches in which nothing is: takes an hour and up to 6 GB.
    Clean,
    /// All of them but `real` and `clean`, which ask more of the machine.
    All,
}

/// One check.
struct Step {
    title: &'static str,
    run: fn(&mut Bench) -> Result<()>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let mut bench = Bench::new(args.part != Part::Unit, args.only.clone(), kubernetes(args)?);
    let mut passed = 0;
    let mut skipped = Vec::new();
    for step in steps_of(args.part) {
        ui::heading(step.title);
        let since = Instant::now();
        let outcome = (step.run)(&mut bench);
        let took = ui::elapsed(since.elapsed());
        if let Err(error) = outcome {
            println!("\n{} {} failed after {took}: {error:#}", style("✗").red(), step.title);
            bench.fail();
            println!("xtask: {passed} passed, 1 failed");
            return Err(ui::Reported.into());
        }
        if let Some((what, why)) = bench.take_skipped() {
            println!("{} {}: SKIPPED {what}: {why}", style("!").yellow(), step.title);
            skipped.push(what);
        } else {
            println!("{} {} {}", style("✓").green(), step.title, style(took).dim());
            passed += 1;
        }
    }
    bench.pass()?;
    // A line of their own: the last one is the same for whoever counts.
    if !skipped.is_empty() {
        println!("\n{} SKIPPED: {}", style("!").yellow(), skipped.join(", "));
    }
    println!("\nxtask: {passed} passed, 0 failed");
    Ok(())
}

fn kubernetes(args: &Args) -> Result<tools::Tool> {
    let Some(minor) = args.kubernetes.as_deref().filter(|minor| !minor.is_empty()) else {
        return Ok(tools::KUBERNETES);
    };
    if args.part == Part::Real && minor != tools::minors()[0] {
        bail!("the real node runs Kubernetes {} alone; leave out --kubernetes", tools::minors()[0]);
    }
    tools::kubernetes(minor)
}

fn steps_of(part: Part) -> Vec<Step> {
    let all = [
        (Part::Unit, Step { title: "Rust: format", run: steps::rust_format }),
        (Part::Unit, Step { title: "Rust: lints", run: steps::rust_lints }),
        (Part::Unit, Step { title: "Rust: unit tests", run: steps::rust_tests }),
        (Part::Unit, Step { title: "Go: format and vet", run: steps::go_lints }),
        (Part::Unit, Step { title: "Go: tests of the Helm worker", run: steps::go_tests }),
        (Part::Unit, Step { title: "Go: config/ as Flux, Argo CD and Prometheus see it", run: steps::gitops }),
        (Part::Unit, Step { title: "Odoo module: tests of the licence codes", run: steps::addon_tests }),
        (Part::Unit, Step { title: "Dependencies point one way", run: steps::arrows }),
        (Part::Unit, Step { title: "Generated files", run: steps::generated }),
        (Part::Unit, Step { title: "Workflows: actionlint", run: workflows::check }),
        (Part::Unit, Step { title: "Kinds take what the last release stored", run: steps::compatible_kinds }),
        (Part::Unit, Step { title: "Supply chain: Rust", run: supply::rust }),
        (Part::Unit, Step { title: "Supply chain: Go", run: supply::go }),
        (Part::Unit, Step { title: "Supply chain: npm", run: supply::npm }),
        (Part::Unit, Step { title: "Supply chain: bill of materials", run: supply::bills }),
        (Part::Chart, Step { title: "Charts: lint", run: steps::chart_lint }),
        (Part::Chart, Step { title: "Charts: config/", run: steps::config }),
        (Part::Chart, Step { title: "Charts: tests", run: steps::chart_tests }),
        (Part::E2e, Step { title: "The first run", run: first_run::up_again_and_again }),
        (Part::E2e, Step { title: "End to end", run: steps::end_to_end }),
        (Part::Real, Step { title: "On a real node", run: steps::real }),
        (Part::Clean, Step { title: "Every recipe, from nothing", run: clean::every_recipe }),
    ];
    let wanted = |of: Part| of == part || part == Part::All && !matches!(of, Part::Real | Part::Clean);
    all.into_iter().filter(|(of, _)| wanted(*of)).map(|(_, step)| step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_the_sum_of_the_parts() {
        let count = |part| steps_of(part).len();
        assert_eq!(count(Part::All), count(Part::Unit) + count(Part::Chart) + count(Part::E2e));
        assert!(Part::value_variants().iter().all(|part| count(*part) > 0));
    }
}
