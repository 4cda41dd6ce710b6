//! What the API server was asked, as its audit log tells.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

use crate::Setup;

/// Before the verb of a request that only tries.
const DRY_RUN: &str = "dry-run ";

/// The API server's audit log.
pub struct Audit {
    file: PathBuf,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Such as `get`, `patch` or `dry-run patch`.
    pub verb: String,
    /// In the plural; a path such as `/apis` where no object is asked for.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// The object's name; empty for a list, and where the API server chose it.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// With which program.
    pub user_agent: String,
    /// The answer's status code.
    pub code: u16,
    /// When it was asked.
    pub at: Timestamp,
}

impl AuditEntry {
    /// Whether it asked for a change. A dry run does not.
    pub fn is_write(&self) -> bool {
        !self.verb.starts_with(DRY_RUN) && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// As `patch odooenvironments/status`.
    pub fn kind(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.verb, self.resource, self.subresource)
    }
}

/// As `patch odooenvironments/status acme-prod`.
impl Display for AuditEntry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " {}", self.name) }
    }
}

/// How many of each kind there are.
pub fn counts(entries: &[AuditEntry]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.kind()).or_default() += 1;
    }
    counts
}

impl Audit {
    /// That of the cluster of the scenarios.
    pub fn of(setup: &Setup) -> Self {
        Self { file: setup.audit.clone() }
    }

    /// What a user asked in a namespace, and of the API server itself, since a moment, in the order of the answers. A watch counts when it begins, all else when it
    /// is answered.
    pub fn since(&self, moment: Timestamp, user: &str, namespace: &str) -> Result<Vec<AuditEntry>> {
        let mut entries = Vec::new();
        for file in self.files(moment)? {
            let log = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            // The last line may be half written.
            let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            for line in lines.filter(|line| line.contains(user)) {
                let event: Event = serde_json::from_str(line).with_context(|| format!("audit log: {line}"))?;
                entries.extend(event.entry(user, namespace).filter(|entry| entry.at >= moment));
            }
        }
        Ok(entries)
    }

    /// The files that may tell of what came after a moment, oldest first: full ones lie beside the present one.
    fn files(&self, moment: Timestamp) -> Result<Vec<PathBuf>> {
        let folder = self.file.parent().context("the audit log is in no folder")?;
        let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let changed = Timestamp::try_from(entry.metadata()?.modified()?)?;
            if changed >= moment {
                files.push((changed, entry.path()));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
}

/// A line of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    uri: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    namespace: String,
    name: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Event {
    fn entry(self, user: &str, namespace: &str) -> Option<AuditEntry> {
        let path = self.uri.split('?').next().unwrap_or_default().to_owned();
        let server = || Object { resource: path, namespace: namespace.to_owned(), ..Object::default() };
        let Object { resource, namespace: of, name, subresource } = self.object_ref.unwrap_or_else(server);
        let code = self.response_status.map_or(0, |status| status.code);
        // What goes on for long is told at its begin and at its end.
        let long = self.verb == "watch" && code < 400;
        let counted = if long { self.stage == "ResponseStarted" } else { self.stage != "ResponseStarted" };
        let verb = if self.uri.contains("dryRun=") { format!("{DRY_RUN}{}", self.verb) } else { self.verb };
        (counted && self.user.username == user && of == namespace).then_some(AuditEntry {
            verb,
            resource,
            subresource,
            name,
            user: self.user.username,
            user_agent: self.user_agent,
            code,
            at: self.request_received_timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const USER: &str = "system:serviceaccount:system:operator";

    fn line(stage: &str, verb: &str, code: u16, second: u8, uri: &str) -> String {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "1", "stage": stage,
            "requestURI": uri, "verb": verb, "user": { "username": USER, "groups": [] }, "sourceIPs": ["127.0.0.1"],
            "userAgent": "odoofleet", "responseStatus": { "metadata": {}, "code": code },
            "objectRef": { "resource": "odooenvironments", "namespace": "odoo", "name": "acme-prod", "subresource": "status",
                "apiGroup": "odoofleet.dev", "apiVersion": "v1alpha1" },
            "requestReceivedTimestamp": format!("2026-11-23T08:57:{second:02}.123456Z"),
            "stageTimestamp": format!("2026-11-23T08:57:{second:02}.223456Z"),
        })
        .to_string()
            + "\n"
    }

    fn read(lines: &[String], user: &str, namespace: &str) -> Vec<AuditEntry> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.log");
        fs::write(&file, lines.concat()).unwrap();
        let moment = "2026-11-23T08:57:10Z".parse().unwrap();
        Audit { file }.since(moment, user, namespace).unwrap()
    }

    #[test]
    fn each_request_of_a_user_since_a_moment_counts_once() {
        let lines = [
            line("ResponseComplete", "patch", 200, 9, "/x"),
            line("ResponseComplete", "patch", 200, 11, "/x"),
            line("ResponseStarted", "watch", 200, 12, "/x"),
            line("ResponseComplete", "watch", 200, 12, "/x"),
            line("ResponseComplete", "watch", 403, 13, "/x"),
            line("ResponseComplete", "patch", 200, 14, "/x?dryRun=All"),
            "{\"half".to_owned() + USER + "odoo",
        ];
        let entries = read(&lines, USER, "odoo");
        let kinds: Vec<String> = entries.iter().map(ToString::to_string).collect();
        let expected = ["patch", "watch", "watch", "dry-run patch"];
        assert_eq!(kinds, expected.map(|verb| format!("{verb} odooenvironments/status acme-prod")));
        assert_eq!(entries.iter().filter(|entry| entry.is_write()).count(), 1);
        assert_eq!(counts(&entries)["watch odooenvironments/status"], 2);
        assert!(read(&lines, "system:serviceaccount:system:other", "odoo").is_empty());
        assert!(read(&lines, USER, "odoo-2").is_empty());
    }
}
