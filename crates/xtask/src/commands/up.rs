//! `up`: a Kubernetes with the operator and an example fleet.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quickstart;
use crate::cluster::ControlPlane;
use crate::cluster::ports::Ports;
use crate::images::{Image, odoo};
use crate::layout::Layout;
use crate::node::{self, Node, needs};
use crate::pki;
use crate::process::Daemons;
use crate::{chart, environments, exec, in_cluster, operator, repo, tools, ui};

const DEFAULT_PORT: u16 = 6443;
/// The namespace of the environments.
const NAMESPACE: &str = "odoo";
const RUNNING_WITHIN: Duration = Duration::from_mins(5);
/// Databases are made, and the machine may have two cores.
const REALLY_RUNNING_WITHIN: Duration = Duration::from_mins(20);

/// Start a Kubernetes on this machine with the operator and an example fleet.
///
/// A second `up` keeps what runs and renews the operator if its code changed. After `down`, `up` begins with an empty
/// cluster.
#[derive(clap::Args)]
pub struct Args {
    /// Use the cluster of this context of your kubeconfig instead of starting one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Do not ask before CRDs, roles and policies are installed into the cluster of `--context`.
    #[arg(long, requires = "context")]
    yes: bool,
    /// Run pods for real: containers, a database, an Odoo. Needs Linux and root; an Odoo is given with `ODOO_SRC=<folder
    /// with odoo-bin>` or `ODOO_IMAGE=<image>`.
    #[arg(long, conflicts_with = "context")]
    real: bool,
    /// Port of the API server; the others are counted from it [default: 6443].
    #[arg(long)]
    port: Option<u16>,
    /// Build the operator with optimisations.
    #[arg(long)]
    release: bool,
}

/// What a running `up` was started with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The context of an existing cluster, if it is not ours.
    pub context: Option<String>,
    /// The port that the others are counted from.
    pub port: u16,
    /// Whether its pods are real.
    #[serde(default)]
    pub real: bool,
}

impl Session {
    /// The session in `layout`, if any process of it still runs.
    pub fn running(layout: &Layout) -> Option<Self> {
        let running = Daemons::detached(&layout.run(), &layout.logs()).running();
        Self::saved(layout).filter(|_| !running.is_empty())
    }

