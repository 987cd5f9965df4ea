//! A model of the zoo in plain candle-nn: `convert lstm lstm.safetensors --layout candle-nn` writes a file that
//! `candle_nn::embedding`, `lstm`, `gru` and `linear` load through an ordinary `VarBuilder`, with nothing of this crate.
//! Here the same is done from Rust, and both answers are compared.
//!
//! ```sh
//! cargo run --release --example candle_nn_lstm
//! ```

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_nn::{VarBuilder, embedding, linear};
use candle_recurrent::keras::Layout;
use candle_recurrent::layers::Mode;
use candle_recurrent::zoo;

/// Token ids (batch, time) to probabilities (batch, 1), in candle-nn alone.
fn with_candle_nn(name: &str, ids: &Tensor, vb: VarBuilder) -> candle_core::Result<Tensor> {
    let embedding = embedding(500, 16, vb.pp("embedding"))?;
    let dense = linear(8, 1, vb.pp("dense"))?;
    let xs = embedding.forward(ids)?;
    let last =
        |states: Vec<Tensor>| states.into_iter().next_back().ok_or(candle_core::Error::Msg("no step".into()));
    let h = match name {
        "gru" => {
            let states = gru(16, 8, GRUConfig::default(), vb.pp("gru"))?.seq(&xs)?;
            last(states.into_iter().map(|state| state.h).collect())?
        }
        _ => {
            let states = lstm(16, 8, LSTMConfig::default(), vb.pp("lstm"))?.seq(&xs)?;
            last(states.into_iter().map(|state| state.h).collect())?
        }
    };
    candle_nn::ops::sigmoid(&dense.forward(&h)?)
}

fn main() -> candle_recurrent::Result<()> {
    let device = Device::Cpu;
    let ids: Vec<u32> = (0..4 * 100).map(|i| (i * i + 7 * i) % 500).collect();
    let ids = Tensor::from_vec(ids, (4, 100), &device)?;
    for name in ["lstm", "gru"] {
        let checkpoint = zoo::get(name)?.load(&device)?;
        let weights = zoo::get(name)?.weights(&checkpoint.config.model, &device)?.snapshot()?;
        let laid_out = Layout::CandleNn.apply(&checkpoint.config.model, &weights)?;
        let vb = VarBuilder::from_tensors(laid_out.tensors.into_iter().collect(), DType::F32, &device);
        let theirs = with_candle_nn(name, &ids, vb)?.flatten_all()?.to_vec1::<f32>()?;
        let ours = checkpoint.model.forward(&ids, Mode::Inference)?.flatten_all()?.to_vec1::<f32>()?;
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {theirs:?}, at most {worst:e} from this crate's");
        assert!(worst < 1e-6, "{name}: {ours:?}");
    }
    Ok(())
}
