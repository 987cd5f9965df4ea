//! Sequences as samples: rows that belong together by a column, or windows of them, with a class each.

use super::missing::Missing;
use super::scaler::{Scaler, Scaling};
use super::table::{Columns, Table};
use crate::data::windows::Windows;
use crate::data::{Array, Examples, RandomState, Targets};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// What stands at the steps before a sequence that is shorter than a sample; no scaled number is so far from 0.
pub const BEFORE: f64 = -1e9;

/// What a model folder says of the sequences that its model tells apart: the `sequences` of `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceConfig {
    /// The columns of numbers that a step has.
    pub features: Vec<String>,
    /// The column of the classes.
    pub label_column: String,
    /// The column that says which rows are one sequence.
    pub group_column: String,
    /// The column of the times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_column: Option<String>,
    /// Whether days stand before months in the times, where they can be read either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_first: Option<bool>,
    /// Steps a sample.
    pub steps: usize,
    /// Whether a sample is a window of a sequence, and not all of it.
    pub windows: bool,
    /// How columns are scaled.
    pub scaling: Scaling,
    /// The scales, of each feature.
    pub scalers: Vec<Scaler>,
    /// What is done where numbers are missing.
    #[serde(default)]
    pub missing: Missing,
}

impl SequenceConfig {
    /// What to read of a file, with the labels or without.
    pub fn columns(&self, labels: bool) -> Columns {
        Columns {
            numbers: self.features.clone(),
            label: labels.then(|| self.label_column.clone()),
            time: self.time_column.clone(),
            finds_time: false,
            day_first: self.day_first,
            group: Some(self.group_column.clone()),
        }
    }

    /// Checks what a file might say wrong.
    ///
    /// # Errors
    /// [`Error::Argument`] with the field.
    pub fn check(&self) -> Result<()> {
        if !(1..=1 << 20).contains(&self.steps) {
            let what = format!("{}, expected a whole number from 1 to {}", self.steps, 1 << 20);
            return Err(Error::argument("sequences.steps", what));
        }
        if self.scalers.len() != self.features.len() || self.features.is_empty() {
            let what = format!("{} of them for {} features", self.scalers.len(), self.features.len());
            return Err(Error::argument("sequences.scalers", what));
        }
        self.scalers.iter().try_for_each(Scaler::check)
    }
}

/// A sample: some rows of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The sequence's number among the groups.
    pub group: usize,
    /// Its rows; the last ones where the sequence is longer than a sample.
    pub rows: Range<usize>,
}

/// How sequences are made ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequenceOptions {
    /// Steps a window; whole sequences where none is said.
    pub window: Option<usize>,
    /// Steps a sequence is cut to; what 95 of 100 keep to where it is not said.
    pub max_len: Option<usize>,
    /// How columns are scaled.
    pub scaling: Scaling,
    /// What was done where numbers were missing.
    pub missing: Missing,
    /// The parts of each class's sequences for validation and test.
    pub parts: [f64; 2],
    /// Draws them.
    pub seed: u32,
}

/// Sequences, ready for training.
#[derive(Clone, Debug)]
pub struct PreparedSequences {
    /// What a classifier has to know.
    pub config: SequenceConfig,
    /// The classes.
    pub classes: Vec<String>,
    /// What was found, a line each.
    pub notes: Vec<String>,
    /// What is trained on, validated by and tested on.
    pub parts: [Examples; 3],
    /// Whether samples may be shorter than they have steps.
    pub padded: bool,
}

