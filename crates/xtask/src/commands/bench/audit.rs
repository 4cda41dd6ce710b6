//! What the operator wrote, as the API server's audit log tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

use super::fleet::NAMESPACE;

const USER: &str = "system:serviceaccount:odoofleet-system:odoofleet";

/// The operator's writes to the namespace of the environments since a moment, as text; "0" if there are none.
pub fn writes_since(log: &Path, moment: Timestamp) -> Result<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files(log, moment)? {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        for line in text.lines().filter(|line| line.contains(USER) && line.contains(NAMESPACE)) {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
            if let Some(kind) = event.write().filter(|_| event.request_received_timestamp >= moment) {
                *counts.entry(kind).or_default() += 1;
            }
        }
    }
    if counts.is_empty() {
        return Ok("0".to_owned());
    }
    Ok(counts.iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", "))
}

/// The files that may tell of what came after a moment: full ones lie beside the present one.
fn files(log: &Path, moment: Timestamp) -> Result<Vec<PathBuf>> {
    let folder = log.parent().context("the audit log is in no folder")?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        if Timestamp::try_from(entry.metadata()?.modified()?)? >= moment {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// A line of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    request_received_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    uri: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    namespace: String,
    subresource: String,
}

impl Event {
    /// As `patch odooenvironments/status`; none of what changes nothing.
    fn write(&self) -> Option<String> {
        let Object { resource, namespace, subresource } = self.object_ref.as_ref()?;
        let reads = matches!(self.verb.as_str(), "get" | "list" | "watch") || self.uri.contains("dryRun=");
        let told = self.stage == "ResponseComplete" && self.user.username == USER && namespace == NAMESPACE;
        let slash = if subresource.is_empty() { "" } else { "/" };
        (told && !reads).then(|| format!("{} {resource}{slash}{subresource}", self.verb))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(verb: &str, user: &str, namespace: &str, second: u8, uri: &str) -> String {
        json!({
            "stage": "ResponseComplete", "verb": verb, "user": {"username": user}, "requestURI": uri,
            "objectRef": {"resource": "odooenvironments", "namespace": namespace, "subresource": "status"},
            "requestReceivedTimestamp": format!("2026-11-23T08:57:{second:02}.123456Z"),
        })
        .to_string()
    }

    #[test]
    fn only_what_the_operator_has_written_since_counts() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        let write = |lines: &[String]| fs::write(&log, lines.join("\n")).unwrap();
        let since = || writes_since(&log, "2026-11-23T08:57:10Z".parse().unwrap()).unwrap();
        let mut lines = vec![
            line("patch", USER, NAMESPACE, 9, "/x"),
            line("list", USER, NAMESPACE, 11, "/x"),
            line("patch", USER, NAMESPACE, 11, "/x?dryRun=All"),
            line("patch", "admin", NAMESPACE, 11, "/x"),
            line("patch", USER, "odoofleet-system", 11, "/x"),
        ];
        write(&lines);
        assert_eq!(since(), "0");
        lines.extend([line("patch", USER, NAMESPACE, 11, "/x"), line("patch", USER, NAMESPACE, 12, "/x")]);
        lines.push(format!("{{\"half {USER} {NAMESPACE}"));
        write(&lines);
        assert_eq!(since(), "2 × patch odooenvironments/status");
    }
}
