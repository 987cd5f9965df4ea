//! Every class of layers by Keras's name, a line each; and a layer of a model as data.

use super::activations::*;
use super::attention::*;
use super::conv::*;
use super::core::*;
use super::graph::GraphConfig;
use super::layer::{Config, TensorRef};
use super::merge::*;
use super::named::Named;
use super::norm::*;
use super::ops::OperationConfig;
use super::preprocessing::*;
use super::regularization::*;
use super::rnn::*;
use super::rules::TrainingRules;
use super::wrap;
use crate::{Error, Result, json};
use serde::{Deserialize, Serialize};

/// A model as data.
pub type ModelConfig = GraphConfig<LayerConfig>;
/// Keras's `Bidirectional`.
pub type BidirectionalConfig = wrap::BidirectionalConfig<LayerConfig>;
/// Keras's `TimeDistributed`.
pub type TimeDistributedConfig = wrap::TimeDistributedConfig<LayerConfig>;

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

            /// The arguments, whichever the class.
            pub fn config(&self) -> &dyn Config {
                match self { $(Self::$name(config) => config,)* }
            }

            fn config_mut(&mut self) -> &mut dyn Config {
                match self { $(Self::$name(config) => config,)* }
            }
        }
    };
}

classes! {
    /// The input's shape.
    InputLayer(InputLayerConfig),
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
    SpatialDropout1D(SpatialDropout1dConfig),
    /// The output's size added to the loss.
    ActivityRegularization(ActivityRegularizationConfig),
    /// Dropout of whole features of a picture.
    SpatialDropout2D(SpatialDropoutConfig<2>),
    /// Dropout of whole features of a volume or of frames.
    SpatialDropout3D(SpatialDropoutConfig<3>),
    /// Normal noise in training.
    GaussianNoise(GaussianNoiseConfig),
    /// Normal factors in training.
    GaussianDropout(GaussianDropoutConfig),
    /// Dropout that keeps mean and variance.
    AlphaDropout(AlphaDropoutConfig),
    /// A fully connected layer.
    Dense(DenseConfig),
    /// A dense layer whose axes an equation names.
    EinsumDense(EinsumDenseConfig),
    /// Steps to be skipped, by their value.
    Masking(MaskingConfig),
    /// Normalisation by the batch's or the moving statistics.
    BatchNormalization(BatchNormalizationConfig),
    /// Normalisation of each sample.
    LayerNormalization(LayerNormalizationConfig),
    /// Normalisation of groups of channels of each sample.
    GroupNormalization(GroupNormalizationConfig),
    /// Scaling to length 1.
    UnitNormalization(UnitNormalizationConfig),
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
    /// Convolution of each channel by itself, over time.
    DepthwiseConv1D(DepthwiseConvConfig<1>),
    /// Convolution of each channel by itself, over rows and columns.
    DepthwiseConv2D(DepthwiseConvConfig<2>),
    /// Convolution of each channel by itself and then of all channels, over time.
    SeparableConv1D(SeparableConvConfig<1>),
    /// Convolution of each channel by itself and then of all channels, over rows and columns.
    SeparableConv2D(SeparableConvConfig<2>),
    /// Convolution the other way, over time.
    Conv1DTranspose(ConvTransposeConfig<1>),
    /// Convolution the other way, over rows and columns.
    Conv2DTranspose(ConvTransposeConfig<2>),
    /// Convolution the other way, over frames, rows and columns.
    Conv3DTranspose(ConvTransposeConfig<3>),
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
    MaxPooling1D(MaxPoolingConfig<1>),
    /// The largest of each window of 2 axes.
    MaxPooling2D(MaxPoolingConfig<2>),
    /// The largest of each window of 3 axes.
    MaxPooling3D(MaxPoolingConfig<3>),
    /// The mean of each window of 1 axis.
    AveragePooling1D(AveragePoolingConfig<1>),
    /// The mean of each window of 2 axes.
    AveragePooling2D(AveragePoolingConfig<2>),
    /// The mean of each window of 3 axes.
    AveragePooling3D(AveragePoolingConfig<3>),
    /// The largest of each channel over 1 axis.
    GlobalMaxPooling1D(GlobalMaxPoolingConfig<1>),
    /// The largest of each channel over 2 axes.
    GlobalMaxPooling2D(GlobalMaxPoolingConfig<2>),
    /// The mean of each channel over 1 axis, of the steps that a mask leaves.
    GlobalAveragePooling1D(GlobalAveragePoolingConfig<1>),
    /// The mean of each channel over 2 axes.
    GlobalAveragePooling2D(GlobalAveragePoolingConfig<2>),
    /// The largest of each channel over 3 axes.
    GlobalMaxPooling3D(GlobalMaxPoolingConfig<3>),
    /// The mean of each channel over 3 axes.
    GlobalAveragePooling3D(GlobalAveragePoolingConfig<3>),
    /// A factor and a sum for all numbers.
    Rescaling(RescalingConfig),
    /// Texts to ids, or to counts of their words.
    TextVectorization(TextVectorizationConfig),
    /// Texts to ids, one by one.
    StringLookup(StringLookupConfig),
    /// Whole numbers to ids.
    IntegerLookup(IntegerLookupConfig),
    /// Texts or whole numbers to bins, by their hash.
    Hashing(HashingConfig),
    /// Numbers on a common scale.
    Normalization(NormalizationConfig),
    /// Numbers to bins.
    Discretization(DiscretizationConfig),
    /// Ids of categories to vectors.
    CategoryEncoding(CategoryEncodingConfig),
    /// Sum of the inputs.
    Add(AddConfig),
    /// The first input less the second.
    Subtract(SubtractConfig),
    /// Product of the inputs.
    Multiply(MultiplyConfig),
    /// Mean of the inputs.
    Average(AverageConfig),
    /// The largest of the inputs, element by element.
    Maximum(MaximumConfig),
    /// The smallest of the inputs, element by element.
    Minimum(MinimumConfig),
    /// The inputs after each other.
    Concatenate(ConcatenateConfig),
    /// Products of two inputs, summed along an axis.
    Dot(DotConfig),
    /// Means of a value's steps, weighted by how well a query fits their keys.
    Attention(AttentionConfig),
    /// The same with scores of Bahdanau's kind.
    AdditiveAttention(AdditiveAttentionConfig),
    /// Attention of several heads.
    MultiHeadAttention(MultiHeadAttentionConfig),
    /// Attention of several heads that share keys and values in groups.
    GroupedQueryAttention(GroupedQueryAttentionConfig),
    /// An operation of `keras.ops`.
    Operation(OperationConfig),
    /// A model as a layer, its layers in a row.
    Sequential(ModelConfig),
    /// A model as a layer, its layers in a graph.
    Functional(ModelConfig),
}

