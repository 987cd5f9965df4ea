"""Losses as `fit` computes them: through a compiled model, with the mask that its layers hand on."""

import keras
import numpy as np
import tensorflow as tf

from . import generator, write

CLASSES = 4


def model_of(x, activation, masked):
    """A model whose last layer's pre-activation is its input: a Dense layer with the identity for a kernel."""
    layers = [keras.Input(x.shape[1:])]
    if masked:
        layers.append(keras.layers.Masking(0.0))
    width = x.shape[-1]
    layers.append(keras.layers.Dense(width, activation=activation, use_bias=False, kernel_initializer="identity"))
    return keras.Sequential(layers)


def measure(loss, activation, x, targets, weights):
    """The loss of the batch and its gradient with respect to the last layer's pre-activation, in a graph as in `fit`."""
    # A masked step is one of zeros only.
    model = model_of(x, activation, masked=x.ndim == 3 and not np.all(np.any(x, axis=-1)))
    model.compile(optimizer="sgd", loss=loss)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
            value = model.compute_loss(x, tf.constant(targets), y, None if weights is None else tf.constant(weights))
        return value, tape.gradient(value, x)

    value, gradient = step(tf.constant(x))
    return value.numpy()[None], gradient.numpy()


def numbers(rng, shape, kind):
    """Pre-activations: ordinary ones, or with some that are large."""
    x = rng.normal(0, 1.5, shape).astype(np.float32)
    if kind == "extreme":
        x.flat[: x.size // 2] = rng.choice([-100, 100, -20, 20, 17, -17], x.size // 2)
    return x


def targets_of(rng, kind, shape):
    """Targets that the loss makes sense on."""
    if kind == "class":
        return rng.integers(0, shape[-1], shape[:-1]).astype(np.float32)
    if kind == "one_hot":
        return np.eye(shape[-1], dtype=np.float32)[rng.integers(0, shape[-1], shape[:-1])]
    return {
        "binary": lambda: rng.integers(0, 2, shape),
        "share": lambda: rng.uniform(0, 1, shape),
        "sign": lambda: rng.choice([-1, 1], shape),
        "count": lambda: rng.integers(0, 5, shape),
        "number": lambda: rng.normal(0, 2, shape),
        "single": lambda: rng.normal(0, 2, (*shape[:-1], 1)),
    }[kind]().astype(np.float32)


# Loss, variants of its arguments, activations that the model ends in, kinds of targets, whether one value will do.
LOSSES = {
    "BinaryCrossentropy": (
        [{}, {"label_smoothing": 0.2}, {"from_logits": True}],
        ["sigmoid", "linear", "hard_sigmoid"],
        ["binary", "share"],
        True,
    ),
    "BinaryFocalCrossentropy": (
        [{}, {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}, {"label_smoothing": 0.1}, {"from_logits": True}],
        ["sigmoid", "linear", "hard_sigmoid"],
        ["binary", "share"],
        True,
    ),
    "CategoricalCrossentropy": (
        [{}, {"label_smoothing": 0.1}, {"from_logits": True}],
        ["softmax", "linear", "exponential"],
        ["one_hot", "share"],
        False,
    ),
    "CategoricalFocalCrossentropy": (
        [{}, {"alpha": 0.5, "gamma": 3.0}, {"label_smoothing": 0.1}, {"from_logits": True}],
        ["softmax", "linear", "exponential"],
        ["one_hot"],
        False,
    ),
    "SparseCategoricalCrossentropy": (
        [{}, {"ignore_class": 1}, {"ignore_class": -1}, {"from_logits": True}, {"from_logits": True, "ignore_class": 0}],
        ["softmax", "linear", "hard_sigmoid"],
        ["class"],
        False,
    ),
    "MeanSquaredError": ([{}], ["linear", "sigmoid", "softmax"], ["number"], True),
    "MeanAbsoluteError": ([{}], ["linear", "tanh"], ["number"], True),
    "MeanAbsolutePercentageError": ([{}], ["linear", "softplus"], ["number"], True),
    "MeanSquaredLogarithmicError": ([{}], ["linear", "softplus"], ["count"], True),
    "Huber": ([{}, {"delta": 0.4}], ["linear"], ["number"], True),
    "LogCosh": ([{}], ["linear"], ["number"], True),
    "KLDivergence": ([{}], ["softmax", "sigmoid"], ["share", "one_hot"], False),
    "Poisson": ([{}], ["exponential"], ["count"], True),
    "Hinge": ([{}], ["linear", "tanh"], ["sign", "binary"], True),
    "SquaredHinge": ([{}], ["linear", "tanh"], ["sign", "binary"], True),
    "CategoricalHinge": ([{}], ["linear", "softmax"], ["one_hot"], False),
    "CosineSimilarity": ([{}], ["linear", "tanh"], ["number"], False),
}

# Where a loss has a kink: the output, and the target.
KINKS = {
    "MeanAbsoluteError": ([[1, 2, -1]], [[1, 2, 3]]),
    "MeanAbsolutePercentageError": ([[1, 2, -1, 0]], [[1, 0, 3, 0]]),
    "MeanSquaredLogarithmicError": ([[0, 1e-7, -1, 2]], [[1, 1, 3, 2]]),
    "Huber": ([[1, 2, -1, 0.5]], [[0, 2, 0, -0.5]]),
    "Hinge": ([[1, -1, 0.5, 0]], [[1, -1, 1, -1]]),
    "SquaredHinge": ([[1, -1, 0.5, 0]], [[1, -1, 1, -1]]),
    "CategoricalHinge": ([[1, 2, 2, -1], [3, 2, 2, -1], [0, 1, 1, 1]], [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]),
    "BinaryCrossentropy": ([[0, 1, 0.5, 1e-7, -1, 2]], [[1, 0, 1, 0, 1, 1]]),
    "CategoricalCrossentropy": ([[0, 1, 0, 0], [0.5, 0, 0.5, 0]], [[0, 1, 0, 0], [0, 0, 1, 0]]),
    "SparseCategoricalCrossentropy": ([[0, 1, 0, 0], [0.5, 1e-7, 0.5, -1]], [0, 2]),
    "KLDivergence": ([[0, 1, 1e-7, 0.5], [2, -1, 0.5, 0.5]], [[0, 1, 0.5, 0], [1, 0, 1, 0]]),
    "CosineSimilarity": ([[0, 0, 0, 0], [1, 2, 3, 4]], [[1, 0, 2, -1], [0, 0, 0, 0]]),
    "CategoricalFocalCrossentropy": ([[0, 1, 0, 0], [0.5, 0, 0.5, 0]], [[0, 1, 0, 0], [0, 0, 1, 0]]),
}


def loss_cases(name, class_name):
    """Every argument, shape, way of weighting and reduction of one loss; the arrays of all cases one after another."""
    rng = generator(name)
    variants, activations, kinds, single = LOSSES[class_name]
    cases, tensors = [], {key: [] for key in ("x", "mask", "targets", "weights", "value", "dx")}

    def add(activation, x, targets, weights=None, **arguments):
        loss = getattr(keras.losses, class_name)(**arguments)
        value, gradient = measure(loss, activation, x, targets, weights)
        masked = x.ndim == 3 and not np.all(np.any(x, axis=-1))
        case = {"class_name": class_name, "config": arguments, "activation": activation, "masked": masked}
        found = {"x": x, "targets": targets, "value": value, "dx": gradient}
        if weights is not None:
            found["weights"] = weights
        cases.append(case | {key: found[key].shape for key in ("x", "targets", "weights") if key in found})
        if masked:
            found["mask"] = np.any(x, axis=-1).astype(np.uint8)
        for key, array in found.items():
            tensors[key].append(array.ravel())

    def fits(activation, arguments):
        probabilities = activation in ("sigmoid", "softmax", "hard_sigmoid", "exponential")
        if class_name.endswith("Crossentropy"):
            if arguments.get("from_logits"):
                return activation == "linear"
            return probabilities
        return True

    def draw(shape, kind, numbers_kind="plain"):
        x, targets = numbers(rng, shape, numbers_kind), targets_of(rng, kind, shape)
        return x, targets

    flat, steps = (3, CLASSES), (2, 3, CLASSES)
    for arguments in variants:
        for activation in filter(lambda activation: fits(activation, arguments), activations):
            for kind in kinds:
                add(activation, *draw(flat, kind), **arguments)
            if activation != "exponential":
                add(activation, *draw((4, CLASSES), kinds[0], "extreme"), **arguments)
    for arguments in variants[:2]:
        activation = next(activation for activation in activations if fits(activation, arguments))
        if single:
            add(activation, *draw((5, 1), kinds[0]), **arguments)
            add(activation, *draw((5, 1), kinds[0]), rng.uniform(0, 2, 5).astype(np.float32), **arguments)
        by_sample = rng.uniform(0, 2, (2, 1)).astype(np.float32)
        by_step = rng.uniform(0, 2, (2, 3)).astype(np.float32)
        by_step[0, 0] = 0.0
        for reduction in ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"):
            add(activation, *draw(flat, kinds[0]), by_step[1], reduction=reduction, **arguments)
            for weights in (None, by_sample, by_step):
                for masked in (False, True):
                    x, targets = draw(steps, kinds[0])
                    if masked:
                        x[0, 1:] = 0.0
                    # Each way of weighting with the default reduction, and each reduction with the last way.
                    if reduction == "sum_over_batch_size" or weights is by_step or (weights is None and masked):
                        add(activation, x, targets, weights, reduction=reduction, **arguments)
        x, targets = draw(steps, kinds[0])
        add(activation, np.zeros_like(x), targets, **arguments)  # a mask that leaves nothing
    if class_name in KINKS:
        x, targets = (np.array(values, np.float32) for values in KINKS[class_name])
        for arguments in variants:
            if not arguments.get("from_logits"):
                add("linear", x, targets, **arguments)
    write(name, {"class_name": "Loss", "config": {}, "cases": cases}, {key: np.concatenate(arrays) for key, arrays in tensors.items()})


def all_losses():
    """A file a loss."""
    return [
        (f"loss_{class_name}", lambda name, class_name=class_name: loss_cases(name, class_name))
        for class_name in LOSSES
    ]
