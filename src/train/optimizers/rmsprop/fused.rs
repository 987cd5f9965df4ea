//! The step on contiguous f32 in memory: one pass that reads the gradient where candle keeps it.

use super::{BLOCK, RmsPropConfig, Slots};
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout};
use std::cell::RefCell;

/// The numbers of one step, as f32.
pub(super) struct Constants {
    learning_rate: f32,
    rho: f32,
    one_minus_rho: f32,
    momentum: f32,
    epsilon: f32,
    weight_decay: f32,
    /// Multiplies the gradient, to clip its norm.
    pub(super) scale: f32,
    /// The greatest absolute value, infinity for none.
    limit: f32,
}

impl Constants {
    pub(super) fn new(config: &RmsPropConfig) -> Self {
        Self {
            learning_rate: config.learning_rate as f32,
            rho: config.rho as f32,
            one_minus_rho: (1.0 - config.rho) as f32,
            momentum: config.momentum as f32,
            epsilon: config.epsilon as f32,
            weight_decay: config.weight_decay.unwrap_or(0.0) as f32,
            scale: 1.0,
            limit: config.clipvalue.unwrap_or(f64::INFINITY) as f32,
        }
    }
}

/// The fused pass as an in-place op of (variable, gradient[, squares]).
pub(super) struct FusedStep<'a> {
    pub(super) constants: &'a Constants,
    pub(super) slots: RefCell<&'a mut Slots<Vec<f32>>>,
}

impl FusedStep<'_> {
    fn run(
        &self,
        variable: (&mut CpuStorage, &Layout),
        gradient: (&CpuStorage, &Layout),
        squares: Option<(&CpuStorage, &Layout)>,
    ) -> candle_core::Result<()> {
        let part = |layout: &Layout| match layout.contiguous_offsets() {
            Some((start, end)) => Ok(start..end),
            None => candle_core::bail!("rmsprop: a strided array"),
        };
        let CpuStorage::F32(weights) = variable.0 else {
            candle_core::bail!("rmsprop: the variable is not f32")
        };
        let gradient = &gradient.0.as_slice::<f32>()?[part(gradient.1)?];
        let squares = match squares {
            Some((storage, layout)) => &storage.as_slice::<f32>()?[part(layout)?],
            None => &[],
        };
        let mut slots = self.slots.borrow_mut();
        let slots = &mut **slots;
        let pass = Pass {
            weights: &mut weights[part(variable.1)?],
            gradient,
            squares,
            velocity: &mut slots.velocity,
            momentum: slots.momentum.as_deref_mut().unwrap_or_default(),
            average: slots.average_gradient.as_deref_mut().unwrap_or_default(),
        };
        pass.run(self.constants);
        Ok(())
    }
}

impl InplaceOp2 for FusedStep<'_> {
    fn name(&self) -> &'static str {
        "rmsprop"
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

impl InplaceOp3 for FusedStep<'_> {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        wl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
        s: &CpuStorage,
        sl: &Layout,
    ) -> candle_core::Result<()> {
        self.run((w, wl), (g, gl), Some((s, sl)))
    }
}

/// The arrays of one pass; those that the options do not need are empty.
struct Pass<'a> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
    squares: &'a [f32],
    velocity: &'a mut [f32],
    momentum: &'a mut [f32],
    average: &'a mut [f32],
}

impl Pass<'_> {
    /// Blocks side by side; every value depends on its own place only, so threads cannot change the result.
    fn run(mut self, constants: &Constants) {
        if self.weights.len() > 4 * BLOCK {
            let (left, right) = self.split();
            rayon::join(|| left.run(constants), || right.run(constants));
            return;
        }
        // The instruction set is chosen at run time; the operations are exact in any of them.
        let arch = pulp::Arch::new();
        match (!self.average.is_empty(), !self.momentum.is_empty(), !self.squares.is_empty()) {
            (false, false, false) => arch.dispatch(|| self.update::<false, false, false>(constants)),
            (false, false, true) => arch.dispatch(|| self.update::<false, false, true>(constants)),
            (false, true, false) => arch.dispatch(|| self.update::<false, true, false>(constants)),
            (false, true, true) => arch.dispatch(|| self.update::<false, true, true>(constants)),
            (true, false, false) => arch.dispatch(|| self.update::<true, false, false>(constants)),
            (true, false, true) => arch.dispatch(|| self.update::<true, false, true>(constants)),
            (true, true, false) => arch.dispatch(|| self.update::<true, true, false>(constants)),
            (true, true, true) => arch.dispatch(|| self.update::<true, true, true>(constants)),
        }
    }

    fn split(&mut self) -> (Pass<'_>, Pass<'_>) {
        let middle = self.weights.len() / (2 * BLOCK) * BLOCK;
        // An empty array stays empty on both sides.
        let at = |len: usize| middle.min(len);
        let (weights, weights_right) = self.weights.split_at_mut(middle);
        let (gradient, gradient_right) = self.gradient.split_at(middle);
        let (squares, squares_right) = self.squares.split_at(at(self.squares.len()));
        let (velocity, velocity_right) = self.velocity.split_at_mut(middle);
        let (momentum, momentum_right) = self.momentum.split_at_mut(at(self.momentum.len()));
        let (average, average_right) = self.average.split_at_mut(at(self.average.len()));
        (
            Pass { weights, gradient, squares, velocity, momentum, average },
            Pass {
                weights: weights_right,
                gradient: gradient_right,
                squares: squares_right,
                velocity: velocity_right,
                momentum: momentum_right,
                average: average_right,
            },
        )
    }

    #[inline(always)]
    fn update<const CENTERED: bool, const MOMENTUM: bool, const SQUARES: bool>(self, c: &Constants) {
        let n = self.weights.len();
        let (weights, gradient, velocity) = (self.weights, &self.gradient[..n], &mut self.velocity[..n]);
        let squares = if SQUARES { &self.squares[..n] } else { self.squares };
        let momentum = if MOMENTUM { &mut self.momentum[..n] } else { self.momentum };
        let average = if CENTERED { &mut self.average[..n] } else { self.average };
        for i in 0..n {
            let g = (gradient[i] * c.scale).clamp(-c.limit, c.limit);
            let square = if SQUARES { squares[i] * c.scale * c.scale } else { g * g };
            velocity[i] = c.rho * velocity[i] + c.one_minus_rho * square;
            let mut denominator = velocity[i];
            if CENTERED {
                average[i] = c.rho * average[i] + c.one_minus_rho * g;
                denominator -= average[i] * average[i];
            }
            let mut step = c.learning_rate * g / (denominator + c.epsilon).sqrt();
            if MOMENTUM {
                momentum[i] = c.momentum * momentum[i] + step;
                step = momentum[i];
            }
            weights[i] = weights[i] - weights[i] * c.weight_decay * c.learning_rate - step;
        }
    }
}
