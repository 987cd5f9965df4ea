"""Layers on their own and in graphs: one Keras model a case, its weights, inputs, outputs and every gradient.

The case's `config` is the model as the crate's JSON has it (`canonical`). Tensors: `x0, x1, …` the inputs, `y0, y1, …`
the outputs, `dy0, …` a gradient from above for each, `dx0, …` the gradients of the float inputs, each weight by its full
name and `d_NAME` its gradient, and in training `after.NAME` for what the pass moved.
"""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

from . import agree, generator, write
from .noise import own_noise

layers = keras.layers

# What a config holds that changes no number here.
DROPPED = {
    "trainable", "dtype", "seed", "unroll", "implementation", "data_format", "activity_regularizer", "sparse", "ragged",
    "optional", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "quantization_config",
    "lora_rank", "lora_alpha", "gptq_unpacked_column_size", "weights", "build_config", "embeddings_initializer", "input_length", "batch_input_shape",
}

# And what changes none as long as it has its default.
DEFAULTS = {"noise_shape": None, "interpolation": "nearest"}  # fmt: skip


def canonical_config(config):
    """A Keras config without what changes no number."""
    kept = {}
    for key, value in config.items():
        if key in DROPPED or key.endswith(("_initializer", "_regularizer", "_constraint")):
            continue
        if key == "zero_output_for_mask" and not value or key in DEFAULTS and value == DEFAULTS[key]:
            continue
        if isinstance(value, dict) and "class_name" in value and "config" in value:
            value = canonical_layer(value)
        elif key == "cells":
            value = [canonical_layer(cell) for cell in value]
        elif isinstance(value, tuple):
            value = list(value)
        kept[key] = value
    return kept


def canonical_layer(layer):
    """A layer within a config; a model within a model is one too."""
    if layer["class_name"] in ("Sequential", "Functional"):
        return {"class_name": layer["class_name"], "config": canonical_model(layer["config"])}
    config = canonical_config(layer["config"])
    if layer["class_name"] == "Identity":
        return {"class_name": "Activation", "config": config | {"activation": "linear"}}
    # Keras writes the one axis's ends without a list around them.
    for key in ("padding", "cropping"):
        if layer["class_name"] in ("ZeroPadding1D", "Cropping1D") and key in config:
            config[key] = [list(config[key])]
    # Keras exports it by another name than the class has.
    class_name = {"GroupQueryAttention": "GroupedQueryAttention"}.get(layer["class_name"], layer["class_name"])
    return {"class_name": class_name, "config": config}


def known(layer):
    """Whether it is a layer or a model, rather than an operation: some have the same names."""
    return not layer["module"].startswith("keras.src.ops")


