//! `train` on people's own labelled texts: the rows are split, and models fitted to them.

use super::dataset::Parts;
use super::hub;
use super::output::message;
use super::reading::Reading;
use anyhow::Context;
use candle_recurrent::checkpoint::{Checkpoint, Config};
use candle_recurrent::data::{
    Examples, Labelled, LabelledSource, Sentences, SplitOptions, Targets, Task, labelled_examples,
};
use candle_recurrent::sharing::{DataFiles, Wanted};
use candle_recurrent::text::{Tokenizer, TokenizerKind};
use candle_recurrent::train::Shuffle;
use std::path::PathBuf;

/// Takes a part of a data set of the Hub.
type OfPart = fn(&DataFiles) -> &[PathBuf];

/// The options of such a training.
#[derive(clap::Args)]
pub(super) struct OwnTexts {
    /// A file of texts and labels to validate on, in place of a part of --data; or hf://datasets/OWNER/NAME
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// A file of texts and labels to test on at the end; or hf://datasets/OWNER/NAME
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// What the labels are: classification (a class a row), multi-label (any number of classes a row: lists, or texts with
    /// separators, see --label-separator) or regression (numbers) [default: by the labels, classification or regression]
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// Read padding as the zoo's models do, step by step like words. Without this it is masked where the model's layers heed a mask,
    /// and texts of like length share a batch
    #[arg(long)]
    no_masking: bool,
}

impl OwnTexts {
    /// Refuses the options where the data are something else.
    pub(super) fn check_unused(&self) -> anyhow::Result<()> {
        let options = [
            (self.validation.is_some(), "--validation"),
            (self.test.is_some(), "--test"),
            (self.task.is_some(), "--task"),
            (self.no_masking, "--no-masking"),
        ];
        match options.into_iter().find(|(given, _)| *given) {
            Some((_, option)) => anyhow::bail!("{option}: goes with --data FILE, a file of texts and labels"),
            None => Ok(()),
        }
    }

    /// Masks the padding, where the layers heed that, and lets texts of like length share a batch. A model with weights stays
    /// as it is.
    /// So does one whose vocabulary has a word with id 0, and one of texts that are nothing but padding.
    pub(super) fn mask_padding(&self, config: &mut Config, has_weights: bool, parts: &Parts) {
        let stays = has_weights || self.no_masking || !pads_with_zero(parts);
        let skips = match stays {
            true => config.model.skips_padding(),
            false => config.model.mask_padding(),
        };
        config.recipe.group_by_length = skips && config.recipe.shuffle != Shuffle::Never;
    }

    /// The options that were given, with their values; of files without their folders, of the Hub's with their addresses.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let file = |path: &PathBuf| hub::public_name(path);
        let task = self.task.map(|task| match task {
            Task::Classification => "classification",
            Task::MultiLabel => "multi-label",
            Task::Regression => "regression",
        });
        let options = [
            ("--validation", self.validation.as_ref().map(file)),
            ("--test", self.test.as_ref().map(file)),
            ("--task", task.map(String::from)),
            ("--no-masking", self.no_masking.then(String::new)),
        ];
        options.into_iter().filter_map(|(option, value)| Some((option, value?))).collect()
    }

    /// Reads the files and splits the rows.
    pub(super) fn read(
        &self,
        source: &LabelledSource,
        reading: &Reading,
        validation_split: f64,
        seed: u32,
    ) -> anyhow::Result<Sentences> {
        let multi_label = self.task == Some(Task::MultiLabel);
        if let (Some(_), false) = (&source.label_separator, multi_label) {
            anyhow::bail!("--label-separator: goes with --task multi-label");
        }
        let source = &LabelledSource { multi_label, ..source.clone() };
        let [train, own_validation, own_test] = source.folders().unwrap_or_default();
        let source = &train.unwrap_or_else(|| source.clone());
        let other = |option: &str, path: &Option<PathBuf>, own: Option<LabelledSource>, part: OfPart| {
            let files = match path {
                None if own.is_some() => return Ok(own),
                // The part of --data, where that has parts.
                None => reading.hub_files()?.map(|files| part(files).to_vec()).unwrap_or_default(),
                Some(path) => match hub::data(path, Wanted::All, reading.quiet)? {
                    Some(files) if part(&files).is_empty() => files.train,
                    Some(files) => part(&files).to_vec(),
                    None if path.exists() => vec![path.clone()],
                    None => anyhow::bail!("{option} {}: there is no such file", path.display()),
                },
            };
            Ok(source.of_files(&files, None))
        };
        let validation = other("--validation", &self.validation, own_validation, |files| &files.validation)?;
        let test = other("--test", &self.test, own_test, |files| &files.test)?;
        (reading.status())(&format!("reading {}", source.path.display()));
        let train = source.read()?;
        // What stands between labels in the training rows does so in the others.
        let read = |source: Option<LabelledSource>| {
            let given = |source: &LabelledSource| train.separator.clone().or(source.label_separator.clone());
            let source = source.map(|source| LabelledSource { label_separator: given(&source), ..source });
            source.map(|source| source.read()).transpose()
        };
        let (validation, test) = (read(validation)?, read(test)?);
        let options = SplitOptions { task: self.task, validation_split, seed };
        let sentences = Sentences::new(train, validation, test, &options)?;
        tell(&sentences.notes, reading.quiet);
        Ok(sentences)
    }
}

