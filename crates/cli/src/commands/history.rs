//! `history`: what the operator did to an environment last, and how it ended.

use jiff::Timestamp;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::{HistoryEntry, Operation, Outcome};

use crate::failure::Failure;
use crate::output::{self, Format, Table};
use crate::say;
use crate::session::Session;

/// What `history` takes.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
}

/// `kubectl odoo history`
pub async fn run(session: &Session, args: &HistoryArgs) -> Result<(), Failure> {
    let language = session.language;
    let environment: OdooEnvironment = session.get(&args.environment).await?;
    let (name, status) = (environment.name_any(), environment.status.unwrap_or_default());
    let history = newest_first(status.history);
    if !session.for_people() {
        return output::data(session.format, &history);
    }
    let now = session.now();
    if history.is_empty() {
        output::remark(&say!(
            language,
            "the operator has done nothing to environment \"{name}\" yet",
            "Operator 尚未对环境 \"{name}\" 执行任何操作"
        ));
    } else {
        table(&history, session.format, now).print()?;
    }
    if let Some(Operation { action, started_at, .. }) = status.operation {
        let since = output::age(now, started_at.0);
        output::remark(&say!(language, "{action:?} has run for {since}", "{action:?} 正在执行，已进行 {since}"));
    }
    Ok(())
}

fn newest_first(mut history: Vec<HistoryEntry>) -> Vec<HistoryEntry> {
    history.sort_by_key(|entry| std::cmp::Reverse(entry.ended_at.0));
    history
}

fn table(history: &[HistoryEntry], format: Format, now: Timestamp) -> Table {
    let mut table = Table::new(["when", "action", "outcome", "revision", "version", "attempts", "duration", "message"]);
    for entry in history {
        let (started, ended) = (entry.started_at.0, entry.ended_at.0);
        table.push(vec![
            if format == Format::Wide { ended.to_string() } else { output::age(now, ended) },
            format!("{:?}", entry.action),
            output::coloured(match entry.outcome {
                Outcome::Succeeded => "Succeeded",
                Outcome::Failed => "Failed",
            }),
            entry.revision.map(|revision| revision.to_string()).unwrap_or_default(),
            entry.template.as_ref().map(|template| template.version.clone()).unwrap_or_default(),
            entry.attempts.to_string(),
            output::age(ended, started),
            entry.message.as_deref().map(one_line).unwrap_or_default(),
        ]);
    }
    table
}

/// A message stays in its row.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(action: &str, ended: &str, message: Option<&str>) -> HistoryEntry {
        let outcome = if message.is_some() { "Failed" } else { "Succeeded" };
        serde_json::from_value(json!({
            "action": action, "outcome": outcome, "revision": 3, "template": {"name": "odoo-18", "version": "v2"},
            "generation": 1, "attempts": 2, "startedAt": "2026-11-28T00:00:00Z", "endedAt": ended, "message": message,
        }))
        .unwrap()
    }

    #[test]
    fn the_newest_stands_first_with_how_long_it_took() {
        let history = newest_first(vec![
            entry("Install", "2026-11-28T00:01:30Z", None),
            entry("Upgrade", "2026-11-28T00:02:10Z", Some("it\nbroke  off")),
        ]);
        let lines = table(&history, Format::Table, "2026-11-28T00:02:30Z".parse().unwrap()).lines();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(1), "20s Upgrade Failed 3 v2 2 2m10s it broke off");
        assert_eq!(words(2), "60s Install Succeeded 3 v2 2 90s");
    }

    #[test]
    fn a_wide_table_says_the_time_itself() {
        let history = [entry("Install", "2026-11-28T00:01:30Z", None)];
        let lines = table(&history, Format::Wide, Timestamp::UNIX_EPOCH).lines();
        assert!(lines[1].starts_with("2026-11-28T00:01:30Z "), "{}", lines[1]);
    }
}
