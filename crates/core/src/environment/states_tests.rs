//! The table of states in `docs/states.md`: made by the plan, so that it tells what the plan does.

mod situations;

use std::fmt::Write as _;

use jiff::Timestamp;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::conditions::Reason;
use serde_json::{Value, json};

use self::situations::{adoptions, deletions, failing_pods, obstacles, operations, pods, upgrades};
use super::decide::decide;
use super::facts::{Facts, GeneratedSecret};
use super::fixtures::{self, environment, running};
use super::step::{Decision, Leftover, PodPurpose, Step};
use super::validate::{Validated, validate};
use crate::release::{History, Ownership, ReleaseState, ReleaseStatus};
use crate::task::HelmAction;

const FILE: &str = "docs/states.md";
const NOW: i64 = 2000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn deleted(object: &mut Value, policy: &str) {
    object["metadata"]["deletionTimestamp"] = json!("2026-11-27T08:00:00Z");
    object["spec"]["deletionPolicy"] = json!(policy);
}

/// Every state. A new one does not compile before it has its place here, its history and its words.
fn states() -> Vec<ReleaseState> {
    use ReleaseState as R;
    let after = |state: &R| match state {
        R::Absent => Some(R::Current),
        R::Current => Some(R::Outdated),
        R::Outdated => Some(R::Failed),
        R::Failed => Some(R::Locked),
        R::Locked => Some(R::ChangedByHand { spec_changed: false }),
        R::ChangedByHand { spec_changed: false } => Some(R::ChangedByHand { spec_changed: true }),
        R::ChangedByHand { spec_changed: true } => Some(R::Uninstalling),
        R::Uninstalling => Some(R::Foreign),
        R::Foreign => Some(R::OwnedByAnother { customer: "globex".into(), environment: "globex-prod".into() }),
        R::OwnedByAnother { .. } => None,
    };
    std::iter::successors(Some(R::Absent), after).collect()
}

/// The name of a state, and what it means.
const fn words(state: &ReleaseState) -> (&'static str, &'static str) {
    match state {
        ReleaseState::Absent => ("absent", "there is no release of that name"),
        ReleaseState::Current => ("current", "deployed, by the operator, with exactly what is wanted"),
        ReleaseState::Outdated => ("outdated", "the operator's, and something else is wanted now; or it was retained"),
        ReleaseState::Failed => ("failed", "the newest revision failed; an earlier one was deployed"),
        ReleaseState::Locked => ("locked", "`pending-…`: a Helm holds it, or was killed while it did"),
        ReleaseState::ChangedByHand { spec_changed: false } => {
            ("by hand", "somebody ran `helm upgrade` or `helm rollback`, and the spec is what it was")
        }
        ReleaseState::ChangedByHand { spec_changed: true } => ("by hand, spec changed", "and the spec changed since"),
        ReleaseState::Uninstalling => {
            ("uninstalling", "somebody's `helm uninstall` has not ended, or kept its history")
        }
        ReleaseState::Foreign => ("foreign", "it carries none of the operator's labels"),
        ReleaseState::OwnedByAnother { .. } => ("another's", "it belongs to another customer or environment"),
    }
}

/// Revisions that are in a state, whatever `wanted` is.
fn history(state: &ReleaseState, wanted: &Validated) -> History {
    use ReleaseStatus as S;
    let of = |status, current: bool, change: &dyn Fn(&mut Ownership)| {
        fixtures::history(4, status, |ownership| {
            ownership.spec_hash = Some(if current { wanted.spec_hash.clone() } else { "h0".into() });
            ownership.check = Some(wanted.check.clone());
            change(ownership);
        })
    };
    let by_hand = |ownership: &mut Ownership| ownership.revision = Some(3);
    let mut history = match state {
        ReleaseState::Absent => History::default(),
        ReleaseState::Current => of(S::Deployed, true, &|_| ()),
        ReleaseState::Outdated => of(S::Deployed, false, &|_| ()),
        ReleaseState::Failed => of(S::Failed, true, &|_| ()),
        ReleaseState::Locked => of(S::PendingUpgrade, true, &|_| ()),
        ReleaseState::ChangedByHand { spec_changed } => of(S::Deployed, !spec_changed, &by_hand),
        ReleaseState::Uninstalling => of(S::Uninstalling, true, &|_| ()),
        ReleaseState::Foreign => of(S::Deployed, true, &|ownership| *ownership = Ownership::default()),
        ReleaseState::OwnedByAnother { customer, environment } => of(S::Deployed, true, &|ownership| {
            ownership.customer = Some(customer.clone());
            ownership.environment = Some(environment.clone());
        }),
    };
    if matches!(state, ReleaseState::Failed | ReleaseState::Locked) {
        history.upsert(fixtures::history(3, S::Deployed, |_| ()).newest().unwrap().clone());
    }
    if *state == (ReleaseState::ChangedByHand { spec_changed: true }) {
        history.note_applied(fixtures::history(3, S::Superseded, |_| ()).newest().unwrap());
    }
    assert_eq!(ReleaseState::of(&history, &wanted.claim()), *state);
    history
}

