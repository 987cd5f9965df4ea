//! Keras's `Bidirectional` (`keras/src/layers/rnn/bidirectional.py`).

use crate::layers::cpu::suits_kernels;
use crate::layers::flow::{Flow, Values, first};
use crate::layers::join::{beside, flip};
use crate::layers::layer::{Config, Layer, Mode, Pass, Passes, Placed, TimeLoop, first_shape};
use crate::layers::masks::MaskRule;
use crate::layers::named::Named;
use crate::layers::padding::PaddingRule;
use crate::layers::pair::{Pair, divided};
use crate::layers::shape::{Checked, Shape, show};
use crate::layers::strand::Strand;
use candle_core::{Result, Tensor, bail};
use candle_nn::{ModuleT, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Sequences that one thread takes through a layer, as a rule.
const BLOCK: usize = 16;
/// Multiplications of a direction from which both run side by side: some 200 µs. A thread that sleeps takes half of that to
/// wake up.
const PARALLEL: usize = 1 << 23;

/// How a Bidirectional joins its two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMode {
    /// Side by side.
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
}

/// The arguments of [`Bidirectional`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "L: Deserialize<'de>"))]
pub struct BidirectionalConfig<L> {
    /// The recurrent layer that walks forwards.
    pub layer: Box<L>,
    /// The one that walks backwards; if left out, the same as `layer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_layer: Option<Box<L>>,
    /// How the outputs are joined; none (`null` in JSON) gives both.
    #[serde(default = "concat")]
    pub merge_mode: Option<MergeMode>,
}

fn concat() -> Option<MergeMode> {
    Some(MergeMode::Concat)
}

/// A recurrent layer as one direction: Keras gives 0 at masked steps of sequences there.
fn direction<L: Named>(layer: &L, turn: bool) -> L {
    let mut layer = layer.clone();
    if let Some(time_loop) = layer.config().time_loop() {
        layer.config_mut().set_time_loop(TimeLoop {
            zero_output_for_mask: time_loop.return_sequences,
            go_backwards: time_loop.go_backwards ^ turn,
            ..time_loop
        });
    }
    layer
}

impl<L: Named> BidirectionalConfig<L> {
    /// The layer in both directions, its outputs side by side.
    pub fn new(layer: L) -> Self {
        Self { layer: Box::new(layer), backward_layer: None, merge_mode: concat() }
    }

    /// The layer that walks forwards, as Keras makes it.
    fn forward(&self) -> L {
        direction(self.layer.as_ref(), false)
    }

    /// The layer that walks backwards, as Keras makes it.
    fn backward(&self) -> L {
        match &self.backward_layer {
            Some(layer) => direction(layer.as_ref(), false),
            None => direction(self.layer.as_ref(), true),
        }
    }

    /// The shape of both outputs joined, or those of both.
    fn merged(&self, a: &Shape, b: &Shape) -> Checked<Vec<Shape>> {
        match self.merge_mode {
            None => Ok(vec![a.clone(), b.clone()]),
            Some(MergeMode::Concat) => {
                let mut joined = a.clone();
                if let (Some(width), Some(other)) = (joined.last_mut(), b.last()) {
                    *width = width.zip(*other).and_then(|(a, b)| a.checked_add(b));
                }
                Ok(vec![joined])
            }
            Some(_) if a != b => {
                let (a, b) = (show(a), show(b));
                Err(format!("its directions give {a} and {b}, which only `concat` joins"))
            }
            Some(MergeMode::Sum | MergeMode::Mul | MergeMode::Ave) => Ok(vec![a.clone()]),
        }
    }
}

impl<L: Named> Config for BidirectionalConfig<L> {
    fn check(&self) -> Checked<()> {
        let (forward, backward) = (self.forward(), self.backward());
        let loops = (forward.config().time_loop(), backward.config().time_loop());
        let (Some(ahead), Some(behind)) = loops else {
            return Err(format!("its layer must be a recurrent one, not a {}", forward.class_name()));
        };
        if ahead.go_backwards == behind.go_backwards {
            return Err("one of its layers must go_backwards, the other not".into());
        }
        if ahead.return_sequences != behind.return_sequences || ahead.return_state != behind.return_state {
            return Err("return_sequences and return_state of its two layers must be the same".into());
        }
        forward.config().check()?;
        backward.config().check()
    }

