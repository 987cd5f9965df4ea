"""Whole models: masks on their way, training, inference and summaries."""

import sys

import keras
import numpy as np
import tensorflow as tf

from . import OUT, agree, config_of, full_name, generator, write


def sequence(k):
    """Integers without pattern, from 64-bit arithmetic alone: the same in every language."""
    k = np.asarray(k, np.uint64)
    return k * np.uint64(7919) + k * k % np.uint64(104729) + k * k * k % np.uint64(1299709)


def ruled_weight(index, shape, divisor):
    """Variable number `index` of a model: one float32 division an element, so that nothing need be stored."""
    size = int(np.prod(shape))
    values = sequence(np.arange(size, dtype=np.uint64) + np.uint64(1_000_003 * index)) % np.uint64(2001)
    return ((values.astype(np.float32) - np.float32(1000)) / np.float32(divisor)).reshape(shape)


def ruled_batch(step, batch=64, time=100, vocabulary=500):
    """Batch number `step`: ids, and a label that the last two ids decide."""
    first = step * batch * time
    ids = (sequence(np.arange(first, first + batch * time, dtype=np.uint64)) % np.uint64(vocabulary)).astype(np.int32)
    ids = ids.reshape(batch, time)
    return ids, (ids[:, -1] + ids[:, -2] < vocabulary).astype(np.float32)


DIVISORS = {"embeddings": 20480.0, "kernel": 2560.0, "recurrent_kernel": 2560.0, "bias": 10240.0}


def model_config(model):
    """A model as the crate's configuration: Keras's own, of the fields that change numbers."""
    first = model.layers[0]
    ids = isinstance(first, keras.layers.Embedding)
    shape = [None, *model.input_shape[1:]]
    given = {"name": "input_layer", "batch_shape": shape, "dtype": "int32" if ids else "float32"}
    layers = [{"class_name": "InputLayer", "config": given}]
    for layer in model.layers:
        layers.append({"class_name": type(layer).__name__, "config": {"name": layer.name, **config_of(layer)}})
    return {"name": model.name, "layers": layers}


def chapter_model(name, dropout=None, dtype="float32"):
    """The models of the zoo; with `dropout`, that rate instead of their own."""
    keras.utils.clear_session()
    layers = keras.layers

    def rate(own):
        return own if dropout is None else dropout

    recurrent_layers = {
        "simple-rnn": lambda: [layers.SimpleRNN(8, dtype=dtype)],
        "lstm": lambda: [layers.LSTM(8, dtype=dtype)],
        "dropout-lstm": lambda: [layers.LSTM(8, dropout=rate(0.3), dtype=dtype)],
        "stacked-lstm": lambda: [
            layers.LSTM(8, dropout=rate(0.3), return_sequences=True, dtype=dtype),
            layers.LSTM(8, dropout=rate(0.3), dtype=dtype),
        ],
        "gru": lambda: [layers.GRU(8, dtype=dtype)],
    }[name]()
    model = keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            layers.Embedding(500, 16, dtype=dtype),
            *recurrent_layers,
            layers.Dense(1, activation="sigmoid", dtype=dtype),
        ],
        name=name,
    )
    for index, variable in enumerate(model.trainable_variables):
        variable.assign(ruled_weight(index, tuple(variable.shape), DIVISORS[variable.name]))
    return model


def train(name, model_name, learning_rate, steps):
    """RMSprop steps of a chapter model on ruled batches: the loss before each step, and the weights after the last."""

    def run(dtype):
        model = chapter_model(model_name, dropout=0.0, dtype=dtype)
        optimizer = keras.optimizers.RMSprop(learning_rate)
        loss_function = keras.losses.BinaryCrossentropy(dtype=dtype)
        optimizer.build(model.trainable_variables)

        @tf.function
        def step(ids, labels):
            with tf.GradientTape() as tape:
                loss = loss_function(labels, model(ids, training=True))
            gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)
            return loss

        losses = []
        for i in range(steps):
            ids, labels = ruled_batch(i)
            losses.append(step(tf.constant(ids), tf.constant(labels[:, None], dtype)).numpy())
        tensors = {"losses": np.array(losses)}
        for variable in model.trainable_variables:
            value = variable.numpy()
            # The table is large and its rows are alike: every twentieth row.
            tensors[f"final.{full_name(variable)}"] = value[::20] if variable.name == "embeddings" else value
        tensors["probabilities"] = model(tf.constant(ruled_batch(steps)[0]), training=False).numpy()
        return model, tensors

    model, tensors = run("float32")
    double = run("float64")[1]
    spread = {key: float(np.max(np.abs(value - double[key]))) for key, value in tensors.items()}
    print(f"{name}: float32 and float64 differ by {max(spread.values()):.1e}")
    if max(spread.values()) > 3e-5:
        sys.exit(f"{name}: float32 and float64 differ too much: {spread}")
    case = {
        "class_name": "Training",
        "config": model_config(model),
        "learning_rate": learning_rate,
        "steps": steps,
        "divisors": DIVISORS,
        "embedding_row_step": 20,
    }
    write(name, case, tensors)


