use super::*;
use serde_json::json;

const GOLDEN: &str = "testdata/protocol.jsonl";

fn inputs() -> Box<Inputs> {
    let text = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    Box::new(Inputs {
        chart: Chart { path: "/charts/odoo.tgz".into(), sha256: "ab12".into() },
        values: Map::from_iter([("size".to_owned(), json!("L")), ("replicaCount".to_owned(), json!(2))]),
        labels: text("odoofleet.dev/customer", "acme"),
        replicas: BTreeMap::from([("Deployment/acme-prod-web".to_owned(), 0)]),
        other_replicas: Some(0),
        suspend_cron_jobs: true,
        volumes: text("acme-prod-filestore", "20Gi"),
        allowed_kinds: vec!["apps/v1/Deployment".into()],
        allowed_secrets: vec!["acme-prod-odoofleet".into()],
        allowed_config_maps: vec!["acme-settings".into()],
        secret_paths: vec!["/odoo/config/admin_passwd".into()],
        hosts: Some(vec!["erp.acme.example".into()]),
        allow_data_loss: true,
    })
}

fn seen() -> Seen {
    let object =
        |generation, marks| SeenObject { uid: "4712".into(), generation, resource_version: "17".into(), marks };
    let objects = [
        ("ConfigMap/acme-prod".to_owned(), object(None, Vec::new())),
        ("Deployment.apps/acme-prod-web".to_owned(), object(Some(3), vec![u64::MAX])),
    ];
    Seen { revision: 2, resource_version: "16".into(), objects: BTreeMap::from(objects) }
}

fn drift() -> Drift {
    let paths = vec!["spec.template.spec.containers[*].image".into()];
    let ignore = vec![
        Ignore { object: Some("Deployment.apps/acme-prod-web".into()), paths: paths.clone() },
        Ignore { object: None, paths },
    ];
    let objects = Some(vec!["ConfigMap/acme-prod".into()]);
    Drift { correct: true, objects, ignore, scaled: vec!["Deployment/acme-prod-web".into()] }
}

fn command(action: Action) -> Command {
    let owner = Owner {
        api_version: "odoofleet.dev/v1alpha1".into(),
        kind: "OdooEnvironment".into(),
        name: "acme-prod".into(),
        uid: "4711".into(),
    };
    match action {
        Action::Install => Command::Install { inputs: inputs() },
        Action::Upgrade => Command::Upgrade { inputs: inputs(), seen: Some(seen()) },
        Action::Check => Command::Check { inputs: inputs(), check: Check { digest: "d1".into(), owner } },
        Action::Render => Command::Render { inputs: inputs() },
        Action::Diff => Command::Diff { inputs: inputs(), objects: vec!["Deployment/acme-prod-web".into()] },
        Action::Compare => Command::Compare { inputs: inputs() },
        Action::Drift => Command::Drift { drift: drift() },
        Action::Unlock => Command::Unlock,
        Action::Uninstall => Command::Uninstall,
    }
}

fn request(action: Action) -> Request {
    Request {
        id: "op-1".into(),
        release: "acme-prod".into(),
        namespace: "odoo".into(),
        expected_revision: 3,
        revisions: vec![1, 2],
        timeout_seconds: 300,
        command: command(action),
    }
}

