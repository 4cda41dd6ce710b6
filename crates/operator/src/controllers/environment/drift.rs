//! Having a worker look for drift, and asking it to put drift right.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use odoofleet_api::environment::DriftDetection;
use odoofleet_core::environment::Facts;
use odoofleet_core::environment::drift::{self, DriftFound};
use odoofleet_core::values::workload_key;
use odoofleet_helm::{Command, Drift, Ignore, Lane, Request, Turn};

use super::operations::{difference, probe};
use crate::context::Context;

/// Seconds for a look or a correction.
const TIMEOUT: i64 = 120;

/// Has a worker look. Its end asks for another look at the environment.
pub fn begin(ctx: &Arc<Context>, facts: &Facts, release: &str, objects: Option<&BTreeSet<String>>) {
    let (name, Some(revision)) = (facts.name().to_owned(), facts.history.newest().map(|newest| newest.number)) else {
        return;
    };
    if !ctx.fleet.with(|fleet| fleet.begin_drift(&name)) {
        return;
    }
    let everything = objects.is_none();
    let request = request(ctx, facts, release, revision, What::Look(objects.cloned()));
    let turn = Turn { lane: Lane::Rollout, tenant: facts.environment.spec.customer_ref.name.clone(), hooks: false };
    let (ctx, rules, uid) = (Arc::clone(ctx), drift::rules(facts), facts.environment.uid());
    tokio::spawn(async move {
        let answer = probe(&ctx, request, turn).await;
        let found = match answer {
            Some(Ok(success)) => {
                if let Some(refused) = success.refused.first() {
                    tracing::warn!(
                        environment = name,
                        object = refused.object,
                        error = refused.message,
                        "an object cannot be compared"
                    );
                }
                let differences = success.drift.into_iter().map(difference).collect();
                Some(DriftFound { revision, rules, differences })
            }
            Some(Err(error)) => {
                tracing::warn!(
                    environment = name,
                    error = error.message,
                    "the look for drift failed; it is tried again"
                );
                None
            }
            None => None,
        };
        tracing::debug!(environment = name, uid, "looked for drift");
        ctx.fleet.affect(|fleet| fleet.end_drift(&name, found, everything, Timestamp::now()));
    });
}

/// What a worker does about drift.
pub enum What {
    /// It looks at these objects, or at all.
    Look(Option<BTreeSet<String>>),
    /// It puts right whatever differs.
    Correct,
}

/// What is asked of a worker.
pub fn request(ctx: &Context, facts: &Facts, release: &str, revision: i64, what: What) -> Request {
    let running = &facts.running;
    let workloads = running.workloads.iter().map(|workload| workload_key(workload.kind, &workload.name));
    let cron_jobs = running.cron_jobs.iter().map(|job| format!("CronJob/{}", job.name));
    let (correct, objects) = match what {
        What::Look(objects) => (false, objects),
        What::Correct => (true, None),
    };
    let drift = Drift {
        correct,
        objects: objects.map(|objects| objects.into_iter().collect()),
        ignore: ignored(&drift::rules(facts)),
        scaled: workloads.chain(cron_jobs).collect(),
    };
    Request {
        id: format!("{:016x}", rand::random::<u64>()),
        release: release.to_owned(),
        namespace: ctx.settings.namespace.clone(),
        expected_revision: revision,
        revisions: facts.history.numbers(0),
        timeout_seconds: TIMEOUT,
        command: Command::Drift { drift },
    }
}

fn ignored(rules: &DriftDetection) -> Vec<Ignore> {
    rules.ignore.iter().map(|one| Ignore { object: one.object.clone(), paths: one.paths.clone() }).collect()
}
