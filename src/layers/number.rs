//! Numbers that JSON has no word for, in JSON: `"NaN"`, `"Infinity"`, `"-Infinity"`, as Python calls them.

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde_json::Value;
use std::fmt;

/// Python's word for a number that is not finite.
fn word(number: f64) -> Option<&'static str> {
    match number {
        _ if number.is_finite() => None,
        _ if number.is_nan() => Some("NaN"),
        _ if number > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

/// The number that one of Python's words stands for.
pub fn non_finite(word: &str) -> Option<f64> {
    match word {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A number in JSON.
pub fn number_value(number: f64) -> Value {
    word(number).map_or_else(|| number.into(), Value::from)
}

/// For serde's `with`.
pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match word(*number) {
        Some(word) => serializer.serialize_str(word),
        None => serializer.serialize_f64(*number),
    }
}

/// For serde's `with`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Number;

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or \"NaN\", \"Infinity\" or \"-Infinity\"")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<f64, E> {
            non_finite(word).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(word), &self))
        }
    }

    deserializer.deserialize_any(Number)
}
