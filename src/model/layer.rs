//! The layers of a model as they run: tensors with their masks from one to the next.

use super::Model;
use super::class::{Class, PathVariable, Recurrence};
use super::config::{LayerConfig, Shape};
use super::wrappers::{MergeMode, RnnConfig};
use crate::nn::{
    Activation, BatchNormalization, Call, Conv, ConvLstm, Dense, Dropout, Embedding, GaussianNoise, Gru,
    LayerNormalization, Lstm, Mode, PRelu, RecurrentLayer, SimpleRnn, Source, SpatialDropout1D, Variable,
};
use crate::{Error, Result};
use candle_core::{DType, Module, Tensor, Var};
use candle_nn::VarBuilder;
use std::sync::Arc;

/// What flows from layer to layer.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub values: Values,
    /// (batch, time), u8: 0 where a step is to be skipped.
    pub mask: Option<Tensor>,
}

/// Values, or the rows of an embedding table that a recurrent layer will read itself.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Tensor(Tensor),
    Rows { embedding: Embedding, ids: Tensor },
}

impl Values {
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor.clone()),
            Self::Rows { embedding, ids } => Ok(embedding.forward(ids)?),
        }
    }
}

impl Recurrence {
    /// The mask that a call on these inputs computes with.
    fn mask<'a>(&self, inputs: &'a [Flow]) -> Option<&'a Tensor> {
        inputs.first()?.mask.as_ref().filter(|_| self.mask_with_states || inputs.len() == 1)
    }
}

impl Flow {
    pub fn new(values: Tensor, mask: Option<Tensor>) -> Self {
        Self { values: Values::Tensor(values), mask }
    }

    /// The numbers as floats.
    fn floats(&self) -> Result<Tensor> {
        let xs = self.values.tensor()?;
        if xs.dtype().is_int() { Ok(xs.to_dtype(DType::F32)?) } else { Ok(xs) }
    }
}

/// A layer as it runs.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Embedding(Embedding),
    Recurrent {
        layer: Arc<dyn RecurrentLayer>,
        recurrence: Recurrence,
    },
    Cells {
        cells: Vec<Arc<dyn RecurrentLayer>>,
        states: Vec<usize>,
        recurrence: Recurrence,
    },
    ConvLstm {
        layer: ConvLstm,
        recurrence: Recurrence,
    },
    Bidirectional {
        forward: Box<Layer>,
        backward: Box<Layer>,
        merge_mode: Option<MergeMode>,
        recurrence: Recurrence,
    },
    TimeDistributed(Box<Layer>),
    Model(Box<Model>),
    Dropout(Dropout),
    SpatialDropout1D(SpatialDropout1D),
    GaussianNoise(GaussianNoise),
    Dense(Dense),
    BatchNormalization(BatchNormalization),
    LayerNormalization(LayerNormalization),
    PRelu(PRelu),
    Conv1D(Conv<1>),
    Conv2D(Conv<2>),
    Conv3D(Conv<3>),
    /// A layer without variables: its class is all there is to it.
    Plain(Class),
}

