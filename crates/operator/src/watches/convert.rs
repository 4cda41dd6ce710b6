//! From Kubernetes' objects to the few facts that decisions need.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob as BatchCronJob;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod as CorePod, PodSpec, PodStatus, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use odoofleet_api::labels;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};
use odoofleet_core::environment::{check, termination};
use odoofleet_core::fleet::{Item, PodItem, Refusal};
use odoofleet_core::observed::{
    Certificate, Check, Container, CronJob, Pod, ServicePort, Termination, Volume, Workload,
};

/// The release that an object says it belongs to, as Helm wrote it.
pub fn release_of(object: &impl ResourceExt) -> Option<String> {
    object.annotations().get(labels::HELM_RELEASE_NAME).cloned()
}

/// Reads a Deployment.
pub fn deployment(object: &Deployment) -> Option<Workload> {
    let (spec, status) = (object.spec.clone()?, object.status.clone().unwrap_or_default());
    let replicas = spec.replicas.unwrap_or(1);
    Some(Workload {
        kind: WorkloadKind::Deployment,
        name: object.name_any(),
        release: release_of(object)?,
        role: role(object, WorkloadRole::Application),
        live: is_web(object),
        replicas,
        current_replicas: status.replicas.unwrap_or_default(),
        ready_replicas: status.ready_replicas.unwrap_or_default(),
        observed: status.observed_generation >= object.metadata.generation,
        updated: status.updated_replicas.unwrap_or_default() >= replicas,
        replicas_before_stop: remembered(object),
        selector: spec.selector.match_labels.unwrap_or_default(),
        claims: claims(spec.template.spec.as_ref()),
        claim_templates: Vec::new(),
        pods_refused: replica_failure(&status),
        autoscaled: false,
        resource_version: object.resource_version().unwrap_or_default(),
    })
}