/// Every line that goes either way: each action, message, stage, change and class at least once.
fn lines() -> Vec<Value> {
    let validity = Validity { valid_for_millis: 8000, sent_at_millis: 123_456 };
    let id = || "op-1".to_owned();
    let mut lines = Vec::new();
    for action in Action::ALL {
        let request = request(*action);
        lines.push(serde_json::to_value(Message::Operation { request: &request, validity }).unwrap());
    }
    lines.push(serde_json::to_value(Message::Permit(validity)).unwrap());
    let hooks = Hooks { total: 3, upgrade: 2 };
    let object = |change: &Change| ObjectDiff {
        kind: "Deployment".into(),
        name: "acme-prod-web".into(),
        change: *change,
        paths: vec!["spec.template.spec.containers[0].image".into()],
    };
    let mut answers = vec![Answer::Ready { helm_version: "v4".into(), worker_version: "0.1.0".into() }];
    answers.extend(Stage::ALL.iter().map(|stage| Answer::Progress {
        id: id(),
        stage: *stage,
        hooks: (*stage == Stage::Rendered).then_some(hooks),
    }));
    let diff: Vec<_> = Change::ALL.iter().map(object).collect();
    let compared = Compared {
        revision: 2,
        resource_version: "16".into(),
        status: "deployed".into(),
        chart: "odoo".into(),
        chart_version: "1.2.3".into(),
        differences: diff.clone(),
        unstable: diff.clone(),
        changes: diff.clone(),
        restarts: vec!["Deployment/acme-prod-web".into()],
    };
    answers.push(Answer::Success {
        id: id(),
        success: Success { hooks, checks: 1, diff: diff.clone(), ..Success::default() },
    });
    let compared = Success { hooks, compared: Some(Box::new(compared)), ..Success::default() };
    answers.push(Answer::Success { id: id(), success: compared });
    let refused =
        ObjectRefused { object: "Service/acme-prod".into(), class: ErrorClass::Immutable, message: "it fails".into() };
    let corrected = vec!["ConfigMap/acme-prod".into()];
    let drift = Success { drift: diff, corrected, refused: vec![refused], ..Success::default() };
    answers.push(Answer::Success { id: id(), success: drift });
    answers.extend(ErrorClass::ALL.iter().filter(|class| **class != ErrorClass::Died).map(|class| {
        let details = vec!["PersistentVolumeClaim \"acme-prod-filestore\" would be removed".into()];
        Answer::Failure { id: id(), error: WorkerError { class: *class, message: "it fails".into(), details } }
    }));
    lines.extend(answers.iter().map(|answer| serde_json::to_value(answer).unwrap()));
    lines
}

/// `UPDATE_GOLDEN=1 cargo test -p odoofleet-helm` writes the file anew; the worker's tests then say what they miss.
#[test]
fn both_sides_of_the_pipe_say_the_same() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let lines = lines();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        std::fs::write(&path, text.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let golden: Vec<Value> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, golden, "the protocol is not the one of {GOLDEN}");
}

#[test]
fn each_answer_is_read_as_it_was_meant() {
    for line in lines().into_iter().filter(|line| !["operation", "permit"].contains(&line["type"].as_str().unwrap())) {
        let answer: Answer = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&answer).unwrap(), line);
    }
}

#[test]
fn words_are_the_same_on_the_wire_and_in_metrics() {
    for class in ErrorClass::ALL.iter().filter(|class| **class != ErrorClass::Died) {
        assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
    }
    for action in Action::ALL {
        assert_eq!(serde_json::to_value(command(*action)).unwrap()["action"], action.as_str());
        assert_eq!(command(*action).action(), *action);
    }
}

#[test]
fn only_what_renders_a_chart_carries_one() {
    let with_chart: Vec<_> =
        Action::ALL.iter().filter(|action| request_value(**action).get("inputs").is_some()).collect();
    assert_eq!(
        with_chart,
        [&Action::Install, &Action::Upgrade, &Action::Check, &Action::Render, &Action::Diff, &Action::Compare]
    );
}

fn request_value(action: Action) -> Value {
    serde_json::to_value(request(action)).unwrap()
}

#[test]
fn a_request_in_a_log_shows_no_values() {
    assert_eq!(format!("{:?}", request(Action::Upgrade)), "upgrade acme-prod revision 3 (operation op-1)");
}

#[test]
fn an_unknown_class_is_not_fatal() {
    let error: WorkerError = serde_json::from_str(r#"{"class":"brandNew","message":"m"}"#).unwrap();
    assert_eq!(error.class, ErrorClass::Unknown);
}
