//! Metrics over batches of different sizes, with masks and weights.

use crate::Case;
use candle_core::{DType, Tensor};
use candle_recurrent::layers::Activation;
use candle_recurrent::train::metrics::{MetricConfig, Scores};
use serde_json::Value;

/// How far a figure may be from Keras's, relative to values above 1.
const FIGURE: f64 = 1e-6;

struct Batch {
    values: Vec<f32>,
    targets: Vec<f32>,
    sample: Vec<f32>,
    both: Vec<f32>,
    mask: Vec<f32>,
    width: usize,
}

fn batch(case: &Case, i: usize) -> Batch {
    let numbers = |tensor: &Tensor| {
        let flat = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all());
        flat.and_then(|tensor| tensor.to_vec1::<f32>()).expect("numbers")
    };
    let get = |key: &str| numbers(case.get(&format!("{key}_{i}")));
    let (sample, mask) = (get("sample"), get("mask"));
    let both = sample.iter().zip(&mask).map(|(a, b)| a * b).collect();
    let width = case.get(&format!("values_{i}")).dims().last().copied().unwrap_or(1);
    Batch { values: get("values"), targets: get("targets"), sample, both, mask, width }
}

/// The figure after all batches; halfway it is saved and goes on elsewhere.
fn figure(
    metric: &MetricConfig,
    batches: &[Batch],
    activation: Option<Activation>,
    target_width: usize,
    key: &str,
) -> Vec<f64> {
    let mut gatherer = metric.build();
    for batch in batches {
        let heeds = metric.heeds_mask();
        let weights = match key {
            "masked" if heeds => Some(&batch.mask),
            "weighted" if heeds => Some(&batch.both),
            "weighted" => Some(&batch.sample),
            _ => None,
        };
        let scores = Scores::new(&batch.values, batch.width, &batch.targets, target_width);
        let scores = scores.with_activation(activation).with_weights(weights.map(Vec::as_slice));
        gatherer.update(&scores).expect("an update");
        let state = gatherer.state();
        gatherer = metric.build();
        gatherer.load_state(&state).expect("its own state");
    }
    let figure = gatherer.result();
    gatherer.reset();
    assert_eq!(gatherer.state(), metric.build().state(), "{}", metric.name());
    figure
}

#[test]
fn metrics() {
    let (mut compared, mut failures) = (0, vec![]);
    let mut worst = 0.0f64;
    for case in Case::all("Metrics", 21) {
        let batches: Vec<Batch> =
            (0..case.meta["batches"].as_u64().expect("a number") as usize).map(|i| batch(&case, i)).collect();
        let activation = case.meta["activation"].as_str().map(|name| name.parse().expect("an activation"));
        let target_width = case.meta["target_width"].as_u64().expect("a width") as usize;
        for check in case.meta["checks"].as_array().expect("checks") {
            let what = format!("{}: {}", case.name, check["metric"]);
            let metric = MetricConfig::from_value(&check["metric"]).unwrap_or_else(|e| panic!("{what}: {e}"));
            let again = serde_json::to_value(&metric).and_then(serde_json::from_value::<MetricConfig>);
            assert_eq!(again.expect("JSON"), metric, "{what}");
            if let Some(name) = check["name"].as_str() {
                assert_eq!(metric.name(), name, "{what}");
            }
            let fit = metric.check_output(batches[0].width, target_width);
            assert_eq!(fit, Ok(()), "{what}");
            for key in ["plain", "masked", "weighted"] {
                let Some(expected) = check[key].as_array() else { continue };
                let expected: Vec<f64> = expected.iter().map(number).collect();
                for metric in [&metric, &metric.resolve(batches[0].width, target_width)] {
                    let found = figure(metric, &batches, activation, target_width, key);
                    let error = |(a, e): (&f64, &f64)| match a == e || a.is_nan() && e.is_nan() {
                        true => 0.0,
                        false => (a - e).abs() / e.abs().max(1.0),
                    };
                    let off = found.iter().zip(&expected).map(error).fold(0.0, |a: f64, b| a.max(b));
                    let no_number = found.iter().zip(&expected).any(|(a, e)| a.is_nan() != e.is_nan());
                    compared += 1;
                    worst = worst.max(off);
                    if found.len() != expected.len() || off > FIGURE || no_number {
                        failures.push(format!("{what}, {key}: {found:?}, in Keras {expected:?} ({off:.1e})"));
                    }
                }
            }
        }
    }
    println!("{compared} figures, the worst off by {worst:.1e}");
    assert!(failures.is_empty(), "{} of {compared} failed:\n{}", failures.len(), failures.join("\n"));
}

/// A figure; null is NaN.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
