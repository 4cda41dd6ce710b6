//! How a line begins that begins a record: Odoo's, and those of the programs beside it.

use clap::ValueEnum;
use odoofleet_api::conditions::Reason;
use serde::Serialize;

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    Debug,
    Info,
    #[value(alias = "warn")]
    Warning,
    Error,
    #[value(alias = "fatal")]
    Critical,
}

/// Who wrote a line, as its form tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Odoo.
    Odoo,
    /// `PostgreSQL`.
    Postgresql,
    /// What charts/odoo runs before Odoo; a line of its own is a reason and a message.
    Prepare,
    /// Programs that write one line a record: nginx, and whatever writes JSON or `level=`.
    OneLine,
    /// Nothing is known of it.
    Unknown,
}

/// The beginning of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Who wrote it.
    pub program: Program,
    /// How much it matters; none where the form does not say.
    pub level: Option<Level>,
    /// The word that says so, as it stands in the line.
    pub word: &'a str,
    /// The process; empty where the form does not say, as in the next two.
    pub pid: &'a str,
    /// The database; Odoo writes `?` for none.
    pub database: &'a str,
    /// Odoo's logger.
    pub logger: &'a str,
    /// What follows.
    pub message: &'a str,
}

/// The beginning of a record; none if the line does not begin one in a form that is known.
pub fn read(line: &str) -> Option<Head<'_>> {
    odoo(line).or_else(|| postgresql(line)).or_else(|| prepare(line)).or_else(|| nginx(line)).or_else(|| one_line(line))
}

/// `2026-11-28 03:02:19,123 PID LEVEL database logger: message`
fn odoo(line: &str) -> Option<Head<'_>> {
    let rest = line.get(23..).filter(|_| has_form(line, "dddd-dd-dd dd:dd:dd,ddd"))?.strip_prefix(' ')?;
    let (pid, rest) = rest.split_once(' ')?;
    let (word, rest) = rest.split_once(' ')?;
    let level = match word {
        "DEBUG" | "DEBUG_RPC" | "DEBUG_RPC_ANSWER" | "NOTSET" => Level::Debug,
        "INFO" | "RUNBOT" => Level::Info,
        "WARNING" => Level::Warning,
        "ERROR" => Level::Error,
        "CRITICAL" => Level::Critical,
        _ => return None,
    };
    let (database, rest) = rest.split_once(' ')?;
    let (logger, message) = rest.split_once(':')?;
    let is_head = !pid.is_empty() && pid.bytes().all(|letter| letter.is_ascii_digit()) && !logger.contains(' ');
    let message = message.strip_prefix(' ').unwrap_or(message);
    is_head.then_some(Head { program: Program::Odoo, level: Some(level), word, pid, database, logger, message })
}

/// `2026-11-28 03:02:19.123 UTC [123] LOG:  message`, with a user and a database before the level where the server is told to.
fn postgresql(line: &str) -> Option<Head<'_>> {
    let rest = line.get(19..).filter(|_| has_form(line, "dddd-dd-dd dd:dd:dd"))?;
    let (before, rest) = rest.split_once('[')?;
    let (pid, rest) = rest.split_once(']')?;
    if before.len() > 20 || pid.is_empty() || !pid.bytes().all(|letter| letter.is_ascii_digit() || letter == b'-') {
        return None;
    }
    let (before, message) = rest.split_once(": ")?;
    let (who, word) = before.trim_start().rsplit_once(' ').unwrap_or(("", before.trim_start()));
    let level = match word {
        "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4" | "DEBUG5" => Level::Debug,
        "LOG" | "INFO" | "NOTICE" => Level::Info,
        "WARNING" => Level::Warning,
        "ERROR" => Level::Error,
        "FATAL" | "PANIC" => Level::Critical,
        // What PostgreSQL adds to the record before.
        "DETAIL" | "HINT" | "STATEMENT" | "CONTEXT" | "QUERY" | "LOCATION" | "BACKTRACE" => {
            let head =
                Head { program: Program::Postgresql, level: None, word: "", pid, database: "", logger: "", message };
            return Some(head);
        }
        _ => return None,
    };
    let database = who.split_once('@').map_or("", |(_, database)| database);
    let message = message.trim_start();
    Some(Head { program: Program::Postgresql, level: Some(level), word, pid, database, logger: "", message })
}

/// `ModuleUpdateFailed: message`
fn prepare(line: &str) -> Option<Head<'_>> {
    let (word, message) = line.split_once(": ")?;
    Reason::ALL.iter().find(|reason| reason.as_str() == word)?;
    let level = Some(Level::Error);
    Some(Head { program: Program::Prepare, level, word, pid: "", database: "", logger: "", message })
}

/// Of its errors `2026/11/28 03:02:19 [error] 7#7: message`; of requests the combined form, judged by the answer's code.
fn nginx(line: &str) -> Option<Head<'_>> {
    let head = |level, word, message| Head {
        program: Program::OneLine,
        level: Some(level),
        word,
        pid: "",
        database: "",
        logger: "",
        message,
    };
    if has_form(line, "dddd/dd/dd dd:dd:dd") {
        let (word, message) = line.get(19..)?.strip_prefix(" [")?.split_once("] ")?;
        return level_named(word).map(|level| head(level, word, message));
    }
    let (before, after) = line.split_once("] \"")?;
    let (_, rest) = after.split_once("\" ")?;
    let code = rest.split(' ').next()?;
    let is_request = before.contains(" [") && code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_digit());
    let level = if code.starts_with('5') { Level::Error } else { Level::Info };
    is_request.then(|| head(level, code, line))
}

