//! What the recurrent layers have in common: their settings, what a call is given and gives.

use crate::layers::activation::Activation;
use crate::layers::initializer::{Initializer, Variable};
use crate::layers::layer::{Mode, Placed, TimeLoop};
use crate::layers::masks::MaskRule;
use crate::layers::padding::PaddingRule;
use crate::layers::shape::{Checked, Shape, check_rate, check_units, features, show};
use crate::layers::strand::Strand;
use crate::layers::table::Rows;
use candle_core::{DType, Result, Tensor, bail};
use candle_recurrent_kernel::Kind;

/// What a recurrent layer may be given besides its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// (batch, time), of any type: 0 where a step is to be skipped. A skipped step keeps the state and repeats the output.
    pub mask: Option<&'a Tensor>,
    /// Initial states, each (batch, units): h, and for an LSTM c. Zeros if absent, or what the last batch left in a
    /// stateful layer.
    pub states: Option<&'a [Tensor]>,
    /// Inference, or training, which draws dropout masks.
    pub mode: Mode,
}

impl Call<'_> {
    /// Refuses a mask of another shape than (batch, time), for the layer `name`.
    pub(crate) fn check_mask(&self, name: &str, batch: usize, time: usize) -> Result<()> {
        match self.mask {
            Some(mask) if mask.dims() != [batch, time] => {
                bail!("layer {name}: mask {:?} does not fit the input's ({batch}, {time})", mask.dims())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The mask as u8. Whatever is not 0 counts, as in Keras, which takes masks as true and false.
    pub(crate) fn steps(&self) -> Result<Option<Tensor>> {
        let bytes = |mask: &Tensor| match mask.dtype() {
            DType::U8 => Ok(mask.clone()),
            _ => mask.ne(0.0),
        };
        self.mask.map(bytes).transpose()
    }
}

/// What a call of a recurrent layer gives: the output and the final states.
#[derive(Clone, Debug)]
pub struct RnnOutput {
    /// (batch, units), or (batch, time, units) with `return_sequences`; of a ConvLSTM2D rows and columns come before the
    /// units, which are its filters.
    pub hidden: Tensor,
    /// The states after the last step, each (batch, units): h, and for an LSTM c.
    pub states: Vec<Tensor>,
}

/// The shapes of what a layer over (batch, time, features) gives: its output, of `width` features, and its states if it
/// is to give them. The inputs after the first are the initial states: all, or none.
pub fn place_sequence(
    inputs: &[Shape],
    width: usize,
    states: &[usize],
    time_loop: TimeLoop,
) -> Checked<Vec<Shape>> {
    let (input, given) = inputs.split_first().ok_or("needs an input")?;
    check_states(given.len(), states.len())?;
    let [batch, time, _] = **input else {
        return Err(format!(
            "needs an input of 3 axes (batch, time, features), given {}; does the layer before it lack return_sequences?",
            show(input)
        ));
    };
    let mut outputs = vec![match time_loop.return_sequences {
        true => vec![batch, time, Some(width)],
        false => vec![batch, Some(width)],
    }];
    if time_loop.return_state {
        outputs.extend(states.iter().map(|&size| vec![batch, Some(size)]));
    }
    Ok(outputs)
}

/// Refuses another number of initial states than the layer has.
pub fn check_states(given: usize, needed: usize) -> Checked<()> {
    match given == 0 || given == needed {
        true => Ok(()),
        false => Err(format!("takes its input and {needed} states, given {given} states")),
    }
}

/// The mask goes on with the sequence only, and never with states.
pub fn sequence_mask(time_loop: TimeLoop) -> MaskRule {
    if time_loop.return_sequences { MaskRule::PassesTo(1) } else { MaskRule::Drops }
}

/// Masked steps leave the state as it is. Going backwards, the outputs of steps come the other way round, and the mask does
/// not.
pub fn sequence_padding(time_loop: TimeLoop) -> PaddingRule {
    let turned = time_loop.go_backwards && time_loop.return_sequences;
    match time_loop.stateful || time_loop.return_state || turned {
        true => PaddingRule::Matters,
        false => PaddingRule::Skipped,
    }
}

/// A recurrent layer's configuration, whichever the kind.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kind: Kind,
    pub units: usize,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub use_bias: bool,
    /// How the bias begins.
    pub bias: Initializer,
    pub dropout: f64,
    pub recurrent_dropout: f64,
    pub time_loop: TimeLoop,
}

impl Settings {
    /// Says what is wrong with the configuration, if anything is.
    pub fn check(&self) -> Checked<()> {
        check_units("units", self.units)?;
        check_rate("dropout", self.dropout)?;
        check_rate("recurrent_dropout", self.recurrent_dropout)
    }

    /// The three variables in Keras's order.
    pub fn variables(&self, input_dim: usize) -> Vec<Variable> {
        let width = self.kind.gates() * self.units;
        let mut variables = vec![
            Variable::new("kernel", [input_dim, width], Initializer::GlorotUniform),
            Variable::new("recurrent_kernel", [self.units, width], Initializer::Orthogonal),
        ];
        if self.use_bias {
            let shape = if self.kind.bias_rows() == 2 { vec![2, width] } else { vec![width] };
            variables.push(Variable::new("bias", shape, self.bias));
        }
        variables
    }

    /// The layer over (batch, time, features) and, if they are given, its states.
    pub fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let states = vec![self.units; self.kind.states()];
        let outputs = place_sequence(inputs, self.units, &states, self.time_loop)?;
        Ok(Placed::new(outputs).with(self.variables(features(&inputs[0])?)))
    }

    /// `units, dropout 0.3`.
    pub fn in_words(&self) -> String {
        let rates = [("dropout", self.dropout), ("recurrent dropout", self.recurrent_dropout)];
        rates
            .into_iter()
            .filter(|&(_, rate)| rate > 0.0)
            .fold(self.units.to_string(), |words, (name, rate)| format!("{words}, {name} {rate}"))
    }
}

/// Where the steps' inputs come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// (batch, time, features)
    Features(&'a Strand),
    /// Rows of a table by ids (batch, time).
    Rows(&'a Rows),
}

impl Source<'_> {
    /// Batch, steps, features.
    pub fn shape(self) -> Result<(usize, usize, usize)> {
        match self {
            Self::Features(xs) => xs.tensor().dims3(),
            Self::Rows(rows) => {
                let (batch, time) = rows.ids.dims2()?;
                Ok((batch, time, rows.table.vectors().dim(1)?))
            }
        }
    }

    /// The tensor with the numbers.
    pub fn values(&self) -> &Tensor {
        match self {
            Self::Features(xs) => xs.tensor(),
            Self::Rows(rows) => rows.table.vectors(),
        }
    }
}

/// Dropout masks of a batch, scaled: each (gates or 1, batch, width).
pub struct DropoutMask {
    pub values: Vec<f32>,
    pub per_gate: bool,
    pub width: usize,
}
