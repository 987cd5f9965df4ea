//! A model's answers beside their targets, gathered batch by batch.

use super::kind::{Kind, host};
use crate::data::Examples;
use crate::train::Output;
use crate::train::metrics::Scores;
use crate::{Error, Result};
use candle_core::DType;

/// The answers to all rows, and their targets.
#[derive(Clone, Debug)]
pub struct Rows {
    kind: Kind,
    /// rows × width: probabilities, or numbers.
    values: Vec<f32>,
    /// 0 before the first batch.
    width: usize,
    /// rows × target width.
    targets: Vec<f32>,
    target_width: usize,
}

impl Rows {
    /// The targets of `examples`, whose answers are still to come.
    ///
    /// # Errors
    /// Where the targets cannot be read.
    pub fn new(kind: Kind, examples: &Examples) -> Result<Self> {
        let Some(targets) = examples.targets().first() else {
            return Err(Error::Data("there are no targets to judge answers by".into()));
        };
        let target_width = targets.row_shape().iter().product::<usize>().max(1);
        let targets = host(targets, 0, targets.rows())?;
        Ok(Self { kind, values: vec![], width: 0, targets, target_width })
    }

    /// Takes the outputs of the next rows.
    ///
    /// # Errors
    /// Those of the activation that the output has still to go through.
    pub fn add(&mut self, outputs: &[Output]) -> Result<()> {
        let Some(output) = outputs.first() else { return Ok(()) };
        self.width = output.values.dims().last().copied().unwrap_or(1).max(1);
        let values: Vec<f32> = output.values.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let scores = Scores::new(&values, self.width, &[], 0).with_activation(output.activation);
        self.values.extend_from_slice(scores.probabilities()?);
        Ok(())
    }

    /// What the answers stand for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many rows are answered.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0).min(self.targets.len() / self.target_width)
    }

    /// Whether no row is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many classes there are; none of numbers.
    pub fn classes(&self) -> usize {
        match self.kind {
            Kind::Binary => 2,
            Kind::Classes | Kind::Sets => self.width,
            Kind::Numbers => 0,
        }
    }

    /// What the model gave for a row.
    pub fn values(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// The target of a row.
    pub fn target(&self, row: usize) -> &[f32] {
        &self.targets[row * self.target_width..][..self.target_width]
    }

    /// The probability that a row is of a class.
    pub fn probability(&self, row: usize, class: usize) -> f64 {
        match (self.kind, self.values(row)) {
            (Kind::Binary, [positive]) if class == 0 => 1.0 - f64::from(*positive),
            (Kind::Binary, [positive]) => f64::from(*positive),
            (_, values) => values.get(class).copied().map_or(0.0, f64::from),
        }
    }

    /// The class that a row is of.
    pub fn class(&self, row: usize) -> usize {
        match self.target(row) {
            [class] => *class as usize,
            one_hot => one_hot.iter().position(|&it| it == 1.0).unwrap_or(0),
        }
    }

    /// The class that the model takes a row for: of two the second where its probability is above one half, as Keras counts
    /// accuracy, of more the likeliest.
    pub fn predicted(&self, row: usize) -> usize {
        match self.values(row) {
            [positive] => usize::from(*positive > 0.5),
            values => crate::train::metrics::argmax(values),
        }
    }

    /// Whether a row is of a class, and whether the model says so, where a row may be of several.
    pub fn in_set(&self, row: usize, class: usize) -> (bool, bool) {
        (self.target(row)[class] == 1.0, self.values(row)[class] > 0.5)
    }

    pub(super) fn all_values(&self) -> &[f32] {
        &self.values[..self.len() * self.width]
    }

    pub(super) fn all_targets(&self) -> &[f32] {
        &self.targets[..self.len() * self.target_width]
    }
}
