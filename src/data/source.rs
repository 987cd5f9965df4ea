//! From what the user names to data sets ready for training.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::dataset::{Dataset, check_table, check_trainable};
use super::random_state::train_test_split;
use super::texts::Texts;
use super::{acl_imdb, builtin, imdb};
use crate::formats::file::check_regular;
use crate::formats::npz;
use crate::formats::pickle::Rows;
use crate::text::{Padding, Tokenizer, TokenizerKind, Vocabulary};
use crate::{Error, Result};

/// Where reviews come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The corpus that this crate writes itself.
    #[default]
    Builtin,
    /// Keras's cached `imdb.npz`, else the Hub's `stanfordnlp/imdb`.
    Imdb,
    /// An `imdb.npz`, the Stanford `aclImdb` folder, or a folder with the Hub's Parquet files.
    Path(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "builtin" => Self::Builtin,
            "imdb" => Self::Imdb,
            path => Self::Path(path.into()),
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Imdb => f.write_str("imdb"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// The most ids that a row may have.
pub const MAX_LEN: usize = 1 << 20;

/// How reviews become data sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Ids in a row.
    pub max_len: usize,
    /// The part of the training reviews that is kept for validation, between 0 and 1.
    pub validation_split: f64,
    /// The seed of scikit-learn's split into training and validation reviews.
    pub split_seed: u32,
    /// How rows come to `max_len` ids.
    pub padding: Padding,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vocab_size: 500,
            max_len: 100,
            validation_split: 0.2,
            split_seed: 42,
            padding: Padding::default(),
        }
    }
}

impl Options {
    /// Checks the figures, and that the ids of a given tokenizer stay below `vocab_size`.
    fn check(&self, tokenizer: Option<&Tokenizer>) -> Result<()> {
        let wrong = |argument, what| Err(Error::argument(argument, what));
        if self.max_len == 0 || self.max_len > MAX_LEN {
            return wrong("max_len", format!("{}, expected 1 to {MAX_LEN}", self.max_len));
        }
        if !(self.validation_split > 0.0 && self.validation_split < 1.0) {
            let what = format!("{}, expected a number between 0 and 1", self.validation_split);
            return wrong("validation_split", what);
        }
        if self.vocab_size < 4 || u32::try_from(self.vocab_size).is_err() {
            let what = format!("{}, expected at least 4: ids 0 to 3 have fixed meanings", self.vocab_size);
            return wrong("vocab_size", what);
        }
        match tokenizer.map(Tokenizer::vocab_size) {
            Some(size) if size > self.vocab_size => {
                wrong("vocab_size", format!("{}, but the tokenizer has {size} ids", self.vocab_size))
            }
            _ => Ok(()),
        }
    }
}

/// Data sets ready for training.
#[derive(Clone, Debug)]
pub struct Splits {
    /// What the data are called: `builtin`, `imdb` or a path.
    pub name: String,
    /// The training rows, in scikit-learn's order.
    pub train: Dataset,
    /// The validation rows, in scikit-learn's order.
    pub validation: Dataset,
    /// The test rows.
    pub test: Dataset,
    /// What turns text into these ids; none where an `imdb.npz` came without its word index.
    pub tokenizer: Option<Tokenizer>,
}

/// What was found under a source's name.
enum Found {
    Builtin,
    Npz(PathBuf),
    AclImdb(PathBuf),
    #[cfg(feature = "parquet")]
    Parquet {
        folder: PathBuf,
        train: Vec<PathBuf>,
        test: Vec<PathBuf>,
    },
}

