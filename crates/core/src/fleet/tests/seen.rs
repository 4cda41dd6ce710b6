//! How objects were seen, and what an upgrade left out too early.

use super::*;
use crate::digest::mark;
use crate::release::{LeftOut, left_out_objects};

const KIND: &str = "Deployment.apps";
const NAME: &str = "Deployment.apps/acme-prod-web";

fn web(generation: i64, version: u64) -> Seen {
    Seen {
        release: "acme-prod".into(),
        name: "acme-prod-web".into(),
        uid: "w1".into(),
        generation: Some(generation),
        resource_version: version.to_string(),
        marks: Box::default(),
    }
}

fn tell(fleet: &mut Fleet, delta: Delta<Seen>) -> Vec<String> {
    fleet.apply(Change::Seen(KIND, delta)).environments.into_iter().collect()
}

/// Revision 2, whose record was written last at version 20, left the Deployment out at generation 3, or sent it.
fn fleet_at_two(left_out: bool) -> Fleet {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let mut record = super::revision("acme-prod", 2, false);
    record.revision.resource_version = "20".into();
    record.left_out = left_out_objects(
        &json!({ (NAME): { "uid": "w1", "generation": 3, "resourceVersion": "7", "leftOut": left_out } }).to_string(),
    );
    fleet.apply(Change::Releases(Delta::Applied(record)));
    fleet
}

#[test]
fn a_records_annotation_is_read_and_what_is_no_such_thing_says_nothing() {
    let all = left_out_objects(
        r#"{"ConfigMap/a":{"uid":"u","resourceVersion":"5","leftOut":true},"ConfigMap/b":{"uid":"u","resourceVersion":"6"}}"#,
    );
    let one = LeftOut { uid: mark("u"), generation: 0, version: mark("5") };
    assert_eq!(all, BTreeMap::from([(mark("ConfigMap/a"), one)]), "what was sent is asked for by nobody");
    for text in ["", "[]", "{\"a\":1}", "{"] {
        assert!(left_out_objects(text).is_empty(), "{text}");
    }
}

#[test]
fn nothing_is_known_of_a_kind_whose_watch_does_not_follow() {
    let mut fleet = fleet_at_two(true);
    let known = |fleet: &Fleet| fleet.seen("acme-prod").unwrap().objects.into_keys().collect::<Vec<_>>();
    tell(&mut fleet, Delta::Applied(web(3, 7)));
    assert_eq!(known(&fleet), [""; 0], "it has not listed them yet");
    tell(&mut fleet, Delta::All(vec![web(3, 7)]));
    assert_eq!((known(&fleet), fleet.seen("acme-prod").unwrap().revision), (vec![NAME.to_owned()], 2));
    fleet.note_watch_lost(KIND);
    assert_eq!(known(&fleet), [""; 0]);
    tell(&mut fleet, Delta::All(vec![web(3, 7)]));
    tell(&mut fleet, Delta::Deleted(web(3, 30)));
    assert_eq!(known(&fleet), [""; 0]);
    assert_eq!(fleet.seen("acme-other"), None);
}

#[test]
fn what_was_touched_before_an_upgrade_was_over_and_told_too_late_is_missed() {
    let rows = [
        (true, Delta::Applied(web(4, 15)), true, "told after the upgrade, done before its end"),
        (true, Delta::Deleted(web(3, 15)), true, "deleted before its end"),
        (true, Delta::Applied(web(4, 25)), false, "done by hand after it: the next upgrade puts it right"),
        (true, Delta::Deleted(web(3, 25)), false, "deleted after it"),
        (true, Delta::Applied(web(3, 15)), false, "only its status is another"),
        (false, Delta::Applied(web(4, 15)), false, "it was sent: somebody else has an opinion, too"),
    ];
    for (left_out, delta, missed, what) in rows {
        let mut fleet = fleet_at_two(left_out);
        tell(&mut fleet, Delta::All(vec![web(3, 7)]));
        assert!(fleet.history("acme-prod").newest().is_some() && fleet.missed("acme-prod").is_none());
        let looks = tell(&mut fleet, delta);
        assert_eq!((fleet.missed("acme-prod").is_some(), looks.len()), (missed, usize::from(missed)), "{what}");
    }
}

#[test]
fn a_later_status_does_not_hide_when_an_object_was_touched() {
    let mut fleet = fleet_at_two(true);
    tell(&mut fleet, Delta::All(vec![web(4, 15)]));
    tell(&mut fleet, Delta::Applied(web(4, 40)));
    assert_eq!(fleet.missed("acme-prod").as_deref(), Some(NAME));
    // Its controller numbers each change of it in an annotation.
    tell(&mut fleet, Delta::Applied(Seen { marks: Box::new([1]), ..web(4, 41) }));
    assert_eq!(fleet.missed("acme-prod").as_deref(), Some(NAME));
}
