//! A file of measurements, read into a table: which columns, in which order, and what is wrong with them.

use super::gaps::fill_gaps;
use super::missing::Missing;
use super::table::{Columns, Group, Table, Times};
use super::times::TimeForm;
use crate::error::nearest;
use crate::formats::{How, TextTable};
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Names of columns of times, the likeliest first.
const TIMES: [&str; 9] = ["date", "datetime", "timestamp", "time", "ds", "day", "month", "period", "year"];

/// Names that files of measurements often have in their first line.
const OTHERS: [&str; 11] =
    ["value", "close", "open", "high", "low", "volume", "price", "target", "y", "ticker", "id"];

fn is_name(field: &str) -> bool {
    let field = field.trim().to_lowercase();
    TIMES.contains(&field.as_str()) || OTHERS.contains(&field.as_str())
}

/// How files write that a number is not there.
fn is_missing(cell: &str) -> bool {
    const WORDS: [&str; 9] = ["na", "n/a", "nan", "null", "none", "-", ".", "?", "#n/a"];
    cell.is_empty() || WORDS.contains(&cell.to_lowercase().as_str())
}

/// The rows as they stand in the file.
#[derive(Default)]
struct Raw {
    lines: Vec<usize>,
    values: Vec<f64>,
    labels: Vec<String>,
    times: Vec<String>,
    groups: Vec<usize>,
    names: Vec<String>,
}

impl Table {
    /// Reads a file: columns separated by commas, semicolons, tabs or bars, JSON lines, or Parquet.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Cell`] with the line where something cannot be read or used, [`Error::Argument`] for a column that
    /// is not there.
    pub fn read(path: &Path, columns: &Columns, missing: Missing) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder, expected a file of measurements in columns"));
        }
        if !path.exists() {
            return Err(Error::file(path, "there is no such file"));
        }
        let file = TextTable::open(path, How::plain(is_name))?;
        let places = Places::find(path, &file, columns)?;
        let raw = places.read(path, &file)?;
        let names = places.numbers.iter().map(|&place| file.columns()[place].clone()).collect();
        let name = path.file_name().map_or_else(|| "data".into(), |it| it.to_string_lossy().into_owned());
        let mut notes = vec![format!("{name}: {}; {} rows", file.found(), raw.lines.len())];
        if let (Some(time), None) = (places.time, &columns.time) {
            notes.push(format!("times are those of column {:?}", file.columns()[time]));
        }
        let table = Self {
            name,
            columns: names,
            values: vec![],
            labels: vec![],
            groups: vec![],
            group_column: places.group.map(|place| file.columns()[place].clone()),
            label_column: places.label.map(|place| file.columns()[place].clone()),
            times: None,
            notes,
        };
        table.order(path, raw, places.time.map(|time| file.columns()[time].clone()), missing)
    }

    /// Brings the rows in order: groups in the order in which they come, each by time.
    fn order(mut self, path: &Path, raw: Raw, time: Option<String>, missing: Missing) -> Result<Self> {
        let cell = |row: usize, what: String| Error::Cell {
            path: path.into(),
            line: raw.lines.get(row).copied().unwrap_or_default(),
            column: None,
            what,
        };
        let form = match &time {
            None => None,
            Some(time) => Some(TimeForm::of(&raw.times).map_err(|(row, what)| match row {
                Some(row) => cell(row, format!("{:?} in column {time:?} {what}", raw.times[row])),
                None => Error::file(path, format!("column {time:?} {what}")),
            })?),
        };
        let stamp = |row: &usize| form.as_ref().and_then(|form| form.parse(&raw.times[*row])).unwrap_or(0.0);
        let mut order: Vec<usize> = (0..raw.lines.len()).collect();
        order.sort_by_key(|&row| raw.groups[row]);
        let is_sorted = |order: &[usize]| {
            order
                .windows(2)
                .filter(|pair| raw.groups[pair[0]] == raw.groups[pair[1]])
                .filter(|pair| stamp(&pair[0]) > stamp(&pair[1]))
                .count()
        };
        let unsorted = is_sorted(&order);
        if let (1.., Some(time)) = (unsorted, &time) {
            order.sort_by(|a, b| (raw.groups[*a].cmp(&raw.groups[*b])).then(stamp(a).total_cmp(&stamp(b))));
            let pairs = order.len().saturating_sub(raw.names.len().max(1));
            self.notes.push(match unsorted == pairs {
                true => format!("the newest row stands first; sorted by {time:?}"),
                false => format!("{unsorted} rows stand before an earlier one; sorted by {time:?}"),
            });
        }
        if let Some(time) = &time {
            let twice = order.windows(2).find(|pair| {
                raw.groups[pair[0]] == raw.groups[pair[1]] && stamp(&pair[0]) == stamp(&pair[1])
            });
            if let Some(pair) = twice {
                let hint = match raw.names.is_empty() {
                    true => {
                        "leave one row out, or name the column that tells series apart (`data::series::Columns::group`)"
                    }
                    false => "leave one row out",
                };
                let what = format!(
                    "{:?} in column {time:?} stands in line {} already{}; {hint}",
                    raw.times[pair[1]],
                    raw.lines[pair[0]],
                    raw.names.get(raw.groups[pair[0]]).map_or(String::new(), |name| format!(" for {name:?}"))
                );
                return Err(cell(pair[1], what));
            }
        }
        let width = self.width();
        self.values.reserve_exact(raw.values.len());
        let (mut lines, mut stamps) = (vec![], vec![]);
        for &row in &order {
            let name = || raw.names.get(raw.groups[row]).cloned().unwrap_or_default();
            let values = &raw.values[row * width..(row + 1) * width];
            let at = lines.len();
            let begins = self.groups.last().is_none_or(|group| group.name != name());
            if let Some(column) = values.iter().position(|value| value.is_nan()) {
                match missing {
                    Missing::Refuse => {
                        let what = format!(
                            "column {:?} has no number; fill it, or say what is to be done (`data::series::Missing`)",
                            self.columns[column]
                        );
                        return Err(cell(row, what));
                    }
                    Missing::Skip => continue,
                    // What has no value before it cannot be filled.
                    Missing::Forward if begins => continue,
                    Missing::Forward => {}
                }
            }
            if begins {
                self.groups.push(Group { name: name(), rows: at..at });
            }
            for (column, value) in values.iter().enumerate() {
                let value = if value.is_nan() { self.values[(at - 1) * width + column] } else { *value };
                self.values.push(value);
            }
            if let Some(group) = self.groups.last_mut() {
                group.rows.end = at + 1;
            }
            lines.push(raw.lines[row]);
            stamps.push(stamp(&row));
            self.labels.extend(raw.labels.get(row).cloned());
        }
        self.say_missing(&raw, lines.len(), missing);
        if self.rows() == 0 {
            return Err(Error::file(path, "holds no row with all its numbers"));
        }
        if let (Some(column), Some(form)) = (time, form) {
            self.times = Some(Times { column, form, stamps, spacing: None });
            fill_gaps(&mut self, path, &lines, missing)?;
        }
        Ok(self)
    }

    /// What became of rows that lack a number.
    fn say_missing(&mut self, raw: &Raw, kept: usize, missing: Missing) {
        let lacking =
            raw.values.chunks(self.width().max(1)).filter(|row| row.iter().any(|it| it.is_nan())).count();
        let left_out = raw.lines.len() - kept;
        let rows = |count: usize| if count == 1 { "1 row".to_string() } else { format!("{count} rows") };
        if lacking > left_out {
            let filled = rows(lacking - left_out);
            self.notes.push(format!("{filled} lack a number, which is filled with the last one before"));
        }
        match (left_out, missing) {
            (0, _) => {}
            (count, Missing::Forward) => {
                self.notes
                    .push(format!("{} at a series' beginning lack a number and are left out", rows(count)));
            }
            (count, _) => self.notes.push(format!("{} lack a number and are left out", rows(count))),
        }
    }
}

