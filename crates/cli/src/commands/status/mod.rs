//! `status`: how environments are, and what to do.

mod report;
mod table;
mod text;

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{Asked, Session};
use report::{Around, Report};

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Name of the environment; all of them without
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: Option<String>,
    /// Go on showing what changes
    #[arg(short, long)]
    pub watch: bool,
}

/// `kubectl odoo status`
pub async fn run(session: &Session, args: &StatusArgs) -> Result<(), Failure> {
    match &args.environment {
        Some(name) => {
            let environment: OdooEnvironment = session.get(name).await?;
            Box::pin(show(session, environment)).await?;
        }
        None => list(session).await?,
    }
    if args.watch { Box::pin(follow(session, args.environment.as_deref())).await } else { Ok(()) }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let environments: Vec<OdooEnvironment> = session.list(&ListParams::default()).await?;
    if !session.for_people() {
        return output::data(session.format, &environments);
    }
    table::print(session, &environments)
}

/// One environment with all that belongs to it. What the caller may not see is said in its place.
async fn show(session: &Session, environment: OdooEnvironment) -> Result<(), Failure> {
    let spec = &environment.spec;
    let (customer, template, pods) = tokio::join!(
        optional(session.get::<OdooCustomer>(&spec.customer_ref.name)),
        optional(session.get::<OdooTemplate>(&spec.template_ref.name)),
        optional(session.list_beside::<Pod>()),
    );
    let around = Around { customer, template, pods };
    let report = Report::new(&environment, &around, session.now());
    if session.for_people() { text::print(session.language, &report) } else { output::data(session.format, &report) }
}

/// What is there, or why it cannot be shown.
async fn optional<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, String> {
    asked.await.map_err(|failure| match failure.hint {
        Some(hint) => format!("{} ({hint})", failure.message),
        None => failure.message,
    })
}

/// Shows each change: of one environment the whole report, of many a row.
async fn follow(session: &Session, name: Option<&str>) -> Result<(), Failure> {
    tokio::select! {
        outcome = changes(session, name) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, session.language.pick("interrupted", "已中断"))),
    }
}

async fn changes(session: &Session, name: Option<&str>) -> Result<(), Failure> {
    let api: Api<OdooEnvironment> =
        if session.all_namespaces { Api::all(session.client.clone()) } else { session.api() };
    let mut config = watcher::Config::default();
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    // The first list is what was shown already.
    let mut shown = BTreeMap::new();
    let mut events = watcher(api, config).default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::InitApply(environment))) if !shown.contains_key(&key(&environment)) => {
                shown.insert(key(&environment), told(&environment));
            }
            Ok(Some(watcher::Event::Apply(environment) | watcher::Event::InitApply(environment))) => {
                let told = told(&environment);
                if shown.insert(key(&environment), told.clone()) == Some(told) {
                    continue;
                }
                if name.is_some() {
                    if session.for_people() {
                        output::line("")?;
                    }
                    Box::pin(show(session, environment)).await?;
                } else {
                    table::print_change(session, &environment)?;
                }
            }
            Ok(Some(watcher::Event::Delete(environment))) => {
                shown.remove(&key(&environment));
                let gone = environment.name_any();
                output::line(&crate::say!(session.language, "{gone} was deleted", "{gone} 已删除"))?;
                if name.is_some() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(watcher::Error::InitialListFailed(error)) if shown.is_empty() => {
                return Err(session.explain(&Asked::of::<OdooEnvironment>("list", None), error).await);
            }
            Err(watcher::Error::WatchStartFailed(error @ kube::Error::Api(_))) => {
                return Err(session.explain(&Asked::of::<OdooEnvironment>("watch", None), error).await);
            }
            // A watch that breaks off begins again.
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

fn key(environment: &OdooEnvironment) -> (Option<String>, String) {
    (environment.namespace(), environment.name_any())
}

/// All of a status but the times in it: a change that people would not see is none.
fn told(environment: &OdooEnvironment) -> String {
    let status = environment.status.clone().unwrap_or_default();
    let words = (status.phase, status.reason, status.message, status.ready_replicas, status.template);
    format!("{words:?}")
}
