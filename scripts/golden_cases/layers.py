"""Embedding, Dense, Dropout, the activations and the loss."""

import keras
import numpy as np
import tensorflow as tf

from . import ELEMENTWISE, ROWWISE, agree, config_of, generator, write


def layer_case(name, make, shape, ids=None, training=False):
    """A layer without time: Embedding, Dense, Dropout."""
    rng = generator(name)

    def run(dtype, given):
        layer = make(dtype)
        layer.build(shape)
        tensors = {}
        for variable in layer.trainable_variables:
            value = given[variable.name] if given else (0.6 * rng.standard_normal(variable.shape)).astype(np.float32)
            tensors[variable.name] = value
            variable.assign(value)
        if ids is None:
            tensors["x"] = given["x"] if given else rng.standard_normal(shape).astype(np.float32)
            x = tf.constant(tensors["x"], dtype)
        else:
            tensors["x"] = rng.integers(0, ids, shape).astype(np.uint32)
            x = tf.constant(tensors["x"].astype(np.int32))
            if given:
                tensors["x"] = given["x"]
                x = tf.constant(given["x"].astype(np.int32))
        sources = {f"d_{variable.name}": variable.value for variable in layer.trainable_variables}
        with tf.GradientTape() as tape:
            if ids is None:
                tape.watch(x)
                sources["dx"] = x
            y = layer(x, training=training)
            tensors["dy"] = given["dy"] if given else rng.standard_normal(y.shape).astype(np.float32)
            loss = tf.reduce_sum(y * tf.constant(tensors["dy"], dtype))
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        tensors |= {key: tf.convert_to_tensor(value).numpy() for key, value in gradients.items()}
        tensors["y"] = y.numpy()
        if isinstance(layer, keras.layers.Dropout) and training:
            # The same seed draws the same mask; ones show it.
            tensors["dropout_mask"] = make(dtype)(tf.ones_like(x), training=True).numpy()
        if isinstance(layer, keras.layers.Embedding) and layer.mask_zero:
            tensors["y_mask"] = layer.compute_mask(x).numpy().astype(np.uint8)
        return type(layer).__name__, config_of(layer), tensors

    class_name, config, tensors = run("float32", None)
    if class_name != "Dropout":  # a dropout mask belongs to its type; nothing else is computed there
        agree(name, tensors, run("float64", tensors)[2])
    write(name, {"class_name": class_name, "config": config, "training": training}, tensors)


def other_cases():
    """Embedding, Dense and Dropout."""
    layers = keras.layers
    cases = []

    def case(name, make, *arguments, **options):
        cases.append((name, lambda name: layer_case(name, make, *arguments, **options)))

    case("embedding_default", lambda dtype: layers.Embedding(9, 4, dtype=dtype), (3, 6), ids=9)
    case("embedding_mask_zero", lambda dtype: layers.Embedding(4, 3, mask_zero=True, dtype=dtype), (3, 6), ids=4)
    for activation in ELEMENTWISE + ROWWISE:
        case(f"dense_{activation}", lambda dtype, a=activation: layers.Dense(5, activation=a, dtype=dtype), (3, 4))
    case("dense_no_bias", lambda dtype: layers.Dense(3, use_bias=False, dtype=dtype), (5, 4))
    case("dense_3d", lambda dtype: layers.Dense(3, activation="tanh", dtype=dtype), (2, 4, 5))
    case("dense_3d_softmax", lambda dtype: layers.Dense(3, activation="softmax", dtype=dtype), (2, 4, 5))
    case("dense_large", lambda dtype: layers.Dense(9, dtype=dtype), (19, 9))
    case("dropout_training", lambda dtype: layers.Dropout(0.4, seed=3, dtype=dtype), (4, 3, 5), training=True)
    case("dropout_inference", lambda dtype: layers.Dropout(0.4, seed=3, dtype=dtype), (4, 5))
    case("dropout_all", lambda dtype: layers.Dropout(1.0, seed=3, dtype=dtype), (4, 5), training=True)
    return cases


def activations_elementwise(name):
    """Each activation over a sweep of numbers: `y.NAME`, and its slope `dy.NAME`."""
    sweep = np.concatenate([np.arange(-30, -6, 2), np.arange(-6, 6, 0.25), np.arange(6, 31, 2)])
    special = [-0.0, 1e-7, -1e-7, 1e-3, -1e-3, 80, -80, 87, -87, 100, -100, 1e4, -1e4]
    x = np.concatenate([sweep, special]).astype(np.float32)
    tensors = {"x": x}
    for activation in ELEMENTWISE:
        value = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(value)
            y = keras.activations.get(activation)(value)
            loss = tf.reduce_sum(y)
        slope = tape.gradient(loss, value)
        tensors |= {f"y.{activation}": y.numpy(), f"dy.{activation}": slope.numpy()}
    write(name, {"class_name": "Activation", "config": {"activations": ELEMENTWISE}}, tensors)


def activations_rowwise(name):
    """Those that look along a row, with a gradient from above: `y.NAME`, `dx.NAME`."""
    rng = generator(name)
    x = rng.standard_normal((7, 6)).astype(np.float32)
    x *= np.array([[0.1], [1], [3], [10], [30], [100], [1]], np.float32)
    x[6] = 0.5
    dy = rng.standard_normal(x.shape).astype(np.float32)
    tensors = {"x": x, "dy": dy}
    for activation in ROWWISE:
        value = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(value)
            y = keras.activations.get(activation)(value)
            loss = tf.reduce_sum(y * dy)
        tensors |= {f"y.{activation}": y.numpy(), f"dx.{activation}": tape.gradient(loss, value).numpy()}
    write(name, {"class_name": "Activation", "config": {"activations": ROWWISE}}, tensors)


def binary_crossentropy(name):
    """The loss on a sigmoid's logits: each value, the mean and its gradient with respect to the logits."""
    logits = np.array([-1e4, -100, -88, -20, -5, -1, -1e-3, 0, 1e-3, 1, 5, 20, 88, 100, 1e4], np.float32)
    tensors = {}
    for target in (0, 1):
        x = tf.constant(logits[:, None])
        z = tf.fill(x.shape, float(target))
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = keras.losses.BinaryCrossentropy()(z, keras.ops.sigmoid(x))
        tensors[f"loss_{target}"] = loss.numpy()[None]
        tensors[f"losses_{target}"] = keras.losses.binary_crossentropy(z, keras.ops.sigmoid(x)).numpy()
        tensors[f"dx_{target}"] = tape.gradient(loss, x).numpy()[:, 0]
    write(name, {"class_name": "BinaryCrossentropy", "config": {}}, {"x": logits, **tensors})
