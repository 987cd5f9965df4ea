//! Layouts that Keras has left behind: Keras 1's separate arrays for the gates, NVIDIA's for its own kernels, Theano's
//! convolutions. `keras/legacy/saving` and `preprocess_weights_for_loading` of Keras 2 are the reference.

use super::super::array::Array;
use super::super::dialect::Quantised;

/// Where arrays come from.
#[derive(Clone, Copy, Debug)]
pub(in crate::keras::read) struct Origin {
    /// Theano convolves where others correlate: its kernels are turned round.
    pub is_theano: bool,
}

/// The number of gates of a recurrent layer with these variables (names of its own, shapes); 0 for other layers.
fn gates(names: &[&str], shapes: &[&[usize]]) -> usize {
    match (names, shapes) {
        (["kernel", "recurrent_kernel", "bias"], [_, [.., units, all], _]) if *units > 0 => all / units,
        _ => 0,
    }
}

/// The number of arrays in which Keras 1 kept variables that are one each now.
pub(super) fn split_count(names: &[&str], shapes: &[&[usize]]) -> usize {
    match gates(names, shapes) {
        0 => names.len(),
        gates => gates * 3,
    }
}

/// Joins the gates of Keras 1, each with its kernel, recurrent kernel and bias: an LSTM's i, c, f, o; a GRU's z, r, h.
fn join(names: &[&str], shapes: &[&[usize]], arrays: Vec<Array>) -> Option<Vec<Array>> {
    let order: &[usize] = match gates(names, shapes) {
        4 => &[0, 2, 1, 3],
        3 => &[0, 1, 2],
        _ => return Some(arrays),
    };
    (0..3)
        .map(|part| {
            let parts: Option<Vec<Array>> =
                order.iter().map(|gate| arrays.get(gate * 3 + part).cloned()).collect();
            Array::concat_last(&parts?)
        })
        .collect()
}

/// Variables' own names: `kernel`, `bias`.
pub(super) fn names<'a>(variables: &[&'a (String, Vec<usize>)]) -> Vec<&'a str> {
    variables.iter().map(|(name, _)| name.rsplit('.').next().unwrap_or(name)).collect()
}

/// Their shapes.
pub(super) fn shapes<'a>(variables: &[&'a (String, Vec<usize>)]) -> Vec<&'a [usize]> {
    variables.iter().map(|(_, shape)| shape.as_slice()).collect()
}

/// The arrays that a file holds for some variables of a layer as those of the variables; none where they do not fit.
pub(super) fn from_file(
    variables: &[&(String, Vec<usize>)],
    is_split: bool,
    arrays: Vec<Array>,
    origin: Origin,
) -> Option<Vec<Array>> {
    let (names, shapes) = (names(variables), shapes(variables));
    let arrays = if is_split { join(&names, &shapes, arrays)? } else { arrays };
    Some(fit(&names, &shapes, arrays, origin))
}

/// Brings arrays to the shapes that are `expected`, where a known rearrangement does it. What does not fit is left as
/// it is, to be refused with its own shape.
fn fit(names: &[&str], expected: &[&[usize]], arrays: Vec<Array>, origin: Origin) -> Vec<Array> {
    if let (["kernel", "recurrent_kernel", "bias"], [kernel, recurrent, bias], [k, u, b]) =
        (names, expected, arrays.as_slice())
        && k.shape == *kernel
        && u.shape == *recurrent
        && let Some(converted) = from_cudnn(bias, k, u, b)
    {
        return converted;
    }
    let fit = |((name, expected), array): ((&&str, &&[usize]), Array)| match *name {
        "kernel" | "recurrent_kernel" if expected.len() > 2 => fit_kernel(expected, array, origin),
        _ => array,
    };
    names.iter().zip(expected).zip(arrays).map(fit).collect()
}

/// NVIDIA's layout of an LSTM or GRU, told by its two biases. Kernels are kept transposed gate by gate.
fn from_cudnn(bias: &[usize], kernel: &Array, recurrent: &Array, found: &Array) -> Option<Vec<Array>> {
    let (gates, found) = match (bias, found.shape.as_slice()) {
        // An LSTM's biases are added up.
        (&[four], &[eight]) if eight == 2 * four => {
            let (input, hidden) = found.values.split_at_checked(four)?;
            let values = input.iter().zip(hidden).map(|(a, b)| a + b).collect();
            (4, Array { shape: vec![four], values })
        }
        // A GRU that resets after the product keeps both.
        (&[2, three], &[six]) if six == 2 * three => (3, found.clone().reshape(vec![2, three])?),
        _ => return None,
    };
    let each = |array: &Array, turn: &dyn Fn(&Array) -> Option<Array>| {
        let gates: Option<Vec<Array>> = array.split_last(gates)?.iter().map(turn).collect();
        Array::concat_last(&gates?)
    };
    let kernel = each(kernel, &|gate| {
        let &[inputs, units] = gate.shape.as_slice() else { return None };
        gate.clone().reshape(vec![units, inputs])?.permute(&[1, 0])
    })?;
    let recurrent = each(recurrent, &|gate| gate.permute(&[1, 0]))?;
    Some(vec![kernel, recurrent, found])
}

