//! What the input or the state is multiplied by, as a block does it: forward, back, and the outer products that sum up
//! to the gradient; with dropout masks between, where there are any.

use super::grid::Grid;
use super::isa::outline;
use super::packed::Packed;
use super::product::{Base, Operand, Outer, Product};
use super::weights::BlockMasks;
use pulp::Simd;

/// A kernel whose gates add to slots.
pub(super) struct Connection<'a> {
    /// All gates as one, or gate by gate.
    weights: &'a [Packed],
    /// (gate, slot), for each of the `weights`.
    gates: Vec<&'a [(usize, usize)]>,
    /// For each of the `weights` the slots of its gates, and, as tiles of a group, the columns: vector by vector, gate
    /// by gate.
    slots: Vec<Vec<usize>>,
    columns: Vec<Vec<usize>>,
    masks: Option<BlockMasks>,
    /// The slots of the cell.
    grid: Grid,
}

impl<'a> Connection<'a> {
    pub fn new(
        weights: &'a [Packed],
        gates: &'a [(usize, usize)],
        masks: Option<BlockMasks>,
        grid: Grid,
    ) -> Self {
        let per_gate = masks.as_ref().is_some_and(|masks| masks.per_gate);
        let of_each = if per_gate { 1 } else { gates.len() };
        let gates: Vec<_> = gates.chunks(of_each).collect();
        let slots: Vec<Vec<usize>> =
            gates.iter().map(|gates| gates.iter().map(|&(_, slot)| slot).collect()).collect();
        let columns = slots
            .iter()
            .map(|slots| {
                (0..grid.vectors).flat_map(|v| slots.iter().map(move |slot| v * grid.slots + slot)).collect()
            })
            .collect();
        Self { weights, gates, slots, columns, masks, grid }
    }

    /// Tiles of a group's slots.
    fn stride(&self) -> usize {
        self.grid.vectors * self.grid.slots
    }

    /// Adds `(a · mask) · weights` to the slots of `steps` steps, which follow each other, as those of `a` do; or, with a
    /// `start` (of each vector the slots, the same for all sequences), to that, and puts it there. `scratch` is as large as
    /// the grid of `a` with one slot, so many times.
    #[inline(always)]
    pub fn forward<S: Simd, const M: usize>(
        &self,
        simd: S,
        steps: usize,
        a: Operand<'_>,
        start: Option<&[f32]>,
        slots: &mut [f32],
        scratch: &mut [f32],
    ) {
        for index in 0..self.weights.len() {
            let a = match &self.masks {
                None => a,
                Some(masks) => masks.apply::<S, M>(simd, self.gates[index][0].0, steps, a, scratch),
            };
            let product = Product::<M> {
                groups: steps * self.grid.groups,
                out: slots,
                out_stride: self.stride(),
                columns: &self.columns[index],
                base: start.map_or(Base::Out, Base::Vectors),
                a,
                weights: &self.weights[index],
            };
            outline(simd, product);
        }
    }

    /// `(d · weightsᵀ) · mask` for the gradients `d` in the slots of `steps` steps, given to the tiles `columns` of each
    /// group of `out`, which are the vectors of slot 0 of the grid `into`; with `adds`, added to what is there. `scratch`
    /// is as large as that grid with one slot, so many times.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn backward<S: Simd, const M: usize>(
        &self,
        simd: S,
        steps: usize,
        slots: &[f32],
        out: &mut [f32],
        into: Grid,
        columns: &[usize],
        adds: bool,
        scratch: &mut [f32],
    ) {
        for index in 0..self.weights.len() {
            let a = Operand { floats: slots, grid: self.grid, slots: &self.slots[index] };
            let (groups, weights) = (steps * self.grid.groups, &self.weights[index]);
            match &self.masks {
                None => {
                    let out_stride = into.vectors * into.slots;
                    let base = if adds { Base::Out } else { Base::Zeros };
                    outline(simd, Product::<M> { groups, out, out_stride, columns, base, a, weights });
                }
                Some(masks) => {
                    let narrow = Grid { slots: 1, ..into };
                    let scratch = &mut scratch[..steps * narrow.len(M) * S::F32_LANES];
                    let all: Vec<usize> = (0..into.vectors).collect();
                    let product = Product::<M> {
                        groups,
                        out: scratch,
                        out_stride: into.vectors,
                        columns: &all,
                        base: Base::Zeros,
                        a,
                        weights,
                    };
                    outline(simd, product);
                    let adds = adds || index > 0;
                    masks.add::<S, M>(simd, self.gates[index][0].0, scratch, out, into.slots, adds);
                }
            }
        }
    }

    /// Adds the outer products of `steps` steps to `sums`: for each of the weights a matrix laid out as [`Packed`], one row
    /// a float of `a`. Returns what follows them. `a` and `slots` begin with the first step; a step's `a` is `a_step` floats
    /// long, its slots `slot_step`. `scratch` is as large as `steps` times a's grid with one slot.
    #[inline(always)]
    pub fn outer<'s, S: Simd, const M: usize>(
        &self,
        simd: S,
        steps: usize,
        (a, a_step): (Operand<'_>, usize),
        (slots, slot_step): (&[f32], usize),
        mut sums: &'s mut [f32],
        scratch: &mut [f32],
    ) -> &'s mut [f32] {
        let tile = M * S::F32_LANES;
        for (index, columns) in self.columns.iter().enumerate() {
            let (a, a_step) = match &self.masks {
                None => (a, a_step),
                Some(masks) => {
                    let len = a.grid.groups * a.grid.vectors * tile;
                    (masks.apply::<S, M>(simd, self.gates[index][0].0, steps, a, scratch), len)
                }
            };
            let out;
            let len = a.grid.vectors * a.grid.width(simd) * columns.len() * S::F32_LANES;
            (out, sums) = sums.split_at_mut(len);
            let outer = Outer::<M> {
                groups: self.grid.groups,
                steps,
                out,
                a,
                a_step: a_step / tile,
                d: slots,
                d_stride: self.stride(),
                d_step: slot_step / tile,
                columns,
            };
            outline(simd, outer);
        }
        sums
    }
}
