//! Tables for rollouts: who moves, why the rest waits, and when the next moment is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use odoofleet_api::environment::Stage;
use odoofleet_api::maintenance::MaintenanceWindow;
use odoofleet_api::rollout::{RolloutPhase, RolloutStatus, RolloutWave, WaitingReason};
use serde_json::{Value, json};

use super::rollout::{RolloutPlan, Turn};
use super::{Follower, Followers, Frame, Rules};

/// A rollout from version 1 to version 2, begun at 2026-11-28 12:00 UTC, a Saturday.
struct Rollout {
    followers: Followers,
    template: Value,
    before: Option<RolloutStatus>,
    now: Timestamp,
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn follower(name: &str, stage: Stage) -> Follower {
    let customer = name.split('-').next().unwrap().to_owned();
    Follower {
        customer,
        seat: Some((stage, name.to_owned())),
        labels: [("name".to_owned(), name.to_owned())].into(),
        windows: None,
        sets: BTreeSet::new(),
        pinned: None,
        held: Some("1".into()),
        tried: Some("1".into()),
        installed: Some("1".into()),
        known: ["1".to_owned()].into(),
        well: true,
        well_since: Some(Timestamp::UNIX_EPOCH),
        parked: false,
        asleep: false,
        ill: false,
        down: false,
        paused: false,
        failed: None,
    }
}

fn windows(cron: &str, duration: &str) -> Vec<MaintenanceWindow> {
    vec![MaintenanceWindow { cron: cron.into(), duration: duration.into(), time_zone: Some("UTC".into()) }]
}

impl Rollout {
    fn new(rollout: &Value, followers: &[(&str, Stage)]) -> Self {
        let template = json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooTemplate", "metadata": { "name": "odoo", "annotations": {} },
            "spec": { "version": "2", "odooVersion": "18.0", "chart": { "path": "odoo" }, "rollout": rollout },
        });
        let mut own =
            Self { followers: Followers::default(), template, before: None, now: moment("2026-11-28T12:00:00Z") };
        own.frame(&[]);
        for (name, stage) in followers {
            own.followers.upsert(name, follower(name, *stage));
        }
        own
    }

    fn frame(&mut self, later: &[&str]) {
        let spec = &self.template["spec"];
        self.followers.set_frame(Frame {
            newest: spec["version"].as_str().unwrap().to_owned(),
            later: later.iter().map(|version| (*version).to_owned()).collect(),
            canary: serde_json::from_value(spec["rollout"]["canary"].clone()).unwrap(),
            sets: BTreeSet::new(),
        });
    }

    fn rules(&self) -> Rules {
        Rules::of(&serde_json::from_value(self.template.clone()).unwrap(), &TimeZone::UTC)
    }

    fn annotate(&mut self, name: &str, value: &str) {
        self.template["metadata"]["annotations"][name] = json!(value);
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Follower)) {
        let mut follower = self.followers.entry(name).unwrap().follower.clone();
        change(&mut follower);
        self.followers.upsert(name, follower);
    }

    /// It has arrived and is well from now on.
    fn arrive(&mut self, name: &str) {
        let (now, version) = (self.now, self.template["spec"]["version"].as_str().unwrap().to_owned());
        self.change(name, |one| {
            (one.held, one.tried, one.well, one.ill) = (Some(version.clone()), Some(version.clone()), true, false);
            one.known.insert(version);
            (one.well_since, one.failed) = (Some(now).filter(|_| !one.asleep), None);
        });
    }

    fn fail(&mut self, name: &str) {
        self.change(name, |one| {
            (one.failed, one.tried) = (Some("2".into()), Some("2".into()));
            (one.ill, one.well) = (true, false);
        });
    }

    /// Decides, and keeps what was decided. Says who has its turn.
    fn step(&mut self) -> (Vec<String>, RolloutPlan) {
        let rules = self.rules();
        let plan = self.followers.plan(&Turn { rules: &rules, before: self.before.as_ref(), now: self.now });
        let again = RolloutStatus {
            version: "2".into(),
            phase: Some(plan.phase),
            place: plan.place.clone(),
            moving: plan.moving.clone(),
            failed: plan.failed.clone(),
            failures: i32::try_from(plan.failures).ok(),
            ..RolloutStatus::default()
        };
        self.before = Some(again);
        let names = plan.moving.iter().map(|one| one.environment.clone());
        (names.collect(), plan)
    }

    fn moving(&mut self) -> Vec<String> {
        self.step().0
    }

    fn phase(&mut self) -> RolloutPhase {
        self.step().1.phase
    }

    fn admits(&self, name: &str) -> bool {
        let rules = self.rules();
        self.followers.admits(name, &Turn { rules: &rules, before: self.before.as_ref(), now: self.now })
    }

    fn why(&self, name: &str) -> String {
        let rules = self.rules();
        self.followers.why(name, &Turn { rules: &rules, before: self.before.as_ref(), now: self.now }).unwrap().text
    }
}

