//! Templates: immutable versions, the charts that they keep, and the rollout of the newest.

mod freeze;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::DeleteParams;
use odoofleet_api::OdooTemplate;
use odoofleet_core::fleet::Answer;
use odoofleet_core::template::TemplateStep;

use super::objects::{apply_status, set_finalizer};
use super::records;
use crate::context::Context;

pub use freeze::Freezing;

/// Why a template could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The finalizer.
    #[error("failed to set the finalizer of template \"{name}\"")]
    Finalizer {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// A version of no more use.
    #[error("failed to remove version \"{object}\" of template \"{name}\"")]
    Prune {
        /// Name.
        name: String,
        /// Its `ControllerRevision`.
        object: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// A release that nobody claims.
    #[error("failed to read the records of releases that nobody claims")]
    Records(#[source] kube::Error),
    /// The status.
    #[error("failed to write the status of template \"{name}\"")]
    Status {
        /// Name.
        name: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
}

/// One look at a template. The answer is when the next look is due by itself.
pub async fn look(name: String, ctx: Arc<Context>) -> Result<Option<Timestamp>, Error> {
    records::learn(&ctx).await.map_err(Error::Records)?;
    let decided = ctx.fleet.with(|fleet| {
        let template = Arc::clone(fleet.template(&name)?);
        Some((template, fleet.decide_template(&name, Timestamp::now())?))
    });
    let Some((template, decision)) = decided else {
        ctx.template_counts.forget(&name);
        return Ok(None);
    };
    match decision.step {
        TemplateStep::Nothing => {}
        TemplateStep::Protect => return protect(&ctx, &template, &name, true).await,
        TemplateStep::LetGo => return protect(&ctx, &template, &name, false).await,
        TemplateStep::Freeze { inputs } => {
            if ctx.fleet.with(|fleet| fleet.begin_freeze(&name, &inputs)) {
                // Its end asks for another look.
                tokio::spawn(freeze::freeze(Arc::clone(&ctx), Arc::clone(&template)));
            }
        }
        TemplateStep::Prune(objects) => {
            for object in objects {
                prune(&ctx, &object).await.map_err(|source| Error::Prune { name: name.clone(), object, source })?;
            }
        }
    }
    let (written, wake_at) = (template.status.as_ref(), decision.wake_at);
    if let Some(later) = ctx.template_counts.later(&name, written, &decision.status, wake_at) {
        return Ok(Some(later));
    }
    if template.status.as_ref() != Some(&decision.status) {
        let written = apply_status(&ctx, template.as_ref(), &decision.status).await;
        let written = written.map_err(|source| Error::Status { name, source })?;
        if let Some(object) = written {
            ctx.fleet.affect(|fleet| fleet.note_answer(Answer::Template(object.into())));
        }
    }
    Ok(decision.wake_at)
}

async fn protect(ctx: &Context, template: &OdooTemplate, name: &str, wanted: bool) -> Result<Option<Timestamp>, Error> {
    let set = set_finalizer(ctx, template, wanted).await;
    let set = set.map_err(|source| Error::Finalizer { name: name.to_owned(), source })?;
    // What has changed meanwhile comes with its event.
    if let Some(object) = set.filter(|_| wanted) {
        ctx.fleet.affect(|fleet| fleet.note_answer(Answer::Template(object.into())));
    }
    Ok(None)
}

async fn prune(ctx: &Context, object: &str) -> kube::Result<()> {
    match ctx.api::<ControllerRevision>().delete(object, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}
