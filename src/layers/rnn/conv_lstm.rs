//! Keras's `ConvLSTM2D` (`keras/src/layers/rnn/conv_lstm.py`; Shi et al. 2015): one op in f32 on the CPU
//! (`conv_lstm_op.rs`), and one tensor operation after another elsewhere, with a mask, and with dropout on the state.

use super::conv_lstm_op;
use super::settings::{Call, RnnOutput, check_states, sequence_mask};
use crate::layers::activation::Activation;
use crate::layers::carried::Carried;
use crate::layers::conv::{Padding, Sizes, Window, convolution, convolve, one, window_shape, windows, yes};
use crate::layers::cpu::suits_kernels;
use crate::layers::dropout_mask::mask;
use crate::layers::flow::{Flow, first};
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed, first_shape, time_loop};
use crate::layers::masks::MaskRule;
use crate::layers::shape::{Checked, Shape, axes_needed, check_rate, check_units, features};
use crate::layers::strand::{Strand, row};
use crate::random::Stream;
use candle_core::{D, Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use candle_recurrent_kernel as kernel;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The arguments of [`ConvLstm`], with Keras's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLstmConfig {
    /// Output channels.
    pub filters: usize,
    /// The window's size along each axis.
    pub kernel_size: Sizes<2>,
    /// How far the input's window moves at a time.
    #[serde(default = "one")]
    pub strides: Sizes<2>,
    /// What happens at the ends of the input; the state is always padded to its own size.
    #[serde(default)]
    pub padding: Padding,
    /// How far apart the places of the input's window are.
    #[serde(default = "one")]
    pub dilation_rate: Sizes<2>,
    /// Activation of the candidate and of c.
    #[serde(default = "tanh")]
    pub activation: Activation,
    /// Activation of the gates i, f and o.
    #[serde(default = "sigmoid")]
    pub recurrent_activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// Start the forget gate's bias at 1.
    #[serde(default = "yes")]
    pub unit_forget_bias: bool,
    /// Fraction of the input to drop in training, the same at every step.
    #[serde(default)]
    pub dropout: f64,
    /// Fraction of the state to drop where it enters the gates, in training.
    #[serde(default)]
    pub recurrent_dropout: f64,
    /// Give the output of every step rather than the last.
    #[serde(default)]
    pub return_sequences: bool,
    /// In a model, give the states after the last step as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub return_state: bool,
    /// Walk from the last step to the first; outputs come in the order walked.
    #[serde(default)]
    pub go_backwards: bool,
    /// Begin each batch with the state that the last one left.
    #[serde(default)]
    pub stateful: bool,
    /// At a masked step give 0 rather than the previous output.
    #[serde(default)]
    pub zero_output_for_mask: bool,
}

fn tanh() -> Activation {
    Activation::Tanh
}

fn sigmoid() -> Activation {
    Activation::Sigmoid
}

impl ConvLstmConfig {
    fn windows(&self) -> Vec<Window> {
        windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }

    /// The state's shape (batch, rows, columns, filters) for an input (batch, time, rows, columns, channels).
    fn state_shape(&self, input: &[Option<usize>]) -> Checked<Shape> {
        match *input {
            [batch, _, rows, columns, channels] => {
                window_shape(&[batch, rows, columns, channels], &self.windows(), Some(self.filters))
            }
            _ => Err(axes_needed(5, input)),
        }
    }

    /// kernel (sizes, channels, 4 filters), recurrent_kernel (sizes, filters, 4 filters), bias (4 filters); gates
    /// i, f, c, o.
    pub fn variables(&self, channels: usize) -> Vec<Variable> {
        let width = 4 * self.filters;
        let [rows, columns] = self.kernel_size.0;
        let mut variables = vec![
            Variable::new("kernel", [rows, columns, channels, width], Initializer::GlorotUniform),
            Variable::new("recurrent_kernel", [rows, columns, self.filters, width], Initializer::Orthogonal),
        ];
        if self.use_bias {
            let bias = if self.unit_forget_bias { Initializer::UnitForgetBias } else { Initializer::Zeros };
            variables.push(Variable::new("bias", [width], bias));
        }
        variables
    }
}

impl Config for ConvLstmConfig {
    fn check(&self) -> Checked<()> {
        check_units("filters", self.filters)?;
        self.kernel_size.check("kernel_size")?;
        self.strides.check("strides")?;
        self.dilation_rate.check("dilation_rate")?;
        if self.padding == Padding::Causal {
            return Err("padding must be `valid` or `same`".into());
        }
        check_rate("dropout", self.dropout)?;
        check_rate("recurrent_dropout", self.recurrent_dropout)
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = first_shape(inputs);
        check_states(inputs.len().saturating_sub(1), 2)?;
        let state = self.state_shape(input)?;
        let mut output = state.clone();
        if self.return_sequences {
            output.insert(1, input[1]);
        }
        let mut outputs = vec![output];
        if self.return_state {
            outputs.extend([state.clone(), state]);
        }
        Ok(Placed::new(outputs).with(self.variables(features(input)?)))
    }

