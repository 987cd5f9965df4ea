//! The figures of an epoch or an evaluation as they add up: losses and metrics, weighted as Keras weights them.

use super::callbacks::KnownFigure;
use super::history::Figures;
use super::losses::BatchLoss;
use super::metrics::{Metric, Scores};
use super::objective::Objective;
use super::output::Output;
use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// A weighted mean.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, mean: f64, count: usize) {
        self.sum += mean * count as f64;
        self.count += count;
    }

    fn value(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

/// A metric as it runs.
struct Meter {
    name: String,
    output: usize,
    weighted: bool,
    heeds_mask: bool,
    metric: Box<dyn Metric>,
}

/// The figures of an epoch so far.
pub struct Meters {
    loss: Mean,
    meters: Vec<Meter>,
    /// The output, the name and the mean of each loss, where there are several.
    losses: Vec<(usize, String, Mean)>,
    samples: usize,
    known: Vec<KnownFigure>,
}

/// What one batch came to, for the meters.
pub(super) struct Scored<'a> {
    pub(super) outputs: &'a [Output],
    /// Each output's targets.
    pub(super) targets: &'a [Tensor],
    /// Each output's sample weights: one a row, or one a step.
    pub(super) weights: &'a [Option<&'a Tensor>],
    /// Each output's own loss, where it has one.
    pub(super) losses: &'a [Option<BatchLoss>],
    /// The whole.
    pub(super) loss: f64,
    pub(super) rows: usize,
}

impl Meters {
    /// Meters of an objective whose outputs have these widths, and their targets those.
    pub(super) fn new(objective: &Objective, targets: &[usize], widths: &[usize]) -> Self {
        let losses = objective.loss_names().into_iter();
        let meters = objective.named_metrics(targets, widths).into_iter();
        Self {
            loss: Mean::default(),
            meters: meters
                .map(|it| Meter {
                    metric: it.metric.build(),
                    heeds_mask: it.metric.heeds_mask(),
                    name: it.name,
                    output: it.output,
                    weighted: it.weighted,
                })
                .collect(),
            losses: losses.map(|(output, name)| (output, name, Mean::default())).collect(),
            samples: 0,
            known: objective.figures(targets, widths),
        }
    }

    /// The figures' names, and whether higher is better.
    pub(super) fn known(&self) -> Vec<KnownFigure> {
        self.known.clone()
    }

    /// Adds a batch.
    pub(super) fn add(&mut self, batch: &Scored) -> Result<()> {
        self.loss.add(batch.loss, batch.rows);
        self.samples += batch.rows;
        for (output, _, mean) in &mut self.losses {
            if let Some(loss) = &batch.losses[*output] {
                // As in Keras on TensorFlow, where a batch's size is not known when this is compiled: all batches count alike.
                mean.add(loss.value, 1);
            }
        }
        for (at, (output, targets)) in batch.outputs.iter().zip(batch.targets).enumerate() {
            if !self.meters.iter().any(|meter| meter.output == at) {
                continue;
            }
            let targets = host(targets)?;
            let width = output.values.dims().last().copied().unwrap_or(1).max(1);
            let values = host(&output.values)?;
            let positions = values.len() / width;
            let spread = |weights: Vec<f32>| -> Vec<f32> {
                let each = positions / weights.len().max(1);
                if each == 1 {
                    return weights;
                }
                weights.into_iter().flat_map(|weight| std::iter::repeat_n(weight, each)).collect()
            };
            let mask = output.mask.as_ref().map(host).transpose()?.map(spread);
            let weights = batch.weights[at].map(host).transpose()?.map(spread);
            let joined: Option<Vec<f32>> = match (&weights, &mask) {
                (Some(weights), Some(mask)) => Some(weights.iter().zip(mask).map(|(a, b)| a * b).collect()),
                _ => None,
            };
            let target_width = (targets.len() / positions.max(1)).max(1);
            let scores =
                Scores::new(&values, width, &targets, target_width).with_activation(output.activation);
            for meter in self.meters.iter_mut().filter(|meter| meter.output == at) {
                let weights = match (meter.weighted, meter.heeds_mask) {
                    (true, true) => joined.as_ref().or(weights.as_ref()).or(mask.as_ref()),
                    (true, false) => weights.as_ref(),
                    (false, true) => mask.as_ref(),
                    (false, false) => None,
                };
                meter.metric.update(&scores.with_weights(weights.map(Vec::as_slice)))?;
            }
        }
        Ok(())
    }

    /// All that is known of the batches so far.
    pub fn state(&self) -> Vec<Vec<f64>> {
        let mean = |mean: &Mean| vec![mean.sum, mean.count as f64];
        let own = vec![self.loss.sum, self.loss.count as f64, self.samples as f64];
        let losses = self.losses.iter().map(|(_, _, it)| mean(it));
        std::iter::once(own).chain(losses).chain(self.meters.iter().map(|it| it.metric.state())).collect()
    }

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    /// A state of other losses or metrics.
    pub fn load_state(&mut self, state: &[Vec<f64>]) -> Result<()> {
        let wrong = || Error::argument("state", "the figures so far are of other losses or metrics");
        let (losses, meters) = (self.losses.len(), self.meters.len());
        let [own, parts @ ..] = state else { return Err(wrong()) };
        let [sum, count, samples] = own[..] else { return Err(wrong()) };
        if parts.len() != losses + meters {
            return Err(wrong());
        }
        (self.loss, self.samples) = (Mean { sum, count: count as usize }, samples as usize);
        for ((_, _, mean), part) in self.losses.iter_mut().zip(parts) {
            let [sum, count] = part[..] else { return Err(wrong()) };
            *mean = Mean { sum, count: count as usize };
        }
        self.meters.iter_mut().zip(&parts[losses..]).try_for_each(|(it, part)| it.metric.load_state(part))
    }

    /// The rows so far.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The mean loss so far, penalties included.
    pub fn loss(&self) -> f64 {
        self.loss.value()
    }

    /// Every figure so far, by Keras's names: the loss, the metrics, and the losses of several outputs.
    pub fn figures(&self) -> Figures {
        let mut figures: Figures = [("loss", self.loss.value())].into_iter().collect();
        for meter in &self.meters {
            match meter.metric.result().as_slice() {
                [value] => figures.set(&meter.name, *value),
                // One a class, or one a threshold.
                values => values
                    .iter()
                    .enumerate()
                    .for_each(|(at, value)| figures.set(&format!("{}_{at}", meter.name), *value)),
            }
        }
        for (_, name, mean) in &self.losses {
            figures.set(name, mean.value());
        }
        figures
    }
}

/// A tensor's numbers.
fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
