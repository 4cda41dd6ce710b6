//! Which licences our parts may have: `deny.toml` for all, `licenses.toml` for what is no crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use super::Part;
use crate::repo;

/// The part of `deny.toml` that we read; cargo-deny reads the whole.
#[derive(Deserialize)]
struct Deny {
    licenses: Allowed,
}

#[derive(Deserialize)]
struct Allowed {
    allow: Vec<String>,
}

/// What `licenses.toml` says of one ecosystem.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Special {
    exceptions: Vec<Exception>,
    clarify: Vec<Clarification>,
}

/// Further licences of one part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    package: String,
    allow: Vec<String>,
    reason: String,
}

/// The licence of a part that does not tell it in a way that programs read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clarification {
    package: String,
    license: String,
    reason: String,
}

/// What parts of one ecosystem may be licensed under.
pub struct Policy {
    allowed: Vec<Licensee>,
    exceptions: BTreeMap<String, Vec<Licensee>>,
    clarified: BTreeMap<String, String>,
    /// The special cases that were met. One that nothing meets any more is to go.
    met: BTreeSet<String>,
}

impl Policy {
    /// Reads what holds for `ecosystem`, a table of `licenses.toml`.
    pub fn read(ecosystem: &str) -> Result<Self> {
        let read = |name: &str| fs::read_to_string(repo::path(name)).with_context(|| format!("cannot read {name}"));
        Self::parse(&read("deny.toml")?, &read("licenses.toml")?, ecosystem)
    }

    fn parse(deny: &str, special: &str, ecosystem: &str) -> Result<Self> {
        let deny: Deny = toml::from_str(deny).context("deny.toml names no licenses.allow")?;
        let mut tables: BTreeMap<String, Special> = toml::from_str(special).context("licenses.toml cannot be read")?;
        let special = tables.remove(ecosystem).unwrap_or_default();
        let reasons = special.exceptions.iter().map(|one| (&one.package, &one.reason));
        let mut reasons = reasons.chain(special.clarify.iter().map(|one| (&one.package, &one.reason)));
        if let Some((package, _)) = reasons.find(|(_, reason)| reason.trim().is_empty()) {
            bail!("licenses.toml gives no reason for {package:?}; write one");
        }
        let exceptions = special.exceptions.into_iter().map(|one| Ok((one.package, licensees(&one.allow)?)));
        Ok(Self {
            allowed: licensees(&deny.licenses.allow)?,
            exceptions: exceptions.collect::<Result<_>>()?,
            clarified: special.clarify.into_iter().map(|one| (one.package, one.license)).collect(),
            met: BTreeSet::new(),
        })
    }

    /// Gives parts that do not tell their licence the one that we found out.
    pub fn clarify(&mut self, parts: &mut [Part]) {
        for part in parts.iter_mut().filter(|part| part.license.is_none()) {
            if let Some(license) = self.clarified.get(&part.name) {
                part.license = Some(license.clone());
                self.met.insert(part.name.clone());
            }
        }
    }

    /// Fails with every part whose licence is not allowed, and every special case that no part needs.
    pub fn judge(mut self, parts: &[Part]) -> Result<()> {
        let mut problems = Vec::new();
        for part in parts {
            match self.verdict(part) {
                Verdict::Allowed => {}
                Verdict::Excepted => _ = self.met.insert(part.name.clone()),
                Verdict::Refused(why) => problems.push(why),
            }
        }
        let special: BTreeSet<&String> = self.exceptions.keys().chain(self.clarified.keys()).collect();
        let unused = special.into_iter().filter(|name| !self.met.contains(*name));
        problems.extend(unused.map(|name| format!("no part needs what licenses.toml says of {name:?}; remove it")));
        if problems.is_empty() { Ok(()) } else { Err(anyhow!("{}", problems.join("\n"))) }
    }

    fn verdict(&self, part: &Part) -> Verdict {
        let title = part.title();
        let Some(license) = &part.license else {
            let what = "read what it says, and state it in licenses.toml, under clarify";
            return Verdict::Refused(format!("the licence of {title:?} cannot be told; {what}"));
        };
        let Ok(expression) = Expression::parse_mode(license, ParseMode::LAX) else {
            return Verdict::Refused(format!("{license:?}, the licence of {title:?}, is no SPDX expression"));
        };
        let among = |licensees: &[Licensee], wanted: &_| licensees.iter().any(|licensee| licensee.satisfies(wanted));
        let special = self.exceptions.get(&part.name).map_or(&[][..], Vec::as_slice);
        if expression.evaluate(|wanted| among(&self.allowed, wanted)) {
            Verdict::Allowed
        } else if expression.evaluate(|wanted| among(&self.allowed, wanted) || among(special, wanted)) {
            Verdict::Excepted
        } else {
            let what = "do without it, or give a reason in licenses.toml, under exceptions";
            Verdict::Refused(format!("{license}, the licence of {title:?}, is not allowed; {what}"))
        }
    }
}

