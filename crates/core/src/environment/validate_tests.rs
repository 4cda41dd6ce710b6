use odoofleet_api::customer::{CustomerPhase, CustomerStop};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fixtures;
use super::super::references::{
    CustomerView, HeldVersion, ObjectName, ReferencedObject, References, Rival, VersionView,
};
use super::*;
use crate::release::Ownership;
use crate::template::VersionContent;
use crate::values::{Schema, default_bindings};

fn environment(change: impl FnOnce(&mut Value)) -> OdooEnvironment {
    let mut object = json!({
        "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment",
        "metadata": { "name": "acme-prod", "uid": "u1", "generation": 3 },
        "spec": {
            "customerRef": { "name": "acme" }, "serviceName": "prod", "stage": "Production", "replicas": 2,
            "templateRef": { "name": "odoo-18" }, "ingress": { "host": "erp.acme.cn" },
        },
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

/// A version of charts/odoo.
fn version(change: impl FnOnce(&mut VersionContent)) -> VersionView {
    let schema = json!({ "properties": { "size": { "enum": ["S", "M"] } } });
    let version = fixtures::version(|content| {
        content.postgres_major = Some(16);
        content.bindings = default_bindings();
        content.secret_paths = vec!["mail.password".into()];
        change(content);
    });
    VersionView { schema: Some(Arc::new(Schema::compile(&schema).unwrap())), ..version }
}

fn references(change: impl FnOnce(&mut References)) -> References {
    let mut references = References {
        customer: Some(CustomerView {
            id: "C0123".into(),
            phase: Some(CustomerPhase::Active),
            stop: None,
            max_environments: None,
            domains: vec![],
            is_deleting: false,
        }),
        version: Ok(version(|_| ())),
        held: None,
        release: None,
        unreadable_customer: false,
        objects: BTreeMap::new(),
        rivals: vec![],
        rank_in_customer: 0,
        allowed_git_hosts: vec![],
        allowed_domains: vec![],
        hosts_elsewhere: BTreeMap::new(),
        namespace: "odoo".into(),
    };
    change(&mut references);
    references
}

fn secret(name: &str, customer: Option<&str>, type_: &str, key: &str) -> (ObjectName, ReferencedObject) {
    let (name, mut object) = fixtures::secret(name, customer, &[key]);
    if let ReferencedObject::Found { type_: own, .. } = &mut object {
        type_.clone_into(own);
    }
    (name, object)
}

fn refused(environment: &OdooEnvironment, references: &References) -> Option<Reason> {
    validate(environment, references).err().map(|finding| finding.reason)
}

#[test]
fn a_good_environment_is_valid_and_its_values_come_from_its_inputs() {
    let wanted = validate(&environment(|_| ()), &references(|_| ())).unwrap();
    assert_eq!(
        (wanted.release.as_str(), wanted.replicas, wanted.generated_secret.as_str()),
        ("acme-prod", 2, "acme-prod-odoofleet")
    );
    assert_eq!(wanted.values["customer"]["id"], "C0123");
    assert_eq!(wanted.values["bootstrap"], json!({ "existingSecret": "acme-prod-odoofleet" }));
    assert_eq!(wanted.values["ingress"]["host"], "erp.acme.cn");
    assert!(wanted.install_hold.is_none() && wanted.overlay.is_none());
}

#[test]
fn what_the_spec_says_wrong_is_refused_with_its_reason() {
    type Row = (fn(&mut Value), Reason);
    let table: [Row; 11] = [
        (|o| o["metadata"]["name"] = json!("n".repeat(64)), Reason::InvalidSpec),
        (|o| o["spec"]["releaseName"] = json!("globex-prod"), Reason::InvalidSpec),
        (|o| o["spec"]["serviceName"] = json!("--post-renderer"), Reason::InvalidSpec),
        (|o| o["spec"]["values"] = json!({ "ingress": { "host": "x.cn" } }), Reason::ValueNotAllowed),
        (|o| o["spec"]["values"] = json!({ "mail": { "password": "x" } }), Reason::ValueNotAllowed),
        (|o| o["spec"]["values"] = json!({ "size": "XL" }), Reason::ValueNotAllowed),
        (|o| o["spec"]["size"] = json!("L"), Reason::SchemaViolation),
        (
            |o| o["spec"]["git"] = json!({ "customerAddons": [{ "url": "https://10.0.0.1/a", "ref": "m" }] }),
            Reason::GitUrlNotAllowed,
        ),
        (|o| o["spec"]["masterPasswordSecretRef"] = json!({ "name": "absent" }), Reason::ReferenceNotFound),
        (
            |o| o["spec"]["bootstrap"] = json!({ "adminPasswordSecretRef": { "name": "absent" } }),
            Reason::ReferenceNotFound,
        ),
        (
            |o| {
                o["spec"]["valuesFrom"] =
                    json!([{ "configMapKeyRef": { "name": "m", "key": "k" }, "targetPath": "a" }]);
            },
            Reason::ReferenceNotFound,
        ),
    ];
    for (change, expected) in table {
        assert_eq!(
            refused(&environment(change), &references(|_| ())),
            Some(expected),
            "{:?}",
            environment(change).spec
        );
    }
}

#[test]
fn what_surrounds_an_environment_is_refused_with_its_reason() {
    let rival = |change: fn(&mut Rival)| {
        let mut rival = Rival {
            environment: "globex-prod".into(),
            customer: "globex".into(),
            release: "other".into(),
            hosts: vec![],
            has_release: true,
            has_hosts: true,
            retained: false,
        };
        change(&mut rival);
        references(|references| references.rivals.push(rival))
    };
    let with = |change: fn(&mut References)| references(change);
    let table = [
        (with(|r| r.customer = None), Some(Reason::CustomerNotFound)),
        (with(|r| r.version = Err(Finding::new(Reason::VersionNotFound, "m"))), Some(Reason::VersionNotFound)),
        (with(|r| r.version = Ok(version(|v| v.required = vec!["image.tag".into()]))), Some(Reason::InputRequired)),
        (with(|r| r.version = Ok(version(|v| v.bindings.clear()))), Some(Reason::InputNotBound)),
        (rival(|r| r.release = "acme-prod".into()), Some(Reason::ReleaseNameTaken)),
        (rival(|r| (r.release, r.has_release) = ("acme-prod".into(), false)), None),
        (rival(|r| (r.release, r.retained) = ("acme-prod".into(), true)), Some(Reason::ReleaseOwnedByAnother)),
        (rival(|r| r.hosts = vec!["erp.acme.cn".into()]), Some(Reason::HostTaken)),
        (rival(|r| (r.hosts, r.has_hosts) = (vec!["erp.acme.cn".into()], false)), None),
        (
            rival(|r| {
                *r = Rival {
                    environment: "acme-prod".into(),
                    customer: "acme".into(),
                    release: "acme-prod".into(),
                    retained: true,
                    ..r.clone()
                }
            }),
            None,
        ),
    ];
    for (number, (references, expected)) in table.into_iter().enumerate() {
        assert_eq!(refused(&environment(|_| ()), &references), expected, "row {number}");
    }
}

#[test]
fn secrets_are_the_customers_own_and_of_a_type_that_may_be_named() {
    let named = environment(|o| o["spec"]["masterPasswordSecretRef"] = json!({ "name": "master" }));
    let with = |customer: Option<&str>, type_: &str, key: &str| {
        let object = secret("master", customer, type_, key);
        refused(&named, &references(|references| drop(references.objects.insert(object.0, object.1))))
    };
    assert_eq!(with(Some("acme"), "Opaque", "admin_passwd"), None);
    assert_eq!(with(Some("acme"), "Opaque", "other"), Some(Reason::ReferenceNotFound));
    let told = |customer: Option<&str>| {
        let object = secret("master", customer, "Opaque", "admin_passwd");
        let references = references(|references| drop(references.objects.insert(object.0, object.1)));
        validate(&named, &references).err().unwrap()
    };
    let absent = validate(&named, &references(|_| ())).err().unwrap();
    assert_eq!(absent.reason, Reason::ReferenceNotFound);
    assert_eq!(told(Some("globex")), absent, "whoever reads the status learns nothing of what he may not list");
    assert_eq!(told(None), absent);
    assert_eq!(with(Some("acme"), "helm.sh/release.v1", "admin_passwd"), Some(Reason::ReferenceNotAllowed));
    assert_eq!(
        with(Some("acme"), "kubernetes.io/service-account-token", "admin_passwd"),
        Some(Reason::ReferenceNotAllowed)
    );
}

#[test]
fn a_secret_that_is_kept_for_an_environment_or_a_stage_is_for_no_other() {
    let feed = environment(|o| {
        let from = json!([{ "secretKeyRef": { "name": "s", "key": "k" }, "targetPath": "mail.password" }]);
        o["spec"]["valuesFrom"] = from;
    });
    let with = |label: &str, value: &str| {
        let (name, mut object) = secret("s", Some("acme"), "Opaque", "k");
        if let ReferencedObject::Found { environment, stage, .. } = &mut object {
            *(if label == "environment" { environment } else { stage }) = Some(value.into());
        }
        validate(&feed, &references(|references| drop(references.objects.insert(name, object)))).err()
    };
    assert_eq!(with("environment", "acme-prod"), None);
    assert_eq!(with("stage", "Production"), None);
    for (label, value) in [("environment", "acme-test"), ("stage", "Test"), ("stage", "production")] {
        let told = with(label, value).unwrap();
        assert_eq!(told.reason, Reason::ReferenceNotAllowed, "{label} {value}");
        assert!(told.message.contains(&format!("odoofleet.dev/{label}")), "{}", told.message);
    }
}

#[test]
fn what_was_made_for_production_or_for_another_customer_is_not_continued() {
    let with = |stage: &str, made_for: Ownership| {
        let environment = environment(|o| {
            o["spec"]["stage"] = json!(stage);
            o["metadata"]["uid"] = json!("u2");
        });
        refused(&environment, &references(|references| references.release = Some(made_for)))
    };
    let made_for = |stage: &str, id: &str| Ownership {
        customer: Some("acme".into()),
        environment: Some("acme-prod".into()),
        environment_uid: Some("u1".into()),
        stage: Some(stage.into()),
        customer_id: Some(id.into()),
        ..Ownership::default()
    };
    assert_eq!(with("Test", made_for("Production", "C0123")), Some(Reason::ReleaseOwnedByAnother));
    assert_eq!(with("Production", made_for("Production", "C0123")), None);
    assert_eq!(with("Production", made_for("Production", "C0999")), Some(Reason::ReleaseOwnedByAnother));
}

#[test]
fn a_major_version_changes_only_when_the_annotation_names_the_change() {
    let upgraded = |annotation: Option<&str>| {
        let held = HeldVersion { odoo_version: Some("17.0".into()), postgres_major: Some(16) };
        let environment = environment(|o| {
            if let Some(annotation) = annotation {
                o["metadata"]["annotations"] = json!({ "odoofleet.dev/major-upgrade": annotation });
            }
        });
        refused(&environment, &references(|references| references.held = Some(held)))
    };
    assert_eq!(upgraded(None), Some(Reason::MajorUpgradeNotConfirmed));
    assert_eq!(upgraded(Some("16.0→17.0")), Some(Reason::MajorUpgradeNotConfirmed));
    assert_eq!(upgraded(Some("17.0→18.0")), None);
    assert_eq!(upgraded(Some("17.0->18.0")), None);
}

#[test]
fn a_customers_state_is_an_overlay_and_bounds_first_installations() {
    let stopped = references(|references| {
        let stop = json!({ "reason": "CustomerSuspended", "since": "2026-11-24T00:00:00Z", "scope": "All" });
        references.customer.as_mut().unwrap().stop = Some(serde_json::from_value::<CustomerStop>(stop).unwrap());
    });
    let wanted = validate(&environment(|_| ()), &stopped).unwrap();
    assert_eq!((wanted.replicas, wanted.overlay.map(|overlay| overlay.reason)), (0, Some(Reason::CustomerSuspended)));

    let install = |change: fn(&mut References)| {
        let wanted = validate(&environment(|_| ()), &references(change)).unwrap();
        wanted.install_hold.map(|finding| finding.reason)
    };
    assert_eq!(install(|r| r.customer.as_mut().unwrap().phase = None), Some(Reason::Progressing));
    assert_eq!(
        install(|r| r.customer.as_mut().unwrap().phase = Some(CustomerPhase::Prospect)),
        Some(Reason::CustomerNotActive)
    );
    assert_eq!(
        install(|r| (r.customer.as_mut().unwrap().max_environments, r.rank_in_customer) = (Some(2), 2)),
        Some(Reason::LimitExceeded)
    );
    assert_eq!(install(|r| (r.customer.as_mut().unwrap().max_environments, r.rank_in_customer) = (Some(2), 1)), None);
}

#[test]
fn the_hash_follows_what_goes_into_the_release_and_not_what_is_scaled_live() {
    let hash = |change: fn(&mut Value)| validate(&environment(change), &references(|_| ())).unwrap().spec_hash;
    let base = hash(|_| ());
    assert_eq!(base.len(), 52);
    assert_eq!(base, hash(|o| o["spec"]["replicas"] = json!(5)), "replicaCount is scaled live");
    assert_eq!(base, hash(|o| o["metadata"]["labels"] = json!({ "a": "b" })));
    assert_ne!(base, hash(|o| o["spec"]["size"] = json!("M")));
    assert_ne!(base, hash(|o| o["spec"]["values"] = json!({ "nodeSelector": { "a": "b" } })));
}

#[test]
fn a_host_bound_into_the_list_of_helm_create_keeps_its_paths() {
    let chart = json!({ "ingress": { "enabled": false, "hosts": [
        { "host": "chart-example.local", "paths": [{ "path": "/", "pathType": "ImplementationSpecific" }] }
    ] } });
    let of_chart = |change: fn(&mut VersionContent)| {
        let mut version = version(|content| {
            let binding = |to: &str, from: &str| json!({ "to": to, "from": from });
            let bindings = json!([
                binding("ingress.hosts[0].host", "ingress.host"),
                binding("ingress.enabled", "ingress.enabled"),
                binding("ingress.expose", "ingress.expose"),
            ]);
            content.bindings = serde_json::from_value(bindings).unwrap();
            content.secret_paths = vec!["ingress.hosts[0].token".into()];
            change(content);
        });
        let mut known = (*version.chart).clone();
        known.values = serde_json::from_value(chart.clone()).unwrap();
        version.chart = Arc::new(known);
        references(|references| {
            references.version = Ok(version);
            references.objects.extend([secret("hosts", Some("acme"), "Opaque", "token")]);
        })
    };
    let fed = |o: &mut Value| {
        o["spec"]["valuesFrom"] = json!([
            { "secretKeyRef": { "name": "hosts", "key": "token" }, "targetPath": "ingress.hosts[0].token" }
        ]);
    };
    let hosts = |environment: &OdooEnvironment, references: &References| {
        validate(environment, references).unwrap().values["ingress"]["hosts"].clone()
    };
    let paths = json!([{ "path": "/", "pathType": "ImplementationSpecific" }]);
    assert_eq!(
        hosts(&environment(|_| ()), &of_chart(|_| ())),
        json!([{ "host": "erp.acme.cn", "paths": paths }]),
        "over the chart's own list"
    );
    assert_eq!(
        hosts(&environment(fed), &of_chart(|_| ())),
        json!([{ "host": "erp.acme.cn", "paths": paths, "token": "" }]),
        "beside what a Secret feeds"
    );
    let of_template = of_chart(|content| {
        let values = json!({ "ingress": { "hosts": [{ "paths": ["/odoo"] }, { "host": "b" }] } });
        content.values = serde_json::from_value(values).unwrap();
    });
    assert_eq!(
        hosts(&environment(|_| ()), &of_template),
        json!([{ "host": "erp.acme.cn", "paths": ["/odoo"] }, { "host": "b" }]),
        "over the template's list"
    );
    let replaced = environment(|o| o["spec"]["values"] = json!({ "ingress": { "hosts": [{ "paths": ["/a"] }] } }));
    assert_eq!(
        hosts(&replaced, &of_template),
        json!([{ "host": "erp.acme.cn", "paths": ["/a"] }]),
        "over the environment's list"
    );
}

#[test]
fn a_chart_that_knows_no_secrets_name_gets_passwords_by_value() {
    let with = |change: &dyn Fn(&mut References)| {
        references(|references| {
            references.version = Ok(version(|content| {
                let binding = |to: &str, from: &str| json!({ "to": to, "from": from });
                let bindings = [
                    binding("admin", "masterPassword"),
                    binding("host", "ingress.host"),
                    binding("e", "ingress.expose"),
                ];
                content.bindings = serde_json::from_value(json!(bindings)).unwrap();
                content.secret_paths = vec!["admin".into()];
            }));
            change(references);
        })
    };
    let generated = validate(&environment(|_| ()), &with(&|_| ())).unwrap();
    let [fed] = &generated.fed[..] else { panic!("{:?}", generated.fed) };
    assert_eq!((fed.object.name.as_str(), fed.key.as_str()), ("acme-prod-odoofleet", "admin_passwd"));
    assert_eq!(generated.values["admin"], "", "the content is not in the values before it is read");
    let named = environment(|o| o["spec"]["masterPasswordSecretRef"] = json!({ "name": "master" }));
    let of_digest = |digest: &str| {
        let (name, mut object) = secret("master", Some("acme"), "Opaque", "admin_passwd");
        if let ReferencedObject::Found { keys, .. } = &mut object {
            keys.insert("admin_passwd".into(), digest.into());
        }
        validate(&named, &with(&|references| drop(references.objects.insert(name.clone(), object.clone())))).unwrap()
    };
    assert_eq!(of_digest("one").fed[0].object.name, "master");
    assert_ne!(of_digest("one").spec_hash, of_digest("two").spec_hash, "another password is another revision");
    for values in [json!({ "admin": "x" }), json!({ "admin": "" })] {
        let told = refused(&environment(|o| o["spec"]["values"] = values.clone()), &with(&|_| ()));
        assert_eq!(told, Some(Reason::ValueNotAllowed));
    }
    let from = json!([{ "secretKeyRef": { "name": "s", "key": "k" }, "targetPath": "admin" }]);
    let mine = secret("s", Some("acme"), "Opaque", "k");
    let told = refused(
        &environment(|o| o["spec"]["valuesFrom"] = from.clone()),
        &with(&|references| drop(references.objects.insert(mine.0.clone(), mine.1.clone()))),
    );
    assert_eq!(told, Some(Reason::ValueNotAllowed), "the binding owns it");
}
