//! The pool: at most so many workers, each started when there is work and ended when there was none for a while.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::protocol::{Action, ErrorClass, Request, WorkerError};
pub use crate::queue::Lane;
use crate::queue::{Next, Queue};
use crate::worker::{Finished, Permit, Worker};

/// How the pool starts workers.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The worker's program.
    pub program: PathBuf,
    /// Namespace in which it works.
    pub namespace: String,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Most workers at once.
    pub size: usize,
    /// A worker without work for so long is ended.
    pub idle: Duration,
}

/// What the pool tells.
#[derive(Debug)]
pub enum Event {
    /// A stage was reached.
    Progress {
        /// Release.
        release: String,
        /// Stage, as the worker names it.
        stage: String,
        /// Hooks of the chart, once they are known.
        hooks: Option<i64>,
    },
    /// An operation is over, and nobody writes for it any more.
    Finished(Outcome),
}

/// The end of an operation.
#[derive(Debug)]
pub struct Outcome {
    /// Operation.
    pub id: String,
    /// What it was.
    pub action: Action,
    /// Release.
    pub release: String,
    /// The revision that it made or acted on.
    pub expected_revision: i64,
    /// The worker's answer.
    pub result: Result<(), WorkerError>,
    /// Hooks of the chart.
    pub hooks: i64,
    /// For a check: the pods in which the chart tries its inputs, one or none.
    pub checks: i64,
    /// How long the worker took.
    pub duration: Duration,
}

/// Whether an operation was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It waits or runs.
    Accepted,
    /// Another operation of the same release waits or runs.
    Busy,
    /// The pool is shutting down.
    Closed,
}

/// A pool of workers. At most one operation of a release waits or runs at any time.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    config: PoolConfig,
    state: Mutex<State>,
    events: mpsc::UnboundedSender<Event>,
    permit: watch::Sender<Option<Instant>>,
    drained: Notify,
    started: AtomicU64,
}

struct State {
    queue: Queue<Request>,
    /// Operation of each release that waits or runs.
    active: HashMap<String, String>,
    /// Warm workers, the one used last on top: so that the others can fall asleep.
    idle: Vec<(Worker, Instant)>,
    busy: usize,
    closed: bool,
}

