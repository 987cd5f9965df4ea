//! Keras's `noise_shape`: what a dropout draws, to be broadcast to its input (`_get_concrete_noise_shape` in
//! `keras/src/backend/tensorflow/random.py`).

use crate::layers::shape::{Checked, Shape, show};
use candle_core::{Result, Tensor, bail};

/// Says what is wrong with a shape to draw for an input of shape `input`, if anything is.
pub(super) fn check_noise_shape(noise: Option<&Shape>, input: &[Option<usize>]) -> Checked<()> {
    let Some(noise) = noise else { return Ok(()) };
    let surplus = input.len().checked_sub(noise.len());
    let fits = surplus.is_some_and(|surplus| {
        let drawn =
            noise.iter().enumerate().map(|(axis, drawn)| drawn.or(input.get(axis).copied().flatten()));
        drawn.zip(&input[surplus..]).all(|(drawn, length)| match (drawn, length) {
            (Some(1) | None, _) | (Some(2..), None) => true,
            (Some(drawn), length) => Some(drawn) == *length,
        })
    });
    match fits {
        true => Ok(()),
        false => Err(format!(
            "noise_shape {} does not fit its input {}: each axis must be 1, null or the input's length",
            show(noise),
            show(input)
        )),
    }
}

/// The shape that is drawn for `xs`: an axis of 1 is drawn once for all its places, `None` has the input's length.
pub(super) fn drawn_shape(name: &str, xs: &Tensor, noise: Option<&Shape>) -> Result<Vec<usize>> {
    let dims = xs.dims();
    let Some(noise) = noise else { return Ok(dims.to_vec()) };
    let Some(surplus) = dims.len().checked_sub(noise.len()) else {
        bail!("layer {name}: noise_shape {} has more axes than its input {dims:?}", show(noise))
    };
    let own = noise.iter().zip(dims).map(|(drawn, &length)| drawn.unwrap_or(length));
    let drawn: Vec<usize> = std::iter::repeat_n(1, surplus).chain(own).collect();
    match drawn.iter().zip(dims).all(|(drawn, length)| *drawn == 1 || drawn == length) {
        true => Ok(drawn),
        false => bail!("layer {name}: noise_shape {} does not fit its input {dims:?}", show(noise)),
    }
}
