//! Parsers of argument values, each with a message that says what would do.

use candle_recurrent::data::Source;
use std::path::PathBuf;

/// A whole number from 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) | Err(_) => Err("give a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

/// A whole number from 0.
pub(super) fn whole(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "give a whole number from 0".into())
}

/// A seed.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u64::MAX))
}

/// A seed of NumPy's.
pub(super) fn split_seed(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u32::MAX))
}

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("give a whole number from 1 to 1024".into()),
    }
}

/// The size of a vocabulary.
pub(super) fn vocab_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size @ 5..=1_048_576) => Ok(size),
        _ => Err("give a whole number from 5 (ids 0 to 3 are padding, start, unknown and unused) to 1048576"
            .into()),
    }
}

/// A length of reviews in ids.
pub(super) fn max_len(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(length @ 1..=1_048_576) => Ok(length),
        _ => Err("give a whole number from 1 to 1048576".into()),
    }
}

/// A time in minutes.
pub(super) fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes from 0, such as 5 or 0.5".into()),
    }
}

/// A learning rate.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("give a number above 0, such as 0.0001 or 1e-4".into()),
    }
}

/// A part of a whole.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part < 1.0 => Ok(part),
        _ => Err("give a number between 0 and 1, such as 0.2".into()),
    }
}

/// Yes or no.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("give yes or no".into()),
    }
}

/// Where reviews come from.
pub(super) fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("give builtin, imdb or a path".into()),
        text => text.parse().map_err(|error: std::convert::Infallible| error.to_string()),
    }
}

/// The path of a picture.
pub(super) fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase).as_deref() {
        Some("svg" | "png") => Ok(path),
        _ => Err("give a file name that ends in .svg or .png".into()),
    }
}
