//! `status`: how environments are, and what to do.

mod report;
mod table;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

use crate::failure::{Exit, Failure};
use crate::output::{self, Format, Table};
use crate::say;
use crate::session::{Asked, Session};
use crate::wait;
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
    let name = args.environment.as_deref();
    let (environments, table) = match name {
        Some(name) => {
            let environment: OdooEnvironment = session.get(name).await?;
            Box::pin(show(session, environment.clone())).await?;
            (vec![environment], Table::default())
        }
        None => list(session).await?,
    };
    if !args.watch {
        return Ok(());
    }
    Box::pin(follow(session, name, Watched { shown: shown(&environments), table })).await
}

async fn list(session: &Session) -> Result<(Vec<OdooEnvironment>, Table), Failure> {
    let environments: Vec<OdooEnvironment> = session.list(&ListParams::default()).await?;
    let table = if session.for_people() {
        table::print(session, &environments)?
    } else {
        output::data(session.format, &environments)?;
        Table::default()
    };
    Ok((environments, table))
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

/// What somebody who watches has seen.
struct Watched {
    shown: BTreeMap<Key, String>,
    table: Table,
}

/// Namespace and name.
type Key = (Option<String>, String);

/// Shows each change: of one environment the whole report, of many a row.
async fn follow(session: &Session, name: Option<&str>, watched: Watched) -> Result<(), Failure> {
    tokio::select! {
        outcome = changes(session, name, watched) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, session.language.pick("interrupted", "已中断"))),
    }
}

async fn changes(session: &Session, name: Option<&str>, mut watched: Watched) -> Result<(), Failure> {
    let api: Api<OdooEnvironment> =
        if session.all_namespaces { Api::all(session.client.clone()) } else { session.api() };
    let mut config = watcher::Config::default();
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    // Those of the list with which a watch begins, each time: what is not among them is gone.
    let mut listed = BTreeSet::new();
    let mut failures = 0;
    let mut events = watcher(api, config).default_backoff().boxed();
    loop {
        let event = events.try_next().await;
        if event.is_ok() {
            failures = 0;
        }
        match event {
            Ok(Some(watcher::Event::Init)) => listed.clear(),
            Ok(Some(watcher::Event::InitApply(environment))) => {
                listed.insert(key(&environment));
                changed(session, name, &mut watched, environment).await?;
            }
            Ok(Some(watcher::Event::InitDone)) => {
                let lost: Vec<Key> = watched.shown.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for gone in lost {
                    deleted(session, &mut watched, &gone)?;
                }
            }
            Ok(Some(watcher::Event::Apply(environment))) => {
                changed(session, name, &mut watched, environment).await?;
            }
            Ok(Some(watcher::Event::Delete(environment))) => deleted(session, &mut watched, &key(&environment))?,
            Ok(None) => return Ok(()),
            Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) => {
                failures += 1;
                if wait::is_over(failures, &error) {
                    return Err(session.explain(&Asked::of::<OdooEnvironment>("watch", None), error).await);
                }
            }
            // A watch that breaks off begins again.
            Err(_) => {}
        }
        if name.is_some() && watched.shown.is_empty() {
            return Ok(());
        }
    }
}

/// Shows an environment, if people would see that it has changed.
async fn changed(
    session: &Session,
    name: Option<&str>,
    watched: &mut Watched,
    environment: OdooEnvironment,
) -> Result<(), Failure> {
    let told = told(&environment);
    if watched.shown.insert(key(&environment), told.clone()) == Some(told) {
        return Ok(());
    }
    if !session.for_people() && name.is_none() {
        return output::further_data(session.format, &environment);
    }
    match (name, session.format) {
        (None, _) => return table::print_change(session, &mut watched.table, &environment),
        (Some(_), Format::Yaml) => output::line("---")?,
        (Some(_), Format::Json) => {}
        (Some(_), _) => output::line("")?,
    }
    Box::pin(show(session, environment)).await
}

fn deleted(session: &Session, watched: &mut Watched, key: &Key) -> Result<(), Failure> {
    if watched.shown.remove(key).is_none() {
        return Ok(());
    }
    let name = &key.1;
    let gone = say!(session.language, "{name} was deleted", "{name} 已删除");
    if session.for_people() {
        return output::line(&gone);
    }
    // It would be no data.
    output::remark(&gone);
    Ok(())
}

fn shown(environments: &[OdooEnvironment]) -> BTreeMap<Key, String> {
    environments.iter().map(|environment| (key(environment), told(environment))).collect()
}

fn key(environment: &OdooEnvironment) -> Key {
    (environment.namespace(), environment.name_any())
}

/// All of a status but the times in it: a change that people would not see is none.
fn told(environment: &OdooEnvironment) -> String {
    let status = environment.status.clone().unwrap_or_default();
    let words = (status.phase, status.reason, status.message, status.ready_replicas, status.template);
    format!("{words:?}")
}
