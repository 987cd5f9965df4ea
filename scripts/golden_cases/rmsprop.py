"""The optimizer RMSprop."""

import keras
import numpy as np
import tensorflow as tf

from . import generator, write


def rmsprop(name, steps=6, **arguments):
    """A few steps of the optimizer from given gradients: the variables after each."""
    rng = generator(name)
    shapes = {"a": (3, 4), "b": (5,)}
    tensors = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    for key, shape in shapes.items():
        gradients = rng.standard_normal((steps, *shape)) * 10.0 ** rng.integers(-5, 2, (steps, *shape))
        gradients[:, 0] = 0.0
        gradients[1] = 0.0
        tensors[f"gradients_{key}"] = gradients.astype(np.float32)
    optimizer = keras.optimizers.RMSprop(**arguments)
    variables = {key: keras.Variable(tensors[key], name=key) for key in shapes}
    after = {key: [] for key in shapes}
    for step in range(steps):
        optimizer.apply([tf.constant(tensors[f"gradients_{key}"][step]) for key in shapes], list(variables.values()))
        for key, variable in variables.items():
            after[key].append(variable.numpy())
    tensors |= {f"after_{key}": np.stack(values) for key, values in after.items()}
    for variable in optimizer.variables[2:]:  # after the iteration and the learning rate
        key, slot = variable.name.split("_", 1)
        tensors[f"slot.{key}.{slot}"] = variable.numpy()
    write(name, {"class_name": "RMSprop", "config": rmsprop_config(arguments)}, tensors)


def rmsprop_slices(name, steps=4, **arguments):
    """The same for an Embedding, whose gradient TensorFlow keeps as one slice a token. Keras squares slice by slice, so
    the mean square of a row gathers the sum of the slices' squares rather than the square of their sum."""
    rng = generator(name)
    rows, width, tokens = 5, 3, 8
    tensors = {"a": rng.standard_normal((rows, width)).astype(np.float32)}
    tensors["ids"] = rng.integers(0, rows - 1, (steps, tokens)).astype(np.uint32)  # the last row is never seen
    slices = rng.standard_normal((steps, tokens, width)) * 10.0 ** rng.integers(-4, 1, (steps, tokens, 1))
    tensors["slices"] = slices.astype(np.float32)
    optimizer = keras.optimizers.RMSprop(**arguments)
    variable = keras.Variable(tensors["a"], name="a")
    after = []
    for ids, values in zip(tensors["ids"], tensors["slices"]):
        gradient = tf.IndexedSlices(tf.constant(values), tf.constant(ids.astype(np.int32)), tf.constant([rows, width]))
        optimizer.apply([gradient], [variable])
        after.append(variable.numpy())
    tensors["after"] = np.stack(after)
    write(name, {"class_name": "RMSpropSlices", "config": rmsprop_config(arguments)}, tensors)


def rmsprop_config(arguments):
    """The optimizer's options; the rate as it was given, for Keras keeps it in float32."""
    fields = [
        "learning_rate", "rho", "momentum", "epsilon", "centered", "weight_decay", "clipnorm", "clipvalue",
        "global_clipnorm",
    ]  # fmt: skip
    config = keras.optimizers.RMSprop(**arguments).get_config()
    return {field: config[field] for field in fields} | {"learning_rate": arguments.get("learning_rate", 0.001)}


def rmsprop_cases():
    """Every option of the optimizer."""
    options = {
        "default": {},
        "momentum": {"momentum": 0.9},
        "centered": {"centered": True, "rho": 0.8},
        "centered_momentum": {"centered": True, "momentum": 0.5, "epsilon": 1e-3},
        "weight_decay": {"weight_decay": 0.01, "learning_rate": 0.1},
        "clipnorm": {"clipnorm": 0.5, "learning_rate": 0.01},
        "clipvalue": {"clipvalue": 0.3, "learning_rate": 0.01},
        "global_clipnorm": {"global_clipnorm": 0.7, "learning_rate": 0.01},
        "all": {"momentum": 0.9, "centered": True, "weight_decay": 0.004, "clipnorm": 1.0, "rho": 0.95},
    }
    cases = [(f"rmsprop_{key}", lambda name, o=value: rmsprop(name, **o)) for key, value in options.items()]
    for key in ("default", "momentum", "weight_decay", "clipnorm", "global_clipnorm"):
        cases.append((f"rmsprop_slices_{key}", lambda name, o=options[key]: rmsprop_slices(name, **o)))
    return cases
