//! The classes of layers: what each makes of shapes, and which variables it has.

use super::config::{ModelConfig, Shape};
use super::wrappers::{BidirectionalConfig, RnnConfig, TimeDistributedConfig};
use crate::nn::{
    ActivationConfig, BatchNormalizationConfig, ConcatenateConfig, ConvConfig, ConvLstmConfig,
    CroppingConfig, DenseConfig, DotConfig, DropoutConfig, EluConfig, EmbeddingConfig, FlattenConfig,
    GaussianNoiseConfig, GlobalPoolingConfig, GruConfig, LayerNormalizationConfig, LeakyReluConfig,
    LstmConfig, MaskJoin, MaskingConfig, Merge, MergeConfig, PReluConfig, PermuteConfig, PoolingConfig,
    ReluConfig, RepeatVectorConfig, RescalingConfig, ReshapeConfig, SimpleRnnConfig, SoftmaxConfig,
    UpSamplingConfig, Variable, ZeroPaddingConfig, show,
};
use serde::{Deserialize, Serialize};

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident($config:ty),)*) => {
        /// The classes of layers, by Keras's names.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "class_name", content = "config")]
        #[non_exhaustive]
        pub enum Class { $($(#[$doc])* $name($config),)* }

        impl Class {
            /// Every class that a model may hold, by Keras's name.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Keras's name for the class.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }
        }
    };
}

classes! {
    /// The input's shape.
    InputLayer(InputConfig),
    /// Ids to vectors.
    Embedding(EmbeddingConfig),
    /// Elman's recurrent layer.
    SimpleRNN(SimpleRnnConfig),
    /// Long short-term memory.
    LSTM(LstmConfig),
    /// Gated recurrent unit.
    GRU(GruConfig),
    /// A recurrent layer made of cells.
    RNN(RnnConfig),
    /// An LSTM over frames, its products convolutions.
    ConvLSTM2D(ConvLstmConfig),
    /// A recurrent layer in both directions.
    Bidirectional(BidirectionalConfig),
    /// A layer applied to each step.
    TimeDistributed(TimeDistributedConfig),
    /// Dropout of single elements.
    Dropout(DropoutConfig),
    /// Dropout of whole features of a sequence.
    SpatialDropout1D(DropoutConfig),
    /// Normal noise in training.
    GaussianNoise(GaussianNoiseConfig),
    /// A fully connected layer.
    Dense(DenseConfig),
    /// Steps to be skipped, by their value.
    Masking(MaskingConfig),
    /// Normalisation by the batch's or the moving statistics.
    BatchNormalization(BatchNormalizationConfig),
    /// Normalisation of each sample.
    LayerNormalization(LayerNormalizationConfig),
    /// All axes after the batch as one.
    Flatten(FlattenConfig),
    /// Other axes for the same numbers.
    Reshape(ReshapeConfig),
    /// Axes in another order.
    Permute(PermuteConfig),
    /// A vector as a sequence.
    RepeatVector(RepeatVectorConfig),
    /// An activation.
    Activation(ActivationConfig),
    /// Softmax.
    Softmax(SoftmaxConfig),
    /// A slope below 0.
    LeakyReLU(LeakyReluConfig),
    /// Rectifier.
    ReLU(ReluConfig),
    /// Exponential below 0.
    ELU(EluConfig),
    /// A learned slope below 0.
    PReLU(PReluConfig),
    /// Convolution over time.
    Conv1D(ConvConfig<1>),
    /// Convolution over rows and columns.
    Conv2D(ConvConfig<2>),
    /// Convolution over frames, rows and columns.
    Conv3D(ConvConfig<3>),
    /// Zeros around, over 1 axis.
    ZeroPadding1D(ZeroPaddingConfig<1>),
    /// Zeros around, over 2 axes.
    ZeroPadding2D(ZeroPaddingConfig<2>),
    /// Zeros around, over 3 axes.
    ZeroPadding3D(ZeroPaddingConfig<3>),
    /// The ends cut off, over 1 axis.
    Cropping1D(CroppingConfig<1>),
    /// The ends cut off, over 2 axes.
    Cropping2D(CroppingConfig<2>),
    /// The ends cut off, over 3 axes.
    Cropping3D(CroppingConfig<3>),
    /// Each step repeated, over 1 axis.
    UpSampling1D(UpSamplingConfig<1>),
    /// Each step repeated, over 2 axes.
    UpSampling2D(UpSamplingConfig<2>),
    /// Each step repeated, over 3 axes.
    UpSampling3D(UpSamplingConfig<3>),
    /// The largest of each window of 1 axis.
    MaxPooling1D(PoolingConfig<1>),
    /// The largest of each window of 2 axes.
    MaxPooling2D(PoolingConfig<2>),
    /// The largest of each window of 3 axes.
    MaxPooling3D(PoolingConfig<3>),
    /// The mean of each window of 1 axis.
    AveragePooling1D(PoolingConfig<1>),
    /// The mean of each window of 2 axes.
    AveragePooling2D(PoolingConfig<2>),
    /// The mean of each window of 3 axes.
    AveragePooling3D(PoolingConfig<3>),
    /// The largest of each channel over 1 axis.
    GlobalMaxPooling1D(GlobalPoolingConfig<1>),
    /// The largest of each channel over 2 axes.
    GlobalMaxPooling2D(GlobalPoolingConfig<2>),
    /// The mean of each channel over 1 axis, of the steps that a mask leaves.
    GlobalAveragePooling1D(GlobalPoolingConfig<1>),
    /// The mean of each channel over 2 axes.
    GlobalAveragePooling2D(GlobalPoolingConfig<2>),
    /// The largest of each channel over 3 axes.
    GlobalMaxPooling3D(GlobalPoolingConfig<3>),
    /// The mean of each channel over 3 axes.
    GlobalAveragePooling3D(GlobalPoolingConfig<3>),
    /// A factor and a sum for all numbers.
    Rescaling(RescalingConfig),
    /// Sum of the inputs.
    Add(MergeConfig),
    /// The first input less the second.
    Subtract(MergeConfig),
    /// Product of the inputs.
    Multiply(MergeConfig),
    /// Mean of the inputs.
    Average(MergeConfig),
    /// The largest of the inputs, element by element.
    Maximum(MergeConfig),
    /// The smallest of the inputs, element by element.
    Minimum(MergeConfig),
    /// The inputs after each other.
    Concatenate(ConcatenateConfig),
    /// Products of two inputs, summed along an axis.
    Dot(DotConfig),
    /// A model as a layer, its layers in a row.
    Sequential(Box<ModelConfig>),
    /// A model as a layer, its layers in a graph.
    Functional(Box<ModelConfig>),
}

/// Keras's `InputLayer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// The input's shape with the batch: `[null, 100]` for sequences of 100 ids.
    pub batch_shape: Shape,
    /// `int32` for ids, `float32` for features.
    #[serde(default = "float32")]
    pub dtype: String,
}

fn float32() -> String {
    "float32".into()
}

/// What goes wrong in a layer, to be said with its name.
pub(super) type Checked<T> = std::result::Result<T, String>;

/// A variable with its path within the layer: `kernel`, `forward_layer.kernel`.
pub(super) type PathVariable = (String, Variable);

/// What recurrent layers have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recurrence {
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    pub stateful: bool,
    /// States that go in and come out.
    pub states: usize,
    /// See [`LayerConfig::mask_with_states`](super::LayerConfig::mask_with_states).
    pub mask_with_states: bool,
}

