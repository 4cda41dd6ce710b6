//! Environments, and who claims the same as they do.

use super::*;

#[test]
fn an_own_status_write_asks_for_no_look_and_a_foreign_one_does() {
    let mut fleet = fleet();
    assert_eq!(names(&applied(&mut fleet, environment("acme-prod", 1, &json!({}))).environments), ["acme-prod"]);
    let running = json!({ "status": { "phase": "Running" } });
    let told = fleet.note_told(environment("acme-prod", 5, &running));
    assert_eq!(names(&told.environments), [""; 0]);
    assert_eq!(names(&told.customers), ["acme"], "it is counted");
    assert_eq!(applied(&mut fleet, environment("acme-prod", 5, &running)), Affected::default(), "the watch repeats it");
    let older = environment("acme-prod", 4, &json!({ "status": { "phase": "Error" } }));
    assert_eq!(applied(&mut fleet, older), Affected::default(), "what a watch still had to tell is older");
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, Some(Phase::Running));
    let tampered = environment("acme-prod", 6, &json!({ "status": { "phase": "Error" } }));
    assert_eq!(names(&applied(&mut fleet, tampered).environments), ["acme-prod"]);
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, Some(Phase::Running), "what was written counts");
}

#[test]
fn a_status_of_an_object_that_was_deleted_is_not_the_next_ones() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    fleet.note_told(environment("acme-prod", 2, &json!({ "status": { "phase": "Running" } })));
    let next = json!({ "metadata": { "uid": "another" } });
    assert_eq!(names(&applied(&mut fleet, environment("acme-prod", 9, &next)).environments), ["acme-prod"]);
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, None);
    fleet.note_told(environment("acme-prod", 10, &json!({ "status": { "phase": "Running" } })));
    assert_eq!(fleet.environment("acme-prod").unwrap().status().phase, None, "an answer about the one before");
}

