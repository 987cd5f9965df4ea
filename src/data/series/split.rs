//! A series made ready for training: the parts by time, scales, season, and windows.

use super::config::{SeriesConfig, TrainedPart, check_quantiles};
use super::missing::Missing;
use super::scaler::{Scaler, Scaling};
use super::season::{by_autocorrelation, has_season};
use super::table::{Group, Table};
use super::windows::Scaled;
use crate::data::Examples;
use crate::{Error, Result};

/// How a series is to be made ready.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesOptions {
    /// How many rows a forecast is made from.
    pub window: usize,
    /// How many rows it reaches ahead.
    pub horizon: usize,
    /// The quantiles to forecast; none for one value.
    pub quantiles: Vec<f64>,
    /// How columns are scaled.
    pub scaling: Scaling,
    /// Whether the target is given as its distance from the window's last value; found out where it is not said.
    pub relative: Option<bool>,
    /// Steps a season; found out where it is not said.
    pub season: Option<usize>,
    /// What was done where numbers or times were missing.
    pub missing: Missing,
    /// The parts of the rows that are kept for validation and test: the last ones.
    pub parts: [f64; 2],
}

/// A part of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is trained on: the beginning.
    Train,
    /// What each epoch is judged by.
    Validation,
    /// What is looked at once: the end.
    Test,
}

/// A series, ready for training.
#[derive(Clone, Debug)]
pub struct PreparedSeries {
    /// What a forecaster has to know.
    pub config: SeriesConfig,
    /// The measurements.
    pub table: Table,
    /// What was found, a line each.
    pub notes: Vec<String>,
    /// Of each group the first rows of validation and test.
    bounds: Vec<[usize; 2]>,
    scaled: Scaled,
}

impl PreparedSeries {
    /// Splits a table by time, each group at the same times, and learns scales and season from the training part.
    ///
    /// # Errors
    /// [`Error::Data`] where a part is too short for a window and the steps ahead, or the target never changes;
    /// [`Error::Argument`] for options that do not work.
    pub fn new(table: Table, options: &SeriesOptions) -> Result<Self> {
        for (argument, value) in [("window", options.window), ("horizon", options.horizon)] {
            if value == 0 {
                return Err(Error::argument(argument, "0, expected at least 1"));
            }
        }
        check_quantiles(&options.quantiles)?;
        let [validation, test] = options.parts;
        if validation + test >= 1.0 {
            let what =
                format!("{validation} for validation and {test} for the test leave nothing to train on");
            return Err(Error::argument("validation_split", what));
        }
        let mut notes = table.notes.clone();
        let bounds = bounds(&table, [1.0 - validation - test, 1.0 - test]);
        check_lengths(&table, &bounds, options, &mut notes)?;
        let training: Vec<Group> = table
            .groups
            .iter()
            .zip(&bounds)
            .map(|(group, bounds)| Group { name: group.name.clone(), rows: group.rows.start..bounds[0] })
            .collect();
        let scalers = scalers(&table, &training, options.scaling, &mut notes)?;
        let season = season(&table, &training, options.season, &mut notes);
        let relative = relative(&table, &training, options, season, &mut notes);
        let trained = trained(&table, &training, options.window, season, &mut notes);
        let times = table.times.as_ref();
        let config = SeriesConfig {
            target: table.columns.first().cloned().unwrap_or_default(),
            features: table.columns.iter().skip(1).cloned().collect(),
            time_column: times.map(|times| times.column.clone()),
            day_first: times.and_then(|times| times.form.day_first()),
            group_column: table.group_column.clone(),
            window: options.window,
            horizon: options.horizon,
            quantiles: options.quantiles.clone(),
            relative,
            scaling: options.scaling,
            scalers,
            frequency: times
                .and_then(|times| times.spacing)
                .map(|spacing| format!("every {}", spacing.in_words())),
            season,
            missing: options.missing,
            trained_until: first_after(&table, &training),
            trained,
            errors: vec![],
        };
        let scaled = Scaled::new(&config, &table);
        Ok(Self { config, table, notes, bounds, scaled })
    }

    /// Where forecasts of a part begin: the rows of their first steps. All steps ahead are rows of the part.
    pub fn origins(&self, part: Part) -> Vec<usize> {
        let (window, horizon) = (self.config.window, self.config.horizon);
        let groups = self.table.groups.iter().zip(&self.bounds);
        let origins = groups.flat_map(|(group, &[validation, test])| {
            let rows = match part {
                Part::Train => group.rows.start..validation,
                Part::Validation => validation..test,
                Part::Test => test..group.rows.end,
            };
            let first = rows.start.max(group.rows.start + window);
            first..(rows.end + 1).saturating_sub(horizon).max(first)
        });
        origins.collect()
    }

