//! The environments of one template, counted and in the order in which they move.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use odoofleet_api::environment::{Action, OdooEnvironmentStatus, Outcome, Phase, Placement};
use odoofleet_api::template::RolloutPlace;

use crate::digest;

/// What a template needs to know of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// Its place in the order; none if it names a version of its own, or is out of reach.
    pub place: Option<RolloutPlace>,
    /// Version that it names.
    pub pinned: Option<String>,
    /// Version that its release holds.
    pub held: Option<String>,
    /// Whether it is as it should be.
    pub well: bool,
    /// Whether it is stopped, and takes its change when it starts: nobody has to wait for it.
    pub deferred: bool,
    /// Whether it is in phase Error.
    pub broken: bool,
    /// Version whose upgrade failed there last.
    pub failed: Option<String>,
}

impl Follower {
    /// Reads an environment that refers to template `template`.
    pub fn read(environment: &OdooEnvironment, status: &OdooEnvironmentStatus, template: &str) -> Self {
        let spec = &environment.spec;
        let here = spec.placement.unwrap_or_default() == Placement::Cluster;
        let pinned = spec.template_ref.version.clone();
        let place =
            (here && pinned.is_none() && environment.metadata.deletion_timestamp.is_none()).then(|| RolloutPlace {
                stage: spec.stage,
                hash: digest::base32(environment.metadata.uid.as_deref().unwrap_or_default().as_bytes()),
            });
        let held = status.template.as_ref().filter(|held| held.name == template).map(|held| held.version.clone());
        let last =
            status.history.iter().find(|entry| !matches!(entry.action, Action::Start | Action::Stop | Action::Restart));
        let failed = last.filter(|last| last.outcome == Outcome::Failed).and_then(|last| last.template.as_ref());
        Self {
            place,
            pinned,
            held,
            well: matches!(status.phase, Some(Phase::Running | Phase::Stopped | Phase::Offline)),
            deferred: status.reason == Some(Reason::UpgradeAtStart),
            broken: status.phase == Some(Phase::Error),
            failed: failed.filter(|failed| failed.name == template).map(|failed| failed.version.clone()),
        }
    }
}

/// The environments of one template. What depends on its newest version is counted anew when that changes, and one by one
/// otherwise: a step of a rollout costs the same in a fleet of any size.
#[derive(Debug, Default)]
pub struct Followers {
    newest: String,
    all: HashMap<String, Follower>,
    order: BTreeMap<RolloutPlace, String>,
    unsettled: BTreeSet<RolloutPlace>,
    failed: BTreeMap<RolloutPlace, String>,
    done: usize,
    pinned: usize,
    held: HashMap<String, usize>,
    named: HashMap<String, usize>,
}

impl Followers {
    /// Takes in an environment, or what has become of it. Returns whether anything changed.
    pub fn upsert(&mut self, name: &str, follower: Follower) -> bool {
        if self.all.get(name) == Some(&follower) {
            return false;
        }
        self.remove(name);
        self.count(name, &follower, true);
        self.all.insert(name.to_owned(), follower);
        true
    }

