//! Helm operations on their way through the pool: what was begun with which inputs, and what came of it.

use odoofleet_core::error::chain;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::ObjectDifference;
use odoofleet_api::labels;
use odoofleet_core::fleet::{Affected, Change, Delta};
use odoofleet_core::task::{Compared, Evidence, Failure, Success};
use odoofleet_helm::{Action, ErrorClass, Event, ObjectDiff, Outcome, Request, Submitted, Turn, WorkerError};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::Error;
use super::request::{self, Generated};
use crate::context::Context;
use crate::watches::releases;

/// For whom an operation was begun, and with what.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The environment.
    pub environment: String,
    /// Its inputs.
    pub inputs: String,
    /// Digest of the chart, where one is rendered.
    pub chart: Option<String>,
}

/// An operation that is ready to begin.
pub struct Handover {
    /// What is asked of a worker.
    pub request: Request,
    /// How it waits.
    pub turn: Turn,
    /// For whom.
    pub begun: Begun,
    /// Passwords that were made for it.
    pub generated: Option<Generated>,
}

impl Handover {
    /// Hands the operation to the pool. What the pool does not take is found never to have happened.
    pub fn begin(self, ctx: &Context) {
        let (release, id) = (self.request.release.clone(), self.request.id.clone());
        ctx.operations.0.lock().insert(id.clone(), Waiting::Environment(self.begun));
        match ctx.pool.submit(self.request, self.turn) {
            Submitted::Accepted => tracing::debug!(release, operation = id, "Helm operation handed over"),
            Submitted::Busy | Submitted::Closed => {
                ctx.operations.forget(&id);
                tracing::info!(release, operation = id, "Helm operation not taken");
            }
        }
    }

    /// Drops an operation whose environment is gone before it could be announced.
    pub async fn drop_unbegun(self, ctx: &Context) -> Result<(), Error> {
        match self.generated {
            Some(generated) => request::take_back(ctx, generated).await,
            None => Ok(()),
        }
    }
}

/// Who waits for the end of an operation.
enum Waiting {
    Environment(Begun),
    Probe(oneshot::Sender<Result<odoofleet_helm::Success, WorkerError>>),
}

/// Operations that were handed to the pool, by id.
#[derive(Default)]
pub struct Operations(Mutex<HashMap<String, Waiting>>);

impl Operations {
    /// Forgets an operation that never happened.
    pub fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }

    fn chart(&self, id: &str) -> Option<String> {
        match self.0.lock().get(id)? {
            Waiting::Environment(begun) => begun.chart.clone(),
            Waiting::Probe(_) => None,
        }
    }
}

/// Has a worker look at something: it writes nothing, and somebody waits for the answer. None if the pool does not take it.
pub async fn probe(
    ctx: &Context,
    request: Request,
    turn: Turn,
) -> Option<Result<odoofleet_helm::Success, WorkerError>> {
    let (sender, answer) = oneshot::channel();
    let id = request.id.clone();
    ctx.operations.0.lock().insert(id.clone(), Waiting::Probe(sender));
    if ctx.pool.submit(request, turn) != Submitted::Accepted {
        ctx.operations.forget(&id);
        return None;
    }
    answer.await.ok()
}

/// Follows the pool until it ends.
pub async fn follow(ctx: Arc<Context>, mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            // What stands in the status says that it waits; now it runs.
            Event::Started { release, .. } => ask(&ctx, &release),
            Event::Progress { release, id, stage, hooks } => {
                tracing::debug!(release, stage = stage.as_str(), "Helm operation goes on");
                if let (Some(hooks), Some(chart)) = (hooks, ctx.operations.chart(&id)) {
                    ctx.fleet.with(|fleet| fleet.note_hooks(&chart, hooks.upgrade > 0));
                }
            }
            Event::Finished(outcome) => {
                // At most one GET each; the next outcome need not wait for it.
                let ctx = Arc::clone(&ctx);
                tokio::spawn(async move { finished(&ctx, outcome).await });
            }
        }
    }
}

