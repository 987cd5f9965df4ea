//! Small configurations that would take a large machine: an answer or a refusal, at once.

use candle_recurrent::layers::ModelConfig;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn layer(class: &str, name: &str, config: Value) -> Value {
    let mut layer = json!({ "class_name": class, "config": config });
    layer["config"]["name"] = name.into();
    layer
}

/// `levels` Sequentials, each within the next, around a Dense.
fn nested(levels: usize) -> ModelConfig {
    let input = layer("InputLayer", "x", json!({ "batch_shape": [null, 3] }));
    let mut inner = layer("Dense", "dense", json!({ "units": 3 }));
    for level in 1..levels {
        inner = layer("Sequential", &format!("m{level}"), json!({ "layers": [inner] }));
    }
    serde_json::from_value(json!({ "name": "outer", "layers": [input, inner] })).expect("a configuration")
}

/// What the model has to say, and how long it took. Walked twice at every level, it would take years.
fn asked<T>(question: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (question(), start.elapsed())
}

#[test]
fn models_within_models_are_walked_once() {
    let config = nested(64);
    let (summary, time) = asked(|| config.summary().expect("a summary"));
    assert_eq!(summary.total_params, 12);
    assert!(time < Duration::from_secs(10), "{time:?}");
    let error = nested(66).summary().unwrap_err().to_string();
    assert!(error.contains("65 levels deep") && error.contains("at most 64"), "{error}");
}

/// A graph of `levels` models, each of which calls the one within it twice; at the bottom is `bottom`.
fn doubling(levels: usize, bottom: Value, shape: Value) -> Value {
    let call = |mut layer: Value, from: Value| {
        layer["inbound_nodes"] = from;
        layer
    };
    let mut inner = bottom;
    for level in 0..levels {
        let name = inner["config"]["name"].clone();
        let input = layer("InputLayer", "x", json!({ "batch_shape": shape }));
        let twice = call(inner, json!([[["x", 0, 0]], [[name, 0, 0]]]));
        let config = json!({
            "layers": [input, twice], "input_layers": [["x", 0, 0]], "output_layers": [[name, 1, 0]]
        });
        inner = layer("Functional", &format!("m{level}"), config);
    }
    let mut config = inner["config"].take();
    config["name"] = "outer".into();
    config
}

#[test]
fn calls_that_double_are_refused() {
    // The same shapes each time, and others each time.
    for (bottom, shape) in [
        (layer("Activation", "a", json!({ "activation": "tanh" })), json!([null, 3])),
        (layer("ZeroPadding1D", "a", json!({ "padding": [[1, 0]] })), json!([null, null, 3])),
        (layer("ZeroPadding1D", "a", json!({ "padding": [[1, 0]] })), json!([null, 4, 3])),
    ] {
        let few: ModelConfig = serde_json::from_value(doubling(1, bottom.clone(), shape.clone())).unwrap();
        assert_eq!(few.summary().expect("a summary").total_params, 0);
        let many: ModelConfig = serde_json::from_value(doubling(40, bottom, shape)).unwrap();
        let (refused, time) = asked(|| many.summary());
        assert!(refused.is_err());
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
}

/// A refusal that names the layer.
fn refused(layers: Value, inputs: Value, outputs: Value) -> String {
    let mut config = json!({ "name": "outer", "layers": layers });
    if inputs.is_array() {
        config["input_layers"] = inputs;
        config["output_layers"] = outputs;
    }
    let config: ModelConfig = serde_json::from_value(config).expect("a configuration");
    config.summary().unwrap_err().to_string()
}

#[test]
fn windows_and_outputs_beyond_any_memory_are_refused() {
    let input = |shape: Value| layer("InputLayer", "x", json!({ "batch_shape": shape }));
    let with = |shape: Value, inner: Value| refused(json!([input(shape), inner]), Value::Null, Value::Null);
    let pooling =
        layer("MaxPooling3D", "pool", json!({ "pool_size": [65536, 65536, 65536], "padding": "same" }));
    let error = with(json!([null, 4, 4, 4, 1]), pooling);
    assert!(error.contains("pool") && error.contains("65536 places"), "{error}");
    let up = layer("UpSampling2D", "up", json!({ "size": [65536, 65536] }));
    let error = with(json!([null, 4, 4, 1]), up);
    assert!(error.contains("up") && error.contains("2^31"), "{error}");
    let wide = layer(
        "Conv2DTranspose",
        "wide",
        json!({ "filters": 1, "kernel_size": 1, "strides": [65536, 65536], "use_bias": false }),
    );
    let error = with(json!([null, 4, 4, 1]), wide);
    assert!(error.contains("wide") && error.contains("2^31"), "{error}");
    let deep = layer("DepthwiseConv1D", "deep", json!({ "kernel_size": 1, "depth_multiplier": 16_777_216 }));
    let error = with(json!([null, 4, 1024]), deep);
    assert!(error.contains("deep") && error.contains("at most 16777216"), "{error}");
    let output = json!([65536, 65536, 65536]);
    let all = layer("EinsumDense", "all", json!({ "equation": "ab,bcde->acde", "output_shape": output }));
    let error = with(json!([null, 65536]), all);
    assert!(error.contains("all") && error.contains("2^31"), "{error}");
    let error = with(json!(vec![1; 40]), layer("Activation", "act", json!({ "activation": "tanh" })));
    assert!(error.contains("40 axes"), "{error}");
}

#[test]
fn inputs_that_would_not_be_looked_at_are_refused() {
    let input = |name: &str| layer("InputLayer", name, json!({ "batch_shape": [null, 3] }));
    let inner = layer("Dense", "dense", json!({ "units": 2 }));
    let mut nested = layer("Sequential", "inner", json!({ "layers": [inner] }));
    nested["inbound_nodes"] = json!([[["x", 0, 0], ["y", 0, 0]]]);
    let error = refused(
        json!([input("x"), input("y"), nested]),
        json!([["x", 0, 0], ["y", 0, 0]]),
        json!([["inner", 0, 0]]),
    );
    assert!(error.contains("inner") && error.contains("takes 1 input, and is given 2"), "{error}");
    let mut dense = layer("Dense", "dense", json!({ "units": 2 }));
    dense["inbound_nodes"] = json!([[["x", 0, 0]]]);
    let twice = json!([["x", 0, 0], ["x", 0, 0]]);
    let error = refused(json!([input("x"), dense]), twice, json!([["dense", 0, 0]]));
    assert!(error.contains("x") && error.contains("twice"), "{error}");
    let mut dense = layer("Dense", "dense", json!({ "units": 2 }));
    dense["inbound_nodes"] = json!([[["x", 0, 0]]]);
    let error = refused(json!([input("x"), dense]), json!([["x", 0, 0]]), json!([]));
    assert!(error.contains("outer") && error.contains("output_layers"), "{error}");
}