/// A layer of a model: its name, its class, and the class's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawLayer", into = "RawLayer")]
pub struct LayerConfig {
    /// The layer's name; its variables are `NAME.kernel` and so on.
    pub name: String,
    /// The class and its arguments.
    pub class: Class,
    /// In a graph, what each call of the layer is given: its inputs, then a recurrent layer's initial states.
    pub inbound_nodes: Vec<Vec<TensorRef>>,
    /// Whether a recurrent layer heeds its input's mask when it is given initial states. True where left out, and in
    /// Keras 1 and 2. Keras 3 hands the mask only to a call on one tensor (`keras/src/layers/layer.py`): with initial
    /// states the layer walks every step, yet the mask goes on to the next layer.
    pub mask_with_states: bool,
    /// Whether its variables are trained, their regularisers and constraints. In JSON they stand among the arguments, by
    /// Keras's names: `trainable`, `kernel_regularizer`.
    pub rules: TrainingRules,
}

/// A layer as it stands in JSON: the name is among the arguments.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayer {
    class_name: String,
    config: serde_json::Map<String, serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inbound_nodes: Vec<Vec<TensorRef>>,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    mask_with_states: bool,
}

fn yes() -> bool {
    true
}

impl TryFrom<RawLayer> for LayerConfig {
    type Error = Error;