/// Where the columns stand.
struct Places {
    numbers: Vec<usize>,
    label: Option<usize>,
    time: Option<usize>,
    group: Option<usize>,
}

impl Places {
    fn find(path: &Path, file: &TextTable, columns: &Columns) -> Result<Self> {
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
            let is_number =
                |place: &usize| !taken.contains(&Some(*place)) && file.is_numeric(*place) == Some(true);
            numbers.extend((0..names.len()).filter(is_number));
        }
        if numbers.is_empty() {
            let what = format!("which columns of {} hold numbers cannot be told; name them", path.display());
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

    fn read(&self, path: &Path, file: &TextTable) -> Result<Raw> {
        let texts = [self.label, self.time, self.group];
        let columns: Vec<usize> = self.numbers.iter().copied().chain(texts.into_iter().flatten()).collect();
        let (mut raw, mut groups) = (Raw::default(), HashMap::<String, usize>::new());
        let mut wrong: Option<Error> = None;
        let mut take = |line: usize, fields: std::result::Result<&[Option<&str>], String>| -> Result<()> {
            let cell = |what: String| Error::Cell { path: path.into(), line, column: None, what };
            let fields = fields.map_err(cell)?;
            let (numbers, texts) = fields.split_at(self.numbers.len().min(fields.len()));
            for (field, &place) in numbers.iter().zip(&self.numbers) {
                let text = field.map_or("", str::trim);
                raw.values.push(number(text).map_err(|what| {
                    cell(format!("{text:?} in column {:?} {what}", file.columns()[place]))
                })?);
            }
            let mut texts = texts.iter().map(|text| text.map_or("", str::trim));
            let mut next = |of: Option<usize>| -> Result<Option<&str>> {
                let Some(place) = of else { return Ok(None) };
                match texts.next().unwrap_or_default() {
                    "" => Err(cell(format!("column {:?} is empty", file.columns()[place]))),
                    text => Ok(Some(text)),
                }
            };
            raw.labels.extend(next(self.label)?.map(String::from));
            raw.times.extend(next(self.time)?.map(String::from));
            let group = next(self.group)?.map_or(0, |name| match groups.get(name) {
                Some(group) => *group,
                None => {
                    raw.names.push(name.into());
                    *groups.entry(name.into()).or_insert(raw.names.len() - 1)
                }
            });
            raw.groups.push(group);
            raw.lines.push(line);
            Ok(())
        };
        file.for_each(&columns, &mut |line, fields| {
            if wrong.is_none() {
                wrong = take(line, fields).err();
            }
        })?;
        match wrong {
            Some(error) => Err(error),
            None if raw.lines.is_empty() => Err(Error::file(path, "holds no rows")),
            None => Ok(raw),
        }
    }
}

/// A number, or NaN where there is none.
fn number(text: &str) -> std::result::Result<f64, &'static str> {
    match text.parse::<f64>() {
        _ if is_missing(text) => Ok(f64::NAN),
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