    /// Windows and what follows them, as examples.
    ///
    /// # Errors
    /// None that a table which was read can cause.
    pub fn examples(&self, part: Part) -> Result<Examples> {
        let origins = self.origins(part);
        Examples::new(vec![self.scaled.inputs(&origins)?], vec![self.scaled.targets(&origins)?])
    }
}

/// The first rows of validation and test in each group: where there are times, the same moments in all.
fn bounds(table: &Table, parts: [f64; 2]) -> Vec<[usize; 2]> {
    let place = |count: usize, part: f64| (count as f64 * part).round() as usize;
    if let (Some(times), true) = (&table.times, table.groups.len() > 1) {
        let mut sorted = times.stamps.clone();
        sorted.sort_by(f64::total_cmp);
        let moments =
            parts.map(|part| sorted.get(place(sorted.len(), part)).copied().unwrap_or(f64::INFINITY));
        let rows = |group: &Group| {
            let stamps = &times.stamps[group.rows.clone()];
            moments.map(|moment| group.rows.start + stamps.partition_point(|stamp| *stamp < moment))
        };
        return table.groups.iter().map(rows).collect();
    }
    table
        .groups
        .iter()
        .map(|group| parts.map(|part| group.rows.start + place(group.rows.len(), part)))
        .collect()
}

fn longest(groups: &[Group]) -> Option<&Group> {
    groups.iter().max_by_key(|group| group.rows.len())
}

/// The first time after the training parts, which end at the same moment.
fn first_after(table: &Table, training: &[Group]) -> Option<String> {
    let times = table.times.as_ref()?;
    let afters = table.groups.iter().zip(training).filter(|(group, part)| part.rows.end < group.rows.end);
    let first = afters.map(|(_, part)| times.stamps[part.rows.end]).min_by(f64::total_cmp)?;
    Some(times.form.show(first))
}

/// What is kept of the training parts; it is said where a season is longer than they are.
fn trained(
    table: &Table,
    training: &[Group],
    window: usize,
    season: usize,
    notes: &mut Vec<String>,
) -> Vec<TrainedPart> {
    let parts: Vec<TrainedPart> =
        training.iter().map(|part| TrainedPart::new(table, part, window, season)).collect();
    let short = parts.iter().filter(|part| season > 1 && !has_season(part.rows, season)).count();
    if short > 0 {
        let of = match parts.len() {
            1 => "the training part has".to_string(),
            all => format!("the training parts of {short} of {all} series have"),
        };
        notes.push(format!(
            "{of} no more than a season of {season} rows: MASE is measured there by the naive forecast, not the seasonal one"
        ));
    }
    let left_out = parts.iter().filter(|part| part.naive_error.is_none()).count();
    if left_out > 0 && parts.len() > 1 {
        notes.push(format!(
            "MASE leaves {left_out} of {} series out: they have too few rows to train on, or one value throughout",
            parts.len()
        ));
    }
    parts
}

/// Refuses parts that hold no window with the steps ahead.
fn check_lengths(
    table: &Table,
    bounds: &[[usize; 2]],
    options: &SeriesOptions,
    notes: &mut Vec<String>,
) -> Result<()> {
    let SeriesOptions { window, horizon, .. } = *options;
    let needed = window + horizon;
    let (name, groups) = (&table.name, &table.groups);
    let short: Vec<&Group> = groups.iter().filter(|group| group.rows.len() < needed).collect();
    if short.len() == groups.len() {
        let rows = longest(groups).map_or(0, |group| group.rows.len());
        let of = if groups.len() > 1 { " in its longest series" } else { "" };
        let what = format!(
            "{name} has {rows} rows{of}, fewer than a window of {window} and {horizon} steps ahead take ({needed})"
        );
        return Err(Error::Data(what));
    }
    if let Some(first) = short.first() {
        let what = format!(
            "{} of {} series have fewer rows than a window and the steps ahead take ({needed}), the first {:?}: they are only \
             scaled by",
            short.len(),
            groups.len(),
            first.name
        );
        notes.push(what);
    }
    let pairs = || groups.iter().zip(bounds);
    let most = |rows: &dyn Fn(&Group, &[usize; 2]) -> usize| {
        pairs().map(|(group, it)| rows(group, it)).max().unwrap_or(0)
    };
    let train = most(&|group, it| it[0] - group.rows.start);
    if train < needed {
        let what = format!(
            "the training part of {name} has {train} rows, fewer than a window of {window} and {horizon} steps ahead take \
             ({needed}); make them smaller, or give more rows"
        );
        return Err(Error::Data(what));
    }
    let validation = most(&|_, it| it[1] - it[0]);
    let test = most(&|group, it| group.rows.end - it[1]);
    for (part, rows, option) in [("validation", validation, "validation_split"), ("test", test, "test_split")]
    {
        if rows < horizon {
            let what = format!(
                "the {part} part of {name} has {rows} rows, fewer than the {horizon} steps ahead; give a larger part, or a \
                 shorter horizon"
            );
            return Err(Error::argument(option, what));
        }
    }
    Ok(())
}

