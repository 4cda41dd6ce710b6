//! `shell` and `psql`: kubectl's own exec, in the right pod and container.

use std::os::unix::process::CommandExt;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};

use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::say;
use crate::session::Session;

/// What `shell` takes.
#[derive(Debug, clap::Args)]
pub struct ShellArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// What is run, after --; else a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// What `psql` takes.
#[derive(Debug, clap::Args)]
pub struct PsqlArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Arguments of psql, after --
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// `kubectl odoo shell`
pub async fn shell(session: &Session, args: &ShellArgs) -> Result<(), Failure> {
    let environment: OdooEnvironment = session.get(&args.environment).await?;
    let pod = pod(session, &environment, WorkloadRole::Application).await?;
    let mut command = args.command.clone();
    if command.is_empty() {
        command.extend(["sh", "-c", "command -v bash >/dev/null && exec bash || exec sh"].map(str::to_owned));
    }
    exec(session, &pod, "odoo", &command)
}

/// The superuser's psql on Odoo's database, which is the one that PostgreSQL did not make for itself; another with `-- -d NAME`.
const PSQL: &str = r#"user="${POSTGRES_USER:-postgres}"
own="SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY oid LIMIT 1"
database=$(psql -U "$user" -d postgres -Atc "$own") || exit
PGDATABASE="${database:-postgres}" exec psql -U "$user" "$@""#;

/// `kubectl odoo psql`
pub async fn psql(session: &Session, args: &PsqlArgs) -> Result<(), Failure> {
    let environment: OdooEnvironment = session.get(&args.environment).await?;
    let pod = pod(session, &environment, WorkloadRole::Database).await?;
    let mut command = ["sh", "-c", PSQL, "psql"].map(str::to_owned).to_vec();
    command.extend(args.arguments.iter().cloned());
    exec(session, &pod, "postgresql", &command)
}

/// A pod of the environment's workloads of a role: the first that is ready.
pub async fn pod(session: &Session, environment: &OdooEnvironment, role: WorkloadRole) -> Result<Pod, Failure> {
    let (language, name) = (session.language, environment.name_any());
    let status = environment.status.clone().unwrap_or_default();
    let workloads: Vec<(WorkloadKind, String)> = status
        .workloads
        .iter()
        .filter(|workload| workload.role == role)
        .map(|workload| (workload.kind, workload.name.clone()))
        .collect();
    if workloads.is_empty() && role == WorkloadRole::Database {
        let message = say!(
            language,
            "environment \"{name}\" has no database in the cluster",
            "环境 \"{name}\" 在集群中没有数据库"
        );
        return Err(Failure::new(Exit::NotFound, message).hint(say!(
            language,
            "its PostgreSQL is elsewhere: connect to it directly",
            "其 PostgreSQL 在集群之外：请直接连接"
        )));
    }
    let pods: Vec<Pod> = session.list_beside().await?;
    let own = pods.into_iter().filter(|pod| workloads.iter().any(|(kind, name)| belongs_to(pod, *kind, name)));
    let best = own.max_by_key(is_ready);
    best.ok_or_else(|| {
        let message = say!(language, "environment \"{name}\" has no pod", "环境 \"{name}\" 没有 Pod");
        Failure::new(Exit::NotFound, message).hint(say!(
            language,
            "`kubectl odoo start {name}` starts it, if it is stopped",
            "如果它已停止，可用 `kubectl odoo start {name}` 启动"
        ))
    })
}

/// Whether a pod was made by a workload: by the StatefulSet itself, or by a ReplicaSet that carries the Deployment's name and a hash.
pub fn belongs_to(pod: &Pod, kind: WorkloadKind, workload: &str) -> bool {
    pod.owner_references().iter().any(|owner| match kind {
        WorkloadKind::StatefulSet => owner.kind == "StatefulSet" && owner.name == workload,
        WorkloadKind::Deployment => {
            let made_by = owner.name.rsplit_once('-').map(|(deployment, _)| deployment);
            owner.kind == "ReplicaSet" && made_by == Some(workload)
        }
    })
}

/// Whether the pod passes its probes.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Becomes `kubectl exec`: what is typed goes to it, and its exit code is ours.
fn exec(session: &Session, pod: &Pod, container: &str, command: &[String]) -> Result<(), Failure> {
    let language = session.language;
    let has = |pod: &Pod| pod.spec.iter().any(|spec| spec.containers.iter().any(|own| own.name == container));
    let mut kubectl = session.kubectl();
    kubectl.args(["exec", "--stdin"]);
    if console::Term::stdout().is_term() {
        kubectl.arg("--tty");
    }
    kubectl.arg(pod.name_any());
    if has(pod) {
        kubectl.args(["--container", container]);
    }
    let error = kubectl.arg("--").args(command).exec();
    Err(no_kubectl(language, &error))
}

/// kubectl is not there, or cannot be started.
pub fn no_kubectl(language: Language, error: &std::io::Error) -> Failure {
    let message = say!(language, "kubectl cannot be started: {error}", "无法启动 kubectl：{error}");
    let hint = say!(language, "install kubectl; the connection is its work", "请安装 kubectl，连接由它建立");
    Failure::new(Exit::Failed, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(kind: &str, owner: &str) -> Pod {
        let owner = json!({"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u"});
        serde_json::from_value(json!({"metadata": {"name": "p", "ownerReferences": [owner]}})).unwrap()
    }

    #[test]
    fn a_pod_belongs_to_the_workload_whose_whole_name_it_carries() {
        let web = pod("ReplicaSet", "acme-prod-web-59c64fd94");
        assert!(belongs_to(&web, WorkloadKind::Deployment, "acme-prod-web"));
        assert!(!belongs_to(&web, WorkloadKind::Deployment, "acme-prod"));
        assert!(!belongs_to(&web, WorkloadKind::StatefulSet, "acme-prod-web"));
        assert!(belongs_to(
            &pod("StatefulSet", "acme-prod-postgresql"),
            WorkloadKind::StatefulSet,
            "acme-prod-postgresql"
        ));
    }
}
