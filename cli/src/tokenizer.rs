//! `--tokenizer`: what turns text into ids, and how its rows come to one length.

use super::output::message;
use anyhow::{Context, bail};
use candle_recurrent::checkpoint::Recipe;
use candle_recurrent::data;
use candle_recurrent::formats::read_text;
use candle_recurrent::text::{Side, Tokenizer, TokenizerKind, Vocabulary};
use candle_recurrent::zoo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::path::Path;

/// The options of commands that turn text into ids.
#[derive(clap::Args)]
pub(super) struct Encoding {
    /// What turns text into ids, in place of the model's own vocabulary: imdb (Keras's words of IMDB), imdb:FILE (a word
    /// index such as imdb_word_index.json), keras:FILE (Keras's own Tokenizer: its to_json(), its pickle or its
    /// word_index), or a tokenizer.json. Of your own texts train makes one: of words (word, the default), characters (char) or
    /// pieces of words by byte-pair encoding (bpe)
    #[arg(long, value_name = "KIND|FILE")]
    pub(super) tokenizer: Option<String>,
    /// Where zeros are put to short texts, as pad_sequences' padding: pre or post [default: the model's, pre]
    #[arg(long, value_name = "SIDE")]
    padding: Option<Side>,
    /// Where long texts are cut, as pad_sequences' truncating: pre or post [default: the model's, pre]
    #[arg(long, value_name = "SIDE")]
    truncating: Option<Side>,
}

impl Encoding {
    /// The first of the options that is there.
    pub(super) fn given(&self) -> Option<&'static str> {
        let options = [
            (self.tokenizer.is_some(), "--tokenizer"),
            (self.padding.is_some(), "--padding"),
            (self.truncating.is_some(), "--truncating"),
        ];
        options.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// Puts what was asked for into a recipe.
    pub(super) fn set(&self, recipe: &mut Recipe) {
        recipe.padding = self.padding.unwrap_or(recipe.padding);
        recipe.truncating = self.truncating.unwrap_or(recipe.truncating);
    }

    /// The kind of tokenizer that is to be fitted to texts, where it is a kind that `--tokenizer` names.
    pub(super) fn kind(&self) -> Option<TokenizerKind> {
        self.tokenizer.as_deref().and_then(|named| named.parse().ok())
    }

    /// The vocabulary that `--tokenizer` names, for a model that reads ids below `vocab_size`.
    pub(super) fn tokenizer(&self, vocab_size: usize) -> anyhow::Result<Option<Tokenizer>> {
        self.tokenizer.as_deref().map(|named| tokenizer(named, vocab_size)).transpose()
    }
}

/// Whether JSON is a `tokenizer.json`, Keras's Tokenizer or a word index.
pub(super) fn is_vocabulary(json: &str) -> bool {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "model")]
        _model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        #[serde(rename = "vocab")]
        _vocab: IgnoredAny,
    }
    serde_json::from_str::<File>(json).is_ok() || is_keras_tokenizer(json) || is_word_index(json)
}

/// Whether it is a word index: numbers by words.
fn is_word_index(json: &str) -> bool {
    serde_json::from_str::<HashMap<String, i64>>(json).is_ok_and(|ranks| !ranks.is_empty())
}

/// Whether it is what Keras's `Tokenizer.to_json()` writes.
fn is_keras_tokenizer(json: &str) -> bool {
    #[derive(Deserialize)]
    struct File {
        class_name: String,
    }
    serde_json::from_str::<File>(json).is_ok_and(|file| file.class_name == "Tokenizer")
}

