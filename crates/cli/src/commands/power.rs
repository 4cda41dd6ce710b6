//! `start`, `stop` and `restart`.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use odoofleet_api::conditions::{ConditionType, Reason, find};
use odoofleet_api::environment::Phase;
use odoofleet_api::template::{WorkloadKind, WorkloadRole};
use odoofleet_api::{OdooEnvironment, labels};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, Session};
use crate::wait::{self, Progress, WaitArgs};

/// Annotation: why somebody changed the object last, in their words.
pub const REASON: &str = "odoofleet.dev/change-reason";

/// What `start` takes.
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    /// Names of environments
    #[arg(required = true, value_name = "ENVIRONMENT")]
    pub environments: Vec<String>,
    /// How many pods of Odoo; else as many as before the stop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    pub replicas: Option<i32>,
    /// Why; kept on the environment
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What `stop` and `restart` take.
#[derive(Debug, clap::Args)]
pub struct PowerArgs {
    /// Names of environments
    #[arg(required = true, value_name = "ENVIRONMENT")]
    pub environments: Vec<String>,
    /// Why; kept on the environment
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `kubectl odoo start`
pub async fn start(session: &Session, args: &StartArgs) -> Result<(), Failure> {
    for name in &args.environments {
        let environment: OdooEnvironment = session.get(name).await?;
        let before = match args.replicas {
            Some(replicas) => replicas,
            None if environment.spec.replicas > 0 => environment.spec.replicas,
            None => pods_before_stop(session, &environment).await,
        };
        scale(session, &environment, before, args.reason.as_deref()).await?;
        if let Some(stop) = stopped_by_customer(&environment) {
            return Err(held_down(session.language, name, stop));
        }
    }
    for name in args.environments.iter().filter(|_| args.wait.wait) {
        wait::until(session, name, args.wait.timeout, |environment| started(environment, session.language)).await?;
        let language = session.language;
        output::line(&say!(language, "environment \"{name}\" runs", "环境 \"{name}\" 已运行"))?;
    }
    Ok(())
}

/// `kubectl odoo stop`
pub async fn stop(session: &Session, args: &PowerArgs) -> Result<(), Failure> {
    for name in &args.environments {
        let environment: OdooEnvironment = session.get(name).await?;
        scale(session, &environment, 0, args.reason.as_deref()).await?;
    }
    for name in args.environments.iter().filter(|_| args.wait.wait) {
        wait::until(session, name, args.wait.timeout, stopped).await?;
        let language = session.language;
        output::line(&say!(language, "environment \"{name}\" is stopped", "环境 \"{name}\" 已停止"))?;
    }
    Ok(())
}

/// `kubectl odoo restart`. What Git holds does not change, so Git is not asked.
pub async fn restart(session: &Session, args: &PowerArgs) -> Result<(), Failure> {
    let language = session.language;
    // With a fraction: a pod that was made within this second is older, too.
    let at = session.now().strftime("%FT%T%.3fZ").to_string();
    for name in &args.environments {
        let environment: OdooEnvironment = session.get(name).await?;
        let phase = environment.status.as_ref().and_then(|status| status.phase);
        if environment.spec.replicas == 0 || phase == Some(Phase::Stopped) {
            let message = say!(
                language,
                "environment \"{name}\" is stopped: there is nothing to restart",
                "环境 \"{name}\" 已停止，没有可重启的 Pod"
            );
            let hint = say!(language, "`kubectl odoo start {name}` starts it", "用 `kubectl odoo start {name}` 启动");
            return Err(Failure::new(Exit::Refused, message).hint(hint));
        }
        let mut annotations = json!({labels::RESTARTED_AT: at});
        if let Some(reason) = &args.reason {
            annotations[REASON] = json!(reason);
        }
        session.patch::<OdooEnvironment>(name, &json!({"metadata": {"annotations": annotations}})).await?;
        output::line(&say!(
            language,
            "environment \"{name}\": its pods are replaced one by one",
            "环境 \"{name}\"：正在逐个替换 Pod"
        ))?;
    }
    for name in args.environments.iter().filter(|_| args.wait.wait) {
        wait::until(session, name, args.wait.timeout, |environment| restarted(environment, &at)).await?;
        output::line(&say!(language, "environment \"{name}\" was restarted", "环境 \"{name}\" 已重启"))?;
    }
    Ok(())
}

/// Sets the number of pods through the scale subresource, which is all that an operator may change in Production.
async fn scale(
    session: &Session,
    environment: &OdooEnvironment,
    replicas: i32,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.name_any());
    if environment.spec.replicas == replicas {
        return output::line(&match replicas {
            0 => say!(language, "environment \"{name}\" is to be stopped already", "环境 \"{name}\" 已设为停止"),
            _ => say!(
                language,
                "environment \"{name}\" is to run with {replicas} already",
                "环境 \"{name}\" 已设为运行 {replicas} 个 Pod"
            ),
        });
    }
    let spec = json!({"spec": {"replicas": replicas}});
    git_owner::guard(session, "OdooEnvironment", &environment.metadata, &spec)?;
    if let Some(reason) = reason {
        let annotation = json!({"metadata": {"annotations": {REASON: reason}}});
        session.patch::<OdooEnvironment>(&name, &annotation).await?;
    }
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let answer: Result<Scale, _> =
        session.api::<OdooEnvironment>().patch_scale(&name, &params, &Patch::Merge(&spec)).await;
    if let Err(error) = answer {
        let asked = Asked::of::<OdooEnvironment>("patch", Some(&name)).on("scale");
        return Err(session.explain(&asked, error).await);
    }
    output::line(&match replicas {
        0 => say!(language, "environment \"{name}\" stops", "环境 \"{name}\" 正在停止"),
        _ => say!(
            language,
            "environment \"{name}\" starts with {replicas}",
            "环境 \"{name}\" 正在启动（{replicas} 个 Pod）"
        ),
    })
}

