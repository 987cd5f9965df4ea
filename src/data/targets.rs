//! What labels are to a model: classes, of which a text has one or several, or numbers.

use super::label_lists;
use super::labelled::Labelled;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

/// What is to be learnt of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Which class a text is of.
    Classification,
    /// Which classes a text is of: any number of them.
    MultiLabel,
    /// A number.
    Regression,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "classification" => Ok(Self::Classification),
            "multi-label" => Ok(Self::MultiLabel),
            "regression" => Ok(Self::Regression),
            _ => Err("give classification, multi-label or regression".into()),
        }
    }
}

/// What a model's answers to texts stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These classes, two or more: of two the probability of the second, of more that of each.
    Classes(Vec<String>),
    /// Any number of these classes: the probability of each by itself.
    Labels(Vec<String>),
    /// Numbers.
    Numbers,
}

/// More numbers than this are amounts, whatever they are.
const MOST_CLASSES: usize = 100;

impl Targets {
    /// Finds out what the labels of `rows` are, unless `task` says it. Classes are in the order of their numbers, or of the
    /// alphabet.
    ///
    /// # Errors
    /// [`Error::Data`] where there is but one label, or they are no numbers where such are asked for; [`Error::Argument`]
    /// where whole numbers may be either.
    pub fn of(rows: &Labelled, task: Option<Task>) -> Result<Self> {
        if task == Some(Task::MultiLabel) {
            return Self::labels_of(rows);
        }
        let numbers: Vec<Option<f64>> = rows.names.iter().map(|name| number(name)).collect();
        if let [only] = rows.names.as_slice() {
            let what = format!("{}: every row has the label {only:?}; expected two or more", rows.name);
            return Err(Error::Data(what));
        }
        let all: Option<Vec<f64>> = numbers.iter().copied().collect();
        let task = match (task, &all) {
            (Some(task), _) => task,
            (None, None) => Task::Classification,
            (None, Some(all)) => guess(rows, all)?,
        };
        if task == Task::Regression {
            if let Some(at) = numbers.iter().position(Option::is_none) {
                let row = rows.labels.iter().position(|label| *label == at).unwrap_or(0);
                let what = format!(
                    "{}, {}: the label {:?} is no number",
                    rows.name,
                    rows.place(row),
                    rows.names[at]
                );
                return Err(Error::Data(what));
            }
            return Ok(Self::Numbers);
        }
        Ok(Self::Classes(in_order(rows, rows.names.clone())?))
    }

    /// All labels of rows that may have several.
    fn labels_of(rows: &Labelled) -> Result<Self> {
        let separator = rows.separator.as_deref();
        let (mut all, mut wrong) = (BTreeSet::new(), None);
        for (at, name) in rows.names.iter().enumerate() {
            match label_lists::split(name, separator, |_| false) {
                Ok(labels) => all.extend(labels),
                // The row is left out and told where targets are taken.
                Err(what) => wrong = wrong.or(Some((at, what))),
            }
        }
        if all.len() < 2 {
            let found =
                all.first().map_or_else(|| "no label".into(), |only| format!("the label {only:?} alone"));
            let wrong = wrong.map_or_else(String::new, |(at, what)| {
                let row = rows.labels.iter().position(|label| *label == at).unwrap_or(0);
                format!(": {} {what}", rows.place(row))
            });
            return Err(Error::Data(format!("{}: has {found}; expected two or more{wrong}", rows.name)));
        }
        Ok(Self::Labels(in_order(rows, all.into_iter().collect())?))
    }

    /// What a model without names of its own says: 0 or 1, in the words that files have for that.
    pub fn of_sentiment(rows: &Labelled) -> Self {
        let has = |name: &str| rows.names.iter().any(|own| own == name);
        let pairs = [["neg", "pos"], ["0", "1"]];
        let pair = pairs.into_iter().find(|pair| pair.iter().any(|name| has(name)));
        Self::Classes(pair.unwrap_or(["negative", "positive"]).map(String::from).to_vec())
    }

