//! `rollout status`: how far a template's version has come, for what it waits, and who is not there yet.

use kube::ResourceExt;
use kube::api::ListParams;
use odoofleet_api::rollout::{RolloutPhase, RolloutStatus};
use odoofleet_api::{OdooEnvironment, OdooTemplate};

use crate::failure::Failure;
use crate::output::{self, Table};
use crate::say;
use crate::session::Session;

/// `kubectl odoo rollout status`
pub async fn run(session: &Session, template: Option<&str>) -> Result<(), Failure> {
    let templates: Vec<OdooTemplate> = match template {
        Some(name) => vec![session.get(name).await?],
        None => session.list(&ListParams::default()).await?,
    };
    if !session.for_people() {
        return output::data(session.format, &templates);
    }
    let mut table = Table::new(["name", "version", "stage", "done", "total", "pinned", "failed", "state"]);
    for template in &templates {
        let rollout = rollout_of(template);
        let numbers = [rollout.done, rollout.total, rollout.pinned].map(|number| number.to_string());
        let stage = rollout.stage.map_or_else(String::new, |stage| stage.as_str().to_owned());
        let mut row = vec![template.name_any(), template.spec.version.clone(), stage];
        row.extend(numbers);
        row.push(rollout.failed.len().to_string());
        row.push(state(template).to_owned());
        table.push(row);
    }
    table.print()?;
    if template.is_some() {
        for template in &templates {
            waits(session, template)?;
            followers(session, template).await?;
        }
    }
    Ok(())
}

/// For what the rollout waits, what somebody has to do, and when it goes on by itself.
fn waits(session: &Session, template: &OdooTemplate) -> Result<(), Failure> {
    let (language, rollout) = (session.language, rollout_of(template));
    if !rollout.waiting.is_empty() {
        output::line("")?;
        let mut table = Table::new(["waits for", "environments", "until"]);
        for waiting in &rollout.waiting {
            let until = waiting.until.as_ref().map(|until| format!("{:.0}", until.0)).unwrap_or_default();
            table.push(vec![format!("{:?}", waiting.reason), waiting.count.to_string(), until]);
        }
        table.print()?;
    }
    for blocker in &rollout.blockers {
        output::line(&say!(language, "blocked: {blocker}", "受阻：{blocker}"))?;
    }
    if let Some(moment) = &rollout.next_moment {
        let moment = moment.0;
        output::line(&say!(language, "goes on by itself at {moment:.0}", "将于 {moment:.0} 自动继续"))?;
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

/// What the operator says of the version that the spec has now; nothing yet, if it speaks of another.
pub fn rollout_of(template: &OdooTemplate) -> RolloutStatus {
    let rollout = template.status.as_ref().and_then(|status| status.rollout.clone());
    rollout.filter(|rollout| rollout.version == template.spec.version).unwrap_or_default()
}

pub fn is_paused(template: &OdooTemplate) -> bool {
    template.spec.rollout.as_ref().and_then(|rollout| rollout.paused).unwrap_or_default()
}

/// In a word. What an operator says that knows no phases is read from its numbers.
fn state(template: &OdooTemplate) -> &'static str {
    let rollout = rollout_of(template);
    match rollout.phase {
        _ if rollout.version.is_empty() => "Pending",
        Some(phase) => phase.as_str(),
        None if rollout.done >= rollout.total => RolloutPhase::Complete.as_str(),
        None if is_paused(template) => RolloutPhase::Paused.as_str(),
        None => RolloutPhase::Progressing.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::template;

    #[test]
    fn a_rollout_is_named_by_its_phase_and_without_one_by_how_far_it_is() {
        let said = |version: &str, done: i32, phase: Option<&str>, paused: bool| {
            let rollout = json!({"version": version, "total": 3, "done": done, "pinned": 0, "phase": phase});
            state(&template(&rollout, paused))
        };
        assert_eq!(said("2", 1, Some("AwaitingApproval"), false), "AwaitingApproval");
        assert_eq!(said("2", 3, None, true), "Complete");
        assert_eq!(said("2", 1, None, true), "Paused");
        assert_eq!(said("2", 1, None, false), "Progressing");
        assert_eq!(said("1", 3, Some("Complete"), false), "Pending", "the status speaks of the version before");
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
