//! Records of a log: a line that begins one, and all that follow until the next begins.

use jiff::Timestamp;

use super::head::{self, Level, Program};

/// What one record may hold. What follows is printed, or not, as the rest of it.
const MOST_BYTES: usize = 1 << 20;

/// A line, and when the container wrote it, if the kubelet says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Option<Timestamp>,
    /// The text, without anything that a terminal would obey.
    pub text: String,
}

impl Line {
    /// A line as the kubelet sends it, which is asked to put the time before.
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let stamped = text.split_once(' ').and_then(|(at, rest)| Some((at.parse::<Timestamp>().ok()?, rest)));
        match stamped {
            Some((at, rest)) => Self { at: Some(at), text: plain(rest) },
            // Of an empty line only the time is there.
            None => match text.trim_end().parse::<Timestamp>() {
                Ok(at) => Self { at: Some(at), text: String::new() },
                Err(_) => Self { at: None, text: plain(&text) },
            },
        }
    }
}

/// Without colours and other commands to the terminal: what visitors type stands in logs, too.
fn plain(text: &str) -> String {
    let text = console::strip_ansi_codes(text.trim_end_matches(['\r', '\n']));
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\t' { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who wrote it.
    pub program: Program,
    /// How much it matters, where that is said.
    pub level: Option<Level>,
    /// Its lines; there is at least one.
    pub lines: Vec<Line>,
    /// Whether it is the rest of the record before.
    pub is_rest: bool,
    /// How far a traceback is that is no other record's.
    traceback: Traceback,
}

/// How far a traceback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traceback {
    None,
    Frames,
    /// Its exception was told; another may have led to it.
    Told,
}

impl Record {
    fn new(line: Line) -> Self {
        let (program, level) =
            head::read(&line.text).map_or((Program::Unknown, None), |head| (head.program, head.level));
        let is_traceback = program == Program::Unknown && line.text.starts_with("Traceback (most recent call last)");
        let (level, traceback) =
            if is_traceback { (Some(Level::Error), Traceback::Frames) } else { (level, Traceback::None) };
        Self { program, level, lines: vec![line], is_rest: false, traceback }
    }

    /// When it was written.
    pub fn at(&self) -> Option<Timestamp> {
        self.lines.iter().find_map(|line| line.at)
    }

    /// Its text.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text.as_str()).collect();
        lines.join("\n")
    }

    /// Whether a line belongs to it; what the line says of the traceback is kept.
    fn takes(&mut self, text: &str) -> bool {
        if let Some(head) = head::read(text) {
            // PostgreSQL's additions repeat the process.
            let own = self.lines.first().and_then(|line| head::read(&line.text));
            return head.program == Program::Postgresql
                && head.level.is_none()
                && own.is_some_and(|own| own.program == head.program && own.pid == head.pid);
        }
        let is_indented = text.starts_with([' ', '\t']);
        match (self.program, self.traceback) {
            (Program::Odoo, _) => true,
            (_, Traceback::None) => is_indented,
            (_, Traceback::Frames) => {
                if !is_indented && !text.is_empty() {
                    self.traceback = Traceback::Told;
                }
                true
            }
            (_, Traceback::Told) => {
                if text.starts_with("Traceback (most recent call last)") {
                    self.traceback = Traceback::Frames;
                }
                let leads = ["Traceback (", "During handling of the above", "The above exception was"];
                text.is_empty() || is_indented || leads.iter().any(|lead| text.starts_with(lead))
            }
        }
    }
}

/// Makes records of the lines of one container.
#[derive(Debug, Default)]
pub struct Assembler {
    current: Option<Record>,
    bytes: usize,
    /// What was given out last, without its lines: its rest may come yet.
    before: Option<Record>,
}

impl Assembler {
    /// Takes a line. Gives the record before, if this line begins another.
    pub fn push(&mut self, line: Line) -> Option<Record> {
        self.bytes += line.text.len();
        if let Some(current) = &mut self.current {
            if !current.takes(&line.text) {
                self.bytes = line.text.len();
                return self.current.replace(Record::new(line));
            }
            current.lines.push(line);
            return if self.bytes > MOST_BYTES { self.flush() } else { None };
        }
        let mut rest = self.before.take().filter(|_| head::read(&line.text).is_none());
        let is_rest = rest.as_mut().is_some_and(|before| before.takes(&line.text));
        self.current = Some(match rest.filter(|_| is_rest) {
            Some(before) => Record { lines: vec![line], is_rest: true, ..before },
            None => Record::new(line),
        });
        None
    }