    /// Forgets an environment.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(follower) = self.all.remove(name) else { return false };
        self.count(name, &follower, false);
        true
    }

    /// Says which version is the newest.
    pub fn set_newest(&mut self, version: &str) {
        if self.newest == version {
            return;
        }
        version.clone_into(&mut self.newest);
        let all = std::mem::take(&mut self.all);
        *self = Self { newest: std::mem::take(&mut self.newest), ..Self::default() };
        for (name, follower) in all {
            self.count(&name, &follower, true);
            self.all.insert(name, follower);
        }
    }

    fn count(&mut self, name: &str, follower: &Follower, add: bool) {
        let tally = |counts: &mut HashMap<String, usize>, key: &Option<String>| {
            let Some(key) = key else { return };
            let count = counts.entry(key.clone()).or_default();
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                counts.remove(key);
            }
        };
        tally(&mut self.held, &follower.held);
        tally(&mut self.named, &follower.pinned);
        let step = |count: usize| if add { count + 1 } else { count.saturating_sub(1) };
        if follower.pinned.is_some() {
            self.pinned = step(self.pinned);
        }
        let Some(place) = &follower.place else { return };
        let on_newest = follower.held.as_deref() == Some(&self.newest);
        let settled = (on_newest && follower.well) || follower.deferred;
        let failed = (on_newest && follower.broken) || follower.failed.as_deref() == Some(&self.newest);
        if on_newest && follower.well {
            self.done = step(self.done);
        }
        if add {
            self.order.insert(place.clone(), name.to_owned());
            if !settled {
                self.unsettled.insert(place.clone());
            }
            if failed {
                self.failed.insert(place.clone(), name.to_owned());
            }
        } else {
            self.order.remove(place);
            self.unsettled.remove(place);
            self.failed.remove(place);
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
    pub const fn pinned(&self) -> usize {
        self.pinned
    }

    /// Followers where the newest version failed, in the order of the rollout.
    pub fn failed(&self) -> impl Iterator<Item = &String> {
        self.failed.values()
    }

    /// Whether an environment waits for a version: it names it, or follows, holds none, and this is the newest.
    pub fn waits_for(&self, name: &str, version: &str, newest: bool) -> bool {
        self.all.get(name).is_some_and(|one| match &one.pinned {
            Some(pinned) => pinned == version,
            None => newest && one.held.is_none(),
        })
    }

    /// Place of an environment.
    pub fn place_of(&self, name: &str) -> Option<&RolloutPlace> {
        self.all.get(name)?.place.as_ref()
    }

    /// Followers behind one place and up to another.
    pub fn between(&self, after: Option<&RolloutPlace>, upto: Option<&RolloutPlace>) -> Vec<String> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some(upto) = upto else { return Vec::new() };
        let from = after.map_or(Unbounded, Excluded);
        if after.is_some_and(|after| after >= upto) {
            return Vec::new();
        }
        self.order.range((from, Included(upto))).map(|(_, name)| name.clone()).collect()
    }

    /// How far the rollout goes now, from where it stands. At most `concurrent` are on the way at once; a place never moves back.
    pub fn advance(&self, place: Option<&RolloutPlace>, concurrent: usize) -> Option<RolloutPlace> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let moving = match place {
            Some(place) => self.unsettled.range((Unbounded, Included(place))).take(concurrent).count(),
            None => 0,
        };
        let free = concurrent.saturating_sub(moving);
        let ahead = (place.map_or(Unbounded, Excluded), Unbounded);
        let mut waiting = self.unsettled.range::<RolloutPlace, _>(ahead);
        let admitted = waiting.by_ref().take(free).last();
        let end = if waiting.next().is_none() && free > 0 { self.order.keys().next_back() } else { admitted };
        match (end, place) {
            (Some(end), Some(place)) => Some(end.max(place).clone()),
            (end, place) => end.or(place).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use odoofleet_api::environment::Stage;

    use super::*;

    fn place(stage: Stage, hash: &str) -> RolloutPlace {
        RolloutPlace { stage, hash: hash.into() }
    }

    fn follower(hash: &str, change: impl FnOnce(&mut Follower)) -> Follower {
        let mut follower = Follower {
            place: Some(place(Stage::Test, hash)),
            pinned: None,
            held: Some("1".into()),
            well: true,
            deferred: false,
            broken: false,
            failed: None,
        };
        change(&mut follower);
        follower
    }

    fn followers(hashes: &str) -> Followers {
        let mut all = Followers::default();
        all.set_newest("2");
        for hash in hashes.chars().map(String::from) {
            all.upsert(&hash, follower(&hash, |_| ()));
        }
        all
    }

    fn at(hash: &str) -> RolloutPlace {
        place(Stage::Test, hash)
    }

    #[test]
    fn so_many_move_at_once_and_the_next_when_one_has_arrived() {
        let mut all = followers("abcde");
        let first = all.advance(None, 2).unwrap();
        assert_eq!(first, at("b"));
        assert_eq!(all.advance(Some(&first), 2), Some(first.clone()), "both are on the way");
        all.upsert("a", follower("a", |one| one.held = Some("2".into())));
        assert_eq!(all.advance(Some(&first), 2), Some(at("c")));
        assert_eq!(all.between(Some(&first), Some(&at("c"))), ["c"]);
        all.upsert("c", follower("c", |one| (one.held, one.broken, one.well) = (Some("2".into()), true, false)));
        all.upsert("b", follower("b", |one| one.held = Some("2".into())));
        assert_eq!(all.advance(Some(&at("c")), 2), Some(at("d")), "one that is broken keeps its turn");
        assert_eq!((all.done(), all.failed().cloned().collect::<Vec<_>>()), (2, vec!["c".to_owned()]));
    }

    #[test]
    fn whoever_leaves_or_joins_the_list_moves_nobody_else() {
        let mut all = followers("abc");
        let first = all.advance(None, 1).unwrap();
        all.upsert("a", follower("a", |one| (one.pinned, one.place) = (Some("1".into()), None)));
        assert!(at("b") > first, "the next one is behind the place where the rollout stands");
        all.remove("a");
        assert_eq!(all.between(None, Some(&first)), Vec::<String>::new());
        assert_eq!(all.advance(Some(&first), 1), Some(at("b")), "it is its turn only when the rollout goes on");
    }

    #[test]
    fn test_moves_before_production_and_the_deferred_hold_up_nobody() {
        let mut all = followers("a");
        all.upsert("p", follower("p", |one| one.place = Some(place(Stage::Production, "0"))));
        assert_eq!(all.advance(None, 1), Some(at("a")));
        all.upsert("a", follower("a", |one| one.deferred = true));
        assert_eq!(all.advance(Some(&at("a")), 1), Some(place(Stage::Production, "0")));
    }

    #[test]
    fn counts_are_the_same_counted_anew_or_one_by_one() {
        let mut all = followers("abcd");
        all.upsert("a", follower("a", |one| one.held = Some("2".into())));
        all.upsert("x", follower("x", |one| (one.pinned, one.place) = (Some("1".into()), None)));
        all.remove("d");
        let counted = |all: &Followers| (all.in_use(), all.following(), all.done(), all.pinned(), all.holding("1"));
        let before = counted(&all);
        assert_eq!(before, (4, 3, 1, 1, 3));
        all.set_newest("3");
        assert_eq!(all.done(), 0);
        all.set_newest("2");
        assert_eq!(counted(&all), before);
        assert!(all.needs("1") && all.needs("2") && !all.needs("3"));
    }
}
