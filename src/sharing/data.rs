//! The data of a repository: which of its files are for training, validation and test.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::some_of;
use crate::hub::{Address, Hub, Kind};
use crate::{Error, Result};

/// The files of a data set, in the cache. The files of a part are read as one, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFiles {
    /// For training; all, where the names say nothing of parts.
    pub train: Vec<PathBuf>,
    /// For validation.
    pub validation: Vec<PathBuf>,
    /// For the test.
    pub test: Vec<PathBuf>,
    /// The commit that they are of.
    pub commit: String,
    /// What was taken for what, and what was left out, a line each.
    pub notes: Vec<String>,
    /// Why they may be old ones, where the Hub did not answer.
    pub is_old: Option<String>,
}

/// Which parts are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    All,
    /// The one to measure a model on: the test, else the validation, else all there is.
    Test,
}

/// Endings of files of labelled texts.
const TABLES: [&str; 6] = [".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json"];

/// Words in names that say which part a file is, as the Hub reads them.
const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 4] = ["validation", "valid", "dev", "val"];
const TEST: [&str; 4] = ["test", "testing", "eval", "evaluation"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Finds the files of the data set that an address names, and brings them into the cache. A path in the address names one
/// file of any kind, or a folder.
///
/// What a `README.md` says of the files is not looked at.
///
/// # Errors
/// [`Error::Network`] where the repository cannot be reached, holds no tables, or several data sets, in a line that says what
/// it holds; [`Error::Argument`] for the address of a model.
pub fn find_data(
    hub: &Hub,
    address: &Address,
    wanted: Wanted,
    report: &mut dyn FnMut(&str),
) -> Result<DataFiles> {
    if address.kind != Kind::Dataset {
        let what = format!("is a model; a data set is hf://datasets/{}", address.repository);
        return Err(Error::argument(address.to_string(), what));
    }
    let listing = hub.list(address)?;
    let fail = |what: String| Error::network(format!("{address}: {what}"));
    let path = address.path.as_str();
    let mut found =
        DataFiles { commit: listing.commit.clone(), is_old: listing.is_old.clone(), ..DataFiles::default() };
    if listing.files.iter().any(|name| name == path) {
        found.train = hub.fetch(address, &listing, &[path], report)?;
        return Ok(found);
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let within: Vec<&str> = listing.files.iter().filter_map(|name| name.strip_prefix(&prefix)).collect();
    if within.is_empty() {
        let all: Vec<&str> = listing.files.iter().map(String::as_str).collect();
        return Err(fail(format!("there is no such file or folder; there are {}", some_of(&all))));
    }
    let parts = parts(&within).map_err(|what| match what {
        Unclear::None => {
            fail(format!("holds no .csv, .tsv, .jsonl or .parquet; it holds {}", some_of(&within)))
        }
        Unclear::Several(sets) => {
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            let first = Address { path: format!("{prefix}{}", sets[0]), ..address.clone() };
            fail(format!("holds several sets: {}; name one: {first}", some_of(&sets)))
        }
    })?;
    let mut left: Vec<&str> = within.iter().copied().filter(|name| is_table(name)).collect();
    let measured =
        [Part::Test, Part::Validation, Part::Train].into_iter().find(|part| parts.contains_key(part));
    for (part, names) in parts {
        if wanted == Wanted::Test && Some(part) != measured {
            continue;
        }
        left.retain(|name| !names.contains(name));
        found.notes.push(format!("{} from {}", part.name(), some_of(&names)));
        let full: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        let paths = hub.fetch(address, &listing, &full, report)?;
        match part {
            Part::Train => found.train = paths,
            Part::Validation => found.validation = paths,
            Part::Test => found.test = paths,
        }
    }
    if !left.is_empty() && wanted == Wanted::All {
        found.notes.push(format!("left out: {}", some_of(&left)));
    }
    Ok(found)
}

/// Why files cannot be told apart.
#[derive(Debug, PartialEq, Eq)]
enum Unclear {
    None,
    /// Folders or files of which each is a data set by itself.
    Several(Vec<String>),
}

fn is_table(name: &str) -> bool {
    let name = name.to_lowercase();
    // What describes a data set is no data.
    !matches!(name.rsplit('/').next(), Some("dataset_infos.json" | "dataset_info.json"))
        && TABLES.iter().any(|ending| unpacked(&name).ends_with(ending))
}

/// A name without what says that the file is packed.
fn unpacked(name: &str) -> &str {
    [".gz", ".zst"].into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The tables by their parts. Where some names say their part, the others are left out.
fn parts<'a>(names: &[&'a str]) -> std::result::Result<BTreeMap<Part, Vec<&'a str>>, Unclear> {
    let mut tables: Vec<&str> = names.iter().copied().filter(|name| is_table(name)).collect();
    tables.sort_unstable();
    if tables.is_empty() {
        return Err(Unclear::None);
    }
    if tables.iter().any(|name| part(name).is_some()) {
        tables.retain(|name| part(name).is_some());
    }
    let mut sets: Vec<&str> = tables.iter().map(|name| set(name)).collect();
    sets.sort_unstable();
    sets.dedup();
    if sets.len() > 1 {
        // What lies at the top has no folder to be named by.
        let named = |name: &&str| if set(name).is_empty() { name.to_string() } else { set(name).to_string() };
        let mut several: Vec<String> = tables.iter().map(named).collect();
        several.dedup();
        return Err(Unclear::Several(several));
    }
    let mut parts = BTreeMap::<Part, Vec<&str>>::new();
    for name in &tables {
        parts.entry(part(name).unwrap_or(Part::Train)).or_default().push(name);
    }
    // The same rows in two formats must not count twice.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let ending = |name: &str| (last(name), last(unpacked(name)));
    match parts.values().any(|names| names.iter().any(|name| ending(name) != ending(names[0]))) {
        true => Err(Unclear::Several(tables.iter().map(|name| name.to_string()).collect())),
        false => Ok(parts),
    }
}

