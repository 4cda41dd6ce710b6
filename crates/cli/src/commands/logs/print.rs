//! Which records are shown, and how.

use std::collections::BTreeMap;
use std::io::{self, Write};

use console::Style;
use regex::Regex;
use serde::Serialize;

use super::choice::Source;
use super::head::{self, Level, Program};
use super::record::{Line, Record};
use crate::failure::Failure;
use crate::output::Format;

/// What is selected, and in which form it is shown.
pub struct Printer {
    /// The least level; all without.
    pub level: Option<Level>,
    /// What a record must contain; anything without.
    pub grep: Option<Regex>,
    /// Whether the time at which each line was written stands before it.
    pub timestamps: bool,
    /// The form.
    pub format: Format,
    /// Whether each line says whose it is.
    pub is_prefixed: bool,
    selected: BTreeMap<(String, String), bool>,
}

/// A record for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    pod: &'a str,
    container: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    database: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    logger: &'a str,
    /// With what follows in further lines, such as a traceback.
    message: String,
}

impl Printer {
    /// A printer that has printed nothing yet.
    pub fn new(args: &super::LogsArgs, format: Format, is_prefixed: bool) -> Self {
        let (level, grep, timestamps) = (args.level, args.grep.clone(), args.timestamps);
        Self { level, grep, timestamps, format, is_prefixed, selected: BTreeMap::new() }
    }

