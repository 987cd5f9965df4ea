//! A layer's arguments as the file has them, under whichever of their names it uses.

use super::classes::CLASSES;
use super::ignored;
use crate::error::nearest;
use crate::layers::non_finite;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The arguments of one layer.
pub(super) struct Fields<'a> {
    /// The layer's name.
    pub name: &'a str,
    /// Its class in the file.
    pub class: &'a str,
    map: &'a Map<String, Value>,
    /// The arguments that somebody asked for.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    pub fn new(name: &'a str, class: &'a str, map: &'a Map<String, Value>) -> Self {
        Self { name, class, map, asked: RefCell::default() }
    }

    /// An error about this layer.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::layer(self.name, format!("{}: {what}", self.class))
    }

    /// That no layer of this class can be read: one of Keras's own that is missing here, or somebody's.
    pub fn unknown(&self) -> Error {
        let class = self.class;
        if CLASSES.binary_search(&class).is_ok() {
            let what = format!(
                "`{class}` is a layer of Keras's that is not supported yet; the model can be read without it, or with \
                 another in its place"
            );
            return Error::layer(self.name, what);
        }
        let likely = nearest(class, CLASSES.iter().copied()).filter(|near| near.eq_ignore_ascii_case(class));
        let likely = likely.map_or_else(String::new, |near| format!(" (Keras has `{near}`)"));
        Error::layer(
            self.name,
            format!(
                "`{class}` is no layer of Keras's{likely} but a custom class, whose code is not in the file"
            ),
        )
    }

    /// The whole configuration.
    pub fn config(&self) -> Value {
        Value::Object(self.map.clone())
    }

    /// The first of `names` that is there, `null` included.
    pub fn raw(&self, names: &[&str]) -> Option<&'a Value> {
        self.ask(names);
        names.iter().find_map(|name| self.map.get(*name))
    }

    /// The first of `names` that has a value.
    pub fn get(&self, names: &[&str]) -> Option<&'a Value> {
        self.ask(names);
        names.iter().find_map(|name| self.map.get(*name).filter(|value| !value.is_null()))
    }

    /// The names that somebody asked for so far.
    #[cfg(test)]
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    fn ask(&self, names: &[&str]) {
        self.asked.borrow_mut().extend(names.iter().map(|name| name.to_string()));
    }

    /// Refuses an argument with a value that nobody asked for and that is not known to change no number.
    pub fn check_all_known(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let is_open = |(name, value): &(&String, &Value)| {
            !value.is_null() && !asked.contains(*name) && !ignored::is_ignored(self.class, name, value)
        };
        match self.map.iter().find(is_open) {
            None => Ok(()),
            Some((name, value)) => {
                let what = format!(
                    "has an argument `{name}` ({}) that is not known here and could change its numbers",
                    shortened(value)
                );
                Err(self.error(what))
            }
        }
    }

    fn wrong(&self, names: &[&str], value: &Value, expected: &str) -> Error {
        let name = names.iter().find(|name| self.map.contains_key(**name)).unwrap_or(&"an argument");
        let shown = shortened(value);
        self.error(format!("`{name}` is {shown}, expected {expected}"))
    }

    fn typed<T>(
        &self,
        names: &[&str],
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(names) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(names, value, expected))
    }

    /// A whole number from 0.
    pub fn count(&self, names: &[&str]) -> Result<Option<usize>> {
        self.typed(names, "a whole number from 0", whole)
    }

    /// A whole number from 0 that must be there.
    pub fn need_count(&self, names: &[&str]) -> Result<usize> {
        let missing = || self.error(format!("`{}` is missing", names.first().unwrap_or(&"an argument")));
        self.count(names)?.ok_or_else(missing)
    }

    /// A whole number, or a list of one.
    pub fn axis(&self, names: &[&str]) -> Result<Option<i64>> {
        self.typed(names, "one axis", |value| match value {
            Value::Array(list) => match list.as_slice() {
                [one] => one.as_i64(),
                _ => None,
            },
            one => number(one).filter(|n| n.fract() == 0.0).map(|n| n as i64),
        })
    }

    /// A list of whole numbers, not empty, that must be there.
    pub fn need_integers(&self, names: &[&str]) -> Result<Vec<i64>> {
        let list = |value: &Value| {
            let list = value.as_array().filter(|list| !list.is_empty())?;
            list.iter().map(|value| number(value).filter(|n| n.fract() == 0.0).map(|n| n as i64)).collect()
        };
        let missing = || self.error(format!("`{}` is missing", names.first().unwrap_or(&"an argument")));
        self.typed(names, "a list of whole numbers", list)?.ok_or_else(missing)
    }

    /// Whole numbers: one for every axis of `axes`, or a single one for all.
    pub fn sizes(&self, names: &[&str], axes: usize) -> Result<Option<Vec<usize>>> {
        self.typed(names, &format!("{axes} whole numbers"), |value| match value {
            Value::Array(list) if list.len() == axes => list.iter().map(whole).collect(),
            Value::Array(_) => None,
            one => whole(one).map(|size| vec![size; axes]),
        })
    }

    /// A finite number.
    pub fn number(&self, names: &[&str]) -> Result<Option<f64>> {
        self.typed(names, "a finite number", |value| number(value).filter(|number| number.is_finite()))
    }

    /// A number, NaN and the infinite ones too.
    pub fn any_number(&self, names: &[&str]) -> Result<Option<f64>> {
        self.typed(names, "a number", number)
    }

    /// True or false.
    pub fn flag(&self, names: &[&str]) -> Result<Option<bool>> {
        self.typed(names, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_f64().map(|number| number != 0.0),
            _ => None,
        })
    }

    /// A text.
    pub fn text(&self, names: &[&str]) -> Result<Option<&'a str>> {
        let Some(value) = self.get(names) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(names, value, "a text"))
    }

    /// Refuses a data format other than channels last.
    pub fn channels_last(&self) -> Result<()> {
        match self.text(&["data_format", "dim_ordering"])? {
            None | Some("channels_last" | "tf" | "default") => Ok(()),
            Some(other) => Err(self.error(format!(
                "data format `{other}` is not supported, only channels_last: the model must be changed in Keras"
            ))),
        }
    }
}

/// A value as a message shows it.
fn shortened(value: &Value) -> String {
    let shown = value.to_string();
    match shown.chars().count() > 60 {
        true => shown.chars().take(60).chain(['…']).collect(),
        false => shown,
    }
}

/// A whole number from 0, also one written as `3.0`.
fn whole(value: &Value) -> Option<usize> {
    value.as_u64().map(|n| n as usize).or_else(|| {
        let number = number(value)?;
        (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as usize)
    })
}

/// A number; NumPy's, which some versions wrap in an object, too.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        // What Python writes and JSON does not know; the reader of the file made texts of it.
        Value::String(text) => non_finite(text),
        Value::Array(list) => match list.as_slice() {
            [one] => number(one),
            _ => None,
        },
        Value::Object(map) => {
            let inner = map.get("value").or_else(|| map.get("config")?.get("value"))?;
            number(inner)
        }
        _ => None,
    }
}

/// Canonical arguments as they are put together.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub fn new() -> Self {
        Self(Map::from_iter([("name".to_string(), Value::Null)]))
    }

    /// Puts an argument in, if it is there.
    pub fn put<T: Into<Value>>(mut self, name: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.into(), value.into());
        }
        self
    }

    pub fn done(self) -> Value {
        json!(self.0)
    }
}