    fn place(&self, inputs: &[Shape]) -> Checked<Placed> {
        let (input, states) = inputs.split_first().ok_or("needs an input")?;
        let (ahead, behind) = states.split_at(states.len() / 2);
        let given = |states: &[Shape]| std::iter::once(input).chain(states).cloned().collect::<Vec<_>>();
        let forward = self.forward().place(&given(ahead))?;
        let backward = self.backward().place(&given(behind))?;
        let ([a, forward_states @ ..], [b, backward_states @ ..]) =
            (forward.outputs.as_slice(), backward.outputs.as_slice())
        else {
            return Err("its layers give no output".into());
        };
        let mut outputs = self.merged(a, b)?;
        outputs.extend(forward_states.iter().chain(backward_states).cloned());
        let ahead = forward.variables.into_iter().map(|variable| variable.within("forward_layer"));
        let behind = backward.variables.into_iter().map(|variable| variable.within("backward_layer"));
        Ok(Placed::new(outputs).with(ahead.chain(behind).collect()))
    }

    fn mask_rule(&self) -> MaskRule {
        match self.layer.config().time_loop() {
            Some(time_loop) if time_loop.return_sequences => {
                MaskRule::PassesTo(if self.merge_mode.is_none() { 2 } else { 1 })
            }
            Some(_) | None => MaskRule::Drops,
        }
    }

    fn padding_rule(&self) -> PaddingRule {
        // What goes backwards is turned round again.
        match self.backward_layer {
            None => self.layer.config().padding_rule(),
            Some(_) => PaddingRule::Matters,
        }
    }

    fn build(&self, inputs: &[Shape], vb: VarBuilder) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Bidirectional::new(first_shape(inputs), self, vb)?))
    }

    fn layers(&self) -> Vec<&dyn Config> {
        let backward = self.backward_layer.as_ref().map(|layer| layer.config());
        std::iter::once(self.layer.config()).chain(backward).collect()
    }

    fn takes_states(&self) -> bool {
        true
    }

    fn in_words(&self) -> Option<String> {
        Some(format!("{}({})", self.layer.class_name(), self.layer.config().in_words()?))
    }
}

/// A recurrent layer in both directions (Schuster and Paliwal 1997).
#[derive(Clone, Debug)]
pub struct Bidirectional {
    forward: Arc<dyn Layer>,
    backward: Arc<dyn Layer>,
    merge_mode: Option<MergeMode>,
    return_sequences: bool,
    /// Weights of a direction.
    weights: usize,
    passes: Passes,
}

impl Bidirectional {
    /// The wrapper over an input of this shape, the batch first; the layers' variables stand under `forward_layer` and
    /// `backward_layer` in `vb`.
    ///
    /// # Errors
    /// If its layers do not fit each other, or `vb` lacks a variable or has it in another shape.
    pub fn new<L: Named>(
        input: &[Option<usize>],
        config: &BidirectionalConfig<L>,
        vb: VarBuilder,
    ) -> Result<Self> {
        if let Err(what) = config.check() {
            bail!("layer {}: {what}", vb.prefix())
        }
        let (forward, backward) = (config.forward(), config.backward());
        let inputs = [input.to_vec()];
        Ok(Self {
            forward: forward.build(&inputs, vb.pp("forward_layer"))?,
            backward: backward.build(&inputs, vb.pp("backward_layer"))?,
            merge_mode: config.merge_mode,
            return_sequences: forward.config().time_loop().is_some_and(|it| it.return_sequences),
            weights: forward.place(&inputs).map_or(0, |placed| {
                placed.variables.iter().map(|variable| variable.shape.iter().product::<usize>()).sum()
            }),
            passes: Passes::default(),
        })
    }

