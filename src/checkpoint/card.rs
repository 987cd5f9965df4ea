//! The model card: `README.md` with the front matter that the Hugging Face Hub reads.

use super::{Config, Results, own_card};
use crate::Result;
use crate::model::{Class, ModelConfig};
use std::fmt::Write;

/// The card of a model: what it is, its figures where it is trained, its layers, and how to use it. The front matter
/// follows the Hub's specification (<https://huggingface.co/docs/hub/model-cards>), figures as a `model-index`.
///
/// # Errors
/// Where the layers do not fit each other.
pub fn card(config: &Config) -> Result<String> {
    card_at(config, own_card::HERE)
}

/// The same for a model that is found at `place`: a folder, or `hf://OWNER/NAME`.
///
/// # Errors
/// As [`card`].
pub fn card_at(config: &Config, place: &str) -> Result<String> {
    let (model, recipe) = (&config.model, &config.recipe);
    let summary = model.summary()?;
    let mut text = front_matter(config);
    let out = &mut text;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n# {}\n", model.name);
    let kind = match own_card::is_own(config) {
        true => own_card::kind(config),
        false if reads_text(config) => "text classifier",
        false => "model",
    };
    let _ = writeln!(
        out,
        "A {kind} ({}) of {} parameters, in Keras's layers and names, made and run by \
         [candle-recurrent](https://crates.io/crates/candle-recurrent) without Python.\n",
        layers_in_words(model),
        summary.total_params
    );
    if let Some(series) = &config.series {
        let (target, horizon, window) = (&series.target, series.horizon, series.window);
        let _ = writeln!(out, "It forecasts `{target}` {horizon} steps ahead from {window} rows.\n");
    }
    if let Some(sequences) = &config.sequences {
        let _ = writeln!(
            out,
            "It tells `{}` from sequences of {} steps of {}.\n",
            sequences.label_column,
            sequences.steps,
            sequences.features.join(", ")
        );
    }
    if let Some(results) = &config.results {
        let _ = writeln!(out, "![Loss curves](loss.svg)\n");
        if config.series.is_some() {
            let _ = writeln!(out, "![Forecasts of the test part](forecast.svg)\n");
        }
        let _ = writeln!(out, "| figure | value |\n|---|---|");
        for (name, value) in rows(results) {
            let _ = writeln!(out, "| {name} | {value} |");
        }
        out.push('\n');
    }
    if own_card::is_own(config) {
        own_card::write_use(config, place, out);
        let _ = writeln!(out, "## Layers\n\n```text\n{summary}```\n");
        let _ = writeln!(out, "## Recipe\n");
        own_card::write_recipe(config, place, out);
        write_training(config, out);
        return Ok(text);
    }
    let _ = writeln!(out, "## Use\n\n```sh");
    let takes_measurements = config.series.is_some() || config.sequences.is_some();
    let (what, data) = match reads_text(config) {
        _ if takes_measurements => ("--data measurements.csv", "measurements.csv"),
        true => ("\"I expected to hate it, but it is lovely\"", "imdb"),
        false => ("--input x.npz", "test.npz"),
    };
    let _ = writeln!(out, "candle-recurrent predict {place} {what}");
    let _ = writeln!(out, "candle-recurrent evaluate {place} --data {data}\n```\n");
    let _ = writeln!(out, "```rust");
    own_card::write_opening(place, out);
    let _ = writeln!(out, "let checkpoint = folder.load(&candle_core::Device::Cpu)?;\n```\n");
    let _ = writeln!(out, "## Layers\n\n```text\n{summary}```\n");
    let _ = writeln!(out, "## Recipe\n");
    if reads_text(config) {
        let _ = write!(
            out,
            "The {} most frequent words (ids below {}), reviews {} to {} ids; ",
            recipe.vocab_size.saturating_sub(4),
            recipe.vocab_size,
            own_card::padding_in_words(recipe.padding()),
            recipe.max_len,
        );
    }
    write_training(config, out);
    Ok(text)
}

/// How a model was trained, in a sentence that something stands before.
fn write_training(config: &Config, out: &mut String) {
    let recipe = &config.recipe;
    let (optimizer, batch_size, epochs) = (recipe.optimizer.in_words(), recipe.batch_size, recipe.epochs);
    let _ = write!(out, "{optimizer}, batches of {batch_size}, at most {epochs} epochs");
    if let Some(patience) = recipe.patience() {
        let _ = write!(out, ", stopped after {patience} without a better validation loss");
    }
    let _ = writeln!(out, "; the weights are those of the best epoch.");
}

/// The classes that learn sequences, with what sets them apart: `LSTM(8, dropout 0.3)`.
fn layers_in_words(model: &ModelConfig) -> String {
    let names: Vec<String> =
        model.layers.iter().filter_map(|layer| recurrent_in_words(&layer.class)).collect();
    if names.is_empty() { "no recurrent layer".into() } else { names.join(", ") }
}

