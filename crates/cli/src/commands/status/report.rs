//! One environment and all that belongs to it, in one picture: plain data, made of what was read.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use odoofleet_api::conditions::{ConditionType, find};
use odoofleet_api::environment::{
    AddonStatus, DatabaseStatus, HistoryEntry, LastFailure, Operation, ReleaseStatus, Stage, WorkloadStatus,
};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde::Serialize;

use super::table::phase_word;
use crate::commands::exec::{belongs_to, is_ready};
use crate::commands::power::REASON;
use crate::git_owner;
use crate::output::age;

/// What lies around an environment, or why it cannot be shown.
pub struct Around {
    /// Its customer.
    pub customer: Result<OdooCustomer, String>,
    /// Its template.
    pub template: Result<OdooTemplate, String>,
    /// Pods of the namespace.
    pub pods: Result<Vec<Pod>, String>,
}

/// The picture.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says something else of the environment, and none follows from another"
)]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Stage.
    pub stage: Stage,
    /// Phase; empty before the operator has looked.
    pub phase: &'static str,
    /// Reason.
    pub reason: String,
    /// What the operator says.
    pub message: String,
    /// Whether the status speaks of the spec as it is.
    pub observed: bool,
    /// Whether it is as the spec wants it.
    pub ready: bool,
    /// Whether nothing will happen before somebody changes something.
    pub stalled: bool,
    /// Whether the operator looks away.
    pub paused: bool,
    /// Why somebody changed it last, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_reason: Option<String>,
    /// Who applies it from Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_owner: Option<String>,
    /// Its customer.
    pub customer: Seen<Customer>,
    /// Its template.
    pub template: Seen<Template>,
    /// Its Helm release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseStatus>,
    /// Its workloads.
    pub workloads: Vec<WorkloadStatus>,
    /// Its pods.
    pub pods: Seen<Vec<PodLine>>,
    /// Its database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// Its addons.
    pub addons: Vec<AddonStatus>,
    /// Where people reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What is the matter with its certificate; nothing where it has none, or a valid one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// What runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The last container that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// What the operator did last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<HistoryEntry>,
}

/// Something that is seen, or why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen<T> {
    /// It.
    Found(T),
    /// Why it cannot be shown.
    Hidden(String),
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// Name of the object.
    pub name: String,
    /// The company's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Phase; empty before the operator has looked.
    pub phase: String,
    /// Last day of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<String>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Name.
    pub name: String,
    /// The version that the environment holds; empty before the first installation.
    pub version: String,
    /// The version that followers go to.
    pub newest: String,
    /// Whether the environment stays on a version of its own.
    pub pinned: bool,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodLine {
    /// Name.
    pub name: String,
    /// Its phase, or why its container waits.
    pub status: String,
    /// Whether it passes its probes.
    pub ready: bool,
    /// How often its containers were started again.
    pub restarts: i32,
    /// The node; none before it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How old it is, as kubectl says it.
    pub age: String,
}

impl Report {
    /// The picture at `now`.
    pub fn new(environment: &OdooEnvironment, around: &Around, now: Timestamp) -> Self {
        let status = environment.status.clone().unwrap_or_default();
        let is_true = |type_| find(&status.conditions, type_).is_some_and(|condition| condition.status == "True");
        let certificate = find(&status.conditions, ConditionType::CertificateReady)
            .filter(|condition| condition.status != "True")
            .map(|condition| format!("{}: {}", condition.reason, condition.message));
        let owner = git_owner::of(&environment.metadata);
        Self {
            name: environment.name_any(),
            namespace: environment.namespace().unwrap_or_default(),
            stage: environment.spec.stage,
            phase: status.phase.map(phase_word).unwrap_or_default(),
            reason: status.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            message: status.message.clone().unwrap_or_default(),
            observed: status.observed_generation == environment.metadata.generation,
            ready: is_true(ConditionType::Ready),
            stalled: is_true(ConditionType::Stalled),
            paused: environment.spec.paused.unwrap_or_default(),
            change_reason: environment.annotations().get(REASON).cloned(),
            git_owner: owner.map(|owner| format!("{} {}", owner.kind, owner.name)),
            customer: seen(&around.customer, customer),
            template: seen(&around.template, |found| template(environment, found)),
            release: status.release.clone(),
            pods: seen(&around.pods, |pods| own_pods(&status.workloads, pods, now)),
            workloads: status.workloads,
            database: status.database,
            addons: status.addons,
            url: status.url,
            certificate,
            operation: status.operation,
            last_failure: status.last_failure,
            last: status.history.into_iter().next(),
        }
    }
}

