//! Several labels in one text: what separates them, and which they are.

use super::python_lists::{is_list, items};
use serde_json::Value;
use std::collections::HashSet;

/// What is looked for between labels, with its name.
const SEPARATORS: [(&str, &str); 4] = [("|", "bar"), (";", "semicolon"), (",", "comma"), (" ", "space")];

/// What stands between the labels: of bar, semicolon and comma the one that most texts hold (the first in this order, where
/// several do). Where no text holds one: the space, if splitting by it makes fewer different labels than there were.
pub(super) fn find_separator(texts: &[String]) -> Option<String> {
    let plain: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !is_list(text)).collect();
    let (mut best, mut most) = (None, 0);
    for (separator, _) in &SEPARATORS[..3] {
        let count = plain.iter().filter(|text| text.contains(separator)).count();
        if count > most {
            (best, most) = (Some(*separator), count);
        }
    }
    let words: HashSet<&str> = plain.iter().flat_map(|text| text.split_whitespace()).collect();
    let whole: HashSet<&str> = plain.into_iter().filter(|text| !text.is_empty()).collect();
    best.or_else(|| (words.len() < whole.len()).then_some(" ")).map(String::from)
}

/// `labels separated by comma`.
pub(super) fn in_words(separator: Option<&str>) -> String {
    match separator {
        None => "no separator of labels found".into(),
        Some(separator) => {
            let name = SEPARATORS.iter().find(|(known, _)| *known == separator).map(|(_, name)| *name);
            format!("labels separated by {}", name.map_or_else(|| format!("{separator:?}"), String::from))
        }
    }
}

/// The labels of a text, each once: the items of a list, as JSON, Python or NumPy writes it, or what stands between
/// separators. A text that `known` knows as a whole is one label.
///
/// # Errors
/// In words: what looks like a list and is none of labels.
pub(super) fn split(
    text: &str,
    separator: Option<&str>,
    known: impl Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    let text = text.trim();
    let mut labels: Vec<String> = match (text, separator) {
        ("", _) => vec![],
        (text, _) if known(text) => vec![text.into()],
        (text, _) if is_list(text) => list(text)?,
        (text, None) => vec![text.into()],
        (text, Some(separator)) if separator.trim().is_empty() => {
            text.split_whitespace().map(String::from).collect()
        }
        (text, Some(separator)) => text.split(separator).map(|label| label.trim().to_string()).collect(),
    };
    let mut seen = HashSet::new();
    labels.retain(|label| !label.is_empty() && seen.insert(label.clone()));
    Ok(labels)
}

fn list(text: &str) -> Result<Vec<String>, String> {
    let label = |value: Value| match value {
        Value::String(label) => Ok(label.trim().to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) => Err("holds a list within a list, expected labels".to_string()),
        Value::Object(_) => Err("holds a list of objects, expected labels".to_string()),
        other => Ok(other.to_string()),
    };
    match serde_json::from_str::<Vec<Value>>(text) {
        Ok(values) => values.into_iter().map(label).collect(),
        Err(_) => items(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_found() {
        let find =
            |texts: &[&str]| find_separator(&texts.iter().map(|text| text.to_string()).collect::<Vec<_>>());
        for (texts, expected) in [
            (&["a|b", "a", "b, or not"][..], Some("|")),
            (&["a;b", "a", ""], Some(";")),
            (&["a, b", "b"], Some(",")),
            (&["a b", "b a", "a", "b"], Some(" ")),
            (&["very good", "very bad"], None),
            (&["[\"a,b\"]", "[\"c\"]"], None),
            (&["a", "b"], None),
        ] {
            assert_eq!(find(texts).as_deref(), expected, "{texts:?}");
        }
    }

    #[test]
    fn labels_are_split() {
        for (text, separator, expected) in [
            (" a , b,a,", Some(","), &["a", "b"][..]),
            ("a  b", Some(" "), &["a", "b"]),
            ("", Some(","), &[]),
            ("a b", None, &["a b"]),
            ("[\"a\", 2, \"b, c\"]", Some(","), &["a", "2", "b, c"]),
            ("['a', 'b']", None, &["a", "b"]),
            ("[]", None, &[]),
            ("whole, known", Some(","), &["whole, known"]),
            ("a::b", Some("::"), &["a", "b"]),
        ] {
            let found = split(text, separator, |text| text == "whole, known").expect(text);
            assert_eq!(found, expected, "{text:?}");
        }
        for text in ["[[\"a\"], [\"b\"]]", "[{\"a\": 1}]", "['a' ... 'b']"] {
            assert!(split(text, None, |_| false).is_err(), "{text}");
        }
    }
}
