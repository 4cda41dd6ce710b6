//! `kubectl odoo`: what a person does with OdooFleet, typed. Also by itself, as `kubectl-odoo`.

mod args;
mod commands;
mod failure;
#[cfg(test)]
mod fixtures;
mod git_owner;
mod language;
mod output;
mod reasons;
mod session;
mod wait;

use std::process::ExitCode;

use args::{Cli, Command};
use commands::template::TemplateCommand;
use console::Style;
use failure::{Exit, Failure};
use language::Language;
use session::Session;

fn main() -> ExitCode {
    let language = Language::of_environment();
    let cli = match args::parse(language) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, language),
    };
    cli.global.color.apply();
    match run(cli, language) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure, language),
    }
}

fn run(cli: Cli, language: Language) -> Result<(), Failure> {
    // Its own provider, because another crate may bring a second one, and rustls then chooses none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Completion(args) => return commands::completion::run(&args, language),
            Command::Complete(args) => return commands::completion::complete(&args, language).await,
            Command::Template(TemplateCommand::Propose(args)) => {
                return commands::template::propose(&cli.global, &args, language);
            }
            Command::New(command) => return Box::pin(commands::new::run(&cli.global, &command, language)).await,
            Command::Version => return commands::version::run(&cli.global, language).await,
            _ => {}
        }
        let session = Session::connect(&cli.global, language).await?;
        match cli.command {
            Command::Status(args) => Box::pin(commands::status::run(&session, &args)).await,
            Command::Start(args) => commands::power::start(&session, &args).await,
            Command::Stop(args) => commands::power::stop(&session, &args).await,
            Command::Restart(args) => commands::power::restart(&session, &args).await,
            Command::Logs(args) => Box::pin(commands::logs::run(&session, &args)).await,
            Command::Suspend(args) => commands::customer::suspend(&session, &args).await,
            Command::Resume(args) => commands::customer::resume(&session, &args).await,
            Command::Upgrade(args) => Box::pin(commands::upgrade::run(&session, &args)).await,
            Command::Update(args) => commands::update::run(&session, &args).await,
            Command::Rollout(command) => commands::rollout::run(&session, &command).await,
            Command::Adopt(args) => Box::pin(commands::adopt::run(&session, &args)).await,
            Command::Template(TemplateCommand::FromRelease(args)) => {
                Box::pin(commands::template::from_release(&session, &args)).await
            }
            Command::Retained(command) => commands::retained::run(&session, &command).await,
            Command::Access(args) => Box::pin(commands::access::run(&session, &args)).await,
            Command::History(args) => commands::history::run(&session, &args).await,
            Command::Values(args) => Box::pin(commands::values::run(&session, &args)).await,
            Command::Open(args) => commands::open::run(&session, &args).await,
            Command::Shell(args) => commands::exec::shell(&session, &args).await,
            Command::Psql(args) => commands::exec::psql(&session, &args).await,
            Command::Top(args) => commands::top::run(&session, &args).await,
            Command::Export(args) => commands::export::run(&session, &args).await,
            Command::Preflight => Box::pin(commands::preflight::run(&session)).await,
            Command::Report(args) => Box::pin(commands::report::run(&session, &args)).await,
            Command::Template(_)
            | Command::New(_)
            | Command::Completion(_)
            | Command::Complete(_)
            | Command::Version => Ok(()),
        }
    })
}

/// Help and version are answers; anything else that clap says is a mistake of the command line.
fn usage(error: &clap::Error, language: Language) -> ExitCode {
    if let Some(mistake) = args::mistake(error, language) {
        return end(&Failure::new(Exit::Usage, mistake).hint("用 --help 查看用法"), language);
    }
    let code = if error.use_stderr() { Exit::Usage as u8 } else { 0 };
    match error.print() {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(Exit::PipeClosed as u8),
    }
}

fn end(failure: &Failure, language: Language) -> ExitCode {
    if failure.exit != Exit::PipeClosed {
        let (error, hint) = (Style::new().for_stderr().red().bold(), Style::new().for_stderr().cyan());
        output::remark(&format!("{} {}", error.apply_to(language.pick("error:", "错误：")), failure.message));
        if let Some(text) = &failure.hint {
            output::remark(&format!("{} {text}", hint.apply_to(language.pick("next:", "建议："))));
        }
    }
    ExitCode::from(failure.exit as u8)
}
