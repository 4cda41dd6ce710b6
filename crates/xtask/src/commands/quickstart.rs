//! The objects of `examples/quickstart`, as they are or for a real node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::images::odoo::Source;
use crate::{images, repo};

/// What `kubectl apply` is given: as the files say it, with nothing of what a cluster knows; with images that a real node has, if an
/// Odoo is given for one.
pub fn objects(odoo: Option<&Source>) -> Result<Vec<Value>> {
    let mut objects = read(&repo::path("examples/quickstart"))?;
    if let Some(odoo) = odoo {
        objects.iter_mut().try_for_each(|object| make_real(object, odoo))?;
    }
    Ok(objects)
}

/// The objects as one that kubectl takes.
pub fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// Reads the objects of a folder of manifests, file after file.
///
/// Not by kubectl: of an object that exists, `kubectl apply --dry-run=client` gives the live one, `resourceVersion` and status
/// included. Applied, that becomes what was applied last, and the next one fails, as it takes the `resourceVersion` away.
fn read(folder: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {:?}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {:?}", file.display()))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{:?} is not YAML", file.display()))?;
        objects.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    Ok(objects)
}

/// Gives templates another version if theirs exists with a chart of other content than the archive that lies there now: a version
/// is frozen with its chart, and environments follow to a new version only. Returns the versions that were renamed, old and new.
pub fn follow_chart(objects: &mut [Value], existing: &[Value], archive: &[u8]) -> Vec<(String, String)> {
    let now = HEXLOWER.encode(&Sha256::digest(archive));
    let mut renamed = Vec::new();
    for template in objects.iter_mut().filter(|object| object["kind"] == "OdooTemplate") {
        let version = template["spec"]["version"].as_str().unwrap_or_default().to_owned();
        let frozen = existing
            .iter()
            .filter(|existing| existing["metadata"]["name"] == template["metadata"]["name"])
            .flat_map(|existing| existing["status"]["versions"].as_array().into_iter().flatten())
            .find(|frozen| frozen["version"] == version.as_str());
        let Some(digest) = frozen.and_then(|frozen| frozen["chartDigest"].as_str()) else { continue };
        if digest.trim_start_matches("sha256:") != now {
            let new = format!("{version}-{}", &now[..8]);
            template["spec"]["version"] = json!(new);
            renamed.push((version, new));
        }
    }
    renamed
}

fn make_real(object: &mut Value, odoo: &Source) -> Result<()> {
    let major = odoo.series.split('.').next().unwrap_or_default();
    let template = format!("odoo-{major}");
    match object["kind"].as_str() {
        Some("OdooTemplate") => {
            object["metadata"]["name"] = json!(template);
            let spec = &mut object["spec"];
            spec["version"] = json!(format!("{}-real", odoo.series));
            spec["odooVersion"] = json!(odoo.series);
            spec["postgresMajor"] = json!(images::POSTGRES_MAJOR);
            merge(&mut spec["values"], images::values()?);
            merge(&mut spec["values"], odoo.values());
        }
        Some("OdooEnvironment") => {
            object["spec"]["templateRef"] = json!({"name": template});
            // What fits a laptop.
            object["spec"]["size"] = json!("S");
        }
        _ => {}
    }
    Ok(())
}

/// Puts `more` into `into`; objects are merged, anything else is replaced.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_merged_and_the_rest_is_replaced() {
        let mut into = json!({"a": {"x": 1, "y": 1}, "b": [1]});
        merge(&mut into, json!({"a": {"y": 2}, "b": [2], "c": {"z": 3}}));
        assert_eq!(into, json!({"a": {"x": 1, "y": 2}, "b": [2], "c": {"z": 3}}));
    }

    #[test]
    fn the_quickstart_is_what_its_files_say_and_nothing_more() {
        let objects = objects(None).unwrap();
        let title = |object: &Value| format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', "");
        let names: Vec<String> = objects.iter().map(title).collect();
        assert_eq!(
            names,
            [
                "OdooCustomer/acme",
                "OdooCustomer/globex",
                "OdooEnvironment/acme-prod",
                "OdooEnvironment/acme-test",
                "OdooEnvironment/globex-trial",
                "OdooTemplate/odoo-18"
            ]
        );
        for object in &objects {
            let metadata: Vec<&String> = object["metadata"].as_object().unwrap().keys().collect();
            assert_eq!(metadata, ["name", "namespace"]);
            assert_eq!(object["status"], Value::Null);
        }
        // Quoted, it stays a string; a date is one, too.
        assert_eq!(objects[5]["spec"]["odooVersion"], "18.0");
        assert_eq!(objects[0]["spec"]["contract"]["startsOn"], "2026-01-01");
        assert_eq!(objects[5]["spec"]["postgresMajor"], 16);
    }

    #[test]
    fn a_template_gets_a_new_version_once_its_chart_has_changed_under_the_old_one() {
        let template = json!({"kind": "OdooTemplate", "metadata": {"name": "t"}, "spec": {"version": "1"}});
        let wanted = [json!({"kind": "OdooCustomer", "spec": {"version": "1"}}), template.clone()];
        let digest = |chart: &[u8]| HEXLOWER.encode(&Sha256::digest(chart));
        let existing = |name: &str, version: &str, chart: &[u8]| {
            let kept = json!({"version": version, "chartDigest": format!("sha256:{}", digest(chart))});
            json!({"metadata": {"name": name}, "status": {"versions": [kept]}})
        };
        let other = format!("1-{}", &digest(b"new")[..8]);
        let cases = [
            ("nothing exists yet", vec![], "1"),
            ("not looked at yet", vec![template], "1"),
            ("the same chart", vec![existing("t", "1", b"new")], "1"),
            ("another chart", vec![existing("t", "1", b"old")], other.as_str()),
            ("another chart in another version", vec![existing("t", "0", b"old")], "1"),
            ("another template's chart", vec![existing("u", "1", b"old")], "1"),
        ];
        for (case, existing, version) in cases {
            let mut objects = wanted.clone();
            let told = follow_chart(&mut objects, &existing, b"new");
            assert_eq!(objects[1]["spec"]["version"], version, "{case}");
            assert_eq!(objects[0], wanted[0], "{case}");
            assert_eq!(told.is_empty(), version == "1", "{case}");
        }
    }
}