/// Asks for a look at all who claim a release.
pub fn ask(ctx: &Context, release: &str) {
    ctx.fleet.affect(|fleet| Affected {
        environments: fleet.claimants(release).into_iter().collect(),
        ..Affected::default()
    });
}

async fn finished(ctx: &Context, outcome: Outcome) {
    tell(ctx, &outcome);
    let waiting = ctx.operations.0.lock().remove(&outcome.id);
    match waiting {
        Some(Waiting::Probe(waiting)) => {
            ctx.pool.taken(&outcome.release, &outcome.id);
            // Whoever asked may have gone.
            let _ = waiting.send(outcome.result);
        }
        Some(Waiting::Environment(begun)) => {
            if !matches!(outcome.action, Action::Compare | Action::Drift) && !is_told(ctx, &outcome) {
                refresh(ctx, &outcome.release, outcome.expected_revision).await;
            }
            let place = (begun.environment.as_str(), outcome.release.as_str(), outcome.expected_revision);
            let evidence = Evidence {
                operation: outcome.id.clone(),
                inputs: begun.inputs,
                result: match outcome.result {
                    Ok(success) => taken(ctx, &begun.environment, outcome.action, success),
                    Err(error) => Err(failure(&error, place)),
                },
            };
            // Kept before the pool forgets the operation: a look in between finds one or the other.
            ctx.fleet.affect(|fleet| {
                let affected = fleet.note_evidence(&begun.environment, evidence);
                ctx.pool.taken(&outcome.release, &outcome.id);
                affected
            });
        }
        None => ctx.pool.taken(&outcome.release, &outcome.id),
    }
}

/// What a success shows, in our words. A correction that one object refuses has failed.
fn taken(
    ctx: &Context,
    environment: &str,
    action: Action,
    success: odoofleet_helm::Success,
) -> Result<Success, Failure> {
    if let Some(refused) = success.refused.first() {
        let message = format!("\"{}\" cannot be put right: {}", refused.object, refused.message);
        return Err(Failure { reason: Reason::Drifted, message, terminal: false });
    }
    if action == Action::Drift {
        tracing::info!(environment, objects = ?success.corrected, "what somebody changed by hand is put right");
        ctx.fleet.with(|fleet| fleet.note_corrected(environment));
    }
    let checked = (action == Action::Check).then_some(success.checks);
    Ok(Success {
        nothing_to_check: checked == Some(0),
        check_started: checked.filter(|checks| *checks > 0).map(|_| Timestamp::now()),
        compared: success.compared.map(|compared| Box::new(comparison(*compared))),
    })
}

/// The worker's comparison in our words.
fn comparison(compared: odoofleet_helm::Compared) -> Compared {
    let all = |diffs: Vec<ObjectDiff>| diffs.into_iter().map(difference).collect();
    Compared {
        revision: compared.revision,
        resource_version: compared.resource_version,
        chart: compared.chart,
        chart_version: compared.chart_version,
        differences: all(compared.differences),
        unstable: all(compared.unstable),
        changes: all(compared.changes),
        restarts: compared.restarts,
    }
}

/// What differs in an object, in our words.
pub fn difference(diff: ObjectDiff) -> ObjectDifference {
    ObjectDifference {
        object: format!("{}/{}", diff.kind, diff.name),
        change: diff.change.as_str().to_owned(),
        paths: diff.paths,
    }
}

fn tell(ctx: &Context, outcome: &Outcome) {
    let class = outcome.result.as_ref().err().map_or("success", |error| error.class.as_str());
    let (operation, release, took) = (outcome.action.as_str(), &outcome.release, outcome.duration);
    ctx.metrics.helm_finished(operation, class, took);
    match &outcome.result {
        Ok(_) => {
            tracing::info!(release, operation, revision = outcome.expected_revision, ?took, "Helm operation succeeded");
        }
        Err(error) => {
            tracing::warn!(release, operation, class, message = error.message, details = ?error.details, "Helm operation failed");
        }
    }
}

