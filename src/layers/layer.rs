//! What a layer is: its arguments ([`Config`]), and the layer built from them ([`Layer`]).

use super::activation::Activation;
use super::carried::Carried;
use super::flow::Flow;
use super::initializer::Variable;
use super::losses::Losses;
use super::masks::MaskRule;
use super::padding::PaddingRule;
use super::shape::{Checked, Shape};
use super::watch::Watch;
use candle_core::{Result, Var};
use candle_nn::VarBuilder;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a forward pass is part of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No dropout.
    #[default]
    Inference,
    /// Dropout masks are drawn from `seed`; one seed, one set of masks.
    Training {
        /// The seed of this batch.
        seed: u64,
    },
}

/// Counts the training passes of a layer that is called by [`ModuleT::forward_t`](candle_nn::ModuleT::forward_t), where
/// nobody gives a seed: each pass draws its own dropout, and two layers of one name draw the same one after another.
#[derive(Debug, Default)]
pub(crate) struct Passes(AtomicU64);

impl Passes {
    /// The mode of the next pass.
    pub fn next(&self, train: bool) -> Mode {
        match train {
            true => Mode::Training { seed: self.0.fetch_add(1, Ordering::Relaxed) },
            false => Mode::Inference,
        }
    }
}

impl Clone for Passes {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// How a forward pass goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass<'a> {
    /// Whether it is part of training.
    pub mode: Mode,
    /// Leave out the activation that the layer ends in, where [`Config::output_activation`] names one: for losses that
    /// take logits.
    pub logits: bool,
    /// Whether a layer around is frozen: a BatchNormalization then goes by its moving statistics, in training too.
    pub frozen: bool,
    /// Where layers put what they add to the loss; none where nobody asks.
    pub losses: Option<&'a Losses>,
    /// Who looks at what each layer gives; none where nobody does.
    pub watch: Option<&'a Watch>,
}

impl From<Mode> for Pass<'_> {
    fn from(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// A layer's arguments, in Keras's names.
///
/// They give its shapes, its variables and what becomes of masks, before there are any numbers; and they build the
/// layer.
pub trait Config: Debug + Send + Sync {
    /// Checks the arguments, and says which one makes no sense.
    fn check(&self) -> Checked<()>;

    /// What a call on inputs of these shapes gives, and which variables it needs.
    fn place(&self, inputs: &[Shape]) -> Checked<Placed>;

    /// What becomes of the masks of its inputs.
    fn mask_rule(&self) -> MaskRule;

    /// What masked steps at the ends of its input are to it. One that is not sure says that they matter.
    fn padding_rule(&self) -> PaddingRule {
        PaddingRule::Matters
    }

    /// Builds the layer over inputs of these shapes with the variables that `vb` holds.
    ///
    /// # Errors
    /// If a variable is missing or has another shape.
    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>>;

    /// Refuses inputs of these shapes if Keras 3 on TensorFlow gives other numbers for them than any other Keras, so that
    /// its files do not say what the layer gives. They fit it.
    fn check_keras3(&self, _inputs: &[Shape]) -> Checked<()> {
        Ok(())
    }

    /// The layers within it.
    fn layers(&self) -> Vec<&dyn Config> {
        vec![]
    }

    /// The arguments of a loop over time, where the layer is one.
    fn time_loop(&self) -> Option<TimeLoop> {
        None
    }

    /// Sets the arguments of the loop over time; does nothing for a layer without one.
    fn set_time_loop(&mut self, _: TimeLoop) {}

    /// Whether further inputs after the first are initial states.
    fn takes_states(&self) -> bool {
        self.time_loop().is_some()
    }

    /// Whether it, or a layer within it, carries states from batch to batch.
    fn is_stateful(&self) -> bool {
        self.time_loop().is_some_and(|time_loop| time_loop.stateful)
            || self.layers().iter().any(|layer| layer.is_stateful())
    }

    /// For a layer that stands for a model's input: the shape of that input.
    fn input_shape(&self) -> Option<&Shape> {
        None
    }

    /// The shape of its input where it may come first in a model without an InputLayer.
    fn first_input(&self) -> Option<Shape> {
        None
    }

    /// Whether it stands for an input of texts.
    fn reads_text(&self) -> bool {
        false
    }

    /// The activation that the output went through last.
    fn output_activation(&self) -> Option<Activation> {
        None
    }

    /// For a layer that reads ids: how many it knows.
    fn vocabulary(&self) -> Option<usize> {
        None
    }

    /// Makes it read texts of `max_len` ids below `vocabulary`, as far as either concerns it.
    fn set_text_shape(&mut self, _vocabulary: usize, _max_len: usize) {}

    /// The main arguments of a layer that learns sequences, in a few words: `8, dropout 0.3`. None for other layers.
    fn in_words(&self) -> Option<String> {
        None
    }
}

/// How deep the layers within a layer go: 0 where there are none.
pub fn depth(config: &dyn Config) -> usize {
    config.layers().into_iter().map(|layer| depth(layer) + 1).max().unwrap_or(0)
}

/// A tensor in a graph: a layer's name, which call of the layer, and which of the tensors that it gives. In JSON
/// `["lstm", 0, 0]`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TensorRef(pub String, pub usize, pub usize);

/// What follows from a layer's place in a model: shapes and variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The shapes of what a call gives.
    pub outputs: Vec<Shape>,
    /// Its variables in the order of Keras's `layer.weights`: those that an optimiser trains first.
    pub variables: Vec<Variable>,
    /// How many calls of layers one call makes: 1, except for a model.
    pub calls: usize,
}

