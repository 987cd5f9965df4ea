//! Vocabularies beside the architecture: `assets/layers/text_vectorization/vocabulary.txt` in a `.keras`, a token a line, the
//! special ones among them; and the weights of words, arrays with names in its `model.weights.h5`.

use super::dialect::Source;
use super::hdf5::Hdf5;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Vocabularies by the group of their layer: `layers/text_vectorization`.
pub(super) type Assets = BTreeMap<String, Vec<u8>>;

/// The group of the vocabulary that the member `name` of an archive is.
pub(super) fn group_of(name: &str) -> Option<&str> {
    let at = name.find("assets/").filter(|&at| at == 0 || name.as_bytes().get(at - 1) == Some(&b'/'))?;
    name.get(at + "assets/".len()..)?.strip_suffix("/vocabulary.txt")
}

/// Puts the vocabularies into the layers of a model (its canonical JSON) that list none themselves.
pub(super) fn put_words(model: &mut Value, sources: &[Source], assets: &Assets) -> Result<()> {
    each(model, sources, "", &mut |class, config, source, group| {
        if !config["vocabulary"].is_null() {
            return Ok(());
        }
        let renamed = group.replace("layers/", "_layer_checkpoint_dependencies/");
        let Some(bytes) = assets.get(group).or_else(|| assets.get(&renamed)) else { return Ok(()) };
        let fail = |what: &str| Error::layer(source.name.as_str(), what);
        let text = std::str::from_utf8(bytes).map_err(|_| fail("its vocabulary is not UTF-8 text"))?;
        let mut lines = lines(text);
        while lines.last() == Some(&"") {
            lines.pop();
        }
        config["vocabulary"] = match class {
            "IntegerLookup" => {
                let numbers = lines.iter().map(|line| line.trim().parse::<i64>().ok());
                let numbers: Option<Vec<i64>> = numbers.collect();
                json!(numbers.ok_or_else(|| fail("its vocabulary does not hold whole numbers"))?)
            }
            _ => json!(lines),
        };
        Ok(())
    })
}

/// Puts the weights of words into the layers that have some.
pub(super) fn put_weights(model: &mut Value, sources: &[Source], file: &Hdf5) -> Result<()> {
    each(model, sources, "", &mut |_, config, source, group| {
        let mode = config["output_mode"].as_str();
        if !matches!(mode, Some("tf_idf" | "tf-idf")) || !config["idf_weights"].is_null() {
            return Ok(());
        }
        let fail = |what: String| Error::layer(source.name.as_str(), what);
        for path in [format!("{group}/vars/idf_weights"), format!("{group}/_lookup_layer/vars/idf_weights")] {
            if file.has_array(&path).map_err(fail)? {
                config["idf_weights"] = json!(file.array(&path).map_err(fail)?.values);
                break;
            }
        }
        Ok(())
    })
}

/// What is done with a layer: its class, its arguments, itself as the file has it, its group.
type Act<'a> = dyn FnMut(&str, &mut Value, &Source, &str) -> Result<()> + 'a;

fn each(model: &mut Value, sources: &[Source], group: &str, act: &mut Act) -> Result<()> {
    let layers = model.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten();
    for (layer, source) in layers.zip(sources) {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default().to_string();
        let Some(config) = layer.get_mut("config") else { continue };
        let group = if group.is_empty() { source.group.clone() } else { format!("{group}/{}", source.group) };
        match class.as_str() {
            "Sequential" | "Functional" => each(config, &source.children, &group, act)?,
            "TextVectorization" | "StringLookup" | "IntegerLookup" => act(&class, config, source, &group)?,
            _ => {}
        }
    }
    Ok(())
}

/// The lines of a text as Python's `splitlines` finds them, with which Keras reads a vocabulary.
fn lines(text: &str) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = vec![];
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        lines.push(&rest[..at]);
        let end = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pythons() {
        assert_eq!(lines("\n[UNK]\r\na\u{2028}b\rc\u{85}"), ["", "[UNK]", "a", "b", "c"]);
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn vocabularies_are_found_by_their_layer() {
        let group = group_of("assets/layers/text_vectorization/vocabulary.txt");
        assert_eq!(group, Some("layers/text_vectorization"));
        assert_eq!(group_of("folder/assets/layers/a/vocabulary.txt"), Some("layers/a"));
        assert_eq!(group_of("myassets/layers/a/vocabulary.txt"), None);
        assert_eq!(group_of("assets/layers/a/other.txt"), None);
    }
}
