//! Layers of values, later ones over earlier ones, and which of them set a value.

use odoofleet_api::Object;
use serde_json::Value;

use super::{PathError, ValuePath};

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
pub struct Layers(Vec<Level>);

/// The values of one layer.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    layer: Layer,
    values: Object,
    /// Places (JSON pointers) that the layer set, if it did so one by one. What else stands in its lists comes from below.
    set: Option<Vec<String>>,
}

impl Layers {
    /// Adds a layer on top.
    pub fn push(&mut self, layer: Layer, values: Object) {
        self.0.push(Level { layer, values, set: None });
    }

    /// Adds a layer on top that sets single places. As layers replace lists whole, the lists on the way to these places are
    /// taken over from what the layers below come to: what stands beside a place stays.
    pub fn set(&mut self, layer: Layer, places: impl IntoIterator<Item = (ValuePath, Value)>) -> Result<(), PathError> {
        let below = self.composed();
        let (mut values, mut set) = (Object::new(), Vec::new());
        for (place, value) in places {
            if let Some(path) = place.outermost_list()
                && path.get(&values).is_none()
                && let Some(list @ Value::Array(_)) = path.get(&below)
            {
                path.set(&mut values, list.clone())?;
            }
            place.set(&mut values, value)?;
            set.push(place.pointer());
        }
        self.0.push(Level { layer, values, set: Some(set) });
        Ok(())
    }

    /// All layers as one.
    pub fn composed(&self) -> Object {
        compose(&self.0)
    }

    /// All layers but the chart's own, which Helm lays below what it is given.
    pub fn over_chart(&self) -> Object {
        compose(self.0.iter().filter(|level| level.layer != Layer::Chart))
    }

    /// The topmost layer that has a say at a JSON pointer: it set the place, or the nearest of its parents.
    pub fn origin(&self, pointer: &str) -> Option<Layer> {
        let mut place = pointer;
        loop {
            if let Some(level) = self.0.iter().rev().find(|level| level.sets(place)) {
                return Some(level.layer);
            }
            place = &place[..place.rfind('/')?];
        }
    }
}

impl Level {
    fn sets(&self, pointer: &str) -> bool {
        let is_own = |set: &Vec<String>| set.iter().any(|own| lies_in(pointer, own) || lies_in(own, pointer));
        holds(&self.values, pointer) && self.set.as_ref().is_none_or(is_own)
    }
}

fn compose<'a>(levels: impl IntoIterator<Item = &'a Level>) -> Object {
    let mut all = Object::new();
    for level in levels {
        merge(&mut all, &level.values);
    }
    all
}

