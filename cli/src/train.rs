//! `train`: from a recipe and reviews to a model folder.

use super::comparison::{comparison_table, save_comparison};
use super::model::Init;
use super::output::message;
use super::reading::Reading;
use super::recorder::Recorder;
use super::report::Report;
use super::run_folder::Claim;
use super::{Outcome, Output, interrupt, run_folder, values};
use anyhow::Context;
use candle_core::Device;
use candle_recurrent::checkpoint::{Config, ModelFolder, Results, TOKENIZER_FILE};
use candle_recurrent::data::{self, Source, Splits};
use candle_recurrent::model::{ModelConfig, Weights};
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::{FitConfig, History, Shuffle, Stop, Trainer};
use candle_recurrent::zoo;
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde_json::json;
use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

/// Train a model, keep its best checkpoint, and measure it on the test reviews
///
/// The recipe is the model's own (`models/NAME/config.json` for the zoo) unless an option says otherwise. Training
/// stops when the validation loss has not improved for --patience epochs; the weights of the best epoch are written as
/// soon as they are found. Ctrl-C stops after the current batch and keeps them. The same seed gives the same weights,
/// bit for bit, whatever --threads says.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent train                          lstm on the built-in reviews, to runs/lstm
  candle-recurrent train all --data imdb          the chapter's five models, compared
  candle-recurrent train gru --epochs 20 --learning-rate 1e-3 --out my-gru
  candle-recurrent train my-model/config.json --data aclImdb
  candle-recurrent train lstm --init runs/lstm
  candle-recurrent train best-lstm-model.h5 --data imdb --learning-rate 1e-5")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a config.json, a model folder (its layers and recipe, not its weights: see
    /// --init), a file of Keras's (.keras, .h5), which is trained on from its weights, or all for the whole zoo
    #[arg(default_value = "lstm")]
    model: String,
    /// Draws initial weights, shuffles and dropout masks
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::seed)]
    seed: u64,
    /// Draws the split into training and validation reviews, as scikit-learn's random_state
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::split_seed)]
    split_seed: u32,
    /// The most epochs [default: the recipe's, 100 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    epochs: Option<usize>,
    /// Reviews a step [default: the recipe's, 64 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    batch_size: Option<usize>,
    /// RMSprop's step size [default: the recipe's, 0.0001 in the zoo]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, value_parser = values::rate)]
    learning_rate: Option<f64>,
    /// Epochs without a better validation loss before training stops [default: the recipe's, 3 in the zoo]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::whole)]
    patience: Option<usize>,
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
    /// The run's folder; an older model in it is replaced. With all: the folder of the five runs' folders [default:
    /// runs/NAME, or runs/NAME-2 and so on, so that no run replaces another]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Start from these weights, a model folder or a .safetensors with the model's shapes; the vocabulary beside them
    /// is used too
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Leave the training reviews in their own order (else one is drawn from the seed and kept for every epoch, as Keras
    /// does after set_random_seed)
    #[arg(long)]
    no_shuffle: bool,
    /// Draw another order every epoch, as Keras does without a seed
    #[arg(long, conflicts_with = "no_shuffle")]
    reshuffle: bool,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON value: model, data, epochs, best_epoch, best_val_loss, best_val_accuracy, test_loss,
    /// test_accuracy, seconds, folder; with all, a list of them. After Ctrl-C it is what was reached, with interrupted
    #[arg(long)]
    json: bool,
}

/// What to train: everything the command line says, checked.
pub(super) struct Settings {
    models: Vec<String>,
    all: bool,
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
        Ok(Settings { models, all, args: self })
    }
}

