//! Recurrent layers one tensor operation after another, step by step: the path on CUDA and Metal, in other types than
//! f32 and with activations that the kernels do not know; and the oracle of the kernels' tests.

use super::parameters::Parameters;
use super::settings::{DropoutMask, RnnOutput};
use candle_core::{D, Result, Tensor};
use candle_recurrent_kernel::Kind;

/// Runs the layer over `xs` (batch, time, features).
pub fn run(
    parameters: &Parameters,
    xs: &Tensor,
    mask: Option<&Tensor>,
    states: &[Tensor],
    input_dropout: Option<DropoutMask>,
    recurrent_dropout: Option<DropoutMask>,
) -> Result<RnnOutput> {
    let settings = &parameters.settings;
    let (batch, time, _) = xs.dims3()?;
    let projected = project_inputs(parameters, xs, input_dropout)?;
    let cell = Cell { parameters, masks: masks(recurrent_dropout, batch, xs)? };
    let mut states = states.to_vec();
    let mut output = states[0].zeros_like()?;
    let mut outputs = Vec::with_capacity(if settings.time_loop.return_sequences { time } else { 0 });
    for step in 0..time {
        let at = if settings.time_loop.go_backwards { time - 1 - step } else { step };
        let next = cell.step(&projected.narrow(1, at, 1)?.squeeze(1)?, &states)?;
        (output, states) = match mask {
            None => (next[0].clone(), next),
            Some(mask) => {
                let moves = mask.narrow(1, at, 1)?.broadcast_as(output.shape())?.contiguous()?;
                let held =
                    if settings.time_loop.zero_output_for_mask { output.zeros_like()? } else { output };
                let shown = moves.where_cond(&next[0], &held)?;
                let kept = next.iter().zip(&states).map(|(new, old)| moves.where_cond(new, old));
                (shown, kept.collect::<Result<_>>()?)
            }
        };
        if settings.time_loop.return_sequences {
            outputs.push(output.clone());
        }
    }
    let output = if settings.time_loop.return_sequences { Tensor::stack(&outputs, 1)? } else { output };
    Ok(RnnOutput { hidden: output, states })
}

/// The states after each step, the input's products made for all steps at once.
pub fn walk(parameters: &Parameters, xs: &Tensor, states: &[Tensor]) -> Result<Vec<Vec<Tensor>>> {
    let projected = project_inputs(parameters, xs, None)?;
    let cell = Cell { parameters, masks: None };
    let mut walked: Vec<Vec<Tensor>> = Vec::with_capacity(xs.dim(1)?);
    for step in 0..xs.dim(1)? {
        let before = walked.last().map_or(states, Vec::as_slice);
        walked.push(cell.step(&projected.narrow(1, step, 1)?.squeeze(1)?, before)?);
    }
    Ok(walked)
}

/// x · kernel + bias for all steps at once: (batch, time, gates · units).
fn project_inputs(parameters: &Parameters, xs: &Tensor, dropout: Option<DropoutMask>) -> Result<Tensor> {
    let (batch, time, features) = xs.dims3()?;
    let gates = parameters.settings.kind.gates();
    let units = parameters.settings.units;
    let project =
        |xs: Tensor, kernel: &Tensor| xs.reshape((batch * time, features))?.matmul(&kernel.contiguous()?);
    let product = match masks(dropout, batch, xs)? {
        None => project(xs.clone(), &parameters.kernel)?,
        Some(masks) if masks.len() == 1 => {
            project(xs.broadcast_mul(&masks[0].unsqueeze(1)?)?, &parameters.kernel)?
        }
        Some(masks) => {
            let parts = (0..gates).map(|gate| {
                let masked = xs.broadcast_mul(&masks[gate].unsqueeze(1)?)?;
                project(masked, &parameters.kernel.narrow(1, gate * units, units)?)
            });
            Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?
        }
    };
    let product = match &parameters.bias {
        None => product,
        Some(bias) if bias.rank() == 2 => product.broadcast_add(&bias.get(0)?)?,
        Some(bias) => product.broadcast_add(bias)?,
    };
    product.reshape((batch, time, gates * units))
}

