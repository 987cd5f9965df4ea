//! candle-nn: `LSTM::seq` and `GRU::seq` with Candle's autograd.

use crate::{BATCH, Peer, Result, Rows, Weights};
use candle_core::{D, DType, Device, Module, Tensor, Var};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN, gru, lstm};
use candle_nn::{Embedding, Linear, VarBuilder};
use std::collections::HashMap;
use std::time::Instant;

const CPU: Device = Device::Cpu;

pub struct Candle;

enum Layer {
    Lstm(LSTM),
    Gru(GRU),
}

pub struct Model {
    embedding: Embedding,
    layer: Layer,
    dense: Linear,
    /// Each with RMSprop's mean square.
    variables: Vec<(Var, Tensor)>,
}

impl Model {
    fn logits(&self, ids: &[u32], rows: usize) -> Result<Tensor> {
        let ids = Tensor::from_slice(ids, (rows, ids.len() / rows), &CPU)?;
        let xs = self.embedding.forward(&ids)?;
        let last = match &self.layer {
            Layer::Lstm(layer) => layer.seq(&xs)?.pop().map(|state| state.h),
            Layer::Gru(layer) => layer.seq(&xs)?.pop().map(|state| state.h),
        };
        Ok(self.dense.forward(&last.ok_or("no steps")?)?.squeeze(D::Minus1)?)
    }

    /// RMSprop as PyTorch has it, epsilon outside the root: candle-nn has none.
    fn step(&mut self, loss: &Tensor) -> Result<()> {
        let grads = loss.backward()?;
        for (variable, square) in &mut self.variables {
            let grad = grads.get(variable.as_tensor()).ok_or("a variable has no gradient")?;
            *square = ((&*square * 0.9)? + (grad.sqr()? * 0.1)?)?.detach();
            let step = (grad / (square.sqrt()? + 1e-7)?)?;
            variable.set(&(variable.as_tensor() - (step * 1e-4)?)?)?;
        }
        Ok(())
    }
}

/// max(x, 0) - x y + ln(1 + e^-|x|), the mean.
fn loss(logits: &Tensor, labels: &[f32]) -> Result<Tensor> {
    let labels = Tensor::from_slice(labels, labels.len(), &CPU)?;
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok(((logits.relu()? - (logits * labels)?)? + tail)?.mean_all()?)
}

impl Peer for Candle {
    type Model = Model;

    fn version(&self) -> String {
        format!("candle-nn 0.11, {} threads", rayon::current_num_threads())
    }

    fn build(&self, kind: &str, weights: &Weights) -> Result<Model> {
        let tensor = |name: &str| -> Result<Tensor> {
            let (shape, values) = weights.get(name).ok_or_else(|| format!("{name} is missing"))?;
            Ok(Tensor::from_slice(values, shape.as_slice(), &CPU)?)
        };
        let mut variables = Vec::new();
        let mut var = |value: Tensor| -> Result<Tensor> {
            let var = Var::from_tensor(&value.contiguous()?)?;
            let square = var.zeros_like()?.detach();
            variables.push((var, square));
            Ok(variables[variables.len() - 1].0.as_tensor().clone())
        };
        let (embeddings, dense) = (var(tensor("embedding.embeddings")?)?, var(tensor("dense.kernel")?.t()?)?);
        let dense = Linear::new(dense, Some(var(tensor("dense.bias")?)?));
        let (kernel, recurrent) =
            (tensor(&format!("{kind}.kernel"))?.t()?, tensor(&format!("{kind}.recurrent_kernel"))?.t()?);
        let bias = tensor(&format!("{kind}.bias"))?;
        let units = recurrent.dim(1)?;
        let parts = match kind {
            // One bias, as in Keras: a second one would learn as well.
            "lstm" => vec![kernel, recurrent, bias],
            // Keras's z, r, h are candle's r, z, n.
            _ => {
                let swap = |t: Tensor| -> Result<Tensor> {
                    let gates = t.chunk(3, 0)?;
                    Ok(Tensor::cat(&[&gates[1], &gates[0], &gates[2]], 0)?)
                };
                vec![swap(kernel)?, swap(recurrent)?, swap(bias.get(0)?)?, swap(bias.get(1)?)?]
            }
        };
        let mut tensors = HashMap::new();
        for (name, value) in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"].iter().zip(parts) {
            tensors.insert((*name).to_string(), var(value)?);
        }
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &CPU);
        let features = embeddings.dim(1)?;
        let layer = match kind {
            "lstm" => Layer::Lstm(lstm(
                features,
                units,
                LSTMConfig { b_hh_init: None, ..LSTMConfig::default() },
                vb,
            )?),
            "gru" => Layer::Gru(gru(features, units, GRUConfig::default(), vb)?),
            other => return Err(format!("no model {other}").into()),
        };
        Ok(Model { embedding: Embedding::new(embeddings, features), layer, dense, variables })
    }

    fn train(&self, model: &mut Model, rows: &Rows) -> Result<(f64, f64)> {
        let (start, mut total) = (Instant::now(), 0.0);
        for (ids, labels) in rows.batches(BATCH) {
            let loss = loss(&model.logits(ids, labels.len())?, labels)?;
            model.step(&loss)?;
            total += f64::from(loss.to_scalar::<f32>()?) * labels.len() as f64;
        }
        Ok((start.elapsed().as_secs_f64(), total / rows.labels.len() as f64))
    }

    fn measure(&self, model: &Model, rows: &Rows) -> Result<(f64, f64)> {
        let (mut total, mut right) = (0.0, 0);
        for (ids, labels) in rows.batches(500) {
            let logits = model.logits(ids, labels.len())?.detach();
            total += f64::from(loss(&logits, labels)?.to_scalar::<f32>()?) * labels.len() as f64;
            let logits = logits.to_vec1::<f32>()?;
            right +=
                logits.iter().zip(labels).filter(|&(&logit, &label)| (logit > 0.0) == (label > 0.5)).count();
        }
        Ok((total / rows.labels.len() as f64, right as f64 / rows.labels.len() as f64))
    }
}
