//! What differs between two sets of values, and what of it may be written down.

use odoofleet_api::Object;
use serde_json::Value;

use crate::values::{ValuePath, leaves};

/// What must be laid over `base` so that it comes to `desired`: what only `base` has stays, null takes away.
pub(super) fn over(base: &Object, desired: &Object) -> Object {
    let mut own = Object::new();
    for (key, want) in desired {
        match (base.get(key), want) {
            (Some(Value::Object(base)), Value::Object(want)) => {
                let below = over(base, want);
                if !below.is_empty() {
                    own.insert(key.clone(), Value::Object(below));
                }
            }
            (None, Value::Null) => {}
            (None, Value::Object(want)) if want.is_empty() => {}
            (Some(have), want) if have == want => {}
            (_, want) => {
                own.insert(key.clone(), want.clone());
            }
        }
    }
    own
}

/// A chart's defaults without those that `base` has no place for and that nobody gave: another version of the chart may have dropped them.
/// An empty map in `base` takes anything.
pub(super) fn known(defaults: &Object, base: &Object, given: &Object, mut dropped: impl FnMut(&ValuePath)) -> Object {
    fn walk(
        at: Option<&ValuePath>,
        (defaults, base, given): (&Object, &Object, &Object),
        dropped: &mut dyn FnMut(&ValuePath),
    ) -> Object {
        let none = Object::new();
        let mut kept = Object::new();
        for (key, value) in defaults {
            let place = at.map_or_else(|| ValuePath::default().key(key), |at| at.key(key));
            let given = given.get(key);
            match (value, base.get(key)) {
                (Value::Object(value), Some(Value::Object(base))) if !base.is_empty() => {
                    let given = given.and_then(Value::as_object).unwrap_or(&none);
                    kept.insert(key.clone(), Value::Object(walk(Some(&place), (value, base, given), dropped)));
                }
                (value, Some(_)) => {
                    kept.insert(key.clone(), value.clone());
                }
                // What was given replaces it, or is merged into it.
                (value, None) if given.is_some() => {
                    kept.insert(key.clone(), value.clone());
                }
                (value, None) if is_plain(value) && *value != Value::Object(Object::new()) => dropped(&place),
                (_, None) => {}
            }
        }
        kept
    }
    walk(None, (defaults, base, given), &mut dropped)
}

/// Single values in a place, the place itself among them.
pub(super) fn leaves_in<'a>(values: &'a Object, place: &ValuePath) -> Vec<(ValuePath, &'a Value)> {
    leaves(values).into_iter().filter(|(path, _)| path.lies_in(place)).collect()
}

/// Whether there is something.
pub(super) fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A single value as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Removes empty maps.
pub(super) fn prune(values: &mut Object) {
    values.retain(|_, value| match value {
        Value::Object(map) => {
            prune(map);
            !map.is_empty()
        }
        _ => true,
    });
}
