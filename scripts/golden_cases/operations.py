"""Operations of `keras.ops` between layers: every one that the crate knows, with every argument that changes numbers.

A case is a functional model of one or several inputs whose outputs are one operation each, or a few of them in a row; its
file is like that of a graph.
"""

import keras
import numpy as np
from keras import ops

from .graphs import as_list, graph, references

SLICE = {"class_name": "__slice__"}


def key_text(key):
    """What stands between the brackets, as the crate writes it."""

    def index(part):
        if isinstance(part, dict) and part["class_name"] == "__slice__":
            bounds = ["" if part["config"][name] is None else str(part["config"][name]) for name in ("start", "stop", "step")]
            return ":".join(bounds if bounds[2] else bounds[:2])
        if isinstance(part, dict):
            return "..."
        return str(part)

    return f"[{', '.join(index(part) for part in (key if isinstance(key, (list, tuple)) else [key]))}]"


def constant(value):
    """A constant in the place of a tensor; nothing where it is a tensor."""
    if isinstance(value, dict):
        return None if value["class_name"] == "__keras_tensor__" else value["config"]["value"]
    return value


def operation(layer):
    """An operation as the crate's layer."""
    config = {key: value for key, value in layer["config"].items() if key not in ("name",) and value is not None}
    # `None` of a softmax is no default.
    if layer["class_name"] in ("Softmax", "LogSoftmax") and layer["config"]["axis"] is None:
        config["axis"] = None
    [node] = layer["inbound_nodes"]
    entry = {"name": layer["config"]["name"], "op": layer["class_name"]}
    args = node["args"]
    if layer["class_name"] == "GetItem":
        args, config["key"] = args[:1], key_text(args[1])
    if args and isinstance(args[0], (list, tuple)):
        args = args[0]
    operands = [constant(value) for value in args]
    if any(value is not None for value in operands):
        entry["operands"] = operands
    config |= {key: value for key, value in node["kwargs"].items() if value is not None}
    return {"class_name": "Operation", "config": entry | config, "inbound_nodes": [references(args)]}


def canonical_operations(config):
    """A model of inputs and operations as the crate's JSON."""
    kept = {"name": config["name"], "layers": []}
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            entry = {key: layer["config"][key] for key in ("name", "batch_shape", "dtype")}
            kept["layers"].append({"class_name": "InputLayer", "config": entry | {"batch_shape": list(entry["batch_shape"])}})
        else:
            kept["layers"].append(operation(layer))
    return kept | {key: as_list(config[key]) for key in ("input_layers", "output_layers")}


def whole(x):
    """Whole numbers."""
    return ops.cast(x * 3.0, "int32")


def array(*numbers):
    """A constant in the place of a tensor."""
    return np.array(numbers, "float32")


def positive(x):
    return ops.absolute(x) + 0.5


