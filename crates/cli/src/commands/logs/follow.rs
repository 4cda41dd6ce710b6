//! Following: over restarts of containers, new pods, and connections that break.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use kube::runtime::{WatchStreamExt, watcher};
use odoofleet_api::OdooEnvironment;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::choice::{self, Source};
use super::print::Printer;
use super::read::{Log, next_line};
use super::record::{Assembler, Line, Record};
use super::{LogsArgs, print_all};
use crate::commands::pods;
use crate::failure::Failure;
use crate::output;
use crate::say;
use crate::session::{Asked, Session};

/// How many lines of each pod are shown before what is new, unless it is asked for others.
const BEFORE: i64 = 100;
/// For so long the rest of a record is waited for.
const REST_WITHIN: Duration = Duration::from_millis(300);
/// Until a log that broke off is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A container's run, which has one log.
type Key = (String, String, Option<String>);

fn key(source: &Source) -> Key {
    (source.pod.clone(), source.container.clone(), source.run.clone())
}

/// What a reader of one log sends.
enum Message {
    Line(Key, Line),
    End(Key),
    Again(Key),
}

/// A log that is followed.
struct Followed {
    source: Source,
    assembler: Assembler,
    /// When its last line was written.
    last: Option<Timestamp>,
    /// When what has come of a record is printed, even if more of it may come.
    due: Option<Instant>,
    /// Whether somebody reads it now.
    is_read: bool,
}

