use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use odoofleet_api::GROUP;
use serde_json::json;

use super::checks::all;
use super::facts::{Argo, Facts, Operator, Right};
use super::installation::rights;
use super::{Outcome, cluster};
use crate::language::Language;

/// A cluster on which nothing was installed.
fn bare() -> Facts {
    Facts {
        kubernetes: Ok("v1.36.3".into()),
        groups: Ok(BTreeSet::new()),
        crds: Ok(Vec::new()),
        operators: Ok(Vec::new()),
        policies: Ok(0),
        roles: Ok(0),
        namespaces: Ok(Vec::new()),
        storage: Ok(Vec::new()),
        ingress: Ok(Vec::new()),
        metrics: Ok(false),
        links: Ok((0, 0)),
        argo: Ok(None),
        rights: Right::INSTALL.into_iter().map(|right| (right, Some(true))).collect(),
        namespace: "odoo".into(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// A cluster with a whole installation.
fn installed() -> Facts {
    let mut crds = odoofleet_api::crds();
    for crd in &mut crds {
        let status = json!({"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": {"kind": "", "plural": ""},
            "storedVersions": []});
        crd.status = Some(serde_json::from_value(status).unwrap());
    }
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "odoo", "labels": {
        "odoofleet.dev/managed": "true", "odoofleet.dev/protected": "true",
        "pod-security.kubernetes.io/enforce": "restricted"}}}))
    .unwrap();
    let class: StorageClass =
        serde_json::from_value(json!({"provisioner": "p", "metadata": {"name": "fast", "annotations": {
        "storageclass.kubernetes.io/is-default-class": "true"}}}))
        .unwrap();
    let groups = [GROUP, "cert-manager.io", "gateway.networking.k8s.io"];
    Facts {
        groups: Ok(groups.into_iter().map(str::to_owned).collect()),
        crds: Ok(crds),
        operators: Ok(vec![running("odoo")]),
        policies: Ok(11),
        roles: Ok(4),
        namespaces: Ok(vec![namespace]),
        storage: Ok(vec![class]),
        metrics: Ok(true),
        rights: [(Right::ListEnvironments, Some(true))].into(),
        ..bare()
    }
}

fn running(watches: &str) -> Operator {
    Operator {
        namespace: "odoofleet-system".into(),
        name: format!("odoofleet-{watches}"),
        replicas: 1,
        ready: 1,
        watches: Some(watches.into()),
        ..Operator::default()
    }
}

fn outcomes(facts: &Facts) -> BTreeMap<&'static str, Outcome> {
    all(facts, Language::English).into_iter().map(|check| (check.name, check.outcome)).collect()
}

#[test]
fn the_oldest_kubernetes_is_that_of_the_chart() {
    let chart = include_str!("../../../../../charts/odoofleet/Chart.yaml");
    let (major, minor) = cluster::OLDEST;
    assert!(chart.contains(&format!("kubeVersion: \">={major}.{minor}.0-0\"")), "{chart}");
}

#[test]
fn a_whole_installation_passes_every_check() {
    let outcomes = outcomes(&installed());
    assert!(outcomes.values().all(|outcome| *outcome == Outcome::Ok), "{outcomes:?}");
}

#[test]
fn nothing_fails_where_nothing_is_installed() {
    let outcomes = outcomes(&bare());
    assert!(outcomes.values().all(|outcome| matches!(outcome, Outcome::Ok | Outcome::Warning)), "{outcomes:?}");
    assert_eq!(outcomes["installation"], Outcome::Ok);
}

#[test]
fn whoever_sees_nothing_is_told_so_and_nothing_fails() {
    let no = || "you may not".to_owned();
    let facts = Facts {
        kubernetes: Err(no()),
        groups: Err(no()),
        crds: Err(no()),
        operators: Err(no()),
        policies: Err(no()),
        roles: Err(no()),
        namespaces: Err(no()),
        storage: Err(no()),
        ingress: Err(no()),
        links: Err(no()),
        argo: Err(no()),
        metrics: Err(no()),
        rights: BTreeMap::new(),
        ..bare()
    };
    let outcomes = outcomes(&facts);
    assert!(outcomes.values().all(|outcome| *outcome != Outcome::Failed), "{outcomes:?}");
    assert_eq!(outcomes["installation"], Outcome::Unknown);
}

