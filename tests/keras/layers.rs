//! Layers under their old names, and arguments that cannot be had, in files of every Keras.

use candle_recurrent::keras::{self, Options};
use candle_recurrent::layers::ModelConfig;
use hdf5_pure::{AttrValue, FileBuilder};
use serde_json::{Value, json};

/// A model of one layer on an input of this shape, as a Keras of this version has it.
fn model(version: &str, shape: Value, class: &str, config: Value) -> Value {
    let mut layer = json!({ "class_name": class, "config": config });
    layer["config"]["name"] = "it".into();
    let input = json!({ "class_name": "InputLayer", "config": { "name": "x", "batch_input_shape": shape } });
    json!({ "class_name": "Sequential", "keras_version": version,
            "config": { "name": "m", "layers": [input, layer] } })
}

fn read(model: &Value) -> candle_recurrent::Result<ModelConfig> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.json");
    std::fs::write(&path, model.to_string()).expect("a file");
    keras::load_config(&path)
}

/// The class and the arguments that are read.
fn layer(version: &str, shape: Value, class: &str, config: Value) -> Value {
    let config = read(&model(version, shape, class, config)).expect("a layer");
    let mut layer = serde_json::to_value(&config).expect("JSON")["layers"][1].take();
    layer["config"].as_object_mut().expect("arguments").shift_remove("name");
    layer
}

fn refusal(version: &str, shape: Value, class: &str, config: Value) -> String {
    let error = read(&model(version, shape, class, config)).expect_err("a refusal").to_string();
    assert!(error.contains("layer it") && !error.contains('\n'), "{error}");
    error
}

#[test]
fn old_names_are_read() {
    let plane = json!([null, 6, 6, 2]);
    let old = json!({ "nb_filter": 3, "nb_row": 2, "nb_col": 3, "border_mode": "same", "subsample": [2, 2],
                      "depth_multiplier": 2, "bias": false, "dim_ordering": "tf", "activation": "linear" });
    let found = layer("1.2.2", plane.clone(), "SeparableConvolution2D", old);
    assert_eq!(found["class_name"], "SeparableConv2D");
    let expected = json!({ "filters": 3, "kernel_size": [2, 3], "strides": [2, 2], "padding": "same",
                           "dilation_rate": [1, 1], "depth_multiplier": 2, "activation": "linear", "use_bias": false });
    assert_eq!(found["config"], expected);
    let one = json!({ "filters": 3, "kernel_size": [2], "padding": "causal", "activation": "hard_sigmoid" });
    let found = layer("2.15.0", json!([null, 6, 2]), "SeparableConvolution1D", one);
    assert_eq!(
        (&found["class_name"], &found["config"]["padding"]),
        (&json!("SeparableConv1D"), &json!("causal"))
    );
    assert_eq!(found["config"]["activation"], "hard_sigmoid_keras2");
    let two = json!({ "filters": 3, "kernel_size": 2, "strides": 2, "output_padding": [1, 0] });
    let found = layer("2.15.0", plane.clone(), "Convolution2DTranspose", two);
    assert_eq!(found["class_name"], "Conv2DTranspose");
    assert_eq!(found["config"]["output_padding"], json!([1, 0]));
    let found = layer("2.2.4", plane.clone(), "ThresholdedReLU", json!({ "theta": 0.4 }));
    assert_eq!((&found["class_name"], &found["config"]["threshold"]), (&json!("ReLU"), &json!(0.4)));
    let found = layer("2.2.4", plane.clone(), "ThresholdedReLU", json!({}));
    assert_eq!(found["config"]["threshold"], 1.0);
    let found = layer("1.2.2", plane, "SpatialDropout2D", json!({ "p": 0.25, "dim_ordering": "tf" }));
    assert_eq!(found, json!({ "class_name": "SpatialDropout2D", "config": { "rate": 0.25 } }));
}

#[test]
fn noise_keeps_its_shape_and_its_rate() {
    let shape = json!([null, 4, 6]);
    for noise in [json!([null, 1, 6]), json!({ "class_name": "__tuple__", "items": [null, 1, 6] })] {
        for class in ["Dropout", "AlphaDropout"] {
            let found = layer("3.15.1", shape.clone(), class, json!({ "rate": 0.5, "noise_shape": noise }));
            assert_eq!(found["config"], json!({ "rate": 0.5, "noise_shape": [null, 1, 6] }), "{class}");
        }
    }
    for wrong in [json!("all"), json!([null, 0, 6]), json!([null, 1.5, 6]), json!([null, 2, 6])] {
        let error = refusal("3.15.1", shape.clone(), "Dropout", json!({ "rate": 0.5, "noise_shape": wrong }));
        assert!(error.contains("noise_shape"), "{error}");
    }
    // Before Keras 3 a rate of 1 was no noise at all; since then it cannot be trained with.
    for (version, rate) in [("2.15.0", 0.0), ("3.15.1", 1.0)] {
        let found = layer(version, shape.clone(), "GaussianDropout", json!({ "rate": 1.0 }));
        assert_eq!(found["config"]["rate"], rate, "{version}");
    }
}

