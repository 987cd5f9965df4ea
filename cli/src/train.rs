//! `train`: from a recipe and data to a model folder.

use super::comparison::{comparison_table, save_comparison};
use super::dataset::{self, Parts};
use super::model::{Init, Start};
use super::output::message;
use super::reading::Reading;
use super::recipe::RecipeArgs;
use super::recorder::Recorder;
use super::report::Report;
use super::run_folder::Claim;
use super::{Outcome, Output, interrupt, run_folder, values};
use anyhow::Context;
use candle_core::{Device, Tensor};
use candle_recurrent::checkpoint::{Config, ModelFolder, Results, TOKENIZER_FILE};
use candle_recurrent::data::{self, ArraySource, Examples, Source};
use candle_recurrent::model::{ModelConfig, Weights};
use candle_recurrent::train::{
    CallbackConfig, Figures, History, LearningRate, ModelCheckpoint, Shuffle, Stop, Trainer,
};
use candle_recurrent::zoo;
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde_json::json;
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

/// Train a model on reviews or arrays, keep its best checkpoint, and measure it on the test data
///
/// The recipe is the model's own (`models/NAME/config.json` for the zoo) unless an option says otherwise. Training
/// stops when the validation loss has not improved for --patience epochs; the weights of the best epoch are written as
/// soon as they are found. Ctrl-C stops after the current batch and keeps them. The same seed gives the same weights,
/// bit for bit, whatever --threads says.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent train                          lstm on the built-in reviews, to runs/lstm
  candle-recurrent train all --data imdb          the chapter's nine models, compared
  candle-recurrent train gru --epochs 20 --learning-rate 1e-3 --out my-gru
  candle-recurrent train my-model/config.json --data aclImdb
  candle-recurrent train lstm --init runs/lstm
  candle-recurrent train forecaster.json --data prices.npz --loss huber --optimizer adam
  candle-recurrent train best-lstm-model.h5 --data imdb --learning-rate 1e-5")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a config.json, a model folder (its layers and recipe, not its weights: see
    /// --init), a file of Keras's (.keras, .h5) or PyTorch's (.pt, with --config), which is trained on from its
    /// weights, or all for the whole zoo
    #[arg(default_value = "lstm")]
    model: String,
    /// Draws initial weights, shuffles and dropout masks
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::seed)]
    seed: u64,
    /// Draws the split into training and validation reviews, as scikit-learn's random_state
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::split_seed)]
    split_seed: u32,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Token ids are below this: 4 fixed ones and the most frequent words [default: the recipe's, 500 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::vocab_size)]
    vocab_size: Option<usize>,
    /// Token ids in a review: longer ones lose their beginning (see --truncating), shorter ones are padded in front (see
    /// --padding) [default: the recipe's, 100 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::max_len)]
    max_len: Option<usize>,
    /// The part of the training reviews kept for validation [default: the recipe's, 0.2 in the zoo]
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = values::fraction)]
    validation_split: Option<f64>,
    /// The run's folder; an older model in it is replaced. With all: the folder of the nine runs' folders [default:
    /// runs/NAME, or runs/NAME-2 and so on, so that no run replaces another]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Start from these weights, a model folder, a .safetensors or a PyTorch file (.pt) with the model's shapes; the
    /// vocabulary beside them is used too
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Leave the training rows in their own order [default: the recipe's, else one is drawn from the seed and kept for
    /// every epoch, as Keras does after set_random_seed]
    #[arg(long)]
    no_shuffle: bool,
    /// Draw another order every epoch, as Keras does without a seed
    #[arg(long, conflicts_with = "no_shuffle")]
    reshuffle: bool,
    /// Keep less of each batch in memory: what an LSTM, GRU or SimpleRNN computed is computed again on the way back, which takes
    /// about a third more time and gives the same weights. Layers that would keep more than 512 MiB do so anyway
    #[arg(long)]
    remat: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON value: model, data, epochs, best_epoch, best_val_loss and the best epoch's other figures, test_loss
    /// and so on, seconds, folder; with all, a list of them. After Ctrl-C it is what was reached, with interrupted
    #[arg(long)]
    json: bool,
}

