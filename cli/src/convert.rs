//! `convert`: a model from one kind of file to another.

use super::lambdas::Lambdas;
use super::model::ModelSource;
use super::output::message;
use super::run_folder::{refuse_input, refuse_part};
use super::{Outcome, Output, run_folder};
use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use candle_recurrent::checkpoint::{Config, Contents, HISTORY_FILE, STATE_FILE, Whole};
use candle_recurrent::keras::{self, Layout, Training};
use candle_recurrent::sharing::Needed;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{History, heads};
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Convert a model between Keras's files, model folders, and safetensors for PyTorch and candle-nn
///
/// What OUT becomes follows from its name: NAME.keras (Keras 3 loads it with keras.saving.load_model),
/// NAME.weights.h5 (its load_weights), NAME.safetensors (weights alone, see --layout), or a model folder.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent convert best-lstm-model.h5 best-lstm-model.keras
  candle-recurrent convert best-gru-model.keras my-gru
  candle-recurrent convert runs/lstm lstm.safetensors --layout pytorch
  candle-recurrent convert lstm.safetensors lstm.keras --config runs/lstm/config.json
  candle-recurrent convert model.pt my-model --config config.json
  candle-recurrent convert tagger.h5 tagger.keras --until bidirectional")]
pub(super) struct Args {
    /// A .keras, .h5, .weights.h5, .safetensors or PyTorch file (.pt), a model folder, a name of the zoo (see `list`), or
    /// hf://OWNER/NAME
    #[arg(value_name = "IN")]
    input: String,
    /// NAME.keras, NAME.weights.h5, NAME.safetensors, or a folder
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Names and shapes in a .safetensors: keras, candle-nn or pytorch [default: keras]
    #[arg(long, value_parser = layout)]
    layout: Option<Layout>,
    /// The architecture, where IN holds weights alone: a config.json, Keras's to_json(), or a file of the same model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The last layer to take along: what comes after it is left out, and need not be known
    #[arg(long, value_name = "LAYER")]
    until: Option<String>,
    #[command(flatten)]
    lambdas: Lambdas,
    /// Store the weights of a model folder or a .safetensors in 16 bits: half the size, and answers that differ in the fourth digit
    #[arg(long)]
    float16: bool,
    /// Replace a training run in OUT
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON value: input, output, format, layout, params, notes
    #[arg(long)]
    json: bool,
}

fn layout(text: &str) -> Result<Layout, String> {
    text.parse().map_err(|_| "give keras, candle-nn or pytorch".into())
}

/// What to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Keras,
    WeightsH5,
    Safetensors(Layout),
    Folder,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Keras => "keras",
            Self::WeightsH5 => "weights.h5",
            Self::Safetensors(_) => "safetensors",
            Self::Folder => "folder",
        }
    }
}

/// The command line, checked.
pub(super) struct Settings {
    args: Args,
    format: Format,
}

impl Args {
    /// Finds out what OUT is to be.
    pub(super) fn settings(self) -> Result<Settings, clap::Error> {
        let format = self.format().map_err(|(kind, what)| super::Cli::command().error(kind, what))?;
        Ok(Settings { args: self, format })
    }

    fn format(&self) -> Result<Format, (ErrorKind, String)> {
        let shown = self.output.display();
        let text = self.output.to_string_lossy().to_lowercase();
        let safetensors = text.ends_with(".safetensors");
        if self.float16 && (text.ends_with(".keras") || text.ends_with(".weights.h5")) {
            let what = format!("--float16 is for a model folder or a .safetensors, and OUT is {shown}");
            return Err((ErrorKind::ArgumentConflict, what));
        }
        if let (Some(layout), false) = (self.layout, safetensors) {
            let what = format!("--layout {layout} is for a .safetensors, and OUT is {shown}");
            return Err((ErrorKind::ArgumentConflict, what));
        }
        if text.ends_with(['/', std::path::MAIN_SEPARATOR]) {
            return Ok(Format::Folder);
        }
        let ending = [".keras", ".weights.h5", ".safetensors", ".h5", ".hdf5"]
            .into_iter()
            .find(|&ending| text.ends_with(ending));
        if let Some(ending) = ending {
            if self.output.file_name().is_some_and(|name| name.len() == ending.len()) {
                let ending = if matches!(ending, ".h5" | ".hdf5") { ".keras" } else { ending };
                let what = format!("OUT {shown}: has an ending but no name; give NAME{ending}");
                return Err((ErrorKind::ValueValidation, what));
            }
            if self.output.is_dir() {
                let what = format!(
                    "OUT {shown}: is a folder, though named like a file; name a file in it, or {shown}/ to write a model folder"
                );
                return Err((ErrorKind::ValueValidation, what));
            }
        }
        if self.output.is_dir() {
            return Ok(Format::Folder);
        }
        if text.ends_with(".keras") {
            return Ok(Format::Keras);
        }
        if text.ends_with(".weights.h5") {
            return Ok(Format::WeightsH5);
        }
        if safetensors {
            return Ok(Format::Safetensors(self.layout.unwrap_or_default()));
        }
        match self.output.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
            None => Ok(Format::Folder),
            Some("h5" | "hdf5") => Err((
                ErrorKind::ValueValidation,
                format!(
                    "OUT {shown}: Keras 3 writes no more such files; name it .keras, or .weights.h5 for the weights alone"
                ),
            )),
            Some(_) => Err((
                ErrorKind::ValueValidation,
                format!("OUT {shown}: name a .keras, a .weights.h5, a .safetensors, or a folder (NAME/)"),
            )),
        }
    }
}