    /// The last session in `layout` that no `down` has ended, whether anything of it still runs or not.
    pub fn saved(layout: &Layout) -> Option<Self> {
        let text = fs::read_to_string(layout.run().join("session.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// What these arguments ask for, or why it cannot be had beside what runs.
    fn wanted(args: &Args, running: Option<Self>) -> Result<Self> {
        let wanted = Self {
            context: args.context.clone(),
            port: args.port.or(running.as_ref().map(|session| session.port)).unwrap_or(DEFAULT_PORT),
            real: args.real || running.as_ref().is_some_and(|session| session.real),
        };
        match running {
            Some(running) if running != wanted => {
                let nodes = if running.real { "a real node" } else { "played nodes" };
                let what = running.context.map_or_else(
                    || format!("a cluster with {nodes} on port {}", running.port),
                    |context| format!("the operator on context {context}, port {}", running.port),
                );
                bail!("{what} runs already. Stop it first: cargo xtask down")
            }
            _ => Ok(wanted),
        }
    }

    fn save(&self, layout: &Layout) -> Result<()> {
        fs::create_dir_all(layout.run())?;
        fs::write(layout.run().join("session.json"), serde_json::to_string(self)?).context("cannot write .dev/run")
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let layout = Layout::below(repo::dev());
    let _alone = tools::lock(&layout.path("lock"), "starts or stops the cluster")?;
    let running = Session::running(&layout);
    let first = running.is_none();
    let session = Session::wanted(args, running)?;
    let ports = Ports::from(session.port)?;
    let daemons = Daemons::detached(&layout.run(), &layout.logs());
    let owned = session.context.is_none();
    if first && owned {
        // Told now, not after minutes of building.
        ports.require_free()?;
    }

    let node = if session.real { Some(provide_node()?) } else { None };
    tools::install(&wanted_tools(&session), &layout.bin())?;
    if let Some(context) = &session.context {
        use_cluster(&layout, context, &session, args.yes || !first)?;
    }
    let changed = operator::build(&layout.bin(), args.release)?;
    let archive = chart::package(&repo::path("charts/odoo"), &layout.path("charts"))?;
    let image = session.real.then(|| in_cluster::image(&layout)).transpose()?;
    let odoo = node.as_ref().and_then(|node| node.odoo.first().cloned());
    if owned {
        start_cluster(&layout, ports, &daemons, &session, node)?;
    }
    match image {
        Some(image) => run_pod(&layout, &daemons, &image)?,
        None => start_operator(&layout, &daemons, ports, changed)?,
    }
    match (session.real, odoo) {
        (true, None) => {
            println!("\nA real node runs, but no Odoo was given, so there is no environment. {}.", odoo::HOW);
            println!("Then run cargo xtask up --real again.");
        }
        (_, odoo) => run_examples(&layout, odoo.as_ref(), &archive)?,
    }
    finish(&layout, &session)
}

fn provide_node() -> Result<Node> {
    if let Some(refusal) = needs::refusal() {
        bail!("{refusal}");
    }
    let clone = repo::root().display().to_string();
    Node::provide(tools::cache()?.join("nodes").join(tools::key(&[&clone])))
}

fn wanted_tools(session: &Session) -> Vec<tools::Tool> {
    match (&session.context, session.real) {
        (Some(_), _) => vec![tools::KUBECTL, tools::HELM],
        (None, false) => tools::CONTROL_PLANE.to_vec(),
        (None, true) => tools::real(),
    }
}

fn start_cluster(
    layout: &Layout,
    ports: Ports,
    daemons: &Daemons,
    session: &Session,
    node: Option<Node>,
) -> Result<()> {
    let cluster = ControlPlane::new(layout.clone(), ports, daemons.clone()).with_node(node);
    let task = ui::Task::start("Starting Kubernetes");
    if cluster.runs() {
        task.note("it runs already");
    } else {
        // An operator that outlived its cluster knows the old one's authority alone.
        daemons.stop(operator::DAEMON)?;
        session.save(layout)?;
    }
    let address = cluster.start()?;
    task.done(format!("Kubernetes runs on https://{address}:{}", ports.api));
    Ok(())
}

/// Takes one context out of the user's kubeconfig, so that nothing later can reach another cluster.
fn use_cluster(layout: &Layout, context: &str, session: &Session, agreed: bool) -> Result<()> {
    let mut view = Command::new(layout.bin().join("kubectl"));
    view.args(["config", "view", "--minify", "--flatten", "--raw", "--context", context]);
    let config = view.output().context("kubectl cannot be started")?;
    if !config.status.success() {
        bail!("context {context} cannot be used: {}", String::from_utf8_lossy(&config.stderr).trim());
    }
    pki::secret(&layout.kubeconfig(), &String::from_utf8_lossy(&config.stdout))?;
    let version = exec::output(layout.kube().kubectl().args(["get", "--raw", "/version", "--request-timeout=10s"]))
        .with_context(|| format!("the cluster of context {context} does not answer"))?;
    let version: Value = serde_json::from_str(&version)?;
    let version = version["gitVersion"].as_str().unwrap_or("unknown version");
    if !agreed {
        let answer = is_agreed(layout, context, version);
        if !matches!(answer, Ok(true)) {
            operator::forget_credentials(layout, false)?;
            answer?;
            bail!("nothing was installed into the cluster of context {context}");
        }
    }
    session.save(layout)?;
    println!("✓ Using context {context} ({version})");
    Ok(())
}

/// Asks whether the cluster is the one that is meant: what is installed there concerns all who use it.
fn is_agreed(layout: &Layout, context: &str, version: &str) -> Result<bool> {
    let server = ["config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}"];
    let server = exec::output(layout.kube().kubectl().args(server))?;
    println!(
        "The cluster of context {context} ({version}) at {server} gets OdooFleet's CRDs, roles for people, admission policies, and"
    );
    println!("namespaces {} and {NAMESPACE}, and an example fleet in the latter.", operator::NAMESPACE);
    let input = io::stdin();
    if !input.is_terminal() {
        bail!("somebody must agree: type the command in a terminal, or add --yes");
    }
    print!("Go on? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The operator as everybody runs it.
fn run_pod(layout: &Layout, daemons: &Daemons, image: &Image) -> Result<()> {
    node::load(layout, daemons, image)?;
    let task = ui::Task::start("Installing the chart, with the operator as a pod");
    in_cluster::install(layout, image, node::address(daemons))?;
    task.done(format!("The operator runs as a pod, its log: {}", in_cluster::log_command()));
    Ok(())
}

fn start_operator(layout: &Layout, daemons: &Daemons, ports: Ports, changed: bool) -> Result<()> {
    let task = ui::Task::start("Installing the CRDs, roles and policies");
    operator::install_without_operator(layout)?;
    task.done("Installed the CRDs, roles and policies");
    let task = ui::Task::start("Starting the operator");
    operator::write_identity(layout)?;
    operator::start(layout, daemons, ports, changed)?;
    task.done(format!("The operator runs, its log is {}", shown(&daemons.log(operator::DAEMON))));
    Ok(())
}

fn run_examples(layout: &Layout, odoo: Option<&odoo::Source>, archive: &Path) -> Result<()> {
    let kube = layout.kube();
    let mut objects = quickstart::objects(odoo)?;
    let existing = ["get", "odootemplates", "--namespace", NAMESPACE, "--output", "json"];
    let existing: Value = serde_json::from_str(&exec::output(kube.kubectl().args(existing))?)?;
    let existing = existing["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let archive = fs::read(archive).with_context(|| format!("cannot read {:?}", archive.display()))?;
    for (old, new) in quickstart::follow_chart(&mut objects, existing, &archive) {
        println!("✓ charts/odoo is not what version {old} was made with: the template gets version {new}");
    }
    let mut apply = kube.kubectl();
    apply.args(["apply", "--namespace", NAMESPACE, "--output", "name", "-f", "-"]);
    let names = environment_names(&exec::feed(&mut apply, &quickstart::list(&objects))?);
    println!("✓ Applied examples/quickstart, waiting for {} environments", names.len());
    let mut watch = kube.kubectl();
    watch.args(["get", "odooenvironments", "--namespace", NAMESPACE, "--output", "json", "--watch"]);
    environments::wait(&mut watch, &names, if odoo.is_some() { REALLY_RUNNING_WITHIN } else { RUNNING_WITHIN })
}

/// The environments among the names that `kubectl apply` printed.
fn environment_names(applied: &str) -> Vec<String> {
    let names = applied.lines().filter_map(|line| line.strip_prefix("odooenvironment.odoofleet.dev/"));
    names.map(str::to_owned).collect()
}

fn finish(layout: &Layout, session: &Session) -> Result<()> {
    let kubectl = |arguments: &[&str]| exec::output(layout.kube().kubectl().args(arguments));
    let table = kubectl(&["get", "odooenvironments", "--namespace", NAMESPACE])?;
    println!("\n{table}");
    let first = table.lines().nth(1).and_then(|line| line.split_whitespace().next());
    match (session.real, first) {
        (true, Some(name)) => {
            let path = "jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}/web/login";
            let url = kubectl(&["get", "service", name, "--namespace", NAMESPACE, "--output", path])?;
            println!("This machine reaches the Services: {url} is the login page of {name}.");
        }
        (false, _) if session.context.is_none() => {
            println!("Pods are played by kwok: they start and stop, but no Odoo answers in them.");
        }
        _ => {}
    }
    println!("{}", next(layout, first.unwrap_or("NAME")));
    Ok(())
}

fn next(layout: &Layout, first: &str) -> String {
    format!(
        "What to try next:\n\n  \
         export KUBECONFIG={} PATH={}:$PATH\n  \
         kubectl get odoo -n {NAMESPACE}\n  \
         kubectl scale odooenvironment {first} -n {NAMESPACE} --replicas=0   # stop it; --replicas=1 starts it\n  \
         kubectl explain odooenvironment.spec\n  \
         helm list -n {NAMESPACE}\n  \
         cargo xtask down",
        layout.kubeconfig().display(),
        layout.bin().display(),
    )
}

/// A path as seen from the repository.
fn shown(path: &Path) -> String {
    path.strip_prefix(repo::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(context: Option<&str>, port: Option<u16>) -> Args {
        Args { context: context.map(str::to_owned), port, release: false, real: false, yes: false }
    }

    fn session(context: Option<&str>, port: u16) -> Session {
        Session { context: context.map(str::to_owned), port, real: false }
    }

    #[test]
    fn a_running_cluster_is_kept() {
        assert_eq!(Session::wanted(&args(None, None), None).unwrap(), session(None, DEFAULT_PORT));
        assert_eq!(Session::wanted(&args(None, None), Some(session(None, 7000))).unwrap(), session(None, 7000));
        assert_eq!(Session::wanted(&args(None, Some(7000)), Some(session(None, 7000))).unwrap(), session(None, 7000));
    }

    #[test]
    fn another_one_is_refused_with_the_remedy() {
        let error = Session::wanted(&args(None, Some(8000)), Some(session(None, 7000))).unwrap_err().to_string();
        assert_eq!(error, "a cluster with played nodes on port 7000 runs already. Stop it first: cargo xtask down");
        let error = Session::wanted(&args(None, None), Some(session(Some("kind"), 6443))).unwrap_err().to_string();
        assert!(error.contains("context kind"), "{error}");
    }

    #[test]
    fn only_environments_are_waited_for() {
        let applied = "namespace/odoo\nodoocustomer.odoofleet.dev/acme\nodooenvironment.odoofleet.dev/acme-prod\n";
        assert_eq!(environment_names(applied), ["acme-prod"]);
    }
}