/// What to train: everything the command line says, checked.
pub(super) struct Settings {
    models: Vec<String>,
    all: bool,
    /// The arrays to train on, where it is not reviews.
    arrays: Option<ArraySource>,
    args: Args,
}

impl Args {
    /// Checks what clap cannot: options that do not go together.
    pub(super) fn settings(self) -> Result<Settings, clap::Error> {
        let all = self.model == "all";
        if all && self.init.is_some() {
            let what = "--init goes with one model, not with `all`: its weights fit one architecture only";
            return Err(super::Cli::command().error(ErrorKind::ArgumentConflict, what));
        }
        let models = match all {
            true => zoo::names().map(String::from).collect(),
            false => vec![self.model.clone()],
        };
        Ok(Settings { models, all, arrays: None, args: self })
    }
}

impl Settings {
    /// The model's own configuration with the command line's changes, and the weights that it brings.
    fn start(&self, model: &str, device: &Device) -> anyhow::Result<Start> {
        let mut start = self.args.reading.model(model)?.start(device)?;
        let has_weights = start.weights.is_some();
        let config = &mut start.config;
        if config.model.reads_text() {
            anyhow::bail!(
                "{model}: turns text into ids itself, and train gives ids; such a model is not trained on"
            );
        }
        let args = &self.args;
        let optimizer = config.recipe.optimizer.clone();
        args.recipe.apply(&mut config.recipe)?;
        if config.recipe.optimizer.class != optimizer.class {
            // Another optimiser begins anew.
            start.state = None;
        }
        if let (Some(state), LearningRate::Constant(rate)) =
            (&mut start.state, &config.recipe.optimizer.learning_rate)
        {
            state.insert("learning_rate".into(), Tensor::new(*rate, &Device::Cpu)?);
        } else if let Some(state) = &mut start.state {
            state.remove("learning_rate");
        }
        let recipe = &mut config.recipe;
        recipe.validation_split = args.validation_split.unwrap_or(recipe.validation_split);
        recipe.shuffle = match (args.no_shuffle, args.reshuffle) {
            (true, _) => Shuffle::Never,
            (_, true) => Shuffle::EveryEpoch,
            _ => recipe.shuffle,
        };
        args.reading.encoding.set(recipe);
        if self.args.init.is_some() {
            // The state belongs to the weights that are not taken.
            start.state = None;
        }
        if self.arrays.is_some() {
            let texts = [(args.vocab_size.is_some(), "--vocab-size"), (args.max_len.is_some(), "--max-len")];
            let given = texts.into_iter().find_map(|(given, name)| given.then_some(name));
            if let Some(option) = given.or(args.reading.encoding.given()) {
                anyhow::bail!("{option}: is for reviews, and the data are arrays; leave it out");
            }
        } else {
            self.shape_texts(model, config, has_weights)?;
        }
        config.results = None;
        config.check()?;
        check_size(&config.model).with_context(|| model.to_string())?;
        Ok(start)
    }

    /// The vocabulary and the length of reviews, in recipe and model.
    fn shape_texts(&self, model: &str, config: &mut Config, has_weights: bool) -> anyhow::Result<()> {
        if config.model.vocab_size().is_none() {
            anyhow::bail!(
                "{model}: has no Embedding layer, so it cannot be trained on reviews; give arrays: --data FILE.npz with x and y"
            );
        }
        config.model.check_binary_classifier().with_context(|| model.to_string())?;
        let (args, recipe) = (&self.args, &config.recipe);
        let vocab_size = args.vocab_size.unwrap_or(recipe.vocab_size);
        if has_weights && vocab_size != recipe.vocab_size {
            anyhow::bail!(
                "--vocab-size {vocab_size}: the weights of {model} are for {}; leave it out",
                recipe.vocab_size
            );
        }
        let max_len = args.max_len.unwrap_or(recipe.max_len);
        config.set_text_shape(vocab_size, max_len);
        Ok(())
    }

