//! Which columns of a file are read as what.

use super::table::Columns;
use crate::error::nearest;
use crate::formats::TextTable;
use crate::{Error, Result};
use std::path::Path;

/// Names of columns of times, the likeliest first.
const TIMES: [&str; 9] = ["date", "datetime", "timestamp", "time", "ds", "day", "month", "period", "year"];

/// Names that files of measurements often have in their first line.
const OTHERS: [&str; 11] =
    ["value", "close", "open", "high", "low", "volume", "price", "target", "y", "ticker", "id"];

pub(super) fn is_name(field: &str) -> bool {
    let field = field.trim().to_lowercase();
    TIMES.contains(&field.as_str()) || OTHERS.contains(&field.as_str())
}

/// How files write that a number is not there: what pandas reads as such, and a few more.
const GAPS: [&str; 19] = [
    "", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#na", "#n/a", "#n/a n/a", "-1.#ind", "1.#ind",
    "-1.#qnan", "1.#qnan", "-", ".", "?", "--",
];

fn is_gap(cell: &str) -> bool {
    cell.is_empty() || cell.len() <= 8 && GAPS.contains(&cell.to_lowercase().as_str())
}

/// Where the columns stand.
pub(super) struct Places {
    pub(super) numbers: Vec<usize>,
    pub(super) label: Option<usize>,
    pub(super) time: Option<usize>,
    pub(super) group: Option<usize>,
}

impl Places {
    /// Finds them; what is taken of columns that nobody named is added to the notes.
    pub(super) fn find(
        path: &Path,
        file: &TextTable,
        columns: &Columns,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let names = file.columns();
        let place = |argument: &str, name: &String| {
            let number = || name.parse::<usize>().ok().filter(|number| (1..=names.len()).contains(number));
            let found = names.iter().position(|column| column == name);
            found.or_else(|| number().map(|number| number - 1)).ok_or_else(|| {
                let hint = match nearest(name, names.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => {
                        format!("it has {}", names.iter().take(20).cloned().collect::<Vec<_>>().join(", "))
                    }
                };
                Error::argument(argument, format!("{} has no column {name:?}; {hint}", path.display()))
            })
        };
        let optional = |argument: &str, name: &Option<String>| {
            name.as_ref().map(|name| place(argument, name)).transpose()
        };
        let numbers = columns.numbers.iter().enumerate();
        let mut numbers: Vec<usize> = numbers
            .map(|(at, name)| {
                place(if at == 0 && columns.label.is_none() { "target" } else { "features" }, name)
            })
            .collect::<Result<_>>()?;
        if let Some(at) = (1..numbers.len()).find(|&at| numbers[..at].contains(&numbers[at])) {
            let what = format!("column {:?} is named twice", names[numbers[at]]);
            return Err(Error::argument("features", what));
        }
        let label = optional("label_column", &columns.label)?;
        let group = optional("group_column", &columns.group)?;
        let mut time = optional("time_column", &columns.time)?;
        if time.is_none() && columns.finds_time {
            let is = |name: &str| names.iter().position(|column| column.trim().to_lowercase() == name);
            let taken = |place: &usize| numbers.contains(place) || [label, group].contains(&Some(*place));
            time = TIMES.iter().filter_map(|name| is(name)).find(|place| !taken(place));
        }
        if numbers.is_empty() {
            let taken = [label, group, time];
            let others: Vec<usize> =
                (0..names.len()).filter(|place| !taken.contains(&Some(*place))).collect();
            numbers = features(file, &others, notes)?;
        }
        if numbers.is_empty() {
            let what =
                format!("no column of {} holds numbers; it has {}", path.display(), file.columns_in_words());
            return Err(Error::argument("features", what));
        }
        for (argument, other) in [("time_column", time), ("group_column", group), ("label_column", label)] {
            if let Some(both) = other.filter(|other| numbers.contains(other)) {
                let what = format!("column {:?} is one of the numbers as well; name another", names[both]);
                return Err(Error::argument(argument, what));
            }
        }
        Ok(Self { numbers, label, time, group })
    }
}

/// What the cells of a column are.
#[derive(Clone, Default)]
struct Cells {
    numbers: usize,
    others: usize,
    /// The first that is neither a number nor a gap.
    first: Option<String>,
}

/// Of these columns those of numbers: half of what is written there, or more. A text among numbers is refused where it stands,
/// once they are read.
fn features(file: &TextTable, places: &[usize], notes: &mut Vec<String>) -> Result<Vec<usize>> {
    let mut cells = vec![Cells::default(); places.len()];
    file.for_each(places, &mut |_, fields| {
        for (cells, field) in cells.iter_mut().zip(fields.unwrap_or_default()) {
            match field.map_or("", str::trim) {
                text if is_gap(text) => {}
                text if text.parse::<f64>().is_ok() => cells.numbers += 1,
                text => {
                    cells.others += 1;
                    cells.first.get_or_insert_with(|| text.chars().take(20).collect());
                }
            }
        }
    })?;
    let is_number = |cells: &Cells| cells.numbers > 0 && cells.numbers >= cells.others;
    let (taken, left): (Vec<_>, Vec<_>) = places.iter().zip(&cells).partition(|(_, cells)| is_number(cells));
    let name = |place: usize| file.columns()[place].clone();
    if !taken.is_empty() {
        let names = in_words(taken.iter().map(|(place, _)| name(**place)));
        notes.push(format!("features are all columns of numbers: {names}"));
    }
    if !left.is_empty() {
        let why = |(place, cells): &(&usize, &Cells)| match &cells.first {
            Some(first) => format!("{} ({first:?})", name(**place)),
            None => format!("{} (empty)", name(**place)),
        };
        notes.push(format!("left out, for they hold no numbers: {}", in_words(left.iter().map(why))));
    }
    Ok(taken.into_iter().map(|(place, _)| *place).collect())
}

/// The first of some words, and how many more there are.
fn in_words(words: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 20;
    let more = words.len().saturating_sub(SHOWN);
    let shown = words.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// A number, or NaN where there is none.
pub(super) fn number(text: &str) -> std::result::Result<f64, &'static str> {
    match text.parse::<f64>() {
        _ if is_gap(text) => Ok(f64::NAN),
        Ok(number) if number.is_infinite() || number.abs() > 1e30 => {
            Err("is beyond what can be computed with")
        }
        Ok(number) => Ok(number),
        Err(_) if text.contains(',') && text.replace(',', "").parse::<f64>().is_ok() => {
            Err("has a comma; write numbers with a decimal point and without separators of thousands")
        }
        Err(_) => Err("is no number"),
    }
}
