//! Reports against scikit-learn's figures, which `scripts/report_golden.py` has written down.

use candle_core::{Device, Tensor};
use candle_recurrent::data::{Array, Examples};
use candle_recurrent::report::{Calibration, ClassFigures, Kind, Means, Report, Rows};
use candle_recurrent::train::Output;
use serde_json::Value;

fn near(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap_or_else(|| panic!("{what}: no number"));
    assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{what}: {found}, expected {expected}");
}

fn floats(values: &Value) -> Vec<f32> {
    values.as_array().expect("a list").iter().map(|it| it.as_f64().expect("a number") as f32).collect()
}

fn mean(found: Means, expected: &Value, what: &str) {
    near(found.precision, &expected[0], what);
    near(found.recall, &expected[1], what);
    near(found.f1, &expected[2], what);
}

fn classes(found: &[ClassFigures], expected: &Value) {
    assert_eq!(found.len(), expected.as_array().expect("a list").len());
    for (at, class) in found.iter().enumerate() {
        let expected = &expected[at];
        mean(
            Means { precision: class.precision, recall: class.recall, f1: class.f1 },
            expected,
            &class.label,
        );
        assert_eq!(class.support as f64, expected[3].as_f64().expect("a number"));
    }
}

fn reliability(found: &Calibration, expected: &Value) {
    near(found.expected_calibration_error, &expected["error"], "calibration error");
    let counts: Vec<usize> = found.bins.iter().map(|bin| bin.count).collect();
    assert_eq!(serde_json::json!(counts), expected["counts"]);
    for (at, bin) in found.bins.iter().filter(|bin| bin.count > 0).enumerate() {
        near(bin.share.expect("a share"), &expected["share"][at], "share");
        near(bin.mean_probability.expect("a mean"), &expected["mean"][at], "mean");
    }
}

fn report(case: &Value, kind: Kind) -> Report {
    let width = case["width"].as_u64().expect("a number") as usize;
    let (values, targets) = (floats(&case["values"]), floats(&case["targets"]));
    let rows = values.len() / width;
    let x = Array::floats(vec![0.0; rows], &[rows, 1]).expect("an array");
    let y = Array::floats(targets.clone(), &[rows, targets.len() / rows]).expect("an array");
    let examples = Examples::new(vec![x], vec![y]).expect("examples");
    let mut gathered = Rows::new(kind, &examples).expect("rows");
    let values = Tensor::from_slice(&values, (rows, width), &Device::Cpu).expect("a tensor");
    gathered.add(&[Output::from(values)]).expect("added");
    Report::new(&gathered, &[], 5).expect("a report")
}

#[test]
fn reports_are_those_of_scikit_learn() {
    let golden = include_str!("fixtures/report.json");
    let golden: Value = serde_json::from_str(golden).expect("JSON");
    let cases = golden["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let kind = match case["kind"].as_str() {
            Some("binary") => Kind::Binary,
            Some("classes") => Kind::Classes,
            Some("sets") => Kind::Sets,
            _ => Kind::Numbers,
        };
        match report(case, kind) {
            Report::Classification(report) => {
                near(report.accuracy, &case["accuracy"], "accuracy");
                near(report.roc_auc.expect("an area"), &case["roc_auc"], "area");
                near(report.brier, &case["brier"], "Brier");
                assert_eq!(serde_json::json!(report.confusion), case["confusion"]);
                reliability(&report.calibration, &case["reliability"]);
                classes(&report.classes, &case["classes"]);
                mean(report.macro_mean, &case["macro"], "macro");
                mean(report.weighted_mean, &case["weighted"], "weighted");
            }
            Report::MultiLabel(report) => {
                near(report.accuracy, &case["accuracy"], "accuracy");
                near(report.hamming_loss, &case["hamming_loss"], "Hamming loss");
                near(report.roc_auc.expect("an area"), &case["roc_auc"], "area");
                reliability(&report.calibration, &case["reliability"]);
                classes(&report.classes, &case["classes"]);
                mean(report.micro_mean, &case["micro"], "micro");
                mean(report.macro_mean, &case["macro"], "macro");
                mean(report.weighted_mean, &case["weighted"], "weighted");
            }
            Report::Regression(report) => {
                near(report.mae, &case["mae"], "MAE");
                near(report.rmse, &case["rmse"], "RMSE");
                near(report.r2, &case["r2"], "R²");
            }
        }
    }
}
