//! `completion`: for the shells, and for kubectl, which completes `kubectl odoo` through a program of its own.

use std::io;

use clap::ValueEnum;
use clap_complete::Shell;

use crate::args;
use crate::failure::Failure;
use crate::language::Language;
use crate::output;

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
