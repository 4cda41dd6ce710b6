//! Who is looked at when: a queue for each kind, at most one look at an object at a time, each in a task of its own, so that
//! all processors work and a look that panics ends nobody else's.

use odoofleet_core::error::chain;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use odoofleet_core::fleet::Affected;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::metrics::Metrics;

/// First pause after an error; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after an error.
const LAST_PAUSE: Duration = Duration::from_mins(5);
/// A timer holds no more; whoever is to be looked at later is looked at once in between.
const LONGEST_TIMER: Duration = Duration::from_hours(24 * 300);

/// Asks for looks. Asking twice is as good as once.
#[derive(Clone)]
pub struct Asking {
    environments: UnboundedSender<String>,
    customers: UnboundedSender<String>,
    templates: UnboundedSender<String>,
    charts: Arc<Notify>,
}

/// The queues' other ends.
pub struct Queues {
    /// Environments to look at.
    pub environments: UnboundedReceiver<String>,
    /// Customers to look at.
    pub customers: UnboundedReceiver<String>,
    /// Templates to look at.
    pub templates: UnboundedReceiver<String>,
    /// Archives of charts may be of no more use.
    pub charts: Arc<Notify>,
}

impl Asking {
    /// Empty queues.
    pub fn new() -> (Self, Queues) {
        let (environments, environments_end) = unbounded_channel();
        let (customers, customers_end) = unbounded_channel();
        let (templates, templates_end) = unbounded_channel();
        let charts = Arc::new(Notify::new());
        let queues = Queues {
            environments: environments_end,
            customers: customers_end,
            templates: templates_end,
            charts: Arc::clone(&charts),
        };
        (Self { environments, customers, templates, charts }, queues)
    }

    /// Asks for looks at all who are affected.
    pub fn affected(&self, affected: Affected) {
        // A closed queue means that the operator is ending.
        let send = |queue: &UnboundedSender<String>, names: std::collections::BTreeSet<String>| {
            for name in names {
                drop(queue.send(name));
            }
        };
        send(&self.environments, affected.environments);
        send(&self.customers, affected.customers);
        send(&self.templates, affected.templates);
        if affected.charts {
            self.charts.notify_one();
        }
    }
}

/// How a controller works through its queue.
pub struct Drive {
    /// Name of the controller, in logs and metrics.
    pub name: &'static str,
    /// Looks at once.
    pub concurrency: usize,
    /// The same object is not looked at again within this time: whatever asks meanwhile is answered by one look.
    pub rest: Duration,
}

/// What one object waits for.
enum State {
    /// Its turn.
    Ready,
    /// The end of its look; the flag says that somebody has asked meanwhile.
    Looking(bool),
    /// A moment.
    Resting {
        /// Its timer.
        timer: Key,
        /// Whoever asks earlier is answered then.
        rested: Instant,
        /// Whether a look is due when the timer ends; else it only ends the rest.
        due: bool,
    },
}

/// Looks at whoever the queue names, until the queue is closed. A look answers when the next one is due by itself; one that
/// fails is repeated after a growing pause. What a person must mend is told in a status and is no error.
pub async fn drive<E, Fut>(
    how: Drive,
    metrics: Arc<Metrics>,
    mut queue: UnboundedReceiver<String>,
    look: impl Fn(String) -> Fut,
) where
    E: std::error::Error + Send + 'static,
    Fut: Future<Output = Result<Option<Timestamp>, E>> + Send + 'static,
{
    let mut looks = Looks::new(how, metrics);
    loop {
        while looks.running.len() < looks.how.concurrency
            && let Some(name) = looks.ready.pop_front()
        {
            looks.begin(name, &look);
        }
        tokio::select! {
            asked = queue.recv() => match asked {
                Some(name) => looks.ask(name),
                None => return,
            },
            Some(due) = looks.timers.next(), if !looks.timers.is_empty() => {
                looks.wake(due.into_inner());
            }
            Some(ended) = looks.running.join_next_with_id(), if !looks.running.is_empty() => looks.end(ended),
        }
    }
}

/// What became of one look.
type Ended<E> = Result<(Id, (Duration, Result<Option<Timestamp>, E>)), JoinError>;

struct Looks<E> {
    how: Drive,
    metrics: Arc<Metrics>,
    states: HashMap<String, State>,
    ready: VecDeque<String>,
    timers: DelayQueue<String>,
    running: JoinSet<(Duration, Result<Option<Timestamp>, E>)>,
    names: HashMap<Id, String>,
    failures: HashMap<String, u32>,
}

