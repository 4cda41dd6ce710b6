//! Asking for what no flag has said. Without a terminal nobody is asked: the flag's name is told.

use std::io::IsTerminal;

use inquire::ui::{RenderConfig, Styled};
use inquire::validator::Validation;
use inquire::{InquireError, Select, Text};

use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::say;

/// Somebody who can be asked, or nobody.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The language of questions.
    pub language: Language,
    is_there: bool,
}

/// What is asked for.
pub struct Question<'a> {
    /// The flag or the argument that says it, too.
    pub flag: &'a str,
    /// The question.
    pub text: &'a str,
    /// Whether nothing is an answer.
    pub optional: bool,
}

impl Asker {
    /// Whoever sits at the terminal. The question goes to it, the YAML perhaps to a file.
    pub fn of_terminal(language: Language) -> Self {
        Self { language, is_there: std::io::stdin().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// Nobody, for tests.
    #[cfg(test)]
    pub const fn nobody(language: Language) -> Self {
        Self { language, is_there: false }
    }

    /// A text that passes a check. What a flag says is checked in the same way.
    pub fn text(
        self,
        question: &Question<'_>,
        said: Option<&str>,
        check: impl Fn(&str) -> Result<(), String> + Clone + 'static,
    ) -> Result<Option<String>, Failure> {
        if let Some(said) = said {
            check(said).map_err(|why| Failure::new(Exit::Usage, format!("{}: {why}", question.flag)))?;
            return Ok(Some(said.to_owned()));
        }
        if !self.is_there {
            return self.unasked(question);
        }
        let optional = question.optional;
        let validator = move |answer: &str| {
            if optional && answer.is_empty() {
                return Ok(Validation::Valid);
            }
            Ok(check(answer).map_or_else(|why| Validation::Invalid(why.into()), |()| Validation::Valid))
        };
        let prompt = Text::new(question.text).with_validator(validator).with_render_config(self.looks());
        let answer = prompt.prompt();
        answer.map(|answer| Some(answer).filter(|answer| !answer.is_empty())).map_err(|error| self.left(&error))
    }

    /// One of several. Where there is nothing to choose from, a text.
    pub fn choice(
        self,
        question: &Question<'_>,
        said: Option<&str>,
        choices: &[String],
        only: bool,
        check: impl Fn(&str) -> Result<(), String> + Clone + 'static,
    ) -> Result<Option<String>, Failure> {
        if choices.is_empty() || said.is_some_and(|_| !only) {
            return self.text(question, said, check);
        }
        if let Some(said) = said {
            if choices.iter().any(|choice| choice == said) {
                return Ok(Some(said.to_owned()));
            }
            let (language, flag, all) = (self.language, question.flag, choices.join(", "));
            let message =
                say!(language, "{flag}: \"{said}\" is none of {all}", "{flag}：\"{said}\" 不在可选值 {all} 之中");
            return Err(Failure::new(Exit::Usage, message));
        }
        if !self.is_there {
            return self.unasked(question);
        }
        let keys = "↑↓ to move, Enter to choose, letters to search";
        let prompt = Select::new(question.text, choices.to_vec())
            .with_help_message(self.language.pick(keys, "↑↓ 移动，回车选择，输入文字可搜索"))
            .with_render_config(self.looks());
        prompt.prompt().map(Some).map_err(|error| self.left(&error))
    }

    /// Colours where standard error has them, and no word of another language.
    fn looks(self) -> RenderConfig<'static> {
        let is_coloured = console::colors_enabled_stderr();
        let looks = if is_coloured { RenderConfig::default_colored() } else { RenderConfig::empty() };
        looks.with_canceled_prompt_indicator(Styled::new(self.language.pick("<left>", "<已取消>")))
    }

    fn unasked(self, question: &Question<'_>) -> Result<Option<String>, Failure> {
        if question.optional {
            return Ok(None);
        }
        let (language, flag) = (self.language, question.flag);
        Err(Failure::new(Exit::Usage, say!(language, "{flag} is missing", "缺少 {flag}")))
    }

    fn left(self, error: &InquireError) -> Failure {
        match error {
            InquireError::OperationCanceled | InquireError::OperationInterrupted => {
                // On the terminal's last row the cursor still stands on the question.
                let _ = console::Term::stderr().clear_line();
                Failure::new(Exit::Interrupted, self.language.pick("nothing was made", "没有创建任何内容"))
            }
            error => Failure::new(Exit::Failed, error.to_string()),
        }
    }
}
