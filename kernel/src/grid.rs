//! How the numbers of a block lie in memory.
//!
//! The sequences of a block stand in *groups*. Of each group come its *vectors* of units, of each vector its *slots* (the
//! cell's gates; or its states; or one slot of features), and of each slot a *tile*: `M` vectors, as a rule one a
//! sequence. A group of four sequences (`M` = 4), A to D, with 16 units in vectors of eight *lanes* and three slots:
//!
//! ```text
//!                  slot 0           slot 1           slot 2
//! units 0 to 7     A0 B0 C0 D0      A1 B1 C1 D1      A2 B2 C2 D2      vector 0
//! units 8 to 15    A0 B0 C0 D0      A1 B1 C1 D1      A2 B2 C2 D2      vector 1
//!                  └─ a tile ┘
//! ```
//!
//! Memory follows the picture row by row, and after its last row comes the next group. Each entry is a vector, here slot
//! 1 of sequence A for the units 0 to 7:
//!
//! ```text
//! lane     0    1    2    3    4    5    6    7
//! A1     │ u0 │ u1 │ u2 │ u3 │ u4 │ u5 │ u6 │ u7 │
//! ```
//!
//! Where the units fill no more than half a vector, two sequences share one, unit by unit, and a group of four vectors
//! has eight sequences, A to H. With four units:
//!
//! ```text
//!                  slot 0           slot 1           slot 2
//! units 0 to 3     AB CD EF GH      AB CD EF GH      AB CD EF GH      vector 0
//!
//! lane     0    1    2    3    4    5    6    7
//! AB     │ u0 │ u0 │ u1 │ u1 │ u2 │ u2 │ u3 │ u3 │
//!          A    B    A    B    A    B    A    B
//! ```

use pulp::Simd;

/// Vectors of a slot of a group, but for batches smaller than that: the sums of two columns of a group are as many as
/// keep a processor's multipliers busy.
pub(crate) const GROUP: usize = 4;

/// Whether two sequences may share a vector, where a slot has `m` of them: half a vector is still to be made of whole tiles
/// of sums, and the batch is to fill a group.
pub(crate) const fn may_share(lanes: usize, m: usize) -> bool {
    lanes >= 8 && m == GROUP
}

/// The groups of a block and the vectors of each.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub groups: usize,
    /// Vectors that hold the units, or the features.
    pub vectors: usize,
    /// Slots of a vector.
    pub slots: usize,
    /// Sequences that share a vector, 1 or 2: of each unit stand those of both of them side by side.
    pub shared: usize,
}

impl Grid {
    /// The vectors of it all, `m` of them a slot.
    pub fn len(self, m: usize) -> usize {
        self.groups * self.vectors * self.slots * m
    }

    /// Sequences of all groups, those that only fill the last one up included.
    pub fn rows(self, m: usize) -> usize {
        self.groups * m * self.shared
    }

    /// Units (or features) of a sequence in a vector.
    #[inline(always)]
    pub fn width<S: Simd>(self, _: S) -> usize {
        S::F32_LANES >> self.halvings()
    }

    /// As a power of two: what is done for every step should not wait for divisions.
    #[inline(always)]
    fn halvings(self) -> usize {
        self.shared - 1
    }

    /// So many floats of a sequence in vectors: the full ones, and the floats that are left.
    #[inline(always)]
    fn cut<S: Simd>(self, simd: S, len: usize) -> (usize, usize) {
        let width = self.width(simd);
        (len >> width.trailing_zeros(), len & (width - 1))
    }

    /// Where slot `slot` of vector `vector` of sequence `row` stands, in vectors, and its first lane in there.
    #[inline(always)]
    pub fn at<const M: usize>(self, row: usize, vector: usize, slot: usize) -> (usize, usize) {
        let (tile, lane) = (row >> self.halvings(), row & self.halvings());
        (((tile / M * self.vectors + vector) * self.slots + slot) * M + tile % M, lane)
    }

    /// Writes the floats of one sequence, zeros after the last: for what is not written step by step.
    pub fn set<const M: usize>(
        self,
        lanes: usize,
        into: &mut [f32],
        row: usize,
        slot: usize,
        floats: &[f32],
    ) {
        let mut floats = floats.iter();
        for v in 0..self.vectors {
            let (vector, lane) = self.at::<M>(row, v, slot);
            let lanes = &mut into[vector * lanes..][..lanes];
            for lane in lanes[lane..].iter_mut().step_by(self.shared) {
                *lane = floats.next().copied().unwrap_or(0.0);
            }
        }
    }

