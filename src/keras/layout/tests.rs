//! Layers that hold layers: which modules they are.

use super::{Layout, find, modules};
use crate::Result;
use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn layer(class: &str, name: &str, extra: Value) -> Value {
    let mut config = json!({"name": name});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    json!({"class_name": class, "config": config})
}

fn variables(shapes: &[(&str, &[usize])]) -> BTreeMap<String, Tensor> {
    let numbered = |(index, (name, shape)): (usize, &(&str, &[usize]))| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (100 * index + i) as f32).collect();
        let tensor = Tensor::from_vec(values, *shape, &Device::Cpu).expect("a tensor");
        (name.to_string(), tensor)
    };
    shapes.iter().enumerate().map(numbered).collect()
}

/// The names in the layout, after a check that they come back as they were.
fn names(layout: Layout, layers: &[Value], variables: &BTreeMap<String, Tensor>) -> Result<Vec<String>> {
    let shapes = variables.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect();
    let modules = modules::of_json(&json!({"name": "m", "layers": layers}), shapes, layout)?;
    let tensors = super::lay_out(&modules, layout, variables)?.tensors;
    let back = find::variables(&modules, &tensors)?;
    assert_eq!(back.keys().collect::<Vec<_>>(), variables.keys().collect::<Vec<_>>());
    for (name, variable) in variables {
        let flat = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
        assert_eq!((flat(&back[name]), back[name].dims()), (flat(variable), variable.dims()), "{name}");
    }
    Ok(tensors.into_keys().collect())
}

fn both(class: &str, name: &str) -> Value {
    layer("Bidirectional", name, json!({"layer": layer(class, "inner", json!({"units": 2}))}))
}

#[test]
fn a_bidirectional_layer_is_one_module() -> Result<()> {
    let held = variables(&[
        ("b.forward_layer.kernel", &[3, 8]),
        ("b.forward_layer.recurrent_kernel", &[2, 8]),
        ("b.backward_layer.kernel", &[3, 8]),
        ("b.backward_layer.recurrent_kernel", &[2, 8]),
        ("b.backward_layer.bias", &[8]),
        ("b.forward_layer.bias", &[8]),
    ]);
    for layout in [Layout::PyTorch, Layout::CandleNn] {
        let expected =
            ["bias_hh_l0", "bias_hh_l0_reverse", "bias_ih_l0", "bias_ih_l0_reverse", "weight_hh_l0"];
        let names = names(layout, &[both("LSTM", "b")], &held)?;
        assert_eq!(names[..5], expected.map(|name| format!("b.{name}")));
        assert_eq!(names.len(), 8);
    }
    Ok(())
}

/// `candle_nn::gru` knows no `_reverse`.
#[test]
fn a_bidirectional_gru_is_two_modules_in_candle_nn() -> Result<()> {
    let held = variables(&[
        ("b.forward_layer.kernel", &[3, 6]),
        ("b.forward_layer.recurrent_kernel", &[2, 6]),
        ("b.backward_layer.kernel", &[3, 6]),
        ("b.backward_layer.recurrent_kernel", &[2, 6]),
    ]);
    let theirs = names(Layout::CandleNn, &[both("GRU", "b")], &held)?;
    let expected = [
        "b.backward_layer.weight_hh_l0",
        "b.backward_layer.weight_ih_l0",
        "b.weight_hh_l0",
        "b.weight_ih_l0",
    ];
    assert_eq!(theirs, expected);
    assert_eq!(Layout::detect(expected.into_iter()), Layout::CandleNn);
    let torch = names(Layout::PyTorch, &[both("GRU", "b")], &held)?;
    assert_eq!(torch[0], "b.weight_hh_l0");
    assert_eq!(torch[1], "b.weight_hh_l0_reverse");
    Ok(())
}

#[test]
fn cells_time_distributed_and_nested_layers_have_plain_names() -> Result<()> {
    let cell = |name: &str| layer("LSTMCell", name, json!({"units": 2}));
    let stacked = layer("StackedRNNCells", "cells", json!({"cells": [cell("x"), cell("y")]}));
    let layers = [
        layer("RNN", "r", json!({"cell": stacked})),
        layer("TimeDistributed", "t", json!({"layer": layer("Dense", "inner", json!({}))})),
        layer("Sequential", "s", json!({"layers": [layer("Conv1D", "c", json!({}))]})),
    ];
    let held = variables(&[
        ("r.cell.cells_0.kernel", &[2, 8]),
        ("r.cell.cells_0.recurrent_kernel", &[2, 8]),
        ("r.cell.cells_1.kernel", &[2, 8]),
        ("r.cell.cells_1.recurrent_kernel", &[2, 8]),
        ("t.layer.kernel", &[2, 5]),
        ("s.c.kernel", &[3, 5, 4]),
    ]);
    let names = names(Layout::PyTorch, &layers, &held)?;
    let expected =
        ["r.weight_hh_l0", "r.weight_hh_l1", "r.weight_ih_l0", "r.weight_ih_l1", "s.c.weight", "t.weight"];
    assert_eq!(names, expected);
    Ok(())
}

/// A normalisation there always has both its variables.
#[test]
fn what_a_normalisation_lacks_is_filled_in() -> Result<()> {
    let layers = [layer("BatchNormalization", "n", json!({})), layer("LayerNormalization", "l", json!({}))];
    let held = variables(&[
        ("n.moving_mean", &[2]),
        ("n.moving_variance", &[2]),
        ("n.beta", &[2]),
        ("l.gamma", &[2]),
    ]);
    let names = names(Layout::PyTorch, &layers, &held)?;
    assert_eq!(names, ["l.bias", "l.weight", "n.bias", "n.running_mean", "n.running_var", "n.weight"]);
    Ok(())
}

/// Keras's kernel (k…, out, in) of a transposed convolution has PyTorch's axes (in, out, k…) from the end.
#[test]
fn transposed_convolutions_and_groups_have_modules() -> Result<()> {
    let layers = [
        layer("Conv1DTranspose", "c", json!({"padding": "same"})),
        layer("GroupNormalization", "g", json!({"groups": -1})),
    ];
    let held = variables(&[("c.kernel", &[3, 5, 4]), ("c.bias", &[5]), ("g.gamma", &[6])]);
    assert_eq!(names(Layout::PyTorch, &layers, &held)?, ["c.bias", "c.weight", "g.bias", "g.weight"]);
    assert_eq!(super::form::Form::Convolution.shapes(&[3, 5, 4]), [[4, 5, 3]]);
    Ok(())
}

#[test]
fn layers_without_a_module_are_refused() {
    let convolution = layer("ConvLSTM2D", "c", json!({}));
    let error = names(Layout::PyTorch, &[convolution], &variables(&[("c.kernel", &[1, 1, 1, 4])]));
    let line = error.expect_err("no such module").to_string();
    assert_eq!(line, "layer c: layout pytorch: there is no module for a ConvLSTM2D");
    let mixed = layer(
        "Bidirectional",
        "b",
        json!({"layer": layer("LSTM", "f", json!({"units": 2})), "backward_layer": layer("LSTM", "g", json!({"units": 3}))}),
    );
    let error = names(Layout::PyTorch, &[mixed], &variables(&[("b.forward_layer.kernel", &[1, 8])]));
    assert!(error.expect_err("two sizes").to_string().contains("of one kind and size"));
}
