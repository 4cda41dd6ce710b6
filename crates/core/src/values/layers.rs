//! Layers of values, later ones over earlier ones, and which of them set a value.

use odoofleet_api::Object;
use serde_json::Value;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The chart's `values.yaml`.
    Chart,
    /// `spec.values` of the template version.
    Template,
    /// `spec.values` of the environment.
    Environment,
    /// `spec.valuesFrom` of the environment.
    ValuesFrom,
    /// A standard input, through a binding.
    Input,
}

impl Layer {
    /// For messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chart => "the chart's defaults",
            Self::Template => "the template's values",
            Self::Environment => "spec.values",
            Self::ValuesFrom => "spec.valuesFrom",
            Self::Input => "a field of the spec",
        }
    }
}

/// Values in layers, lowest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layers(Vec<(Layer, Object)>);

impl Layers {
    /// Adds a layer on top.
    pub fn push(&mut self, layer: Layer, values: Object) {
        self.0.push((layer, values));
    }

    /// Adds all layers of another stack on top.
    pub fn extend(&mut self, above: &Self) {
        self.0.extend(above.0.iter().cloned());
    }

    /// All layers as one.
    pub fn composed(&self) -> Object {
        let mut all = Object::new();
        for (_, values) in &self.0 {
            merge(&mut all, values);
        }
        all
    }

    /// The topmost layer that has a say at a JSON pointer: it holds the place, or the nearest of its parents.
    pub fn origin(&self, pointer: &str) -> Option<Layer> {
        let mut place = pointer;
        loop {
            let holder = self.0.iter().rev().find(|(_, values)| holds(values, place));
            if let Some((layer, _)) = holder {
                return Some(*layer);
            }
            place = &place[..place.rfind('/')?];
        }
    }
}

fn holds(values: &Object, pointer: &str) -> bool {
    let Some(rest) = pointer.strip_prefix('/') else { return false };
    let (first, rest) = rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)));
    let first = first.replace("~1", "/").replace("~0", "~");
    let Some(value) = values.get(&first) else { return false };
    rest.is_none_or(|rest| value.pointer(&format!("/{rest}")).is_some())
}

/// Merges `over` into `base` as Helm merges value files: maps by key, everything else is replaced, null stays null.
pub fn merge(base: &mut Object, over: &Object) {
    for (key, new) in over {
        match (base.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                base.insert(key.clone(), new.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn later_layers_win_by_key_and_replace_lists_whole() {
        let mut layers = Layers::default();
        layers.push(Layer::Template, object(json!({"a": {"x": 1, "y": [1, 2]}, "n": 1})));
        layers.push(Layer::Environment, object(json!({"a": {"y": [3]}, "n": null})));
        assert_eq!(Value::Object(layers.composed()), json!({"a": {"x": 1, "y": [3]}, "n": null}));
    }

    #[test]
    fn the_layer_that_set_a_value_is_known_also_for_what_is_missing_below_it() {
        let mut layers = Layers::default();
        layers.push(Layer::Chart, object(json!({"a": {"x": 1}, "l": [{"h": 1}]})));
        layers.push(Layer::Environment, object(json!({"a": {"y": 2}})));
        assert_eq!(layers.origin("/a/x"), Some(Layer::Chart));
        assert_eq!(layers.origin("/a/y"), Some(Layer::Environment));
        assert_eq!(layers.origin("/a/missing"), Some(Layer::Environment));
        assert_eq!(layers.origin("/l/0/h"), Some(Layer::Chart));
        assert_eq!(layers.origin("/nowhere"), None);
    }
}