impl Layer {
    /// Builds `layer` over inputs of these shapes with the variables that `vb` holds.
    pub fn new(layer: &LayerConfig, inputs: &[Shape], vb: VarBuilder) -> Result<Self> {
        let fail = |what: String| Error::layer(vb.prefix(), what);
        let variables = layer.class.variables(inputs).map_err(fail)?;
        let input = inputs.first().and_then(|input| input.last().copied().flatten()).unwrap_or(0);
        let own = || own_variables(&variables);
        let recurrence = |class: &Class| {
            let recurrence = class.recurrence()?;
            Some(Recurrence { mask_with_states: layer.mask_with_states, ..recurrence })
        };
        Ok(match &layer.class {
            Class::Embedding(config) => Self::Embedding(Embedding::new(*config, vb)?),
            Class::SimpleRNN(_) | Class::LSTM(_) | Class::GRU(_) => {
                let recurrence =
                    recurrence(&layer.class).ok_or_else(|| fail("it is not recurrent".into()))?;
                Self::Recurrent { layer: recurrent(&layer.class, input, vb)?, recurrence }
            }
            Class::RNN(rnn) => {
                let recurrence =
                    recurrence(&layer.class).ok_or_else(|| fail("it is not recurrent".into()))?;
                let (cells, states) = cells(rnn, input, &vb)?;
                Self::Cells { cells, states, recurrence }
            }
            Class::ConvLSTM2D(config) => {
                let recurrence =
                    recurrence(&layer.class).ok_or_else(|| fail("it is not recurrent".into()))?;
                Self::ConvLstm { layer: ConvLstm::new(config.clone(), &own(), &vb)?, recurrence }
            }
            Class::Bidirectional(bidirectional) => {
                let forward = bidirectional.forward();
                let recurrence =
                    recurrence(&forward.class).ok_or_else(|| fail("its layer is not recurrent".into()))?;
                let inputs = inputs.get(..1).unwrap_or_default();
                Self::Bidirectional {
                    forward: Box::new(Self::new(&forward, inputs, vb.pp("forward_layer"))?),
                    backward: Box::new(Self::new(
                        &bidirectional.backward(),
                        inputs,
                        vb.pp("backward_layer"),
                    )?),
                    merge_mode: bidirectional.merge_mode,
                    recurrence,
                }
            }
            Class::TimeDistributed(distributed) => {
                let input = inputs.first().ok_or_else(|| fail("needs an input".into()))?;
                let step = distributed.step(input).map_err(fail)?;
                Self::TimeDistributed(Box::new(Self::new(&distributed.layer, &[step], vb.pp("layer"))?))
            }
            Class::Sequential(model) | Class::Functional(model) => {
                Self::Model(Box::new(Model::build(model, Some(inputs), vb)?))
            }
            Class::Dropout(config) => Self::Dropout(Dropout::new(*config, vb)?),
            Class::SpatialDropout1D(config) => {
                Self::SpatialDropout1D(SpatialDropout1D::new(*config, vb.prefix()))
            }
            Class::GaussianNoise(config) => Self::GaussianNoise(GaussianNoise::new(*config, vb.prefix())),
            Class::Dense(config) => Self::Dense(Dense::new(input, *config, vb)?),
            Class::BatchNormalization(config) => {
                Self::BatchNormalization(BatchNormalization::new(*config, &own(), &vb)?)
            }
            Class::LayerNormalization(config) => {
                Self::LayerNormalization(LayerNormalization::new(config.clone(), &own(), &vb)?)
            }
            Class::PReLU(_) => Self::PRelu(PRelu::new(&own(), &vb)?),
            Class::Conv1D(config) => Self::Conv1D(Conv::new(config.clone(), &own(), &vb)?),
            Class::Conv2D(config) => Self::Conv2D(Conv::new(config.clone(), &own(), &vb)?),
            Class::Conv3D(config) => Self::Conv3D(Conv::new(config.clone(), &own(), &vb)?),
            class => Self::Plain(class.clone()),
        })
    }

