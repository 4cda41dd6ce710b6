//! What tables begin with. A row changes what it is about, and a new field is written here once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::Object;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};

use super::references::VersionView;
use crate::chart::Chart;
use crate::observed::{Container, Pod, Workload};
use crate::template::VersionContent;

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
        resource_version: "1".into(),
    }
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

/// A version of template `odoo-18` that binds nothing.
pub fn version(change: impl FnOnce(&mut VersionContent)) -> VersionView {
    let mut content = VersionContent {
        format: 1,
        version: "1".into(),
        chart_digest: "0".repeat(64),
        chart_name: "odoo".into(),
        chart_version: "1.0.0".into(),
        odoo_version: "18.0".into(),
        postgres_major: None,
        values: Object::new(),
        values_schema: None,
        bindings: vec![],
        required: vec![],
        secret_paths: vec![],
        workloads: vec![],
    };
    change(&mut content);
    let chart = Chart {
        name: "odoo".into(),
        version: "1.0.0".into(),
        values: Object::new(),
        schema: None,
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
