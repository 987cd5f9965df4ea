//! The two products that a time loop over units is made of, as register tiles: rows times packed weights, and the sum
//! over rows of outer products.

use crate::kernel::buffer::Buffer;
use pulp::{Simd, WithSimd};

/// Rows of a tile at most. Six rows of two vectors are twelve sums, which the sixteen registers of AVX2 hold.
const ROWS: usize = 6;
/// Vectors of a tile at most.
const VECTORS: usize = 2;

/// How many of `left` rows the next tile takes: tiles as equal as can be.
#[inline(always)]
fn next_rows(left: usize) -> usize {
    match left {
        0..=ROWS => left,
        7..=12 => left.div_ceil(2),
        _ => ROWS,
    }
}

/// A matrix in panels: for each pair of column vectors its rows one after another, in *segments* of as many rows each.
pub(super) struct Packed {
    floats: Buffer,
    segments: usize,
    /// Rows of a segment.
    k: usize,
    /// Column vectors.
    vectors: usize,
}

impl Packed {
    /// Packs (segments · k) rows of `vectors` vectors of `lanes` columns; `row` writes a row, given its segment and its
    /// number in it.
    pub fn new(
        lanes: usize,
        segments: usize,
        k: usize,
        vectors: usize,
        mut row: impl FnMut(usize, usize, &mut [f32]),
    ) -> Self {
        let rows = segments * k;
        let mut floats = Buffer::new(rows * vectors * lanes);
        let mut columns = vec![0.0; vectors * lanes];
        for r in 0..rows {
            row(r / k, r % k, &mut columns);
            let mut panel = 0;
            while panel < vectors {
                let width = VECTORS.min(vectors - panel);
                let at = (panel * rows + r * width) * lanes;
                floats[at..at + width * lanes]
                    .copy_from_slice(&columns[panel * lanes..(panel + width) * lanes]);
                panel += width;
            }
        }
        Self { floats, segments, k, vectors }
    }
}

/// `out += a · weights`.
pub(super) struct Product<'a> {
    /// Row r, column vector v is vector `columns[v] + r * out_stride`.
    pub out: &'a mut [f32],
    pub columns: &'a [usize],
    pub out_stride: usize,
    pub rows: usize,
    /// Row r of segment s starts at float `segments[s] + r * a_stride`.
    pub a: &'a [f32],
    pub segments: &'a [usize],
    pub a_stride: usize,
    pub weights: &'a Packed,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check::<S>();
        let Packed { vectors, k, .. } = *self.weights;
        let mut vector = 0;
        while vector + VECTORS <= vectors {
            self.panel::<S, 2>(simd, vector);
            vector += VECTORS;
        }
        if vector < vectors && k > 0 {
            self.panel::<S, 1>(simd, vector);
        }
    }
}

/// The largest of `starts` and what lies `count - 1` strides beyond.
#[inline(always)]
fn last(starts: &[usize], count: usize, stride: usize) -> usize {
    let mut largest = 0;
    for &start in starts {
        largest = largest.max(start);
    }
    largest + (count - 1) * stride
}