/// Reads a source and prepares the three data sets as Keras and scikit-learn do.
///
/// Reviews that are text are encoded by `tokenizer` where one is given; otherwise the words are counted, or taken from
/// an `imdb_word_index.json` beside the data. `report` gets a line for whatever takes time.
///
/// # Errors
/// [`Error::Argument`] for options out of range, [`Error::File`] for what cannot be read, [`Error::Data`] for data that
/// cannot be learnt from, [`Error::Network`] where a download fails.
pub fn load(
    source: &Source,
    options: &Options,
    tokenizer: Option<&Tokenizer>,
    report: &mut dyn FnMut(&str),
) -> Result<Splits> {
    options.check(tokenizer)?;
    let (train, validation, test, tokenizer) = match find(source, report)? {
        Found::Npz(path) => {
            let halves = || rayon::join(|| npz_half(&path, "train"), || npz_half(&path, "test"));
            // The file's ids are Keras's: no vocabulary but Keras's belongs to them.
            let ((train, test), tokenizer) = rayon::join(halves, || npz_tokenizer(&path, options.vocab_size));
            let (train, test) = (train?, test?);
            let order = imdb::shuffle(count(train.1.len())?, count(test.1.len())?);
            let tokenizer = tokenizer?;
            check_table(order.0.len(), options.max_len)?;
            let test_set = npz_dataset(&test, &order.1, options)?;
            drop(test);
            let (rows, held) = split(&order.0, &train.1, &test_set, source, options)?;
            let (rows, held) = (npz_dataset(&train, &rows, options)?, npz_dataset(&train, &held, options)?);
            (rows, held, test_set, tokenizer)
        }
        found => {
            let reviews = Reviews::read(&found, options, tokenizer)?;
            let (texts, order) = &reviews.train;
            check_table(order.len(), options.max_len)?;
            let test = reviews.dataset(&reviews.test.0, &reviews.test.1, options)?;
            let (rows, held) = split(order, &texts.labels, &test, source, options)?;
            let train = reviews.dataset(texts, &rows, options)?;
            (train, reviews.dataset(texts, &held, options)?, test, Some(reviews.tokenizer))
        }
    };
    check_trainable(train.labels())?;
    Ok(Splits { name: source.to_string(), train, validation, test, tokenizer })
}

/// The rows of the training and of the validation set in scikit-learn's order: `order` is that of the reviews with these
/// `labels`. Refuses what cannot be learnt from or tested on.
fn split(
    order: &[u32],
    labels: &[u8],
    test: &Dataset,
    source: &Source,
    options: &Options,
) -> Result<(Vec<u32>, Vec<u32>)> {
    check_test(test, source)?;
    check_trainable(labels)?;
    let (rows, held) = train_test_split(count(order.len())?, options.validation_split, options.split_seed);
    if rows.is_empty() {
        let what = format!(
            "{} leaves none of the {} reviews to train on; give a smaller part",
            options.validation_split,
            order.len()
        );
        return Err(Error::argument("validation_split", what));
    }
    let of = |rows: Vec<u32>| rows.into_iter().map(|row| order[row as usize]).collect();
    Ok((of(rows), of(held)))
}

/// Reads a source's test reviews only; the same rows as [`load`] gives. Reviews as text need the `tokenizer` of the
/// model that is to read them.
///
/// # Errors
/// As [`load`], and for text without a tokenizer.
pub fn load_test(
    source: &Source,
    options: &Options,
    tokenizer: Option<&Tokenizer>,
    report: &mut dyn FnMut(&str),
) -> Result<Dataset> {
    options.check(tokenizer)?;
    let test = match find(source, report)? {
        Found::Npz(path) => {
            let kind = tokenizer.and_then(Tokenizer::kind).filter(|kind| *kind != TokenizerKind::Word);
            if let Some(kind) = kind {
                let what = format!(
                    "holds the ids of Keras's words, and the model reads ids of {}; give the reviews as text, such as an aclImdb \
                     folder",
                    kind.units()
                );
                return Err(Error::file(path, what));
            }
            let test = npz_half(&path, "test")?;
            let train = npz::labels(&path, "y_train")?.len();
            let (_, order) = imdb::shuffle(count(train)?, count(test.1.len())?);
            npz_dataset(&test, &order, options)?
        }
        found => {
            let Some(tokenizer) = tokenizer else {
                let what = format!(
                    "{source} holds text, and the model has no vocabulary to read it with: see `data::load_test(tokenizer)`"
                );
                return Err(Error::Data(what));
            };
            let reviews = Reviews::read(&found, options, Some(tokenizer))?;
            reviews.dataset(&reviews.test.0, &reviews.test.1, options)?
        }
    };
    check_test(&test, source)?;
    Ok(test)
}

/// Whether a source holds token ids, those of Keras's IMDB, and no texts.
///
/// # Errors
/// As [`load`], where nothing is found.
pub fn holds_ids(source: &Source) -> Result<bool> {
    Ok(matches!(find(source, &mut |_| ())?, Found::Npz(_)))
}

/// Reviews as text, the order in which their rows are handed out, and what turns them into ids.
struct Reviews {
    train: (Texts, Vec<u32>),
    test: (Texts, Vec<u32>),
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
}

impl Reviews {
    fn read(found: &Found, options: &Options, tokenizer: Option<&Tokenizer>) -> Result<Self> {
        let (train, test) = (found.texts("train")?, found.texts("test")?);
        let order = found.order(count(train.len())?, count(test.len())?);
        let vocabulary = found.vocabulary(&train)?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer.clone(),
            None => vocabulary.tokenizer(options.vocab_size)?,
        };
        Ok(Self { train: (train, order.0), test: (test, order.1), vocabulary, tokenizer })
    }

    fn dataset(&self, texts: &Texts, order: &[u32], options: &Options) -> Result<Dataset> {
        texts.encode(order, &self.tokenizer, &self.vocabulary, options.max_len, options.padding)
    }
}

