//! What `train` is asked for: its arguments, checked, and the configurations that they make.

use super::begun::Begun;
use super::interrupt;
use super::model::Start;
use super::own_texts::OwnTexts;
use super::reading::Reading;
use super::recipe::RecipeArgs;
use super::series_args::SeriesArgs;
use super::values;
use anyhow::Context;
use candle_core::{Device, Tensor};
use candle_recurrent::checkpoint::{Config, Recipe};
use candle_recurrent::data::{self, ArraySource, LabelledSource, Sentences, Targets};
use candle_recurrent::model::ModelConfig;
use candle_recurrent::sharing::Needed;
use candle_recurrent::text::TokenizerKind;
use candle_recurrent::train::{LearningRate, OnNan, Shuffle};
use candle_recurrent::zoo;
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::path::PathBuf;

/// Train a model on reviews, your own texts or arrays, keep its best checkpoint, and measure it on the test data
///
/// The recipe is the model's own (`models/NAME/config.json` for the zoo) unless an option says otherwise. Training
/// stops when the validation loss has not improved for --patience epochs; the weights of the best epoch are written as
/// soon as they are found. Ctrl-C stops after the current batch; --resume goes on from there. The same seed gives the same weights,
/// bit for bit, whatever --threads says.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candle-recurrent train                          lstm on the built-in reviews, to runs/lstm
  candle-recurrent train all --data imdb          the chapter's nine models, compared
  candle-recurrent train gru --epochs 20 --learning-rate 1e-3 --out my-gru
  candle-recurrent train my-model/config.json --data aclImdb
  candle-recurrent train lstm --data reviews.csv --text-column document --label-column label
  candle-recurrent train lstm --init runs/lstm
  candle-recurrent train --resume runs/lstm
  candle-recurrent train forecaster.json --data prices.npz --loss huber --optimizer adam
  candle-recurrent train gru --data prices.csv --target close --features volume --window 60 --horizon 5
  candle-recurrent train best-lstm-model.h5 --data imdb --learning-rate 1e-5")]
pub(super) struct Args {
    /// A name of the zoo (see `list`), a config.json, a model folder (its layers and recipe, not its weights: see
    /// --init), a file of Keras's (.keras, .h5) or PyTorch's (.pt, with --config), which is trained on from its
    /// weights, one of these on the Hugging Face Hub (hf://OWNER/NAME), or all for the whole zoo
    #[arg(default_value = "lstm")]
    model: String,
    /// Draws initial weights, shuffles and dropout masks
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::seed)]
    pub(super) seed: u64,
    /// Draws the split into training and validation reviews, as scikit-learn's random_state
    #[arg(long, default_value_t = 42, value_name = "N", allow_negative_numbers = true, value_parser = values::split_seed)]
    pub(super) split_seed: u32,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Token ids are below this: 4 fixed ones and the most frequent words [default: the recipe's, 500 in the zoo; of your
    /// own texts, what comes twice or more, 20000 words, 5000 characters or 8000 pieces of words at most (see --tokenizer)]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::vocab_size)]
    pub(super) vocab_size: Option<usize>,
    /// Token ids in a review: longer ones lose their beginning (see --truncating), shorter ones are padded in front (see
    /// --padding) [default: the recipe's, 100 in the zoo; of your own texts, what 95 of 100 keep to]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::max_len)]
    pub(super) max_len: Option<usize>,
    /// The part of the training reviews kept for validation [default: the recipe's, 0.2 in the zoo]
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = values::fraction)]
    pub(super) validation_split: Option<f64>,
    #[command(flatten)]
    pub(super) own_texts: OwnTexts,
    #[command(flatten)]
    pub(super) series: SeriesArgs,
    /// The run's folder. With all: the folder of the nine runs' folders [default: runs/NAME, or runs/NAME-2 and so on]
    #[arg(long, value_name = "FOLDER")]
    pub(super) out: Option<PathBuf>,
    /// Replace a model or a run in --out; it stays until the first epoch of the new one is done
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Go on with a run that was stopped, by Ctrl-C or by anything else, as if it never had been; or with one that is done, for
    /// more --epochs. Its arguments are known
    #[arg(long, value_name = "RUN")]
    pub(super) resume: Option<PathBuf>,
    /// Where the run stands is written down after every epoch, and within one so often
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, allow_negative_numbers = true, value_parser = values::minutes)]
    pub(super) save_every: f64,
    /// Where the loss becomes NaN or infinite: stop, or rollback to the end of the epoch before and on from there at half the
    /// learning rate, three times at most
    #[arg(long, value_name = "WHAT", value_enum, default_value = "stop")]
    pub(super) on_nan: NanRule,
    /// How the run was begun that --resume names.
    #[arg(skip)]
    pub(super) resumed: Option<Begun>,
    /// Start from these weights, a model folder, a .safetensors or a PyTorch file (.pt) with the model's shapes, here or
    /// on the Hub (hf://OWNER/NAME); the vocabulary beside them is used too
    #[arg(long, value_name = "FILE")]
    pub(super) init: Option<PathBuf>,
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
    pub(super) remat: bool,
    #[command(flatten)]
    pub(super) reading: Reading,
    /// Print one JSON value: model, data, epochs, best_epoch, best_val_loss and the best epoch's other figures, test_loss
    /// and so on, seconds, folder; with all, a list of them. After Ctrl-C it is what was reached, with interrupted
    #[arg(long)]
    pub(super) json: bool,
}

