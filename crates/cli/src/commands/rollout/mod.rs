//! `rollout`: how far a template's version has come, holding it, and letting it go on.

mod status;

use odoofleet_api::rollout::{RolloutPhase, RolloutWave};
use odoofleet_api::{OdooTemplate, labels};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::output;
use crate::say;
use crate::session::Session;
use status::{is_paused, rollout_of};

/// The commands below `rollout`.
#[derive(Debug, clap::Subcommand)]
pub enum RolloutCommand {
    /// Show how far a template's version has come
    Status {
        /// Name of the template; all of them without
        #[arg(value_name = "TEMPLATE")]
        template: Option<String>,
    },
    /// Hold a rollout: no further environment moves
    Pause {
        /// Name of the template
        #[arg(value_name = "TEMPLATE")]
        template: String,
    },
    /// Let a rollout go on; the failures that have held it are accepted
    Resume {
        /// Name of the template
        #[arg(value_name = "TEMPLATE")]
        template: String,
    },
    /// Approve that the next stage of a rollout begins
    Approve {
        /// Name of the template
        #[arg(value_name = "TEMPLATE")]
        template: String,
        /// The stage: Canary, Test, Staging or Production; by default the one that waits
        #[arg(long, value_name = "STAGE")]
        stage: Option<String>,
    },
}

/// `kubectl odoo rollout`
pub async fn run(session: &Session, command: &RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::Status { template } => status::run(session, template.as_deref()).await,
        RolloutCommand::Pause { template } => pause(session, template).await,
        RolloutCommand::Resume { template } => resume(session, template).await,
        RolloutCommand::Approve { template, stage } => approve(session, template, stage.as_deref()).await,
    }
}

async fn write(session: &Session, template: &OdooTemplate, patch: &Value) -> Result<(), Failure> {
    git_owner::guard(session, "OdooTemplate", &template.metadata, patch)?;
    let name = template.metadata.name.as_deref().unwrap_or_default();
    session.patch::<OdooTemplate>(name, patch).await.map(drop)
}

async fn pause(session: &Session, name: &str) -> Result<(), Failure> {
    let language = session.language;
    let template: OdooTemplate = session.get(name).await?;
    let version = &template.spec.version;
    if !is_paused(&template) {
        write(session, &template, &json!({"spec": {"rollout": {"paused": true}}})).await?;
    }
    output::line(&say!(
        language,
        "rollout of \"{name}\" {version} is paused: no further environment moves, a begun upgrade ends",
        "模板 \"{name}\" {version} 的发布已暂停：不再升级更多环境，已开始的升级会完成"
    ))
}

async fn resume(session: &Session, name: &str) -> Result<(), Failure> {
    let language = session.language;
    let template: OdooTemplate = session.get(name).await?;
    let version = &template.spec.version;
    if let Some(patch) = resumption(&template) {
        write(session, &template, &patch).await?;
    }
    output::line(&say!(language, "rollout of \"{name}\" {version} goes on", "模板 \"{name}\" {version} 的发布继续进行"))
}

/// What lets a rollout go on: no pause, and the failures accepted that have held it. None if nothing holds it.
fn resumption(template: &OdooTemplate) -> Option<Value> {
    let rollout = rollout_of(template);
    let mut patch = json!({});
    if is_paused(template) {
        patch["spec"] = json!({"rollout": {"paused": false}});
    }
    if rollout.phase == Some(RolloutPhase::PausedAfterFailures) {
        let accepted = format!("{}/{}", template.spec.version, rollout.failures.unwrap_or_default());
        patch["metadata"] = json!({"annotations": {labels::RESUME: accepted}});
    }
    Some(patch).filter(|patch| *patch != json!({}))
}

async fn approve(session: &Session, name: &str, stage: Option<&str>) -> Result<(), Failure> {
    let language = session.language;
    let template: OdooTemplate = session.get(name).await?;
    let version = template.spec.version.clone();
    let waits = rollout_of(&template);
    let waiting = waits.stage.filter(|_| waits.phase == Some(RolloutPhase::AwaitingApproval));
    let Some(stage) = stage.map(str::to_owned).or_else(|| waiting.map(|stage| stage.as_str().to_owned())) else {
        let message = say!(
            language,
            "no stage of \"{name}\" {version} waits for an approval",
            "模板 \"{name}\" {version} 没有阶段在等待批准"
        );
        let hint = language.pick("name one with --stage to approve it beforehand", "要提前批准，请用 --stage 指定阶段");
        return Err(Failure::new(Exit::Refused, message).hint(hint));
    };
    let Some(stage) = RolloutWave::ALL.into_iter().find(|wave| wave.as_str() == stage) else {
        let all = RolloutWave::ALL.map(RolloutWave::as_str).join(", ");
        let message =
            say!(language, "--stage: \"{stage}\" is none of {all}", "--stage：\"{stage}\" 不在可选值 {all} 之中");
        return Err(Failure::new(Exit::Usage, message));
    };
    let before = template.metadata.annotations.as_ref().and_then(|all| all.get(labels::APPROVE));
    let approvals = approvals(before.map(String::as_str), &version, stage);
    if before != Some(&approvals) {
        write(session, &template, &json!({"metadata": {"annotations": {labels::APPROVE: approvals}}})).await?;
    }
    let stage = stage.as_str();
    output::line(&say!(
        language,
        "stage {stage} of \"{name}\" {version} is approved",
        "已批准模板 \"{name}\" {version} 的 {stage} 阶段"
    ))
}

/// The approvals of a version with one more. Those of other versions say nothing any more.
fn approvals(before: Option<&str>, version: &str, stage: RolloutWave) -> String {
    let mine = format!("{version}/");
    let own = before.unwrap_or_default().split(',').map(str::trim).filter(|approval| approval.starts_with(&mine));
    let mut all: Vec<String> = own.map(str::to_owned).collect();
    let new = format!("{mine}{}", stage.as_str());
    if !all.contains(&new) {
        all.push(new);
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::template;

    #[test]
    fn approvals_of_a_version_are_joined_and_those_of_others_dropped() {
        let wave = RolloutWave::Production;
        assert_eq!(approvals(None, "2", wave), "2/Production");
        assert_eq!(approvals(Some("1/Production, 2/Staging"), "2", wave), "2/Staging,2/Production");
        assert_eq!(approvals(Some("2/Production"), "2", wave), "2/Production");
        assert_eq!(approvals(Some("2.1/Staging"), "2", wave), "2/Production");
    }

    #[test]
    fn a_rollout_goes_on_without_its_pause_and_with_its_failures_accepted() {
        let rollout =
            |phase: &str| json!({"version": "2", "total": 3, "done": 1, "pinned": 0, "phase": phase, "failures": 2});
        assert_eq!(resumption(&template(&rollout("Progressing"), false)), None);
        let unpaused = json!({"spec": {"rollout": {"paused": false}}});
        assert_eq!(resumption(&template(&rollout("Paused"), true)), Some(unpaused));
        let accepted = json!({"metadata": {"annotations": {"odoofleet.dev/resume": "2/2"}}});
        assert_eq!(resumption(&template(&rollout("PausedAfterFailures"), false)), Some(accepted));
    }
}
