//! An environment's status: one function derives it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::environment::{
    Endpoint, Expose, OdooEnvironmentSpec, OdooEnvironmentStatus, Phase, Placement, ReleaseStatus, TemplateStatus,
    WorkloadStatus,
};
use odoofleet_api::template::WorkloadRole;
use odoofleet_api::{OdooEnvironment, labels};

use super::diagnosis::{Diagnosis, diagnose, last_failure};
use super::plan::{STALLED_FAILURES, Step};
use super::references::hosts;
use super::validate::Validated;
use super::{Refusal, certificate, check, inside};
use crate::observed::Running;
use crate::release::{History, ReleaseState, Revision};
use crate::template::StopPlan;

/// What a status is derived from.
pub struct StatusInputs<'a> {
    /// The object.
    pub environment: &'a OdooEnvironment,
    /// The last status that was written, with operation, history and failures as they are now.
    pub before: &'a OdooEnvironmentStatus,
    /// What is wanted, or why it is refused.
    pub wanted: Result<&'a Validated, &'a Refusal>,
    /// The release's revisions.
    pub history: &'a History,
    /// What runs.
    pub running: &'a Running,
    /// The step that was chosen.
    pub step: &'a Step,
    /// Name under which NodePorts are reached.
    pub node_address: Option<&'a str>,
    /// The present time.
    pub now: Timestamp,
}

/// How an environment is, in the words of its status.
struct View {
    phase: Phase,
    refusal: Refusal,
    available: bool,
    standing: Standing,
}

/// Where an environment stands between its spec and what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is as its spec wants it.
    Ready,
    /// It is not, and nothing will happen by itself, though no input is wrong.
    NotReady,
    /// It is on the way.
    Progressing,
    /// It waits for somebody to change an input.
    Stalled,
    /// It has failed so often that somebody should look, and goes on trying.
    FailingOn,
}

/// Derives the status.
pub fn derive(inputs: &StatusInputs<'_>) -> OdooEnvironmentStatus {
    let environment = inputs.environment;
    let generation = environment.metadata.generation.unwrap_or_default();
    let plan = stop_plan(inputs);
    let replicas = replicas(inputs);
    let view = view(inputs, &diagnose(replicas, inputs.running, &plan));
    let mut status = inputs.before.clone();
    status.observed_generation = Some(generation);
    status.phase = Some(view.phase);
    status.reason = Some(view.refusal.reason.as_str());
    status.message = Some(view.refusal.message.clone());
    status.last_failure = last_failure(inputs.before.last_failure.as_ref(), inputs.running);
    if let Some(requested) = annotation(environment, labels::REQUESTED_AT) {
        status.last_handled_reconcile_at = Some(requested);
    }
    // Told before Helm begins: whoever asks for the same host next finds it taken.
    if inputs.wanted.is_ok() {
        status.hosts = hosts(&environment.spec);
    }
    release(&mut status, inputs);
    workloads(&mut status, inputs.running, &plan);
    inside::tell(&mut status, inputs.running);
    if is_current(inputs) {
        let namespace = environment.metadata.namespace.as_deref();
        status.endpoints = endpoints(&environment.spec, inputs.running, inputs.node_address, namespace);
    } else if inputs.history.is_empty() {
        status.endpoints = Vec::new();
    }
    status.url = status.endpoints.first().map(|endpoint| endpoint.address.clone());
    status.conditions = merge(&inputs.before.conditions, conditions(inputs, &view), generation, &Time(inputs.now));
    status
}

/// What should run. Where nothing is done about the spec's wish, what runs is measured by itself.
fn replicas(inputs: &StatusInputs<'_>) -> i32 {
    let held = matches!(inputs.step, Step::Wait { refusal, .. } if refusal.reason == Reason::HeldByBrake);
    let paused = inputs.environment.spec.paused.unwrap_or_default();
    let left_alone = paused || held || matches!(inputs.step, Step::Refuse(_));
    match inputs.wanted {
        Ok(wanted) if !left_alone => wanted.replicas,
        _ => {
            let plan = stop_plan(inputs);
            let others = inputs.running.workloads.iter().filter(|workload| plan.role(workload) != WorkloadRole::Page);
            others.map(|workload| workload.replicas).max().unwrap_or_default()
        }
    }
}