    /// From the inputs (for a recurrent layer the initial states after the sequence) to the outputs. With `logits` a
    /// last sigmoid is left out.
    pub fn forward(&self, inputs: &[Flow], mode: Mode, logits: bool) -> Result<Vec<Flow>> {
        let Some(flow) = inputs.first() else {
            return Err(Error::argument("input", "a layer was called on nothing"));
        };
        let mask = flow.mask.as_ref();
        let through = |ys: Tensor| Ok(vec![Flow::new(ys, flow.mask.clone())]);
        let without = |ys: Tensor| Ok(vec![Flow::new(ys, None)]);
        match self {
            Self::Embedding(embedding) => {
                let mut ids = flow.values.tensor()?;
                if ids.dtype().is_float() {
                    ids = ids.to_dtype(DType::I64)?;
                }
                let ids = embedding.check_ids(&ids)?;
                let mask = embedding.compute_mask(&ids)?;
                let values = match ids.rank() {
                    2 => Values::Rows { embedding: embedding.clone(), ids },
                    _ => Values::Tensor(embedding.forward(&ids)?),
                };
                Ok(vec![Flow { values, mask }])
            }
            Self::Recurrent { layer, recurrence } => {
                let states = states(&inputs[1..])?;
                let mask = recurrence.mask(inputs);
                let call = Call { mask, states: states.as_deref(), mode };
                let output = run(layer.as_ref(), flow, call, recurrence.return_state)?;
                Ok(outputs(output.output, output.states, flow.mask.clone(), *recurrence))
            }
            Self::Cells { cells, states: counts, recurrence } => {
                let given = states(&inputs[1..])?;
                let mut given = given.as_deref();
                let passed_on = flow.mask.clone();
                let (mut flow, mut mask) = (flow.clone(), recurrence.mask(inputs).cloned());
                let mut last = vec![];
                for (index, (cell, &count)) in cells.iter().zip(counts).enumerate() {
                    let own = match given {
                        Some(states) if states.len() >= count => {
                            let (own, rest) = states.split_at(count);
                            given = Some(rest);
                            Some(own)
                        }
                        _ => None,
                    };
                    let call = Call { mask: mask.as_ref(), states: own, mode };
                    let output = run(cell.as_ref(), &flow, call, recurrence.return_state)?;
                    if index == 0 && recurrence.go_backwards {
                        mask = mask.map(|mask| flip(&mask)).transpose()?;
                    }
                    flow = Flow::new(output.output, None);
                    last.extend(output.states);
                }
                Ok(outputs(flow.values.tensor()?, last, passed_on, *recurrence))
            }
            Self::ConvLstm { layer, recurrence } => {
                let states = states(&inputs[1..])?;
                let call = Call { mask: recurrence.mask(inputs), states: states.as_deref(), mode };
                let (output, last) = layer.forward(&flow.floats()?, call)?;
                Ok(outputs(output, last, flow.mask.clone(), *recurrence))
            }
            Self::Bidirectional { forward, backward, merge_mode, recurrence } => {
                let (ahead, behind) = inputs[1..].split_at((inputs.len() - 1) / 2);
                let flow = Flow { values: flow.values.clone(), mask: recurrence.mask(inputs).cloned() };
                let given =
                    |states: &[Flow]| std::iter::once(&flow).chain(states).cloned().collect::<Vec<_>>();
                let mut forwards = forward.forward(&given(ahead), mode, false)?.into_iter();
                let mut backwards = backward.forward(&given(behind), mode, false)?.into_iter();
                let (Some(a), Some(b)) = (forwards.next(), backwards.next()) else {
                    return Err(Error::argument("input", "a Bidirectional's layer gave nothing"));
                };
                let (a, mut b) = (a.values.tensor()?, b.values.tensor()?);
                if recurrence.return_sequences {
                    b = flip(&b)?;
                }
                let merged = match merge_mode {
                    None => vec![a, b],
                    Some(MergeMode::Concat) => vec![Tensor::cat(&[&a, &b], a.rank() - 1)?],
                    Some(MergeMode::Sum) => vec![(a + b)?],
                    Some(MergeMode::Mul) => vec![(a * b)?],
                    Some(MergeMode::Ave) => vec![((a + b)? / 2.0)?],
                };
                let mask = inputs[0].mask.clone().filter(|_| recurrence.return_sequences);
                let mut flows: Vec<Flow> = merged.into_iter().map(|ys| Flow::new(ys, mask.clone())).collect();
                flows.extend(forwards.chain(backwards));
                Ok(flows)
            }
            Self::TimeDistributed(layer) => through(distribute(layer, &flow.values.tensor()?, mask, mode)?),
            Self::Model(model) => model.run(inputs, mode, logits),
            Self::Dropout(layer) => through(layer.forward(&flow.floats()?, mode)?),
            Self::SpatialDropout1D(layer) => {
                // Keras: it supports masks as every Dropout does.
                through(layer.forward(&flow.floats()?, mode)?)
            }
            Self::GaussianNoise(layer) => through(layer.forward(&flow.floats()?, mode)?),
            Self::Dense(layer) if logits && layer.config().activation == Activation::Sigmoid => {
                through(layer.linear(&flow.floats()?)?)
            }
            Self::Dense(layer) => through(layer.forward(&flow.floats()?)?),
            Self::BatchNormalization(layer) => through(layer.forward(&flow.floats()?, mask, mode)?),
            Self::LayerNormalization(layer) => through(layer.forward(&flow.floats()?)?),
            Self::PRelu(layer) => through(layer.forward(&flow.floats()?)?),
            Self::Conv1D(layer) => without(layer.forward(&flow.floats()?)?),
            Self::Conv2D(layer) => without(layer.forward(&flow.floats()?)?),
            Self::Conv3D(layer) => without(layer.forward(&flow.floats()?)?),
            Self::Plain(class) => plain(class, inputs, logits),
        }
    }

