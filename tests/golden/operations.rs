//! Every operation of the table, with Keras's own numbers and gradients.

use crate::graphs::graph;
use crate::{Case, Report};
use candle_core::Result;
use candle_recurrent::layers::OperationConfig;
use candle_recurrent::model::{Class, TensorRef};
use std::collections::BTreeSet;

const CASES: usize = 23;

#[test]
fn operations() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Operations", CASES) {
        if let Err(error) = graph(&case, &mut report) {
            report.failures.push(format!("{}: {error}", case.name));
        }
    }
    report.finish();
    Ok(())
}

/// A row without a golden cannot slip in.
#[test]
fn every_operation_has_a_golden() {
    let mut seen = BTreeSet::new();
    for case in Case::all("Operations", CASES) {
        for layer in case.model_config().layers {
            if let Class::Operation(config) = layer.class {
                seen.insert(config.op);
            }
        }
    }
    let missing: Vec<&str> = OperationConfig::names().filter(|op| !seen.contains(*op)).collect();
    assert!(missing.is_empty(), "no golden has {missing:?}");
}

/// The shapes that a model is placed with are those that come out.
#[test]
fn shapes_are_known_beforehand() {
    for case in Case::all("Operations", CASES) {
        let config = case.model_config();
        let summary = config.summary().expect("a summary");
        for (index, TensorRef(name, _, tensor)) in config.output_layers.iter().enumerate() {
            let layer = summary.layers.iter().find(|layer| layer.name == *name).expect("a layer");
            let shapes = std::iter::once(&layer.output_shape).chain(&layer.further_shapes);
            let shape = shapes.into_iter().nth(*tensor).expect("an output");
            let found = case.get(&format!("y{index}")).dims();
            let fits = shape.iter().zip(found).all(|(axis, found)| axis.is_none_or(|axis| axis == *found));
            assert!(
                fits && shape.len() == found.len(),
                "{}: {name} is {shape:?}, in Keras {found:?}",
                case.name
            );
        }
    }
}