/// What is refused may have no plan: then the charts' own words and the rules for unlisted workloads hold.
fn stop_plan(inputs: &StatusInputs<'_>) -> StopPlan {
    inputs.wanted.map_or_else(|_| StopPlan::default(), |wanted| wanted.stop_plan.clone())
}

fn annotation(environment: &OdooEnvironment, key: &str) -> Option<String> {
    environment.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned()
}

fn view(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis) -> View {
    if inputs.environment.spec.placement == Some(Placement::Offline) {
        let refusal = Refusal::new(Reason::Offline, "runs at the customer's, out of reach");
        return View { phase: Phase::Offline, refusal, available: false, standing: Standing::Ready };
    }
    if inputs.environment.spec.paused.unwrap_or_default() {
        let (phase, refusal, available) = by_pods(inputs, diagnosis);
        let refusal = Refusal::new(Reason::Paused, format!("paused: the operator looks away; {}", refusal.message));
        return View { phase, refusal, available, standing: Standing::NotReady };
    }
    match (inputs.wanted, inputs.step) {
        (Err(refusal), _) | (Ok(_), Step::Refuse(refusal)) => refused(inputs, diagnosis, refusal),
        (Ok(_), Step::Wait { refusal, .. }) => waiting(inputs, diagnosis, refusal),
        (Ok(wanted), step) => working(inputs, diagnosis, wanted, step),
    }
}

/// What runs goes on; the refusal is the reason why it is not what the spec wants.
fn refused(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis, refusal: &Refusal) -> View {
    let (phase, of_pods, available) = by_pods(inputs, diagnosis);
    let nothing_there = matches!(diagnosis, Diagnosis::Nothing);
    let broken = matches!(diagnosis, Diagnosis::Broken(_));
    let looking = refusal.reason == Reason::Progressing;
    View {
        phase: if nothing_there && !looking { Phase::Error } else { phase },
        refusal: if broken { of_pods } else { refusal.clone() },
        available,
        standing: if looking { Standing::Progressing } else { Standing::Stalled },
    }
}

fn waiting(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis, refusal: &Refusal) -> View {
    let (phase, _, available) = by_pods(inputs, diagnosis);
    let failures = inputs.before.failures.as_ref().map_or(0, |failures| failures.count);
    let nothing_there = matches!(diagnosis, Diagnosis::Nothing);
    let failed_often = failures >= STALLED_FAILURES && inputs.before.operation.is_none();
    let tried = inputs.wanted.ok().zip(inputs.running.check.as_ref());
    let tried_in_vain = tried.is_some_and(|(wanted, check)| {
        check.digest == wanted.check && check::tell(check, inputs.running) == (refusal.clone(), true)
    });
    View {
        phase: match phase {
            Phase::Error if nothing_there => Phase::Pending,
            _ if failed_often && nothing_there => Phase::Error,
            phase => phase,
        },
        refusal: refusal.clone(),
        available,
        standing: if failed_often || tried_in_vain { Standing::FailingOn } else { Standing::Progressing },
    }
}

fn working(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis, wanted: &Validated, step: &Step) -> View {
    let (phase, refusal, available) = by_pods(inputs, diagnosis);
    let settled = *step == Step::Nothing;
    let well = matches!(phase, Phase::Running | Phase::Stopped);
    let refusal = match step {
        Step::Helm { .. } => Refusal::new(Reason::Progressing, "a Helm operation begins"),
        Step::Scale(_) if wanted.replicas == 0 => Refusal::new(Reason::Stopping, "workloads are being stopped"),
        Step::Scale(_) => Refusal::new(Reason::Starting, "workloads are being started or scaled"),
        Step::RestartPod { name, .. } => Refusal::new(Reason::Restarting, format!("pod \"{name}\" is being replaced")),
        _ => refusal,
    };
    let refusal = match (&wanted.overlay, &wanted.version.waits_for) {
        (Some(overlay), _) if phase == Phase::Stopped => overlay.clone(),
        (None, Some(version)) if settled && phase == Phase::Running => Refusal::new(
            Reason::WaitingForRollout,
            format!("runs; version \"{version}\" comes when the rollout reaches it"),
        ),
        _ => refusal,
    };
    let standing = match (settled, well) {
        (true, true) => Standing::Ready,
        (true, false) if phase == Phase::Error => Standing::NotReady,
        _ => Standing::Progressing,
    };
    View { phase, refusal, available, standing }
}

