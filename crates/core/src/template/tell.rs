//! What is told of a rollout.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::OdooTemplate;
use odoofleet_api::conditions::{ConditionStatus, ConditionType, Reason, Wanted};
use odoofleet_api::labels;
use odoofleet_api::rollout::{RolloutPhase, RolloutStatus, RolloutWaiting, RolloutWave};

use super::decide::FollowerCounts;
use super::rollout::{NAMED, RolloutPlan};
use super::rules::Rules;
use crate::windows::local;

/// The status of a rollout.
pub fn status(template: &OdooTemplate, rules: &Rules, plan: &RolloutPlan, counts: &FollowerCounts) -> RolloutStatus {
    let (total, done) = (count(counts.following), count(counts.done));
    RolloutStatus {
        version: template.spec.version.clone(),
        phase: Some(plan.phase),
        stage: plan.stage,
        progress: progress_of(done, total, plan.stage, plan.phase),
        place: plan.place.clone(),
        moving: plan.moving.clone(),
        total,
        done,
        failed: plan.failed.iter().take(NAMED).cloned().collect(),
        failures: (plan.failures > 0).then(|| count(plan.failures)),
        waiting: plan
            .waiting
            .iter()
            .map(|(reason, (number, until))| RolloutWaiting {
                reason: *reason,
                count: count(*number),
                until: until.map(Time),
            })
            .collect(),
        blockers: blockers(template, rules, plan, counts),
        next_moment: plan.next.map(Time),
        pinned: count(counts.pinned),
        pinned_names: counts.pinned_names.clone(),
        overridden: counts.overridden.clone(),
    }
}

/// How far a rollout is, in a few words: `3/10 Staging`.
pub fn progress_of(done: i32, total: i32, stage: Option<RolloutWave>, phase: RolloutPhase) -> String {
    let mut words = vec![format!("{done}/{total}")];
    words.extend(stage.map(|stage| stage.as_str().to_owned()));
    if !matches!(phase, RolloutPhase::Progressing | RolloutPhase::Complete) {
        words.push(phase.as_str().to_owned());
    }
    words.join(" ")
}

/// What a person has to do something about.
fn blockers(template: &OdooTemplate, rules: &Rules, plan: &RolloutPlan, counts: &FollowerCounts) -> Vec<String> {
    let mut all = rules.problems.clone();
    if counts.lacks_canary {
        all.push(
            "spec.rollout.canary matches no environment that follows this template: nobody moves first".to_owned(),
        );
    }
    if matches!(plan.phase, RolloutPhase::PausedAfterFailures | RolloutPhase::Paused | RolloutPhase::AwaitingApproval) {
        all.push(sentence(template, plan));
    }
    all.extend(plan.stuck.iter().cloned());
    all.truncate(NAMED);
    all
}

/// The condition `RolledOut`. It says nothing that changes with every environment that arrives.
pub fn condition(template: &OdooTemplate, plan: &RolloutPlan) -> Wanted {
    let status = if plan.phase == RolloutPhase::Complete { ConditionStatus::True } else { ConditionStatus::False };
    let reason = match plan.phase {
        RolloutPhase::Complete => Reason::RolledOut,
        RolloutPhase::Progressing => Reason::Progressing,
        RolloutPhase::Soaking => Reason::Soaking,
        RolloutPhase::AwaitingApproval => Reason::AwaitingApproval,
        RolloutPhase::AwaitingWindow => Reason::AwaitingWindow,
        RolloutPhase::Paused => Reason::Paused,
        RolloutPhase::PausedAfterFailures => Reason::PausedAfterFailures,
        RolloutPhase::Blocked => Reason::Blocked,
    };
    Wanted { type_: ConditionType::RolledOut, status, reason, message: sentence(template, plan) }
}

fn sentence(template: &OdooTemplate, plan: &RolloutPlan) -> String {
    let version = &template.spec.version;
    let stage = plan.stage.map_or("its last stage", RolloutWave::as_str);
    let until = plan.next.map(|next| local(next, &jiff::tz::TimeZone::UTC)).unwrap_or_default();
    match plan.phase {
        RolloutPhase::Complete => format!("every follower that can be is on version \"{version}\""),
        RolloutPhase::Progressing => format!("version \"{version}\" moves in stage {stage}"),
        RolloutPhase::Soaking => format!("version \"{version}\" has to be well in stage {stage} until {until}"),
        RolloutPhase::AwaitingApproval => format!(
            "stage {stage} of version \"{version}\" waits for an approval: annotate the template with {}={version}/{stage}",
            labels::APPROVE
        ),
        RolloutPhase::AwaitingWindow => format!("nobody's window is open; the next opens at {until}"),
        RolloutPhase::Paused => {
            "paused by spec.rollout.paused or spec.paused: nobody begins to move; what has begun is finished".to_owned()
        }
        RolloutPhase::PausedAfterFailures => format!(
            "paused after {} failure(s) of version \"{version}\", at {}: mend it and name another version, go back to the version before, \
             or annotate the template with {}={version}/{} to go on in spite of them",
            plan.failures,
            named(&plan.failed),
            labels::RESUME,
            plan.failures
        ),
        RolloutPhase::Blocked => format!(
            "nobody moves to version \"{version}\" any more, and not everybody is on it: see the failed and the blockers"
        ),
    }
}

fn named(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("\"{name}\"")).collect();
    match names.len() {
        0 => "environments that are well again".to_owned(),
        count if count > first.len() => format!("{} and {} more", first.join(", "), count - first.len()),
        _ => first.join(", "),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
