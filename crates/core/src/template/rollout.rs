//! Who may move to a template's version now, why the rest waits, and when the next moment is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter::Peekable;

use jiff::Timestamp;
use odoofleet_api::environment::Stage;
use odoofleet_api::rollout::{RolloutMove, RolloutPhase, RolloutPlace, RolloutStatus, RolloutWave, WaitingReason};

use super::follower::Standing;
use super::followers::{Entry, Followers, Group};
use super::rules::Rules;
use crate::windows::Opening;

/// Failures that a status names.
pub const NAMED: usize = 20;

/// What decides how a rollout goes on.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The template's rules.
    pub rules: &'a Rules,
    /// How the rollout of this version stood.
    pub before: Option<&'a RolloutStatus>,
    /// The present time.
    pub now: Timestamp,
}

/// How a rollout goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// In a word.
    pub phase: RolloutPhase,
    /// The wave that moves, or is next.
    pub stage: Option<RolloutWave>,
    /// The last place that has had its turn.
    pub place: Option<RolloutPlace>,
    /// Who has its turn.
    pub moving: Vec<RolloutMove>,
    /// Where the version failed.
    pub failed: Vec<String>,
    /// Failures since the rollout began.
    pub failures: usize,
    /// Why the rest waits: how many, and until when.
    pub waiting: BTreeMap<WaitingReason, (usize, Option<Timestamp>)>,
    /// Those that wait for their customer's Staging or whose windows never open, and why: at most so many as a status names.
    pub stuck: Vec<String>,
    /// When it goes on by itself.
    pub next: Option<Timestamp>,
}

/// Why a wave does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// An earlier wave is not through.
    Before(RolloutWave),
    /// An earlier wave has to be well for a while.
    Soak(RolloutWave, Timestamp),
    /// Nobody has approved.
    Approval,
}

impl Followers {
    /// How the rollout goes on.
    pub fn plan(&self, turn: &Turn<'_>) -> RolloutPlan {
        let mut moving = self.kept(turn);
        let failed = self.failing(&moving, turn.before);
        let failures = count_failures(turn.before, &failed);
        let held = turn.rules.paused || turn.rules.is_held_by(failures);
        let mut place = turn.before.and_then(|before| before.place.clone());
        if !held {
            self.admit(turn, &mut place, &mut moving);
        }
        let mut tally = Tally::default();
        let gates = self.count_waiting(turn, place.as_ref(), &moving, held, &mut tally);
        let stage = self.current(&moving, &gates, &tally);
        let phase = self.phase(turn, (failures, failed.len()), &moving, &gates, &mut tally);
        let never = self.never.values().take(NAMED).map(|name| format!("\"{name}\" waits: {}", self.never_opens(name)));
        let stuck = tally.blocked.iter().cloned().chain(never).take(NAMED).collect();
        RolloutPlan {
            phase,
            stage: if phase == RolloutPhase::Complete { None } else { stage },
            place,
            moving,
            failed: failed.into_values().collect(),
            failures,
            waiting: tally.waiting,
            stuck,
            next: tally.next.filter(|_| !held),
        }
    }

    /// Who had its turn and keeps it.
    fn kept(&self, turn: &Turn<'_>) -> Vec<RolloutMove> {
        let keeps = |one: &&RolloutMove| {
            let Some(entry) = self.entry(&one.environment) else { return false };
            match entry.standing {
                Standing::Arriving => true,
                // Who has not begun when its window closes does not begin.
                Standing::Behind => entry.follower.ill || self.opening(entry, turn).is_open(),
                _ => false,
            }
        };
        turn.before.iter().flat_map(|before| &before.moving).filter(keeps).cloned().collect()
    }

    /// Where the version failed: in its operation, afterwards, or because what it is to hold is refused. It stays one of them until
    /// it has arrived.
    fn failing(&self, moving: &[RolloutMove], before: Option<&RolloutStatus>) -> BTreeMap<RolloutPlace, String> {
        let mut failed = self.failed.clone();
        for one in moving.iter().filter(|one| one.was_ill != Some(true)) {
            if let Some(Entry { place: Some(place), follower, .. }) = self.entry(&one.environment)
                && follower.ill
            {
                failed.insert(place.clone(), one.environment.clone());
            }
        }
        for name in before.iter().flat_map(|before| &before.failed) {
            if let Some(Entry { place: Some(place), standing: Standing::Behind | Standing::Arriving, .. }) =
                self.entry(name)
            {
                failed.insert(place.clone(), name.clone());
            }
        }
        failed
    }