/// Whether a JSON pointer names a place or something in it.
pub(super) fn lies_in(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

    fn set(layers: &mut Layers, layer: Layer, places: &[(&str, Value)]) -> Result<(), PathError> {
        layers.set(layer, places.iter().map(|(path, value)| (ValuePath::parse(path).unwrap(), value.clone())))
    }

    /// As `helm create` writes it.
    fn helm_create() -> Value {
        json!({"ingress": {"enabled": false, "className": "", "hosts": [
            {"host": "chart-example.local", "paths": [{"path": "/", "pathType": "ImplementationSpecific"}]}
        ], "tls": []}})
    }

    #[test]
    fn what_is_set_into_a_list_keeps_what_stands_there() {
        type Case<'a> = (&'a str, Value, Value, &'a [(&'a str, Value)], Value);
        let host = [("ingress.hosts[0].host", json!("acme.example"))];
        let two = [("l[0].a", json!(1)), ("l[1].a", json!(2))];
        let paths = json!([{"path": "/", "pathType": "ImplementationSpecific"}]);
        let entry = |host: &str, paths: &Value| json!({"host": host, "paths": paths});
        let cases: [Case<'_>; 8] = [
            (
                "the chart's list, and nothing else of the chart",
                helm_create(),
                json!({}),
                &host,
                json!({"ingress": {"hosts": [entry("acme.example", &paths)]}}),
            ),
            (
                "the list of the nearest layer",
                helm_create(),
                json!({"ingress": {"hosts": [{"host": "x", "paths": ["/"]}, {"host": "y"}]}}),
                &host,
                json!({"ingress": {"hosts": [entry("acme.example", &json!(["/"])), {"host": "y"}]}}),
            ),
            (
                "null takes the chart's list away",
                helm_create(),
                json!({"ingress": {"hosts": null}}),
                &host,
                json!({"ingress": {"hosts": [{"host": "acme.example"}]}}),
            ),
            ("no list below", json!({}), json!({}), &host, json!({"ingress": {"hosts": [{"host": "acme.example"}]}})),
            (
                "a list in a list",
                json!({"a": [{"b": [{"x": 1, "y": 2}]}]}),
                json!({}),
                &[("a[0].b[0].x", json!(3))],
                json!({"a": [{"b": [{"x": 3, "y": 2}]}]}),
            ),
            (
                "the next position",
                json!({"l": [{"b": 0}]}),
                json!({}),
                &two,
                json!({"l": [{"b": 0, "a": 1}, {"a": 2}]}),
            ),
            (
                "a map that is set before",
                json!({}),
                json!({"m": {"l": [{"b": 0}], "n": 1}}),
                &[("m", json!({"k": 1})), ("m.l[0].a", json!(1))],
                json!({"m": {"k": 1, "l": [{"b": 0, "a": 1}], "n": 1}}),
            ),
            (
                "without a list on the way",
                json!({"m": {"l": [1]}}),
                json!({}),
                &[("m.n", json!(1))],
                json!({"m": {"n": 1}}),
            ),
        ];
        for (what, chart, template, places, expected) in cases {
            let mut layers = Layers::default();
            layers.push(Layer::Chart, object(chart));
            layers.push(Layer::Template, object(template));
            set(&mut layers, Layer::Input, places).unwrap();
            assert_eq!(Value::Object(layers.over_chart()), expected, "{what}");
        }
    }

    #[test]
    fn a_position_behind_a_gap_or_in_a_scalar_is_refused() {
        let mut layers = Layers::default();
        layers.push(Layer::Chart, object(json!({"l": [{"a": 1}], "names": ["x"]})));
        assert!(matches!(set(&mut layers, Layer::Input, &[("l[2].a", json!(1))]), Err(PathError::Gap(_))));
        assert!(matches!(set(&mut layers, Layer::Input, &[("k[1]", json!(1))]), Err(PathError::Gap(_))));
        assert!(matches!(set(&mut layers, Layer::Input, &[("names[0].a", json!(1))]), Err(PathError::Blocked(_))));
    }

    #[test]
    fn the_layer_that_set_a_key_of_a_list_entry_is_known() {
        let mut layers = Layers::default();
        layers.push(Layer::Chart, object(helm_create()));
        layers.push(Layer::Template, object(json!({"extra": [{"name": "x"}]})));
        set(&mut layers, Layer::ValuesFrom, &[("ingress.hosts[0].token", json!("")), ("extra[1].key", json!(""))])
            .unwrap();
        set(&mut layers, Layer::Input, &[("ingress.hosts[0].host", json!("acme.example"))]).unwrap();
        for (pointer, layer) in [
            ("/ingress/hosts/0/paths/0/path", Layer::Chart),
            ("/ingress/hosts/0/token", Layer::ValuesFrom),
            ("/ingress/hosts/0/host", Layer::Input),
            ("/ingress/hosts/0", Layer::Input),
            ("/ingress/className", Layer::Chart),
            ("/extra/0/name", Layer::Template),
            ("/extra/1/key", Layer::ValuesFrom),
        ] {
            assert_eq!(layers.origin(pointer), Some(layer), "{pointer}");
        }
    }
}