use Stage::{Production, Staging, Test};

#[test]
fn so_many_move_at_once_and_the_next_when_one_has_arrived() {
    let mut rollout =
        Rollout::new(&json!({ "maxConcurrent": 2 }), &[("a-x", Test), ("b-x", Test), ("c-x", Test), ("d-x", Test)]);
    assert_eq!(rollout.moving(), ["a-x", "b-x"]);
    assert!(rollout.admits("a-x") && !rollout.admits("c-x"));
    assert_eq!(rollout.why("c-x"), "at most 2 of stage Test are on the way at once");
    assert_eq!(rollout.moving(), ["a-x", "b-x"], "nothing has happened");
    rollout.change("a-x", |one| (one.tried, one.well) = (Some("2".into()), false));
    assert_eq!(rollout.moving(), ["a-x", "b-x"], "it has begun and not arrived");
    rollout.arrive("a-x");
    let (moving, plan) = rollout.step();
    assert_eq!(moving, ["b-x", "c-x"]);
    assert_eq!(plan.waiting, [(WaitingReason::Turn, (1, None))].into());
    for name in ["b-x", "c-x", "d-x"] {
        rollout.arrive(name);
    }
    assert_eq!((rollout.phase(), rollout.moving().len()), (RolloutPhase::Complete, 0));
}

#[test]
fn a_stage_begins_when_the_one_before_is_through_and_never_before() {
    let stages = json!([{ "stage": "Test", "soak": "1h" }, { "stage": "Production", "approval": "Manual" }]);
    let mut rollout =
        Rollout::new(&json!({ "stages": stages }), &[("a-p", Production), ("a-s", Staging), ("a-t", Test)]);
    assert_eq!(rollout.moving(), ["a-t"]);
    assert_eq!(rollout.why("a-s"), "stage Test comes first");
    rollout.arrive("a-t");
    let (moving, plan) = rollout.step();
    assert_eq!((moving.len(), plan.phase, plan.stage), (0, RolloutPhase::Soaking, Some(RolloutWave::Test)));
    assert_eq!(plan.next, Some(moment("2026-11-28T13:00:00Z")));
    assert_eq!(rollout.why("a-s"), "stage Test has to be well until 2026-11-28 13:00 UTC");
    rollout.now = moment("2026-11-28T12:30:00Z");
    rollout.arrive("a-t");
    rollout.now = moment("2026-11-28T13:00:00Z");
    assert_eq!(rollout.phase(), RolloutPhase::Soaking, "it was not well in between: the hour begins anew");
    rollout.now = moment("2026-11-28T13:30:00Z");
    assert_eq!(rollout.moving(), ["a-s"]);
    rollout.arrive("a-s");
    let (moving, plan) = rollout.step();
    assert_eq!(
        (moving.len(), plan.phase, plan.stage),
        (0, RolloutPhase::AwaitingApproval, Some(RolloutWave::Production))
    );
    assert_eq!((plan.next, rollout.why("a-p")), (None, "stage Production waits for an approval".to_owned()));
    rollout.annotate("odoofleet.dev/approve", "1/Production");
    assert_eq!(rollout.phase(), RolloutPhase::AwaitingApproval, "another version was approved");
    rollout.annotate("odoofleet.dev/approve", "2/Production");
    assert_eq!(rollout.moving(), ["a-p"]);
}

