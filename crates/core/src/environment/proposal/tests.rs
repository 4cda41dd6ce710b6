use odoofleet_api::conditions::Reason;
use odoofleet_api::template::Binding;

use super::super::fixtures;
use super::*;
use crate::values::default_bindings;

/// The chart of the tables, as a company would have one.
fn chart() -> Value {
    json!({
        "customer": {"id": ""}, "replicaCount": 1, "releaseNameOverride": "",
        "image": {"repository": "odoo", "tag": "18.0", "pullPolicy": "IfNotPresent"},
        "ingress": {"enabled": false, "host": "", "className": ""},
        "resources": {}, "git": {"customerAddons": []},
        "odoo": {"existingSecret": "", "workers": 2, "config": {"admin_passwd": "", "limit_time_cpu": 60}},
        "persistence": {"size": "10Gi"},
        "postgresql": {"auth": {"existingSecret": "", "password": ""}, "storage": "5Gi"},
        "mail": {"host": "", "password": ""}, "networkPolicy": {"enabled": true},
    })
}

fn bindings() -> Vec<Binding> {
    let named = ["customer.id", "releaseNameOverride", "replicaCount", "ingress.enabled", "ingress.host", "resources"];
    let more = ["ingress.className", "git.customerAddons", "odoo.existingSecret", "persistence.size", "image"];
    let late = ["postgresql.auth.existingSecret", "postgresql", "mail"];
    let all = default_bindings();
    let is_named = |binding: &&Binding| named.iter().chain(&more).chain(&late).any(|to| *to == binding.to);
    all.iter().filter(is_named).cloned().collect()
}

struct Case {
    defaults: Value,
    given: Value,
    template: Value,
    bindings: Vec<Binding>,
    secret_paths: Vec<&'static str>,
    locked_paths: Vec<&'static str>,
    release: &'static str,
    manifest: &'static str,
    pods: Option<i32>,
    stage: Option<Stage>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            defaults: chart(),
            given: json!({}),
            template: json!({}),
            bindings: bindings(),
            secret_paths: vec!["odoo.config.admin_passwd", "postgresql.auth.password", "mail.password"],
            locked_paths: vec!["networkPolicy"],
            release: "acme-prod",
            manifest: "",
            pods: Some(1),
            stage: None,
        }
    }
}

