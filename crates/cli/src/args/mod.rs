//! The command line.

mod chinese;

use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    access, adopt, completion, customer, exec, export, history, logs, new, open, power, report, retained, rollout,
    status, template, top, update, upgrade, values,
};
use crate::language::Language;
use crate::output::{Colour, Format};

/// See and drive the Odoos that OdooFleet runs
///
/// It acts with the rights of your kubeconfig and nothing else.
#[derive(Debug, Parser)]
#[command(name = "kubectl-odoo", bin_name = "kubectl odoo", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The kubeconfig, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace of the environments; else the context's, else "odoo"
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// The form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    pub output: Format,
    /// When colour is used
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Write even what Git owns, or what needs a second thought
    #[arg(long, global = true)]
    pub force: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how environments are, and what to do
    Status(status::StatusArgs),
    /// Start environments: the database first, then Odoo
    Start(power::StartArgs),
    /// Stop environments: Odoo first, then its database
    Stop(power::PowerArgs),
    /// Replace the pods of environments one by one
    Restart(power::PowerArgs),
    /// Show what an environment's programs write
    Logs(logs::LogsArgs),
    /// Suspend a customer: all its environments stop, data stays
    Suspend(customer::SuspendArgs),
    /// End a customer's suspension: what ran before starts again
    Resume(customer::ResumeArgs),
    /// Pin an environment to a version of its template, or let it follow
    Upgrade(upgrade::UpgradeArgs),
    /// Move an environment's addons to another version, and update modules
    Update(update::UpdateArgs),
    /// See and hold the rollout of a template's version
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Make an environment of a release that somebody else installed
    Adopt(adopt::AdoptArgs),
    /// See and end what deleted environments have left
    #[command(subcommand)]
    Retained(retained::RetainedCommand),
    /// Say what you, or somebody else, may do
    Access(access::AccessArgs),
    /// Show what the operator did to an environment last
    History(history::HistoryArgs),
    /// See, set and check an environment's Helm values
    Values(values::ValuesArgs),
    /// Write a new customer, environment or template, from flags or from answers
    #[command(subcommand)]
    New(new::NewCommand),
    /// Propose a template for a chart that has none
    #[command(subcommand)]
    Template(template::TemplateCommand),
    /// Open an environment's page in the browser
    Open(open::OpenArgs),
    /// Open a shell in a pod of Odoo
    Shell(exec::ShellArgs),
    /// Open psql on an environment's database
    Psql(exec::PsqlArgs),
    /// Show the CPU and memory that environments take
    Top(top::TopArgs),
    /// Write objects as Git should hold them
    Export(export::ExportArgs),
    /// Say what the cluster needs, and what is wrong with the installation
    Preflight,
    /// Write a bundle for whoever helps, without secrets
    Report(report::ReportArgs),
    /// Print the completion of a shell
    Completion(completion::CompletionArgs),
    /// What kubectl asks while somebody types
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
    /// Print the versions of this program, the operator and Kubernetes
    Version,
}

/// The command line of this process in the language given.
pub fn parse(language: Language) -> Result<Cli, clap::Error> {
    let command = command(language).color(colour(std::env::args()));
    Cli::from_arg_matches(&command.try_get_matches()?)
}

/// What `--color` says of help and of mistakes, which are printed before the command line is understood.
fn colour(words: impl Iterator<Item = String>) -> ColorChoice {
    let mut words = words.skip(1).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        let said = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(said) => said.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        match said.as_deref() {
            Some("always") => return ColorChoice::Always,
            Some("never") => return ColorChoice::Never,
            _ => {}
        }
    }
    ColorChoice::Auto
}

/// What is wrong with the command line, in the language given; none where clap's own words are to be printed: help, a version.
pub fn mistake(error: &clap::Error, language: Language) -> Option<String> {
    let is_help = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    (language == Language::Chinese && error.use_stderr() && !is_help).then(|| chinese::mistake(error))
}

/// The whole command, its help in the language given.
pub fn command(language: Language) -> clap::Command {
    let command = Cli::command();
    match language {
        Language::English => command,
        Language::Chinese => chinese::translated(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_mistakes_are_those_that_were_asked_for() {
        for (line, choice) in [
            ("kubectl-odoo status", ColorChoice::Auto),
            ("kubectl-odoo status --color never --bogus", ColorChoice::Never),
            ("kubectl-odoo --color=always --help", ColorChoice::Always),
            ("kubectl-odoo --color auto status --color", ColorChoice::Auto),
            ("kubectl-odoo shell acme-prod -- ls --color=always", ColorChoice::Auto),
        ] {
            assert_eq!(colour(line.split(' ').map(str::to_owned)), choice, "{line}");
        }
    }

    #[test]
    fn every_command_stands_in_both_documents() {
        let documents = [include_str!("../../../../docs/cli.md"), include_str!("../../../../docs/cli.zh.md")];
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            for document in documents {
                let told = document.lines().filter(|line| line.starts_with("| `"));
                let stands = told.clone().any(|line| {
                    let cell = line.split(" | ").next().unwrap_or_default();
                    cell.split('`').any(|code| code.split([' ', '|', '\\']).any(|word| word == name))
                });
                assert!(stands, "{name} is in no row of {}", &document[..40]);
            }
        }
    }
}
