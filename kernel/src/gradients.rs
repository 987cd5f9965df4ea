//! What each block of a backward pass sums up, and the gradients of the weights and of the input that come of it.

use crate::accumulate::scatter;
use crate::lane_layout::LaneLayout;
use crate::layer::{Input, Layer, Rows};
use crate::projection::{self, projected_table, short_table};
use crate::weights::{Gates, Weights};

/// Floats that all sums of a backward pass together may have, as long as that leaves eight of them.
const MOST: usize = 1 << 26;

/// How a block's sums are cut, in floats.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// The gradient of each slot, summed: of each vector the slots. The biases' gradients.
    bias: usize,
    /// The gradient of the recurrent kernel, as [`GateProduct::add_gradient`](crate::gate_product::GateProduct) sums it up.
    recurrent: usize,
    /// The same for the kernel; with a projected table the gradient of the projection: of each row the vectors of units,
    /// of each of them the gates.
    kernel: usize,
    /// Where tokens' gradients are summed by row of the table: the sums, unless the table was projected.
    pub table: usize,
    /// The same for the sums of their squares.
    pub squares: usize,
}

impl Sums {
    pub fn new(layer: &Layer, layout: LaneLayout, tables: Tables<'_>) -> Self {
        let (vectors, width, lanes) = (layout.vectors(), layout.width(), layout.lanes);
        let columns = vectors * layout.gates;
        let row_sums = |table: Rows<'_>| table.vocabulary * layout.feature_vectors() * width;
        Self {
            bias: vectors * layer.kind.slots() * lanes * layout.parities,
            recurrent: vectors * width * columns * lanes * layout.parities,
            kernel: match tables.projected {
                Some(table) => table.vocabulary * columns * width,
                None => layout.feature_vectors() * width * columns * lanes * layout.parities,
            },
            table: if tables.projected.is_none() { tables.by_row.map_or(0, row_sums) } else { 0 },
            squares: tables.by_row.filter(|table| table.squares).map_or(0, row_sums),
        }
    }

    pub fn len(self) -> usize {
        self.bias + self.recurrent + self.kernel + self.table + self.squares
    }

    /// How many of them are summed up beside each other at most; blocks beyond that share one, in their order. It follows
    /// from the layer alone, so that the number of threads does not show.
    pub fn shares(self) -> usize {
        (MOST / self.len()).clamp(8, 64)
    }

    /// bias, recurrent, kernel, table, squares.
    pub fn cut(self, sums: &mut [f32]) -> [&mut [f32]; 5] {
        let (bias, rest) = sums.split_at_mut(self.bias);
        let (recurrent, rest) = rest.split_at_mut(self.recurrent);
        let (kernel, rest) = rest.split_at_mut(self.kernel);
        let (table, squares) = rest.split_at_mut(self.table);
        [bias, recurrent, kernel, table, squares]
    }
}

/// The table that the input is read from, where something is done by row of it.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    /// If it was projected.
    pub projected: Option<Rows<'a>>,
    /// If tokens' gradients are summed by row of it.
    pub by_row: Option<Rows<'a>>,
}

impl<'a> Tables<'a> {
    pub fn of(layer: &Layer, input: &Input<'a>, want_x: bool) -> Self {
        let by_row = short_table(layer, input).filter(|_| want_x);
        Self { projected: projected_table(layer, input), by_row }
    }
}

/// From the sums over all blocks, the gradients of the input (empty unless it is wanted, and beside it the squares of a
/// table's) and those of the weights. `d_x` is that of each token, where it was not summed by row of a table.
pub(crate) fn gradients(
    layer: &Layer,
    input: &Input<'_>,
    packed: &Weights,
    tables: Tables<'_>,
    (sums, total): (Sums, &mut [f32]),
    d_x: Vec<f32>,
    want_x: bool,
) -> ([Vec<f32>; 2], Vec<f32>) {
    let (layout, features, units) = (packed.layout, layer.features, layer.units);
    let [bias, recurrent, kernel, table, squares] = sums.cut(total);
    let bias_rows = if layer.use_bias { layer.kind.bias_rows() } else { 0 };
    let mut weights = vec![0.0; (features + units + bias_rows) * layer.width()];
    let (d_kernel, rest) = weights.split_at_mut(features * layer.width());
    let (d_recurrent, d_bias) = rest.split_at_mut(units * layer.width());
    let gates = Gates::new(layer.kind, input);
    layout.unpack(recurrent, units, gates.recurrent.iter().flatten(), d_recurrent);
    bias_gradient(layer, layout, bias, d_bias);
    let [mut x, squares] = match (input.rows, tables.by_row) {
        (_, Some(rows)) => by_row(layout, rows, table, squares),
        (Some(rows), None) if want_x => scatter(&rows, features, &d_x),
        _ => [d_x, vec![]],
    };
    match tables.projected {
        None => layout.unpack(kernel, features, &gates.kernel, d_kernel),
        Some(rows) => {
            let len = rows.vocabulary * features;
            let d_table = if want_x { &mut x[..len] } else { &mut [] };
            let sum = projection::backward(packed, &input.x[..len], kernel, d_table);
            layout.unpack(&sum, features, &gates.kernel, d_kernel);
        }
    }
    ([x, squares], weights)
}

/// The gradient of the biases, from that of the slots; none without a bias.
fn bias_gradient(layer: &Layer, layout: LaneLayout, sums: &[f32], d_bias: &mut [f32]) {
    // The slots that the two rows of a bias start: z, r, h; for the recurrent side z, r, q.
    let sums = layout.join(sums);
    let slots: &[usize] = if layer.kind.bias_rows() == 2 { &[0, 1, 2, 0, 1, 3] } else { &[0, 1, 2, 3] };
    for (slot, d) in slots.iter().zip(d_bias.chunks_exact_mut(layer.units)) {
        for (v, d) in d.chunks_mut(layout.width()).enumerate() {
            let at = (v * layer.kind.slots() + slot) * layout.lanes;
            layout.fold(&sums[at..][..layout.lanes], d);
        }
    }
}

/// The gradient of a table, and the sums of squares where they are wanted, from the sums by row.
fn by_row(layout: LaneLayout, rows: Rows<'_>, table: &[f32], squares: &[f32]) -> [Vec<f32>; 2] {
    let len = rows.vocabulary * layout.features;
    let (mut d_table, mut d_squares) = (vec![0.0; len], vec![0.0; if rows.squares { len } else { 0 }]);
    layout.strip(table, &mut d_table);
    layout.strip(squares, &mut d_squares);
    [d_table, d_squares]
}
