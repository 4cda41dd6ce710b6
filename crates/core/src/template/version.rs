//! A template version: everything that a template says, frozen.

use std::sync::Arc;

use jiff::Timestamp;
use odoofleet_api::Object;
use odoofleet_api::names::ReleaseName;
use odoofleet_api::template::{Binding, OdooTemplateSpec, StopWorkload, WorkloadKind, WorkloadRole};
use serde::{Deserialize, Serialize};

use crate::chart::Chart;
use crate::digest;
use crate::observed::{Running, Workload};
use crate::values::{
    BindingError, PathError, Schema, SchemaError, ValuePath, check_bindings, default_bindings, is_input, password,
    workload_name,
};

/// The content of a version, as it lies in its `ControllerRevision`. Environments read nothing else of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionContent {
    /// Form of this content; a later form reads the earlier ones.
    pub format: u32,
    /// Name of the version.
    pub version: String,
    /// sha256 of the chart's archive, hexadecimal.
    pub chart_digest: String,
    /// Name of the chart.
    pub chart_name: String,
    /// Version of the chart.
    pub chart_version: String,
    /// Odoo's series.
    pub odoo_version: String,
    /// PostgreSQL's major version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_major: Option<i32>,
    /// Values over the chart's defaults.
    #[serde(default)]
    pub values: Object,
    /// Schema that stands for the chart's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_schema: Option<Object>,
    /// Bindings, the defaults written out: they must not change with the operator's version.
    pub bindings: Vec<Binding>,
    /// Inputs that an environment must set.
    #[serde(default)]
    pub required: Vec<String>,
    /// Paths that only Secrets may feed.
    #[serde(default)]
    pub secret_paths: Vec<String>,
    /// Paths that no environment may set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked_paths: Vec<String>,
    /// Workloads with a special part in stop and start.
    #[serde(default)]
    pub workloads: Vec<StopWorkload>,
}

/// Why a template's content is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VersionError {
    /// A binding.
    #[error("spec.bindings: {0}")]
    Binding(#[from] BindingError),
    /// A path.
    #[error("{field}: {source}")]
    Path {
        /// Field of the spec.
        field: &'static str,
        /// What is wrong.
        source: PathError,
    },
    /// The schema.
    #[error("spec.valuesSchema: {0}")]
    Schema(#[from] SchemaError),
    /// A value on a path that only Secrets may feed.
    #[error("spec.values sets \"{0}\", which spec.secretPaths leaves to Secrets")]
    SecretValue(String),
    /// A binding that brings a password to where others than a Secret's readers may see it.
    #[error(
        "spec.bindings brings a password to \"{0}\": name that path in spec.secretPaths, if the chart renders it into a Secret"
    )]
    OpenPassword(String),
    /// An input that no environment can set.
    #[error("spec.required names the input \"{0}\", which does not exist")]
    UnknownInput(String),
    /// Larger than an object may be.
    #[error("the template's content has {0} bytes; at most 500000 are allowed")]
    TooLarge(usize),
}

impl VersionContent {
    /// Freezes a template's spec with the chart that was fetched for it.
    pub fn new(spec: &OdooTemplateSpec, chart: &Chart, chart_digest: String) -> Result<Self, VersionError> {
        let content = Self {
            format: 1,
            version: spec.version.clone(),
            chart_digest,
            chart_name: chart.name.clone(),
            chart_version: chart.version.clone(),
            odoo_version: spec.odoo_version.clone(),
            postgres_major: spec.postgres_major,
            values: spec.values.clone(),
            values_schema: spec.values_schema.clone(),
            bindings: spec.bindings.clone().unwrap_or_else(default_bindings),
            required: spec.required.clone(),
            secret_paths: spec.secret_paths.clone(),
            locked_paths: spec.locked_paths.clone(),
            workloads: spec.stop.clone().unwrap_or_default().workloads,
        };
        content.check()?;
        content.check_passwords(chart)?;
        Ok(content)
    }