    /// Copies all slots of a sequence from a grid of the same form; zeros without one.
    #[inline(always)]
    pub fn set_row<S: Simd, const M: usize>(self, _: S, from: Option<&[f32]>, into: &mut [f32], row: usize) {
        for v in 0..self.vectors {
            for slot in 0..self.slots {
                let (vector, lane) = self.at::<M>(row, v, slot);
                let at = vector * S::F32_LANES;
                let into = &mut into[at..at + S::F32_LANES];
                let mut k = lane;
                while k < S::F32_LANES {
                    into[k] = match from {
                        Some(from) => from[at + k],
                        None => 0.0,
                    };
                    k += self.shared;
                }
            }
        }
    }

    /// Where slot `slot` of a sequence's first vector stands, and how far it is to that of the next; makes sure that
    /// `count` of them lie within `len` vectors.
    #[inline(always)]
    fn walk<const M: usize>(self, row: usize, slot: usize, count: usize, len: usize) -> (usize, usize) {
        let ((start, _), stride) = (self.at::<M>(row, 0, slot), self.slots * M);
        assert!(count == 0 || start + (count - 1) * stride < len);
        (start, stride)
    }

    /// Writes the floats of the sequences from `row` on that share a vector to their vectors, zeros after the last. The
    /// second of `floats` is looked at where two share one; if it is empty, that sequence keeps what it has.
    #[inline(always)]
    pub fn put<S: Simd, const M: usize>(
        self,
        simd: S,
        floats: [&[f32]; 2],
        into: &mut [S::f32s],
        row: usize,
        slot: usize,
    ) {
        let (len, width) = (floats[0].len(), self.width(simd));
        if self.shared > 1 && floats[1].len() != len {
            let into = pulp::bytemuck::cast_slice_mut(into);
            return self.set::<M>(S::F32_LANES, into, row, slot, floats[0]);
        }
        let (full, rest) = self.cut(simd, len);
        let (start, stride) = self.walk::<M>(row, slot, full + usize::from(rest > 0), into.len());
        for v in 0..full {
            // SAFETY: each has so many vectors, of which any bits are valid; `walk` has looked at `into`.
            unsafe {
                let vector = match self.shared {
                    1 => floats[0].as_ptr().add(v * width).cast::<S::f32s>().read_unaligned(),
                    _ => {
                        interleave::<S>(floats[0].as_ptr().add(v * width), floats[1].as_ptr().add(v * width))
                    }
                };
                *into.get_unchecked_mut(start + v * stride) = vector;
            }
        }
        if rest > 0 {
            let at = start + full * stride;
            let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(&mut into[at..at + 1]);
            for k in 0..S::F32_LANES {
                let (unit, of) = (k / self.shared, k % self.shared);
                lanes[k] = if unit < rest { floats[of][full * width + unit] } else { 0.0 };
            }
        }
    }

    /// Reads the floats of the sequences from `row` on that share a vector.
    #[inline(always)]
    pub fn take<S: Simd, const M: usize>(
        self,
        simd: S,
        from: &[S::f32s],
        floats: [&mut [f32]; 2],
        row: usize,
        slot: usize,
    ) {
        let (len, width) = (floats[0].len(), self.width(simd));
        let (full, rest) = self.cut(simd, len);
        let (start, stride) = self.walk::<M>(row, slot, full + usize::from(rest > 0), from.len());
        let [first, second] = floats;
        assert!(self.shared == 1 || second.len() == len);
        for v in 0..full {
            // SAFETY: each has room for so many vectors; `walk` has looked at `from`.
            unsafe {
                let vector = *from.get_unchecked(start + v * stride);
                match self.shared {
                    1 => first.as_mut_ptr().add(v * width).cast::<S::f32s>().write_unaligned(vector),
                    _ => {
                        let (first, second) = (first.as_mut_ptr(), second.as_mut_ptr());
                        deinterleave::<S>(vector, first.add(v * width), second.add(v * width));
                    }
                }
            }
        }
        if rest > 0 {
            let at = start + full * stride;
            let lanes: &[f32] = pulp::bytemuck::cast_slice(&from[at..at + 1]);
            for k in 0..rest {
                first[full * width + k] = lanes[k * self.shared];
                if self.shared > 1 {
                    second[full * width + k] = lanes[k * self.shared + 1];
                }
            }
        }
    }

