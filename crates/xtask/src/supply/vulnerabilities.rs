//! What govulncheck says of the Helm worker.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One message of `govulncheck -format json`. It has others, which say nothing about vulnerabilities.
#[derive(Deserialize)]
struct Message {
    osv: Option<Entry>,
    finding: Option<Finding>,
    config: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    summary: String,
}

#[derive(Deserialize)]
struct Finding {
    osv: String,
    #[serde(default)]
    fixed_version: String,
    /// From the vulnerable code to ours.
    trace: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    module: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    function: String,
    #[serde(default)]
    receiver: String,
}

/// How near vulnerable code is, nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Called,
    Imported,
    Required,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Vulnerabilities whose code is called, each in a sentence.
    pub called: Vec<String>,
    /// Those of packages and modules whose vulnerable code nothing calls.
    pub uncalled: Vec<String>,
}

/// Reads what govulncheck printed.
pub fn report(text: &str) -> Result<Report> {
    let messages = serde_json::Deserializer::from_str(text).into_iter::<Message>();
    let (mut summaries, mut found, mut begun) = (BTreeMap::new(), BTreeMap::<String, Found>::new(), false);
    for message in messages {
        let message = message.context("govulncheck printed no JSON")?;
        begun |= message.config.is_some();
        if let Some(entry) = message.osv {
            summaries.insert(entry.id, entry.summary);
        }
        if let Some(finding) = message.finding {
            let (id, one) = Found::of(finding)?;
            match found.get_mut(&id) {
                Some(known) => known.add(one),
                None => _ = found.insert(id, one),
            }
        }
    }
    if !begun {
        bail!("govulncheck printed nothing");
    }
    let mut report = Report { called: Vec::new(), uncalled: Vec::new() };
    for (id, one) in &found {
        let told = one.tell(id, summaries.get(id).map_or("", String::as_str));
        if one.reach == Reach::Called { report.called.push(told) } else { report.uncalled.push(told) }
    }
    Ok(report)
}

struct Found {
    reach: Reach,
    place: String,
    fixed: String,
    symbols: BTreeSet<String>,
}

impl Found {
    fn of(finding: Finding) -> Result<(String, Self)> {
        let Some(frame) = finding.trace.first() else { bail!("govulncheck tells no place of {:?}", finding.osv) };
        let reach = match (frame.function.is_empty(), frame.package.is_empty()) {
            (false, _) => Reach::Called,
            (true, false) => Reach::Imported,
            (true, true) => Reach::Required,
        };
        let receiver = frame.receiver.trim_start_matches('*');
        let dot = if receiver.is_empty() { "" } else { "." };
        let symbol = format!("{}.{receiver}{dot}{}", frame.package, frame.function);
        let symbols = (reach == Reach::Called).then_some(symbol).into_iter().collect();
        let place = format!("{} {}", frame.module, frame.version).trim_end().to_owned();
        Ok((finding.osv, Self { reach, place, fixed: finding.fixed_version, symbols }))
    }

    /// govulncheck tells a vulnerability anew, the nearer it comes.
    fn add(&mut self, other: Self) {
        self.reach = self.reach.min(other.reach);
        self.symbols.extend(other.symbols);
    }

    fn tell(&self, id: &str, summary: &str) -> String {
        let how = match self.reach {
            Reach::Called => {
                format!("; called: {}", self.symbols.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Reach::Imported => "; its package is imported, the vulnerable code is not called".to_owned(),
            Reach::Required => "; its module is required, the vulnerable package is not imported".to_owned(),
        };
        let fixed = if self.fixed.is_empty() { "not fixed yet" } else { &format!("fixed in {}", self.fixed) };
        format!("{id} in {}, {fixed}: {}{how}", self.place, summary.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r#"{"config": {"protocol_version": "v1.0.0"}} {"progress": {"message": "Fetching"}}"#;
    const ENTRY: &str = r#"{"osv": {"id": "GO-2026-1", "summary": "Panic in x", "affected": []}}"#;
    const REQUIRED: &str = r#"{"finding": {"osv": "GO-2026-1", "fixed_version": "v1.2.0",
        "trace": [{"module": "x.org/x", "version": "v1.1.0"}]}}"#;
    const IMPORTED: &str = r#"{"finding": {"osv": "GO-2026-1", "fixed_version": "v1.2.0",
        "trace": [{"module": "x.org/x", "version": "v1.1.0", "package": "x.org/x/y"}]}}"#;
    const CALLED: &str = r#"{"finding": {"osv": "GO-2026-1", "fixed_version": "v1.2.0", "trace": [
        {"module": "x.org/x", "version": "v1.1.0", "package": "x.org/x/y", "function": "Read", "receiver": "*Reader"},
        {"module": "ours", "package": "ours", "function": "main"}]}}"#;

    fn told(messages: &[&str]) -> Report {
        report(&[&[BEGIN], messages].concat().join("\n")).unwrap()
    }

    #[test]
    fn vulnerable_code_that_is_called_is_told_with_the_way_out() {
        // govulncheck comes nearer step by step; the last word counts, in whatever order.
        for messages in [[ENTRY, REQUIRED, IMPORTED, CALLED], [CALLED, IMPORTED, REQUIRED, ENTRY]] {
            let report = told(&messages);
            assert_eq!(
                report.called,
                ["GO-2026-1 in x.org/x v1.1.0, fixed in v1.2.0: Panic in x; called: x.org/x/y.Reader.Read"]
            );
            assert!(report.uncalled.is_empty(), "{report:?}");
        }
    }

    #[test]
    fn vulnerable_code_that_nothing_calls_is_told_apart() {
        let report = told(&[ENTRY, REQUIRED]);
        assert!(report.called.is_empty() && report.uncalled[0].ends_with("is not imported"), "{report:?}");
        let report = told(&[ENTRY, REQUIRED, IMPORTED]);
        assert!(report.called.is_empty() && report.uncalled[0].ends_with("is not called"), "{report:?}");
    }

    #[test]
    fn a_vulnerability_that_nobody_has_mended_says_so() {
        let report = told(&[ENTRY, &CALLED.replace(r#""fixed_version": "v1.2.0","#, "")]);
        assert!(report.called[0].contains("not fixed yet"), "{report:?}");
    }

    #[test]
    fn entries_of_the_database_alone_are_no_finding() {
        assert_eq!(told(&[ENTRY]), Report { called: vec![], uncalled: vec![] });
    }

    #[test]
    fn no_answer_is_not_taken_for_a_good_one() {
        assert!(report("").is_err());
        assert!(report("govulncheck: something went wrong").is_err());
        assert!(report(r#"{"config": {}} {"finding": {"osv": "GO-2026-1", "trace": []}}"#).is_err());
    }
}
