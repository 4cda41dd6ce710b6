//! Our own operator: built, given its own identity, run beside the cluster.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::cluster::ports::{Ports, require_free_for_operator};
use crate::layout::Layout;
use crate::pki;
use crate::process::Daemons;
use crate::{exec, http, node, repo, tools, ui};

/// The namespace of the operator, and the name of its `ServiceAccount` and Helm release.
pub const NAMESPACE: &str = "odoofleet-system";
pub const NAME: &str = "odoofleet";
/// What runs Helm for it.
pub const WORKER: &str = "odoofleet-helm-worker";
/// A Secret without content: its end is the end of the tokens that were made for it.
const TOKEN_HOLDER: &str = "odoofleet-development-token";
/// What people type, beside the operator.
pub const CLI: &str = "kubectl-odoo";
/// The name of its process.
pub const DAEMON: &str = "operator";
/// An operator killed without warning keeps its Lease for a while; the next one waits for it.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Builds operator, worker and `kubectl odoo`, and puts them into `bin`. Says whether operator or worker changed.
pub fn build(bin: &Path, release: bool) -> Result<bool> {
    let task = ui::Task::start("Building the operator and its Helm worker");
    fs::create_dir_all(bin).with_context(|| format!("cannot create {}", bin.display()))?;
    let [built, cli] = cargo_build(release)?;
    let operator = install(&built, bin, NAME)?;
    install(&cli, bin, CLI)?;
    let worker = install(&build_worker()?, bin, WORKER)?;
    task.done("Built the operator and its Helm worker");
    Ok(operator || worker)
}

/// Operator and `kubectl odoo`, built together: most of what they are made of is the same.
fn cargo_build(release: bool) -> Result<[PathBuf; 2]> {
    let mut command = exec::cargo();
    command.current_dir(repo::root());
    command.args(["build", "--quiet", "--package", NAME, "--package", "odoofleet-cli"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if release {
        command.arg("--release");
    }
    let said = exec::output(&mut command)?;
    let built = |name| executable(&said, name).ok_or_else(|| anyhow!("cargo built {name}, but did not say where"));
    Ok([built(NAME)?, built(CLI)?])
}

/// The binary that cargo's messages name.
pub fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut artifacts = messages.filter(|message| message["target"]["name"] == target);
    artifacts.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Builds the worker, and returns where it lies.
pub fn build_worker() -> Result<PathBuf> {
    // Always the same place: Go links again only if something changed.
    let target = repo::path(".dev/build").join(WORKER);
    exec::output(&mut worker_build(&target))?;
    Ok(target)
}

/// Builds the worker as `target`. Nothing of this folder or machine gets into it.
pub fn worker_build(target: &Path) -> Command {
    let mut command = tools::compile("build", &repo::path("crates/helm/worker"));
    command.args(["-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(target).arg(".").env_remove("GOFLAGS");
    command
}

/// Copies a binary unless an equal one is there. Says whether it did.
pub fn install(from: &Path, bin: &Path, name: &str) -> Result<bool> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let target = bin.join(name);
    if fs::read(&target).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    // A binary that runs cannot be written, but its name can be given to another file.
    let new = bin.join(format!(".{name}.new"));
    fs::write(&new, content)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(true)
}

/// Installs the chart: CRDs, roles, policies, `ServiceAccount`. No operator, as it runs here.
pub fn install_without_operator(layout: &Layout) -> Result<()> {
    refuse_other_operator(layout)?;
    install_chart(layout, &["replicas=0"])
}

/// Installs the chart with some values.
pub fn install_chart(layout: &Layout, values: &[&str]) -> Result<()> {
    let kube = layout.kube();
    let mut helm = kube.helm();
    helm.args(["upgrade", NAME]).arg(repo::path("charts/odoofleet")).args(["--install", "--namespace", NAMESPACE]);
    helm.args(["--create-namespace", "--reset-values", "--set", &values.join(",")]);
    exec::output(&mut helm)?;
    let mut wait = kube.kubectl();
    wait.args(["wait", "--for=condition=Established", "--timeout=60s", "-f"]).arg(repo::path("crds"));
    exec::output(&mut wait).map(|_| ())
}

/// On a cluster that somebody uses, an operator may run already. Scaling it away would be a surprise.
fn refuse_other_operator(layout: &Layout) -> Result<()> {
    let mut list = layout.kube().helm();
    list.args(["list", "--namespace", NAMESPACE, "--filter", "^odoofleet$", "--output", "json"]);
    let releases: Vec<Value> = serde_json::from_str(&exec::output(&mut list)?)?;
    if releases.is_empty() {
        return Ok(());
    }
    let mut get = layout.kube().helm();
    get.args(["get", "values", NAME, "--namespace", NAMESPACE, "--output", "json"]);
    let values: Value = serde_json::from_str(&exec::output(&mut get)?)?;
    if values["replicas"] != json!(0) {
        bail!(
            "release {NAME} in namespace {NAMESPACE} runs an operator in this cluster, and `up` would replace it. \
             Uninstall it first, or take another cluster"
        );
    }
    Ok(())
}

/// Takes the credentials of a cluster away: the administrator's kubeconfig, and the operator's, whose token holds no longer if it is
/// `revoked`: which asks the cluster, if it still answers.
pub fn forget_credentials(layout: &Layout, revoked: bool) -> Result<()> {
    let kubeconfig = layout.kubeconfig();
    if revoked && kubeconfig.exists() {
        let mut delete = layout.kube().kubectl();
        delete.args(["delete", "secret", TOKEN_HOLDER, "--namespace", NAMESPACE, "--ignore-not-found"]);
        let _ = delete.arg("--request-timeout=5s").output();
    }
    for file in [kubeconfig, layout.path("operator.kubeconfig"), layout.run().join("operator.token")] {
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// Writes a fresh token of the operator's `ServiceAccount` and a kubeconfig that names it.
pub fn write_identity(layout: &Layout) -> Result<()> {
    let kube = layout.kube();
    let holder =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN_HOLDER, "namespace": NAMESPACE}});
    kube.apply(&holder.to_string())?;
    let token = kube
        .kubectl()
        .args(["create", "token", NAME, "--namespace", NAMESPACE, "--duration", "24h"])
        .args(["--bound-object-kind", "Secret", "--bound-object-name", TOKEN_HOLDER])
        .output()
        .context("kubectl cannot be started")?;
    if !token.status.success() {
        bail!("no token for the operator: {}", String::from_utf8_lossy(&token.stderr).trim());
    }
    let file = layout.run().join("operator.token");
    fs::create_dir_all(layout.run())?;
    pki::secret(&file, String::from_utf8_lossy(&token.stdout).trim())?;
    let admin = exec::output(kube.kubectl().args(["config", "view", "--raw", "--output", "json"]))?;
    let admin: Value = serde_json::from_str(&admin)?;
    pki::secret(&layout.path("operator.kubeconfig"), &kubeconfig(&admin, &file)?)
}

/// The cluster of a kubeconfig with the operator as its only user.
fn kubeconfig(admin: &Value, token: &Path) -> Result<String> {
    let cluster = admin["clusters"]
        .get(0)
        .and_then(|entry| entry.get("cluster"))
        .ok_or_else(|| anyhow!("the kubeconfig names no cluster"))?;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": NAME, "user": {"tokenFile": token}}],
        "contexts": [{"name": NAME, "context": {"cluster": "cluster", "user": NAME}}],
        "current-context": NAME,
    });
    // JSON is YAML, too.
    Ok(format!("{config:#}\n"))
}

