//! The environments of one template, counted and in the order in which they move.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::core::{Selector, SelectorExt};
use odoofleet_api::maintenance::MaintenanceWindow;
use odoofleet_api::rollout::{CanarySelector, RolloutPlace, RolloutWave};

use super::follower::{Follower, Standing, meet};
use crate::windows::{Opening, WindowError, Windows};

/// What decides about all followers of a template at once.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Frame {
    /// The newest version.
    pub newest: String,
    /// Versions that were made later than that one: who holds one goes back.
    pub later: BTreeSet<String>,
    /// Who moves first.
    pub canary: Option<CanarySelector>,
    /// Value paths that the template sets.
    pub sets: BTreeSet<String>,
}

/// The environments of one template. What depends on its newest version is counted anew when that changes, and one by one
/// otherwise: a step of a rollout costs the same in a fleet of any size. It grows with the number of different windows.
#[derive(Debug, Default)]
pub struct Followers {
    frame: Frame,
    selector: Option<Selector>,
    all: HashMap<String, Entry>,
    held: HashMap<String, usize>,
    named: HashMap<String, usize>,
    pub(super) order: BTreeMap<RolloutPlace, String>,
    pub(super) waiting: BTreeMap<RolloutWave, BTreeMap<Schedule, Group>>,
    pub(super) arriving: BTreeMap<RolloutWave, BTreeSet<RolloutPlace>>,
    pub(super) arrived: BTreeMap<RolloutWave, BTreeSet<(Timestamp, RolloutPlace)>>,
    pub(super) failed: BTreeMap<RolloutPlace, String>,
    pub(super) never: BTreeMap<RolloutPlace, String>,
    pub(super) apart: BTreeSet<RolloutPlace>,
    pub(super) parked: BTreeSet<RolloutPlace>,
    pub(super) customers: HashMap<String, BTreeSet<RolloutPlace>>,
    overridden: BTreeSet<String>,
    pinned: BTreeSet<String>,
    canaries: usize,
    done: usize,
}

/// Windows of an environment or of its customer; none: its stage's.
pub(super) type Schedule = Option<Vec<MaintenanceWindow>>;

/// Followers that wait for their turn and for the same windows.
#[derive(Debug)]
pub(super) struct Group {
    /// The windows; none: the stage's.
    pub windows: Option<Result<Windows, WindowError>>,
    /// Who waits.
    pub places: BTreeSet<RolloutPlace>,
}

impl Group {
    fn new(schedule: &Schedule) -> Self {
        Self {
            windows: schedule.as_ref().map(|windows| Windows::parse(windows, &TimeZone::UTC)),
            places: BTreeSet::new(),
        }
    }

    /// How its windows stand; none if they are the stage's.
    pub fn opening(&self, now: Timestamp) -> Option<Opening> {
        self.windows.as_ref().map(|windows| windows.as_ref().map_or(Opening::Never, |windows| windows.at(now)))
    }
}

/// A follower with its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub follower: Follower,
    pub standing: Standing,
    pub place: Option<RolloutPlace>,
}

impl Followers {
    /// Takes in an environment, or what has become of it. Returns whether anything changed.
    pub fn upsert(&mut self, name: &str, follower: Follower) -> bool {
        if self.all.get(name).is_some_and(|known| known.follower == follower) {
            return false;
        }
        self.remove(name);
        self.add(name, follower);
        true
    }

