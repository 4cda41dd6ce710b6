//! Which fields of a schema no object sets.

use serde_json::{Map, Value};

/// The fields of the spec and the status that stand in none of the objects. `schema` is that of the whole object.
pub fn unset(schema: &Value, objects: &[&Value]) -> Vec<String> {
    let mut missing = Vec::new();
    walk("", schema, objects, &mut missing);
    missing
}

fn walk(path: &str, schema: &Value, values: &[&Value], missing: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flat_map(Map::iter) {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let set: Vec<&Value> =
            values.iter().filter_map(|value| value.get(name)).filter(|value| !value.is_null()).collect();
        if set.is_empty() {
            missing.push(place);
        } else {
            walk(&place, inner, &set, missing);
        }
    }
    let below = |suffix: &str, key: &str, inner: Vec<&Value>, missing: &mut Vec<String>| {
        if !schema[key].is_object() {
            return;
        }
        let place = format!("{path}{suffix}");
        if inner.is_empty() { missing.push(place) } else { walk(&place, &schema[key], &inner, missing) }
    };
    below("[]", "items", values.iter().filter_map(|value| value.as_array()).flatten().collect(), missing);
    let entries = values.iter().filter_map(|value| value.as_object()).flat_map(Map::values);
    below("{}", "additionalProperties", entries.collect(), missing);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_no_object_sets_are_named() {
        let text = json!({ "type": "string" });
        let schema = json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "a": text,
                "list": { "type": "array", "items": { "type": "object", "properties": { "x": text, "y": text } } },
                "map": { "type": "object", "additionalProperties": text },
                "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            } },
            "status": { "type": "object", "properties": { "b": text } },
        } });
        let one = json!({ "spec": { "a": "1", "list": [{ "x": "1" }], "free": {}, "map": {} } });
        let two = json!({ "spec": { "a": null, "list": [{ "y": "1" }, { "x": "2" }], "map": { "k": "v" } }, "status": { "b": "1" } });
        assert_eq!(unset(&schema, &[&one]), ["spec.list[].y", "spec.map{}", "status"]);
        assert_eq!(unset(&schema, &[&two]), ["spec.a", "spec.free"]);
        assert_eq!(unset(&schema, &[&one, &two]), [""; 0]);
        assert_eq!(unset(&schema, &[]), ["spec", "status"]);
    }
}