/// Starts the operator under its own identity, anew if `changed`.
pub fn start(layout: &Layout, daemons: &Daemons, ports: Ports, changed: bool) -> Result<()> {
    start_with(layout, daemons, ports, changed, &[])
}

/// Starts the operator with further arguments.
pub fn start_with(layout: &Layout, daemons: &Daemons, ports: Ports, changed: bool, arguments: &[String]) -> Result<()> {
    if changed {
        daemons.stop(DAEMON)?;
    }
    if !daemons.alive(DAEMON) {
        require_free_for_operator(ports)?;
        fs::create_dir_all(layout.path("cache"))?;
        daemons.ensure(DAEMON, command(layout, ports, node::address(daemons)).args(arguments))?;
    }
    daemons.wait(DAEMON, READY_WITHIN, || is_ready(ports.operator()))
}

fn command(layout: &Layout, ports: Ports, node: Ipv4Addr) -> Command {
    let mut command = Command::new(layout.bin().join(NAME));
    command.env("KUBECONFIG", layout.path("operator.kubeconfig")).env_remove("RUST_LOG");
    command.arg("run").arg("--charts-dir").arg(layout.path("charts"));
    command.arg("--cache-dir").arg(layout.path("cache"));
    command.arg("--helm-worker").arg(layout.bin().join(WORKER));
    command.args(["--listen", &format!("127.0.0.1:{}", ports.operator()), "--identity", &identity()]);
    command.args(["--node-address", &node.to_string(), "--log-format", "text"]);
    command.stdin(Stdio::null());
    command
}

/// Another name at each start and on each machine: two holders of one Lease must never look alike.
fn identity() -> String {
    let uname = rustix::system::uname();
    format!("{}-{}", uname.nodename().to_string_lossy(), std::process::id())
}

/// One that stands by is ready, too, and does nothing: its answer begins in another way.
fn is_ready(port: u16) -> bool {
    let within = Duration::from_secs(2);
    let answer = http::get(&format!("http://127.0.0.1:{port}/ready"), within, within);
    answer.is_ok_and(|answer| answer.status == 200 && answer.body.starts_with("ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_binary() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"serde\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"odoofleet\"},\"executable\":\"/t/odoofleet\"}\n";
        assert_eq!(executable(messages, "odoofleet"), Some(PathBuf::from("/t/odoofleet")));
        assert_eq!(executable(messages, "serde"), None);
    }

    #[test]
    fn the_operator_gets_no_credentials_of_the_administrator() {
        let admin = json!({
            "clusters": [{"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": "QQ=="}}],
            "users": [{"name": "admin", "user": {"token": "hidden", "client-key-data": "hidden"}}],
        });
        let text = kubeconfig(&admin, Path::new("/run/operator.token")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://x");
        assert_eq!(config["users"], json!([{"name": "odoofleet", "user": {"tokenFile": "/run/operator.token"}}]));
    }

    #[test]
    fn an_equal_binary_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::write(&source, "one").unwrap();
        assert!(install(&source, dir.path(), "tool").unwrap());
        assert!(!install(&source, dir.path(), "tool").unwrap());
        fs::write(&source, "two").unwrap();
        assert!(install(&source, dir.path(), "tool").unwrap());
        assert_eq!(fs::metadata(dir.path().join("tool")).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