#[test]
fn each_trouble_is_seen_by_its_check() {
    use Outcome::{Failed, Ok as Well, Unknown, Warning};
    type Change = fn(&mut Facts);
    let cases: &[(&str, Outcome, Change)] = &[
        ("kubernetes", Failed, |facts| facts.kubernetes = Ok("v1.32.9-eks-1".into())),
        ("kubernetes", Well, |facts| facts.kubernetes = Ok("v1.33+".into())),
        ("installation", Failed, |facts| facts.policies = Ok(0)),
        ("installation", Failed, |facts| facts.operators = Ok(Vec::new())),
        ("installation", Warning, |facts| {
            (facts.operators, facts.policies, facts.roles) = (Ok(Vec::new()), Ok(0), Ok(0));
        }),
        ("installation", Well, |facts| facts.policies = Err("no".into())),
        ("crds", Failed, |facts| drop(facts.crds.as_mut().unwrap().pop())),
        ("crds", Failed, |facts| facts.crds.as_mut().unwrap()[0].status = None),
        ("crds", Failed, |facts| facts.crds.as_mut().unwrap()[0].spec.versions[0].name = "v9".into()),
        ("crds", Warning, |facts| facts.crds.as_mut().unwrap()[0].spec.versions[0].schema = None),
        ("crds", Unknown, |facts| facts.crds = Err("no".into())),
        ("operator", Failed, |facts| facts.operators.as_mut().unwrap()[0].ready = 0),
        ("operator", Failed, |facts| facts.operators = Ok(Vec::new())),
        ("operator", Warning, |facts| facts.operators.as_mut().unwrap()[0].replicas = 0),
        ("operator", Well, |facts| {
            let until = facts.now + SignedDuration::from_secs(9);
            let operator = &mut facts.operators.as_mut().unwrap()[0];
            (operator.replicas, operator.held_until) = (0, Some(until));
        }),
        ("operators", Failed, |facts| facts.operators.as_mut().unwrap().push(running("odoo"))),
        ("operators", Warning, |facts| facts.operators.as_mut().unwrap().push(running("other"))),
        ("namespaces", Failed, |facts| facts.namespaces = Ok(Vec::new())),
        ("namespaces", Warning, |facts| {
            facts.namespaces.as_mut().unwrap()[0].labels_mut().remove("odoofleet.dev/protected");
        }),
        ("storage", Warning, |facts| facts.storage = Ok(Vec::new())),
        ("storage", Warning, |facts| {
            let class = facts.storage.as_ref().unwrap()[0].clone();
            facts.storage.as_mut().unwrap().push(class);
        }),
        ("routes", Warning, |facts| facts.groups = Ok([GROUP.to_owned()].into())),
        ("cert-manager", Warning, |facts| facts.groups = Ok([GROUP.to_owned()].into())),
        ("metrics-server", Warning, |facts| facts.metrics = Ok(false)),
        ("metrics-server", Warning, |facts| facts.metrics = Err("does not answer".into())),
        ("service-links", Warning, |facts| facts.links = Ok((900, 1))),
        ("service-links", Well, |facts| facts.links = Ok((900, 0))),
        ("argo-cd", Warning, |facts| {
            facts.argo = Ok(Some(Argo { method: Some("label".into()), ..Argo::default() }));
        }),
        ("argo-cd", Warning, |facts| {
            facts.argo = Ok(Some(Argo { version: Some("2.14.1".into()), ..Argo::default() }));
        }),
        ("argo-cd", Well, |facts| facts.argo = Ok(Some(Argo { version: Some("3.1.0".into()), ..Argo::default() }))),
        ("argo-cd", Warning, |facts| {
            facts.argo = Ok(Some(Argo { labelled: Some("acme-prod".into()), ..Argo::default() }));
        }),
        ("argo-cd", Unknown, |facts| facts.argo = Ok(Some(Argo { hidden: Some("no".into()), ..Argo::default() }))),
        ("rights", Warning, |facts| facts.rights = [(Right::ListEnvironments, Some(false))].into()),
    ];
    for (index, (name, expected, change)) in cases.iter().enumerate() {
        let mut facts = installed();
        change(&mut facts);
        for language in [Language::English, Language::Chinese] {
            let checks = all(&facts, language);
            let found = checks.iter().find(|check| check.name == *name).unwrap();
            assert_eq!(found.outcome, *expected, "case {index}: {found:?}");
        }
    }
}

#[test]
fn whoever_may_not_install_is_told_what_lacks() {
    let mut facts = bare();
    facts.rights.insert(Right::Crds, Some(false));
    let check = rights(&facts, Language::English);
    assert_eq!(
        (check.outcome, check.message.as_str()),
        (Outcome::Warning, "you may not create customresourcedefinitions")
    );
}