    /// Forgets an environment.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(entry) = self.all.remove(name) else { return false };
        self.count(name, &entry, false);
        true
    }

    /// Says what decides about all of them.
    pub fn set_frame(&mut self, frame: Frame) {
        if self.frame == frame {
            return;
        }
        let all = std::mem::take(&mut self.all);
        let selector = frame.canary.as_ref().and_then(CanarySelector::selector);
        *self = Self { frame, selector, ..Self::default() };
        for (name, entry) in all {
            self.add(&name, entry.follower);
        }
    }

    fn add(&mut self, name: &str, follower: Follower) {
        let place =
            follower.seat.as_ref().map(|(_, hash)| RolloutPlace { stage: self.wave(&follower), hash: hash.clone() });
        let entry = Entry { standing: follower.standing(&self.frame.newest), place, follower };
        self.count(name, &entry, true);
        self.all.insert(name.to_owned(), entry);
    }

    fn is_canary(&self, follower: &Follower) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(&follower.labels))
    }

    fn wave(&self, follower: &Follower) -> RolloutWave {
        match &follower.seat {
            _ if follower.held.as_ref().is_some_and(|held| self.frame.later.contains(held)) => RolloutWave::Return,
            _ if self.is_canary(follower) => RolloutWave::Canary,
            Some((stage, _)) => (*stage).into(),
            None => RolloutWave::Production,
        }
    }

    fn count(&mut self, name: &str, entry: &Entry, add: bool) {
        let Entry { follower, standing, place } = entry;
        tally(&mut self.held, follower.held.as_ref(), add);
        tally(&mut self.named, follower.pinned.as_ref(), add);
        put(&mut self.pinned, name.to_owned(), add && follower.pinned.is_some());
        let Some(place) = place else { return };
        if add {
            self.order.insert(place.clone(), name.to_owned());
        } else {
            self.order.remove(place);
        }
        let step = |count: usize, one: bool| {
            if !one {
                count
            } else if add {
                count + 1
            } else {
                count.saturating_sub(1)
            }
        };
        self.canaries = step(self.canaries, self.is_canary(follower));
        self.done = step(self.done, *standing == Standing::Arrived);
        put(&mut self.overridden, name.to_owned(), add && meet(&follower.sets, &self.frame.sets));
        let own = self.customers.entry(follower.customer.clone()).or_default();
        put(own, place.clone(), add);
        if own.is_empty() {
            self.customers.remove(&follower.customer);
        }
        self.stand(name, entry, place, add);
    }

    /// Puts a follower where others look for those who stand as it does, or takes it away.
    fn stand(&mut self, name: &str, Entry { follower, standing, .. }: &Entry, place: &RolloutPlace, add: bool) {
        let wave = place.stage;
        match standing {
            Standing::Arrived => {
                if let Some(since) = follower.well_since {
                    put(self.arrived.entry(wave).or_default(), (since, place.clone()), add);
                }
            }
            Standing::Arriving => put(self.arriving.entry(wave).or_default(), place.clone(), add),
            Standing::Failed if add => drop(self.failed.insert(place.clone(), name.to_owned())),
            Standing::Failed => drop(self.failed.remove(place)),
            Standing::Parked => put(&mut self.parked, place.clone(), add),
            Standing::Apart => put(&mut self.apart, place.clone(), add),
            Standing::New => {}
            Standing::Behind => {
                let schedule = follower.needed_windows();
                let groups = self.waiting.entry(wave).or_default();
                let group = groups.entry(schedule.clone()).or_insert_with(|| Group::new(&schedule));
                put(&mut group.places, place.clone(), add);
                match &group.windows {
                    Some(Err(_)) if add => drop(self.never.insert(place.clone(), name.to_owned())),
                    _ => drop(self.never.remove(place)),
                }
                if group.places.is_empty() {
                    groups.remove(&schedule);
                }
                if groups.is_empty() {
                    self.waiting.remove(&wave);
                }
            }
        }
    }

    /// Names of all environments that refer to the template.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }

    /// How many environments refer to the template.
    pub fn in_use(&self) -> usize {
        self.all.len()
    }

    /// How many environments hold a version.
    pub fn holding(&self, version: &str) -> usize {
        self.held.get(version).copied().unwrap_or_default()
    }

    /// Whether an environment holds or names a version.
    pub fn needs(&self, version: &str) -> bool {
        self.held.contains_key(version) || self.named.contains_key(version)
    }

    /// Environments that follow the template.
    pub fn following(&self) -> usize {
        self.order.len()
    }

    /// Followers on the newest version that are well.
    pub const fn done(&self) -> usize {
        self.done
    }

    /// Environments that name a version of their own.
    pub const fn pinned(&self) -> &BTreeSet<String> {
        &self.pinned
    }

    /// Followers whose own values stand before some of the template's.
    pub const fn overridden(&self) -> &BTreeSet<String> {
        &self.overridden
    }

    /// Whether somebody is to move first, and nobody is it.
    pub const fn lacks_canary(&self) -> bool {
        self.frame.canary.is_some() && self.canaries == 0
    }

    /// Followers where the newest version failed, in the order of the rollout.
    pub fn failed(&self) -> impl Iterator<Item = &String> {
        self.failed.values()
    }

    /// Followers that do not hold the newest version and are not on the way to it.
    pub fn behind(&self) -> impl Iterator<Item = &String> {
        let groups = self.waiting.values().flat_map(BTreeMap::values);
        let places = groups.flat_map(|group| &group.places).chain(&self.parked);
        places.filter_map(|place| self.order.get(place))
    }

    /// Whether an environment waits for its turn.
    pub fn is_behind(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|entry| entry.standing == Standing::Behind)
    }

    /// Whether an environment waits for a version: it names it, or follows, holds none, and this is the newest.
    pub fn waits_for(&self, name: &str, version: &str, newest: bool) -> bool {
        self.all.get(name).is_some_and(|one| match &one.follower.pinned {
            Some(pinned) => pinned == version,
            None => newest && one.follower.held.is_none(),
        })
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.all.get(name)
    }

    pub(super) fn at(&self, place: &RolloutPlace) -> Option<(&String, &Entry)> {
        let name = self.order.get(place)?;
        Some((name, self.all.get(name)?))
    }
}

fn tally(counts: &mut HashMap<String, usize>, key: Option<&String>, add: bool) {
    let Some(key) = key else { return };
    let count = counts.entry(key.clone()).or_default();
    *count = if add { *count + 1 } else { count.saturating_sub(1) };
    if *count == 0 {
        counts.remove(key);
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, value: T, add: bool) {
    if add {
        set.insert(value);
    } else {
        set.remove(&value);
    }
}