/// Whether the watch has told already of what the operation left in the storage.
fn is_told(ctx: &Context, outcome: &Outcome) -> bool {
    let makes = matches!(outcome.action, Action::Install | Action::Upgrade) && outcome.result.is_ok();
    makes
        && ctx.fleet.with(|fleet| {
            let history = fleet.history(&outcome.release);
            history.deployed().is_some_and(|deployed| deployed.number == outcome.expected_revision)
        })
}

/// Reads what the storage holds of a revision: the watch's word may still be on its way.
async fn refresh(ctx: &Context, release: &str, revision: i64) {
    let name = format!("sh.helm.release.v1.{release}.v{revision}");
    match ctx.api::<PartialObjectMeta<Secret>>().get_opt(&name).await {
        Ok(Some(secret)) => {
            if let Some(stored) = releases::read(&secret) {
                ctx.fleet.apply(Change::Releases(Delta::Applied(stored)));
            }
        }
        Ok(None) => ctx.fleet.affect(|fleet| fleet.forget_number(release, revision)),
        Err(error) => tracing::warn!(release, error = chain(&error), "the release cannot be read; the watch will tell"),
    }
}

/// The worker's class as our reason. `place` is environment, release and revision.
fn failure(error: &WorkerError, place: (&str, &str, i64)) -> Failure {
    let reason = match error.class {
        ErrorClass::Schema => Reason::SchemaViolation,
        ErrorClass::Render | ErrorClass::ValueRequired => Reason::RenderFailed,
        ErrorClass::Chart => Reason::ChartInvalid,
        ErrorClass::Forbidden => Reason::Forbidden,
        ErrorClass::Immutable => Reason::ImmutableField,
        ErrorClass::Invalid => Reason::InvalidObject,
        ErrorClass::TooLarge => Reason::ReleaseTooLarge,
        ErrorClass::Hook => Reason::HookFailed,
        ErrorClass::Deadline => Reason::DeadlineExceeded,
        ErrorClass::WouldDeleteData => Reason::WouldDeleteData,
        ErrorClass::KindNotAllowed => Reason::KindNotAllowed,
        ErrorClass::SecretNotAllowed | ErrorClass::ReferenceNotAllowed => Reason::ReferenceNotAllowed,
        ErrorClass::Conflict
        | ErrorClass::Locked
        | ErrorClass::Unreachable
        | ErrorClass::PermitExpired
        | ErrorClass::StaleRevision
        | ErrorClass::NotFound
        | ErrorClass::RecordUnreadable
        | ErrorClass::InvalidRequest
        | ErrorClass::Died
        | ErrorClass::Unknown => Reason::HelmFailed,
    };
    // The message often is the first detail.
    let more: Vec<&str> =
        error.details.iter().map(String::as_str).filter(|detail| !error.message.contains(detail)).collect();
    let details = if more.is_empty() { String::new() } else { format!(": {}", more.join("; ")) };
    let (environment, release, revision) = place;
    let remedy = match reason {
        _ if error.class == ErrorClass::Died => {
            "; the operator's log says why, perhaps that it took more memory than the operator's setting workerMemory allows".to_owned()
        }
        Reason::WouldDeleteData => format!(
            "; nothing was changed. Take the change back, or, if this data may go: kubectl annotate oenv {environment} --overwrite {}={release}/{revision}",
            labels::ALLOW_DATA_LOSS
        ),
        _ => String::new(),
    };
    Failure { reason, message: format!("{}{details}{remedy}", error.message), terminal: error.class.is_terminal() }
}

/// The class as the reason of a condition, for what is checked without an environment.
pub fn reason_of(error: &WorkerError) -> (Reason, String) {
    let failure = failure(error, ("", "", 0));
    (failure.reason, failure.message)
}
