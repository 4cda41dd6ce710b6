//! The objects of `examples/quickstart`, as they are or for a real node.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::images::odoo::Source;
use crate::layout::Kube;
use crate::{exec, images, repo};

/// As one list in JSON; with images that a real node has, if an Odoo is given for one.
pub fn objects(kube: &Kube, odoo: Option<&Source>) -> Result<String> {
    let mut read = kube.kubectl();
    read.args(["apply", "--dry-run=client", "--output", "json", "-f"]).arg(repo::path("examples/quickstart"));
    let text = exec::output(&mut read)?;
    let Some(odoo) = odoo else { return Ok(text) };
    let mut list: Value = serde_json::from_str(&text).context("kubectl did not print JSON")?;
    for object in list["items"].as_array_mut().into_iter().flatten() {
        make_real(object, odoo)?;
    }
    Ok(list.to_string())
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
}
