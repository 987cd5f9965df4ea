//! Loads a shipped checkpoint and classifies a sentence.
//!
//! ```sh
//! cargo run --release --example predict -- "not good at all"
//! ```

use candle_core::{Device, Tensor};
use candle_recurrent::{layers::Mode, text::pad_sequences, zoo};

fn main() -> candle_recurrent::Result<()> {
    let text = std::env::args().nth(1).unwrap_or_else(|| "a wonderful film, one of the best".into());
    let lstm = zoo::get("lstm")?;
    let (model, tokenizer) = (lstm.load(&Device::Cpu)?.model, lstm.tokenizer()?);
    let ids = pad_sequences(&[tokenizer.encode(&text)?], 100);
    let probability = model.forward(&Tensor::from_vec(ids, (1, 100), &Device::Cpu)?, Mode::Inference)?;
    println!("{:.4} {text}", probability.flatten_all()?.to_vec1::<f32>()?[0]);
    Ok(())
}
