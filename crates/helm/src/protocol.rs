//! The lines that operator and worker exchange. `worker/protocol.go` is the other half.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Helm's own verbs, all but the last")]
pub enum Action {
    Install,
    Upgrade,
    Uninstall,
    Unlock,
    /// Starts the pod in which a chart tries its new inputs.
    Check,
}

/// One operation.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Id; it stands in the User-Agent of the worker's requests.
    pub id: String,
    /// What to do.
    pub action: Action,
    /// Release.
    pub release: String,
    /// Namespace: always the worker's own.
    pub namespace: String,
    /// The revision that the operation makes; for uninstall and unlock the one that it acts on.
    pub expected_revision: i64,
    /// Revisions in the storage: no other is asked for.
    pub revisions: Vec<i64>,
    /// The chart, where one is rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// Values, secrets included. They exist here and in the worker's memory, never in a file or an argument.
    pub values: Map<String, Value>,
    /// Labels of the release Secret.
    pub labels: BTreeMap<String, String>,
    /// Live numbers of pods, by `Kind/name`.
    pub replicas: BTreeMap<String, i32>,
    /// Number of pods of all other workloads; none leaves the chart's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_replicas: Option<i32>,
    /// Whether CronJobs are suspended.
    pub suspend_cron_jobs: bool,
    /// For a check: what its pod carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Kinds that may be rendered, as `apps/v1/Deployment`.
    pub allowed_kinds: Vec<String>,
    /// Secrets that pods may refer to besides those that the chart renders.
    pub allowed_secrets: Vec<String>,
    /// Whether volumes and databases may be removed.
    pub allow_data_loss: bool,
    /// Revisions that are kept.
    pub max_history: i32,
    /// Seconds after which the worker gives up.
    pub timeout_seconds: i64,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, action, release, expected_revision, .. } = self;
        write!(f, "{action:?} {release} revision {expected_revision} (operation {id})")
    }
}

/// What the pod of a check carries.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Digest of what is checked: a pod with the same one is left alone.
    pub digest: String,
    /// The object with which the pod goes.
    pub owner: Owner,
}

/// An object that owns others.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in Kubernetes' owner references")]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

/// A chart's archive.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// Path of the archive.
    pub path: String,
    /// Its sha256, hexadecimal: the worker checks it.
    pub sha256: String,
}

/// How long a worker may write from the moment of sending.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    /// Milliseconds.
    pub valid_for_millis: i64,
    /// Moment of sending on the machine's clock that goes on through suspension: a message that waited counts from then.
    pub sent_at_millis: i64,
}

/// A line to a worker.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Message<'a> {
    Operation {
        #[serde(flatten)]
        request: &'a Request,
        #[serde(flatten)]
        validity: Validity,
    },
    Permit(Validity),
}

/// A line from a worker.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Answer {
    #[serde(rename_all = "camelCase")]
    Ready {
        helm_version: String,
        worker_version: String,
    },
    Progress {
        id: String,
        stage: String,
        #[serde(default)]
        hooks: Option<i64>,
    },
    Result(ResultMessage),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultMessage {
    pub id: String,
    pub ok: bool,
    #[serde(default)]
    pub hooks: i64,
    #[serde(default)]
    pub duration_millis: i64,
    #[serde(default)]
    pub checks: i64,
    #[serde(default)]
    pub error: Option<WorkerError>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
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

/// Classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it; worker/errors.go says when")]
pub enum ErrorClass {
    Schema,
    Render,
    Chart,
    Forbidden,
    Conflict,
    Locked,
    Immutable,
    Invalid,
    Unreachable,
    TooLarge,
    Hook,
    Deadline,
    WouldDeleteData,
    KindNotAllowed,
    SecretNotAllowed,
    PermitExpired,
    Cancelled,
    StaleRevision,
    NotFound,
    InvalidRequest,
    /// The worker ended without an answer.
    #[serde(skip)]
    Died,
    #[serde(other)]
    Unknown,
}

impl ErrorClass {
    /// Whether another try makes no sense before an input changes.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Schema
                | Self::Render
                | Self::Chart
                | Self::Immutable
                | Self::Invalid
                | Self::TooLarge
                | Self::WouldDeleteData
                | Self::KindNotAllowed
                | Self::SecretNotAllowed
                | Self::InvalidRequest
        )
    }

    /// For metrics: `camelCase`, as the worker writes it.
    pub fn as_str(self) -> String {
        let name = format!("{self:?}");
        let mut characters = name.chars();
        characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_one_flat_line() {
        let request = Request {
            id: "1".into(),
            action: Action::Install,
            release: "r".into(),
            namespace: "odoo".into(),
            expected_revision: 1,
            revisions: vec![],
            chart: None,
            values: Map::new(),
            labels: BTreeMap::new(),
            replicas: BTreeMap::new(),
            other_replicas: Some(0),
            suspend_cron_jobs: true,
            check: None,
            allowed_kinds: vec![],
            allowed_secrets: vec![],
            allow_data_loss: false,
            max_history: 2,
            timeout_seconds: 300,
        };
        let message =
            Message::Operation { request: &request, validity: Validity { valid_for_millis: 5, sent_at_millis: 7 } };
        let line = serde_json::to_value(&message).unwrap();
        assert_eq!(
            (line["type"].as_str(), line["action"].as_str(), line["otherReplicas"].as_i64()),
            (Some("operation"), Some("install"), Some(0))
        );
        assert_eq!((line["validForMillis"].as_i64(), line["sentAtMillis"].as_i64()), (Some(5), Some(7)));
        assert!(!format!("{request:?}").contains("values"));
    }

    #[test]
    fn an_unknown_class_is_not_fatal() {
        let error: WorkerError = serde_json::from_str(r#"{"class":"brandNew","message":"m"}"#).unwrap();
        assert_eq!(error.class, ErrorClass::Unknown);
        assert_eq!(ErrorClass::WouldDeleteData.as_str(), "wouldDeleteData");
    }
}
