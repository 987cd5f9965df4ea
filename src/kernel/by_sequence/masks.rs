//! What is masked in a block: steps that are skipped, and features and units that dropout leaves out.

use super::lanes::{self, Block};
use super::net::{Masks, Net};
use crate::kernel::cell::Part;
use crate::kernel::pass::{Dropout, Input, Layer};
use pulp::Simd;

/// One mask vector a step, and from which step on a row has output: `None` where nothing is masked.
pub(super) struct StepMasks<'a> {
    mask: &'a [u8],
    time: usize,
    rows: Block,
    first_valid: Vec<usize>,
    zero_output: bool,
    go_backwards: bool,
}

impl<'a> StepMasks<'a> {
    pub fn new(layer: &Layer, input: &Input<'a>, rows: Block) -> Option<Self> {
        let mask = input.mask?;
        let time = input.time;
        let mut masks = Self {
            mask,
            time,
            rows,
            first_valid: vec![],
            zero_output: layer.zero_output_for_mask,
            go_backwards: layer.go_backwards,
        };
        masks.first_valid = (rows.first..rows.first + rows.count)
            .map(|row| (0..time).find(|&step| masks.valid(row, step)).unwrap_or(time))
            .collect();
        Some(masks)
    }

    fn valid(&self, row: usize, step: usize) -> bool {
        let at = if self.go_backwards { self.time - 1 - step } else { step };
        self.mask[row * self.time + at] != 0
    }

    /// In each lane 1 if its state moves at this step, else 0.
    #[inline(always)]
    pub fn moves<S: Simd>(&self, _: S, step: usize) -> S::f32s {
        let mut lanes = [0.0; lanes::MAX_LANES];
        self.fill_moves(step, &mut lanes);
        S::as_simd_f32s(&lanes).0[0]
    }

    /// In each lane what h is multiplied by to give the output of this step: 0 before the first valid step, and at
    /// every masked step with `zero_output_for_mask`.
    #[inline(always)]
    pub fn shows<S: Simd>(&self, _: S, step: usize) -> S::f32s {
        let mut lanes = [0.0; lanes::MAX_LANES];
        if self.zero_output {
            self.fill_moves(step, &mut lanes);
        } else {
            self.fill_seen(step, &mut lanes);
        }
        S::as_simd_f32s(&lanes).0[0]
    }

    fn fill_moves(&self, step: usize, lanes: &mut [f32]) {
        for (lane, slot) in lanes.iter_mut().enumerate().take(self.rows.count) {
            *slot = f32::from(self.valid(self.rows.first + lane, step));
        }
    }

    fn fill_seen(&self, step: usize, lanes: &mut [f32]) {
        for (slot, &first) in lanes.iter_mut().zip(&self.first_valid) {
            *slot = f32::from(step >= first);
        }
    }
}

/// The dropout masks of a block in lanes: those of the input, then those of the state.
pub(super) struct BlockMasks<V> {
    input: Option<(Vec<V>, bool)>,
    recurrent: Option<(Vec<V>, bool)>,
}

impl<V: Copy> BlockMasks<V> {
    pub fn new<S: Simd<f32s = V>>(simd: S, layer: &Layer, input: &Input<'_>, rows: Block) -> Self {
        let read = |dropout: Option<Dropout<'_>>, width: usize| {
            dropout.map(|dropout| {
                let gates = if dropout.per_gate { layer.kind.gates() } else { 1 };
                let mut vectors = vec![simd.splat_f32s(0.0); gates * width];
                for (gate, vectors) in vectors.chunks_exact_mut(width.max(1)).enumerate() {
                    lanes::load(simd, rows, dropout.masks, gate * input.batch * width, width, vectors);
                }
                (vectors, dropout.per_gate)
            })
        };
        Self {
            input: read(input.input_dropout, layer.features),
            recurrent: read(input.recurrent_dropout, layer.units),
        }
    }

    fn masks(part: &Option<(Vec<V>, bool)>) -> Option<Masks<'_, V>> {
        part.as_ref().map(|(values, per_gate)| Masks { values, per_gate: *per_gate })
    }

    pub fn net<'a>(
        &'a self,
        layer: &Layer,
        weights: &'a [f32],
        transposes: (&'a [f32], &'a [f32]),
        parts: &'static [Part],
    ) -> Net<'a, V> {
        let (kernel, recurrent, _) = layer.split(weights);
        Net {
            units: layer.units,
            activation: layer.activation,
            recurrent_activation: layer.recurrent_activation,
            kernel,
            recurrent,
            parts,
            kernel_transposed: transposes.0,
            recurrent_transposed: transposes.1,
            input_masks: Self::masks(&self.input),
            recurrent_masks: Self::masks(&self.recurrent),
            gates: layer.kind.gates(),
        }
    }
}
