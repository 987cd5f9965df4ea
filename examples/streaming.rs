//! Steps an LSTM token by token, carrying its states, and arrives where one call over the whole sequence does.
//!
//! ```sh
//! cargo run --release --example streaming
//! ```

use candle_core::{Device, Tensor};
use candle_recurrent::Result;
use candle_recurrent::layers::{Call, Lstm, LstmConfig};
use candle_recurrent::model::Weights;

fn main() -> Result<()> {
    let device = Device::Cpu;
    let config = LstmConfig::new(8);
    let mut weights = Weights::default();
    weights.add("lstm", &config.variables(4), 42, &device)?;
    let lstm = Lstm::new(4, config, weights.detached().pp("lstm"))?;

    let xs = Tensor::randn(0f32, 1.0, (1, 20, 4), &device)?;
    let mut states: Option<Vec<Tensor>> = None;
    for step in 0..20 {
        let call = Call { states: states.as_deref(), ..Call::default() };
        let output = lstm.call(&xs.narrow(1, step, 1)?, call)?;
        println!("step {step:2}: h = {:.4?}", output.hidden.flatten_all()?.to_vec1::<f32>()?);
        states = Some(output.states);
    }

    let whole = lstm.call(&xs, Call::default())?;
    let h = states.map(|states| states[0].clone()).unwrap_or(whole.hidden.clone());
    let difference = (h - whole.hidden)?.abs()?.max_all()?.to_scalar::<f32>()?;
    println!("against one call over the whole sequence: {difference:e}");
    assert!(difference < 1e-6);
    Ok(())
}
