//! Who is next: two lanes, and never too many operations with hooks at once.

use std::collections::VecDeque;

/// Priority of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A person waits for it.
    Person,
    /// A rollout brought it.
    Rollout,
}

/// Workers that operations with hooks leave free: a hook may take minutes, and somebody else's start must not wait for it.
const KEPT_FROM_HOOKS: usize = 2;

/// The waiting operations.
#[derive(Debug)]
pub struct Queue<T> {
    person: VecDeque<Waiting<T>>,
    rollout: VecDeque<Waiting<T>>,
    hooks_running: usize,
    workers: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    job: T,
    hooks: bool,
}

/// A job to run. Whether it has hooks must be told to [`Queue::done`].
#[derive(Debug, PartialEq, Eq)]
pub struct Next<T> {
    /// The job.
    pub job: T,
    /// Whether it has hooks.
    pub hooks: bool,
}

impl<T> Queue<T> {
    /// An empty queue for so many workers.
    pub const fn new(workers: usize) -> Self {
        Self { person: VecDeque::new(), rollout: VecDeque::new(), hooks_running: 0, workers }
    }

    /// Adds a job.
    pub fn push(&mut self, lane: Lane, hooks: bool, job: T) {
        let queue = match lane {
            Lane::Person => &mut self.person,
            Lane::Rollout => &mut self.rollout,
        };
        queue.push_back(Waiting { job, hooks });
    }

    /// Takes the next job that may run.
    pub fn pop(&mut self) -> Option<Next<T>> {
        let hooks_allowed = self.hooks_running < self.workers.saturating_sub(KEPT_FROM_HOOKS).max(1);
        for queue in [&mut self.person, &mut self.rollout] {
            let position = queue.iter().position(|waiting| hooks_allowed || !waiting.hooks);
            if let Some(Waiting { job, hooks }) = position.and_then(|position| queue.remove(position)) {
                self.hooks_running += usize::from(hooks);
                return Some(Next { job, hooks });
            }
        }
        None
    }

    /// Notes the end of a job.
    pub const fn done(&mut self, hooks: bool) {
        if hooks {
            self.hooks_running = self.hooks_running.saturating_sub(1);
        }
    }

    /// Number of waiting jobs.
    pub fn len(&self) -> usize {
        self.person.len() + self.rollout.len()
    }

    /// Takes all waiting jobs.
    pub fn drain(&mut self) -> Vec<T> {
        self.person.drain(..).chain(self.rollout.drain(..)).map(|waiting| waiting.job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_goes_before_a_rollout() {
        let mut queue = Queue::new(4);
        queue.push(Lane::Rollout, false, "r1");
        queue.push(Lane::Person, false, "p1");
        queue.push(Lane::Rollout, false, "r2");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|next| next.job).collect();
        assert_eq!(order, ["p1", "r1", "r2"]);
    }

    #[test]
    fn hooks_never_take_the_last_two_workers() {
        let mut queue = Queue::new(4);
        for job in ["h1", "h2", "h3"] {
            queue.push(Lane::Person, true, job);
        }
        queue.push(Lane::Rollout, false, "plain");
        let started: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|next| next.job).collect();
        assert_eq!(started, ["h1", "h2", "plain"]);
        queue.done(true);
        assert_eq!(queue.pop(), Some(Next { job: "h3", hooks: true }));
        let mut single = Queue::new(1);
        single.push(Lane::Person, true, "only");
        assert!(single.pop().is_some(), "a pool of one still runs hooks");
    }
}