#[test]
fn whoever_joins_a_stage_that_is_through_moves_and_holds_up_nobody() {
    let mut rollout =
        Rollout::new(&json!({ "maxConcurrent": 1 }), &[("a-t", Test), ("b-p", Production), ("c-p", Production)]);
    rollout.step();
    rollout.arrive("a-t");
    assert_eq!(rollout.moving(), ["b-p"]);
    rollout.followers.upsert("d-t", follower("d-t", Test));
    assert_eq!(rollout.moving(), ["b-p", "d-t"], "each stage has its own number");
    rollout.arrive("b-p");
    assert_eq!(rollout.moving(), ["d-t", "c-p"], "Production goes on");
}

#[test]
fn canaries_move_before_all_others_and_one_that_matches_nobody_is_told() {
    let canary = json!({ "canary": { "matchExpressions": [{ "key": "name", "operator": "In", "values": ["b-p"] }] } });
    let mut rollout = Rollout::new(&canary, &[("a-t", Test), ("b-p", Production), ("b-s", Staging)]);
    assert!(!rollout.followers.lacks_canary());
    assert_eq!(rollout.moving(), ["b-p"], "its customer's Staging is no canary");
    assert_eq!(rollout.why("a-t"), "stage Canary comes first");
    rollout.arrive("b-p");
    assert_eq!(rollout.moving(), ["a-t"]);
    rollout.change("b-p", |one| one.labels.clear());
    assert!(rollout.followers.lacks_canary());
}

#[test]
fn a_customers_staging_moves_before_its_production() {
    let stages = json!([{ "stage": "Staging", "soak": "2h" }]);
    let mut rollout = Rollout::new(&json!({ "pauseAfterFailures": 9, "stages": stages }), &[]);
    for (name, stage) in [("a-p", Production), ("a-s", Staging), ("b-p", Production), ("b-s", Staging)] {
        rollout.followers.upsert(name, follower(name, stage));
    }
    assert_eq!(rollout.moving(), ["a-s", "b-s"]);
    rollout.fail("a-s");
    rollout.arrive("b-s");
    rollout.now = moment("2026-11-28T14:00:00Z");
    let (moving, plan) = rollout.step();
    assert_eq!(moving, ["b-p"]);
    assert_eq!(plan.waiting.get(&WaitingReason::CustomersStaging), Some(&(1, None)));
    assert_eq!(plan.stuck, ["\"a-p\" waits for \"a-s\", its customer's Staging"]);
    assert_eq!(rollout.why("a-p"), "\"a-s\" comes first, its customer's Staging");
    rollout.arrive("b-p");
    assert_eq!(rollout.phase(), RolloutPhase::Blocked);
    rollout.arrive("a-s");
    let (moving, plan) = rollout.step();
    assert_eq!((moving.len(), plan.next), (0, Some(moment("2026-11-28T16:00:00Z"))), "it soaks as well");
    assert_eq!(rollout.why("a-p"), "\"a-s\" has to be well until 2026-11-28 16:00 UTC");
    rollout.now = moment("2026-11-28T16:00:00Z");
    assert_eq!(rollout.moving(), ["a-p"]);
}