    /// Whether a record is shown. The rest of one is shown where its beginning was.
    fn selects(&mut self, source: &Source, record: &Record) -> bool {
        let key = (source.pod.clone(), source.container.clone());
        let before = record.is_rest && self.selected.get(&key) == Some(&true);
        // What says no level is no trouble.
        let level = record.level.unwrap_or(Level::Info);
        let is_meant = self.level.is_none_or(|least| level >= least)
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(&record.text()));
        self.selected.insert(key, before || is_meant);
        before || is_meant
    }

    /// Writes a record, if it is one that is meant.
    pub fn print(&mut self, out: &mut impl Write, source: &Source, record: &Record) -> Result<(), Failure> {
        if !self.selects(source, record) {
            return Ok(());
        }
        match self.format {
            Format::Table | Format::Wide => self.write(out, source, record)?,
            Format::Json => {
                serde_json::to_writer(&mut *out, &told(source, record)).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Format::Yaml => {
                let text = serde_saphyr::to_string(&told(source, record)).map_err(io::Error::other)?;
                writeln!(out, "---\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut impl Write, source: &Source, record: &Record) -> io::Result<()> {
        let prefix = if self.is_prefixed { prefix(source) } else { String::new() };
        for (index, line) in record.lines.iter().enumerate() {
            let at = line.at.filter(|_| self.timestamps).map_or_else(String::new, |at| format!("{at} "));
            let text = if index == 0 && !record.is_rest { first(line, record.level) } else { line.text.clone() };
            writeln!(out, "{prefix}{at}{text}")?;
        }
        Ok(())
    }
}

/// The pod, and the container where it is not Odoo's, in a colour that the pod keeps.
fn prefix(source: &Source) -> String {
    let number = source.pod.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let style = [Style::new().cyan(), Style::new().magenta(), Style::new().blue(), Style::new().green()];
    let style = &style[number % style.len()];
    let Source { pod, container, .. } = source;
    let name = if container == "odoo" { format!("[{pod}] ") } else { format!("[{pod}/{container}] ") };
    style.apply_to(name).to_string()
}

/// The first line, with its level in colour.
fn first(line: &Line, level: Option<Level>) -> String {
    let style = match level {
        None | Some(Level::Info) => return line.text.clone(),
        Some(Level::Debug) => Style::new().dim(),
        Some(Level::Warning) => Style::new().yellow(),
        Some(Level::Error) => Style::new().red(),
        Some(Level::Critical) => Style::new().red().bold(),
    };
    let word = head::read(&line.text).map(|head| head.word).filter(|word| !word.is_empty());
    match word.and_then(|word| Some((word, line.text.split_once(word)?))) {
        Some((word, (before, after))) => format!("{before}{}{after}", style.apply_to(word)),
        None => style.apply_to(&line.text).to_string(),
    }
}

fn told<'a>(source: &'a Source, record: &'a Record) -> Told<'a> {
    let line = record.lines.first().map_or("", |line| line.text.as_str());
    let head = head::read(line).filter(|head| !record.is_rest && head.program != Program::Unknown);
    let mut message = head.map_or(line, |head| head.message).to_owned();
    for line in record.lines.iter().skip(1) {
        message.push('\n');
        message.push_str(&line.text);
    }
    let (pid, database, logger) = head.map_or(("", "", ""), |head| (head.pid, head.database, head.logger));
    let (pod, container, level) = (source.pod.as_str(), source.container.as_str(), record.level);
    Told { pod, container, time: record.at().map(|at| at.to_string()), level, pid, database, logger, message }
}

#[cfg(test)]
mod tests {
    use super::super::LogsArgs;
    use super::super::record::Assembler;
    use super::*;

    const LOG: &str = "2026-11-28T03:02:19Z 2026-11-28 03:02:19,000 1 INFO acme odoo: started\n\
        2026-11-28T03:02:20Z 2026-11-28 03:02:20,000 1 ERROR acme odoo.http: failed\n\
        2026-11-28T03:02:20Z Traceback (most recent call last):\n\
        2026-11-28T03:02:20Z KeyError: 'x'\n\
        2026-11-28T03:02:21Z 2026-11-28 03:02:21,000 1 WARNING acme odoo: slow";

    fn printed(args: &LogsArgs, format: Format, is_prefixed: bool) -> String {
        let source =
            Source { pod: "web-1".into(), container: "odoo".into(), run: None, waits: None, runs: true, restarts: 0 };
        let (mut printer, mut assembler) = (Printer::new(args, format, is_prefixed), Assembler::default());
        let mut records: Vec<Record> =
            LOG.lines().filter_map(|line| assembler.push(Line::read(line.as_bytes()))).collect();
        records.extend(assembler.flush());
        let mut out = Vec::new();
        for record in &records {
            printer.print(&mut out, &source, record).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_records_are_selected() {
        let args = |level, grep: Option<&str>| LogsArgs {
            level,
            grep: grep.map(|grep| Regex::new(grep).unwrap()),
            ..LogsArgs::of("acme-prod")
        };
        let lines = |args: &LogsArgs| printed(args, Format::Table, false).lines().count();
        for (args, expected) in [
            (args(None, None), 5),
            (args(Some(Level::Warning), None), 4),
            (args(Some(Level::Error), None), 3),
            (args(None, Some("KeyError")), 3),
            (args(Some(Level::Warning), Some("started")), 0),
            (args(Some(Level::Warning), Some("slow|nothing")), 1),
        ] {
            assert_eq!(lines(&args), expected, "{:?} {:?}", args.level, args.grep);
        }
    }

    #[test]
    fn each_line_says_whose_it_is_where_there_are_several() {
        let args = LogsArgs { timestamps: true, level: Some(Level::Error), ..LogsArgs::of("acme-prod") };
        let text = console::strip_ansi_codes(&printed(&args, Format::Table, true)).into_owned();
        assert!(text.lines().all(|line| line.starts_with("[web-1] 2026-11-28T03:02:20Z ")), "{text}");
    }

    #[test]
    fn programs_get_a_record_in_a_line() {
        let args = LogsArgs { level: Some(Level::Error), ..LogsArgs::of("acme-prod") };
        let record: serde_json::Value = serde_json::from_str(&printed(&args, Format::Json, false)).unwrap();
        let expected = serde_json::json!({"pod": "web-1", "container": "odoo", "time": "2026-11-28T03:02:20Z", "level": "error",
            "pid": "1", "database": "acme", "logger": "odoo.http",
            "message": "failed\nTraceback (most recent call last):\nKeyError: 'x'"});
        assert_eq!(record, expected);
    }
}
