//! SimpleRNN, LSTM and GRU, every way through them.

use crate::{Case, OUTPUT, Report, builder, weighted};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_recurrent::layers::{Call, Embedding, EmbeddingConfig, Gru, Lstm, RnnOutput, SimpleRnn};
use std::collections::HashMap;

enum Recurrent {
    SimpleRnn(SimpleRnn),
    Lstm(Lstm),
    Gru(Gru),
}

/// The ways through a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// What `call` takes: the kernels where they know the activations.
    Call,
    /// The kernels over rows of a table.
    Rows,
    /// What `call` takes in f64: one tensor operation after another.
    Call64,
}

impl Way {
    const ALL: [Self; 3] = [Self::Call, Self::Rows, Self::Call64];

    fn dtype(self) -> DType {
        if self == Self::Call64 { DType::F64 } else { DType::F32 }
    }
}

impl Recurrent {
    fn new(case: &Case, input_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(match case.class_name.as_str() {
            "SimpleRNN" => Self::SimpleRnn(SimpleRnn::new(input_dim, case.config(), vb)?),
            "LSTM" => Self::Lstm(Lstm::new(input_dim, case.config(), vb)?),
            "GRU" => Self::Gru(Gru::new(input_dim, case.config(), vb)?),
            other => panic!("{other} is no recurrent layer"),
        })
    }

    /// `xs` is (batch, time, features); `Way::Rows` takes it apart into a table of its rows.
    fn call(&self, way: Way, xs: &Tensor, call: Call) -> Result<RnnOutput> {
        let (batch, time, features) = xs.dims3()?;
        let rows = (batch * time) as u32;
        let table = xs.reshape((batch * time, features))?;
        let ids = Tensor::arange(0, rows, &Device::Cpu)?.reshape((batch, time))?;
        let config = EmbeddingConfig { input_dim: batch * time, output_dim: features, mask_zero: false };
        let tensors = HashMap::from([("embeddings".to_string(), table)]);
        let table = Embedding::new(config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        macro_rules! each {
            ($layer:ident) => {
                match way {
                    Way::Call | Way::Call64 => $layer.call(xs, call),
                    Way::Rows => $layer.call_rows(&table.rows(&ids)?, call),
                }
            };
        }
        match self {
            Self::SimpleRnn(layer) => each!(layer),
            Self::Lstm(layer) => each!(layer),
            Self::Gru(layer) => each!(layer),
        }
    }
}

fn recurrent(class_name: &str, count: usize) -> Result<()> {
    let mut report = Report::default();
    for case in Case::all(class_name, count) {
        for way in Way::ALL {
            let stateful = case.meta["config"]["stateful"] == true;
            if stateful { two_batches(&case, way, &mut report)? } else { one_batch(&case, way, &mut report)? }
        }
    }
    report.finish();
    Ok(())
}

/// Outputs, final states and every gradient of one call.
fn one_batch(case: &Case, way: Way, report: &mut Report) -> Result<()> {
    let what = format!("{} ({way:?})", case.name);
    let keys = ["kernel", "recurrent_kernel", "bias", "x", "initial_state_0", "initial_state_1"];
    let variables = case.variables(&keys, way.dtype())?;
    let xs = variables["x"].as_tensor();
    let layer = Recurrent::new(case, xs.dim(2)?, builder(&variables, way.dtype()))?;
    let states: Vec<Tensor> =
        keys[4..].iter().filter_map(|&key| variables.get(key).map(|var| var.as_tensor().clone())).collect();
    let states = (!states.is_empty()).then_some(states.as_slice());
    let call = Call { mask: case.tensors.get("mask"), states, mode: case.mode() };
    let output = layer.call(way, xs, call)?;
    report.close(&format!("{what}: y"), &output.hidden, case.get("y"), OUTPUT)?;
    let mut loss = weighted(&output.hidden, case.get("dy"))?;
    for (i, state) in output.states.iter().enumerate() {
        report.close(&format!("{what}: state_{i}"), state, case.get(&format!("state_{i}")), OUTPUT)?;
        if let Some(dstate) = case.tensors.get(&format!("dstate_{i}")) {
            loss = (loss + weighted(state, dstate)?)?;
        }
    }
    report.gradients(&what, case, &variables, &loss.backward()?)
}

/// A stateful layer: the second batch starts where the first ended, and a reset forgets.
fn two_batches(case: &Case, way: Way, report: &mut Report) -> Result<()> {
    let variables = case.variables(&["kernel", "recurrent_kernel", "bias"], way.dtype())?;
    let layer = Recurrent::new(case, case.get("x_1").dim(2)?, builder(&variables, way.dtype()))?;
    for i in [1, 2] {
        let what = format!("{} ({way:?}), batch {i}", case.name);
        let call = Call { mask: case.tensors.get("mask"), ..Call::default() };
        let xs = case.get(&format!("x_{i}")).to_dtype(way.dtype())?;
        let output = layer.call(way, &xs, call)?;
        report.close(&format!("{what}: y"), &output.hidden, case.get(&format!("y_{i}")), OUTPUT)?;
        for (j, state) in output.states.iter().enumerate() {
            let expected = case.get(&format!("state_{j}_{i}"));
            report.close(&format!("{what}: state_{j}"), state, expected, OUTPUT)?;
        }
    }
    Ok(())
}

#[test]
fn simple_rnn() -> Result<()> {
    recurrent("SimpleRNN", 29)
}

#[test]
fn lstm() -> Result<()> {
    recurrent("LSTM", 48)
}

#[test]
fn gru() -> Result<()> {
    recurrent("GRU", 55)
}
