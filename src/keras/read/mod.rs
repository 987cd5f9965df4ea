//! Reading: a file to a model's configuration and variables.

mod archive;
mod array;
mod assets;
mod assign;
mod container;
mod dialect;
mod hdf5;
mod source;
mod training;

pub use container::{Kind, kind};

use super::training::Training;
use crate::json;
use crate::keras::backends;
use crate::layers::OperationConfig;
use crate::model::{Class, LayerConfig, ModelConfig, Weights, left_out};
use crate::{Error, Result};
use array::Array;
use candle_core::{Device, Tensor};
use dialect::{Translated, Version};
use source::Architecture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a file held.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The layers.
    pub config: ModelConfig,
    /// The variables, exactly those of `config`, in f32.
    pub weights: Weights,
    /// What a user should know though the model can be used, a line each: weights that are not finite, for example.
    pub warnings: Vec<String>,
    /// How the model was trained, where the file says and all of its model is read from it ([`Options::config`] and
    /// [`Options::until`] not given).
    pub training: Option<Training>,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The architecture, for a file of weights alone.
    pub config: Option<ConfigSource>,
    /// Where the variables go.
    pub device: Device,
    /// The layer up to which the model is read: what comes after it is left out and need not be known, such as a head of
    /// somebody's own code. As [`ModelConfig::until`].
    pub until: Option<String>,
    /// Operations in the place of Lambdas, by the names of these. What a Lambda holds is Python code, which is not
    /// executed; whoever knows what it does may say it: `("last".to_string(), "x[:, -1]".parse()?)`.
    pub lambdas: BTreeMap<String, OperationConfig>,
    /// Whether the optimiser's variables are read too: [`Training::state`]. They are up to twice as large as the weights.
    pub state: bool,
}

/// Where an architecture comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file: what Keras's `to_json` gave, a `config.json` of this crate, or another file of Keras's.
    File(PathBuf),
    /// One in memory.
    Memory(Box<ModelConfig>),
}

impl From<PathBuf> for ConfigSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<ModelConfig> for ConfigSource {
    fn from(config: ModelConfig) -> Self {
        Self::Memory(Box::new(config))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { config: None, device: Device::Cpu, until: None, lambdas: BTreeMap::new(), state: true }
    }
}

/// Reads a model from a file of Keras's, onto the CPU: `.keras`, `.h5`, or an unpacked `.keras` folder.
///
/// ```no_run
/// # fn main() -> candle_recurrent::Result<()> {
/// let (config, weights) = candle_recurrent::keras::load("best-lstm-model.h5")?;
/// let model = candle_recurrent::model::Model::new(&config, weights.detached())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::File`] in one line that names the layer and the variable: where the file is damaged or another kind of file,
/// holds no architecture or no weights, holds Python code or a layer that is not supported, or where its arrays do not
/// fit its layers.
pub fn load(path: impl AsRef<Path>) -> Result<(ModelConfig, Weights)> {
    let loaded = load_with(path, &Options { state: false, ..Options::default() })?;
    Ok((loaded.config, loaded.weights))
}

