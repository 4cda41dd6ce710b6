//! An environment's status: one function derives it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted, merge};
use odoofleet_api::environment::{
    Endpoint, Expose, OdooEnvironmentSpec, OdooEnvironmentStatus, ReleaseStatus, TemplateStatus, WorkloadStatus,
};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadRole;

use super::diagnosis::{diagnose, last_failure};
use super::facts::Facts;
use super::references::hosts;
use super::step::{HoldKind, Plan};
use super::validate::Validated;
use super::view::{Standing, View, certificates, view};
use super::{adoption, drift, missing, pod_reports};
use crate::finding::Finding;
use crate::observed::Running;
use crate::release::{ReleaseState, Revision};
use crate::template::StopPlan;
use crate::windows;

/// What a status is derived from.
pub(super) struct StatusInputs<'a> {
    /// The facts of the look.
    pub facts: &'a Facts,
    /// The last status that was written, with operation, history and failures as they are now.
    pub status: &'a OdooEnvironmentStatus,
    /// What is wanted, or why it is refused.
    pub wanted: Result<&'a Validated, &'a Finding>,
    /// What was decided.
    pub plan: &'a Plan,
    /// The present time.
    pub now: Timestamp,
}

impl StatusInputs<'_> {
    /// The release as the one who wants it sees it; none where nothing valid is wanted.
    fn release_state(&self) -> Option<ReleaseState> {
        self.wanted.ok().map(|wanted| ReleaseState::of(&self.facts.history, &wanted.claim()))
    }
}

/// Derives the status.
pub(super) fn derive(inputs: &StatusInputs<'_>) -> OdooEnvironmentStatus {
    let StatusInputs { facts, now, .. } = *inputs;
    let (environment, running) = (&facts.environment, &facts.running);
    let state = inputs.release_state();
    let current = state == Some(ReleaseState::Current);
    let plan = stop_plan(inputs, current);
    let view = view(inputs, &diagnose(replicas(inputs, &plan), running, &plan));
    let mut status = inputs.status.clone();
    status.observed_generation = Some(facts.generation());
    status.phase = Some(view.phase);
    status.reason = Some(view.finding.reason.clone());
    status.message = Some(view.finding.message.clone());
    status.last_failure = last_failure(facts.before.last_failure.as_ref(), running);
    if let Some(requested) = facts.annotation(labels::REQUESTED_AT) {
        status.last_handled_reconcile_at = Some(requested.clone());
    }
    // Told before Helm begins: whoever asks for the same host next finds it taken.
    if inputs.wanted.is_ok() && !facts.is_deleting() {
        status.hosts = hosts(&environment.spec);
    }
    release(&mut status, inputs, current);
    workloads(&mut status, inputs, &plan, current);
    pod_reports::take_over(&mut status, running);
    drift::tell(&mut status, facts);
    if current {
        let namespace = environment.metadata.namespace.as_deref();
        status.endpoints = endpoints(&environment.spec, running, facts.node_address.as_deref(), namespace);
    } else if facts.history.is_empty() {
        status.endpoints = Vec::new();
    }
    status.url = status.endpoints.first().map(|endpoint| endpoint.address.clone());
    let mut conditions = conditions(inputs, &view, state.as_ref());
    if let Some(finding) = drift::finding(&status, facts)
        && !conditions.iter().any(|condition| condition.type_ == ConditionType::Drifted)
    {
        conditions.push(wanted(ConditionType::Drifted, ConditionStatus::True, &finding));
    }
    status.conditions = merge(&facts.before.conditions, conditions, facts.generation(), &Time(now));
    status
}

/// What should run. Where nothing is done about the spec's wish, what runs is measured by itself.
fn replicas(inputs: &StatusInputs<'_>, plan: &StopPlan) -> i32 {
    let held =
        inputs.plan.hold.as_ref().is_some_and(|hold| matches!(hold.kind, HoldKind::NeedsPerson | HoldKind::Braked));
    match inputs.wanted {
        Ok(wanted) if !held && !inputs.facts.is_left_alone() && !adoption::stays_asleep(inputs.status) => {
            wanted.replicas
        }
        _ => {
            let all = inputs.facts.running.workloads.iter();
            let others = all.filter(|workload| plan.role(workload) != WorkloadRole::Page);
            others.map(|workload| workload.replicas).max().unwrap_or_default()
        }
    }
}

