//! How a new version of a template reaches the environments that follow it, and how far it has come.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::KubeSchema;
use kube::core::Selector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::environment::Stage;
use crate::maintenance::{DURATION, MaintenanceWindow};

/// How a new version reaches the environments that follow the template: in waves, canaries first, then Test, Staging and Production.
/// A wave begins when the one before has arrived and has been well for its soak time.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// True: nobody moves to a newer version for now. What has begun is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How many environments may be on the way at once, in a stage that names no number. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: Option<i32>,
    /// Labels of the environments that move before all others, whatever their stage is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySelector>,
    /// After so many failures nobody begins to move any more, until annotation `odoofleet.dev/resume` accepts them or another version is
    /// named. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub pause_after_failures: Option<i32>,
    /// What holds for single stages. Their order is fixed: Return, Canary, Test, Staging, Production.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["stage"]))]
    pub stages: Vec<RolloutStage>,
}

/// Which environments move first.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq)]
#[x_kube(validation = ("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)", "canary must name labels: an empty selector would be everybody"))]
#[serde(rename_all = "camelCase")]
pub struct CanarySelector {
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub match_labels: std::collections::BTreeMap<String, String>,
    /// Conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on a label.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq)]
#[x_kube(validation = ("(self.operator in ['Exists', 'DoesNotExist']) == (!has(self.values) || size(self.values) == 0)", "In and NotIn need values, Exists and DoesNotExist take none"))]
#[serde(rename_all = "camelCase")]
pub struct LabelExpression {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How its value is compared.
    pub operator: LabelOperator,
    /// Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub values: Vec<String>,
}

/// How a label's value is compared.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Kubernetes' own words")]
pub enum LabelOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl CanarySelector {
    /// The selector, ready to be asked; none if it cannot be understood.
    pub fn selector(&self) -> Option<Selector> {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| serde_json::from_value::<LabelSelector>(value).ok())
            .and_then(|selector| Selector::try_from(selector).ok())
    }
}

/// A stage of a rollout.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStage {
    /// Which.
    pub stage: RolloutWave,
    /// How many of its environments may be on the way at once. Default: that of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: Option<i32>,
    /// How long its environments have to be on the version and well before the next stage begins, such as `24h`. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub soak: Option<String>,
    /// Whether somebody has to approve before the stage begins, by annotation `odoofleet.dev/approve: <version>/<stage>`. Default: Automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// When environments of this stage may begin, if neither they nor their customer have windows of their own. Default: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub windows: Vec<MaintenanceWindow>,
}

/// How a stage begins.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approval {
    /// When the stage before is through.
    #[default]
    Automatic,
    /// When the stage before is through and somebody has approved.
    Manual,
}

/// A wave of a rollout, in the order in which they move.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RolloutWave {
    /// Those on a version that was made later than the one they are to hold: they go back.
    Return,
    /// Those that the canary selector names.
    Canary,
    /// The others of this stage.
    Test,
    /// The others of this stage.
    Staging,
    /// The others of this stage.
    Production,
}

impl RolloutWave {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Return, Self::Canary, Self::Test, Self::Staging, Self::Production];

    /// The name as it stands in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Return => "Return",
            Self::Canary => "Canary",
            Self::Test => "Test",
            Self::Staging => "Staging",
            Self::Production => "Production",
        }
    }
}

impl From<Stage> for RolloutWave {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Test => Self::Test,
            Stage::Staging => Self::Staging,
            Stage::Production => Self::Production,
        }
    }
}

/// How far the newest version has come among the environments that follow the template.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The version.
    pub version: String,
    /// In a word.
    #[serde(default, deserialize_with = "read_or_none", skip_serializing_if = "Option::is_none")]
    pub phase: Option<RolloutPhase>,
    /// The wave that moves, or is next.
    #[serde(default, deserialize_with = "read_or_none", skip_serializing_if = "Option::is_none")]
    pub stage: Option<RolloutWave>,
    /// For people: how many have arrived of how many, and where it stands, such as `3/10 Staging`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// The last place, by wave and then by hash of the UID, that has had its turn. Waves up to its own have begun. Absent before the first.
    #[serde(default, deserialize_with = "read_or_none", skip_serializing_if = "Option::is_none")]
    pub place: Option<RolloutPlace>,
    /// Environments that have their turn now and have not arrived. Nobody else begins to move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<RolloutMove>,
    /// Environments that follow the template.
    pub total: i32,
    /// Followers that are on the version and well.
    pub done: i32,
    /// Followers where the version failed, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// Failures since the rollout of this version began. One that failed, was mended and failed again counts twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<i32>,
    /// Why the rest waits, how many do for that reason, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<RolloutWaiting>,
    /// What a person has to do something about, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<String>,
    /// When the rollout goes on by itself, if nothing happens before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_moment: Option<Time>,
    /// Environments that name a version of their own.
    pub pinned: i32,
    /// The names of those, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_names: Vec<String>,
    /// Followers whose own values stand before some of the template's: the names of at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
}

/// How a rollout stands.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutPhase {
    /// Environments move.
    Progressing,
    /// Everybody has arrived, or cannot take part; who cannot is named among the blockers.
    Complete,
    /// A wave has arrived, and has to be well for a while before the next begins.
    Soaking,
    /// The next wave waits for an approval.
    AwaitingApproval,
    /// Nobody's window is open.
    AwaitingWindow,
    /// Held by `spec.rollout.paused` or `spec.paused`.
    Paused,
    /// Held because of failures.
    PausedAfterFailures,
    /// Nobody moves, and nobody will unless somebody does something.
    Blocked,
}

impl RolloutPhase {
    /// The name as it stands in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "Progressing",
            Self::Complete => "Complete",
            Self::Soaking => "Soaking",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::AwaitingWindow => "AwaitingWindow",
            Self::Paused => "Paused",
            Self::PausedAfterFailures => "PausedAfterFailures",
            Self::Blocked => "Blocked",
        }
    }
}

/// An environment that has its turn.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMove {
    /// Its name.
    pub environment: String,
    /// True: it was in error when its turn came. It takes nobody's place, and if it stays so that is no failure of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_ill: Option<bool>,
}

/// Environments that wait.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutWaiting {
    /// For what.
    pub reason: WaitingReason,
    /// How many.
    pub count: i32,
    /// Until when at most, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// For what an environment waits.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitingReason {
    /// For one of those that are on the way to arrive.
    Turn,
    /// For an earlier wave.
    EarlierStage,
    /// For an earlier wave, which has arrived, to have been well for long enough.
    Soak,
    /// For an approval of its stage.
    Approval,
    /// For its window.
    Window,
    /// For its customer's Staging.
    CustomersStaging,
    /// For the rollout to be resumed.
    Paused,
    /// Its windows never open.
    WindowNeverOpens,
    /// The operator looks away from it.
    EnvironmentPaused,
    /// It is stopped, and is upgraded when it starts; or its change of major version is not confirmed.
    Itself,
}

/// What another version of the operator wrote, and this one cannot read, is none. Of a place that means that the rollout begins anew,
/// and who has arrived is not moved again.
fn read_or_none<'de, D: serde::Deserializer<'de>, T: serde::de::DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

/// A place in the order in which followers move.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPlace {
    /// Wave.
    pub stage: RolloutWave,
    /// sha256 of the UID in lowercase base32, so that no customer is always first.
    pub hash: String,
}
