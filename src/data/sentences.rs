//! Labelled texts made ready for training: the parts, the vocabulary, the length of a row, and what was found on the way.

use super::dataset::check_table;
use super::labelled::Labelled;
use super::source::MAX_LEN;
use super::targets::{Targets, Task};
use super::{Array, Examples, RandomState};
use crate::text::{Padding, Tokenizer, TokenizerKind};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Texts with their targets, of each text as many numbers.
#[derive(Clone, Debug, Default)]
struct Part {
    texts: Vec<String>,
    targets: Vec<f32>,
}

impl Part {
    /// The numbers of a text's target.
    fn width(&self) -> usize {
        (self.targets.len() / self.texts.len().max(1)).max(1)
    }
}

/// Labelled texts, split into parts.
#[derive(Clone, Debug)]
pub struct Sentences {
    /// What the data are called.
    pub name: String,
    /// What the labels are.
    pub targets: Targets,
    /// What stands between several labels of a training row, where rows may have several.
    pub separator: Option<String>,
    train: Part,
    validation: Part,
    test: Part,
    /// What is to be said of the rows, a line each.
    pub notes: Vec<String>,
}

/// How labelled texts are split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitOptions {
    /// What is to be learnt; found out from the labels where it is not said.
    pub task: Option<Task>,
    /// The part of each class that is kept for validation where there is no file for that.
    pub validation_split: f64,
    /// Draws the rows of it.
    pub seed: u32,
}

impl Sentences {
    /// Splits `train`, each class alike, unless there is a file for the validation. Rows of the other files whose labels the
    /// training rows do not have are left out and told.
    ///
    /// # Errors
    /// As [`Targets::of`]; [`Error::Data`] where a part is left without rows.
    pub fn new(
        mut train: Labelled,
        validation: Option<Labelled>,
        test: Option<Labelled>,
        options: &SplitOptions,
    ) -> Result<Self> {
        let targets = Targets::of(&train, options.task)?;
        let mut notes = vec![];
        let values = targets.take(&mut train)?;
        notes.extend(describe(&train));
        let mut other = |rows: Option<Labelled>| -> Result<Part> {
            let Some(mut rows) = rows else { return Ok(Part::default()) };
            let values = targets.take(&mut rows)?;
            notes.extend(describe(&rows));
            match rows.is_empty() {
                true => {
                    Err(Error::Data(format!("{}: no row has a label that the training rows have", rows.name)))
                }
                false => Ok(Part { texts: rows.texts, targets: values }),
            }
        };
        let (given, test) = (other(validation)?, other(test)?);
        match &targets {
            Targets::Classes(classes) => {
                notes.push(classes_in_words(&train, classes));
                notes.extend(seen_once(&train));
            }
            Targets::Labels(classes) => notes.extend(labels_in_words(&train, classes, &values)),
            Targets::Numbers => notes.push(numbers_in_words(&values)),
        }
        let (name, separator) = (train.name.clone(), train.separator.clone());
        let all = Part { texts: train.texts, targets: values };
        let (train, validation) = match given.texts.is_empty() {
            false => (all, given),
            true => all.split(&targets, options)?,
        };
        Ok(Self { name, targets, separator, train, validation, test, notes })
    }