fn check_test(test: &Dataset, source: &Source) -> Result<()> {
    if test.is_empty() {
        return Err(Error::Data(format!("{source} has no test reviews")));
    }
    Ok(())
}

fn count(rows: usize) -> Result<u32> {
    u32::try_from(rows)
        .map_err(|_| Error::Data(format!("{rows} reviews are more than this program can shuffle")))
}

/// The reviews, as ranks of words, and labels of one half of an `imdb.npz`.
fn npz_half(path: &Path, half: &str) -> Result<(Rows, Vec<u8>)> {
    let rows = npz::rows(path, &format!("x_{half}"))?;
    let labels = npz::labels(path, &format!("y_{half}"))?;
    if rows.len() != labels.len() {
        let what = format!("x_{half} has {} reviews, y_{half} {} labels", rows.len(), labels.len());
        return Err(Error::file(path, what));
    }
    Ok((rows, labels))
}

/// The data set of one half of an `imdb.npz`, in `order`.
fn npz_dataset((rows, labels): &(Rows, Vec<u8>), order: &[u32], options: &Options) -> Result<Dataset> {
    check_table(order.len(), options.max_len)?;
    let ids = imdb::table(rows, order, options.vocab_size, options.max_len, options.padding);
    Dataset::new(ids, order.iter().map(|&row| labels[row as usize]).collect(), options.max_len)
}

/// The tokenizer of an `imdb.npz`: from `imdb_word_index.json` beside it, else from Keras's cache.
fn npz_tokenizer(path: &Path, vocab_size: usize) -> Result<Option<Tokenizer>> {
    let folders = [path.parent().map(Path::to_path_buf), keras_datasets()];
    let index =
        folders.into_iter().flatten().map(|folder| folder.join(WORD_INDEX)).find(|path| path.is_file());
    index.map(|index| Tokenizer::from_word_index_json(index, vocab_size)).transpose()
}

/// The tokenizer of Keras's IMDB: from `imdb_word_index.json` in Keras's folder of data sets.
///
/// # Errors
/// [`Error::File`] where the file is not there or not a word index.
pub fn imdb_tokenizer(vocab_size: usize) -> Result<Tokenizer> {
    let path = keras_datasets().map(|folder| folder.join(WORD_INDEX)).unwrap_or_else(|| WORD_INDEX.into());
    if !path.is_file() {
        let what = "is not there; get it from \
                    https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb_word_index.json, or give its path";
        return Err(Error::file(path, what));
    }
    Tokenizer::from_word_index_json(path, vocab_size)
}

const WORD_INDEX: &str = "imdb_word_index.json";

/// Keras's folder of data sets, `~/.keras/datasets` unless `KERAS_HOME` says otherwise.
fn keras_datasets() -> Option<PathBuf> {
    let set = std::env::var_os("KERAS_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = set.or_else(|| std::env::home_dir().map(|home| home.join(".keras")))?;
    Some(home.join("datasets"))
}

/// Finds out what `source` names; may download.
fn find(source: &Source, report: &mut dyn FnMut(&str)) -> Result<Found> {
    match source {
        Source::Builtin => Ok(Found::Builtin),
        Source::Path(path) => {
            let found = find_path(path)?;
            report(&format!("reading {}", path.display()));
            Ok(found)
        }
        Source::Imdb => {
            match keras_datasets().map(|folder| folder.join("imdb.npz")).filter(|path| path.is_file()) {
                Some(path) => {
                    report(&format!("reading {}", path.display()));
                    Ok(Found::Npz(path))
                }
                None => find_on_hub(report),
            }
        }
    }
}

/// The Hub's copy of the reviews.
#[cfg(feature = "hub")]
fn find_on_hub(report: &mut dyn FnMut(&str)) -> Result<Found> {
    const FILES: [&str; 2] =
        ["plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"];
    let files = crate::hub::Hub::from_env()
        .and_then(|hub| hub.dataset_files("stanfordnlp/imdb", &FILES, report))
        .map_err(|error| match error {
            Error::Network { what, source } => Error::Network { what: format!("{what}; {BY_HAND}"), source },
            other => other,
        })?;
    let [train, test] = files.as_slice() else { return Err(Error::network(BY_HAND)) };
    let folder = train.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(Found::Parquet { folder, train: vec![train.clone()], test: vec![test.clone()] })
}

#[cfg(not(feature = "hub"))]
fn find_on_hub(_: &mut dyn FnMut(&str)) -> Result<Found> {
    Err(Error::network(format!("this build has no download (feature `hub`); {BY_HAND}")))
}

/// What to do without a download.
const BY_HAND: &str = "give the file by hand: `data::Source` PATH/imdb.npz (from \
     https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz), an aclImdb folder, or a folder with the \
     Hub's train and test Parquet files";

/// What a source may be.
const TAKES: &str =
    "`data::Source` takes builtin, imdb, an imdb.npz, an aclImdb folder or a folder of Parquet files";

/// Finds out what lies at `path`.
fn find_path(path: &Path) -> Result<Found> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file or folder".into(),
            _ => error.to_string(),
        };
        Error::file(path, format!("{what}; {TAKES}")).with_source(error)
    })?;
    if !metadata.is_dir() {
        check_regular(path)?;
        if path.extension().is_some_and(|extension| extension == "parquet") {
            return Err(Error::file(
                path,
                "a single Parquet file; give the folder with its train and test files",
            ));
        }
        return match npz::is_archive(path) {
            false => Err(Error::file(path, format!("is no .npz file; {TAKES}"))),
            true => Ok(Found::Npz(path.into())),
        };
    }
    let acl = [path.to_path_buf(), path.join("aclImdb")];
    if let Some(folder) = acl.iter().find(|folder| folder.join("train/pos").is_dir()) {
        return Ok(Found::AclImdb(folder.clone()));
    }
    let npz = path.join("imdb.npz");
    if npz.is_file() {
        return Ok(Found::Npz(npz));
    }
    find_parquet(path)?.ok_or_else(|| {
        let what = "holds no reviews; expected imdb.npz, the folders train/pos, train/neg, test/pos and test/neg of \
                    aclImdb, or the Hub's train-*.parquet and test-*.parquet";
        Error::file(path, what)
    })
}

