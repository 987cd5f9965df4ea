//! Matrices the other way round.

use crate::vectorized::{samples, vectorized};
use rayon::prelude::*;

/// Rows and columns that are turned in registers.
const TILE: usize = 4;

/// Each (rows, columns) of `x` as (columns, rows).
pub fn transpose(rows: usize, columns: usize, x: &[f32], out: &mut [f32]) {
    let size = rows * columns;
    if size == 0 {
        return;
    }
    let count = samples(size) * size;
    let part = |(x, out): (&[f32], &mut [f32])| {
        for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            turn(rows, columns, x, out);
        }
    };
    x.par_chunks(count).zip(out.par_chunks_mut(count)).for_each(part);
}

vectorized! {
    fn turn<'a>(rows: usize, columns: usize, x: &'a [f32], out: &'a mut [f32]) {
        let (whole_rows, whole_columns) = (rows / TILE * TILE, columns / TILE * TILE);
        assert!(x.len() >= rows * columns && out.len() >= rows * columns);
        for column in 0..columns / TILE {
            for row in 0..rows / TILE {
                // SAFETY: the tile ends at a row below `rows` and a column below `columns`; all of them are there, in `x` and
                // the other way round in `out`.
                unsafe { turn_tile(rows, columns, row * TILE, column * TILE, x.as_ptr(), out.as_mut_ptr()) };
            }
        }
        for column in 0..columns {
            let from = if column < whole_columns { whole_rows } else { 0 };
            for row in from..rows {
                out[column * rows + row] = x[row * columns + column];
            }
        }
    }
}

/// # Safety
/// `x` has all rows and columns, `out` all columns and rows, and the tile lies within them.
#[inline(always)]
unsafe fn turn_tile(rows: usize, columns: usize, row: usize, column: usize, x: *const f32, out: *mut f32) {
    let mut tile = [[0.0f32; TILE]; TILE];
    for r in 0..TILE {
        // SAFETY: as promised.
        tile[r] = unsafe { x.add((row + r) * columns + column).cast::<[f32; TILE]>().read_unaligned() };
    }
    for c in 0..TILE {
        let turned = [tile[0][c], tile[1][c], tile[2][c], tile[3][c]];
        // SAFETY: as promised.
        unsafe { out.add((column + c) * rows + row).cast::<[f32; TILE]>().write_unaligned(turned) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_its_place() {
        for (rows, columns) in [(1, 1), (3, 5), (4, 4), (9, 6), (100, 32), (7, 130)] {
            let x: Vec<f32> = (0..2 * rows * columns).map(|x| x as f32).collect();
            let mut out = vec![f32::NAN; x.len()];
            transpose(rows, columns, &x, &mut out);
            for at in 0..x.len() {
                let (sample, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
                assert_eq!(out[(sample * columns + column) * rows + row], x[at], "({rows}, {columns})");
            }
        }
    }
}
