//! `preflight`: what a cluster needs for OdooFleet, before and after its installation.

mod checks;
#[cfg(test)]
mod checks_tests;
mod cluster;
mod facts;
mod installation;

use console::Style;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output::{self, Table};
use crate::say;
use crate::session::Session;
pub use facts::{watches, why};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Something will not work, or not for everybody.
    Warning,
    /// `OdooFleet` does not work so.
    Failed,
    /// The caller may not look.
    Unknown,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name, the same in every language.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All checks, in their order.
pub async fn checks(session: &Session) -> Vec<Check> {
    checks::all(&Box::pin(facts::look(session)).await, session.language)
}

/// `kubectl odoo preflight`
pub async fn run(session: &Session) -> Result<(), Failure> {
    let language = session.language;
    // Where nobody answers there is nothing to check.
    if let Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::Auth(_))) =
        session.client.apiserver_version().await
    {
        let asked = crate::session::Asked::of::<k8s_openapi::api::core::v1::Namespace>("get", None);
        return Err(session.explain(&asked, error).await);
    }
    let checks = checks(session).await;
    if session.for_people() {
        print(language, &checks)?;
    } else {
        output::data(session.format, &checks)?;
    }
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Failed).count();
    if failed == 0 {
        return Ok(());
    }
    let message = say!(language, "{failed} of the checks failed", "{failed} 项检查未通过");
    Err(Failure::new(Exit::Unhealthy, message))
}

fn print(language: Language, checks: &[Check]) -> Result<(), Failure> {
    let headings = match language {
        Language::English => ["check", "", "found"],
        Language::Chinese => ["检查项", "", "结果"],
    };
    let mut table = Table::new(headings);
    for check in checks {
        table.push(vec![check.name.to_owned(), word(language, check.outcome), check.message.clone()]);
    }
    table.print()?;
    let remedies = checks.iter().filter_map(|check| Some((check, check.remedy.as_ref()?)));
    for (index, (check, remedy)) in remedies.enumerate() {
        if index == 0 {
            output::line("")?;
        }
        let name = Style::new().bold().apply_to(check.name);
        output::line(&say!(language, "{name}: {remedy}", "{name}：{remedy}"))?;
    }
    Ok(())
}

fn word(language: Language, outcome: Outcome) -> String {
    let (style, english, chinese) = match outcome {
        Outcome::Ok => (Style::new().green(), "ok", "通过"),
        Outcome::Warning => (Style::new().yellow(), "warning", "警告"),
        Outcome::Failed => (Style::new().red(), "failed", "未通过"),
        Outcome::Unknown => (Style::new().dim(), "not seen", "未能查看"),
    };
    style.apply_to(language.pick(english, chinese)).to_string()
}