/// The Hub's files in `path`, or in its folders `plain_text` or `data`.
#[cfg(feature = "parquet")]
fn find_parquet(path: &Path) -> Result<Option<Found>> {
    for folder in [path.to_path_buf(), path.join("plain_text"), path.join("data")] {
        let half = |half| super::parquet::files(&folder, half);
        match (half("train"), half("test")) {
            (train, test) if train.is_empty() && test.is_empty() => {}
            (train, test) if train.is_empty() || test.is_empty() => {
                let missing = if train.is_empty() { "train" } else { "test" };
                return Err(Error::file(folder, format!("{missing}-*.parquet is missing")));
            }
            (train, test) => return Ok(Some(Found::Parquet { folder, train, test })),
        }
    }
    Ok(None)
}

#[cfg(not(feature = "parquet"))]
fn find_parquet(path: &Path) -> Result<Option<Found>> {
    let is_parquet = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "parquet");
    for folder in [path.to_path_buf(), path.join("plain_text"), path.join("data")] {
        if std::fs::read_dir(&folder).into_iter().flatten().flatten().any(is_parquet) {
            return Err(Error::file(folder, "this build cannot read Parquet files (feature `parquet`)"));
        }
    }
    Ok(None)
}

impl Found {
    /// The reviews of one half; the rows of `aclImdb` and Parquet in the order of Keras's file.
    fn texts(&self, half: &str) -> Result<Texts> {
        match self {
            Self::Builtin => Ok(builtin::texts(half == "train")),
            Self::AclImdb(folder) => acl_imdb::read(folder, half),
            #[cfg(feature = "parquet")]
            Self::Parquet { train, test, .. } => {
                let files = if half == "train" { train } else { test };
                super::parquet::read(files).map(Texts::positive_first)
            }
            Self::Npz(_) => Ok(Texts::default()),
        }
    }

    /// The order in which the rows are handed out.
    fn order(&self, train: u32, test: u32) -> (Vec<u32>, Vec<u32>) {
        match self {
            Self::Builtin => ((0..train).collect(), (0..test).collect()),
            _ => imdb::shuffle(train, test),
        }
    }

    /// The words of the data set: from `imdb_word_index.json` in its folder or next to it, else counted.
    fn vocabulary(&self, train: &Texts) -> Result<Vocabulary> {
        let folder = match self {
            Self::AclImdb(folder) => Some(folder),
            #[cfg(feature = "parquet")]
            Self::Parquet { folder, .. } => Some(folder),
            _ => None,
        };
        let places = folder.into_iter().flat_map(|folder| [Some(folder.as_path()), folder.parent()]);
        match places.flatten().map(|folder| folder.join(WORD_INDEX)).find(|path| path.is_file()) {
            Some(index) => Vocabulary::from_word_index_json(index),
            None => Ok(Vocabulary::from_texts(&train.texts)),
        }
    }
}