    fn mask_rule(&self) -> MaskRule {
        self.time_loop().map_or(MaskRule::Drops, sequence_mask)
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        let channels = features(first_shape(inputs)).map_err(candle_core::Error::msg)?;
        Ok(Arc::new(ConvLstm::new(channels, self.clone(), vb)?))
    }

    time_loop!();
}

/// An LSTM over frames, with convolutions for its products (Shi et al. 2015).
#[derive(Clone, Debug)]
pub struct ConvLstm {
    config: ConvLstmConfig,
    kernel: Tensor,
    recurrent_kernel: Tensor,
    bias: Option<Tensor>,
    name: String,
    carried: Carried,
    passes: Passes,
}

impl ConvLstm {
    /// A layer over so many input channels, its variables taken from `vb`.
    ///
    /// # Errors
    /// If an argument makes no sense, or `vb` lacks a variable or has it in another shape.
    pub fn new(channels: usize, config: ConvLstmConfig, vb: VarBuilder) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = config.check() {
            bail!("layer {name}: {what}")
        }
        let variables = config.variables(channels);
        let mut tensors = variables.iter().map(|variable| variable.get(&vb));
        let (Some(kernel), Some(recurrent_kernel)) = (tensors.next(), tensors.next()) else {
            bail!("layer {name}: kernel and recurrent_kernel are needed")
        };
        let (kernel, recurrent_kernel) = (kernel?, recurrent_kernel?);
        let bias = tensors.next().transpose()?;
        Ok(Self {
            config,
            kernel,
            recurrent_kernel,
            bias,
            name,
            carried: Carried::default(),
            passes: Passes::default(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ConvLstmConfig {
        &self.config
    }

    /// (batch, time, rows, columns, channels) to (batch, rows, columns, filters), with the time before the rows if it
    /// returns sequences, and the states h and c.
    ///
    /// # Errors
    /// If a shape does not fit.
    pub fn call(&self, xs: &Tensor, call: Call<'_>) -> Result<RnnOutput> {
        let (hidden, states) = self.carry_on(&xs.clone().into(), call, true)?;
        Ok(RnnOutput { hidden: hidden.tensor().clone(), states })
    }

    /// The states are given with `return_state`, or if the layer is to carry them; else there may be none.
    fn carry_on(&self, xs: &Strand, call: Call<'_>, return_state: bool) -> Result<(Strand, Vec<Tensor>)> {
        let config = &self.config;
        let (batch, time, rows, columns, channels) = xs.tensor().dims5()?;
        if time == 0 {
            bail!("layer {}: the input needs at least 1 step", self.name)
        }
        call.check_mask(&self.name, batch, time)?;
        let frame = [batch, rows, columns, channels];
        let state_shape = self.state_shape(&frame)?;
        let states = self.initial_states(&state_shape, call)?;
        let x_masks = self.gate_masks("dropout", config.dropout, &frame, call.mode, xs.tensor())?;
        let rate = config.recurrent_dropout;
        let h_masks = self.gate_masks("recurrent_dropout", rate, &state_shape, call.mode, xs.tensor())?;
        let return_state = return_state || config.stateful;
        let (hidden, states) = match self.kernels(xs.tensor(), &state_shape, return_state)? {
            Some(layer) if call.mask.is_none() && h_masks.is_none() => {
                self.on_kernels(xs, states.as_deref(), x_masks.as_deref(), layer)?
            }
            Some(_) | None => {
                let states = match states {
                    Some(states) => states,
                    None => {
                        vec![Tensor::zeros(&state_shape, xs.tensor().dtype(), xs.tensor().device())?; 2]
                    }
                };
                let projected = self.project(xs, x_masks.as_deref())?;
                self.steps(projected.tensor(), call.steps()?.as_ref(), states, h_masks.as_deref())?
            }
        };
        if config.stateful {
            self.carried.keep(&states);
        }
        Ok((hidden, states))
    }

    /// The whole sequence as one op.
    fn on_kernels(
        &self,
        xs: &Strand,
        states: Option<&[Tensor]>,
        x_masks: Option<&[Tensor]>,
        layer: kernel::ConvLstm,
    ) -> Result<(Strand, Vec<Tensor>)> {
        let [kernel, recurrent] = [&self.kernel, &self.recurrent_kernel].map(|tensor| tensor.clone().into());
        let weights = match &self.bias {
            _ if x_masks.is_some() => row([&recurrent])?,
            Some(bias) => row([&kernel, &recurrent, &bias.clone().into()])?,
            None => row([&kernel, &recurrent])?,
        };
        let (return_state, return_sequences) = (layer.return_state, layer.return_sequences);
        let out = match x_masks {
            // Each gate has an input of its own.
            Some(_) => {
                let projected = self.project(xs, x_masks)?;
                let layer = kernel::ConvLstm { input: None, use_bias: false, ..layer };
                conv_lstm_op::run(&projected, &weights, states, layer)?
            }
            None => conv_lstm_op::run(xs, &weights, states, layer)?,
        };
        if !return_state {
            return Ok((out, vec![]));
        }
        let out = out.tensor();
        let pictures = out.dim(1)?;
        let at = |picture: usize| out.narrow(1, picture, 1)?.squeeze(1)?.contiguous();
        let states = vec![at(pictures - 2)?, at(pictures - 1)?];
        let hidden = match return_sequences {
            true => out.narrow(1, 0, pictures - 1)?.contiguous()?,
            false => states[0].clone(),
        };
        Ok((hidden.into(), states))
    }

    /// One tensor operation after another, from the input's part of the gates.
    fn steps(
        &self,
        projected: &Tensor,
        mask: Option<&Tensor>,
        mut states: Vec<Tensor>,
        gate_masks: Option<&[Tensor]>,
    ) -> Result<(Strand, Vec<Tensor>)> {
        let config = &self.config;
        let (batch, time, _, _, _) = projected.dims5()?;
        let recurrent = windows(config.kernel_size, one(), one(), Padding::Same);
        let mut output = states[0].zeros_like()?;
        let mut outputs = vec![];
        for step in 0..time {
            let at = if config.go_backwards { time - 1 - step } else { step };
            let x = projected.narrow(1, at, 1)?.squeeze(1)?;
            let z = (x + by_gate(
                &states[0].clone().into(),
                gate_masks,
                &self.recurrent_kernel,
                None,
                &recurrent,
            )?
            .tensor())?;
            let gate = |index: usize| z.narrow(D::Minus1, index * config.filters, config.filters);
            let (f, s) = (config.activation, config.recurrent_activation);
            let c =
                ((s.forward(&gate(1)?)? * &states[1])? + (s.forward(&gate(0)?)? * f.forward(&gate(2)?)?)?)?;
            let h = (s.forward(&gate(3)?)? * f.forward(&c)?)?;
            match mask {
                None => (output, states) = (h.clone(), vec![h, c]),
                Some(mask) => {
                    let moves = mask.narrow(1, at, 1)?.reshape((batch, 1, 1, 1))?;
                    let moves = moves.broadcast_as(h.shape())?.contiguous()?;
                    let held = if config.zero_output_for_mask { output.zeros_like()? } else { output };
                    output = moves.where_cond(&h, &held)?;
                    states = vec![moves.where_cond(&h, &states[0])?, moves.where_cond(&c, &states[1])?];
                }
            }
            if config.return_sequences {
                outputs.push(output.clone());
            }
        }
        let hidden = if config.return_sequences { Tensor::stack(&outputs, 1)? } else { output };
        Ok((hidden.into(), states))
    }

    /// The layer on the kernels, where they can run it.
    fn kernels(
        &self,
        xs: &Tensor,
        &[batch, rows, columns, filters]: &[usize; 4],
        return_state: bool,
    ) -> Result<Option<kernel::ConvLstm>> {
        let config = &self.config;
        let activations = (config.activation.kernel(), config.recurrent_activation.kernel());
        let (Some(activation), Some(recurrent_activation)) = activations else { return Ok(None) };
        if !suits_kernels(xs) || !suits_kernels(&self.kernel) || !suits_kernels(&self.recurrent_kernel) {
            return Ok(None);
        }
        let (_, time, x_rows, x_columns, channels) = xs.dims5()?;
        let recurrent = windows(config.kernel_size, one(), one(), Padding::Same);
        // What all steps have together is to be held.
        convolution(&[batch * time, x_rows, x_columns, channels], &self.kernel, &config.windows())?;
        convolution(&[batch * time, rows, columns, filters], &self.recurrent_kernel, &recurrent)?;
        let input = convolution(&[batch, x_rows, x_columns, channels], &self.kernel, &config.windows())?;
        let recurrent = convolution(&[batch, rows, columns, filters], &self.recurrent_kernel, &recurrent)?;
        Ok(Some(kernel::ConvLstm {
            batch,
            time,
            input: Some(input),
            recurrent,
            use_bias: self.bias.is_some(),
            activation,
            recurrent_activation,
            go_backwards: config.go_backwards,
            return_sequences: config.return_sequences,
            return_state,
        }))
    }

    /// The state's shape, (batch, rows, columns, filters), for a step of the input.
    fn state_shape(&self, &[batch, rows, columns, channels]: &[usize; 4]) -> Result<[usize; 4]> {
        let input = [Some(batch), Some(1), Some(rows), Some(columns), Some(channels)];
        let shape = self
            .config
            .state_shape(&input)
            .map_err(|what| candle_core::Error::Msg(format!("layer {}: {what}", self.name)))?;
        match shape.as_slice() {
            &[Some(batch), Some(rows), Some(columns), Some(filters)] => Ok([batch, rows, columns, filters]),
            _ => bail!("layer {}: the shape of its state is open", self.name),
        }
    }

    /// The input's part of the gates for all steps at once: (batch, time, rows, columns, 4 filters).
    fn project(&self, xs: &Strand, masks: Option<&[Tensor]>) -> Result<Strand> {
        let (batch, time, rows, columns, channels) = xs.tensor().dims5()?;
        let masks = masks.map(|masks| {
            let over_time = |mask: &Tensor| {
                let mask = mask.unsqueeze(1)?.broadcast_as(xs.tensor().shape())?;
                mask.contiguous()?.reshape((batch * time, rows, columns, channels))
            };
            masks.iter().map(over_time).collect::<Result<Vec<_>>>()
        });
        let frames = xs.reshape(vec![batch * time, rows, columns, channels])?;
        let (masks, windows) = (masks.transpose()?, self.config.windows());
        let projected = by_gate(&frames, masks.as_deref(), &self.kernel, self.bias.as_ref(), &windows)?;
        let (_, rows, columns, width) = projected.tensor().dims4()?;
        projected.reshape(vec![batch, time, rows, columns, width])
    }

    /// The states to start from, if not from zeros.
    fn initial_states(&self, shape: &[usize; 4], call: Call<'_>) -> Result<Option<Vec<Tensor>>> {
        let carried = || if self.config.stateful { self.carried.get() } else { None };
        let Some(states) = call.states.map(<[_]>::to_vec).or_else(carried) else { return Ok(None) };
        if states.len() != 2 || states.iter().any(|state| state.dims() != shape) {
            bail!("layer {}: two states of shape {shape:?} are needed", self.name)
        }
        Ok(Some(states))
    }

    /// One mask a gate, as Keras draws them; none at a rate of 0 or 1.
    fn gate_masks(
        &self,
        side: &str,
        rate: f64,
        shape: &[usize; 4],
        mode: Mode,
        like: &Tensor,
    ) -> Result<Option<Vec<Tensor>>> {
        let Mode::Training { seed } = mode else { return Ok(None) };
        if rate <= 0.0 || rate >= 1.0 {
            return Ok(None);
        }
        let mut stream = Stream::named(seed, &format!("{}/{side}", self.name));
        let count = shape.iter().product();
        let mut draw = |_| {
            let mask = mask(&mut stream, rate, count);
            Tensor::from_vec(mask, shape, like.device())?.to_dtype(like.dtype())
        };
        (0..4).map(&mut draw).collect::<Result<Vec<_>>>().map(Some)
    }
}

impl ModuleT for ConvLstm {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        let call = Call { mode: self.passes.next(train), ..Call::default() };
        Ok(self.carry_on(&xs.clone().into(), call, false)?.0.tensor().clone())
    }
}

impl Layer for ConvLstm {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        let states = inputs[1..].iter().map(Flow::floats).collect::<Result<Vec<_>>>()?;
        let states = if states.is_empty() { None } else { Some(states.as_slice()) };
        let call = Call { mask: input.mask.as_ref(), states, mode: pass.mode };
        let (hidden, states) = self.carry_on(&input.strand()?, call, self.config.return_state)?;
        let mut flows = vec![Flow::from(hidden)];
        if self.config.return_state {
            flows.extend(states.into_iter().map(Flow::from));
        }
        Ok(flows)
    }

    fn reset_states(&self) {
        self.carried.forget();
    }

    fn carried(&self) -> Vec<&Carried> {
        vec![&self.carried]
    }
}

/// xs convolved with all gates' kernels, plus the bias; with masks, each gate has xs under its own.
fn by_gate(
    xs: &Strand,
    masks: Option<&[Tensor]>,
    kernel: &Tensor,
    bias: Option<&Tensor>,
    windows: &[Window],
) -> Result<Strand> {
    let Some(masks) = masks else { return convolve(xs, kernel, bias, windows, 1) };
    let filters = kernel.dim(D::Minus1)? / masks.len().max(1);
    let parts = masks.iter().enumerate().map(|(gate, mask)| {
        let bias = bias.map(|bias| bias.narrow(0, gate * filters, filters)).transpose()?;
        let kernel = kernel.narrow(3, gate * filters, filters)?.contiguous()?;
        Ok(convolve(&(xs.tensor() * mask)?.into(), &kernel, bias.as_ref(), windows, 1)?.tensor().clone())
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, D::Minus1).map(Strand::from)
}
