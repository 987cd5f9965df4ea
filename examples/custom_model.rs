//! An `Lstm` and a `Gru` inside a model of one's own, with an ordinary `VarBuilder` and candle-nn's layers beside them;
//! then the weights through a safetensors file and back.
//!
//! ```sh
//! cargo run --release --example custom_model
//! ```

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{LayerNorm, VarBuilder, VarMap, layer_norm};
use candle_recurrent::layers::{Dense, DenseConfig, Gru, GruConfig, Lstm, LstmConfig};

/// Reads 6 sensor values a step and gives the odds of 3 states.
struct Monitor {
    lstm: Lstm,
    norm: LayerNorm,
    gru: Gru,
    head: Dense,
}

impl Monitor {
    fn new(vb: VarBuilder) -> Result<Self> {
        let sequences = LstmConfig { return_sequences: true, ..LstmConfig::new(32) };
        Ok(Self {
            lstm: Lstm::new(6, sequences, vb.pp("lstm"))?,
            norm: layer_norm(32, 1e-5, vb.pp("norm"))?,
            gru: Gru::new(32, GruConfig::new(16), vb.pp("gru"))?,
            head: Dense::new(16, DenseConfig::new(3), vb.pp("head"))?,
        })
    }
}

impl Module for Monitor {
    /// (batch, time, 6) to (batch, 3).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let steps = self.norm.forward(&self.lstm.forward(xs)?)?;
        candle_nn::ops::softmax(&self.head.forward(&self.gru.forward(&steps)?)?, 1)
    }
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let model = Monitor::new(VarBuilder::from_varmap(&variables, DType::F32, &device))?;
    let xs = Tensor::randn(0f32, 1.0, (4, 50, 6), &device)?;
    let odds = model.forward(&xs)?;

    // The names in the file are `lstm.kernel`, `gru.recurrent_kernel` and so on.
    let path = std::env::temp_dir().join(format!("monitor-{}.safetensors", std::process::id()));
    variables.save(&path)?;
    let file = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    let loaded = Monitor::new(VarBuilder::from_buffered_safetensors(file, DType::F32, &device)?)?;
    assert_eq!(loaded.forward(&xs)?.to_vec2::<f32>()?, odds.to_vec2::<f32>()?);
    println!("{odds}");
    Ok(())
}
