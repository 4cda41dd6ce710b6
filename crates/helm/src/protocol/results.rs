//! What a worker answers at the end of an operation.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use super::{Change, ErrorClass};

/// What came of an operation that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct Success {
    /// Hooks of the chart. None are counted where no chart is rendered.
    #[serde(default)]
    pub hooks: Hooks,
    /// For a check: the pods in which the chart tries its inputs, one or none.
    #[serde(default)]
    pub checks: u32,
    /// For a diff: the objects that would change.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Vec::is_empty"))]
    pub diff: Vec<ObjectDiff>,
    /// For a comparison: what came of it.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub compared: Option<Box<Compared>>,
    /// For drift: what is live otherwise than it should be. `Removed` is what is missing.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Vec::is_empty"))]
    pub drift: Vec<ObjectDiff>,
    /// For drift: objects that were put right, named as in [`Seen`](super::Seen).
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Vec::is_empty"))]
    pub corrected: Vec<String>,
    /// For drift: objects that could not be looked at or put right. The others were all the same.
    #[serde(default)]
    #[cfg_attr(test, serde(skip_serializing_if = "Vec::is_empty"))]
    pub refused: Vec<ObjectRefused>,
}

/// Why one object could not be looked at or put right.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct ObjectRefused {
    /// The object, named as in [`Seen`](super::Seen).
    pub object: String,
    /// Class.
    pub class: ErrorClass,
    /// For people; it holds no value of the user's.
    pub message: String,
}

/// What a chart renders, beside what a release's newest record holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The newest revision.
    pub revision: i64,
    /// Version of its record: a precondition for whatever is written there.
    pub resource_version: String,
    /// Its status, in Helm's words.
    pub status: String,
    /// Name of its chart.
    pub chart: String,
    /// Version of its chart.
    pub chart_version: String,
    /// What is rendered otherwise than it is recorded. `Created` is not in the record, `Removed` is not rendered. None means equal.
    #[serde(default)]
    pub differences: Vec<ObjectDiff>,
    /// What the chart renders differently each time. It does not count as a difference.
    #[serde(default)]
    pub unstable: Vec<ObjectDiff>,
    /// Where there are differences: what an upgrade would change of what is live, the worker's own changes included.
    #[serde(default)]
    pub changes: Vec<ObjectDiff>,
    /// And the workloads, by `Kind/name`, whose pods it would replace.
    #[serde(default)]
    pub restarts: Vec<String>,
}

/// Numbers of a chart's hooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct Hooks {
    /// All but those of `helm test`.
    pub total: u32,
    /// Those that an upgrade runs.
    pub upgrade: u32,
}

/// What would change in one object. It names fields and holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct ObjectDiff {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// What would happen to it.
    pub change: Change,
    /// Paths of the fields that would change, as `spec.template.spec.containers[0].image`.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[cfg_attr(test, derive(Serialize))]
#[error("{message}")]
pub struct WorkerError {
    /// Class.
    pub class: ErrorClass,
    /// For people; it holds no value of the user's.
    pub message: String,
    /// Objects or paths.
    #[serde(default)]
    pub details: Vec<String>,
}

impl WorkerError {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), details: vec![] }
    }
}
