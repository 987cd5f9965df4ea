//! The weights and dropout masks of a block, and the products that are made of them.

use super::block;
use crate::kernel::activation::Activation;
use crate::kernel::cell::{Part, Products};
use pulp::Simd;

/// Dropout masks in lanes: one for all gates, or one a gate.
#[derive(Clone, Copy)]
pub(super) struct Masks<'a, V> {
    /// `gates` masks, each as long as what it multiplies.
    pub values: &'a [V],
    pub per_gate: bool,
}

impl<'a, V> Masks<'a, V> {
    /// The mask of `gate` over a vector of `len` values.
    #[inline(always)]
    pub fn of(self, gate: usize, len: usize) -> &'a [V] {
        let start = if self.per_gate { gate * len } else { 0 };
        &self.values[start..start + len]
    }
}

/// F is the number of input features, u of units, G of gates.
pub(super) struct Net<'a, V> {
    pub units: usize,
    pub gates: usize,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub parts: &'static [Part],
    /// (F, G·u)
    pub kernel: &'a [f32],
    /// (u, G·u)
    pub recurrent: &'a [f32],
    /// (G·u, F), (G·u, u): the transposes, for the backward pass.
    pub kernel_transposed: &'a [f32],
    pub recurrent_transposed: &'a [f32],
    pub input_masks: Option<Masks<'a, V>>,
    pub recurrent_masks: Option<Masks<'a, V>>,
}

impl<'a, V: Copy> Net<'a, V> {
    /// The input's masks, if each gate has its own.
    #[inline(always)]
    pub fn input_masks_per_gate(&self) -> Option<Masks<'a, V>> {
        match self.input_masks {
            Some(masks) if masks.per_gate => Some(masks),
            _ => None,
        }
    }

    /// `out += x · kernel`, all gates. A mask common to the gates has been applied when x was read.
    #[inline(always)]
    pub fn input<S: Simd<f32s = V>>(&self, simd: S, out: &mut [V], x: &[V], scratch: &mut [V]) {
        let masks = self.input_masks_per_gate();
        self.product(simd, &mut out[..self.gates * self.units], x, self.kernel, 0, masks, scratch);
    }

    /// `dx += (d · kernelᵀ) · mask`: the gradient of [`Net::input`], with the common mask too.
    #[inline(always)]
    pub fn input_back<S: Simd<f32s = V>>(&self, simd: S, dx: &mut [V], d: &[V], scratch: &mut [V]) {
        let d = &d[..self.gates * self.units];
        self.product_back(simd, dx, d, self.kernel_transposed, 0, self.input_masks, scratch);
    }

    /// `out += (a · mask) · weights` for as many gates from `gate` on as `out` has room for.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn product<S: Simd<f32s = V>>(
        &self,
        simd: S,
        out: &mut [V],
        a: &[V],
        weights: &[f32],
        gate: usize,
        masks: Option<Masks<'_, V>>,
        scratch: &mut [V],
    ) {
        let width = self.gates * self.units;
        let Some(masks) = masks else {
            return block::project(simd, out, a, weights, width, gate * self.units);
        };
        let scratch = &mut scratch[..a.len()];
        for g in 0..out.len() / self.units {
            let mask = masks.of(gate + g, a.len());
            for k in 0..a.len() {
                scratch[k] = simd.mul_f32s(a[k], mask[k]);
            }
            let out = &mut out[g * self.units..][..self.units];
            block::project(simd, out, scratch, weights, width, (gate + g) * self.units);
        }
    }

    /// `out += (d · weightsᵀ) · mask` for the gates from `gate` on that `d` holds.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn product_back<S: Simd<f32s = V>>(
        &self,
        simd: S,
        out: &mut [V],
        d: &[V],
        transposed: &[f32],
        gate: usize,
        masks: Option<Masks<'_, V>>,
        scratch: &mut [V],
    ) {
        let width = out.len();
        let weights = &transposed[gate * self.units * width..];
        let Some(masks) = masks else {
            return block::project(simd, out, d, weights, width, 0);
        };
        let scratch = &mut scratch[..width];
        for g in 0..d.len() / self.units {
            let d = &d[g * self.units..][..self.units];
            scratch.fill(simd.splat_f32s(0.0));
            block::project(simd, scratch, d, &weights[g * self.units * width..], width, 0);
            let mask = masks.of(gate + g, width);
            for k in 0..width {
                out[k] = simd.mul_add_e_f32s(scratch[k], mask[k], out[k]);
            }
        }
    }
}

/// How many of `gates` from the first on follow each other, as gates and as slots.
#[inline(always)]
pub(super) fn run(gates: &[(usize, usize)]) -> usize {
    let mut count = 1;
    while count < gates.len() && gates[count] == (gates[0].0 + count, gates[0].1 + count) {
        count += 1;
    }
    count
}

impl<S: Simd> Products<S> for Net<'_, S::f32s> {
    #[inline(always)]
    fn slot(&self) -> usize {
        self.units
    }

    #[inline(always)]
    fn activations(&self) -> (Activation, Activation) {
        (self.activation, self.recurrent_activation)
    }

    #[inline(always)]
    fn recurrent(
        &self,
        simd: S,
        part: usize,
        slots: &mut [S::f32s],
        factor: &[S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let mut gates = self.parts[part].gates;
        while let [(gate, slot), ..] = *gates {
            let count = run(gates);
            let out = &mut slots[slot * self.units..][..count * self.units];
            self.product(simd, out, factor, self.recurrent, gate, self.recurrent_masks, scratch);
            gates = &gates[count..];
        }
    }

    #[inline(always)]
    fn recurrent_back(
        &self,
        simd: S,
        part: usize,
        gradient: &mut [S::f32s],
        slots: &[S::f32s],
        scratch: &mut [S::f32s],
    ) {
        let mut gates = self.parts[part].gates;
        while let [(gate, slot), ..] = *gates {
            let count = run(gates);
            let d = &slots[slot * self.units..][..count * self.units];
            let (transposed, masks) = (self.recurrent_transposed, self.recurrent_masks);
            self.product_back(simd, gradient, d, transposed, gate, masks, scratch);
            gates = &gates[count..];
        }
    }
}
