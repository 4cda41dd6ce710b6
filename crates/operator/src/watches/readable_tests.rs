use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectList, PartialObjectMeta, WatchEvent};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, ResourceExt};
use odoofleet_api::OdooEnvironment;
use parking_lot::Mutex;

use super::*;

const SECRET: &str = "S3cr3t";
const DEEP: usize = 10_000;

fn nested(levels: usize) -> String {
    format!("{}\"{SECRET}\"{}", "{\"x\":".repeat(levels), "}".repeat(levels))
}

fn environment(name: &str, version: u32, stage: &str, values: &str, managed_fields: &str) -> String {
    format!(
        r#"{{"apiVersion":"odoofleet.dev/v1alpha1","kind":"OdooEnvironment","metadata":{{"name":"{name}","namespace":"odoo",
        "uid":"uid-{name}","resourceVersion":"{version}","generation":3,"labels":{{"a":"b"}},"finalizers":["odoofleet.dev/x"],
        "deletionTimestamp":"2026-01-01T00:00:00Z","managedFields":[{{"manager":"kubectl","operation":"Update",
        "fieldsType":"FieldsV1","fieldsV1":{managed_fields}}}]}},"spec":{{"customerRef":{{"name":"acme"}},"serviceName":"erp",
        "templateRef":{{"name":"odoo-18"}},"stage":"{stage}","values":{values}}}}}"#
    )
}

fn good(name: &str, version: u32) -> String {
    environment(name, version, "Test", "{}", "{}")
}

fn list(objects: &[String]) -> String {
    format!(
        r#"{{"apiVersion":"odoofleet.dev/v1alpha1","kind":"OdooEnvironmentList","metadata":{{"resourceVersion":"10"}},"items":[{}]}}"#,
        objects.join(",")
    )
}

/// As the API server writes them: `type` first.
fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn bookmark(version: u32) -> String {
    event(
        "BOOKMARK",
        &format!(
            r#"{{"kind":"OdooEnvironment","apiVersion":"odoofleet.dev/v1alpha1","metadata":{{"resourceVersion":"{version}",
            "creationTimestamp":null}},"spec":{{"customerRef":{{"name":""}}}}}}"#
        )
        .replace('\n', ""),
    )
}

fn unreadable<K: std::fmt::Debug>(read: Readable<K>) -> Unreadable {
    match read {
        Readable::Unreadable(unreadable) => unreadable,
        Readable::Object(object) => panic!("it was read: {object:?}"),
    }
}

fn read<K>(text: &str) -> Readable<K>
where
    K: Resource + DeserializeOwned,
    K::DynamicType: Default,
{
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_page_is_read_whatever_one_object_of_it_holds() {
    for (bad, expected) in [
        (environment("bad", 2, "Test", &nested(DEEP), "{}"), "values are nested deeper than 64 levels"),
        (environment("bad", 2, "Test", &nested(DEEP), &nested(DEEP)), "values are nested deeper than 64 levels"),
        (environment("bad", 2, SECRET, "{}", "{}"), "\"spec.stage\" holds an unknown value; known are"),
        (environment("bad", 2, SECRET, "{}", &nested(DEEP)), "\"spec.stage\" holds an unknown value; known are"),
        (
            environment("bad", 2, "Test", "{\"x\":1e999}", "{}"),
            "the object holds a number or a text that cannot be read",
        ),
    ] {
        let page: ObjectList<Readable<OdooEnvironment>> =
            serde_json::from_str(&list(&[good("one", 1), bad, good("two", 3)])).unwrap();
        let [one, bad, two] = <[_; 3]>::try_from(page.items).unwrap();
        assert!(matches!(&one, Readable::Object(object) if object.spec.service_name == "erp"), "{one:?}");
        assert!(matches!(&two, Readable::Object(object) if object.name_any() == "two"), "{two:?}");
        let bad = unreadable(bad);
        assert!(bad.problem.starts_with(expected), "{}", bad.problem);
        assert!(!bad.problem.contains(SECRET) && bad.problem.len() < 300, "{}", bad.problem);
        let meta = bad.metadata;
        assert_eq!(meta.name.as_deref(), Some("bad"));
        assert_eq!(meta.namespace.as_deref(), Some("odoo"));
        assert_eq!(meta.uid.as_deref(), Some("uid-bad"));
        assert_eq!(meta.resource_version.as_deref(), Some("2"));
        assert_eq!(meta.generation, Some(3));
        assert_eq!(meta.labels.unwrap()["a"], "b");
        assert_eq!(meta.finalizers.unwrap(), ["odoofleet.dev/x"]);
        assert!(meta.deletion_timestamp.is_some());
        assert!(meta.managed_fields.is_none());
    }
}

#[test]
fn an_empty_page_is_read() {
    let page = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"1"},"items":null}"#;
    assert!(serde_json::from_str::<ObjectList<Readable<OdooEnvironment>>>(page).unwrap().items.is_empty());
}