# One operand: the name of the case, and the outputs made of x (5, 4).
ONE = {
    "slices": [
        lambda x: x[:, -1, :], lambda x: x[..., 0], lambda x: x[:, None, ::-1, 1:3], lambda x: x[:, 1:-1:2],
        lambda x: x[:, 0], lambda x: x[:, -2:], lambda x: x[:, ..., -1], lambda x: x[:, 4:0:-2, :-1],
    ],
    "slices_open": [lambda x: x[:, 0], lambda x: x[:, -1, 1:], lambda x: x[:, ::-1]],
    "scalars": [
        lambda x: x + 1, lambda x: 2.0 - x, lambda x: x * 0.5, lambda x: 3 * x, lambda x: x / 4, lambda x: -x,
        lambda x: x - 0.25, lambda x: x**2, lambda x: abs(x), lambda x: 1.0 / positive(x),
    ],
    "signs": [
        ops.absolute, ops.negative, ops.square, ops.sign, ops.floor, ops.ceil, ops.trunc, ops.round, ops.reciprocal,
        lambda x: ops.round(x, decimals=1), lambda x: ops.round(ops.cast(whole(x), "float32") / 2.0), ops.copy,
        keras.src.ops.numpy.Abs(),
    ],
    "exponentials": [
        ops.exp, ops.expm1, lambda x: ops.expm1(x * 0.01), lambda x: ops.log(positive(x)), lambda x: ops.log1p(positive(x)),
        lambda x: ops.log1p(x * 0.01), lambda x: ops.log2(positive(x)), lambda x: ops.log10(positive(x)),
        lambda x: ops.sqrt(positive(x)), lambda x: ops.rsqrt(positive(x)),
    ],
    "trigonometry": [ops.sin, ops.cos, lambda x: ops.tan(x * 0.3), ops.sinh, ops.cosh, ops.tanh, ops.erf],
    "activations": [
        ops.sigmoid, ops.log_sigmoid, ops.relu, ops.relu6, ops.silu, ops.gelu, lambda x: ops.gelu(x, approximate=False),
        ops.softplus, ops.softsign, ops.elu, lambda x: ops.elu(x, alpha=0.5), ops.selu, ops.leaky_relu,
        lambda x: ops.leaky_relu(x, negative_slope=0.4), ops.hard_sigmoid, ops.hard_silu, ops.hard_tanh, ops.celu,
        lambda x: ops.celu(x, alpha=0.7), ops.glu, lambda x: keras.activations.relu(x),
        lambda x: keras.activations.relu(x, negative_slope=0.1, max_value=0.9, threshold=0.2),
    ],
    "softmaxes": [
        ops.softmax, lambda x: ops.softmax(x, axis=1), ops.log_softmax, lambda x: ops.log_softmax(x, axis=1),
    ],
    "softmax_all": [
        lambda x: ops.softmax(ops.stack([x[:, 0], x[:, 1]], axis=0)[0], axis=1),
    ],
    "clips": [lambda x: ops.clip(x, -0.5, 0.7), lambda x: ops.clip(x, 0, 1), lambda x: ops.clip(whole(x), -1, 2)],
    "casts": [
        whole, lambda x: ops.cast(x, "bool"), lambda x: ops.cast(x > 0, "float32"), lambda x: ops.cast(x, "int64"),
        lambda x: ops.cast(whole(x), "float32") * x, lambda x: ops.convert_to_tensor(x, dtype="int32"),
    ],
    "comparisons": [
        lambda x: x > 0, lambda x: x >= 0.5, lambda x: x < 0, lambda x: x <= -0.1, lambda x: ops.equal(whole(x), 1),
        lambda x: ops.not_equal(whole(x), 0), lambda x: ops.logical_not(x > 0), lambda x: (x > 0) & (x < 1),
        lambda x: (x > 1) | (x < 0), lambda x: ops.logical_xor(x > 0, x < 0.5), ops.isnan, ops.isfinite,
        lambda x: ops.logical_and(x, whole(x)), lambda x: ops.isnan(ops.sqrt(x)),
        lambda x: ops.isfinite(ops.log(ops.relu(x))),
    ],
    "whole_numbers": [
        lambda x: whole(x) + 2, lambda x: whole(x) * whole(x), lambda x: whole(x) / 2, lambda x: whole(x) // 2,
        lambda x: whole(x) % 3, lambda x: ops.sum(whole(x), axis=1), lambda x: ops.mean(whole(x), axis=1),
        lambda x: ops.max(whole(x), axis=1), lambda x: ops.maximum(whole(x), 1), lambda x: ops.power(whole(x), 2),
        lambda x: ops.square(whole(x)), lambda x: whole(x) * 0.5, lambda x: ops.relu(whole(x)), lambda x: ops.sign(whole(x)),
        lambda x: ops.sum(x > 0, axis=1), lambda x: ops.mean(x > 0, axis=1), lambda x: ops.prod(whole(x), axis=2),
        lambda x: ops.matmul(whole(x), ops.transpose(whole(x), (0, 2, 1))), lambda x: ops.cumsum(x > 0, axis=1),
    ],
    "means": [
        lambda x: ops.mean(x, axis=1), lambda x: ops.mean(x, axis=(1, 2), keepdims=True), lambda x: ops.sum(x, axis=-1),
        lambda x: ops.sum(x, axis=[1, 2]), lambda x: ops.sum(x, axis=1, keepdims=True), lambda x: ops.prod(x, axis=1),
        lambda x: ops.prod(x, axis=(1, 2), keepdims=True), lambda x: ops.var(x, axis=1), lambda x: ops.std(x, axis=2),
        lambda x: ops.var(x, axis=(1, 2), keepdims=True), lambda x: ops.logsumexp(x, axis=1),
        lambda x: ops.logsumexp(x, axis=(1, 2), keepdims=True),
    ],
    "extremes": [
        lambda x: ops.max(x, axis=1), lambda x: ops.max(x, axis=(1, 2), keepdims=True), lambda x: ops.min(x, axis=-1),
        lambda x: ops.amax(x, axis=1), lambda x: ops.amin(x, axis=1), lambda x: ops.max(ops.relu(x - 1.0), axis=1),
        lambda x: ops.min(ops.relu(x), axis=1, keepdims=True),
        lambda x: ops.any(x > 1, axis=1), lambda x: ops.all(x > -1, axis=(1, 2), keepdims=True), lambda x: ops.any(whole(x), axis=2),
        lambda x: ops.argmax(x, axis=-1), lambda x: ops.argmin(x, axis=1), lambda x: ops.argmax(whole(x), axis=1, keepdims=True),
        lambda x: ops.count_nonzero(whole(x), axis=1),
    ],
    "norms": [
        lambda x: ops.norm(x, axis=-1), lambda x: ops.norm(x, axis=(1, 2), keepdims=True), lambda x: ops.norm(x, ord=1, axis=1),
        lambda x: ops.norm(x, ord="fro", axis=(1, 2)), lambda x: ops.norm(x, ord=3, axis=2), ops.normalize,
        lambda x: ops.normalize(x, axis=1), lambda x: ops.normalize(x, axis=1, order=1), lambda x: ops.normalize(x, epsilon=1.7),
        lambda x: ops.normalize(x, axis=2, order=3, epsilon=2.0),
    ],
    "axes": [
        lambda x: ops.reshape(x, (-1, 20)), lambda x: ops.reshape(x, (-1, 2, 10)), lambda x: ops.reshape(x, (-1, 4)),
        lambda x: ops.transpose(x, (0, 2, 1)), lambda x: ops.transpose(ops.transpose(x)), lambda x: ops.swapaxes(x, 1, -1),
        lambda x: ops.moveaxis(x, 1, -1), lambda x: ops.moveaxis(ops.expand_dims(x, 1), (1, 2), (3, 1)),
        lambda x: ops.expand_dims(x, 1), lambda x: ops.expand_dims(x, (1, -1)), lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
        lambda x: ops.squeeze(ops.expand_dims(x, (1, -1))), lambda x: ops.transpose(x, (1, 0, 2)),
        lambda x: ops.broadcast_to(ops.transpose(x, (1, 2, 0))[0], (2, 4, 3)), ops.ravel,
    ],
    "pieces": [
        lambda x: ops.concatenate([x, x * 2.0], axis=-1), lambda x: ops.concatenate([x, whole(x)], axis=1),
        lambda x: ops.stack([x, x * 2.0], axis=1), lambda x: ops.stack([x, x, x], axis=-1),
        lambda x: ops.mean(ops.stack([x, x * 3.0]), axis=0), lambda x: ops.split(x, 2, axis=-1),
        lambda x: ops.split(x, [1, 3], axis=1), lambda x: ops.unstack(x, axis=1), lambda x: ops.unstack(x, num=4, axis=2),
        lambda x: ops.flip(x, axis=1), lambda x: ops.flip(x, axis=(1, 2)), lambda x: ops.repeat(x, 2, axis=1),
        lambda x: ops.repeat(x, [1, 2, 1, 3], axis=2), lambda x: ops.tile(x, [1, 2, 1]), lambda x: ops.tile(x, (2, 3)),
        lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))), lambda x: ops.pad(x, ((0, 0), (2, 0), (0, 0)), constant_values=1.5),
        lambda x: ops.roll(x, 1, axis=1), lambda x: ops.roll(x, (-2, 1), axis=(1, 2)),
    ],
    "lookups": [
        lambda x: ops.take(x, [0, 2, -1], axis=1), lambda x: ops.take(x, 1, axis=-1), lambda x: ops.take(x, [[0, 1], [2, 0]], axis=2),
        lambda x: ops.cumsum(x, axis=1), lambda x: ops.cumsum(x, axis=-1), lambda x: ops.one_hot(whole(x), 3),
        lambda x: ops.one_hot(whole(x), 4, axis=1), lambda x: ops.one_hot(whole(x), 2, dtype="int32"), ops.zeros_like,
        lambda x: ops.ones_like(x, dtype="int32"), lambda x: ops.full_like(x, 3), lambda x: ops.full_like(x, 0.5) * x,
    ],
    "choices": [
        lambda x: ops.where(x > 0, x, 0.0), lambda x: ops.where(x > 0, x * 2.0, x), lambda x: ops.where(whole(x), 1.0, x),
        lambda x: ops.where(x > 0, 1, whole(x)), lambda x: ops.stop_gradient(x) * x, lambda x: x * array(1, 2, 3, 4),
        lambda x: ops.add(x, array([1], [2], [3], [4], [5])),
    ],
    "powers": [
        lambda x: x**3, lambda x: x**-1.0, lambda x: ops.power(positive(x), 0.5), lambda x: ops.power(positive(x), 2.5),
        lambda x: ops.power(2.0, x), lambda x: ops.power(positive(x), x), lambda x: ops.power(x, ops.round(x)), lambda x: x**0,
        lambda x: x**4,
    ],
}  # fmt: skip

