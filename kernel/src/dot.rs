//! The products of each two rows of a sample.

use crate::matmul::{Gradient, Matrix, Operand, Places, Product, Run, Start};
use crate::memory::unwritten;
use rayon::prelude::*;

/// Multiplications from which several threads share the samples.
const PARALLEL: usize = 1 << 17;

/// The sizes of two inputs, (batch, rows, length) and (batch, columns, length); none of them 0.
#[derive(Clone, Copy, Debug)]
pub struct Dot {
    /// Samples.
    pub batch: usize,
    /// Rows of the first input.
    pub rows: usize,
    /// Rows of the second.
    pub columns: usize,
    /// Numbers of a row.
    pub length: usize,
}

impl Dot {
    fn is_large(&self) -> bool {
        self.batch.saturating_mul(self.rows * self.columns * self.length) >= PARALLEL
    }

    /// The sums of the products, (batch, rows, columns).
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn forward(&self, left: &[f32], right: &[f32], out: &mut [f32]) {
        let Self { rows, columns, length, .. } = *self;
        let sample = |((left, right), out): ((&[f32], &[f32]), &mut [f32])| {
            product(left, rows, length, Matrix::columns(right, length, columns), out);
        };
        let sizes = (rows * length, columns * length, rows * columns);
        match self.is_large() {
            true => {
                let given = left.par_chunks(sizes.0).zip(right.par_chunks(sizes.1));
                given.zip(out.par_chunks_mut(sizes.2)).for_each(sample);
            }
            false => {
                let given = left.chunks(sizes.0).zip(right.chunks(sizes.1));
                given.zip(out.chunks_mut(sizes.2)).for_each(sample);
            }
        }
    }

    /// The gradients of both inputs from that of the output.
    ///
    /// # Panics
    /// If a slice is shorter than its sizes.
    pub fn backward(&self, left: &[f32], right: &[f32], d: &[f32]) -> [Vec<f32>; 2] {
        let Self { rows, columns, length, .. } = *self;
        let (mut d_left, mut d_right) = (unwritten(left.len()), unwritten(right.len()));
        type Given<'a> = (((&'a [f32], &'a [f32]), &'a [f32]), (&'a mut [f32], &'a mut [f32]));
        let sample = |(((left, right), d), (d_left, d_right)): Given<'_>| {
            product(d, rows, columns, Matrix::rows(right, columns, length), d_left);
            let runs = [Run { offset: 0, len: columns }];
            let a = Operand { floats: d, rows, places: Places::every(columns), runs: &runs };
            let gradient = Gradient { a, d: left, places: Places::every(length), columns: length };
            gradient.run(d_right, length, &mut []);
        };
        let (of_left, of_right, of_d) = (rows * length, columns * length, rows * columns);
        match self.is_large() {
            true => {
                let given = left.par_chunks(of_left).zip(right.par_chunks(of_right)).zip(d.par_chunks(of_d));
                let into = d_left.par_chunks_mut(of_left).zip(d_right.par_chunks_mut(of_right));
                given.zip(into).for_each(sample);
            }
            false => {
                let given = left.chunks(of_left).zip(right.chunks(of_right)).zip(d.chunks(of_d));
                let into = d_left.chunks_mut(of_left).zip(d_right.chunks_mut(of_right));
                given.zip(into).for_each(sample);
            }
        }
        [d_left, d_right]
    }
}

/// Rows of `features` times a matrix.
fn product(rows: &[f32], count: usize, features: usize, b: Matrix<'_>, out: &mut [f32]) {
    let places = Places::every(b.columns);
    let runs = [Run { offset: 0, len: features }];
    let a = Operand { floats: rows, rows: count, places: Places::every(features), runs: &runs };
    Product { a, b, start: Start::Zeros, places, few: false }.run(out);
}
