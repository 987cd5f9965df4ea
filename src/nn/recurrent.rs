//! What SimpleRNN, LSTM and GRU share: dropout masks, state, the choice between the kernels and the tensor path.

use super::{Activation, Embedding, Mode, init::Variable, op, random::Stream, steps};
use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{self as kernel, Kind};
use std::sync::{Mutex, PoisonError};

/// What a recurrent layer may be given beside its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// (batch, time), of any type: 0 where a step is to be skipped. A skipped step keeps the state and repeats the output.
    pub mask: Option<&'a Tensor>,
    /// Initial states, each (batch, units): h, and for an LSTM c. Zeros if absent, or what the last batch left in a
    /// stateful layer.
    pub states: Option<&'a [Tensor]>,
    /// Training draws dropout masks.
    pub mode: Mode,
}

impl Call<'_> {
    /// The mask as u8. Whatever is not 0 counts, as in Keras, which takes masks as true and false.
    pub(super) fn steps(&self) -> Result<Option<Tensor>> {
        let bytes = |mask: &Tensor| match mask.dtype() {
            DType::U8 => Ok(mask.clone()),
            _ => mask.ne(0.0),
        };
        self.mask.map(bytes).transpose()
    }
}

/// What a recurrent layer gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// (batch, units), or (batch, time, units) with `return_sequences`.
    pub output: Tensor,
    /// The states after the last step, each (batch, units): h, and for an LSTM c.
    pub states: Vec<Tensor>,
}

/// A recurrent layer's configuration, whichever the kind.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub kind: Kind,
    pub units: usize,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub use_bias: bool,
    pub dropout: f64,
    pub recurrent_dropout: f64,
    pub return_sequences: bool,
    pub go_backwards: bool,
    pub stateful: bool,
    pub zero_output_for_mask: bool,
}

impl Settings {
    /// Says what is wrong with the configuration, if anything is.
    pub fn check(&self) -> std::result::Result<(), String> {
        super::check_units(self.units)?;
        for (name, rate) in [("dropout", self.dropout), ("recurrent_dropout", self.recurrent_dropout)] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} must be between 0 and 1, not {rate}"));
            }
        }
        Ok(())
    }

    /// The three variables in Keras's order.
    pub fn variables(&self, input_dim: usize, bias: super::Initializer) -> Vec<Variable> {
        let width = self.kind.gates() * self.units;
        let mut variables = vec![
            Variable::new("kernel", [input_dim, width], super::Initializer::GlorotUniform),
            Variable::new("recurrent_kernel", [self.units, width], super::Initializer::Orthogonal),
        ];
        if self.use_bias {
            let shape = if self.kind.bias_rows() == 2 { vec![2, width] } else { vec![width] };
            variables.push(Variable::new("bias", shape, bias));
        }
        variables
    }
}

/// Where the steps' inputs come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// (batch, time, features)
    Features(&'a Tensor),
    /// Ids (batch, time), u32 and all in the table, of an embedding.
    Rows { embedding: &'a Embedding, ids: &'a Tensor },
}

impl Source<'_> {
    fn shape(self) -> Result<(usize, usize, usize)> {
        match self {
            Self::Features(xs) => xs.dims3(),
            Self::Rows { embedding, ids } => {
                let (batch, time) = ids.dims2()?;
                Ok((batch, time, embedding.embeddings().dim(1)?))
            }
        }
    }

    /// The tensor with the numbers.
    pub fn values(&self) -> &Tensor {
        match self {
            Self::Features(xs) => xs,
            Self::Rows { embedding, .. } => embedding.embeddings(),
        }
    }
}

/// Dropout masks of a batch, scaled: each (gates or 1, batch, width).
pub(super) struct DropoutMask {
    pub values: Vec<f32>,
    pub per_gate: bool,
    pub width: usize,
}

/// A recurrent layer.
#[derive(Debug)]
pub(super) struct Recurrent {
    pub settings: Settings,
    pub input_dim: usize,
    pub kernel: Tensor,
    pub recurrent_kernel: Tensor,
    pub bias: Option<Tensor>,
    /// The layer's path in the model: its dropout masks are drawn from a stream of that name.
    name: String,
    /// What a stateful layer carries from batch to batch.
    carried: Mutex<Option<Vec<Tensor>>>,
}

impl Clone for Recurrent {
    fn clone(&self) -> Self {
        let carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            settings: self.settings.clone(),
            input_dim: self.input_dim,
            kernel: self.kernel.clone(),
            recurrent_kernel: self.recurrent_kernel.clone(),
            bias: self.bias.clone(),
            name: self.name.clone(),
            carried: Mutex::new(carried),
        }
    }
}

impl Recurrent {
    pub fn new(
        settings: Settings,
        input_dim: usize,
        variables: &[Variable],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let name = vb.prefix();
        if let Err(what) = settings.check() {
            bail!("layer {name}: {what}")
        }
        if input_dim == 0 {
            bail!("layer {name}: the input needs at least 1 feature")
        }
        let mut tensors = variables.iter().map(|variable| variable.get(vb));
        let (Some(kernel), Some(recurrent_kernel)) = (tensors.next(), tensors.next()) else {
            bail!("layer {name}: kernel and recurrent_kernel are needed")
        };
        Ok(Self {
            settings,
            input_dim,
            kernel: kernel?,
            recurrent_kernel: recurrent_kernel?,
            bias: tensors.next().transpose()?,
            name,
            carried: Mutex::new(None),
        })
    }

