//! The figures against formulas that are naive, slow and plain; `tests/report.rs` holds them against scikit-learn's.

use super::*;
use crate::data::{Array, Examples};
use crate::train::Output;
use candle_core::{Device, Tensor};
use proptest::prelude::*;

fn rows(kind: Kind, values: &[f32], width: usize, targets: &[f32], target_width: usize) -> Rows {
    let count = values.len() / width;
    let inputs = vec![Array::floats(vec![0.0; count], &[count, 1]).expect("an array")];
    let targets = vec![Array::floats(targets.to_vec(), &[count, target_width]).expect("an array")];
    let examples = Examples::new(inputs, targets).expect("examples");
    let mut rows = Rows::new(kind, &examples).expect("rows");
    for from in (0..count).step_by(7) {
        let part = &values[from * width..(from + 7).min(count) * width];
        let part = Tensor::from_slice(part, (part.len() / width, width), &Device::Cpu).expect("a tensor");
        rows.add(&[Output::from(part)]).expect("added");
    }
    rows
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + b.abs())
}

/// The share of pairs of a positive and a negative that scores put in order; those that tie count half.
fn pairs(scored: &[(f32, bool)]) -> Option<f64> {
    let (mut right, mut all) = (0.0, 0.0);
    for (a, _) in scored.iter().filter(|it| it.1) {
        for (b, _) in scored.iter().filter(|it| !it.1) {
            all += 1.0;
            right += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    (all > 0.0).then(|| right / all)
}

proptest! {
    #[test]
    fn two_classes(scored in prop::collection::vec((0_u8..=20, any::<bool>()), 1..80)) {
        let values: Vec<f32> = scored.iter().map(|(value, _)| f32::from(*value) / 20.0).collect();
        let targets: Vec<f32> = scored.iter().map(|(_, is)| f32::from(u8::from(*is))).collect();
        let count = values.len() as f64;
        let Report::Classification(report) =
            Report::new(&rows(Kind::Binary, &values, 1, &targets, 1), &["no".into(), "yes".into()], 3)?
        else {
            panic!("a classifier")
        };
        let pairs_of = |truth: f32, said: bool| {
            values.iter().zip(&targets).filter(|(value, target)| **target == truth && (**value > 0.5) == said).count()
        };
        let (tp, fp, fn_, tn) = (pairs_of(1.0, true), pairs_of(0.0, true), pairs_of(1.0, false), pairs_of(0.0, false));
        prop_assert_eq!(&report.confusion, &vec![vec![tn, fp], vec![fn_, tp]]);
        prop_assert!(near(report.accuracy, (tp + tn) as f64 / count));
        let share = |a: usize, b: usize| if a + b == 0 { 0.0 } else { a as f64 / (a + b) as f64 };
        let yes = &report.classes[1];
        prop_assert!(near(yes.precision, share(tp, fp)) && near(yes.recall, share(tp, fn_)));
        let (p, r) = (yes.precision, yes.recall);
        let expected = if p + r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) };
        prop_assert!(near(yes.f1, expected));
        prop_assert_eq!((yes.support, yes.predicted), (tp + fn_, tp + fp));
        let scored: Vec<(f32, bool)> = values.iter().zip(&targets).map(|(value, target)| (*value, *target == 1.0)).collect();
        match (report.roc_auc, pairs(&scored)) {
            (Some(area), Some(expected)) => prop_assert!(near(area, expected)),
            (area, expected) => prop_assert_eq!(area, expected),
        }
        let curve = report.curves[0].as_ref();
        if let Some(curve) = curve {
            let steps = curve.points.windows(2).map(|it| (it[1].0 - it[0].0) * (it[0].1 + it[1].1) / 2.0);
            prop_assert!(near(curve.area, steps.sum()), "the points enclose the area");
            prop_assert_eq!((curve.points[0], curve.points[curve.points.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        }
        let brier: f64 = values.iter().zip(&targets).map(|(v, t)| (f64::from(*v) - f64::from(*t)).powi(2)).sum();
        prop_assert!(near(report.brier, brier / count));
        prop_assert_eq!(report.calibration.bins.iter().map(|bin| bin.count).sum::<usize>(), values.len());
        // The worst first, and only what is wrong.
        let of_label = |it: &Mistake| match &it.said {
            Said::Class { label, predicted, probability_of_label, .. } => {
                assert_ne!(label, predicted);
                *probability_of_label
            }
            other => panic!("{other:?}"),
        };
        let told: Vec<f64> = report.mistakes.iter().map(of_label).collect();
        prop_assert!(told.is_sorted() && told.len() == (fp + fn_).min(3));
    }

    #[test]
    fn sets(answers in prop::collection::vec((0_u8..=10, any::<bool>()), 3..60)) {
        let answers = &answers[..answers.len() / 3 * 3];
        let values: Vec<f32> = answers.iter().map(|(value, _)| f32::from(*value) / 10.0).collect();
        let targets: Vec<f32> = answers.iter().map(|(_, is)| f32::from(u8::from(*is))).collect();
        let Report::MultiLabel(report) = Report::new(&rows(Kind::Sets, &values, 3, &targets, 3), &[], 100)? else {
            panic!("sets")
        };
        let wrong = |at: &usize| (values[*at] > 0.5) != (targets[*at] == 1.0);
        let count = values.len() / 3;
        let rows_wrong = (0..count).filter(|row| (row * 3..row * 3 + 3).any(|at| wrong(&at))).count();
        prop_assert!(near(report.accuracy, 1.0 - rows_wrong as f64 / count as f64));
        prop_assert!(near(report.hamming_loss, (0..values.len()).filter(wrong).count() as f64 / values.len() as f64));
        prop_assert_eq!(report.mistakes.len(), rows_wrong);
        let each: f64 = report.classes.iter().map(|class| class.f1).sum();
        prop_assert!(near(report.macro_mean.f1, each / 3.0));
    }

    #[test]
    fn numbers(pairs in prop::collection::vec((-50_i8..50, -50_i8..50), 1..50)) {
        let values: Vec<f32> = pairs.iter().map(|it| f32::from(it.0)).collect();
        let targets: Vec<f32> = pairs.iter().map(|it| f32::from(it.1)).collect();
        let Report::Regression(report) = Report::new(&rows(Kind::Numbers, &values, 1, &targets, 1), &[], 2)? else {
            panic!("numbers")
        };
        let count = pairs.len() as f64;
        let off: Vec<f64> = pairs.iter().map(|it| f64::from(it.0) - f64::from(it.1)).collect();
        let squares: f64 = off.iter().map(|it| it * it).sum();
        let mean = targets.iter().map(|it| f64::from(*it)).sum::<f64>() / count;
        let spread: f64 = targets.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum();
        prop_assert!(near(report.mae, off.iter().map(|it| it.abs()).sum::<f64>() / count));
        prop_assert!(near(report.rmse, (squares / count).sqrt()));
        let expected = if spread > 0.0 { 1.0 - squares / spread } else { f64::from(u8::from(squares == 0.0)) };
        prop_assert!((report.r2 - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{} {}", report.r2, expected);
    }
}

/// scikit-learn's `calibration_curve`: a probability on an edge falls into the lower bin.
#[test]
fn bins_are_those_of_scikit_learn() {
    let all = [(0.0, false), (0.1, true), (0.100_001, false), (0.95, true), (1.0, true)];
    let calibration = Calibration::of(all.into_iter());
    let counts: Vec<usize> = calibration.bins.iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(calibration.bins[9].share, Some(1.0));
    assert_eq!(calibration.bins[3].mean_probability, None);
    let expected = (2.0 * (0.05_f64 - 0.5).abs() + 0.100_001 + 2.0 * 0.025) / 5.0;
    assert!(near(calibration.expected_calibration_error, expected));
}

#[test]
fn what_rows_are_is_found_out() -> Result<()> {
    use crate::layers::Activation;
    use crate::train::Head;
    let head =
        |width: usize, activation| Head { name: "dense".into(), shape: vec![None, Some(width)], activation };
    let examples = |targets: &[f32], width: usize| {
        let count = targets.len() / width;
        let x = Array::floats(vec![0.0; count], &[count, 1])?;
        Examples::new(vec![x], vec![Array::floats(targets.to_vec(), &[count, width])?])
    };
    let (sigmoid, softmax) = (Some(Activation::Sigmoid), Some(Activation::Softmax));
    for (head, targets, width, expected) in [
        (head(1, sigmoid), vec![0.0, 1.0], 1, Some(Kind::Binary)),
        (head(1, sigmoid), vec![0.0, 0.5], 1, None),
        (head(3, softmax), vec![0.0, 2.0], 1, Some(Kind::Classes)),
        (head(3, softmax), vec![0.0, 3.0], 1, None),
        (head(3, softmax), vec![0.0, 1.0, 0.0], 3, Some(Kind::Classes)),
        (head(3, softmax), vec![0.0, 1.0, 1.0], 3, None),
        (head(3, sigmoid), vec![0.0, 1.0, 1.0], 3, Some(Kind::Sets)),
        (head(1, None), vec![0.0, 1.5], 1, Some(Kind::Numbers)),
        (head(2, None), vec![0.0, 1.5], 2, None),
        (head(MOST_CLASSES + 1, softmax), vec![0.0], 1, None),
    ] {
        assert_eq!(Kind::of(&head, &examples(&targets, width)?)?, expected, "{head:?} {targets:?}");
    }
    Ok(())
}