/// The arguments of a DepthwiseConv's kernel are named otherwise than the kernel.
#[test]
fn rules_of_depthwise_kernels_are_kept() {
    let rule = json!({ "class_name": "L2", "config": { "l2": 0.1 } });
    for (class, filters) in [("DepthwiseConv1D", json!(null)), ("SeparableConv1D", json!(2))] {
        let config = json!({ "filters": filters, "kernel_size": 3, "depthwise_regularizer": rule });
        let found = layer("3.15.1", json!([null, 8, 4]), class, config);
        assert_eq!(found["config"]["depthwise_regularizer"], rule, "{class}");
    }
}

#[test]
fn what_a_class_has_not_is_refused() {
    let (steps, plane) = (json!([null, 8, 4]), json!([null, 6, 6, 4]));
    let kernel = |extra: Value| {
        let mut config = json!({ "filters": 2, "kernel_size": 2 });
        for (key, value) in extra.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    };
    for (class, shape, config, what) in [
        ("DepthwiseConv1D", &steps, kernel(json!({ "padding": "causal" })), "padding `causal`"),
        ("SeparableConv1D", &steps, kernel(json!({ "groups": 2 })), "`groups` 2"),
        ("Conv1DTranspose", &steps, kernel(json!({ "padding": "causal" })), "padding `causal`"),
        (
            "Conv1DTranspose",
            &steps,
            kernel(json!({ "strides": 2, "dilation_rate": 2 })),
            "exclude each other",
        ),
        (
            "Conv1DTranspose",
            &steps,
            kernel(json!({ "strides": 2, "output_padding": 2 })),
            "must be below strides 2",
        ),
        ("Conv1DTranspose", &steps, kernel(json!({ "padding": "same", "output_padding": 0 })), "at least 1"),
        (
            "Deconvolution2D",
            &plane,
            kernel(json!({ "output_shape": [null, 7, 7, 2] })),
            "`output_shape` of Keras 1",
        ),
        ("SeparableConv2D", &plane, json!({ "filters": 2 }), "`kernel_size` is missing"),
        ("UpSampling2D", &plane, json!({ "interpolation": "bicubic" }), "interpolation `bicubic`"),
        ("UpSampling2D", &plane, json!({ "interpolation": "lanczos3" }), "interpolation `lanczos3`"),
        ("GroupNormalization", &steps, json!({ "groups": 3 }), "groups 3 must divide the input's 4 channels"),
        ("GroupNormalization", &steps, json!({ "groups": 0 }), "groups must be at least 1"),
        ("GroupNormalization", &steps, json!({ "groups": -2 }), "not -2"),
        ("GroupNormalization", &steps, json!({ "groups": 2, "axis": 0 }), "axis 0 is the batch"),
        ("UnitNormalization", &steps, json!({ "axis": 3 }), "axis 3 is beyond"),
        ("EinsumDense", &steps, json!({ "equation": "abc,cd->abe", "output_shape": 3 }), "output's `e`"),
        ("EinsumDense", &steps, json!({ "equation": "abc", "output_shape": 3 }), "none of the forms"),
        ("EinsumDense", &steps, json!({ "equation": "ab,bc->ac", "output_shape": 3 }), "number of axes"),
        (
            "EinsumDense",
            &steps,
            json!({ "equation": "abc,cd->abd", "output_shape": [8, 2], "bias_axes": "c" }),
            "`c` is no axis of the output",
        ),
        (
            "EinsumDense",
            &steps,
            json!({ "equation": "abc,cd->abd", "output_shape": "all" }),
            "`output_shape`",
        ),
    ] {
        let error = refusal("3.15.1", shape.clone(), class, config);
        assert!(error.contains(what), "{class}: {error}");
    }
    for class in [
        "SeparableConv1D",
        "SeparableConv2D",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "Conv1DTranspose",
        "Conv2DTranspose",
        "Conv3DTranspose",
        "SpatialDropout2D",
        "SpatialDropout3D",
    ] {
        let config = kernel(json!({ "rate": 0.5, "data_format": "channels_first" }));
        let error = refusal("3.15.1", steps.clone(), class, config);
        assert!(error.contains("`channels_first` is not supported, only channels_last"), "{error}");
    }
}

/// Two ways of bilinear interpolation had one name.
#[test]
fn bilinear_is_read_by_the_version() {
    let read = |version: &str| {
        read(&model(version, json!([null, 4, 4, 1]), "UpSampling2D", json!({ "interpolation": "bilinear" })))
    };
    for version in ["2.2.4-tf", "2.3.0-tf", "2.15.0", "3.0.0"] {
        let config = serde_json::to_string(&read(version).expect(version)).expect("JSON");
        assert!(config.contains("bilinear"), "{version}");
    }
    for version in ["2.2.4", "2.3.1", "2.1.6-tf"] {
        assert!(read(version).expect_err(version).to_string().contains("at their corners"), "{version}");
    }
}

