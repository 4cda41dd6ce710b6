//! The README's first five minutes, as typed, in a cluster that has nodes.

use std::process::Stdio;

use e2e::handbook::{Block, blocks};
use e2e::{Odoo, Real, RealWorld, merged};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::Result;

/// What stands in the README, of what only a release brings.
const CHART: &str = "oci://ghcr.io/odoofleet/odoofleet/charts/odoofleet";
const FIRST: &str = "https://raw.githubusercontent.com/odoofleet/odoofleet/main/examples/first.yaml";
/// Where a person without a wish of their own has environments.
const NAMESPACE: &str = "odoo";

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_an_odoo_that_answers_as_the_readme_says() -> Result {
    let real = Real::from_env()?;
    let Some(odoo) = real.odoo_or_skip("from_nothing_to_an_odoo_that_answers_as_the_readme_says") else {
        return Ok(());
    };
    let world = RealWorld::bare("readme").await?;
    let page = typed(&world, "README.md")?;
    assert_eq!(page, typed(&world, "README.zh.md")?, "both languages type the same");
    let [install, open, password] = page.as_slice() else { panic!("the README has {} blocks", page.len()) };

    let ended = in_the_end(&world);
    let first = first(&world, odoo)?;
    let chart =
        format!("{} --set {}", world.setup.repo.join("charts/odoofleet").display(), world.operator_values().join(","));
    let install = install.replace(CHART, &chart).replace(FIRST, &first.path().to_string_lossy());
    let output = shell(&world, &install).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{install}\n{said}");

    let mut opened = shell(&world, &format!("exec {open}")).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(opened.stdout.take().expect("is piped")).lines();
    let address = tokio::time::timeout(world.patience, lines.next_line()).await??.expect("it says an address");
    let login = world.http.get(format!("{address}/web/login")).send().await?;
    assert_eq!(login.status(), 200);
    assert!(login.text().await?.contains("name=\"login\""), "the login page");

    let output = shell(&world, password).output().await?;
    let password = String::from_utf8(output.stdout)?;
    let who = json!({ "jsonrpc": "2.0", "method": "call", "params": {
        "service": "common", "method": "authenticate", "args": ["odoo", "admin", password.trim(), {}],
    } });
    let request = world.http.post(format!("{address}/jsonrpc")).header("Content-Type", "application/json");
    let answer: Value = serde_json::from_str(&request.body(who.to_string()).send().await?.text().await?)?;
    assert!(answer["result"].is_number(), "admin may log in with the generated password: {answer}");
    opened.kill().await?;
    drop(ended);
    Ok(())
}

/// The commands of a page that are for a cluster with nodes.
fn typed(world: &RealWorld, page: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(world.setup.repo.join(page))?;
    Ok(blocks(&text).into_iter().filter(|block: &Block| block.real).map(|block| block.script).collect())
}

/// The first example, with the images and the Odoo of this node.
fn first(world: &RealWorld, odoo: &Odoo) -> anyhow::Result<tempfile::NamedTempFile> {
    let text = std::fs::read_to_string(world.setup.repo.join("examples/first.yaml"))?;
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    for object in objects.iter_mut().filter(|object| object["kind"] == "OdooTemplate") {
        let here = json!({ "spec": {
            "odooVersion": odoo.series, "postgresMajor": world.real.postgres_major, "values": world.values(odoo),
        } });
        *object = merged(object.clone(), &here);
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string())?;
    Ok(file)
}

fn shell(world: &RealWorld, script: &str) -> Command {
    let path = format!("{}:{}", world.setup.bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).env("PATH", path).env("LC_ALL", "C");
    command.env("KUBECONFIG", &world.setup.kubeconfig).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The other scenarios' cluster again: no operator in `odoofleet-system`, nothing in `odoo`.
struct InTheEnd {
    tool: Vec<(std::path::PathBuf, Vec<String>)>,
    kubeconfig: std::path::PathBuf,
}

fn in_the_end(world: &RealWorld) -> InTheEnd {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (kubectl, helm) = (world.setup.bin.join("kubectl"), world.setup.bin.join("helm"));
    let chart = world.setup.repo.join("charts/odoofleet");
    let away =
        format!("upgrade odoofleet {} --namespace odoofleet-system --reset-values --set replicas=0", chart.display());
    let tool = vec![
        (
            kubectl.clone(),
            words(&format!(
                "patch oenv acme-test -n {NAMESPACE} --type=merge -p {{\"spec\":{{\"deletionPolicy\":\"Delete\"}}}}"
            )),
        ),
        (kubectl.clone(), words(&format!("delete oenv acme-test -n {NAMESPACE} --timeout=120s"))),
        (kubectl.clone(), words(&format!("delete ocust,otpl --all -n {NAMESPACE} --timeout=60s"))),
        (helm, words(&away)),
    ];
    InTheEnd { tool, kubeconfig: world.setup.kubeconfig.clone() }
}

impl Drop for InTheEnd {
    fn drop(&mut self) {
        for (tool, arguments) in &self.tool {
            let mut command = std::process::Command::new(tool);
            let _ = command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null()).output();
        }
    }
}
