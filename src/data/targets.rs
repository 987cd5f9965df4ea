//! What labels are to a model: classes, or numbers.

use super::labelled::Labelled;
use crate::{Error, Result};
use std::str::FromStr;

/// What is to be learnt of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Which class a text is of.
    Classification,
    /// A number.
    Regression,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "classification" => Ok(Self::Classification),
            "regression" => Ok(Self::Regression),
            _ => Err("give classification or regression".into()),
        }
    }
}

/// What a model's answers to texts stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These classes, two or more: of two the probability of the second, of more that of each.
    Classes(Vec<String>),
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
        let mut classes: Vec<(Option<f64>, String)> =
            numbers.into_iter().zip(rows.names.iter().cloned()).collect();
        let by_number = all.is_some();
        classes.sort_by(|(number, name), (other, other_name)| match (number, other) {
            (Some(number), Some(other)) if by_number => {
                number.total_cmp(other).then_with(|| name.cmp(other_name))
            }
            _ => name.cmp(other_name),
        });
        if classes.len() > 1 << 16 {
            let what = format!("{}: has {} labels, more than there can be classes", rows.name, classes.len());
            return Err(Error::Data(what));
        }
        Ok(Self::Classes(classes.into_iter().map(|(_, name)| name).collect()))
    }

    /// What a model without names of its own says: 0 or 1, in the words that files have for that.
    pub fn of_sentiment(rows: &Labelled) -> Self {
        let has = |name: &str| rows.names.iter().any(|own| own == name);
        let pairs = [["neg", "pos"], ["0", "1"]];
        let pair = pairs.into_iter().find(|pair| pair.iter().any(|name| has(name)));
        Self::Classes(pair.unwrap_or(["negative", "positive"]).map(String::from).to_vec())
    }

    /// The target of each row. Rows whose label is none of the classes, or no number, are left out and told.
    pub fn take(&self, rows: &mut Labelled) -> Vec<f32> {
        let target = |name: &str| match self {
            Self::Classes(classes) => classes.iter().position(|class| class == name).map(|at| at as f32),
            Self::Numbers => number(name).map(|number| number as f32).filter(|number| number.is_finite()),
        };
        rows.keep(|name| match (target(name), self) {
            (Some(_), _) => None,
            (None, Self::Classes(_)) => {
                Some(format!("has the label {name:?}, which is no class of the model"))
            }
            (None, Self::Numbers) => Some(format!("has the label {name:?}, which is no number")),
        });
        let targets: Vec<f32> = rows.names.iter().map(|name| target(name).unwrap_or_default()).collect();
        rows.labels.iter().map(|&label| targets[label]).collect()
    }

    /// The names of the classes; none where it is numbers.
    pub fn classes(&self) -> Option<&[String]> {
        match self {
            Self::Classes(classes) => Some(classes),
            Self::Numbers => None,
        }
    }
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
