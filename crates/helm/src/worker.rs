//! One worker process.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::protocol::{Answer, ErrorClass, Hooks, Message, Request, Stage, Success, Validity, WorkerError};

/// How long a worker may stay silent after its own deadline before it is killed.
const KILL_AFTER_DEADLINE: Duration = Duration::from_secs(10);
/// How long a started worker may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its program.
    pub program: PathBuf,
    /// Namespace in which it works.
    pub namespace: String,
    /// MiB of data that it may take; at the limit it ends, alone. 0: no limit.
    pub memory_limit: u64,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

/// A running worker process. Dropping it kills it.
pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Whether it may get another operation.
    usable: bool,
}

/// The moment until which workers may write, as the leader's lease allows.
pub type Permit = watch::Receiver<Option<Instant>>;

impl Worker {
    /// Starts a process and waits until it is ready.
    pub async fn start(config: &WorkerConfig) -> std::io::Result<Self> {
        let mut command = Command::new(&config.program);
        command.arg("--namespace").arg(&config.namespace).env_clear().envs(config.environment.iter().cloned());
        command.arg("--memory-limit").arg(config.memory_limit.to_string());
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
        let mut worker = Self { child, stdin, answers: BufReader::new(stdout).lines(), usable: true };
        match tokio::time::timeout(READY_WITHIN, worker.answer()).await {
            Ok(Some(Answer::Ready { helm_version, worker_version })) => {
                tracing::debug!(%helm_version, %worker_version, pid = worker.child.id(), "worker is ready");
                Ok(worker)
            }
            _ => Err(std::io::Error::other("the worker did not get ready: its log says why")),
        }
    }

    /// Runs one operation to its end. A process that died, fell silent or lost its permit is not usable afterwards.
    pub async fn run(
        &mut self,
        request: &Request,
        mut permit: Permit,
        progress: impl Fn(Stage, Option<Hooks>),
    ) -> Result<Success, WorkerError> {
        let Some(first) = validity(*permit.borrow_and_update()) else {
            return Err(WorkerError::new(ErrorClass::PermitExpired, "the operator does not hold its lease"));
        };
        if self.send(&Message::Operation { request, validity: first }).await.is_err() {
            return Err(self.lost(ErrorClass::Died, "the worker ended before the operation began"));
        }
        let seconds = u64::try_from(request.timeout_seconds).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(seconds) + KILL_AFTER_DEADLINE;
        loop {
            tokio::select! {
                answer = self.answer() => match answer {
                    Some(Answer::Progress { id, stage, hooks }) if id == request.id => progress(stage, hooks),
                    Some(Answer::Success { id, success }) if id == request.id => return Ok(success),
                    Some(Answer::Failure { id, error }) if id == request.id => {
                        // Helm may go on in that process, which has no permit any more and ends.
                        self.usable = !matches!(error.class, ErrorClass::PermitExpired | ErrorClass::Deadline);
                        return Err(error);
                    }
                    Some(_) => {}
                    None => return Err(self.lost(ErrorClass::Died, "the worker ended without an answer")),
                },
                changed = permit.changed() => {
                    let renewed = changed.ok().and_then(|()| validity(*permit.borrow_and_update()));
                    // Without a permit nothing is sent: the worker's own clock ends its right to write.
                    if let Some(renewed) = renewed
                        && self.send(&Message::Permit(renewed)).await.is_err()
                    {
                        return Err(self.lost(ErrorClass::Died, "the worker ended without an answer"));
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(self.lost(ErrorClass::Deadline, "the worker did not answer in time and was killed"));
                }
            }
        }
    }

    /// Whether it may get another operation.
    pub const fn is_usable(&self) -> bool {
        self.usable
    }

    /// Waits for a process to be gone, so that nobody writes any more.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    fn lost(&mut self, class: ErrorClass, message: &str) -> WorkerError {
        self.usable = false;
        WorkerError::new(class, message)
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

fn validity(until: Option<Instant>) -> Option<Validity> {
    let left = until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Validity {
        valid_for_millis: i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
        sent_at_millis: clock.tv_sec * 1000 + clock.tv_nsec / 1_000_000,
    })
}
