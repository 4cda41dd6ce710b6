//! What runs, as far as the operator needs to know it. Watchers fill these; the whole objects are never kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};

use crate::environment::termination::TerminationMessage;

/// A Deployment or StatefulSet of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as Kubernetes tells it")]
pub struct Workload {
    /// Kind.
    pub kind: WorkloadKind,
    /// Name.
    pub name: String,
    /// Release to which Helm says that it belongs.
    pub release: String,
    /// Its place in the order of stop and start, as its chart says; a template may say otherwise.
    pub role: WorkloadRole,
    /// Whether `spec.replicas` is its number of pods, as its chart says; a template may say otherwise.
    pub live: bool,
    /// Pods wanted.
    pub replicas: i32,
    /// Pods that exist.
    pub current_replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Whether its controller has seen the newest spec.
    pub observed: bool,
    /// Whether every pod runs the newest template.
    pub updated: bool,
    /// Replicas before it was stopped, from our annotation.
    pub replicas_before_stop: Option<i32>,
    /// `matchLabels` of its selector.
    pub selector: BTreeMap<String, String>,
    /// Volume claims that its pods share.
    pub claims: Vec<String>,
    /// Names of its `volumeClaimTemplates`: each pod has claims of its own from them.
    pub claim_templates: Vec<String>,
    /// The API server's words, if its controller may not create pods.
    pub pods_refused: Option<String>,
    /// Whether an autoscaler of the release sets its number of pods.
    pub autoscaled: bool,
    /// Version of the object, for telling newer from older.
    pub resource_version: String,
}

/// A CronJob of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronJob {
    /// Name.
    pub name: String,
    /// Release to which Helm says that it belongs.
    pub release: String,
    /// Whether it is suspended.
    pub suspended: bool,
}

/// A pod of one of the workloads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as Kubernetes tells it")]
pub struct Pod {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Workload that owns it.
    pub owner: (WorkloadKind, String),
    /// Creation.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether all of its containers have ended for good: an evicted pod stays as an object.
    pub finished: bool,
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// The scheduler's complaint, if it found no node.
    pub unschedulable: Option<String>,
    /// Whether its node has stopped answering.
    pub node_lost: bool,
    /// Name of its node.
    pub node: Option<String>,
    /// Its containers, init containers first.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Whether it is an init container.
    pub init: bool,
    /// Whether it is ready, or an init container that is done.
    pub ready: bool,
    /// Restarts so far.
    pub restarts: i32,
    /// Whether it runs.
    pub running: bool,
    /// Why it waits, if it does, and the runtime's message.
    pub waiting: Option<(String, String)>,
    /// How it ended last, if it ever did.
    pub terminated: Option<Termination>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// Kubernetes' reason, such as `OOMKilled`.
    pub reason: String,
    /// Exit code.
    pub exit_code: i32,
    /// When.
    pub at: Option<Timestamp>,
    /// Whether it is the present state: the container has not been started again.
    pub current: bool,
    /// Its termination message, if it speaks our words.
    pub message: Option<TerminationMessage>,
}

/// A port of a Service of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Name of the Service.
    pub service: String,
    /// Port.
    pub port: i32,
    /// Port on every node.
    pub node_port: Option<i32>,
}

/// A volume claim of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, as Kubernetes tells it")]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Whether it is bound.
    pub bound: bool,
    /// Whether several pods may use it at once.
    pub shared: bool,
    /// The size that it has or asks for, whichever is larger, as Kubernetes writes it.
    pub size: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether the operator has marked it as the environment's: it goes when the environment is deleted under policy Delete.
    pub marked: bool,
}

/// A certificate that an Ingress of a release asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Hosts that it is for.
    pub hosts: Vec<String>,
    /// Name of its Secret.
    pub secret: String,
    /// What lies in the Secret, if it is there.
    pub found: Option<FoundCertificate>,
}

/// What lies in a Secret for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundCertificate {
    /// A certificate.
    Certificate {
        /// Names for which it was made; a `*` stands for one label.
        names: Vec<String>,
        /// End of its validity.
        not_after: Timestamp,
    },
    /// Something else.
    Unreadable,
}

/// The pod in which a change is tried before it replaces what runs. Its label is `<digest>-<inputs>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it tries: digest of what Odoo's pods begin with.
    pub digest: String,
    /// What it was rendered from: another word than that of now may bring another end.
    pub inputs: String,
    /// The pod.
    pub pod: Pod,
    /// Whether everything in it went well.
    pub succeeded: bool,
}

/// Everything that runs of one release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// Deployments and StatefulSets.
    pub workloads: Vec<Workload>,
    /// CronJobs.
    pub cron_jobs: Vec<CronJob>,
    /// Pods of the workloads.
    pub pods: Vec<Pod>,
    /// Ports of the Services.
    pub ports: Vec<ServicePort>,
    /// Volume claims.
    pub volumes: Vec<Volume>,
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// The pod in which a change is tried.
    pub check: Option<Check>,
}

impl Running {
    /// Whether one pod of everything is ready: people can work, even while another one fails.
    pub fn serves(&self) -> bool {
        let mut live = self.workloads.iter().filter(|workload| workload.replicas > 0).peekable();
        live.peek().is_some() && live.all(|workload| workload.ready_replicas > 0)
    }

    /// Pods of a workload that have not ended for good. Those that are just ending are among them, though their controller
    /// no longer counts them.
    pub fn pods_of<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().filter(|pod| pod.is_of(workload) && !pod.finished)
    }
}

impl Pod {
    /// Whether a workload owns it.
    pub fn is_of(&self, workload: &Workload) -> bool {
        (self.owner.0, &self.owner.1) == (workload.kind, &workload.name)
    }
}
