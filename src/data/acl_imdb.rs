//! The Stanford archive, unpacked: `train/pos`, `train/neg`, `test/pos` and `test/neg`, a text file a review.

use std::path::{Path, PathBuf};

use super::texts::Texts;
use crate::formats::file::read_bytes;
use crate::{Error, Result};

/// Reads one half, `train` or `test`, of the folder: files sorted by name in byte order, positive before negative.
pub fn read(folder: &Path, half: &str) -> Result<Texts> {
    let mut reviews = Texts::default();
    for (class, label) in [("pos", 1), ("neg", 0)] {
        let class = folder.join(half).join(class);
        for file in text_files(&class)? {
            let text = String::from_utf8(read_bytes(&file)?).map_err(|error| {
                Error::file(&file, format!("not UTF-8 text ({error})")).with_source(error)
            })?;
            reviews.texts.push(text);
            reviews.labels.push(label);
        }
    }
    Ok(reviews)
}

/// The `.txt` files of a folder, sorted by name in byte order.
fn text_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |error: std::io::Error| {
        let what = format!("{error}; aclImdb has train/pos, train/neg, test/pos and test/neg");
        Error::file(folder, what).with_source(error)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}
