//! What a forecaster was trained on, so that it is known again in a file; and what MASE is measured by.

use super::config::{SeriesConfig, TrainedPart};
use super::day_month;
use super::season::mase_scale;
use super::table::{Group, Table};
use std::collections::HashMap;
use std::ops::Range;

impl TrainedPart {
    /// What is to be known of the rows of a table that are trained on.
    pub(super) fn new(table: &Table, part: &Group, window: usize, season: usize) -> Self {
        let target = table.target(part.rows.clone());
        let error = mase_scale(&target, season);
        Self {
            group: part.name.clone(),
            rows: part.rows.len(),
            checksum: checksum(table, last(&part.rows, window)),
            naive_error: Some(error).filter(|error| error.is_finite() && *error > 0.0),
        }
    }
}

/// What of a table was trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainedRows {
    /// Of each series the first row that was not.
    pub ends: Vec<usize>,
    /// How many series have other numbers than those that were trained on, at the same times.
    pub others: usize,
}

impl TrainedRows {
    /// Whether the first step of a forecast from this row on was trained on.
    pub fn holds(&self, table: &Table, origin: usize) -> bool {
        let group = table.groups.partition_point(|group| group.rows.end <= origin);
        self.ends.get(group).is_some_and(|end| origin < *end)
    }
}

impl SeriesConfig {
    /// Finds the rows that were trained on: by their times where there are such, else at the beginning of each series; and
    /// wherever the numbers are those.
    pub fn trained_rows(&self, table: &Table) -> TrainedRows {
        let known: HashMap<&str, &TrainedPart> =
            self.trained.iter().map(|part| (part.group.as_str(), part)).collect();
        let until = self.trained_until.as_ref().zip(table.times.as_ref()).and_then(|(until, times)| {
            let other =
                || day_month::find(std::slice::from_ref(until), &[], self.day_first).ok()?.0.stamp(until);
            times.form.stamp(until).or_else(other)
        });
        let mut found = TrainedRows::default();
        for group in &table.groups {
            let rows = group.rows.clone();
            let end = |part: &TrainedPart| match (&table.times, until) {
                (Some(times), Some(until)) => {
                    rows.start + times.stamps[rows.clone()].partition_point(|stamp| *stamp < until)
                }
                (None, _) if self.time_column.is_none() => (rows.start + part.rows).min(rows.end),
                _ => rows.start,
            };
            let trained = known.get(group.name.as_str()).map(|part| (part, end(part)));
            let Some((part, end)) = trained.filter(|(_, end)| *end > rows.start) else {
                found.ends.push(rows.start);
                continue;
            };
            // With fewer rows there is no window before a row that was trained on.
            let length = self.window.min(part.rows);
            let is_same = end - rows.start >= length
                && checksum(table, last(&(rows.start..end), length)) == part.checksum;
            found.others += usize::from(!is_same && end - rows.start > length);
            found.ends.push(if is_same { end } else { rows.start });
        }
        found
    }

    /// What MASE is measured by in each series of a table; none where its training part does not tell.
    pub fn naive_errors(&self, table: &Table) -> Vec<Option<f64>> {
        let known: HashMap<&str, Option<f64>> =
            self.trained.iter().map(|part| (part.group.as_str(), part.naive_error)).collect();
        table.groups.iter().map(|group| known.get(group.name.as_str()).copied().flatten()).collect()
    }
}

/// The last `count` of some rows, or all.
fn last(rows: &Range<usize>, count: usize) -> Range<usize> {
    rows.end - count.min(rows.len())..rows.end
}

fn checksum(table: &Table, rows: Range<usize>) -> u32 {
    let bytes: Vec<u8> = table.target(rows).into_iter().flat_map(f64::to_le_bytes).collect();
    crc32fast::hash(&bytes)
}