impl Product<'_> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let Packed { vectors, segments, k, .. } = *self.weights;
        assert!(self.columns.len() == vectors && self.segments.len() == segments);
        assert!(self.weights.floats.len() >= segments * k * vectors * S::F32_LANES);
        if self.rows > 0 {
            assert!(last(self.columns, self.rows, self.out_stride) < self.out.len() / S::F32_LANES);
            assert!(last(self.segments, self.rows, self.a_stride) + k <= self.a.len());
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize>(&mut self, simd: S, vector: usize) {
        let rows = self.weights.segments * self.weights.k;
        let weights = S::as_simd_f32s(&self.weights.floats).0;
        let panel = pulp::as_arrays::<N, _>(&weights[vector * rows..(vector + N) * rows]).0;
        let mut row = 0;
        while row < self.rows {
            let count = next_rows(self.rows - row);
            match count {
                6 => self.tile::<S, 6, N>(simd, vector, row, panel),
                5 => self.tile::<S, 5, N>(simd, vector, row, panel),
                4 => self.tile::<S, 4, N>(simd, vector, row, panel),
                3 => self.tile::<S, 3, N>(simd, vector, row, panel),
                2 => self.tile::<S, 2, N>(simd, vector, row, panel),
                _ => self.tile::<S, 1, N>(simd, vector, row, panel),
            }
            row += count;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        vector: usize,
        row: usize,
        panel: &[[S::f32s; N]],
    ) {
        let k = self.weights.k;
        let out = S::as_mut_simd_f32s(self.out).0.as_mut_ptr();
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: `check` has made sure that each of the rows from `row` on, of which there are M more, has its columns
        // within `out` and its segments within `a`. `panel` is as long as the segments together.
        unsafe {
            for n in 0..N {
                let column = out.add(self.columns[vector + n] + row * self.out_stride);
                for m in 0..M {
                    sums[m][n] = column.add(m * self.out_stride).read();
                }
            }
            let mut weights = panel.as_ptr();
            for s in 0..self.segments.len() {
                let a = self.a.as_ptr().add(self.segments[s] + row * self.a_stride);
                for i in 0..k {
                    let right = weights.read();
                    weights = weights.add(1);
                    for m in 0..M {
                        let x = simd.splat_f32s(a.add(m * self.a_stride + i).read());
                        for n in 0..N {
                            sums[m][n] = simd.mul_add_e_f32s(x, right[n], sums[m][n]);
                        }
                    }
                }
            }
            for n in 0..N {
                let column = out.add(self.columns[vector + n] + row * self.out_stride);
                for m in 0..M {
                    column.add(m * self.out_stride).write(sums[m][n]);
                }
            }
        }
    }
}

/// `out[k][v] += Σ_steps Σ_rows a[k] · d[v]`.
pub(super) struct Outer<'a> {
    /// Row k, column vector v is vector `k * out_stride + v`.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    /// Step s, row r starts at float `s * a_step + r * a_stride`.
    pub a: &'a [f32],
    pub a_step: usize,
    pub a_stride: usize,
    pub k: usize,
    /// Step s, row r, column vector v is vector `columns[v] + s * d_step + r * d_stride`.
    pub d: &'a [f32],
    pub d_step: usize,
    pub d_stride: usize,
    pub columns: &'a [usize],
    pub steps: usize,
    pub rows: usize,
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check::<S>();
        let vectors = self.columns.len();
        let mut vector = 0;
        while vector + VECTORS <= vectors {
            self.panel::<S, 2>(simd, vector);
            vector += VECTORS;
        }
        if vector < vectors {
            self.panel::<S, 1>(simd, vector);
        }
    }
}

impl Outer<'_> {
    /// Makes sure that the tiles stay within the slices: they read and write without looking.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        if self.k > 0 {
            assert!((self.k - 1) * self.out_stride + self.columns.len() <= self.out.len() / S::F32_LANES);
        }
        if self.steps > 0 && self.rows > 0 {
            let row = (self.steps - 1) * self.a_step + (self.rows - 1) * self.a_stride;
            assert!(row + self.k <= self.a.len());
            let step = (self.steps - 1) * self.d_step;
            assert!(step + last(self.columns, self.rows, self.d_stride) < self.d.len() / S::F32_LANES);
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const N: usize>(&mut self, simd: S, vector: usize) {
        let mut k = 0;
        while k < self.k {
            let count = next_rows(self.k - k);
            match count {
                6 => self.tile::<S, 6, N>(simd, vector, k),
                5 => self.tile::<S, 5, N>(simd, vector, k),
                4 => self.tile::<S, 4, N>(simd, vector, k),
                3 => self.tile::<S, 3, N>(simd, vector, k),
                2 => self.tile::<S, 2, N>(simd, vector, k),
                _ => self.tile::<S, 1, N>(simd, vector, k),
            }
            k += count;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(&mut self, simd: S, vector: usize, k: usize) {
        let out = S::as_mut_simd_f32s(self.out).0;
        let d = S::as_simd_f32s(self.d).0.as_ptr();
        let mut columns = [0; N];
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        for n in 0..N {
            columns[n] = self.columns[vector + n];
            for m in 0..M {
                sums[m][n] = out[(k + m) * self.out_stride + vector + n];
            }
        }
        for step in 0..self.steps {
            for row in 0..self.rows {
                // SAFETY: `check` has made sure that each row of each step has its columns within `d` and its k floats,
                // of which these are M, within `a`.
                unsafe {
                    let a = self.a.as_ptr().add(step * self.a_step + row * self.a_stride + k);
                    let d = d.add(step * self.d_step + row * self.d_stride);
                    let mut right = [simd.splat_f32s(0.0); N];
                    for n in 0..N {
                        right[n] = d.add(columns[n]).read();
                    }
                    for m in 0..M {
                        let x = simd.splat_f32s(a.add(m).read());
                        for n in 0..N {
                            sums[m][n] = simd.mul_add_e_f32s(x, right[n], sums[m][n]);
                        }
                    }
                }
            }
        }
        for m in 0..M {
            for n in 0..N {
                out[(k + m) * self.out_stride + vector + n] = sums[m][n];
            }
        }
    }
}
