//! An operation in a few words: `x[:, -1]`, `sum(axis=1)`, `multiply(0.5)`, `subtract(1.0, x)`.

use super::operation::OperationConfig;
use super::row::{Operands, Row};
use super::table::{names, row};
use crate::error::nearest;
use crate::{Error, Result};
use serde_json::Value;
use std::str::FromStr;

/// The operation of a name of Keras's functions or classes: `expand_dims`, `ExpandDims`.
fn named(name: &str) -> Option<&'static Row> {
    let plain: String = name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect();
    let plain = match plain.as_str() {
        "abs" => "absolute",
        "neg" => "negative",
        "true_divide" => "truedivide",
        other => other,
    };
    names().find(|op| op.to_lowercase() == plain).and_then(row)
}

/// Splits at commas that stand in no brackets and no text.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start, mut parts) = (0usize, 0, vec![]);
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match c {
            c if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '\'' | '"' => quote = Some(c),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text.get(start..)?.trim();
    if !last.is_empty() {
        parts.push(last);
    }
    (depth == 0 && quote.is_none()).then_some(parts)
}

/// A value as Python writes it: numbers, texts, `True`, `None`, tuples and lists.
fn value(text: &str) -> Option<Value> {
    match text {
        "None" | "null" => return Some(Value::Null),
        "True" | "true" => return Some(Value::Bool(true)),
        "False" | "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    let inner = |open, close| text.strip_prefix(open).and_then(|inner| inner.strip_suffix(close));
    if let Some(list) = inner('(', ')').or_else(|| inner('[', ']')) {
        return parts(list)?.into_iter().map(value).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    if let Some(text) = inner('\'', '\'').or_else(|| inner('"', '"')) {
        return Some(text.into());
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    serde_json::Number::from_f64(text.parse::<f64>().ok()?).map(Value::Number)
}

impl FromStr for OperationConfig {
    type Err = Error;

    /// `x[KEY]`, `NAME` or `NAME(ARGUMENTS)`. The names are those of `keras.ops`; arguments are given by name or in Keras's
    /// order, where the tensor, `x`, may be left out if it comes first.
    fn from_str(text: &str) -> Result<Self> {
        let fail = |what: String| Error::argument("operation", format!("`{text}`: {what}"));
        let text = text.trim();
        let key = text.strip_prefix('x').unwrap_or(text).trim_start();
        if key.starts_with('[') {
            return Ok(Self::new("GetItem").with("key", key.parse::<super::Key>().map_err(fail)?.to_string()));
        }
        let (name, inner) = match text.split_once('(') {
            None => (text, ""),
            Some((name, inner)) => {
                let inner = inner.trim_end().strip_suffix(')');
                (name.trim(), inner.ok_or_else(|| fail("its brackets do not close".into()))?)
            }
        };
        let Some(row) = named(name) else {
            let near = nearest(name, names()).map(|near| format!("; did you mean `{near}`?"));
            return Err(fail(format!("`{name}` is no operation{}", near.unwrap_or_default())));
        };
        let parts = parts(inner).ok_or_else(|| fail("its brackets do not close".into()))?;
        let mut config = Self::new(row.op);
        let mut operands: Vec<Value> = vec![];
        if !parts.contains(&"x") {
            operands.push(Value::Null);
        }
        let count = match row.operands() {
            Operands::Exactly(count) => count,
            Operands::Several | Operands::List => 1,
        };
        let mut arguments = row.arguments.iter().map(|argument| argument.name);
        for part in parts {
            let named = part
                .split_once('=')
                .filter(|(name, _)| name.trim().chars().all(|c| c.is_alphanumeric() || c == '_'));
            let (name, given) = named.map_or((None, part), |(name, given)| (Some(name.trim()), given.trim()));
            if name.is_none() && given == "x" {
                operands.push(Value::Null);
                continue;
            }
            let value = value(given).ok_or_else(|| fail(format!("`{given}` is no value")))?;
            if name.is_none() && operands.len() < count {
                operands.push(value);
                continue;
            }
            let name = name
                .or_else(|| arguments.next())
                .ok_or_else(|| fail(format!("`{given}` is one value too many")))?;
            config = config.with(name, value);
        }
        if operands.iter().any(|operand| !operand.is_null()) {
            config.operands = operands;
        }
        config.checked().map_err(fail)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_are_read_as_one_would_write_them() {
        let read = |text: &str| serde_json::to_value(text.parse::<OperationConfig>().unwrap()).unwrap();
        assert_eq!(read("x[:,-1,:]"), json!({"op": "GetItem", "key": "[:, -1, :]"}));
        assert_eq!(read("[..., 0]"), json!({"op": "GetItem", "key": "[..., 0]"}));
        assert_eq!(read("sum(axis=1)"), json!({"op": "Sum", "axis": 1}));
        assert_eq!(read("sum(x, 1, True)"), json!({"op": "Sum", "axis": 1, "keepdims": true}));
        assert_eq!(read("multiply(0.5)"), json!({"op": "Multiply", "operands": [null, 0.5]}));
        assert_eq!(read("subtract(1.0, x)"), json!({"op": "Subtract", "operands": [1.0, null]}));
        assert_eq!(read("expand_dims(-1)"), json!({"op": "ExpandDims", "axis": -1}));
        assert_eq!(read("reshape((-1, 20))"), json!({"op": "Reshape", "newshape": [-1, 20]}));
        assert_eq!(read("abs"), json!({"op": "Absolute"}));
        assert_eq!(read("stack(axis=1)"), json!({"op": "Stack", "axis": 1}));
        assert_eq!(read("einsum('bij,bkj->bik')"), json!({"op": "Einsum", "subscripts": "bij,bkj->bik"}));
    }

    #[test]
    fn what_is_no_operation_is_refused() {
        for (text, expected) in [
            ("summ(1)", "`summ` is no operation; did you mean `Sum`?"),
            ("sum(axis=", "do not close"),
            ("sum(axes=1)", "Sum has no argument `axes`; did you mean `axis`?"),
            ("sum(1, true, 3)", "one value too many"),
            ("x[a]", "is no index"),
            ("lambda t: t", "is no operation"),
        ] {
            let error = text.parse::<OperationConfig>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
