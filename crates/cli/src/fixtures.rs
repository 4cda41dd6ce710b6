//! Objects as tests begin with them.

use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::{Value, json};

/// Production of customer `acme` in its third generation, with a status.
pub fn environment(status: &Value) -> OdooEnvironment {
    serde_json::from_value(json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
        "metadata": {"name": "acme-prod", "namespace": "odoo", "generation": 3},
        "spec": {"customerRef": {"name": "acme"}, "serviceName": "prod", "stage": "Production",
            "templateRef": {"name": "odoo-18"}},
        "status": status,
    }))
    .unwrap()
}

/// A template whose spec names version 2, with what is told of a rollout, which may be paused.
pub fn template(rollout: &Value, paused: bool) -> OdooTemplate {
    serde_json::from_value(json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": "odoo-18"},
        "spec": {"version": "2", "odooVersion": "18.0", "chart": {"path": "odoo"}, "rollout": {"paused": paused}},
        "status": {"rollout": rollout},
    }))
    .unwrap()
}