    /// Calls `visit` for every model within it, itself and the layers it holds.
    pub fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Bidirectional { forward, backward, .. } => {
                forward.visit(visit);
                backward.visit(visit);
            }
            Self::TimeDistributed(layer) => layer.visit(visit),
            Self::Model(model) => model.visit(visit),
            _ => {}
        }
    }

    /// Forgets what it carries from batch to batch.
    pub fn reset_states(&self) {
        match self {
            Self::Recurrent { layer, .. } => layer.reset_states(),
            Self::Cells { cells, .. } => cells.iter().for_each(|cell| cell.reset_states()),
            Self::ConvLstm { layer, .. } => layer.reset_states(),
            _ => {}
        }
    }

    /// Variables that training moves without the optimiser, by full name.
    pub fn moving(&self) -> Vec<(String, Var)> {
        match self {
            Self::BatchNormalization(layer) => layer.moving(),
            _ => vec![],
        }
    }

    /// The companion of an embedding that is being trained.
    pub fn squares(&self) -> Option<(String, Var)> {
        match self {
            Self::Embedding(embedding) => embedding.squares(),
            _ => None,
        }
    }
}

fn own_variables(variables: &[PathVariable]) -> Vec<Variable> {
    variables.iter().map(|(_, variable)| variable.clone()).collect()
}

fn recurrent(class: &Class, input: usize, vb: VarBuilder) -> Result<Arc<dyn RecurrentLayer>> {
    Ok(match class {
        Class::SimpleRNN(config) => Arc::new(SimpleRnn::new(input, config.clone(), vb)?),
        Class::LSTM(config) => Arc::new(Lstm::new(input, config.clone(), vb)?),
        Class::GRU(config) => Arc::new(Gru::new(input, config.clone(), vb)?),
        other => return Err(Error::layer(vb.prefix(), format!("a {} is no recurrent layer", other.name()))),
    })
}

/// The cells of an RNN as layers on top of each other, with the number of states of each.
#[allow(clippy::type_complexity)]
fn cells(
    rnn: &RnnConfig,
    input: usize,
    vb: &VarBuilder,
) -> Result<(Vec<Arc<dyn RecurrentLayer>>, Vec<usize>)> {
    let (mut layers, mut states, mut input) = (vec![], vec![], input);
    for (path, class) in rnn.cell.layers("cell", rnn) {
        let vb = path.split('.').fold(vb.clone(), |vb, part| vb.pp(part));
        layers.push(recurrent(&class, input, vb)?);
        states.push(class.recurrence().map_or(1, |recurrence| recurrence.states));
        input = match &class {
            Class::SimpleRNN(config) => config.units,
            Class::LSTM(config) => config.units,
            Class::GRU(config) => config.units,
            _ => input,
        };
    }
    Ok((layers, states))
}

