//! Keras's classes as words of the command line: `adam`, `huber(delta=2)`, or JSON.

use serde_json::{Map, Value, json};

/// A class by its name; with arguments as `name(argument=value, …)`; or as Keras's JSON.
pub(super) fn class(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text.starts_with(['{', '[', '"']) {
        return serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"));
    }
    let Some((name, rest)) = text.split_once('(') else { return name(text).map(Value::from) };
    let Some(arguments) = rest.strip_suffix(')') else {
        return Err("the bracket is not closed; give NAME(ARGUMENT=VALUE, …)".into());
    };
    let config = arguments_of(arguments)?;
    Ok(json!({ "class_name": self::name(name)?, "config": config }))
}

/// Arguments alone: `factor=0.5, patience=2`.
pub(super) fn arguments(text: &str) -> Result<Value, String> {
    arguments_of(text).map(Value::Object)
}

/// Classes after each other, separated by commas outside brackets: those of one output, or those of several separated by
/// semicolons.
pub(super) fn classes(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text.starts_with(['{', '[', '"']) {
        return class(text);
    }
    let one = |text: &str| split(text, ',').into_iter().map(class).collect::<Result<Vec<Value>, _>>();
    match split(text, ';').as_slice() {
        [single] => one(single).map(Value::Array),
        several => several.iter().map(|text| one(text).map(Value::Array)).collect(),
    }
}

/// A class for the one output, or for each of several, separated by commas.
pub(super) fn class_per_output(text: &str) -> Result<Value, String> {
    match split(text.trim(), ',').as_slice() {
        [single] => class(single),
        _ if text.trim().starts_with(['{', '[', '"']) => class(text),
        several => several.iter().map(|text| class(text)).collect(),
    }
}

/// `0=1, 1=5.5`.
pub(super) fn class_weight(text: &str) -> Result<Vec<(u32, f64)>, String> {
    const FORM: &str = "give CLASS=WEIGHT, such as 0=1,1=5";
    let pair = |pair: &str| {
        let (class, weight) = pair.split_once('=').ok_or(FORM)?;
        let class =
            class.trim().parse::<u32>().map_err(|_| format!("{class:?} is no class's number; {FORM}"))?;
        match weight.trim().parse::<f64>() {
            Ok(weight) if weight >= 0.0 && weight.is_finite() => Ok((class, weight)),
            _ => Err(format!("{weight:?} is no number from 0; {FORM}")),
        }
    };
    let pairs = text.split(',').map(pair).collect::<Result<Vec<_>, String>>()?;
    match pairs.iter().enumerate().find(|(at, pair)| pairs[..*at].iter().any(|earlier| earlier.0 == pair.0)) {
        Some((_, (class, _))) => Err(format!("class {class} is given twice")),
        None => Ok(pairs),
    }
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '>')) {
        true => Ok(text.into()),
        false => Err(format!("{text:?} is no name; give NAME or NAME(ARGUMENT=VALUE, …)")),
    }
}

fn arguments_of(text: &str) -> Result<Map<String, Value>, String> {
    let mut config = Map::new();
    for argument in split(text, ',') {
        if argument.trim().is_empty() {
            continue;
        }
        let (key, value) =
            argument.split_once('=').ok_or_else(|| format!("{argument:?} is no ARGUMENT=VALUE"))?;
        if config.insert(name(key)?, self::value(value.trim())?).is_some() {
            return Err(format!("{} is given twice", key.trim()));
        }
    }
    Ok(config)
}

/// A value in Python's or JSON's words; what is none is a name, or a class with its arguments.
fn value(text: &str) -> Result<Value, String> {
    match text {
        "None" | "null" => return Ok(Value::Null),
        "True" => return Ok(true.into()),
        "False" => return Ok(false.into()),
        _ => {}
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let (Err(_), Some(number)) = (serde_json::from_str::<Value>(text), number) {
        // `.5` and `1.` are numbers to Python.
        return Ok(number.into());
    }
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) => class(text.trim_matches('\'')),
    }
}

/// The parts between separators that stand outside brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (vec![], 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_as_people_write_them() {
        let read = |text| class(text).expect(text);
        assert_eq!(read("adam"), json!("adam"));
        assert_eq!(
            read("Adam(learning_rate=1e-3, amsgrad=True, weight_decay=None)"),
            json!({ "class_name": "Adam", "config": { "learning_rate": 1e-3, "amsgrad": true, "weight_decay": null } })
        );
        assert_eq!(
            read("sgd(learning_rate=cosine_decay(initial_learning_rate=.1, decay_steps=100))")["config"]["learning_rate"],
            json!({ "class_name": "cosine_decay", "config": { "initial_learning_rate": 0.1, "decay_steps": 100 } })
        );
        assert_eq!(read("pinball(quantiles=[0.1, 0.5])")["config"]["quantiles"], json!([0.1, 0.5]));
        assert_eq!(read(r#"{"class_name": "MSE"}"#), json!({ "class_name": "MSE" }));
        assert_eq!(classes("accuracy, auc(curve='PR')").expect("list")[1]["config"]["curve"], json!("PR"));
        assert_eq!(classes("mae; accuracy,auc").expect("lists"), json!([["mae"], ["accuracy", "auc"]]));
        assert_eq!(class_per_output("mse,huber(delta=2)").expect("two")[0], json!("mse"));
        assert_eq!(class_weight("0=1, 3=2.5"), Ok(vec![(0, 1.0), (3, 2.5)]));
    }

    #[test]
    fn mistakes_are_said() {
        for (text, words) in [
            ("adam(", "is not closed"),
            ("ad am", "is no name"),
            ("adam(beta_1)", "is no ARGUMENT=VALUE"),
            ("adam(a=1,a=2)", "given twice"),
            ("{", "is no JSON"),
        ] {
            let what = class(text).expect_err(text);
            assert!(what.contains(words), "{text}: {what}");
        }
        assert!(
            class_weight("0:1").is_err() && class_weight("a=1").is_err() && class_weight("0=-1").is_err()
        );
    }
}
