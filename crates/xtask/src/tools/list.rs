//! Which tools there are.

use anyhow::{Result, bail};

use super::Tool;

/// The store of the control plane.
pub const ETCD: Tool = Tool { name: "etcd", module: "etcd", only: None, files: &[] };
/// API server, controller manager, scheduler and kubectl.
pub const KUBERNETES: Tool = Tool { name: "kubernetes", module: "kubernetes", only: None, files: &[] };
/// The same of the oldest minor version that is supported.
const KUBERNETES_OLDEST: Tool = Tool { name: "kubernetes", module: "kubernetes-1.33", only: None, files: &[] };
/// The minor versions that tests run on. The first is the one of `up` and of the real node.
const MINORS: [(&str, Tool); 2] = [("1.36", KUBERNETES), ("1.33", KUBERNETES_OLDEST)];
/// kubectl alone, for a cluster that exists already.
pub const KUBECTL: Tool =
    Tool { name: "kubectl", module: "kubernetes", only: Some("k8s.io/kubernetes/cmd/kubectl"), files: &[] };
/// The Helm CLI.
pub const HELM: Tool = Tool { name: "helm", module: "helm", only: None, files: &[] };
/// The CLI of Helm 3, of whose releases there are many: tests take them over.
pub const HELM3: Tool = Tool { name: "helm3", module: "helm3", only: None, files: &[] };
/// Plays nodes, pods and volumes; its stages say how.
pub const KWOK: Tool = Tool {
    name: "kwok",
    module: "kwok",
    only: None,
    files: &[
        "kustomize/stage/node/fast/node-initialize.yaml",
        "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
        "kustomize/stage/pod/fast/pod-ready.yaml",
        "kustomize/stage/pod/fast/pod-complete.yaml",
        "kustomize/stage/pod/fast/pod-delete.yaml",
        "kustomize/stage/volume/fast/pvc-provision.yaml",
        "kustomize/stage/volume/fast/pvc-delete.yaml",
        "kustomize/stage/volume/fast/pv-bind.yaml",
        "kustomize/stage/volume/fast/pv-delete.yaml",
    ],
};
/// An OCI registry, for tests.
pub const REGISTRY: Tool = Tool { name: "registry", module: "registry", only: None, files: &[] };

/// Looks for code with known vulnerabilities that Go code calls.
pub const GOVULNCHECK: Tool = Tool { name: "govulncheck", module: "govulncheck", only: None, files: &[] };

/// Checks the workflows.
pub const ACTIONLINT: Tool = Tool { name: "actionlint", module: "actionlint", only: None, files: &[] };

/// What a control plane of ours needs.
pub const CONTROL_PLANE: [Tool; 4] = control_plane(KUBERNETES);

/// The same with one of the pinned Kubernetes.
pub const fn control_plane(kubernetes: Tool) -> [Tool; 4] {
    [ETCD, kubernetes, HELM, KWOK]
}

/// The Kubernetes of a minor version such as `1.33`.
pub fn kubernetes(minor: &str) -> Result<Tool> {
    match MINORS.iter().find(|(name, _)| *name == minor) {
        Some((_, tool)) => Ok(*tool),
        None => bail!("Kubernetes {minor:?} is not pinned in e2e/tools. There are {}", minors().join(" and ")),
    }
}

/// The minor versions that are pinned.
pub fn minors() -> Vec<&'static str> {
    MINORS.iter().map(|(name, _)| *name).collect()
}

/// kubelet and kube-proxy, of the version of the control plane.
pub const NODE: Tool = Tool { name: "node", module: "node", only: None, files: &[] };
/// containerd, its shim and ctr.
pub const CONTAINERD: Tool = Tool { name: "containerd", module: "containerd", only: None, files: &[] };
/// The name service of a cluster.
pub const COREDNS: Tool = Tool { name: "coredns", module: "coredns", only: None, files: &[] };
/// Makes volumes out of folders of the node.
pub const VOLUMES: Tool = Tool { name: "volumes", module: "volumes", only: None, files: &[] };

/// Tells what pods use.
pub const METRICS: Tool = Tool { name: "metrics", module: "metrics", only: None, files: &[] };

/// What a real node needs beside the control plane.
pub const REAL_NODE: [Tool; 5] = [CONTAINERD, NODE, COREDNS, VOLUMES, METRICS];

/// What a control plane with a real node needs.
pub fn real() -> Vec<Tool> {
    [&[ETCD, KUBERNETES, HELM][..], &REAL_NODE].concat()
}

/// All of them; kubectl alone comes of the same recipe as the control plane's.
pub const ALL: [Tool; 12] =
    [ETCD, KUBERNETES, HELM, HELM3, KWOK, REGISTRY, GOVULNCHECK, CONTAINERD, NODE, COREDNS, VOLUMES, METRICS];
