//! `predict` with a model that turns text into ids itself.

use super::prediction::{Prediction, note_unknown};
use super::{Outcome, Output, predict_arrays};
use anyhow::bail;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_recurrent::checkpoint::Checkpoint;
use candle_recurrent::layers::{TextVectorization, Texts};
use candle_recurrent::model::{Class, ModelConfig};

/// Runs the texts through the model that the argument `name` gave.
pub(super) fn run(
    name: &str,
    checkpoint: &Checkpoint,
    texts: Vec<String>,
    as_json: bool,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let model = &checkpoint.config.model;
    let inputs = model.inputs();
    if inputs.len() != 1 {
        let names: Vec<&str> = inputs.iter().map(|layer| layer.name.as_str()).collect();
        bail!("{name}: has the inputs {}; give them with --input FILE", names.join(", "));
    }
    if texts.is_empty() {
        bail!("no text: give it as TEXT, or as lines on standard input");
    }
    let counts = unknown(model, &texts)?;
    let outputs =
        predict_arrays::forward(&checkpoint.model, &[Texts::column(texts.iter().cloned()).into()], None)?;
    let (Ok(()), Some(first)) = (model.check_binary_classifier(), outputs.first()) else {
        return predict_arrays::show(&outputs, None, as_json, output);
    };
    let probabilities = first.flatten_all()?.to_vec1::<f32>()?;
    let mut predictions = Vec::with_capacity(texts.len());
    for ((text, probability), counts) in texts.into_iter().zip(probabilities).zip(counts) {
        if !probability.is_finite() {
            bail!("the model gives no number for {text:?}: are its weights finite?");
        }
        let share =
            counts.filter(|(words, _)| *words > 0).map(|(words, unknown)| unknown as f32 / words as f32);
        predictions.push(Prediction::new(text, probability, share));
    }
    match as_json {
        true => output.json(&predictions)?,
        false => predictions.iter().try_for_each(|prediction| prediction.print(output))?,
    }
    Ok(Outcome::Done)
}

/// The words of each text and how many are unknown, where one layer of the model splits texts into words.
fn unknown(model: &ModelConfig, texts: &[String]) -> anyhow::Result<Vec<Option<(usize, usize)>>> {
    let mut layers = model.layers.iter().filter_map(|layer| match &layer.class {
        Class::TextVectorization(config) => Some(config),
        _ => None,
    });
    let (Some(config), None) = (layers.next(), layers.next()) else { return Ok(vec![None; texts.len()]) };
    let layer = TextVectorization::new(config.clone(), VarBuilder::zeros(DType::F32, &Device::Cpu))?;
    let count = |text: &String| {
        let (words, unknown) = layer.unknown(text)?;
        note_unknown(text, words, unknown);
        Ok(Some((words, unknown)))
    };
    texts.iter().map(count).collect()
}