    fn check(&self) -> Result<(), VersionError> {
        check_bindings(&self.bindings)?;
        if let Some(unknown) = self.required.iter().find(|name| !is_input(name)) {
            return Err(VersionError::UnknownInput(unknown.clone()));
        }
        for path in paths("spec.secretPaths", self.secret_paths.iter())? {
            if path.get(&self.values).is_some_and(|value| !value.is_null() && value.as_str() != Some("")) {
                return Err(VersionError::SecretValue(path.to_string()));
            }
        }
        paths("spec.lockedPaths", self.locked_paths.iter())?;
        paths(
            "spec.stop.workloads[].replicasPath",
            self.workloads.iter().filter_map(|workload| workload.replicas_path.as_ref()),
        )?;
        if let Some(schema) = &self.values_schema {
            Schema::compile(&serde_json::Value::Object(schema.clone()))?;
        }
        let size = serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len());
        if size > 500_000 { Err(VersionError::TooLarge(size)) } else { Ok(()) }
    }

    /// A password that a binding brings must be one that the chart keeps in a Secret.
    fn check_passwords(&self, chart: &Chart) -> Result<(), VersionError> {
        let secret = self.secret_value_paths(chart);
        let brings = |binding: &&Binding| binding.from.as_deref().is_some_and(|from| password(from).is_some());
        for binding in self.bindings.iter().filter(brings) {
            let to = ValuePath::parse(&binding.to).map_err(BindingError::from)?;
            if !secret.iter().any(|path| to.lies_in(path)) {
                return Err(VersionError::OpenPassword(binding.to.clone()));
            }
        }
        Ok(())
    }

    /// Digest of the content: versions of equal content are equal.
    pub fn digest(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        digest::base32(digest::canonical(&value).as_bytes())
    }

    /// What this version says of a spec's content: whether the spec could have been frozen to it.
    pub fn describes(&self, spec: &OdooTemplateSpec) -> bool {
        self.values == spec.values
            && self.values_schema == spec.values_schema
            && self.odoo_version == spec.odoo_version
            && self.postgres_major == spec.postgres_major
            && self.required == spec.required
            && self.secret_paths == spec.secret_paths
            && self.locked_paths == spec.locked_paths
            && self.workloads == spec.stop.clone().unwrap_or_default().workloads
            && spec.bindings.as_ref().is_none_or(|bindings| *bindings == self.bindings)
            && spec
                .chart
                .digest
                .as_ref()
                .is_none_or(|digest| digest.strip_prefix("sha256:") == Some(self.chart_digest.as_str()))
    }

    /// Paths that Secrets may feed, and nothing else: the template's and its chart's. Checked when the content was frozen.
    pub fn secret_value_paths(&self, chart: &Chart) -> Vec<ValuePath> {
        parsed(&self.secret_paths).chain(chart.secret_paths.iter().cloned()).collect()
    }

    /// Paths that no environment may set: the template's and its chart's.
    pub fn locked_value_paths(&self, chart: &Chart) -> Vec<ValuePath> {
        parsed(&self.locked_paths).chain(chart.locked_paths.iter().cloned()).collect()
    }

    /// How a release of this version is stopped and started.
    pub fn stop_plan(&self, release: &ReleaseName) -> StopPlan {
        let rule = |workload: &StopWorkload| WorkloadRule {
            kind: workload.kind,
            name: workload_name(&workload.name, release),
            role: workload.role,
            live: workload.replicas_path.is_some(),
        };
        StopPlan(self.workloads.iter().map(rule).collect())
    }

    /// Value paths of replicas that are scaled live, without a Helm run. They do not count for the spec hash.
    pub fn live_paths(&self) -> Vec<ValuePath> {
        let declared = self.workloads.iter().filter_map(|workload| workload.replicas_path.as_deref());
        let bound = self
            .bindings
            .iter()
            .filter(|binding| binding.from.as_deref() == Some("replicas"))
            .map(|binding| binding.to.as_str());
        declared.chain(bound).filter_map(|path| ValuePath::parse(path).ok()).collect()
    }
}

fn parsed(texts: &[String]) -> impl Iterator<Item = ValuePath> {
    texts.iter().filter_map(|path| ValuePath::parse(path).ok())
}

fn paths<'a>(field: &'static str, texts: impl Iterator<Item = &'a String>) -> Result<Vec<ValuePath>, VersionError> {
    texts.map(|text| ValuePath::parse(text).map_err(|source| VersionError::Path { field, source })).collect()
}

/// Name of the `ControllerRevision` that holds a version. Both names may hold dots and hyphens, so joined alone they could be
/// those of another pair; the digest tells them apart.
pub fn revision_name(template: &str, version: &str) -> String {
    let digest = digest::base32(format!("{template}/{version}").as_bytes());
    format!("{template}-{version}-{}", &digest[..8])
}

