//! A pass over contiguous f32 in memory: one loop that reads the gradient where candle keeps it.

use super::formula::{Given, Pass};
use super::gradient::{BLOCK, Gradient};
use crate::Result;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Var};
use std::cell::RefCell;

/// The numbers of a step that are the same in all formulas.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Multiplies the gradient, to clip its norm.
    pub scale: f32,
    /// The greatest absolute value, infinity for none.
    pub limit: f64,
    /// Whether the companion of the gradient is of sizes; else it is of squares.
    pub sizes: bool,
}

/// One variable's pass.
pub(super) struct HostPass<'a> {
    pub var: &'a Var,
    pub gradient: &'a Gradient,
    pub common: Common,
    pub slots: &'a mut [Vec<f32>],
}

impl Pass for HostPass<'_> {
    type Number = f32;
    type Output = Result<()>;

    fn each<const N: usize>(
        self,
        rule: impl Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]) + Copy + Send + Sync,
    ) -> Result<()> {
        let Common { learning_rate, weight_decay, scale, limit, sizes } = self.common;
        let constants = Constants {
            learning_rate: learning_rate as f32,
            weight_decay: weight_decay as f32,
            scale,
            limit: limit as f32,
            companion: if sizes { scale } else { scale * scale },
        };
        let op = Op { constants, rule, slots: RefCell::new(self.slots) };
        match &self.gradient.tokens {
            Some(tokens) => self.var.inplace_op3(&self.gradient.value, tokens, &op)?,
            None => self.var.inplace_op2(&self.gradient.value, &op)?,
        }
        Ok(())
    }
}

/// The same as f32.
#[derive(Clone, Copy)]
struct Constants {
    learning_rate: f32,
    weight_decay: f32,
    scale: f32,
    limit: f32,
    /// Multiplies the companion.
    companion: f32,
}

/// The pass as an in-place op of (variable, gradient[, companion]).
struct Op<'a, const N: usize, F> {
    constants: Constants,
    rule: F,
    slots: RefCell<&'a mut [Vec<f32>]>,
}

impl<const N: usize, F: Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]) + Copy + Send + Sync> Op<'_, N, F> {
    fn run(
        &self,
        variable: (&mut CpuStorage, &Layout),
        gradient: (&CpuStorage, &Layout),
        tokens: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<()> {
        let part = |layout: &Layout| match layout.contiguous_offsets() {
            Some((start, end)) => Ok(start..end),
            None => candle_core::bail!("optimizer: a strided array"),
        };
        let CpuStorage::F32(weights) = variable.0 else {
            candle_core::bail!("optimizer: the variable is not f32")
        };
        let gradient = &gradient.0.as_slice::<f32>()?[part(gradient.1)?];
        let tokens = match tokens {
            Some((storage, layout)) => &storage.as_slice::<f32>()?[part(layout)?],
            None => &[],
        };
        let mut slots = self.slots.borrow_mut();
        let mut slots = slots.iter_mut();
        // Every formula names its slots, so there are as many.
        let slots: [&mut [f32]; N] =
            std::array::from_fn(|_| slots.next().map(Vec::as_mut_slice).unwrap_or_default());
        let weights = &mut weights[part(variable.1)?];
        Arrays { weights, gradient, tokens, slots }.run(&self.constants, self.rule);
        Ok(())
    }
}

impl<const N: usize, F: Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]) + Copy + Send + Sync> InplaceOp2
    for Op<'_, N, F>
{
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        wl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> candle_core::Result<()> {
        self.run((w, wl), (g, gl), None)
    }
}

impl<const N: usize, F: Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]) + Copy + Send + Sync> InplaceOp3
    for Op<'_, N, F>
{
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        wl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
        t: &CpuStorage,
        tl: &Layout,
    ) -> candle_core::Result<()> {
        self.run((w, wl), (g, gl), Some((t, tl)))
    }
}

/// The arrays of one pass; without a companion `tokens` is empty.
struct Arrays<'a, const N: usize> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
    tokens: &'a [f32],
    slots: [&'a mut [f32]; N],
}

impl<const N: usize> Arrays<'_, N> {
    /// Blocks side by side; every value depends on its own place only, so threads cannot change the result.
    fn run(
        self,
        constants: &Constants,
        rule: impl Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]) + Copy + Send + Sync,
    ) {
        if self.weights.len() > 4 * BLOCK {
            let (left, right) = self.split();
            rayon::join(|| left.run(constants, rule), || right.run(constants, rule));
            return;
        }
        // The instruction set is chosen at run time; the operations are exact in any of them.
        let arch = pulp::Arch::new();
        match self.tokens.is_empty() {
            true => arch.dispatch(|| self.update::<false>(constants, rule)),
            false => arch.dispatch(|| self.update::<true>(constants, rule)),
        }
    }

    fn split(self) -> (Self, Self) {
        let middle = self.weights.len() / (2 * BLOCK) * BLOCK;
        let (weights, weights_right) = self.weights.split_at_mut(middle);
        let (gradient, gradient_right) = self.gradient.split_at(middle);
        // Empty, it stays empty on both sides.
        let (tokens, tokens_right) = self.tokens.split_at(middle.min(self.tokens.len()));
        let mut rights: [&mut [f32]; N] = std::array::from_fn(|_| Default::default());
        let mut at = 0;
        let slots = self.slots.map(|slot| {
            let (left, right) = slot.split_at_mut(middle);
            rights[at] = right;
            at += 1;
            left
        });
        (
            Self { weights, gradient, tokens, slots },
            Self { weights: weights_right, gradient: gradient_right, tokens: tokens_right, slots: rights },
        )
    }

    #[inline(always)]
    fn update<const TOKENS: bool>(
        self,
        constants: &Constants,
        rule: impl Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]),
    ) {
        let mut slots = self.slots.into_iter();
        let mut slot = || slots.next().unwrap_or_default();
        let (a, b, c) = (slot(), slot(), slot());
        update::<N, TOKENS>(self.weights, self.gradient, self.tokens, a, b, c, constants, rule);
    }
}

/// The loop. The arrays are arguments, one by one, because only of arguments the compiler knows that they do not overlap;
/// without that, and without inlining, there are no vectors.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn update<const N: usize, const TOKENS: bool>(
    weights: &mut [f32],
    gradient: &[f32],
    tokens: &[f32],
    a: &mut [f32],
    b: &mut [f32],
    c: &mut [f32],
    constants: &Constants,
    rule: impl Fn(Given<f32>, [f32; N]) -> (f32, [f32; N]),
) {
    let (n, k) = (weights.len(), constants);
    let gradient = &gradient[..n];
    let tokens = if TOKENS { &tokens[..n] } else { tokens };
    let a = if N > 0 { &mut a[..n] } else { a };
    let b = if N > 1 { &mut b[..n] } else { b };
    let c = if N > 2 { &mut c[..n] } else { c };
    for i in 0..n {
        let mut slots = [0.0; N];
        if N > 0 {
            slots[0] = a[i];
        }
        if N > 1 {
            slots[1] = b[i];
        }
        if N > 2 {
            slots[2] = c[i];
        }
        let w = weights[i] - weights[i] * k.weight_decay * k.learning_rate;
        let g = (gradient[i] * k.scale).clamp(-k.limit, k.limit);
        let tokens = if TOKENS { Some(tokens[i] * k.companion) } else { None };
        let (w, slots) = rule(Given { w, g, tokens }, slots);
        weights[i] = w;
        if N > 0 {
            a[i] = slots[0];
        }
        if N > 1 {
            b[i] = slots[1];
        }
        if N > 2 {
            c[i] = slots[2];
        }
    }
}
