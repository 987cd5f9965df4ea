//! The library's names by the flags that stand for them: it knows no command line, and whoever uses this program knows no
//! library.

use candle_recurrent::Error;

/// Arguments, and, with their path, what texts name in backticks.
const FLAGS: [(&str, &str); 22] = [
    ("features", "--features"),
    ("group_column", "--group-column"),
    ("horizon", "--horizon"),
    ("label_column", "--label-column"),
    ("max_len", "--max-len"),
    ("quantiles", "--quantiles"),
    ("target", "--target"),
    ("task", "--task"),
    ("test_split", "--test-split"),
    ("text_column", "--text-column"),
    ("time_column", "--time-column"),
    ("validation_split", "--validation-split"),
    ("vocab_size", "--vocab-size"),
    ("window", "--window"),
    ("data::Source", "--data"),
    ("data::load_test(tokenizer)", "--tokenizer"),
    ("data::series::Columns::day_first", "--day-first yes or no"),
    ("data::series::Columns::group", "--group-column"),
    ("data::series::Missing", "--missing"),
    ("data::series::SequenceOptions::window", "--window"),
    ("keras::Options::config", "--config FILE"),
    ("keras::Options::lambdas", "--lambda NAME=OPERATION"),
];

/// An error's line with flags for names.
pub(super) fn in_flags(error: &Error) -> String {
    let line = match error {
        Error::Argument { argument, what, .. } => {
            let flag = FLAGS.iter().find(|(name, _)| name == argument).map(|(_, flag)| *flag);
            format!("{}: {what}", flag.unwrap_or(argument))
        }
        error => error.to_string(),
    };
    let named = FLAGS.iter().filter(|(name, _)| name.contains("::"));
    named.fold(line, |line, (name, flag)| line.replace(&format!("`{name}`"), flag))
}

/// An error and what it came from on one line. The library's own say all in theirs.
pub(super) fn in_words(error: &anyhow::Error) -> String {
    let mut parts = vec![];
    for cause in error.chain() {
        if let Some(own) = cause.downcast_ref::<Error>() {
            parts.push(in_flags(own));
            break;
        }
        parts.push(cause.to_string());
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reads_of_flags() {
        let shown = |error: Error| in_words(&anyhow::Error::from(error).context("model"));
        assert_eq!(shown(Error::argument("max_len", "0")), "model: --max-len: 0");
        assert_eq!(shown(Error::argument("units", "0")), "model: units: 0");
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        assert_eq!(shown(Error::io("x", missing)), "model: x: entity not found");
        let takes = Error::file("x", "`data::Source` takes builtin; the field `max_len` stays");
        assert_eq!(shown(takes), "model: x: --data takes builtin; the field `max_len` stays");
    }
}
