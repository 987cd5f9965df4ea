//! Every reader of files, for tests that give them bytes of all kinds: by name, with the suffix that its files have. The files of
//! `fuzz/` take it too.

use candle_core::Device;
use candle_recurrent::checkpoint::Config;
use candle_recurrent::data::series::{Columns, Missing, TableSource};
use candle_recurrent::data::{self, LabelledSource, Options, Source, TextSource};
use candle_recurrent::formats::{self, TextTable};
use candle_recurrent::keras::{self, ConfigSource};
use candle_recurrent::model::{ModelConfig, Weights};
use candle_recurrent::text::{Tokenizer, Vocabulary};
use candle_recurrent::train::History;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A reader.
#[derive(Clone, Copy)]
pub struct Reader {
    /// What it reads.
    pub name: &'static str,
    /// How its files' names end.
    pub suffix: &'static str,
    /// Reads a file in every way that there is.
    pub read: fn(&Path),
}

/// All of them.
pub const READERS: [Reader; 14] = [
    Reader { name: "safetensors", suffix: "safetensors", read: safetensors },
    Reader { name: "config", suffix: "json", read: config },
    Reader { name: "tokenizer", suffix: "json", read: tokenizer },
    Reader { name: "npz", suffix: "npz", read: npz },
    Reader { name: "npy", suffix: "npy", read: npy },
    Reader { name: "pickle", suffix: "pickle", read: pickle },
    Reader { name: "pt", suffix: "pt", read: pt },
    Reader { name: "parquet", suffix: "parquet", read: texts },
    Reader { name: "h5", suffix: "h5", read: model },
    Reader { name: "keras", suffix: "keras", read: model },
    Reader { name: "csv", suffix: "csv", read: csv },
    Reader { name: "series", suffix: "csv", read: series },
    Reader { name: "jsonl", suffix: "jsonl", read: texts },
    Reader { name: "history", suffix: "csv", read: history },
];

/// How often something was read and not refused.
pub static READ: AtomicUsize = AtomicUsize::new(0);

/// That an error is one line of some length; what was read otherwise.
fn told<T>(result: candle_recurrent::Result<T>) -> Option<T> {
    READ.fetch_add(usize::from(result.is_ok()), Relaxed);
    result
        .map_err(|error| {
            let text = error.to_string();
            assert!(!text.contains('\n') && text.len() < 20_000, "{text}");
        })
        .ok()
}

/// Three features, two units.
fn small() -> ModelConfig {
    let json = r#"{ "name": "m", "layers": [
        { "class_name": "InputLayer", "config": { "name": "x", "batch_shape": [null, 3] } },
        { "class_name": "Dense", "config": { "name": "dense", "units": 2 } } ] }"#;
    ModelConfig::from_json(json).expect("a configuration")
}

fn weights(path: &Path) {
    weights_of(small(), path);
}

fn weights_of(config: ModelConfig, path: &Path) {
    let options = keras::Options { config: Some(ConfigSource::from(config)), ..keras::Options::default() };
    told(keras::load_with(path, &options));
}

/// All arrays of a file; a tensor of each that is not large.
fn arrays(path: &Path) {
    let Some(file) = told(formats::open(path)) else { return };
    for name in file.names().iter().take(64) {
        if told(file.stored(name)).is_some_and(|array| array.shape().iter().product::<usize>() < 1 << 20) {
            told(file.array(name));
        }
    }
    told(formats::read_mixed(path, &["x".into()], &[true]));
    told(formats::read(path, &["x".into()]));
}

fn safetensors(path: &Path) {
    arrays(path);
    weights(path);
    told(Weights::load(&small(), path, &Device::Cpu));
}

fn config(path: &Path) {
    if let Some(config) = told(Config::load(path)) {
        told(config.model.summary());
        told(config.objective());
    }
    if let Some(config) = told(keras::load_config(path)) {
        told(config.summary());
    }
}

fn tokenizer(path: &Path) {
    let texts = ["A lovely film, it's good!", "", "정말 재미있는 영화 ΣΑΣ 👍"];
    for tokenizer in
        [told(Tokenizer::load(path)), told(Tokenizer::from_keras(path, 50))].into_iter().flatten()
    {
        for text in texts {
            told(tokenizer.encode_counted(text));
        }
        told(tokenizer.to_json());
    }
    told(Vocabulary::from_word_index_json(path));
}

fn npz(path: &Path) {
    arrays(path);
    told(data::load_test(&Source::Path(path.into()), &Options::default(), None, &mut |_| ()));
}

fn npy(path: &Path) {
    arrays(path);
}

fn pickle(path: &Path) {
    told(Tokenizer::from_keras(path, 50));
}

fn pt(path: &Path) {
    for class in ["GRU", "LSTM"] {
        let json = format!(
            r#"{{ "name": "net", "layers": [
            {{ "class_name": "InputLayer", "config": {{ "name": "in", "batch_shape": [null, 5, 3] }} }},
            {{ "class_name": "{class}", "config": {{ "name": "rnn", "units": 4 }} }},
            {{ "class_name": "Dense", "config": {{ "name": "fc", "units": 2 }} }} ] }}"#
        );
        weights_of(ModelConfig::from_json(&json).expect("a configuration"), path);
    }
}

fn model(path: &Path) {
    told(keras::kind(path));
    told(keras::load_config(path));
    told(keras::load_with(path, &keras::Options::default()));
    weights(path);
}

fn texts(path: &Path) {
    told(LabelledSource { path: path.into(), ..LabelledSource::default() }.read());
    let lists = LabelledSource { path: path.into(), multi_label: true, ..LabelledSource::default() };
    told(lists.read());
    if let Some((table, column)) =
        told(TextSource { path: path.into(), text_column: Some("1".into()), encoding: None }.open())
    {
        rows(&table, column);
    }
    series(path);
}

fn rows(table: &TextTable, column: usize) {
    let Some(mut rows) = told(table.rows(column)) else { return };
    while let Some(Some(_)) = told(rows.read()) {}
}

fn csv(path: &Path) {
    arrays(path);
    texts(path);
}

fn series(path: &Path) {
    let columns = Columns { finds_time: true, ..Columns::default() };
    let source = |columns, missing| TableSource {
        files: vec![path.into()],
        name: None,
        encoding: None,
        columns,
        missing,
    };
    told(source(columns.clone(), Missing::Forward).read());
    told(source(Columns { group: Some("1".into()), ..columns }, Missing::Skip).read());
}

fn history(path: &Path) {
    if let Some(history) = told(History::load(path)) {
        history.to_csv();
    }
}
