//! `completion`: for the shells, and for kubectl, which completes `kubectl odoo` through a program of its own.

mod candidates;

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use clap::{FromArgMatches, ValueEnum};
use clap_complete::Shell;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde::de::DeserializeOwned;

use crate::args::{self, Global};
use crate::failure::Failure;
use crate::language::Language;
use crate::output;
use crate::session::Session;
use candidates::Objects;

/// Shells, and kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Target {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
    /// The program `kubectl_complete-odoo`, to be put on the PATH
    Kubectl,
}

/// What `completion` takes.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// For which shell; `kubectl` prints the program kubectl_complete-odoo
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Target,
}

/// What kubectl starts: it is given the words after `odoo`.
const KUBECTL: &str = "#!/bin/sh\n\
    # kubectl completes `kubectl odoo` with this program: put it on the PATH as kubectl_complete-odoo, executable.\n\
    exec kubectl-odoo __complete \"$@\"";

/// `kubectl odoo completion`
pub fn run(args: &CompletionArgs, language: Language) -> Result<(), Failure> {
    let shell = match args.shell {
        Target::Bash => Shell::Bash,
        Target::Zsh => Shell::Zsh,
        Target::Fish => Shell::Fish,
        Target::Powershell => Shell::PowerShell,
        Target::Elvish => Shell::Elvish,
        Target::Kubectl => return output::line(KUBECTL),
    };
    let mut command = args::command(language).bin_name("kubectl-odoo");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "kubectl-odoo", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script)?;
    Ok(())
}

/// What `__complete` takes: the words after `odoo`; the last is begun, or empty.
#[derive(Debug, clap::Args)]
pub struct CompleteArgs {
    /// The words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Somebody waits with a finger on the key: a cluster that is slower is not asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// No names of files, in the protocol of cobra, which kubectl speaks.
const NO_FILES: &str = ":4";

/// `kubectl odoo __complete`: a candidate a line, then how they are to be used. Whatever is wrong, there are fewer of them.
pub async fn complete(args: &CompleteArgs, language: Language) -> Result<(), Failure> {
    let mut root = args::command(language);
    root.build();
    let candidates = candidates::candidates(&root, &args.words);
    for (word, meaning) in &candidates.words {
        output::line(&format!("{word}\t{meaning}"))?;
    }
    if let Some(objects) = candidates.objects {
        let asked = names(objects, &args.words, language);
        let begun_with = args.words.last().map(String::as_str).unwrap_or_default();
        let names = tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(begun_with)) {
            output::line(name)?;
        }
    }
    output::line(NO_FILES)
}

async fn names(objects: Objects, words: &[String], language: Language) -> Option<Vec<String>> {
    let line = std::iter::once("kubectl-odoo").chain(words.iter().map(String::as_str));
    let matches = args::command(language).ignore_errors(true).try_get_matches_from(line).ok()?;
    let session = Session::connect(&Global::from_arg_matches(&matches).ok()?, language).await.ok()?;
    match objects {
        Objects::Environments => listed::<OdooEnvironment>(&session).await,
        Objects::Customers => listed::<OdooCustomer>(&session).await,
        Objects::Templates => listed::<OdooTemplate>(&session).await,
    }
}

async fn listed<K>(session: &Session) -> Option<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let list = session.api::<K>().list_metadata(&ListParams::default()).await.ok()?;
    Some(list.items.iter().map(ResourceExt::name_any).collect())
}