fn run(
    layer: &dyn RecurrentLayer,
    flow: &Flow,
    call: Call<'_>,
    return_state: bool,
) -> Result<crate::nn::Output> {
    let xs;
    let source = match &flow.values {
        Values::Rows { embedding, ids } => Source::Rows { embedding, ids },
        Values::Tensor(_) => {
            xs = flow.floats()?;
            Source::Features(&xs)
        }
    };
    Ok(layer.run(source, call, return_state)?)
}

/// The states among the inputs, if there are any.
fn states(flows: &[Flow]) -> Result<Option<Vec<Tensor>>> {
    if flows.is_empty() {
        return Ok(None);
    }
    flows.iter().map(Flow::floats).collect::<Result<_>>().map(Some)
}

fn outputs(output: Tensor, states: Vec<Tensor>, mask: Option<Tensor>, recurrence: Recurrence) -> Vec<Flow> {
    // The mask goes on with the sequence only.
    let mut flows = vec![Flow::new(output, mask.filter(|_| recurrence.return_sequences))];
    if recurrence.return_state {
        flows.extend(states.into_iter().map(|state| Flow::new(state, None)));
    }
    flows
}

/// The steps from the last to the first.
fn flip(xs: &Tensor) -> Result<Tensor> {
    let time = xs.dim(1)?;
    let steps: Vec<u32> = (0..time as u32).rev().collect();
    Ok(xs.contiguous()?.index_select(&Tensor::from_vec(steps, time, xs.device())?, 1)?)
}

/// A layer on each step of (batch, time, …).
fn distribute(layer: &Layer, xs: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
    let mut by_step = false;
    layer.visit(&mut |layer| by_step |= matches!(layer, Layer::BatchNormalization(_)));
    let (batch, time) = (xs.dim(0)?, xs.dim(1)?);
    let call = |xs: Tensor, mask: Option<Tensor>, mode: Mode| -> Result<Tensor> {
        match layer.forward(&[Flow::new(xs, mask)], mode, false)?.first() {
            Some(flow) => flow.values.tensor(),
            None => Err(Error::argument("input", "a TimeDistributed's layer gave nothing")),
        }
    };
    if let (true, Mode::Training { seed }) = (by_step, mode) {
        // Statistics of a batch are those of one step.
        let steps = (0..time).map(|step| {
            let mask = mask.filter(|_| matches!(layer, Layer::BatchNormalization(_)));
            let mask = mask.map(|mask| mask.narrow(1, step, 1)?.squeeze(1)).transpose()?;
            let mode = Mode::Training { seed: seed.wrapping_add((step as u64) << 32) };
            call(xs.narrow(1, step, 1)?.squeeze(1)?.contiguous()?, mask, mode)
        });
        return Ok(Tensor::stack(&steps.collect::<Result<Vec<_>>>()?, 1)?);
    }
    // All steps of all samples as one batch.
    let fold: Vec<usize> = std::iter::once(batch * time).chain(xs.dims().iter().skip(2).copied()).collect();
    let ys = call(xs.contiguous()?.reshape(fold)?, None, mode)?;
    let unfold: Vec<usize> = [batch, time].into_iter().chain(ys.dims().iter().skip(1).copied()).collect();
    Ok(ys.contiguous()?.reshape(unfold)?)
}

