//! What `train` and `evaluate` have in common: where reviews come from, what reads them, and where it is computed.

use super::arrays;
use super::device::{DeviceName, set_threads, status};
use super::hub;
use super::lambdas::Lambdas;
use super::measurements;
use super::model::ModelSource;
use super::tokenizer::Encoding;
use super::values;
use candle_core::Device;
use candle_recurrent::data::series::TableSource;
use candle_recurrent::data::{ArraySource, LabelledSource, Source};
use candle_recurrent::formats::Encoding as TextEncoding;
use candle_recurrent::sharing::{DataFiles, Needed, Wanted};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// The options that are the same for both.
#[derive(clap::Args)]
pub(super) struct Reading {
    /// Reviews: builtin, imdb (Keras's cached imdb.npz, else a download from the Hugging Face Hub), an imdb.npz, an aclImdb
    /// folder, or a folder of the Hub's Parquet files. Or your own texts with labels: a .csv, .tsv or .jsonl, also packed
    /// (.csv.gz, .jsonl.zst), a .json or .parquet, a file of fastText's lines, or a folder with a sub-folder of .txt files a class. Or arrays: a .npz or .safetensors with x and y (x0, x1, … and y0,
    /// y1, … where there are several), and x_val, y_val, x_test, y_test, sample_weight (sample_weight0, …) where they
    /// are there. Or one of these files, or labelled texts, on the Hub: hf://datasets/OWNER/NAME[@REVISION][/FILE]
    #[arg(long, default_value = "builtin", value_name = "SOURCE", value_parser = values::source)]
    pub(super) data: Source,
    /// Of your own texts, the column of the texts: its name, or its number from 1 [default: the one named text, document,
    /// review, sentence or the like]
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    /// The column of the labels [default: the one named label, class, target, sentiment or the like]
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// What stands between several labels of a row (see train's --task multi-label) [default: found out: a bar, a semicolon, a
    /// comma or spaces]
    #[arg(long, value_name = "TEXT")]
    label_separator: Option<String>,
    /// The encoding of your own texts or measurements: utf-8, cp949, shift_jis, gb18030, latin1, … [default: found out, where it is UTF-8,
    /// UTF-16 or CP949]
    #[arg(long = "encoding", value_name = "NAME")]
    text_encoding: Option<TextEncoding>,
    /// A .npy or .csv of the input, in place of --data; goes with --y
    #[arg(long, value_name = "FILE", requires = "y", conflicts_with = "data", value_parser = arrays::path)]
    x: Option<PathBuf>,
    /// A .npy or .csv of the targets; goes with --x
    #[arg(long, value_name = "FILE", requires = "x", value_parser = arrays::path)]
    y: Option<PathBuf>,
    /// The architecture of a file of weights alone: Keras's to_json(), a config.json, or another file of the model
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    lambdas: Lambdas,
    #[command(flatten)]
    pub(super) encoding: Encoding,
    /// Threads of the CPU; changes speed, not the result [default: one a core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::threads)]
    threads: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// No progress and no messages on the way
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// What --data names on the Hub, once it was asked for.
    #[arg(skip)]
    from_hub: OnceCell<DataFiles>,
}

impl Reading {
    /// Takes from the options of a command that goes on with a run what does not change it.
    pub(super) fn go_on(&mut self, now: &Self) {
        (self.threads, self.quiet) = (now.threads, now.quiet);
    }

    /// Opens the device.
    pub(super) fn device(&self) -> anyhow::Result<Device> {
        self.device.open()
    }

    /// Finds the model.
    pub(super) fn model(&self, argument: &str) -> anyhow::Result<ModelSource> {
        self.model_for(Needed::Model, argument)
    }

    /// The same, with these files of it.
    pub(super) fn model_for(&self, needed: Needed, argument: &str) -> anyhow::Result<ModelSource> {
        ModelSource::find_for(needed, argument, self.config.as_deref(), &self.lambdas)
    }

    /// The files that --data names on the Hub, if it does.
    pub(super) fn hub_files(&self) -> anyhow::Result<Option<&DataFiles>> {
        self.fetch(Wanted::All)
    }

    /// Fetches what --data names on the Hub; what is wanted counts where it is not here yet.
    pub(super) fn fetch(&self, wanted: Wanted) -> anyhow::Result<Option<&DataFiles>> {
        match (&self.data, self.from_hub.get()) {
            (_, Some(files)) => Ok(Some(files)),
            (Source::Path(path), None) => {
                let files = hub::data(path, wanted, self.quiet)?;
                Ok(files.map(|files| self.from_hub.get_or_init(|| files)))
            }
            _ => Ok(None),
        }
    }

