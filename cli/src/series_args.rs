//! The options of `train` on measurements over time.

use super::values;
use candle_recurrent::data::series::{Columns, Missing, Scaling, SequenceOptions, SeriesOptions};
use clap::CommandFactory;
use clap::error::ErrorKind;

/// What of a file of measurements is forecast, and how.
#[derive(clap::Args)]
pub(super) struct SeriesArgs {
    /// Forecast this column of --data, a file of measurements over time (.csv, .tsv, .jsonl or .parquet): its name, or its
    /// number from 1
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Columns of numbers beside the target's own past, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Rows that a forecast is made from [default: 60]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    window: Option<usize>,
    /// Rows that it reaches ahead [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    horizon: Option<usize>,
    /// The column of the times [default: the one named date, time, timestamp or the like, else rows are in order]
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Whether 01/02/2024 is the first of February: yes or no [default: told by a number that is no month, else by the order
    /// and the distance of the rows]
    #[arg(long, value_name = "ANSWER", value_parser = values::yes_or_no)]
    day_first: Option<bool>,
    /// The column that tells several series of a file apart; with --label-column, of classes, each is a sequence to be told
    /// by its class, or its windows are where --window is given
    #[arg(long, value_name = "COLUMN")]
    group_column: Option<String>,
    /// Forecast these quantiles in place of one value: 0.1,0.5,0.9
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', allow_negative_numbers = true)]
    quantiles: Vec<f64>,
    /// How columns are scaled, by what the training part says: standard, min-max, robust or none [default: standard]
    #[arg(long, value_name = "WAY")]
    scaling: Option<Scaling>,
    /// Rows a season, for the seasonal naive forecast [default: by the times, else by the autocorrelation]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = values::positive)]
    season: Option<usize>,
    /// Whether the target is given and forecast as its distance from the window's last value: yes or no [default: yes
    /// where that forecasts the training part better than its mean does]
    #[arg(long, value_name = "ANSWER", value_parser = values::yes_or_no)]
    relative: Option<bool>,
    /// Where numbers or times are missing: refuse them, fill them forward with the last value before, or skip them
    /// [default: refuse]
    #[arg(long, value_name = "WAY")]
    missing: Option<Missing>,
    /// The part of the rows kept for the test, the last ones; those of --validation-split stand before it [default: 0.2]
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = values::fraction)]
    test_split: Option<f64>,
}

/// What is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A series, to forecast it.
    Forecast,
    /// Sequences with a class each.
    Sequences,
    /// Something else.
    Others,
}

impl SeriesArgs {
    /// What is trained on, where this column holds labels.
    ///
    /// # Errors
    /// For options that go with measurements, where the data are something else.
    pub(super) fn kind(&self, label_column: Option<&str>) -> Result<Kind, clap::Error> {
        let wrong = |kind, what: String| Err(super::Cli::command().error(kind, what));
        let of_forecasts = [
            (self.horizon.is_some(), "--horizon"),
            (!self.quantiles.is_empty(), "--quantiles"),
            (self.season.is_some(), "--season"),
            (self.relative.is_some(), "--relative"),
        ];
        let of_both = [
            (!self.features.is_empty(), "--features"),
            (self.window.is_some(), "--window"),
            (self.time_column.is_some(), "--time-column"),
            (self.day_first.is_some(), "--day-first"),
            (self.group_column.is_some(), "--group-column"),
            (self.scaling.is_some(), "--scaling"),
            (self.missing.is_some(), "--missing"),
            (self.test_split.is_some(), "--test-split"),
        ];
        let first = |options: &[(bool, &'static str)]| {
            options.iter().find(|(given, _)| *given).map(|(_, name)| *name)
        };
        match (&self.target, label_column, &self.group_column) {
            (Some(_), Some(_), _) => wrong(
                ErrorKind::ArgumentConflict,
                "--label-column is of classes, and --target says that the column is forecast; leave one of them out".into(),
            ),
            (Some(_), None, _) => Ok(Kind::Forecast),
            (None, Some(_), Some(_)) => match first(&of_forecasts) {
                Some(option) => wrong(
                    ErrorKind::ArgumentConflict,
                    format!("{option} is of forecasts (--target), and --label-column says that sequences have classes"),
                ),
                None => Ok(Kind::Sequences),
            },
            (None, ..) => match first(&of_forecasts).or_else(|| first(&of_both)) {
                Some(option) => wrong(
                    ErrorKind::MissingRequiredArgument,
                    format!(
                        "{option} goes with measurements: --target, a column to forecast, or --label-column and \
                         --group-column, sequences with a class each"
                    ),
                ),
                None => Ok(Kind::Others),
            },
        }
    }

    /// What to read of the file.
    pub(super) fn columns(&self) -> Columns {
        let target = self.target.clone();
        // The target's own past is a feature anyway.
        let features = self.features.iter().filter(|name| self.target.as_ref() != Some(name)).cloned();
        Columns {
            numbers: target.into_iter().chain(features).collect(),
            label: None,
            time: self.time_column.clone(),
            finds_time: true,
            day_first: self.day_first,
            group: self.group_column.clone(),
        }
    }

    /// What is done where numbers or times are missing.
    pub(super) fn missing(&self) -> Missing {
        self.missing.unwrap_or_default()
    }

    /// How windows are made.
    pub(super) fn options(&self, validation_split: f64) -> SeriesOptions {
        SeriesOptions {
            window: self.window.unwrap_or(60),
            horizon: self.horizon.unwrap_or(1),
            quantiles: self.quantiles.clone(),
            scaling: self.scaling.unwrap_or_default(),
            relative: self.relative,
            season: self.season,
            missing: self.missing(),
            parts: [validation_split, self.test_split.unwrap_or(0.2)],
        }
    }

    /// What to read of a file of sequences.
    pub(super) fn sequence_columns(&self, label_column: Option<&str>) -> Columns {
        Columns {
            numbers: self.features.clone(),
            label: label_column.map(String::from),
            time: self.time_column.clone(),
            finds_time: true,
            day_first: self.day_first,
            group: self.group_column.clone(),
        }
    }

    /// How sequences are made samples.
    pub(super) fn sequences(
        &self,
        validation_split: f64,
        max_len: Option<usize>,
        seed: u32,
    ) -> SequenceOptions {
        SequenceOptions {
            window: self.window,
            max_len,
            scaling: self.scaling.unwrap_or_default(),
            missing: self.missing(),
            parts: [validation_split, self.test_split.unwrap_or(0.2)],
            seed,
        }
    }
}
