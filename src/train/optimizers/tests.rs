//! The fused pass against tensor operations.

use super::kept::Arrays;
use super::*;
use crate::layers::TokenSquares;
use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};

fn store(gradients: &[(&Tensor, Tensor)]) -> GradStore {
    let mut store = Var::zeros((), DType::F32, &Device::Cpu).unwrap().backward().unwrap();
    for (of, gradient) in gradients {
        store.insert(of, gradient.clone());
    }
    store
}

fn values(salt: usize) -> Tensor {
    let values = (0..35 * 3).map(|i| ((i * 7 + salt * 13) % 101) as f32 / 50.0 - 1.0);
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((35, 3)).unwrap()
}

fn classes() -> Vec<OptimizerConfig> {
    let classes: Vec<OptimizerClass> = vec![
        RmsProp::default().into(),
        RmsProp { momentum: 0.5, ..RmsProp::default() }.into(),
        RmsProp { centered: true, rho: 0.5, ..RmsProp::default() }.into(),
        RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() }.into(),
        Adam::default().into(),
        Adam { amsgrad: true, ..Adam::default() }.into(),
        AdamW::default().into(),
        Nadam::default().into(),
        Adamax::default().into(),
        Sgd::default().into(),
        Sgd { momentum: 0.5, nesterov: false }.into(),
        Sgd { momentum: 0.5, nesterov: true }.into(),
        Adagrad::default().into(),
        Adadelta::default().into(),
        Lion::default().into(),
        Ftrl::default().into(),
        Ftrl { learning_rate_power: -0.7, l1_regularization_strength: 0.1, ..Ftrl::default() }.into(),
    ];
    let named: std::collections::BTreeSet<_> = classes.iter().map(OptimizerClass::name).collect();
    assert_eq!(named.len(), OptimizerClass::NAMES.len());
    classes.into_iter().map(|class| OptimizerConfig::from(class).with_learning_rate(0.01)).collect()
}

/// Ten steps by tensor operations in f32, and in f64, as in the fused pass: with what its tokens come to, and without.
#[test]
fn both_passes_take_the_same_steps() {
    for config in classes() {
        for (clip, tokens) in [(None, true), (None, false), (Some(0.8), true), (Some(0.8), false)] {
            let config = OptimizerConfig { clipnorm: clip, weight_decay: Some(0.1), ..config.clone() };
            let run = |dtype: DType, tensors: bool| -> Vec<f64> {
                let var = Var::from_tensor(&values(0).to_dtype(dtype).unwrap()).unwrap();
                let companion = TokenSquares::of(&var).unwrap();
                let mut optimizer = Optimizer::new(vec![("w".into(), var.clone())], config.clone()).unwrap();
                if tensors && dtype == DType::F32 {
                    let slots = config.class.slots().len();
                    let slots = (0..slots).map(|slot| optimizer.kept[0].slot(slot, &var).unwrap());
                    optimizer.kept[0].arrays = Arrays::Tensors(slots.collect());
                }
                for step in 1..=10 {
                    let gradient = values(step);
                    let mut gradients = vec![(var.as_tensor(), gradient.to_dtype(dtype).unwrap())];
                    if let Some(companion) = companion.as_ref().filter(|_| tokens) {
                        let sum = if companion.gathers_sizes() { gradient.abs() } else { gradient.sqr() };
                        gradients.push((companion.companion(), (sum.unwrap() * 0.6).unwrap()));
                    }
                    optimizer.step(&store(&gradients)).unwrap();
                }
                var.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            let close = |a: Vec<f64>, b: Vec<f64>, tolerance: f64| {
                let difference = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(difference <= tolerance, "{config:?}, tokens {tokens}: {difference}");
            };
            close(run(DType::F32, false), run(DType::F32, true), 1e-6);
            if !tokens {
                close(run(DType::F32, false), run(DType::F64, true), 1e-5);
            }
        }
    }
}