impl PreparedSequences {
    /// Splits the sequences, each class alike, and learns scales and length from those that are trained on.
    ///
    /// # Errors
    /// [`Error::Data`] where there are too few sequences, one class, or labels that change within a whole sequence.
    pub fn new(table: Table, options: &SequenceOptions) -> Result<Self> {
        let mut notes = table.notes.clone();
        let labels = labels(&table);
        let classes: BTreeSet<String> =
            labels.iter().flat_map(BTreeMap::keys).map(|it| it.to_string()).collect();
        // By their numbers where all are numbers, else by the alphabet; what is equal so keeps the alphabet's order.
        let number = |class: &String| class.parse::<f64>().ok();
        let numbers: Option<Vec<f64>> = classes.iter().map(number).collect();
        let mut classes: Vec<String> = classes.into_iter().collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(classes).collect();
            pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            classes = pairs.into_iter().map(|(_, class)| class).collect();
        }
        check_classes(&table, &labels, &classes, options)?;
        let main = |group: usize| most(&labels[group]);
        let held = split(labels.len(), &main, options)?;
        let counted = |part: usize| held.iter().filter(|held| **held == part).count();
        notes.push(format!(
            "{} sequences: {} to train on, {} for validation and {} for the test, each class alike",
            held.len(),
            counted(0),
            counted(1),
            counted(2)
        ));
        notes.push(in_words(&classes, (0..labels.len()).map(main)));
        let trained =
            || table.groups.iter().zip(&held).filter(|(_, held)| **held == 0).map(|(group, _)| group);
        let mut lengths: Vec<usize> = trained().map(|group| group.rows.len()).collect();
        lengths.sort_unstable();
        let longest = lengths.last().copied().unwrap_or(1);
        let at = (lengths.len() * 95).div_ceil(100).saturating_sub(1);
        let steps = options.window.or(options.max_len).unwrap_or(lengths.get(at).copied().unwrap_or(1));
        let padded = options.window.is_none();
        if padded {
            let cut = table.groups.iter().filter(|group| group.rows.len() > steps).count();
            notes.push(format!(
                "lengths: from {} to {longest} steps; a sample has {steps}: {cut} of {} sequences are longer and lose their \
                 beginning, shorter ones are masked in front",
                lengths.first().copied().unwrap_or(0),
                held.len()
            ));
        }
        let scalers = table.columns.iter().enumerate().map(|(column, name)| {
            let values: Vec<f64> =
                trained().flat_map(|group| group.rows.clone()).map(|row| table.value(row, column)).collect();
            if values.windows(2).all(|pair| pair[0] == pair[1]) {
                notes
                    .push(format!("{name:?} is the same in the whole training part, and says nothing there"));
            }
            Scaler::fit(options.scaling, name, &values)
        });
        let scalers = scalers.collect();
        let config = SequenceConfig {
            features: table.columns.clone(),
            label_column: table.label_column.clone().unwrap_or_default(),
            group_column: table.group_column.clone().unwrap_or_default(),
            time_column: table.times.as_ref().map(|times| times.column.clone()),
            day_first: table.times.as_ref().and_then(|times| times.form.day_first()),
            steps,
            windows: options.window.is_some(),
            scaling: options.scaling,
            scalers,
            missing: options.missing,
        };
        let samples = config.samples(&table);
        let targets = Targets::Classes(classes.clone());
        let part = |part: usize| {
            let own: Vec<Sample> =
                samples.iter().filter(|sample| held[sample.group] == part).cloned().collect();
            if own.is_empty() {
                let longest = table.groups.iter().map(|group| group.rows.len()).max().unwrap_or(0);
                let what = format!(
                    "{} leaves a part without a sample: its {} sequences have up to {longest} rows; give more of them, or \
                     a shorter window",
                    table.name,
                    held.len()
                );
                return Err(Error::Data(what));
            }
            config.examples(&table, &own, &targets).map(|(examples, _)| examples)
        };
        let parts = [part(0)?, part(1)?, part(2)?];
        if config.windows {
            let short = table.groups.iter().filter(|group| group.rows.len() < steps).count();
            notes.push(format!(
                "windows of {steps} rows, one every {}, with the class that most of their rows have; {short} sequences are \
                 shorter and left out",
                stride(steps)
            ));
        }
        Ok(Self { config, classes, notes, parts, padded })
    }
}

/// From one window to the next: half a window.
fn stride(steps: usize) -> usize {
    steps.div_ceil(2)
}

