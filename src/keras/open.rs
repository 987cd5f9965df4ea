//! Any model in one line.

use super::{Options, load_with};
use crate::Result;
use crate::checkpoint::{ModelFolder, WEIGHTS_FILE};
use crate::model::Model;
use candle_core::Device;
use std::path::Path;

impl Model {
    /// Reads a model from whatever holds one: a `.keras` or `.h5` of any Keras, by its first bytes, or a model folder.
    /// The weights are detached: for prediction and evaluation.
    ///
    /// ```no_run
    /// # fn main() -> candle_recurrent::Result<()> {
    /// use candle_core::{Device, Tensor};
    /// use candle_recurrent::{layers::Mode, model::Model};
    ///
    /// let model = Model::load("best-lstm-model.h5", &Device::Cpu)?;
    /// let ids = Tensor::zeros((1, 100), candle_core::DType::U32, &Device::Cpu)?;
    /// let probability = model.forward(&ids, Mode::Inference)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`load`](super::load) and [`ModelFolder::load`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        if path.join(WEIGHTS_FILE).is_file() {
            return Ok(ModelFolder::open(path)?.load(device)?.model);
        }
        Self::load_with(path, &Options { device: device.clone(), ..Options::default() })
    }

    /// The same for a file of weights alone, whose architecture `options` give: from another file, or from memory
    /// (`ModelConfig`).
    ///
    /// # Errors
    /// As [`load_with`].
    pub fn load_with(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let loaded = load_with(path, options)?;
        Self::new(&loaded.config, loaded.weights.detached())
    }
}
