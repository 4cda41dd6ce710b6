//! Who is next: three lanes, customers by turns in each, and never too many operations with hooks at once.

use std::collections::VecDeque;

/// Priority of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A person waits for it.
    Person,
    /// A rollout brought it.
    Rollout,
    /// It only looks: render and diff.
    Probe,
}

/// How an operation waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its lane.
    pub lane: Lane,
    /// Whose it is. Within a lane the turns go round by it, so that one customer's many do not delay another's first.
    pub tenant: String,
    /// Whether it may run hooks.
    pub hooks: bool,
}

/// Workers that operations with hooks leave free: a hook may take minutes, and somebody else's start must not wait for it.
const KEPT_FROM_HOOKS: usize = 2;

/// The waiting operations, and how many of which sort run.
#[derive(Debug)]
pub struct Queue<T> {
    workers: usize,
    person: Waiting<T>,
    rollout: Waiting<T>,
    probe: Waiting<T>,
    running: usize,
    hooks_running: usize,
    probes_running: usize,
}

/// A job that has its turn. [`Queue::done`] wants the place back.
#[derive(Debug, PartialEq, Eq)]
pub struct Next<T> {
    /// The job.
    pub job: T,
    /// What it occupies.
    pub place: Place,
}

/// What a running job occupies beside a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    hooks: bool,
    probe: bool,
}

impl<T> Queue<T> {
    /// An empty queue for so many workers.
    pub const fn new(workers: usize) -> Self {
        Self {
            workers,
            person: Waiting::new(),
            rollout: Waiting::new(),
            probe: Waiting::new(),
            running: 0,
            hooks_running: 0,
            probes_running: 0,
        }
    }

    /// Adds a job.
    pub fn push(&mut self, turn: Turn, job: T) {
        let lane = match turn.lane {
            Lane::Person => &mut self.person,
            Lane::Rollout => &mut self.rollout,
            Lane::Probe => &mut self.probe,
        };
        lane.push(turn.tenant, turn.hooks, job);
    }

    /// Takes the next job that may run, if there is one and a worker for it.
    pub fn pop(&mut self) -> Option<Next<T>> {
        if self.running >= self.workers {
            return None;
        }
        let hooks_allowed = self.hooks_running < self.workers.saturating_sub(KEPT_FROM_HOOKS).max(1);
        let rollout = |queue: &mut Self| if queue.rollout_allowed() { queue.rollout.pop(hooks_allowed) } else { None };
        let found = self.person.pop(hooks_allowed).or_else(|| rollout(self));
        let (job, place) = match found {
            Some((job, hooks)) => (job, Place { hooks, probe: false }),
            None if self.probe_allowed() => {
                let (job, hooks) = self.probe.pop(hooks_allowed)?;
                (job, Place { hooks, probe: true })
            }
            None => return None,
        };
        self.running += 1;
        self.hooks_running += usize::from(place.hooks);
        self.probes_running += usize::from(place.probe);
        Some(Next { job, place })
    }

    /// A rollout leaves a worker to people: its operations are as long as theirs, and there may be hundreds.
    const fn rollout_allowed(&self) -> bool {
        self.workers == 1 || self.running + 1 < self.workers
    }

    /// A second probe runs only while nobody else does, and none takes the last worker from who may come.
    const fn probe_allowed(&self) -> bool {
        let idle_otherwise = self.running == self.probes_running && self.running + 1 < self.workers;
        self.probes_running == 0 || idle_otherwise
    }

    /// Notes the end of a job.
    pub fn done(&mut self, place: Place) {
        self.running -= 1;
        self.hooks_running -= usize::from(place.hooks);
        self.probes_running -= usize::from(place.probe);
    }

    /// Takes out a waiting job.
    pub fn remove(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        [&mut self.person, &mut self.rollout, &mut self.probe].into_iter().find_map(|lane| lane.remove(&wanted))
    }

    /// Number of jobs that run.
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Number of waiting jobs.
    pub fn len(&self) -> usize {
        [&self.person, &self.rollout, &self.probe]
            .iter()
            .flat_map(|lane| &lane.tenants)
            .map(|tenant| tenant.jobs.len())
            .sum()
    }

    /// Takes all waiting jobs.
    pub fn drain(&mut self) -> Vec<T> {
        let lanes = [&mut self.person, &mut self.rollout, &mut self.probe];
        lanes
            .into_iter()
            .flat_map(|lane| lane.tenants.drain(..))
            .flat_map(|tenant| tenant.jobs)
            .map(|(job, _)| job)
            .collect()
    }
}

/// The jobs of one lane. Who is in front has the next turn; none of the tenants is without a job.
#[derive(Debug)]
struct Waiting<T> {
    tenants: VecDeque<Tenant<T>>,
}