enum Verdict {
    Allowed,
    /// Only because of an exception.
    Excepted,
    Refused(String),
}

fn licensees(licenses: &[String]) -> Result<Vec<Licensee>> {
    let parse = |license: &String| {
        Licensee::parse(license).map_err(|error| anyhow!("{license:?} is no licence: {}", error.reason))
    };
    licenses.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Ecosystem::Go;
    use super::super::tests::part;
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\"]\n\
        confidence-threshold = 0.9\n[bans]\nwildcards = \"deny\"\n";
    const SPECIAL: &str = "[[go.exceptions]]\npackage = \"weak\"\nallow = [\"MPL-2.0\"]\nreason = \"its files stay apart\"\n\
        [[go.clarify]]\npackage = \"mute\"\nlicense = \"MIT\"\nreason = \"its README says so\"\n\
        [[npm.exceptions]]\npackage = \"page\"\nallow = [\"BSD-2-Clause\"]\nreason = \"no page is shipped\"\n";

    fn complaints(special: &str, parts: &[(&str, Option<&str>)]) -> String {
        let mut policy = Policy::parse(DENY, special, "go").unwrap();
        let mut parts: Vec<Part> = parts.iter().map(|(name, license)| part(Go, name, "v1", *license)).collect();
        policy.clarify(&mut parts);
        policy.judge(&parts).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_deny_toml_allows_is_allowed() {
        let parts = [
            ("one", Some("MIT")),
            ("either", Some("MIT OR GPL-3.0-only")),
            ("slash", Some("MIT/Apache-2.0")),
            ("both", Some("Apache-2.0 AND MIT")),
            ("with", Some("Apache-2.0 WITH LLVM-exception")),
        ];
        assert_eq!(complaints("", &parts), "");
    }

    #[test]
    fn what_nobody_allows_is_named() {
        for license in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "MPL-2.0", "Apache-2.0 WITH Classpath-exception-2.0"] {
            let complaint = complaints("", &[("foreign", Some(license))]);
            assert!(complaint.contains("\"foreign v1\"") && complaint.contains(license), "{complaint}");
        }
        assert!(complaints("", &[("odd", Some("see the file"))]).contains("is no SPDX expression"));
    }

    #[test]
    fn a_part_without_a_licence_is_named() {
        assert!(complaints("", &[("silent", None)]).contains("\"silent v1\" cannot be told"));
    }

    #[test]
    fn special_cases_hold_for_their_part_alone() {
        assert_eq!(complaints(SPECIAL, &[("weak", Some("BSD-3-Clause OR MPL-2.0")), ("mute", None)]), "");
        let others = complaints(SPECIAL, &[("weak", Some("MPL-2.0")), ("mute", None), ("other", Some("MPL-2.0"))]);
        assert!(others.starts_with("MPL-2.0, the licence of \"other v1\"") && others.lines().count() == 1, "{others}");
        assert!(complaints(SPECIAL, &[("page", Some("BSD-2-Clause"))]).contains("\"page v1\""), "another ecosystem's");
    }

    #[test]
    fn special_cases_that_nothing_needs_are_to_go() {
        let unused = complaints(SPECIAL, &[("weak", Some("MIT")), ("mute", Some("MIT"))]);
        assert!(unused.contains("\"mute\"; remove it") && unused.contains("\"weak\"; remove it"), "{unused}");
    }

    #[test]
    fn special_cases_have_a_reason() {
        let bare = SPECIAL.replace("its files stay apart", " ");
        let error = Policy::parse(DENY, &bare, "go").err().unwrap().to_string();
        assert!(error.contains("no reason for \"weak\""), "{error}");
    }

    #[test]
    fn the_files_of_the_repository_can_be_read() {
        for ecosystem in ["go", "npm"] {
            let policy = Policy::read(ecosystem).unwrap();
            let verdict = |license| policy.verdict(&part(Go, "any", "v1", Some(license)));
            assert!(matches!(verdict("Apache-2.0"), Verdict::Allowed));
            assert!(matches!(verdict("AGPL-3.0-only"), Verdict::Refused(_)));
        }
    }
}
