//! What `train` and `evaluate` have in common: where reviews come from, what reads them, and where it is computed.

use super::device::{DeviceName, set_threads, status};
use super::lambdas::Lambdas;
use super::model::ModelSource;
use super::tokenizer::Encoding;
use super::values;
use candle_core::Device;
use candle_recurrent::data::Source;
use std::path::PathBuf;

/// The options that are the same for both.
#[derive(clap::Args)]
pub(super) struct Reading {
    /// builtin, imdb (Keras's cached imdb.npz, else a download from the Hugging Face Hub), an imdb.npz, an aclImdb
    /// folder, or a folder of the Hub's Parquet files
    #[arg(long, default_value = "builtin", value_name = "SOURCE", value_parser = values::source)]
    pub(super) data: Source,
    /// The architecture of a file of weights alone: Keras's to_json(), a config.json, or another file of the model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    lambdas: Lambdas,
    #[command(flatten)]
    pub(super) encoding: Encoding,
    /// Threads of the CPU; changes speed, not the result [default: one a core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// No progress and no messages on the way
    #[arg(long, short)]
    pub(super) quiet: bool,
}

impl Reading {
    /// Opens the device.
    pub(super) fn device(&self) -> anyhow::Result<Device> {
        self.device.open()
    }

    /// Finds the model.
    pub(super) fn model(&self, argument: &str) -> anyhow::Result<ModelSource> {
        ModelSource::find(argument, self.config.as_deref(), &self.lambdas)
    }

    /// Makes the threads, once everything else is checked.
    pub(super) fn set_threads(&self) -> anyhow::Result<()> {
        set_threads(self.threads)
    }

    /// Takes the lines that say what is being read.
    pub(super) fn status(&self) -> impl FnMut(&str) {
        status(self.quiet)
    }
}
