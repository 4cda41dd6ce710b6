//! Releases that nobody claims.

use super::*;
use crate::record::RecordSummary;

fn foreign(release: &str, number: i64) -> StoredRevision {
    let mut stored = revision(release, number, false);
    stored.revision.ownership = Ownership::default();
    stored
}

fn told(fleet: &Fleet) -> Vec<String> {
    let status = fleet.decide_template("odoo-18", at(10)).unwrap().status;
    let items = status.unmanaged_releases.map(|all| all.items).unwrap_or_default();
    items.into_iter().map(|item| format!("{} {} {}", item.name, item.revision, item.chart_version)).collect()
}

fn read(fleet: &mut Fleet, chart: &str) -> Affected {
    let mut affected = Affected::default();
    for key in fleet.unread_records() {
        let summary = RecordSummary { chart: chart.into(), chart_version: "1.0.0".into() };
        affected = fleet.note_record(key, Some(summary));
    }
    affected
}

#[test]
fn a_template_tells_of_the_live_releases_of_its_chart_that_nobody_claims() {
    let mut fleet = fleet();
    let object = json!({ "metadata": { "finalizers": ["odoofleet.dev/cleanup"] } });
    fleet.apply(Change::Templates(Delta::Applied(template(&object))));
    fleet.apply(Change::TemplateVersions(Delta::Applied(stored("1", None))));
    fleet.apply(Change::Releases(Delta::Applied(revision("acme-prod", 1, false))));
    assert_eq!(fleet.unread_records(), [], "what is ours is nobody's to take over");
    let affected = fleet.apply(Change::Releases(Delta::Applied(foreign("old-erp", 4))));
    assert!(affected.templates.contains("odoo-18"));
    assert_eq!(told(&fleet), Vec::<String>::new(), "nobody knows yet from which chart");
    assert!(read(&mut fleet, "odoo").templates.contains("odoo-18"));
    assert_eq!(told(&fleet), ["old-erp 4 1.0.0"]);
    assert_eq!(fleet.unread_records(), [], "a record is read once");
    fleet.apply(Change::Releases(Delta::Applied(foreign("old-erp", 5))));
    assert_eq!(fleet.unread_records().len(), 1, "somebody has upgraded it");
    read(&mut fleet, "wordpress");
    assert_eq!(told(&fleet), Vec::<String>::new(), "of another chart");
    fleet.apply(Change::Releases(Delta::Applied(foreign("old-erp", 6))));
    read(&mut fleet, "odoo");
    let claim = json!({ "spec": { "releaseName": "old-erp" } });
    let affected = applied(&mut fleet, environment("acme-old", 2, &claim));
    assert!(affected.templates.contains("odoo-18"));
    assert_eq!(told(&fleet), Vec::<String>::new(), "an environment claims it");
    fleet.apply(Change::Environments(Delta::All(vec![])));
    assert_eq!(told(&fleet), ["old-erp 6 1.0.0"]);
    fleet.apply(Change::Releases(Delta::All(vec![])));
    assert_eq!(told(&fleet), Vec::<String>::new());
}

#[test]
fn a_record_that_cannot_be_read_is_not_read_again_before_it_changes() {
    let mut fleet = fleet();
    fleet.apply(Change::Releases(Delta::Applied(foreign("old-erp", 4))));
    let key = fleet.unread_records().pop().unwrap();
    fleet.note_record(key, None);
    assert_eq!(fleet.unread_records(), []);
}
