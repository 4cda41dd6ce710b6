//! Environments: from facts to a step to a status.

mod carry;
mod dereference;
mod drift;
mod operations;
mod request;
mod scale;
mod tell;

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use odoofleet_core::environment::{Decision, decide};

use self::carry::{Prepared, Ready};
use crate::context::Context;

pub use operations::{Operations, follow, probe, reason_of};
pub use tell::Throttle;

/// Why an environment could not be looked at. Each is transient: the API server, or the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer.
    #[error("failed to set the finalizer")]
    Finalizer(#[source] kube::Error),
    /// What the spec refers to.
    #[error("failed to read {0}")]
    Dereference(String, #[source] kube::Error),
    /// The kept archive of the chart.
    #[error("failed to read the kept archive of the chart")]
    Chart(#[source] kube::Error),
    /// The generated Secret, or the values from Secrets.
    #[error("failed to prepare the Helm operation")]
    Prepare(#[source] kube::Error),
    /// A Secret that Production names.
    #[error("failed to label Secret \"{0}\", which a Production environment names")]
    Reserve(String, #[source] kube::Error),
    /// The lease.
    #[error("failed to read the lease")]
    Permit(#[source] kube::Error),
    /// The record of a release that is taken over.
    #[error("failed to label the record of release \"{0}\"")]
    Adopt(String, #[source] kube::Error),
    /// The record of a release that somebody else installed.
    #[error("failed to read the record of release \"{0}\"")]
    Record(String, #[source] kube::Error),
    /// Workloads.
    #[error("failed to scale {0}")]
    Scale(String, #[source] kube::Error),
    /// A pod.
    #[error("failed to delete pod \"{0}\"")]
    Pod(String, #[source] kube::Error),
    /// What a deletion does.
    #[error("failed to {0}")]
    Deletion(&'static str, #[source] kube::Error),
    /// The status.
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

/// One look at an environment: read, decide, do one thing, tell. The answer is when the next look is due by itself.
pub async fn look(name: String, ctx: Arc<Context>) -> Result<Option<Timestamp>, Error> {
    let Some(facts) = dereference::facts(&ctx, &name).await? else { return Ok(None) };
    let decision = decide(&facts, Timestamp::now());
    let Ready { facts, decision, operation } = match carry::prepare(&ctx, facts, decision).await? {
        Prepared::Ready(ready) => *ready,
        Prepared::NotLeading(again) => return Ok(Some(again)),
    };
    // Short acts are told when they are done; what is long is announced before it begins, so that whoever finds it in the
    // status knows what may have happened.
    let told = carry::act(&ctx, &facts, &decision).await?;
    let Some(Decision { status, wake_at, .. }) = told else { return Ok(None) };
    let told = tell::tell(&ctx, &facts, status).await?;
    Ok(match (told, operation) {
        (tell::Told::Gone, Some(operation)) => {
            operation.drop_unbegun(&ctx).await?;
            None
        }
        (tell::Told::Gone, None) => None,
        (tell::Told::Later(later), _) => Some(wake_at.map_or(later, |wake_at| wake_at.min(later))),
        (tell::Told::Written | tell::Told::Unchanged, operation) => {
            if let Some(operation) = operation {
                operation.begin(&ctx);
            }
            wake_at
        }
    })
}

fn with_uid(uid: &str) -> DeleteParams {
    let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    DeleteParams { preconditions, ..DeleteParams::default() }
}
