//! Why an object cannot be read, said without any value of it: what `serde_json` says quotes them.

use std::fmt::{self, Display};

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// Names of fields are people's own where values are free-form.
const PATH: usize = 200;

/// Why `text` is no `T`. The text is JSON, and no deeper than `serde_json` reads.
pub fn problem<T: DeserializeOwned>(text: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return "the object holds a number or a text that cannot be read".to_owned();
    };
    match T::deserialize(Node(&value)) {
        Err(problem) => problem.to_string(),
        Ok(_) => "the object holds a value that cannot be read".to_owned(),
    }
}

/// Where, and what is wrong there.
#[derive(Debug)]
struct Problem {
    /// From the innermost to the outermost.
    path: Vec<String>,
    what: String,
}

impl Problem {
    fn below(mut self, field: impl Into<String>) -> Self {
        self.path.push(field.into());
        self
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self { path: Vec::new(), what }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the object {}", self.what);
        }
        let path = self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
        let shown: String = path.chars().take(PATH).collect();
        let cut = if shown.len() < path.len() { "…" } else { "" };
        write!(f, "\"{shown}{cut}\" {}", self.what)
    }
}

impl std::error::Error for Problem {}

impl Error for Problem {
    /// The message may quote, and is left out.
    fn custom<T: Display>(_: T) -> Self {
        "holds a value that is not understood".to_owned().into()
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        format!("holds {} where {expected} is expected", type_of(&found)).into()
    }

    fn invalid_value(_: Unexpected, expected: &dyn Expected) -> Self {
        format!("holds another value than {expected}").into()
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        format!("holds {length} items where {expected} is expected").into()
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        format!("holds an unknown value; known are {}", known.join(", ")).into()
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        format!("holds an unknown field; known are {}", known.join(", ")).into()
    }

    fn missing_field(field: &'static str) -> Self {
        format!("lacks the field \"{field}\"").into()
    }

    fn duplicate_field(field: &'static str) -> Self {
        format!("holds the field \"{field}\" twice").into()
    }
}

fn type_of(found: &Unexpected) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "something else",
    }
}

/// A value that is read with [`Problem`]s for errors.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Value);

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (.., value) => visitor.visit_f64(value.unwrap_or_default()),
            },
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Array(items) => visitor.visit_seq(Items { rest: items.iter(), index: 0 }),
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
            Value::Object(fields) => {
                visitor.visit_enum(MapAccessDeserializer::new(Fields { rest: fields.iter(), current: None }))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Value>,
    index: usize,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Node(item)).map(Some).map_err(|problem| problem.below(index.to_string()))
    }
}

struct Fields<'a> {
    rest: serde_json::map::Iter<'a>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'a> MapAccess<'a> for Fields<'a> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.current = self.rest.next();
        self.current.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let (name, value) =
            self.current.take().ok_or_else(|| Problem::from("holds a field without a value".to_owned()))?;
        seed.deserialize(Node(value)).map_err(|problem| problem.below(name))
    }
}

#[cfg(test)]
mod tests {
    use odoofleet_api::OdooEnvironment;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "S3cr3t";

    fn environment(spec: &Value) -> String {
        let mut whole = json!({"customerRef": {"name": "acme"}, "serviceName": "erp", "stage": "Test",
            "templateRef": {"name": "odoo-18"}});
        for (name, value) in spec.as_object().unwrap() {
            whole[name] = value.clone();
        }
        json!({"metadata": {"name": "acme-erp"}, "spec": whole}).to_string()
    }

    #[test]
    fn a_problem_says_where_and_what_and_quotes_no_value() {
        let list = json!({"customerAddons": [{"url": "https://a", "ref": "main"}, {"url": {"x": SECRET}}]});
        for (object, expected) in [
            (environment(&json!({"stage": SECRET})), "\"spec.stage\" holds an unknown value; known are"),
            (environment(&json!({"paused": SECRET})), "\"spec.paused\" holds a text where a boolean is expected"),
            (environment(&json!({"replicas": SECRET})), "\"spec.replicas\" holds a text where i32 is expected"),
            (environment(&json!({"templateRef": {"x": SECRET}})), "\"spec.templateRef\" lacks the field \"name\""),
            (
                environment(&json!({"git": list})),
                "\"spec.git.customerAddons.1.url\" holds a map where a string is expected",
            ),
            (environment(&json!({"values": [SECRET]})), "\"spec.values\" holds a list where a map is expected"),
            (json!({"metadata": {"name": "x"}}).to_string(), "the object lacks the field \"spec\""),
            (
                environment(&json!({"values": 1})).replace("\"values\":1", "\"values\":{\"x\":1e999}"),
                "the object holds a number",
            ),
        ] {
            assert!(serde_json::from_str::<OdooEnvironment>(&object).is_err(), "{object}");
            let problem = problem::<OdooEnvironment>(&object);
            assert!(problem.starts_with(expected), "{problem}");
            assert!(!problem.contains(SECRET), "{problem}");
        }
    }

    #[test]
    fn a_long_path_is_cut() {
        let problem = Problem::from("is wrong".to_owned()).below("é".repeat(1000));
        assert_eq!(problem.to_string(), format!("\"{}…\" is wrong", "é".repeat(PATH)));
    }
}
