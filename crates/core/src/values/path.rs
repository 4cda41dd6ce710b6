//! A place in Helm values, such as `ingress.hosts[0].host`.

use std::fmt;

use odoofleet_api::Object;
use serde_json::Value;

/// Highest list position that a path may name: a path can be wrong, a list of a million entries must not follow from it.
const MAX_INDEX: usize = 99;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Key(String),
    Index(usize),
}

/// A place in Helm values: keys joined by dots, list positions in brackets. A dot within a key is written `\.`. The default is where all
/// begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValuePath(Vec<Segment>);

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It cannot be read.
    #[error(
        "value path \"{0}\" must be keys joined by dots with list positions in brackets, such as \"ingress.hosts[0].host\""
    )]
    Malformed(String),
    /// It leads through something that is neither a map nor a list.
    #[error("value path \"{0}\" leads through a value that is neither a map nor a list")]
    Blocked(String),
    /// It names a list position behind a gap.
    #[error("value path \"{0}\" names a list position whose predecessors are not set")]
    Gap(String),
}

impl ValuePath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse_segments(text).map(Self).ok_or_else(|| PathError::Malformed(text.to_owned()))
    }

    /// The value at this place, if there is one.
    pub fn get<'a>(&self, values: &'a Object) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let Segment::Key(key) = first else { return None };
        rest.iter().try_fold(values.get(key)?, |value, segment| match segment {
            Segment::Key(key) => value.get(key),
            Segment::Index(index) => value.get(index),
        })
    }

    /// Puts a value at this place, making maps and lists on the way. Maps are merged, everything else is replaced.
    pub fn set(&self, values: &mut Object, new: Value) -> Result<(), PathError> {
        let mut root = Value::Object(std::mem::take(values));
        let result = self.set_in(&mut root, new);
        if let Value::Object(map) = root {
            *values = map;
        }
        result
    }

    fn set_in(&self, root: &mut Value, new: Value) -> Result<(), PathError> {
        let mut place = root;
        for segment in &self.0 {
            place = match segment {
                Segment::Key(key) => {
                    if place.is_null() {
                        *place = Value::Object(Object::new());
                    }
                    let map = place.as_object_mut().ok_or_else(|| PathError::Blocked(self.to_string()))?;
                    map.entry(key.clone()).or_insert(Value::Null)
                }
                Segment::Index(index) => {
                    if place.is_null() {
                        *place = Value::Array(Vec::new());
                    }
                    let list = place.as_array_mut().ok_or_else(|| PathError::Blocked(self.to_string()))?;
                    if *index > list.len() {
                        return Err(PathError::Gap(self.to_string()));
                    }
                    if *index == list.len() {
                        list.push(Value::Null);
                    }
                    &mut list[*index]
                }
            };
        }
        match (place, new) {
            (Value::Object(old), Value::Object(new)) => super::merge(old, &new),
            (place, new) => *place = new,
        }
        Ok(())
    }

    /// The place of a key of the map at this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.followed_by(Segment::Key(key.to_owned()))
    }

    fn followed_by(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }

    /// The map or list in which this place lies, if it lies in one.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.0.split_last()?;
        (!parents.is_empty()).then(|| Self(parents.to_vec()))
    }

    /// The last key of this place: what the value is called.
    pub fn last_key(&self) -> &str {
        let keys = self.0.iter().rev().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        keys.into_iter().next().unwrap_or_default()
    }

    /// The first list on the way to this place, if it leads into one.
    pub fn outermost_list(&self) -> Option<Self> {
        let position = self.0.iter().position(|segment| matches!(segment, Segment::Index(_)))?;
        Some(Self(self.0[..position].to_vec()))
    }

    /// Removes the key that this place names. Maps and lists around it stay, and so does an entry of a list: those behind it
    /// would move.
    pub fn remove(&self, values: &mut Object) {
        let Some((Segment::Key(last), parents)) = self.0.split_last() else { return };
        let Some((Segment::Key(first), parents)) = parents.split_first() else {
            values.remove(last);
            return;
        };
        let parent = parents.iter().try_fold(values.get_mut(first), |place, segment| {
            let place = place?;
            Some(match segment {
                Segment::Key(key) => place.get_mut(key),
                Segment::Index(index) => place.get_mut(*index),
            })
        });
        if let Some(Some(Value::Object(map))) = parent {
            map.remove(last);
        }
    }

    /// Whether this place is the other one, or lies in it.
    pub fn lies_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether one of the two places lies in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// This place as a JSON pointer (RFC 6901), as validators report it.
    pub fn pointer(&self) -> String {
        self.0.iter().fold(String::new(), |text, segment| match segment {
            Segment::Key(key) => format!("{text}/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Index(index) => format!("{text}/{index}"),
        })
    }
}

/// Every single value with its place, in the order of the values. Empty maps and lists are values, too.
pub fn leaves(values: &Object) -> Vec<(ValuePath, &Value)> {
    let mut all = Vec::new();
    for (key, value) in values {
        walk(ValuePath::default().key(key), value, &mut all);
    }
    all
}