/// Follows until something fails for good, or is interrupted.
pub async fn run(
    session: &Session,
    args: &LogsArgs,
    environment: OdooEnvironment,
    sources: Vec<Source>,
) -> Result<(), Failure> {
    let mut following = Following::new(session, args, environment);
    following.begin(sources).await?;
    let mut changes = watcher(session.api::<Pod>(), watcher::Config::default()).default_backoff().boxed();
    loop {
        let due = following.logs.values().filter_map(|log| log.due).min();
        let wake = due.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        tokio::select! {
            message = following.receiver.recv() => match message {
                Some(Message::Line(key, line)) => following.line(&key, line)?,
                Some(Message::End(key)) => following.end(&key)?,
                Some(Message::Again(key)) => following.again(&key),
                None => return Ok(()),
            },
            change = changes.next() => match change {
                Some(Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => following.pod(pod).await?,
                Some(Ok(watcher::Event::Delete(pod))) => following.gone(&pod.name_any()),
                Some(Err(watcher::Error::WatchStartFailed(error) | watcher::Error::InitialListFailed(error)))
                    if matches!(&error, kube::Error::Api(status) if (400..410).contains(&status.code)) =>
                {
                    return Err(session.explain(&Asked::of::<Pod>("watch", None), error).await);
                }
                Some(_) => {}
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(wake) => following.flush()?,
        }
    }
}

struct Following<'a> {
    session: &'a Session,
    args: &'a LogsArgs,
    environment: OdooEnvironment,
    printer: Printer,
    logs: BTreeMap<Key, Followed>,
    sender: mpsc::Sender<Message>,
    receiver: mpsc::Receiver<Message>,
}

impl<'a> Following<'a> {
    fn new(session: &'a Session, args: &'a LogsArgs, environment: OdooEnvironment) -> Self {
        let (sender, receiver) = mpsc::channel(256);
        // Other pods may come: whose a line is, is always said.
        let printer = Printer::new(args, session.format, true);
        Self { session, args, environment, printer, logs: BTreeMap::new(), sender, receiver }
    }

    /// Prints what is there in order, and follows it from there.
    async fn begin(&mut self, sources: Vec<Source>) -> Result<(), Failure> {
        let (there, waiting): (Vec<Source>, Vec<Source>) = sources.into_iter().partition(|own| own.waits.is_none());
        for source in &waiting {
            output::remark(&super::without_log(self.session, source));
        }
        if there.is_empty() && waiting.is_empty() {
            let name = &self.args.environment;
            output::remark(&say!(
                self.session.language,
                "environment \"{name}\" has no pod of Odoo yet; waiting for one",
                "环境 \"{name}\" 还没有 Odoo 的 Pod，正在等待"
            ));
        }
        let tail = self.args.tail.or_else(|| self.args.since.is_none().then_some(BEFORE));
        let args = LogsArgs { tail, ..self.args.clone() };
        let ends = print_all(self.session, &args, &there, &mut self.printer).await?;
        for (source, last) in there.into_iter().zip(ends) {
            // Nothing was written yet, or all of it: from now on.
            self.follow(source, last);
        }
        Ok(())
    }

    /// Begins to read a log, unless somebody does.
    fn follow(&mut self, source: Source, last: Option<Timestamp>) {
        let key = key(&source);
        let log = self.logs.entry(key.clone()).or_insert_with(|| Followed {
            source: source.clone(),
            assembler: Assembler::default(),
            last,
            due: None,
            is_read: false,
        });
        log.source = source;
        if std::mem::replace(&mut log.is_read, true) {
            return;
        }
        let params = LogParams {
            container: Some(log.source.container.clone()),
            follow: true,
            since_time: log.last,
            timestamps: true,
            ..LogParams::default()
        };
        let (api, pod, sender) = (self.session.api::<Pod>(), log.source.pod.clone(), self.sender.clone());
        tokio::spawn(async move {
            // What fails is asked for again; what cannot be had any more, such as the log of a pod that is gone, has ended.
            if let Ok(log) = api.log_stream(&pod, &params).await {
                read(Box::pin(log), &key, &sender).await;
            }
            let _ = sender.send(Message::End(key)).await;
        });
    }

    fn line(&mut self, key: &Key, line: Line) -> Result<(), Failure> {
        let Some(log) = self.logs.get_mut(key) else { return Ok(()) };
        // The kubelet counts in seconds: what was printed before comes again.
        if line.at.is_some() && line.at <= log.last {
            return Ok(());
        }
        log.last = line.at.or(log.last);
        log.due = Some(Instant::now() + REST_WITHIN);
        if let Some(record) = log.assembler.push(line) {
            print(&mut self.printer, &log.source, &record)?;
        }
        Ok(())
    }

    /// A log has ended, with its container or with its connection.
    fn end(&mut self, key: &Key) -> Result<(), Failure> {
        let Some(log) = self.logs.get_mut(key) else { return Ok(()) };
        (log.due, log.is_read) = (None, false);
        if let Some(record) = log.assembler.flush() {
            print(&mut self.printer, &log.source, &record)?;
        }
        if log.source.runs {
            let (key, sender) = (key.clone(), self.sender.clone());
            tokio::spawn(async move {
                tokio::time::sleep(AGAIN_AFTER).await;
                let _ = sender.send(Message::Again(key)).await;
            });
        }
        Ok(())
    }

    /// Reads a log again whose container runs on, as far as is known.
    fn again(&mut self, key: &Key) {
        let Some(log) = self.logs.get(key).filter(|log| log.source.runs) else { return };
        let (source, last) = (log.source.clone(), log.last);
        self.follow(source, last);
    }

    /// Prints what is due.
    fn flush(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for log in self.logs.values_mut().filter(|log| log.due.is_some_and(|due| due <= now)) {
            log.due = None;
            if let Some(record) = log.assembler.flush() {
                print(&mut self.printer, &log.source, &record)?;
            }
        }
        Ok(())
    }

    /// A pod has changed: what has begun is followed, too.
    async fn pod(&mut self, pod: Pod) -> Result<(), Failure> {
        let knows_none = self.environment.status.as_ref().is_none_or(|status| status.workloads.is_empty());
        if knows_none {
            self.environment = self.session.get(&self.args.environment).await?;
        }
        let pods = pods::of(&self.environment, vec![pod]);
        for source in choice::sources(&pods, self.args).into_iter().filter(|source| source.waits.is_none()) {
            match self.logs.get_mut(&key(&source)) {
                Some(log) => {
                    log.source = source;
                    let key = key(&log.source);
                    self.again(&key);
                }
                None => self.follow(source, None),
            }
        }
        Ok(())
    }

    /// A pod is gone; what it wrote last may be on the way.
    fn gone(&mut self, pod: &str) {
        for log in self.logs.values_mut().filter(|log| log.source.pod == pod) {
            log.source.runs = false;
        }
    }
}

/// Sends each line of a log.
async fn read(mut log: Log, key: &Key, sender: &mpsc::Sender<Message>) {
    while let Ok(Some(line)) = next_line(&mut log).await {
        if sender.send(Message::Line(key.clone(), line)).await.is_err() {
            return;
        }
    }
}

/// Prints a record at once.
fn print(printer: &mut Printer, source: &Source, record: &Record) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printer.print(&mut out, source, record)?;
    out.flush()?;
    Ok(())
}
