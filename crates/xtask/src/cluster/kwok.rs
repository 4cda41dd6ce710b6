//! What kwok plays: nodes, the life of pods, and volumes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::ports::Ports;
use crate::layout::Kube;

/// kwok with the stages that lie beside its binary, and ours in `folder`.
pub fn command(kwok: &Path, kubeconfig: &Path, ports: Ports, folder: &Path) -> Result<Command> {
    let binary = kwok.canonicalize().with_context(|| format!("{} is not there", kwok.display()))?;
    let stages = binary.with_file_name("stages");
    let entries = std::fs::read_dir(&stages).with_context(|| format!("cannot read {}", stages.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let check = folder.join("check.yaml");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&check, CHECK))
        .context("cannot write kwok's stages")?;
    files.push(check);
    let mut command = Command::new(kwok);
    command.arg("--kubeconfig").arg(kubeconfig);
    for file in files {
        command.arg("--config").arg(file);
    }
    command.args(["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"]);
    // Without leases the node controller takes the nodes for lost after a while.
    command.args(["--node-lease-duration-seconds", "40"]);
    command.arg("--server-address").arg(format!("127.0.0.1:{}", ports.kwok()));
    Ok(command)
}

/// Applies the nodes and the default `StorageClass`.
pub fn populate(kube: &Kube, nodes: u16) -> Result<()> {
    let mut manifest = STORAGE_CLASS.to_owned();
    for number in 1..=nodes {
        manifest.push_str(&node(number));
    }
    kube.apply(&manifest)
}

/// Played pods never end by themselves; those in which a change is tried do, well, unless somebody says otherwise first.
const CHECK: &str = r#"apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: check-complete
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: '.metadata.labels["odoofleet.dev/check"]', operator: Exists}
      - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
      - {key: .status.phase, operator: In, values: [Running]}
      - {key: '.metadata.annotations["e2e.odoofleet.dev/by-hand"]', operator: DoesNotExist}
  next:
    statusTemplate: |
      phase: Succeeded
"#;

/// kwok's volume stages select the class by this name. They make a `PersistentVolume` for each claim and bind the two; the
/// volume names a folder of the node, and as the node is played, nothing is ever written.
const STORAGE_CLASS: &str = r#"---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: kwok-volume
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kwok.x-k8s.io/volume
reclaimPolicy: Delete
volumeBindingMode: Immediate
allowVolumeExpansion: true
"#;

fn node(number: u16) -> String {
    format!(
        r#"---
apiVersion: v1
kind: Node
metadata:
  name: node-{number}
  annotations: {{kwok.x-k8s.io/node: fake}}
  labels: {{kubernetes.io/os: linux, kubernetes.io/hostname: node-{number}}}
status:
  allocatable: {{cpu: "512", memory: 2Ti, ephemeral-storage: 64Ti, pods: "10000"}}
  capacity: {{cpu: "512", memory: 2Ti, ephemeral-storage: 64Ti, pods: "10000"}}
"#
    )
}
