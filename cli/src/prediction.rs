//! What `predict` says of a text.

use super::output::visible;
use serde::Serialize;
use std::fmt::Write;

/// The answer to a text; to a blank line, none.
#[derive(Serialize)]
pub(super) struct Prediction<'a> {
    text: &'a str,
    probability: Option<f32>,
    label: Option<&'static str>,
    /// The share of words that the vocabulary does not have; none where there are no words.
    unknown: Option<f32>,
}

impl<'a> Prediction<'a> {
    pub(super) fn new(text: &'a str, probability: f32, unknown: Option<f32>) -> Self {
        // Strictly above one half, as Keras counts accuracy.
        let label = if probability > 0.5 { "positive" } else { "negative" };
        Self { text, probability: Some(probability), label: Some(label), unknown }
    }

    /// What stands in the place of a blank line's answer.
    pub(super) fn blank() -> Self {
        Self { text: "", probability: None, label: None, unknown: None }
    }

    /// Adds a line, as people read it.
    pub(super) fn line(&self, out: &mut String) {
        if let (Some(label), Some(probability)) = (self.label, self.probability) {
            // Writing to a text does not fail.
            let _ = write!(out, "{label}  {probability:.4}  ");
            match self.text.contains(['\n', '\r']) {
                false => out.push_str(&visible(self.text)),
                true => out.push_str(&visible(&self.text.replace(['\n', '\r'], " "))),
            }
        }
        out.push('\n');
    }

    /// Adds an item of a list in JSON, with the comma before it.
    pub(super) fn item(&self, out: &mut String) -> anyhow::Result<()> {
        out.push_str(",\n  ");
        out.push_str(&serde_json::to_string_pretty(self)?.replace('\n', "\n  "));
        Ok(())
    }
}

/// What is to be said where the answer has nothing to do with the text.
pub(super) fn unknown_note(text: &str, words: usize, unknown: usize) -> Option<String> {
    let what = match words {
        0 => "has no words",
        words if unknown == words => "has no word that the vocabulary knows",
        _ => return None,
    };
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Some(format!("note: {:?} {what}: the answer says nothing about it", shown + more))
}