fn scalers(
    table: &Table,
    training: &[Group],
    scaling: Scaling,
    notes: &mut Vec<String>,
) -> Result<Vec<Scaler>> {
    let mut scalers = vec![];
    for (column, name) in table.columns.iter().enumerate() {
        let rows = training.iter().flat_map(|group| group.rows.clone());
        let values: Vec<f64> = rows.map(|row| table.value(row, column)).collect();
        let is_constant = values.windows(2).all(|pair| pair[0] == pair[1]);
        if is_constant && column == 0 {
            let value = values.first().copied().unwrap_or(f64::NAN);
            let what = format!(
                "{name:?} is {value} in the whole training part of {}: nothing can be learnt of it",
                table.name
            );
            return Err(Error::Data(what));
        }
        if is_constant {
            notes.push(format!("{name:?} is the same in the whole training part, and says nothing there"));
        }
        scalers.push(Scaler::fit(scaling, name, &values));
    }
    Ok(scalers)
}

/// As many rows of the training part, evenly spread, tell whether the last value or the mean forecasts it better.
const ROWS: usize = 10_000;

/// Whether windows are to be seen from their last value: where it forecasts the steps ahead, in the training part, better than the
/// mean does. Under a season the next step alone counts: of later ones the last value says little, for the season is in between,
/// and a level that moves matters all the same.
fn relative(
    table: &Table,
    training: &[Group],
    options: &SeriesOptions,
    season: usize,
    notes: &mut Vec<String>,
) -> bool {
    if let Some(asked) = options.relative {
        return asked;
    }
    let rows = || training.iter().flat_map(|group| group.rows.clone());
    let count = rows().count();
    let mean = rows().map(|row| table.value(row, 0)).sum::<f64>() / count.max(1) as f64;
    let every = count.div_ceil(ROWS).max(1);
    let steps = if season > 1 { 1 } else { options.horizon };
    let (mut by_last, mut by_mean) = (0.0, 0.0);
    for group in training {
        for last in group.rows.clone().step_by(every) {
            for ahead in (last + 1..group.rows.end).take(steps) {
                let value = table.value(ahead, 0);
                by_last += (value - table.value(last, 0)).abs();
                by_mean += (value - mean).abs();
            }
        }
    }
    if by_last < by_mean {
        notes.push(format!(
            "the last value forecasts {:?} better than its mean: windows and forecasts are taken as distances from it \
             (relative)",
            table.columns[0]
        ));
    }
    by_last < by_mean
}