fn seen<T, U>(found: &Result<T, String>, told: impl FnOnce(&T) -> U) -> Seen<U> {
    match found {
        Ok(object) => Seen::Found(told(object)),
        Err(why) => Seen::Hidden(why.clone()),
    }
}

fn customer(customer: &OdooCustomer) -> Customer {
    let phase = customer.status.as_ref().and_then(|status| status.phase);
    Customer {
        name: customer.name_any(),
        display_name: customer.spec.display_name.clone(),
        phase: phase.map(|phase| format!("{phase:?}")).unwrap_or_default(),
        expires_on: customer.spec.contract.as_ref().and_then(|contract| contract.expires_on.clone()),
    }
}

fn template(environment: &OdooEnvironment, template: &OdooTemplate) -> Template {
    let held = environment.status.as_ref().and_then(|status| status.template.as_ref());
    Template {
        name: template.name_any(),
        version: held.map(|held| held.version.clone()).unwrap_or_default(),
        newest: template.spec.version.clone(),
        pinned: environment.spec.template_ref.version.is_some(),
    }
}

fn own_pods(workloads: &[WorkloadStatus], pods: &[Pod], now: Timestamp) -> Vec<PodLine> {
    let is_own = |pod: &&Pod| workloads.iter().any(|workload| belongs_to(pod, workload.kind, &workload.name));
    let mut own: Vec<PodLine> = pods.iter().filter(is_own).map(|pod| line(pod, now)).collect();
    own.sort_by(|a, b| a.name.cmp(&b.name));
    own
}

fn line(pod: &Pod, now: Timestamp) -> PodLine {
    let status = pod.status.clone().unwrap_or_default();
    let containers = || {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    };
    let waits = containers().find_map(waits_for);
    let ends = pod.metadata.deletion_timestamp.is_some().then(|| "Terminating".to_owned());
    PodLine {
        name: pod.name_any(),
        status: ends.or(waits).or_else(|| status.phase.clone()).unwrap_or_default(),
        ready: is_ready(pod),
        restarts: containers().map(|container| container.restart_count).sum(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        age: pod.creation_timestamp().map(|at| age(now, at.0)).unwrap_or_default(),
    }
}

/// Why a container waits, unless that is only its turn.
fn waits_for(container: &ContainerStatus) -> Option<String> {
    let reason = container.state.as_ref()?.waiting.as_ref()?.reason.clone()?;
    (reason != "PodInitializing").then_some(reason)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn environment(status: &Value) -> OdooEnvironment {
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
            "metadata": {"name": "acme-prod", "namespace": "odoo", "generation": 2},
            "spec": {"customerRef": {"name": "acme"}, "serviceName": "prod", "stage": "Production",
                "templateRef": {"name": "odoo-18"}},
            "status": status,
        }))
        .unwrap()
    }

    fn nothing_around() -> Around {
        let hidden = || "hidden".to_owned();
        Around { customer: Err(hidden()), template: Err(hidden()), pods: Err(hidden()) }
    }

    #[test]
    fn what_may_not_be_seen_is_said_in_its_place() {
        let report = Report::new(&environment(&json!({})), &nothing_around(), Timestamp::UNIX_EPOCH);
        assert_eq!(report.customer, Seen::Hidden("hidden".into()));
        assert_eq!(report.phase, "");
        assert!(!report.observed);
    }

    #[test]
    fn a_pod_says_why_its_container_waits() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "acme-prod-web-59c64fd94-x", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "acme-prod-web-59c64fd94", "uid": "u"}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "odoo", "image": "", "imageID": "", "ready": false,
                "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        }))
        .unwrap();
        let workloads = json!([{"kind": "Deployment", "name": "acme-prod-web", "role": "Application", "replicas": 1,
            "readyReplicas": 0}]);
        let around = Around { pods: Ok(vec![pod]), ..nothing_around() };
        let environment = environment(&json!({"observedGeneration": 2, "workloads": workloads}));
        let report = Report::new(&environment, &around, Timestamp::UNIX_EPOCH);
        let Seen::Found(pods) = report.pods else { panic!("hidden") };
        assert_eq!((pods[0].status.as_str(), pods[0].restarts, pods[0].ready), ("CrashLoopBackOff", 4, false));
    }
}