def inference(name, model_name):
    """Probabilities of a chapter model on the first ruled batch, dropout off."""
    model = chapter_model(model_name)
    config = model_config(model)
    ids = tf.constant(ruled_batch(0)[0])
    tensors = {"probabilities": model(ids, training=False).numpy()}
    double = chapter_model(model_name, dtype="float64")
    agree(name, tensors, {"probabilities": double(ids, training=False).numpy()})
    write(name, {"class_name": "Inference", "config": config, "divisors": DIVISORS}, tensors)


def sequential(name, make, shape, ids=None):
    """A small model: how masks travel between layers, and every weight's gradient."""
    rng = generator(name)

    def run(dtype, given):
        keras.utils.clear_session()
        model = keras.Sequential([keras.Input(shape[1:], dtype="int32" if ids else dtype), *make(dtype)], name="model")
        weights = {full_name(variable): variable for variable in model.trainable_variables}
        tensors = {}
        for key, variable in weights.items():
            tensors[key] = given[key] if given else (0.6 * rng.standard_normal(variable.shape)).astype(np.float32)
            variable.assign(tensors[key])
        if given:
            tensors["x"] = given["x"]
        elif ids:
            tensors["x"] = rng.integers(0, ids, shape).astype(np.uint32)
            tensors["x"][0, :2] = 0
            tensors["x"][1] = 0
        else:
            tensors["x"] = rng.standard_normal(shape).astype(np.float32)
        x = tf.constant(tensors["x"].astype(np.int32) if ids else tensors["x"].astype(dtype))
        with tf.GradientTape() as tape:
            y = model(x, training=False)
            tensors["dy"] = given["dy"] if given else rng.standard_normal(y.shape).astype(np.float32)
            loss = tf.reduce_sum(y * tf.constant(tensors["dy"], dtype))
        gradients = tape.gradient(loss, {f"d_{key}": variable.value for key, variable in weights.items()})
        tensors |= {key: tf.convert_to_tensor(value).numpy() for key, value in gradients.items()}
        tensors["y"] = y.numpy()
        return model_config(model), tensors

    config, tensors = run("float32", None)
    agree(name, tensors, run("float64", tensors)[1])
    write(name, {"class_name": "Sequential", "config": config}, tensors)


def model_cases():
    """Whole models."""
    layers = keras.layers
    cases = []

    def case(name, make, shape, ids=None):
        cases.append((f"model_{name}", lambda name: sequential(name, make, shape, ids)))

    def embedding(dtype):
        return layers.Embedding(6, 3, mask_zero=True, dtype=dtype)

    sigmoid = {"activation": "sigmoid"}
    case(
        "mask_stacked",
        lambda dtype: [
            embedding(dtype),
            layers.LSTM(4, return_sequences=True, dtype=dtype),
            layers.Dropout(0.5, dtype=dtype),
            layers.GRU(3, return_sequences=True, dtype=dtype),
            layers.SimpleRNN(3, dtype=dtype),
            layers.Dense(1, dtype=dtype, **sigmoid),
        ],
        (4, 6),
        ids=6,
    )
    case(
        "mask_backwards",
        lambda dtype: [
            embedding(dtype),
            layers.GRU(4, return_sequences=True, go_backwards=True, dtype=dtype),
            layers.LSTM(3, dtype=dtype),
            layers.Dense(2, activation="softmax", dtype=dtype),
        ],
        (4, 6),
        ids=6,
    )
    case(
        "mask_dense",
        lambda dtype: [
            embedding(dtype),
            layers.Dense(4, activation="relu", dtype=dtype),
            layers.LSTM(3, return_sequences=True, dtype=dtype),
            layers.LSTM(3, dtype=dtype),
        ],
        (4, 6),
        ids=6,
    )
    case(
        "features",
        lambda dtype: [
            layers.GRU(4, return_sequences=True, reset_after=False, dtype=dtype),
            layers.LSTM(3, return_sequences=True, activation="relu", dtype=dtype),
            layers.Dense(2, dtype=dtype),
        ],
        (3, 5, 3),
    )
    for model in ("lstm", "gru", "simple-rnn", "stacked-lstm"):
        key = model.replace("-", "_")
        cases.append((f"train_{key}_50", lambda name, m=model: train(name, m, 1e-4, 50)))
        cases.append((f"train_{key}_20_fast", lambda name, m=model: train(name, m, 1e-2, 20)))
    for model in ("lstm", "dropout-lstm", "stacked-lstm", "gru", "simple-rnn"):
        cases.append((f"inference_{model.replace('-', '_')}", lambda name, m=model: inference(name, m)))
    return cases


def summaries():
    """What `model.summary()` prints for the chapter models."""
    parts = []
    for name in ("simple-rnn", "lstm", "dropout-lstm", "stacked-lstm", "gru"):
        lines = []
        chapter_model(name).summary(print_fn=lambda text, **_: lines.append(text))
        parts.append("\n".join(lines).rstrip() + "\n")
    (OUT / "summaries.txt").write_text("\n".join(parts), encoding="utf-8")
