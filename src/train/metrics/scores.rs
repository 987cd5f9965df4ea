//! A batch as metrics see it.

use crate::layers::Activation;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use std::cell::OnceCell;
use std::rc::Rc;

/// A batch of one output as metrics see it, on the host. Positions are the axes before the last, in their order.
#[derive(Clone, Debug)]
pub struct Scores<'a> {
    /// positions × width: what the output gives, or the logits of [`activation`](Self::activation).
    pub values: &'a [f32],
    /// The last axis of the output.
    pub width: usize,
    /// The activation that `values` have still to go through; none where they are the output. Keras's crossentropies know
    /// the logits of an output that ends in sigmoid or softmax, and are computed of them.
    pub activation: Option<Activation>,
    /// positions × target_width (1 for class numbers).
    pub targets: &'a [f32],
    /// The last axis of the targets.
    pub target_width: usize,
    /// A weight a position; none where all are 1. For metrics that [heed masks](super::MetricConfig::heeds_mask) the mask
    /// of the output is in it, for `weighted_metrics` the sample weights.
    pub weights: Option<&'a [f32]>,
    /// The values after the activation, once somebody asks; copies share them.
    probabilities: Rc<OnceCell<Vec<f32>>>,
}

impl<'a> Scores<'a> {
    /// A batch that is the output itself, and every position of it counts 1.
    pub fn new(values: &'a [f32], width: usize, targets: &'a [f32], target_width: usize) -> Self {
        Self {
            values,
            width,
            activation: None,
            targets,
            target_width,
            weights: None,
            probabilities: Rc::default(),
        }
    }

    /// The same batch where `values` are the logits of `activation`.
    #[must_use]
    pub fn with_activation(self, activation: Option<Activation>) -> Self {
        Self { activation, probabilities: Rc::default(), ..self }
    }

    /// The same batch with these weights; what is computed of the values is shared.
    #[must_use]
    pub fn with_weights(&self, weights: Option<&'a [f32]>) -> Self {
        Self { weights, ..self.clone() }
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// The output: `values` after the activation, computed once.
    ///
    /// # Errors
    /// Those of Candle, whose activations the rarer ones are.
    pub fn probabilities(&self) -> Result<&[f32]> {
        let Some(activation) = self.activation.filter(|it| *it != Activation::Linear) else {
            return Ok(self.values);
        };
        if self.probabilities.get().is_none() {
            let values = activated(activation, self.values, self.width)?;
            return Ok(self.probabilities.get_or_init(|| values));
        }
        Ok(self.probabilities.get().map_or(self.values, Vec::as_slice))
    }

    /// What gives the same order within a position as the output does, at less cost where that is a softmax.
    pub(super) fn ranked(&self) -> Result<&[f32]> {
        match self.activation {
            Some(Activation::Softmax) => Ok(self.values),
            _ => self.probabilities(),
        }
    }

    /// The logits: where the values are those of sigmoid or softmax, or the output is said to be some.
    pub(super) fn logits(&self, from_logits: bool) -> Result<Option<&[f32]>> {
        match self.activation {
            Some(Activation::Sigmoid | Activation::Softmax) => Ok(Some(self.values)),
            _ if from_logits => self.probabilities().map(Some),
            _ => Ok(None),
        }
    }

    /// The weight of a position.
    pub(super) fn weight(&self, position: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights.get(position).map_or(0.0, |&weight| f64::from(weight)))
    }

    /// The positions of `outputs`, which are as many as `values`: output, target, weight.
    pub(super) fn rows<'b>(
        &'b self,
        outputs: &'b [f32],
    ) -> impl Iterator<Item = (&'b [f32], &'b [f32], f64)> {
        let targets = self.targets.chunks_exact(self.target_width.max(1));
        let rows = outputs.chunks_exact(self.width.max(1)).zip(targets);
        rows.enumerate().map(|(position, (output, target))| (output, target, self.weight(position)))
    }

    /// That the lengths belong together.
    pub(super) fn check(&self) -> Result<()> {
        let positions = self.positions();
        if self.width == 0 || positions * self.width != self.values.len() {
            let what = format!("{} values do not make whole positions of {}", self.values.len(), self.width);
            return Err(Error::argument("values", what));
        }
        if positions.checked_mul(self.target_width) != Some(self.targets.len()) {
            let (count, width) = (self.targets.len(), self.target_width);
            let what =
                format!("{count} for {positions} positions of {width}: as many as positions are needed");
            return Err(Error::argument("targets", what));
        }
        match self.weights.map(<[f32]>::len) {
            Some(count) if count != positions => {
                let what = format!("{count} for {positions} positions: one a position is needed");
                Err(Error::argument("weights", what))
            }
            _ => Ok(()),
        }
    }
}

fn activated(activation: Activation, values: &[f32], width: usize) -> Result<Vec<f32>> {
    Ok(match activation {
        Activation::Sigmoid => values.iter().map(|&x| sigmoid(x)).collect(),
        Activation::Softmax => softmax(values, width),
        _ => {
            let shape = (values.len() / width.max(1), width);
            let values = Tensor::from_slice(values, shape, &Device::Cpu)?;
            activation.forward(&values)?.flatten_all()?.to_vec1()?
        }
    })
}

/// 1 / (1 + e⁻ˣ) by libm, the same on every machine.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// Below this TensorFlow's exponential in a softmax is 0, so that classes may tie: 2⁻¹²⁵.
const LEAST: f32 = 2.0 * f32::MIN_POSITIVE;

/// Softmax of each row.
fn softmax(values: &[f32], width: usize) -> Vec<f32> {
    let mut outputs = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width.max(1)) {
        let greatest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        let start = outputs.len();
        outputs.extend(row.iter().map(|&x| {
            let exponential = libm::expf(x - greatest);
            if exponential < LEAST { 0.0 } else { exponential }
        }));
        let exponentials = &mut outputs[start..];
        let sum: f64 = exponentials.iter().map(|&it| f64::from(it)).sum();
        for it in exponentials {
            *it = (f64::from(*it) / sum) as f32;
            if it.abs() < f32::MIN_POSITIVE {
                *it = 0.0;
            }
        }
    }
    outputs
}