    /// Of numbers, how far from 0 those of the training part are: their mean and their standard deviation (1 where they do
    /// not differ).
    pub fn scale(&self) -> Option<(f64, f64)> {
        let numbers = &self.train.targets;
        if self.targets != Targets::Numbers || numbers.is_empty() {
            return None;
        }
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|&it| f64::from(it)).sum::<f64>() / count;
        let square = numbers.iter().map(|&it| (f64::from(it) - mean).powi(2)).sum::<f64>() / count;
        let deviation = square.sqrt();
        Some((mean, if deviation > 0.0 { deviation } else { 1.0 }))
    }

    /// A tokenizer of this kind, fitted to the training part alone.
    ///
    /// # Errors
    /// As [`Tokenizer::fit`].
    pub fn tokenizer(&self, kind: TokenizerKind, vocab_size: Option<usize>) -> Result<Tokenizer> {
        Tokenizer::fit(kind, &self.train.texts, vocab_size).map_err(|error| match error {
            Error::Data(_) => {
                Error::Data(format!("{}: the training texts have no {}", self.name, kind.units()))
            }
            other => other,
        })
    }

    /// The length that 95 of 100 training texts keep to, in ids.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn max_len(&self, tokenizer: &Tokenizer) -> Result<usize> {
        let lengths = self.train.encode(tokenizer)?.lengths();
        Ok(percentile(&lengths, 95).clamp(1, MAX_LEN))
    }

    /// The parts as examples: rows of `max_len` ids; validation and test where they have rows. Gives in words what was found
    /// of lengths and words, too.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], and for a table beyond 16 GiB.
    pub fn examples(&self, tokenizer: &Tokenizer, max_len: usize, padding: Padding) -> Result<Prepared> {
        let encoded = self.train.encode(tokenizer)?;
        let lengths = encoded.lengths();
        let cut = lengths.iter().filter(|&&length| length > max_len).count();
        let mut notes = vec![format!(
            "lengths in ids: median {}, 95 of 100 at most {}, longest {}; {} of {} training texts are longer than {max_len} \
                 and cut",
            percentile(&lengths, 50),
            percentile(&lengths, 95),
            percentile(&lengths, 100),
            cut,
            lengths.len()
        )];
        let mut unknown = vec![format!("{:.1} % in the training part", encoded.unknown())];
        let train = encoded.examples(&self.train.targets, max_len, padding)?;
        let mut part = |part: &Part, name: &str| -> Result<Option<Examples>> {
            if part.texts.is_empty() {
                return Ok(None);
            }
            let encoded = part.encode(tokenizer)?;
            unknown.push(format!("{:.1} % in the {name} part", encoded.unknown()));
            encoded.examples(&part.targets, max_len, padding).map(Some)
        };
        let validation = part(&self.validation, "validation")?;
        let test = part(&self.test, "test")?;
        notes.push(vocabulary_in_words(tokenizer, &unknown.join(", ")));
        notes.extend(self.duplicates());
        Ok(Prepared { train, validation, test, notes })
    }

    /// What is said of texts that come more than once.
    fn duplicates(&self) -> Option<String> {
        let mut seen = HashSet::new();
        let within = self.train.texts.iter().filter(|text| !seen.insert(text.trim())).count();
        let mut parts = vec![];
        if within > 0 {
            parts.push(format!("{within} within the training part"));
        }
        for (part, name) in [(&self.validation, "validation"), (&self.test, "test")] {
            let count = part.texts.iter().filter(|text| seen.contains(text.trim())).count();
            if count > 0 {
                parts.push(format!(
                    "{count} of {} in the {name} part stand in the training part too",
                    part.texts.len()
                ));
            }
        }
        (!parts.is_empty()).then(|| format!("duplicates: {}", parts.join("; ")))
    }
}

/// Examples of the parts.
pub struct Prepared {
    /// The training rows.
    pub train: Examples,
    /// Those of the validation.
    pub validation: Option<Examples>,
    /// Those of the test.
    pub test: Option<Examples>,
    /// What was found, a line each.
    pub notes: Vec<String>,
}

/// All rows of a file as examples for a model that is trained, with what was found, a line each. Rows that cannot be used are
/// taken out of `rows`, so that the others stand as the examples do.
///
/// # Errors
/// [`Error::Data`] where no row has a label that the model knows; as [`Tokenizer::encode`].
pub fn labelled_examples(
    rows: &mut Labelled,
    targets: &Targets,
    tokenizer: &Tokenizer,
    max_len: usize,
    padding: Padding,
) -> Result<(Examples, Vec<String>)> {
    let values = targets.take(rows)?;
    let mut notes = describe(rows);
    if rows.is_empty() {
        let example =
            rows.skipped.first().first().map_or_else(String::new, |it| format!(": {} {}", it.place, it.what));
        return Err(Error::Data(format!("{}: no row can be used{example}", rows.name)));
    }
    let part = Part { texts: std::mem::take(&mut rows.texts), targets: values };
    let encoded = part.encode(tokenizer)?;
    notes.extend(doubt(&rows.name, encoded.unknown, encoded.words));
    let examples = encoded.examples(&part.targets, max_len, padding)?;
    rows.texts = part.texts;
    Ok((examples, notes))
}

/// A warning where a model that is trained does not know the half of some data's words, `unknown` of so many.
pub fn doubt(name: &str, unknown: usize, words: usize) -> Option<String> {
    (unknown > words / 2).then(|| {
        let share = 100.0 * unknown as f64 / words as f64;
        format!("warning: {name}: the model does not know {share:.0}% of the words, and its figures say little of these texts")
    })
}

/// Texts as ids, with their words and how many of them are unknown.
struct EncodedPart {
    rows: Vec<Vec<u32>>,
    words: usize,
    unknown: usize,
}

