//! The model card: `README.md` with the front matter that the Hugging Face Hub reads.

use super::{Config, Results};
use crate::Result;
use crate::model::{Class, ModelConfig};
use crate::text::{Padding, Side};
use std::fmt::Write;

/// The card of a model: what it is, its figures where it is trained, its layers, and how to use it. The front matter
/// follows the Hub's specification (<https://huggingface.co/docs/hub/model-cards>), figures as a `model-index`.
///
/// # Errors
/// Where the layers do not fit each other.
pub fn card(config: &Config) -> Result<String> {
    let (model, recipe) = (&config.model, &config.recipe);
    let summary = model.summary()?;
    let mut text = front_matter(config);
    let out = &mut text;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n# {}\n", model.name);
    let _ = writeln!(
        out,
        "A text classifier ({}) of {} parameters, in Keras's layers and names, made and run by \
         [candle-recurrent](https://crates.io/crates/candle-recurrent) without Python.\n",
        layers_in_words(model),
        summary.total_params
    );
    if let Some(results) = &config.results {
        let _ = writeln!(out, "![Loss curves](loss.svg)\n");
        let _ = writeln!(out, "| figure | value |\n|---|---|");
        for (name, value) in rows(results) {
            let _ = writeln!(out, "| {name} | {value} |");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "## Use\n\n```sh");
    let _ = writeln!(
        out,
        "candle-recurrent predict PATH/TO/THIS/FOLDER \"I expected to hate it, but it is lovely\""
    );
    let _ = writeln!(out, "candle-recurrent evaluate PATH/TO/THIS/FOLDER --data imdb\n```\n");
    let _ = writeln!(out, "```rust");
    let _ = writeln!(
        out,
        "let folder = candle_recurrent::checkpoint::ModelFolder::open(\"PATH/TO/THIS/FOLDER\")?;"
    );
    let _ = writeln!(out, "let checkpoint = folder.load(&candle_core::Device::Cpu)?;\n```\n");
    let _ = writeln!(out, "## Layers\n\n```text\n{summary}```\n");
    let _ = writeln!(out, "## Recipe\n");
    let _ = writeln!(
        out,
        "The {} most frequent words (ids below {}), reviews {} to {} ids; RMSprop with learning \
         rate {}, batches of {}, at most {} epochs, stopped after {} without a better validation loss; the weights are \
         those of the best epoch.",
        recipe.vocab_size.saturating_sub(4),
        recipe.vocab_size,
        padding_in_words(recipe.padding()),
        recipe.max_len,
        recipe.optimizer.learning_rate,
        recipe.batch_size,
        recipe.epochs,
        recipe.patience
    );
    Ok(text)
}

/// How reviews come to one length.
fn padding_in_words(Padding { padding, truncating }: Padding) -> String {
    let place = |side| if side == Side::Pre { "in front" } else { "at the end" };
    match padding == truncating {
        true => format!("cut or padded {}", place(padding)),
        false => format!("cut {} or padded {}", place(truncating), place(padding)),
    }
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

fn rows(results: &Results) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("data", results.data.clone()),
        ("validation loss", format!("{:.4}", results.val_loss)),
        ("validation accuracy", format!("{:.4}", results.val_accuracy)),
    ];
    for (name, value) in [("test loss", results.test_loss), ("test accuracy", results.test_accuracy)] {
        rows.extend(value.map(|value| (name, format!("{value:.4}"))));
    }
    rows.push(("best epoch", format!("{} of {}", results.best_epoch, results.epochs)));
    rows.push(("seconds of training", format!("{:.1}", results.seconds)));
    rows.push(("seed", results.seed.to_string()));
    rows
}

/// The Hub's name for the data, and whether it is a data set of the Hub.
fn data_set(data: &str) -> (&str, bool) {
    match data {
        "imdb" | "imdb.npz" | "aclImdb" => ("stanfordnlp/imdb", true),
        other => (other, false),
    }
}

fn front_matter(config: &Config) -> String {
    let mut text = String::from("---\nlicense:\n- mit\n- apache-2.0\nlibrary_name: candle\n");
    text.push_str("pipeline_tag: text-classification\ntags:\n- candle\n- keras\n- safetensors\n");
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
        if on_hub {
            let _ = writeln!(text, "language:\n- en\ndatasets:\n- {data}");
        }
        text.push_str("metrics:\n- accuracy\n");
        if let (Some(loss), Some(accuracy)) = (results.test_loss, results.test_accuracy) {
            let (name, data) = (quoted(&config.model.name), quoted(data));
            let _ = write!(
                text,
                "model-index:\n- name: {name}\n  results:\n  - task:\n      type: text-classification\n      \
                 name: Text Classification\n    dataset:\n      name: {data}\n      type: {data}\n      split: test\n    \
                 metrics:\n    - type: accuracy\n      value: {accuracy}\n    - type: loss\n      value: {loss}\n"
            );
        }
    }
    text.push_str("---\n");
    text
}

/// A text as YAML: JSON's strings are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
