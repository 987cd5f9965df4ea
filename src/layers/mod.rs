//! Keras's layers as Candle modules.
//!
//! A layer is one file: its arguments (a `Config` with Keras's names and defaults), what follows from them (shapes,
//! variables, masks), and the layer itself.
//!
//! | kind | layers |
//! |---|---|
//! | recurrent | [`SimpleRnn`], [`Lstm`], [`Gru`], [`ConvLstm`], [`Rnn`] (made of cells) |
//! | wrappers | [`Bidirectional`], [`TimeDistributed`] |
//! | core | [`Embedding`], [`Dense`], [`EinsumDense`], [`Masking`], [`Flatten`], [`Reshape`], [`Permute`], [`RepeatVector`], [`Rescaling`] |
//! | attention | [`Attention`], [`AdditiveAttention`], [`MultiHeadAttention`], [`GroupedQueryAttention`] |
//! | before the numbers | [`TextVectorization`], [`StringLookup`], [`IntegerLookup`], [`Hashing`], [`Normalization`], [`Discretization`], [`CategoryEncoding`] |
//! | convolution, pooling | [`Conv`], [`ConvTranspose`], [`DepthwiseConv`], [`SeparableConv`], [`MaxPooling`], [`AveragePooling`], [`GlobalMaxPooling`], [`GlobalAveragePooling`], [`ZeroPadding`], [`Cropping`], [`UpSampling`] |
//! | normalisation | [`BatchNormalization`], [`LayerNormalization`], [`GroupNormalization`], [`UnitNormalization`] |
//! | regularisation | [`Dropout`], [`SpatialDropout`], [`AlphaDropout`], [`GaussianDropout`], [`GaussianNoise`] |
//! | activation | [`Activation`], [`Softmax`], [`Relu`], [`LeakyRelu`], [`Elu`], [`PRelu`] |
//! | several inputs | [`Add`], [`Subtract`], [`Multiply`], [`Average`], [`Maximum`], [`Minimum`], [`Concatenate`], [`Dot`] |
//! | between layers | [`Operation`], Keras's `keras.ops` |
//!
//! Layers are built by `new(input, config, vb)`. `input` is the number of features or channels where that is enough, else
//! the input's shape with the batch first (`None` for an open axis). Layers that need to know neither, such as
//! [`Embedding`] and [`Dropout`], take `(config, vb)`.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use candle_recurrent::layers::{Lstm, LstmConfig};
//!
//! # fn main() -> candle_core::Result<()> {
//! let variables = VarMap::new();
//! let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
//! let lstm = Lstm::new(16, LstmConfig::new(8), vb.pp("lstm"))?;
//! let xs = Tensor::zeros((2, 100, 16), DType::F32, &Device::Cpu)?;
//! assert_eq!(lstm.forward(&xs)?.dims(), [2, 8]);
//! # Ok(())
//! # }
//! ```
//!
//! Layers that behave differently in training are [`ModuleT`](candle_nn::ModuleT)s and not
//! [`Module`](candle_core::Module)s, like candle-nn's `Dropout` and `BatchNorm`. Candle makes every `Module` a `ModuleT`
//! that ignores `train`, so as a `Module`, `forward_t(&xs, true)` would silently draw no dropout. Of these layers
//! [`Lstm`], [`Gru`], [`SimpleRnn`] and [`Bidirectional`] have a `forward` for inference; that of the others takes the
//! [`Mode`]. [`ConvLstm`], [`Rnn`] and the attention layers have `call`.

mod activation;
mod activations;
mod attention;
mod carried;
mod constraint;
mod conv;
mod core;
mod cpu;
mod dropout_mask;
mod flow;
mod graph;
mod initializer;
mod join;
mod layer;
mod leaves;
mod losses;
mod masks;
mod merge;
mod named;
mod norm;
mod number;
mod ops;
mod padding;
mod pair;
mod preprocessing;
mod product;
mod registry;
mod regularization;
mod regularizer;
mod rnn;
mod rules;
mod shape;
mod squares;
mod strand;
mod table;
mod texts;
mod token_squares;
mod watch;
mod wrap;

pub use activation::Activation;
pub use activations::*;
pub use attention::*;
pub use carried::Carried;
pub use constraint::Constraint;
pub use conv::{
    AveragePooling, AveragePoolingConfig, Conv, ConvConfig, ConvTranspose, ConvTransposeConfig, Cropping,
    CroppingConfig, DepthwiseConv, DepthwiseConvConfig, GlobalAveragePooling, GlobalAveragePoolingConfig,
    GlobalMaxPooling, GlobalMaxPoolingConfig, Interpolation, MaxPooling, MaxPoolingConfig, Padding,
    SeparableConv, SeparableConvConfig, Sizes, UpSampling, UpSamplingConfig, ZeroPadding, ZeroPaddingConfig,
};
pub use core::*;
pub(crate) use cpu::{suits_kernels, with_floats};
pub use flow::{Flow, Values};
pub use graph::GraphConfig;
pub(crate) use graph::{Graph, PlacedLayer, Placement};
pub use initializer::{Initializer, Variable};
pub use layer::{Config, Layer, Mode, Pass, Placed, TensorRef, TimeLoop};
pub use leaves::backward;
pub use losses::Losses;
pub use masks::{MaskJoin, MaskRule};
pub use merge::*;
pub use named::Named;
pub use norm::*;
pub(crate) use number::{non_finite, number_value};
pub(crate) use ops::{Index, Key, Operands, Row, row as operation_row};
pub use ops::{Operation, OperationConfig};
pub use preprocessing::*;
pub use registry::{BidirectionalConfig, Class, LayerConfig, ModelConfig, TimeDistributedConfig};
pub use regularization::*;
pub use regularizer::{OrthogonalMode, Regularizer};
pub(crate) use rnn::swap_first_gates;
pub use rnn::{
    Call, CellConfig, ConvLstm, ConvLstmConfig, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig, RnnOutput,
    SimpleRnn, SimpleRnnConfig, SimpleRnnState,
};
pub use rules::TrainingRules;
pub(crate) use shape::show;
pub use shape::{Axes, Checked, Shape};
pub use table::{Rows, Table};
pub use texts::Texts;
pub(crate) use token_squares::TokenSquares;
pub use watch::{Watch, is_finite};
pub use wrap::{Bidirectional, MergeMode, TimeDistributed};
