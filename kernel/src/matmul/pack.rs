//! The right operand in the order in which a product reads it.

use super::panels::Panels;
use crate::buffer::Buffer;
use rayon::prelude::*;

/// Floats from which several threads pack.
const PARALLEL: usize = 1 << 16;

/// A matrix (features, columns) somewhere in a slice: its features are so many from each of `bases` on.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub floats: &'a [f32],
    pub bases: &'a [usize],
    /// Features from each base on.
    pub len: usize,
    /// From a feature to the next.
    pub feature_step: usize,
    /// From a column to the next.
    pub column_step: usize,
    pub columns: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` floats one after another.
    pub(crate) fn rows(floats: &'a [f32], features: usize, columns: usize) -> Self {
        Self { floats, bases: &[0], len: features, feature_step: columns, column_step: 1, columns }
    }

    /// The same rows as columns.
    pub(crate) fn columns(floats: &'a [f32], features: usize, columns: usize) -> Self {
        Self { floats, bases: &[0], len: features, feature_step: 1, column_step: features, columns }
    }

    pub(super) fn features(&self) -> usize {
        self.bases.len() * self.len
    }

    /// Whether its rows can be read where they are.
    pub(super) fn in_place(&self) -> bool {
        self.column_step == 1 && self.bases.len() == 1
    }

    /// The columns of each panel side by side, a row for each feature, with zeros after the last column.
    pub(super) fn pack(&self, panels: &Panels) -> Buffer {
        let mut packed = Buffer::new(panels.vectors * panels.lanes * self.features());
        let mut parts = Vec::with_capacity(panels.count);
        let mut rest = &mut packed[..];
        for panel in 0..panels.count {
            let (first, vectors) = panels.at(panel);
            let (part, after) = rest.split_at_mut(vectors * panels.lanes * self.features());
            parts.push((first * panels.lanes, vectors * panels.lanes, part));
            rest = after;
        }
        let run = |(column, width, part): (usize, usize, &mut [f32])| self.pack_panel(column, width, part);
        if panels.vectors * panels.lanes * self.features() > PARALLEL {
            parts.into_par_iter().for_each(run);
        } else {
            parts.into_iter().for_each(run);
        }
        packed
    }

    /// `width` columns from `first` on.
    pub(super) fn pack_panel(&self, first: usize, width: usize, into: &mut [f32]) {
        let given = width.min(self.columns - first);
        for (&base, into) in self.bases.iter().zip(into.chunks_exact_mut((self.len * width).max(1))) {
            let base = base + first * self.column_step;
            if self.column_step == 1 {
                for (k, into) in into.chunks_exact_mut(width).enumerate() {
                    let from = base + k * self.feature_step;
                    into[..given].copy_from_slice(&self.floats[from..from + given]);
                    into[given..].fill(0.0);
                }
                continue;
            }
            if given < width {
                into.fill(0.0);
            }
            if self.feature_step == 1 {
                transpose(&self.floats[base..], self.column_step, (self.len, given), into, width);
                continue;
            }
            for (k, into) in into.chunks_exact_mut(width).enumerate() {
                for (column, into) in into[..given].iter_mut().enumerate() {
                    *into = self.floats[base + k * self.feature_step + column * self.column_step];
                }
            }
        }
    }
}

/// Features that are worked through for all columns before the next: what a cache line holds of a column.
const LINE: usize = 16;

/// `into[k · width + c] = from[c · step + k]`
fn transpose(from: &[f32], step: usize, (features, columns): (usize, usize), into: &mut [f32], width: usize) {
    if features == 0 || columns == 0 {
        return;
    }
    assert!((columns - 1) * step + features <= from.len());
    assert!((features - 1) * width + columns <= into.len());
    let whole = features / LINE * LINE;
    for k in (0..whole).step_by(LINE) {
        for c in 0..columns {
            for i in k..k + LINE {
                // SAFETY: the largest places have been checked.
                unsafe { *into.get_unchecked_mut(i * width + c) = *from.get_unchecked(c * step + i) }
            }
        }
    }
    for c in 0..columns {
        for k in whole..features {
            into[k * width + c] = from[c * step + k];
        }
    }
}
