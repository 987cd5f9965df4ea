//! What SimpleRNN, LSTM and GRU share: dropout masks, states, and the choice between the kernels and the tensor path.

use super::parameters::Parameters;
use super::settings::{Call, DropoutMask, RnnOutput, Settings, Source};
use super::{op, steps};
use crate::layers::carried::Carried;
use crate::layers::cpu::suits_kernels;
use crate::layers::dropout_mask::mask;
use crate::layers::flow::{Flow, Values, first};
use crate::layers::layer::{Mode, Pass, Passes};
use crate::layers::strand::Strand;
use crate::random::Stream;
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_recurrent_kernel::{self as kernel, Kind};

/// A recurrent layer.
#[derive(Clone, Debug)]
pub struct Recurrent {
    of: Parameters,
    /// What a stateful layer carries from batch to batch.
    carried: Carried,
    passes: Passes,
}

impl Recurrent {
    /// The layer over `input_dim` features, its variables taken from `vb`.
    pub fn new(settings: Settings, input_dim: usize, vb: &VarBuilder) -> Result<Self> {
        let of = Parameters::new(settings, input_dim, vb)?;
        Ok(Self { of, carried: Carried::default(), passes: Passes::default() })
    }

    /// A call as a model makes it: the sequence, then the initial states if there are any.
    pub fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        let states = inputs[1..].iter().map(Flow::floats).collect::<Result<Vec<_>>>()?;
        let states = if states.is_empty() { None } else { Some(states.as_slice()) };
        let call = Call { mask: input.mask.as_ref(), states, mode: pass.mode };
        let return_state = self.of.settings.time_loop.return_state;
        let (hidden, states) = match &input.values {
            Values::Rows(rows) => self.carry_on(Source::Rows(rows), call, return_state)?,
            Values::Tensor(_) | Values::Strand(_) | Values::Texts(_) => {
                self.carry_on(Source::Features(&input.strand()?), call, return_state)?
            }
        };
        let mut flows = vec![Flow::from(hidden)];
        if return_state {
            flows.extend(states.into_iter().map(Flow::from));
        }
        Ok(flows)
    }

    /// A call from zeros, each one in training with dropout masks of its own.
    pub fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        let call = Call { mode: self.passes.next(train), ..Call::default() };
        Ok(self.forward(Source::Features(&xs.clone().into()), call, false)?.hidden)
    }

    /// The states of zeros of a batch.
    pub fn zero_states(&self, batch: usize) -> Result<Vec<Tensor>> {
        self.or_zeros(None, batch, &self.of.kernel)
    }

    /// The states after one step of (batch, features).
    pub fn step(&self, xs: &Tensor, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let call = Call { states: Some(states), ..Call::default() };
        Ok(self.output(Source::Features(&xs.unsqueeze(1)?.into()), call, true)?.1)
    }

    /// The states after each step of (batch, time, features), walked forwards.
    pub fn walk(&self, xs: &Tensor, states: &[Tensor]) -> Result<Vec<Vec<Tensor>>> {
        self.check(Source::Features(&xs.clone().into()), Call::default())?;
        steps::walk(&self.of, xs, states)
    }

    /// Says what does not fit, if anything does not; gives the batch's size.
    fn check(&self, source: Source<'_>, call: Call<'_>) -> Result<usize> {
        let values = source.values();
        if let Source::Features(xs) = source
            && xs.tensor().rank() != 3
        {
            let given = xs.tensor().dims();
            bail!("layer {}: needs an input (batch, time, features), given {given:?}", self.of.name)
        }
        if values.dtype() != self.of.kernel.dtype() {
            let (own, given) = (self.of.kernel.dtype(), values.dtype());
            bail!(
                "layer {}: its weights are {own:?}, its input is {given:?}; convert one with to_dtype",
                self.of.name
            )
        }
        let (batch, time, features) = source.shape()?;
        if features != self.of.input_dim {
            bail!("layer {}: built for {} input features, given {features}", self.of.name, self.of.input_dim)
        }
        if batch == 0 || time == 0 {
            bail!(
                "layer {}: the input needs at least 1 sequence of 1 step, given ({batch}, {time})",
                self.of.name
            )
        }
        call.check_mask(&self.of.name, batch, time)?;
        Ok(batch)
    }

    /// The states are given with `return_state`, or if the layer is to carry them; else there may be none.
    pub fn forward(&self, source: Source<'_>, call: Call<'_>, return_state: bool) -> Result<RnnOutput> {
        let (hidden, states) = self.carry_on(source, call, return_state)?;
        Ok(RnnOutput { hidden: hidden.tensor().clone(), states })
    }

    fn carry_on(
        &self,
        source: Source<'_>,
        call: Call<'_>,
        return_state: bool,
    ) -> Result<(Strand, Vec<Tensor>)> {
        let (hidden, states) = self.output(source, call, return_state)?;
        if self.of.settings.time_loop.stateful {
            self.carried.keep(&states);
        }
        Ok((hidden, states))
    }

    /// The same, and nothing is carried on.
    fn output(
        &self,
        source: Source<'_>,
        call: Call<'_>,
        return_state: bool,
    ) -> Result<(Strand, Vec<Tensor>)> {
        let batch = self.check(source, call)?;
        let return_state = return_state || self.of.settings.time_loop.stateful;
        let states = self.initial_states(batch, call)?;
        let mask = call.steps()?;
        let (input_dropout, recurrent_dropout) = self.draw_masks(batch, call.mode);
        match self.path(source.values(), return_state) {
            Path::Kernels(layer) => op::run(
                &self.of,
                layer,
                source,
                mask.as_ref(),
                states.as_deref(),
                input_dropout,
                recurrent_dropout,
            ),
            Path::Steps => {
                let xs = match source {
                    Source::Features(xs) => xs.tensor().clone(),
                    Source::Rows(rows) => rows.look_up()?,
                };
                let states = self.or_zeros(states, batch, &xs)?;
                let output =
                    steps::run(&self.of, &xs, mask.as_ref(), &states, input_dropout, recurrent_dropout)?;
                Ok((output.hidden.into(), output.states))
            }
        }
    }

    /// Forgets what a stateful layer carries from batch to batch.
    pub fn reset_states(&self) {
        self.carried.forget();
    }

    /// What a stateful layer carries from batch to batch.
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    fn or_zeros(&self, states: Option<Vec<Tensor>>, batch: usize, like: &Tensor) -> Result<Vec<Tensor>> {
        match states {
            Some(states) => Ok(states),
            None => {
                let zeros = Tensor::zeros((batch, self.of.settings.units), like.dtype(), like.device())?;
                Ok(vec![zeros; self.of.settings.kind.states()])
            }
        }
    }

    /// The states to start from, if not from zeros.
    fn initial_states(&self, batch: usize, call: Call<'_>) -> Result<Option<Vec<Tensor>>> {
        let count = self.of.settings.kind.states();
        let given = match call.states {
            Some(states) => Some(states.to_vec()),
            None if self.of.settings.time_loop.stateful => self.carried.get(),
            None => None,
        };
        let Some(states) = given else { return Ok(None) };
        if states.len() != count {
            bail!("layer {}: {count} states needed, given {}", self.of.name, states.len())
        }
        for state in &states {
            if state.dims() != [batch, self.of.settings.units] {
                bail!(
                    "layer {}: a state needs shape ({batch}, {}), given {:?}{}",
                    self.of.name,
                    self.of.settings.units,
                    state.dims(),
                    if self.of.settings.time_loop.stateful {
                        "; reset_states() before another batch size"
                    } else {
                        ""
                    }
                )
            }
        }
        Ok(Some(states))
    }

    /// Masks as Keras draws them: the input's and the state's once a batch, the same at every step. Recurrent dropout in
    /// LSTM and GRU brings one mask a gate on both sides (Keras's `implementation=1`).
    fn draw_masks(&self, batch: usize, mode: Mode) -> (Option<DropoutMask>, Option<DropoutMask>) {
        let Mode::Training { seed } = mode else { return (None, None) };
        let Settings { kind, units, dropout, recurrent_dropout, .. } = self.of.settings;
        let simple = kind == Kind::SimpleRnn;
        let per_gate = !simple && recurrent_dropout > 0.0;
        let draw = |side: &str, rate: f64, width: usize| {
            // At rate 1 Keras's LSTM and GRU drop nothing.
            if rate <= 0.0 || (!simple && rate >= 1.0) {
                return None;
            }
            let count = if per_gate { kind.gates() } else { 1 } * batch * width;
            let mut stream = Stream::named(seed, &format!("{}/{side}", self.of.name));
            Some(DropoutMask { values: mask(&mut stream, rate, count), per_gate, width })
        };
        (draw("dropout", dropout, self.of.input_dim), draw("recurrent_dropout", recurrent_dropout, units))
    }

    /// How a call on these values runs: on the kernels if they are on the CPU and in f32, and the kernels know the
    /// activations.
    pub fn path(&self, values: &Tensor, return_state: bool) -> Path {
        let settings = &self.of.settings;
        let activations = (settings.activation.kernel(), settings.recurrent_activation.kernel());
        let (Some(activation), Some(recurrent_activation)) = activations else { return Path::Steps };
        if !suits_kernels(values) || !suits_kernels(&self.of.kernel) {
            return Path::Steps;
        }
        Path::Kernels(kernel::Layer {
            kind: settings.kind,
            features: self.of.input_dim,
            units: settings.units,
            activation,
            recurrent_activation,
            use_bias: self.of.bias.is_some(),
            return_sequences: settings.time_loop.return_sequences,
            return_state,
            go_backwards: settings.time_loop.go_backwards,
            zero_output_for_mask: settings.time_loop.zero_output_for_mask,
        })
    }
}

