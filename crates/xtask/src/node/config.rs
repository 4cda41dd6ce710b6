//! The configuration of the node's parts.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::network::Network;

/// Its name in the cluster.
pub const NAME: &str = "node-1";
/// containerd's socket. `/run` is the enclosure's own.
pub const SOCKET: &str = "/run/containerd.sock";

/// Names that pods know beside those of the cluster, written as in `/etc/hosts`; a change counts after a second.
pub const HOSTS: &str = "hosts";

/// What the files need to know.
pub struct Facts<'a> {
    /// The node's addresses.
    pub network: Network,
    /// Folder of the network plugins.
    pub plugins: &'a Path,
    /// runc.
    pub runc: &'a Path,
    /// The cluster's certificate authority.
    pub authority: &'a Path,
    /// kube-proxy's kubeconfig.
    pub proxy: &'a Path,
    /// The name service's kubeconfig.
    pub names: &'a Path,
    /// The image that holds a pod's namespaces.
    pub pause: &'a str,
}

/// Writes them all.
pub fn write(dir: &Path, facts: &Facts<'_>) -> Result<()> {
    let plugins = dir.join("plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("cannot create {}", plugins.display()))?;
    let servers = name_servers();
    let lines: Vec<String> = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (name, content) in [
        ("containerd.toml", containerd(facts, &plugins)),
        ("plugins/10-pods.conflist", pod_network(facts.network)),
        ("kubelet.yaml", kubelet(facts, &dir.join("resolv.conf"))),
        ("kube-proxy.yaml", kube_proxy(facts)),
        ("Corefile", corefile(facts, &servers, &dir.join(HOSTS))),
        (HOSTS, String::new()),
        ("resolv.conf", lines.concat()),
    ] {
        fs::write(dir.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn containerd(facts: &Facts<'_>, plugins: &Path) -> String {
    format!(
        r#"version = 3
root = "/run/images"
state = "/run/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
# Machines on which root may not lower a process's score refuse every pod otherwise.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{bin}"]
conf_dir = "{plugins}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
"#,
        pause = facts.pause,
        bin = facts.plugins.display(),
        plugins = plugins.display(),
        runc = facts.runc.display(),
    )
}

fn pod_network(network: Network) -> String {
    let ranges = format!(r#"[[{{"subnet": "{}"}}]]"#, network.pods());
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {{"type": "host-local", "ranges": {ranges}, "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
"#
    )
}

/// A full disk is for its owner to mend: the node takes no images away and refuses no pods for it.
fn kubelet(facts: &Facts<'_>, resolv: &Path) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: "{authority}"}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://{SOCKET}
address: {node}
healthzBindAddress: 127.0.0.1
resolvConf: {resolv}
clusterDomain: cluster.local
clusterDNS: ["{names}"]
podLogsDir: /run/pods
enforceNodeAllocatable: []
imageGCHighThresholdPercent: 100
evictionHard: {{nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}}
maxPods: 250
"#,
        authority = facts.authority.display(),
        cgroup = facts.network.cgroup(),
        node = facts.network.node(),
        names = facts.network.bridge(),
        resolv = resolv.display(),
    )
}

fn kube_proxy(facts: &Facts<'_>) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: {pods}
hostnameOverride: {NAME}
clientConnection: {{kubeconfig: "{kubeconfig}"}}
conntrack: {{maxPerCore: 0}}
bindAddress: 127.0.0.1
# For this machine alone.
nodePortAddresses: ["{node}/32"]
"#,
        pods = facts.network.pods(),
        kubeconfig = facts.proxy.display(),
        node = facts.network.node(),
    )
}

fn corefile(facts: &Facts<'_>, servers: &[IpAddr], hosts: &Path) -> String {
    let words: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let forward = if words.is_empty() { String::new() } else { format!("  forward . {}\n", words.join(" ")) };
    format!(
        r".:53 {{
  bind {bridge}
  errors
  hosts {hosts} {{
    reload 1s
    ttl 1
    fallthrough
  }}
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
{forward}  cache 5
}}
",
        bridge = facts.network.bridge(),
        hosts = hosts.display(),
        kubeconfig = facts.names.display(),
    )
}

/// This machine's name servers, without those that only it can reach.
fn name_servers() -> Vec<IpAddr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let lists = files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| reachable(&text));
    lists.into_iter().find(|servers| !servers.is_empty()).unwrap_or_default()
}

fn reachable(resolv: &str) -> Vec<IpAddr> {
    let servers = resolv.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    servers.filter(|server| server.is_ipv4() && !server.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_of_this_machine_is_no_name_server_of_a_pod() {
        assert!(reachable("nameserver 127.0.0.53\noptions edns0\nnameserver ::1\n").is_empty());
        assert_eq!(reachable("search x\nnameserver 192.0.2.53\n"), ["192.0.2.53".parse::<IpAddr>().unwrap()]);
    }
}
