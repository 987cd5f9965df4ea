//! Layers that hold layers, and graphs: what is written, against what Keras 3.15.1 wrote for the same models.

use super::{config, groups};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn layer(class: &str, name: &str, extra: Value) -> Value {
    let mut config = json!({"name": name});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    json!({"class_name": class, "config": config})
}

fn variables(names: &[&str]) -> BTreeMap<String, Tensor> {
    let zeros = || Tensor::zeros(1, DType::F32, &Device::Cpu).expect("a tensor");
    names.iter().map(|name| (name.to_string(), zeros())).collect()
}

#[test]
fn variables_stand_where_keras_puts_them() {
    let cells = json!([
        layer("LSTMCell", "x", json!({})),
        layer("LSTMCell", "y", json!({})),
        layer("GRUCell", "z", json!({}))
    ]);
    let inner = json!({"layers": [layer("InputLayer", "i", json!({})), layer("Dense", "d", json!({}))]});
    let model = json!({"name": "m", "layers": [
        layer("InputLayer", "input", json!({})),
        layer("Embedding", "e", json!({})),
        layer("SpatialDropout1D", "s", json!({})),
        layer("Bidirectional", "b", json!({"layer": layer("LSTM", "l", json!({}))})),
        layer("BatchNormalization", "n", json!({})),
        layer("TimeDistributed", "t", json!({"layer": layer("Dense", "l", json!({}))})),
        layer("RNN", "r", json!({"cell": layer("StackedRNNCells", "c", json!({"cells": cells}))})),
        layer("PReLU", "p", json!({})),
        layer("Sequential", "q", inner),
        layer("Dense", "first", json!({})),
        layer("Dense", "second", json!({})),
    ]});
    let names = [
        "e.embeddings",
        "b.forward_layer.kernel",
        "b.forward_layer.recurrent_kernel",
        "b.forward_layer.bias",
        "b.backward_layer.kernel",
        "n.gamma",
        "n.beta",
        "n.moving_mean",
        "n.moving_variance",
        "t.layer.kernel",
        "r.cell.cells_0.kernel",
        "r.cell.cells_1.kernel",
        "r.cell.cells_2.kernel",
        "p.alpha",
        "q.d.kernel",
        "first.kernel",
        "second.kernel",
        "second.bias",
    ];
    let groups = groups::groups(&model, &names.map(String::from), &variables(&names)).expect("groups");
    let expected = [
        "layers/batch_normalization/vars/0",
        "layers/batch_normalization/vars/1",
        "layers/batch_normalization/vars/2",
        "layers/batch_normalization/vars/3",
        "layers/bidirectional/backward_layer/cell/vars/0",
        "layers/bidirectional/forward_layer/cell/vars/0",
        "layers/bidirectional/forward_layer/cell/vars/1",
        "layers/bidirectional/forward_layer/cell/vars/2",
        "layers/dense/vars/0",
        "layers/dense_1/vars/0",
        "layers/dense_1/vars/1",
        "layers/embedding/vars/0",
        "layers/p_re_lu/vars/0",
        "layers/rnn/cell/cells/gru_cell/vars/0",
        "layers/rnn/cell/cells/lstm_cell/vars/0",
        "layers/rnn/cell/cells/lstm_cell_1/vars/0",
        "layers/sequential/layers/dense/vars/0",
        "layers/time_distributed/layer/vars/0",
    ];
    assert_eq!(groups.paths(""), expected);
}

