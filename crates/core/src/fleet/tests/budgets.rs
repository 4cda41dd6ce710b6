//! Budgets: what one takes another cannot have.

use super::*;

#[test]
fn two_deletions_never_both_take_the_last_turn() {
    let mut fleet = fleet();
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z" }, "spec": { "deletionPolicy": "Delete" } });
    for (version, name) in (1..).zip(["acme-a", "acme-b", "acme-c"]) {
        applied(&mut fleet, environment(name, version, &going));
        fleet.apply(Change::Releases(Delta::Applied(revision(name, 1, false))));
    }
    assert!(facts(&mut fleet, "acme-a", 1000).brake.is_none());
    assert_eq!(facts(&mut fleet, "acme-b", 1001).brake.map(|hold| hold.until), Some(at(1600)));
    assert!(facts(&mut fleet, "acme-a", 1002).brake.is_none(), "it has its turn");
    assert!(facts(&mut fleet, "acme-b", 1700).brake.is_none());
    assert_eq!(facts(&mut fleet, "acme-c", 1701).brake.map(|hold| hold.until), Some(at(2300)));
}

#[test]
fn what_was_retained_before_a_restart_counts_for_the_brake() {
    let mut fleet = fleet();
    let mut retained = revision("acme-gone", 1, true);
    retained.revision.ownership.retained_at = Some(900);
    fleet.apply(Change::Releases(Delta::All(vec![retained])));
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-11-27T08:30:00Z" }, "spec": { "deletionPolicy": "Delete" } });
    applied(&mut fleet, environment("acme-a", 1, &going));
    applied(&mut fleet, environment("acme-b", 2, &json!({})));
    fleet.apply(Change::Releases(Delta::Applied(revision("acme-a", 1, false))));
    assert_eq!(facts(&mut fleet, "acme-a", 1000).brake.map(|hold| hold.until), Some(at(1500)));
    assert!(facts(&mut fleet, "acme-a", 1500).brake.is_none());
}