/// How many pods Odoo had before it was stopped: the operator keeps the number on each workload. One, if nobody knows.
async fn pods_before_stop(session: &Session, environment: &OdooEnvironment) -> i32 {
    let workloads = environment.status.iter().flat_map(|status| &status.workloads);
    let mut found = Vec::new();
    for workload in workloads.filter(|workload| workload.role == WorkloadRole::Application) {
        let name = &workload.name;
        let metadata = match workload.kind {
            WorkloadKind::Deployment => {
                session.api::<Deployment>().get_metadata(name).await.map(|object| object.metadata)
            }
            WorkloadKind::StatefulSet => {
                session.api::<StatefulSet>().get_metadata(name).await.map(|object| object.metadata)
            }
        };
        found.extend(metadata.ok());
    }
    web_pods(&found).unwrap_or(1)
}

/// The number that stands on Odoo's own workload: the one that its chart marks so, or the only one.
fn web_pods(applications: &[ObjectMeta]) -> Option<i32> {
    let annotation = |metadata: &ObjectMeta, key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    let is_web = |metadata: &&ObjectMeta| annotation(metadata, labels::ROLE).is_some_and(|role| role == "Web");
    let only = if let [only] = applications { Some(only) } else { None };
    let web = applications.iter().find(is_web).or(only)?;
    annotation(web, labels::REPLICAS)?.parse().ok().filter(|count| *count > 0)
}

/// The reason for which the customer's state holds an environment down, whatever its replicas are.
pub fn stopped_by_customer(environment: &OdooEnvironment) -> Option<&Reason> {
    let reason = environment.status.as_ref()?.reason.as_ref()?;
    let by_customer =
        matches!(reason, Reason::CustomerSuspended | Reason::CustomerExpired | Reason::CustomerTerminated);
    by_customer.then_some(reason)
}

fn held_down(language: Language, name: &str, reason: &Reason) -> Failure {
    let message =
        say!(language, "environment \"{name}\" stays stopped: {reason}", "环境 \"{name}\" 仍处于停止状态：{reason}");
    let remedy = crate::reasons::explain(reason.as_str(), language).map(|explanation| explanation.remedy.clone());
    Failure { hint: remedy, ..Failure::new(Exit::Unhealthy, message) }
}

/// What the operator says of an environment as its spec is now; nothing before it has seen it.
pub fn told(environment: &OdooEnvironment) -> String {
    if !is_observed(environment) {
        return String::new();
    }
    let status = environment.status.clone().unwrap_or_default();
    let reason = status.reason.map(|reason| reason.to_string()).unwrap_or_default();
    format!("{} {reason}: {}", environment.name_any(), status.message.unwrap_or_default())
}

/// Whether what the status says is about the spec as it is now.
pub fn is_observed(environment: &OdooEnvironment) -> bool {
    let observed = environment.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed == environment.metadata.generation
}