fn walk<'a>(place: ValuePath, value: &'a Value, all: &mut Vec<(ValuePath, &'a Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(place.key(key), value, all);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                walk(place.followed_by(Segment::Index(index)), value, all);
            }
        }
        _ => all.push((place, value)),
    }
}

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => write!(f, "{}", key.replace('.', "\\."))?,
                Segment::Key(key) => write!(f, ".{}", key.replace('.', "\\."))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn parse_segments(text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut key = String::new();
    let mut characters = text.chars().peekable();
    // After a closing bracket only a dot, another bracket or the end may follow.
    let mut after_index = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if !after_index => key.push(characters.next()?),
            '.' => {
                if !after_index {
                    push_key(&mut segments, &mut key)?;
                }
                after_index = false;
                characters.peek()?;
            }
            '[' => {
                if !after_index {
                    push_key(&mut segments, &mut key)?;
                }
                let digits: String = characters.by_ref().take_while(|&c| c != ']').collect();
                let index = digits.parse().ok().filter(|&index| index <= MAX_INDEX && digits.len() <= 2)?;
                segments.push(Segment::Index(index));
                after_index = true;
            }
            ']' => return None,
            _ if after_index => return None,
            other => key.push(other),
        }
    }
    if !after_index {
        push_key(&mut segments, &mut key)?;
    }
    text.ends_with(']').eq(&after_index).then_some(segments)
}

fn push_key(segments: &mut Vec<Segment>, key: &mut String) -> Option<()> {
    if key.is_empty() {
        return None;
    }
    segments.push(Segment::Key(std::mem::take(key)));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn paths_are_read_and_written_alike() {
        for good in ["a", "a.b", "ingress.hosts[0].host", "a[1][2]", r"annotations.nginx\.org/x", "a[0]"] {
            assert_eq!(ValuePath::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[0", "[0]", "a[0]b", "a]", "a[100]", "a[-1]", "a.[0]",
            "a[00001]",
        ] {
            assert!(ValuePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn setting_makes_maps_and_lists_and_merges_maps() {
        let mut values = object(json!({"postgresql": {"enabled": true}}));
        ValuePath::parse("ingress.hosts[0].host").unwrap().set(&mut values, json!("a.example")).unwrap();
        ValuePath::parse("postgresql").unwrap().set(&mut values, json!({"size": 1})).unwrap();
        assert_eq!(
            Value::Object(values),
            json!({"postgresql": {"enabled": true, "size": 1}, "ingress": {"hosts": [{"host": "a.example"}]}})
        );
    }

    #[test]
    fn setting_through_a_scalar_or_behind_a_gap_is_refused_and_changes_nothing_else() {
        let mut values = object(json!({"a": 1}));
        assert!(matches!(ValuePath::parse("a.b").unwrap().set(&mut values, json!(2)), Err(PathError::Blocked(_))));
        assert!(matches!(ValuePath::parse("l[1]").unwrap().set(&mut values, json!(2)), Err(PathError::Gap(_))));
        assert_eq!(values["a"], json!(1));
    }

    #[test]
    fn a_place_overlaps_what_it_contains() {
        let path = |text| ValuePath::parse(text).unwrap();
        assert!(path("ingress").overlaps(&path("ingress.host")));
        assert!(path("ingress.host").overlaps(&path("ingress")));
        assert!(!path("ingress.host").overlaps(&path("ingress.hosts")));
    }

    #[test]
    fn every_single_value_has_a_path_that_can_be_read_again() {
        let values = object(json!({"a": {"b.c": [{"d/e": 1}, 2], "f": {}}, "g": null}));
        let found = leaves(&values);
        let told: Vec<(String, String)> = found.iter().map(|(path, _)| (path.to_string(), path.pointer())).collect();
        let expected = [(r"a.b\.c[0].d/e", "/a/b.c/0/d~1e"), (r"a.b\.c[1]", "/a/b.c/1"), ("a.f", "/a/f"), ("g", "/g")];
        assert_eq!(told, expected.map(|(path, pointer)| (path.to_owned(), pointer.to_owned())));
        for (path, value) in found {
            assert_eq!(ValuePath::parse(&path.to_string()).unwrap(), path);
            assert_eq!(path.get(&values), Some(value));
        }
        assert_eq!(ValuePath::parse("env[0].value").unwrap().last_key(), "value");
    }

    #[test]
    fn removing_leaves_the_rest() {
        let mut values = object(json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 1, "l": [{"n": 1, "m": 2}]}));
        for path in ["a.b", "x.y", "d[0]", "e", "l[0].n", "l[1].n"] {
            ValuePath::parse(path).unwrap().remove(&mut values);
        }
        assert_eq!(Value::Object(values), json!({"a": {"c": 2}, "d": [1], "l": [{"m": 2}]}));
    }
}
