//! Measurements as a table: numbers in columns, in order of time, each group by itself.

use super::spacing::Spacing;
use super::times::TimeForm;
use std::ops::Range;

/// Which columns of a file to read, each by its name or its number from 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Columns of numbers; the first is the target where there is one. Where none is named, beside labels, all that are left.
    pub numbers: Vec<String>,
    /// A column of texts that are to be kept: labels.
    pub label: Option<String>,
    /// The column of the times; where none is named, the one that is called so is taken.
    pub time: Option<String>,
    /// Whether a column of times is looked for where none is named.
    pub finds_time: bool,
    /// Whether days stand before months in times that can be read either way; found out by the rows where it is not said.
    pub day_first: Option<bool>,
    /// The column that says which series a row is of.
    pub group: Option<String>,
}

/// The rows of one group, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What the group column says; empty where there is none.
    pub name: String,
    /// Its rows.
    pub rows: Range<usize>,
}

/// When the rows are.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// The column's name.
    pub column: String,
    /// How times are written.
    pub form: TimeForm,
    /// Of each row its time.
    pub stamps: Vec<f64>,
    /// How far one row is from the next, where that is regular.
    pub spacing: Option<Spacing>,
}

/// Numbers in columns, group after group, each in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The file's name.
    pub name: String,
    /// The columns' names.
    pub columns: Vec<String>,
    /// (rows, columns), row after row.
    pub values: Vec<f64>,
    /// Of each row its label, where they were asked for.
    pub labels: Vec<String>,
    /// The groups; one where the file has no column of them.
    pub groups: Vec<Group>,
    /// The name of the column of groups.
    pub group_column: Option<String>,
    /// The name of the column of labels.
    pub label_column: Option<String>,
    /// The times, where there is a column of them.
    pub times: Option<Times>,
    /// What is to be said, a line each.
    pub notes: Vec<String>,
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.groups.last().map_or(0, |group| group.rows.end)
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// A column's number in a row.
    pub fn value(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.width() + column]
    }

    /// The first column.
    pub fn target(&self, rows: Range<usize>) -> Vec<f64> {
        rows.map(|row| self.value(row, 0)).collect()
    }

    /// When a row is, as the file writes it.
    pub fn time(&self, row: usize) -> Option<String> {
        let times = self.times.as_ref()?;
        Some(times.form.show(*times.stamps.get(row)?))
    }
}
