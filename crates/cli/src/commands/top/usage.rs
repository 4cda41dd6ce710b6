//! What pods take, and what they were given: sums by environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::template::WorkloadKind;
use serde::{Deserialize, Serialize};

use crate::commands::exec::belongs_to;
use crate::commands::pods::{self, Part};

/// The answer of the metrics API.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodMetricsList {
    /// One for each pod that was measured.
    #[serde(default)]
    pub items: Vec<PodMetrics>,
}

/// What a pod takes.
#[derive(Debug, Clone, Deserialize)]
pub struct PodMetrics {
    metadata: Named,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ContainerMetrics {
    #[serde(default)]
    usage: BTreeMap<String, Quantity>,
}

/// An amount of CPU in thousandths of a core, and of memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.cpu_millis = self.cpu_millis.saturating_add(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
    }

    fn of(quantities: &BTreeMap<String, Quantity>) -> Self {
        let amount = |name: &str| quantities.get(name).and_then(|quantity| number(&quantity.0)).unwrap_or_default();
        Self { cpu_millis: rounded(amount("cpu") * 1000.0), memory_bytes: rounded(amount("memory")) }
    }
}

/// What is measured of something, and what it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Namespace.
    pub namespace: String,
    /// Name of the environment, or of the pod.
    pub name: String,
    /// What it takes; none before it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Amount>,
    /// What of it the database takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Amount>,
    /// The sum of requests.
    pub requests: Amount,
    /// The sum of limits. A container without one counts nothing.
    pub limits: Amount,
    /// How many pods it has.
    pub pods: usize,
}

impl Usage {
    fn add(&mut self, pod: &Pod, part: Part, measured: Option<Amount>) {
        let (requests, limits) = given(pod);
        self.requests.add(requests);
        self.limits.add(limits);
        self.pods += 1;
        if let Some(measured) = measured {
            self.used.get_or_insert_default().add(measured);
            if part == Part::Database {
                self.database.get_or_insert_default().add(measured);
            }
        }
    }
}

/// Requests and limits of what runs at the same time in a pod.
fn given(pod: &Pod) -> (Amount, Amount) {
    let (mut requests, mut limits) = (Amount::default(), Amount::default());
    let spec = pod.spec.clone().unwrap_or_default();
    let sidecars =
        spec.init_containers.into_iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    for resources in sidecars.chain(spec.containers).filter_map(|container| container.resources) {
        requests.add(Amount::of(&resources.requests.unwrap_or_default()));
        limits.add(Amount::of(&resources.limits.unwrap_or_default()));
    }
    (requests, limits)
}

/// What was measured, by namespace and pod.
pub type Measured = BTreeMap<(String, String), Amount>;

/// What was measured of each pod.
pub fn measured(list: PodMetricsList) -> Measured {
    let sum = |pod: &PodMetrics| {
        let mut sum = Amount::default();
        pod.containers.iter().for_each(|container| sum.add(Amount::of(&container.usage)));
        sum
    };
    list.items.into_iter().map(|pod| ((pod.metadata.namespace.clone(), pod.metadata.name.clone()), sum(&pod))).collect()
}

/// Each environment, with the sum of its pods. One without pods has none.
pub fn by_environment(environments: &[OdooEnvironment], pods: &[Pod], measured: &Measured) -> Vec<Usage> {
    let mut owners: BTreeMap<(String, WorkloadName), &OdooEnvironment> = BTreeMap::new();
    for environment in environments {
        let namespace = environment.namespace().unwrap_or_default();
        for workload in environment.status.iter().flat_map(|status| &status.workloads) {
            owners.insert((namespace.clone(), (is_set(workload.kind), workload.name.clone())), environment);
        }
    }
    let key = |environment: &OdooEnvironment| (environment.namespace().unwrap_or_default(), environment.name_any());
    let mut sums: BTreeMap<(String, String), Usage> = environments
        .iter()
        .map(|environment| {
            let (namespace, name) = key(environment);
            ((namespace.clone(), name.clone()), Usage { namespace, name, ..Usage::default() })
        })
        .collect();
    for pod in pods.iter().filter(|pod| is_there(pod)) {
        let namespace = pod.namespace().unwrap_or_default();
        let Some(environment) = workload(pod).and_then(|workload| owners.get(&(namespace.clone(), workload))) else {
            continue;
        };
        let Some(part) = pods::part(environment, pod) else { continue };
        if let Some(sum) = sums.get_mut(&key(environment)) {
            sum.add(pod, part, measured.get(&(namespace, pod.name_any())).copied());
        }
    }
    sums.into_values().collect()
}

/// Each pod of an environment.
pub fn by_pod(environment: &OdooEnvironment, pods: &[Pod], measured: &Measured) -> Vec<Usage> {
    let own = pods.iter().filter(|pod| is_there(pod)).filter_map(|pod| Some((pod, pods::part(environment, pod)?)));
    own.map(|(pod, part)| {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let amount = measured.get(&(namespace.clone(), name.clone())).copied();
        let mut usage = Usage { namespace, name, ..Usage::default() };
        usage.add(pod, part, amount);
        usage
    })
    .collect()
}

