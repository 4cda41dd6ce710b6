//! Which files Helm leaves out of a chart: `.helmignore`, read as Helm reads it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The patterns of one chart.
pub struct Rules(Vec<Rule>);

struct Rule {
    pattern: String,
    /// The name alone is matched, at any depth; else the whole path.
    name_only: bool,
    folders_only: bool,
    negated: bool,
}

impl Rules {
    /// The rules of the chart in `dir`.
    pub fn of(dir: &Path) -> Result<Self> {
        let file = dir.join(".helmignore");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", file.display()))?,
        };
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        // Helm itself adds the rule for hidden files among the templates.
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.chain(["templates/.?*"]).map(Rule::parse).collect())
    }

    /// Whether a path, counted from the chart's folder, stays out.
    pub fn ignores(&self, path: &str, folder: bool) -> bool {
        self.0.iter().any(|rule| rule.applies(path, folder))
    }
}

impl Rule {
    fn parse(line: &str) -> Self {
        let (negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (folders_only, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
        let pattern = rest.strip_prefix('/').unwrap_or(rest);
        Self { pattern: pattern.to_owned(), name_only: !rest.contains('/'), folders_only, negated }
    }

    fn applies(&self, path: &str, folder: bool) -> bool {
        let subject = if self.name_only { path.rsplit('/').next().unwrap_or(path) } else { path };
        let matches = glob(self.pattern.as_bytes(), subject.as_bytes());
        if self.negated {
            // Helm leaves out whatever a negated rule does not match.
            return !matches || (self.folders_only && !folder);
        }
        matches && (folder || !self.folders_only)
    }
}

/// `*` and `?` stay within one path element, `[a-z]` and `[^a-z]` are sets, `\` takes the next byte as it is.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        b'*' => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|taken| glob(rest, &text[taken..]))
        }
        b'?' => text.split_first().is_some_and(|(byte, text)| *byte != b'/' && glob(rest, text)),
        b'[' => {
            let Some(end) = rest.iter().skip(1).position(|byte| *byte == b']').map(|at| at + 1) else { return false };
            text.split_first().is_some_and(|(byte, text)| in_set(&rest[..end], *byte) && glob(&rest[end + 1..], text))
        }
        b'\\' => match (rest.split_first(), text.split_first()) {
            (Some((wanted, rest)), Some((byte, text))) => wanted == byte && glob(rest, text),
            _ => false,
        },
        literal => text.split_first().is_some_and(|(byte, text)| literal == byte && glob(rest, text)),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = set.strip_prefix(b"^").map_or((false, set), |rest| (true, rest));
    let mut found = false;
    while let Some((low, rest)) = set.split_first() {
        if let [b'-', high, rest @ ..] = rest {
            found |= (*low..=*high).contains(&byte);
            set = rest;
        } else {
            found |= *low == byte;
            set = rest;
        }
    }
    found != negated && byte != b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(rules: &str, path: &str, folder: bool) -> bool {
        Rules::parse(rules).ignores(path, folder)
    }

    #[test]
    fn a_plain_name_counts_at_any_depth() {
        assert!(ignores(".git", "sub/.git", true));
        assert!(ignores("*.bak", "templates/a.bak", false));
        assert!(!ignores("*.bak", "templates/a.bak.yaml", false));
    }

    #[test]
    fn a_path_counts_from_the_chart() {
        assert!(ignores("/tests", "tests", true));
        assert!(!ignores("/tests/x", "sub/tests/x", false));
        assert!(ignores("ci/*.yaml", "ci/a.yaml", false));
        assert!(!ignores("ci/*.yaml", "ci/sub/a.yaml", false));
    }

    #[test]
    fn a_trailing_slash_means_folders() {
        assert!(ignores("tests/", "tests", true));
        assert!(!ignores("tests/", "tests", false));
    }

    #[test]
    fn hidden_templates_always_stay_out() {
        assert!(ignores("", "templates/.swp", false));
        assert!(!ignores("", ".helmignore", false));
    }

    #[test]
    fn comments_and_sets_are_understood() {
        assert!(!ignores("# a", "a", false));
        assert!(ignores("[a-c]?", "bx", false));
        assert!(!ignores("[^a-c]?", "bx", false));
        assert!(ignores(r"\*", "*", false));
        assert!(!ignores(r"\*", "x", false));
    }
}