    /// The targets of each row, [`width`](Self::width) of them. Rows whose label is none of the classes, or no number, are left
    /// out and told.
    ///
    /// # Errors
    /// [`Error::Data`] where rows of several classes take more than 4 GiB.
    pub fn take(&self, rows: &mut Labelled) -> Result<Vec<f32>> {
        let names = self.classes().or(self.labels()).unwrap_or_default();
        let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let place = |name: &str| {
            let unknown = || format!("has the label {name:?}, which is no class of the model");
            places.get(name).copied().ok_or_else(unknown)
        };
        if let Self::Labels(classes) = self {
            let separator = rows.separator.clone();
            let set = |text: &str| {
                let labels =
                    label_lists::split(text, separator.as_deref(), |text| places.contains_key(text))?;
                labels.iter().map(|label| place(label)).collect::<std::result::Result<Vec<_>, _>>()
            };
            rows.keep(|name| set(name).err());
            let sets: Vec<Vec<usize>> = rows.names.iter().map(|name| set(name).unwrap_or_default()).collect();
            return dense(rows, &sets, classes.len());
        }
        let target = |name: &str| match self {
            Self::Numbers => {
                let number = number(name).map(|number| number as f32).filter(|number| number.is_finite());
                number.ok_or_else(|| format!("has the label {name:?}, which is no number"))
            }
            Self::Classes(_) | Self::Labels(_) => place(name).map(|at| at as f32),
        };
        rows.keep(|name| target(name).err());
        let targets: Vec<f32> = rows.names.iter().map(|name| target(name).unwrap_or_default()).collect();
        Ok(rows.labels.iter().map(|&label| targets[label]).collect())
    }

    /// The numbers that make the target of a row: one a class where there may be several classes, else one.
    pub fn width(&self) -> usize {
        match self {
            Self::Labels(classes) => classes.len(),
            Self::Classes(_) | Self::Numbers => 1,
        }
    }

    /// The names of the classes of which a text has one; none where it is something else.
    pub fn classes(&self) -> Option<&[String]> {
        match self {
            Self::Classes(classes) => Some(classes),
            Self::Labels(_) | Self::Numbers => None,
        }
    }

    /// The names of the classes of which a text has any number.
    pub fn labels(&self) -> Option<&[String]> {
        match self {
            Self::Labels(classes) => Some(classes),
            Self::Classes(_) | Self::Numbers => None,
        }
    }
}

/// So many numbers may all targets of several classes have, 4 GiB.
const MOST_TARGETS: usize = 1 << 30;

/// A row of zeros and ones a text.
fn dense(rows: &Labelled, sets: &[Vec<usize>], width: usize) -> Result<Vec<f32>> {
    let size = rows.len().saturating_mul(width);
    if size > MOST_TARGETS {
        let what = format!(
            "{}: {} rows of {width} labels would take {:.1} GiB, expected at most {}; leave rare labels or some rows out",
            rows.name,
            rows.len(),
            size as f64 / f64::from(1 << 28),
            MOST_TARGETS >> 28
        );
        return Err(Error::Data(what));
    }
    let mut targets = vec![0.0; size];
    for (row, &label) in targets.chunks_exact_mut(width.max(1)).zip(&rows.labels) {
        sets[label].iter().for_each(|&at| row[at] = 1.0);
    }
    Ok(targets)
}

/// Labels in the order of their numbers, or of the alphabet.
fn in_order(rows: &Labelled, labels: Vec<String>) -> Result<Vec<String>> {
    if labels.len() > 1 << 16 {
        let what = format!("{}: has {} labels, more than there can be classes", rows.name, labels.len());
        return Err(Error::Data(what));
    }
    let mut labels: Vec<(Option<f64>, String)> =
        labels.into_iter().map(|label| (number(&label), label)).collect();
    let by_number = labels.iter().all(|(number, _)| number.is_some());
    labels.sort_by(|(number, name), (other, other_name)| match (number, other) {
        (Some(number), Some(other)) if by_number => {
            number.total_cmp(other).then_with(|| name.cmp(other_name))
        }
        _ => name.cmp(other_name),
    });
    Ok(labels.into_iter().map(|(_, label)| label).collect())
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// What numbers are most likely to be.
fn guess(rows: &Labelled, numbers: &[f64]) -> Result<Task> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
    let counts_up = least == 0.0 && sorted.iter().zip(0..).all(|(number, at)| *number == f64::from(at));
    if sorted.iter().any(|number| number.fract() != 0.0) || sorted.len() > MOST_CLASSES {
        return Ok(Task::Regression);
    }
    if sorted.len() == 2 || counts_up {
        return Ok(Task::Classification);
    }
    let what = format!(
        "the labels of {} are {} whole numbers from {least} to {most}, which may be classes or amounts; give classification \
         or regression",
        rows.name,
        sorted.len()
    );
    Err(Error::argument("task", what))
}