    /// Says what does not fit, if anything does not; gives the batch's size.
    fn check(&self, source: Source<'_>, call: Call<'_>) -> Result<usize> {
        let (batch, time, features) = source.shape()?;
        if features != self.input_dim {
            bail!("layer {}: built for {} input features, given {features}", self.name, self.input_dim)
        }
        if batch == 0 || time == 0 {
            bail!(
                "layer {}: the input needs at least 1 sequence of 1 step, given ({batch}, {time})",
                self.name
            )
        }
        if let Some(mask) = call.mask
            && mask.dims() != [batch, time]
        {
            bail!("layer {}: mask {:?} does not fit the input's ({batch}, {time})", self.name, mask.dims())
        }
        Ok(batch)
    }

    /// The states are given with `return_state`, or if the layer is to carry them; else there may be none.
    pub fn forward(&self, source: Source<'_>, call: Call<'_>, return_state: bool) -> Result<Output> {
        let batch = self.check(source, call)?;
        let return_state = return_state || self.settings.stateful;
        let states = self.initial_states(batch, call)?;
        let mask = call.steps()?;
        let (input_dropout, recurrent_dropout) = self.draw_masks(batch, call.mode);
        let output = match self.kernel_layer(source.values(), return_state) {
            Some(layer) => op::run(
                self,
                layer,
                source,
                mask.as_ref(),
                states.as_deref(),
                input_dropout,
                recurrent_dropout,
            )?,
            None => {
                let xs = match source {
                    Source::Features(xs) => xs.clone(),
                    Source::Rows { embedding, ids } => embedding.forward(ids)?,
                };
                let states = self.or_zeros(states, batch, &xs)?;
                steps::run(self, &xs, mask.as_ref(), &states, input_dropout, recurrent_dropout)?
            }
        };
        self.carry(&output);
        Ok(output)
    }

    /// The tensor path on any device, whatever the kernels could do: their oracle.
    pub fn forward_steps(&self, xs: &Tensor, call: Call<'_>) -> Result<Output> {
        let batch = self.check(Source::Features(xs), call)?;
        let states = self.or_zeros(self.initial_states(batch, call)?, batch, xs)?;
        let (input_dropout, recurrent_dropout) = self.draw_masks(batch, call.mode);
        let output = steps::run(self, xs, call.steps()?.as_ref(), &states, input_dropout, recurrent_dropout)?;
        self.carry(&output);
        Ok(output)
    }

    fn carry(&self, output: &Output) {
        if self.settings.stateful {
            let carried = output.states.iter().map(Tensor::detach).collect();
            *self.carried.lock().unwrap_or_else(PoisonError::into_inner) = Some(carried);
        }
    }

