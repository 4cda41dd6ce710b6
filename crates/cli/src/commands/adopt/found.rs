//! A live release, as its newest record and its workloads tell of it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use odoofleet_api::names::ReleaseName;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};
use odoofleet_api::{OdooEnvironment, labels};
use odoofleet_core::environment::references::names;
use odoofleet_core::observed::{Running, Workload};
use odoofleet_core::record::{RECORD_KEY, Record};
use odoofleet_core::template::VersionContent;

use crate::failure::{Exit, Failure};
use crate::say;
use crate::session::{Asked, Session, closest};

/// A release that can be taken over.
pub struct Found {
    /// What it was given.
    pub record: Record,
}

/// The releases of a namespace, by the labels of their newest records, and the environments that claim some.
pub struct Known {
    newest: BTreeMap<String, PartialObjectMeta<Secret>>,
    claimed: BTreeMap<String, String>,
}

impl Known {
    /// Reads names and labels. No record is opened yet.
    pub async fn read(session: &Session) -> Result<Self, Failure> {
        let params = ListParams::default().labels("owner=helm");
        let secrets = match session.api::<Secret>().list_metadata(&params).await {
            Ok(list) => list.items,
            Err(error) => return Err(session.explain(&Asked::of::<Secret>("list", None), error).await),
        };
        let environments: Vec<OdooEnvironment> = session.list_beside().await?;
        let claim = |environment: &OdooEnvironment| {
            let (_, release) = names(&environment.spec).ok()?;
            Some((release.to_string(), environment.name_any()))
        };
        Ok(Self { newest: newest(secrets), claimed: environments.iter().filter_map(claim).collect() })
    }

    /// The names of the releases.
    fn names(&self) -> Vec<&str> {
        self.newest.keys().map(String::as_str).collect()
    }

    /// Opens the newest record of a release.
    pub async fn open(&self, session: &Session, release: &str) -> Result<Found, Failure> {
        let language = session.language;
        let Some(newest) = self.newest.get(release) else { return Err(self.unknown(session, release)) };
        if let Some(environment) = self.claimed.get(release).or_else(|| newest.labels().get(labels::ENVIRONMENT)) {
            let message = say!(
                language,
                "release \"{release}\" belongs to environment \"{environment}\" already",
                "Release \"{release}\" 已属于环境 \"{environment}\""
            );
            let hint =
                say!(language, "`kubectl odoo status {environment}`", "用 `kubectl odoo status {environment}` 查看");
            return Err(Failure::new(Exit::Refused, message).hint(hint));
        }
        let status = newest.labels().get("status").map_or("", String::as_str);
        if status.starts_with("uninstall") {
            let message =
                say!(language, "release \"{release}\" is \"{status}\"", "Release \"{release}\" 的状态为 \"{status}\"");
            return Err(Failure::new(Exit::Refused, message));
        }
        Ok(Found { record: self.record(session, release).await? })
    }

    /// The newest record of a release, whosever it is.
    pub async fn record(&self, session: &Session, release: &str) -> Result<Record, Failure> {
        let language = session.language;
        let Some(newest) = self.newest.get(release) else { return Err(self.unknown(session, release)) };
        let secret: Secret = session.get(&newest.name_any()).await?;
        let data = secret.data.and_then(|mut data| data.remove(RECORD_KEY)).map(|data| data.0).unwrap_or_default();
        let broken = |error: &dyn std::fmt::Display| {
            let name = newest.name_any();
            let message = say!(
                language,
                "the record of release \"{release}\" in Secret \"{name}\" cannot be used: {error}",
                "Release \"{release}\" 在 Secret \"{name}\" 中的记录无法使用：{error}"
            );
            Failure::new(Exit::Failed, message).hint(say!(
                language,
                "restore the Secret, or have the tool that made it upgrade the release once more",
                "请恢复该 Secret，或用原来的工具再升级一次该 Release"
            ))
        };
        let record = Record::read(&data).map_err(|error| broken(&error))?;
        let name = record.name.clone();
        let other = say!(language, "it is of release \"{name}\"", "它属于 Release \"{name}\"");
        if record.name == release { Ok(record) } else { Err(broken(&other)) }
    }

