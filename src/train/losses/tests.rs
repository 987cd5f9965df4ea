//! What holds for every loss: slopes are slopes, both ways of computing agree, threads and masks change nothing.

use super::{BinaryCrossentropy, Loss, Pinball, Reduction, SparseCategoricalCrossentropy};
use crate::layers::Activation;
use crate::random::Stream;
use crate::train::Output;
use candle_core::{DType, Device, Tensor, Var};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A loss, whether it takes logits, and targets of four classes for a value from 0 to 1.
type Case = (&'static str, bool, fn(f64, usize) -> f32);

fn one_hot(value: f64, class: usize) -> f32 {
    f32::from(class == (value * 4.0) as usize)
}

const CASES: &[Case] = &[
    (r#""bce""#, true, |value, _| value as f32),
    (r#""bce""#, false, |value, _| value as f32),
    (r#"{"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 0.3}}"#, true, |value, _| {
        value as f32
    }),
    (r#""binary_focal_crossentropy""#, true, |value, _| value as f32),
    (
        r#"{"class_name": "BinaryFocalCrossentropy", "config": {"apply_class_balancing": true, "alpha": 0.7, "gamma": 1.5}}"#,
        false,
        |value, _| value as f32,
    ),
    (r#""categorical_crossentropy""#, true, one_hot),
    (r#"{"class_name": "CategoricalCrossentropy", "config": {"label_smoothing": 0.1}}"#, false, one_hot),
    (
        r#"{"class_name": "CategoricalFocalCrossentropy", "config": {"from_logits": true, "alpha": [0.1, 0.2, 0.3, 0.4]}}"#,
        true,
        one_hot,
    ),
    (r#""categorical_focal_crossentropy""#, false, one_hot),
    (r#""sparse_categorical_crossentropy""#, true, |value, _| (value * 4.0) as u32 as f32),
    (
        r#"{"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": 2}}"#,
        false,
        |value, _| (value * 4.0) as u32 as f32,
    ),
    (r#""mse""#, true, |value, _| value as f32 * 4.0),
    (r#""mae""#, true, |value, _| value as f32 * 4.0),
    (r#""mape""#, true, |value, _| value as f32 * 4.0),
    (r#""msle""#, false, |value, _| value as f32 * 4.0),
    (r#"{"class_name": "Huber", "config": {"delta": 0.6}}"#, true, |value, _| value as f32),
    (r#""log_cosh""#, true, |value, _| value as f32 * 4.0),
    (r#""kl_divergence""#, false, |value, _| value as f32),
    (r#""poisson""#, false, |value, _| (value * 4.0) as u32 as f32),
    (r#""hinge""#, true, |value, _| f32::from(value > 0.5) * 2.0 - 1.0),
    (r#""squared_hinge""#, true, |value, _| f32::from(value > 0.5)),
    (r#""categorical_hinge""#, true, one_hot),
    (r#""cosine_similarity""#, true, |value, _| value as f32 - 0.5),
    (r#"{"class_name": "Pinball", "config": {"quantiles": [0.1, 0.5, 0.8, 0.9]}}"#, true, |value, _| {
        value as f32
    }),
];

/// A batch (positions, 4) for a case: values and targets.
fn batch(case: &Case, loss: &Loss, positions: usize) -> Result<(Vec<f32>, Tensor)> {
    let mut stream = Stream::named(3, case.0);
    let x: Vec<f32> = (0..positions * 4)
        .map(|_| {
            let value = stream.uniform();
            if case.1 { (value * 4.0 - 2.0) as f32 } else { (value * 0.9 + 0.05) as f32 }
        })
        .collect();
    let shape = loss.target_shape(&[positions, 4]);
    let each = shape.iter().product::<usize>() / positions;
    let mut targets = vec![];
    for _ in 0..positions {
        let one = stream.uniform();
        for class in 0..each {
            // Classes are one value a position, others one each.
            let value = if case.2(0.1, 0) == case.2(0.1, 1) { stream.uniform() } else { one };
            targets.push(case.2(value, class));
        }
    }
    Ok((x, Tensor::from_vec(targets, shape, &Device::Cpu)?))
}

fn of(x: &Tensor, loss: &Loss, logits: bool) -> Output {
    let activation = loss.logits_of().filter(|_| logits);
    Output { values: x.clone(), activation, mask: None }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

#[test]
fn slopes_are_slopes_and_both_ways_agree() -> Result<()> {
    for case in CASES {
        let loss: Loss = serde_json::from_str(case.0)?;
        let (x, targets) = batch(case, &loss, 6)?;
        let weights = Tensor::new(&[1f32, 0.5, 2.0, 0.0, 1.5, 1.0], &Device::Cpu)?;
        let single = Var::from_vec(x, (6, 4), &Device::Cpu)?;
        let double = Var::from_tensor(&single.to_dtype(DType::F64)?)?;
        let value = |x: &Tensor| loss.batch(&of(x, &loss, case.1), &targets, Some(&weights));
        let (ours, oracle) = (value(&single)?, value(&double)?);
        assert!((ours.value - oracle.value).abs() <= 1e-6 * oracle.value.abs().max(0.1), "{case:?}");
        // There and back twice: the second time the gradient is computed again.
        let slopes = numbers(ours.loss.backward()?.get(&single).ok_or("no gradient")?)?;
        let again = numbers(ours.loss.backward()?.get(&single).ok_or("no gradient")?)?;
        assert_eq!(slopes, again, "{case:?}");
        let exact = numbers(oracle.loss.backward()?.get(&double).ok_or("no gradient")?)?;
        for (at, (slope, exact)) in slopes.iter().zip(&exact).enumerate() {
            assert!(
                (slope - exact).abs() <= 1e-6 * exact.abs().max(0.1),
                "{case:?} {at}: {slope}, not {exact}"
            );
            let moved = |step: f64| -> Result<f64> {
                let mut values = numbers(&double)?;
                values[at] += step;
                Ok(value(&Tensor::from_vec(values, (6, 4), &Device::Cpu)?)?.value)
            };
            let numeric = (moved(1e-6)? - moved(-1e-6)?) / 2e-6;
            assert!(
                (exact - numeric).abs() <= 1e-6 * exact.abs().max(1.0),
                "{case:?} {at}: {exact}, not {numeric}"
            );
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_show() -> Result<()> {
    for case in CASES.iter().filter(|case| case.1) {
        let loss: Loss = serde_json::from_str(case.0)?;
        let (x, targets) = batch(case, &loss, 20_000)?;
        let run = || -> Result<(u64, Vec<u64>)> {
            let x = Var::from_slice(&x, (20_000, 4), &Device::Cpu)?;
            let batch = loss.batch(&of(&x, &loss, true), &targets, None)?;
            let slopes = numbers(batch.loss.backward()?.get(&x).ok_or("no gradient")?)?;
            Ok((batch.value.to_bits(), slopes.into_iter().map(f64::to_bits).collect()))
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build()?;
        let (a, b) = (
            one.install(|| run().map_err(|e| e.to_string())),
            three.install(|| run().map_err(|e| e.to_string())),
        );
        assert!(a? == b?, "{case:?}");
    }
    Ok(())
}

#[test]
fn what_does_not_count_may_hold_anything() -> Result<()> {
    let loss = Loss::from(SparseCategoricalCrossentropy { ignore_class: Some(-1), ..Default::default() });
    let x = Var::new(&[[0.2f32, 0.8], [f32::NAN, 1.0]], &Device::Cpu)?;
    let targets = Tensor::new(&[1f32, -1.0], &Device::Cpu)?;
    let batch = loss.batch(&Output::from(x.as_tensor().clone()), &targets, None)?;
    assert!((batch.value + 0.8f64.ln()).abs() < 1e-6, "{}", batch.value);
    let slopes = numbers(batch.loss.backward()?.get(&x).ok_or("no gradient")?)?;
    assert_eq!(slopes[2..], [0.0, 0.0]);
    Ok(())
}

#[test]
fn names_and_arguments_read_back() -> Result<()> {
    for name in Loss::NAMES {
        let loss: Loss = name.parse()?;
        assert_eq!(serde_json::to_string(&loss)?, format!("{name:?}"));
    }
    let smooth = Loss::from(BinaryCrossentropy { label_smoothing: 0.25, ..Default::default() });
    let json = serde_json::to_string(&smooth)?;
    assert_eq!(serde_json::from_str::<Loss>(&json)?, smooth, "{json}");
    let keras = r#"{"module": "keras.losses", "class_name": "MeanSquaredError", "registered_name": null,
        "config": {"name": "mean_squared_error", "reduction": "sum"}}"#;
    let Loss::MeanSquaredError(loss) = serde_json::from_str(keras)? else {
        return Err("another loss".into());
    };
    assert_eq!(loss.reduction, Reduction::Sum);
    let function = r#"{"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"}"#;
    assert_eq!(serde_json::from_str::<Loss>(function)?.name(), "huber");
    for (json, expected) in [
        (r#""mean_squared_eror""#, "did you mean `mean_squared_error`?"),
        (r#""ce""#, "depends on the model"),
        (r#""Tversky""#, "is unknown"),
        (r#"{"class_name": "Huber", "config": {"gamma": 1}}"#, "gamma"),
        (r#"{"class_name": "Huber", "config": {"delta": -1}}"#, "delta: -1 is not a number above 0"),
        (r#"{"class_name": "Huber", "config": {"reduction": "none"}}"#, "leaves many losses"),
        (r#"{"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 2}}"#, "2 is not from 0 to 1"),
        (r#"{"class_name": "BinaryCrossentropy", "config": {"axis": 1}}"#, "along the last axis only"),
        (r#"{"class_name": "Pinball", "config": {"quantiles": []}}"#, "at least one"),
        (r#"{"class_name": "Huber", "delta": 1}"#, "`delta` is unknown"),
        ("3", "a loss is a name"),
    ] {
        let error = serde_json::from_str::<Loss>(json).expect_err(json).to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    Ok(())
}

#[test]
fn a_head_that_does_not_fit_is_refused() -> Result<()> {
    use Activation::{Linear, Sigmoid, Softmax, Tanh};
    let class = |name: &str, config: &str| -> Result<Loss> {
        Ok(serde_json::from_str(&format!(r#"{{"class_name": "{name}", "config": {{{config}}}}}"#))?)
    };
    let logits = r#""from_logits": true"#;
    for (name, config, width, last, fits) in [
        ("BinaryCrossentropy", "", 1, Sigmoid, true),
        ("BinaryCrossentropy", logits, 1, Sigmoid, true),
        ("BinaryCrossentropy", logits, 1, Linear, true),
        ("BinaryCrossentropy", "", 1, Linear, false),
        ("BinaryCrossentropy", "", 3, Softmax, false),
        ("BinaryFocalCrossentropy", logits, 1, Sigmoid, false),
        ("CategoricalCrossentropy", "", 3, Sigmoid, false),
        ("CategoricalCrossentropy", "", 1, Softmax, false),
        ("SparseCategoricalCrossentropy", "", 3, Softmax, true),
        ("SparseCategoricalCrossentropy", "", 1, Sigmoid, false),
        ("SparseCategoricalCrossentropy", "", 3, Linear, false),
        ("SparseCategoricalCrossentropy", r#""from_logits": true, "ignore_class": 0"#, 3, Softmax, false),
        ("MeanSquaredError", "", 3, Softmax, true),
        ("KLDivergence", "", 3, Softmax, true),
        ("KLDivergence", "", 3, Tanh, false),
        ("CosineSimilarity", "", 1, Linear, false),
        ("Pinball", r#""quantiles": [0.1, 0.9]"#, 3, Linear, false),
        ("CategoricalFocalCrossentropy", r#""alpha": [0.1, 0.9]"#, 3, Softmax, false),
    ] {
        let found = class(name, config)?.check_output(&[None, Some(width)], Some(last));
        assert_eq!(found.is_ok(), fits, "{name} {config} {width} {last:?}: {found:?}");
    }
    Ok(())
}

#[test]
fn targets_that_make_no_sense_are_found() -> Result<()> {
    let sparse: Loss = "sparse_categorical_crossentropy".parse()?;
    for (targets, at) in [(&[0f32, 2.0, 3.0][..], 2), (&[0.5], 0), (&[1.0, -1.0], 1), (&[f32::NAN], 0)] {
        let (found, what) = sparse.check_targets(targets, 3).expect_err("no class");
        assert_eq!(found, at, "{what}");
    }
    assert!(sparse.check_targets(&[0.0, 2.0], 3).is_ok());
    let ignoring = Loss::from(SparseCategoricalCrossentropy { ignore_class: Some(-1), ..Default::default() });
    assert!(ignoring.check_targets(&[0.0, -1.0], 3).is_ok());
    assert!("bce".parse::<Loss>()?.check_targets(&[0.0, 2.0], 1).is_err());
    assert!("hinge".parse::<Loss>()?.check_targets(&[-1.0, 1.0], 1).is_ok());
    assert!("mse".parse::<Loss>()?.check_targets(&[-1e9], 1).is_ok());
    // Also where nobody asked before.
    let x = Output::from(Tensor::new(&[[0.5f32, 0.5]], &Device::Cpu)?);
    assert!(sparse.batch(&x, &Tensor::new(&[2f32], &Device::Cpu)?, None).is_err());
    Ok(())
}

#[test]
fn targets_may_lack_an_axis_of_1() -> Result<()> {
    let values = Tensor::new(&[[[0.5f32], [1.0]], [[2.0], [0.0]]], &Device::Cpu)?;
    let targets = Tensor::new(&[[0f32, 1.0], [1.0, 1.0]], &Device::Cpu)?;
    let loss: Loss = "mse".parse()?;
    let all = [targets.clone(), targets.reshape((2, 2, 1))?, targets.reshape((2, 2, 1, 1))?];
    for targets in all {
        assert_eq!(loss.batch(&Output::from(values.clone()), &targets, None)?.value, 2.25 / 4.0);
    }
    assert!(loss.batch(&Output::from(values.clone()), &targets.flatten_all()?, None).is_err());
    let pinball = Loss::from(Pinball { quantiles: vec![0.9], ..Default::default() });
    let loss = pinball.batch(&Output::from(values), &targets, None)?.value;
    assert!((loss - (0.1 * 0.5 + 0.0 + 0.1 + 0.9) / 4.0).abs() < 1e-7, "{loss}");
    Ok(())
}