/// A model with all that a folder may hold.
pub(super) struct Source {
    pub(super) config: Config,
    pub(super) weights: BTreeMap<String, Tensor>,
    /// What it was compiled with, and the optimiser's state.
    training: Option<Training>,
    /// What of it a model folder does not hold, a sentence each.
    left: Vec<String>,
    pub(super) tokenizer: Option<Tokenizer>,
    history: Option<History>,
    pub(super) warnings: Vec<String>,
}

impl Source {
    pub(super) fn read(
        argument: &str,
        config: Option<&Path>,
        lambdas: &Lambdas,
        until: Option<&str>,
    ) -> anyhow::Result<Self> {
        let device = Device::Cpu;
        let mut source = match ModelSource::find_for(Needed::Everything, argument, config, lambdas)? {
            ModelSource::Zoo(entry) => {
                let config = entry.config()?;
                Self {
                    training: Some(Training::of(&config.recipe, None)?),
                    weights: entry.weights(&config.model, &device)?.snapshot()?,
                    tokenizer: Some(entry.tokenizer()?),
                    history: Some(entry.history()?),
                    warnings: vec![],
                    left: vec![],
                    config,
                }
            }
            ModelSource::Folder(folder) => {
                let Whole { config, weights, tokenizer, optimizer: state } = folder.whole(&device)?;
                let has_history = folder.path().join(HISTORY_FILE).is_file();
                let training = Training::of(&config.recipe, state.as_ref())?;
                Self {
                    // A folder without a recipe of its own says nothing of how it was trained.
                    training: Some(training).filter(|_| !config.recipe.loss.is_null()),
                    weights: weights.snapshot()?,
                    tokenizer,
                    history: has_history.then(|| folder.history()).transpose()?,
                    warnings: vec![],
                    left: vec![],
                    config,
                }
            }
            ModelSource::Config(path) => {
                anyhow::bail!(
                    "{}: is a configuration without weights: there is nothing to convert",
                    path.display()
                )
            }
            ModelSource::Keras { path, config, lambdas } => {
                let options = keras::Options {
                    config: config.map(Into::into),
                    device,
                    until: until.map(String::from),
                    lambdas,
                    ..keras::Options::default()
                };
                let loaded = keras::load_with(&path, &options)?;
                let mut config = Config::of_model(loaded.config);
                let mut left = vec![];
                if let Some(training) = &loaded.training {
                    // A folder keeps what it can of it.
                    left = training.put_into(&mut config.recipe, &heads(&config.model)?);
                }
                return Ok(Self {
                    weights: loaded.weights.snapshot()?,
                    training: loaded.training.filter(|_| until.is_none()),
                    left,
                    config,
                    tokenizer: None,
                    history: None,
                    warnings: loaded.warnings,
                });
            }
        };
        if let Some(until) = until {
            source.cut(until)?;
        }
        Ok(source)
    }

    /// A model that comes from no file.
    pub(super) fn of(
        config: Config,
        weights: BTreeMap<String, Tensor>,
        tokenizer: Option<Tokenizer>,
    ) -> Self {
        Self { config, weights, training: None, left: vec![], tokenizer, history: None, warnings: vec![] }
    }

