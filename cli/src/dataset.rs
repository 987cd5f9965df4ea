//! What a model is trained and measured on, whichever its kind: reviews, or arrays.

use super::reading::Reading;
use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::{self, ArraySource, Dataset, Examples, Source, load_arrays, model_inputs};
use candle_recurrent::model::ModelConfig;
use candle_recurrent::text::Tokenizer;
use candle_recurrent::train::heads;

/// The parts of the data.
#[derive(Clone)]
pub(super) struct Parts {
    /// What the data are called.
    pub(super) name: String,
    /// What a row is called, in the plural.
    pub(super) rows: &'static str,
    pub(super) train: Examples,
    pub(super) validation: Option<Examples>,
    pub(super) test: Option<Examples>,
    /// What turned text into ids.
    pub(super) tokenizer: Option<Tokenizer>,
}

/// Reviews by these options.
pub(super) fn reviews(
    reading: &Reading,
    source: &Source,
    options: &data::Options,
    tokenizer: Option<&Tokenizer>,
) -> anyhow::Result<Parts> {
    let splits = data::load(source, options, tokenizer, &mut reading.status())?;
    let examples = |dataset: &Dataset| Some(Examples::from(dataset)).filter(|examples| !examples.is_empty());
    Ok(Parts {
        rows: "reviews",
        train: Examples::from(&splits.train),
        validation: examples(&splits.validation),
        test: examples(&splits.test),
        name: splits.name,
        tokenizer: splits.tokenizer,
    })
}

/// Arrays as the model takes them; a part of the training rows is kept for validation where there is none.
pub(super) fn arrays(source: &ArraySource, config: &Config) -> anyhow::Result<Parts> {
    let mut splits = load_arrays(source, &model_inputs(&config.model), &outputs(&config.model)?)?;
    splits.split_validation(config.recipe.validation_split)?;
    let Some(train) = splits.train else {
        anyhow::bail!("{}: holds test data alone; training needs x and y", source.name());
    };
    Ok(Parts {
        name: source.name(),
        rows: "rows",
        train,
        validation: splits.validation,
        test: splits.test,
        tokenizer: None,
    })
}

/// The arrays that `evaluate` measures: those of the test, or all where there is no such part.
pub(super) fn test_arrays(source: &ArraySource, model: &ModelConfig) -> anyhow::Result<Examples> {
    let splits = load_arrays(source, &model_inputs(model), &outputs(model)?)?;
    match splits.test.or(splits.train) {
        Some(examples) => Ok(examples),
        None => anyhow::bail!("{}: holds no x and y", source.name()),
    }
}

fn outputs(model: &ModelConfig) -> anyhow::Result<Vec<String>> {
    Ok(heads(model)?.into_iter().map(|head| head.name).collect())
}