/// The same with options: an architecture from another file, another device; and with what there is to warn of.
///
/// # Errors
/// As [`load`], and where the file of the architecture cannot be read.
pub fn load_with(path: impl AsRef<Path>, options: &Options) -> Result<Loaded> {
    let path = path.as_ref();
    let (own, weights) = source::open(path)?;
    let architecture = match (&options.config, own) {
        (Some(ConfigSource::File(config)), _) => source::architecture(config)?,
        (Some(ConfigSource::Memory(config)), _) => source::in_memory(config)?,
        (None, Some(own)) => own,
        (None, None) => return Err(Error::file(path, weights.alone())),
    };
    let origin = match &options.config {
        Some(ConfigSource::File(config)) => config,
        Some(ConfigSource::Memory(_)) | None => path,
    };
    // Arrays of a .safetensors and of a PyTorch file are found by the whole model.
    let until = options.until.as_deref();
    let whole = matches!(weights, source::Arrays::Safetensors(_) | source::Arrays::Torch(_));
    let early = until.filter(|_| !whole);
    let mut translated = translate(origin, &architecture, &options.lambdas, early)?;
    if options.config.is_some()
        && let Some(function) = weights.hard_sigmoid().map_err(|what| Error::file(path, what))?
        && function.put_into(&mut translated.json)
    {
        translated.warnings.push(format!(
            "hard_sigmoid is {} here, for which the weights were made, though {} means Keras's other function of that name",
            function.formula(),
            origin.display()
        ));
    }
    if let source::Arrays::Hdf5(file) = &weights {
        let put = assets::put_weights(&mut translated.json, &translated.layers, file);
        put.map_err(|error| within(path, error))?;
    }
    let mut config = model_config(origin, &translated)?;
    if let Some(last) = early.and_then(|_| config.last()).map(|last| last.name.clone()) {
        config = config.until(&last).map_err(|error| within(origin, error))?;
    }
    check_words(&config, &weights).map_err(|error| within(path, error))?;
    let variables = config.variables().map_err(|error| within(origin, error))?;
    let mut training = None;
    let weights = match weights {
        source::Arrays::Hdf5(file) => {
            let arrays = assign::assign(&file, &translated.layers, &variables, &mut translated.warnings);
            let weights = tensors(&config, arrays.map_err(|error| within(path, error))?, &options.device)?;
            if options.config.is_none() && until.is_none() {
                let outputs: Vec<&str> =
                    config.output_layers.iter().map(|output| output.0.as_str()).collect();
                let (layers, variables) = (&translated.layers, &variables);
                let model = training::Model { layers, variables, outputs: &outputs };
                let device = options.state.then_some(&options.device);
                training = training::read(&file, &architecture, &model, device)?;
            }
            weights
        }
        source::Arrays::Safetensors(bytes) => {
            super::weights_from_safetensors(&config, &bytes, path, &options.device)?
        }
        source::Arrays::Torch(bytes) => super::weights_from_torch(&config, &bytes, path, &options.device)?,
        source::Arrays::None => {
            return Err(Error::file(
                path,
                "holds an architecture but no weights; it can be looked at, not run",
            ));
        }
    };
    let mut warnings = translated.warnings;
    let (config, weights) = match until.filter(|_| early.is_none()) {
        Some(until) => {
            let cut = config.until(until).map_err(|error| within(origin, error))?;
            warnings.extend(left_out(&config.inputs_left_out(&cut), until));
            let weights = weights.of_part(&cut)?;
            (cut, weights)
        }
        None => (config, weights),
    };
    check_backends(&config, &architecture.version).map_err(|error| within(origin, error))?;
    warnings.extend(not_finite(&weights)?);
    Ok(Loaded { config, weights, warnings, training })
}

/// Reads the architecture alone: from any file that [`load`] reads, and from those that hold nothing else, such as what
/// Keras's `to_json` gives.
///
/// # Errors
/// As [`load`], for what concerns the architecture.
pub fn load_config(path: impl AsRef<Path>) -> Result<ModelConfig> {
    Ok(load_config_with(path, &BTreeMap::new())?.0)
}

/// The same with operations in the place of Lambdas (see [`Options::lambdas`]); and what there is to warn of.
///
/// # Errors
/// As [`load_config`], and where the model has no Lambda of a name.
pub fn load_config_with(
    path: impl AsRef<Path>,
    lambdas: &BTreeMap<String, OperationConfig>,
) -> Result<(ModelConfig, Vec<String>)> {
    let path = path.as_ref();
    let architecture = source::architecture(path)?;
    let translated = translate(path, &architecture, lambdas, None)?;
    let config = model_config(path, &translated)?;
    config.variables().map_err(|error| within(path, error))?;
    check_backends(&config, &architecture.version).map_err(|error| within(path, error))?;
    Ok((config, translated.warnings))
}

/// A model that was written for the newest Keras 3, as that runs it, in this crate's form.
///
/// # Errors
/// [`Error::Layer`] where it would not be read back.
pub(super) fn reread(keras: &serde_json::Value) -> Result<serde_json::Value> {
    let version = Version { major: 3, minor: None, own: false, text: "3".into() };
    Ok(dialect::translate(keras, &version, &BTreeMap::new(), None)?.json)
}