/// `$body` for the configuration of a recurrent layer, whichever it is.
macro_rules! recurrent {
    ($class:expr, $config:ident => $body:expr) => {
        match $class {
            Class::SimpleRNN($config) => Some($body),
            Class::LSTM($config) => Some($body),
            Class::GRU($config) => Some($body),
            Class::RNN($config) => Some($body),
            Class::ConvLSTM2D($config) => Some($body),
            _ => None,
        }
    };
}

impl Class {
    /// What recurrent layers have in common, if it is one.
    pub(super) fn recurrence(&self) -> Option<Recurrence> {
        let states = match self {
            Self::SimpleRNN(_) | Self::GRU(_) => 1,
            Self::RNN(config) => config.cell.state_sizes().len(),
            _ => 2,
        };
        recurrent!(self, config => Recurrence {
            return_sequences: config.return_sequences,
            return_state: config.return_state,
            go_backwards: config.go_backwards,
            stateful: config.stateful,
            states,
            mask_with_states: true,
        })
    }

    /// A recurrent layer as one direction of a Bidirectional: Keras gives 0 at masked steps of sequences there.
    pub(super) fn direction(&self, turn: bool) -> Self {
        let mut class = self.clone();
        recurrent!(&mut class, config => {
            config.zero_output_for_mask = config.return_sequences;
            config.go_backwards ^= turn;
        });
        class
    }

