//! When an environment may be changed by a rollout.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When rollouts may change an environment. What a person changes in its spec waits for no window.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Windows in which an upgrade may begin. One that has begun is never cut by a window's end. Empty: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub windows: Vec<MaintenanceWindow>,
}

/// A window: it opens when the cron expression says so, and stays open for a while.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When it opens: minute, hour, day of the month, month, day of the week, such as `0 22 * * MON-FRI`. Where both days are
    /// named, either is enough. An hour that the begin of summer time leaves out opens right after it; one that comes twice opens once.
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^([-0-9A-Za-z*/,#?]+ +){4}[-0-9A-Za-z*/,#?]+$"))]
    pub cron: String,
    /// How long it stays open, such as `4h` or `1h30m`.
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub duration: String,
    /// IANA time zone of the cron expression, such as `Asia/Shanghai`. Default: the one of the customer's contract, or else the
    /// operator's; in a template the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: Option<String>,
}

/// Hours, minutes and seconds, at least one of them.
pub(crate) const DURATION: &str = r"^([0-9]{1,4}h([0-9]{1,4}m)?([0-9]{1,5}s)?|[0-9]{1,4}m([0-9]{1,5}s)?|[0-9]{1,5}s)$";