#[test]
fn events_are_read_whatever_the_object_holds() {
    let bad = environment("bad", 2, "Test", &nested(DEEP), &nested(DEEP));
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        let read: WatchEvent<Readable<OdooEnvironment>> = serde_json::from_str(&event(kind, &bad)).unwrap();
        let (WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object)) = read else {
            panic!("{kind} was read as {read:?}");
        };
        assert_eq!(unreadable(object).metadata.resource_version.as_deref(), Some("2"));
    }
    let read: WatchEvent<Readable<OdooEnvironment>> = serde_json::from_str(&bookmark(7)).unwrap();
    assert!(matches!(read, WatchEvent::Bookmark(mark) if mark.metadata.resource_version == "7"));
    let gone =
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}"#;
    let read: WatchEvent<Readable<OdooEnvironment>> = serde_json::from_str(&event("ERROR", gone)).unwrap();
    assert!(matches!(read, WatchEvent::Error(status) if status.code == 410));
}

#[test]
fn values_of_64_levels_are_read_and_those_of_65_are_not() {
    let Readable::Object(object) = read::<OdooEnvironment>(&environment("x", 1, "Test", &nested(64), &nested(DEEP)))
    else {
        panic!("64 levels are not read");
    };
    assert!(object.metadata.managed_fields.is_none());
    let problem = unreadable(read::<OdooEnvironment>(&environment("x", 1, "Test", &nested(65), "{}"))).problem;
    assert_eq!(problem, "values are nested deeper than 64 levels");
}

#[test]
fn braces_in_texts_are_no_levels() {
    let text = format!("{{\"x\":\"\\\\\\\"{}\"}}", "{[".repeat(DEEP));
    assert_eq!(levels(&text), 1);
    assert_eq!(levels("[{\"x\":[]},[[]]]"), 3);
}

#[test]
fn an_object_without_a_name_is_nobody_s() {
    let text = good("x", 1).replacen("\"name\":\"x\",", "", 1);
    let nameless = unreadable(read::<OdooEnvironment>(&text));
    assert_eq!(nameless.problem, "\"metadata\" lacks the field \"name\"");
    assert_eq!(nameless.metadata.uid.as_deref(), Some("uid-x"));
}

#[test]
fn metadata_that_cannot_be_read_still_says_who_it_is() {
    let text = good("x", 1).replace("{\"a\":\"b\"}", "7");
    let odd = unreadable(read::<OdooEnvironment>(&text));
    assert_eq!(odd.problem, "\"metadata.labels\" holds an integer where a map is expected");
    let meta = odd.metadata;
    assert_eq!((meta.name.as_deref(), meta.namespace.as_deref()), (Some("x"), Some("odoo")));
    assert_eq!((meta.uid.as_deref(), meta.resource_version.as_deref()), (Some("uid-x"), Some("1")));
    for text in ["null", "7", "[]", "{}", "{\"metadata\":7}"] {
        assert_eq!(unreadable(read::<OdooEnvironment>(text)).metadata, ObjectMeta::default(), "{text}");
    }
}

/// `serde_json` would read another object than the one that policies saw: the text's content in the place of the map.
#[test]
fn values_that_serde_json_takes_for_its_own_are_not_read() {
    let values = r#"{"x":{"$serde_json::private::RawValue":"{\"hidden\":true}"}}"#;
    assert_eq!(serde_json::from_str::<serde_json::Value>(values).unwrap()["x"]["hidden"], true);
    let problem = unreadable(read::<OdooEnvironment>(&environment("x", 1, "Test", values, "{}"))).problem;
    assert_eq!(problem, "the object holds the reserved name \"$serde_json::private::RawValue\"");
}

#[test]
fn metadata_of_secrets_and_other_kinds_are_read_however_deep_their_managed_fields_are() {
    let metadata = format!(
        r#"{{"name":"x","resourceVersion":"1","managedFields":[{{"manager":"helm","fieldsV1":{0}}}]}}"#,
        nested(DEEP)
    );
    let partial = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{metadata}}}"#);
    let Readable::Object(secret) = read::<PartialObjectMeta<Secret>>(&partial) else { panic!("it can be read") };
    let managers = secret.metadata.managed_fields.clone().unwrap_or_default();
    assert_eq!((secret.name_any().as_str(), managers[0].manager.as_deref()), ("x", Some("helm")), "who wrote stays");
    assert_eq!(managers[0].fields_v1, None);
    let deployment =
        format!(r#"{{"metadata":{metadata},"spec":{{"selector":{{}},"template":{{}},"unknown":{}}}}}"#, nested(DEEP));
    assert!(matches!(read::<Deployment>(&deployment), Readable::Object(object) if object.spec.is_some()));
}