impl Settings {
    /// The model's own configuration with the command line's changes, and the weights that it brings.
    fn start(&self, model: &str, device: &Device) -> anyhow::Result<(Config, Option<Weights>)> {
        let (mut config, weights) = self.args.reading.model(model)?.start(device)?;
        if config.model.reads_text() {
            anyhow::bail!(
                "{model}: turns text into ids itself, and train gives ids; such a model is not trained on"
            );
        }
        if config.model.vocab_size().is_none() {
            anyhow::bail!("{model}: has no Embedding layer, so it cannot be trained on reviews");
        }
        config.model.check_binary_classifier().with_context(|| model.to_string())?;
        let args = &self.args;
        let recipe = &mut config.recipe;
        recipe.epochs = args.epochs.unwrap_or(recipe.epochs);
        recipe.batch_size = args.batch_size.unwrap_or(recipe.batch_size);
        recipe.patience = args.patience.unwrap_or(recipe.patience);
        recipe.validation_split = args.validation_split.unwrap_or(recipe.validation_split);
        recipe.optimizer.learning_rate = args.learning_rate.unwrap_or(recipe.optimizer.learning_rate);
        args.reading.encoding.set(recipe);
        let vocab_size = args.vocab_size.unwrap_or(recipe.vocab_size);
        if weights.is_some() && vocab_size != recipe.vocab_size {
            anyhow::bail!(
                "--vocab-size {vocab_size}: the weights of {model} are for {}; leave it out",
                recipe.vocab_size
            );
        }
        let max_len = args.max_len.unwrap_or(recipe.max_len);
        config.set_text_shape(vocab_size, max_len);
        config.results = None;
        config.check()?;
        check_size(&config.model).with_context(|| model.to_string())?;
        Ok((config, weights))
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

pub(super) fn run(settings: &Settings, output: &mut Output) -> anyhow::Result<Outcome> {
    let (args, reading) = (&settings.args, &settings.args.reading);
    interrupt::listen()?;
    let device = reading.device()?;
    // All configurations are read and checked before the first training begins.
    let configs =
        settings.models.iter().map(|model| settings.start(model, &device)).collect::<Result<Vec<_>, _>>()?;
    let init = args.init.as_deref().map(Init::find).transpose()?;
    reading.set_threads()?;

    let mut loaded: Option<(data::Options, Splits)> = None;
    let mut reports = Vec::new();
    for (config, own) in &configs {
        let weights = match (&init, own) {
            (Some(init), _) => Weights::load(&config.model, &init.weights, &device)?,
            (None, Some(own)) => own.clone(),
            (None, None) => Weights::init(&config.model, args.seed, &device)?,
        };
        let options = settings.data_options(config);
        let splits = match loaded.take().filter(|(of, _)| *of == options) {
            Some((_, splits)) => splits,
            None => {
                let named = reading.encoding.tokenizer(options.vocab_size)?;
                let beside = init.as_ref().and_then(|init| init.tokenizer.as_ref());
                let tokenizer = named.as_ref().or(beside);
                data::load(&reading.data, &options, tokenizer, &mut reading.status())?
            }
        };
        let (_, splits) = loaded.insert((options, splits));
        let out = match (&args.out, settings.all) {
            (Some(out), true) => Some(out.join(&config.model.name)),
            (out, _) => out.clone(),
        };
        // From here on there is something to keep, or to tidy up.
        interrupt::defer();
        let folder = run_folder::create(out.as_deref(), &config.model.name)?;
        let _claim = Claim::on(&folder)?;
        let run = Run { args, config, splits, folder: &folder, device: &device };
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
    splits: &'a Splits,
    folder: &'a ModelFolder,
    device: &'a Device,
}

impl Run<'_> {
    /// Trains and writes the folder.
    fn train(&self, weights: &Weights) -> anyhow::Result<Ended> {
        let Self { args, config, splits, folder, device } = *self;
        let summary = config.model.summary()?;
        if !args.reading.quiet {
            message(&format!(
                "{}: {} parameters; {}: {} training, {} validation and {} test reviews; seed {}; to {}",
                config.model.name,
                summary.total_params,
                splits.name,
                splits.train.len(),
                splits.validation.len(),
                splits.test.len(),
                args.seed,
                folder.path().display()
            ));
        }
        let mut trainer = Trainer::new(&config.model, weights, config.recipe.optimizer.clone())?;
        let shuffle = match (args.no_shuffle, args.reshuffle) {
            (true, _) => Shuffle::Never,
            (_, true) => Shuffle::EveryEpoch,
            _ => Shuffle::Once,
        };
        let fit_config = FitConfig { shuffle, ..config.recipe.fit_config(args.seed) };
        let data = data_name(&args.reading.data);
        let tokenizer: Option<&Tokenizer> = splits.tokenizer.as_ref();
        let mut recorder = Recorder::new(folder, config, tokenizer, &data, args.seed, args.reading.quiet);
        let (train, validation) = (&splits.train, &splits.validation);
        let mut run = || trainer.fit_watched(train, validation, &fit_config, &mut recorder);
        let outcome = if device.is_cpu() { candle_recurrent::awake(run) } else { run() };
        let results = recorder.results(None);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // What is kept gets its pictures and figures; the error that ended the run is the one to tell.
                let _ = recorder.finish(results);
                return Err(error.into());
            }
        };
        let Some(results) = results else {
            run_folder::remove_if_empty(folder);
            message("interrupted before the first epoch was done: nothing is kept");
            let (model, data) = (&config.model.name, &splits.name);
            let reached = json!({ "model": model, "data": data, "epochs": 0, "interrupted": true });
            return Ok(Ended::Interrupted(reached));
        };
        let report = |results: &Results, test_samples: usize, history: &History| Report {
            model: config.model.name.clone(),
            data: splits.name.clone(),
            epochs: results.epochs,
            best_epoch: results.best_epoch,
            best_val_loss: results.val_loss,
            best_val_accuracy: results.val_accuracy,
            test_loss: results.test_loss,
            test_accuracy: results.test_accuracy,
            seconds: results.seconds,
            folder: folder.path().display().to_string(),
            interrupted: results.test_loss.is_none(),
            params: summary.total_params,
            test_samples,
            history: history.clone(),
        };
        if outcome.stop == Stop::Interrupted {
            recorder.finish(Some(results.clone()))?;
            message(&format!(
                "interrupted: the best epoch so far ({} of {}, val_loss {:.4}) is kept in {}",
                results.best_epoch,
                results.epochs,
                results.val_loss,
                folder.path().display()
            ));
            let reached = serde_json::to_value(report(&results, 0, recorder.history()))?;
            return Ok(Ended::Interrupted(reached));
        }
        // The best weights are back in the model.
        let test = trainer.evaluate(&splits.test)?;
        let results = Results { test_loss: Some(test.loss), test_accuracy: Some(test.accuracy), ..results };
        recorder.finish(Some(results.clone()))?;
        if results.val_loss > GUESSING {
            message(&format!(
                "warning: the best val_loss, {:.4}, is worse than that of guessing, {LN_2:.4}; try another --learning-rate",
                results.val_loss
            ));
        }
        Ok(Ended::Done(report(&results, test.samples, recorder.history())))
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
        output.line(format_args!(
            "{} on {}: best epoch {} of {}, val_loss {:.4}, val_accuracy {:.4}, {:.1} s",
            report.model,
            report.data,
            report.best_epoch,
            report.epochs,
            report.best_val_loss,
            report.best_val_accuracy,
            report.seconds
        ))?;
        if let (Some(loss), Some(accuracy)) = (report.test_loss, report.test_accuracy) {
            output.line(format_args!(
                "test: loss {loss:.4}, accuracy {accuracy:.4} ({} reviews)",
                report.test_samples
            ))?;
        }
        output.line(format_args!("folder: {}", report.folder))?;
    }
    if let Some(picture) = &picture {
        let folders: Vec<&str> = reports.iter().map(|report| report.folder.as_str()).collect();
        output.line(format_args!("folders: {}", folders.join(", ")))?;
        output.line(format_args!("picture: {}", picture.display()))?;
    }
    let best = reports.iter().min_by(|a, b| a.best_val_loss.total_cmp(&b.best_val_loss));
    if let Some(best) = best {
        output.line(format_args!("next: {}", next_command(Path::new(&best.folder))))?;
    }
    Ok(())
}

/// What to type next.
fn next_command(folder: &Path) -> String {
    let reads_text = folder.join(TOKENIZER_FILE).is_file();
    let folder = folder.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '\\' | ':');
    let folder = if folder.chars().all(plain) { folder } else { format!("'{folder}'") };
    if !reads_text {
        return format!(
            "candle-recurrent evaluate {folder} (it has no tokenizer.json, so it cannot read text: Keras's \
             imdb_word_index.json was not beside the data)"
        );
    }
    format!("candle-recurrent predict {folder} \"I expected to hate it, but it is lovely\"")
}
