//! The command that trains a model of people's own texts again.

use super::hub::public_name;
use super::settings::Args;
use candle_recurrent::data::{LabelledSource, Source};
use std::path::Path;

/// `candle-recurrent train PATH/TO/THIS/FOLDER --data reviews.csv …`: from the run's own folder, which holds the recipe. Files
/// have no folders, for these are nobody's business; addresses of the Hub are whole.
pub(super) fn of(args: &Args, source: &LabelledSource) -> String {
    let data = match &args.reading.data {
        Source::Path(path) => public_name(path),
        _ => public_name(&source.path),
    };
    let mut options = vec![("--data", data)];
    let mut add = |option, value: Option<String>| options.extend(value.map(|value| (option, value)));
    add("--text-column", source.text_column.clone());
    add("--label-column", source.label_column.clone());
    add("--label-separator", source.label_separator.clone());
    add("--encoding", source.encoding.map(|encoding| encoding.to_string()));
    let encoding = &args.reading.encoding;
    if encoding.kind().is_none() {
        add("--tokenizer", encoding.tokenizer.as_deref().map(|it| public_name(Path::new(it))));
    }
    add("--vocab-size", args.vocab_size.map(|it| it.to_string()));
    add("--max-len", args.max_len.map(|it| it.to_string()));
    add("--init", args.init.as_deref().map(public_name));
    options.extend(args.own_texts.given());
    options.push(("--seed", args.seed.to_string()));
    options.push(("--split-seed", args.split_seed.to_string()));
    let options = options.into_iter().map(|(option, value)| match value.is_empty() {
        // A flag.
        true => format!(" {option}"),
        false => format!(" {option} {}", word(&value)),
    });
    format!("candle-recurrent train PATH/TO/THIS/FOLDER{}", options.collect::<String>())
}

/// A text as a word of a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@');
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
