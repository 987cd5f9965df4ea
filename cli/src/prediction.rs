//! What `predict` says of a text.

use super::output::visible;
use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::Targets;
use candle_recurrent::formats::Cell;
use serde::{Serialize, Serializer};
use std::fmt::Write;

/// The answer to a text; to a blank line, none.
pub(super) struct Prediction<'a> {
    text: &'a str,
    /// What the values stand for.
    targets: &'a Targets,
    /// What the model gives: nothing for a blank line.
    values: &'a [f32],
    /// The share of words that the vocabulary does not have; none where there are no words.
    unknown: Option<f32>,
    /// How many of the likeliest classes are told, each with its own probability.
    top: usize,
}

impl<'a> Prediction<'a> {
    pub(super) fn new(text: &'a str, targets: &'a Targets, values: &'a [f32], unknown: Option<f32>) -> Self {
        Self { text, targets, values, unknown, top: 0 }
    }

    /// What stands in the place of a blank line's answer.
    pub(super) fn blank(targets: &'a Targets) -> Self {
        Self { text: "", targets, values: &[], unknown: None, top: 0 }
    }

    /// The same with so many of the likeliest classes.
    pub(super) fn with_top(self, top: usize) -> Self {
        Self { top, ..self }
    }

    /// The likeliest classes with their own probabilities.
    fn likeliest(&self) -> Vec<Likely<'a>> {
        let Some(classes) = self.targets.classes().or(self.targets.labels()) else { return vec![] };
        let both;
        let values = match self.values {
            [second] => {
                both = [1.0 - second, *second];
                &both[..]
            }
            values => values,
        };
        let pairs = classes.iter().zip(values);
        let mut pairs: Vec<Likely> =
            pairs.map(|(label, &probability)| Likely { label, probability }).collect();
        // Stable: of those that tie the first comes first, as in `said`.
        pairs.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        pairs.truncate(self.top);
        pairs
    }

    /// What is added to the row of a table: the class and its number, or the number alone; then the likeliest.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let text = |text: &str| Cell::Text(text.into());
        if let (Some(labels), false) = (self.labels(), self.values.is_empty()) {
            // As in the report of `evaluate`.
            let join = |texts: Vec<String>| Cell::Text(texts.join("|"));
            let names = labels.iter().map(|(label, _)| (*label).into()).collect();
            let mut cells =
                vec![join(names), join(labels.iter().map(|(_, value)| value.to_string()).collect())];
            cells.extend(self.likeliest_cells());
            return cells;
        }
        let mut cells = match self.said() {
            Some((Some(label), number)) => vec![text(label), Cell::Number(number)],
            Some((None, number)) => vec![Cell::Number(number)],
            None => vec![],
        };
        cells.extend(self.likeliest_cells());
        cells
    }

    fn likeliest_cells(&self) -> impl Iterator<Item = Cell> {
        let cells = |it: Likely| [Cell::Text(it.label.into()), Cell::Number(it.probability)];
        self.likeliest().into_iter().flat_map(cells)
    }

    /// The class and its number: of two classes that of the second, of more that of the likeliest; or the number alone.
    fn said(&self) -> Option<(Option<&'a str>, f32)> {
        let first = *self.values.first()?;
        let Some(classes) = self.targets.classes() else { return Some((None, first)) };
        let name = |at: usize| classes.get(at).map(String::as_str);
        if self.values.len() == 1 {
            // Strictly above one half, as Keras counts accuracy.
            return Some((name(usize::from(first > 0.5)), first));
        }
        let mut best = (0, first);
        for (at, &value) in self.values.iter().enumerate() {
            if value > best.1 {
                best = (at, value);
            }
        }
        Some((name(best.0), best.1))
    }

    /// Of a model of any number of classes: those above one half, each with its probability.
    fn labels(&self) -> Option<Vec<(&'a str, f32)>> {
        let classes = self.targets.labels()?.iter().map(String::as_str);
        let above = |(_, value): &(&str, &f32)| **value > 0.5;
        Some(classes.zip(self.values).filter(above).map(|(class, value)| (class, *value)).collect())
    }

    /// Adds a line, as people read it.
    pub(super) fn line(&self, out: &mut String) {
        if let Some((label, number)) = self.said() {
            // Writing to a text does not fail.
            let likeliest = self.likeliest();
            let _ = match (self.labels(), label) {
                (Some(_), _) | (None, Some(_)) if !likeliest.is_empty() => {
                    let shown =
                        likeliest.iter().map(|it| format!("{} {:.4}", visible(it.label), it.probability));
                    write!(out, "{}  ", shown.collect::<Vec<_>>().join(", "))
                }
                (Some(labels), _) if labels.is_empty() => write!(out, "-  "),
                (Some(labels), _) => {
                    let labels =
                        labels.into_iter().map(|(label, value)| format!("{} {value:.4}", visible(label)));
                    write!(out, "{}  ", labels.collect::<Vec<_>>().join(", "))
                }
                (None, Some(label)) => write!(out, "{}  {number:.4}  ", visible(label)),
                (None, None) => write!(out, "{number:.4}  "),
            };
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

impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Class<'a> {
            text: &'a str,
            probability: Option<f32>,
            label: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            top: Option<Vec<Likely<'a>>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            probabilities: Option<Each<'a>>,
            unknown: Option<f32>,
        }
        #[derive(Serialize)]
        struct Number<'a> {
            text: &'a str,
            value: Option<f32>,
            unknown: Option<f32>,
        }
        #[derive(Serialize)]
        struct Labels<'a> {
            text: &'a str,
            labels: Option<Vec<&'a str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            top: Option<Vec<Likely<'a>>>,
            probabilities: Option<Each<'a>>,
            unknown: Option<f32>,
        }
        let (text, unknown, said) = (self.text, self.unknown, self.said());
        let top = (self.top > 0).then(|| self.likeliest());
        if let (Some(labels), Some(classes)) = (self.labels(), self.targets.labels()) {
            let labels = said.map(|_| labels.into_iter().map(|(label, _)| label).collect());
            let probabilities = said.map(|_| Each { classes, values: self.values });
            return Labels { text, labels, top, probabilities, unknown }.serialize(serializer);
        }
        let number = said.map(|(_, number)| number);
        match self.targets.classes() {
            None => Number { text, value: number, unknown }.serialize(serializer),
            Some(classes) => {
                let several = self.values.len() > 1;
                let probabilities = several.then_some(Each { classes, values: self.values });
                let label = said.and_then(|(label, _)| label);
                Class { text, probability: number, label, top, probabilities, unknown }.serialize(serializer)
            }
        }
    }
}

/// A class with its own probability.
#[derive(Serialize)]
struct Likely<'a> {
    label: &'a str,
    probability: f32,
}

/// The values by their classes.
struct Each<'a> {
    classes: &'a [String],
    values: &'a [f32],
}

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.classes.iter().zip(self.values))
    }
}

/// What a model's answers stand for: what it says itself, else one number a text for negative or positive.
pub(super) fn targets(config: &Config) -> Targets {
    match config.model.check_binary_classifier() {
        Ok(()) if config.classes.is_empty() => {
            Targets::Classes(["negative", "positive"].map(String::from).to_vec())
        }
        _ => config.targets().unwrap_or(Targets::Numbers),
    }
}

/// Refuses to tell the likeliest classes of a model that has none.
pub(super) fn check_top(targets: &Targets, top: usize) -> anyhow::Result<()> {
    match (targets, top) {
        (Targets::Numbers, 1..) => anyhow::bail!(
            "--top {top}: the model gives numbers, and no classes of which there would be likeliest; leave it out"
        ),
        _ => Ok(()),
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