impl SequenceConfig {
    /// The samples of a table: its sequences, or their windows.
    pub fn samples(&self, table: &Table) -> Vec<Sample> {
        let groups = table.groups.iter().enumerate();
        if !self.windows {
            let whole = |(group, of): (usize, &super::table::Group)| Sample {
                group,
                rows: of.rows.end - of.rows.len().min(self.steps)..of.rows.end,
            };
            return groups.map(whole).collect();
        }
        let windows = groups.flat_map(|(group, of)| {
            let firsts = of.rows.start..(of.rows.end + 1).saturating_sub(self.steps).max(of.rows.start);
            let steps = self.steps;
            firsts.step_by(stride(steps)).map(move |first| Sample { group, rows: first..first + steps })
        });
        windows.collect()
    }

    /// Samples as the model takes them, (samples, steps, features).
    ///
    /// # Errors
    /// [`Error::Data`] for rows that are not there.
    pub fn inputs(&self, table: &Table, samples: &[Sample]) -> Result<Array> {
        let width = table.width();
        let scaled = table.values.iter().zip(self.scalers.iter().cycle());
        let values: Arc<[f32]> = scaled.map(|(value, scaler)| scaler.apply(*value) as f32).collect();
        let stretches = samples.iter().map(|sample| sample.rows.start * width..sample.rows.end * width);
        let windows = Windows::new(values, stretches.collect(), self.steps * width, BEFORE as f32, None)?;
        Array::windows(windows, &[self.steps, width])
    }

    /// Samples with their classes; and how many have a class that is none of the model's, and are left out.
    ///
    /// # Errors
    /// [`Error::Data`] where none is left.
    pub fn examples(
        &self,
        table: &Table,
        samples: &[Sample],
        targets: &Targets,
    ) -> Result<(Examples, usize)> {
        let classes = targets.classes().unwrap_or_default();
        let class = |sample: &Sample| {
            let label = most(&counted(&table.labels[sample.rows.clone()]));
            classes.iter().position(|class| *class == label)
        };
        let known = samples.iter().filter_map(|sample| Some((sample.clone(), class(sample)? as f32)));
        let (own, classes): (Vec<Sample>, Vec<f32>) = known.unzip();
        if own.is_empty() {
            return Err(Error::Data(format!("{} has no sample of a class of the model", table.name)));
        }
        let left_out = samples.len() - own.len();
        let count = classes.len();
        let inputs = self.inputs(table, &own)?;
        Ok((Examples::new(vec![inputs], vec![Array::floats(classes, &[count, 1])?])?, left_out))
    }
}

/// How often each label comes.
fn counted(labels: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|label| *counts.entry(label.as_str()).or_default() += 1);
    counts
}

/// The label that comes most often; of several the first of the alphabet.
fn most(counts: &BTreeMap<&str, usize>) -> String {
    let best = counts.iter().max_by_key(|(label, count)| (**count, std::cmp::Reverse(**label)));
    best.map_or_else(String::new, |(label, _)| label.to_string())
}

/// The labels of each sequence.
fn labels(table: &Table) -> Vec<BTreeMap<&str, usize>> {
    table.groups.iter().map(|group| counted(&table.labels[group.rows.clone()])).collect()
}

fn check_classes(
    table: &Table,
    labels: &[BTreeMap<&str, usize>],
    classes: &[String],
    options: &SequenceOptions,
) -> Result<()> {
    if let [only] = classes {
        let what = format!("{}: every row has the label {only:?}; expected two or more", table.name);
        return Err(Error::Data(what));
    }
    let mixed = labels.iter().position(|labels| labels.len() > 1);
    if let (Some(group), None) = (mixed, options.window) {
        let names: Vec<&str> = labels[group].keys().take(3).copied().collect();
        let what = format!(
            "the labels of sequence {:?} change ({}); a whole sequence has one class: say how many rows make a window (`data::series::SequenceOptions::window`)",
            table.groups[group].name,
            names.join(", ")
        );
        return Err(Error::argument("label_column", what));
    }
    Ok(())
}