    /// Gives turns, wave after wave, as far as gates, windows and numbers let it.
    fn admit(&self, turn: &Turn<'_>, place: &mut Option<RolloutPlace>, moving: &mut Vec<RolloutMove>) {
        let mut taken: HashSet<String> = moving.iter().map(|one| one.environment.clone()).collect();
        for (&wave, groups) in &self.waiting {
            match self.gate(wave, place.as_ref(), moving, turn) {
                None => {}
                Some(_) if has_begun(place.as_ref(), wave) => continue,
                Some(_) => break,
            }
            let rules = turn.rules.stage(wave);
            let mut free = rules.concurrent.saturating_sub(self.on_the_way(wave, moving));
            let open = groups.values().filter(|group| opening(group, wave, turn).is_open());
            let mut heads: Vec<_> = open.map(|group| group.places.iter().peekable()).collect();
            while free > 0 {
                let first = heads.iter_mut().filter_map(Peekable::peek).min().copied();
                let Some(first) = first else { break };
                for head in &mut heads {
                    head.next_if_eq(&first);
                }
                let Some((name, entry)) = self.at(first) else { continue };
                if taken.contains(name) || self.own_staging(entry, turn).is_some() {
                    continue;
                }
                free -= 1;
                taken.insert(name.clone());
                moving.push(RolloutMove { environment: name.clone(), was_ill: entry.follower.ill.then_some(true) });
                *place = std::mem::take(place).max(entry.place.clone());
            }
        }
    }

    /// How many of a wave are on the way. Those that were in error before, or are now, take nobody's place.
    fn on_the_way(&self, wave: RolloutWave, moving: &[RolloutMove]) -> usize {
        let waits = |one: &&RolloutMove| {
            one.was_ill != Some(true)
                && self.entry(&one.environment).is_some_and(|entry| {
                    entry.standing == Standing::Behind && !entry.follower.ill && is_of(entry, wave)
                })
        };
        let begun = |waves: &RolloutWave| self.arriving.get(waves).map_or(0, BTreeSet::len);
        // Who goes back is of its own stage again as soon as it has begun.
        let begun: usize = match wave {
            RolloutWave::Return => self.arriving.keys().map(begun).sum(),
            _ => begun(&wave),
        };
        begun + moving.iter().filter(waits).count()
    }

    /// Why a wave does not begin, or does not go on.
    pub(super) fn gate(
        &self,
        wave: RolloutWave,
        place: Option<&RolloutPlace>,
        moving: &[RolloutMove],
        turn: &Turn<'_>,
    ) -> Option<Gate> {
        let earlier = RolloutWave::ALL.into_iter().filter(|earlier| *earlier < wave);
        let before = if has_begun(place, wave) { None } else { self.earlier_gate(earlier, moving, turn) };
        before.or_else(|| (!turn.rules.stage(wave).approved).then_some(Gate::Approval))
    }

    fn earlier_gate(
        &self,
        earlier: impl Iterator<Item = RolloutWave>,
        moving: &[RolloutMove],
        turn: &Turn<'_>,
    ) -> Option<Gate> {
        let mut soaks: Option<(Timestamp, RolloutWave)> = None;
        for wave in earlier {
            if self.behind_in(wave, moving, turn) > 0 || self.arriving.get(&wave).is_some_and(|all| !all.is_empty()) {
                return Some(Gate::Before(wave));
            }
            soaks = soaks.max(self.soaked_at(wave, turn).map(|until| (until, wave)));
        }
        soaks.map(|(until, wave)| Gate::Soak(wave, until))
    }

    /// When the last of a wave that has arrived will have been well for long enough, if that lies ahead.
    fn soaked_at(&self, wave: RolloutWave, turn: &Turn<'_>) -> Option<Timestamp> {
        let (since, _) = self.arrived.get(&wave)?.last()?;
        since.checked_add(turn.rules.stage(wave).soak).ok().filter(|until| *until > turn.now)
    }

    /// How many of a wave have still to move: without those whose windows never open, and those that have had their turn and
    /// wait for a person.
    fn behind_in(&self, wave: RolloutWave, moving: &[RolloutMove], turn: &Turn<'_>) -> usize {
        let groups = self.waiting.get(&wave).into_iter().flat_map(BTreeMap::values);
        let can = groups.filter(|group| !never_opens(group, wave, turn));
        let all: usize = can.map(|group| group.places.len()).sum();
        let stays = |one: &&RolloutMove| {
            self.entry(&one.environment)
                .is_some_and(|entry| entry.standing == Standing::Behind && entry.follower.ill && is_of(entry, wave))
        };
        all.saturating_sub(moving.iter().filter(stays).count())
    }