    /// Gives out what has come, although more of it may follow.
    pub fn flush(&mut self) -> Option<Record> {
        let record = self.current.take()?;
        self.bytes = 0;
        let first = record.lines.first().cloned();
        self.before = Some(Record { lines: first.into_iter().collect(), ..record.clone() });
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODOO: &str = "2026-11-28 03:02:19,123 27 ERROR acme odoo.http: Exception during request";
    const NEXT: &str = "2026-11-28 03:02:20,000 27 INFO acme werkzeug: GET /";
    const POSTGRES: &str = "2026-11-28 03:02:19.123 UTC [31] ERROR:  relation \"x\" does not exist";

    fn records(text: &str) -> Vec<String> {
        let mut assembler = Assembler::default();
        let mut records: Vec<Record> =
            text.lines().filter_map(|line| assembler.push(Line::read(line.as_bytes()))).collect();
        records.extend(assembler.flush());
        records.iter().map(Record::text).collect()
    }

    #[test]
    fn lines_that_belong_together_stay_together() {
        let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\n\nValueError: no";
        let chained = format!(
            "{traceback}\n\nDuring handling of the above exception, another exception occurred:\n\n{traceback}"
        );
        for (what, parts) in [
            ("Odoo's traceback", vec![format!("{ODOO}\n{traceback}"), NEXT.to_owned()]),
            ("an exception that led to another", vec![format!("{ODOO}\n{chained}"), NEXT.to_owned()]),
            ("a traceback of something else", vec!["started".into(), traceback.to_owned(), "started".into()]),
            ("a chained one of something else", vec![chained, "over".into()]),
            (
                "PostgreSQL's additions",
                vec![
                    format!(
                        "{POSTGRES} at character 1\n2026-11-28 03:02:19.123 UTC [31] STATEMENT:  SELECT 1\n\tFROM x"
                    ),
                    "2026-11-28 03:02:19.123 UTC [32] LOG:  other".to_owned(),
                ],
            ),
            ("lines of something else", vec!["one".into(), "two\n  more of two".into(), "three".into()]),
            ("what prepare says after Odoo", vec![NEXT.to_owned(), "ModuleUpdateFailed: module \"x\"".into()]),
        ] {
            assert_eq!(records(&parts.join("\n")), parts, "{what}");
        }
    }

    #[test]
    fn another_process_of_postgresql_says_nothing_of_this_record() {
        let other = "2026-11-28 03:02:19.123 UTC [32] STATEMENT:  SELECT 1";
        assert_eq!(records(&format!("{POSTGRES}\n{other}")), [POSTGRES, other]);
    }

    #[test]
    fn what_comes_late_is_the_rest_of_its_record() {
        let mut assembler = Assembler::default();
        assembler.push(Line::read(ODOO.as_bytes()));
        assert_eq!(assembler.flush().unwrap().level, Some(Level::Error));
        assembler.push(Line::read(b"Traceback (most recent call last):"));
        let rest = assembler.flush().unwrap();
        assert_eq!((rest.is_rest, rest.level, rest.lines.len()), (true, Some(Level::Error), 1));
        assembler.push(Line::read(NEXT.as_bytes()));
        assert!(!assembler.flush().unwrap().is_rest);
    }

    #[test]
    fn a_record_without_end_is_given_out_in_parts() {
        let mut assembler = Assembler::default();
        assembler.push(Line::read(ODOO.as_bytes()));
        let long = vec![b'x'; 1000];
        let parts: Vec<Record> = (0..3000).filter_map(|_| assembler.push(Line::read(&long))).collect();
        assert_eq!(parts.len(), 2);
        assert!(!parts[0].is_rest && parts[1].is_rest);
    }

    #[test]
    fn lines_are_read_with_their_time_and_without_commands_to_the_terminal() {
        let line = Line::read(b"2026-11-28T03:02:19.123456789Z \x1b[1;31mred\x1b[0m \xff\x07 \xe6\x9f\xa5\r");
        assert_eq!(line.at, Some("2026-11-28T03:02:19.123456789Z".parse().unwrap()));
        assert_eq!(line.text, "red \u{fffd}\u{fffd} 查");
        assert_eq!(Line::read(b"2026-11-28T03:02:19Z ").text, "");
        assert_eq!(
            Line::read(b"2026-11-28T03:02:19Z"),
            Line { at: Some("2026-11-28T03:02:19Z".parse().unwrap()), text: String::new() }
        );
        assert_eq!(Line::read(b"no time"), Line { at: None, text: "no time".into() });
    }
}
