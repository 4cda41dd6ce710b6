//! The two languages that people read: English and Chinese.

/// A language in which everything can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English, where nothing else is asked for.
    English,
    /// Simplified Chinese, where the locale begins with `zh`.
    Chinese,
}

impl Language {
    /// The language of this process: of `LC_ALL`, `LC_MESSAGES` and `LANG` the first that is set, as POSIX has it.
    pub fn of_environment() -> Self {
        Self::of_locale(["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().map(|name| std::env::var(name).ok()))
    }

    /// The language of the first locale that is set.
    fn of_locale(locales: impl IntoIterator<Item = Option<String>>) -> Self {
        let locale = locales.into_iter().flatten().find(|locale| !locale.is_empty());
        if locale.is_some_and(|locale| locale.starts_with("zh")) { Self::Chinese } else { Self::English }
    }

    /// One of two texts.
    pub const fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// Says something in the language given: `say!(language, "stopped {name}", "{name} 已停止")`. As both stand side by side, nothing is left
/// untranslated.
#[macro_export]
macro_rules! say {
    ($language:expr, $english:literal, $chinese:literal $(,)?) => {
        match $language {
            $crate::language::Language::English => format!($english),
            $crate::language::Language::Chinese => format!($chinese),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let of = |locales: [Option<&str>; 3]| Language::of_locale(locales.map(|locale| locale.map(str::to_owned)));
        assert_eq!(of([None, None, None]), Language::English);
        assert_eq!(of([None, None, Some("zh_CN.UTF-8")]), Language::Chinese);
        assert_eq!(of([Some("C"), None, Some("zh_CN.UTF-8")]), Language::English);
        assert_eq!(of([Some(""), Some("zh_TW"), Some("de_DE")]), Language::Chinese);
    }
}
