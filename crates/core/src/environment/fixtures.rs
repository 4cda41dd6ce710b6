//! What tables begin with. A row changes what it is about, and a new field is written here once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::CustomerPhase;
use odoofleet_api::environment::{Action, Failures, OdooEnvironmentStatus, Operation};
use odoofleet_api::template::{WorkloadKind, WorkloadRole};
use odoofleet_api::{Object, OdooEnvironment, labels};
use serde_json::{Value, json};

use super::drift::DriftFacts;
use super::facts::Facts;
use super::references::{CustomerView, ObjectKind, ObjectName, ReferencedObject, References, VersionView};
use crate::chart::Chart;
use crate::observed::{Container, Pod, Running, Volume, Workload};
use crate::release::{History, Ownership, ReleaseStatus, Revision};
use crate::template::{StopPlan, VersionContent};

/// Environment `acme-prod` of customer `acme` in Production, under our finalizer.
pub fn environment(replicas: i32, change: impl FnOnce(&mut Value)) -> OdooEnvironment {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
        "metadata": { "name": "acme-prod", "uid": "u1", "generation": 3, "finalizers": [labels::FINALIZER] },
        "spec": {
            "customerRef": { "name": "acme" }, "serviceName": "prod", "stage": "Production", "replicas": replicas,
            "templateRef": { "name": "odoo-18" },
        },
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

/// Operation `1`, which was handed over at the begin of time for generation 1.
pub fn operation(action: Action, revision: i64) -> Operation {
    Operation {
        id: "1".into(),
        action,
        expected_revision: revision,
        holder: "h".into(),
        queued: None,
        generation: 1,
        template: None,
        started_at: Time(Timestamp::UNIX_EPOCH),
        timeout_seconds: 300,
        valid_until: Time(Timestamp::UNIX_EPOCH),
    }
}

/// A workload with one pod that is ready. A Deployment is Application, a StatefulSet Database.
pub fn workload(kind: WorkloadKind, name: &str) -> Workload {
    Workload {
        kind,
        name: name.into(),
        release: "acme-prod".into(),
        role: match kind {
            WorkloadKind::Deployment => WorkloadRole::Application,
            WorkloadKind::StatefulSet => WorkloadRole::Database,
        },
        live: false,
        replicas: 1,
        current_replicas: 1,
        ready_replicas: 1,
        observed: true,
        updated: true,
        replicas_before_stop: None,
        selector: BTreeMap::new(),
        claims: vec![],
        claim_templates: vec![],
        pods_refused: None,
        autoscaled: false,
        resource_version: "1".into(),
    }
}

/// One web Deployment whose pods `spec.replicas` counts, and one database.
pub fn running(web: i32, database: i32) -> Running {
    let of = |kind, name: &str, replicas: i32| Workload {
        replicas,
        current_replicas: replicas,
        ready_replicas: replicas,
        replicas_before_stop: (replicas == 0).then_some(1),
        ..workload(kind, name)
    };
    let web = Workload { live: true, ..of(WorkloadKind::Deployment, "acme-prod-web", web) };
    let database = of(WorkloadKind::StatefulSet, "acme-prod-db", database);
    Running { workloads: vec![web, database], ..Running::default() }
}

/// A pod that is not ready, without containers.
pub fn pod(kind: WorkloadKind, owner: &str, name: &str) -> Pod {
    Pod {
        name: name.into(),
        uid: name.into(),
        owner: (kind, owner.into()),
        created_at: Timestamp::UNIX_EPOCH,
        deleting: false,
        finished: false,
        ready: false,
        unschedulable: None,
        node_lost: false,
        node: Some("n1".into()),
        containers: vec![],
    }
}

/// A container that runs and is not ready.
pub fn container(name: &str) -> Container {
    Container {
        name: name.into(),
        init: false,
        ready: false,
        restarts: 0,
        running: true,
        waiting: None,
        terminated: None,
    }
}

/// A bound claim for one pod, which says itself that it is the environment's.
pub fn volume(name: &str) -> Volume {
    Volume { name: name.into(), bound: true, shared: false, size: Some("10Gi".into()), deleting: false, marked: true }
}

/// Failures in a row, the last at second 0.
pub fn failures(count: i32, terminal: bool, inputs: &str) -> Failures {
    Failures {
        count,
        reason: Reason::RenderFailed,
        message: "m".into(),
        terminal,
        inputs: inputs.into(),
        at: Time(Timestamp::UNIX_EPOCH),
    }
}

/// A Secret of type Opaque with these keys, which nothing reserves, shares or marks.
pub fn secret(name: &str, customer: Option<&str>, keys: &[&str]) -> (ObjectName, ReferencedObject) {
    let found = ReferencedObject::Found {
        customer: customer.map(str::to_owned),
        shared: false,
        type_: "Opaque".into(),
        environment: None,
        stage: None,
        named_by_production: false,
        generated_for: None,
        generated_uid: None,
        keys: keys.iter().map(|key| ((*key).to_owned(), "digest".to_owned())).collect(),
        resource_version: "7".into(),
    };
    (ObjectName { kind: ObjectKind::Secret, name: name.into() }, found)
}

/// What revision `number` of release `acme-prod` says of whom it was made for: environment `acme-prod` of customer `acme`.
pub fn ownership(number: i64) -> Ownership {
    Ownership {
        customer: Some("acme".into()),
        environment: Some("acme-prod".into()),
        environment_uid: Some("u1".into()),
        stage: Some("Test".into()),
        customer_id: Some("acme".into()),
        odoo_version: None,
        postgres_major: None,
        spec_hash: Some("h1".into()),
        check: Some("c1".into()),
        revision: Some(number),
        retained_at: None,
    }
}

/// A release `acme-prod` with one revision, made at second 1000.
pub fn history(number: i64, status: ReleaseStatus, change: impl FnOnce(&mut Ownership)) -> History {
    let mut ownership = ownership(number);
    change(&mut ownership);
    let mut history = History::default();
    history.upsert(Revision {
        release: "acme-prod".into(),
        number,
        status,
        ownership,
        created_at: Timestamp::from_second(1000).unwrap(),
        resource_version: "1".into(),
    });
    history
}

/// Facts about an environment of which nothing is there yet.
pub fn facts(environment: OdooEnvironment) -> Facts {
    Facts {
        references: References {
            customer: Some(CustomerView {
                id: "acme".into(),
                phase: Some(CustomerPhase::Active),
                stop: None,
                max_environments: None,
                domains: vec![],
                is_deleting: false,
            }),
            unreadable_customer: false,
            version: Ok(version(|_| ())),
            held: None,
            release: None,
            objects: BTreeMap::new(),
            rivals: vec![],
            rank_in_customer: 0,
            allowed_git_hosts: vec![],
            allowed_domains: vec![],
            hosts_elsewhere: BTreeMap::new(),
            namespace: "odoo".into(),
        },
        environment: Arc::new(environment),
        before: OdooEnvironmentStatus::default(),
        history: History::default(),
        running: Running::default(),
        held_plan: StopPlan::default(),
        task: None,
        evidence: None,
        brake: None,
        has_upgrade_hooks: false,
        generated_secret: None,
        is_orphaned: false,
        obstacle: None,
        fence: Timestamp::from_second(1500).unwrap(),
        drift: DriftFacts { everything_at: Timestamp::MAX, ..DriftFacts::default() },
        node_address: None,
    }
}

/// A version of template `odoo-18` that binds nothing, and reads the generated passwords.
pub fn version(change: impl FnOnce(&mut VersionContent)) -> VersionView {
    let mut content = VersionContent {
        format: 1,
        version: "1".into(),
        chart_digest: "0".repeat(64),
        chart_name: "odoo".into(),
        chart_version: "1.0.0".into(),
        odoo_version: "18.0".into(),
        postgres_major: None,
        values: [("existingSecret".to_owned(), "acme-prod-odoofleet".into())].into_iter().collect(),
        values_schema: None,
        bindings: vec![],
        required: vec![],
        secret_paths: vec![],
        locked_paths: vec![],
        workloads: vec![],
    };
    change(&mut content);
    let chart = Chart {
        name: "odoo".into(),
        version: "1.0.0".into(),
        values: Object::new(),
        schema: None,
        secret_paths: vec![],
        locked_paths: vec![],
        check_paths: vec![],
        has_dependencies: false,
    };
    VersionView {
        template: "odoo-18".into(),
        digest: content.digest(),
        content: Arc::new(content),
        chart: Arc::new(chart),
        schema: None,
        waits_for: None,
    }
}
