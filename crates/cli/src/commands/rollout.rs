//! `rollout`: how far a template's version has come, and holding it.

use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::rollout::RolloutStatus;
use odoofleet_api::{OdooEnvironment, OdooTemplate};
use serde_json::json;

use crate::failure::Failure;
use crate::git_owner;
use crate::output::{self, Table};
use crate::say;
use crate::session::Session;

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
    /// Let a rollout go on
    Resume {
        /// Name of the template
        #[arg(value_name = "TEMPLATE")]
        template: String,
    },
}

/// `kubectl odoo rollout`
pub async fn run(session: &Session, command: &RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::Status { template } => status(session, template.as_deref()).await,
        RolloutCommand::Pause { template } => hold(session, template, true).await,
        RolloutCommand::Resume { template } => hold(session, template, false).await,
    }
}

async fn status(session: &Session, template: Option<&str>) -> Result<(), Failure> {
    let templates: Vec<OdooTemplate> = match template {
        Some(name) => vec![session.get(name).await?],
        None => session.list(&ListParams::default()).await?,
    };
    if !session.for_people() {
        return output::data(session.format, &templates);
    }
    let mut table = Table::new(["name", "version", "done", "total", "pinned", "failed", "state"]);
    for template in &templates {
        let rollout = rollout_of(template);
        let numbers = [rollout.done, rollout.total, rollout.pinned].map(|number| number.to_string());
        let mut row = vec![template.name_any(), template.spec.version.clone()];
        row.extend(numbers);
        row.push(rollout.failed.len().to_string());
        row.push(state(template).to_owned());
        table.push(row);
    }
    table.print()?;
    if template.is_some() {
        for template in &templates {
            followers(session, template).await?;
        }
    }
    Ok(())
}

/// The followers that are not there yet, and what each of them says.
async fn followers(session: &Session, template: &OdooTemplate) -> Result<(), Failure> {
    let name = template.name_any();
    let environments: Vec<OdooEnvironment> = session.list_beside().await?;
    let mut table = Table::new(["environment", "stage", "version", "status", "reason", "message"]);
    let behind = environments.iter().filter(|environment| is_behind(environment, &name, &template.spec.version));
    let mut any = false;
    for environment in behind {
        any = true;
        let status = environment.status.clone().unwrap_or_default();
        table.push(vec![
            environment.name_any(),
            environment.spec.stage.as_str().to_owned(),
            status.template.map(|held| held.version).unwrap_or_default(),
            status.phase.map(|phase| output::coloured(&format!("{phase:?}"))).unwrap_or_default(),
            status.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            status.message.unwrap_or_default(),
        ]);
    }
    if any {
        output::line("")?;
        table.print()?;
    }
    Ok(())
}

/// Whether an environment follows the template and does not hold this version.
fn is_behind(environment: &OdooEnvironment, template: &str, version: &str) -> bool {
    let follows = environment.spec.template_ref.name == template && environment.spec.template_ref.version.is_none();
    let held = environment.status.as_ref().and_then(|status| status.template.as_ref());
    follows && held.is_none_or(|held| held.version != version || held.name != template)
}

async fn hold(session: &Session, name: &str, paused: bool) -> Result<(), Failure> {
    let language = session.language;
    let template: OdooTemplate = session.get(name).await?;
    let version = &template.spec.version;
    let is_paused = is_paused(&template);
    if is_paused != paused {
        let patch = json!({"spec": {"rollout": {"paused": paused}}});
        git_owner::guard(session, "OdooTemplate", &template.metadata, &patch)?;
        session.patch::<OdooTemplate>(name, &patch).await?;
    }
    output::line(&if paused {
        say!(
            language,
            "rollout of \"{name}\" {version} is paused: no further environment moves, a begun upgrade ends",
            "模板 \"{name}\" {version} 的发布已暂停：不再升级更多环境，已开始的升级会完成"
        )
    } else {
        say!(language, "rollout of \"{name}\" {version} goes on", "模板 \"{name}\" {version} 的发布继续进行")
    })
}

/// What the operator says of the version that the spec has now; nothing yet, if it speaks of another.
fn rollout_of(template: &OdooTemplate) -> RolloutStatus {
    let rollout = template.status.as_ref().and_then(|status| status.rollout.clone());
    rollout.filter(|rollout| rollout.version == template.spec.version).unwrap_or_default()
}

fn is_paused(template: &OdooTemplate) -> bool {
    template.spec.rollout.as_ref().and_then(|rollout| rollout.paused).unwrap_or_default()
}

fn state(template: &OdooTemplate) -> &'static str {
    let rollout = rollout_of(template);
    match () {
        () if rollout.version.is_empty() => "Pending",
        () if rollout.done >= rollout.total => "Done",
        () if is_paused(template) => "Paused",
        () if !rollout.failed.is_empty() => "Failing",
        () => "Progressing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(rollout: &serde_json::Value, paused: bool) -> OdooTemplate {
        serde_json::from_value(json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": {"name": "odoo-18"},
            "spec": {"version": "2", "odooVersion": "18.0", "chart": {"path": "odoo"}, "rollout": {"paused": paused}},
            "status": {"rollout": rollout},
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_is_named_by_how_far_it_is() {
        let said = |version: &str, done: i32, failed: &[&str], paused: bool| {
            let rollout = json!({"version": version, "total": 3, "done": done, "failed": failed, "pinned": 0});
            state(&template(&rollout, paused))
        };
        assert_eq!(said("2", 3, &[], true), "Done");
        assert_eq!(said("2", 1, &[], true), "Paused");
        assert_eq!(said("2", 1, &["acme-test"], false), "Failing");
        assert_eq!(said("2", 1, &[], false), "Progressing");
        assert_eq!(said("1", 3, &[], false), "Pending", "the status speaks of the version before");
    }

    #[test]
    fn pinned_environments_are_not_behind() {
        let environment = |pin: Option<&str>, held: &str| -> OdooEnvironment {
            serde_json::from_value(json!({
                "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": {"name": "a"},
                "spec": {"customerRef": {"name": "acme"}, "serviceName": "a", "stage": "Test",
                    "templateRef": {"name": "odoo-18", "version": pin}},
                "status": {"template": {"name": "odoo-18", "version": held}},
            }))
            .unwrap()
        };
        assert!(is_behind(&environment(None, "1"), "odoo-18", "2"));
        assert!(!is_behind(&environment(None, "2"), "odoo-18", "2"));
        assert!(!is_behind(&environment(Some("1"), "1"), "odoo-18", "2"));
        assert!(!is_behind(&environment(None, "1"), "odoo-17", "2"));
    }
}
