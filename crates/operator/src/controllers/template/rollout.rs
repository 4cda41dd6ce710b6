//! The rollout as it stands in the status, and whether it has reached an environment.

use std::sync::Arc;

use kube::ResourceExt;
use odoofleet_api::environment::{OdooEnvironmentStatus, Outcome, Phase, Placement};
use odoofleet_api::template::RolloutStatus;
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use odoofleet_core::template::{Follower, decide_rollout, order};

use super::holds;

/// Environments on the way at once, when the spec names no number.
const DEFAULT_CONCURRENT: i32 = 5;
/// Failed environments that the status names.
const NAMED: usize = 20;

/// The rollout after one more look.
pub fn status(template: &OdooTemplate, environments: &[Arc<OdooEnvironment>]) -> RolloutStatus {
    let version = &template.spec.version;
    let followers = followers(template, environments);
    let spec = template.spec.rollout.clone().unwrap_or_default();
    let paused = spec.paused.unwrap_or_default() || template.spec.paused.unwrap_or_default();
    let before = template
        .status
        .as_ref()
        .and_then(|status| status.rollout.as_ref())
        .filter(|rollout| rollout.version == *version);
    let before = before.map_or(0, |rollout| usize::try_from(rollout.admitted).unwrap_or_default());
    let concurrent = usize::try_from(spec.max_concurrent.unwrap_or(DEFAULT_CONCURRENT)).unwrap_or(1);
    let decision = decide_rollout(&followers, before, concurrent, paused);
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    RolloutStatus {
        version: version.clone(),
        admitted: count(decision.admitted),
        total: count(followers.len()),
        done: count(decision.done),
        failed: decision.failed.into_iter().take(NAMED).collect(),
        pinned: count(
            environments.iter().filter(|environment| environment.spec.template_ref.version.is_some()).count(),
        ),
    }
}

/// Whether an environment that follows the template may move to its newest version.
pub fn admits(template: &OdooTemplate, environments: &[Arc<OdooEnvironment>], environment: &OdooEnvironment) -> bool {
    let rollout = template.status.as_ref().and_then(|status| status.rollout.as_ref());
    let Some(rollout) = rollout.filter(|rollout| rollout.version == template.spec.version) else { return false };
    let rank = followers(template, environments).iter().position(|follower| follower.name == environment.name_any());
    rank.is_some_and(|rank| rank < usize::try_from(rollout.admitted).unwrap_or_default())
}

fn followers(template: &OdooTemplate, environments: &[Arc<OdooEnvironment>]) -> Vec<Follower> {
    let name = template.name_any();
    let follows = |environment: &&Arc<OdooEnvironment>| {
        environment.spec.template_ref.version.is_none()
            && environment.spec.placement.unwrap_or_default() == Placement::Cluster
    };
    let mut followers: Vec<Follower> = environments
        .iter()
        .filter(follows)
        .map(|environment| {
            let status = environment.status.clone().unwrap_or_default();
            let on_newest = holds(environment, &name, &template.spec.version);
            let broken = on_newest && status.phase == Some(Phase::Error);
            Follower {
                name: environment.name_any(),
                uid: environment.uid().unwrap_or_default(),
                stage: environment.spec.stage,
                on_newest,
                well: matches!(status.phase, Some(Phase::Running | Phase::Stopped | Phase::Offline)),
                failed: broken || upgrade_failed(&status, &name, &template.spec.version),
            }
        })
        .collect();
    order(&mut followers);
    followers
}

/// Whether the last operation was an upgrade to this version, and failed.
fn upgrade_failed(status: &OdooEnvironmentStatus, template: &str, version: &str) -> bool {
    let last = status.history.first().filter(|last| last.outcome == Outcome::Failed);
    last.and_then(|last| last.template.as_ref()).is_some_and(|held| held.name == template && held.version == version)
}
