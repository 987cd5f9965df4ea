//! The rows of a table brought in order, and those that lack a number dealt with.

use super::day_month;
use super::gaps::fill_gaps;
use super::missing::Missing;
use super::read::Raw;
use super::table::{Group, Table, Times};
use crate::{Error, Result};

impl Table {
    /// Brings the rows in order: groups in the order in which they come, each by time.
    pub(super) fn order(
        mut self,
        raw: Raw,
        time: Option<String>,
        day_first: Option<bool>,
        missing: Missing,
    ) -> Result<Self> {
        let cell = |row: usize, what: String| raw.lines.cell(row, what);
        let form = match &time {
            None => None,
            Some(time) => {
                let found = day_month::find(&raw.times, &raw.groups, day_first);
                let (form, note) = found.map_err(|(row, what)| match row {
                    Some(row) => cell(row, format!("{:?} in column {time:?} {what}", raw.times[row])),
                    None => Error::file(raw.lines.file(0), format!("column {time:?} {what}")),
                })?;
                self.notes.extend(note);
                Some(form)
            }
        };
        let stamp = |row: &usize| form.as_ref().and_then(|form| form.parse(&raw.times[*row])).unwrap_or(0.0);
        let mut order: Vec<usize> = (0..raw.lines.count()).collect();
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
                    raw.lines.line(pair[0]),
                    raw.names.get(raw.groups[pair[0]]).map_or(String::new(), |name| format!(" for {name:?}"))
                );
                return Err(cell(pair[1], what));
            }
        }
        let width = self.width();
        self.values.reserve_exact(raw.values.len());
        let (mut kept, mut stamps) = (vec![], vec![]);
        for &row in &order {
            let name = || raw.names.get(raw.groups[row]).cloned().unwrap_or_default();
            let values = &raw.values[row * width..(row + 1) * width];
            let at = kept.len();
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
            kept.push(row);
            stamps.push(stamp(&row));
            self.labels.extend(raw.labels.get(row).cloned());
        }
        self.say_missing(&raw, kept.len(), missing);
        if self.rows() == 0 {
            return Err(Error::file(raw.lines.file(0), "holds no row with all its numbers"));
        }
        if let (Some(column), Some(form)) = (time, form) {
            self.times = Some(Times { column, form, stamps, spacing: None });
            fill_gaps(
                &mut self,
                &|row, what| raw.lines.cell(kept.get(row).copied().unwrap_or(0), what),
                missing,
            )?;
        }
        Ok(self)
    }

    /// What became of rows that lack a number.
    fn say_missing(&mut self, raw: &Raw, kept: usize, missing: Missing) {
        let lacking =
            raw.values.chunks(self.width().max(1)).filter(|row| row.iter().any(|it| it.is_nan())).count();
        let left_out = raw.lines.count() - kept;
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