/// A convolution's kernel.
fn fit_kernel(expected: &[usize], array: Array, origin: Origin) -> Array {
    let flip = |array: Array| if origin.is_theano { array.flip_spatial() } else { array };
    if array.shape == expected {
        return flip(array);
    }
    let moved = match (expected, array.shape.as_slice()) {
        // Keras 1 convolved sequences as pictures of width 1: (k, 1, in, out).
        (&[k, i, o], &[k1, 1, i1, o1]) if (k, i, o) == (k1, i1, o1) => {
            array.clone().reshape(expected.to_vec())
        }
        // Theano's order: (out, in, k, 1).
        (&[k, i, o], &[o1, i1, k1, 1]) if (k, i, o) == (k1, i1, o1) => {
            array.permute(&[2, 3, 1, 0]).and_then(|array| array.reshape(expected.to_vec()))
        }
        (&[h, w, i, o], &[o1, i1, h1, w1]) if (h, w, i, o) == (h1, w1, i1, o1) => {
            array.permute(&[2, 3, 1, 0])
        }
        _ => None,
    };
    match moved {
        Some(moved) => flip(moved),
        None => array,
    }
}

/// The floats that the whole numbers of a quantised array stand for: each divided by the scale of its row or column
/// (`keras/src/quantizers`, `abs_max_quantize`). None where the scale does not fit.
pub(super) fn dequantise(array: Array, scale: &Array, quantised: Quantised) -> Option<Array> {
    let Quantised::Int8 { by_row } = quantised;
    let [rows, columns] = *array.shape.as_slice() else { return None };
    let count = if by_row { rows } else { columns };
    if scale.values.len() != count {
        return None;
    }
    let of = |index: usize| if by_row { index / columns.max(1) } else { index % columns.max(1) };
    let divide = |(index, value): (usize, &f32)| Some(value / scale.values.get(of(index))?);
    let values = array.values.iter().enumerate().map(divide).collect::<Option<_>>()?;
    Some(Array { values, ..array })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["kernel", "recurrent_kernel", "bias"];

    fn filled(shape: &[usize], from: f32) -> Array {
        let count = shape.iter().product::<usize>();
        Array { shape: shape.to_vec(), values: (0..count).map(|i| from + i as f32).collect() }
    }

    #[test]
    fn gates_of_keras_1_come_in_the_order_i_c_f_o() {
        let arrays = (0..4)
            .flat_map(|gate| {
                let at = gate as f32 * 10.0;
                [filled(&[2, 1], at), filled(&[1, 1], at + 5.0), filled(&[1], at + 7.0)]
            })
            .collect();
        let shapes: [&[usize]; 3] = [&[2, 4], &[1, 4], &[4]];
        assert_eq!(split_count(&NAMES, &shapes), 12);
        let joined = join(&NAMES, &shapes, arrays).unwrap();
        assert_eq!(
            joined[0],
            Array { shape: vec![2, 4], values: vec![0., 20., 10., 30., 1., 21., 11., 31.] }
        );
        assert_eq!(joined[2], Array { shape: vec![4], values: vec![7., 27., 17., 37.] });
    }

    #[test]
    fn nvidias_kernels_are_turned_and_their_biases_added() {
        let found = vec![filled(&[2, 12], 0.0), filled(&[3, 12], 0.0), filled(&[24], 0.0)];
        let expected: [&[usize]; 3] = [&[2, 12], &[3, 12], &[12]];
        let converted = fit(&NAMES, &expected, found, Origin { is_theano: false });
        // The first gate is [[0, 1, 2], [12, 13, 14]]; read as (3, 2) and transposed.
        assert_eq!(converted[0].values[..3], [0., 2., 13.]);
        assert_eq!(converted[0].values[12..15], [1., 12., 14.]);
        assert_eq!(converted[1].values[..3], [0., 12., 24.]);
        assert_eq!(converted[2].values[..2], [12., 14.]);
    }

    #[test]
    fn theanos_kernels_are_moved_and_turned_round() {
        let kernel = filled(&[1, 1, 3, 1], 0.0);
        let expected: [&[usize]; 1] = [&[3, 1, 1]];
        let fitted = fit(&["kernel"], &expected, vec![kernel], Origin { is_theano: true });
        assert_eq!(fitted[0], Array { shape: vec![3, 1, 1], values: vec![2., 1., 0.] });
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let array = filled(&[3, 3], 0.0);
        let expected: [&[usize]; 1] = [&[2, 2]];
        assert_eq!(fit(&["kernel"], &expected, vec![array.clone()], Origin { is_theano: false }), [array]);
    }
}
