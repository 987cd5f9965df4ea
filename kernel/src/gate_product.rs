//! The product of an operand (the input, the state, or a slot) with the packed weights of some gates, which adds to the
//! slots of those gates: forward, backward, and the gradient of the weights. Dropout masks lie on the operand, where
//! there are any.

use crate::cell::Part;
use crate::dropout::{DropoutMasks, masks};
use crate::grid::{Grid, Operand};
use crate::isa::outline;
use crate::lane_layout::LaneLayout;
use crate::outer::Outer;
use crate::packed::Packed;
use crate::plan::Walk;
use crate::product::{Base, Product};
use crate::weights::Weights;
use pulp::Simd;

/// `operand · weights`, for the gates of a kernel.
pub(crate) struct GateProduct<'a> {
    /// All gates as one, or gate by gate.
    weights: &'a [Packed],
    /// (gate, slot), for each of the `weights`.
    gates: Vec<&'a [(usize, usize)]>,
    /// For each of the `weights` the slots of its gates, and, as tiles of a group, the columns: vector by vector, gate
    /// by gate.
    slots: Vec<Vec<usize>>,
    columns: Vec<Vec<usize>>,
    masks: Option<DropoutMasks>,
    /// The slots of the cell.
    grid: Grid,
    /// Matrices that a gradient is summed up in.
    parities: usize,
}

/// Where the gradient of an operand goes: slot 0 of a grid.
pub(crate) struct Target<'a> {
    pub floats: &'a mut [f32],
    pub grid: Grid,
    /// The tiles of slot 0 in each group.
    pub columns: &'a [usize],
    /// Added to what is there.
    pub adds: bool,
}

/// Some steps, which follow each other in memory, `step` floats from one to the next.
#[derive(Clone, Copy)]
pub(crate) struct Steps<T> {
    pub first: T,
    pub step: usize,
}

impl<'a> GateProduct<'a> {
    pub fn new(
        weights: &'a [Packed],
        gates: &'a [(usize, usize)],
        masks: Option<DropoutMasks>,
        layout: LaneLayout,
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
        Self { weights, gates, slots, columns, masks, grid, parities: layout.parities }
    }

    /// Tiles of a group's slots.
    fn stride(&self) -> usize {
        self.grid.vectors * self.grid.slots
    }

    /// Adds `(a · mask) · weights` to the slots of `steps` steps, which follow each other, as those of `a` do. With a
    /// `start` (of each vector the slots, the same for all sequences) the sum begins there, and what was in the slots is
    /// overwritten. `scratch` has room for `steps` times the grid of `a` with one slot.
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

    /// `(d · weightsᵀ) · mask` for the gradients `d` in the slots of `steps` steps. `scratch` has room for `steps` times
    /// the target's grid with one slot.
    #[inline(always)]
    pub fn backward<S: Simd, const M: usize>(
        &self,
        simd: S,
        steps: usize,
        slots: &[f32],
        target: Target<'_>,
        scratch: &mut [f32],
    ) {
        let Target { floats: out, grid: into, columns, adds } = target;
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
                    let one_slot = Grid { slots: 1, ..into };
                    let scratch = &mut scratch[..steps * one_slot.len(M) * S::F32_LANES];
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

    /// Adds the gradient of the weights, `(a · mask)ᵀ · d` over `steps` steps, to `sums`: for each of the weights a
    /// matrix laid out as [`Packed`] for each parity, one row a float of `a`. Returns what follows them. `scratch` has room
    /// for `steps` times the grid of `a` with one slot.
    #[inline(always)]
    pub fn add_gradient<'s, S: Simd, const M: usize>(
        &self,
        simd: S,
        steps: usize,
        a: Steps<Operand<'_>>,
        slots: Steps<&[f32]>,
        mut sums: &'s mut [f32],
        scratch: &mut [f32],
    ) -> &'s mut [f32] {
        let tile = M * S::F32_LANES;
        for (index, columns) in self.columns.iter().enumerate() {
            let Steps { first: a, step: a_step } = match &self.masks {
                None => a,
                Some(masks) => Steps {
                    first: masks.apply::<S, M>(simd, self.gates[index][0].0, steps, a.first, scratch),
                    step: a.first.grid.groups * a.first.grid.vectors * tile,
                },
            };
            let out;
            let len = a.grid.vectors * a.grid.width(simd) * columns.len() * S::F32_LANES * self.parities;
            (out, sums) = sums.split_at_mut(len);
            let outer = Outer::<M> {
                groups: self.grid.groups,
                steps,
                out,
                parities: self.parities,
                a,
                a_step: a_step / tile,
                d: slots.first,
                d_stride: self.stride(),
                d_step: slots.step / tile,
                columns,
            };
            outline(simd, outer);
        }
        sums
    }
}

/// The products of a block.
pub(crate) struct Products<'a> {
    /// With the input's kernel.
    pub kernel: GateProduct<'a>,
    /// With the recurrent kernel, one a part of the cell.
    pub recurrent: Vec<GateProduct<'a>>,
}

impl<'a> Products<'a> {
    /// For a cell's `parts`, on vectors of `lanes` lanes.
    pub fn new<const M: usize>(
        walk: &Walk<'_>,
        weights: &'a Weights,
        parts: &'static [Part],
        lanes: usize,
    ) -> Self {
        let slots = walk.plan.slots;
        let (input_masks, state_masks) = masks::<M>(walk, lanes);
        let mut state_masks = state_masks.into_iter();
        let kernel = GateProduct::new(
            &weights.kernel,
            weights.layout.input_gates(),
            input_masks,
            weights.layout,
            slots,
        );
        let parts = parts.iter().zip(&weights.recurrent);
        let recurrent = parts.map(|(part, packed)| {
            GateProduct::new(packed, part.gates, state_masks.next(), weights.layout, slots)
        });
        Self { kernel, recurrent: recurrent.collect() }
    }
}