/// A version as it is kept in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVersion {
    /// Name of the `ControllerRevision`.
    pub object: String,
    /// Content.
    pub content: Arc<VersionContent>,
    /// Digest of the content.
    pub digest: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether its chart has hooks that run at an upgrade; older operators did not say.
    pub has_upgrade_hooks: Option<bool>,
}

/// Which workload plays which part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopPlan(Vec<WorkloadRule>);

/// The part of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRule {
    /// Kind.
    pub kind: WorkloadKind,
    /// Name.
    pub name: String,
    /// Place in the order.
    pub role: WorkloadRole,
    /// Whether `spec.replicas` is its number of pods.
    pub live: bool,
}

impl StopPlan {
    /// A plan from rules.
    pub fn new(rules: Vec<WorkloadRule>) -> Self {
        Self(rules)
    }

    /// The part of a workload: what the template says, else what its chart says.
    pub fn role(&self, workload: &Workload) -> WorkloadRole {
        self.rule(workload.kind, &workload.name).map_or(workload.role, |rule| rule.role)
    }

    /// Workloads that play a part.
    pub fn with_role<'a>(&self, running: &'a Running, role: WorkloadRole) -> Vec<&'a Workload> {
        running.workloads.iter().filter(|workload| self.role(workload) == role).collect()
    }

    /// Whether `spec.replicas` is this workload's number of pods. Where neither a rule nor the chart says so, the only
    /// Application is it.
    pub fn is_live(&self, workload: &Workload, running: &Running) -> bool {
        if self.0.iter().any(|rule| rule.live) {
            return self.rule(workload.kind, &workload.name).is_some_and(|rule| rule.live);
        }
        if running.workloads.iter().any(|workload| workload.live) {
            return workload.live;
        }
        matches!(self.with_role(running, WorkloadRole::Application).as_slice(), [only] if *only == workload)
    }

    /// The first workload whose pods `spec.replicas` should count and that is not there. Others may be a chart's option.
    pub fn unmatched(&self, running: &Running) -> Option<(WorkloadKind, &str)> {
        let is_there = |rule: &WorkloadRule| {
            running.workloads.iter().any(|workload| workload.kind == rule.kind && workload.name == rule.name)
        };
        self.0.iter().find(|rule| rule.live && !is_there(rule)).map(|rule| (rule.kind, rule.name.as_str()))
    }

    fn rule(&self, kind: WorkloadKind, name: &str) -> Option<&WorkloadRule> {
        self.0.iter().find(|rule| rule.kind == kind && rule.name == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::environment::fixtures;

    #[test]
    fn what_is_required_can_be_set() {
        let chart = fixtures::version(|_| ()).chart;
        let freeze = |name: &str| {
            let spec =
                json!({ "version": "1", "odooVersion": "18.0", "chart": { "path": "odoo" }, "required": [name] });
            VersionContent::new(&serde_json::from_value(spec).unwrap(), &chart, "0".repeat(64)).map(drop)
        };
        for good in ["ingress.host", "size", "postgresql.host"] {
            assert_eq!(freeze(good), Ok(()), "{good}");
        }
        for bad in ["hosts", "ingress-host", "databasePassword"] {
            assert_eq!(freeze(bad), Err(VersionError::UnknownInput(bad.into())));
        }
    }

    #[test]
    fn a_binding_brings_a_password_only_to_what_the_chart_keeps_in_a_secret() {
        let chart = fixtures::version(|_| ()).chart;
        let freeze = |to: &str, secret_paths: &[&str]| {
            let spec = json!({
                "version": "1", "odooVersion": "18.0", "chart": { "path": "odoo" },
                "bindings": [{ "to": to, "from": "databasePassword" }], "secretPaths": secret_paths,
            });
            VersionContent::new(&serde_json::from_value(spec).unwrap(), &chart, "0".repeat(64)).map(drop)
        };
        assert_eq!(freeze("db.password", &["db.password"]), Ok(()));
        assert_eq!(freeze("db.password", &["db"]), Ok(()), "all below it is for Secrets");
        for secret_paths in [&[][..], &["db.password.deep"], &["other"]] {
            assert_eq!(freeze("db.password", secret_paths), Err(VersionError::OpenPassword("db.password".into())));
        }
    }
}