impl Part {
    /// Keeps a part of each class for validation, drawn from the seed; both in the order of the file. A class of one row
    /// stays in the training part.
    fn split(self, targets: &Targets, options: &SplitOptions) -> Result<(Self, Self)> {
        let count = u32::try_from(self.texts.len())
            .map_err(|_| Error::Data(format!("{} rows are more than can be shuffled", self.texts.len())))?;
        let order = RandomState::new(options.seed).permutation(count);
        // Numbers are one class, and so are rows of several.
        let class = |row: u32| match targets {
            Targets::Classes(_) => self.targets[row as usize] as usize,
            Targets::Labels(_) | Targets::Numbers => 0,
        };
        let mut by_class = HashMap::<usize, Vec<u32>>::new();
        order.into_iter().for_each(|row| by_class.entry(class(row)).or_default().push(row));
        let mut held = vec![false; self.texts.len()];
        for rows in by_class.values() {
            let count = (options.validation_split * rows.len() as f64).round() as usize;
            let count = count.min(rows.len().saturating_sub(1));
            rows[..count].iter().for_each(|&row| held[row as usize] = true);
        }
        if !held.contains(&true) {
            let what = format!(
                "{} keeps none of the {} rows; give a larger part, or a file for the validation",
                options.validation_split,
                held.len()
            );
            return Err(Error::argument("validation_split", what));
        }
        let (mut train, mut validation) = (Self::default(), Self::default());
        let width = self.width();
        for ((text, target), held) in self.texts.into_iter().zip(self.targets.chunks(width)).zip(held) {
            let part = if held { &mut validation } else { &mut train };
            part.texts.push(text);
            part.targets.extend(target);
        }
        Ok((train, validation))
    }

    fn encode(&self, tokenizer: &Tokenizer) -> Result<EncodedPart> {
        let encoded = self.texts.par_iter().map(|text| tokenizer.encode_counted(text));
        let encoded = encoded.collect::<Result<Vec<_>>>()?;
        let words = encoded.iter().map(|encoded| encoded.words).sum();
        let unknown = encoded.iter().map(|encoded| encoded.unknown).sum();
        Ok(EncodedPart { rows: encoded.into_iter().map(|encoded| encoded.ids).collect(), words, unknown })
    }
}

impl EncodedPart {
    /// The rows' lengths, sorted.
    fn lengths(&self) -> Vec<usize> {
        let mut lengths: Vec<usize> = self.rows.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths
    }

    /// The share of unknown words, characters or pieces in percent.
    fn unknown(&self) -> f64 {
        100.0 * self.unknown as f64 / self.words.max(1) as f64
    }

    fn examples(&self, targets: &[f32], max_len: usize, padding: Padding) -> Result<Examples> {
        check_table(self.rows.len(), max_len)?;
        let ids = crate::text::pad_sequences_with(&self.rows, max_len, padding);
        let ids = Array::ids(ids, &[self.rows.len(), max_len])?;
        let width = (targets.len() / self.rows.len().max(1)).max(1);
        Examples::new(vec![ids], vec![Array::floats(targets, &[self.rows.len(), width])?])
    }
}