fn wanted(facts: &Facts) -> Validated {
    validate(&facts.environment, &facts.references).unwrap()
}

/// Whether anything runs that the environment may see: what runs of another's release it may not.
const fn is_seen(state: &ReleaseState) -> bool {
    !matches!(state, ReleaseState::Absent | ReleaseState::OwnedByAnother { .. })
}

/// Facts about a release in a state: what runs of it, and a change.
fn facts(
    state: &ReleaseState,
    environment: OdooEnvironment,
    (web, database): (i32, i32),
    change: impl FnOnce(&mut Facts),
) -> Facts {
    let mut facts = fixtures::facts(environment);
    facts.generated_secret = Some(GeneratedSecret { uid: Some("u1".into()) });
    if is_seen(state) {
        facts.running = running(web, database);
    }
    facts.history = history(state, &wanted(&facts));
    change(&mut facts);
    facts
}

/// A heading, and rows of what is there, what is wanted, and the facts.
struct Table {
    heading: &'static str,
    words: &'static str,
    rows: Vec<(String, String, Facts)>,
}

fn table(heading: &'static str, words: &'static str) -> Table {
    Table { heading, words, rows: Vec::new() }
}

impl Table {
    fn row(&mut self, what: &str, wish: &str, facts: Facts) {
        self.rows.push((what.to_owned(), wish.to_owned(), facts));
    }
}

const WISHES: [(&str, i32, (i32, i32)); 4] = [
    ("runs, and does", 1, (1, 1)),
    ("stopped, and runs", 0, (1, 1)),
    ("stopped, and is", 0, (0, 0)),
    ("runs, and is stopped", 1, (0, 0)),
];

fn life() -> Table {
    let mut table = table("Life", "Each state of a release, with nothing in the way.");
    for state in states() {
        let seen = is_seen(&state);
        for (wish, replicas, runs) in WISHES {
            let wish = if seen { wish } else { wish.split(',').next().unwrap() };
            if seen || runs == (1, 1) {
                table.row(words(&state).0, wish, facts(&state, environment(replicas, |_| ()), runs, |_| ()));
            }
        }
    }
    table
}

fn deletion() -> Table {
    let mut table = table("Deletion", "Each state of a release, under each `deletionPolicy`.");
    for state in states() {
        let seen = is_seen(&state);
        for (wish, policy, runs) in [
            ("deleted, `Retain`, and runs", "Retain", (1, 1)),
            ("deleted, `Retain`, and rests", "Retain", (0, 0)),
            ("deleted, `Orphan`", "Orphan", (1, 1)),
            ("deleted, `Delete`", "Delete", (1, 1)),
        ] {
            let wish = if seen { wish } else { wish.split(", and").next().unwrap() };
            if seen || runs == (1, 1) {
                let environment = environment(1, |object| deleted(object, policy));
                table.row(words(&state).0, wish, facts(&state, environment, runs, |_| ()));
            }
        }
    }
    table
}

