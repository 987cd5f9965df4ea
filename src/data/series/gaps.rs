//! Times that are missing between others: how many, and what is done about them.

use super::missing::Missing;
use super::spacing::Spacing;
use super::table::{Group, Table};
use crate::{Error, Result};

/// Finds the spacing of the times, and deals with those that are missing; `cell` says of a row what is wrong with it.
pub(super) fn fill_gaps(
    table: &mut Table,
    cell: &dyn Fn(usize, String) -> Error,
    missing: Missing,
) -> Result<()> {
    let Some(times) = &table.times else { return Ok(()) };
    let stamps = table.groups.iter().map(|group| &times.stamps[group.rows.clone()]);
    let found = Spacing::find(&times.form, stamps);
    let Some(spacing) = found.spacing else {
        if table.groups.iter().any(|group| group.rows.len() > 1) {
            table
                .notes
                .push("times are at no regular distance: rows are taken as steps of equal length".into());
        }
        return Ok(());
    };
    let words = spacing.in_words();
    if found.odd > 0 {
        let odd = found.odd;
        table
            .notes
            .push(format!("a row every {words}; {odd} are at another distance, and taken as the next step"));
    } else {
        table.notes.push(format!("a row every {words}"));
    }
    if let Some(times) = &mut table.times {
        times.spacing = Some(spacing);
    }
    let (Some(first), count) = (found.first, found.missing) else { return Ok(()) };
    let between = || {
        let shown = |row: usize| table.time(row).unwrap_or_default();
        format!("between {} and {}", shown(first), shown(first + 1))
    };
    match (spacing, missing) {
        // Markets are closed on holidays.
        (Spacing::Weekdays, Missing::Refuse | Missing::Skip) if count * 10 <= table.rows() => {
            let note = format!(
                "{count} weekdays have no row, the first {} (holidays?): the next row is the next step",
                between()
            );
            table.notes.push(note);
        }
        (_, Missing::Skip) => {
            let note =
                format!("{count} times are missing, the first {}: the next row is the next step", between());
            table.notes.push(note);
        }
        (_, Missing::Refuse) => {
            let what = format!(
                "{count} times are missing, the first {}; add the rows, or say what is to be done (`data::series::Missing`)",
                between()
            );
            return Err(cell(first + 1, what));
        }
        (_, Missing::Forward) if count > table.rows() * 10 => {
            let what =
                format!("{count} times are missing between {} rows, too many to be filled", table.rows());
            return Err(Error::file(&table.name, what));
        }
        (_, Missing::Forward) => {
            table.notes.push(format!(
                "{count} times are missing, the first {}: filled with the last row before",
                between()
            ));
            insert(table, spacing);
        }
    }
    Ok(())
}

/// Puts the rows that are missing in.
fn insert(table: &mut Table, spacing: Spacing) {
    let width = table.width();
    let Some(times) = &mut table.times else { return };
    let (mut values, mut stamps, mut labels, mut groups) = (vec![], vec![], vec![], vec![]);
    for group in &table.groups {
        let begin = stamps.len();
        for row in group.rows.clone() {
            let next = if row + 1 < group.rows.end { times.stamps.get(row + 1) } else { None };
            let steps = next.and_then(|next| spacing.steps(times.stamps[row], *next)).unwrap_or(1);
            for step in 0..steps {
                values.extend_from_slice(&table.values[row * width..(row + 1) * width]);
                stamps.push(if step == 0 {
                    times.stamps[row]
                } else {
                    spacing.after(times.stamps[row], step)
                });
                labels.extend(table.labels.get(row).cloned());
            }
        }
        groups.push(Group { name: group.name.clone(), rows: begin..stamps.len() });
    }
    times.stamps = stamps;
    (table.values, table.labels, table.groups) = (values, labels, groups);
}
