//! The operator of a world as pods of its image, under its chart: where nodes run containers.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::ListParams;
use rustix::process::{Pid, Signal, kill_process};

use super::World;

/// A new pod stands by until the old one has ended its Helm operations.
const READY_WITHIN: &str = "--timeout=360s";

impl World {
    /// Runs the operator as the chart does, with values such as `image.tag=…`, and waits until its pods are ready.
    pub async fn run_in_cluster(&mut self, values: &[String]) -> Result<()> {
        self.in_cluster = true;
        self.upgrade_chart(values).await
    }

    /// Upgrades the operator's chart as an administrator does, and waits until its pods are ready. What was set before holds on.
    pub async fn upgrade_chart(&self, values: &[String]) -> Result<()> {
        let (chart, values) = (self.setup.repo.join("charts/odoofleet"), values.join(","));
        let chart = chart.to_string_lossy();
        let upgrade =
            ["upgrade", &self.release, &chart, "--namespace", &self.system, "--reuse-values", "--set", &values];
        self.helm(&upgrade).await?;
        self.wait_rolled_out().await
    }

    /// Uninstalls the operator's chart. Returns what Helm prints.
    pub async fn uninstall_chart(&self) -> Result<String> {
        self.helm(&["uninstall", &self.release, "--namespace", &self.system, "--wait"]).await
    }

    /// Installs the operator's chart anew, as it was before it was uninstalled. Returns what Helm prints.
    pub async fn install_chart_again(&self, values: &[String]) -> Result<String> {
        let chart = self.setup.repo.join("charts/odoofleet");
        let (chart, watch) = (chart.to_string_lossy(), format!("watchNamespace={}", self.namespace));
        let fixed = "crds.install=false,roles.create=false,policies.create=false";
        let set = [&[watch, fixed.to_owned()][..], values].concat().join(",");
        let said = self.helm(&["install", &self.release, &chart, "--namespace", &self.system, "--set", &set]).await?;
        self.wait_rolled_out().await?;
        Ok(said)
    }

    async fn wait_rolled_out(&self) -> Result<()> {
        let deployment = format!("deployment/{}", self.deployment());
        let status = ["rollout", "status", &deployment, "--namespace", &self.system, READY_WITHIN];
        self.kubectl(&status).await.map(drop).with_context(|| format!("log:\n{}", self.pod_log()))
    }

    /// The operator's Deployment.
    pub fn deployment(&self) -> String {
        let name = format!("{}-odoofleet", self.release);
        name.chars().take(40).collect::<String>().trim_end_matches('-').to_owned()
    }

    /// The operator's pods.
    pub async fn operator_pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.system);
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", self.release));
        Ok(pods.list(&ours).await?.items)
    }

    /// The name of the pod that leads.
    pub async fn leader(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.system);
        let lease = leases.get("odoofleet-operator").await?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
        holder.context("nobody leads")
    }

    /// The process of the operator in a pod: the node runs on this machine's kernel.
    pub fn operator_process(&self, pod: &Pod) -> Result<Pid> {
        let uid = pod.metadata.uid.as_deref().context("the pod has no uid")?;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let number = entry.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
            if let (Some(process), "odoofleet") = (number, read("comm").trim())
                && is_in(&read("cgroup"), uid)
            {
                return Ok(process);
            }
        }
        bail!("no operator runs in pod {:?}", pod.metadata.name)
    }

    /// Ends an operator and its pod without a warning, as a machine that fails does.
    pub async fn lose_operator(&self, pod: &Pod) -> Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        kill_process(self.operator_process(pod)?, Signal::KILL)?;
        let delete =
            ["delete", "pod", name, "--namespace", &self.system, "--grace-period=0", "--force", "--wait=false"];
        self.kubectl(&delete).await.map(drop)
    }

    /// Asks a server of the operator's by its Service.
    pub async fn ask_operator(&self, path: &str) -> Result<String> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.system);
        let address = services.get(&self.deployment()).await?.spec.and_then(|spec| spec.cluster_ip);
        let url = format!("http://{}:8080{path}", address.context("the Service has no address")?);
        Ok(self.http.get(url).send().await?.error_for_status()?.text().await?)
    }

    pub(super) fn pod_log(&self) -> String {
        let deployment = format!("deployment/{}", self.deployment());
        let mut kubectl = Command::new(self.setup.bin.join("kubectl"));
        kubectl.env("KUBECONFIG", &self.setup.kubeconfig).stdin(Stdio::null());
        kubectl.args(["logs", "--namespace", &self.system, &deployment, "--all-pods", "--tail=-1"]);
        kubectl.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    /// Takes the operator away at the end of a scenario.
    pub(super) fn remove_pods(&self) {
        let mut helm = Command::new(self.setup.bin.join("helm"));
        helm.env("KUBECONFIG", &self.setup.kubeconfig).env("HOME", self.folder.path());
        helm.args(["uninstall", &self.release, "--namespace", &self.system, "--ignore-not-found"]);
        let _ = helm.stdin(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// Whether a process belongs to a pod. Drivers of control groups write the uid with hyphens or with underscores.
fn is_in(cgroup: &str, uid: &str) -> bool {
    cgroup.contains(uid) || cgroup.contains(&uid.replace('-', "_"))
}
