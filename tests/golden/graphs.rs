//! Every layer and wrapper in a graph of Keras's: outputs, gradients, moving statistics, variables and the summary.

use crate::{Case, GRADIENT, OUTPUT, Report, gradient, weighted};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_recurrent::model::{Model, ModelConfig};
use std::collections::HashMap;

#[test]
fn graphs() -> Result<()> {
    let mut report = Report::default();
    for case in Case::all("Graph", 287) {
        if let Err(error) = graph(&case, &mut report) {
            report.failures.push(format!("{}: {error}", case.name));
        }
    }
    report.finish();
    Ok(())
}

pub fn graph(case: &Case, report: &mut Report) -> Result<()> {
    let name = &case.name;
    let config = match ModelConfig::from_json(&case.meta["config"].to_string()) {
        Ok(config) => config,
        Err(error) => {
            report.failures.push(format!("{name}: {error}"));
            return Ok(());
        }
    };
    // What is written is read again as the same.
    let json = serde_json::to_string(&config).expect("JSON");
    assert_eq!(ModelConfig::from_json(&json).expect("its own JSON"), config, "{name}");
    let listed = config.variables().expect("variables");
    let mut names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected: Vec<&str> =
        case.meta["order"].as_array().expect("an order").iter().filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "{name}: variables");
    let variables: HashMap<String, Var> = listed
        .iter()
        .map(|(key, shape)| {
            let value = case.get(key);
            assert_eq!(value.dims(), shape, "{name}: {key}");
            Ok((key.clone(), Var::from_tensor(value)?))
        })
        .collect::<Result<_>>()?;
    let model = Model::new(&config, crate::model_builder(&variables)).map_err(candle_core::Error::wrap)?;
    let mut inputs = vec![];
    let mut floats = vec![];
    for index in 0..model.inputs() {
        let x = case.get(&format!("x{index}"));
        if x.dtype() == DType::F32 {
            let x = Var::from_tensor(x)?;
            inputs.push(x.as_tensor().clone());
            floats.push((format!("dx{index}"), x));
        } else {
            inputs.push(x.clone());
        }
    }
    let outputs = model.forward_all(&inputs, case.mode()).map_err(candle_core::Error::wrap)?;
    let mut losses = vec![];
    for (index, y) in outputs.iter().enumerate() {
        // Truths and whole numbers have no gradient.
        let y = if y.dtype().is_int() { &y.to_dtype(DType::F32)? } else { y };
        report.close(&format!("{name}: y{index}"), y, case.get(&format!("y{index}")), OUTPUT)?;
        if y.dims() != case.get(&format!("dy{index}")).dims() {
            return Ok(());
        }
        losses.push(weighted(y, case.get(&format!("dy{index}")))?);
    }
    assert!(!case.tensors.contains_key(&format!("y{}", outputs.len())), "{name}: outputs are missing");
    let gradients = Tensor::stack(&losses, 0)?.sum_all()?.backward()?;
    for (key, x) in &floats {
        report.close(&format!("{name}: {key}"), &gradient(&gradients, x)?, case.get(key), GRADIENT)?;
    }
    for (key, variable) in &variables {
        if let Some(expected) = case.tensors.get(&format!("d_{key}")) {
            report.close(
                &format!("{name}: d_{key}"),
                &gradient(&gradients, variable)?,
                expected,
                GRADIENT,
            )?;
        }
        if let Some(expected) = case.tensors.get(&format!("after.{key}")) {
            report.close(&format!("{name}: after.{key}"), variable, expected, OUTPUT)?;
        }
    }
    Ok(())
}

/// Each table is Keras's own.
#[test]
fn summaries() {
    let (mut others, mut compared) = (vec![], 0);
    for case in Case::all("Graph", 287) {
        let Ok(config) = ModelConfig::from_json(&case.meta["config"].to_string()) else { continue };
        let summary = config.summary().expect("a summary").to_string();
        let expected = case.meta["summary"].as_str().expect("a table");
        // Left out where Keras's own table says something else (see the script).
        if expected.is_empty() {
            continue;
        }
        compared += 1;
        // Keras cuts a long word where our table gets wider: the counts are left to compare.
        let counts = |table: &str| {
            table.lines().filter(|line| line.contains("params:")).collect::<Vec<_>>().join("\n")
        };
        if expected.contains('…') {
            assert_eq!(counts(&summary), counts(expected), "{}", case.name);
            continue;
        }
        if summary.trim_end() != expected.trim_end() {
            others.push(format!("{}: Keras's is\n{expected}\nand ours\n{summary}", case.name));
        }
    }
    assert!(compared > 0, "no table was compared");
    assert!(others.is_empty(), "{} tables differ:\n{}", others.len(), others.join("\n"));
}

/// A deep graph runs without recursion.
#[test]
fn deep() -> Result<()> {
    let mut layers = vec![
        serde_json::json!({"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, 2]}}),
    ];
    let mut last = "x".to_string();
    for index in 0..20_000 {
        let name = format!("a{index}");
        layers.push(serde_json::json!({
            "class_name": "Activation", "config": {"name": name, "activation": "linear"},
            "inbound_nodes": [[[last, 0, 0]]],
        }));
        last = name;
    }
    let json = serde_json::json!({
        "name": "deep", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [[last, 0, 0]],
    });
    let config = ModelConfig::from_json(&json.to_string()).expect("a graph");
    let model = Model::new(&config, crate::model_builder(&HashMap::new())).expect("a model");
    let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
    let y = model.forward(&x, Default::default()).expect("an output");
    assert_eq!(y.to_vec2::<f32>()?, [[1.0, 2.0]]);
    Ok(())
}

/// What does not fit is refused with the layer's name.
#[test]
fn refusals() {
    let refuse = |layers: serde_json::Value, outputs: serde_json::Value, expected: &str| {
        let json = serde_json::json!({
            "name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": outputs,
        });
        let error = ModelConfig::from_json(&json.to_string()).expect_err("a refusal").to_string();
        assert!(error.contains(expected), "{error}");
    };
    let x =
        serde_json::json!({"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, 2]}});
    let add = |name: &str, from: serde_json::Value| serde_json::json!({"class_name": "Add", "config": {"name": name}, "inbound_nodes": [from]});
    let out = serde_json::json!([["a", 0, 0]]);
    let circle = serde_json::json!([
        x,
        add("a", serde_json::json!([["x", 0, 0], ["b", 0, 0]])),
        add("b", serde_json::json!([["a", 0, 0], ["x", 0, 0]]))
    ]);
    refuse(circle, out.clone(), "circle");
    refuse(
        serde_json::json!([x, add("a", serde_json::json!([["y", 0, 0]]))]),
        out.clone(),
        "layer a: it refers to a layer `y`",
    );
    refuse(serde_json::json!([x, add("a", serde_json::json!([["x", 3, 0]]))]), out.clone(), "call 3");
    refuse(serde_json::json!([x, add("a", serde_json::json!([["x", 0, 7]]))]), out.clone(), "layer a:");
    let lambda = serde_json::json!([x, {"class_name": "Lambda", "config": {"name": "a"}, "inbound_nodes": [[["x", 0, 0]]]}]);
    refuse(lambda, out, "class `Lambda` is unknown");
}
