//! Assignments such as `odoo.workers=4`, as `helm --set` has them.

use odoofleet_api::Object;
use odoofleet_core::values::{PathError, ValuePath};
use serde_json::Value;

use crate::language::Language;
use crate::say;

/// One assignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    path: ValuePath,
    /// Nothing takes the value away, so that the layer below holds again.
    value: Option<Value>,
}

/// Reads `path=value`. Whole numbers, `true`, `false` and `null` are what they look like, everything else is text; with `as_json` the
/// value is JSON.
pub fn parse(language: Language, text: &str, as_json: bool) -> Result<Assignment, String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(say!(
            language,
            "\"{text}\" is no assignment: write path=value, such as odoo.workers=4",
            "\"{text}\" 不是赋值：请写成 路径=值，例如 odoo.workers=4"
        ));
    };
    let path = ValuePath::parse(path).map_err(|error| error.to_string())?;
    let value = if as_json {
        serde_json::from_str(value).map_err(|error| {
            say!(language, "the value of \"{path}\" is no JSON: {error}", "\"{path}\" 的值不是 JSON：{error}")
        })?
    } else {
        typed(value)
    };
    Ok(Assignment { path, value: (!value.is_null()).then_some(value) })
}

fn typed(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        // A leading zero makes it text, as in Helm.
        _ if text.len() > 1 && text.trim_start_matches('-').starts_with('0') => Value::from(text),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

/// The environment's own values with the assignment. Lists replace those of lower layers whole, so what stands below is taken along
/// where one entry is set.
pub fn apply(own: &mut Object, below: &Object, assignment: &Assignment) -> Result<(), PathError> {
    let Assignment { path, value } = assignment;
    let Some(value) = value else {
        remove(own, path);
        return Ok(());
    };
    if let Some(list) = path.outermost_list()
        && list.get(own).is_none()
        && let Some(entries @ Value::Array(_)) = list.get(below)
    {
        list.set(own, entries.clone())?;
    }
    path.set(own, value.clone())
}

/// Takes a value away, and the maps that it leaves empty.
fn remove(own: &mut Object, path: &ValuePath) {
    let before = own.clone();
    path.remove(own);
    if *own != before {
        prune(own, &before);
    }
}

fn prune(own: &mut Object, before: &Object) {
    own.retain(|key, value| match (value, before.get(key)) {
        (Value::Object(now), Some(Value::Object(then))) => {
            prune(now, then);
            !now.is_empty() || then.is_empty()
        }
        _ => true,
    });
}

/// Whether an assignment takes an entry of a list away, which would move those behind it.
pub fn removes_entry(assignment: &Assignment) -> bool {
    assignment.value.is_none() && assignment.path.to_string().ends_with(']')
}

/// A merge patch from one object to another.
pub fn merge_patch(before: &Object, after: &Object) -> Object {
    let mut patch = Object::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in after {
        match (before.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(key.clone(), Value::Object(merge_patch(old, new)));
            }
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    fn set(own: Value, below: Value, text: &str) -> Value {
        let mut own = object(own);
        let assignment = parse(Language::English, text, false).unwrap();
        apply(&mut own, &object(below), &assignment).unwrap();
        Value::Object(own)
    }

    #[test]
    fn values_are_typed_as_helm_types_them() {
        for (text, value) in [
            ("4", json!(4)),
            ("-4", json!(-4)),
            ("0", json!(0)),
            ("0123", json!("0123")),
            ("18.0", json!("18.0")),
            ("true", json!(true)),
            ("True", json!("True")),
            ("", json!("")),
            ("a=b", json!("a=b")),
            ("null", Value::Null),
        ] {
            assert_eq!(typed(text), value, "{text}");
        }
        let list = parse(Language::English, "a=[1.5]", true).unwrap();
        assert_eq!(list.value, Some(json!([1.5])));
        for wrong in ["a", "=1", "a..b=1"] {
            assert!(parse(Language::English, wrong, false).is_err(), "{wrong}");
        }
        assert!(parse(Language::English, "a={", true).is_err());
    }

    #[test]
    fn an_entry_of_a_list_keeps_what_stands_beside_it() {
        let below = json!({"hosts": [{"host": "a", "paths": ["/"]}, {"host": "b"}]});
        let kept = json!({"hosts": [{"host": "x", "paths": ["/"]}, {"host": "b"}]});
        assert_eq!(set(json!({}), below.clone(), "hosts[0].host=x"), kept);
        let own = json!({"hosts": [{"host": "own"}]});
        assert_eq!(set(own, below, "hosts[0].host=x"), json!({"hosts": [{"host": "x"}]}));
    }

    #[test]
    fn null_takes_a_value_away_and_leaves_no_empty_maps() {
        let own = json!({"odoo": {"workers": 4}, "free": {}, "other": {"a": 1, "b": 2}});
        assert_eq!(set(own.clone(), json!({}), "odoo.workers=null"), json!({"free": {}, "other": {"a": 1, "b": 2}}));
        assert_eq!(set(own.clone(), json!({}), "other.a=null")["other"], json!({"b": 2}));
        assert_eq!(set(own.clone(), json!({}), "missing.a=null"), own);
        assert!(removes_entry(&parse(Language::English, "l[0]=null", false).unwrap()));
    }

    #[test]
    fn the_patch_says_only_what_changes() {
        let before = object(json!({"a": {"b": 1, "c": 2}, "l": [1], "gone": 1}));
        let after = object(json!({"a": {"b": 1, "c": 3}, "l": [2], "new": {"x": 1}}));
        assert_eq!(
            Value::Object(merge_patch(&before, &after)),
            json!({"a": {"c": 3}, "l": [2], "new": {"x": 1}, "gone": null})
        );
    }
}
