//! `adopt`: environments for releases that somebody else installed (纳管).

mod ending;
mod files;
mod fleet;
pub mod found;
mod notes;
mod one;
mod rows;

use std::path::PathBuf;

use odoofleet_api::environment::{Adoption, Stage};
use odoofleet_api::{OdooCustomer, OdooTemplate};
use odoofleet_core::environment::proposal::{Proposal, Subject, propose};
use odoofleet_core::environment::references::{CustomerView, VersionView};
use serde_json::json;

use super::values::read;
use crate::failure::{Exit, Failure};
use crate::say;
use crate::session::Session;
use crate::wait::WaitArgs;
use found::{Found, Live};

/// What `adopt` takes.
#[derive(Debug, clap::Args)]
pub struct AdoptArgs {
    /// Name of the Helm release
    #[arg(value_name = "RELEASE", required_unless_present = "all", conflicts_with = "all")]
    pub release: Option<String>,
    /// The customer to whom it belongs
    #[arg(long, value_name = "CUSTOMER", required_unless_present = "all", conflicts_with = "all")]
    pub customer: Option<String>,
    /// The template of its chart
    #[arg(long, value_name = "TEMPLATE")]
    pub template: String,
    /// What it is for, such as prod; else what follows the customer in the release's name, or the stage's usual word
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub service: Option<String>,
    /// Its stage; else what its values say, or Production
    #[arg(long, value_parser = ["Test", "Staging", "Production"], value_name = "STAGE", conflicts_with = "all")]
    pub stage: Option<String>,
    /// What is done about it: only watched, taken over once it is equal, or taken over by an upgrade
    #[arg(long, value_parser = ["Monitor", "Observe", "TakeOver"], default_value = "Observe", value_name = "MODE")]
    pub mode: String,
    /// Show what would be created, have the API server try it, and write nothing
    #[arg(long, conflicts_with = "all")]
    pub dry_run: bool,
    /// Write files for all releases that a CSV file names, and nothing into the cluster
    #[arg(long, requires = "customers", requires = "out", conflicts_with = "wait")]
    pub all: bool,
    /// CSV file with a header: release,customer and, if wanted, service,stage
    #[arg(long, value_name = "FILE", requires = "all")]
    pub customers: Option<PathBuf>,
    /// A folder that gets a folder for each customer
    #[arg(long, value_name = "FOLDER", requires = "all")]
    pub out: Option<PathBuf>,
    /// Another folder, for the Secrets; without it they are only named
    #[arg(long, value_name = "FOLDER", requires = "all")]
    pub secrets_out: Option<PathBuf>,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `kubectl odoo adopt`
pub async fn run(session: &Session, args: &AdoptArgs) -> Result<(), Failure> {
    match &args.release {
        Some(release) => one::run(session, args, release).await,
        None => fleet::run(session, args).await,
    }
}

/// A word of the API as what it means. clap has looked at it.
fn stage(word: &str) -> Option<Stage> {
    serde_json::from_value(json!(word)).ok()
}

fn mode(args: &AdoptArgs) -> Adoption {
    serde_json::from_value(json!(args.mode)).unwrap_or_default()
}

/// A template, and the version that an environment gets which names none.
struct Target {
    template: OdooTemplate,
    version: VersionView,
}

impl Target {
    async fn read(session: &Session, name: &str) -> Result<Self, Failure> {
        let template: OdooTemplate = session.get(name).await?;
        let version = read::version(session, &template, &template.spec.version).await?;
        Ok(Self { template, version })
    }
}

/// What somebody says of a release.
struct Wish<'a> {
    customer: &'a OdooCustomer,
    service: Option<&'a str>,
    stage: Option<Stage>,
    mode: Adoption,
}

/// The proposal for a release. A release of another chart is refused: its objects would be deleted.
fn proposal(
    session: &Session,
    target: &Target,
    found: &Found,
    live: &Live,
    wish: &Wish<'_>,
) -> Result<Proposal, Failure> {
    let (language, record, content) = (session.language, &found.record, &target.version.content);
    let (release, chart, other) = (&record.name, &record.chart.metadata.name, &content.chart_name);
    if chart != other {
        let template = &target.version.template;
        let message = say!(
            language,
            "release \"{release}\" is of chart \"{chart}\", and template \"{template}\" of chart \"{other}\"",
            "Release \"{release}\" 来自 Chart \"{chart}\"，而模板 \"{template}\" 使用 Chart \"{other}\""
        );
        let hint = say!(
            language,
            "choose or make a template of chart \"{chart}\"; an upgrade to another chart deletes what the first one made",
            "请选择或新建使用 Chart \"{chart}\" 的模板；升级到另一个 Chart 会删除原有对象"
        );
        return Err(Failure::new(Exit::Refused, message).hint(hint));
    }
    let name = wish.customer.metadata.name.clone().unwrap_or_default();
    let subject = Subject {
        record,
        version: &target.version,
        customer: &CustomerView::of(wish.customer),
        customer_name: &name,
        namespace: &session.namespace,
        service: wish.service,
        stage: wish.stage,
        mode: wish.mode,
        pods: live.pods(release, content),
    };
    propose(&subject).map_err(|error| Failure::new(Exit::Refused, error.to_string()))
}
