//! What is printed: tables for people, JSON and YAML for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use console::Style;
use jiff::Timestamp;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::{Exit, Failure};

/// In which form something is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people with a wide terminal.
    Wide,
    /// For programs.
    Json,
    /// For programs, and for Git.
    Yaml,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Sets it for the process.
    pub fn apply(self) {
        match self {
            Self::Auto => {}
            Self::Always => {
                console::set_colors_enabled(true);
                console::set_colors_enabled_stderr(true);
            }
            Self::Never => {
                console::set_colors_enabled(false);
                console::set_colors_enabled_stderr(false);
            }
        }
    }
}

/// Prints a line on standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints a line on standard error: what accompanies the answer and is not the answer.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints data for programs.
pub fn data<T: Serialize>(format: Format, value: &T) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    let text = if format == Format::Json {
        serde_json::to_string_pretty(value).map_err(|error| failed(&error))?
    } else {
        serde_saphyr::to_string(value).map_err(|error| failed(&error))?.trim_end().to_owned()
    };
    line(&text)
}

/// A table: cells are padded to the width that a terminal shows, Chinese included.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![headings.into_iter().map(str::to_uppercase).collect()] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The lines, with three blanks between columns as kubectl has them.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| shown_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let pad = width.saturating_sub(shown_width(cell));
                format!("{cell}{}", " ".repeat(pad))
            });
            cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        self.rows.iter().map(padded).collect()
    }

    /// Prints it.
    pub fn print(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        for line in self.lines() {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// How many columns of a terminal a text takes, without its colours.
fn shown_width(text: &str) -> usize {
    console::strip_ansi_codes(text).width()
}

/// A phase or another word in the colour that it has everywhere: green for well, yellow for on the way, red for a failure.
pub fn coloured(word: &str) -> String {
    let style = match word {
        "Running" | "True" | "Active" | "Succeeded" | "deployed" => Style::new().green(),
        "Error" | "Failed" | "Expired" | "Suspended" | "Terminated" | "failed" => Style::new().red(),
        "Pending" | "Deleting" | "False" | "Unknown" | "ExpiringSoon" | "Grace" => Style::new().yellow(),
        "Stopped" | "Offline" => Style::new().dim(),
        _ => Style::new(),
    };
    style.apply_to(word).to_string()
}

/// How long ago something was, as kubectl says it: `45s`, `3m10s`, `2h`, `5d`.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 != 0 => format!("{days}d{}h", hours % 24),
        172_800..63_072_000 => format!("{days}d"),
        _ => format!("{}y{}d", days / 365, days % 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_in_chinese_too() {
        let mut table = Table::new(["name", "customer"]);
        table.push(vec!["艾可米".into(), "x".into()]);
        table.push(vec!["acme".into(), "y".into()]);
        assert_eq!(table.lines(), ["NAME     CUSTOMER", "艾可米   x", "acme     y"]);
    }

    #[test]
    fn ages_are_those_of_kubectl() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (seconds, said) in [
            (0, "0s"),
            (119, "119s"),
            (130, "2m10s"),
            (600, "10m"),
            (7200, "120m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (80_000_000, "2y195d"),
            (-5, "0s"),
        ] {
            assert_eq!(age(at(seconds), at(0)), said);
        }
    }
}