/// The number that so many of 100 are not above.
fn percentile(sorted: &[usize], of: usize) -> usize {
    let at = (sorted.len() * of).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

/// What a file was found to be, and its rows that cannot be used: all of them, the first in words.
fn describe(rows: &Labelled) -> Vec<String> {
    const IN_WORDS: usize = 10;
    const BY_PLACE: usize = 100;
    let mut lines = vec![format!("{}: {}; {} rows", rows.name, rows.found, rows.len())];
    let skipped = rows.skipped.first();
    lines.extend(
        skipped
            .iter()
            .take(IN_WORDS)
            .map(|row| format!("warning: {}, {}: {}; the row is left out", rows.name, row.place, row.what)),
    );
    if rows.skipped.count() > IN_WORDS {
        let count = rows.skipped.count() - IN_WORDS;
        let places: Vec<&str> =
            skipped.iter().skip(IN_WORDS).take(BY_PLACE).map(|row| row.place.as_str()).collect();
        let more = if count > BY_PLACE { ", …" } else { "" };
        let places = places.join(", ");
        lines.push(format!(
            "warning: {}: {count} more rows are left out for such reasons: {places}{more}",
            rows.name
        ));
    }
    lines
}

/// `vocabulary: 5000 characters; unknown characters: 0.1 % in the training part`.
fn vocabulary_in_words(tokenizer: &Tokenizer, unknown: &str) -> String {
    match tokenizer.kind() {
        Some(kind) => {
            let (count, units) = (tokenizer.vocab_size().saturating_sub(kind.special()), kind.units());
            let what = if kind == TokenizerKind::Bpe {
                "pieces that are unknown characters".into()
            } else {
                format!("unknown {units}")
            };
            format!("vocabulary: {count} {units}; {what}: {unknown}")
        }
        None => format!("vocabulary: {} ids; unknown: {unknown}", tokenizer.vocab_size()),
    }
}

/// `classes: bad (120), good (130)`.
fn classes_in_words(rows: &Labelled, classes: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut counts = vec![0_usize; rows.names.len()];
    rows.labels.iter().for_each(|&label| counts[label] += 1);
    let count = |class: &String| rows.names.iter().position(|name| name == class).map_or(0, |at| counts[at]);
    let shown: Vec<String> =
        classes.iter().take(SHOWN).map(|class| format!("{class} ({})", count(class))).collect();
    let more = if classes.len() > SHOWN { ", …" } else { "" };
    format!("{} classes: {}{more}", classes.len(), shown.join(", "))
}

/// Classes that one row has cannot be learnt and measured both.
fn seen_once(rows: &Labelled) -> Vec<String> {
    let mut counts = vec![0_usize; rows.names.len()];
    rows.labels.iter().for_each(|&label| counts[label] += 1);
    let single = (0..rows.names.len()).filter(|&label| counts[label] == 1);
    let line = |label: usize| {
        let place =
            rows.labels.iter().position(|own| *own == label).map_or_else(String::new, |row| rows.place(row));
        let name = &rows.names[label];
        format!("warning: {}, {place}: the label {name:?} is in this row alone; is it a slip?", rows.name)
    };
    single.take(10).map(line).collect()
}

/// `3 labels: a (40), b (30), c (10); 1.60 a row, 2 rows without any`, and the labels that one row has.
fn labels_in_words(rows: &Labelled, classes: &[String], targets: &[f32]) -> Vec<String> {
    const SHOWN: usize = 20;
    let mut counts = vec![0_usize; classes.len()];
    let (mut all, mut without) = (0, 0);
    for row in targets.chunks(classes.len().max(1)) {
        let own = row.iter().zip(&mut counts).filter(|(target, _)| **target > 0.5);
        let own = own.map(|(_, count)| *count += 1).count();
        all += own;
        without += usize::from(own == 0);
    }
    let shown: Vec<String> =
        classes.iter().zip(&counts).take(SHOWN).map(|(class, count)| format!("{class} ({count})")).collect();
    let more = if classes.len() > SHOWN { ", …" } else { "" };
    let mean = all as f64 / rows.len().max(1) as f64;
    let shown = shown.join(", ");
    let mut lines =
        vec![format!("{} labels: {shown}{more}; {mean:.2} a row, {without} rows without any", classes.len())];
    let single = classes.iter().zip(&counts).enumerate().filter(|(_, (_, count))| **count == 1);
    lines.extend(single.take(10).map(|(at, (class, _))| {
        let row = targets.chunks(classes.len().max(1)).position(|row| row[at] > 0.5).unwrap_or(0);
        let place = rows.place(row);
        format!("warning: {}, {place}: the label {class:?} is in this row alone; is it a slip?", rows.name)
    }));
    lines
}

fn numbers_in_words(values: &[f32]) -> String {
    let (least, most) = values.iter().fold((f32::MAX, f32::MIN), |(a, b), &it| (a.min(it), b.max(it)));
    let mean = values.iter().map(|&it| f64::from(it)).sum::<f64>() / values.len().max(1) as f64;
    format!("numbers from {least} to {most}, {mean:.4} on average")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_keeps_the_classes_shares() -> Result<()> {
        let texts: Vec<String> = (0..100).map(|row| format!("text {row}")).collect();
        let targets: Vec<f32> = (0..100).map(|row| f32::from(u8::from(row % 10 == 0))).collect();
        let part = Part { texts, targets };
        let options = SplitOptions { task: None, validation_split: 0.2, seed: 42 };
        let classes = Targets::Classes(vec!["a".into(), "b".into()]);
        let (train, validation) = part.clone().split(&classes, &options)?;
        assert_eq!((train.texts.len(), validation.texts.len()), (80, 20));
        assert_eq!(validation.targets.iter().sum::<f32>(), 2.0);
        let again = part.clone().split(&classes, &options)?;
        assert_eq!(again.1.texts, validation.texts);
        let other = part.split(&classes, &SplitOptions { seed: 1, ..options })?;
        assert_ne!(other.1.texts, validation.texts);
        Ok(())
    }

    #[test]
    fn percentiles_are_those_of_the_sorted() {
        let lengths: Vec<usize> = (1..=100).collect();
        assert_eq!([50, 95, 100].map(|of| percentile(&lengths, of)), [50, 95, 100]);
        assert_eq!(percentile(&[7], 95), 7);
        assert_eq!(percentile(&[], 95), 0);
    }
}