    fn unknown(&self, session: &Session, release: &str) -> Failure {
        let (language, namespace) = (session.language, &session.namespace);
        let message = say!(
            language,
            "there is no Helm release \"{release}\" in namespace \"{namespace}\"",
            "命名空间 \"{namespace}\" 中没有 Helm Release \"{release}\""
        );
        let failure = Failure::new(Exit::NotFound, message);
        match closest(release, &self.names()) {
            Some(meant) => failure.hint(say!(language, "did you mean \"{meant}\"?", "您是否想输入 \"{meant}\"？")),
            None => failure,
        }
    }
}

/// The newest record of each release, by Helm's own labels.
fn newest(secrets: Vec<PartialObjectMeta<Secret>>) -> BTreeMap<String, PartialObjectMeta<Secret>> {
    let number =
        |secret: &PartialObjectMeta<Secret>| secret.labels().get("version").and_then(|text| text.parse::<i64>().ok());
    let mut newest: BTreeMap<String, PartialObjectMeta<Secret>> = BTreeMap::new();
    for secret in secrets {
        let (Some(name), true) = (secret.labels().get("name").cloned(), number(&secret).is_some()) else { continue };
        let is_older = newest.get(&name).is_some_and(|known| number(known) > number(&secret));
        if !is_older {
            newest.insert(name, secret);
        }
    }
    newest
}

/// Workloads of a namespace.
pub struct Live(Vec<Workload>);

impl Live {
    /// Reads them.
    pub async fn read(session: &Session) -> Result<Self, Failure> {
        let deployments: Vec<Deployment> = session.list_beside().await?;
        let sets: Vec<StatefulSet> = session.list_beside().await?;
        let deployments = deployments.iter().filter_map(|object| {
            let replicas = object.spec.as_ref()?.replicas.unwrap_or(1);
            workload(object, WorkloadKind::Deployment, WorkloadRole::Application, replicas)
        });
        let sets = sets.iter().filter_map(|object| {
            let replicas = object.spec.as_ref()?.replicas.unwrap_or(1);
            workload(object, WorkloadKind::StatefulSet, WorkloadRole::Database, replicas)
        });
        Ok(Self(deployments.chain(sets).collect()))
    }

    /// Pods of what `spec.replicas` would count; none where nothing of the release is counted.
    pub fn pods(&self, release: &str, content: &VersionContent) -> Option<i32> {
        let plan = content.stop_plan(&ReleaseName::parse(release).ok()?);
        let own = self.0.iter().filter(|workload| workload.release == release);
        let running = Running { workloads: own.cloned().collect(), ..Running::default() };
        let live = running.workloads.iter().filter(|workload| plan.is_live(workload, &running));
        live.map(|workload| workload.replicas).max()
    }
}

/// What counts here of a workload.
fn workload(object: &impl ResourceExt, kind: WorkloadKind, usual: WorkloadRole, replicas: i32) -> Option<Workload> {
    let word = object.annotations().get(labels::ROLE).map(String::as_str);
    Some(Workload {
        kind,
        name: object.name_any(),
        release: object.annotations().get(labels::HELM_RELEASE_NAME)?.clone(),
        role: match word {
            Some("Web" | "Application") => WorkloadRole::Application,
            Some("Database") => WorkloadRole::Database,
            Some("Page") => WorkloadRole::Page,
            _ => usual,
        },
        live: word == Some("Web"),
        replicas,
        current_replicas: replicas,
        ready_replicas: replicas,
        observed: true,
        updated: true,
        replicas_before_stop: None,
        selector: BTreeMap::new(),
        claims: Vec::new(),
        claim_templates: Vec::new(),
        pods_refused: None,
        autoscaled: false,
        resource_version: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_revision_is_the_one_with_the_highest_number() {
        let secret = |release: &str, number: &str| -> PartialObjectMeta<Secret> {
            serde_json::from_value(json!({"metadata": {
                "name": format!("sh.helm.release.v1.{release}.v{number}"),
                "labels": {"owner": "helm", "name": release, "version": number},
            }}))
            .unwrap()
        };
        let all = vec![secret("a", "10"), secret("a", "9"), secret("b", "1"), secret("c", "x")];
        let found = newest(all);
        let told: Vec<String> = found.values().map(ResourceExt::name_any).collect();
        assert_eq!(told, ["sh.helm.release.v1.a.v10", "sh.helm.release.v1.b.v1"]);
    }
}
