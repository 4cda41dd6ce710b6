//! Values one by one: where each comes from, and what differs between two sets of them.

use std::collections::BTreeMap;

use console::Style;
use odoofleet_api::Object;
use odoofleet_core::values::{Layer, ValuePath, leaves};
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
    let leaf = |(path, value): (ValuePath, &Value)| {
        let pointer = path.pointer();
        let origin = layers.origin(&pointer);
        let from = match origin {
            Some(Layer::ValuesFrom) => fed(&pointer),
            // A password that a binding brings.
            Some(Layer::Input) => fed(&pointer).or_else(|| input(&pointer)),
            _ => None,
        };
        Leaf { path: path.to_string(), layer: origin.map_or("", word), from, value: value.clone() }
    };
    leaves(shown).into_iter().map(leaf).collect()
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
    for (path, value) in leaves(before) {
        all.entry(path.to_string()).or_default().0 = Some(value.clone());
    }
    for (path, value) in leaves(after) {
        all.entry(path.to_string()).or_default().1 = Some(value.clone());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
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
