//! Every argument that a layer of Keras has had, in any version, is read, refused where it is given, or on the list of
//! those that change no number. `scripts/keras_arguments.py` makes the list of arguments from the sources of Keras.

use super::ignored::is_ignored;
use super::{Context, Fields, Version};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a layer needs to be read at all; for each class that is supported.
fn least(class: &str) -> Value {
    let lstm = json!({ "class_name": "LSTM", "config": { "name": "l", "units": 2 } });
    match class {
        "InputLayer" => json!({ "batch_shape": [null, 3] }),
        "Embedding" => json!({ "input_dim": 3, "output_dim": 2 }),
        "Dense" | "TimeDistributedDense" | "SimpleRNN" | "LSTM" | "GRU" | "CuDNNLSTM" | "CuDNNGRU" => {
            json!({ "units": 2 })
        }
        "Conv1D" | "Convolution1D" | "AtrousConvolution1D" => json!({ "filters": 2, "kernel_size": 3 }),
        "Conv2D" | "Convolution2D" | "ConvLSTM2D" => json!({ "filters": 2, "kernel_size": [3, 3] }),
        "Conv3D" | "Convolution3D" => json!({ "filters": 2, "kernel_size": [3, 3, 3] }),
        "SeparableConv1D"
        | "SeparableConvolution1D"
        | "DepthwiseConv1D"
        | "Conv1DTranspose"
        | "Convolution1DTranspose" => {
            json!({ "filters": 2, "kernel_size": 3 })
        }
        "SeparableConv2D"
        | "SeparableConvolution2D"
        | "DepthwiseConv2D"
        | "DepthwiseConvolution2D"
        | "Conv2DTranspose"
        | "Convolution2DTranspose"
        | "Deconvolution2D" => json!({ "filters": 2, "kernel_size": [3, 3] }),
        "Conv3DTranspose" | "Convolution3DTranspose" | "Deconvolution3D" => {
            json!({ "filters": 2, "kernel_size": [3, 3, 3] })
        }
        "EinsumDense" => json!({ "equation": "ab,bc->ac", "output_shape": 2 }),
        "Bidirectional" => json!({ "layer": lstm }),
        "TimeDistributed" => {
            json!({ "layer": { "class_name": "Dense", "config": { "name": "d", "units": 2 } } })
        }
        "RNN" => json!({ "cell": { "class_name": "LSTMCell", "config": { "units": 2 } } }),
        "ZeroPadding1D" | "ZeroPadding2D" | "ZeroPadding3D" => json!({ "padding": 1 }),
        "Cropping1D" | "Cropping2D" | "Cropping3D" => json!({ "cropping": 1 }),
        "Rescaling" => json!({ "scale": 2.0 }),
        "Reshape" => json!({ "target_shape": [3] }),
        "Permute" => json!({ "dims": [2, 1] }),
        "RepeatVector" => json!({ "n": 2 }),
        "Dot" => json!({ "axes": 1 }),
        "Merge" => json!({ "mode": "sum" }),
        "Activation" => json!({ "activation": "relu" }),
        "Hashing" => json!({ "num_bins": 2 }),
        "CategoryEncoding" => json!({ "num_tokens": 2 }),
        "Discretization" => json!({ "bin_boundaries": [0.0] }),
        "Attention" | "AdditiveAttention" => json!({ "use_scale": true }),
        "MultiHeadAttention" => json!({ "num_heads": 1, "key_dim": 2 }),
        "GroupedQueryAttention" | "GroupQueryAttention" => {
            json!({ "head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1 })
        }
        _ => json!({}),
    }
}

/// Arguments that are refused where they have a value.
const REFUSED: &[(&str, &[&str])] = &[
    ("*", &["_reuse", "_scope", "quantization_config", "data_format", "dim_ordering"]),
    ("DepthwiseConv1D", &["filters"]),
    ("DepthwiseConv2D", &["filters"]),
    ("EinsumDense", &["gptq_unpacked_column_size"]),
    ("SpatialDropout1D", &["noise_shape"]),
    ("SpatialDropout2D", &["noise_shape"]),
    ("SpatialDropout3D", &["noise_shape"]),
    ("BatchNormalization", &["adjustment", "virtual_batch_size"]),
    ("SyncBatchNormalization", &["adjustment", "virtual_batch_size", "renorm"]),
    ("RNN", &["cells"]),
    ("Conv3D", &["kernel_dim1", "kernel_dim2", "kernel_dim3"]),
    ("Convolution3D", &["kernel_dim1", "kernel_dim2", "kernel_dim3"]),
    ("Softmax", &["robust_masking"]),
];

/// What stands in no file: parameters of base classes and of helpers, other things of the same name (an initialiser
/// `Identity`, a metric `Average`), keys of what is nested in a configuration.
const NOT_IN_FILES: [&str; 12] = [
    "cell",
    "class_name",
    "config",
    "conv_op",
    "gain",
    "newshape",
    "pool_dimensions",
    "pool_function",
    "pool_mode",
    "rank",
    "return_runtime",
    "arguments",
];

/// Arguments of one class that stand in for others, which are asked for first.
const ALTERNATIVES: [&str; 4] = ["nb_row", "nb_col", "concat_axis", "dot_axes"];

/// Class by class, what becomes of each argument.
struct Row {
    class: String,
    /// The class of this crate.
    here: &'static str,
    /// The versions of Keras that have had the class.
    majors: String,
    read: Vec<String>,
    refused: Vec<String>,
    /// What is in none of the lists.
    open: Vec<String>,
}

fn rows() -> Vec<Row> {
    let table = include_str!("../../../../tests/fixtures/keras_arguments.json");
    let table: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(table).unwrap();
    let mut rows = vec![];
    for (class, arguments) in &table {
        let config: Map<String, Value> = least(class).as_object().cloned().unwrap();
        let fields = Fields::new("layer", class, &config);
        let mut context = Context::new(&Version::parse("3.15.1").unwrap());
        let here = match context.simple(&fields) {
            Ok(layer) => layer.class,
            Err(error) => {
                let what = error.to_string();
                let refused = ["not supported", "Python code", "no layer of Keras", "not here"];
                assert!(refused.iter().any(|it| what.contains(it)), "{class} needs more to be read: {what}");
                continue;
            }
        };
        context.training_rules(&fields);
        let asked = fields.asked();
        let majors = arguments.get("name").cloned().unwrap_or_default();
        let mut row = Row {
            class: class.clone(),
            here,
            majors: majors.clone(),
            read: vec![],
            refused: vec![],
            open: vec![],
        };
        for (name, of) in arguments {
            let refused =
                |of: &str| REFUSED.iter().any(|(it, names)| *it == of && names.contains(&name.as_str()));
            // Those of a version say so.
            let shown = if *of == majors { format!("`{name}`") } else { format!("`{name}` ({of})") };
            if refused("*") || refused(class) {
                row.refused.push(shown);
            } else if is_ignored(class, name, &Value::Bool(false)) || NOT_IN_FILES.contains(&name.as_str()) {
            } else if asked.contains(name) || ALTERNATIVES.contains(&name.as_str()) {
                row.read.push(shown);
            } else {
                row.open.push(format!("{class}.{name}"));
            }
        }
        rows.push(row);
    }
    rows
}

#[test]
fn every_argument_of_keras_is_read_or_refused_or_known_to_change_nothing() {
    let rows = rows();
    assert!(rows.len() > 60, "{} classes", rows.len());
    let open: Vec<String> = rows.into_iter().flat_map(|row| row.open).collect();
    assert!(open.is_empty(), "neither read nor refused nor ignored: {}", open.join(", "));
}

/// `docs/coverage.md` is what the code does. `CANDLE_RECURRENT_WRITE=1` writes it.
#[test]
fn the_table_of_coverage_is_up_to_date() {
    let versions = |majors: &str| majors.chars().map(String::from).collect::<Vec<_>>().join(", ");
    let of_all = |name: &str| name.starts_with("`trainable`") || name.starts_with("`activity_regularizer`");
    let list = |names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !of_all(name)).collect();
        names.join(", ")
    };
    let mut text = String::from(include_str!("coverage_head.md"));
    let quoted: Vec<String> = super::ignored::EVERYWHERE.iter().map(|name| format!("`{name}`")).collect();
    text = text.replace("{IGNORED}", &quoted.join(", "));
    for row in rows() {
        let named: Vec<String> = row.refused.iter().filter(|name| !name.starts_with("`_")).cloned().collect();
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            row.class,
            versions(&row.majors),
            row.here,
            list(&row.read),
            named.join(", ")
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coverage.md");
    if std::env::var_os("CANDLE_RECURRENT_WRITE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "docs/coverage.md is stale: run this test with CANDLE_RECURRENT_WRITE=1");
}
