use super::*;
use crate::environment::fixtures;

const CLAIM: Claim<'_> = Claim { customer: "acme", environment: "acme-prod", environment_uid: "u1", spec_hash: "h1" };

fn revision(number: i64, status: ReleaseStatus, change: impl FnOnce(&mut Ownership)) -> Revision {
    let mut ownership = fixtures::ownership(number);
    change(&mut ownership);
    Revision {
        release: "acme-prod".into(),
        number,
        status,
        ownership,
        created_at: Timestamp::UNIX_EPOCH,
        resource_version: "5".into(),
    }
}

fn state(revision: Revision) -> ReleaseState {
    let mut history = History::default();
    history.upsert(revision);
    ReleaseState::of(&history, &CLAIM)
}

#[test]
fn the_newest_revision_decides() {
    use ReleaseStatus as S;
    let table: [(Revision, ReleaseState); 12] = [
        (revision(1, S::Deployed, |_| {}), ReleaseState::Current),
        (revision(2, S::Deployed, |o| o.spec_hash = Some("h0".into())), ReleaseState::Outdated),
        (revision(2, S::Deployed, |o| o.revision = Some(1)), ReleaseState::ChangedByHand { spec_changed: false }),
        (revision(3, S::Failed, |_| {}), ReleaseState::Failed),
        (revision(3, S::PendingUpgrade, |_| {}), ReleaseState::Locked),
        (revision(1, S::PendingInstall, |o| *o = Ownership::default()), ReleaseState::Foreign),
        (revision(1, S::Deployed, |o| *o = Ownership::default()), ReleaseState::Foreign),
        (revision(1, S::Failed, |o| *o = Ownership::default()), ReleaseState::Foreign),
        (revision(1, S::Uninstalled, |_| {}), ReleaseState::Uninstalling),
        (revision(1, S::Deployed, |o| o.environment_uid = Some("u0".into())), ReleaseState::Outdated),
        (revision(1, S::Deployed, |o| o.retained_at = Some(1)), ReleaseState::Outdated),
        (revision(1, S::Superseded, |_| {}), ReleaseState::Outdated),
    ];
    for (revision, expected) in table {
        assert_eq!(state(revision.clone()), expected, "{revision:?}");
    }
}

#[test]
fn a_retained_release_of_another_customer_is_never_taken() {
    // Customer "a" with service "b-c", retained; then customer "a-b" with service "c" is created.
    let retained = revision(4, ReleaseStatus::Deployed, |o| {
        o.customer = Some("a".into());
        o.environment = Some("a-b-c".into());
        o.retained_at = Some(1);
    });
    assert!(matches!(state(retained), ReleaseState::OwnedByAnother { customer, .. } if customer == "a"));
}

#[test]
fn a_rollback_by_hand_is_told_from_a_change_of_the_spec() {
    let older = |o: &mut Ownership| (o.spec_hash, o.revision) = (Some("h0".into()), Some(1));
    let by_hand = |applied: &str| {
        let mut history = History::default();
        history.note_applied(&revision(2, ReleaseStatus::Superseded, |o| o.spec_hash = Some(applied.into())));
        history.upsert(revision(3, ReleaseStatus::Deployed, older));
        ReleaseState::of(&history, &CLAIM)
    };
    assert_eq!(by_hand("h1"), ReleaseState::ChangedByHand { spec_changed: false }, "rolled back from what is wanted");
    assert_eq!(by_hand("h2"), ReleaseState::ChangedByHand { spec_changed: true });
    let mut unknown = History::default();
    unknown.upsert(revision(3, ReleaseStatus::Deployed, older));
    assert_eq!(ReleaseState::of(&unknown, &CLAIM), ReleaseState::ChangedByHand { spec_changed: false });
}

#[test]
fn superseded_revisions_are_named_although_no_watch_tells_of_them() {
    let mut history = History::default();
    assert!(history.numbers(3).is_empty());
    history.upsert(revision(2, ReleaseStatus::Failed, |_| {}));
    history.upsert(revision(9, ReleaseStatus::Deployed, |_| {}));
    assert_eq!(history.numbers(2), [2, 7, 8, 9]);
}

#[test]
fn an_older_message_does_not_undo_a_newer_one() {
    let mut history = History::default();
    let at = |version: &str, status| Revision { resource_version: version.into(), ..revision(1, status, |_| {}) };
    history.upsert(at("105", ReleaseStatus::Deployed));
    history.upsert(at("99", ReleaseStatus::PendingInstall));
    assert_eq!(history.newest().unwrap().status, ReleaseStatus::Deployed);
    history.upsert(at("106", ReleaseStatus::Failed));
    assert_eq!(history.newest().unwrap().status, ReleaseStatus::Failed);
}