fn season(table: &Table, training: &[Group], asked: Option<usize>, notes: &mut Vec<String>) -> usize {
    if let Some(season) = asked {
        return season;
    }
    let Some(group) = longest(training) else { return 1 };
    let spacing = table.times.as_ref().and_then(|times| times.spacing);
    let told = spacing.and_then(|spacing| Some((spacing.season()?, spacing)));
    let fits = |season: usize| season * 2 <= group.rows.len();
    if let Some(((season, what), spacing)) = told.filter(|((season, _), _)| fits(*season)) {
        notes.push(format!("season: {season} rows, {what} with a row every {}", spacing.in_words()));
        return season;
    }
    match by_autocorrelation(&table.target(group.rows.clone())) {
        Some(season) => {
            notes.push(format!("season: {season} rows, the highest autocorrelation in the training part"));
            season
        }
        None => {
            notes.push("season: none is found".into());
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Times;
    use super::super::times::TimeForm;
    use super::*;

    fn table(groups: &[usize]) -> Table {
        let rows: usize = groups.iter().sum();
        let (mut at, mut stamps) = (0, vec![]);
        let groups = groups.iter().enumerate().map(|(number, &count)| {
            let rows = at..at + count;
            at += count;
            // The second series begins later.
            stamps.extend((0..count).map(|row| (row + 10 * number) as f64));
            Group { name: format!("g{number}"), rows }
        });
        let groups = groups.collect();
        Table {
            name: "t.csv".into(),
            columns: vec!["y".into(), "x".into()],
            values: (0..rows).flat_map(|row| [((row * row) % 17) as f64, row as f64]).collect(),
            labels: vec![],
            groups,
            group_column: None,
            label_column: None,
            times: Some(Times { column: "t".into(), form: TimeForm::Number, stamps, spacing: None }),
            notes: vec![],
        }
    }

    fn options() -> SeriesOptions {
        SeriesOptions {
            window: 5,
            horizon: 3,
            quantiles: vec![],
            scaling: Scaling::Standard,
            relative: Some(false),
            season: Some(1),
            missing: Missing::Refuse,
            parts: [0.2, 0.2],
        }
    }

    /// No step that is trained on is one that is validated or tested on, and each window stays within its series.
    #[test]
    fn parts_are_apart_in_time() -> Result<()> {
        for groups in [vec![50], vec![60, 40]] {
            let table = table(&groups);
            let prepared = PreparedSeries::new(table, &options())?;
            let times = prepared.table.times.as_ref().expect("times");
            let steps = |part: Part| -> Vec<f64> {
                let origins = prepared.origins(part);
                assert!(!origins.is_empty());
                for &origin in &origins {
                    let inside = |group: &&Group| {
                        group.rows.contains(&(origin - 5)) && group.rows.contains(&(origin + 2))
                    };
                    assert_eq!(prepared.table.groups.iter().filter(inside).count(), 1);
                }
                origins.iter().flat_map(|&origin| origin..origin + 3).map(|row| times.stamps[row]).collect()
            };
            let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(steps);
            let (least, most) = (
                |it: &[f64]| it.iter().copied().fold(f64::INFINITY, f64::min),
                |it: &[f64]| it.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            );
            assert!(most(&train) < least(&validation) && most(&validation) < least(&test));
            let examples = prepared.examples(Part::Train)?;
            assert_eq!(examples.inputs()[0].row_shape(), [5, 2]);
            assert_eq!(examples.targets()[0].row_shape(), [3]);
        }
        Ok(())
    }

    #[test]
    fn scales_are_those_of_the_training_part() -> Result<()> {
        let prepared = PreparedSeries::new(table(&[50]), &options())?;
        let mean = (0..30).map(f64::from).sum::<f64>() / 30.0;
        assert_eq!(prepared.config.scalers[1].center, mean);
        assert_eq!(prepared.config.trained_until.as_deref(), Some("30"));
        Ok(())
    }

    /// A level that moves under a season, far steps of which the mean forecasts better; and chance alone.
    #[test]
    fn a_level_that_moves_is_found_under_a_season() -> Result<()> {
        let found = |value: &dyn Fn(usize) -> f64| {
            let table =
                Table { values: (0..100).flat_map(|row| [value(row), 0.0]).collect(), ..table(&[100]) };
            let options = SeriesOptions { relative: None, horizon: 6, season: Some(12), ..options() };
            PreparedSeries::new(table, &options).map(|prepared| prepared.config.relative)
        };
        let season = |row: usize| 20.0 * (row as f64 * std::f64::consts::TAU / 12.0).sin();
        assert!(found(&|row| season(row) + 0.1 * row as f64)?);
        assert!(!found(&|row| ((row * 7919 + 13) % 1009) as f64)?);
        Ok(())
    }

    #[test]
    fn what_is_too_short_is_refused() {
        let refused = |groups: &[usize], change: fn(&mut SeriesOptions)| {
            let mut options = options();
            change(&mut options);
            PreparedSeries::new(table(groups), &options).expect_err("refused").to_string()
        };
        assert!(
            refused(&[7], |_| ()).contains("7 rows, fewer than a window of 5 and 3 steps ahead take (8)")
        );
        assert!(refused(&[12], |_| ()).contains("the training part of t.csv has 7 rows"));
        assert!(refused(&[50], |it| it.parts[1] = 0.02).contains("test_split: the test part"));
        assert!(refused(&[50], |it| it.parts = [0.6, 0.4]).contains("nothing to train on"));
        assert!(refused(&[50], |it| it.quantiles = vec![0.9, 0.1]).contains("go up"));
    }
}