fn by_pods(inputs: &StatusInputs<'_>, diagnosis: &Diagnosis) -> (Phase, Refusal, bool) {
    match diagnosis {
        Diagnosis::Ready => match certificates(inputs).and_then(|judged| judged.main) {
            None => (Phase::Running, Refusal::new(Reason::Running, "every pod is ready"), true),
            Some(missing) if missing.reason == Reason::WaitingForCertificate => (Phase::Pending, missing, false),
            Some(wrong) => (Phase::Error, wrong, false),
        },
        Diagnosis::Stopped => {
            (Phase::Stopped, Refusal::new(Reason::Stopped, "scaled to zero; set replicas to start it"), false)
        }
        Diagnosis::Waiting(refusal) => (Phase::Pending, refusal.clone(), false),
        Diagnosis::Broken(refusal) => (Phase::Error, refusal.clone(), inputs.running.serves()),
        Diagnosis::Nothing if inputs.history.is_empty() => {
            (Phase::Pending, Refusal::new(Reason::Progressing, "nothing is installed yet"), false)
        }
        Diagnosis::Nothing => {
            (Phase::Pending, Refusal::new(Reason::WaitingForPods, "the release's workloads are not there yet"), false)
        }
    }
}

/// The certificates of the hosts. The main one is the spec's; charts may name others in an Ingress.
fn certificates(inputs: &StatusInputs<'_>) -> Option<certificate::Judgement> {
    let main = hosts(&inputs.environment.spec).into_iter().next();
    certificate::judge(&inputs.running.certificates, main.as_deref(), inputs.now)
}

/// Whether the release holds what the spec wants: only then does the spec say what is there.
fn is_current(inputs: &StatusInputs<'_>) -> bool {
    inputs.wanted.is_ok_and(|wanted| ReleaseState::of(inputs.history, &wanted.claim()) == ReleaseState::Current)
}

fn release(status: &mut OdooEnvironmentStatus, inputs: &StatusInputs<'_>) {
    let claimed = |newest: &&Revision| newest.ownership.may_belong_to(inputs.environment);
    let Some(newest) = inputs.history.newest().filter(claimed) else {
        status.release = None;
        return;
    };
    let chart = inputs.wanted.ok().map(|wanted| &wanted.version.content);
    let before = status.release.clone().unwrap_or_default();
    let current = inputs
        .wanted
        .ok()
        .is_some_and(|wanted| ReleaseState::of(inputs.history, &wanted.claim()) == ReleaseState::Current);
    status.release = Some(ReleaseStatus {
        name: newest.release.clone(),
        revision: newest.number,
        status: newest.status.as_str().to_owned(),
        chart: if current { chart.map(|chart| chart.chart_name.clone()) } else { before.chart },
        chart_version: if current { chart.map(|chart| chart.chart_version.clone()) } else { before.chart_version },
        deployed_at: Some(Time(newest.created_at)),
    });
    if let (true, Ok(wanted)) = (current, inputs.wanted) {
        let content = &wanted.version.content;
        status.template =
            Some(TemplateStatus { name: wanted.version.template.clone(), version: content.version.clone() });
        status.odoo_version = Some(content.odoo_version.clone());
        status.postgres_major = content.postgres_major;
    }
}