/// Of each sequence the part that it is of: 0 to train on, 1 for validation, 2 for the test.
fn split(count: usize, class: &dyn Fn(usize) -> String, options: &SequenceOptions) -> Result<Vec<usize>> {
    let number = u32::try_from(count).map_err(|_| Error::Data(format!("{count} sequences are too many")))?;
    let mut by_class = BTreeMap::<String, Vec<usize>>::new();
    for group in RandomState::new(options.seed).permutation(number) {
        by_class.entry(class(group as usize)).or_default().push(group as usize);
    }
    let mut held = vec![0; count];
    for groups in by_class.values() {
        let mut left = groups.as_slice();
        for (part, share) in [(2, options.parts[1]), (1, options.parts[0])] {
            // One at least stays to train on.
            let taken = ((share * groups.len() as f64).round() as usize).min(left.len().saturating_sub(1));
            let (own, rest) = left.split_at(taken);
            own.iter().for_each(|&group| held[group] = part);
            left = rest;
        }
    }
    for (part, option) in [(1, "validation_split"), (2, "test_split")] {
        if !held.contains(&part) {
            let what = format!("keeps none of the {count} sequences; give a larger part, or more sequences");
            return Err(Error::argument(option, what));
        }
    }
    Ok(held)
}

/// `2 classes: run (20), walk (21)`.
fn in_words(classes: &[String], of: impl Iterator<Item = String>) -> String {
    let of: Vec<String> = of.collect();
    let count = |class: &String| of.iter().filter(|own| *own == class).count();
    let shown: Vec<String> =
        classes.iter().take(20).map(|class| format!("{class} ({})", count(class))).collect();
    let more = if classes.len() > 20 { ", …" } else { "" };
    format!("{} classes: {}{more}", classes.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::table::Group;
    use super::*;

    /// Sequences of 3 to 12 rows, of two classes.
    fn table(label: &dyn Fn(usize, usize) -> String) -> Table {
        let (mut groups, mut labels, mut at) = (vec![], vec![], 0);
        for group in 0..20 {
            let count = 3 + group % 10;
            groups.push(Group { name: group.to_string(), rows: at..at + count });
            labels.extend((0..count).map(|row| label(group, row)));
            at += count;
        }
        Table {
            name: "t.csv".into(),
            columns: vec!["x".into(), "y".into()],
            values: (0..2 * at).map(|value| value as f64).collect(),
            labels,
            groups,
            group_column: Some("id".into()),
            label_column: Some("class".into()),
            times: None,
            notes: vec![],
        }
    }

    fn options(window: Option<usize>) -> SequenceOptions {
        SequenceOptions {
            window,
            max_len: None,
            scaling: Scaling::Standard,
            missing: Missing::Refuse,
            parts: [0.2, 0.2],
            seed: 42,
        }
    }

    #[test]
    fn sequences_are_split_by_class() -> Result<()> {
        let class = |group: usize, _: usize| ["run", "walk"][group % 2].to_string();
        let prepared = PreparedSequences::new(table(&class), &options(None))?;
        assert_eq!(prepared.parts.each_ref().map(Examples::rows), [12, 4, 4]);
        for part in &prepared.parts {
            let mut sum = 0.0;
            part.targets()[0].try_for_each_part(|_, values| {
                sum += values.iter().sum::<f32>();
                Ok::<(), Error>(())
            })?;
            assert_eq!(sum * 2.0, part.rows() as f32);
            assert_eq!(part.inputs()[0].row_shape(), [prepared.config.steps, 2]);
        }
        assert!((10..=12).contains(&prepared.config.steps));
        let windows = PreparedSequences::new(table(&class), &options(Some(3)))?;
        assert!(windows.parts[0].rows() > 12 && windows.config.windows && !windows.padded);
        Ok(())
    }

    #[test]
    fn labels_that_change_need_windows() -> Result<()> {
        let class = |_: usize, row: usize| ["run", "walk"][usize::from(row > 1)].to_string();
        let what = PreparedSequences::new(table(&class), &options(None)).expect_err("refused").to_string();
        assert!(what.contains("the labels of sequence \"0\" change (run, walk)"), "{what}");
        PreparedSequences::new(table(&class), &options(Some(2)))?;
        let same = PreparedSequences::new(table(&|_, _| "run".into()), &options(None));
        assert!(same.expect_err("refused").to_string().contains("every row has the label \"run\""));
        Ok(())
    }
}
