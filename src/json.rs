//! JSON, with what is wrong in it said in words: which field, what was expected, what was found, and where.
//!
//! A text is read into a [`Value`] first, and a type from that by a deserializer of its own, since serde gives the parts
//! of a mistake (the field, the known ones, the value) to the error's type only, and here that is [`Wrong`].

use crate::error::nearest;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess};
use serde::de::{Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::{self, Display};

/// Lists and objects within each other that are read. Each takes room on the stack, of which Windows gives a program's first
/// thread a megabyte; a model in a model takes three, and 64 of these are read.
const DEPTH: usize = 256;

/// What is wrong, in words that follow the name of the file or field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    /// The way to the value in question, the last step first.
    path: Vec<Step>,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Element(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Type { expected: String, found: String },
    Missing(&'static str),
    Unknown { name: String, is_field: bool, known: &'static [&'static str] },
    Said(String),
}

/// Reads a `T` from a text.
///
/// # Errors
/// In words, with line and column.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    from_value(&parse(text)?).map_err(|wrong: Wrong| match wrong.place(text) {
        Some((line, column)) => wrong.words(&format!(" at line {line} column {column}")),
        None => wrong.to_string(),
    })
}

/// Reads a `T` from a value.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    T::deserialize(Node(value))
}

/// The value in a text, however deep up to a limit.
///
/// # Errors
/// In words, with line and column.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    check_depth(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = Unique.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => {
            let (line, column) = (error.line(), error.column());
            format!("ends too early, in the middle of its JSON at line {line} column {column}")
        }
        serde_json::error::Category::Syntax => format!("is not JSON: {error}"),
        _ => error.to_string(),
    })
}

/// Refuses what no stack should have to hold, in one pass over the text.
fn check_depth(text: &str) -> Result<(), String> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(format!("is nested too deep: more than {DEPTH} lists and objects within each other"));
        }
    }
    Ok(())
}

impl Wrong {
    fn new(what: What) -> Self {
        Self { path: vec![], what }
    }

    fn under(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// The same seen from the value of the field `name`, if that is on its way.
    pub(crate) fn within(mut self, name: &str) -> Self {
        if self.path.last() == Some(&Step::Field(name.into())) {
            self.path.pop();
        }
        self
    }

    /// What was asked of the value itself, in better words than those of the type's.
    fn expecting(mut self, words: &str) -> Self {
        if let (What::Type { expected, .. }, true) = (&mut self.what, self.path.is_empty()) {
            *expected = words.into();
        }
        self
    }

    /// The words, with the place in the file where it belongs.
    fn words(&self, place: &str) -> String {
        let path = self.path.iter().rev().fold(String::new(), |path, step| match step {
            Step::Field(name) if path.is_empty() => name.clone(),
            Step::Field(name) => format!("{path}.{name}"),
            Step::Element(index) => format!("{path}[{index}]"),
        });
        let path = if path.is_empty() { path } else { format!("{path}: ") };
        match &self.what {
            What::Type { expected, found } => format!("{path}expected {expected}, found {found}{place}"),
            What::Missing(field) => format!("{path}lacks the field `{field}`{place}"),
            What::Unknown { name, is_field, known } => {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None if known.is_empty() => "; leave it out".into(),
                    None => format!("; known are {}", known.join(", ")),
                };
                let field = if *is_field { "the field " } else { "" };
                format!("{path}{field}`{name}` is unknown{place}{hint}")
            }
            // Says itself what it speaks of.
            What::Said(what) => format!("{what}{place}"),
        }
    }

    /// In words, the way to the value before what the value's own type says of it, too: the argument of a layer, say.
    pub(crate) fn named(&self) -> String {
        match (&self.what, self.path.last()) {
            (What::Said(what), Some(Step::Field(field)))
                if !what.starts_with("layer ") && !what.starts_with(field.as_str()) =>
            {
                format!("{field}: {what}")
            }
            _ => self.to_string(),
        }
    }