# Two operands, x (5, 4) and y (5, 4).
TWO = {
    "pairs": [
        lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / positive(y), lambda x, y: ops.maximum(x, y),
        lambda x, y: ops.minimum(x, y), lambda x, y: x > y, lambda x, y: ops.divide(x, positive(y)),
        lambda x, y: ops.divide_no_nan(x, ops.relu(y)), lambda x, y: ops.floor_divide(x, positive(y)), lambda x, y: ops.mod(x, positive(y)),
        lambda x, y: ops.add(x, y[:, :1]), lambda x, y: ops.multiply(x, y[:, 0, :1][:, None]), lambda x, y: ops.maximum(x, x),
        lambda x, y: ops.where(x > y, x, y), lambda x, y: ops.mod(x, 0.7), lambda x, y: ops.add(x[:, 0, 0], y[:, 0, 0]),
    ],
    "products": [
        lambda x, y: x @ ops.transpose(y, (0, 2, 1)), lambda x, y: ops.matmul(x, y[:, 0, :, None]),
        lambda x, y: ops.matmul(x, array([1, 2], [0.5, -1], [0, 1], [2, 0.25])),
        lambda x, y: ops.matmul(x, array(1, 0.5, -1, 2)), lambda x, y: ops.dot(x, array(1, 0.5, -1, 2)),
        lambda x, y: ops.dot(x, array([1], [2], [0.5], [-1])), lambda x, y: ops.matmul(x[:, None], ops.transpose(y, (0, 2, 1))[:, None]),
        lambda x, y: ops.tensordot(x, array([1, 2], [0.5, -1], [0, 1], [2, 0.25]), axes=1),
        lambda x, y: ops.tensordot(x, array([1, 2, 3, 4]), axes=[[2], [1]]), lambda x, y: ops.tensordot(x, y, axes=[[0, 1], [0, 1]]),
        lambda x, y: ops.einsum("bij,bkj->bik", x, y), lambda x, y: ops.einsum("bij,bij->b", x, y),
        lambda x, y: ops.einsum("bij->bji", x), lambda x, y: ops.einsum("bij,bkj,bkl->bil", x, y, x), lambda x, y: ops.einsum("...ij,...kj->...ik", x, y),
        lambda x, y: ops.einsum("bij,bj->bi", x, y[:, 0]), lambda x, y: ops.einsum("bij->b", x), lambda x, y: ops.einsum("bij,bij->bij", x, y),
    ],
}  # fmt: skip


def operation_cases():
    """A case a family of operations."""

    def flat(outputs):
        return [y for ys in outputs for y in (ys if isinstance(ys, (list, tuple)) else [ys])]

    def one(made, length):
        def make(dtype):
            x = keras.Input((length, 4), dtype=dtype, name="x")
            return keras.Model(x, flat(make_one(x) for make_one in made), name="model")

        return make

    def two(made):
        def make(dtype):
            x, y = (keras.Input((5, 4), dtype=dtype, name=name) for name in ("x", "y"))
            return keras.Model([x, y], flat(make_one(x, y) for make_one in made), name="model")

        return make

    options = {"canonical": canonical_operations, "kind": "Operations"}
    cases = []
    for name, made in ONE.items():
        length = None if name.endswith("_open") else 5
        cases.append((f"operations_{name}", lambda name, m=made, l=length: graph(name, one(m, l), **options)))
    for name, made in TWO.items():
        cases.append((f"operations_{name}", lambda name, m=made: graph(name, two(m), **options)))
    return cases
