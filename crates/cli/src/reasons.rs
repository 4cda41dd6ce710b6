//! What a reason means and what to do, in both languages. The one home of these texts are the documents `docs/conditions.md` and
//! `docs/conditions.zh.md`, whose tables are read here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::language::Language;

static ENGLISH: LazyLock<BTreeMap<&str, Explanation>> =
    LazyLock::new(|| tables(include_str!("../../../docs/conditions.md")));
static CHINESE: LazyLock<BTreeMap<&str, Explanation>> =
    LazyLock::new(|| tables(include_str!("../../../docs/conditions.zh.md")));

/// What people are told about a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub remedy: String,
}

/// What a reason means; nothing is known of a newer operator's.
pub fn explain(reason: &str, language: Language) -> Option<&'static Explanation> {
    match language {
        Language::English => ENGLISH.get(reason),
        Language::Chinese => CHINESE.get(reason),
    }
}

/// Every row of three cells whose first is one word between backticks.
fn tables(document: &str) -> BTreeMap<&str, Explanation> {
    document.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(&str, Explanation)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim).collect();
    let [reason, meaning, remedy] = cells.as_slice() else { return None };
    let reason = reason.strip_prefix('`')?.strip_suffix('`')?;
    let is_word = reason.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_word.then(|| (reason, Explanation { meaning: plain(meaning), remedy: plain(remedy) }))
}

/// Markdown as a terminal shows it: no backticks; of a link its text, and its address unless that is a place of the document.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let Some((label, after)) = link.split_once("](") else {
            text.push('[');
            rest = link;
            continue;
        };
        text.push_str(label);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.replace(['`', '*'], "").replace("\\|", "|")
}

#[cfg(test)]
mod tests {
    use odoofleet_api::conditions::Reason;

    use super::*;

    #[test]
    fn every_reason_is_explained_in_both_languages() {
        for language in [Language::English, Language::Chinese] {
            let missing: Vec<&str> =
                Reason::ALL.iter().map(Reason::as_str).filter(|reason| explain(reason, language).is_none()).collect();
            assert!(missing.is_empty(), "{language:?} lacks {missing:?}");
        }
    }

    #[test]
    fn both_documents_explain_the_same_words() {
        assert_eq!(ENGLISH.keys().collect::<Vec<_>>(), CHINESE.keys().collect::<Vec<_>>());
    }

    #[test]
    fn markdown_becomes_plain_text() {
        assert_eq!(plain("see [lifecycle](lifecycle.md); `x` is *so*"), "see lifecycle; x is so");
        assert_eq!(plain("a list[0] stays"), "a list[0] stays");
    }
}
