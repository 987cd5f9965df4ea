//! A model's variables by name: drawn from a seed, read from a checkpoint, handed to layers through a `VarBuilder`.

use crate::formats::file::{read_bytes, write_atomic};
use crate::formats::safetensors::to_safetensors;
use crate::layers::{ModelConfig, Variable};
use crate::random::Stream;
use crate::{Error, Result};
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Variables by full name (`lstm.kernel`), sorted by it. Clones share their storage.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    variables: BTreeMap<String, Var>,
    /// Names of those that an optimiser does not train.
    untrained: BTreeSet<String>,
    /// Names of those among them that stay as they are.
    frozen: BTreeSet<String>,
}

impl Weights {
    /// Keras's initial values for `config`: the same seed gives the same bytes on every machine.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        let mut weights = Self::default();
        for placed in config.place()?.layers {
            weights.add(&placed.layer.name, &placed.variables, seed, device)?;
        }
        Ok(weights)
    }

    /// Draws the variables of one layer, for a model of one's own: `prefix` is the layer's path in the `VarBuilder`,
    /// `variables` what its config's `variables(input_dim)` lists.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn add(&mut self, prefix: &str, variables: &[Variable], seed: u64, device: &Device) -> Result<()> {
        for variable in variables {
            self.draw(format!("{prefix}.{}", variable.name), variable, seed, device)?;
        }
        Ok(())
    }

    fn draw(&mut self, name: String, variable: &Variable, seed: u64, device: &Device) -> Result<()> {
        let values = variable.initializer.draw(&variable.shape, &mut Stream::named(seed, &name));
        let tensor = Tensor::from_vec(values, variable.shape.as_slice(), device)?;
        if !variable.trainable {
            self.untrained.insert(name.clone());
        }
        if variable.frozen {
            self.frozen.insert(name.clone());
        }
        self.variables.insert(name, Var::from_tensor(&tensor)?);
        Ok(())
    }

    /// Those of `config`, before there are any values.
    fn empty(config: &ModelConfig) -> Result<Self> {
        let (untrained, frozen) = config.untrained()?;
        Ok(Self { untrained, frozen, ..Self::default() })
    }

    /// Takes the variables of `config` from `tensors`, by full name.
    ///
    /// # Errors
    /// If one is missing, unknown, or of another shape.
    pub fn from_tensors(
        config: &ModelConfig,
        mut tensors: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let mut weights = Self::empty(config)?;
        for (name, expected) in config.variables()? {
            let tensor = tensors
                .remove(&name)
                .ok_or_else(|| Error::argument(name.as_str(), "this variable of the model is missing"))?;
            if tensor.dims() != expected {
                return Err(Error::Shape { name, expected, found: tensor.dims().to_vec() });
            }
            let tensor = tensor.to_device(device)?.to_dtype(DType::F32)?.contiguous()?;
            weights.variables.insert(name, Var::from_tensor(&tensor)?);
        }
        match tensors.keys().next() {
            Some(name) => Err(Error::argument(name.as_str(), "the model does not have this variable")),
            None => Ok(weights),
        }
    }

    /// The variables of a part of the model, such as [`ModelConfig::until`] gives; their storage is shared.
    ///
    /// # Errors
    /// If one is missing, or the layers do not fit each other.
    pub fn of_part(&self, config: &ModelConfig) -> Result<Self> {
        let mut part = Self::empty(config)?;
        for (name, _) in config.variables()? {
            let missing = || Error::argument(name.as_str(), "this variable of the model is missing");
            let variable = self.variables.get(&name).ok_or_else(missing)?.clone();
            part.variables.insert(name, variable);
        }
        Ok(part)
    }

    /// Reads a safetensors file that holds exactly the variables of `config`.
    ///
    /// # Errors
    /// If the file cannot be read, or a variable is missing, unknown, or of another shape or type.
    pub fn load(config: &ModelConfig, path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(config, &read_bytes(path)?, path, device)
    }

    /// The same from the file's bytes; `origin` stands for it in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(config: &ModelConfig, bytes: &[u8], origin: &Path, device: &Device) -> Result<Self> {
        let fail = |what: String| Error::file(origin, what);
        let file = SafeTensors::deserialize(bytes).map_err(|e| {
            fail(format!("not a whole safetensors file ({e}); is it truncated?")).with_source(e)
        })?;
        let expected = config.variables()?;
        let known: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        // The first by name: the file's own order is that of a hash map.
        if let Some(name) = file.names().into_iter().filter(|name| !known.contains(name)).min() {
            return Err(fail(format!(
                "holds a variable `{name}` that the model `{}` does not have",
                config.name
            )));
        }
        let mut weights = Self::empty(config)?;
        for (name, shape) in expected {
            let view = file.tensor(&name).map_err(|_| {
                fail(format!("the variable `{name}` {shape:?} of the model `{}` is missing", config.name))
            })?;
            if view.shape() != shape {
                let (needed, found) = (&shape, view.shape());
                return Err(fail(format!(
                    "variable `{name}`: the model needs shape {needed:?}, the file holds {found:?}"
                )));
            }
            let dtype =
                DType::try_from(view.dtype()).ok().filter(|dtype| dtype.is_float()).ok_or_else(|| {
                    fail(format!("the variable `{name}` has type {:?}, not a float", view.dtype()))
                })?;
            let tensor = Tensor::from_raw_buffer(view.data(), dtype, &shape, device)?.to_dtype(DType::F32)?;
            weights.variables.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(weights)
    }

    /// Writes the variables by name as a `.safetensors`, whole or not at all, for [`load`](Self::load) to read. The same
    /// weights give the same bytes.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written; an older file stays as it was then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let metadata = BTreeMap::from([("format", "candle-recurrent".to_string())]);
        let tensor = |(name, var): (&String, &Var)| (name.clone(), var.as_detached_tensor());
        write_atomic(path, &to_safetensors(&self.variables.iter().map(tensor).collect(), &metadata)?)
    }

    /// A `VarBuilder` whose tensors are tracked, but those of frozen layers: for training.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        self.builder(true)
    }

    /// A `VarBuilder` over the same storage whose tensors are detached: no graph is kept of what is computed with
    /// them, and they follow every update in place. For validation and inference.
    pub fn detached(&self) -> VarBuilder<'static> {
        self.builder(false)
    }

    fn builder(&self, tracked: bool) -> VarBuilder<'static> {
        let device = self.variables.values().next().map_or(Device::Cpu, |var| var.device().clone());
        let backend = Backend { weights: self.clone(), tracked };
        VarBuilder::from_backend(Box::new(backend), DType::F32, device)
    }

    /// Names and variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Those that an optimiser trains; the others are moving statistics and those of frozen layers.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| !self.untrained.contains(*name))
    }

    /// A copy of the values.
    ///
    /// # Errors
    /// Candle's own only.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.variables
            .iter()
            .map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?)))
            .collect()
    }

    /// Writes such a copy back into the variables, in place.
    ///
    /// # Errors
    /// If a variable is missing from `values` or has another shape there.
    pub fn restore(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in &self.variables {
            let found = values.get(name).map(|value| value.dims()).unwrap_or_default();
            match values.get(name) {
                Some(value) if found == var.dims() => var.set(value)?,
                _ => {
                    return Err(Error::Shape {
                        name: name.clone(),
                        expected: var.dims().to_vec(),
                        found: found.to_vec(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Serves [`Weights`] to a `VarBuilder`.
struct Backend {
    weights: Weights,
    tracked: bool,
}

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() != &shape {
            candle_core::bail!("variable {name}: needed with shape {shape:?}, held with {:?}", tensor.shape())
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let Some(var) = self.weights.variables.get(name) else {
            return Err(candle_core::Error::CannotFindTensor { path: name.to_string() }.bt());
        };
        let is_tracked = self.tracked && !self.weights.frozen.contains(name);
        let tensor = if is_tracked { var.as_tensor().clone() } else { var.as_detached_tensor() };
        tensor.to_device(device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.variables.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() -> Result<()> {
        let config = ModelConfig::from_json(
            r#"{"name": "m", "layers": [
                {"class_name": "Embedding", "config": {"name": "embedding", "input_dim": 9, "output_dim": 4}},
                {"class_name": "GRU", "config": {"name": "gru", "units": 3}},
                {"class_name": "BatchNormalization", "config": {"name": "norm"}}]}"#,
        )?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights.safetensors");
        let weights = Weights::init(&config, 5, &Device::Cpu)?;
        weights.save(&path)?;
        let read = Weights::load(&config, &path, &Device::Cpu)?;
        let values = |var: &Var| var.flatten_all()?.to_vec1::<f32>();
        assert_eq!(read.iter().count(), weights.iter().count());
        for ((name, before), (again, after)) in weights.iter().zip(read.iter()) {
            assert_eq!((name, before.dims(), values(before)?), (again, after.dims(), values(after)?));
        }
        assert_eq!(read.trainable().count(), weights.trainable().count());
        let bytes = std::fs::read(&path).expect("the file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let format = header.metadata().as_ref().and_then(|metadata| metadata.get("format").cloned());
        assert_eq!(format.as_deref(), Some("candle-recurrent"));
        Ok(())
    }
}