    /// Inference from zero states, without a mask: (batch, time, features) to the joined output, or, if `merge_mode`
    /// is none, to the forward layer's.
    ///
    /// # Errors
    /// If the input does not fit.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_t(xs, false)
    }

    /// Whether a direction by itself would leave threads without work, and has enough of it to wake one up. In training the
    /// order counts in which layers add to the loss.
    fn pays_side_by_side(&self, input: &Values, mode: Mode) -> bool {
        let dims = match input {
            Values::Tensor(xs) if suits_kernels(xs) => xs.dims(),
            Values::Strand(xs) => xs.tensor().dims(),
            Values::Rows(rows) if suits_kernels(rows.table.vectors()) => rows.ids.dims(),
            _ => return false,
        };
        let &[batch, time, ..] = dims else { return false };
        let threads = rayon::current_num_threads();
        let work = batch.saturating_mul(time).saturating_mul(self.weights);
        mode == Mode::Inference && threads > 1 && batch < BLOCK.saturating_mul(threads) && work >= PARALLEL
    }

    fn call(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        first(&self.run(&[xs.clone().into()], mode.into())?)?.values.tensor()
    }

    /// Joins the output of the layer that walks forwards and that of the other, whose steps come as it walked them.
    fn merge(&self, a: Strand, mut b: Strand) -> Result<Vec<Strand>> {
        if self.merge_mode == Some(MergeMode::Concat) {
            return Ok(vec![beside(&a, &b, self.return_sequences)?]);
        }
        if self.return_sequences {
            b = flip(&b)?;
        }
        if Pair::fits(&a, &b) {
            return Ok(match self.merge_mode {
                Some(MergeMode::Sum) => vec![Pair::Sum.of(&a, &b)?],
                Some(MergeMode::Mul) => vec![Pair::Product.of(&a, &b)?],
                Some(MergeMode::Ave) => vec![divided(&Pair::Sum.of(&a, &b)?, 2.0)?],
                None | Some(MergeMode::Concat) => vec![a, b],
            });
        }
        let (left, right) = (a.tensor(), b.tensor());
        Ok(match self.merge_mode {
            Some(MergeMode::Sum) => vec![(left + right)?.into()],
            Some(MergeMode::Mul) => vec![(left * right)?.into()],
            Some(MergeMode::Ave) => vec![((left + right)? / 2.0)?.into()],
            None | Some(MergeMode::Concat) => vec![a, b],
        })
    }
}

impl ModuleT for Bidirectional {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        self.call(xs, self.passes.next(train))
    }
}

impl Layer for Bidirectional {
    fn run(&self, inputs: &[Flow], pass: Pass) -> Result<Vec<Flow>> {
        let mut input = first(inputs)?.clone();
        // The squares of a table's gradients are those of what both directions give it together.
        if let Values::Rows(rows) = &input.values
            && rows.table.squares().is_some()
        {
            input.values = Values::Strand(rows.strand()?);
        }
        let (ahead, behind) = inputs[1..].split_at((inputs.len() - 1) / 2);
        let given = |states: &[Flow]| std::iter::once(&input).chain(states).cloned().collect::<Vec<_>>();
        let (ahead, behind) = (given(ahead), given(behind));
        let forwards = || self.forward.run(&ahead, pass);
        let backwards = || self.backward.run(&behind, pass);
        let (forwards, backwards) = match self.pays_side_by_side(&input.values, pass.mode) {
            true => rayon::join(forwards, backwards),
            false => (forwards(), backwards()),
        };
        let (forwards, backwards) = (forwards?, backwards?);
        let (mut forwards, mut backwards) = (forwards.into_iter(), backwards.into_iter());
        let a = first(forwards.next().as_slice())?.strand()?;
        let b = first(backwards.next().as_slice())?.strand()?;
        let merged = self.merge(a, b)?.into_iter().map(Flow::from);
        Ok(merged.chain(forwards).chain(backwards).collect())
    }

    fn children(&self) -> Vec<&dyn Layer> {
        vec![self.forward.as_ref(), self.backward.as_ref()]
    }
}