/// What becomes of a run whose loss is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum NanRule {
    Stop,
    Rollback,
}

impl From<NanRule> for OnNan {
    fn from(rule: NanRule) -> Self {
        match rule {
            NanRule::Stop => Self::Stop,
            NanRule::Rollback => Self::Rollback,
        }
    }
}

/// What to train: everything the command line says, checked.
pub(super) struct Settings {
    pub(super) models: Vec<String>,
    pub(super) all: bool,
    /// The arrays to train on, where it is not reviews.
    pub(super) arrays: Option<ArraySource>,
    /// The labelled texts, where it is those.
    pub(super) labelled: Option<LabelledSource>,
    pub(super) args: Args,
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
        Ok(Settings { models, all, arrays: None, labelled: None, args: self })
    }

    /// The most epochs, where they are given.
    pub(super) fn epochs(&self) -> Option<usize> {
        self.recipe.epochs
    }

    /// Takes from the command that goes on with the run what may be other than when it was begun.
    pub(super) fn go_on(
        &mut self,
        now: Self,
        model: &str,
        run: PathBuf,
        epochs: Option<usize>,
        save_every: Option<f64>,
    ) {
        self.model = model.into();
        (self.out, self.resume) = (Some(run.clone()), Some(run));
        self.recipe.epochs = now.recipe.epochs.or(epochs);
        self.reading.go_on(&now.reading);
        self.json = now.json;
        if let Some(minutes) = save_every {
            self.save_every = minutes;
        }
    }

    /// What is said where a signal ends the program before training begins.
    pub(super) fn nothing_lost(&self) -> &'static str {
        match self.resumed {
            Some(_) => "interrupted before training went on: the run is as it was",
            None => interrupt::NOT_BEGUN,
        }
    }

    /// Changes a recipe's loss and metrics, after they were fitted to the data.
    pub(super) fn change_objective(&self, recipe: &mut Recipe) {
        self.recipe.apply_objective(recipe);
    }

    /// Changes a recipe.
    pub(super) fn change(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        self.recipe.apply(recipe)?;
        recipe.validation_split = self.validation_split.unwrap_or(recipe.validation_split);
        recipe.group_by_length &= !self.no_shuffle;
        recipe.shuffle = match (self.no_shuffle, self.reshuffle) {
            (true, _) => Shuffle::Never,
            (_, true) => Shuffle::EveryEpoch,
            _ => recipe.shuffle,
        };
        Ok(())
    }
}

impl Settings {
    /// The folder that a model's run goes to, where one is named.
    pub(super) fn out(&self, model: &str) -> Option<PathBuf> {
        match (&self.args.out, self.all) {
            (Some(out), true) => Some(out.join(model)),
            (out, _) => out.clone(),
        }
    }

    /// The model's own configuration with the command line's changes, and the weights that it brings.
    pub(super) fn start(&self, model: &str, device: &Device) -> anyhow::Result<Start> {
        let mut start = self.args.reading.model_for(Needed::Recipe, model)?.start(device)?;
        let has_weights = start.weights.is_some();
        let config = &mut start.config;
        if config.model.reads_text() {
            anyhow::bail!(
                "{model}: turns text into ids itself, and train gives ids; such a model is not trained on"
            );
        }
        let args = &self.args;
        let optimizer = config.recipe.optimizer.clone();
        args.change(&mut config.recipe)?;
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
        args.reading.encoding.set(&mut config.recipe);
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
        (config.results, config.command) = (None, None);
        // What a run on measurements said of its own.
        (config.series, config.sequences) = (None, None);
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
        if self.labelled.is_none() {
            config.model.check_binary_classifier().with_context(|| model.to_string())?;
            if config.recipe.tokenizer.is_some_and(|kind| kind != TokenizerKind::Word) {
                anyhow::bail!("{model}: its recipe's tokenizer is for texts of your own: --data FILE");
            }
        }
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

    /// The head for the labels, unless the command line says otherwise; of a model with weights only what fits them.
    pub(super) fn fit_head(
        &self,
        name: &str,
        start: &mut Start,
        sentences: &Sentences,
    ) -> anyhow::Result<()> {
        let has_weights = start.weights.is_some();
        let before = start.config.model.clone();
        let config = &mut start.config;
        config.fit_head(&sentences.targets).with_context(|| name.to_string())?;
        config.label_separator = sentences.separator.clone();
        if has_weights && config.model != before {
            anyhow::bail!(
                "{name}: its weights end in another layer than the labels take ({}); give its config.json, to begin anew",
                match &sentences.targets {
                    Targets::Classes(classes) => format!("{} classes", classes.len()),
                    Targets::Labels(classes) => format!("{} labels, any number of them a row", classes.len()),
                    Targets::Numbers => "numbers".into(),
                }
            );
        }
        if let (Some((mean, deviation)), false) = (sentences.scale(), has_weights) {
            config.scale_numbers(mean, deviation);
        }
        self.args.recipe.apply_objective(&mut config.recipe);
        Ok(())
    }

    pub(super) fn data_options(&self, config: &Config) -> data::Options {
        data::Options { split_seed: self.args.split_seed, ..config.recipe.data_options() }
    }
}

/// Refuses a model that is too large to be trained by this program: beyond 2³⁰ parameters, 4 GiB, several times over.
pub(super) fn check_size(model: &ModelConfig) -> anyhow::Result<()> {
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
