//! Trains a model of one's own with `Optimizer` in a loop of one's own: which of two marks stood first in a sequence?
//!
//! ```sh
//! cargo run --release --example train_custom
//! ```

use candle_core::{Device, Tensor};
use candle_recurrent::Result;
use candle_recurrent::data::RandomState;
use candle_recurrent::layers::{Dense, DenseConfig, Gru, GruConfig};
use candle_recurrent::model::Weights;
use candle_recurrent::train::{Optimizer, RmsProp, backward, binary_crossentropy};

const TIME: usize = 30;

/// `count` sequences with a 1 in the first feature at one step and in the second at another; 1 if the first is earlier.
fn batch(count: usize, random: &mut RandomState) -> Result<(Tensor, Tensor)> {
    let (mut xs, mut ys) = (vec![0f32; count * TIME * 2], vec![0f32; count]);
    for row in 0..count {
        let [first, second, ..] = random.permutation(TIME as u32)[..] else { continue };
        let (first, second) = (first as usize, second as usize);
        xs[(row * TIME + first) * 2] = 1.0;
        xs[(row * TIME + second) * 2 + 1] = 1.0;
        ys[row] = if first < second { 1.0 } else { 0.0 };
    }
    let device = Device::Cpu;
    Ok((Tensor::from_vec(xs, (count, TIME, 2), &device)?, Tensor::from_vec(ys, (count, 1), &device)?))
}

fn main() -> Result<()> {
    let (gru, head) = (GruConfig::new(8), DenseConfig::new(1));
    let mut weights = Weights::default();
    weights.add("gru", &gru.variables(2), 1, &Device::Cpu)?;
    weights.add("head", &head.variables(8), 1, &Device::Cpu)?;
    let vb = weights.var_builder();
    let gru = Gru::new(2, gru, vb.pp("gru"))?;
    let head = Dense::new(8, head, vb.pp("head"))?;

    let variables = weights.iter().map(|(name, var)| (name.to_string(), var.clone())).collect();
    let config = RmsProp::default().with_learning_rate(0.01);
    let mut optimizer = Optimizer::new(variables, config)?;
    let mut random = RandomState::new(7);
    for step in 1..=300 {
        let (xs, ys) = batch(64, &mut random)?;
        let loss = binary_crossentropy(&head.linear(&gru.forward(&xs)?)?, &ys)?;
        optimizer.step(&backward(&loss)?)?;
        if step % 50 == 0 {
            println!("step {step}: loss {:.4}", loss.to_scalar::<f32>()?);
        }
    }
    let (xs, ys) = batch(1000, &mut random)?;
    let logits = head.linear(&gru.forward(&xs)?)?;
    let right = logits.gt(0f32)?.to_dtype(ys.dtype())?.eq(&ys)?.to_dtype(ys.dtype())?;
    let accuracy = right.mean_all()?.to_scalar::<f32>()?;
    println!("accuracy on 1000 new sequences: {accuracy:.3}");
    assert!(accuracy > 0.95);
    Ok(())
}