#[test]
fn failures_hold_the_rollout_until_they_are_accepted_or_another_version_is_named() {
    let mut rollout = Rollout::new(&json!({ "maxConcurrent": 1 }), &[("a-x", Test), ("b-x", Test), ("c-x", Test)]);
    rollout.step();
    rollout.fail("a-x");
    let (moving, plan) = rollout.step();
    assert_eq!((moving.len(), plan.phase, plan.failures), (0, RolloutPhase::PausedAfterFailures, 1));
    assert_eq!(
        (plan.failed.as_slice(), rollout.why("b-x").as_str()),
        (&["a-x".to_owned()][..], "the rollout is paused after 1 failure(s)")
    );
    rollout.arrive("a-x");
    assert_eq!(rollout.phase(), RolloutPhase::PausedAfterFailures, "that it was mended says nothing of the others");
    rollout.annotate("odoofleet.dev/resume", "2/1");
    assert_eq!(rollout.moving(), ["b-x"]);
    rollout.fail("b-x");
    let (moving, plan) = rollout.step();
    assert_eq!(
        (moving.len(), plan.phase, plan.failures),
        (0, RolloutPhase::PausedAfterFailures, 2),
        "the next one holds it again"
    );
    rollout.annotate("odoofleet.dev/resume", "2/2");
    assert_eq!(rollout.moving(), ["c-x"], "who failed takes nobody's place");
    rollout.template["spec"]["version"] = json!("3");
    (rollout.before, rollout.now) = (None, rollout.now);
    rollout.frame(&[]);
    assert_eq!(rollout.step().1.failures, 0);
}

#[test]
fn what_is_refused_with_its_turn_has_failed_and_who_was_ill_before_has_not() {
    let mut rollout =
        Rollout::new(&json!({ "pauseAfterFailures": 1 }), &[("a-x", Test), ("b-x", Test), ("c-p", Production)]);
    rollout.change("a-x", |one| one.ill = true);
    assert_eq!(rollout.moving(), ["a-x", "b-x"]);
    rollout.arrive("b-x");
    let (moving, plan) = rollout.step();
    assert_eq!(
        (moving.as_slice(), plan.failures),
        (&["a-x".to_owned(), "c-p".to_owned()][..], 0),
        "it was ill, and holds nobody up"
    );
    rollout.change("c-p", |one| one.ill = true);
    let (_, plan) = rollout.step();
    assert_eq!(
        (plan.phase, plan.failures, plan.failed),
        (RolloutPhase::PausedAfterFailures, 1, vec!["c-p".to_owned()])
    );
    rollout.change("c-p", |one| one.ill = false);
    assert_eq!(rollout.step().1.failures, 1, "back on the version before it is well, and stays a failure");
}

#[test]
fn an_environment_begins_in_its_window_and_what_has_begun_is_not_cut() {
    let mut rollout = Rollout::new(&json!({}), &[("a-x", Test), ("b-x", Test)]);
    rollout.change("a-x", |one| one.windows = Some(windows("0 22 * * *", "2h")));
    let (moving, plan) = rollout.step();
    assert_eq!(moving, ["b-x"]);
    let opens = moment("2026-11-28T22:00:00Z");
    assert_eq!(plan.waiting, [(WaitingReason::Window, (1, Some(opens)))].into());
    assert_eq!((plan.next, rollout.why("a-x")), (Some(opens), "its window opens at 2026-11-28 22:00 UTC".to_owned()));
    rollout.arrive("b-x");
    assert_eq!(rollout.phase(), RolloutPhase::AwaitingWindow);
    rollout.now = opens;
    assert_eq!(rollout.moving(), ["a-x"]);
    assert!(rollout.admits("a-x"));
    rollout.now = moment("2026-11-29T00:00:00Z");
    assert!(!rollout.admits("a-x"), "it has not begun");
    assert_eq!(rollout.moving().len(), 0);
    rollout.now = moment("2026-11-29T22:00:00Z");
    assert_eq!(rollout.moving(), ["a-x"]);
    rollout.change("a-x", |one| one.tried = Some("2".into()));
    rollout.now = moment("2026-11-30T03:00:00Z");
    assert_eq!(rollout.moving(), ["a-x"], "it goes on");
}