    /// Turns the weights to 16 bits, but for those that they do not hold: statistics, and numbers beyond 65504. The optimiser's
    /// state would be that of others.
    pub(super) fn halve(&mut self) -> anyhow::Result<()> {
        const MOST: f32 = 65504.0;
        for (name, tensor) in &mut self.weights {
            let is_statistic = ["moving_mean", "moving_variance"].iter().any(|end| name.ends_with(end));
            let numbers = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            if !is_statistic && numbers.iter().all(|number| number.abs() <= MOST) {
                *tensor = tensor.to_dtype(DType::F16)?;
            }
        }
        self.training = None;
        Ok(())
    }

    /// Leaves out what comes after a layer. The figures are those of the whole.
    fn cut(&mut self, until: &str) -> anyhow::Result<()> {
        let part = self.config.model.until(until)?;
        for input in self.config.model.inputs_left_out(&part) {
            self.warnings.push(format!("the input `{input}` is not needed up to layer {until} and left out; x0, x1, … are numbered without it"));
        }
        let kept: BTreeSet<String> = part.variables()?.into_iter().map(|(name, _)| name).collect();
        self.weights.retain(|name, _| kept.contains(name));
        self.config.model = part;
        self.config.recipe.group_by_length &= self.config.model.skips_padding();
        (self.config.results, self.training) = (None, None);
        self.history = None;
        Ok(())
    }
}

/// What was done, with the keys of `--json`.
#[derive(Serialize)]
struct Report {
    input: String,
    output: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    params: usize,
    notes: Vec<String>,
}

pub(super) fn run(settings: &Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    let Settings { args, format } = settings;
    let out = args.output.as_path();
    refuse_input(&[Some(Path::new(&args.input)), args.config.as_deref()], out, "OUT")?;
    refuse_part(out)?;
    if matches!(format, Format::Folder) {
        run_folder::refuse_existing(out, args.overwrite)?;
    }
    let mut source = Source::read(&args.input, args.config.as_deref(), &args.lambdas, args.until.as_deref())?;
    if args.float16 {
        source.halve()?;
    }
    let model = &source.config.model;
    let mut notes = source.warnings.clone();
    match format {
        Format::Keras => {
            let written = keras::to_keras_with(model, &source.weights, source.training.as_ref())
                .with_context(|| args.input.clone())?;
            written.save(out)?;
            notes.extend(written.notes);
        }
        Format::WeightsH5 => {
            let written = keras::to_weights_h5(model, &source.weights).with_context(|| args.input.clone())?;
            written.save(out)?;
            notes.extend(written.notes);
        }
        Format::Safetensors(layout) => {
            let laid_out = layout.apply(model, &source.weights).with_context(|| args.input.clone())?;
            laid_out.save(out, &layout.metadata(model))?;
            notes.extend(laid_out.notes);
        }
        Format::Folder => {
            write_folder(out, args.overwrite, &source)?;
            notes.extend(source.left.iter().cloned());
        }
    }
    let report = Report {
        input: args.input.clone(),
        output: out.display().to_string(),
        format: format.name(),
        layout: match format {
            Format::Safetensors(layout) => Some(layout.name()),
            _ => None,
        },
        params: source.weights.values().map(Tensor::elem_count).sum(),
        notes,
    };
    match args.json {
        true => output.json(&report)?,
        false => {
            for note in &report.notes {
                message(&format!("note: {note}"));
            }
            output.line(format_args!("written: {} ({} parameters)", report.output, report.params))?;
        }
    }
    Ok(Outcome::Done)
}

/// Writes a model folder.
pub(super) fn write_folder(out: &Path, overwrite: bool, source: &Source) -> anyhow::Result<()> {
    let (folder, _claim) = run_folder::claim(out, overwrite)?;
    let history = source.history.as_ref().and_then(|history| Some((history, history.best()?)));
    let state = source.training.as_ref().map(|training| training.state.by_name()).transpose()?.flatten();
    folder.save(&Contents {
        config: &source.config,
        weights: &source.weights,
        epoch: history.map(|(_, best)| best),
        optimizer: state.as_ref(),
        tokenizer: source.tokenizer.as_ref(),
        history: history.map(|(history, _)| history),
    })?;
    // What was trained here before does not go on.
    folder.remove(STATE_FILE)?;
    folder.save_card(&source.config)?;
    if let Some((history, _)) = history {
        folder.save_pictures(&source.config.model.name, history)?;
    }
    Ok(())
}