    /// Whether the layer carries its state from batch to batch.
    pub fn is_stateful(&self) -> bool {
        match self {
            Self::Bidirectional(config) => {
                config.layer.class.is_stateful()
                    || config.backward_layer.as_ref().is_some_and(|layer| layer.class.is_stateful())
            }
            Self::TimeDistributed(config) => config.layer.class.is_stateful(),
            Self::Sequential(model) | Self::Functional(model) => model.is_stateful(),
            _ => self.recurrence().is_some_and(|recurrence| recurrence.stateful),
        }
    }

    /// How to join element by element, if it does.
    pub(super) fn merge(&self) -> Option<(Merge, MaskJoin)> {
        Some(match self {
            Self::Add(config) => (Merge::Add, config.mask_join),
            Self::Subtract(config) => (Merge::Subtract, config.mask_join),
            Self::Multiply(config) => (Merge::Multiply, config.mask_join),
            Self::Average(config) => (Merge::Average, config.mask_join),
            Self::Maximum(config) => (Merge::Maximum, config.mask_join),
            Self::Minimum(config) => (Merge::Minimum, config.mask_join),
            _ => return None,
        })
    }

    /// The arguments by themselves.
    pub(super) fn check(&self) -> Checked<()> {
        match self {
            Self::InputLayer(input) => match input.batch_shape.as_slice() {
                [] | [_] => Err("batch_shape needs the batch and at least one more axis".into()),
                [_, axes @ ..] if axes.contains(&Some(0)) => Err("batch_shape has an axis of 0".into()),
                _ => Ok(()),
            },
            Self::Embedding(config) => config.check(),
            Self::SimpleRNN(config) => config.check(),
            Self::LSTM(config) => config.check(),
            Self::GRU(config) => config.check(),
            Self::RNN(config) => config.cell.check(),
            Self::ConvLSTM2D(config) => config.check(),
            Self::Bidirectional(config) => config.check(),
            Self::TimeDistributed(config) => match &config.layer.class {
                Self::InputLayer(_) => Err("an InputLayer cannot be distributed over time".into()),
                class => class.check(),
            },
            Self::Dropout(config) | Self::SpatialDropout1D(config) => config.check(),
            Self::GaussianNoise(config) => config.check(),
            Self::Dense(config) => config.check(),
            Self::Reshape(config) => config.check(),
            Self::Permute(config) => config.check(),
            Self::RepeatVector(config) => config.check(),
            Self::ReLU(config) => config.check(),
            Self::Conv1D(config) => config.check(),
            Self::Conv2D(config) => config.check(),
            Self::Conv3D(config) => config.check(),
            Self::ZeroPadding1D(config) => config.check(),
            Self::ZeroPadding2D(config) => config.check(),
            Self::ZeroPadding3D(config) => config.check(),
            Self::Cropping1D(config) => config.check(),
            Self::Cropping2D(config) => config.check(),
            Self::Cropping3D(config) => config.check(),
            Self::UpSampling1D(config) => config.check(),
            Self::UpSampling2D(config) => config.check(),
            Self::UpSampling3D(config) => config.check(),
            Self::MaxPooling1D(config) | Self::AveragePooling1D(config) => config.check(),
            Self::MaxPooling2D(config) | Self::AveragePooling2D(config) => config.check(),
            Self::MaxPooling3D(config) | Self::AveragePooling3D(config) => config.check(),
            Self::Dot(config) => config.check(),
            _ => Ok(()),
        }
    }

