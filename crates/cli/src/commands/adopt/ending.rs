//! How the comparison of a release ended: taken over, or different.

use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::{ConditionType, Reason};
use odoofleet_api::environment::{AdoptionStatus, Comparison};

use crate::commands::power::{is_observed, is_true, told};
use crate::failure::{Exit, Failure};
use crate::output::{self, Table};
use crate::say;
use crate::session::Session;
use crate::wait::Progress;

/// Paths that a row names.
const NAMED: usize = 4;

/// Done when the release was taken over, or was compared and is left alone.
pub fn progress(environment: &OdooEnvironment) -> Progress {
    if !is_observed(environment) {
        return Progress::Going(told(environment));
    }
    let status = environment.status.clone().unwrap_or_default();
    let adoption = status.adoption.unwrap_or_default();
    let is_pending = status.reason == Some(Reason::AdoptionPending) && adoption.comparison.is_some();
    if is_adopted(&adoption) || is_pending {
        return Progress::Done;
    }
    let is_refused = is_true(environment, ConditionType::Stalled) || status.reason == Some(Reason::Paused);
    if is_refused { Progress::Failed(told(environment)) } else { Progress::Going(told(environment)) }
}

const fn is_adopted(adoption: &AdoptionStatus) -> bool {
    adoption.revision.is_some() && adoption.comparison.is_none()
}

/// Shows how it ended. What differs is no success.
pub fn tell(session: &Session, environment: &OdooEnvironment) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.metadata.name.clone().unwrap_or_default());
    let status = environment.status.clone().unwrap_or_default();
    let adoption = status.adoption.unwrap_or_default();
    if is_adopted(&adoption) {
        let revision = adoption.revision.unwrap_or_default();
        let message = say!(
            language,
            "taken over: environment \"{name}\", revision {revision}",
            "已纳管：环境 \"{name}\"，版本 {revision}"
        );
        return if session.for_people() { output::line(&message) } else { Ok(()) };
    }
    if let (true, Some(comparison)) = (session.for_people(), &adoption.comparison) {
        table(comparison).print()?;
        if !comparison.restarts.is_empty() {
            let restarts = comparison.restarts.join(", ");
            output::remark(&say!(language, "an upgrade would restart: {restarts}", "升级会重启：{restarts}"));
        }
    }
    let said = status.message.unwrap_or_default();
    let message = say!(
        language,
        "environment \"{name}\" is not taken over, and runs on: {said}",
        "环境 \"{name}\" 未被纳管，仍在正常运行：{said}"
    );
    Err(Failure::new(Exit::Unhealthy, message).hint(say!(
        language,
        "mend the environment or the template until nothing differs: each change is compared again",
        "请修改环境或模板直到没有差异：每次修改都会重新比较"
    )))
}

/// What differs, and what is never the same, an object a row.
fn table(comparison: &Comparison) -> Table {
    let mut table = Table::new(["object", "change", "paths"]);
    let unstable = comparison.unstable.iter().map(|one| (one, "unstable"));
    let differences = comparison.differences.iter().map(|one| (one, one.change.as_str()));
    for (one, change) in differences.chain(unstable) {
        let mut paths = one.paths.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if one.paths.len() > NAMED {
            paths.push_str(", …");
        }
        table.push(vec![one.object.clone(), change.to_owned(), paths]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures;

    fn word(status: &Value) -> &'static str {
        match progress(&fixtures::environment(status)) {
            Progress::Done => "done",
            Progress::Going(_) => "going",
            Progress::Failed(_) => "failed",
        }
    }

    fn comparison() -> Value {
        json!({"revision": 1, "resourceVersion": "5", "inputs": "i", "at": "2026-11-28T00:00:00Z", "chart": "odoo",
            "chartVersion": "1.0.0", "total": 1,
            "differences": [{"object": "Deployment/web", "change": "changed", "paths": ["a", "b", "c", "d", "e"]}]})
    }

    #[test]
    fn it_has_ended_when_it_is_taken_over_or_was_compared_and_is_left_alone() {
        let stalled = json!([{"type": "Stalled", "status": "True", "reason": "x", "message": "",
            "lastTransitionTime": "2026-11-28T00:00:00Z"}]);
        for (status, expected) in [
            (json!({"observedGeneration": 2, "adoption": {"revision": 1}}), "going"),
            (json!({"observedGeneration": 3, "adoption": {"revision": 1}}), "done"),
            (
                json!({"observedGeneration": 3, "reason": "AdoptionPending", "adoption": {"comparison": comparison()}}),
                "done",
            ),
            (
                json!({"observedGeneration": 3, "reason": "Progressing", "adoption": {"comparison": comparison()}}),
                "going",
            ),
            (json!({"observedGeneration": 3, "reason": "AdoptionPending", "adoption": {}}), "going"),
            (json!({"observedGeneration": 3, "reason": "ReleaseOwnedByAnother", "conditions": stalled}), "failed"),
        ] {
            assert_eq!(word(&status), expected, "{status}");
        }
    }

    #[test]
    fn a_row_names_an_object_and_some_of_its_paths() {
        let comparison: Comparison = serde_json::from_value(comparison()).unwrap();
        assert_eq!(table(&comparison).lines()[1], "Deployment/web   changed   a, b, c, d, …");
    }
}