fn step(step: &Step) -> String {
    let short = |name: &str| name.trim_start_matches("acme-prod-").to_owned();
    match step {
        Step::Nothing => "–".to_owned(),
        Step::Protect => "puts its finalizer on the object".to_owned(),
        Step::LetGo => "takes its finalizer away".to_owned(),
        Step::Helm(helm) => match helm.action {
            HelmAction::Install => format!("Helm installs revision {}", helm.revision),
            HelmAction::Upgrade => format!("Helm upgrades to revision {}", helm.revision),
            HelmAction::Compare => "compares it with what is wanted".to_owned(),
            HelmAction::Correct => "puts right what somebody changed by hand".to_owned(),
            HelmAction::Check => "starts a pod that tries the change".to_owned(),
            HelmAction::Unlock => format!("marks revision {} as failed", helm.revision),
            HelmAction::Uninstall => "Helm uninstalls".to_owned(),
        },
        Step::Adopt { revision, .. } => format!("labels the record of revision {revision}, and nothing else"),
        Step::LookForDrift { .. } => "has a worker look for drift".to_owned(),
        Step::Cancel { .. } => "takes the waiting operation back".to_owned(),
        Step::Scale(scaling) => {
            let one = |one: &super::scaling::Scaling| format!("{} to {}", short(&one.name), one.replicas);
            format!("scales {}", scaling.workloads.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Step::DeletePod { purpose: PodPurpose::Restart, .. } => "replaces a pod".to_owned(),
        Step::DeletePod { purpose: PodPurpose::EndCheck, .. } => "removes the pod of the trial".to_owned(),
        Step::Reserve(_) => "labels Secrets that Production names".to_owned(),
        Step::Mark(_) => "marks what is the environment's own".to_owned(),
        Step::Retain { .. } => "marks the release as retained".to_owned(),
        Step::Remove(leftovers) => {
            let one = |one: &Leftover| match one {
                Leftover::Volume(_) => "volume claims",
                Leftover::Secret(_) => "generated Secret",
            };
            format!("removes {}", leftovers.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

fn line(what: &str, wish: &str, decision: &Decision) -> String {
    let Decision { status, wake_at, .. } = decision;
    let phase = status.phase.map_or_else(String::new, |phase| format!("{phase:?}"));
    let reason = status.reason.as_ref().map_or("", Reason::as_str);
    let truths = status.conditions.iter().filter(|condition| condition.status == "True");
    let truths = truths.map(|condition| condition.type_.as_str()).collect::<Vec<_>>().join(", ");
    let again = match wake_at.map(|until| until.as_second() - NOW) {
        None => "when told".to_owned(),
        Some(seconds) if seconds >= 3 * 3600 => "when told".to_owned(),
        Some(seconds) if seconds >= 120 => format!("after {} min", seconds / 60),
        Some(seconds) => format!("after {seconds} s"),
    };
    let step = step(&decision.step);
    format!("| {what} | {wish} | {step} | {phase} | `{reason}` | {truths} | {again} |")
}

fn tables() -> [Table; 8] {
    [life(), deletion(), adoptions(), obstacles(), operations(), upgrades(), pods(), deletions()]
}

/// Each row, and what pods' failures add to them: names of table, situation and wish, and the object as it is told.
pub fn objects() -> Vec<((&'static str, String, String), Value)> {
    let mut all = Vec::new();
    for table in tables().into_iter().chain([failing_pods()]) {
        for (what, wish, facts) in table.rows {
            let mut object = serde_json::to_value(&*facts.environment).unwrap();
            object["metadata"]["namespace"] = json!("odoo");
            object["status"] = serde_json::to_value(decide(&facts, at(NOW)).status).unwrap();
            all.push(((table.heading, what, wish), object));
        }
    }
    all
}

fn page() -> String {
    let mut page = String::from(
        "# States of an environment

What the operator does about an environment, and what it says, from each state of its release. This page is made by the plan itself:
`UPDATE_GOLDEN=1 cargo test -p odoofleet-core` writes it anew, and a test fails while it is not what the plan does.

A look does at most one thing; the next one follows from what that brought. The environment of these tables has a Deployment `web`,
whose pods `spec.replicas` counts, and a StatefulSet `db`, its database. Its newest revision is 4, unless the row says otherwise, and nothing
is left of an earlier look. What each reason means, and what to do: [conditions](conditions.md).

- **The operator**: the one step that it takes; `–` is none.
- **True**: the conditions that are true.
- **Looks again**: by itself, if nothing happens before. *When told*: by a watch, a worker or a person; nothing polls. In sync, a worker looks at
  everything for [drift](drift.md) each three to six hours, and reads.

| state of the release | |
|---|---|
",
    );
    for state in states() {
        let (name, meaning) = words(&state);
        writeln!(page, "| {name} | {meaning} |").unwrap();
    }
    for table in tables() {
        write!(page, "\n## {}\n\n{}\n\n", table.heading, table.words).unwrap();
        page.push_str("| what is there | wanted | the operator | phase | reason | true | looks again |\n|---|---|---|---|---|---|---|\n");
        for (what, wish, facts) in &table.rows {
            page.push_str(&line(what, wish, &decide(facts, at(NOW))));
            page.push('\n');
        }
    }
    page
}

/// `UPDATE_GOLDEN=1 cargo test -p odoofleet-core` writes the page anew.
#[test]
fn the_page_of_states_is_what_the_plan_does() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE);
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let other = page.lines().zip(golden.lines()).find(|(is, was)| is != was);
    assert!(
        page == golden,
        "{FILE} is not what the plan does (UPDATE_GOLDEN=1 writes it anew); the first difference: {other:?}"
    );
}
