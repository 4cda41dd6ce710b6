//! `retained`: what environments have left that were deleted under policy `Retain`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::PartialObjectMeta;
use odoofleet_api::{OdooEnvironment, labels};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output::{self, Table};
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, Session};

/// The commands below `retained`.
#[derive(Debug, clap::Subcommand)]
pub enum RetainedCommand {
    /// List releases that are kept
    List,
    /// End a kept release for good, with its volumes, database and passwords
    Purge {
        /// Name of the release
        #[arg(value_name = "RELEASE")]
        release: String,
        /// The release's name once more: its data is deleted
        #[arg(long, value_name = "RELEASE")]
        confirm: Option<String>,
    },
}

/// A release whose environment was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Retained {
    release: String,
    namespace: String,
    customer: String,
    environment: String,
    stage: String,
    since: Option<Timestamp>,
    volumes: Vec<Volume>,
}

/// A volume of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Volume {
    name: String,
    size: String,
}

/// `kubectl odoo retained`
pub async fn run(session: &Session, command: &RetainedCommand) -> Result<(), Failure> {
    match command {
        RetainedCommand::List => list(session).await,
        RetainedCommand::Purge { release, confirm } => purge(session, release, confirm.as_deref()).await,
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let all = read(session).await?;
    if !session.for_people() {
        return output::data(session.format, &all);
    }
    let now = session.now();
    let mut table = Table::new(["release", "customer", "environment", "stage", "retained", "volumes"]);
    for retained in &all {
        table.push(vec![
            retained.release.clone(),
            retained.customer.clone(),
            retained.environment.clone(),
            retained.stage.clone(),
            retained.since.map(|at| output::age(now, at)).unwrap_or_default(),
            volumes(retained),
        ]);
    }
    if all.is_empty() {
        let language = session.language;
        output::remark(&say!(language, "nothing is retained", "没有保留的 Release"));
        return Ok(());
    }
    table.print()
}

fn volumes(retained: &Retained) -> String {
    let said = retained.volumes.iter().map(|volume| format!("{} {}", volume.name, volume.size));
    said.collect::<Vec<_>>().join(", ")
}

/// The newest revision of each release that is kept. Only labels are read of these Secrets.
async fn read(session: &Session) -> Result<Vec<Retained>, Failure> {
    let params = ListParams::default().labels(&format!("owner=helm,{}", labels::RETAINED_AT));
    let api: kube::Api<Secret> =
        if session.all_namespaces { kube::Api::all(session.client.clone()) } else { session.api() };
    let secrets = match api.list_metadata(&params).await {
        Ok(list) => list.items,
        Err(error) => return Err(session.explain(&Asked::of::<Secret>("list", None), error).await),
    };
    let claims: Vec<PersistentVolumeClaim> = session.list(&ListParams::default()).await?;
    Ok(releases(&secrets, &claims))
}

fn releases(secrets: &[PartialObjectMeta<Secret>], claims: &[PersistentVolumeClaim]) -> Vec<Retained> {
    let mut newest: BTreeMap<(String, String), Retained> = BTreeMap::new();
    for secret in secrets {
        let label = |key: &str| secret.labels().get(key).cloned().unwrap_or_default();
        let namespace = secret.namespace().unwrap_or_default();
        let release = label("name");
        let at = label(labels::RETAINED_AT).parse().ok().and_then(|second| Timestamp::from_second(second).ok());
        let of_release = |claim: &&PersistentVolumeClaim| {
            claim.namespace().as_deref() == Some(&namespace)
                && claim.annotations().get(labels::HELM_RELEASE_NAME) == Some(&release)
        };
        let retained = Retained {
            customer: label(labels::CUSTOMER),
            environment: label(labels::ENVIRONMENT),
            stage: label(labels::STAGE),
            since: at,
            volumes: claims.iter().filter(of_release).map(volume).collect(),
            release: release.clone(),
            namespace: namespace.clone(),
        };
        newest.insert((namespace, release), retained);
    }
    newest.into_values().collect()
}

fn volume(claim: &PersistentVolumeClaim) -> Volume {
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    let wish = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let size = capacity.or(wish).and_then(|sizes| sizes.get("storage"));
    Volume { name: claim.name_any(), size: size.map(|size| size.0.clone()).unwrap_or_default() }
}

/// Has the operator do it: the environment is made again, marked for deletion with its data, and deleted. Nobody else's rights over volumes
/// and Secrets are needed, and nothing is removed but what the operator would remove.
async fn purge(session: &Session, release: &str, confirm: Option<&str>) -> Result<(), Failure> {
    let language = session.language;
    let namespace = &session.namespace;
    let all = read(session).await?;
    let Some(retained) = all.into_iter().find(|retained| retained.release == release) else {
        let message = say!(
            language,
            "no release \"{release}\" is retained in namespace \"{namespace}\"",
            "命名空间 \"{namespace}\" 中没有保留的 Release \"{release}\""
        );
        let hint = say!(language, "`kubectl odoo retained list` shows them", "用 `kubectl odoo retained list` 查看");
        return Err(Failure::new(Exit::NotFound, message).hint(hint));
    };
    if confirm != Some(release) {
        let volumes = volumes(&retained);
        let customer = &retained.customer;
        let message = say!(
            language,
            "this deletes the data of customer \"{customer}\" in release \"{release}\" for good: its database, its passwords and the volumes {volumes}",
            "这将彻底删除客户 \"{customer}\" 的 Release \"{release}\" 的数据：数据库、密码以及存储卷 {volumes}"
        );
        return Err(Failure::new(Exit::Usage, message).hint(say!(
            language,
            "repeat it with --confirm {release}",
            "如确认，请加上 --confirm {release} 重新执行"
        )));
    }
    let (customer, service) = (&retained.customer, service_of(&retained));
    let environment: OdooEnvironment = serde_json::from_value(json!({
        "apiVersion": "odoofleet.dev/v1alpha1",
        "kind": "OdooEnvironment",
        "metadata": {
            "name": retained.environment,
            "finalizers": [labels::FINALIZER],
            "annotations": {labels::ALLOW_DELETION: retained.environment},
        },
        "spec": {
            "customerRef": {"name": customer},
            "serviceName": service,
            // Deletion asks nothing of the template; its name must only be one.
            "templateRef": {"name": "purged"},
            "stage": retained.stage,
            "replicas": 0,
            "deletionPolicy": "Delete",
        },
    }))
    .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let api = session.api::<OdooEnvironment>();
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    if let Err(error) = api.create(&params, &environment).await {
        return Err(session.explain(&Asked::of::<OdooEnvironment>("create", Some(&retained.environment)), error).await);
    }
    if let Err(error) = api.delete(&retained.environment, &DeleteParams::default()).await {
        return Err(session.explain(&Asked::of::<OdooEnvironment>("delete", Some(&retained.environment)), error).await);
    }
    let environment = &retained.environment;
    output::line(&say!(
        language,
        "release \"{release}\" is being removed with its data; `kubectl odoo status {environment}` shows it until it is gone",
        "Release \"{release}\" 及其数据正在删除；删除完成前可用 `kubectl odoo status {environment}` 查看"
    ))
}

/// The service name: what follows the customer in the release's name.
fn service_of(retained: &Retained) -> &str {
    let rest = retained.release.strip_prefix(retained.customer.as_str());
    rest.and_then(|rest| rest.strip_prefix('-')).unwrap_or(&retained.release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_revision_speaks_for_a_release_and_only_its_own_volumes_count() {
        let secret = |revision: &str, at: &str| -> PartialObjectMeta<Secret> {
            serde_json::from_value(json!({"metadata": {
                "name": format!("sh.helm.release.v1.globex-trial.v{revision}"), "namespace": "odoo",
                "labels": {"name": "globex-trial", "odoofleet.dev/customer": "globex", "odoofleet.dev/retained-at": at,
                    "odoofleet.dev/environment": "globex-trial", "odoofleet.dev/stage": "Test"},
            }}))
            .unwrap()
        };
        let claim = |release: &str| -> PersistentVolumeClaim {
            serde_json::from_value(json!({
                "metadata": {"name": format!("{release}-data"), "namespace": "odoo",
                    "annotations": {"meta.helm.sh/release-name": release}},
                "spec": {"resources": {"requests": {"storage": "10Gi"}}},
            }))
            .unwrap()
        };
        let found = releases(&[secret("1", "5"), secret("2", "5")], &[claim("globex-trial"), claim("globex-trial-b")]);
        assert_eq!(found.len(), 1);
        assert_eq!(volumes(&found[0]), "globex-trial-data 10Gi");
        assert_eq!(service_of(&found[0]), "trial");
        assert_eq!(found[0].since, Some(Timestamp::from_second(5).unwrap()));
    }
}
