//! What the API server is asked, by whom, is written down.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::layout::Layout;

/// Who wrote what, and who read it; no bodies. Left out is what the parts of a cluster do all the time by themselves.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
  resources:
  - {group: \"\", resources: [nodes, nodes/status, events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
  nonResourceURLs: [/healthz*, /livez*, /readyz*]
- level: Metadata
";
const POLICY_FILE: &str = "audit-policy.yaml";
/// The size of a file in MB, and how many that are full are kept beside it.
const BOUNDS: [&str; 4] = ["--audit-log-maxsize", "64", "--audit-log-maxbackup", "3"];

/// Lets the API server keep the record.
pub fn record(api: &mut Command, layout: &Layout) -> Result<()> {
    let policy = layout.path(POLICY_FILE);
    fs::write(&policy, POLICY).with_context(|| format!("cannot write {}", policy.display()))?;
    api.arg("--audit-policy-file").arg(policy);
    // The API server makes its folder.
    api.arg("--audit-log-path").arg(layout.audit());
    api.args(BOUNDS);
    Ok(())
}
