//! The types of OdooFleet's custom resources (`odoofleet.dev/v1alpha1`).
//!
//! This crate is vocabulary: kinds, conditions, labels and validated names. It decides nothing and talks to nothing.
//! Descriptions of fields end up in the CRDs and so in `kubectl explain`.

pub mod conditions;
pub mod customer;
pub mod environment;
pub mod labels;
pub mod maintenance;
pub mod names;
pub mod rollout;
mod schema;
pub mod template;

pub use customer::{OdooCustomer, OdooCustomerSpec, OdooCustomerStatus};
pub use environment::{OdooEnvironment, OdooEnvironmentSpec, OdooEnvironmentStatus};
pub use template::{OdooTemplate, OdooTemplateSpec, OdooTemplateStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind of ours.
pub const GROUP: &str = "odoofleet.dev";

/// A free-form JSON object, such as Helm values.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// All CRDs, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![OdooCustomer::crd(), OdooTemplate::crd(), OdooEnvironment::crd()];
    for crd in &mut crds {
        schema::finish(crd);
    }
    crds
}