/// Two inputs, a layer that is called twice, states along the edges, and a nested Functional, whose calls Keras counts
/// from 1 where they are outputs.
#[test]
fn a_graph_is_written_as_keras_does() {
    let call = |mut layer: Value, nodes: Value| {
        layer["inbound_nodes"] = nodes;
        layer
    };
    let inner = json!({
        "layers": [call(layer("InputLayer", "i", json!({})), json!([])),
            call(layer("Dense", "d", json!({})), json!([[["i", 0, 0]]]))],
        "input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]
    });
    let model = json!({"name": "m", "layers": [
        call(layer("InputLayer", "a", json!({})), json!([])),
        call(layer("InputLayer", "b", json!({})), json!([])),
        call(layer("LSTM", "l", json!({"units": 1, "return_state": true})), json!([[["a", 0, 0]]])),
        call(layer("LSTM", "s", json!({"units": 1})), json!([[["b", 0, 0], ["l", 0, 1], ["l", 0, 2]]])),
        call(layer("Functional", "f", inner), json!([[["s", 0, 0]], [["l", 0, 0]]])),
        call(layer("Add", "add", json!({})), json!([[["f", 0, 0], ["f", 1, 0]]])),
    ], "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["f", 1, 0]]});
    let keras = config::keras_model(&model, &mut vec![]).expect("a model");
    assert_eq!(keras["class_name"], "Functional");
    assert_eq!(keras["config"]["input_layers"], json!([["a", 0, 0], ["b", 0, 0]]));
    assert_eq!(keras["config"]["output_layers"], json!(["f", 2, 0]));
    let layers = &keras["config"]["layers"];
    let tensor = |layer: &str, call: u64, index: u64| {
        json!({"class_name": "__keras_tensor__",
            "config": {"shape": [null], "dtype": "float32", "keras_history": [layer, call, index]}})
    };
    assert_eq!(layers[2]["inbound_nodes"], json!([{"args": [tensor("a", 0, 0)], "kwargs": {}}]));
    assert_eq!(
        layers[3]["inbound_nodes"],
        json!([{"args": [tensor("b", 0, 0)], "kwargs": {"initial_state": [tensor("l", 0, 1), tensor("l", 0, 2)]}}])
    );
    assert_eq!(layers[4]["inbound_nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(layers[4]["config"]["layers"][1]["name"], "d");
    assert_eq!(layers[5]["inbound_nodes"][0]["args"], json!([[tensor("f", 0, 0), tensor("f", 1, 0)]]));
    let names = ["l.kernel", "s.kernel", "f.d.kernel"];
    let groups = groups::groups(&model, &names.map(String::from), &variables(&names)).expect("groups");
    assert_eq!(
        groups.paths(""),
        ["layers/functional/layers/dense/vars/0", "layers/lstm/cell/vars/0", "layers/lstm_1/cell/vars/0"]
    );
}

/// Keras 3 ignores the mask of a call that brings initial states, so a model that heeds it cannot be written.
#[test]
fn a_mask_beside_initial_states_is_refused_unless_it_is_ignored() {
    let call = |mut layer: Value, nodes: Value| {
        layer["inbound_nodes"] = nodes;
        layer
    };
    let mut model = json!({"name": "m", "layers": [
        call(layer("InputLayer", "a", json!({})), json!([])),
        call(layer("InputLayer", "h", json!({})), json!([])),
        call(layer("Masking", "mask", json!({})), json!([[["a", 0, 0]]])),
        call(layer("GRU", "decoder", json!({})), json!([[["mask", 0, 0], ["h", 0, 0]]])),
    ], "input_layers": [["a", 0, 0], ["h", 0, 0]], "output_layers": [["decoder", 0, 0]]});
    let error = config::keras_model(&model, &mut vec![]).expect_err("refused").to_string();
    assert!(error.contains("decoder") && error.contains("initial states"), "{error}");
    model["layers"][3]["mask_with_states"] = false.into();
    assert!(config::keras_model(&model, &mut vec![]).is_ok());
}

/// Keras 3.15 joins masks by its own rule only, and knows no argument for it.
#[test]
fn an_older_rule_of_masks_is_refused_where_there_are_masks() {
    let call = |mut layer: Value, nodes: Value| {
        layer["inbound_nodes"] = nodes;
        layer
    };
    let model = |begins: &str, join: &str| {
        json!({"name": "m", "layers": [
            call(layer("InputLayer", "a", json!({})), json!([])),
            call(layer(begins, "begin", json!({})), json!([[["a", 0, 0]]])),
            call(layer("Add", "sum", json!({"mask_join": join})), json!([[["begin", 0, 0], ["begin", 0, 0]]])),
        ], "input_layers": [["a", 0, 0]], "output_layers": [["sum", 0, 0]]})
    };
    let error = config::keras_model(&model("Masking", "all"), &mut vec![]).expect_err("refused").to_string();
    assert!(error.contains("layer sum") && error.contains("joins the masks"), "{error}");
    for written in [model("Masking", "any"), model("Dropout", "all")] {
        let written = config::keras_model(&written, &mut vec![]).expect("written").to_string();
        assert!(!written.contains("mask_join"), "{written}");
    }
}

/// Keras numbers its operations of masks from `concatenate` on when it loads a graph.
#[test]
fn layers_make_room_for_the_operations_of_masks() {
    let call = |mut layer: Value, nodes: Value| {
        layer["inbound_nodes"] = nodes;
        layer
    };
    let model = |begins: &str| {
        json!({"name": "m", "layers": [
            call(layer("InputLayer", "a", json!({})), json!([])),
            call(layer(begins, "any", json!({})), json!([[["a", 0, 0]]])),
            call(layer("Concatenate", "concatenate_1", json!({})), json!([[["any", 0, 0], ["any", 0, 0]]])),
            call(layer("Concatenate", "concatenate_all", json!({})), json!([[["any", 0, 0], ["concatenate_1", 0, 0]]])),
        ], "input_layers": [["a", 0, 0]], "output_layers": [["concatenate_1", 0, 0], ["concatenate_all", 0, 0]]})
    };
    let mut notes = vec![];
    let written = config::keras_model(&model("Masking"), &mut notes).expect("written");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(written["config"]["layers"][2]["name"], "layer_concatenate_1");
    assert_eq!(written["config"]["layers"][2]["config"]["name"], "layer_concatenate_1");
    let history = "/config/layers/3/inbound_nodes/0/args/0/1/config/keras_history/0";
    assert_eq!(written.pointer(history), Some(&json!("layer_concatenate_1")));
    assert_eq!(
        written["config"]["output_layers"],
        json!([["layer_concatenate_1", 0, 0], ["concatenate_all", 0, 0]])
    );
    // Without masks names stay.
    assert_eq!(
        config::keras_model(&model("Dropout"), &mut vec![]).expect("written")["config"]["layers"][1]["name"],
        "any"
    );
}