impl Placed {
    /// A layer that gives outputs of these shapes and has no variables.
    pub fn new(outputs: Vec<Shape>) -> Self {
        Self { outputs, variables: vec![], calls: 1 }
    }

    /// A layer that gives one output of this shape and has no variables.
    pub fn one(output: Shape) -> Self {
        Self::new(vec![output])
    }

    /// The same with these variables.
    pub fn with(self, mut variables: Vec<Variable>) -> Self {
        // A stable sort: false before true.
        variables.sort_by_key(|variable| !variable.trainable);
        Self { variables, ..self }
    }
}

/// What recurrent layers have in common, by Keras's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLoop {
    /// Give the output of every step rather than the last.
    pub return_sequences: bool,
    /// Give the states after the last step as well.
    pub return_state: bool,
    /// Walk from the last step to the first.
    pub go_backwards: bool,
    /// Begin each batch with the state that the last one left.
    pub stateful: bool,
    /// At a masked step give 0 rather than the previous output.
    pub zero_output_for_mask: bool,
}

/// The methods of [`Config`] for a configuration with the fields of [`TimeLoop`].
macro_rules! time_loop {
    () => {
        fn time_loop(&self) -> Option<$crate::layers::layer::TimeLoop> {
            Some($crate::layers::layer::TimeLoop {
                return_sequences: self.return_sequences,
                return_state: self.return_state,
                go_backwards: self.go_backwards,
                stateful: self.stateful,
                zero_output_for_mask: self.zero_output_for_mask,
            })
        }

        fn set_time_loop(&mut self, time_loop: $crate::layers::layer::TimeLoop) {
            self.return_sequences = time_loop.return_sequences;
            self.return_state = time_loop.return_state;
            self.go_backwards = time_loop.go_backwards;
            self.stateful = time_loop.stateful;
            self.zero_output_for_mask = time_loop.zero_output_for_mask;
        }
    };
}
pub(crate) use time_loop;

/// A layer as it runs.
pub trait Layer: Debug + Send + Sync {
    /// Runs the layer, from its inputs to its outputs. A recurrent layer's initial states come after its sequence. The
    /// outputs' masks are left to [`MaskRule::apply`].
    ///
    /// # Errors
    /// If an input does not fit; the message names the layer.
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>>;

    /// The layers within it.
    fn children(&self) -> Vec<&dyn Layer> {
        vec![]
    }

    /// Forgets what is carried from batch to batch.
    fn reset_states(&self) {
        self.children().into_iter().for_each(Layer::reset_states);
    }

    /// What it and the layers within it carry from batch to batch, in order.
    fn carried(&self) -> Vec<&Carried> {
        self.children().into_iter().flat_map(Layer::carried).collect()
    }

    /// Variables that a training pass moves without an optimiser, by full name.
    fn moving(&self) -> Vec<(String, Var)> {
        self.children().into_iter().flat_map(Layer::moving).collect()
    }

    /// Whether it computes statistics of the batch, so that it matters which samples come together.
    fn mixes_samples(&self) -> bool {
        self.children().into_iter().any(Layer::mixes_samples)
    }
}

