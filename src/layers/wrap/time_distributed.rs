//! Keras's `TimeDistributed` (`keras/src/layers/rnn/time_distributed.py`).

use crate::layers::flow::{Flow, first};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed, first_shape};
use crate::layers::losses::Losses;
use crate::layers::masks::MaskRule;
use crate::layers::named::Named;
use crate::layers::shape::{Checked, Shape, show, single};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The argument of [`TimeDistributed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeDistributedConfig<L> {
    /// The layer that is applied to each step.
    pub layer: Box<L>,
}

/// The shape of one step.
fn step_of(input: &[Option<usize>]) -> Checked<Shape> {
    match input {
        [batch, _, rest @ ..] if !rest.is_empty() => {
            Ok(std::iter::once(*batch).chain(rest.iter().copied()).collect())
        }
        _ => Err(format!("needs an input of at least 3 axes, given {}", show(input))),
    }
}

impl<L: Named> Config for TimeDistributedConfig<L> {
    fn check(&self) -> Checked<()> {
        let layer = self.layer.config();
        match layer.input_shape() {
            Some(_) => Err("an InputLayer cannot be distributed over time".into()),
            None => layer.check(),
        }
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let input = single(inputs)?;
        let placed = self.layer.place(&[step_of(input)?])?;
        let [output] = placed.outputs.as_slice() else { return Err("its layer must give one tensor".into()) };
        let mut shape = output.clone();
        shape.insert(1.min(shape.len()), input[1]);
        let variables = placed.variables.into_iter().map(|variable| variable.within("layer")).collect();
        Ok(Placed { calls: placed.calls, ..Placed::one(shape).with(variables) })
    }

    fn check_keras3(&self, inputs: &[Shape]) -> Checked<()> {
        self.layer.config().check_keras3(&[step_of(single(inputs)?)?])
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(TimeDistributed::new(first_shape(inputs), self, vb)?))
    }

    fn layers(&self) -> Vec<&dyn Config> {
        vec![self.layer.config()]
    }
}

/// Applies a layer to each step of (batch, time, …).
#[derive(Clone, Debug)]
pub struct TimeDistributed {
    layer: Arc<dyn Layer>,
    passes: Passes,
}

impl TimeDistributed {
    /// The wrapper over an input of this shape, the batch first; the layer's variables stand under `layer` in `vb`.
    ///
    /// # Errors
    /// If the layer does not fit the input, or `vb` lacks a variable or has it in another shape.
    pub fn new<L: Named>(
        input: &[Option<usize>],
        config: &TimeDistributedConfig<L>,
        vb: VarBuilder,
    ) -> Result<Self> {
        match config.check().and_then(|()| step_of(input)) {
            Ok(step) => {
                let layer = config.layer.build(&[step], vb.pp("layer"))?;
                Ok(Self { layer, passes: Passes::default() })
            }
            Err(what) => bail!("layer {}: {what}", vb.prefix()),
        }
    }

    /// (batch, time, …) to (batch, time, …). A layer that computes statistics of a batch sees one step at a time.
    ///
    /// # Errors
    /// If the input does not fit the layer.
    pub fn forward(&self, xs: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        Ok(self.pass(&xs.clone().into(), mask, mode.into())?.tensor().clone())
    }

    fn pass(&self, xs: &Strand, mask: Option<&Tensor>, pass: Pass) -> Result<Strand> {
        match pass.mode {
            Mode::Training { seed } if self.layer.mixes_samples() && !pass.frozen => {
                self.by_step(xs.tensor(), mask, seed, pass).map(Strand::from)
            }
            Mode::Training { .. } | Mode::Inference => self.as_one_batch(xs, pass),
        }
    }

    fn call(&self, xs: Flow, pass: Pass) -> Result<Strand> {
        // Keras goes past what the layer adds to the loss, but not past what layers within it add.
        let losses = pass.losses.filter(|_| !self.layer.children().is_empty());
        let pass = Pass { losses, ..pass };
        first(&self.layer.run(&[xs], pass)?)?.values.any()
    }

    fn by_step(&self, xs: &Tensor, mask: Option<&Tensor>, seed: u64, pass: Pass) -> Result<Tensor> {
        // Keras hands the mask to the layer itself, and a model within drops it.
        let mask = mask.filter(|_| self.layer.children().is_empty());
        let steps = (0..xs.dim(1)?).map(|step| {
            let mask = mask.map(|mask| mask.narrow(1, step, 1)?.squeeze(1)).transpose()?;
            let mode = Mode::Training { seed: seed.wrapping_add((step as u64) << 32) };
            let xs = xs.narrow(1, step, 1)?.squeeze(1)?.contiguous()?;
            Ok(self.call(Flow::new(xs, mask), Pass { mode, ..pass })?.tensor().clone())
        });
        Tensor::stack(&steps.collect::<Result<Vec<_>>>()?, 1)
    }

    /// All steps of all samples as one batch.
    fn as_one_batch(&self, xs: &Strand, pass: Pass) -> Result<Strand> {
        let (batch, time) = (xs.tensor().dim(0)?, xs.tensor().dim(1)?);
        let axes =
            |of: &Strand, skip: usize| of.tensor().dims().iter().skip(skip).copied().collect::<Vec<usize>>();
        let fold = [vec![batch * time], axes(xs, 2)].concat();
        // Keras adds up what each step adds to the loss: here all steps count as samples of one batch.
        let added = Losses::default();
        let within = Pass { losses: pass.losses.map(|_| &added), ..pass };
        let ys = self.call(xs.reshape(fold)?.into(), within)?;
        if let (Some(losses), Some(total)) = (pass.losses, added.total()?) {
            losses.add((total * time as f64)?);
        }
        let unfold = [vec![batch, time], axes(&ys, 1)].concat();
        ys.reshape(unfold)
    }
}

impl ModuleT for TimeDistributed {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(xs, None, self.passes.next(train))
    }
}

impl Layer for TimeDistributed {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let input = first(inputs)?;
        let pass = Pass { logits: false, ..pass };
        let ys = self.pass(&input.values.any()?, input.mask.as_ref(), pass)?;
        Ok(vec![ys.into()])
    }

    fn children(&self) -> Vec<&dyn Layer> {
        vec![self.layer.as_ref()]
    }
}
