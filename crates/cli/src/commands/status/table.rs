//! Many environments: the columns that kubectl shows, then what is wrong and what to do.

use std::collections::BTreeMap;

use console::Style;
use jiff::Timestamp;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::{ConditionType, find};
use odoofleet_api::environment::Phase;

use crate::failure::Failure;
use crate::language::Language;
use crate::output::{self, Format, Table, coloured, coloured_remark};
use crate::session::Session;
use crate::{reasons, say};

/// The columns, as the CRD has them for kubectl.
const COLUMNS: [&str; 6] = ["Customer", "Version", "Status", "Ready", "Url", "Age"];
/// Those that a wide table has beside.
const WIDE: [&str; 6] = ["Replicas", "Template", "Chart", "Revision", "Reason", "Message"];
/// So many troubles are told in full.
const TOLD: usize = 10;

/// Prints the table on standard output, and the troubles beside it.
pub fn print(session: &Session, environments: &[OdooEnvironment]) -> Result<Table, Failure> {
    let language = session.language;
    let mut table = Table::new(headings(session));
    if environments.is_empty() {
        let namespace = &session.namespace;
        output::remark(&if session.all_namespaces {
            say!(language, "there are no environments", "没有环境")
        } else {
            say!(
                language,
                "there are no environments in namespace \"{namespace}\"",
                "命名空间 \"{namespace}\" 中没有环境"
            )
        });
        return Ok(table);
    }
    let mut sorted: Vec<&OdooEnvironment> = environments.iter().collect();
    sorted.sort_by_key(|environment| (environment.namespace(), environment.name_any()));
    let now = session.now();
    for environment in &sorted {
        table.push(row(session, environment, now));
    }
    table.print()?;
    troubles(session, &sorted);
    Ok(table)
}

/// A row by itself, when something has changed: below the columns of the table, and with the trouble that it has now.
pub fn print_change(session: &Session, table: &mut Table, environment: &OdooEnvironment) -> Result<(), Failure> {
    let row = row(session, environment, session.now());
    if table.is_empty() {
        table.push(row);
        table.print()?;
    } else {
        output::line(&table.line(&row))?;
    }
    if needs_person(environment) {
        tell(session.language, environment);
    }
    Ok(())
}

fn headings(session: &Session) -> Vec<&'static str> {
    let namespace = session.all_namespaces.then_some("Namespace");
    let wide = if session.format == Format::Wide { WIDE.as_slice() } else { &[] };
    namespace.into_iter().chain(["Name"]).chain(COLUMNS).chain(wide.iter().copied()).collect()
}

fn row(session: &Session, environment: &OdooEnvironment, now: Timestamp) -> Vec<String> {
    let status = environment.status.clone().unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready).map(|condition| condition.status.clone());
    let created = environment.creation_timestamp().map(|at| output::age(now, at.0)).unwrap_or_default();
    let mut row = Vec::new();
    if session.all_namespaces {
        row.push(environment.namespace().unwrap_or_default());
    }
    row.extend([
        environment.name_any(),
        environment.spec.customer_ref.name.clone(),
        status.odoo_version.unwrap_or_default(),
        status.phase.map(|phase| coloured(phase_word(phase))).unwrap_or_default(),
        ready.map(|ready| coloured(&ready)).unwrap_or_default(),
        status.url.unwrap_or_default(),
        created,
    ]);
    if session.format == Format::Wide {
        let release = status.release.unwrap_or_default();
        row.extend([
            status.replicas.map(|replicas| replicas.to_string()).unwrap_or_default(),
            status.template.map(|template| template.version).unwrap_or_default(),
            release.chart_version.unwrap_or_default(),
            if release.revision > 0 { release.revision.to_string() } else { String::new() },
            status.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            status.message.unwrap_or_default(),
        ]);
    }
    row
}

/// The phase as it stands in the object.
pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Stopped => "Stopped",
        Phase::Error => "Error",
        Phase::Offline => "Offline",
        Phase::Deleting => "Deleting",
    }
}

/// How many there are in which phase; and of those that need a person, what the operator says and what to do.
fn troubles(session: &Session, environments: &[&OdooEnvironment]) {
    let language = session.language;
    let mut counts: BTreeMap<Phase, usize> = BTreeMap::new();
    for environment in environments {
        let phase = environment.status.as_ref().and_then(|status| status.phase).unwrap_or(Phase::Pending);
        *counts.entry(phase).or_default() += 1;
    }
    let said = counts.iter().map(|(phase, count)| format!("{count} {}", coloured_remark(phase_word(*phase))));
    let (total, said) = (environments.len(), said.collect::<Vec<_>>().join(", "));
    output::remark("");
    output::remark(&say!(language, "{total} environments: {said}", "共 {total} 个环境：{said}"));
    let troubled: Vec<&&OdooEnvironment> =
        environments.iter().filter(|environment| needs_person(environment)).collect();
    for environment in troubled.iter().take(TOLD) {
        tell(language, environment);
    }
    if let Some(more) = troubled.len().checked_sub(TOLD).filter(|more| *more > 0) {
        output::remark(&say!(language, "and {more} more", "另有 {more} 个"));
    }
}

/// What the operator says of an environment, and what to do.
fn tell(language: Language, environment: &OdooEnvironment) {
    let status = environment.status.clone().unwrap_or_default();
    let reason = status.reason.map(|reason| reason.to_string()).unwrap_or_default();
    let name = Style::new().for_stderr().bold().apply_to(environment.name_any());
    output::remark(&format!("{name}  {reason}: {}", status.message.unwrap_or_default()));
    if let Some(explanation) = reasons::explain(&reason, language) {
        let remedy = &explanation.remedy;
        output::remark(&say!(language, "  next: {remedy}", "  建议：{remedy}"));
    }
}

/// Whether it does not come by itself: in error, or stalled.
fn needs_person(environment: &OdooEnvironment) -> bool {
    environment.status.as_ref().is_some_and(|status| {
        let stalled = find(&status.conditions, ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True");
        status.phase == Some(Phase::Error) || stalled
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_that_kubectl_shows() {
        let crd = odoofleet_api::crds().into_iter().find(|crd| crd.spec.names.kind == "OdooEnvironment").unwrap();
        let columns = crd.spec.versions[0].additional_printer_columns.clone().unwrap();
        let with = |priority: i32| -> Vec<String> {
            let own = columns.iter().filter(|column| column.priority.unwrap_or(0) == priority);
            own.map(|column| column.name.clone()).collect()
        };
        assert_eq!(with(0), COLUMNS);
        assert_eq!(with(1), WIDE);
    }
}
