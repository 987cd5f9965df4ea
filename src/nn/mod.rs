//! Keras's layers as Candle modules: each one file, a `Config` with Keras's fields and defaults, and a layer built by
//! `new(input_dim, config, vb)`.
//!
//! ```
//! use candle_core::{DType, Device, Module, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use candle_recurrent::nn::{Lstm, LstmConfig};
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

mod activation;
mod activation_layers;
mod borders;
mod conv;
mod conv_lstm;
mod dense;
mod dropout;
mod embedding;
mod gru;
mod init;
mod lstm;
mod masking;
mod merging;
mod noise;
mod normalization;
mod op;
mod pooling;
pub mod random;
mod recurrent;
mod reshape;
mod simple_rnn;
mod sizes;
mod small_product;
mod steps;
#[cfg(test)]
mod tests;

pub use activation::Activation;
pub(crate) use activation_layers::PRelu;
pub use activation_layers::{
    ActivationConfig, EluConfig, LeakyReluConfig, PReluConfig, ReluConfig, RescalingConfig, SoftmaxConfig,
};
pub use borders::{CroppingConfig, UpSamplingConfig, ZeroPaddingConfig};
pub(crate) use conv::Conv;
pub use conv::ConvConfig;
pub(crate) use conv_lstm::ConvLstm;
pub use conv_lstm::ConvLstmConfig;
pub use dense::{Dense, DenseConfig};
pub use dropout::{Dropout, DropoutConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use gru::{Gru, GruConfig};
pub use init::{Initializer, Variable};
pub use lstm::{Lstm, LstmConfig};
pub use masking::MaskingConfig;
pub(crate) use merging::Merge;
pub use merging::{ConcatenateConfig, DotConfig, MaskJoin, MergeConfig};
pub use noise::{GaussianNoise, GaussianNoiseConfig, SpatialDropout1D};
pub(crate) use normalization::{BatchNormalization, LayerNormalization};
pub use normalization::{BatchNormalizationConfig, LayerNormalizationConfig};
pub use pooling::{GlobalPoolingConfig, PoolingConfig};
pub use recurrent::{Call, Output};
pub(crate) use recurrent::{RecurrentLayer, Source};
pub use reshape::{FlattenConfig, PermuteConfig, RepeatVectorConfig, ReshapeConfig};
pub use simple_rnn::{SimpleRnn, SimpleRnnConfig};
pub(crate) use sizes::show;
pub use sizes::{Axes, Padding, Sizes};

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

/// The most units a layer may have; what is beyond is a mistake, and its products would overflow.
const MAX_UNITS: usize = 1 << 24;

fn check_units(units: usize) -> Result<(), String> {
    match units {
        0 => Err("units must be at least 1".into()),
        1..=MAX_UNITS => Ok(()),
        _ => Err(format!("units must be at most {MAX_UNITS}, not {units}")),
    }
}