    /// The environment of the same customer in Staging that has to be through before, if it is not: whether it will be by itself at
    /// a moment.
    pub(super) fn own_staging(&self, entry: &Entry, turn: &Turn<'_>) -> Option<(&String, Option<Timestamp>)> {
        let place = entry.place.as_ref().filter(|place| place.stage != RolloutWave::Return)?;
        if !matches!(entry.follower.seat, Some((Stage::Production, _))) {
            return None;
        }
        let own = self.customers.get(&entry.follower.customer)?;
        own.iter().filter(|other| other.stage <= place.stage).filter_map(|other| self.at(other)).find_map(
            |(name, other)| {
                if !matches!(other.follower.seat, Some((Stage::Staging, _))) {
                    return None;
                }
                match other.standing {
                    Standing::Parked | Standing::New => None,
                    Standing::Arrived => {
                        let soak = turn.rules.stage(other.place.as_ref()?.stage).soak;
                        let until = other.follower.well_since?.checked_add(soak).ok()?;
                        (until > turn.now).then_some((name, Some(until)))
                    }
                    _ => Some((name, None)),
                }
            },
        )
    }

    pub(super) fn opening(&self, entry: &Entry, turn: &Turn<'_>) -> Opening {
        let Some(place) = &entry.place else { return Opening::Always };
        let group = self.waiting.get(&place.stage).and_then(|groups| groups.get(&entry.follower.needed_windows()));
        group.map_or(Opening::Always, |group| opening(group, place.stage, turn))
    }

    /// Counts who waits and why. Says what holds each wave that has somebody left.
    fn count_waiting(
        &self,
        turn: &Turn<'_>,
        place: Option<&RolloutPlace>,
        moving: &[RolloutMove],
        held: bool,
        tally: &mut Tally,
    ) -> BTreeMap<RolloutWave, Option<Gate>> {
        let mut gates = BTreeMap::new();
        for (&wave, groups) in &self.waiting {
            let gate = self.gate(wave, place, moving, turn);
            gates.insert(wave, gate);
            for (schedule, group) in groups {
                let in_turn = moving.iter().filter_map(|one| self.entry(&one.environment)).filter(|entry| {
                    entry.standing == Standing::Behind
                        && is_of(entry, wave)
                        && entry.follower.needed_windows() == *schedule
                });
                let count = group.places.len().saturating_sub(in_turn.count());
                if count == 0 {
                    continue;
                }
                let opening = opening(group, wave, turn);
                match (gate, opening) {
                    (_, Opening::Never) => tally.add(WaitingReason::WindowNeverOpens, count, None),
                    _ if held => tally.add(WaitingReason::Paused, count, None),
                    (Some(Gate::Before(_)), _) => tally.add(WaitingReason::EarlierStage, count, None),
                    (Some(Gate::Soak(_, until)), _) => tally.add(WaitingReason::Soak, count, Some(until)),
                    (Some(Gate::Approval), _) => tally.add(WaitingReason::Approval, count, None),
                    (None, Opening::From(until)) => tally.add(WaitingReason::Window, count, Some(until)),
                    (None, Opening::Always | Opening::Until(_)) => {
                        let full = self.on_the_way(wave, moving) >= turn.rules.stage(wave).concurrent;
                        self.count_open(turn, group, count, full, tally);
                        tally.wake(opening.changes_at());
                    }
                }
            }
        }
        if !self.apart.is_empty() {
            tally.add(WaitingReason::EnvironmentPaused, self.apart.len(), None);
        }
        if !self.parked.is_empty() {
            tally.add(WaitingReason::Itself, self.parked.len(), None);
        }
        gates
    }

    /// Those whose windows are open. While there is room, who has no turn waits for its customer's Staging.
    fn count_open(&self, turn: &Turn<'_>, group: &Group, count: usize, full: bool, tally: &mut Tally) {
        if full {
            tally.add(WaitingReason::Turn, count, None);
            return;
        }
        let mut blocked = 0;
        for (name, entry) in group.places.iter().filter_map(|place| self.at(place)) {
            if let Some((staging, until)) = self.own_staging(entry, turn) {
                blocked += 1;
                tally.add(WaitingReason::CustomersStaging, 1, until);
                if until.is_none() && tally.blocked.len() < NAMED {
                    tally.blocked.push(format!("\"{name}\" waits for \"{staging}\", its customer's Staging"));
                }
            }
        }
        if count > blocked {
            tally.add(WaitingReason::Turn, count - blocked, None);
        }
    }

    /// The wave that moves, or is next.
    fn current(
        &self,
        moving: &[RolloutMove],
        gates: &BTreeMap<RolloutWave, Option<Gate>>,
        tally: &Tally,
    ) -> Option<RolloutWave> {
        let soaking = gates.values().find_map(|gate| match gate {
            Some(Gate::Soak(wave, _)) => Some(*wave),
            _ => None,
        });
        let moving =
            moving.iter().filter_map(|one| self.entry(&one.environment)?.place.as_ref()).map(|place| place.stage);
        let begun = self.arriving.iter().filter(|(_, all)| !all.is_empty()).map(|(wave, _)| *wave);
        let waiting = gates.keys().copied().filter(|_| !tally.waiting.is_empty());
        moving.chain(begun).chain(soaking).chain(waiting).min()
    }

