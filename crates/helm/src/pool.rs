//! The pool: at most so many workers, each started when there is work and ended when there was none for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::protocol::{Action, Command, ErrorClass, Hooks, Request, Seen, Stage, Success, WorkerError};
use crate::queue::{Lane, Next, Queue, Turn};
use crate::worker::{Worker, WorkerConfig};

/// Says what is known of a release's objects.
pub type Observe = Arc<dyn Fn(&str) -> Option<Seen> + Send + Sync>;

/// How the pool keeps workers.
#[derive(Clone)]
pub struct PoolConfig {
    /// How one is started.
    pub worker: WorkerConfig,
    /// Most workers at once.
    pub size: usize,
    /// A worker without work for so long is ended.
    pub idle: Duration,
    /// Asked when a worker begins an upgrade: an operation can wait for long, and objects are touched meanwhile.
    pub observe: Observe,
}

/// What the pool tells.
#[derive(Debug)]
pub enum Event {
    /// A worker begins an operation: its time runs from now.
    Started {
        /// Release.
        release: String,
        /// Operation.
        id: String,
    },
    /// A stage was reached.
    Progress {
        /// Release.
        release: String,
        /// Operation.
        id: String,
        /// Stage.
        stage: Stage,
        /// Hooks of the chart, once they are known.
        hooks: Option<Hooks>,
    },
    /// An operation is over, and nobody writes for it any more. [`Pool::taken`] ends it.
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
    pub result: Result<Success, WorkerError>,
    /// How long a worker was at it.
    pub duration: Duration,
}

/// Whether an operation was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It waits or runs.
    Accepted,
    /// The pool has another operation of the same release.
    Busy,
    /// The pool is shutting down.
    Closed,
}

/// The operation of a release that the pool has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// Operation.
    pub id: String,
    /// How far it is.
    pub stage: TaskStage,
    /// The lane in which it waited.
    pub lane: Lane,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStage {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It is over, and its report not yet taken.
    Reported,
}

/// A pool of workers. It has at most one operation of a release at any time: from [`Pool::submit`] on until its report is
/// taken, so that nobody who looks in between finds it gone without a word.
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
    /// By release.
    tasks: HashMap<String, TaskState>,
    /// Warm workers, the one used last on top: so that the others can fall asleep.
    idle: Vec<(Worker, Instant)>,
    closed: bool,
}

impl State {
    fn advance(&mut self, release: &str, stage: TaskStage) {
        if let Some(task) = self.tasks.get_mut(release) {
            task.stage = stage;
        }
    }

    fn is(&self, release: &str, id: &str, stage: TaskStage) -> bool {
        self.tasks.get(release).is_some_and(|task| task.id == id && task.stage == stage)
    }
}

impl Pool {
    /// A pool without workers, and the stream of what happens in it.
    pub fn new(config: PoolConfig) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let state = State { queue: Queue::new(config.size), tasks: HashMap::new(), idle: Vec::new(), closed: false };
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
    pub fn submit(&self, request: Request, turn: Turn) -> Submitted {
        {
            let mut state = self.0.state.lock();
            if state.closed {
                return Submitted::Closed;
            }
            if state.tasks.contains_key(&request.release) {
                return Submitted::Busy;
            }
            let task = TaskState { id: request.id.clone(), stage: TaskStage::Queued, lane: turn.lane };
            state.tasks.insert(request.release.clone(), task);
            state.queue.push(turn, request);
        }
        self.dispatch();
        Submitted::Accepted
    }

    /// The operation of a release that the pool has.
    pub fn task(&self, release: &str) -> Option<TaskState> {
        self.0.state.lock().tasks.get(release).cloned()
    }

    /// Takes an operation out that no worker has begun: then it never happened, and no event tells of it. False if it is too
    /// late for that, or if there is none.
    pub fn cancel(&self, release: &str, id: &str) -> bool {
        let mut state = self.0.state.lock();
        let waits = state.is(release, id, TaskStage::Queued)
            && state.queue.remove(|request| request.release == release && request.id == id).is_some();
        if waits {
            state.tasks.remove(release);
        }
        waits
    }