/// The part that a name says: `train.csv`, `data/test-00000-of-00001.parquet`, `validation/0000.parquet`. The file's own name
/// goes before its folders'.
fn part(name: &str) -> Option<Part> {
    name.rsplit('/').find_map(|piece| {
        let words: Vec<String> =
            piece.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_lowercase).collect();
        let says = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        match () {
            () if says(&TRAIN) => Some(Part::Train),
            () if says(&VALIDATION) => Some(Part::Validation),
            () if says(&TEST) => Some(Part::Test),
            () => None,
        }
    })
}

/// The folder that makes a data set of its own: `plain_text` of `plain_text/train-00000-of-00001.parquet`. Folders that only
/// say the part, and `data`, do not.
fn set(name: &str) -> &str {
    let Some((mut folder, _)) = name.rsplit_once('/') else { return "" };
    loop {
        let (before, last) = folder.rsplit_once('/').unwrap_or(("", folder));
        if last != "data" && part(last).is_none() || last.is_empty() {
            return folder;
        }
        folder = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> std::result::Result<Vec<(&'static str, Vec<String>)>, Unclear> {
        let parts = parts(names)?;
        let owned = |names: Vec<&str>| names.into_iter().map(String::from).collect();
        Ok(parts.into_iter().map(|(part, names)| (part.name(), owned(names))).collect())
    }

    #[test]
    fn names_say_the_part() {
        let found = told(&[
            "README.md",
            "data/test-0-of-1.parquet",
            "data/train-1-of-2.parquet",
            "data/train-0-of-2.parquet",
        ]);
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            found,
            Ok(vec![
                ("training", names(&["data/train-0-of-2.parquet", "data/train-1-of-2.parquet"])),
                ("test", names(&["data/test-0-of-1.parquet"]))
            ])
        );
        let found = told(&["reviews_train.csv", "reviews_dev.csv", "other.csv"]);
        assert_eq!(
            found,
            Ok(vec![
                ("training", names(&["reviews_train.csv"])),
                ("validation", names(&["reviews_dev.csv"]))
            ])
        );
        assert_eq!(told(&["b.csv", "a.csv"]), Ok(vec![("training", names(&["a.csv", "b.csv"]))]));
        assert_eq!(
            told(&["default/train/0000.parquet", "default/test/0000.parquet"]).map(|it| it.len()),
            Ok(2)
        );
        // A word within a word says nothing.
        assert_eq!(part("contest.csv"), None);
        assert_eq!(part("latest/train.csv"), Some(Part::Train));
    }

    #[test]
    fn several_sets_are_told() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(told(&["README.md"]), Err(Unclear::None));
        assert_eq!(
            told(&["en/train.csv", "en/test.csv", "ko/train.csv"]),
            Err(Unclear::Several(names(&["en", "ko"])))
        );
        assert_eq!(
            told(&["train.csv", "train.jsonl"]),
            Err(Unclear::Several(names(&["train.csv", "train.jsonl"])))
        );
        assert_eq!(set("plain_text/train-00000-of-00001.parquet"), "plain_text");
        assert_eq!(set("data/train/0.parquet"), "");
        assert_eq!(set("train.csv"), "");
    }
}
