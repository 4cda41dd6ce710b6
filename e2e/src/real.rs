//! The rig of scenarios on a real node: pods run, a database keeps data, an Odoo answers.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::objects::{customer, odoo_environment, odoo_template};
use crate::world::World;

/// A database is made and modules are installed, on two cores perhaps.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the node has, as `cargo xtask test real` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Real {
    /// The Odoos; the first is the one to use unless something else is said. None were given if there is none.
    pub odoo: Vec<Odoo>,
    /// Values of `charts/odoo` that choose an image with all that Odoo needs, but without Odoo.
    pub runtime: Value,
    /// Values of `charts/odoo` with which all its other images are on the node.
    pub values: Value,
    /// The major version of `PostgreSQL` in these values.
    pub postgres_major: i64,
    /// The node's address; ports of the node are reached there.
    pub node: String,
    /// The tag of the operator's image.
    pub image: String,
    /// Names that pods know beside those of the cluster, in a file like `/etc/hosts`.
    pub hosts: PathBuf,
}

/// One Odoo.
#[derive(Debug, Clone, Deserialize)]
pub struct Odoo {
    /// Such as `18.0`.
    pub series: String,
    /// Values of `charts/odoo` that choose its image.
    pub values: Value,
}

impl Real {
    /// Reads the environment variable.
    pub fn from_env() -> Result<Self> {
        let text = std::env::var("E2E_REAL").context("E2E_REAL is not set: run cargo xtask test real")?;
        serde_json::from_str(&text).context("E2E_REAL cannot be read")
    }

    /// The Odoo to use. A scenario without one says so and ends.
    pub fn odoo_or_skip(&self, scenario: &str) -> Option<&Odoo> {
        let first = self.odoo.first();
        if first.is_none() {
            // Past the capture of the test harness: a skipped scenario must not look like one that passed.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("SKIPPED {scenario}: no Odoo was given\n").as_bytes(),
            );
        }
        first
    }
}

/// One scenario's world on the real node. It is a [`World`] with more patience.
pub struct RealWorld {
    /// The world.
    pub world: World,
    /// What the node has.
    pub real: Real,
}

impl Deref for RealWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl RealWorld {
    /// A world in which nothing runs yet.
    pub async fn bare(name: &str) -> Result<Self> {
        let real = Real::from_env()?;
        let mut world = World::bare(name, &[]).await?;
        world.patience = PATIENCE;
        Ok(Self { world, real })
    }

    /// A world with a running operator, customer `acme`, and template `odoo` of an Odoo.
    pub async fn start(name: &str, odoo: &Odoo) -> Result<Self> {
        let mut world = Self::bare(name).await?;
        world.run_operator().await?;
        world.apply(&customer("acme")).await?;
        world.apply(&world.template("odoo", odoo)).await?;
        Ok(world)
    }

    /// Runs the operator as a pod of its image, under its chart.
    pub async fn run_operator(&mut self) -> Result<()> {
        let values = self.operator_values();
        self.world.run_in_cluster(&values).await
    }

    /// The values of `charts/odoofleet` with which the operator runs on the node.
    pub fn operator_values(&self) -> Vec<String> {
        let Real { image, node, .. } = &self.real;
        let fixed = ["replicas=1", "operator.logFormat=text", "resources.requests.memory=128Mi"];
        let chosen = [format!("image.tag={image}"), format!("operator.nodeAddress={node}")];
        fixed.map(str::to_owned).into_iter().chain(chosen).collect()
    }

    /// A template of `charts/odoo` whose images are on the node.
    pub fn template(&self, name: &str, odoo: &Odoo) -> Value {
        let more = json!({
            "metadata": { "name": name },
            "spec": {
                "odooVersion": odoo.series, "postgresMajor": self.real.postgres_major, "values": self.values(odoo),
            },
        });
        merged(odoo_template(), &more)
    }

    /// Environment `acme-{service}` of template `odoo`.
    pub fn environment(&self, service: &str) -> Value {
        merged(odoo_environment("acme", service), &json!({ "spec": { "size": "S" } }))
    }

    /// Values of `charts/odoo` with which all its images are on the node.
    pub fn values(&self, odoo: &Odoo) -> Value {
        merged(self.real.values.clone(), &odoo.values)
    }

    /// Values of `charts/odoo` with an image that has no Odoo.
    pub fn values_without_odoo(&self) -> Value {
        merged(self.real.values.clone(), &self.real.runtime)
    }

    /// The password that was generated for the administrator of a release.
    pub async fn administrator_password(&self, release: &str) -> Result<String> {
        let secret: Secret = self.api().get(&format!("{release}-odoofleet")).await?;
        let password = secret.data.unwrap_or_default().remove("administrator_password").context("there is none")?;
        Ok(String::from_utf8(password.0)?)
    }

    /// Who a login and password are to a release's Odoo: a user's id, or false.
    pub async fn authenticate(&self, release: &str, login: &str, password: &str) -> Result<Value> {
        self.remote(release, "common", "authenticate", json!(["odoo", login, password, {}])).await
    }

    /// Calls a method of a model of a release's Odoo, as its administrator.
    pub async fn call(&self, release: &str, login: &str, what: (&str, &str), arguments: Value) -> Result<Value> {
        let password = self.administrator_password(release).await?;
        let user = self.authenticate(release, login, &password).await?;
        let arguments = json!(["odoo", user, password, what.0, what.1, arguments]);
        self.remote(release, "object", "execute_kw", arguments).await
    }

