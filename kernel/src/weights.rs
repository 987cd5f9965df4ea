//! The weights of a layer, packed once a batch.

use crate::cell::{Kind, Part};
use crate::lane_layout::LaneLayout;
use crate::layer::{Dropout, Input, Layer};
use crate::packed::Packed;
use std::ops::Range;

/// The gates that are packed together: all, or each by itself.
fn packed_together(gates: Range<usize>, per_gate: bool) -> Vec<Range<usize>> {
    match per_gate {
        false => vec![gates],
        true => gates.map(|gate| gate..gate + 1).collect(),
    }
}

/// The gates of a part, which follow each other.
fn gates_of(part: &Part) -> Range<usize> {
    part.gates[0].0..part.gates[0].0 + part.gates.len()
}

/// Which gates are packed together: in the input's kernel, and for each part in the recurrent kernel.
pub(crate) struct Gates {
    pub kernel: Vec<Range<usize>>,
    pub recurrent: Vec<Vec<Range<usize>>>,
}

impl Gates {
    pub fn new(kind: Kind, input: &Input<'_>) -> Self {
        let per_gate = |dropout: Option<Dropout<'_>>| dropout.is_some_and(|dropout| dropout.per_gate);
        let of_part = |part| packed_together(gates_of(part), per_gate(input.recurrent_dropout));
        Self {
            kernel: packed_together(0..kind.gates(), per_gate(input.input_dropout)),
            recurrent: kind.parts().iter().map(of_part).collect(),
        }
    }
}

/// Packed weights for one direction; each kernel gate by gate where dropout gives each gate a mask of its own.
pub(crate) struct Weights {
    pub layout: LaneLayout,
    /// All gates of the input's kernel.
    pub kernel: Vec<Packed>,
    /// For each part, its gates of the recurrent kernel.
    pub recurrent: Vec<Vec<Packed>>,
}

impl Weights {
    /// For the forward pass: the columns of each kernel.
    pub fn forward(layout: LaneLayout, layer: &Layer, input: &Input<'_>, weights: &[f32]) -> Self {
        let pack = |matrix: &[f32], rows, gates| layout.pack(matrix, rows, gates);
        Self::new(layout, layer, input, weights, true, pack)
    }

    /// For the backward pass: the transposes.
    pub fn backward(
        layout: LaneLayout,
        layer: &Layer,
        input: &Input<'_>,
        weights: &[f32],
        with_kernel: bool,
    ) -> Self {
        let pack = |matrix: &[f32], rows, gates| layout.pack_transposed(matrix, rows, gates);
        Self::new(layout, layer, input, weights, with_kernel, pack)
    }

    /// `pack` is given a kernel, its rows (F or u) and the gates wanted.
    fn new(
        layout: LaneLayout,
        layer: &Layer,
        input: &Input<'_>,
        weights: &[f32],
        with_kernel: bool,
        pack: impl Fn(&[f32], usize, Range<usize>) -> Packed,
    ) -> Self {
        let (kernel, recurrent, _) = layer.split(weights);
        let gates = Gates::new(layer.kind, input);
        let pack_all = |matrix, rows, gates: &[Range<usize>]| -> Vec<Packed> {
            gates.iter().map(|gates| pack(matrix, rows, gates.clone())).collect()
        };
        Self {
            layout,
            kernel: if with_kernel { pack_all(kernel, layout.features, &gates.kernel) } else { vec![] },
            recurrent: gates.recurrent.iter().map(|gates| pack_all(recurrent, layout.units, gates)).collect(),
        }
    }
}