/// The plan of what the release holds.
fn stop_plan(inputs: &StatusInputs<'_>, current: bool) -> StopPlan {
    match inputs.wanted {
        Ok(wanted) if current || inputs.facts.before.template.is_none() => wanted.stop_plan.clone(),
        _ => inputs.facts.held_plan.clone(),
    }
}

fn release(status: &mut OdooEnvironmentStatus, inputs: &StatusInputs<'_>, current: bool) {
    let claimed = |newest: &&Revision| newest.ownership.may_belong_to(&inputs.facts.environment);
    let Some(newest) = inputs.facts.history.newest().filter(claimed) else {
        status.release = None;
        return;
    };
    let chart = inputs.wanted.ok().map(|wanted| &wanted.version.content);
    let mut before = status.release.clone().unwrap_or_default();
    if let Some(compared) = status.adoption.as_ref().and_then(|adoption| adoption.comparison.as_ref()) {
        (before.chart, before.chart_version) = (Some(compared.chart.clone()), Some(compared.chart_version.clone()));
    }
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

fn workloads(status: &mut OdooEnvironmentStatus, inputs: &StatusInputs<'_>, plan: &StopPlan, current: bool) {
    let Facts { running, before, .. } = inputs.facts;
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
    let revision = |status: &OdooEnvironmentStatus| status.release.as_ref().map(|release| release.revision);
    if current && revision(before) == revision(status) {
        let gone = missing::kept(before, running, inputs.now).cloned();
        status.workloads.extend(gone.map(|workload| WorkloadStatus { ready_replicas: 0, ..workload }));
    }
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

fn wanted(type_: ConditionType, status: ConditionStatus, finding: &Finding) -> Wanted {
    Wanted { type_, status, reason: finding.reason.clone(), message: finding.message.clone() }
}

fn conditions(inputs: &StatusInputs<'_>, view: &View, state: Option<&ReleaseState>) -> Vec<Wanted> {
    let condition = wanted;
    let mut all = vec![
        condition(ConditionType::Ready, (view.standing == Standing::Ready).into(), &view.finding),
        condition(ConditionType::Available, view.available.into(), &view.finding),
    ];
    if matches!(view.standing, Standing::Progressing | Standing::FailingOn) {
        all.push(condition(ConditionType::Reconciling, ConditionStatus::True, &view.finding));
    }
    if matches!(view.standing, Standing::Stalled | Standing::FailingOn) {
        all.push(condition(ConditionType::Stalled, ConditionStatus::True, &view.finding));
    }
    if !matches!(view.standing, Standing::Stalled | Standing::FailingOn) {
        let unopened = windows::finding(inputs.facts.environment.spec.maintenance.as_ref());
        all.extend(unopened.map(|finding| condition(ConditionType::Stalled, ConditionStatus::True, &finding)));
    }
    if let Some(judged) = certificates(inputs) {
        all.push(condition(ConditionType::CertificateReady, judged.ready.into(), &judged.words));
    }
    if let Some(state) = state {
        all.push(condition(
            ConditionType::Released,
            (*state == ReleaseState::Current).into(),
            &released(inputs, state),
        ));
    }
    if matches!(state, Some(ReleaseState::ChangedByHand { .. })) {
        let finding = Finding::new(
            Reason::ChangedByHand,
            "somebody ran Helm by hand on this release; it is left so until the spec changes",
        );
        all.push(condition(ConditionType::Drifted, ConditionStatus::True, &finding));
    }
    all
}

/// What is to be said of the release: a failure, or how its newest revision is.
fn released(inputs: &StatusInputs<'_>, state: &ReleaseState) -> Finding {
    let failures = inputs.status.failures.as_ref().filter(|_| *state != ReleaseState::Current);
    if let Some(failures) = failures {
        return Finding::new(failures.reason.clone(), failures.message.clone());
    }
    let text = inputs.facts.history.newest().map_or_else(
        || "no release yet".to_owned(),
        |newest| format!("revision {} is {}", newest.number, newest.status.as_str()),
    );
    Finding::new(if *state == ReleaseState::Current { Reason::Accepted } else { Reason::Progressing }, text)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
