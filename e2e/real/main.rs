//! The scenarios on a real node. Each function's name is the fact that it holds.
#![allow(missing_docs, reason = "the names say it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario fails by panicking, in its helpers too"
)]

mod database;
mod odoo;
mod prepare;

use k8s_openapi::api::core::v1::Pod;

type Result = anyhow::Result<()>;

/// Whether a pod's condition Ready is true.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