/// A recurrent layer as `LSTM(8, dropout 0.3)`; `None` for the others.
pub fn recurrent_in_words(class: &Class) -> Option<String> {
    let (units, dropout, recurrent_dropout) = match class {
        Class::SimpleRNN(config) => (config.units, config.dropout, config.recurrent_dropout),
        Class::LSTM(config) => (config.units, config.dropout, config.recurrent_dropout),
        Class::GRU(config) => (config.units, config.dropout, config.recurrent_dropout),
        _ => return None,
    };
    let mut text = format!("{}({units}", class.name());
    for (name, rate) in [("dropout", dropout), ("recurrent dropout", recurrent_dropout)] {
        if rate > 0.0 {
            let _ = write!(text, ", {name} {rate}");
        }
    }
    text.push(')');
    Some(text)
}

fn rows(results: &Results) -> Vec<(String, String)> {
    let mut rows = vec![("data".to_string(), results.data.clone())];
    rows.extend(results.figures.iter().map(|(name, value)| (figure_in_words(name), format!("{value:.4}"))));
    rows.push(("best epoch".into(), format!("{} of {}", results.best_epoch, results.epochs)));
    rows.push(("seed".into(), results.seed.to_string()));
    rows
}

/// `val_accuracy` is the validation accuracy.
fn figure_in_words(name: &str) -> String {
    match name.strip_prefix("val_") {
        Some(name) => format!("validation {name}").replace('_', " "),
        None => name.replace('_', " "),
    }
}

/// IMDB on the Hub.
const IMDB: &str = "stanfordnlp/imdb";

/// The Hub's name for the data, and whether it is a data set of the Hub.
fn data_set(data: &str) -> (&str, bool) {
    if let Some(rest) = data.strip_prefix("hf://datasets/") {
        let name = rest.find('/').map_or(rest.len(), |slash| slash + 1);
        let end = rest[name..].find(['/', '@']).map_or(rest.len(), |end| name + end);
        return (&rest[..end], true);
    }
    match data {
        "imdb" | "imdb.npz" | "aclImdb" => (IMDB, true),
        other => (other, false),
    }
}

fn front_matter(config: &Config) -> String {
    // The licence of a model is for whoever trained it to choose.
    let mut text = String::from("---\nlibrary_name: candle\n");
    if reads_text(config) {
        text.push_str("pipeline_tag: text-classification\n");
    }
    text.push_str("tags:\n- candle\n- keras\n- safetensors\n");
    let mut classes: Vec<String> = Vec::new();
    for layer in &config.model.layers {
        if recurrent_in_words(&layer.class).is_some() {
            let class = layer.class.name().to_lowercase();
            if !classes.contains(&class) {
                let _ = writeln!(text, "- {class}");
                classes.push(class);
            }
        }
    }
    if let Some(results) = &config.results {
        let (data, on_hub) = data_set(&results.data);
        if data == IMDB {
            text.push_str("language:\n- en\n");
        }
        if on_hub {
            let _ = writeln!(text, "datasets:\n- {data}");
        }
        let metrics: Vec<(&str, f64)> = results
            .figures
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("test_")?, value)))
            .collect();
        let mut named: Vec<&str> = results.figures.names().map(bare).filter(|name| *name != "loss").collect();
        named.sort_unstable();
        named.dedup();
        if !named.is_empty() {
            let _ = writeln!(text, "metrics:\n- {}", named.join("\n- "));
        }
        if !metrics.is_empty() {
            let (name, data) = (quoted(&config.model.name), quoted(data));
            let (task, words) = match reads_text(config) {
                true => ("text-classification", "Text Classification"),
                false => ("other", "Other"),
            };
            let _ = write!(
                text,
                "model-index:\n- name: {name}\n  results:\n  - task:\n      type: {task}\n      \
                 name: {words}\n    dataset:\n      name: {data}\n      type: {data}\n      split: test\n    \
                 metrics:\n"
            );
            let (losses, others): (Vec<_>, Vec<_>) =
                metrics.into_iter().partition(|(name, _)| *name == "loss");
            for (name, value) in others.into_iter().chain(losses) {
                let _ = writeln!(text, "    - type: {name}\n      value: {value}");
            }
        }
    }
    text.push_str("---\n");
    text
}

/// A figure's name without whose it is.
fn bare(name: &str) -> &str {
    name.strip_prefix("val_").or_else(|| name.strip_prefix("test_")).unwrap_or(name)
}

/// Whether the model is one of texts: it reads ids and ends in one probability, or was trained on people's own texts.
fn reads_text(config: &Config) -> bool {
    let is_classifier = config.model.check_binary_classifier().is_ok() || own_card::is_own(config);
    config.model.vocab_size().is_some() && is_classifier
}

/// A text as YAML: JSON's strings are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