/// The shape of the first input; none of its axes where there is none.
pub fn first_shape(inputs: &[Shape]) -> &[Option<usize>] {
    inputs.first().map(Vec::as_slice).unwrap_or_default()
}

/// The public face of a layer without variables that works on one tensor, whatever the pass: `$config` has a
/// `forward(&self, &Tensor)`. The values are taken as `floats`, or as the `tensor` that they are; as a `strand` where it is
/// a `forward(&self, &Strand)` to a strand; as `any` where there is an `over` to strands for numbers of any type.
macro_rules! plain_layer {
    (@face $(#[$doc:meta])* $layer:ident $(<const $n:ident: usize>)?, $config:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer $(<const $n: usize>)? {
            config: $config,
        }

        impl $(<const $n: usize>)? $layer $(<$n>)? {
            /// The layer over an input of this shape, the batch first. It has no variables; messages name it by the
            /// prefix of `vb`.
            ///
            /// # Errors
            /// If an argument makes no sense, or the input does not fit.
            pub fn new(
                input: &[Option<usize>],
                config: $config,
                vb: candle_nn::VarBuilder,
            ) -> candle_core::Result<Self> {
                use $crate::layers::layer::Config;
                if let Err(what) = config.check().and_then(|()| config.place(&[input.to_vec()]).map(|_| ())) {
                    candle_core::bail!("layer {}: {what}", vb.prefix())
                }
                Ok(Self { config })
            }

            /// The configuration.
            pub fn config(&self) -> &$config {
                &self.config
            }
        }
    };
    ($(#[$doc:meta])* $layer:ident $(<const $n:ident: usize>)?, $config:ty, strand) => {
        $crate::layers::layer::plain_layer! { @face $(#[$doc])* $layer $(<const $n: usize>)?, $config }

        impl $(<const $n: usize>)? candle_core::Module for $layer $(<$n>)? {
            fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                Ok(self.config.forward(&xs.clone().into())?.tensor().clone())
            }
        }

        impl $(<const $n: usize>)? $crate::layers::layer::Layer for $layer $(<$n>)? {
            fn run(
                &self,
                inputs: &[$crate::layers::flow::Flow],
                _: $crate::layers::layer::Pass,
            ) -> candle_core::Result<Vec<$crate::layers::flow::Flow>> {
                let xs = $crate::layers::flow::first(inputs)?.strand()?;
                Ok(vec![self.config.forward(&xs)?.into()])
            }
        }
    };
    ($(#[$doc:meta])* $layer:ident $(<const $n:ident: usize>)?, $config:ty, any) => {
        $crate::layers::layer::plain_layer! { @face $(#[$doc])* $layer $(<const $n: usize>)?, $config }

        impl $(<const $n: usize>)? candle_core::Module for $layer $(<$n>)? {
            fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                self.config.forward(xs)
            }
        }

        impl $(<const $n: usize>)? $crate::layers::layer::Layer for $layer $(<$n>)? {
            fn run(
                &self,
                inputs: &[$crate::layers::flow::Flow],
                _: $crate::layers::layer::Pass,
            ) -> candle_core::Result<Vec<$crate::layers::flow::Flow>> {
                let xs = $crate::layers::flow::first(inputs)?.values.any()?;
                Ok(vec![self.config.over(&xs)?.into()])
            }
        }
    };
    ($(#[$doc:meta])* $layer:ident $(<const $n:ident: usize>)?, $config:ty, $values:ident) => {
        $crate::layers::layer::plain_layer! { @face $(#[$doc])* $layer $(<const $n: usize>)?, $config }

        impl $(<const $n: usize>)? candle_core::Module for $layer $(<$n>)? {
            fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                self.config.forward(xs)
            }
        }

        impl $(<const $n: usize>)? $crate::layers::layer::Layer for $layer $(<$n>)? {
            fn run(
                &self,
                inputs: &[$crate::layers::flow::Flow],
                _: $crate::layers::layer::Pass,
            ) -> candle_core::Result<Vec<$crate::layers::flow::Flow>> {
                let xs = $crate::layers::flow::first(inputs)?.values.$values()?;
                Ok(vec![self.config.forward(&xs)?.into()])
            }
        }
    };
}
pub(crate) use plain_layer;
