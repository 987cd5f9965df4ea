//! burn: `Lstm` with autodiff, on its ndarray backend and on `flex`, which has taken ndarray's place.

use crate::{BATCH, Peer, Result, Rows, Weights};
use burn::module::{Module, Param};
use burn::nn::loss::{BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig};
use burn::nn::{Embedding, EmbeddingConfig, GateController, Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::{GradientsParams, ModuleOptimizer, RmsPropConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::time::Instant;

pub struct Burn {
    device: Device,
    backend: &'static str,
}

impl Burn {
    pub fn ndarray() -> Self {
        Self { device: Device::ndarray().autodiff(), backend: "ndarray" }
    }

    pub fn flex() -> Self {
        Self { device: Device::flex().autodiff(), backend: "flex" }
    }

    fn ids(&self, ids: &[u32], rows: usize) -> Tensor<2, Int> {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let shape = [rows, ids.len() / rows];
        Tensor::from_data(TensorData::new(ids, shape), &self.device)
    }

    fn labels(&self, labels: &[f32]) -> Tensor<1, Int> {
        let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
        let shape = [labels.len()];
        Tensor::from_data(TensorData::new(labels, shape), &self.device)
    }
}

#[derive(Module, Debug)]
pub struct Classifier {
    embedding: Embedding,
    lstm: Lstm,
    dense: Linear,
}

impl Classifier {
    fn logits(&self, ids: Tensor<2, Int>) -> Tensor<1> {
        let [rows, time] = ids.dims();
        let (outputs, _) = self.lstm.forward(self.embedding.forward(ids), None);
        let units = outputs.dims()[2];
        let last = outputs.slice([0..rows, time - 1..time, 0..units]).reshape([rows, units]);
        self.dense.forward(last).reshape([rows])
    }
}

pub struct Model {
    /// Taken out while the optimiser has it.
    classifier: Option<Classifier>,
    optimizer: ModuleOptimizer,
    loss: BinaryCrossEntropyLoss,
}

impl Peer for Burn {
    type Model = Model;

    fn version(&self) -> String {
        format!("burn 0.22.1 ({}), {} threads", self.backend, rayon::current_num_threads())
    }

    fn build(&self, kind: &str, weights: &Weights) -> Result<Model> {
        if kind != "lstm" {
            return Err(format!("no model {kind}").into());
        }
        let get = |name: &str| weights.get(name).ok_or_else(|| format!("{name} is missing"));
        let matrix = |name: &str| -> Result<Tensor<2>> {
            let (shape, values) = get(name)?;
            Ok(Tensor::from_data(TensorData::new(values.clone(), shape.clone()), &self.device))
        };
        let vector = |name: &str| -> Result<Tensor<1>> {
            let (shape, values) = get(name)?;
            Ok(Tensor::from_data(TensorData::new(values.clone(), shape.clone()), &self.device))
        };
        let (kernel, recurrent) = (matrix("lstm.kernel")?, matrix("lstm.recurrent_kernel")?);
        let bias = vector("lstm.bias")?;
        let ([features, _], [units, _]) = (kernel.dims(), recurrent.dims());
        let mut lstm = LstmConfig::new(features, units, true).init(&self.device);
        // Keras's i, f, c, o.
        let fill = |gate: &mut GateController, at: usize| {
            let columns = at * units..(at + 1) * units;
            let part = |matrix: &Tensor<2>, rows: usize| matrix.clone().slice([0..rows, columns.clone()]);
            gate.input_transform.weight = Param::from_tensor(part(&kernel, features));
            gate.hidden_transform.weight = Param::from_tensor(part(&recurrent, units));
            gate.input_transform.bias = Some(Param::from_tensor(bias.clone().slice([columns.clone()])));
            // Keras's LSTM has one bias; a second one would learn as well.
            gate.hidden_transform.bias = None;
        };
        fill(&mut lstm.input_gate, 0);
        if let Some(gate) = lstm.forget_gate.as_mut() {
            fill(gate, 1);
        }
        fill(&mut lstm.cell_gate, 2);
        fill(&mut lstm.output_gate, 3);
        let mut embedding = EmbeddingConfig::new(500, features).init(&self.device);
        embedding.weight = Param::from_tensor(matrix("embedding.embeddings")?);
        let mut dense = LinearConfig::new(units, 1).init(&self.device);
        dense.weight = Param::from_tensor(matrix("dense.kernel")?);
        dense.bias = Some(Param::from_tensor(vector("dense.bias")?));
        let rmsprop = RmsPropConfig::new().with_alpha(0.9).with_momentum(0.0).with_epsilon(1e-7);
        Ok(Model {
            classifier: Some(Classifier { embedding, lstm, dense }),
            optimizer: rmsprop.init(),
            loss: BinaryCrossEntropyLossConfig::new().with_logits(true).init(&self.device),
        })
    }

    fn train(&self, model: &mut Model, rows: &Rows) -> Result<(f64, f64)> {
        let (start, mut total) = (Instant::now(), 0.0);
        for (ids, labels) in rows.batches(BATCH) {
            let classifier = model.classifier.take().ok_or("the model is lost")?;
            let loss =
                model.loss.forward(classifier.logits(self.ids(ids, labels.len())), self.labels(labels));
            let grads = GradientsParams::from_grads(loss.backward(), &classifier);
            model.classifier = Some(model.optimizer.step(1e-4, classifier, grads));
            total += f64::from(loss.into_scalar::<f32>()) * labels.len() as f64;
        }
        Ok((start.elapsed().as_secs_f64(), total / rows.labels.len() as f64))
    }

    fn measure(&self, model: &Model, rows: &Rows) -> Result<(f64, f64)> {
        let classifier = model.classifier.as_ref().ok_or("the model is lost")?;
        let (mut total, mut right) = (0.0, 0);
        for (ids, labels) in rows.batches(500) {
            let logits = classifier.logits(self.ids(ids, labels.len()));
            let loss = model.loss.forward(logits.clone(), self.labels(labels)).into_scalar::<f32>();
            total += f64::from(loss) * labels.len() as f64;
            let logits: Vec<f32> = logits.into_data().to_vec().map_err(|error| format!("{error:?}"))?;
            right +=
                logits.iter().zip(labels).filter(|&(&logit, &label)| (logit > 0.0) == (label > 0.5)).count();
        }
        Ok((total / rows.labels.len() as f64, right as f64 / rows.labels.len() as f64))
    }
}