#[derive(Debug)]
struct Tenant<T> {
    name: String,
    /// Each with whether it has hooks.
    jobs: VecDeque<(T, bool)>,
}

impl<T> Waiting<T> {
    const fn new() -> Self {
        Self { tenants: VecDeque::new() }
    }

    fn push(&mut self, tenant: String, hooks: bool, job: T) {
        match self.tenants.iter_mut().find(|one| one.name == tenant) {
            Some(one) => one.jobs.push_back((job, hooks)),
            None => self.tenants.push_back(Tenant { name: tenant, jobs: VecDeque::from([(job, hooks)]) }),
        }
    }

    /// Whoever has nothing that may run now keeps the place in the row.
    fn pop(&mut self, hooks_allowed: bool) -> Option<(T, bool)> {
        let may_run = |(_, hooks): &(T, bool)| hooks_allowed || !hooks;
        for index in 0..self.tenants.len() {
            let Some(position) = self.tenants.get(index)?.jobs.iter().position(may_run) else { continue };
            let mut tenant = self.tenants.remove(index)?;
            let job = tenant.jobs.remove(position);
            if !tenant.jobs.is_empty() {
                self.tenants.push_back(tenant);
            }
            return job;
        }
        None
    }

    fn remove(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        for index in 0..self.tenants.len() {
            let tenant = self.tenants.get_mut(index)?;
            let Some(position) = tenant.jobs.iter().position(|(job, _)| wanted(job)) else { continue };
            let found = tenant.jobs.remove(position);
            if tenant.jobs.is_empty() {
                self.tenants.remove(index);
            }
            return found.map(|(job, _)| job);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Lane = Lane::Person;
    const ROLLOUT: Lane = Lane::Rollout;
    const PROBE: Lane = Lane::Probe;

    fn queue(workers: usize, jobs: &[(Lane, &'static str, bool, &'static str)]) -> Queue<&'static str> {
        let mut queue = Queue::new(workers);
        for (lane, tenant, hooks, job) in jobs {
            queue.push(Turn { lane: *lane, tenant: (*tenant).to_owned(), hooks: *hooks }, *job);
        }
        queue
    }

    /// What runs one after the other, on one worker.
    fn order(jobs: &[(Lane, &'static str, bool, &'static str)]) -> Vec<&'static str> {
        let mut queue = queue(1, jobs);
        std::iter::from_fn(|| {
            let next = queue.pop()?;
            queue.done(next.place);
            Some(next.job)
        })
        .collect()
    }

