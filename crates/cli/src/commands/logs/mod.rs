//! `logs`: what an environment's programs write, in whole records.

mod choice;
mod follow;
mod head;
mod print;
mod read;
mod record;

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use odoofleet_api::OdooEnvironment;
use regex::Regex;

use super::pods::{self, Part};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::{Asked, Session};
use crate::wait;
use choice::Source;
use head::Level;
use print::Printer;
use read::{Log, Records};
use record::Record;

/// What `logs` takes.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Go on with what is written, over restarts and new pods
    #[arg(short, long)]
    pub follow: bool,
    /// Of all pods: cron, the database and others, too
    #[arg(long)]
    pub all_pods: bool,
    /// What was written before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// What was written in this time, such as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = wait::duration)]
    pub since: Option<Duration>,
    /// The last lines of each pod; what is selected is selected among them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub tail: Option<i64>,
    /// Records that match this regular expression
    #[arg(long, value_name = "REGEX", value_parser = Regex::new)]
    pub grep: Option<Regex>,
    /// Records of this level and above
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub level: Option<Level>,
    /// Another container than Odoo's, such as prepare
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// The time at which each line was written, before it
    #[arg(long)]
    pub timestamps: bool,
}

impl LogsArgs {
    /// All that Odoo wrote.
    #[cfg(test)]
    pub fn of(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            follow: false,
            all_pods: false,
            previous: false,
            since: None,
            tail: None,
            grep: None,
            level: None,
            container: None,
            timestamps: false,
        }
    }

    fn params(&self, source: &Source) -> LogParams {
        LogParams {
            container: Some(source.container.clone()),
            previous: self.previous,
            since_seconds: self.since.and_then(|since| i64::try_from(since.as_secs()).ok()),
            tail_lines: self.tail,
            timestamps: true,
            ..LogParams::default()
        }
    }
}

/// `kubectl odoo logs`
pub async fn run(session: &Session, args: &LogsArgs) -> Result<(), Failure> {
    let environment: OdooEnvironment = session.get(&args.environment).await?;
    let pods = pods::of(&environment, session.list_beside::<Pod>().await?);
    let sources = choice::sources(&pods, args);
    if !args.follow {
        let (logged, waiting): (Vec<Source>, Vec<Source>) =
            sources.into_iter().partition(|source| has_log(source, args.previous));
        if logged.is_empty() {
            return Err(nothing(session, args, &pods, &waiting));
        }
        for source in &waiting {
            output::remark(&without_log(session, source));
        }
        let mut printer = Printer::new(args, session.format, logged.len() > 1);
        return print_all(session, args, &logged, &mut printer).await.map(|_| ());
    }
    if sources.is_empty() && args.container.is_some() && !pods.is_empty() {
        return Err(nothing(session, args, &pods, &[]));
    }
    tokio::select! {
        outcome = Box::pin(follow::run(session, args, environment, sources)) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, session.language.pick("interrupted", "已中断"))),
    }
}

fn has_log(source: &Source, previous: bool) -> bool {
    if previous { source.restarts > 0 } else { source.waits.is_none() }
}

/// Prints what is there, in the order in which it was written. Gives for each source the time of its last line.
async fn print_all(
    session: &Session,
    args: &LogsArgs,
    sources: &[Source],
    printer: &mut Printer,
) -> Result<Vec<Option<jiff::Timestamp>>, Failure> {
    let mut records = Vec::new();
    for source in sources {
        records.push(Records::new(open(session, source, &args.params(source)).await?));
    }
    let mut ends = vec![None; sources.len()];
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some((index, record)) = read::oldest(&mut records).await? {
        ends[index] = last(&record).or(ends[index]);
        printer.print(&mut out, &sources[index], &record)?;
    }
    out.flush()?;
    Ok(ends)
}

/// When its last line was written.
fn last(record: &Record) -> Option<jiff::Timestamp> {
    record.lines.iter().rev().find_map(|line| line.at)
}

/// The log of one container, not read yet.
async fn open(session: &Session, source: &Source, params: &LogParams) -> Result<Log, Failure> {
    let api: Api<Pod> = session.api();
    match api.log_stream(&source.pod, params).await {
        Ok(log) => Ok(Box::pin(log)),
        Err(error) => Err(session.explain(&Asked::of::<Pod>("get", Some(&source.pod)).on("log"), error).await),
    }
}

/// Why there is nothing to read, and what to do.
fn nothing(session: &Session, args: &LogsArgs, pods: &[(Part, Pod)], waiting: &[Source]) -> Failure {
    let (language, name) = (session.language, &args.environment);
    if let Some(source) = waiting.first() {
        if args.previous {
            let (pod, container) = (&source.pod, &source.container);
            let message = say!(
                language,
                "container \"{container}\" of pod \"{pod}\" was not restarted: there is no log before this one",
                "Pod \"{pod}\" 的容器 \"{container}\" 没有重启过：没有更早的日志"
            );
            return Failure::new(Exit::NotFound, message);
        }
        let failure = Failure::new(Exit::NotFound, without_log(session, source));
        return match source.waits.as_deref().filter(|waits| waits.starts_with("--container")) {
            Some(turn) => {
                let command = format!("kubectl odoo logs {name} {turn}");
                failure.hint(say!(
                    language,
                    "`{command}` shows what runs before it",
                    "`{command}` 可查看它之前运行的容器"
                ))
            }
            None => failure.hint(say!(
                language,
                "`kubectl odoo status {name}` says what to do",
                "`kubectl odoo status {name}` 会说明该怎么做"
            )),
        };
    }
    if let (Some(container), false) = (&args.container, pods.is_empty()) {
        let spec = |pod: &Pod| pod.spec.clone().unwrap_or_default();
        let meant = pods.iter().filter(|(part, _)| args.all_pods || *part == Part::Web);
        let specs = meant.map(|(_, pod)| spec(pod));
        let mut names: Vec<String> = specs
            .flat_map(|spec| spec.init_containers.into_iter().flatten().chain(spec.containers))
            .map(|container| container.name)
            .collect();
        names.sort();
        names.dedup();
        let names = names.join(", ");
        let message = say!(
            language,
            "no pod of environment \"{name}\" has a container \"{container}\"",
            "环境 \"{name}\" 的 Pod 中没有容器 \"{container}\""
        );
        return Failure::new(Exit::NotFound, message).hint(if args.all_pods {
            say!(language, "there are: {names}", "现有容器：{names}")
        } else {
            say!(language, "there are: {names}; more with --all-pods", "现有容器：{names}；--all-pods 包括其他 Pod")
        });
    }
    let message = say!(language, "environment \"{name}\" has no pod of Odoo", "环境 \"{name}\" 没有 Odoo 的 Pod");
    Failure::new(Exit::NotFound, message).hint(say!(
        language,
        "`kubectl odoo status {name}` says why; --follow waits for one",
        "`kubectl odoo status {name}` 会说明原因；--follow 会等待新的 Pod"
    ))
}

fn without_log(session: &Session, source: &Source) -> String {
    let Source { pod, container, .. } = source;
    let waits = source.waits.as_deref().unwrap_or_default();
    let waits = waits.strip_prefix("--container ").unwrap_or(waits);
    say!(
        session.language,
        "container \"{container}\" of pod \"{pod}\" has not started: {waits}",
        "Pod \"{pod}\" 的容器 \"{container}\" 尚未启动：{waits}"
    )
}