impl Pool {
    /// A pool without workers, and the stream of what happens in it.
    pub fn new(config: PoolConfig) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let state =
            State { queue: Queue::new(config.size), active: HashMap::new(), idle: Vec::new(), busy: 0, closed: false };
        let inner = Inner {
            config,
            state: Mutex::new(state),
            events,
            permit: watch::Sender::new(None),
            drained: Notify::new(),
            started: AtomicU64::new(0),
        };
        (Self(Arc::new(inner)), receiver)
    }

    /// Hands an operation over and returns at once.
    pub fn submit(&self, request: Request, lane: Lane, hooks: bool) -> Submitted {
        {
            let mut state = self.0.state.lock();
            if state.closed {
                return Submitted::Closed;
            }
            if state.active.contains_key(&request.release) {
                return Submitted::Busy;
            }
            state.active.insert(request.release.clone(), request.id.clone());
            state.queue.push(lane, hooks, request);
        }
        self.dispatch();
        Submitted::Accepted
    }

    /// Whether this operation waits or runs.
    pub fn is_active(&self, release: &str, operation: &str) -> bool {
        self.0.state.lock().active.get(release).is_some_and(|active| active == operation)
    }

    /// Whether any operation of a release waits or runs.
    pub fn is_busy(&self, release: &str) -> bool {
        self.0.state.lock().active.contains_key(release)
    }

    /// Whether any operation at all waits or runs.
    pub fn has_work(&self) -> bool {
        !self.0.state.lock().active.is_empty()
    }

    /// Operations that wait for a worker.
    pub fn queued(&self) -> usize {
        self.0.state.lock().queue.len()
    }

    /// Worker processes that were started so far.
    pub fn workers_started(&self) -> u64 {
        self.0.started.load(Ordering::Relaxed)
    }

    /// Worker processes that exist.
    pub fn workers(&self) -> usize {
        let state = self.0.state.lock();
        state.busy + state.idle.len()
    }

    /// Sets the moment until which workers may write. None takes the permit from all that run.
    pub fn permit(&self, until: Option<Instant>) {
        self.0.permit.send_replace(until);
    }

    /// Takes no more work, gives up what waits, and returns when what runs is over.
    pub async fn drain(&self) {
        let waiting = {
            let mut state = self.0.state.lock();
            state.closed = true;
            state.idle.clear();
            let waiting = state.queue.drain();
            for request in &waiting {
                state.active.remove(&request.release);
            }
            waiting
        };
        tracing::info!(given_up = waiting.len(), "the pool finishes what runs");
        loop {
            let drained = self.0.drained.notified();
            if self.0.state.lock().busy == 0 {
                return;
            }
            drained.await;
        }
    }

    /// Ends workers that had no work for a while. To be called now and then.
    pub fn retire_idle(&self) {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        let idle = self.0.config.idle;
        // Dropping a worker kills it; it has nothing in hand.
        state.idle.retain(|(_, since)| now.duration_since(*since) < idle);
    }

    /// Starts as many waiting operations as workers allow.
    fn dispatch(&self) {
        loop {
            let (next, worker) = {
                let mut state = self.0.state.lock();
                if state.busy >= self.0.config.size {
                    return;
                }
                let Some(next) = state.queue.pop() else { return };
                state.busy += 1;
                (next, state.idle.pop().map(|(worker, _)| worker))
            };
            let pool = self.clone();
            tokio::spawn(async move { pool.operate(next, worker).await });
        }
    }

    async fn operate(&self, next: Next<Request>, worker: Option<Worker>) {
        let Next { job: request, hooks } = next;
        let begun = Instant::now();
        let (finished, worker) = self.run(&request, worker).await;
        let keep = match worker {
            Some(worker) if finished.reusable => Some(worker),
            Some(worker) => {
                worker.kill().await;
                None
            }
            None => None,
        };
        let outcome = Outcome {
            id: request.id,
            action: request.action,
            release: request.release.clone(),
            expected_revision: request.expected_revision,
            duration: u64::try_from(finished.duration_millis)
                .ok()
                .filter(|ms| *ms > 0)
                .map_or_else(|| begun.elapsed(), Duration::from_millis),
            result: finished.result,
            hooks: finished.hooks,
            checks: finished.checks,
        };
        {
            let mut state = self.0.state.lock();
            state.active.remove(&request.release);
            state.queue.done(hooks);
            state.busy -= 1;
            if let (Some(worker), false) = (keep, state.closed) {
                state.idle.push((worker, Instant::now()));
            }
        }
        let _ = self.0.events.send(Event::Finished(outcome));
        self.0.drained.notify_waiters();
        self.dispatch();
    }

    async fn run(&self, request: &Request, worker: Option<Worker>) -> (Finished, Option<Worker>) {
        let mut worker = match worker {
            Some(worker) => worker,
            None => match self.start().await {
                Ok(worker) => worker,
                Err(error) => return (not_started(&error), None),
            },
        };
        let permit: Permit = self.0.permit.subscribe();
        let progress = |stage: &str, hooks: Option<i64>| {
            let _ = self.0.events.send(Event::Progress {
                release: request.release.clone(),
                stage: stage.to_owned(),
                hooks,
            });
        };
        let finished = worker.run(request, permit, progress).await;
        (finished, Some(worker))
    }

    async fn start(&self) -> std::io::Result<Worker> {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        Worker::start(&self.0.config).await
    }
}

fn not_started(error: &std::io::Error) -> Finished {
    let message = format!("the Helm worker cannot be started: {error}");
    let error = WorkerError { class: ErrorClass::Unreachable, message, details: vec![] };
    Finished { result: Err(error), hooks: 0, checks: 0, duration_millis: 0, reusable: false }
}