/// A layer without variables.
fn plain(class: &Class, inputs: &[Flow], logits: bool) -> Result<Vec<Flow>> {
    let Some(flow) = inputs.first() else {
        return Err(Error::argument("input", "a layer was called on nothing"));
    };
    if let Some((merge, join)) = class.merge() {
        let values = inputs.iter().map(Flow::floats).collect::<Result<Vec<_>>>()?;
        let masks: Vec<Option<Tensor>> = inputs.iter().map(|flow| flow.mask.clone()).collect();
        let values = merge.forward_masked(&values, &masks, join)?;
        return Ok(vec![Flow::new(values, join.mask(&masks)?)]);
    }
    let xs = flow.values.tensor()?;
    let mask = flow.mask.clone();
    let (ys, mask) = match class {
        Class::Concatenate(config) => {
            let mut values = inputs.iter().map(|flow| flow.values.tensor()).collect::<Result<Vec<_>>>()?;
            if values.iter().any(|values| values.dtype().is_float()) {
                values = inputs.iter().map(Flow::floats).collect::<Result<_>>()?;
            }
            let masks: Vec<Option<Tensor>> = inputs.iter().map(|flow| flow.mask.clone()).collect();
            let mask = config.mask(&values, &masks)?;
            (config.forward(&values)?, mask)
        }
        Class::Dot(config) => {
            let values = inputs.iter().map(Flow::floats).collect::<Result<Vec<_>>>()?;
            (config.forward(&values)?, None)
        }
        Class::Masking(config) => {
            let xs = flow.floats()?;
            (config.forward(&xs)?, Some(config.compute_mask(&xs)?))
        }
        Class::Flatten(config) => (config.forward(&xs)?, None),
        Class::Reshape(config) => (config.forward(&xs)?, None),
        Class::Permute(config) => (config.forward(&xs)?, None),
        Class::RepeatVector(config) => (config.forward(&xs)?, None),
        Class::Activation(config) if logits && config.activation == Activation::Sigmoid => {
            (flow.floats()?, mask)
        }
        Class::Activation(config) => (config.activation.forward(&flow.floats()?)?, mask),
        Class::Softmax(config) => (config.forward(&flow.floats()?, mask.as_ref())?, mask),
        Class::LeakyReLU(config) => (config.forward(&flow.floats()?)?, mask),
        Class::ReLU(config) => (config.forward(&flow.floats()?)?, mask),
        Class::ELU(config) => (config.forward(&flow.floats()?)?, mask),
        Class::ZeroPadding1D(config) => (config.forward(&flow.floats()?)?, None),
        Class::ZeroPadding2D(config) => (config.forward(&flow.floats()?)?, None),
        Class::ZeroPadding3D(config) => (config.forward(&flow.floats()?)?, None),
        Class::Cropping1D(config) => (config.forward(&flow.floats()?)?, None),
        Class::Cropping2D(config) => (config.forward(&flow.floats()?)?, None),
        Class::Cropping3D(config) => (config.forward(&flow.floats()?)?, None),
        Class::UpSampling1D(config) => (config.forward(&flow.floats()?)?, None),
        Class::UpSampling2D(config) => (config.forward(&flow.floats()?)?, None),
        Class::UpSampling3D(config) => (config.forward(&flow.floats()?)?, None),
        Class::MaxPooling1D(config) => (config.max(&flow.floats()?)?, None),
        Class::MaxPooling2D(config) => (config.max(&flow.floats()?)?, None),
        Class::MaxPooling3D(config) => (config.max(&flow.floats()?)?, None),
        Class::AveragePooling1D(config) => (config.average(&flow.floats()?)?, None),
        Class::AveragePooling2D(config) => (config.average(&flow.floats()?)?, None),
        Class::AveragePooling3D(config) => (config.average(&flow.floats()?)?, None),
        Class::GlobalMaxPooling1D(config) => (config.max(&flow.floats()?)?, None),
        Class::GlobalMaxPooling2D(config) => (config.max(&flow.floats()?)?, None),
        Class::GlobalMaxPooling3D(config) => (config.max(&flow.floats()?)?, None),
        Class::GlobalAveragePooling3D(config) => (config.average(&flow.floats()?, None)?, None),
        Class::Rescaling(config) => (config.forward(&flow.floats()?)?, mask),
        Class::GlobalAveragePooling1D(config) => (config.average(&flow.floats()?, mask.as_ref())?, None),
        Class::GlobalAveragePooling2D(config) => (config.average(&flow.floats()?, None)?, None),
        other => {
            return Err(Error::argument("input", format!("a {} cannot be called here", other.name())));
        }
    };
    Ok(vec![Flow::new(ys, mask)])
}
