//! What of a schema breaks objects that were stored under a former one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Texts for people; nothing depends on them.
const PROSE: [&str; 4] = ["description", "title", "example", "externalDocs"];
/// Keywords that are looked at by a rule of their own.
const RULED: [&str; 9] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "required",
    "enum",
    "nullable",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
];
/// Bounds that narrow when they rise.
const FLOORS: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];
/// Bounds that narrow when they sink.
const CEILINGS: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
/// What may be taken away, but neither come nor change.
const REMOVABLE: [&str; 6] = ["pattern", "format", "uniqueItems", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"];

const NOTHING: &Value = &Value::Null;

/// Says of each place what of a former schema's objects today's refuses, drops or reads differently.
pub fn breaking(path: &str, former: &Value, today: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let pruned = lost(path, former, today, &mut found);
    narrowed(path, former, today, &mut found);
    rules(path, former, today, &mut found);
    if pruned {
        return found;
    }
    for (name, before) in object(&former["properties"]) {
        let place = format!("{path}.{name}");
        match today["properties"].get(name) {
            Some(now) => found.extend(breaking(&place, before, now)),
            None if open(today) => {}
            None => found.push(format!("{place} is gone: what objects hold there would be dropped")),
        }
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let (Some(before), Some(now)) = (former.get(key), today.get(key))
            && before.is_object()
            && now.is_object()
        {
            found.extend(breaking(&format!("{path}{suffix}"), before, now));
        }
    }
    found
}

/// Whether what stands in the schema is of no use any more, because the kind of value is another one.
fn lost(path: &str, former: &Value, today: &Value, found: &mut Vec<String>) -> bool {
    let kind = |schema: &Value| schema["type"].as_str().unwrap_or("any").to_owned();
    let (before, now) = (kind(former), kind(today));
    let wider = before == now || before == "integer" && now == "number";
    if !wider {
        found.push(format!("{path} was of type {before} and is of type {now}"));
    }
    if open(former) && !open(today) {
        found.push(format!("{path} keeps no unknown fields any more: they would be dropped"));
    }
    if !former["additionalProperties"].is_null() && today["additionalProperties"].is_null() && !open(today) {
        found.push(format!("{path} holds no free keys any more: they would be dropped"));
    }
    if former["nullable"] == true && today["nullable"] != true {
        found.push(format!("{path} may not be null any more"));
    }
    !wider
}

fn open(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

fn narrowed(path: &str, former: &Value, today: &Value, found: &mut Vec<String>) {
    if let Some(allowed) = today["enum"].as_array() {
        match former["enum"].as_array() {
            None => found.push(format!("{path} takes a list of words only")),
            Some(before) => {
                let gone = before.iter().filter(|value| !allowed.contains(value));
                found.extend(gone.map(|value| format!("{path} does not take {value} any more")));
            }
        }
    }
    for (bounds, tighter) in [(FLOORS, f64::lt as fn(&f64, &f64) -> bool), (CEILINGS, f64::gt)] {
        for keyword in bounds {
            let (before, now) = (former[keyword].as_f64(), today[keyword].as_f64());
            if let Some(now) = now
                && before.is_none_or(|before| tighter(&before, &now))
            {
                let was = before.map_or_else(|| "none".to_owned(), |before| before.to_string());
                found.push(format!("{path}: {keyword} was {was} and is {now}"));
            }
        }
    }
    for name in names(&today["required"]).difference(&names(&former["required"])) {
        if today["properties"][name.as_str()]["default"].is_null() {
            found.push(format!("{path}.{name} is required now"));
        }
    }
    let keywords: BTreeSet<&String> = object(former).chain(object(today)).map(|(keyword, _)| keyword).collect();
    let bounds: BTreeSet<&str> = FLOORS.into_iter().chain(CEILINGS).chain(PROSE).chain(RULED).collect();
    for keyword in keywords.into_iter().filter(|keyword| !bounds.contains(keyword.as_str())) {
        let value = |schema: &Value| schema.get(keyword).filter(|value| **value != false).unwrap_or(NOTHING).clone();
        let (before, now) = (value(former), value(today));
        let taken_away = now.is_null() && REMOVABLE.contains(&keyword.as_str());
        if before != now && !taken_away {
            found.push(format!("{path}: {keyword} was {} and is {}", shown(&before), shown(&now)));
        }
    }
}

/// Rules that are new and do not spare what was there before them, which a rule does that asks for `oldSelf`.
fn rules(path: &str, former: &Value, today: &Value, found: &mut Vec<String>) {
    let texts = |schema: &Value| -> Vec<String> {
        let rules = schema["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
        let words =
            |rule: &Value| rule["rule"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        rules.iter().map(words).collect()
    };
    let before = texts(former);
    let new = texts(today).into_iter().filter(|rule| !before.contains(rule) && !rule.contains("oldSelf"));
    found.extend(new.map(|rule| format!("{path} has a new rule for objects that are older than it, too: {rule}")));
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn shown(value: &Value) -> String {
    if value.is_null() { "not there".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An object schema with one property `a`.
    fn with(a: &Value) -> Value {
        json!({ "type": "object", "properties": { "a": a } })
    }

    #[test]
    fn what_breaks_is_named() {
        let text = || json!({ "type": "string" });
        let number = |more: Value| {
            let mut schema = json!({ "type": "integer" });
            schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            schema
        };
        let rows = [
            (text(), json!({ "type": "integer" }), "spec.a was of type string and is of type integer"),
            (
                json!({ "type": "string", "enum": ["X", "Y"] }),
                json!({ "type": "string", "enum": ["X"] }),
                "spec.a does not take \"Y\" any more",
            ),
            (text(), json!({ "type": "string", "enum": ["X"] }), "spec.a takes a list of words only"),
            (number(json!({ "maximum": 9 })), number(json!({ "maximum": 8 })), "spec.a: maximum was 9 and is 8"),
            (number(json!({})), number(json!({ "maximum": 8 })), "spec.a: maximum was none and is 8"),
            (number(json!({ "minimum": 1 })), number(json!({ "minimum": 2 })), "spec.a: minimum was 1 and is 2"),
            (
                json!({ "type": "string", "maxLength": 63 }),
                json!({ "type": "string", "maxLength": 40 }),
                "spec.a: maxLength was 63 and is 40",
            ),
            (text(), json!({ "type": "string", "pattern": "^a$" }), "spec.a: pattern was not there and is \"^a$\""),
            (
                json!({ "type": "string", "pattern": "^a$" }),
                json!({ "type": "string", "pattern": "^b$" }),
                "spec.a: pattern was \"^a$\" and is \"^b$\"",
            ),
            (
                json!({ "type": "string", "format": "date" }),
                json!({ "type": "string", "format": "date-time" }),
                "spec.a: format was \"date\" and is \"date-time\"",
            ),
            (json!({ "type": "string", "nullable": true }), text(), "spec.a may not be null any more"),
            (
                json!({ "type": "string", "default": "x" }),
                json!({ "type": "string", "default": "y" }),
                "spec.a: default was \"x\" and is \"y\"",
            ),
            (
                json!({ "type": "array", "items": { "type": "string" } }),
                json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
                "spec.a[]: minLength was none and is 1",
            ),
            (
                json!({ "type": "array", "items": { "type": "string" } }),
                json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" }),
                "spec.a: x-kubernetes-list-type was not there and is \"set\"",
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "string" } }),
                json!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 9 } }),
                "spec.a{}: maxLength was none and is 9",
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "string" } }),
                json!({ "type": "object", "properties": { "b": { "type": "string" } } }),
                "spec.a holds no free keys any more: they would be dropped",
            ),
            (
                json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
                json!({ "type": "object" }),
                "spec.a keeps no unknown fields any more: they would be dropped",
            ),
            (
                with(&text()),
                json!({ "type": "object", "properties": { "a": text(), "b": text() }, "required": ["b"] }),
                "spec.a.b is required now",
            ),
            (
                with(&text()),
                json!({ "type": "object", "properties": { "a": text() }, "x-kubernetes-validations": [{ "rule": "size(self.a) > 3" }] }),
                "spec.a has a new rule for objects that are older than it, too: size(self.a) > 3",
            ),
            (with(&text()), json!({ "type": "object" }), "spec.a.a is gone: what objects hold there would be dropped"),
        ];
        for (former, today, told) in rows {
            assert_eq!(breaking("spec", &with(&former), &with(&today)), [told], "{former} {today}");
        }
    }

    #[test]
    fn what_only_widens_breaks_nothing() {
        let rows = [
            (json!({ "type": "integer" }), json!({ "type": "number" })),
            (json!({ "type": "string", "enum": ["X"] }), json!({ "type": "string", "enum": ["X", "Y"] })),
            (json!({ "type": "string", "enum": ["X"] }), json!({ "type": "string" })),
            (json!({ "type": "integer", "maximum": 8 }), json!({ "type": "integer", "maximum": 9 })),
            (json!({ "type": "integer", "minimum": 8 }), json!({ "type": "integer", "minimum": 0 })),
            (json!({ "type": "string", "pattern": "^a$" }), json!({ "type": "string" })),
            (json!({ "type": "string", "format": "date" }), json!({ "type": "string" })),
            (json!({ "type": "string" }), json!({ "type": "string", "nullable": true })),
            (json!({ "type": "string", "description": "a" }), json!({ "type": "string", "description": "b" })),
            (json!({ "type": "array", "uniqueItems": false }), json!({ "type": "array" })),
            (json!({ "type": "object", "required": ["b"] }), json!({ "type": "object" })),
            (
                json!({ "type": "object" }),
                json!({ "type": "object", "required": ["b"], "properties": { "b": { "type": "integer", "default": 1 } } }),
            ),
            (
                json!({ "type": "object", "properties": { "b": { "type": "integer" } } }),
                json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
            ),
            // One that compares with what was there, and one that is written in another way.
            (
                json!({ "type": "string" }),
                json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "oldSelf.hasValue() || self != ''", "optionalOldSelf": true }] }),
            ),
            (
                json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "self != ''", "message": "a" }] }),
                json!({ "type": "string", "x-kubernetes-validations": [{ "rule": "self\n  != ''", "message": "b" }] }),
            ),
        ];
        for (former, today) in rows {
            assert_eq!(breaking("spec", &with(&former), &with(&today)), [""; 0], "{former} {today}");
        }
    }
}