    /// What runs at once.
    fn started(queue: &mut Queue<&'static str>) -> Vec<Next<&'static str>> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn jobs(started: &[Next<&'static str>]) -> Vec<&'static str> {
        started.iter().map(|next| next.job).collect()
    }

    #[test]
    fn a_person_goes_before_a_rollout_and_a_probe_goes_last() {
        let waiting = [
            (PROBE, "a", false, "look"),
            (ROLLOUT, "a", false, "r1"),
            (PERSON, "a", false, "p1"),
            (ROLLOUT, "a", false, "r2"),
        ];
        assert_eq!(order(&waiting), ["p1", "r1", "r2", "look"]);
    }

    #[test]
    fn turns_go_round_by_customer() {
        for (waiting, expected) in [
            (
                vec![
                    (ROLLOUT, "a", false, "a1"),
                    (ROLLOUT, "a", false, "a2"),
                    (ROLLOUT, "a", false, "a3"),
                    (ROLLOUT, "b", false, "b1"),
                ],
                vec!["a1", "b1", "a2", "a3"],
            ),
            (
                vec![
                    (PERSON, "a", false, "a1"),
                    (PERSON, "b", false, "b1"),
                    (PERSON, "a", false, "a2"),
                    (PERSON, "b", false, "b2"),
                    (PERSON, "c", false, "c1"),
                ],
                vec!["a1", "b1", "c1", "a2", "b2"],
            ),
            // A customer's turn in one lane costs it none in another.
            (
                vec![(PERSON, "a", false, "p1"), (ROLLOUT, "a", false, "r1"), (ROLLOUT, "b", false, "r2")],
                vec!["p1", "r1", "r2"],
            ),
        ] {
            assert_eq!(order(&waiting), expected);
        }
    }

    #[test]
    fn a_hundred_operations_of_one_customer_delay_anothers_first_by_one() {
        let mut queue = Queue::new(1);
        let turn = |tenant: &str| Turn { lane: ROLLOUT, tenant: tenant.to_owned(), hooks: false };
        for number in 0..100 {
            queue.push(turn("many"), number);
        }
        let first = queue.pop().unwrap();
        queue.push(turn("one"), 1000);
        queue.done(first.place);
        let second = queue.pop().unwrap();
        queue.done(second.place);
        assert_eq!((second.job, queue.pop().unwrap().job), (1, 1000));
    }

    #[test]
    fn hooks_never_take_the_last_two_workers() {
        for (workers, expected) in
            [(1, vec!["h1"]), (2, vec!["h1", "plain"]), (3, vec!["h1", "plain"]), (4, vec!["h1", "h2", "plain"])]
        {
            let waiting = [
                (PERSON, "a", true, "h1"),
                (PERSON, "b", true, "h2"),
                (PERSON, "b", true, "h3"),
                (PERSON, "a", false, "plain"),
            ];
            let mut queue = queue(workers, &waiting);
            assert_eq!(jobs(&started(&mut queue)), expected, "{workers} workers");
        }
    }

    #[test]
    fn a_rollout_leaves_a_worker_to_people() {
        for (workers, expected) in [(1, vec!["r1"]), (2, vec!["r1"]), (4, vec!["r1", "r2", "r3"])] {
            let rollout = ["r1", "r2", "r3", "r4", "r5"].map(|job| (ROLLOUT, "a", false, job));
            let mut queue = queue(workers, &rollout);
            assert_eq!(jobs(&started(&mut queue)), expected, "{workers} workers");
            queue.push(Turn { lane: PERSON, tenant: "b".to_owned(), hooks: false }, "p");
            let next = jobs(&started(&mut queue));
            assert_eq!(next, if workers == 1 { vec![] } else { vec!["p"] }, "{workers} workers");
        }
    }

    #[test]
    fn hooks_that_end_let_the_next_hooks_in() {
        let mut queue = queue(3, &[(PERSON, "a", true, "h1"), (PERSON, "a", true, "h2")]);
        let running = started(&mut queue);
        assert_eq!(jobs(&running), ["h1"]);
        queue.done(running[0].place);
        assert_eq!(jobs(&started(&mut queue)), ["h2"]);
    }

    #[test]
    fn waiting_for_hooks_costs_no_turn() {
        let mut queue = queue(
            3,
            &[
                (PERSON, "b", true, "h1"),
                (PERSON, "a", true, "a-h"),
                (PERSON, "b", false, "b1"),
                (PERSON, "b", false, "b2"),
            ],
        );
        let running = started(&mut queue);
        assert_eq!(jobs(&running), ["h1", "b1", "b2"], "only who has no hooks goes on");
        queue.done(running[0].place);
        assert_eq!(jobs(&started(&mut queue)), ["a-h"]);
    }

    #[test]
    fn probes_take_one_worker_unless_the_others_are_idle() {
        let probes = [
            (PROBE, "a", false, "l1"),
            (PROBE, "b", false, "l2"),
            (PROBE, "c", false, "l3"),
            (PROBE, "d", false, "l4"),
        ];
        for (workers, others, expected) in [
            (1, 0, vec!["l1"]),
            (2, 0, vec!["l1"]),
            (4, 0, vec!["l1", "l2", "l3"]),
            (4, 1, vec!["p", "l1"]),
            (4, 2, vec!["p", "p", "l1"]),
            (4, 4, vec!["p", "p", "p", "p"]),
        ] {
            let mut queue = queue(workers, &probes);
            for _ in 0..others {
                queue.push(Turn { lane: PERSON, tenant: "x".into(), hooks: false }, "p");
            }
            assert_eq!(jobs(&started(&mut queue)), expected, "{workers} workers, {others} other jobs");
        }
    }

    #[test]
    fn a_person_never_waits_for_probes_that_came_before() {
        let mut queue = queue(3, &[(PROBE, "a", false, "l1"), (PROBE, "a", false, "l2"), (PROBE, "a", false, "l3")]);
        assert_eq!(started(&mut queue).len(), 2);
        queue.push(Turn { lane: PERSON, tenant: "b".into(), hooks: false }, "p");
        assert_eq!(jobs(&started(&mut queue)), ["p"]);
    }

    #[test]
    fn what_is_taken_out_never_runs() {
        let mut queue = queue(1, &[(ROLLOUT, "a", false, "a1"), (ROLLOUT, "b", false, "b1")]);
        assert_eq!(queue.remove(|job| *job == "a1"), Some("a1"));
        assert_eq!((queue.remove(|job| *job == "a1"), queue.len()), (None, 1));
        assert_eq!(jobs(&started(&mut queue)), ["b1"]);
    }

    #[test]
    fn draining_leaves_nothing() {
        let mut queue = queue(1, &[(PROBE, "a", false, "l1"), (PERSON, "b", false, "p1"), (PERSON, "b", false, "p2")]);
        assert_eq!((queue.drain(), queue.len()), (vec!["p1", "p2", "l1"], 0));
    }
}