    async fn remote(&self, release: &str, service: &str, method: &str, arguments: Value) -> Result<Value> {
        let params = json!({ "service": service, "method": method, "args": arguments });
        let call = json!({ "jsonrpc": "2.0", "method": "call", "params": params });
        let answer = self.post(release, "/jsonrpc", &call).await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => bail!("Odoo refuses {method}: {error}"),
        }
    }

    /// The mails that the catcher of a release holds, as its interface tells them.
    pub async fn mails(&self, release: &str) -> Result<Value> {
        let address = self.address(&format!("{release}-mail"), "http").await?;
        // As people come, by a port that is forwarded.
        let request = self.http.get(format!("http://{address}/api/v1/messages")).header("Host", "localhost");
        Ok(serde_json::from_str(&request.send().await?.error_for_status()?.text().await?)?)
    }

    /// Runs a program in a pod, or in a pod of a Deployment if that is named as `deployment/…`, and returns what it prints.
    pub async fn exec(&self, pod: &str, container: &str, program: &[&str]) -> Result<String> {
        let mut arguments = vec!["exec", "--namespace", &self.namespace, pod, "--container", container, "--"];
        arguments.extend(program);
        self.kubectl(&arguments).await
    }

    /// Asks the database of a release as its superuser. Rows are lines, columns are parted by `|`.
    pub async fn psql(&self, release: &str, query: &str) -> Result<String> {
        self.psql_in(release, "odoo", query).await
    }

    /// The same in another database.
    pub async fn psql_in(&self, release: &str, database: &str, query: &str) -> Result<String> {
        let pod = format!("{release}-postgresql-0");
        let psql = ["psql", "-X", "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1", "-Atc", query];
        Ok(self.exec(&pod, "postgresql", &psql).await?.trim_end().to_owned())
    }

    /// What a container has said.
    pub async fn logs(&self, pod: &str, container: &str) -> Result<String> {
        self.kubectl(&["logs", "--namespace", &self.namespace, pod, "--container", container]).await
    }

    /// Waits until a pod is ready.
    pub async fn wait_pod_ready(&self, name: &str) -> Result<Pod> {
        self.wait(name, "ready", |pod: &Pod| pod_is_ready(pod)).await
    }

    /// The address of a Service's port, as this machine reaches it.
    pub async fn address(&self, service: &str, port: &str) -> Result<String> {
        let service: Service = self.api().get(service).await?;
        let spec = service.spec.context("the Service has no spec")?;
        let ports = spec.ports.unwrap_or_default();
        let Some(port) = ports.iter().find(|known| known.name.as_deref() == Some(port)) else {
            bail!("the Service has no port {port}");
        };
        Ok(format!("{}:{}", spec.cluster_ip.context("the Service has no address")?, port.port))
    }

    /// Asks for a page through the Service of a release.
    pub async fn page(&self, release: &str, path: &str) -> Result<reqwest::Response> {
        let address = self.address(release, "http").await?;
        Ok(self.http.get(format!("http://{address}{path}")).send().await?)
    }

    /// Asks for a websocket through the Service of a release, as a browser does. Returns the status of the answer: 101 is a yes.
    pub async fn websocket(&self, release: &str) -> Result<u16> {
        let address = self.address(release, "http").await?;
        let origin = format!("http://{address}");
        let request = self.http.get(format!("{origin}/websocket")).header("Origin", origin);
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        let request =
            request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==");
        Ok(request.send().await?.status().as_u16())
    }

    /// Posts JSON through the Service of a release.
    pub async fn post(&self, release: &str, path: &str, body: &Value) -> Result<reqwest::Response> {
        let address = self.address(release, "http").await?;
        let request = self.http.post(format!("http://{address}{path}")).header("Content-Type", "application/json");
        Ok(request.body(body.to_string()).send().await?)
    }
}

impl Drop for RealWorld {
    /// The node is small: what a scenario ran makes room for the next one, and its hosts are free again.
    fn drop(&mut self) {
        let kubectl = |arguments: &[&str]| {
            let mut kubectl = Command::new(self.setup.bin.join("kubectl"));
            kubectl.env("KUBECONFIG", &self.setup.kubeconfig).args(arguments).args(["--namespace", &self.namespace]);
            kubectl.stderr(Stdio::null()).output().map(|output| output.stdout).unwrap_or_default()
        };
        // Gone for ever, whatever the operator has still to do: it ends now.
        let names = kubectl(&["get", "odooenvironments", "--output", "name"]);
        for name in String::from_utf8_lossy(&names).lines() {
            kubectl(&["annotate", name, "--overwrite", &format!("odoofleet.dev/allow-deletion={}", short(name))]);
            kubectl(&["delete", name, "--wait=false"]);
            kubectl(&["patch", name, "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#]);
        }
        kubectl(&["delete", "deployments,statefulsets,pods,persistentvolumeclaims", "--all", "--wait=false"]);
    }
}

/// A name without its kind.
fn short(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, name)| name)
}

fn pod_is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// `into`, with what `more` says in its place.
pub fn merged(mut into: Value, more: &Value) -> Value {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        for (key, value) in more {
            let old = into.remove(key).unwrap_or(Value::Null);
            into.insert(key.clone(), merged(old, value));
        }
        return Value::Object(into.clone());
    }
    more.clone()
}