    /// The variables over inputs of these shapes, in Keras's order: trained ones first.
    pub(super) fn variables(&self, inputs: &[Shape]) -> Checked<Vec<PathVariable>> {
        let plain = |variables: Vec<Variable>| {
            variables.into_iter().map(|variable| (variable.name.to_string(), variable)).collect()
        };
        let within = |role: &str, variables: Vec<PathVariable>| {
            variables.into_iter().map(|(path, variable)| (format!("{role}.{path}"), variable)).collect()
        };
        let mut variables: Vec<PathVariable> = match self {
            Self::Embedding(config) => plain(config.variables()),
            Self::SimpleRNN(config) => plain(config.variables(features(inputs)?)),
            Self::LSTM(config) => plain(config.variables(features(inputs)?)),
            Self::GRU(config) => plain(config.variables(features(inputs)?)),
            Self::RNN(config) => within("cell", config.cell.variables(features(inputs)?)),
            Self::ConvLSTM2D(config) => plain(config.variables(first(inputs)?)?),
            Self::Dense(config) => plain(config.variables(features(inputs)?)),
            Self::BatchNormalization(config) => plain(config.variables(first(inputs)?)?),
            Self::LayerNormalization(config) => plain(config.variables(first(inputs)?)?),
            Self::PReLU(config) => plain(config.variables(first(inputs)?)?),
            Self::Conv1D(config) => plain(config.variables(first(inputs)?)?),
            Self::Conv2D(config) => plain(config.variables(first(inputs)?)?),
            Self::Conv3D(config) => plain(config.variables(first(inputs)?)?),
            Self::Bidirectional(config) => {
                let mut variables: Vec<PathVariable> =
                    within("forward_layer", config.layer.class.variables(inputs)?);
                variables.extend::<Vec<PathVariable>>(within(
                    "backward_layer",
                    config.backward().class.variables(inputs)?,
                ));
                variables
            }
            Self::TimeDistributed(config) => {
                within("layer", config.layer.class.variables(&[config.step(first(inputs)?)?])?)
            }
            Self::Sequential(model) | Self::Functional(model) => {
                let placement = model.place_on(Some(inputs)).map_err(|e| e.to_string())?;
                let layers = placement.layers.into_iter();
                layers.flat_map(|placed| within(&placed.layer.name, placed.variables)).collect()
            }
            _ => vec![],
        };
        // A stable sort: false before true.
        variables.sort_by_key(|(_, variable)| !variable.trainable);
        Ok(variables)
    }