    fn data_options(&self, config: &Config) -> data::Options {
        data::Options { split_seed: self.args.split_seed, ..config.recipe.data_options() }
    }
}

/// Refuses a model that is too large to be trained by this program: beyond 2³⁰ parameters, 4 GiB, several times over.
fn check_size(model: &ModelConfig) -> anyhow::Result<()> {
    // Each variable by itself is below 2³¹.
    let sizes = model.variables()?.into_iter().map(|(_, shape)| shape.into_iter().product::<usize>());
    let params = sizes.fold(0, usize::saturating_add);
    if params > 1 << 30 {
        anyhow::bail!(
            "has {params} parameters, and training takes at most 2^30; make its layers or vocabulary smaller"
        );
    }
    Ok(())
}

pub(super) fn run(mut settings: Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    settings.arrays = settings.args.reading.arrays()?;
    let settings = &settings;
    let (args, reading) = (&settings.args, &settings.args.reading);
    interrupt::listen()?;
    let device = reading.device()?;
    // All configurations are read and checked before the first training begins.
    let mut configs =
        settings.models.iter().map(|model| settings.start(model, &device)).collect::<Result<Vec<_>, _>>()?;
    let init = args.init.as_deref().map(Init::find).transpose()?;
    reading.set_threads()?;

    let mut loaded: Option<(data::Options, Parts)> = None;
    let mut reports = Vec::new();
    for (name, start) in settings.models.iter().zip(&mut configs) {
        let Start { config, weights: own, state, notes } = start;
        for note in notes.iter().filter(|_| !reading.quiet) {
            message(&format!("warning: {name}: {note}"));
        }
        let weights = match (&init, own) {
            (Some(init), _) => init.weights(&config.model, &device)?,
            (None, Some(own)) => own.clone(),
            (None, None) => Weights::init(&config.model, args.seed, &device)?,
        };
        let options = settings.data_options(config);
        let parts = match (&settings.arrays, loaded.take().filter(|(of, _)| *of == options)) {
            (Some(source), _) => dataset::arrays(source, config)?,
            (None, Some((_, parts))) => parts,
            (None, None) => {
                let named = reading.encoding.tokenizer(options.vocab_size)?;
                let beside = init.as_ref().and_then(|init| init.tokenizer.as_ref());
                dataset::reviews(reading, &reading.data, &options, named.as_ref().or(beside))?
            }
        };
        let (_, parts) = loaded.insert((options, parts));
        if let Some(guessed) = config.guess_objective(parts.train.targets())?
            && settings.arrays.is_some()
            && !reading.quiet
        {
            message(&format!("note: {guessed}"));
        }
        let out = match (&args.out, settings.all) {
            (Some(out), true) => Some(out.join(&config.model.name)),
            (out, _) => out.clone(),
        };
        // From here on there is something to keep, or to tidy up.
        interrupt::defer();
        let folder = run_folder::create(out.as_deref(), &config.model.name)?;
        let _claim = Claim::on(&folder)?;
        let run = Run { args, config, parts, state: state.as_ref(), folder: &folder, device: &device };
        match run.train(&weights) {
            Ok(Ended::Done(report)) => reports.push(report),
            Ok(Ended::Interrupted(reached)) => {
                if args.json && settings.all {
                    let mut all = serde_json::to_value(&reports)?;
                    all.as_array_mut().into_iter().for_each(|all| all.push(reached.clone()));
                    output.json(&all)?;
                } else if args.json {
                    output.json(&reached)?;
                }
                return Ok(Outcome::Interrupted);
            }
            Err(error) => {
                run_folder::remove_if_empty(&folder);
                return Err(error);
            }
        }
    }
    report(settings, &reports, output)?;
    Ok(Outcome::Done)
}

/// A loss that is worse than calling both classes equally likely, by more than chance.
const GUESSING: f64 = LN_2 + 0.01;

/// How a training ended.
enum Ended {
    Done(Report),
    /// By Ctrl-C: what it had come to, for `--json`.
    Interrupted(serde_json::Value),
}