#[test]
fn numbers_hold_when_a_window_opens_for_many_and_the_stage_has_windows_for_those_without() {
    let stages =
        json!([{ "stage": "Test", "maxConcurrent": 2, "windows": [{ "cron": "0 1 * * *", "duration": "1h" }] }]);
    let mut rollout =
        Rollout::new(&json!({ "stages": stages }), &[("a-x", Test), ("b-x", Test), ("c-x", Test), ("d-x", Test)]);
    rollout.change("d-x", |one| one.windows = Some(Vec::new()));
    assert_eq!(rollout.moving(), ["d-x"], "it says of itself that it may move at any time");
    rollout.now = moment("2026-11-29T01:00:00Z");
    let (moving, plan) = rollout.step();
    assert_eq!(moving, ["d-x", "a-x"]);
    assert_eq!(plan.next, Some(moment("2026-11-29T02:00:00Z")), "when the window closes, the rest waits for the next");
}

#[test]
fn nobody_waits_for_a_window_with_what_nobody_works_with() {
    let mut rollout = Rollout::new(&json!({}), &[("a-x", Test), ("b-x", Test), ("c-x", Test)]);
    for name in ["a-x", "b-x", "c-x"] {
        rollout.change(name, |one| one.windows = Some(windows("0 22 * * *", "2h")));
    }
    rollout.change("a-x", |one| one.asleep = true);
    rollout.change("b-x", |one| (one.ill, one.down) = (true, true));
    assert_eq!(rollout.moving(), ["a-x", "b-x"]);
}

#[test]
fn a_window_that_never_opens_is_told_and_holds_up_nobody() {
    let mut rollout = Rollout::new(&json!({}), &[("a-t", Test), ("b-p", Production)]);
    rollout.change("a-t", |one| one.windows = Some(windows("0 0 31 2 *", "2h")));
    let (moving, plan) = rollout.step();
    assert_eq!(moving, ["b-p"]);
    assert_eq!(plan.waiting, [(WaitingReason::WindowNeverOpens, (1, None))].into());
    assert!(plan.stuck[0].contains("a-t") && plan.stuck[0].contains("never opens"), "{:?}", plan.stuck);
    assert!(rollout.why("a-t").contains("never opens"));
    rollout.arrive("b-p");
    assert_eq!(rollout.phase(), RolloutPhase::Blocked);
}

#[test]
fn who_is_stopped_and_takes_the_change_at_its_start_holds_up_nobody_and_keeps_its_turn() {
    let mut rollout =
        Rollout::new(&json!({ "stages": [{ "stage": "Test", "soak": "9h" }] }), &[("a-t", Test), ("b-p", Production)]);
    rollout.change("a-t", |one| (one.asleep, one.well_since) = (true, None));
    assert_eq!(rollout.moving(), ["a-t"]);
    rollout.change("a-t", |one| one.parked = true);
    let (moving, plan) = rollout.step();
    assert_eq!((moving, plan.waiting), (vec!["b-p".to_owned()], [(WaitingReason::Itself, (1, None))].into()));
    assert!(rollout.admits("a-t"), "when it starts it takes the change");
    rollout.arrive("a-t");
    assert_eq!(rollout.moving(), ["b-p"], "upgraded asleep it needs no time to be well");
}

#[test]
fn who_is_looked_away_from_or_is_being_installed_is_no_part_of_it() {
    let mut rollout = Rollout::new(&json!({}), &[("a-t", Test), ("b-t", Test), ("c-p", Production)]);
    rollout.change("a-t", |one| one.paused = true);
    rollout.change("b-t", |one| (one.held, one.tried, one.ill, one.well) = (None, Some("2".into()), true, false));
    let (moving, plan) = rollout.step();
    assert_eq!((moving, plan.failures), (vec!["c-p".to_owned()], 0));
    assert_eq!(plan.waiting, [(WaitingReason::EnvironmentPaused, (1, None))].into());
}