    fn try_from(raw: RawLayer) -> Result<Self> {
        let RawLayer { class_name, mut config, inbound_nodes, mask_with_states } = raw;
        let name = match config.shift_remove("name") {
            Some(serde_json::Value::String(name)) if !name.is_empty() => name,
            Some(other) => {
                return Err(Error::layer(class_name, format!("`name` must be a text, not {other}")));
            }
            None => return Err(Error::layer(class_name, "its `config` needs a `name`")),
        };
        let rules = TrainingRules::take(&mut config)
            .map_err(|what| Error::layer(name.as_str(), format!("{class_name}: {what}")))?;
        if !Class::NAMES.contains(&class_name.as_str()) {
            let hint = crate::error::nearest(&class_name, Class::NAMES.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("known are {}", Class::NAMES.join(", ")));
            return Err(Error::layer(name, format!("class `{class_name}` is unknown; {hint}")));
        }
        if matches!(class_name.as_str(), "Sequential" | "Functional") {
            // A model has its name among its own fields.
            config.insert("name".into(), name.as_str().into());
        }
        let tagged =
            serde_json::json!({ "class_name": class_name, "config": serde_json::Value::Object(config) });
        let class = json::from_value(&tagged).map_err(|wrong| {
            Error::layer(name.as_str(), format!("{class_name}: {}", wrong.within("config").named()))
        })?;
        let is_of_heads = matches!(class, Class::MultiHeadAttention(_) | Class::GroupedQueryAttention(_));
        if is_of_heads && rules.activity_regularizer.is_some() {
            let what = "`activity_regularizer` of a layer of heads is Keras's for its projections, which are not here; put \
                        an ActivityRegularization after it";
            return Err(Error::layer(name, what));
        }
        Ok(Self { name, class, inbound_nodes, mask_with_states, rules })
    }
}

impl From<LayerConfig> for RawLayer {
    fn from(layer: LayerConfig) -> Self {
        let mut config = serde_json::Map::new();
        config.insert("name".into(), layer.name.into());
        // A class serialises to its name and an object of its arguments: nothing in it can fail.
        let tagged = serde_json::to_value(&layer.class).unwrap_or_default();
        if let Some(arguments) = tagged.get("config").and_then(|value| value.as_object()) {
            let others = arguments.iter().filter(|(key, _)| *key != "name");
            config.extend(others.map(|(key, value)| (key.clone(), value.clone())));
        }
        layer.rules.put_into(&mut config);
        Self {
            class_name: layer.class.name().into(),
            config,
            inbound_nodes: layer.inbound_nodes,
            mask_with_states: layer.mask_with_states,
        }
    }
}

impl LayerConfig {
    /// A layer of a model whose layers run one after another.
    pub fn new(name: impl Into<String>, class: Class) -> Self {
        Self {
            name: name.into(),
            class,
            inbound_nodes: vec![],
            mask_with_states: true,
            rules: TrainingRules::default(),
        }
    }
}

impl Named for LayerConfig {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_name(&self) -> &'static str {
        self.class.name()
    }

    fn config(&self) -> &dyn Config {
        self.class.config()
    }

    fn config_mut(&mut self) -> &mut dyn Config {
        self.class.config_mut()
    }

    fn inbound_nodes(&self) -> &[Vec<TensorRef>] {
        &self.inbound_nodes
    }

    fn mask_with_states(&self) -> bool {
        self.mask_with_states
    }

    fn rules(&self) -> &TrainingRules {
        &self.rules
    }
}