#[test]
fn a_list_tells_of_what_vanished_while_nobody_watched() {
    let mut fleet = fleet();
    let both = vec![environment("acme-a", 1, &host("a.example.com")), environment("acme-b", 2, &host("a.example.com"))];
    listed(&mut fleet, both.clone());
    assert_eq!(facts(&mut fleet, "acme-b", 0).references.rivals.len(), 1);
    let affected = listed(&mut fleet, vec![Arc::clone(&both[1])]);
    assert_eq!(names(&affected.environments), ["acme-a", "acme-b"], "it is forgotten everywhere, and its host is free");
    assert_eq!(names(&affected.customers), ["acme"]);
    assert!(facts(&mut fleet, "acme-b", 0).references.rivals.is_empty());
    assert_eq!(listed(&mut fleet, vec![Arc::clone(&both[1])]), Affected::default(), "the same list again");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_gone() {
    let mut fleet = fleet();
    let both = vec![environment("acme-a", 1, &json!({})), environment("acme-b", 2, &json!({}))];
    listed(&mut fleet, both.clone());
    assert!(fleet.note_unreadable(Kind::Environment, "acme-a", "missing field"));
    assert!(!fleet.note_unreadable(Kind::Environment, "acme-a", "missing field"), "told once");
    listed(&mut fleet, vec![Arc::clone(&both[1])]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a", "acme-b"]);
    assert_eq!(names(&fleet.forget(Kind::Environment, "acme-a").customers), ["acme"]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-b"]);
    assert_eq!(fleet.unreadable().count(), 0);
}

#[test]
fn who_was_given_a_host_keeps_it_and_the_other_is_told_when_it_is_free() {
    let mut fleet = fleet();
    let given = json!({ "metadata": { "creationTimestamp": "2026-11-27T09:00:00Z" }, "status": { "hosts": ["a.example.com"] } });
    let mut young = host("a.example.com");
    merge(&mut young, &given);
    applied(&mut fleet, environment("acme-young", 1, &young));
    let affected = applied(&mut fleet, environment("beta-old", 2, &host("a.example.com")));
    assert_eq!(names(&affected.environments), ["acme-young", "beta-old"], "both have to know");
    let has = |fleet: &mut Fleet, name| facts(fleet, name, 0).references.rivals[0].has_hosts;
    assert!(!has(&mut fleet, "acme-young"));
    assert!(has(&mut fleet, "beta-old"), "the younger one got it first");
    let elsewhere = json!({ "spec": { "placement": "Offline" } });
    let mut moved = young.clone();
    merge(&mut moved, &elsewhere);
    let affected = applied(&mut fleet, environment("acme-young", 3, &moved));
    assert!(affected.environments.contains("beta-old"));
    assert!(
        facts(&mut fleet, "beta-old", 0).references.rivals.is_empty(),
        "what runs at the customer's claims nothing"
    );
}

#[test]
fn a_name_or_a_host_that_an_older_one_may_not_have_is_free() {
    let mut fleet = fleet();
    let mut squatter =
        json!({ "metadata": { "creationTimestamp": "2026-11-27T07:00:00Z" }, "spec": { "releaseName": "beta-b" } });
    merge(&mut squatter, &host("erp.beta.cn"));
    applied(&mut fleet, environment("acme-x", 1, &squatter));
    applied(&mut fleet, environment("beta-b", 2, &host("erp.beta.cn")));
    let rival = |fleet: &mut Fleet| facts(fleet, "beta-b", 0).references.rivals.remove(0);
    let holds = rival(&mut fleet);
    assert!(
        !holds.has_release && holds.has_hosts && holds.hosts == ["erp.beta.cn"],
        "any host is acme's to take: {holds:?}"
    );
    let domains = json!({ "spec": { "domains": ["acme.cn"] } });
    fleet.apply(Change::Customers(Delta::Applied(customer(3, &domains))));
    assert!(rival(&mut fleet).hosts.is_empty());
}

#[test]
fn a_host_that_another_fleet_was_given_is_held_until_it_is_free() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-prod", 1, &host("a.example.com")));
    let elsewhere = |change: Value| {
        let mut object = environment("globex-prod", 1, &host("a.example.com"));
        let mut spec = serde_json::to_value(&*object).unwrap();
        merge(&mut spec, &json!({ "metadata": { "namespace": "two" } }));
        merge(&mut spec, &change);
        object = Arc::new(serde_json::from_value(spec).unwrap());
        ("two/globex-prod".to_owned(), HostClaim::of(&object))
    };
    let given = json!({ "status": { "hosts": ["a.example.com"] } });
    let held = |fleet: &mut Fleet| facts(fleet, "acme-prod", 0).references.hosts_elsewhere;
    let wished = fleet.apply(Change::Elsewhere(Delta::Applied(elsewhere(json!({})))));
    assert!(
        wished.environments.is_empty() && held(&mut fleet).is_empty(),
        "a wish is no claim: no operator may be there"
    );
    let affected = fleet.apply(Change::Elsewhere(Delta::All(vec![elsewhere(given.clone())])));
    assert_eq!(names(&affected.environments), ["acme-prod"]);
    assert_eq!(held(&mut fleet).get("a.example.com").map(String::as_str), Some("two"));
    let mut both = host("a.example.com");
    merge(&mut both, &given);
    applied(&mut fleet, environment("acme-prod", 2, &both));
    assert!(held(&mut fleet).is_empty(), "both were given it: the older, here by UID, keeps it");
    let mut older = given.clone();
    merge(&mut older, &json!({ "metadata": { "creationTimestamp": "2026-11-27T07:00:00Z" } }));
    fleet.apply(Change::Elsewhere(Delta::Applied(elsewhere(older))));
    assert!(!held(&mut fleet).is_empty(), "the other is older");
    let affected = fleet.apply(Change::Elsewhere(Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["acme-prod"], "it is free");
    assert!(held(&mut fleet).is_empty());
}

#[test]
fn what_was_unreadable_and_went_unseen_is_gone() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    fleet.note_unreadable(Kind::Environment, "acme-a", "missing field");
    assert!(fleet.look("acme-a", at(0)).is_none(), "nothing is decided from what stood there before");
    fleet.retain_unreadable(Kind::Environment, &BTreeSet::from(["acme-a".to_owned()]));
    listed(&mut fleet, vec![]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a"]);
    fleet.retain_unreadable(Kind::Customer, &BTreeSet::new());
    listed(&mut fleet, vec![]);
    assert_eq!(names(fleet.environments_of("acme")), ["acme-a"]);
    fleet.retain_unreadable(Kind::Environment, &BTreeSet::new());
    listed(&mut fleet, vec![]);
    assert_eq!(fleet.environments_of("acme").count(), 0);
}

#[test]
fn the_end_of_an_operation_is_told_to_all_who_claim_the_release() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("acme-a", 1, &json!({})));
    applied(&mut fleet, environment("beta-b", 2, &json!({ "spec": { "releaseName": "acme-a" } })));
    let evidence = Evidence { operation: "1".into(), inputs: "i".into(), result: Ok(Success::default()) };
    assert_eq!(names(&fleet.note_evidence("acme-a", evidence).environments), ["acme-a", "beta-b"]);
}

#[test]
fn a_retained_release_keeps_its_hosts_until_its_record_is_gone() {
    let mut fleet = fleet();
    applied(&mut fleet, environment("beta-prod", 1, &host("a.example.com")));
    let retained = revision("acme-prod", 3, true);
    let affected = fleet.apply(Change::Releases(Delta::Applied(retained.clone())));
    assert_eq!(names(&affected.environments), ["beta-prod"]);
    let rivals = facts(&mut fleet, "beta-prod", 0).references.rivals;
    assert!(matches!(&rivals[..], [rival] if rival.retained && rival.has_hosts && rival.customer == "acme"));
    assert_eq!(fleet.retained(), 1);
    let affected = fleet.apply(Change::Releases(Delta::All(vec![])));
    assert_eq!(names(&affected.environments), ["beta-prod"], "it vanished while nobody watched");
    assert!(facts(&mut fleet, "beta-prod", 0).references.rivals.is_empty());
}

#[test]
fn an_answer_to_a_write_brings_nobody_back_who_is_gone() {
    let mut fleet = fleet();
    let (environment, customer, template) =
        (environment("acme-prod", 5, &json!({})), customer(5, &json!({})), template(&json!({})));
    let answers = [
        Answer::Environment(Arc::clone(&environment)),
        Answer::Customer(Arc::clone(&customer)),
        Answer::Template(Arc::clone(&template)),
    ];
    for answer in answers.clone() {
        assert_eq!(fleet.note_answer(answer), Affected::default());
    }
    assert!(fleet.environment("acme-prod").is_none() && fleet.customer("acme").is_none());
    assert!(fleet.template("odoo-18").is_none());
    applied(&mut fleet, super::environment("acme-prod", 9, &json!({ "metadata": { "uid": "another" } })));
    fleet.note_answer(answers[0].clone());
    let uid = fleet.environment("acme-prod").unwrap().object.metadata.uid.clone();
    assert_eq!(uid.as_deref(), Some("another"), "it is about the one before");
    applied(&mut fleet, Arc::clone(&environment));
    let newer = super::environment("acme-prod", 10, &json!({ "metadata": { "finalizers": [] } }));
    fleet.note_answer(Answer::Environment(newer));
    assert!(fleet.environment("acme-prod").unwrap().object.metadata.finalizers.as_ref().unwrap().is_empty());
}

#[test]
fn an_environment_that_is_made_again_holds_what_its_release_says() {
    let mut fleet = fleet();
    let mut kept = revision("acme-prod", 4, true);
    (kept.revision.ownership.odoo_version, kept.revision.ownership.postgres_major) = (Some("17.0".into()), Some(15));
    fleet.apply(Change::Releases(Delta::Applied(kept)));
    applied(&mut fleet, environment("acme-prod", 1, &json!({})));
    let held = facts(&mut fleet, "acme-prod", 1).references.held.unwrap();
    let changes = held.unconfirmed("18.0", Some(16), None);
    assert_eq!(changes, [("Odoo", "17.0→18.0".to_owned()), ("PostgreSQL", "15→16".to_owned())]);
    let told = json!({ "status": { "odooVersion": "18.0", "release": { "name": "acme-prod", "revision": 4, "status": "deployed" } } });
    applied(&mut fleet, environment("acme-prod", 2, &told));
    let held = facts(&mut fleet, "acme-prod", 1).references.held.unwrap();
    assert_eq!(held.odoo_version.as_deref(), Some("18.0"), "the status knows what the operator brought last");
}
