//! `bench real`: one environment on a real node, from `kubectl apply` to the first page, and what it takes at rest.

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use super::finish;
use super::fleet::NAMESPACE;
use super::lab::Lab;
use super::report::Report;
use crate::images::odoo::{self, Source};
use crate::node::{Node, needs};
use crate::{exec, images, tools, ui};

mod containers;
mod memory;
mod page;
mod pods;
mod round;
mod samples;

use containers::Containers;
use samples::Samples;

const CUSTOMER: &str = "bench";
const TEMPLATE: &str = "bench";
/// As `up` and the operator itself have it.
const WORKERS: u16 = 4;

/// Measure one environment on a real node: from `kubectl apply` to the first page, and its memory.
///
/// Needs Linux and root, and an Odoo: `ODOO_SRC=<folder with odoo-bin>` or `ODOO_IMAGE=<image>`. Nothing passes or fails.
#[derive(clap::Args)]
pub struct Args {
    /// How often each is measured, every time with an environment of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    runs: u8,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(refusal) = needs::refusal() {
        bail!("{refusal}");
    }
    let Some(odoo) = Source::all()?.into_iter().next() else {
        bail!("`bench real` measures an Odoo, and none was given. {}", odoo::HOW);
    };
    // The images of the tests' node are these; two clusters cannot share them.
    let store = tools::cache()?.join("nodes/test");
    let _alone = tools::lock(&store.with_extension("lock"), "uses the tests' real node")?;
    let node = Node { odoo: vec![odoo.clone()], ..Node::provide(store)? };
    let lab = Lab::start(WORKERS, Some(node))?;
    let measured = measure(&lab, &odoo, args.runs);
    finish(lab, measured, args.markdown)
}

fn measure(lab: &Lab, odoo: &Source, runs: u8) -> Result<Report> {
    let mut containers = Containers::follow(lab)?;
    bring_image(lab, odoo)?;
    lab.kube().apply(&base(odoo)?)?;
    for object in [format!("odootemplate/{TEMPLATE}"), format!("odoocustomer/{CUSTOMER}")] {
        let mut wait = lab.kube().kubectl();
        wait.args(["wait", "--for=condition=Ready", &object, "--namespace", NAMESPACE, "--timeout=120s"]);
        exec::output(&mut wait)?;
    }
    let mut samples = Samples::default();
    for number in 1..=runs {
        ui::heading(&format!("Run {number} of {runs}"));
        round::measure(lab, &mut containers, number, &mut samples)?;
    }
    Ok(samples.report(&format!("measured, Odoo {} of size S", odoo.series), runs))
}

/// Lets a pod use Odoo's image, so that no run waits for it to be pulled.
fn bring_image(lab: &Lab, odoo: &Source) -> Result<()> {
    let task = ui::Task::start("A pod uses Odoo's image for the first time");
    let kubectl = |arguments: &[&str]| exec::output(lab.kube().kubectl().args(arguments));
    let image = format!("--image={}", reference(&odoo.values())?);
    kubectl(&["run", "image", "--namespace=default", &image, "--restart=Never", "--command", "--", "true"])?;
    kubectl(&[
        "wait",
        "--namespace=default",
        "--for=jsonpath={.status.phase}=Succeeded",
        "pod/image",
        "--timeout=20m",
    ])?;
    kubectl(&["delete", "--namespace=default", "pod/image"])?;
    task.done("Odoo's image is on the node");
    Ok(())
}

/// The image that values of the chart choose.
fn reference(values: &Value) -> Result<String> {
    let word = |key: &str| values["image"][key].as_str().filter(|word| !word.is_empty());
    let repository = word("repository").ok_or_else(|| anyhow!("the values name no image"))?;
    let part = |sign: char, key: &str| word(key).map(|word| format!("{sign}{word}")).unwrap_or_default();
    Ok(format!("{repository}{}{}", part(':', "tag"), part('@', "digest")))
}

/// What is there before the environment: customer and template, whose images are on the node.
fn base(odoo: &Source) -> Result<String> {
    let mut values = images::values()?;
    if let (Value::Object(values), Value::Object(chosen)) = (&mut values, odoo.values()) {
        values.extend(chosen);
    }
    let customer = json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooCustomer",
        "metadata": {"name": CUSTOMER, "namespace": NAMESPACE},
        "spec": {"lifecycle": "Active"},
    });
    let template = json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooTemplate",
        "metadata": {"name": TEMPLATE, "namespace": NAMESPACE},
        "spec": {
            "version": "1",
            "odooVersion": odoo.series,
            "postgresMajor": images::POSTGRES_MAJOR,
            "chart": {"path": "odoo"},
            "values": values,
            "stop": {"workloads": [
                {"kind": "Deployment", "name": "{release}-web", "role": "Application", "replicasPath": "replicaCount"},
                {"kind": "StatefulSet", "name": "{release}-postgresql", "role": "Database"},
            ]},
        },
    });
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [customer, template]}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_with_what_is_said_of_it() {
        let of = |tag: &str, digest: &str| {
            reference(&json!({"image": {"repository": "r/odoo", "tag": tag, "digest": digest}})).unwrap()
        };
        assert_eq!(of("19.0", ""), "r/odoo:19.0");
        assert_eq!(of("", "sha256:0"), "r/odoo@sha256:0");
        assert!(reference(&json!({})).is_err());
    }
}