    /// Line and column, from 1, of the name of the field in question, or of the element.
    fn place(&self, text: &str) -> Option<(usize, usize)> {
        let mut path: Vec<&Step> = self.path.iter().rev().collect();
        let unknown = match &self.what {
            What::Unknown { name, is_field: true, .. } => Some(Step::Field(name.clone())),
            _ => None,
        };
        path.extend(&unknown);
        let mut rest = text;
        for step in &path {
            rest = match step {
                Step::Field(name) => {
                    serde_json::from_str::<HashMap<String, &RawValue>>(rest).ok()?.get(name)?.get()
                }
                Step::Element(index) => serde_json::from_str::<Vec<&RawValue>>(rest).ok()?.get(*index)?.get(),
            };
        }
        let at = (rest.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        let before = match path.last()? {
            Step::Field(_) => text.get(..at)?.trim_end().trim_end_matches(':').trim_end(),
            Step::Element(_) => text.get(..=at)?,
        };
        let line = before.rsplit('\n').next()?;
        Some((before.matches('\n').count() + 1, line.len()))
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.words(""))
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(what: T) -> Self {
        Self::new(What::Said(what.to_string()))
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(What::Type { expected: expected.to_string(), found: in_words(found) })
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(What::Said(format!("expected {expected}, found {length} elements")))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { name: name.into(), is_field: false, known })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { name: name.into(), is_field: true, known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }
}

/// A value in words.
fn in_words(found: Unexpected) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => format!("{value:?}"),
        Unexpected::Str(value) => format!("{value:?}"),
        Unexpected::Unit | Unexpected::Option => "null".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "an object".into(),
        other => other.to_string(),
    }
}

/// A value as something to read from.
struct Node<'de>(&'de Value);

macro_rules! asked {
    ($($method:ident: $words:expr,)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.deserialize_any(visitor).map_err(|wrong| wrong.expecting(&$words))
        }
    )* };
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => {
                let mut elements = Elements { next: 0, list };
                let value = visitor.visit_seq(&mut elements)?;
                match elements.next < list.len() {
                    true => Err(de::Error::invalid_length(list.len(), &"fewer elements")),
                    false => Ok(value),
                }
            }
            Value::Object(object) => {
                let mut fields = Fields { fields: object.iter(), value: None };
                let value = visitor.visit_map(&mut fields)?;
                match fields.fields.len() {
                    0 => Ok(value),
                    _ => Err(de::Error::invalid_length(object.len(), &"fewer fields")),
                }
            }
        }
    }

    asked! {
        deserialize_bool: "true or false",
        deserialize_i8: "a whole number",
        deserialize_i16: "a whole number",
        deserialize_i32: "a whole number",
        deserialize_i64: "a whole number",
        deserialize_u8: format!("a whole number from 0 to {}", u8::MAX),
        deserialize_u16: format!("a whole number from 0 to {}", u16::MAX),
        deserialize_u32: format!("a whole number from 0 to {}", u32::MAX),
        deserialize_u64: "a whole number from 0",
        deserialize_f32: "a number",
        deserialize_f64: "a number",
        deserialize_char: "a character",
        deserialize_str: "a text",
        deserialize_string: "a text",
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let is_list = self.0.is_array();
        self.deserialize_any(visitor).map_err(|wrong| if is_list { wrong } else { wrong.expecting("a list") })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(<Wrong as de::Error>::invalid_type(kind(other), &visitor).expecting("an object")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let is_object = self.0.is_object();
        self.deserialize_any(visitor)
            .map_err(|wrong| if is_object { wrong } else { wrong.expecting("an object") })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Value::Object(object) if object.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Fields { fields: object.iter(), value: None }))
            }
            other => Err(de::Error::invalid_type(kind(other), &"a text or an object with one field")),
        }
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct identifier ignored_any }
}

/// What a value is, as serde names it.
fn kind(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (_, Some(number)) => Unexpected::Signed(number),
            _ => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// A list, element by element.
struct Elements<'de> {
    next: usize,
    list: &'de [Value],
}

impl<'de> SeqAccess<'de> for &mut Elements<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(value) = self.list.get(self.next) else { return Ok(None) };
        let step = Step::Element(self.next);
        self.next += 1;
        seed.deserialize(Node(value)).map(Some).map_err(|wrong| wrong.under(step))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.list.len() - self.next)
    }
}

/// An object, field by field.
struct Fields<'de> {
    fields: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        let Some((name, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its field"));
        };
        seed.deserialize(Node(value)).map_err(|wrong| wrong.under(Step::Field(name.into())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// Reads a value in whose objects no field stands twice: of two, one would be dropped in silence.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = vec![];
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(de::Error::custom(format!("the field `{name}` stands twice")));
            }
            fields.insert(name, object.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests;
