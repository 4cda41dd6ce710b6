//! `values`: an environment's final Helm values, where each comes from, and changing those of its own.

mod assign;
mod edit;
mod helm;
mod leaves;
pub mod read;
mod validate;
mod write;

use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::{self, Format, Table};
use crate::say;
use crate::session::Session;
pub use leaves::Change;
use read::Known;

/// What `values` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ValuesArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT", required = true)]
    pub environment: Option<String>,
    /// Say of each value which layer set it
    #[arg(long, conflicts_with_all = ["diff", "helm_command"])]
    pub layers: bool,
    /// Show what another version of the template would change
    #[arg(long, value_name = "VERSION", conflicts_with = "helm_command")]
    pub diff: Option<String>,
    /// Print the script with which a person could install the same by helm
    #[arg(long)]
    pub helm_command: bool,
    /// What is to be done instead.
    #[command(subcommand)]
    pub command: Option<ValuesCommand>,
}

/// The commands below `values`.
#[derive(Debug, clap::Subcommand)]
pub enum ValuesCommand {
    /// Set values of an environment's own
    Set(write::SetArgs),
    /// Edit an environment's own values in your editor
    Edit(edit::EditArgs),
    /// Check values against the template, before anything is written
    Validate(validate::ValidateArgs),
}

/// `kubectl odoo values`
pub async fn run(session: &Session, args: &ValuesArgs) -> Result<(), Failure> {
    match &args.command {
        Some(ValuesCommand::Set(args)) => return Box::pin(write::set(session, args)).await,
        Some(ValuesCommand::Edit(args)) => return Box::pin(edit::run(session, args)).await,
        Some(ValuesCommand::Validate(args)) => return Box::pin(validate::run(session, args)).await,
        None => {}
    }
    let environment: OdooEnvironment = session.get(args.environment.as_deref().unwrap_or_default()).await?;
    let known = Known::of(session, environment).await?;
    if let Some(version) = &args.diff {
        return diff(session, &known, version).await;
    }
    known.remark_on_violation(session);
    if args.helm_command {
        return helm::print(session, &known);
    }
    let shown = known.shown(session).await;
    known.remark_on_settings(session);
    if args.layers {
        return layers(session, &known, &shown);
    }
    // YAML is the form in which people know values.
    output::data(if session.format == Format::Json { Format::Json } else { Format::Yaml }, &shown)
}

/// Each value with the layer that set it.
fn layers(session: &Session, known: &Known, shown: &odoofleet_api::Object) -> Result<(), Failure> {
    let leaves = leaves::of(shown, known);
    if !session.for_people() {
        return output::data(session.format, &leaves);
    }
    let mut table = Table::new(["path", "layer", "value"]);
    for leaf in &leaves {
        let from = leaf.from.as_ref().map_or_else(String::new, |from| format!(" {from}"));
        table.push(vec![leaf.path.clone(), format!("{}{from}", leaf.layer), leaves::brief(&leaf.value)]);
    }
    table.print()
}

/// What another version of the template would change for this environment.
async fn diff(session: &Session, known: &Known, version: &str) -> Result<(), Failure> {
    let other = known.at(session, version).await?;
    let found = known.changes_to(session, &other).await;
    if !session.for_people() {
        return output::data(session.format, &found);
    }
    other.remark_on_violation(session);
    print_changes(session, known, &other, &found)
}

/// The changes between two versions, for people.
pub fn print_changes(session: &Session, one: &Known, other: &Known, changes: &[Change]) -> Result<(), Failure> {
    let (language, name) = (session.language, one.environment.name_any());
    let told = |known: &Known| {
        let content = &known.version.content;
        format!("{} ({} {})", content.version, content.chart_name, content.chart_version)
    };
    let (before, after) = (told(one), told(other));
    output::remark(&say!(
        language,
        "environment \"{name}\": {before} → {after}",
        "环境 \"{name}\"：{before} → {after}"
    ));
    if changes.is_empty() {
        output::remark(language.pick("no value changes", "没有变化的值"));
    }
    changes.iter().try_for_each(|change| output::line(&change.line()))
}

/// A value as it stands in YAML, on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains('\n') => text.clone(),
        other => other.to_string(),
    }
}