/// Whether the operator says that a condition is true.
pub fn is_true(environment: &OdooEnvironment, type_: ConditionType) -> bool {
    let conditions = environment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Ready for people, as the operator sees it; what is stalled does not come by itself.
fn started(environment: &OdooEnvironment, language: Language) -> Progress {
    let phase = environment.status.as_ref().and_then(|status| status.phase);
    if !is_observed(environment) {
        return Progress::Going(told(environment));
    }
    if phase == Some(Phase::Running) && is_true(environment, ConditionType::Ready) {
        return Progress::Done;
    }
    if let Some(reason) = stopped_by_customer(environment) {
        return Progress::Failed(held_down(language, &environment.name_any(), reason).message);
    }
    if is_true(environment, ConditionType::Stalled) {
        Progress::Failed(told(environment))
    } else {
        Progress::Going(told(environment))
    }
}

fn stopped(environment: &OdooEnvironment) -> Progress {
    let phase = environment.status.as_ref().and_then(|status| status.phase);
    if is_observed(environment) && phase == Some(Phase::Stopped) {
        return Progress::Done;
    }
    Progress::Going(told(environment))
}

/// When every old pod is gone the operator has handled a restart; it is done when the new ones serve.
fn restarted(environment: &OdooEnvironment, at: &str) -> Progress {
    let handled = environment.status.as_ref().and_then(|status| status.last_handled_restart_at.as_deref());
    if handled != Some(at) {
        return Progress::Going(told(environment));
    }
    if is_true(environment, ConditionType::Ready) {
        return Progress::Done;
    }
    if is_true(environment, ConditionType::Stalled) {
        Progress::Failed(told(environment))
    } else {
        Progress::Going(told(environment))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fixtures::environment;

    fn conditions(types: &[&str]) -> Value {
        let condition = |type_: &&str| json!({"type": type_, "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-11-28T00:00:00Z"});
        types.iter().map(condition).collect()
    }

    #[test]
    fn a_start_is_done_only_when_the_status_is_about_this_spec() {
        let running = |generation: i64, types: &[&str]| {
            let status = json!({"observedGeneration": generation, "phase": "Running", "reason": "Running",
                "message": "m", "conditions": conditions(types)});
            started(&environment(&status), Language::English)
        };
        assert_eq!(running(3, &["Ready"]), Progress::Done);
        assert_eq!(running(2, &["Ready"]), Progress::Going(String::new()));
        assert_eq!(running(3, &[]), Progress::Going("acme-prod Running: m".into()));
        assert_eq!(running(3, &["Stalled"]), Progress::Failed("acme-prod Running: m".into()));
    }

    #[test]
    fn a_suspended_customers_environment_is_not_waited_for() {
        let status = json!({"observedGeneration": 3, "phase": "Stopped", "reason": "CustomerSuspended",
            "conditions": conditions(&["Ready"])});
        let Progress::Failed(why) = started(&environment(&status), Language::English) else { panic!("waits") };
        assert!(why.contains("CustomerSuspended"), "{why}");
    }

    #[test]
    fn odoos_own_workload_tells_the_number_before_the_stop() {
        let workload = |role: Option<&str>, count: &str| {
            let mut annotations = vec![(labels::REPLICAS, count)];
            annotations.extend(role.map(|role| (labels::ROLE, role)));
            let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
            ObjectMeta { annotations: Some(annotations.collect()), ..ObjectMeta::default() }
        };
        assert_eq!(web_pods(&[workload(Some("Application"), "1"), workload(Some("Web"), "3")]), Some(3));
        assert_eq!(web_pods(&[workload(None, "2")]), Some(2));
        assert_eq!(web_pods(&[workload(None, "2"), workload(None, "1")]), None);
        assert_eq!(web_pods(&[workload(Some("Web"), "0")]), None);
        assert_eq!(web_pods(&[workload(Some("Web"), "many")]), None);
        assert_eq!(web_pods(&[]), None);
    }

    #[test]
    fn a_restart_is_done_when_this_very_one_was_handled_and_the_new_pods_serve() {
        let handled = |at: &str, types: &[&str]| {
            let status = json!({"observedGeneration": 3, "lastHandledRestartAt": at, "reason": "WaitingForPods",
                "message": "m", "conditions": conditions(types)});
            restarted(&environment(&status), "b")
        };
        let told = || "acme-prod WaitingForPods: m".to_owned();
        assert_eq!(handled("b", &["Ready"]), Progress::Done);
        assert_eq!(handled("a", &["Ready"]), Progress::Going(told()));
        assert_eq!(handled("b", &[]), Progress::Going(told()));
        assert_eq!(handled("b", &["Stalled"]), Progress::Failed(told()));
    }
}