/// One model's training.
struct Run<'a> {
    args: &'a Args,
    config: &'a Config,
    parts: &'a Parts,
    /// What the optimiser goes on from.
    state: Option<&'a BTreeMap<String, Tensor>>,
    folder: &'a ModelFolder,
    device: &'a Device,
}

impl Run<'_> {
    /// Trains and writes the folder.
    fn train(&self, weights: &Weights) -> anyhow::Result<Ended> {
        let Self { args, config, parts, state, folder, device } = *self;
        let summary = config.model.summary()?;
        if !args.reading.quiet {
            let count = |part: &Option<Examples>| part.as_ref().map_or(0, Examples::rows);
            message(&format!(
                "{}: {} parameters; {}: {} training, {} validation and {} test {}; seed {}; to {}",
                config.model.name,
                summary.total_params,
                parts.name,
                parts.train.rows(),
                count(&parts.validation),
                count(&parts.test),
                parts.rows,
                args.seed,
                folder.path().display()
            ));
        }
        let mut trainer =
            Trainer::new(&config.model, weights, config.recipe.optimizer.clone(), config.objective()?)?;
        if let Some(state) = state {
            let optimizer = trainer.optimizer_mut();
            match optimizer.load_state(state) {
                Ok(()) if args.reading.quiet => {}
                Ok(()) => {
                    let (class, steps) = (optimizer.config().class.name(), optimizer.iterations());
                    message(&format!("{class} goes on from the file's state, after {steps} steps"));
                }
                Err(error) => {
                    message(&format!("warning: the optimizer begins anew: its state does not fit: {error}"))
                }
            }
        }
        if let Some(test) = &parts.test {
            trainer.check("test", test, config.recipe.batch_size)?;
        }
        let mut fit_config = config.recipe.fit_config(args.seed);
        if !fit_config.callbacks.iter().any(|callback| matches!(callback, CallbackConfig::ModelCheckpoint(_)))
        {
            // Something is to be kept: the last epoch.
            fit_config.callbacks.push(ModelCheckpoint::default().into());
        }
        if args.remat {
            candle_recurrent::recompute_beyond(0);
        }
        let mut recorder = Recorder::new(
            folder,
            config,
            parts.tokenizer.as_ref(),
            &self.data(),
            args.seed,
            args.reading.quiet,
        );
        let mut run =
            || trainer.fit_watched(&parts.train, parts.validation.as_ref(), &fit_config, &mut recorder);
        let outcome = if device.is_cpu() { candle_recurrent::awake(run) } else { run() };
        let results = recorder.results();
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // What is kept gets its pictures and figures; the error that ended the run is the one to tell.
                let _ = recorder.finish(results);
                return Err(error.into());
            }
        };
        let Some(mut results) = results else {
            run_folder::remove_if_empty(folder);
            message("interrupted before the first epoch was done: nothing is kept");
            let (model, data) = (&config.model.name, &parts.name);
            let reached = json!({ "model": model, "data": data, "epochs": 0, "interrupted": true });
            return Ok(Ended::Interrupted(reached));
        };
        let report = |results: &Results, interrupted: bool, history: &History| Report {
            model: config.model.name.clone(),
            data: parts.name.clone(),
            interrupted,
            folder: folder.path().display().to_string(),
            params: summary.total_params,
            test_samples: parts.test.as_ref().map_or(0, Examples::rows),
            rows: parts.rows,
            history: history.clone(),
            results: results.clone(),
        };
        if outcome.stop == Stop::Interrupted {
            recorder.finish(Some(results.clone()))?;
            message(&format!(
                "interrupted: the best epoch so far ({} of {}, loss {:.4}) is kept in {}",
                results.best_epoch,
                results.epochs,
                results.judged_loss(),
                folder.path().display()
            ));
            let reached = serde_json::to_value(report(&results, true, recorder.history()))?;
            return Ok(Ended::Interrupted(reached));
        }
        if let Some(test) = &parts.test {
            // The epoch that was kept may be another than the last.
            weights.restore(&folder.weights(&config.model, device)?.snapshot()?)?;
            let test = trainer.evaluate(test, config.recipe.batch_size)?;
            test.figures.prefixed("test_").iter().for_each(|(name, value)| results.figures.set(name, value));
        }
        recorder.finish(Some(results.clone()))?;
        let last = recorder.history().epochs.last();
        if let Some((name, _)) =
            last.and_then(|epoch| epoch.figures.iter().find(|(_, value)| !value.is_finite()))
        {
            message(&format!(
                "warning: the figure {name} is no number: is the metric defined for these targets?"
            ));
        }
        let is_plain = config.recipe.loss == "binary_crossentropy" && parts.train.weights().is_empty();
        if is_plain && results.get("val_loss").is_some_and(|loss| loss > GUESSING) {
            message(&format!(
                "warning: the best val_loss, {:.4}, is worse than that of guessing, {LN_2:.4}; try another --learning-rate",
                results.judged_loss()
            ));
        }
        Ok(Ended::Done(report(&results, false, recorder.history())))
    }

    /// What the model card calls the data.
    fn data(&self) -> String {
        match self.parts.tokenizer.is_some() || self.parts.rows == "reviews" {
            true => data_name(&self.args.reading.data),
            false => self.parts.name.clone(),
        }
    }
}

