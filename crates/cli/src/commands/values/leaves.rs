//! Values one by one: where each comes from, and what differs between two sets of them.

use std::collections::BTreeMap;

use console::Style;
use odoofleet_api::Object;
use odoofleet_core::values::{Layer, ValuePath};
use serde::Serialize;
use serde_json::Value;

use super::flow;
use super::read::{Known, source};

/// Most characters of a value in a table.
const BRIEF: usize = 60;

/// A single value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leaf {
    /// Path, as `values set` takes it.
    pub path: String,
    /// The layer that set it.
    pub layer: &'static str,
    /// Of an input its name, of what is fed the object and its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value.
    pub value: Value,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Path, as `values set` takes it.
    pub path: String,
    /// The value before; none if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; none if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Change {
    /// One line for people.
    pub fn line(&self) -> String {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let text = format!("~ {path}: {} → {}", flow(before), flow(after));
                Style::new().yellow().apply_to(text).to_string()
            }
            (None, Some(after)) => Style::new().green().apply_to(format!("+ {path}: {}", flow(after))).to_string(),
            (Some(before), None) => Style::new().red().apply_to(format!("- {path}: {}", flow(before))).to_string(),
            (None, None) => String::new(),
        }
    }
}

/// Every single value, with its layer.
pub fn of(shown: &Object, known: &Known) -> Vec<Leaf> {
    let layers = &known.preview.layers;
    let fed = |pointer: &str| known.preview.fed.iter().find(|fed| lies_in(pointer, &fed.to)).map(source);
    let input = |pointer: &str| {
        let bindings = known.version.content.bindings.iter().rev();
        let mut owners = bindings.filter(|binding| ValuePath::parse(&binding.to).is_ok_and(|to| lies_in(pointer, &to)));
        owners.find_map(|binding| binding.from.clone().or_else(|| binding.value.clone()))
    };
    let leaf = |Place { path, pointer, value }: Place| {
        let origin = layers.origin(&pointer);
        let from = match origin {
            Some(Layer::ValuesFrom) => fed(&pointer),
            // A password that a binding brings.
            Some(Layer::Input) => fed(&pointer).or_else(|| input(&pointer)),
            _ => None,
        };
        Leaf { path, layer: origin.map_or("", word), from, value: value.clone() }
    };
    places(shown).into_iter().map(leaf).collect()
}

/// A layer in a word or two.
const fn word(layer: Layer) -> &'static str {
    match layer {
        Layer::Chart => "chart",
        Layer::Template => "template",
        Layer::Environment => "spec.values",
        Layer::ValuesFrom => "valuesFrom",
        Layer::Input => "input",
    }
}

fn lies_in(pointer: &str, place: &ValuePath) -> bool {
    pointer.strip_prefix(&place.pointer()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What differs, in the order of the paths.
pub fn changes(before: &Object, after: &Object) -> Vec<Change> {
    let mut all: BTreeMap<String, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for place in places(before) {
        all.entry(place.path).or_default().0 = Some(place.value.clone());
    }
    for place in places(after) {
        all.entry(place.path).or_default().1 = Some(place.value.clone());
    }
    let differ = all.into_iter().filter(|(_, (before, after))| before != after);
    differ.map(|(path, (before, after))| Change { path, before, after }).collect()
}

/// A value in a table: one line, cut off.
pub fn brief(value: &Value) -> String {
    let text = flow(value);
    match text.char_indices().nth(BRIEF) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A place of a single value, as people write it and as a JSON pointer.
struct Place<'a> {
    path: String,
    pointer: String,
    value: &'a Value,
}

fn places(values: &Object) -> Vec<Place<'_>> {
    let mut all = Vec::new();
    for (key, value) in values {
        walk(escaped(key), format!("/{}", pointed(key)), value, &mut all);
    }
    all
}

fn walk<'a>(path: String, pointer: String, value: &'a Value, all: &mut Vec<Place<'a>>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(format!("{path}.{}", escaped(key)), format!("{pointer}/{}", pointed(key)), value, all);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                walk(format!("{path}[{index}]"), format!("{pointer}/{index}"), value, all);
            }
        }
        _ => all.push(Place { path, pointer, value }),
    }
}

fn escaped(key: &str) -> String {
    key.replace('.', "\\.")
}

fn pointed(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_path_is_one_that_can_be_read_again() {
        let values = object(json!({"a": {"b.c": [{"d/e": 1}, 2], "f": {}}, "g": null}));
        let found = places(&values);
        let told: Vec<(&str, &str)> = found.iter().map(|place| (place.path.as_str(), place.pointer.as_str())).collect();
        assert_eq!(
            told,
            [(r"a.b\.c[0].d/e", "/a/b.c/0/d~1e"), (r"a.b\.c[1]", "/a/b.c/1"), ("a.f", "/a/f"), ("g", "/g"),]
        );
        for place in found {
            let path = ValuePath::parse(&place.path).unwrap();
            assert_eq!((path.pointer(), path.get(&values)), (place.pointer, Some(place.value)));
        }
    }

    #[test]
    fn what_is_new_gone_or_other_is_told() {
        console::set_colors_enabled(false);
        let before = object(json!({"a": 1, "b": {"c": "x", "d": [1, 2]}, "same": true}));
        let after = object(json!({"a": 2, "b": {"d": [1], "e": ""}, "same": true}));
        let lines: Vec<String> = changes(&before, &after).iter().map(Change::line).collect();
        assert_eq!(lines, ["~ a: 1 → 2", "- b.c: x", "- b.d[1]: 2", "+ b.e: \"\""]);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(brief(&json!("短")), "短");
        assert_eq!(brief(&json!("短".repeat(61))), format!("{}…", "短".repeat(60)));
    }
}