def references(value):
    """The Keras tensors in a node's arguments, flattened in order."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]["keras_history"]]
        return [found for item in value.values() for found in references(item)]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in references(item)]
    return []


def by_role(layer, node):
    """A node's arguments in the order of the layer's inputs; Keras leaves those with names as they were written."""
    if "Attention" not in layer["class_name"]:
        return node["kwargs"]
    return {key: node["kwargs"][key] for key in ("query", "value", "key", "attention_mask") if key in node["kwargs"]}


def as_list(value):
    """One reference, or a list of them, as a list."""
    return [value] if value and isinstance(value[0], str) else value


def canonical_model(config):
    """A model's Keras config as the crate's JSON."""
    kept = {"name": config["name"], "layers": []}
    # Keras writes down how masks are computed, as operations among the layers; here they follow from the layers.
    operations = {layer["config"]["name"] for layer in config["layers"] if not known(layer)}
    for layer in config["layers"]:
        if layer["config"]["name"] in operations:
            continue
        entry = canonical_layer(layer)
        if layer["class_name"] == "InputLayer":
            entry["config"] = {key: layer["config"][key] for key in ("name", "batch_shape", "dtype")}
            entry["config"]["batch_shape"] = list(entry["config"]["batch_shape"])
        if "inbound_nodes" in layer:
            nodes = [references(node["args"]) + references(by_role(layer, node)) for node in layer["inbound_nodes"]]
            entry["inbound_nodes"] = [[found for found in node if found[0] not in operations] for node in nodes]
            # With initial states Keras 3 hands the layer no mask.
            if any("initial_state" in node["kwargs"] for node in layer["inbound_nodes"]):
                entry["mask_with_states"] = False
            # Arguments of the call that the crate keeps among the layer's own.
            for key in ("use_causal_mask", "return_attention_scores", "attention_mask"):
                if any(node["kwargs"].get(key) for node in layer["inbound_nodes"]):
                    entry["config"][key] = True
        kept["layers"].append(entry)
    for key in ("input_layers", "output_layers"):
        if key in config:
            kept[key] = as_list(config[key])
    return kept


def names_of(layer, prefix):
    """The layer's variables by the crate's full names."""
    name = f"{prefix}{layer.name}"
    if isinstance(layer, keras.Model):
        return {key: value for inner in layer.layers for key, value in names_of(inner, f"{name}.").items()}
    if isinstance(layer, layers.Bidirectional):
        parts = {"forward_layer": layer.forward_layer, "backward_layer": layer.backward_layer}
    elif isinstance(layer, layers.TimeDistributed):
        parts = {"layer": layer.layer}
    elif isinstance(layer, layers.StackedRNNCells):
        parts = {f"cells_{index}": cell for index, cell in enumerate(layer.cells)}
    elif type(layer) is layers.RNN:
        parts = {"cell": layer.cell}
    elif isinstance(layer, (layers.MultiHeadAttention, layers.GroupQueryAttention)):
        roles = {"query": "query", "key": "key", "gate": "gate", "value": "value", "attention_output": "output"}
        parts = {role: getattr(layer, f"_{part}_dense", None) for role, part in roles.items()}
        parts = {role: part for role, part in parts.items() if part is not None}
    else:
        return {f"{name}.{variable.name}": variable for variable in layer.weights if variable.dtype != "uint32"}
    found = {}
    for role, part in parts.items():
        for key, value in names_of(part, "").items():
            found[f"{name}.{role}.{key[len(part.name) + 1 :]}"] = value
    return found


def graph(name, make, training=False, batch=3, ids=None, pad=False, scale=0.6, double=True, noise=None,
          canonical=canonical_model, kind="Graph"):  # fmt: skip
    """`make(dtype)` gives a Keras model; its inputs of an integer type are ids below `ids`, half of them padding.

    Without `double` it is not computed again in float64: for what TensorFlow has in float32 only. `noise` names the layer
    that draws."""
    rng = generator(name)

    def run(dtype, given):
        keras.utils.clear_session()
        model = make(dtype)
        tensors, weights = {}, {}
        for layer in model.layers:
            weights |= names_of(layer, "")
        for key, variable in weights.items():
            value = (scale * rng.standard_normal(variable.shape)).astype(np.float32)
            if "variance" in key:
                value = np.abs(value) + np.float32(0.3)
            tensors[key] = given[key] if given else value
            variable.assign(tensors[key])
        inputs = []
        for index, tensor in enumerate(model.inputs):
            shape = (batch, *[5 if axis is None else axis for axis in tensor.shape[1:]])
            if given:
                value = given[f"x{index}"]
            elif "int" in tensor.dtype:
                value = rng.integers(0, ids, shape).astype(np.uint32)
                value[0, :2] = 0
                value[1, -2:] = 0
            else:
                value = rng.standard_normal(shape).astype(np.float32)
                if pad:
                    value[0, :2] = 0
                    value[1, -2:] = 0
                    value[2, 1] = 0
            tensors[f"x{index}"] = value
            inputs.append(tf.constant(value.astype(np.int32) if "int" in tensor.dtype else value.astype(dtype)))
        floats = {f"dx{i}": x for i, x in enumerate(inputs) if x.dtype.is_floating}
        trained = {key: v for key, v in weights.items() if "moving_" not in key}
        with tf.GradientTape() as tape, own_noise(noise) if noise else contextlib.nullcontext():
            tape.watch(list(floats.values()))
            outputs = model(inputs if len(inputs) > 1 else inputs[0], training=training)
            # Truths and whole numbers have no gradient; an operation may give another type of floats.
            outputs = [y if y.dtype == dtype else tf.cast(y, dtype) for y in tf.nest.flatten(outputs)]
            loss = 0.0
            for index, y in enumerate(outputs):
                dy = given[f"dy{index}"] if given else rng.standard_normal(y.shape).astype(np.float32)
                tensors[f"dy{index}"] = dy
                loss += tf.reduce_sum(y * tf.constant(dy, dtype))
        sources = floats | {f"d_{key}": variable.value for key, variable in trained.items()}
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        tensors |= {key: tf.convert_to_tensor(value).numpy() for key, value in gradients.items()}
        tensors |= {f"y{index}": y.numpy() for index, y in enumerate(outputs)}
        if training:
            tensors |= {f"after.{key}": v.numpy() for key, v in weights.items() if "moving_" in key}
        lines = []
        model.summary(print_fn=lambda text, **_: lines.append(text))
        # Keras lists the operations of masks in its table too, and for directions of different sizes it shows twice the
        # first one's size: such tables are not compared.
        # An Identity has another name here.
        listed = model.get_config()["layers"]
        comparable = all(known(layer) and layer["class_name"] != "Identity" for layer in listed)
        shown = all(y.shape[1:] == tensor.shape[1:] for y, tensor in zip(outputs, model.outputs))
        if not (comparable and shown):
            lines = []
        order = [key for layer in model.layers for key in names_of(layer, "")]
        return canonical(model.get_config()), tensors, "\n".join(lines), order

    config, tensors, summary, order = run("float32", None)
    if double:
        agree(name, tensors, run("float64", tensors)[1], 3e-5)
    case = {"class_name": kind, "config": config, "training": training, "summary": summary, "order": order}
    write(name, case, tensors)


def graph_cases():
    """Every layer and argument that changes numbers, and several whole graphs."""
    cases = []

    def case(name, make, **options):
        cases.append((f"graph_{name}", lambda name: graph(name, make, **options)))

    def one(name, shape, make, masked=False, **options):
        """A layer alone; `masked` puts a Masking before it and shows by an LSTM whether the mask comes through."""

        def model(dtype):
            x = keras.Input(shape, dtype=dtype, name="x")
            y = layers.Masking(dtype=dtype, name="masking")(x) if masked else x
            y = make(dtype)(y)
            if masked and len(y.shape) == 3:
                y = layers.LSTM(2, dtype=dtype, name="after")(y)
            return keras.Model(x, y, name="model")

        case(name, model, pad=masked, **options)

    def sequence(name, make, **options):
        """A recurrent layer or wrapper over (5, 3), with and without a mask."""
        one(name, (5, 3), make, **options)
        one(f"{name}_mask", (5, 3), make, masked=True, **options)

    # Bidirectional.
    for mode in ("concat", "sum", "mul", "ave"):
        for sequences in (False, True):
            sequence(
                f"bidirectional_{mode}{'_sequences' if sequences else ''}",
                lambda dtype, m=mode, s=sequences: layers.Bidirectional(
                    layers.LSTM(3, return_sequences=s, dtype=dtype), merge_mode=m, dtype=dtype, name="b"
                ),
            )
    sequence(
        "bidirectional_gru",
        lambda dtype: layers.Bidirectional(layers.GRU(2, return_sequences=True, dtype=dtype), dtype=dtype, name="b"),
    )
    sequence(
        "bidirectional_own_backward",
        lambda dtype: layers.Bidirectional(
            layers.GRU(2, dtype=dtype),
            backward_layer=layers.SimpleRNN(3, go_backwards=True, dtype=dtype),
            dtype=dtype,
            name="b",
        ),
    )
    for sequences in (False, True):

        def apart(dtype, s=sequences):
            x = keras.Input((5, 3), dtype=dtype, name="x")
            wrapped = layers.SimpleRNN(2, return_sequences=s, dtype=dtype)
            y = layers.Bidirectional(wrapped, merge_mode=None, dtype=dtype, name="b")(x)
            return keras.Model(x, y, name="model")

        case(f"bidirectional_none{'_sequences' if sequences else ''}", apart)

    # TimeDistributed.
    one("time_distributed_dense", (5, 3), lambda dtype: layers.TimeDistributed(
        layers.Dense(2, activation="tanh", dtype=dtype), dtype=dtype, name="t"), masked=True)  # fmt: skip
    one("time_distributed_conv", (3, 5, 4, 2), lambda dtype: layers.TimeDistributed(
        layers.Conv2D(2, 2, dtype=dtype), dtype=dtype, name="t"))  # fmt: skip
    one("time_distributed_batch_norm", (4, 3), lambda dtype: layers.TimeDistributed(
        layers.BatchNormalization(momentum=0.7, dtype=dtype), dtype=dtype, name="t"), training=True, batch=6)  # fmt: skip

    # Cells.
    sequence("rnn_lstm_cell", lambda dtype: layers.RNN(layers.LSTMCell(3, dtype=dtype), dtype=dtype, name="r"))
    sequence("rnn_gru_cell", lambda dtype: layers.RNN(
        layers.GRUCell(3, dtype=dtype), return_sequences=True, go_backwards=True, dtype=dtype, name="r"))  # fmt: skip
    for sequences in (False, True):
        sequence(
            f"rnn_stacked{'_sequences' if sequences else ''}",
            lambda dtype, s=sequences: layers.RNN(
                layers.StackedRNNCells(
                    [layers.LSTMCell(3, dtype=dtype), layers.GRUCell(2, dtype=dtype), layers.SimpleRNNCell(4, dtype=dtype)],
                    dtype=dtype,
                ),
                return_sequences=s,
                go_backwards=not s,
                dtype=dtype,
                name="r",
            ),
        )

    # ConvLSTM2D.
    for suffix, options in {
        "default": {},
        "same": {"padding": "same", "return_sequences": True},
        "strides": {"strides": 2, "go_backwards": True, "return_sequences": True},
        "dilation": {"dilation_rate": 2, "use_bias": False, "activation": "relu", "recurrent_activation": "hard_sigmoid"},
    }.items():
        one(f"conv_lstm_{suffix}", (3, 5, 4, 2), lambda dtype, o=options: layers.ConvLSTM2D(
            2, 2, dtype=dtype, name="c", **o), scale=0.4)  # fmt: skip

    # Normalisation.
    for suffix, options in {
        "default": {}, "axis": {"axis": 1}, "bare": {"center": False, "scale": False, "epsilon": 0.01},
    }.items():  # fmt: skip
        for training in (False, True):
            one(
                f"batch_norm_{suffix}{'_training' if training else ''}",
                (4, 3),
                lambda dtype, o=options: layers.BatchNormalization(momentum=0.8, dtype=dtype, name="n", **o),
                training=training,
                batch=5,
            )
    one("batch_norm_mask", (5, 3), lambda dtype: layers.BatchNormalization(dtype=dtype, name="n"),
        masked=True, training=True)  # fmt: skip
    one("batch_norm_2d", (4,), lambda dtype: layers.BatchNormalization(dtype=dtype, name="n"), training=True, batch=6)
    for suffix, options in {
        "default": {}, "axes": {"axis": [1, 2]}, "bare": {"center": False, "scale": False, "epsilon": 0.01},
        "rms": {"rms_scaling": True},
    }.items():  # fmt: skip
        one(f"layer_norm_{suffix}", (4, 3), lambda dtype, o=options: layers.LayerNormalization(dtype=dtype, name="n", **o))
    for suffix, shape, options in [
        ("default", (3, 32), {}), ("groups", (4, 6), {"groups": 3}), ("each", (3, 2, 4), {"groups": -1}),
        ("axis", (4, 3, 2), {"groups": 2, "axis": 1}), ("axis_from_end", (3, 4, 2), {"groups": 2, "axis": -2}),
        ("bare", (4, 6), {"groups": 2, "center": False, "scale": False, "epsilon": 0.05}),
        ("scale", (6,), {"groups": 1, "center": False}), ("center", (4, 6), {"groups": 6, "scale": False}),
    ]:  # fmt: skip
        one(f"group_norm_{suffix}", shape, lambda dtype, o=options: layers.GroupNormalization(dtype=dtype, name="n", **o),
            masked=suffix == "groups")  # fmt: skip
    for suffix, options in {"default": {}, "axis": {"axis": 1}, "axes": {"axis": [1, 2]}}.items():
        one(f"unit_norm_{suffix}", (4, 3), lambda dtype, o=options: layers.UnitNormalization(dtype=dtype, name="n", **o),
            masked=suffix == "default")  # fmt: skip

    # Activations as layers.
    one("activation", (4, 3), lambda dtype: layers.Activation("tanh", dtype=dtype, name="a"), masked=True)
    one("softmax", (4, 3), lambda dtype: layers.Softmax(dtype=dtype, name="a"))
    one("softmax_axis", (4, 3), lambda dtype: layers.Softmax(axis=1, dtype=dtype, name="a"))
    one("softmax_axes", (4, 3), lambda dtype: layers.Softmax(axis=[1, 2], dtype=dtype, name="a"))
    one("leaky_relu", (4, 3), lambda dtype: layers.LeakyReLU(dtype=dtype, name="a"), masked=True)
    one("leaky_relu_slope", (4, 3), lambda dtype: layers.LeakyReLU(negative_slope=0.1, dtype=dtype, name="a"))
    one("relu", (4, 3), lambda dtype: layers.ReLU(dtype=dtype, name="a"))
    one("relu_all", (4, 3), lambda dtype: layers.ReLU(
        max_value=0.9, negative_slope=0.2, threshold=0.3, dtype=dtype, name="a"))  # fmt: skip
    one("elu", (4, 3), lambda dtype: layers.ELU(alpha=0.7, dtype=dtype, name="a"))
    one("prelu", (4, 3), lambda dtype: layers.PReLU(dtype=dtype, name="a"))
    one("prelu_shared", (4, 3), lambda dtype: layers.PReLU(shared_axes=[1], dtype=dtype, name="a"))

    # Shapes.
    one("flatten", (4, 3), lambda dtype: layers.Flatten(dtype=dtype, name="s"))
    one("reshape", (4, 3), lambda dtype: layers.Reshape((2, -1), dtype=dtype, name="s"))
    one("permute", (4, 3, 2), lambda dtype: layers.Permute((3, 1, 2), dtype=dtype, name="s"))
    one("repeat_vector", (3,), lambda dtype: layers.RepeatVector(4, dtype=dtype, name="s"))
    one("masking_value", (5, 3), lambda dtype: layers.Masking(0.5, dtype=dtype, name="s"))

    # Convolution and pooling.
    for suffix, options in {
        "valid": {}, "same": {"padding": "same", "activation": "relu"}, "causal": {"padding": "causal"},
        "same_strides": {"padding": "same", "strides": 2}, "valid_strides": {"strides": 3},
        "causal_dilation": {"padding": "causal", "dilation_rate": 2}, "causal_strides": {"padding": "causal", "strides": 2},
        "same_dilation": {"padding": "same", "dilation_rate": 2, "use_bias": False},
        "groups": {"groups": 2},
    }.items():  # fmt: skip
        one(f"conv1d_{suffix}", (8, 4), lambda dtype, o=options: layers.Conv1D(4, 3, dtype=dtype, name="c", **o))
    for suffix, options in {
        "valid": {}, "same_strides": {"padding": "same", "strides": (2, 1)}, "dilation": {"dilation_rate": (1, 2)},
    }.items():  # fmt: skip
        one(f"conv2d_{suffix}", (5, 6, 2), lambda dtype, o=options: layers.Conv2D(3, (2, 3), dtype=dtype, name="c", **o))
    plain = {
        "default": {}, "strides": {"strides": 2, "depth_multiplier": 2}, "same": {"padding": "same", "activation": "tanh"},
        "same_strides": {"padding": "same", "strides": 2}, "dilation": {"dilation_rate": 2, "use_bias": False},
        "same_dilation": {"padding": "same", "dilation_rate": 2, "depth_multiplier": 2},
        "strides_dilation": {"padding": "same", "strides": 2, "dilation_rate": 2},
    }  # fmt: skip
    for suffix, options in plain.items():
        one(f"depthwise_conv1d_{suffix}", (8, 3), lambda dtype, o=options: layers.DepthwiseConv1D(
            3, dtype=dtype, name="c", **o))  # fmt: skip
        one(f"depthwise_conv2d_{suffix}", (6, 7, 3), lambda dtype, o=options: layers.DepthwiseConv2D(
            (2, 3), dtype=dtype, name="c", **o))  # fmt: skip
        one(f"separable_conv1d_{suffix}", (8, 3), lambda dtype, o=options: layers.SeparableConv1D(
            4, 3, dtype=dtype, name="c", **o))  # fmt: skip
        one(f"separable_conv2d_{suffix}", (6, 7, 3), lambda dtype, o=options: layers.SeparableConv2D(
            2, (2, 3), dtype=dtype, name="c", **o))  # fmt: skip
    transposed = {
        "default": {}, "strides": {"strides": 2}, "wide": {"strides": 4, "use_bias": False},
        "same": {"padding": "same", "activation": "tanh"}, "same_strides": {"padding": "same", "strides": 2},
        "same_wide": {"padding": "same", "strides": 4}, "output_padding": {"strides": 3, "output_padding": 2},
        "output_padding_0": {"strides": 3, "output_padding": 0, "padding": "same"},
        "same_output_padding": {"strides": 3, "output_padding": 1, "padding": "same"},
        "dilation": {"dilation_rate": 2}, "same_dilation": {"dilation_rate": 2, "padding": "same"},
    }  # fmt: skip
    # TensorFlow has the dilated ones on a CPU in float32 only.
    for suffix, options in transposed.items():
        one(f"conv1d_transpose_{suffix}", (4, 3), lambda dtype, o=options: layers.Conv1DTranspose(
            2, 3, dtype=dtype, name="c", **o), double="dilation" not in suffix)  # fmt: skip
        size = (1, 3) if "output_padding_0" in suffix else (2, 3)
        one(f"conv2d_transpose_{suffix}", (3, 4, 2), lambda dtype, o=options, s=size: layers.Conv2DTranspose(
            3, s, dtype=dtype, name="c", **o), double="dilation" not in suffix)  # fmt: skip
        if "dilation" not in suffix:
            one(f"conv3d_transpose_{suffix}", (2, 3, 2, 2), lambda dtype, o=options, s=size: layers.Conv3DTranspose(
                2, (*s, 1), dtype=dtype, name="c", **o), double=False)  # fmt: skip
    for suffix, size in {"square": 2, "apart": (3, 1), "both": (2, 5)}.items():
        one(f"upsampling2d_bilinear_{suffix}", (3, 4, 2), lambda dtype, s=size: layers.UpSampling2D(
            s, interpolation="bilinear", dtype=dtype, name="e"), double=False)  # fmt: skip
    for kind in ("Max", "Average"):
        for suffix, options in {"default": {"pool_size": 2}, "same": {"pool_size": 3, "strides": 2, "padding": "same"}}.items():
            one(f"{kind.lower()}_pooling1d_{suffix}", (7, 2), lambda dtype, k=kind, o=options: getattr(
                layers, f"{k}Pooling1D")(dtype=dtype, name="p", **o))  # fmt: skip
            one(f"{kind.lower()}_pooling2d_{suffix}", (5, 4, 2), lambda dtype, k=kind, o=options: getattr(
                layers, f"{k}Pooling2D")(dtype=dtype, name="p", **o))  # fmt: skip
        # Of values that differ by less than 1e-5 TensorFlow's MaxPooling3D gives each the whole gradient; the numbers of
        # `overlap` hold no such pair.
        for suffix, options in {"default": {"pool_size": 2}, "overlap": {"pool_size": 3, "strides": 2, "padding": "same"}}.items():
            one(f"{kind.lower()}_pooling3d_{suffix}", (4, 3, 5, 2), lambda dtype, k=kind, o=options: getattr(
                layers, f"{k}Pooling3D")(dtype=dtype, name="p", **o), double=False)  # fmt: skip
        one(f"global_{kind.lower()}1d", (5, 3), lambda dtype, k=kind: getattr(
            layers, f"Global{k}Pooling1D")(dtype=dtype, name="p"))  # fmt: skip
        one(f"global_{kind.lower()}2d_keepdims", (4, 3, 2), lambda dtype, k=kind: getattr(
            layers, f"Global{k}Pooling2D")(keepdims=True, dtype=dtype, name="p"))  # fmt: skip
    one("global_average1d_mask", (5, 3), lambda dtype: layers.GlobalAveragePooling1D(dtype=dtype, name="p"), masked=True)
    one("global_average1d_keepdims_mask", (5, 3), lambda dtype: layers.GlobalAveragePooling1D(
        keepdims=True, dtype=dtype, name="p"), masked=True)  # fmt: skip
    one("global_max1d_keepdims", (5, 3), lambda dtype: layers.GlobalMaxPooling1D(keepdims=True, dtype=dtype, name="p"))
    one("relu_threshold", (4, 3), lambda dtype: layers.ReLU(threshold=0.4, dtype=dtype, name="a"))
    for suffix, options in {"valid": {"activation": "tanh"}, "same_strides": {"padding": "same", "strides": (2, 1, 2)}}.items():
        one(f"conv3d_{suffix}", (3, 4, 3, 2), lambda dtype, o=options: layers.Conv3D(
            2, (2, 1, 3), dtype=dtype, name="c", **o))  # fmt: skip
    one("global_max3d", (2, 3, 2, 2), lambda dtype: layers.GlobalMaxPooling3D(dtype=dtype, name="p"))
    one("global_average3d", (2, 3, 2, 2), lambda dtype: layers.GlobalAveragePooling3D(keepdims=True, dtype=dtype, name="p"))

    # Ends and repetition.
    shapes = [(5, 3), (4, 5, 2), (3, 4, 3, 2)]
    for axes, (shape, ends, size) in enumerate(zip(shapes, [(1, 2), ((1, 0), (2, 1)), ((1, 0), (0, 2), (1, 1))],
                                                   [3, (2, 3), (2, 1, 3)]), start=1):  # fmt: skip
        for kind, options in {
            "ZeroPadding": {"padding": ends}, "Cropping": {"cropping": ends}, "UpSampling": {"size": size},
        }.items():  # fmt: skip
            one(f"{kind.lower()}{axes}d", shape, lambda dtype, c=f"{kind}{axes}D", o=options: getattr(
                layers, c)(dtype=dtype, name="e", **o), masked=axes == 1)  # fmt: skip

    one("rescaling", (5, 3), lambda dtype: layers.Rescaling(0.5, offset=-1.0, dtype=dtype, name="s"), masked=True)
    one("identity", (5, 3), lambda dtype: layers.Identity(dtype=dtype, name="i"), masked=True)
    one("noise", (5, 3), lambda dtype: keras.Sequential([
        layers.SpatialDropout1D(0.4, dtype=dtype, name="d"), layers.GaussianNoise(0.3, dtype=dtype, name="g"),
        layers.Dropout(0.2, dtype=dtype, name="e")], name="nested"), masked=True)  # fmt: skip
    one("noises", (5, 3), lambda dtype: lambda x: layers.AlphaDropout(0.4, dtype=dtype, name="a")(
        layers.GaussianDropout(0.3, dtype=dtype, name="g")(
            layers.Dropout(0.2, noise_shape=(None, 1, 3), dtype=dtype, name="d")(x))), masked=True)  # fmt: skip
    for suffix, make in {
        "dropout": lambda dtype: layers.Dropout(0.3, dtype=dtype, name="n"),
        "dropout_shape": lambda dtype: layers.Dropout(0.4, noise_shape=(None, 1, 3), dtype=dtype, name="n"),
        "dropout_short_shape": lambda dtype: layers.Dropout(0.4, noise_shape=(5, 1), dtype=dtype, name="n"),
        "gaussian_dropout": lambda dtype: layers.GaussianDropout(0.3, dtype=dtype, name="n"),
        "alpha_dropout": lambda dtype: layers.AlphaDropout(0.3, dtype=dtype, name="n"),
        "alpha_dropout_shape": lambda dtype: layers.AlphaDropout(0.4, noise_shape=(None, 5, 1), dtype=dtype, name="n"),
        "gaussian_noise": lambda dtype: layers.GaussianNoise(0.3, dtype=dtype, name="n"),
        "spatial_dropout1d": lambda dtype: layers.SpatialDropout1D(0.4, dtype=dtype, name="n"),
    }.items():  # fmt: skip
        one(f"{suffix}_training", (5, 3), make, training=True, noise="n")
    for axes, shape in [(2, (3, 2, 4)), (3, (2, 3, 2, 3))]:
        one(f"spatial_dropout{axes}d_training", shape, lambda dtype, a=axes: getattr(
            layers, f"SpatialDropout{a}D")(0.4, dtype=dtype, name="n"), training=True, noise="n")  # fmt: skip
    for suffix, shape, options in [
        ("vector", (3,), {"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c"}),
        ("sequence", (4, 3), {"equation": "abc,cd->abd", "output_shape": (None, 2), "bias_axes": "d", "activation": "tanh"}),
        ("heads", (4, 3), {"equation": "abc,cde->abde", "output_shape": (4, 2, 3), "bias_axes": "de"}),
        ("join", (4, 2, 3), {"equation": "abcd,cde->abe", "output_shape": (4, 5), "bias_axes": "e"}),
        ("before", (2, 4, 3), {"equation": "...x,xy->...y", "output_shape": 2, "bias_axes": "y"}),
        ("after", (3, 2, 2), {"equation": "ab...,bc->ac...", "output_shape": 4, "bias_axes": "c"}),
        ("shared", (4, 3), {"equation": "abc,bcd->abd", "output_shape": (4, 2), "bias_axes": "b"}),
        ("turned", (4, 3), {"equation": "abc,bd->acd", "output_shape": (3, 2)}),
        ("order", (4, 3), {"equation": "abc,dc->adb", "output_shape": (2, 4), "bias_axes": "b"}),
        ("alone", (4, 3), {"equation": "abc,cd->ad", "output_shape": 2, "bias_axes": "d"}),
        ("outer", (3,), {"equation": "ab,c->acb", "output_shape": (2, 3)}),
    ]:  # fmt: skip
        one(f"einsum_dense_{suffix}", shape, lambda dtype, o=options: layers.EinsumDense(dtype=dtype, name="d", **o))

    # Merging.
    def two(name, make, shapes=((4, 3), (4, 3)), masked=False):
        def model(dtype):
            xs = [keras.Input(shape, dtype=dtype, name=f"x{i}") for i, shape in enumerate(shapes)]
            ys = [layers.Masking(dtype=dtype, name=f"m{i}")(x) for i, x in enumerate(xs)] if masked else xs
            y = make(dtype)(ys)
            if masked:
                y = layers.GRU(2, dtype=dtype, name="after")(y)
            return keras.Model(xs, y, name="model")

        case(name, model, pad=masked)

    for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        two(kind.lower(), lambda dtype, k=kind: getattr(layers, k)(dtype=dtype, name="m"))
    two("add_mask", lambda dtype: layers.Add(dtype=dtype, name="m"), masked=True)
    two("multiply_broadcast", lambda dtype: layers.Multiply(dtype=dtype, name="m"), ((4, 3), (4, 1)))
    two("add_ranks", lambda dtype: layers.Add(dtype=dtype, name="m"), ((4, 3), (3,)))
    two("concatenate", lambda dtype: layers.Concatenate(dtype=dtype, name="m"), ((4, 3), (4, 2)))
    two("concatenate_axis", lambda dtype: layers.Concatenate(axis=1, dtype=dtype, name="m"), ((4, 3), (2, 3)))
    two("concatenate_mask", lambda dtype: layers.Concatenate(dtype=dtype, name="m"), ((4, 3), (4, 2)), masked=True)
    two("concatenate_axis_mask", lambda dtype: layers.Concatenate(axis=1, dtype=dtype, name="m"), ((4, 3), (3, 3)), masked=True)
    two("dot", lambda dtype: layers.Dot(axes=(2, 2), dtype=dtype, name="m"), ((4, 3), (5, 3)))
    two("dot_one", lambda dtype: layers.Dot(axes=1, dtype=dtype, name="m"), ((4, 3), (4, 2)))
    two("dot_vectors", lambda dtype: layers.Dot(axes=-1, normalize=True, dtype=dtype, name="m"), ((3,), (3,)))
    two("dot_attention", lambda dtype: layers.Dot(axes=(1, 1), dtype=dtype, name="m"), ((4,), (4, 3)))

    # Whole graphs.
    def seq2seq(dtype):
        source = keras.Input((None,), dtype="int32", name="source")
        target = keras.Input((None,), dtype="int32", name="target")
        x = layers.Embedding(7, 3, mask_zero=True, dtype=dtype, name="embedding")(source)
        _, h, c = layers.LSTM(4, return_state=True, dtype=dtype, name="encoder")(x)
        y = layers.Embedding(6, 3, mask_zero=True, dtype=dtype, name="embedding_1")(target)
        y, _, _ = layers.LSTM(4, return_sequences=True, return_state=True, dtype=dtype, name="decoder")(
            y, initial_state=[h, c]
        )
        y = layers.TimeDistributed(layers.Dense(6, activation="softmax", dtype=dtype), dtype=dtype, name="t")(y)
        return keras.Model([source, target], y, name="seq2seq")

    case("seq2seq", seq2seq, ids=6)

    def bidirectional_states(dtype):
        x = keras.Input((5, 3), dtype=dtype, name="x")
        y, fh, fc, bh, bc = layers.Bidirectional(
            layers.LSTM(2, return_sequences=True, return_state=True, dtype=dtype), dtype=dtype, name="b"
        )(layers.Masking(dtype=dtype, name="masking")(x))
        z = layers.Bidirectional(layers.LSTM(2, dtype=dtype), dtype=dtype, name="b_1")(y, initial_state=[fh, fc, bh, bc])
        return keras.Model(x, [z, layers.Concatenate(dtype=dtype, name="j")([fh, bh])], name="states")

    case("bidirectional_states", bidirectional_states, pad=True)

    def attention(dtype):
        x = keras.Input((5, 3), dtype=dtype, name="x")
        y = layers.Conv1D(4, 1, activation="relu", dtype=dtype, name="conv")(x)
        y = layers.LSTM(4, return_sequences=True, dtype=dtype, name="lstm")(y)
        a = layers.Dense(4, activation="softmax", dtype=dtype, name="dense")(y)
        a = layers.Permute((2, 1), dtype=dtype, name="p")(a)
        b = layers.Permute((2, 1), dtype=dtype, name="q")(y)
        y = layers.Multiply(dtype=dtype, name="m")([a, b])
        y = layers.Dense(1, activation="sigmoid", dtype=dtype, name="out")(layers.Flatten(dtype=dtype, name="f")(y))
        return keras.Model(x, y, name="attention")

    case("attention", attention)

    def luong(name, key=False, masked=(), call=None, kind=layers.Attention, **arguments):
        """Keras's Attention of 4 steps over 5 places, its inputs after a Masking where `masked` names them; an LSTM shows
        whether the mask of the query comes through."""

        def model(dtype):
            def inputs(name, shape):
                x = y = keras.Input(shape, dtype=dtype, name=name)
                if name in masked:
                    y = layers.Masking(dtype=dtype, name=f"mask_{name}")(x)
                return x, y

            pairs = [inputs("query", (4, 3)), inputs("value", (5, 2 if key else 3))]
            if key:
                pairs.append(inputs("key", (5, 3)))
            layer = kind(dtype=dtype, name="attention", **arguments)
            y = layer([y for _, y in pairs], **(call or {}))
            outputs = list(y) if isinstance(y, (tuple, list)) else [y]
            outputs[0] = layers.LSTM(2, return_sequences=True, dtype=dtype, name="after")(outputs[0])
            return keras.Model([x for x, _ in pairs], outputs, name="model")

        case(f"{'luong' if kind is layers.Attention else 'additive'}{name}", model, pad=True)

    luong("")
    luong("_key", key=True)
    luong("_scale", use_scale=True)
    luong("_concat", score_mode="concat")
    luong("_concat_scale", score_mode="concat", use_scale=True)
    luong("_causal", call={"use_causal_mask": True})
    luong("_scores", call={"return_attention_scores": True}, use_scale=True)
    luong("_dropout", dropout=0.5)
    for masked in (("query",), ("value",), ("query", "value"), ("query", "value", "key")):
        luong(f"_mask_{'_'.join(masked)}", key="key" in masked, masked=masked)
    luong("_mask_causal", masked=("query", "value"), call={"use_causal_mask": True}, use_scale=True)

    additive = functools.partial(luong, kind=layers.AdditiveAttention)
    additive("")
    additive("_key", key=True)
    additive("_bare", use_scale=False)
    additive("_causal", call={"use_causal_mask": True})
    additive("_scores", call={"return_attention_scores": True})
    additive("_dropout", dropout=0.5)
    additive("_mask", masked=("query", "value"))
    additive("_mask_key_causal", key=True, masked=("query", "value", "key"), call={"use_causal_mask": True})

    def heads(name, kind, shapes=((4, 3), (5, 3)), masked=(), by_name=False, hand=None, call=None, **arguments):
        """A layer of heads over a query, a value and perhaps a key of these shapes, and with `hand` a mask of that shape."""

        def model(dtype):
            xs = [keras.Input(shape, dtype=dtype, name=f"x{index}") for index, shape in enumerate(shapes)]
            ys = [layers.Masking(dtype=dtype, name=f"mask_{i}")(x) if i in masked else x for i, x in enumerate(xs)]
            given = dict(call or {})
            if hand:
                xs.append(keras.Input(hand, dtype="int32", name="hand"))
                given["attention_mask"] = xs[-1]
            layer = kind(dtype=dtype, name="attention", **arguments)
            if by_name:
                roles = dict(zip(("query", "value", "key"), ys))
                y = layer(**given, **dict(reversed(roles.items())))
            else:
                y = layer(*ys, **given)
            outputs = list(y) if isinstance(y, (tuple, list)) else [y]
            if masked:
                outputs[0] = layers.LSTM(2, return_sequences=True, dtype=dtype, name="after")(outputs[0])
            return keras.Model(xs, outputs, name="model")

        case(name, model, pad=True, ids=2)

    mha = layers.MultiHeadAttention
    multi = functools.partial(heads, kind=mha, num_heads=2, key_dim=3)
    multi("heads")
    multi("heads_key", shapes=((4, 3), (5, 2), (5, 4)), value_dim=2, by_name=True)
    multi("heads_bare", use_bias=False, shapes=((4, 3), (5, 2)))
    multi("heads_gate", use_gate=True, value_dim=4)
    multi("heads_output", output_shape=(2, 3))
    multi("heads_window", sliding_window=2)
    multi("heads_causal", call={"use_causal_mask": True})
    multi("heads_causal_window", sliding_window=2, call={"use_causal_mask": True})
    # Keras's own table has the steps in the place of the places.
    multi("heads_scores", call={"return_attention_scores": True, "use_causal_mask": True})
    multi("heads_dropout", dropout=0.5)
    multi("heads_plane", shapes=((3, 4, 2), (2, 5, 2)))
    multi("heads_axis", shapes=((3, 4, 2), (3, 5, 2)), attention_axes=2, call={"return_attention_scores": True})
    multi("heads_axis_first", shapes=((4, 3, 2), (4, 3, 2)), attention_axes=-3, call={"use_causal_mask": True})
    multi("heads_axes", shapes=((3, 4, 2), (2, 5, 2)), attention_axes=(2, 1), value_dim=2)
    for masked in ((0,), (1,), (0, 1), (0, 1, 2)):
        shapes = ((4, 3), (5, 3), (5, 2))[: max(2, len(masked))]
        multi(f"heads_mask_{len(masked)}{masked[0]}", shapes=shapes, masked=masked)
    multi("heads_mask_dropout", masked=(0, 1), dropout=0.2)
    multi("heads_mask_scores", masked=(0, 1), call={"return_attention_scores": True, "use_causal_mask": True})
    multi("heads_hand", hand=(4, 5))
    multi("heads_hand_heads", hand=(2, 4, 5), call={"return_attention_scores": True})
    multi("heads_hand_mask", hand=(4, 5), masked=(0, 1), use_gate=True)

    groups = functools.partial(
        heads, kind=layers.GroupQueryAttention, head_dim=3, num_query_heads=4, num_key_value_heads=2)  # fmt: skip
    groups("groups")
    groups("groups_key", shapes=((4, 3), (5, 3), (5, 2)), by_name=True)
    groups("groups_one", num_key_value_heads=1, use_bias=False)
    groups("groups_gate", use_gate=True)
    groups("groups_window_causal", sliding_window=2, call={"use_causal_mask": True})
    groups("groups_scores", call={"return_attention_scores": True}, dropout=0.3)
    groups("groups_mask", masked=(0, 1))
    groups("groups_mask_dropout", masked=(0, 1), dropout=0.2, call={"use_causal_mask": True})
    groups("groups_mask_key", shapes=((4, 3), (5, 3), (5, 2)), masked=(1, 2))
    groups("groups_hand", hand=(4, 5))
    groups("groups_hand_scores", hand=(4, 5), call={"return_attention_scores": True})

    def shared(dtype):
        a, b = keras.Input((4, 3), dtype=dtype, name="a"), keras.Input((4, 3), dtype=dtype, name="b")
        lstm = layers.LSTM(3, dtype=dtype, name="lstm")
        nested = keras.Sequential(
            [keras.Input((3,), dtype=dtype), layers.Dense(2, dtype=dtype, name="dense"),
             layers.BatchNormalization(dtype=dtype, name="norm")],
            name="nested",
        )  # fmt: skip
        p, q = nested(lstm(a)), nested(lstm(b))
        return keras.Model([b, a], [layers.Subtract(dtype=dtype, name="s")([p, q]), q], name="shared")

    case("shared", shared)

    def nested(dtype):
        inner_x = keras.Input((5, 3), dtype=dtype, name="inner_x")
        inner_y = layers.GRU(3, return_sequences=True, dtype=dtype, name="gru")(inner_x)
        inner = keras.Model(inner_x, [inner_y, layers.Dense(2, dtype=dtype, name="dense")(inner_y)], name="inner")
        x = keras.Input((5, 3), dtype=dtype, name="x")
        p, q = inner(layers.Masking(dtype=dtype, name="masking")(x))
        y = layers.LSTM(2, dtype=dtype, name="lstm")(layers.Concatenate(dtype=dtype, name="j")([p, q]))
        return keras.Model(x, y, name="outer")

    case("nested", nested, pad=True)

    def frames(dtype):
        return keras.Sequential(
            [
                keras.Input((3, 6, 6, 1), dtype=dtype, name="x"),
                layers.TimeDistributed(layers.Conv2D(2, 3, activation="relu", dtype=dtype), dtype=dtype, name="t"),
                layers.TimeDistributed(layers.MaxPooling2D(2, dtype=dtype), dtype=dtype, name="t_1"),
                layers.TimeDistributed(layers.Flatten(dtype=dtype), dtype=dtype, name="t_2"),
                layers.Bidirectional(layers.LSTM(3, dtype=dtype), dtype=dtype, name="b"),
                layers.BatchNormalization(dtype=dtype, name="n"),
                layers.Dense(1, activation="sigmoid", dtype=dtype, name="d"),
            ],
            name="frames",
        )

    case("frames", frames)

    def masks(dtype):
        return keras.Sequential(
            [
                keras.Input((6,), dtype="int32", name="x"),
                layers.Embedding(6, 3, mask_zero=True, dtype=dtype, name="e"),
                layers.Bidirectional(layers.GRU(3, return_sequences=True, dtype=dtype), dtype=dtype, name="b"),
                layers.TimeDistributed(layers.Dense(4, activation="relu", dtype=dtype), dtype=dtype, name="t"),
                layers.BatchNormalization(dtype=dtype, name="n"),
                layers.Dropout(0.5, dtype=dtype, name="d"),
                layers.Activation("tanh", dtype=dtype, name="a"),
                layers.LSTM(3, dtype=dtype, name="l"),
            ],
            name="masks",
        )

    case("masks", masks, ids=6)
    return cases
