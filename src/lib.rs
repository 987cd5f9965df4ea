//! Keras's recurrent layers for Candle: build, train, save and load SimpleRNN, LSTM and GRU models in Rust.
//!
//! Arguments, defaults, variable names, shapes and numbers are those of Keras 3.15. On the CPU a recurrent layer runs its
//! whole sequence, forward and backward, in one hand-written kernel.
//!
//! # A layer
//!
//! A layer takes its variables from a `VarBuilder`. A `VarMap` gets Keras's initial values.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{ModuleT, VarBuilder, VarMap};
//! use candle_recurrent::layers::{Gru, GruConfig};
//!
//! # fn main() -> candle_core::Result<()> {
//! let variables = VarMap::new();
//! let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
//! let gru = Gru::new(16, GruConfig { dropout: 0.3, ..GruConfig::new(8) }, vb.pp("gru"))?;
//! let xs = Tensor::zeros((2, 100, 16), DType::F32, &Device::Cpu)?; // (batch, time, features)
//! assert_eq!(gru.forward(&xs)?.dims(), [2, 8]); // inference
//! assert_eq!(gru.forward_t(&xs, true)?.dims(), [2, 8]); // training, with dropout
//! # Ok(())
//! # }
//! ```
//!
//! # A model
//!
//! A model is data, in Keras's names. A [`Trainer`](train::Trainer) trains its [`Weights`](model::Weights).
//!
//! ```no_run
//! use candle_core::Device;
//! use candle_recurrent::data::{self, Examples, Options, Source};
//! use candle_recurrent::model::Weights;
//! use candle_recurrent::train::{EarlyStopping, FitConfig, Objective, RmsProp, Trainer};
//! use candle_recurrent::zoo;
//!
//! # fn main() -> candle_recurrent::Result<()> {
//! let config = zoo::get("lstm")?.config()?.model; // or ModelConfig::from_json
//! let splits = data::load(&Source::Builtin, &Options::default(), None, &mut |_| ())?;
//! let weights = Weights::init(&config, 42, &Device::Cpu)?;
//! let objective = Objective::named("binary_crossentropy", &["accuracy"])?;
//! let mut trainer = Trainer::new(&config, &weights, RmsProp::default(), objective)?;
//! let fit = FitConfig { callbacks: vec![EarlyStopping::patience(3).into()], ..FitConfig::default() };
//! let [train, validation, test] = [&splits.train, &splits.validation, &splits.test].map(Examples::from);
//! trainer.fit(&train, Some(&validation), &fit)?;
//! println!("test: {:?}", trainer.evaluate(&test, 64)?.figures);
//! weights.save("lstm.safetensors")?;
//! # Ok(())
//! # }
//! ```
//!
//! # A trained model
//!
//! From the [`zoo`], from the folder of a run, or from a file of Keras's.
//!
//! ```no_run
//! use candle_core::Device;
//! use candle_recurrent::{checkpoint::ModelFolder, model::Model, zoo};
//!
//! # fn main() -> candle_recurrent::Result<()> {
//! let texts = ["I expected to hate it, but it is lovely"];
//! let shipped = zoo::get("lstm")?.load(&Device::Cpu)?.predict(&texts)?;
//! let own = ModelFolder::open("runs/lstm")?.load(&Device::Cpu)?.predict(&texts)?;
//! let keras = Model::load("best-lstm-model.h5", &Device::Cpu)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go
//!
//! | module | what is there |
//! |---|---|
//! | [`layers`] | the layers, on their own or in a model of yours |
//! | [`model`] | models as data; their weights |
//! | [`train`] | training and evaluation, RMSprop, early stopping |
//! | [`report`] | what a model's answers are worth: by class, calibration, curves, worst mistakes |
//! | [`checkpoint`] | the folder that a run leaves behind |
//! | [`forecast`] | what a trained forecaster of a series says, beside the naive forecasts |
//! | [`keras`] | Keras's files, read and written; PyTorch's and candle-nn's layouts |
//! | [`zoo`] | nine models trained on IMDB, built in |
//! | [`formats`] | files of arrays: `.npz`, `.npy`, `.safetensors`, tables of numbers |
//! | [`data`], [`text`] | reviews as token ids; cleaning, vocabulary, padding |
//! | `plot` | loss curves (feature `plot`) |
//! | `hub`, `sharing` | the Hugging Face Hub: files from and to it; its models and data sets (feature `hub`) |
//!
//! # Features
//!
//! None is on by default: no command line, no plots, no network, no C.
//!
//! | feature | what it adds |
//! |---|---|
//! | `hub` | models and data sets from and to the Hugging Face Hub; brings `parquet` |
//! | `parquet` | reviews in Parquet files |
//! | `plot` | pictures of loss curves |
//! | `cuda`, `cudnn`, `metal`, `accelerate`, `mkl` | Candle's backends of those names |
//!
//! The command line is the package `candle-recurrent-cli`.

pub use candle_recurrent_kernel::{awake, instruction_set, keep_memory, recompute_beyond};

mod error;
pub use error::{Error, Result};
pub use panics::panic_is_contained;

pub mod checkpoint;
pub mod data;
pub mod forecast;
pub mod formats;
#[cfg(feature = "hub")]
pub mod hub;
mod json;
pub mod keras;
pub mod layers;
pub mod model;
mod panics;
#[cfg(feature = "plot")]
pub mod plot;
mod random;
pub mod report;
#[cfg(feature = "hub")]
pub mod sharing;
pub mod text;
pub mod train;
pub mod zoo;

/// The code in the README and in `docs/` compiles.
#[cfg(doctest)]
mod documented {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/rust.md")]
    struct Rust;
    #[doc = include_str!("../docs/training.md")]
    struct Training;
    #[doc = include_str!("../docs/keras-files.md")]
    struct KerasFiles;
}