#[test]
fn a_paused_rollout_gives_no_turn_and_finishes_what_has_begun() {
    let mut rollout = Rollout::new(&json!({ "paused": false }), &[("a-x", Test), ("b-x", Test)]);
    rollout.step();
    rollout.template["spec"]["rollout"]["paused"] = json!(true);
    assert!(!rollout.admits("a-x"));
    let (_, plan) = rollout.step();
    assert_eq!((plan.next, rollout.why("b-x").as_str()), (None, "the rollout is paused"));
    rollout.template["spec"]["rollout"]["paused"] = json!(false);
    assert_eq!(rollout.moving(), ["a-x", "b-x"]);
}

#[test]
fn who_holds_a_later_version_goes_back_first_without_approval_or_soak() {
    let stages = json!([{ "stage": "Production", "approval": "Manual" }, { "stage": "Test", "soak": "9h" }]);
    let mut rollout = Rollout::new(
        &json!({ "maxConcurrent": 2, "stages": stages }),
        &[("a-p", Production), ("a-t", Test), ("b-p", Production), ("c-p", Production)],
    );
    for name in ["a-p", "a-t", "b-p"] {
        rollout.change(name, |one| (one.held, one.tried) = (Some("3".into()), Some("3".into())));
    }
    rollout.frame(&["3"]);
    let (moving, plan) = rollout.step();
    assert_eq!((moving, plan.stage), (vec!["a-p".to_owned(), "a-t".to_owned()], Some(RolloutWave::Return)));
    assert_eq!(rollout.why("c-p"), "stage Return comes first");
    rollout.change("a-p", |one| (one.tried, one.well) = (Some("2".into()), false));
    assert_eq!(rollout.moving(), ["a-p", "a-t"], "both are on the way");
    rollout.arrive("a-p");
    assert_eq!(rollout.moving(), ["a-t", "b-p"]);
    rollout.arrive("b-p");
    rollout.arrive("a-t");
    assert_eq!(rollout.phase(), RolloutPhase::Soaking, "c-p goes forward, as everybody does");
}

#[test]
fn what_failed_before_or_after_a_rollout_is_no_failure_of_it() {
    let mut rollout = Rollout::new(&json!({}), &[("a-x", Test), ("b-x", Test)]);
    rollout.arrive("a-x");
    rollout.change("a-x", |one| (one.ill, one.well) = (true, false));
    let (moving, plan) = rollout.step();
    assert_eq!((plan.failures, moving), (0, vec!["b-x".to_owned()]), "it was ill when the version was named");
    rollout.arrive("a-x");
    rollout.arrive("b-x");
    assert_eq!(rollout.phase(), RolloutPhase::Complete);
    rollout.change("a-x", |one| (one.ill, one.well) = (true, false));
    assert_eq!(rollout.step().1.failures, 0);
}

#[test]
fn counts_are_the_same_counted_anew_or_one_by_one() {
    let mut rollout = Rollout::new(&json!({}), &[("a-x", Test), ("b-x", Test), ("c-x", Test), ("d-x", Test)]);
    rollout.arrive("a-x");
    rollout.change("b-x", |one| (one.pinned, one.seat) = (Some("1".into()), None));
    rollout.followers.remove("d-x");
    let counted = |all: &Followers| (all.in_use(), all.following(), all.done(), all.pinned().len(), all.holding("1"));
    let before = counted(&rollout.followers);
    assert_eq!(before, (3, 2, 1, 1, 2));
    rollout.template["spec"]["version"] = json!("3");
    rollout.frame(&[]);
    assert_eq!(rollout.followers.done(), 0);
    rollout.template["spec"]["version"] = json!("2");
    rollout.frame(&[]);
    assert_eq!(counted(&rollout.followers), before);
    assert!(rollout.followers.needs("1") && rollout.followers.needs("2") && !rollout.followers.needs("3"));
}
