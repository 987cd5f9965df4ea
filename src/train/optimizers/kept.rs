//! What an optimiser keeps for one variable.

use super::registry::OptimizerConfig;
use crate::Result;
use candle_core::{DType, Device, Tensor, Var};

/// The slots of a formula, in its order.
pub(super) enum Arrays {
    /// Contiguous f32 on the CPU: the fused pass.
    Host(Vec<Vec<f32>>),
    /// Anything else: tensor operations in the variable's own type.
    Tensors(Vec<Tensor>),
}

/// All of one variable.
pub(super) struct Kept {
    pub arrays: Arrays,
    /// The variable's moving average, with `use_ema`.
    pub average: Option<Tensor>,
    /// The gradients gathered so far, with `gradient_accumulation_steps`.
    pub gathered: Option<Tensor>,
}

impl Kept {
    pub fn new(var: &Var, config: &OptimizerConfig) -> Result<Self> {
        let zeros = || var.as_detached_tensor().zeros_like();
        let slots = config.class.slots();
        let arrays =
            match matches!(var.device(), Device::Cpu) && var.dtype() == DType::F32 && var.is_contiguous() {
                true => {
                    let slots = slots.iter().map(|slot| vec![slot.initial as f32; var.elem_count()]);
                    Arrays::Host(slots.collect())
                }
                false => {
                    let slots = slots.iter().map(|slot| zeros()? + slot.initial);
                    Arrays::Tensors(slots.collect::<candle_core::Result<_>>()?)
                }
            };
        Ok(Self {
            arrays,
            average: config.use_ema.then(zeros).transpose()?,
            gathered: config.gradient_accumulation_steps.map(|_| zeros()).transpose()?,
        })
    }

    /// A copy of a slot.
    pub fn slot(&self, index: usize, var: &Var) -> Result<Tensor> {
        Ok(match &self.arrays {
            Arrays::Host(slots) => Tensor::from_slice(&slots[index], var.shape(), var.device())?,
            Arrays::Tensors(slots) => slots[index].copy()?,
        })
    }

    /// Takes a slot over, of the variable's shape and type.
    pub fn set_slot(&mut self, index: usize, value: Tensor) -> Result<()> {
        match &mut self.arrays {
            Arrays::Host(slots) => slots[index] = value.flatten_all()?.to_vec1()?,
            Arrays::Tensors(slots) => slots[index] = value,
        }
        Ok(())
    }
}
