//! What may stand next on a command line that is being typed.

use clap::{Arg, Command};

/// What may stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Words, each with what it means.
    pub words: Vec<(String, String)>,
    /// Names of objects, which the cluster knows.
    pub objects: Option<Objects>,
}

/// Kinds whose names stand on command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// Environments.
    Environments,
    /// Customers.
    Customers,
    /// Templates.
    Templates,
}

/// What may stand in the place of the last word, which is begun or empty. `root` is built.
pub fn candidates(root: &Command, words: &[String]) -> Candidates {
    let Some((last, before)) = words.split_last() else { return Candidates::default() };
    let mut command = root;
    let mut positions = 0;
    let mut before = before.iter();
    while let Some(word) = before.next() {
        if word == "--" {
            return Candidates::default();
        }
        if word.starts_with('-') {
            let takes_next = !word.contains('=') && flag(command, root, word).is_some_and(takes_value);
            if takes_next && before.next().is_none() {
                return flag(command, root, word).map(|argument| of_value(argument, last)).unwrap_or_default();
            }
        } else if let Some(below) = command.find_subcommand(word) {
            (command, positions) = (below, 0);
        } else {
            positions += 1;
        }
    }
    if last.starts_with('-') {
        return Candidates { words: flags(command, root, last), objects: None };
    }
    if command.has_subcommands() {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        let words = below.map(|below| (below.get_name().to_owned(), said(below.get_about())));
        return Candidates { words: begun(words, last), objects: None };
    }
    let positionals: Vec<&Arg> = command.get_positionals().filter(|argument| !argument.is_last_set()).collect();
    // One that takes many takes all that follow.
    let argument = positionals.get(positions).or_else(|| positionals.last().filter(|last| takes_many(last)));
    argument.map(|argument| of_value(argument, last)).unwrap_or_default()
}

fn of_value(argument: &Arg, begun_with: &str) -> Candidates {
    let objects = argument.get_value_names().and_then(|names| names.first()).and_then(|name| match name.as_str() {
        "ENVIRONMENT" => Some(Objects::Environments),
        "CUSTOMER" => Some(Objects::Customers),
        "TEMPLATE" => Some(Objects::Templates),
        _ => None,
    });
    let values = argument.get_possible_values();
    let words = values.iter().map(|value| (value.get_name().to_owned(), said(value.get_help())));
    Candidates { words: begun(words, begun_with), objects }
}

fn flags(command: &Command, root: &Command, begun_with: &str) -> Vec<(String, String)> {
    let own = command.get_arguments().chain(root.get_arguments().filter(|argument| argument.is_global_set()));
    let words = own.filter_map(|argument| Some((format!("--{}", argument.get_long()?), said(argument.get_help()))));
    let mut words = begun(words, begun_with);
    words.sort();
    words.dedup();
    words
}

fn begun(words: impl Iterator<Item = (String, String)>, with: &str) -> Vec<(String, String)> {
    words.filter(|(word, _)| word.starts_with(with)).collect()
}

fn flag<'a>(command: &'a Command, root: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_meant = |argument: &&Arg| match word.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short().is_some_and(|short| word == format!("-{short}")),
    };
    command.get_arguments().find(is_meant).or_else(|| root.get_arguments().find(is_meant))
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn takes_many(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(argument.get_action(), clap::ArgAction::Append)
}

fn said(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn of(line: &str) -> Candidates {
        let mut root = Cli::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&root, &words)
    }

    fn words(line: &str) -> Vec<String> {
        of(line).words.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed_where_they_may_stand() {
        assert_eq!(words("sta"), ["status", "start"]);
        assert_eq!(words("rollout p"), ["pause"]);
        assert_eq!(words("status --wa"), ["--watch"]);
        assert_eq!(words("status -o y"), ["yaml"]);
        assert_eq!(words("-o json status --out"), ["--output"]);
        assert_eq!(words("completion f"), ["fish"]);
        assert_eq!(words("psql acme-prod -- --"), Vec::<String>::new());
        assert!(words("").contains(&"status".to_owned()));
    }

    #[test]
    fn names_are_asked_for_by_their_kind() {
        for (line, objects) in [
            ("status ", Some(Objects::Environments)),
            ("stop acme-prod ", Some(Objects::Environments)),
            ("-n odoo stop --reason x acme", Some(Objects::Environments)),
            ("status acme-prod ", None),
            ("suspend ", Some(Objects::Customers)),
            ("suspend --reason ", None),
            ("rollout status ", Some(Objects::Templates)),
            ("version ", None),
        ] {
            assert_eq!(of(line).objects, objects, "{line}");
        }
    }
}