fn workloads(status: &mut OdooEnvironmentStatus, running: &Running, plan: &StopPlan) {
    status.workloads = running
        .workloads
        .iter()
        .map(|workload| WorkloadStatus {
            kind: workload.kind,
            name: workload.name.clone(),
            role: plan.role(workload),
            replicas: workload.replicas,
            ready_replicas: workload.ready_replicas,
        })
        .collect();
    status.workloads.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    let live = running.workloads.iter().find(|workload| plan.is_live(workload, running));
    status.replicas = Some(live.map_or(0, |workload| workload.current_replicas));
    status.ready_replicas = Some(live.map_or(0, |workload| workload.ready_replicas));
    status.selector = live.map(|workload| {
        let pairs: Vec<String> = workload.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    });
}

fn endpoints(
    spec: &OdooEnvironmentSpec,
    running: &Running,
    node_address: Option<&str>,
    namespace: Option<&str>,
) -> Vec<Endpoint> {
    if running.workloads.is_empty() {
        return Vec::new();
    }
    let endpoint = |type_: &str, address: String| Endpoint { type_: type_.to_owned(), address };
    let mut all = Vec::new();
    if let Some(ingress) = &spec.ingress {
        let type_ = if ingress.expose == Some(Expose::HttpRoute) { "HTTPRoute" } else { "Ingress" };
        let routed = !matches!(ingress.expose, Some(Expose::NodePort | Expose::None));
        // TLS of a Gateway is its listener's, which nobody leaves without.
        let secure = ingress.tls.is_some() || ingress.expose == Some(Expose::HttpRoute);
        let scheme = if secure { "https" } else { "http" };
        let hosts = ingress.host.iter().chain(&ingress.aliases).filter(|_| routed);
        all.extend(hosts.map(|host| endpoint(type_, format!("{scheme}://{host}"))));
    }
    for port in running.ports.iter().filter_map(|port| port.node_port) {
        all.push(match node_address {
            Some(host) => endpoint("NodePort", format!("http://{host}:{port}")),
            None => endpoint("NodePort", format!("(any node):{port}")),
        });
    }
    let inner = running.ports.iter().find(|port| port.port == ODOO_PORT);
    all.extend(inner.map(|port| {
        endpoint("Service", format!("http://{}.{}.svc:{}", port.service, namespace.unwrap_or_default(), port.port))
    }));
    all
}

/// Odoo's own HTTP port.
const ODOO_PORT: i32 = 8069;

fn conditions(inputs: &StatusInputs<'_>, view: &View) -> Vec<Wanted> {
    let condition = |type_, status: ConditionStatus, refusal: &Refusal| Wanted {
        type_,
        status,
        reason: refusal.reason,
        message: refusal.message.clone(),
    };
    let mut all = vec![
        condition(ConditionType::Ready, (view.standing == Standing::Ready).into(), &view.refusal),
        condition(ConditionType::Available, view.available.into(), &view.refusal),
    ];
    if matches!(view.standing, Standing::Progressing | Standing::FailingOn) {
        all.push(condition(ConditionType::Reconciling, ConditionStatus::True, &view.refusal));
    }
    if matches!(view.standing, Standing::Stalled | Standing::FailingOn) {
        all.push(condition(ConditionType::Stalled, ConditionStatus::True, &view.refusal));
    }
    if let Some(judged) = certificates(inputs) {
        all.push(condition(ConditionType::CertificateReady, judged.ready.into(), &judged.words));
    }
    if let Ok(wanted) = inputs.wanted {
        let state = ReleaseState::of(inputs.history, &wanted.claim());
        let current = state == ReleaseState::Current;
        let text = inputs.history.newest().map_or_else(
            || "no release yet".to_owned(),
            |newest| format!("revision {} is {}", newest.number, newest.status.as_str()),
        );
        let reason = if current { Reason::Accepted } else { Reason::Progressing };
        all.push(condition(ConditionType::Released, current.into(), &Refusal::new(reason, text)));
        if state == ReleaseState::ChangedByHand {
            let refusal = Refusal::new(
                Reason::ChangedByHand,
                "somebody ran Helm by hand on this release; it is left so until the spec changes",
            );
            all.push(condition(ConditionType::Drifted, ConditionStatus::True, &refusal));
        }
    }
    all
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
