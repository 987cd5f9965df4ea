//! Options as Keras's objects have them: in JSON, and within their ranges.

use crate::error::nearest;
use crate::{Error, Result, json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Refuses a number that does not fit, or is not finite; `wanted` follows "give".
///
/// # Errors
/// [`Error::Argument`] with the option's name.
pub(super) fn in_range(name: &str, value: f64, fits: bool, wanted: &str) -> Result<()> {
    match fits && value.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(name, format!("{value} does not work, give {wanted}"))),
    }
}

/// Refuses a negative number.
///
/// # Errors
/// As [`in_range`].
pub(super) fn not_negative(name: &str, value: f64) -> Result<()> {
    in_range(name, value, value >= 0.0, "a number of at least 0")
}

/// Refuses what is not above 0.
///
/// # Errors
/// As [`in_range`].
pub(super) fn positive(name: &str, value: f64) -> Result<()> {
    in_range(name, value, value > 0.0, "a number above 0")
}

/// Refuses what is not from 0 to 1.
///
/// # Errors
/// As [`in_range`].
pub(super) fn part(name: &str, value: f64) -> Result<()> {
    in_range(name, value, (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

/// Refuses a decay that a bias correction would divide by 0 for.
///
/// # Errors
/// As [`in_range`].
pub(super) fn below_one(name: &str, value: f64) -> Result<()> {
    in_range(name, value, (0.0..1.0).contains(&value), "a number from 0 to below 1")
}

/// Refuses what is no number at all.
///
/// # Errors
/// As [`in_range`].
pub(super) fn finite(name: &str, value: f64) -> Result<()> {
    in_range(name, value, true, "a finite number")
}

/// The class and the arguments of an object as Keras serialises it, `{"class_name": …, "config": {…}}`; `kind` is what
/// it is in messages. Where Keras wrote it (`module`, `registered_name`) is left aside, and so is its `name`.
///
/// # Errors
/// In words, where it is no such object.
pub(super) fn open(kind: &str, mut object: Map<String, Value>) -> Result<(String, Map<String, Value>)> {
    let refuse = |what: String| Err(Error::argument(kind, what));
    match object.get("registered_name") {
        None | Some(Value::Null) => {}
        Some(name) if object.get("class_name") == Some(name) => {}
        Some(name) => return refuse(format!("{name} is a class of somebody's own, which is not known here")),
    }
    let class = match object.shift_remove("class_name") {
        Some(Value::String(class)) => class,
        other => return refuse(format!("`class_name` is {}, expected a text", other.unwrap_or_default())),
    };
    let mut config = match object.shift_remove("config") {
        Some(Value::Object(config)) => config,
        None | Some(Value::Null) => Map::new(),
        Some(other) => return refuse(format!("`config` of {class} is {other}, expected an object")),
    };
    let known = ["module", "registered_name", "build_config"];
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return refuse(format!("the field `{key}` is unknown; beside `class_name` there is `config`"));
    }
    config.shift_remove("name");
    Ok((class, config))
}

/// The known class that a name stands for, large and small letters being the same.
///
/// # Errors
/// A class that is unknown, with the nearest known one.
pub(super) fn class_named(kind: &str, name: &str, known: &'static [&'static str]) -> Result<&'static str> {
    // `CosineDecay` is `cosine_decay` to some.
    let plain = name.replace('_', "");
    known.iter().find(|class| class.eq_ignore_ascii_case(&plain)).copied().ok_or_else(|| {
        let near = nearest(name, known.iter().copied());
        let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
        let what = format!("class `{name}` is unknown; {near}known are {}", known.join(", "));
        Error::argument(kind, what)
    })
}

/// A class's own arguments, what is left out being the default; `others` are the fields that were taken out before.
///
/// # Errors
/// An unknown field with the nearest known one, a value of another type.
pub(super) fn arguments<T: Serialize + DeserializeOwned>(
    class: &str,
    config: Map<String, Value>,
    own: &[&str],
    others: &[&str],
) -> Result<T> {
    let known = || own.iter().chain(others).copied();
    if let Some(key) = config.keys().find(|key| !own.contains(&key.as_str())) {
        let hint = match nearest(key, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
        };
        return Err(Error::argument(class, format!("the field `{key}` is unknown; {hint}")));
    }
    json::from_value(&config.into()).map_err(|wrong| Error::argument(class, wrong.named()))
}

/// The fields of a value that serialises to an object.
pub(super) fn fields(value: &impl Serialize) -> Map<String, Value> {
    // Plain data: nothing in it can fail.
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