/// What the model card calls the data: no more of a path than its last part.
fn data_name(source: &Source) -> String {
    match source {
        Source::Path(path) => match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "data".into(),
        },
        other => other.to_string(),
    }
}

fn report(settings: &Settings, reports: &[Report], output: &mut Output) -> anyhow::Result<()> {
    let args = &settings.args;
    let picture = match settings.all {
        true => {
            let runs: Vec<_> = reports.iter().map(|run| (run.model.clone(), run.history.clone())).collect();
            Some(save_comparison(&runs, &data_name(&args.reading.data), args.out.as_deref())?)
        }
        false => None,
    };
    match (args.json, settings.all, reports) {
        (true, false, [report]) => return output.json(report),
        (true, ..) => return output.json(&reports),
        (false, true, _) => output.line(comparison_table(reports))?,
        (false, ..) => {}
    }
    if let (false, [report]) = (settings.all, reports) {
        let results = &report.results;
        let words = |figures: Figures| {
            figures.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join(", ")
        };
        output.line(format_args!(
            "{} on {}: best epoch {} of {}, {}, {:.1} s",
            report.model,
            report.data,
            results.best_epoch,
            results.epochs,
            words(report.own_figures()),
            results.seconds
        ))?;
        let test = report.test_figures();
        if !test.is_empty() {
            output.line(format_args!("test: {} ({} {})", words(test), report.test_samples, report.rows))?;
        }
        output.line(format_args!("folder: {}", report.folder))?;
    }
    if let Some(picture) = &picture {
        let folders: Vec<&str> = reports.iter().map(|report| report.folder.as_str()).collect();
        output.line(format_args!("folders: {}", folders.join(", ")))?;
        output.line(format_args!("picture: {}", picture.display()))?;
    }
    let best = reports.iter().min_by(|a, b| a.results.judged_loss().total_cmp(&b.results.judged_loss()));
    if let Some(best) = best {
        output.line(format_args!("next: {}", next_command(Path::new(&best.folder), settings)))?;
    }
    Ok(())
}

/// What to type next.
fn next_command(folder: &Path, settings: &Settings) -> String {
    let reads_text = folder.join(TOKENIZER_FILE).is_file();
    let folder = folder.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '\\' | ':');
    let folder = if folder.chars().all(plain) { folder } else { format!("'{folder}'") };
    if settings.arrays.is_some() {
        return format!("candle-recurrent predict {folder} --input x.npz");
    }
    if !reads_text {
        return format!(
            "candle-recurrent evaluate {folder} (it has no tokenizer.json, so it cannot read text: Keras's \
             imdb_word_index.json was not beside the data)"
        );
    }
    format!("candle-recurrent predict {folder} \"I expected to hate it, but it is lovely\"")
}