impl<E: std::error::Error + Send + 'static> Looks<E> {
    fn new(how: Drive, metrics: Arc<Metrics>) -> Self {
        Self {
            how,
            metrics,
            states: HashMap::new(),
            ready: VecDeque::new(),
            timers: DelayQueue::new(),
            running: JoinSet::new(),
            names: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    fn ask(&mut self, name: String) {
        match self.states.get_mut(&name) {
            Some(State::Ready) => return,
            Some(State::Looking(again)) => {
                *again = true;
                return;
            }
            Some(State::Resting { timer, rested, due }) => {
                if *rested > Instant::now() {
                    self.timers.reset_at(timer, *rested);
                    *due = true;
                    return;
                }
                self.timers.remove(timer);
            }
            None => {}
        }
        self.states.insert(name.clone(), State::Ready);
        self.ready.push_back(name);
    }

    /// Its timer has ended.
    fn wake(&mut self, name: String) {
        if let Some(State::Resting { due: true, .. }) = self.states.remove(&name) {
            self.ask(name);
        }
    }

    fn begin<Fut>(&mut self, name: String, look: &impl Fn(String) -> Fut)
    where
        Fut: Future<Output = Result<Option<Timestamp>, E>> + Send + 'static,
    {
        self.states.insert(name.clone(), State::Looking(false));
        let (begun, work) = (Instant::now(), look(name.clone()));
        let task = self.running.spawn(async move {
            let result = work.await;
            (begun.elapsed(), result)
        });
        self.names.insert(task.id(), name);
    }

    fn end(&mut self, ended: Ended<E>) {
        let (id, outcome) = match ended {
            Ok((id, (took, result))) => (id, Ok((took, result))),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(name) = self.names.remove(&id) else { return };
        let again = matches!(self.states.remove(&name), Some(State::Looking(true)));
        let next = match outcome {
            Ok((took, Ok(wake_at))) => {
                self.metrics.reconciled(self.how.name, "success", took);
                self.failures.remove(&name);
                let wake = wake_at.map(|wake_at| until(wake_at, Timestamp::now()));
                if again { Some(Duration::ZERO) } else { wake }
            }
            Ok((took, Err(error))) => {
                self.metrics.reconciled(self.how.name, "error", took);
                let pause = self.failed(&name, &chain(&error));
                Some(if again { pause.min(FIRST_PAUSE) } else { pause })
            }
            Err(panic) => {
                self.metrics.reconciled(self.how.name, "error", Duration::ZERO);
                let pause = self.failed(&name, &format!("the look ended by itself: {panic}"));
                Some(if again { pause.min(FIRST_PAUSE) } else { pause })
            }
        };
        let rest = self.how.rest;
        match next {
            Some(Duration::ZERO) if rest.is_zero() => self.ask(name),
            None if rest.is_zero() => {}
            next => {
                let timer =
                    self.timers.insert(name.clone(), next.map_or(rest, |next| next.max(rest)).min(LONGEST_TIMER));
                self.states.insert(name, State::Resting { timer, rested: Instant::now() + rest, due: next.is_some() });
            }
        }
    }

    /// Counts a failure, and says how long to wait. Up to a quarter longer, so that those who failed together do not return
    /// together.
    fn failed(&mut self, name: &str, error: &str) -> Duration {
        let count = self.failures.entry(name.to_owned()).or_default();
        let pause = (FIRST_PAUSE * 2_u32.pow((*count).min(12))).min(LAST_PAUSE);
        *count += 1;
        let pause = pause + pause.mul_f64(rand::random_range(0.0..0.25));
        tracing::warn!(controller = self.how.name, object = name, error, ?pause, "a look failed; it is tried again");
        pause
    }
}

/// How long it is until a moment has certainly come.
fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default() + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the API server does not answer")]
    struct Refused;

    type Answer = Result<Option<Timestamp>, Refused>;

    /// Looks that are written down with the moment when they began, in milliseconds of a clock that does not wait.
    struct Lab {
        begun: Arc<Mutex<Vec<(String, u128)>>>,
        asks: UnboundedSender<String>,
        driving: tokio::task::JoinHandle<()>,
    }

    impl Lab {
        fn new<Fut>(concurrency: usize, rest: u64, look: impl Fn(String, usize) -> Fut + Send + 'static) -> Self
        where
            Fut: Future<Output = Answer> + Send + 'static,
        {
            let (asks, queue) = unbounded_channel();
            let begun: Arc<Mutex<Vec<(String, u128)>>> = Arc::default();
            let (written, start) = (Arc::clone(&begun), Instant::now());
            let how = Drive { name: "test", concurrency, rest: Duration::from_millis(rest) };
            let noted = move |name: String| {
                let mut all = written.lock().unwrap();
                all.push((name.clone(), start.elapsed().as_millis()));
                look(name, all.len())
            };
            let driving = tokio::spawn(async move { drive(how, Metrics::of_nothing().0, queue, noted).await });
            Self { begun, asks, driving }
        }

        fn ask(&self, names: &[&str]) {
            for name in names {
                self.asks.send((*name).to_owned()).unwrap();
            }
        }

        async fn after(&self, millis: u64) -> Vec<(String, u128)> {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            self.begun.lock().unwrap().clone()
        }

        async fn times(&self, millis: u64) -> Vec<u128> {
            self.after(millis).await.into_iter().map(|(_, at)| at).collect()
        }
    }

    async fn busy(millis: u64) -> Answer {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(None)
    }

    #[tokio::test(start_paused = true)]
    async fn asks_during_a_look_make_one_more_look_after_it() {
        let lab = Lab::new(4, 0, |_, _| busy(100));
        lab.ask(&["a", "a", "a"]);
        assert_eq!(lab.times(50).await, [0], "never two at once");
        lab.ask(&["a", "a", "a"]);
        assert_eq!(lab.times(1000).await, [0, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_look_keeps_nobody_else_waiting_while_there_is_room() {
        let lab = Lab::new(2, 0, |name, _| busy(if name == "long" { 10_000 } else { 10 }));
        lab.ask(&["long", "a", "b"]);
        let begun = lab.after(100).await;
        assert_eq!(begun, [("long".into(), 0), ("a".into(), 0), ("b".into(), 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_panics_ends_nobody_elses_and_is_tried_again() {
        let lab = Lab::new(2, 0, |name, number| async move {
            assert!(name != "broken" || number > 1, "a fault of ours");
            Ok(None)
        });
        lab.ask(&["broken"]);
        lab.after(1).await;
        lab.ask(&["fine"]);
        let begun = lab.after(2000).await;
        let names: Vec<&str> = begun.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["broken", "fine", "broken"]);
        assert!((500..=625).contains(&begun[2].1), "{begun:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_look_succeeds() {
        let lab = Lab::new(1, 0, |_, number| async move { if number == 4 { Ok(None) } else { Err(Refused) } });
        lab.ask(&["a"]);
        let times = lab.times(20_000).await;
        let pauses: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let rows = [500..=626, 1000..=1251, 2000..=2501_u128];
        assert_eq!(pauses.len(), rows.len(), "{times:?}");
        assert!(pauses.iter().zip(&rows).all(|(pause, row)| row.contains(pause)), "{pauses:?}");
        lab.ask(&["a"]);
        let again = lab.times(1000).await;
        assert!((500..=626).contains(&(again[5] - again[4])), "it begins with the shortest again: {again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_during_a_look_that_fails_does_not_wait_out_a_long_pause() {
        let lab = Lab::new(1, 0, |_, _| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(Refused)
        });
        lab.ask(&["a"]);
        while lab.after(10).await.len() < 4 {}
        // The pause after the fourth is at least four seconds.
        let before = lab.after(200).await.len();
        lab.ask(&["a"]);
        lab.after(50).await;
        lab.ask(&["a"]);
        assert_eq!(lab.after(700).await.len(), before + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ask_does_not_wait_for_the_moment_that_was_due() {
        let lab = Lab::new(1, 0, |_, _| async { Ok(Some(Timestamp::now() + Duration::from_hours(1))) });
        lab.ask(&["a"]);
        assert_eq!(lab.times(1000).await, [0]);
        lab.ask(&["a"]);
        assert_eq!(lab.times(1000).await, [0, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_in_years_needs_no_longer_timer() {
        let lab = Lab::new(1, 0, |_, _| async { Ok(Some(Timestamp::now() + Duration::from_hours(24 * 4000))) });
        lab.ask(&["a"]);
        assert_eq!(lab.after(1000).await.len(), 1);
        assert_eq!(lab.after(24 * 301 * 3_600_000).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_asks_within_a_rest_are_answered_by_one_look_at_its_end() {
        let lab = Lab::new(1, 500, |_, _| async { Ok(None) });
        lab.ask(&["a"]);
        for _ in 0..100 {
            lab.after(1).await;
            lab.ask(&["a"]);
        }
        let times = lab.times(3000).await;
        assert_eq!(times.len(), 2, "and none when nobody asks: {times:?}");
        assert!((500..=502).contains(&times[1]), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_ends_with_the_queue() {
        let Lab { asks, driving, .. } = Lab::new(1, 0, |_, _| async { Ok(None) });
        drop(asks);
        driving.await.unwrap();
    }
}
