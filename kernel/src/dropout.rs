//! The dropout masks of a block.

use crate::grid::{Grid, Operand};
use crate::layer::Dropout;
use crate::plan::{Block, Walk};
use pulp::Simd;

/// The dropout masks of a block, one a gate or one for all, each a grid of one slot.
pub(crate) struct DropoutMasks {
    values: Vec<f32>,
    grid: Grid,
    len: usize,
    pub per_gate: bool,
}

impl DropoutMasks {
    /// The masks of the sequences of a block, each `width` floats long.
    pub fn new<const M: usize>(
        dropout: Dropout<'_>,
        grid: Grid,
        lanes: usize,
        (gates, batch): (usize, usize),
        block: Block,
        width: usize,
    ) -> Self {
        let grid = Grid { slots: 1, ..grid };
        let len = grid.len(M) * lanes;
        let count = if dropout.per_gate { gates } else { 1 };
        let mut values = vec![0.0; count * len];
        for (gate, values) in values.chunks_exact_mut(len).enumerate() {
            for row in 0..grid.rows(M) {
                let from = &dropout.masks[(gate * batch + block.sequence(row)) * width..][..width];
                grid.set::<M>(lanes, values, row, 0, from);
            }
        }
        Self { values, grid, len, per_gate: dropout.per_gate }
    }

    /// The mask of `gate`.
    fn of(&self, gate: usize) -> &[f32] {
        let at = if self.per_gate { gate * self.len } else { 0 };
        &self.values[at..at + self.len]
    }

    /// `a · mask` of `gate` for each of `steps` steps, which follow each other; written to `out`, grids of one slot like
    /// the mask.
    #[inline(always)]
    pub fn apply<'a, S: Simd, const M: usize>(
        &self,
        simd: S,
        gate: usize,
        steps: usize,
        a: Operand<'_>,
        out: &'a mut [f32],
    ) -> Operand<'a> {
        let mask = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.of(gate)).0).0;
        let tiles = pulp::as_arrays::<M, _>(S::as_simd_f32s(a.floats).0).0;
        let into = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(out).0).0;
        for step in 0..steps {
            let from = &tiles[step * mask.len() * a.grid.slots..][..mask.len() * a.grid.slots];
            let into = &mut into[step * mask.len()..][..mask.len()];
            for t in 0..mask.len() {
                let (from, mask) = (from[t * a.grid.slots + a.slots[0]], mask[t]);
                for m in 0..M {
                    into[t][m] = simd.mul_f32s(from[m], mask[m]);
                }
            }
        }
        Operand { floats: out, grid: self.grid, slots: &[0] }
    }

    /// `d · mask` of `gate` to slot 0 of `out`, which has `slots` slots, for as many steps as `d` holds; with `adds`,
    /// added to what is there.
    #[inline(always)]
    pub fn add<S: Simd, const M: usize>(
        &self,
        simd: S,
        gate: usize,
        d: &[f32],
        out: &mut [f32],
        slots: usize,
        adds: bool,
    ) {
        let mask = pulp::as_arrays::<M, _>(S::as_simd_f32s(self.of(gate)).0).0;
        let d = pulp::as_arrays::<M, _>(S::as_simd_f32s(d).0).0;
        let out = pulp::as_arrays_mut::<M, _>(S::as_mut_simd_f32s(out).0).0;
        for step in 0..d.len() / mask.len() {
            let d = &d[step * mask.len()..][..mask.len()];
            let out = &mut out[step * mask.len() * slots..][..mask.len() * slots];
            for t in 0..mask.len() {
                let (d, mask, out) = (d[t], mask[t], &mut out[t * slots]);
                for m in 0..M {
                    let before = if adds { out[m] } else { simd.splat_f32s(0.0) };
                    out[m] = simd.mul_add_f32s(d[m], mask[m], before);
                }
            }
        }
    }
}

/// The block's dropout masks: those of the input; those of the state, for each part.
pub(crate) fn masks<const M: usize>(
    walk: &Walk<'_>,
    lanes: usize,
) -> (Option<DropoutMasks>, Vec<DropoutMasks>) {
    let Walk { layer, input, block, plan } = *walk;
    let masks = |dropout: Option<Dropout<'_>>, grid: Grid, width| {
        let sizes = (layer.kind.gates(), input.batch);
        dropout.map(|dropout| DropoutMasks::new::<M>(dropout, grid, lanes, sizes, block, width))
    };
    let parts = layer.kind.parts().iter();
    let of_state = parts.filter_map(|_| masks(input.recurrent_dropout, plan.states, layer.units));
    (masks(input.input_dropout, plan.inputs, layer.features), of_state.collect())
}
