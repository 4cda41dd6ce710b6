//! From what is wanted and what is observed to the one next step.

use std::time::Duration;

use jiff::Timestamp;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, Failures, OdooEnvironmentStatus};
use odoofleet_api::template::WorkloadRole;

use super::Refusal;
use super::check::{self, First};
use super::judge::Verdict;
use super::scaling::{self, ScaleStep};
use super::validate::Validated;
use crate::digest;
use crate::observed::{Pod, Running};
use crate::release::{History, ReleaseState, Revision};
use crate::template::StopPlan;

/// First pause after a failure; it doubles up to [`LAST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// Longest pause after a failure.
const LAST_BACKOFF: Duration = Duration::from_mins(15);
/// From so many failures in a row on, the condition `Stalled` says so.
pub const STALLED_FAILURES: i32 = 3;
/// How long another Helm may hold a release, from the creation of its pending revision.
const FOREIGN_LOCK_GRACE: Duration = Duration::from_mins(15);

/// A stop that is held is looked at again this soon.
const HELD: Duration = Duration::from_secs(30);

/// What is known when the step is chosen.
pub struct Situation<'a> {
    /// What is wanted.
    pub wanted: &'a Validated,
    /// The release's revisions.
    pub history: &'a History,
    /// What runs.
    pub running: &'a Running,
    /// The last status that was written.
    pub status: &'a OdooEnvironmentStatus,
    /// Judgement of the operation that stands in the status.
    pub verdict: Option<&'a Verdict>,
    /// From then on no worker of an earlier leader can write any more.
    pub fence: Timestamp,
    /// Why a stop that the customer's state asks for must wait.
    pub held: Option<&'a Refusal>,
    /// Whether the chart is not known to have nothing in which it tries its inputs.
    pub has_check: bool,
    /// Pods that were created before this moment are to be replaced.
    pub restart_before: Option<Timestamp>,
    /// The present time.
    pub now: Timestamp,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be done.
    Nothing,
    /// Something else must happen first.
    Wait {
        /// What.
        refusal: Refusal,
        /// When to look again, if nothing tells earlier.
        until: Option<Timestamp>,
    },
    /// A person must change something first.
    Refuse(Refusal),
    /// One Helm operation.
    Helm {
        /// What.
        action: Action,
        /// The revision that it makes; for an unlock the one that it acts on.
        revision: i64,
    },
    /// Scale workloads.
    Scale(ScaleStep),
    /// Remove the pod of a check that is of no more use.
    EndCheck {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Replace one pod.
    RestartPod {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

/// Chooses the step.
pub fn plan(situation: &Situation<'_>) -> Step {
    if let Some(step) = unfinished(situation) {
        return step;
    }
    let wanted = situation.wanted;
    let state = ReleaseState::of(situation.history, &wanted.claim());
    let next = situation.history.newest().map_or(1, |newest| newest.number + 1);
    match state {
        ReleaseState::Absent => match &wanted.install_refusal {
            Some(refusal) if refusal.reason == Reason::Progressing => {
                Step::Wait { refusal: refusal.clone(), until: None }
            }
            Some(refusal) => Step::Refuse(refusal.clone()),
            None => try_helm(situation, Action::Install, next),
        },
        ReleaseState::Current => settled(situation),
        ReleaseState::Outdated | ReleaseState::Failed => {
            stop_first(situation).unwrap_or_else(|| upgrade(situation, next))
        }
        ReleaseState::Locked => stop_first(situation).unwrap_or_else(|| locked(situation)),
        ReleaseState::Foreign => Step::Refuse(Refusal::new(
            Reason::AdoptionPending,
            format!("release \"{}\" exists and was not installed by OdooFleet: it is left alone", wanted.release),
        )),
        ReleaseState::ChangedByHand => changed_by_hand(situation, next),
        ReleaseState::OwnedByAnother { customer, environment } => Step::Refuse(Refusal::new(
            Reason::ReleaseOwnedByAnother,
            format!(
                "release \"{}\" belongs to environment \"{environment}\" of customer \"{customer}\": choose another serviceName",
                wanted.release
            ),
        )),
        ReleaseState::Uninstalling => Step::Refuse(Refusal::new(
            Reason::HelmFailed,
            format!(
                "somebody is uninstalling release \"{0}\": finish it with helm uninstall {0}, then it is installed again",
                wanted.release
            ),
        )),
    }
}

/// An operation that is not over keeps everything but a stop waiting.
fn unfinished(situation: &Situation<'_>) -> Option<Step> {
    let operation = situation.status.operation.as_ref()?;
    let until = match situation.verdict? {
        Verdict::Running => Some(operation.deadline.0),
        Verdict::MayWriteUntil(until) => Some(*until),
        Verdict::Succeeded | Verdict::Failed(_) | Verdict::NeverHappened => return None,
    };
    if let Some(stop) = stop_first(situation) {
        return Some(stop);
    }
    let (reason, what) = match operation.action {
        Action::Install => (Reason::Installing, "installs"),
        Action::Unlock => (Reason::Unlocking, "recovers"),
        Action::Check => (Reason::Checking, "starts the pod that tries"),
        _ => (Reason::Upgrading, "upgrades"),
    };
    let message = format!("Helm {what} revision {} since {}", operation.expected_revision, operation.started_at.0);
    Some(Step::Wait { refusal: Refusal::new(reason, message), until })
}

/// A stop does not wait for Helm.
fn stop_first(situation: &Situation<'_>) -> Option<Step> {
    if situation.wanted.replicas > 0 {
        return None;
    }
    let scaling = scaling::next(0, situation.running, &situation.wanted.stop_plan)?;
    Some(
        situation.held.map_or(Step::Scale(scaling), |held| Step::Wait {
            refusal: held.clone(),
            until: Some(situation.now + HELD),
        }),
    )
}

fn try_helm(situation: &Situation<'_>, action: Action, revision: i64) -> Step {
    let failures = situation.status.failures.as_ref().filter(|failures| failures.inputs == situation.wanted.inputs);
    let Some(failures) = failures else { return Step::Helm { action, revision } };
    let refusal = Refusal::new(reason_of(failures), failures.message.clone());
    if failures.terminal {
        return Step::Refuse(refusal);
    }
    let until = failures.at.0 + backoff(failures.count, &situation.wanted.uid);
    if situation.now >= until {
        return Step::Helm { action, revision };
    }
    let message = format!("{}; tried {} times, next try at {until:.0}", failures.message, failures.count);
    Step::Wait { refusal: Refusal::new(refusal.reason, message), until: Some(until) }
}

fn reason_of(failures: &Failures) -> Reason {
    const REASONS: [Reason; 13] = [
        Reason::SchemaViolation,
        Reason::RenderFailed,
        Reason::Forbidden,
        Reason::KindNotAllowed,
        Reason::ReferenceNotAllowed,
        Reason::ReferenceNotFound,
        Reason::WouldDeleteData,
        Reason::ImmutableField,
        Reason::InvalidObject,
        Reason::ReleaseTooLarge,
        Reason::HookFailed,
        Reason::DeadlineExceeded,
        Reason::ChartInvalid,
    ];
    REASONS.into_iter().find(|reason| reason.as_str() == failures.reason).unwrap_or(Reason::HelmFailed)
}

/// Doubles with each failure; the UID moves it by up to a fifth, so that a fleet does not try again in one beat.
fn backoff(failures: i32, uid: &str) -> Duration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    let pause = (FIRST_BACKOFF * 2_u32.pow(doublings)).min(LAST_BACKOFF);
    let spread = digest::base32(uid.as_bytes()).bytes().next().map_or(0, |byte| u32::from(byte % 20));
    pause + pause * spread / 100
}

fn locked(situation: &Situation<'_>) -> Step {
    let Some(newest) = situation.history.newest() else { return Step::Nothing };
    let unlock = Step::Helm { action: Action::Unlock, revision: newest.number };
    if is_our_own(situation, newest) {
        // Whoever made it is over (else the step had been to wait), and so is every earlier leader from the fence on.
        return if situation.now >= situation.fence { unlock } else { wait_for_lock(newest, situation.fence) };
    }
    let until = newest.created_at + FOREIGN_LOCK_GRACE;
    if situation.now >= until { unlock } else { wait_for_lock(newest, until) }
}

fn is_our_own(situation: &Situation<'_>, newest: &Revision) -> bool {
    newest.ownership.environment_uid.as_deref() == Some(&situation.wanted.uid)
        && newest.ownership.revision == Some(newest.number)
}

fn wait_for_lock(newest: &Revision, until: Timestamp) -> Step {
    let message = format!(
        "revision {} is \"{}\": a Helm holds the release; it is recovered at {until:.0} if it still is then",
        newest.number,
        newest.status.as_str()
    );
    Step::Wait { refusal: Refusal::new(Reason::ForeignOperation, message), until: Some(until) }
}

/// Somebody ran Helm by hand: that stays until the spec changes.
fn changed_by_hand(situation: &Situation<'_>, next: i64) -> Step {
    let newest = situation.history.newest();
    let same_spec =
        newest.and_then(|revision| revision.ownership.spec_hash.as_deref()) == Some(&situation.wanted.spec_hash);
    if !same_spec {
        return stop_first(situation).unwrap_or_else(|| upgrade(situation, next));
    }
    settled(situation)
}

/// What runs is not given up for inputs that were never tried.
fn upgrade(situation: &Situation<'_>, next: i64) -> Step {
    match check::first(situation) {
        First::Nothing => try_helm(situation, Action::Upgrade, next),
        First::Start => try_helm(situation, Action::Check, next),
        First::Wait(refusal) => Step::Wait { refusal, until: None },
    }
}

fn settled(situation: &Situation<'_>) -> Step {
    if let Some(check) = situation.running.check.as_ref().filter(|check| !check.pod.deleting) {
        return Step::EndCheck { name: check.pod.name.clone(), uid: check.pod.uid.clone() };
    }
    if situation.wanted.replicas == 0 {
        return stop_first(situation).unwrap_or(Step::Nothing);
    }
    if let Some(step) = scaling::next(situation.wanted.replicas, situation.running, &situation.wanted.stop_plan) {
        return Step::Scale(step);
    }
    situation.restart_before.and_then(|before| restart(situation, before)).unwrap_or(Step::Nothing)
}

/// One pod at a time, and only while the others are ready.
fn restart(situation: &Situation<'_>, before: Timestamp) -> Option<Step> {
    let plan = &situation.wanted.stop_plan;
    let pods: Vec<_> = application_pods(situation.running, plan).collect();
    let old = pods.iter().find(|pod| pod.created_at < before && !pod.deleting)?;
    let busy = pods.iter().any(|pod| pod.deleting || (!pod.ready && pod.created_at >= before));
    let ready = plan
        .with_role(situation.running, WorkloadRole::Application)
        .iter()
        .all(|workload| workload.current_replicas >= workload.replicas);
    if busy || !ready {
        let message = "pods are being replaced one by one".to_owned();
        return Some(Step::Wait { refusal: Refusal::new(Reason::Restarting, message), until: None });
    }
    Some(Step::RestartPod { name: old.name.clone(), uid: old.uid.clone() })
}

/// Whether a restart that was asked for is complete. Databases are not restarted.
pub fn restart_is_over(running: &Running, plan: &StopPlan, before: Timestamp) -> bool {
    application_pods(running, plan).all(|pod| pod.created_at >= before && !pod.deleting)
}

fn application_pods<'a>(running: &'a Running, plan: &'a StopPlan) -> impl Iterator<Item = &'a Pod> {
    plan.with_role(running, WorkloadRole::Application).into_iter().flat_map(|workload| running.pods_of(workload))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
