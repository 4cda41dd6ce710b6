//! What is told beside a proposal: paths, never values.

use std::collections::BTreeMap;

use odoofleet_core::environment::proposal::{Note, Why};

use crate::language::Language;
use crate::output;
use crate::say;

/// Paths of a note that are named.
const NAMED: usize = 8;

/// Tells the notes, those of a kind in one line. `about` stands before each.
pub fn tell(language: Language, about: &str, notes: &[Note]) {
    for line in lines(language, notes) {
        output::remark(&format!("{about}{line}"));
    }
}

fn lines(language: Language, notes: &[Note]) -> Vec<String> {
    let mut kinds: BTreeMap<Why, Vec<&str>> = BTreeMap::new();
    for note in notes {
        kinds.entry(note.why).or_default().push(&note.path);
    }
    kinds.into_iter().map(|(why, paths)| format!("{}: {}", meaning(language, why), listed(language, &paths))).collect()
}

fn listed(language: Language, paths: &[&str]) -> String {
    let named = paths.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => say!(language, "{named} and {more} more", "{named} 等，另有 {more} 处"),
    }
}

const fn meaning(language: Language, why: Why) -> &'static str {
    match why {
        Why::OpenSecret => language.pick(
            "left out, it looks like a password; name the path in the template's spec.secretPaths, or have it refer to a Secret",
            "未写入，看起来是密码；请把路径写进模板的 spec.secretPaths，或改为引用 Secret",
        ),
        Why::SecretInField => language.pick(
            "left out, a Secret cannot feed it while the field around it is set; name a Secret there instead",
            "未写入，外层字段已设置时无法由 Secret 提供；请在那里改为引用 Secret 的名称",
        ),
        Why::GeneratedSecret => language.pick(
            "the operator keeps this password in Secret RELEASE-odoofleet; make that Secret first, with the password in use",
            "此密码由 Operator 保存在 Secret RELEASE-odoofleet 中；请先用现有密码创建该 Secret",
        ),
        Why::Locked => language.pick("the template locks it, left out", "被模板锁定，未写入"),
        Why::NoForm => language.pick(
            "belongs to a field of the spec that cannot say this",
            "属于 spec 的某个字段，但该字段无法这样表达",
        ),
        Why::SetByOperator => language.pick("the operator sets it otherwise", "由 Operator 设置，与现值不同"),
        Why::SetByTemplate => {
            language.pick("the template sets it, the release does not", "模板设置了它，而 Release 没有")
        }
        Why::Computed => language.pick("the template computes something else", "模板计算出的结果不同"),
        Why::Text => language.pick("comes as a text, since Secrets hold texts", "以文本形式提供，因为 Secret 只能保存文本"),
        Why::UnknownDefault => language.pick(
            "a default of the release's chart that the template's chart does not have, left out",
            "Release 的 Chart 中有此默认值，模板的 Chart 中没有，未写入",
        ),
        Why::Asleep => language.pick(
            "nothing of it runs, and it stays so until it was stopped and started",
            "当前没有运行，并会保持停止，直到停止并启动过一次",
        ),
        Why::Other => language.pick("comes out otherwise", "结果不同"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_a_kind_stand_in_one_line_and_long_lists_are_cut() {
        let note = |why, number: usize| Note { why, path: format!("p{number}") };
        let notes: Vec<Note> = (0..10).map(|number| note(Why::Locked, number)).chain([note(Why::Other, 1)]).collect();
        let told = lines(Language::English, &notes);
        assert_eq!(told.len(), 2);
        assert!(told[0].ends_with("p7 and 2 more"), "{told:?}");
        assert!(lines(Language::Chinese, &notes)[1].starts_with("结果不同"));
    }
}
