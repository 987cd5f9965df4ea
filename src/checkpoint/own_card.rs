//! What the model card says of a model of people's own texts.

use super::Config;
use crate::data::Targets;
use crate::text::{Padding, Side, TokenizerKind};
use std::fmt::Write;

/// What stands for the folder where nobody knows where it will be.
pub(super) const HERE: &str = "PATH/TO/THIS/FOLDER";

/// Whether the model was trained on people's own texts.
pub(super) fn is_own(config: &Config) -> bool {
    config.model.vocab_size().is_some() && (config.command.is_some() || !config.classes.is_empty())
}

/// What it is.
pub(super) fn kind(config: &Config) -> &'static str {
    match config.targets() {
        Some(Targets::Labels(_)) => "classifier of texts, any number of classes a text,",
        Some(Targets::Numbers) => "model that gives a number for a text",
        Some(Targets::Classes(_)) | None => "text classifier",
    }
}

/// The classes, and how the model is used that is found at `place`.
pub(super) fn write_use(config: &Config, place: &str, out: &mut String) {
    // Writing to a String cannot fail.
    if !config.classes.is_empty() {
        const SHOWN: usize = 100;
        let _ = writeln!(out, "## Classes\n");
        for class in config.classes.iter().take(SHOWN) {
            let _ = writeln!(out, "- {}", class.replace(['\n', '\r'], " "));
        }
        if config.classes.len() > SHOWN {
            let _ = writeln!(out, "- and {} more, in `config.json`", config.classes.len() - SHOWN);
        }
        if let (false, [_, second]) = (config.multi_label, config.classes.as_slice()) {
            let _ = writeln!(out, "\nThe one number that the model gives is the probability of {second}.");
        }
        out.push('\n');
    }
    let data = config.results.as_ref().map_or("FILE", |results| results.data.as_str());
    let data = shell(data);
    let _ = writeln!(out, "## Use\n\n```sh");
    let _ = writeln!(out, "candle-recurrent predict {place} \"a text of yours\"");
    let _ = writeln!(out, "candle-recurrent evaluate {place} --data {data}\n```\n");
    let _ = writeln!(out, "```rust");
    write_opening(place, out);
    let _ = writeln!(out, "let checkpoint = folder.load(&candle_core::Device::Cpu)?;");
    let _ = writeln!(out, "let answers = checkpoint.answer_counted(&[\"a text of yours\"])?;\n```\n");
}

/// How a program opens the folder.
pub(super) fn write_opening(place: &str, out: &mut String) {
    match place.starts_with("hf://") {
        true => {
            let _ = writeln!(
                out,
                "let hub = candle_recurrent::hub::Hub::from_env()?;\nlet needed = candle_recurrent::sharing::Needed::Model;\n\
                 let found = candle_recurrent::sharing::find_model(&hub, &\"{place}\".parse()?, needed, &mut |_| ())?;\n\
                 let folder = candle_recurrent::checkpoint::ModelFolder::open(found.path)?;"
            );
        }
        false => {
            let _ =
                writeln!(out, "let folder = candle_recurrent::checkpoint::ModelFolder::open(\"{place}\")?;");
        }
    }
}

/// What the texts are split into, and the command, which trains the model at `place` again.
pub(super) fn write_recipe(config: &Config, place: &str, out: &mut String) {
    let recipe = &config.recipe;
    if let Some(command) = &config.command {
        let _ = writeln!(out, "```sh\n{}\n```\n", command.replacen(HERE, place, 1));
    }
    let count = |kind: TokenizerKind| recipe.vocab_size.saturating_sub(kind.special());
    let _ = match recipe.tokenizer {
        Some(kind @ TokenizerKind::Word) => write!(out, "The {} most frequent words", count(kind)),
        Some(kind @ TokenizerKind::Char) => {
            write!(
                out,
                "The {} most frequent characters of the texts in Unicode's NFKC and lower case",
                count(kind)
            )
        }
        Some(kind @ TokenizerKind::Bpe) => {
            write!(
                out,
                "{} pieces of words, by byte-pair encoding of the texts in Unicode's NFKC and lower case",
                count(kind)
            )
        }
        None => write!(out, "The words of `tokenizer.json`"),
    };
    let _ = write!(
        out,
        " (ids below {}), texts {} to {} ids; ",
        recipe.vocab_size,
        padding_in_words(recipe.padding()),
        recipe.max_len
    );
}

/// How reviews come to one length.
pub(super) fn padding_in_words(Padding { padding, truncating }: Padding) -> String {
    let place = |side| if side == Side::Pre { "in front" } else { "at the end" };
    match padding == truncating {
        true => format!("cut or padded {}", place(padding)),
        false => format!("cut {} or padded {}", place(truncating), place(padding)),
    }
}

/// A name as a word of a shell.
fn shell(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@');
    if name.chars().all(plain) { name.into() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}