    /// The file or folder that --data names: of the Hub's the first, in the cache.
    fn data_path(&self) -> anyhow::Result<Option<&Path>> {
        Ok(match (&self.data, self.hub_files()?) {
            (_, Some(files)) => files.train.first().map(PathBuf::as_path),
            (Source::Path(path), None) => Some(path),
            _ => None,
        })
    }

    /// Makes the threads, once everything else is checked.
    pub(super) fn set_threads(&self) -> anyhow::Result<()> {
        set_threads(self.threads)
    }

    /// The arrays to read, where it is arrays that the options name.
    pub(super) fn arrays(&self) -> anyhow::Result<Option<ArraySource>> {
        if let (Some(x), Some(y)) = (&self.x, &self.y) {
            for (option, path) in [("--x", x), ("--y", y)] {
                if !path.try_exists().unwrap_or(true) {
                    anyhow::bail!("{option} {}: there is no such file", path.display());
                }
            }
            return Ok(Some(ArraySource::Pair { x: x.clone(), y: y.clone() }));
        }
        let path = self.data_path()?;
        if let Some(path) = path
            && path
                .extension()
                .is_some_and(|suffix| ["npz", "safetensors", "npy"].iter().any(|known| suffix == *known))
            && !path.try_exists().unwrap_or(true)
        {
            anyhow::bail!("--data {}: there is no such file", path.display());
        }
        Ok(path
            .filter(|path| path.is_file() && ArraySource::holds(path))
            .map(|path| ArraySource::File(path.into())))
    }

    /// The file or folder of texts with labels, where that is what --data names.
    pub(super) fn labelled(&self) -> anyhow::Result<Option<LabelledSource>> {
        if let Some("") = self.label_separator.as_deref() {
            anyhow::bail!("--label-separator: is empty");
        }
        if let Some(files) = self.hub_files()?
            && files.train.first().is_none_or(|path| LabelledSource::holds(path))
        {
            if files.train.is_empty() {
                anyhow::bail!("--data {}: has no part to train on", self.data);
            }
            return Ok(self.labelled_files(&files.train));
        }
        if let (Source::Path(path), None) = (&self.data, &self.x)
            && LabelledSource::holds(path)
        {
            return Ok(self.labelled_files(std::slice::from_ref(path)));
        }
        let given = [
            (self.text_column.is_some(), "--text-column"),
            (self.label_column.is_some(), "--label-column"),
            (self.label_separator.is_some(), "--label-separator"),
            (self.text_encoding.is_some(), "--encoding"),
        ];
        match given.into_iter().find(|(given, _)| *given) {
            Some((_, option)) => anyhow::bail!("{option}: goes with --data FILE, a file of texts and labels"),
            None => Ok(None),
        }
    }

    /// The texts to measure a model on: of several parts on the Hub those for the test, else those for the validation.
    pub(super) fn labelled_test(&self) -> anyhow::Result<Option<LabelledSource>> {
        match self.hub_files()? {
            Some(files) if files.train.first().is_none_or(|path| LabelledSource::holds(path)) => {
                let parts = [&files.test, &files.validation, &files.train];
                Ok(parts.into_iter().find_map(|part| self.labelled_files(part)))
            }
            _ => self.labelled(),
        }
    }

    /// Files that are read as one, with the columns that the options name; none of no files.
    fn labelled_files(&self, files: &[PathBuf]) -> Option<LabelledSource> {
        let columns = LabelledSource {
            text_column: self.text_column.clone(),
            label_column: self.label_column.clone(),
            label_separator: self.label_separator.clone(),
            encoding: self.text_encoding,
            ..LabelledSource::default()
        };
        let name = self.from_hub.get().map(|_| self.data.to_string());
        columns.of_files(files, name)
    }

    /// The reviews to read.
    pub(super) fn reviews(&self) -> anyhow::Result<Source> {
        Ok(self.data_path()?.map_or_else(|| self.data.clone(), |path| Source::Path(path.into())))
    }

    /// The files of measurements that --data names: of a data set on the Hub those to train on, or to measure a model on; none
    /// where it names reviews of this program's own.
    pub(super) fn measurements(&self, wanted: Wanted) -> anyhow::Result<Option<TableSource>> {
        let Source::Path(path) = &self.data else { return Ok(None) };
        let files = self.fetch(wanted)?;
        measurements::find(path, files, wanted, self.text_encoding).map(Some)
    }

    /// The column of the labels, where one is named.
    pub(super) fn label_column(&self) -> Option<&str> {
        self.label_column.as_deref()
    }

    /// The first option of tables of texts that is given, aside from those that are for measurements as well.
    pub(super) fn of_texts(&self) -> Option<&'static str> {
        let options = [
            (self.text_column.is_some(), "--text-column"),
            (self.label_separator.is_some(), "--label-separator"),
        ];
        options.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// Takes the lines that say what is being read.
    pub(super) fn status(&self) -> impl FnMut(&str) {
        status(self.quiet)
    }
}
