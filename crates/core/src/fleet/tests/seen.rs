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
        written: 1,
        by_helm: true,
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
        (true, Delta::Applied(web(4, 15)), true, 1, "told after the upgrade, done before its end"),
        (true, Delta::Deleted(web(3, 15)), true, 1, "deleted before its end"),
        (true, Delta::Applied(web(4, 25)), false, 1, "done by hand after it: drift"),
        (true, Delta::Deleted(web(3, 25)), false, 1, "deleted after it: drift"),
        (true, Delta::Applied(web(3, 15)), false, 0, "only its status is another"),
        (false, Delta::Applied(web(4, 15)), false, 1, "it was sent: somebody else has an opinion, too"),
    ];
    for (left_out, delta, missed, expected, what) in rows {
        let mut fleet = fleet_at_two(left_out);
        tell(&mut fleet, Delta::All(vec![web(3, 7)]));
        assert!(fleet.history("acme-prod").newest().is_some() && fleet.missed("acme-prod").is_none());
        let looks = tell(&mut fleet, delta);
        assert_eq!((fleet.missed("acme-prod").is_some(), looks.len()), (missed, expected), "{what}");
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

#[test]
fn what_somebody_may_have_touched_is_suspected_until_it_is_looked_at() {
    let at = |second, seen: Seen| Seen { written: second, ..seen };
    let marked = |marks: &[u64], seen: Seen| Seen { marks: marks.into(), ..seen };
    let rows = [
        (Delta::Applied(web(4, 30)), true, "somebody edited it"),
        (Delta::Applied(at(2, web(4, 30))), false, "Helm, the operator or a controller wrote it"),
        (Delta::Applied(web(3, 30)), false, "its status"),
        (Delta::Applied(marked(&[7], web(3, 30))), true, "a label"),
        (Delta::Applied(at(2, marked(&[7], web(3, 30)))), false, "a controller's annotation"),
        (Delta::Deleted(web(3, 30)), true, "somebody deleted it"),
        (Delta::Applied(Seen { uid: "w2".into(), by_helm: false, ..web(1, 30) }), true, "somebody made it anew"),
        (Delta::Applied(Seen { uid: "w2".into(), ..at(2, web(1, 30)) }), false, "Helm made it anew"),
        (Delta::All(vec![]), true, "it vanished while nobody watched"),
        (Delta::All(vec![web(4, 30)]), true, "it was edited while nobody watched"),
    ];
    for (delta, suspected, what) in rows {
        let mut fleet = fleet_at_two(true);
        tell(&mut fleet, Delta::All(vec![web(3, 7)]));
        assert!(facts(&mut fleet, "acme-prod", 1).drift.suspects.is_empty(), "a list after a start tells of no change");
        tell(&mut fleet, delta);
        let suspects = facts(&mut fleet, "acme-prod", 1).drift.suspects;
        assert_eq!(suspects.contains(NAME), suspected, "{what}");
        assert!(fleet.begin_drift("acme-prod") && !fleet.begin_drift("acme-prod"), "one look at a time");
        assert!(facts(&mut fleet, "acme-prod", 1).drift.suspects.is_empty());
    }
}

#[test]
fn a_look_that_failed_is_made_again_after_a_pause_and_looks_at_everything() {
    let mut fleet = fleet_at_two(true);
    assert!(fleet.begin_drift("acme-prod"));
    assert!(facts(&mut fleet, "acme-prod", 1).drift.looking);
    fleet.end_drift("acme-prod", None, false, at(100));
    let drift = facts(&mut fleet, "acme-prod", 100).drift;
    assert!(!drift.looking && drift.not_before == Some(at(160)) && drift.everything_at == at(160), "{drift:?}");
    assert!(fleet.begin_drift("acme-prod"));
    let rules = odoofleet_api::environment::DriftDetection::default();
    let found = crate::environment::drift::DriftFound { revision: 2, rules, differences: vec![] };
    fleet.end_drift("acme-prod", Some(found), true, at(200));
    let drift = facts(&mut fleet, "acme-prod", 200).drift;
    assert!(drift.not_before.is_none() && drift.found.is_some() && drift.everything_at > at(200 + 3 * 3600 - 1));
}

#[test]
fn what_the_operator_scales_is_no_suspect_whichever_is_told_first() {
    let workload = (WorkloadKind::Deployment, "acme-prod-web".to_owned());
    let suspects = |fleet: &mut Fleet| facts(fleet, "acme-prod", 1).drift.suspects.len();
    for answer_first in [true, false] {
        let mut fleet = fleet_at_two(true);
        tell(&mut fleet, Delta::All(vec![web(3, 7)]));
        if answer_first {
            fleet.note_scaled(&workload, 0, Some(1), "30");
        }
        tell(&mut fleet, Delta::Applied(web(4, 30)));
        if !answer_first {
            assert_eq!(suspects(&mut fleet), 1);
            fleet.note_scaled(&workload, 0, Some(1), "30");
        }
        assert_eq!(suspects(&mut fleet), 0);
        tell(&mut fleet, Delta::Applied(web(5, 31)));
        assert_eq!(suspects(&mut fleet), 1, "somebody edits it afterwards");
    }
}