    /// Adds a grid of one slot to slot `slot`.
    #[inline(always)]
    pub fn add_slot<S: Simd, const M: usize>(self, simd: S, from: &[f32], to: &mut [f32], slot: usize) {
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(from).0).0;
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(to).0).0;
        for t in 0..self.groups * self.vectors {
            let sum = &mut into[t * self.slots + slot];
            for m in 0..M {
                sum[m] = simd.add_f32s(sum[m], tiles[t][m]);
            }
        }
    }

    /// Copies a slot of each vector to a grid of one slot.
    #[inline(always)]
    pub fn copy_slot<'a, S: Simd, const M: usize>(
        self,
        _: S,
        from: &[f32],
        slot: usize,
        to: &'a mut [f32],
    ) -> Operand<'a> {
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(from).0).0;
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(to).0).0;
        for t in 0..self.groups * self.vectors {
            into[t] = tiles[t * self.slots + slot];
        }
        Operand { floats: to, grid: Self { slots: 1, ..self }, slots: &[0] }
    }
}

/// Some slots of a grid, as the rows that a product reads.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub floats: &'a [f32],
    pub grid: Grid,
    /// The slots: one a segment.
    pub slots: &'a [usize],
}

impl Operand<'_> {
    /// Whether its slots stand in memory, for `groups` groups.
    pub fn fits<S: Simd, const M: usize>(&self, groups: usize) -> bool {
        let Grid { vectors, slots, .. } = self.grid;
        let mut within = true;
        for &slot in self.slots {
            within &= slot < slots;
        }
        within && self.floats.len() / S::F32_LANES >= groups * vectors * slots * M
    }
}

/// The first half of a vector's worth of floats of each, side by side.
///
/// # Safety
/// So many floats are to be read from each.
#[inline(always)]
pub(crate) unsafe fn interleave<S: Simd>(first: *const f32, second: *const f32) -> S::f32s {
    let mut vector = std::mem::MaybeUninit::<S::f32s>::uninit();
    let lanes = vector.as_mut_ptr().cast::<f32>();
    // SAFETY: the loop writes all lanes.
    unsafe {
        for k in 0..S::F32_LANES / 2 {
            lanes.add(2 * k).write(first.add(k).read());
            lanes.add(2 * k + 1).write(second.add(k).read());
        }
        vector.assume_init()
    }
}

/// The opposite of [`interleave`].
///
/// # Safety
/// So many floats are to be written to each.
#[inline(always)]
pub(crate) unsafe fn deinterleave<S: Simd>(vector: S::f32s, first: *mut f32, second: *mut f32) {
    let lanes = (&raw const vector).cast::<f32>();
    let mut halves = [std::mem::MaybeUninit::<S::f32s>::uninit(); 2];
    let [one, other] = &mut halves;
    let (one, other) = (one.as_mut_ptr().cast::<f32>(), other.as_mut_ptr().cast::<f32>());
    // SAFETY: the first loop writes as many lanes as are copied.
    unsafe {
        for k in 0..S::F32_LANES / 2 {
            one.add(k).write(lanes.add(2 * k).read());
            other.add(k).write(lanes.add(2 * k + 1).read());
        }
        first.copy_from_nonoverlapping(one, S::F32_LANES / 2);
        second.copy_from_nonoverlapping(other, S::F32_LANES / 2);
    }
}

/// The row `row` of rows of `len` floats, and the next one where two sequences share a vector; `spare` stands in for one
/// that is not there.
#[inline(always)]
pub(crate) fn rows_mut<'a>(
    floats: &'a mut [f32],
    len: usize,
    row: usize,
    shared: usize,
    spare: &'a mut [f32],
) -> [&'a mut [f32]; 2] {
    let (first, rest) = floats[row * len..].split_at_mut(len);
    match shared {
        1 => [first, &mut []],
        _ if rest.is_empty() => [first, spare],
        _ => [first, &mut rest[..len]],
    }
}

/// `len` floats from `at` on of each row; of one that is not there none.
#[inline(always)]
pub(crate) fn part_of(rows: [&mut [f32]; 2], at: usize, len: usize) -> [&mut [f32]; 2] {
    let [one, other] = rows;
    let other = if other.is_empty() { other } else { &mut other[at..at + len] };
    [&mut one[at..at + len], other]
}