/// Whether id 0 is no word, and every text has another id.
fn pads_with_zero(parts: &Parts) -> bool {
    let zero = parts.tokenizer.as_ref().and_then(|tokenizer| tokenizer.word(0)).unwrap_or_default();
    let is_padding = zero.is_empty() || zero.to_lowercase().contains("pad");
    let all = [Some(&parts.train), parts.validation.as_ref(), parts.test.as_ref()];
    let has_words = |examples: &Examples| {
        let Some(ids) = examples.inputs().first() else { return true };
        let width = ids.row_shape().iter().product::<usize>().max(1);
        let look = ids.try_for_each_part(|_, ids| {
            match ids.chunks_exact(width).all(|row| row.iter().any(|id| *id != 0.0)) {
                true => Ok(()),
                false => Err(()),
            }
        });
        look.is_ok()
    };
    is_padding && all.into_iter().flatten().all(has_words)
}

/// Passes on what was found. Warnings are passed on also where all else is quiet: no row is left out unsaid.
pub(super) fn tell(notes: &[String], quiet: bool) {
    notes.iter().filter(|note| !quiet || note.starts_with("warning: ")).for_each(|note| message(note));
}

/// What the vocabulary and the length of a row are to be.
pub(super) struct TextShape<'a> {
    pub(super) vocab_size: Option<usize>,
    pub(super) max_len: Option<usize>,
    /// A vocabulary that is given.
    pub(super) tokenizer: Option<&'a Tokenizer>,
    /// The kind of vocabulary that is asked for.
    pub(super) kind: Option<TokenizerKind>,
    /// Whether the model brings weights, which fit one vocabulary only.
    pub(super) has_weights: bool,
}

/// Fits vocabulary and length of a row to the texts, and makes the parts. The head is fitted already.
pub(super) fn fit(
    sentences: &Sentences,
    config: &mut Config,
    shape: &TextShape,
    quiet: bool,
) -> anyhow::Result<Parts> {
    // A recipe of people's own texts says its sizes; that of others, as of the zoo, says those of reviews.
    let own_kind = config.recipe.tokenizer;
    let recipe_says = own_kind.is_some() && (shape.kind.is_none() || shape.kind == own_kind);
    let tokenizer = match (shape.tokenizer, shape.kind) {
        (Some(_), Some(_)) => anyhow::bail!(
            "--tokenizer: the weights that training starts from have their own vocabulary beside them; leave it out"
        ),
        (Some(tokenizer), None) => tokenizer.clone(),
        (None, kind) => {
            let own = (shape.has_weights || recipe_says).then_some(config.recipe.vocab_size);
            let kind = kind.or(config.recipe.tokenizer).unwrap_or_default();
            sentences.tokenizer(kind, shape.vocab_size.or(own))?
        }
    };
    config.recipe.tokenizer = tokenizer.kind();
    let vocab_size = match shape.has_weights {
        true => config.recipe.vocab_size.max(tokenizer.vocab_size()),
        false => shape.vocab_size.unwrap_or(0).max(tokenizer.vocab_size()),
    };
    let max_len = match (shape.max_len, shape.has_weights) {
        (Some(max_len), _) => max_len,
        (None, has_weights) if has_weights || recipe_says => config.recipe.max_len,
        (None, _) => sentences.max_len(&tokenizer)?,
    };
    config.set_text_shape(vocab_size, max_len);
    let prepared = sentences.examples(&tokenizer, max_len, config.recipe.padding())?;
    tell(&prepared.notes, quiet);
    Ok(Parts {
        name: sentences.name.clone(),
        rows: "texts",
        train: prepared.train,
        validation: prepared.validation,
        test: prepared.test,
        tokenizer: Some(tokenizer),
    })
}

/// All rows of a file, for a model that is trained. One that does not name its classes says 0 or 1, negative or positive.
pub(super) fn test(
    source: &LabelledSource,
    checkpoint: &Checkpoint,
    model: &str,
) -> anyhow::Result<(Examples, Labelled, Vec<String>)> {
    let Some(tokenizer) = &checkpoint.tokenizer else {
        anyhow::bail!("{model}: has no vocabulary, so it cannot read text; give one with --tokenizer");
    };
    let config = &checkpoint.config;
    if source.label_separator.is_some() && !config.multi_label {
        anyhow::bail!(
            "--label-separator: {model} gives one class a text or a number, so rows have one label; leave it out"
        );
    }
    let label_separator = source.label_separator.clone().or_else(|| config.label_separator.clone());
    let source = LabelledSource { multi_label: config.multi_label, label_separator, ..source.clone() };
    let [train, _, test] = source.folders().unwrap_or_default();
    let mut rows = test.or(train).unwrap_or(source).read()?;
    let targets = match config.targets() {
        Some(targets) => targets,
        None => {
            config.model.check_binary_classifier().with_context(|| model.to_string())?;
            Targets::of_sentiment(&rows)
        }
    };
    let recipe = &config.recipe;
    let (examples, notes) =
        labelled_examples(&mut rows, &targets, tokenizer, recipe.max_len, recipe.padding())?;
    Ok((examples, rows, notes))
}