fn tokenizer(argument: &str, vocab_size: usize) -> anyhow::Result<Tokenizer> {
    if argument == "imdb" {
        return imdb(vocab_size);
    }
    if argument.parse::<TokenizerKind>().is_ok() {
        bail!(
            "--tokenizer {argument}: is fitted to texts by train --data FILE, a file of texts and labels; elsewhere give a \
             tokenizer.json (./{argument} is a file of that name)"
        );
    }
    let (kind, file) = match argument.split_once(':') {
        Some((kind @ ("imdb" | "keras"), file)) => (kind, file),
        _ => ("", argument),
    };
    let path = Path::new(file);
    if !path.exists() {
        bail!(
            "--tokenizer {argument}: there is no such file; give imdb, imdb:FILE, keras:FILE, a tokenizer.json, or where your \
             own texts are trained on word, char or bpe"
        );
    }
    let named = match kind {
        "imdb" => Tokenizer::from_word_index_json(path, vocab_size),
        "keras" => Tokenizer::from_keras(path, vocab_size),
        _ => return find(argument, path, vocab_size),
    };
    check(argument, named.with_context(|| format!("--tokenizer {kind}"))?, vocab_size)
}

/// The tokenizer of a file whose kind was not said.
fn find(argument: &str, path: &Path, vocab_size: usize) -> anyhow::Result<Tokenizer> {
    // Pickles begin so, and no JSON does.
    let pickled = if path.is_file() { std::fs::read(path).unwrap_or_default() } else { vec![] };
    if [&b"\x80"[..], b"ccopy", b"(d", b"(i", b"}q"].iter().any(|start| pickled.starts_with(start)) {
        if !pickled.windows(9).any(|word| word == b"Tokenizer") {
            return ask(argument);
        }
        return check(argument, Tokenizer::from_keras(path, vocab_size)?, vocab_size);
    }
    let text = read_text(path)?;
    if serde_json::from_str::<String>(&text).is_ok_and(|within| is_keras_tokenizer(&within)) {
        return check(argument, Tokenizer::from_keras(path, vocab_size)?, vocab_size);
    }
    if !is_word_index(&text) {
        return check(argument, Tokenizer::load(path)?, vocab_size);
    }
    // Two conventions, and ids that differ by three: only what can be nothing else is taken.
    let is_named_so = path.file_name().is_some_and(|name| name == "imdb_word_index.json");
    if is_named_so || Vocabulary::from_word_index_json(path).is_ok_and(|words| words.is_imdb()) {
        return Ok(Tokenizer::from_word_index_json(path, vocab_size)?);
    }
    ask(argument)
}

/// Which of two conventions a word index follows is for the user to say.
fn ask(argument: &str) -> anyhow::Result<Tokenizer> {
    bail!(
        "--tokenizer {argument}: is a word index, which two kinds of models read differently; say keras:{argument} for \
         Keras's own Tokenizer (ids are the ranks, unknown words left out), or imdb:{argument} for ids as in Keras's IMDB \
         (rank + 3, 1 before every text, 2 for unknown words)"
    )
}

/// Refuses a vocabulary whose ids the model does not read.
fn check(argument: &str, tokenizer: Tokenizer, vocab_size: usize) -> anyhow::Result<Tokenizer> {
    if tokenizer.vocab_size() > vocab_size {
        bail!(
            "--tokenizer {argument}: gives ids up to {}, and the model reads ids below {vocab_size}",
            tokenizer.vocab_size().saturating_sub(1)
        );
    }
    let left = tokenizer.left_out();
    if left > 0 {
        message(&format!(
            "note: {argument}: the model reads ids below {vocab_size}, so {left} of the words have no id, as with \
             num_words={vocab_size}"
        ));
    }
    Ok(tokenizer)
}

/// Keras's words of IMDB: its own file, or as many as the zoo's models know.
fn imdb(vocab_size: usize) -> anyhow::Result<Tokenizer> {
    let missing = match data::imdb_tokenizer(vocab_size) {
        Ok(tokenizer) => return Ok(tokenizer),
        Err(error) => error,
    };
    for entry in zoo::entries() {
        let known = entry.tokenizer()?;
        if known.vocab_size() >= vocab_size {
            // The first four ids are no words.
            let words = (4..).map_while(|id| known.word(id).map(String::from));
            return Ok(Tokenizer::from_words(words, vocab_size)?);
        }
    }
    Err(missing.into())
}