    fn phase(
        &self,
        turn: &Turn<'_>,
        (failures, failed): (usize, usize),
        moving: &[RolloutMove],
        gates: &BTreeMap<RolloutWave, Option<Gate>>,
        tally: &mut Tally,
    ) -> RolloutPhase {
        let left: usize = RolloutWave::ALL.iter().map(|wave| self.behind_in(*wave, moving, turn)).sum();
        let on_the_way = self.arriving.values().any(|all| !all.is_empty())
            || moving.iter().any(|one| self.entry(&one.environment).is_some_and(|entry| !entry.follower.ill));
        if turn.rules.is_held_by(failures) && (left > 0 || failed > 0) {
            return RolloutPhase::PausedAfterFailures;
        }
        if left == 0 && !on_the_way {
            return self.end(turn, moving, tally);
        }
        if turn.rules.paused {
            return RolloutPhase::Paused;
        }
        if on_the_way {
            return RolloutPhase::Progressing;
        }
        let next = gates.values().flatten().next();
        let waits = |reason| tally.waiting.contains_key(&reason);
        match next {
            Some(Gate::Approval) if !waits(WaitingReason::Window) => RolloutPhase::AwaitingApproval,
            Some(Gate::Soak(..)) => RolloutPhase::Soaking,
            _ if waits(WaitingReason::Window) => RolloutPhase::AwaitingWindow,
            _ if tally.waiting.get(&WaitingReason::CustomersStaging).is_some_and(|(_, until)| until.is_some()) => {
                RolloutPhase::Soaking
            }
            _ if waits(WaitingReason::CustomersStaging) => RolloutPhase::Blocked,
            _ => RolloutPhase::Progressing,
        }
    }

    /// Nobody who can move is left.
    fn end(&self, turn: &Turn<'_>, moving: &[RolloutMove], tally: &mut Tally) -> RolloutPhase {
        let soaks = RolloutWave::ALL.iter().filter_map(|wave| self.soaked_at(*wave, turn)).max();
        if let Some(until) = soaks {
            tally.wake(Some(until));
            return RolloutPhase::Soaking;
        }
        let stays = !moving.is_empty() || !self.never.is_empty() || !self.failed.is_empty();
        let waits = tally.waiting.contains_key(&WaitingReason::WindowNeverOpens);
        if stays || waits { RolloutPhase::Blocked } else { RolloutPhase::Complete }
    }
}

/// Who waits, and when the next of them may go on.
#[derive(Default)]
struct Tally {
    waiting: BTreeMap<WaitingReason, (usize, Option<Timestamp>)>,
    blocked: Vec<String>,
    next: Option<Timestamp>,
}

impl Tally {
    fn add(&mut self, reason: WaitingReason, count: usize, until: Option<Timestamp>) {
        let known = self.waiting.entry(reason).or_insert((0, until));
        known.0 += count;
        known.1 = earliest(known.1, until);
        self.wake(until);
    }

    fn wake(&mut self, at: Option<Timestamp>) {
        self.next = earliest(self.next, at);
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn has_begun(place: Option<&RolloutPlace>, wave: RolloutWave) -> bool {
    place.is_some_and(|place| place.stage >= wave)
}

fn is_of(entry: &Entry, wave: RolloutWave) -> bool {
    entry.place.as_ref().is_some_and(|place| place.stage == wave)
}

fn never_opens(group: &Group, wave: RolloutWave, turn: &Turn<'_>) -> bool {
    group.windows.as_ref().map_or_else(|| turn.rules.stage(wave).never_opens(), Result::is_err)
}

fn opening(group: &Group, wave: RolloutWave, turn: &Turn<'_>) -> Opening {
    group.opening(turn.now).unwrap_or_else(|| turn.rules.stage(wave).opening(turn.now))
}

/// Failures that were written down.
pub(super) fn failures_of(rollout: &RolloutStatus) -> usize {
    rollout.failures.and_then(|failures| usize::try_from(failures).ok()).unwrap_or_default()
}

/// Failures since the rollout began. What failed before its first look, or after its end, is no failure of it.
fn count_failures(before: Option<&RolloutStatus>, failed: &BTreeMap<RolloutPlace, String>) -> usize {
    let Some(before) = before else { return 0 };
    let known = failures_of(before);
    if before.phase == Some(RolloutPhase::Complete) {
        return known;
    }
    if failed.len() > NAMED {
        return known.max(failed.len());
    }
    known + failed.values().filter(|name| !before.failed.contains(name)).count()
}