/// Whether it takes anything: a pod that has ended does not.
fn is_there(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// A StatefulSet or not, and the name.
type WorkloadName = (bool, String);

fn is_set(kind: WorkloadKind) -> bool {
    kind == WorkloadKind::StatefulSet
}

/// The workload that made a pod, found without looking at each.
fn workload(pod: &Pod) -> Option<WorkloadName> {
    let owner = pod.owner_references().first()?;
    let name = match owner.kind.as_str() {
        "ReplicaSet" => (false, owner.name.rsplit_once('-')?.0.to_owned()),
        "StatefulSet" => (true, owner.name.clone()),
        _ => return None,
    };
    let kind = if name.0 { WorkloadKind::StatefulSet } else { WorkloadKind::Deployment };
    belongs_to(pod, kind, &name.1).then_some(name)
}

/// A quantity as Kubernetes writes it: `250m`, `1.5Gi`, `12345n`, `1e3`.
fn number(text: &str) -> Option<f64> {
    let is_number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(number) = is_number(text) {
        return Some(number);
    }
    let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let factor = match &text[at..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    is_number(&text[..at]).map(|number| number * factor)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts are not negative, and the conversion ends at the largest number"
)]
fn rounded(number: f64) -> u64 {
    number.max(0.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("250m", Some(0.25)),
            ("2", Some(2.0)),
            ("123456789n", Some(0.123_456_789)),
            ("7u", Some(0.000_007)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("128974848", Some(128_974_848.0)),
            ("129e6", Some(129e6)),
            ("123Mi", Some(128_974_848.0)),
            ("1k", Some(1000.0)),
            ("", None),
            ("Mi", None),
            ("1Zi", None),
            ("ten", None),
            ("NaN", None),
        ] {
            let number = number(text);
            let is_same = match (number, expected) {
                (Some(number), Some(expected)) => (number - expected).abs() < expected * 1e-9,
                (number, expected) => number == expected,
            };
            assert!(is_same, "{text}: {number:?}");
        }
    }

    fn pod(name: &str, kind: &str, owner: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "odoo", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u"}]},
            "spec": {"containers": [{"name": "main", "resources": {
                "requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn environment(name: &str) -> OdooEnvironment {
        let workload = |kind: &str, suffix: &str, role: &str| -> Value {
            json!({"kind": kind, "name": format!("{name}{suffix}"), "role": role, "replicas": 1, "readyReplicas": 1})
        };
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": name, "namespace": "odoo"},
            "spec": {"customerRef": {"name": "a"}, "serviceName": "s", "stage": "Test", "templateRef": {"name": "t"}},
            "status": {"workloads": [workload("Deployment", "-web", "Application"),
                workload("StatefulSet", "-postgresql", "Database")]},
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_summed_by_environment_and_strangers_are_left_out() {
        let pods = [
            pod("acme-web-1-a", "ReplicaSet", "acme-web-1", "Running"),
            pod("acme-postgresql-0", "StatefulSet", "acme-postgresql", "Running"),
            pod("acme-web-1-b", "ReplicaSet", "acme-web-1", "Failed"),
            pod("stranger-1-c", "ReplicaSet", "stranger-1", "Running"),
        ];
        let list: PodMetricsList = serde_json::from_value(json!({"items": [
            {"metadata": {"name": "acme-web-1-a", "namespace": "odoo"}, "containers": [
                {"name": "odoo", "usage": {"cpu": "250000001n", "memory": "300Mi"}}, {"name": "proxy", "usage": {"cpu": "1m"}}]},
            {"metadata": {"name": "acme-postgresql-0", "namespace": "odoo"}, "containers": [
                {"name": "postgresql", "usage": {"cpu": "20m", "memory": "100Mi"}}]},
            {"metadata": {"name": "stranger-1-c", "namespace": "odoo"}, "containers": []}]}))
        .unwrap();
        let measured = measured(list);
        let environments = [environment("acme"), environment("globex")];
        let usage = by_environment(&environments, &pods, &measured);
        let mebi = 1 << 20;
        assert_eq!(usage.len(), 2);
        assert_eq!(usage[0].used, Some(Amount { cpu_millis: 272, memory_bytes: 400 * mebi }));
        assert_eq!(usage[0].database, Some(Amount { cpu_millis: 20, memory_bytes: 100 * mebi }));
        assert_eq!(usage[0].requests, Amount { cpu_millis: 200, memory_bytes: 2048 * mebi });
        assert_eq!((usage[0].limits, usage[0].pods), (Amount { cpu_millis: 0, memory_bytes: 4096 * mebi }, 2));
        assert_eq!((usage[1].used, usage[1].pods), (None, 0));
        let by_pod = by_pod(&environments[0], &pods, &measured);
        assert_eq!(
            by_pod.iter().map(|usage| usage.name.as_str()).collect::<Vec<_>>(),
            ["acme-web-1-a", "acme-postgresql-0"]
        );
    }
}
