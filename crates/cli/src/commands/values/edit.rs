//! `values edit`: an environment's own values in the person's editor, as often as they are refused.

use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::Command;

use kube::ResourceExt;
use odoofleet_api::{Object, OdooEnvironment};
use tokio::signal::unix::{SignalKind, signal};

use super::read::Known;
use super::write;
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::Session;

/// What `values edit` takes.
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
}

/// `kubectl odoo values edit`
pub async fn run(session: &Session, args: &EditArgs) -> Result<(), Failure> {
    let language = session.language;
    let known = Known::of(session, session.get(&args.environment).await?).await;
    let known = Box::pin(write::mended(session, known, &args.environment)).await?;
    let name = known.environment.name_any();
    let own = &known.environment.spec.values;
    let mut text = yaml(own);
    let mut problem: Option<String> = None;
    loop {
        let shown = format!("{}{text}", head(language, &name, problem.as_deref()));
        let edited = edit(language, &shown).await?;
        let body = without_head(&edited);
        if body.trim() == text.trim() {
            return match problem {
                None => output::line(&say!(
                    language,
                    "nothing was changed in environment \"{name}\"",
                    "环境 \"{name}\" 没有任何修改"
                )),
                Some(problem) => {
                    keep(language, &body);
                    Err(Failure::new(Exit::Refused, problem)
                        .hint(language.pick("nothing was written", "没有写入任何内容")))
                }
            };
        }
        match read(language, &body) {
            Ok(values) if values == *own => {
                return output::line(&say!(
                    language,
                    "nothing was changed in environment \"{name}\"",
                    "环境 \"{name}\" 没有任何修改"
                ));
            }
            Ok(values) => match known.with_values(session, values.clone()) {
                Ok(_) => return written(session, &known.environment, &values, &body).await,
                Err(failure) => problem = Some(failure.message),
            },
            Err(why) => problem = Some(why),
        }
        text = body;
    }
}

/// Writes what was edited. Where that fails, nobody has to type it again.
async fn written(session: &Session, environment: &OdooEnvironment, values: &Object, text: &str) -> Result<(), Failure> {
    let (language, name) = (session.language, environment.name_any());
    let outcome = tokio::select! {
        outcome = write::write(session, environment, values) => outcome,
        _ = tokio::signal::ctrl_c() => {
            let message = language.pick("interrupted while it was written", "写入时被中断");
            let hint = say!(language, "`kubectl odoo values {name}` shows what holds", "`kubectl odoo values {name}` 可查看实际的值");
            Err(Failure::new(Exit::Interrupted, message).hint(hint))
        }
    };
    // What Git owns was answered with the patch.
    outcome.inspect_err(|failure| {
        if !matches!(failure.exit, Exit::OwnedByGit | Exit::PipeClosed) {
            keep(language, text);
        }
    })
}

/// Keeps a text in a file that nobody else may read, and says where.
fn keep(language: Language, text: &str) {
    let kept = tempfile::Builder::new().prefix("odoofleet-").suffix(".yaml").tempfile().and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        Ok(file.keep()?.1)
    });
    if let Ok(file) = kept {
        let file = file.display();
        output::remark(&say!(language, "what you wrote is kept in \"{file}\"", "您编辑的内容保存在 \"{file}\""));
    }
}

fn yaml(values: &Object) -> String {
    if values.is_empty() { String::new() } else { serde_saphyr::to_string(values).unwrap_or_default() }
}

/// Lines above the values, each of which begins with `#:`.
fn head(language: Language, name: &str, problem: Option<&str>) -> String {
    let mut lines = vec![
        say!(language, "spec.values of environment \"{name}\", as YAML.", "环境 \"{name}\" 的 spec.values（YAML）。"),
        say!(
            language,
            "An unchanged file writes nothing. Comments are not kept.",
            "文件未修改则不写入任何内容。注释不会保留。"
        ),
        language
            .pick(
                "Lists stand for those of the template and the chart as a whole.",
                "列表会整体替换模板和 Chart 中的列表。",
            )
            .to_owned(),
    ];
    if let Some(problem) = problem {
        lines.push(String::new());
        lines.extend(problem.lines().map(str::to_owned));
    }
    lines.iter().map(|line| format!("#: {line}").trim_end().to_owned() + "\n").collect()
}

