//! What a template says of its rollout, understood.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use odoofleet_api::rollout::{Approval, RolloutSpec, RolloutStage, RolloutWave};
use odoofleet_api::{OdooTemplate, labels};

use crate::windows::{Opening, Windows, duration};

/// Environments on the way at once, when the spec names no number.
const DEFAULT_CONCURRENT: i32 = 5;

/// The rules of the rollout of the version that the spec names.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whether nobody may begin to move.
    pub paused: bool,
    /// After so many failures beyond the accepted ones nobody begins any more.
    pub pause_after: usize,
    /// Failures in spite of which somebody has said that it goes on.
    pub accepted: usize,
    /// What is wrong with the rules themselves: windows that never open.
    pub problems: Vec<String>,
    stages: BTreeMap<RolloutWave, StageRules>,
}

/// The rules of one wave.
#[derive(Debug, Clone)]
pub struct StageRules {
    /// How many may be on the way at once.
    pub concurrent: usize,
    /// How long it has to be well before the next one begins.
    pub soak: SignedDuration,
    /// Whether it may begin without anybody's word, or has got it.
    pub approved: bool,
    /// Windows of those that have none of their own; none if they cannot be understood.
    windows: Option<Windows>,
}

impl StageRules {
    fn new(spec: &RolloutSpec, stage: Option<&RolloutStage>) -> Self {
        let concurrent = stage.and_then(|stage| stage.max_concurrent).or(spec.max_concurrent);
        Self {
            concurrent: usize::try_from(concurrent.unwrap_or(DEFAULT_CONCURRENT)).unwrap_or(1),
            soak: stage.and_then(|stage| duration(stage.soak.as_deref()?)).unwrap_or_default(),
            approved: true,
            windows: Some(Windows::default()),
        }
    }

    /// How the windows of those stand that have none of their own.
    pub fn opening(&self, now: jiff::Timestamp) -> Opening {
        self.windows.as_ref().map_or(Opening::Never, |windows| windows.at(now))
    }

    /// Whether they never open.
    pub const fn never_opens(&self) -> bool {
        self.windows.is_none()
    }

    /// A moment as people at the place of these windows write it.
    pub fn local(&self, moment: jiff::Timestamp) -> String {
        self.windows.as_ref().map_or_else(|| moment.to_string(), |windows| windows.local(moment))
    }
}

impl Rules {
    /// Reads a template. `zone` is that of windows that name none.
    pub fn of(template: &OdooTemplate, zone: &TimeZone) -> Self {
        let spec = template.spec.rollout.clone().unwrap_or_default();
        let version = &template.spec.version;
        let annotation =
            |name| template.metadata.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str);
        let approvals: Vec<&str> = annotation(labels::APPROVE).unwrap_or_default().split(',').map(str::trim).collect();
        let mut rules = Self {
            paused: spec.paused.unwrap_or_default()
                || template.spec.paused.unwrap_or_default()
                || template.metadata.deletion_timestamp.is_some(),
            pause_after: usize::try_from(spec.pause_after_failures.unwrap_or(1)).unwrap_or(1).max(1),
            accepted: accepted(annotation(labels::RESUME), version),
            problems: Vec::new(),
            stages: BTreeMap::new(),
        };
        for wave in RolloutWave::ALL {
            let stage = spec.stages.iter().find(|stage| stage.stage == wave);
            let mut own = StageRules::new(&spec, stage);
            if let Some(stage) = stage {
                let asked = stage.approval.unwrap_or_default() == Approval::Manual;
                own.approved = !asked || approvals.contains(&format!("{version}/{}", wave.as_str()).as_str());
                own.windows = match Windows::parse(&stage.windows, zone) {
                    Ok(windows) => Some(windows),
                    Err(error) => {
                        rules.problems.push(format!("spec.rollout.stages[{}].windows: {error}", wave.as_str()));
                        None
                    }
                };
            }
            rules.stages.insert(wave, own);
        }
        rules
    }

    /// The rules of a wave.
    pub fn stage(&self, wave: RolloutWave) -> &StageRules {
        static NOTHING_SAID: LazyLock<StageRules> = LazyLock::new(|| StageRules::new(&RolloutSpec::default(), None));
        self.stages.get(&wave).unwrap_or(&NOTHING_SAID)
    }

    /// Whether so many failures hold the rollout.
    pub const fn is_held_by(&self, failures: usize) -> bool {
        failures.saturating_sub(self.accepted) >= self.pause_after
    }
}

/// How many failures annotation `<version>/<failures>` accepts for this version.
fn accepted(annotation: Option<&str>, version: &str) -> usize {
    let of_version = |one: &str| {
        let (named, failures) = one.trim().rsplit_once('/')?;
        (named == version).then(|| failures.parse().ok()).flatten()
    };
    annotation.unwrap_or_default().split(',').filter_map(of_version).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(annotations: &serde_json::Value) -> Rules {
        let stages = json!([
            { "stage": "Staging", "soak": "24h", "maxConcurrent": 2 },
            { "stage": "Production", "approval": "Manual", "windows": [{ "cron": "0 0 30 2 *", "duration": "1h" }] },
        ]);
        let template = serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate",
            "metadata": { "name": "odoo-18", "annotations": annotations },
            "spec": {
                "version": "18.0-2", "odooVersion": "18.0", "chart": { "path": "odoo" },
                "rollout": { "maxConcurrent": 7, "stages": stages },
            },
        }));
        Rules::of(&template.unwrap(), &TimeZone::UTC)
    }

    #[test]
    fn an_approval_and_a_resumption_count_for_the_version_that_they_name() {
        for (annotations, approved, accepted) in [
            (json!({}), false, 0),
            (json!({ "odoofleet.dev/approve": "18.0-2/Production" }), true, 0),
            (json!({ "odoofleet.dev/approve": "18.0-1/Production, 18.0-2/Production" }), true, 0),
            (json!({ "odoofleet.dev/approve": "18.0-1/Production" }), false, 0),
            (json!({ "odoofleet.dev/approve": "Production", "odoofleet.dev/resume": "3" }), false, 0),
            (json!({ "odoofleet.dev/resume": "18.0-1/5,18.0-2/3" }), false, 3),
            (json!({ "odoofleet.dev/resume": "18.0-2/many" }), false, 0),
        ] {
            let rules = rules(&annotations);
            assert_eq!(
                (rules.stage(RolloutWave::Production).approved, rules.accepted),
                (approved, accepted),
                "{annotations}"
            );
        }
    }

    #[test]
    fn a_stage_that_says_nothing_has_the_rollouts_numbers_and_a_window_that_never_opens_is_told() {
        let rules = rules(&json!({}));
        let of = |wave| {
            let stage = rules.stage(wave);
            (stage.concurrent, stage.soak.as_hours())
        };
        assert_eq!([RolloutWave::Test, RolloutWave::Staging].map(of), [(7, 0), (2, 24)]);
        assert_eq!(rules.problems.len(), 1, "{:?}", rules.problems);
        assert_eq!(rules.stage(RolloutWave::Production).opening(jiff::Timestamp::UNIX_EPOCH), Opening::Never);
        assert!(rules.is_held_by(1) && !rules.is_held_by(0));
    }
}