    /// Says that the report of an operation is kept: the pool forgets it, and the release may have the next one.
    pub fn taken(&self, release: &str, id: &str) {
        let mut state = self.0.state.lock();
        if state.is(release, id, TaskStage::Reported) {
            state.tasks.remove(release);
        }
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
        state.queue.running() + state.idle.len()
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
                state.tasks.remove(&request.release);
            }
            waiting
        };
        tracing::info!(given_up = waiting.len(), "the pool finishes what runs");
        loop {
            let drained = self.0.drained.notified();
            if self.0.state.lock().queue.running() == 0 {
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
                let Some(next) = state.queue.pop() else { return };
                state.advance(&next.job.release, TaskStage::Running);
                (next, state.idle.pop().map(|(worker, _)| worker))
            };
            let pool = self.clone();
            tokio::spawn(async move { pool.operate(next, worker).await });
        }
    }

    async fn operate(&self, next: Next<Request>, worker: Option<Worker>) {
        let Next { job: mut request, place } = next;
        let begun = Instant::now();
        let (result, worker) = self.run(&mut request, worker).await;
        let duration = begun.elapsed();
        let keep = match worker {
            Some(worker) if worker.is_usable() => Some(worker),
            Some(worker) => {
                worker.kill().await;
                None
            }
            None => None,
        };
        {
            let mut state = self.0.state.lock();
            state.advance(&request.release, TaskStage::Reported);
            state.queue.done(place);
            if let (Some(worker), false) = (keep, state.closed) {
                state.idle.push((worker, Instant::now()));
            }
        }
        let action = request.command.action();
        let Request { id, release, expected_revision, .. } = request;
        let _ =
            self.0.events.send(Event::Finished(Outcome { id, action, release, expected_revision, result, duration }));
        self.0.drained.notify_waiters();
        self.dispatch();
    }

    async fn run(
        &self,
        request: &mut Request,
        worker: Option<Worker>,
    ) -> (Result<Success, WorkerError>, Option<Worker>) {
        let mut worker = match worker {
            Some(worker) => worker,
            None => match self.start().await {
                Ok(worker) => worker,
                Err(error) => {
                    let message = format!("the Helm worker cannot be started: {error}");
                    return (Err(WorkerError::new(ErrorClass::Unreachable, message)), None);
                }
            },
        };
        if let Command::Upgrade { seen, .. } = &mut request.command {
            *seen = (self.0.config.observe)(&request.release);
        }
        let request = &*request;
        let (release, id) = (&request.release, &request.id);
        let _ = self.0.events.send(Event::Started { release: release.clone(), id: id.clone() });
        let progress = |stage, hooks| {
            let _ = self.0.events.send(Event::Progress { release: release.clone(), id: id.clone(), stage, hooks });
        };
        let result = worker.run(request, self.0.permit.subscribe(), progress).await;
        (result, Some(worker))
    }

    async fn start(&self) -> std::io::Result<Worker> {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        Worker::start(&self.0.config.worker).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;

    const WORKER: &str = "worker.sh";

    /// A pool whose worker is `testdata/worker.sh`: here it is about the pool.
    struct Scene {
        pool: Pool,
        events: UnboundedReceiver<Event>,
        dir: tempfile::TempDir,
    }

    fn scene(program: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let program = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(program);
        let environment = vec![
            ("DIR".to_owned(), dir.path().display().to_string()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ];
        let worker = WorkerConfig { program, namespace: "odoo".into(), memory_limit: 0, environment };
        let (pool, events) =
            Pool::new(PoolConfig { worker, size: 1, idle: Duration::from_mins(1), observe: Arc::new(|_| None) });
        pool.permit(Some(Instant::now() + Duration::from_mins(1)));
        Scene { pool, events, dir }
    }

    impl Scene {
        fn submit(&self, release: &str, id: &str) -> Submitted {
            let request = Request {
                id: id.into(),
                release: release.into(),
                namespace: "odoo".into(),
                expected_revision: 1,
                revisions: vec![],
                timeout_seconds: 60,
                command: Command::Unlock,
            };
            self.pool.submit(request, Turn { lane: Lane::Person, tenant: "acme".into(), hooks: false })
        }

        fn file(&self, name: &str) {
            std::fs::write(self.dir.path().join(name), "").unwrap();
        }

        async fn next(&mut self) -> Event {
            tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap()
        }

        async fn finished(&mut self) -> Outcome {
            loop {
                if let Event::Finished(outcome) = self.next().await {
                    return outcome;
                }
            }
        }

        fn at(&self, release: &str) -> Option<TaskStage> {
            self.pool.task(release).map(|task| task.stage)
        }
    }

    #[tokio::test]
    async fn an_operation_is_there_until_its_report_is_taken() {
        let mut scene = scene(WORKER);
        assert_eq!(scene.submit("acme-prod", "1"), Submitted::Accepted);
        assert!(matches!(scene.next().await, Event::Started { release, id } if release == "acme-prod" && id == "1"));
        let Event::Progress { id, stage: reached, hooks, .. } = scene.next().await else { panic!("no progress") };
        assert_eq!((id.as_str(), reached.as_str(), hooks), ("1", "rendered", Some(Hooks { total: 2, upgrade: 1 })));
        assert_eq!(scene.at("acme-prod"), Some(TaskStage::Running));
        scene.pool.taken("acme-prod", "1");
        assert_eq!(scene.at("acme-prod"), Some(TaskStage::Running), "what runs cannot be taken");
        scene.file("go");
        let outcome = scene.finished().await;
        assert_eq!((outcome.action, outcome.result.unwrap().hooks.total), (Action::Unlock, 2));
        assert_eq!(
            scene.pool.task("acme-prod"),
            Some(TaskState { id: "1".into(), stage: TaskStage::Reported, lane: Lane::Person })
        );
        assert_eq!(scene.submit("acme-prod", "2"), Submitted::Busy);
        scene.pool.taken("acme-prod", "another");
        assert_eq!(scene.at("acme-prod"), Some(TaskStage::Reported));
        scene.pool.taken("acme-prod", "1");
        assert_eq!((scene.pool.task("acme-prod"), scene.submit("acme-prod", "2")), (None, Submitted::Accepted));
        scene.finished().await;
        assert_eq!(scene.pool.workers_started(), 1, "a warm worker is used again");
    }

    #[tokio::test]
    async fn only_what_no_worker_has_begun_is_cancelled() {
        let mut scene = scene(WORKER);
        scene.submit("runs", "1");
        scene.submit("waits", "2");
        assert_eq!((scene.at("runs"), scene.at("waits")), (Some(TaskStage::Running), Some(TaskStage::Queued)));
        assert!(!scene.pool.cancel("runs", "1"));
        assert!(!scene.pool.cancel("waits", "of another id"));
        assert!(scene.pool.cancel("waits", "2"));
        assert_eq!((scene.pool.task("waits"), scene.pool.queued()), (None, 0));
        scene.file("go");
        assert_eq!(scene.finished().await.id, "1");
        assert!(!scene.pool.cancel("runs", "1"), "what is over cannot be cancelled");
        assert_eq!(scene.submit("waits", "3"), Submitted::Accepted);
        assert!(matches!(scene.next().await, Event::Started { id, .. } if id == "3"), "the cancelled one never begins");
    }

    #[tokio::test]
    async fn draining_waits_for_workers_and_not_for_reports() {
        let mut scene = scene(WORKER);
        scene.submit("runs", "1");
        scene.submit("waits", "2");
        let pool = scene.pool.clone();
        let drained = tokio::spawn(async move { pool.drain().await });
        assert!(matches!(scene.next().await, Event::Started { .. }));
        assert!(!drained.is_finished());
        scene.file("go");
        tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap().unwrap();
        assert_eq!((scene.at("runs"), scene.at("waits")), (Some(TaskStage::Reported), None));
        assert_eq!((scene.submit("late", "3"), scene.pool.workers()), (Submitted::Closed, 0));
    }

    #[tokio::test]
    async fn a_worker_that_dies_is_told_and_replaced() {
        let mut scene = scene(WORKER);
        scene.file("die");
        for id in ["1", "2"] {
            scene.submit("acme-prod", id);
            let error = scene.finished().await.result.unwrap_err();
            assert_eq!(error.class, ErrorClass::Died);
            scene.pool.taken("acme-prod", id);
        }
        assert_eq!((scene.pool.workers_started(), scene.pool.workers()), (2, 0));
    }

    #[tokio::test]
    async fn a_worker_that_cannot_be_started_is_told() {
        let mut scene = scene("no-such-worker");
        scene.submit("acme-prod", "1");
        let Event::Finished(outcome) = scene.next().await else { panic!("it began") };
        assert_eq!(outcome.result.unwrap_err().class, ErrorClass::Unreachable);
        assert_eq!(scene.at("acme-prod"), Some(TaskStage::Reported));
    }

    #[tokio::test]
    async fn nothing_begins_without_the_lease() {
        let mut scene = scene(WORKER);
        scene.pool.permit(None);
        scene.submit("acme-prod", "1");
        assert_eq!(scene.finished().await.result.unwrap_err().class, ErrorClass::PermitExpired);
        assert_eq!(scene.pool.workers(), 1, "the worker has done nothing and stays");
    }
}
