//! All rows.

use super::row::Row;
use super::{axes, elementwise, pairs, pieces, products, reductions};

fn rows() -> impl Iterator<Item = &'static Row> {
    let families: [&'static [Row]; 6] =
        [elementwise::ROWS, pairs::ROWS, reductions::ROWS, axes::ROWS, pieces::ROWS, products::ROWS];
    families.into_iter().flatten()
}

/// The row of an operation by Keras's name.
pub(crate) fn row(op: &str) -> Option<&'static Row> {
    rows().find(|row| row.op == op)
}

/// Every operation by Keras's name.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|row| row.op)
}