fn object(value: &Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

impl Case {
    fn given(given: Value) -> Self {
        Self { given, ..Self::default() }
    }

    fn proposed(self) -> Result<Proposal, ProposalError> {
        let mut version = fixtures::version(|content| {
            content.values = object(&self.template);
            content.bindings = self.bindings;
            content.secret_paths = self.secret_paths.into_iter().map(str::to_owned).collect();
            content.locked_paths = self.locked_paths.into_iter().map(str::to_owned).collect();
        });
        let mut own = (*version.chart).clone();
        own.values = object(&chart());
        version.chart = own.into();
        let record: Record = serde_json::from_value(json!({
            "name": self.release, "version": 3, "manifest": self.manifest, "config": self.given,
            "chart": {"metadata": {"name": "odoo", "version": "1.0.0"}, "values": self.defaults},
        }))
        .unwrap();
        let customer = CustomerView {
            id: "4711".into(),
            phase: None,
            stop: None,
            max_environments: None,
            domains: Vec::new(),
            is_deleting: false,
        };
        propose(&Subject {
            record: &record,
            version: &version,
            customer: &customer,
            customer_name: "acme",
            namespace: "odoo",
            service: None,
            stage: self.stage,
            mode: Adoption::Observe,
            pods: self.pods,
        })
    }
}

/// The spec beyond what each has, what the Secret holds, and the notes.
fn told(case: Case) -> (Value, Value, Vec<String>) {
    let proposal = case.proposed().unwrap();
    assert_eq!(proposal.refusal, None);
    let mut spec = serde_json::to_value(&proposal.environment.spec).unwrap();
    let fields = spec.as_object_mut().unwrap();
    for (field, usual) in [
        ("customerRef", json!({"name": "acme"})),
        ("serviceName", json!("prod")),
        ("templateRef", json!({"name": "odoo-18"})),
        ("stage", json!("Production")),
        ("adoption", json!("Observe")),
        ("replicas", json!(1)),
    ] {
        if fields.get(field) == Some(&usual) {
            fields.remove(field);
        }
    }
    let secret = proposal.secret.map_or(Value::Null, |secret| json!(secret.string_data));
    let operators = |note: &&Note| note.why != Why::SetByOperator;
    let notes = proposal.notes.iter().filter(operators).map(|note| format!("{:?} {}", note.why, note.path)).collect();
    (spec, secret, notes)
}

#[test]
fn what_equals_the_template_is_not_written_down() {
    assert_eq!(told(Case::default()), (json!({}), Value::Null, vec![]));
    let same = Case {
        given: json!({"odoo": {"workers": 4}, "customer": {"id": "4711"}}),
        template: json!({"odoo": {"workers": 4}}),
        ..Case::default()
    };
    assert_eq!(told(same), (json!({}), Value::Null, vec![]));
}

#[test]
fn fields_of_the_spec_come_from_where_the_template_binds_them() {
    let cases = [
        ("an image", json!({"image": {"tag": "18.0-3"}}), json!({"image": {"tag": "18.0-3"}})),
        (
            "a host",
            json!({"ingress": {"enabled": true, "host": "erp.acme.cn", "className": "nginx"}}),
            json!({"ingress": {"host": "erp.acme.cn", "className": "nginx"}}),
        ),
        (
            "a host that nobody serves",
            json!({"ingress": {"host": "erp.acme.cn"}}),
            json!({"ingress": {"host": "erp.acme.cn", "expose": "None"}}),
        ),
        (
            "resources",
            json!({"resources": {"limits": {"memory": "2Gi"}}}),
            json!({"resources": {"limits": {"memory": "2Gi"}}}),
        ),
        (
            "addons with a Secret",
            json!({"git": {"customerAddons": [{"url": "https://g.cn/a.git", "ref": "v1", "credentialsSecret": "acme-git"}]}}),
            json!({"git": {"customerAddons": [
                {"url": "https://g.cn/a.git", "ref": "v1", "credentialsSecretRef": {"name": "acme-git"}}]}}),
        ),
        (
            "the master password's Secret",
            json!({"odoo": {"existingSecret": "acme-master"}}),
            json!({"masterPasswordSecretRef": {"name": "acme-master"}}),
        ),
        (
            "the Secret that is the operator's anyway",
            json!({"odoo": {"existingSecret": "acme-prod-odoofleet"}}),
            json!({}),
        ),
        (
            "the database's Secret",
            json!({"postgresql": {"auth": {"existingSecret": "acme-db"}, "storage": "9Gi"}}),
            json!({"postgresql": {"auth": {"existingSecret": "acme-db"}, "storage": "9Gi"}}),
        ),
        ("storage", json!({"persistence": {"size": "20Gi"}}), json!({"storage": {"size": "20Gi"}})),
    ];
    for (what, given, spec) in cases {
        assert_eq!(told(Case::given(given)), (spec, Value::Null, vec![]), "{what}");
    }
}

#[test]
fn what_has_no_form_in_the_spec_is_a_note() {
    let given = json!({"image": {"tag": "1", "pullPolicy": "Always"}, "git": {"customerAddons": "https://g.cn/a.git"}});
    let expected = (
        json!({"image": {"tag": "1"}}),
        Value::Null,
        vec!["NoForm git.customerAddons".to_owned(), "NoForm image.pullPolicy".to_owned()],
    );
    assert_eq!(told(Case::given(given)), expected);
    let given = json!({"resources": {"limits": {"cpu": 1}}});
    let (spec, _, notes) = told(Case::given(given));
    assert_eq!(spec["resources"]["limits"]["cpu"], "1");
    assert_eq!(notes, ["NoForm resources.limits.cpu"], "a text now");
}

#[test]
fn the_rest_goes_into_values_and_secrets_into_a_secret() {
    let given = json!({
        "odoo": {"workers": 6, "config": {"admin_passwd": "hunter2"}}, "mail": {"password": "p4ss"},
        "extra": {"list": [1, 2]}, "ingress": {"className": null},
    });
    let (spec, secret, notes) = told(Case::given(given));
    let fed = |key: &str| json!({"secretKeyRef": {"name": "acme-prod-values", "key": key}, "targetPath": key});
    assert_eq!(spec["values"], json!({"odoo": {"workers": 6}, "extra": {"list": [1, 2]}}));
    assert_eq!(spec["valuesFrom"], json!([fed("odoo.config.admin_passwd"), fed("mail.password")]));
    assert_eq!(secret, json!({"odoo.config.admin_passwd": "hunter2", "mail.password": "p4ss"}));
    assert_eq!(notes, [""; 0]);
    let proposal = Case::given(json!({"odoo": {"config": {"admin_passwd": 42}}})).proposed().unwrap();
    let secret = proposal.secret.unwrap();
    assert_eq!(secret.string_data["odoo.config.admin_passwd"], "42");
    assert_eq!(secret.metadata.labels["odoofleet.dev/customer"], "acme");
    assert_eq!(secret.redacted().string_data["odoo.config.admin_passwd"], "<redacted>");
    assert!(proposal.notes.contains(&Note { why: Why::Text, path: "odoo.config.admin_passwd".into() }));
}

#[test]
fn no_password_stands_in_a_spec() {
    let cases = [
        ("api", json!({"api": {"accessToken": "s3cr3t"}}), "OpenSecret api.accessToken"),
        (
            "an option of Odoo",
            json!({"odoo": {"config": {"aws_secret": "s3cr3t"}}}),
            "OpenSecret odoo.config.aws_secret",
        ),
        ("a URL", json!({"proxy": "http://u:s3cr3t@proxy:3128"}), "OpenSecret proxy"),
        ("a variable", json!({"env": [{"name": "SMTP_PASSWORD", "value": "s3cr3t"}]}), "OpenSecret env[0].value"),
        (
            "addons",
            json!({"git": {"customerAddons": [{"url": "https://u:s3cr3t@g.cn/a.git", "ref": "v1"}]}}),
            "OpenSecret git.customerAddons",
        ),
        (
            "within a field that is set",
            json!({"mail": {"host": "smtp.cn", "password": "s3cr3t"}}),
            "SecretInField mail.password",
        ),
        ("within a field", json!({"mail": {"apiToken": "s3cr3t"}}), "OpenSecret mail.apiToken"),
    ];
    for (what, given, note) in cases {
        let (spec, secret, notes) = told(Case::given(given));
        assert_eq!(notes, [note], "{what}");
        assert!(!spec.to_string().contains("s3cr3t") && secret.is_null(), "{what}: {spec}");
    }
    let (spec, _, notes) =
        told(Case::given(json!({"auth": {"existingSecret": "names-one", "tokenUrl": "https://x.cn"}})));
    assert_eq!((spec["values"]["auth"]["existingSecret"].as_str(), notes.len()), (Some("names-one"), 0));
}

#[test]
fn passwords_that_bindings_bring_by_value_are_named_in_the_spec() {
    let bind = |to: &str, from: &str| Binding { to: to.into(), from: Some(from.into()), value: None };
    let case = Case {
        given: json!({"odoo": {"config": {"admin_passwd": "hunter2"}}, "postgresql": {"auth": {"password": "db"}}}),
        bindings: vec![
            bind("odoo.config.admin_passwd", "masterPassword"),
            bind("postgresql.auth.password", "databasePassword"),
        ],
        ..Case::default()
    };
    let (spec, secret, notes) = told(case);
    assert_eq!(spec, json!({"masterPasswordSecretRef": {"name": "acme-prod-values"}}));
    assert_eq!(secret, json!({"admin_passwd": "hunter2"}));
    assert_eq!(notes, ["GeneratedSecret postgresql.auth.password"]);
}

#[test]
fn other_defaults_of_the_releases_chart_are_written_down_where_the_template_has_a_place() {
    let mut defaults = chart();
    defaults["odoo"]["workers"] = json!(9);
    defaults["dropped"] = json!({"since": true});
    defaults["resources"] = json!({"requests": {"cpu": "1"}});
    let case = Case { defaults, ..Case::default() };
    let (spec, _, notes) = told(case);
    assert_eq!(spec, json!({"values": {"odoo": {"workers": 9}}, "resources": {"requests": {"cpu": "1"}}}));
    assert_eq!(notes, ["UnknownDefault dropped"]);
    let case = Case { defaults: json!({}), ..Case::default() };
    assert_eq!(told(case), (json!({}), Value::Null, vec![]), "new defaults are no difference");
}

#[test]
fn what_cannot_be_is_told_by_its_path() {
    let expression =
        Binding { to: "odoo.workers".into(), from: None, value: Some("inputs.stage == 'Test' ? 1 : 7".into()) };
    let cases = [
        (Case::given(json!({"networkPolicy": {"enabled": false}})), "Locked networkPolicy"),
        (Case { template: json!({"mine": 1}), ..Case::default() }, "SetByTemplate mine"),
        (
            Case {
                given: json!({"odoo": {"workers": 5}}),
                bindings: [bindings(), vec![expression]].concat(),
                ..Case::default()
            },
            "Computed odoo.workers",
        ),
    ];
    for (case, note) in cases {
        assert_eq!(told(case).2, [note]);
    }
    let proposal = Case::default().proposed().unwrap();
    let set = Note { why: Why::SetByOperator, path: "releaseNameOverride".into() };
    assert!(proposal.notes.contains(&set), "{:?}", proposal.notes);
}

#[test]
fn pods_are_as_many_as_there_are_and_what_is_at_zero_is_told() {
    let cases = [
        (Some(3), json!({}), "", 3, &[][..]),
        (None, json!({"replicaCount": 2}), "", 2, &[]),
        (Some(0), json!({"replicaCount": 2}), "", 2, &["Asleep replicaCount"]),
        (Some(0), json!({"replicaCount": 0}), "", 0, &[]),
        (Some(5), json!({"replicaCount": 2}), "kind: HorizontalPodAutoscaler", 2, &[]),
    ];
    for (pods, given, manifest, replicas, notes) in cases {
        let (spec, _, found) = told(Case { manifest, pods, ..Case::given(given.clone()) });
        assert_eq!(
            (spec["replicas"].as_i64().unwrap_or(1), &found[..]),
            (replicas, &notes.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{given}"
        );
    }
}

#[test]
fn names_come_from_the_release_and_another_customers_is_refused() {
    let named = |release: &'static str, stage: Option<Stage>| {
        let spec = Case { release, stage, ..Case::default() }.proposed().unwrap().environment.spec;
        (spec.service_name, spec.release_name)
    };
    assert_eq!(named("acme-prod", None), ("prod".into(), None));
    assert_eq!(named("acme-erp-test", Some(Stage::Test)), ("erp-test".into(), None));
    assert_eq!(named("old-erp", Some(Stage::Staging)), ("staging".into(), Some("old-erp".into())));
    assert_eq!(named("acme", None), ("prod".into(), Some("acme".into())));
    for id in [json!("globex"), json!(4712)] {
        let error = Case::given(json!({"customer": {"id": id}})).proposed().err().unwrap();
        assert!(matches!(error, ProposalError::AnotherCustomer { .. }), "{id}: {error}");
        assert!(!error.to_string().contains("globex"));
    }
    assert!(Case::given(json!({"customer": {"id": 4711}})).proposed().is_ok(), "--set makes a number of it");
}

#[test]
fn why_the_operator_would_refuse_it_is_told() {
    let binding = Binding { to: "x".into(), from: Some("ingress.host".into()), value: None };
    let given = json!({"x": "erp.acme.cn", "ingress": {"enabled": true}});
    let version = Case { bindings: vec![binding], ..Case::given(given) };
    let proposal = version.proposed().unwrap();
    assert_eq!(proposal.environment.spec.ingress.and_then(|ingress| ingress.host).as_deref(), Some("erp.acme.cn"));
    assert_eq!(proposal.refusal, None);
    let deep = Case { locked_paths: vec!["extra.deep"], ..Case::given(json!({"extra": "flat"})) };
    assert_eq!(deep.proposed().unwrap().refusal.map(|finding| finding.reason), Some(Reason::ValueNotAllowed));
}