/// How a call runs.
#[derive(Debug, PartialEq)]
pub enum Path {
    /// On this crate's kernels, the whole sequence as one op.
    Kernels(kernel::Layer),
    /// One tensor operation after another.
    Steps,
}

/// The public face that the three layers have in common.
macro_rules! recurrent_layer {
    ($(#[$doc:meta])* $layer:ident, $config:ident) => {
        impl $crate::layers::layer::Config for $config {
            fn check(&self) -> $crate::layers::shape::Checked<()> {
                self.settings().check()
            }

            fn place(
                &self,
                inputs: &[$crate::layers::shape::Shape],
            ) -> $crate::layers::shape::Checked<$crate::layers::layer::Placed> {
                self.settings().place(inputs)
            }

            fn mask_rule(&self) -> $crate::layers::masks::MaskRule {
                $crate::layers::rnn::settings::sequence_mask(self.settings().time_loop)
            }

            fn padding_rule(&self) -> $crate::layers::padding::PaddingRule {
                $crate::layers::rnn::settings::sequence_padding(self.settings().time_loop)
            }

            fn build(
                &self,
                inputs: &[$crate::layers::shape::Shape],
                vb: candle_nn::VarBuilder,
            ) -> candle_core::Result<std::sync::Arc<dyn $crate::layers::layer::Layer>> {
                let input = $crate::layers::layer::first_shape(inputs);
                let input_dim = $crate::layers::shape::features(input).map_err(candle_core::Error::msg)?;
                Ok(std::sync::Arc::new($layer::new(input_dim, self.clone(), vb)?))
            }

            $crate::layers::layer::time_loop!();

            fn in_words(&self) -> Option<String> {
                Some(self.settings().in_words())
            }
        }

        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            config: $config,
            inner: $crate::layers::rnn::recurrent::Recurrent,
        }

        impl $layer {
            /// A layer over inputs of `input_dim` features, its variables taken from `vb`.
            ///
            /// # Errors
            /// If the configuration makes no sense (it names the layer and the field), or `vb` lacks a variable or has
            /// it in another shape.
            pub fn new(input_dim: usize, config: $config, vb: candle_nn::VarBuilder) -> candle_core::Result<Self> {
                let inner = $crate::layers::rnn::recurrent::Recurrent::new(config.settings(), input_dim, &vb)?;
                Ok(Self { config, inner })
            }

            /// The configuration.
            pub fn config(&self) -> &$config {
                &self.config
            }

            /// Inference from zero states, without a mask: (batch, time, features) to (batch, units), or to (batch,
            /// time, units) with `return_sequences`. For training, there is
            /// [`forward_t`](candle_nn::ModuleT::forward_t), and for everything else [`call`](Self::call).
            ///
            /// # Errors
            /// If the shape does not fit; the message names the layer.
            pub fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                self.inner.forward_t(xs, false)
            }

            /// A call with a mask, initial states or the training mode. `xs` is (batch, time, `input_dim`).
            ///
            /// # Errors
            /// If a shape does not fit; the message names the layer and both shapes.
            pub fn call(
                &self,
                xs: &candle_core::Tensor,
                call: $crate::layers::Call<'_>,
            ) -> candle_core::Result<$crate::layers::RnnOutput> {
                self.inner.forward($crate::layers::rnn::settings::Source::Features(&xs.clone().into()), call, true)
            }

            /// The same over rows of an embedding ([`Embedding::rows`](crate::layers::Embedding::rows)), which are
            /// read in place.
            ///
            /// # Errors
            /// If a shape does not fit.
            pub fn call_rows(
                &self,
                rows: &$crate::layers::Rows,
                call: $crate::layers::Call<'_>,
            ) -> candle_core::Result<$crate::layers::RnnOutput> {
                self.inner.forward($crate::layers::rnn::settings::Source::Rows(rows), call, true)
            }

            /// Whether a call on `xs` runs on this crate's kernels: in f32, on the CPU, with activations that work on
            /// each element by itself. Other calls run one tensor operation after another.
            pub fn uses_kernels(&self, xs: &candle_core::Tensor) -> bool {
                self.inner.path(xs, true) != $crate::layers::rnn::recurrent::Path::Steps
            }

            /// Forgets what a stateful layer carries from batch to batch.
            pub fn reset_states(&self) {
                self.inner.reset_states();
            }
        }

        impl candle_nn::ModuleT for $layer {
            /// From zero states, without a mask; in training, each pass draws its own dropout masks.
            fn forward_t(&self, xs: &candle_core::Tensor, train: bool) -> candle_core::Result<candle_core::Tensor> {
                self.inner.forward_t(xs, train)
            }
        }

        impl $crate::layers::layer::Layer for $layer {
            fn run(
                &self,
                inputs: &[$crate::layers::flow::Flow],
                pass: $crate::layers::layer::Pass,
            ) -> candle_core::Result<Vec<$crate::layers::flow::Flow>> {
                self.inner.run(inputs, pass)
            }

            fn reset_states(&self) {
                self.inner.reset_states();
            }

            fn carried(&self) -> Vec<&$crate::layers::carried::Carried> {
                vec![self.inner.carried()]
            }
        }
    };
}
pub(crate) use recurrent_layer;