/// `… level=info …`, or a JSON object with a key `level`.
fn one_line(line: &str) -> Option<Head<'_>> {
    let head = |level, word| Head {
        program: Program::OneLine,
        level: Some(level),
        word,
        pid: "",
        database: "",
        logger: "",
        message: line,
    };
    if line.starts_with('{') && line.ends_with('}') {
        let after = line.split_once("\"level\"").or_else(|| line.split_once("\"severity\""))?.1;
        let word = after.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next()?;
        return level_named(word).map(|level| head(level, word));
    }
    let at = if line.starts_with("level=") { 6 } else { line.find(" level=")? + 7 };
    let word = line.get(at..)?.split(' ').next()?;
    level_named(word.trim_matches('"')).map(|level| head(level, word))
}

/// A level as other programs write it.
fn level_named(word: &str) -> Option<Level> {
    Some(match word.to_ascii_lowercase().as_str() {
        "trace" | "debug" => Level::Debug,
        "info" | "notice" => Level::Info,
        "warn" | "warning" => Level::Warning,
        "error" => Level::Error,
        "crit" | "critical" | "alert" | "emerg" | "fatal" | "panic" => Level::Critical,
        _ => return None,
    })
}

/// Whether a line begins in this form, in which `d` is a digit.
fn has_form(line: &str, form: &str) -> bool {
    let line = line.as_bytes();
    line.len() >= form.len()
        && form
            .bytes()
            .zip(line)
            .all(|(wanted, had)| if wanted == b'd' { had.is_ascii_digit() } else { wanted == *had })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_odoo_are_taken_apart() {
        let line =
            "2026-11-28 03:02:19,123 27 WARNING acme-prod odoo.addons.base.models.ir_cron: Job \"x: y\" took 3s ";
        let head = read(line).unwrap();
        assert_eq!((head.program, head.level, head.word), (Program::Odoo, Some(Level::Warning), "WARNING"));
        assert_eq!((head.pid, head.database, head.logger), ("27", "acme-prod", "odoo.addons.base.models.ir_cron"));
        assert_eq!(head.message, "Job \"x: y\" took 3s ");
        let other = read("2026-11-28 03:02:19,123 1 INFO ? odoo: Odoo version 18.0").unwrap();
        assert_eq!((other.database, other.logger, other.message), ("?", "odoo", "Odoo version 18.0"));
    }

    #[test]
    fn levels_of_many_programs_are_understood() {
        for (line, program, level) in [
            (
                "2026-11-28 03:02:19,123 1 CRITICAL db odoo.service.server: Thread died",
                Program::Odoo,
                Some(Level::Critical),
            ),
            ("2026-11-28 03:02:19,123 1 DEBUG_RPC db odoo.rpc: x", Program::Odoo, Some(Level::Debug)),
            ("2026-11-28 03:02:19.123 UTC [1] LOG:  database system is ready", Program::Postgresql, Some(Level::Info)),
            (
                "2026-11-28 03:02:19.123 +08 [1] odoo@acme FATAL:  role does not exist",
                Program::Postgresql,
                Some(Level::Critical),
            ),
            ("2026-11-28 03:02:19.123 UTC [1] STATEMENT:  SELECT 1", Program::Postgresql, None),
            ("ModuleUpdateFailed: module \"sale\" failed", Program::Prepare, Some(Level::Error)),
            ("2026/11/28 03:02:19 [warn] 7#7: *1 upstream is slow", Program::OneLine, Some(Level::Warning)),
            (
                "10.0.0.1 - - [28/Nov/2026:03:02:19 +0000] \"GET / HTTP/1.1\" 502 157 \"-\" \"curl\"",
                Program::OneLine,
                Some(Level::Error),
            ),
            (
                "10.0.0.1 - - [28/Nov/2026:03:02:19 +0000] \"GET / HTTP/1.1\" 200 157 \"-\" \"curl\"",
                Program::OneLine,
                Some(Level::Info),
            ),
            ("time=\"2026/11/28\" level=warning msg=\"x\"", Program::OneLine, Some(Level::Warning)),
            ("{\"timestamp\":\"x\",\"level\":\"ERROR\",\"fields\":{}}", Program::OneLine, Some(Level::Error)),
        ] {
            let head = read(line).unwrap_or_else(|| panic!("no head: {line}"));
            assert_eq!((head.program, head.level), (program, level), "{line}");
            assert!(line.contains(head.word));
        }
    }

    #[test]
    fn what_only_looks_like_a_head_is_none() {
        for line in [
            "",
            "Traceback (most recent call last):",
            "ValueError: 2026-11-28 03:02:19,123 1 INFO db odoo: x",
            "2026-11-28 03:02:19,123 x INFO db odoo: x",
            "2026-11-28 03:02:19,123 1 LOUD db odoo: x",
            "2026-11-28 03:02:19,12",
            "2026-11-28 03:02:19,123 1 INFO db some words: x",
            "２０26-11-28 03:02:19,123 1 INFO db odoo: x",
            "{\"level\":3}",
            "the level=unknown here",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
