use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::Phase;
use odoofleet_api::template::WorkloadKind;
use serde_json::json;

use super::super::fixtures;
use super::*;
use crate::observed::Workload;

fn workload(name: &str, role: WorkloadRole, replicas: i32, replicas_before_stop: Option<i32>) -> Workload {
    Workload {
        role,
        replicas,
        current_replicas: replicas,
        ready_replicas: replicas,
        replicas_before_stop,
        ..fixtures::workload(WorkloadKind::Deployment, name)
    }
}

fn phase(running: &Running, finding: &Finding) -> (Phase, Option<Reason>) {
    let environment: OdooEnvironment = serde_json::from_value(json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": { "name": "acme-prod" },
        "spec": {
            "customerRef": { "name": "acme" }, "serviceName": "prod", "stage": "Production", "replicas": 1,
            "templateRef": { "name": "odoo-18" },
        },
    }))
    .unwrap();
    let mut facts = fixtures::facts(environment);
    facts.running = running.clone();
    facts.history = fixtures::history(1, crate::release::ReleaseStatus::Deployed, |_| ());
    let status = derive(&StatusInputs {
        status: &facts.before,
        facts: &facts,
        wanted: Err(finding),
        plan: &Plan::refuse(finding.clone()),
        now: Timestamp::UNIX_EPOCH,
    });
    (status.phase.unwrap(), status.reason)
}

#[test]
fn a_refused_spec_leaves_the_phase_to_what_runs() {
    let finding = || Finding::new(Reason::CustomerNotFound, "m");
    let of = |web: i32, page: i32| Running {
        workloads: vec![
            workload("acme-prod-page", WorkloadRole::Page, page, None),
            workload("acme-prod-web", WorkloadRole::Application, web, (web == 0).then_some(1)),
        ],
        ..Running::default()
    };
    let told = Some(Reason::CustomerNotFound);
    assert_eq!(phase(&of(1, 0), &finding()), (Phase::Running, told.clone()));
    assert_eq!(phase(&of(0, 1), &finding()), (Phase::Stopped, told.clone()), "its page is not it");
    assert_eq!(phase(&Running::default(), &finding()), (Phase::Error, told));
}