    /// The outputs' shapes for inputs of these shapes.
    pub(super) fn output_shapes(&self, inputs: &[Shape]) -> Checked<Vec<Shape>> {
        if let Some((merge, _)) = self.merge() {
            return Ok(vec![merge.output_shape(inputs)?]);
        }
        match self {
            Self::InputLayer(config) => return Ok(vec![config.batch_shape.clone()]),
            Self::Concatenate(config) => return Ok(vec![config.output_shape(inputs)?]),
            Self::Dot(config) => return Ok(vec![config.output_shape(inputs)?]),
            Self::Bidirectional(config) => return config.output_shapes(inputs),
            Self::Sequential(model) | Self::Functional(model) => {
                return model
                    .place_on(Some(inputs))
                    .map(|placed| placed.output_shapes())
                    .map_err(|e| e.to_string());
            }
            _ => {}
        }
        let input = first(inputs)?;
        if let Some(recurrence) = self.recurrence() {
            return self.recurrent_shapes(input, inputs.len() - 1, recurrence);
        }
        if inputs.len() > 1 {
            return Err(format!("takes one input, given {}", inputs.len()));
        }
        Ok(vec![match self {
            Self::Embedding(config) => {
                let mut shape = input.clone();
                shape.push(Some(config.output_dim));
                shape
            }
            Self::TimeDistributed(config) => {
                let outputs = config.layer.class.output_shapes(&[config.step(input)?])?;
                let [output] = outputs.as_slice() else {
                    return Err("its layer must give one tensor".into());
                };
                let mut shape = output.clone();
                shape.insert(1.min(shape.len()), input[1]);
                shape
            }
            Self::Dense(config) => {
                let mut shape = input.clone();
                if let Some(last) = shape.last_mut() {
                    *last = Some(config.units);
                }
                shape
            }
            Self::Flatten(config) => config.output_shape(input)?,
            Self::Reshape(config) => config.output_shape(input)?,
            Self::Permute(config) => config.output_shape(input)?,
            Self::RepeatVector(config) => config.output_shape(input)?,
            Self::Conv1D(config) => config.output_shape(input)?,
            Self::Conv2D(config) => config.output_shape(input)?,
            Self::Conv3D(config) => config.output_shape(input)?,
            Self::ZeroPadding1D(config) => config.output_shape(input)?,
            Self::ZeroPadding2D(config) => config.output_shape(input)?,
            Self::ZeroPadding3D(config) => config.output_shape(input)?,
            Self::Cropping1D(config) => config.output_shape(input)?,
            Self::Cropping2D(config) => config.output_shape(input)?,
            Self::Cropping3D(config) => config.output_shape(input)?,
            Self::UpSampling1D(config) => config.output_shape(input)?,
            Self::UpSampling2D(config) => config.output_shape(input)?,
            Self::UpSampling3D(config) => config.output_shape(input)?,
            Self::MaxPooling1D(config) | Self::AveragePooling1D(config) => config.output_shape(input)?,
            Self::MaxPooling2D(config) | Self::AveragePooling2D(config) => config.output_shape(input)?,
            Self::MaxPooling3D(config) | Self::AveragePooling3D(config) => config.output_shape(input)?,
            Self::GlobalMaxPooling1D(config) | Self::GlobalAveragePooling1D(config) => {
                config.output_shape(input)?
            }
            Self::GlobalMaxPooling2D(config) | Self::GlobalAveragePooling2D(config) => {
                config.output_shape(input)?
            }
            Self::GlobalMaxPooling3D(config) | Self::GlobalAveragePooling3D(config) => {
                config.output_shape(input)?
            }
            Self::SpatialDropout1D(_) if input.len() != 3 => {
                return Err(format!(
                    "needs an input of 3 axes (batch, time, features), given {}",
                    show(input)
                ));
            }
            Self::Softmax(config) => config.axis.indices(input.len()).map(|_| input.clone())?,
            _ => input.clone(),
        }])
    }

    /// A recurrent layer's output and, if it is to give them, its states.
    fn recurrent_shapes(&self, input: &Shape, states: usize, recurrence: Recurrence) -> Checked<Vec<Shape>> {
        if states != 0 && states != recurrence.states {
            return Err(format!("takes its input and {} states, given {states} states", recurrence.states));
        }
        let state_shapes: Vec<Shape> = match self {
            Self::ConvLSTM2D(config) => vec![config.state_shape(input)?; 2],
            _ => {
                let [batch, _, _] = **input else {
                    return Err(format!(
                        "needs an input of 3 axes (batch, time, features), given {}; does the layer before it lack return_sequences?",
                        show(input)
                    ));
                };
                let sizes = match self {
                    Self::SimpleRNN(config) => vec![config.units],
                    Self::LSTM(config) => vec![config.units; 2],
                    Self::GRU(config) => vec![config.units],
                    Self::RNN(config) => config.cell.state_sizes(),
                    _ => vec![],
                };
                sizes.into_iter().map(|size| vec![batch, Some(size)]).collect()
            }
        };
        let mut output = match self {
            Self::RNN(config) => vec![input[0], Some(config.cell.output_size())],
            _ => state_shapes.first().cloned().unwrap_or_default(),
        };
        if recurrence.return_sequences {
            output.insert(1, input[1]);
        }
        let mut shapes = vec![output];
        if recurrence.return_state {
            shapes.extend(state_shapes);
        }
        Ok(shapes)
    }
}

/// The first input.
pub(super) fn first(inputs: &[Shape]) -> Checked<&Shape> {
    inputs.first().ok_or_else(|| "needs an input".into())
}

/// The last axis of the first input.
pub(super) fn features(inputs: &[Shape]) -> Checked<usize> {
    let input = first(inputs)?;
    input
        .last()
        .copied()
        .flatten()
        .filter(|&features| features > 0)
        .ok_or_else(|| format!("the last axis of its input {} must be known", show(input)))
}