#[test]
fn content_of_other_kinds_is_read_as_deep_as_serde_json_reads() {
    use k8s_openapi::api::apps::v1::ControllerRevision;
    let revision = |levels| format!(r#"{{"metadata":{{"name":"x"}},"revision":1,"data":{}}}"#, nested(levels));
    assert!(matches!(read::<ControllerRevision>(&revision(100)), Readable::Object(_)));
    let problem = unreadable(read::<ControllerRevision>(&revision(DEEP))).problem;
    assert_eq!(problem, "the object is nested deeper than 127 levels");
}

#[test]
fn it_goes_by_the_kind_s_own_address() {
    assert_eq!(Readable::<OdooEnvironment>::url_path(&(), Some("odoo")), OdooEnvironment::url_path(&(), Some("odoo")));
    assert!(Readable::<PartialObjectMeta<Secret>>::metadata_api());
    assert!(!Readable::<Secret>::metadata_api());
    let bad: Readable<OdooEnvironment> = read(&environment("bad", 2, "?", "{}", "{}"));
    let reference = bad.object_ref(&());
    assert_eq!(reference.kind.as_deref(), Some("OdooEnvironment"));
    assert_eq!(reference.uid.as_deref(), Some("uid-bad"));
}

/// An API server that has one list, and a watch for each of the given batches of events.
struct Server {
    list: String,
    watches: Mutex<std::collections::VecDeque<Vec<String>>>,
    from: Mutex<Vec<String>>,
}

async fn environments(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if !query.contains("watch=true") {
        return server.list.clone().into_response();
    }
    let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or_default();
    server.from.lock().push(version.to_owned());
    match server.watches.lock().pop_front() {
        Some(events) => {
            let lines = events.into_iter().map(|event| Ok::<_, std::io::Error>(event.replace('\n', "") + "\n"));
            Body::from_stream(futures::stream::iter(lines)).into_response()
        }
        None => Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>()).into_response(),
    }
}

async fn client(server: &Arc<Server>) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = "/apis/odoofleet.dev/v1alpha1/namespaces/odoo/odooenvironments";
    let router = Router::new().route(path, get(environments)).with_state(Arc::clone(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

/// What a watcher told, in short.
fn told(event: &Event<Readable<OdooEnvironment>>) -> String {
    let one = |object: &Readable<OdooEnvironment>| match object {
        Readable::Object(object) => object.name_any(),
        Readable::Unreadable(bad) => format!("unreadable {}", bad.metadata.name.as_deref().unwrap_or_default()),
    };
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("listed {}", one(object)),
        Event::InitDone => "done".to_owned(),
        Event::Apply(object) => format!("applied {}", one(object)),
        Event::Delete(object) => format!("deleted {}", one(object)),
    }
}

#[tokio::test]
async fn a_watcher_goes_on_past_objects_that_cannot_be_read() {
    let deep = environment("deep", 2, "Test", &nested(DEEP), &nested(DEEP));
    let server = Arc::new(Server {
        list: list(&[good("one", 1), deep.clone(), environment("odd", 3, "?", "{}", "{}"), good("two", 4)]),
        watches: Mutex::new(
            [
                vec![
                    event("MODIFIED", &environment("odd", 11, "??", "{}", "{}")),
                    event("ADDED", &good("three", 12)),
                    bookmark(20),
                ],
                vec![event("DELETED", &deep.replacen("\"2\"", "\"21\"", 1)), event("MODIFIED", &good("odd", 22))],
            ]
            .into(),
        ),
        from: Mutex::default(),
    });
    let api: Api<Readable<OdooEnvironment>> = Api::namespaced(client(&server).await, "odoo");
    let events = watcher(api, watcher::Config::default()).map_ok(|event| told(&event));
    let told: Vec<String> = events.take(10).try_collect().await.unwrap();
    assert_eq!(
        told,
        [
            "init",
            "listed one",
            "listed unreadable deep",
            "listed unreadable odd",
            "listed two",
            "done",
            "applied unreadable odd",
            "applied three",
            "deleted unreadable deep",
            "applied odd",
        ]
    );
    assert_eq!(server.from.lock()[..2], ["10", "20"]);
}
