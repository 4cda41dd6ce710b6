//! The same work by Flux's helm-controller, four releases at a time.
//!
//! What of Flux lies between a chart and the controller is left out: its source-controller would fetch the chart once, for all.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cli::Cli;
use super::fleet::Fleet;
use super::lab::{self, Lab};
use super::proxy::Proxy;
use crate::exec;

/// The namespace of its releases.
pub const FLUX_NAMESPACE: &str = "bench-flux";
/// Its name among the lab's processes.
pub const DAEMON: &str = "helm-controller";
const CHART: &str = "odoo";
const WATCHED_WITHIN: Duration = Duration::from_mins(1);
const SOURCES: &str = "source.toolkit.fluxcd.io";
/// The kinds that it reads: group, version, kind, plural.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
    (SOURCES, "v1", "HelmChart", "helmcharts"),
    (SOURCES, "v1", "OCIRepository", "ocirepositories"),
    (SOURCES, "v1", "ExternalArtifact", "externalartifacts"),
];

/// A helm-controller that runs, and what it needs. It is ended with this.
pub struct Flux<'a> {
    lab: &'a Lab,
    fleet: &'a Fleet,
    _files: Proxy,
}

impl Drop for Flux<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.lab.stop_part(DAEMON) {
            eprintln!("{DAEMON} did not stop: {error:#}");
        }
    }
}

impl<'a> Flux<'a> {
    /// Makes kinds and namespace, offers the chart, and starts the program.
    pub fn start(lab: &'a Lab, fleet: &'a Fleet, program: &Path) -> Result<Self> {
        let kube = lab.kube();
        for (group, version, kind, plural) in KINDS {
            kube.apply(&definition(group, version, kind, plural).to_string())?;
        }
        let mut wait = kube.kubectl();
        wait.args(["wait", "--for=condition=Established", "--timeout=60s"]);
        exec::output(wait.args(KINDS.map(|(group, _, _, plural)| format!("crd/{plural}.{group}"))))?;
        kube.apply(&lab::namespace(FLUX_NAMESPACE).to_string())?;
        let folder = lab.chart().parent().context("the chart lies in no folder")?;
        let files = Proxy::open(&kube, [OsStr::new("--www-prefix=/files/"), OsStr::new("--www"), folder.as_os_str()])?;
        kube.apply(&source().to_string())?;
        let mut status = kube.kubectl();
        status.args(["patch", "externalartifact", CHART, "--namespace", FLUX_NAMESPACE, "--subresource=status"]);
        exec::output(status.args([
            "--type=merge",
            "--patch",
            &artifact(lab.chart(), &format!("{}/files", files.url))?.to_string(),
        ]))?;
        lab.start_part(DAEMON, &command(lab, program))?;
        let flux = Self { lab, fleet, _files: files };
        lab.wait_for_part(DAEMON, WATCHED_WITHIN, "Starting workers")?;
        Ok(flux)
    }

    /// The same work as the CLI's, from the same files of values.
    pub fn manifest(&self, cli: &Cli) -> Result<String> {
        let release = |name: String| -> Result<Value> {
            let values = std::fs::read_to_string(cli.file(&name)).with_context(|| format!("{name} has no values"))?;
            Ok(release(&name, &serde_json::from_str(&values)?))
        };
        let items = self.fleet.all().iter().map(|environment| release(environment.name()));
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items.collect::<Result<Vec<_>>>()? }).to_string())
    }

    /// Its CPU time so far.
    pub fn cpu(&self) -> Result<Duration> {
        self.lab.cpu_of_part(DAEMON)
    }

    /// The most memory that it ever had.
    pub fn peak_memory(&self) -> Result<u64> {
        self.lab.peak_memory_of_part(DAEMON)
    }
}

/// As many at once as the others, without `OpenAPI` validation, as the CLI, and not held back by its client.
fn command(lab: &Lab, program: &Path) -> Command {
    let mut command = lab.with_kubeconfig(program);
    command.args(["--concurrent=4", "--kube-api-qps=1000", "--kube-api-burst=1000"]);
    command.args(["--metrics-addr=0", "--health-addr=0", "--feature-gates=ExternalArtifact=true"]);
    command
}

fn release(name: &str, values: &Value) -> Value {
    let action = json!({ "disableOpenAPIValidation": true, "disableWait": true });
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": { "name": name, "namespace": FLUX_NAMESPACE },
        "spec": {
            "interval": "24h",
            "timeout": "10m",
            "maxHistory": 2,
            "releaseName": name,
            "chartRef": { "kind": "ExternalArtifact", "name": CHART },
            "install": action,
            "upgrade": action,
            "values": values,
        },
    })
}

fn source() -> Value {
    json!({
        "apiVersion": format!("{SOURCES}/v1"),
        "kind": "ExternalArtifact",
        "metadata": { "name": CHART, "namespace": FLUX_NAMESPACE },
        "spec": {},
    })
}

/// What a source-controller would have written. A revision without a digest leaves the chart's version as it is.
fn artifact(chart: &Path, url: &str) -> Result<Value> {
    let content = std::fs::read(chart).with_context(|| format!("cannot read {}", chart.display()))?;
    let file = chart.file_name().and_then(|name| name.to_str()).ok_or_else(|| anyhow!("the chart has no name"))?;
    let digest = HEXLOWER.encode(&Sha256::digest(&content));
    Ok(json!({ "status": { "artifact": {
        "url": format!("{url}/{file}"),
        "path": file,
        "revision": "1",
        "digest": format!("sha256:{digest}"),
        "size": content.len(),
        "lastUpdateTime": Timestamp::now().to_string(),
    } } }))
}

/// The kind as far as an API server must know it: Flux's own definitions check more, which costs it a little.
fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": any, "status": any } } },
            }],
        },
    })
}
