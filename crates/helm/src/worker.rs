//! One worker process.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pool::PoolConfig;
use crate::protocol::{Answer, ErrorClass, Message, Request, ResultMessage, Validity, WorkerError};

/// How long a worker may stay silent after its own deadline before it is killed.
const KILL_AFTER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a started worker may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running worker process. Dropping it kills it.
pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What a worker said at last.
pub struct Finished {
    /// Its answer.
    pub result: Result<(), WorkerError>,
    /// Hooks of the chart.
    pub hooks: i64,
    /// Check pods of the chart.
    pub checks: i64,
    /// Milliseconds, as the worker measured them.
    pub duration_millis: i64,
    /// Whether the process may be used again.
    pub reusable: bool,
}

/// The moment until which workers may write, as the leader's lease allows.
pub type Permit = watch::Receiver<Option<Instant>>;

impl Worker {
    /// Starts a process and waits until it is ready.
    pub async fn start(config: &PoolConfig) -> std::io::Result<Self> {
        let mut command = Command::new(&config.program);
        command.arg("--namespace").arg(&config.namespace).env_clear().envs(config.environment.iter().cloned());
        // With the parent's id the worker notices even a parent that was gone before it could ask to be told.
        command.arg("--parent").arg(std::process::id().to_string());
        // Its own process group: a signal to the operator's group must not cut an operation that the operator lets finish.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .process_group(0);
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("the worker has no standard input or output");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let mut worker = Self { child, stdin, answers: BufReader::new(stdout).lines() };
        match tokio::time::timeout(READY_WITHIN, worker.answer()).await {
            Ok(Some(Answer::Ready { helm_version, worker_version })) => {
                tracing::debug!(%helm_version, %worker_version, pid = worker.child.id(), "worker is ready");
                Ok(worker)
            }
            _ => Err(std::io::Error::other("the worker did not get ready: its log says why")),
        }
    }

    /// Runs one operation to its end. A process that died, fell silent or lost its permit is not reusable.
    pub async fn run(
        &mut self,
        request: &Request,
        mut permit: Permit,
        progress: impl Fn(&str, Option<i64>),
    ) -> Finished {
        let Some(first) = validity(*permit.borrow_and_update()) else {
            return died(ErrorClass::PermitExpired, "the operator does not hold its lease", true);
        };
        if self.send(&Message::Operation { request, validity: first }).await.is_err() {
            return died(ErrorClass::Died, "the worker ended before the operation began", false);
        }
        let seconds = u64::try_from(request.timeout_seconds).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(seconds) + KILL_AFTER_DEADLINE;
        loop {
            tokio::select! {
                answer = self.answer() => match answer {
                    Some(Answer::Progress { id, stage, hooks }) if id == request.id => progress(&stage, hooks),
                    Some(Answer::Result(result)) if result.id == request.id => return finished(result),
                    Some(_) => {}
                    None => return died(ErrorClass::Died, "the worker ended without an answer", false),
                },
                changed = permit.changed() => {
                    let renewed = changed.ok().and_then(|()| validity(*permit.borrow_and_update()));
                    // Without a permit nothing is sent: the worker's own clock ends its right to write.
                    if let Some(renewed) = renewed
                        && self.send(&Message::Permit(renewed)).await.is_err()
                    {
                        return died(ErrorClass::Died, "the worker ended without an answer", false);
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    return died(ErrorClass::Deadline, "the worker did not answer in time and was killed", false);
                }
            }
        }
    }

    /// Waits for a process to be gone, so that nobody writes any more.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    async fn send(&mut self, message: &Message<'_>) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        self.stdin.flush().await
    }

    /// The next line that can be understood; none when the process has closed its output.
    async fn answer(&mut self) -> Option<Answer> {
        loop {
            let line = self.answers.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(answer) => return Some(answer),
                // The line itself is not logged: it is not known what it holds.
                Err(error) => tracing::warn!(%error, "a line of the worker cannot be understood"),
            }
        }
    }
}

fn finished(result: ResultMessage) -> Finished {
    let error = match (result.ok, result.error) {
        (true, _) => Ok(()),
        (false, Some(error)) => Err(error),
        (false, None) => Err(WorkerError {
            class: ErrorClass::Unknown,
            message: "helm failed without a reason".to_owned(),
            details: vec![],
        }),
    };
    let lost = matches!(&error, Err(error) if matches!(error.class, ErrorClass::PermitExpired | ErrorClass::Cancelled | ErrorClass::Deadline));
    Finished {
        result: error,
        hooks: result.hooks,
        checks: result.checks,
        duration_millis: result.duration_millis,
        reusable: !lost,
    }
}

fn died(class: ErrorClass, message: &str, reusable: bool) -> Finished {
    let error = WorkerError { class, message: message.to_owned(), details: vec![] };
    Finished { result: Err(error), hooks: 0, checks: 0, duration_millis: 0, reusable }
}

fn validity(until: Option<Instant>) -> Option<Validity> {
    let left = until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Validity {
        valid_for_millis: i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
        sent_at_millis: clock.tv_sec * 1000 + clock.tv_nsec / 1_000_000,
    })
}