/// The names of the trained variables of a model in this crate's form, whose layers stand in Keras's order, in the order of
/// Keras's `trainable_weights`.
///
/// # Errors
/// Where the model makes no sense.
pub(super) fn trained_names(model: &serde_json::Value) -> Result<Vec<String>> {
    let Architecture { model, version, .. } = source::own_form(model.clone());
    let translated = dialect::translate(&model, &version, &BTreeMap::new(), None)?;
    let variables = model_config(Path::new("config.json"), &translated)?.variables()?;
    assign::trained_names(&translated.layers, &variables)
}

/// The architecture in this crate's form.
fn translate(
    origin: &Path,
    architecture: &Architecture,
    lambdas: &BTreeMap<String, OperationConfig>,
    until: Option<&str>,
) -> Result<Translated> {
    let translated = dialect::translate(&architecture.model, &architecture.version, lambdas, until);
    let mut translated = translated.map_err(|error| within(origin, error))?;
    assets::put_words(&mut translated.json, &translated.layers, &architecture.assets)
        .map_err(|error| within(origin, error))?;
    Ok(translated)
}

/// Refuses a model of Keras 3 whose numbers depend on the backend that it ran on, which no file says.
fn check_backends(config: &ModelConfig, version: &Version) -> Result<()> {
    let is_doubtful = version.major == 3 && !version.own && version.minor.is_none_or(|minor| minor >= 10);
    match is_doubtful {
        true => backends::check_backends(config, "give the layer other sizes"),
        false => Ok(()),
    }
}

/// Refuses a model whose words are not in its file.
fn check_words(config: &ModelConfig, weights: &source::Arrays) -> Result<()> {
    let lacks = |layer: &&LayerConfig| match &layer.class {
        Class::TextVectorization(config) => config.vocabulary.is_none(),
        Class::StringLookup(config) => config.vocabulary.is_none(),
        Class::IntegerLookup(config) => config.vocabulary.is_none(),
        Class::Sequential(model) | Class::Functional(model) => check_words(model, weights).is_err(),
        _ => false,
    };
    let Some(layer) = config.layers.iter().find(lacks) else { return Ok(()) };
    if let Class::Sequential(model) | Class::Functional(model) = &layer.class {
        return check_words(model, weights);
    }
    let what = match weights {
        source::Arrays::None => return Ok(()),
        _ => {
            "its vocabulary is not in the file: an .h5 and weights alone hold none that was learnt by `adapt`; save the model \
             as .keras, or make the layer with its `vocabulary`"
        }
    };
    Err(Error::layer(layer.name.as_str(), what))
}

fn model_config(origin: &Path, translated: &Translated) -> Result<ModelConfig> {
    json::from_value(&translated.json)
        .map_err(|wrong| Error::file(origin, format!("its architecture cannot be used: {wrong}")))
}

/// The error with the file's name before it.
fn within(path: &Path, error: Error) -> Error {
    match error {
        Error::File { .. } => error,
        Error::Argument { what, source, .. } => Error::File { path: path.into(), what, source },
        error => Error::file(path, &error).with_source(error),
    }
}

fn tensors(config: &ModelConfig, arrays: BTreeMap<String, Array>, device: &Device) -> Result<Weights> {
    let tensor = |(name, Array { shape, values })| Ok((name, Tensor::from_vec(values, shape, device)?));
    Weights::from_tensors(config, arrays.into_iter().map(tensor).collect::<Result<_>>()?, device)
}

/// A warning where weights are not numbers.
fn not_finite(weights: &Weights) -> Result<Option<String>> {
    let mut broken = Vec::new();
    for (name, variable) in weights.iter() {
        let values = variable.as_detached_tensor().flatten_all()?.to_vec1::<f32>()?;
        if values.iter().any(|value| !value.is_finite()) {
            broken.push(name);
        }
    }
    let shown = broken.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    Ok(match broken.len() {
        0 => None,
        count => Some(format!(
            "weights that are not numbers (NaN or infinite) in {count} of {} variables ({shown}{}): training had \
             diverged before the file was saved",
            weights.iter().count(),
            if count > 3 { ", …" } else { "" }
        )),
    })
}
