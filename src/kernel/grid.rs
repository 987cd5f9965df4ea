//! How the numbers of a block lie in memory. `M` sequences are a *group*; of each group come its vectors of units, of
//! each vector its slots (or states, or features: whatever there are several of), of each slot the `M` sequences.

use super::product::Operand;
use pulp::Simd;

/// Sequences of a group, but for batches smaller than that: the sums of two columns of a group are as many as keep a
/// processor's multipliers busy.
pub(super) const GROUP: usize = 4;

/// The groups of a block and the vectors of each.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub groups: usize,
    /// Vectors that hold the units, or the features.
    pub vectors: usize,
    /// Slots of a vector.
    pub slots: usize,
}

impl Grid {
    /// The vectors of it all, `m` of them a slot.
    pub fn len(self, m: usize) -> usize {
        self.groups * self.vectors * self.slots * m
    }

    /// Where slot `slot` of vector `vector` of sequence `row` stands, in vectors.
    #[inline(always)]
    pub fn at<const M: usize>(self, row: usize, vector: usize, slot: usize) -> usize {
        ((row / M * self.vectors + vector) * self.slots + slot) * M + row % M
    }

    /// Where slot `slot` of a sequence's first vector stands, and how far it is to that of the next; makes sure that
    /// `count` of them lie within `len` vectors.
    #[inline(always)]
    fn walk<const M: usize>(self, row: usize, slot: usize, count: usize, len: usize) -> (usize, usize) {
        let (start, stride) = (self.at::<M>(row, 0, slot), self.slots * M);
        assert!(count == 0 || start + (count - 1) * stride < len);
        (start, stride)
    }

    /// Writes a sequence's floats to its vectors, zeros after the last.
    #[inline(always)]
    pub fn put<S: Simd, const M: usize>(
        self,
        _: S,
        floats: &[f32],
        into: &mut [S::f32s],
        row: usize,
        slot: usize,
    ) {
        let (full, rest) = (floats.len() / S::F32_LANES, floats.len() % S::F32_LANES);
        let (start, stride) = self.walk::<M>(row, slot, floats.len().div_ceil(S::F32_LANES), into.len());
        for v in 0..full {
            // SAFETY: `floats` has so many vectors, of which any bits are valid; `walk` has looked at `into`.
            unsafe {
                let vector = floats.as_ptr().add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                *into.get_unchecked_mut(start + v * stride) = vector;
            }
        }
        if rest > 0 {
            let at = start + full * stride;
            let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(&mut into[at..at + 1]);
            for k in 0..S::F32_LANES {
                lanes[k] = if k < rest { floats[full * S::F32_LANES + k] } else { 0.0 };
            }
        }
    }

    /// Reads a sequence's floats from its vectors.
    #[inline(always)]
    pub fn take<S: Simd, const M: usize>(
        self,
        _: S,
        from: &[S::f32s],
        floats: &mut [f32],
        row: usize,
        slot: usize,
    ) {
        let (full, rest) = (floats.len() / S::F32_LANES, floats.len() % S::F32_LANES);
        let (start, stride) = self.walk::<M>(row, slot, floats.len().div_ceil(S::F32_LANES), from.len());
        for v in 0..full {
            // SAFETY: `floats` has room for so many vectors; `walk` has looked at `from`.
            unsafe {
                let vector = *from.get_unchecked(start + v * stride);
                floats.as_mut_ptr().add(v * S::F32_LANES).cast::<S::f32s>().write_unaligned(vector);
            }
        }
        if rest > 0 {
            let at = start + full * stride;
            let lanes: &[f32] = pulp::bytemuck::cast_slice(&from[at..at + 1]);
            for k in 0..rest {
                floats[full * S::F32_LANES + k] = lanes[k];
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
