//! One Secret fed to every place of charts/odoo, as its schema lists them.

use std::collections::BTreeSet;
use std::sync::Arc;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::fixtures;
use super::references::{References, VersionView};
use super::validate::validate;
use crate::chart::{self, Chart};
use crate::values::{Schema, default_bindings};

const METADATA: &str = include_str!("../../../../charts/odoo/Chart.yaml");
const VALUES: &str = include_str!("../../../../charts/odoo/values.yaml");
const SCHEMA: &str = include_str!("../../../../charts/odoo/values.schema.json");

fn charts_odoo() -> Chart {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in
        [("odoo/Chart.yaml", METADATA), ("odoo/values.yaml", VALUES), ("odoo/values.schema.json", SCHEMA)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    chart::read(&tar.into_inner().unwrap().finish().unwrap()).unwrap()
}

/// Every place that a schema knows below a path: maps of anything are tried with a key of their own, lists with their first entry.
fn places(root: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = node["$ref"].as_str() {
        let node = root.pointer(target.trim_start_matches('#')).unwrap();
        places(root, node, path, found);
    }
    for part in ["allOf", "oneOf", "anyOf"] {
        node[part].as_array().into_iter().flatten().for_each(|node| places(root, node, path, found));
    }
    if !path.is_empty() {
        found.insert(path.to_owned());
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, node) in node["properties"].as_object().into_iter().flatten() {
        places(root, node, &below(key), found);
    }
    match &node["additionalProperties"] {
        Value::Bool(false) | Value::Null => {}
        Value::Object(_) => places(root, &node["additionalProperties"], &below("canary"), found),
        _ => drop(found.insert(below("canary"))),
    }
    if node["items"].is_object() {
        places(root, &node["items"], &format!("{path}[0]"), found);
    }
}

fn references(chart: &Arc<Chart>) -> References {
    let mut references = fixtures::facts(fixtures::environment(1, |_| ())).references;
    let version = fixtures::version(|content| {
        content.bindings = default_bindings();
        content.values.clear();
    });
    let schema = chart.schema.as_ref().map(|schema| Arc::new(Schema::compile(schema).unwrap()));
    references.version = Ok(VersionView { chart: Arc::clone(chart), schema, ..version });
    let (name, found) = fixtures::secret("canary", Some("acme"), &["key"]);
    references.objects.insert(name, found);
    references
}

#[test]
fn a_secret_reaches_two_places_of_the_chart_and_no_others() {
    let chart = Arc::new(charts_odoo());
    let schema = chart.schema.clone().unwrap();
    let mut all = BTreeSet::new();
    places(&schema, &schema, "", &mut all);
    assert!(
        all.len() > 200 && all.contains("ingress.tls.secretName") && all.contains("podAnnotations.canary"),
        "{all:?}"
    );
    // A map of anything, as Odoo's options are, holds what its schema does not name.
    let named = ["odoo.config.admin_passwd", "postgresql.auth.password"].map(str::to_owned);
    all.extend(named.clone());
    let references = references(&chart);
    let taken = all.iter().filter(|place| {
        let environment = fixtures::environment(1, |object| {
            object["spec"]["valuesFrom"] =
                json!([{ "secretKeyRef": { "name": "canary", "key": "key" }, "targetPath": place }]);
        });
        validate(&environment, &references).is_ok()
    });
    let taken: Vec<&String> = taken.collect();
    assert_eq!(taken, named.iter().collect::<Vec<_>>());
}