/// Theano turns kernels round, but those of single channels Keras turned for it.
#[test]
fn theanos_depthwise_kernels_stay() {
    for (class, config, array, expected) in [
        ("Conv1D", json!({ "filters": 1, "kernel_size": 3 }), "kernel:0", "it.kernel"),
        ("DepthwiseConv1D", json!({ "kernel_size": 3 }), "depthwise_kernel:0", "it.kernel"),
    ] {
        let mut config = config;
        config["use_bias"] = false.into();
        let mut builder = FileBuilder::new();
        builder.set_attr("keras_version", AttrValue::String("2.2.4".into()));
        builder.set_attr("backend", AttrValue::String("theano".into()));
        let model = model("2.2.4", json!([null, 5, 1]), class, config);
        builder.set_attr("model_config", AttrValue::String(model.to_string()));
        let mut weights = builder.create_group("model_weights");
        weights.set_attr("layer_names", AttrValue::StringArray(vec!["it".into()]));
        let mut layer = weights.create_group("it");
        layer.set_attr("weight_names", AttrValue::StringArray(vec![array.into()]));
        layer.create_dataset(array).with_f32_data(&[1.0, 2.0, 3.0]).with_shape(&[3, 1, 1]);
        weights.add_group(layer.finish());
        builder.add_group(weights.finish());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.h5");
        std::fs::write(&path, builder.finish().expect("a file")).expect("a file");
        let loaded = keras::load_with(&path, &Options::default()).expect(class);
        let kernel = loaded.weights.snapshot().expect("weights")[expected].flatten_all().expect("numbers");
        let kernel: Vec<f32> = kernel.to_vec1().expect("numbers");
        assert_eq!(kernel, if class == "Conv1D" { [3.0, 2.0, 1.0] } else { [1.0, 2.0, 3.0] }, "{class}");
    }
}

/// Keras 3.10 and later on TensorFlow add a bias along the last axis, or the second, that is as long.
#[test]
fn a_bias_whose_axis_depends_on_the_backend_is_refused() {
    let shape = json!([null, 3, 4]);
    let einsum = |axes: &str| json!({ "equation": "abc,cd->abd", "output_shape": [3, 3], "bias_axes": axes });
    let error = refusal("3.15.1", shape.clone(), "EinsumDense", einsum("b"));
    assert!(error.contains("bias lies along axis 1") && error.contains("along axis 2"), "{error}");
    for (version, axes) in [("3.15.1", "d"), ("3.15.1", "bd"), ("3.9.2", "b"), ("2.15.0", "b")] {
        layer(version, shape.clone(), "EinsumDense", einsum(axes));
    }
    let inner = json!({ "class_name": "EinsumDense", "config": { "name": "e", "equation": "abc,cd->abd",
        "output_shape": [3, 3], "bias_axes": "b" } });
    refusal("3.15.1", json!([null, 2, 3, 4]), "TimeDistributed", json!({ "layer": inner }));
    let tensor = |layer: &str| {
        json!({ "class_name": "__keras_tensor__",
                "config": { "shape": [null, 3, 3], "dtype": "float32", "keras_history": [layer, 0, 0] } })
    };
    let graph = |class: &str, config: Value, args: Value| {
        let mut layer = json!({ "class_name": class, "name": "it", "config": config,
                                "inbound_nodes": [{ "args": args, "kwargs": {} }] });
        layer["config"]["name"] = "it".into();
        let input = json!({ "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
                            "config": { "name": "x", "batch_shape": [null, 3, 3] } });
        read(&json!({ "class_name": "Functional", "keras_version": "3.15.1", "config": { "name": "m",
            "layers": [input, layer], "input_layers": [["x", 0, 0]], "output_layers": [["it", 0, 0]] } }))
    };
    let column = json!({ "class_name": "__numpy__", "config": { "value": [[1.0], [2.0], [3.0]], "dtype": "float32" } });
    let heads = |heads: usize, key_dim: usize| {
        let config = json!({ "num_heads": heads, "key_dim": key_dim });
        graph("MultiHeadAttention", config, json!([tensor("x"), tensor("x")]))
    };
    for (read, what) in [
        (graph("Add", json!({}), json!([tensor("x"), column])), "its constant lies along axis 1"),
        (heads(3, 1), "its query.bias lies along axis 2"),
    ] {
        let error = read.expect_err("a refusal").to_string();
        assert!(error.contains("layer it") && error.contains(what), "{error}");
    }
    for read in [
        graph("Subtract", json!({}), json!([tensor("x"), column])),
        graph("Add", json!({}), json!([column, tensor("x")])),
        heads(3, 2),
        heads(2, 1),
        heads(1, 3),
    ] {
        read.expect("a model");
    }
}
