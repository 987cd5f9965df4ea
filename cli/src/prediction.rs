//! What `predict` says of a text, and where the texts come from.

use super::output::{self, Output};
use anyhow::Context;
use serde::Serialize;
use std::io::{BufRead, IsTerminal};

#[derive(Serialize)]
pub(super) struct Prediction {
    pub(super) text: String,
    pub(super) probability: f32,
    label: &'static str,
    /// The share of words that the vocabulary does not have; none where there are no words.
    unknown: Option<f32>,
}

impl Prediction {
    pub(super) fn new(text: String, probability: f32, unknown: Option<f32>) -> Self {
        // Strictly above one half, as Keras counts accuracy.
        let label = if probability > 0.5 { "positive" } else { "negative" };
        Self { text, probability, label, unknown }
    }

    pub(super) fn print(&self, output: &mut Output) -> anyhow::Result<()> {
        let text = self.text.replace(['\n', '\r'], " ");
        output.line(format_args!("{}  {:.4}  {text}", self.label, self.probability))
    }
}

/// Each line of standard input that is not blank.
pub(super) fn read_lines(classify: &mut dyn FnMut(String) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::message("type a text a line; Ctrl-D ends");
    }
    for (number, line) in stdin.lock().split(b'\n').enumerate() {
        let line = line.context("standard input cannot be read")?;
        let Ok(line) = String::from_utf8(line) else {
            anyhow::bail!("standard input, line {}: is not UTF-8 text; convert the file first", number + 1);
        };
        // Windows's editors put a byte order mark first.
        let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { &line };
        let line = line.trim_end_matches('\r');
        if !line.trim().is_empty() {
            classify(line.to_string())?;
        }
    }
    Ok(())
}

/// Says so where the answer has nothing to do with the text.
pub(super) fn note_unknown(text: &str, words: usize, unknown: usize) {
    let what = match words {
        0 => "has no words",
        words if unknown == words => "has no word that the vocabulary knows",
        _ => return,
    };
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    output::message(&format!("note: {:?} {what}: the answer says nothing about it", shown + more));
}
