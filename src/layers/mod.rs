//! Keras's layers as Candle modules. A layer is one file: its arguments (a `Config` with Keras's names and defaults), what
//! follows from them (shapes, variables, what becomes of masks), and the layer itself.
//!
//! All are built in the same way, `Layer::new(input, config, vb)`: `input` is the number of features or channels where
//! that is all a layer needs to know, else the input's shape with the batch first (`None` where an axis is open).
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
//! Layers that behave differently in training are [`ModuleT`](candle_nn::ModuleT)s, as candle-nn's `Dropout` and
//! `BatchNorm` are, and no [`Module`](candle_core::Module)s: Candle makes every `Module` a `ModuleT` that ignores
//! `train`, so that `forward_t(&xs, true)` would silently draw no dropout. Their own `forward` is that of inference.

mod activation;
mod activations;
mod attention;
mod conv;
mod core;
mod cpu;
mod dropout_mask;
mod flow;
mod graph;
mod initializer;
mod layer;
mod masks;
mod merge;
mod norm;
mod registry;
mod regularization;
mod rnn;
mod shape;
mod table;
mod token_squares;
mod wrap;

pub use activation::Activation;
pub use activations::*;
pub use attention::*;
pub use conv::{
    AveragePooling, AveragePoolingConfig, Conv, ConvConfig, Cropping, CroppingConfig, GlobalAveragePooling,
    GlobalAveragePoolingConfig, GlobalMaxPooling, GlobalMaxPoolingConfig, MaxPooling, MaxPoolingConfig,
    Padding, Sizes, UpSampling, UpSamplingConfig, ZeroPadding, ZeroPaddingConfig,
};
pub use core::*;
pub use flow::{Flow, Values};
pub use graph::GraphConfig;
pub(crate) use graph::{Graph, PlacedLayer, Placement};
pub use initializer::{Initializer, Variable};
pub use layer::{Config, Layer, Mode, Named, Pass, Placed, TensorRef, TimeLoop};
pub use masks::{MaskJoin, MaskRule};
pub use merge::*;
pub use norm::*;
pub use registry::{BidirectionalConfig, Class, LayerConfig, ModelConfig, TimeDistributedConfig};
pub use regularization::*;
pub(crate) use rnn::swap_first_gates;
pub use rnn::{
    Call, CellConfig, ConvLstm, ConvLstmConfig, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig, RnnOutput,
    SimpleRnn, SimpleRnnConfig, SimpleRnnState,
};
pub(crate) use shape::show;
pub use shape::{Axes, Checked, Shape};
pub use table::{Rows, Table};
pub(crate) use token_squares::TokenSquares;
pub use wrap::{Bidirectional, MergeMode, TimeDistributed};
