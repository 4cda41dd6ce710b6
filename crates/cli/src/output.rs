//! What is printed: tables for people, JSON and YAML for programs.

use std::borrow::Cow;
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
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|said| !said.is_empty());
        if let Some(is_on) = self.decided(no_color) {
            console::set_colors_enabled(is_on);
            console::set_colors_enabled_stderr(is_on);
        }
    }

    /// Whether it is on or off everywhere; else each stream's own terminal decides. `NO_COLOR` holds even where `CLICOLOR_FORCE` is set.
    const fn decided(self, no_color: bool) -> Option<bool> {
        match self {
            Self::Auto if no_color => Some(false),
            Self::Auto => None,
            Self::Always => Some(true),
            Self::Never => Some(false),
        }
    }
}

/// Prints a line on standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    raw(&harmless(text))
}

fn raw(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints a line on standard error: what accompanies the answer and is not the answer.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text));
}

/// A text of which only colours, line ends and tabs move a terminal. Objects hold what others wrote: their control characters are shown.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            '\u{1b}' if begins_colour(&text[at + 1..]) => shown.push(letter),
            // Each has a picture of its own.
            '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}')),
            letter if letter.is_control() => shown.push('\u{fffd}'),
            letter => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

fn begins_colour(after_escape: &str) -> bool {
    let Some(sequence) = after_escape.strip_prefix('[') else { return false };
    sequence.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';').starts_with('m')
}

/// A text on one line.
fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Prints data for programs.
pub fn data<T: Serialize>(format: Format, value: &T) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    let text = if format == Format::Json {
        serde_json::to_string_pretty(value).map_err(|error| failed(&error))?
    } else {
        serde_saphyr::to_string(value).map_err(|error| failed(&error))?.trim_end().to_owned()
    };
    raw(&text)
}

/// Prints one more datum of a stream: YAML marks where it begins.
pub fn further_data<T: Serialize>(format: Format, value: &T) -> Result<(), Failure> {
    if format == Format::Yaml {
        raw("---")?;
    }
    data(format, value)
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

    /// Whether it has headings alone.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The lines, with three blanks between columns as kubectl has them.
    pub fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        self.rows.iter().map(|row| padded(row, &widths)).collect()
    }

    /// A row that comes later: below the columns that were printed.
    pub fn line(&self, row: &[String]) -> String {
        padded(row, &self.widths())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| shown_width(&cell_of(cell)))
                .max()
                .unwrap_or(0)
        };
        (0..columns).map(width).collect()
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

fn padded(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| {
        let cell = cell_of(cell);
        let pad = width.saturating_sub(shown_width(&cell));
        format!("{cell}{}", " ".repeat(pad))
    });
    cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
}

/// What stands in a cell, or in a line that changes: a message of several lines would break either.
pub fn cell_of(text: &str) -> String {
    harmless(&on_one_line(text)).into_owned()
}

/// How many columns of a terminal a text takes, without its colours.
fn shown_width(text: &str) -> usize {
    console::strip_ansi_codes(text).width()
}

/// A phase or another word in the colour that it has everywhere: green for well, yellow for on the way, red for a failure.
pub fn coloured(word: &str) -> String {
    colour_of(word).apply_to(word).to_string()
}

/// The same for standard error, which may go elsewhere.
pub fn coloured_remark(word: &str) -> String {
    colour_of(word).for_stderr().apply_to(word).to_string()
}

fn colour_of(word: &str) -> Style {
    match word {
        "Running" | "True" | "Active" | "Succeeded" | "deployed" => Style::new().green(),
        "Error" | "Failed" | "Expired" | "Suspended" | "Terminated" | "failed" => Style::new().red(),
        "Pending" | "Deleting" | "False" | "Unknown" | "ExpiringSoon" | "Grace" => Style::new().yellow(),
        "Stopped" | "Offline" => Style::new().dim(),
        _ => Style::new(),
    }
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
    fn a_message_of_several_lines_stays_in_its_cell_and_a_later_row_below_its_columns() {
        let mut table = Table::new(["name", "message", "age"]);
        table.push(vec!["acme".into(), "it broke:\n  twice\r\n".into(), "1s".into()]);
        assert_eq!(table.lines(), ["NAME   MESSAGE           AGE", "acme   it broke: twice   1s"]);
        assert_eq!(table.line(&["a".into(), "b".into(), "2s".into()]), "a      b                 2s");
    }

    #[test]
    fn what_others_wrote_moves_no_terminal() {
        for (text, shown) in [
            ("plain 中文\n\tmore", "plain 中文\n\tmore"),
            ("\u{1b}[1;32mRunning\u{1b}[0m", "\u{1b}[1;32mRunning\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "␛[2J␛]0;title␇"),
            ("a\u{8}\rb\u{9b}2J", "a␈␍b\u{fffd}2J"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn no_color_holds_unless_a_flag_says_otherwise() {
        assert_eq!(Colour::Auto.decided(true), Some(false));
        assert_eq!(Colour::Auto.decided(false), None);
        assert_eq!((Colour::Always.decided(true), Colour::Never.decided(false)), (Some(true), Some(false)));
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