/// What an Event says of a StatefulSet whose pods are refused.
pub fn refusal(event: &Event) -> Option<Refusal> {
    let counted = event.series.as_ref().map(|series| series.last_observed_time.0);
    let told = counted.or(event.deprecated_last_timestamp.as_ref().map(|time| time.0));
    Some(Refusal {
        set: event.regarding.as_ref()?.name.clone()?,
        message: event.note.clone().unwrap_or_default(),
        at: told.or(event.event_time.as_ref().map(|time| time.0)).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

/// What the API server said to a controller that may not create pods.
fn replica_failure(status: &DeploymentStatus) -> Option<String> {
    let conditions = status.conditions.iter().flatten();
    let mut failures = conditions.filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    failures.find_map(|condition| condition.message.clone())
}

/// Claims that all pods of a template share.
fn claims(spec: Option<&PodSpec>) -> Vec<String> {
    let volumes = spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())).collect()
}

/// Reads a StatefulSet.
pub fn stateful_set(object: &StatefulSet) -> Option<Workload> {
    let (spec, status) = (object.spec.clone()?, object.status.clone().unwrap_or_default());
    let replicas = spec.replicas.unwrap_or(1);
    Some(Workload {
        kind: WorkloadKind::StatefulSet,
        name: object.name_any(),
        release: release_of(object)?,
        role: role(object, WorkloadRole::Database),
        live: is_web(object),
        replicas,
        current_replicas: status.replicas,
        ready_replicas: status.ready_replicas.unwrap_or_default(),
        observed: status.observed_generation >= object.metadata.generation,
        updated: status.current_revision == status.update_revision
            || status.updated_replicas.unwrap_or_default() >= replicas,
        replicas_before_stop: remembered(object),
        selector: spec.selector.match_labels.unwrap_or_default(),
        claims: claims(spec.template.spec.as_ref()),
        claim_templates: spec
            .volume_claim_templates
            .iter()
            .flatten()
            .filter_map(|template| template.metadata.name.clone())
            .collect(),
        pods_refused: None,
        autoscaled: false,
        resource_version: object.resource_version().unwrap_or_default(),
    })
}

/// The part that the chart gives to a workload.
fn role(object: &impl ResourceExt, otherwise: WorkloadRole) -> WorkloadRole {
    match object.annotations().get(labels::ROLE).map(String::as_str) {
        Some("Web" | "Application") => WorkloadRole::Application,
        Some("Database") => WorkloadRole::Database,
        Some("Page") => WorkloadRole::Page,
        _ => otherwise,
    }
}

fn is_web(object: &impl ResourceExt) -> bool {
    object.annotations().get(labels::ROLE).is_some_and(|role| role == "Web")
}

fn remembered(object: &impl ResourceExt) -> Option<i32> {
    object.annotations().get(labels::REPLICAS)?.parse().ok()
}

/// Reads a CronJob.
pub fn cron_job(object: &BatchCronJob) -> Option<CronJob> {
    let suspended = object.spec.as_ref()?.suspend.unwrap_or_default();
    Some(CronJob { name: object.name_any(), release: release_of(object)?, suspended })
}

/// Reads a Service.
pub fn service(object: &Service) -> Vec<ServicePort> {
    let ports = object.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.map(|port| ServicePort { service: object.name_any(), port: port.port, node_port: port.node_port }).collect()
}

/// Reads a volume claim. Its size is the larger of what it has and what it asks for.
pub fn volume(object: &PersistentVolumeClaim) -> Item {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let asked = spec.resources.and_then(|resources| resources.requests?.remove("storage")).map(|size| size.0);
    let had = status.capacity.and_then(|mut capacity| capacity.remove("storage")).map(|size| size.0);
    Item::Volume {
        release: release_of(object).filter(|_| object.labels().get(labels::MANAGED_BY).is_some_and(|by| by == "Helm")),
        marked_for: object.labels().get(labels::ENVIRONMENT_UID).cloned(),
        volume: Volume {
            name: object.name_any(),
            bound: status.phase.as_deref() == Some("Bound"),
            shared: spec.access_modes.iter().flatten().any(|mode| mode == "ReadWriteMany"),
            size: larger(had, asked),
            deleting: object.metadata.deletion_timestamp.is_some(),
            marked: false,
        },
    }
}

/// The larger of two quantities; what cannot be compared counts as it stands first.
fn larger(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if bytes(&other) > bytes(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// Bytes of a quantity such as `10Gi` (`k8s.io/apimachinery/pkg/api/resource`).
fn bytes(quantity: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let plain = || quantity.parse().ok();
    let of = |(suffix, factor): &(&str, f64)| Some(quantity.strip_suffix(suffix)?.parse::<f64>().ok()? * factor);
    plain().or_else(|| SUFFIXES.iter().find_map(of))
}

/// Reads an autoscaler. None if it scales something else than our workloads.
pub fn autoscaler(object: &HorizontalPodAutoscaler) -> Option<Item> {
    let target = object.spec.as_ref()?.scale_target_ref.clone();
    let kind = match target.kind.as_str() {
        "Deployment" => WorkloadKind::Deployment,
        "StatefulSet" => WorkloadKind::StatefulSet,
        _ => return None,
    };
    Some(Item::Autoscaler { release: release_of(object)?, target: (kind, target.name) })
}

/// The certificates that an Ingress asks for.
pub fn certificates(object: &Ingress) -> Vec<Certificate> {
    let tls = object.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    tls.filter_map(|tls| {
        let secret = tls.secret_name.clone()?;
        Some(Certificate { hosts: tls.hosts.clone().unwrap_or_default(), secret, found: None })
    })
    .collect()
}

/// Reads a pod. None for pods that neither a Deployment or StatefulSet owns nor a change is tried in.
pub fn pod_item(object: &CorePod) -> Option<PodItem> {
    if let Some(owner) = owner(object) {
        return Some(PodItem::Workload(pod(object, owner)));
    }
    let (digest, inputs) = check::read_label(object.labels().get(labels::CHECK)?)?;
    let release = release_of(object)?;
    let succeeded = object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    // It belongs to no workload; nothing looks for it by its owner.
    let pod = pod(object, (WorkloadKind::Deployment, object.name_any()));
    Some(PodItem::Check(release, Check { digest, inputs, pod, succeeded }))
}

fn pod(object: &CorePod, owner: (WorkloadKind, String)) -> Pod {
    let status = object.status.clone().unwrap_or_default();
    let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let scheduled = condition("PodScheduled");
    Pod {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        owner,
        created_at: object.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        deleting: object.metadata.deletion_timestamp.is_some(),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
        unschedulable: scheduled
            .filter(|condition| condition.status == "False")
            .map(|condition| condition.message.clone().unwrap_or_default()),
        node_lost: status.reason.as_deref() == Some("NodeLost") || is_node_lost(&status),
        node: object.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        containers: containers(&status),
    }
}

/// The node controller turns a pod's readiness off while its containers, as last told, still run well. A readiness gate does
/// so too, and says so.
fn is_node_lost(status: &PodStatus) -> bool {
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    if ready.and_then(|ready| ready.reason.as_deref()) == Some("ReadinessGatesNotReady") {
        return false;
    }
    let containers = status.conditions.iter().flatten().find(|condition| condition.type_ == "ContainersReady");
    ready.is_some_and(|ready| ready.status != "True")
        && containers.is_some_and(|containers| containers.status == "True")
        && status.container_statuses.iter().flatten().all(|container| container.ready)
}

/// A Deployment's pods are owned by a ReplicaSet named after it and after the hash that they carry as a label.
fn owner(object: &CorePod) -> Option<(WorkloadKind, String)> {
    let controller = object.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    match controller.kind.as_str() {
        "StatefulSet" => Some((WorkloadKind::StatefulSet, controller.name.clone())),
        "ReplicaSet" => {
            let hash = object.labels().get("pod-template-hash")?;
            let name = controller.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
            Some((WorkloadKind::Deployment, name.to_owned()))
        }
        _ => None,
    }
}

fn containers(status: &PodStatus) -> Vec<Container> {
    let init = status.init_container_statuses.iter().flatten().map(|status| container(status, true));
    init.chain(status.container_statuses.iter().flatten().map(|status| container(status, false))).collect()
}

fn container(status: &ContainerStatus, init: bool) -> Container {
    let state = status.state.clone().unwrap_or_default();
    let current = state.terminated.map(|end| (end, true));
    let last = status.last_state.as_ref().and_then(|last| last.terminated.clone()).map(|end| (end, false));
    let done = init && current.as_ref().is_some_and(|(end, _)| end.exit_code == 0);
    Container {
        name: status.name.clone(),
        init,
        ready: status.ready || done,
        restarts: status.restart_count,
        running: state.running.is_some(),
        waiting: state.waiting.map(|waiting| (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())),
        terminated: current.or(last).map(|(end, current)| Termination {
            reason: end.reason.unwrap_or_else(|| "Error".to_owned()),
            exit_code: end.exit_code,
            at: end.finished_at.map(|time| time.0),
            current,
            message: end.message.as_deref().filter(|_| init).and_then(termination::parse),
        }),
    }
}

/// Labels by which Helm's objects are watched.
pub fn managed_by_helm() -> String {
    format!("{}=Helm", labels::MANAGED_BY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_size_of_a_claim_is_the_larger_of_what_it_has_and_asks_for() {
        let text = |text: &str| Some(text.to_owned());
        for (had, asked, size) in [
            (text("10Gi"), text("20Gi"), "20Gi"),
            (text("20Gi"), text("10240Mi"), "20Gi"),
            (text("1Gi"), text("1000000000"), "1Gi"),
            (None, text("5G"), "5G"),
        ] {
            assert_eq!(larger(had, asked).as_deref(), Some(size));
        }
    }

    #[test]
    fn a_readiness_gate_is_no_lost_node() {
        let lost = |reason: &str| {
            let status = json!({
                "conditions": [
                    { "type": "Ready", "status": "False", "reason": reason },
                    { "type": "ContainersReady", "status": "True" },
                ],
                "containerStatuses": [{ "name": "c", "ready": true, "restartCount": 0, "image": "i", "imageID": "i" }],
            });
            is_node_lost(&serde_json::from_value(status).unwrap())
        };
        assert!(lost("NodeStatusUnknown") && !lost("ReadinessGatesNotReady"));
    }
}