    pub fn reset_states(&self) {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn or_zeros(&self, states: Option<Vec<Tensor>>, batch: usize, like: &Tensor) -> Result<Vec<Tensor>> {
        match states {
            Some(states) => Ok(states),
            None => {
                let zeros = Tensor::zeros((batch, self.settings.units), like.dtype(), like.device())?;
                Ok(vec![zeros; self.settings.kind.states()])
            }
        }
    }

    /// The states to start from, if not from zeros.
    fn initial_states(&self, batch: usize, call: Call<'_>) -> Result<Option<Vec<Tensor>>> {
        let count = self.settings.kind.states();
        let given = match call.states {
            Some(states) => Some(states.to_vec()),
            None if self.settings.stateful => {
                self.carried.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
            None => None,
        };
        let Some(states) = given else { return Ok(None) };
        if states.len() != count {
            bail!("layer {}: {count} states needed, given {}", self.name, states.len())
        }
        for state in &states {
            if state.dims() != [batch, self.settings.units] {
                bail!(
                    "layer {}: a state needs shape ({batch}, {}), given {:?}{}",
                    self.name,
                    self.settings.units,
                    state.dims(),
                    if self.settings.stateful { "; reset_states() before another batch size" } else { "" }
                )
            }
        }
        Ok(Some(states))
    }

    /// Masks as Keras draws them: the input's and the state's once a batch, the same at every step. Recurrent dropout in
    /// LSTM and GRU brings one mask a gate on both sides (Keras's `implementation=1`).
    fn draw_masks(&self, batch: usize, mode: Mode) -> (Option<DropoutMask>, Option<DropoutMask>) {
        let Mode::Training { seed } = mode else { return (None, None) };
        let Settings { kind, units, dropout, recurrent_dropout, .. } = self.settings;
        let simple = kind == Kind::SimpleRnn;
        let per_gate = !simple && recurrent_dropout > 0.0;
        let draw = |side: &str, rate: f64, width: usize| {
            // At rate 1 Keras's LSTM and GRU drop nothing.
            if rate <= 0.0 || (!simple && rate >= 1.0) {
                return None;
            }
            let count = if per_gate { kind.gates() } else { 1 } * batch * width;
            let mut stream = Stream::named(seed, &format!("{}/{side}", self.name));
            Some(DropoutMask { values: super::dropout::mask(&mut stream, rate, count), per_gate, width })
        };
        (draw("dropout", dropout, self.input_dim), draw("recurrent_dropout", recurrent_dropout, units))
    }

    /// The layer for the kernels: on the CPU, in f32, with activations that they know.
    fn kernel_layer(&self, values: &Tensor, return_state: bool) -> Option<kernel::Layer> {
        let on_cpu = |t: &Tensor| matches!(t.device(), Device::Cpu) && t.dtype() == DType::F32;
        if !on_cpu(values) || !on_cpu(&self.kernel) {
            return None;
        }
        let settings = &self.settings;
        Some(kernel::Layer {
            kind: settings.kind,
            features: self.input_dim,
            units: settings.units,
            activation: settings.activation.kernel()?,
            recurrent_activation: settings.recurrent_activation.kernel()?,
            use_bias: self.bias.is_some(),
            return_sequences: settings.return_sequences,
            return_state,
            go_backwards: settings.go_backwards,
            zero_output_for_mask: settings.zero_output_for_mask,
        })
    }
}

/// A recurrent layer of whichever kind, as a model holds it.
pub(crate) trait RecurrentLayer: std::fmt::Debug + Send + Sync {
    /// The states are given with `return_state`; else there may be none.
    fn run(&self, source: Source<'_>, call: Call<'_>, return_state: bool) -> Result<Output>;
    fn reset_states(&self);
}

/// The public face that the three layers have in common.
macro_rules! recurrent_layer {
    ($(#[$doc:meta])* $layer:ident, $config:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            config: $config,
            inner: $crate::nn::recurrent::Recurrent,
        }

        impl $layer {
            /// A layer over inputs of `input_dim` features, its variables taken from `vb`.
            ///
            /// # Errors
            /// If the configuration makes no sense (it names the layer and the field), or `vb` lacks a variable or has
            /// it in another shape.
            pub fn new(input_dim: usize, config: $config, vb: candle_nn::VarBuilder) -> candle_core::Result<Self> {
                let variables = config.variables(input_dim);
                let inner =
                    $crate::nn::recurrent::Recurrent::new(config.settings(), input_dim, &variables, &vb)?;
                Ok(Self { config, inner })
            }

            /// The configuration.
            pub fn config(&self) -> &$config {
                &self.config
            }

            /// `xs` is (batch, time, `input_dim`); `call` may bring a mask, initial states and the training mode.
            ///
            /// # Errors
            /// If a shape does not fit; the message names the layer and both shapes.
            pub fn call(
                &self,
                xs: &candle_core::Tensor,
                call: $crate::nn::Call<'_>,
            ) -> candle_core::Result<$crate::nn::Output> {
                self.inner.forward($crate::nn::recurrent::Source::Features(xs), call, true)
            }

            /// The same over what `embedding` gives for `ids` (batch, time), without writing it down: its rows are read
            /// where they stand.
            ///
            /// # Errors
            /// If a shape does not fit or an id is beyond the table.
            pub fn call_rows(
                &self,
                embedding: &$crate::nn::Embedding,
                ids: &candle_core::Tensor,
                call: $crate::nn::Call<'_>,
            ) -> candle_core::Result<$crate::nn::Output> {
                let ids = &embedding.check_ids(ids)?;
                self.inner.forward($crate::nn::recurrent::Source::Rows { embedding, ids }, call, true)
            }

            /// The same as [`call`](Self::call), one tensor operation after another for each step: what runs on CUDA
            /// and Metal and in other types than f32, and the oracle of the kernels' tests.
            ///
            /// # Errors
            /// As [`call`](Self::call).
            pub fn call_steps(
                &self,
                xs: &candle_core::Tensor,
                call: $crate::nn::Call<'_>,
            ) -> candle_core::Result<$crate::nn::Output> {
                self.inner.forward_steps(xs, call)
            }

            /// Forgets what a stateful layer carries from batch to batch.
            pub fn reset_states(&self) {
                self.inner.reset_states();
            }
        }

        impl $crate::nn::recurrent::RecurrentLayer for $layer {
            fn run(
                &self,
                source: $crate::nn::recurrent::Source<'_>,
                call: $crate::nn::Call<'_>,
                return_state: bool,
            ) -> candle_core::Result<$crate::nn::Output> {
                self.inner.forward(source, call, return_state)
            }

            fn reset_states(&self) {
                self.inner.reset_states();
            }
        }

        impl candle_core::Module for $layer {
            /// Inference without mask from zero states: (batch, time, features) to (batch, units), or to
            /// (batch, time, units) with `return_sequences`.
            fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                let source = $crate::nn::recurrent::Source::Features(xs);
                Ok(self.inner.forward(source, $crate::nn::Call::default(), false)?.output)
            }
        }
    };
}
pub(super) use recurrent_layer;
