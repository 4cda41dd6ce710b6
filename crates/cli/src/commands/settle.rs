//! Whether a change of an environment's spec has arrived: what `upgrade`, `update` and `values` wait for.

use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::{ConditionType, Reason};
use odoofleet_api::environment::{OdooEnvironmentStatus, Phase};

use super::power::{is_observed, is_true, stopped_by_customer, told};
use crate::wait::Progress;

/// What an environment said before the change: an old trouble is no failure of the change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before(Option<Reason>, Option<String>);

impl Before {
    /// What it says now.
    pub fn of(environment: &OdooEnvironment) -> Self {
        let status = environment.status.clone().unwrap_or_default();
        Self(status.reason, status.message)
    }
}

/// Done when the operator has looked at this spec, `is_there` says so, and the environment is as it should be; a stopped one is, too.
pub fn progress(
    environment: &OdooEnvironment,
    before: &Before,
    is_there: impl Fn(&OdooEnvironmentStatus) -> bool,
) -> Progress {
    if !is_observed(environment) {
        return Progress::Going(told(environment));
    }
    let status = environment.status.clone().unwrap_or_default();
    let is_deferred = status.reason == Some(Reason::UpgradeAtStart);
    if is_true(environment, ConditionType::Ready) && (is_deferred || is_there(&status)) {
        return Progress::Done;
    }
    let is_stopped = status.phase == Some(Phase::Stopped) && stopped_by_customer(environment).is_some();
    if is_stopped && is_there(&status) {
        return Progress::Done;
    }
    let is_new = *before != Before::of(environment);
    let is_over = status.operation.is_none() && !is_true(environment, ConditionType::Reconciling);
    let is_broken = status.phase == Some(Phase::Error) && is_over && is_new;
    if is_true(environment, ConditionType::Stalled) || is_broken || status.reason == Some(Reason::Paused) {
        return Progress::Failed(told(environment));
    }
    Progress::Going(told(environment))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::environment;

    fn status(generation: i64, phase: &str, reason: &str, types: &[&str]) -> Value {
        let condition = |type_: &&str| {
            json!({"type": type_, "status": "True", "reason": "x", "message": "",
            "lastTransitionTime": "2026-11-28T00:00:00Z"})
        };
        json!({"observedGeneration": generation, "phase": phase, "reason": reason, "message": "m",
            "conditions": types.iter().map(condition).collect::<Value>()})
    }

    fn word(status: &Value, there: bool) -> &'static str {
        let old = environment(&json!({"phase": "Error", "reason": "OldTrouble", "message": "m"}));
        match progress(&environment(status), &Before::of(&old), |_| there) {
            Progress::Done => "done",
            Progress::Going(_) => "going",
            Progress::Failed(_) => "failed",
        }
    }

    #[test]
    fn a_change_has_arrived_when_the_operator_says_so_of_this_spec() {
        assert_eq!(word(&status(3, "Running", "Running", &["Ready"]), true), "done");
        assert_eq!(word(&status(2, "Running", "Running", &["Ready"]), true), "going", "an older spec");
        assert_eq!(word(&status(3, "Running", "WaitingForRollout", &["Ready"]), false), "going");
        assert_eq!(word(&status(3, "Stopped", "UpgradeAtStart", &["Ready"]), false), "done", "it comes at the start");
        assert_eq!(word(&status(3, "Stopped", "CustomerSuspended", &[]), true), "done");
    }

    #[test]
    fn what_does_not_come_by_itself_has_failed_and_an_old_trouble_has_not() {
        assert_eq!(word(&status(3, "Running", "ModuleUpdateFailed", &["Stalled"]), true), "failed");
        assert_eq!(word(&status(3, "Error", "OutOfMemory", &[]), true), "failed");
        assert_eq!(word(&status(3, "Error", "OldTrouble", &[]), true), "going");
        assert_eq!(word(&status(3, "Error", "OutOfMemory", &["Reconciling"]), true), "going");
        assert_eq!(word(&status(3, "Running", "Paused", &[]), true), "failed");
    }
}