fn without_head(text: &str) -> String {
    let own = text.lines().filter(|line| !line.starts_with("#:"));
    own.flat_map(|line| [line, "\n"]).collect()
}

/// Reads what was written; a file without values is an empty map.
fn read(language: Language, text: &str) -> Result<Object, String> {
    let read: Result<Option<Object>, _> = serde_saphyr::from_str(text);
    read.map(Option::unwrap_or_default)
        .map_err(|error| say!(language, "the file is no map in YAML: {error}", "文件不是 YAML 映射：{error}"))
}

/// Opens the editor on a file that nobody else may read, and returns what it holds then.
async fn edit(language: Language, text: &str) -> Result<String, Failure> {
    let mut file = tempfile::Builder::new().prefix("odoofleet-").suffix(".yaml").tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    let editor = ["KUBE_EDITOR", "VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
    let editor = editor.filter(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    let failed = |why: String| {
        let message = say!(language, "the editor \"{editor}\" failed: {why}", "编辑器 \"{editor}\" 出错：{why}");
        Failure::new(Exit::Failed, message).hint(
            language
                .pick("$EDITOR names another; nothing was written", "可用 $EDITOR 指定其他编辑器；没有写入任何内容"),
        )
    };
    // As long as the editor runs, Ctrl-C is its own: it would end this program alone, and leave the terminal to both.
    let _interrupts = signal(SignalKind::interrupt())?;
    let mut running = tokio::process::Command::from(command(&editor, file.path()));
    let status = running.status().await.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    // Some editors write another file and put it in the place of this one.
    if let Ok(edited) = std::fs::read_to_string(file.path()) {
        return Ok(edited);
    }
    let mut edited = String::new();
    file.rewind()?;
    file.read_to_string(&mut edited)?;
    Ok(edited)
}

/// The editor with its own arguments, as `EDITOR="code --wait"` has them. A shell reads only what needs one: it would end by Ctrl-C, which
/// the editor takes for itself.
fn command(editor: &str, file: &Path) -> Command {
    let needs_shell = editor.contains(|letter: char| "|&;<>()$`\\\"'*?[#~=%".contains(letter));
    let mut words = editor.split_whitespace();
    if let Some(program) = words.next().filter(|_| !needs_shell) {
        let mut command = Command::new(program);
        command.args(words).arg(file);
        return command;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg(editor).arg(file);
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lines_above_are_no_part_of_the_values() {
        for language in [Language::English, Language::Chinese] {
            let text = format!("{}a: 1\n# mine\n", head(language, "acme-prod", Some("it breaks\na rule")));
            assert!(text.contains("\"acme-prod\"") && text.contains("#: a rule\n"), "{text}");
            assert_eq!(without_head(&text), "a: 1\n# mine\n");
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_map_and_anything_else_is_refused() {
        assert_eq!(read(Language::English, "# nothing\n"), Ok(Object::new()));
        let map = read(Language::English, "a: {b: [1, x]}\n").unwrap();
        assert_eq!(serde_json::Value::Object(map), json!({"a": {"b": [1, "x"]}}));
        for wrong in ["- a\n", "a: [\n", "text\n"] {
            assert!(read(Language::English, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shell_reads_only_the_editor_that_needs_one() {
        for (editor, words) in [
            ("vi", vec!["vi", "/f"]),
            (" code  --wait ", vec!["code", "--wait", "/f"]),
            ("'my editor' -n", vec!["sh", "-c", "'my editor' -n \"$1\"", "'my editor' -n", "/f"]),
            ("A=1 vi", vec!["sh", "-c", "A=1 vi \"$1\"", "A=1 vi", "/f"]),
        ] {
            let command = command(editor, Path::new("/f"));
            let made: Vec<&std::ffi::OsStr> =
                std::iter::once(command.get_program()).chain(command.get_args()).collect();
            assert_eq!(made, words, "{editor}");
        }
    }

    #[test]
    fn values_are_the_same_after_they_were_written_and_read() {
        let values: Object =
            serde_json::from_value(json!({"a": {"b": null, "c": "18.0", "d": "true", "e": [1, "x"]}})).unwrap();
        assert_eq!(read(Language::English, &yaml(&values)), Ok(values));
        assert_eq!(yaml(&Object::new()), "");
    }
}