/// The masks as tensors (batch, width), one or one a gate.
fn masks(dropout: Option<DropoutMask>, batch: usize, like: &Tensor) -> Result<Option<Vec<Tensor>>> {
    let Some(dropout) = dropout else { return Ok(None) };
    let masks = dropout.values.chunks_exact((batch * dropout.width).max(1));
    let tensors = masks
        .map(|mask| Tensor::from_slice(mask, (batch, dropout.width), like.device())?.to_dtype(like.dtype()));
    tensors.collect::<Result<_>>().map(Some)
}

/// One step of a cell.
struct Cell<'a> {
    parameters: &'a Parameters,
    masks: Option<Vec<Tensor>>,
}

impl Cell<'_> {
    /// From x · kernel + bias (batch, gates · units) and the states, the next states.
    fn step(&self, x: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let settings = &self.parameters.settings;
        let (f, s) = (settings.activation, settings.recurrent_activation);
        let gate = |of: &Tensor, index: usize| of.narrow(D::Minus1, index * settings.units, settings.units);
        let h = &states[0];
        match settings.kind {
            Kind::SimpleRnn => Ok(vec![f.forward(&(x + self.product(h, 0, 1)?)?)?]),
            Kind::Lstm => {
                let z = (x + self.product(h, 0, 4)?)?;
                let i = s.forward(&gate(&z, 0)?)?;
                let forget = s.forward(&gate(&z, 1)?)?;
                let candidate = f.forward(&gate(&z, 2)?)?;
                let o = s.forward(&gate(&z, 3)?)?;
                let c = ((forget * &states[1])? + (i * candidate)?)?;
                Ok(vec![(o * f.forward(&c)?)?, c])
            }
            Kind::Gru { reset_after } => {
                let mut inner = self.product(h, 0, 2)?;
                let recurrent_bias = self.parameters.bias.as_ref().filter(|_| reset_after);
                let recurrent_bias = recurrent_bias.map(|bias| bias.get(1)).transpose()?;
                if let Some(bias) = &recurrent_bias {
                    inner = inner.broadcast_add(&bias.narrow(0, 0, 2 * settings.units)?)?;
                }
                let z = s.forward(&(gate(x, 0)? + gate(&inner, 0)?)?)?;
                let r = s.forward(&(gate(x, 1)? + gate(&inner, 1)?)?)?;
                let recurrent = if reset_after {
                    let mut product = self.product(h, 2, 1)?;
                    if let Some(bias) = &recurrent_bias {
                        let bias = bias.narrow(0, 2 * settings.units, settings.units)?;
                        product = product.broadcast_add(&bias)?;
                    }
                    (r * product)?
                } else {
                    self.product(&(r * h)?, 2, 1)?
                };
                let candidate = f.forward(&(gate(x, 2)? + recurrent)?)?;
                // z h + (1 - z) candidate
                Ok(vec![(&candidate + z * (h - &candidate)?)?])
            }
        }
    }

    /// (h · mask) · recurrent_kernel for `count` gates from `first` on.
    fn product(&self, h: &Tensor, first: usize, count: usize) -> Result<Tensor> {
        let units = self.parameters.settings.units;
        let columns = |first: usize, count: usize| {
            self.parameters.recurrent_kernel.narrow(1, first * units, count * units)?.contiguous()
        };
        match &self.masks {
            None => h.matmul(&columns(first, count)?),
            Some(masks) => {
                let parts = (first..first + count).map(|gate| {
                    let mask = &masks[if masks.len() == 1 { 0 } else { gate }];
                    (h * mask)?.matmul(&columns(gate, 1)?)
                });
                Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
            }
        }
    }
}
