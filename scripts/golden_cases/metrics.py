"""Metrics: Keras's figures after three batches, and those of a compiled model with a mask."""

import keras
import numpy as np
import tensorflow as tf

from . import generator, write

BATCHES = (7, 5, 2)
STEPS = 4

PLAIN = [
    "Accuracy", "BinaryAccuracy", "CosineSimilarity", "LogCoshError", "MeanAbsoluteError", "MeanSquaredError",
    "RootMeanSquaredError",
]  # fmt: skip
COUNTS = ["TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"]
THRESHOLDS = [0.3, [0.5], [0.7, 0.2], [0.0, 0.5, 1.0], [0.1, 0.25, 0.5, 0.6]]
AT = [
    ("SensitivityAtSpecificity", "specificity"), ("SpecificityAtSensitivity", "sensitivity"),
    ("PrecisionAtRecall", "recall"), ("RecallAtPrecision", "precision"),
]  # fmt: skip


def binary():
    """What is made of one yes or no, or several."""
    yield "BinaryAccuracy", {}
    yield "BinaryAccuracy", {"threshold": 0.3}
    for name in COUNTS + ["Precision", "Recall"]:
        yield name, {}
        for thresholds in THRESHOLDS:
            yield name, {"thresholds": thresholds}
    for name, argument in AT:
        for value in (0.0, 0.4, 0.75, 1.0):
            yield name, {argument: value}
        yield name, {argument: 0.5, "num_thresholds": 1}
        yield name, {argument: 0.5, "num_thresholds": 11}
    for curve in ("ROC", "PR", "PRGAIN"):
        for summation in ("interpolation", "minoring", "majoring"):
            yield "AUC", {"curve": curve, "summation_method": summation}
            yield "AUC", {"curve": curve, "summation_method": summation, "num_thresholds": 4}
            yield "AUC", {"curve": curve, "summation_method": summation, "thresholds": [0.8, 0.1, 0.5]}
    yield "AUC", {"thresholds": [0.25, 0.5, 0.75]}
    yield "AUC", {"from_logits": True}
    yield "BinaryCrossentropy", {}
    yield "BinaryCrossentropy", {"label_smoothing": 0.2}
    for name in ("Hinge", "SquaredHinge", "MeanSquaredError", "KLDivergence", "Poisson"):
        yield name, {}
    yield from f_scores()


def f_scores():
    for average in (None, "micro", "macro", "weighted"):
        for threshold in (None, 0.5, 0.3):
            yield "F1Score", {"average": average, "threshold": threshold}
        yield "FBetaScore", {"average": average, "beta": 2.0}
    yield "FBetaScore", {"beta": 0.5, "threshold": 0.4}


def several():
    """What counts classes one by one."""
    for name in ("Precision", "Recall"):
        yield name, {"class_id": 1}
        yield name, {"top_k": 2}
        yield name, {"top_k": 1, "class_id": 2}
        yield name, {"top_k": 2, "thresholds": [0.3, 0.6]}
    for name, argument in AT:
        yield name, {argument: 0.5, "class_id": 2}
    for name in ("CategoricalAccuracy", "CategoricalHinge"):
        yield name, {}
    yield "AUC", {"label_weights": [0.5, 1.0, 2.0, 0.25]}
    for k in (1, 2, 5):
        yield "TopKCategoricalAccuracy", {"k": k}


def by_label():
    """Areas of each class, of (batch, classes) alone."""
    for curve in ("ROC", "PR"):
        yield "AUC", {"curve": curve, "multi_label": True}
        yield "AUC", {"curve": curve, "multi_label": True, "num_labels": 4, "label_weights": [0.5, 1.0, 2.0, 0.25]}
        yield "AUC", {"curve": curve, "multi_label": True, "thresholds": [0.2, 0.3, 0.9]}


def one_hot():
    for smoothing in (0.0, 0.1):
        yield "CategoricalCrossentropy", {"label_smoothing": smoothing}
    yield "BinaryCrossentropy", {}
    yield from several()


def sparse():
    yield "SparseCategoricalAccuracy", {}
    for k in (1, 2, 3, 5):
        yield "SparseTopKCategoricalAccuracy", {"k": k}
    yield "SparseCategoricalCrossentropy", {}
    yield "SparseCategoricalCrossentropy", {"ignore_class": 1}


def errors():
    for name in PLAIN + [
        "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Poisson", "KLDivergence", "Hinge",
        "SquaredHinge", "PearsonCorrelation", "ConcordanceCorrelation",
    ]:  # fmt: skip
        yield name, {}


def r2():
    for aggregation in ("uniform_average", "variance_weighted_average", None):
        for regressors in (0, 2, 50):
            yield "R2Score", {"class_aggregation": aggregation, "num_regressors": regressors}


def logits_of_its_own():
    yield "BinaryCrossentropy", {"from_logits": True}
    yield "CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}
    yield "AUC", {"from_logits": True}
    yield "CategoricalHinge", {}


def has_two_axes(name, arguments):
    return name in ("F1Score", "FBetaScore", "R2Score") or arguments.get("multi_label")


def short(results):
    """Figures in as few digits as float needs; none for what is no number."""
    figures = np.asarray(results, np.float32).reshape(-1)
    if np.isinf(figures).any():
        raise SystemExit("a figure is infinite, which JSON has no word for")
    return [None if np.isnan(figure) else float(str(figure)) for figure in figures]


def figures(metric_class, arguments, batches, activation, mask, weights):
    """The figures after all batches."""
    metric = getattr(keras.metrics, metric_class)(**arguments)
    for batch in batches:
        outputs = tf.constant(batch["values"])
        if activation:
            outputs = keras.activations.get(activation)(outputs)
        if mask:
            keras.src.backend.set_keras_mask(outputs, tf.constant(batch["mask"] > 0))
        metric.update_state(tf.constant(batch["targets"]), outputs, tf.constant(batch["sample"]) if weights else None)
    return short(metric.result())


def metric_case(name, kinds, values, targets, activation=None, steps=None):
    """Every metric of `kinds` on the same three batches, with and without mask and weights. `values` and `targets` draw
    an array of a shape."""
    rng = generator(name)
    batches = []
    for count in BATCHES:
        positions = (count, steps) if steps else (count,)
        batch = {"values": values(rng, positions).astype(np.float32)}
        batch["targets"] = targets(rng, positions, batch["values"]).astype(np.float32)
        batch["sample"] = rng.integers(0, 9, positions).astype(np.float32) / 4
        batch["mask"] = (rng.random(positions) < 0.7).astype(np.float32)
        batches.append(batch)
    checks = []
    for metric_class, arguments in kinds:
        if steps and has_two_axes(metric_class, arguments):
            continue
        check = {"metric": {"class_name": metric_class, "config": arguments}}
        for key, mask, weights in (("plain", False, False), ("masked", True, False), ("weighted", True, True)):
            # Counts do not look at masks.
            if key != "masked" or issubclass(getattr(keras.metrics, metric_class), keras.metrics.Mean):
                check[key] = figures(metric_class, arguments, batches, activation, mask, weights)
        checks.append(check)
    tensors = {f"{key}_{i}": array for i, batch in enumerate(batches) for key, array in batch.items()}
    case = {"class_name": "Metrics", "activation": activation, "batches": len(BATCHES)}
    # Targets of class numbers have no axis of their own.
    case["target_width"] = 1 if batches[0]["targets"].ndim == len(positions) else batches[0]["targets"].shape[-1]
    write(name, case | {"checks": checks}, tensors)


def normal(width, scale=1.5):
    return lambda rng, positions: rng.standard_normal((*positions, width)) * scale


def tenths(width):
    """Probabilities that tie, and stand exactly on thresholds."""
    return lambda rng, positions: rng.integers(0, 11, (*positions, width)) / 10


def bits(rng, positions, values):
    return rng.random(values.shape) < 0.4


def no_positives(rng, positions, values):
    return np.zeros(values.shape)


def hot(rng, positions, values):
    # The last class never is.
    return np.eye(values.shape[-1])[rng.integers(0, values.shape[-1] - 1, positions)]


def numbers(rng, positions, values):
    return rng.integers(0, values.shape[-1], positions)


def near(rng, positions, values):
    return np.round(values + rng.standard_normal(values.shape) * 0.5, 1)


def positive(width):
    return lambda rng, positions: np.round(rng.random((*positions, width)) * 2, 1)


def compiled(name, width, activation, targets, metrics):
    """A compiled model whose mask comes from an Embedding: what `evaluate` gives for metrics and weighted metrics."""
    rng = generator(name)
    keras.utils.set_random_seed(3)
    count = sum(BATCHES)
    ids = rng.integers(0, 4, (count, STEPS))
    inputs = keras.Input((STEPS,), dtype="int32")
    x = keras.layers.Embedding(4, 3, mask_zero=True, embeddings_initializer="normal")(inputs)
    x = keras.layers.GRU(6, return_sequences=True)(x)
    logits = keras.layers.Dense(width, kernel_initializer="glorot_normal")(x)
    model = keras.Model(inputs, keras.layers.Activation(activation)(logits))
    model.layers[1].set_weights([rng.standard_normal((4, 3)) * 3])
    values = keras.Model(inputs, logits).predict(ids, verbose=0)
    y = targets(rng, (count, STEPS), values)
    # A weight a step.
    sample = rng.integers(0, 9, (count, STEPS)) / 4
    loss = {"sigmoid": "binary_crossentropy", "softmax": "categorical_crossentropy"}[activation]
    if y.ndim == 2:
        loss = "sparse_categorical_crossentropy"
    objects = [lambda: [m if isinstance(m, str) else getattr(keras.metrics, m[0])(**m[1]) for m in metrics]] * 2
    model.compile(optimizer="sgd", loss=loss, metrics=objects[0](), weighted_metrics=objects[1]())
    model.evaluate(ids, y, sample_weight=sample, batch_size=BATCHES[0], verbose=0)
    built = model._compile_metrics
    checks = []
    lists = zip(metrics, built._flat_metrics[0].metrics, built._flat_weighted_metrics[0].metrics)
    for given, masked, weighted in lists:
        check = {"metric": given if isinstance(given, str) else {"class_name": given[0], "config": given[1]}}
        check |= {"name": masked.name, "masked": short(masked.result()), "weighted": short(weighted.result())}
        checks.append(check)
    tensors = {"values_0": values, "targets_0": y, "sample_0": sample, "mask_0": ids != 0}
    case = {"class_name": "Metrics", "activation": activation, "batches": 1}
    case["target_width"] = 1 if y.ndim == 2 else y.shape[-1]
    write(name, case | {"checks": checks}, {key: array.astype(np.float32) for key, array in tensors.items()})


COMPILED_BINARY = ["accuracy", "acc", "binary_accuracy", "mse", "bce", "AUC", "Precision", "recall"]
COMPILED_BINARY += [("AUC", {"curve": "PR", "name": "pr"})]
COMPILED_CLASSES = ["accuracy", "categorical_accuracy", "MSE", "Precision", "AUC", "categorical_crossentropy"]
COMPILED_CLASSES += ["root_mean_squared_error", "mae", ("TopKCategoricalAccuracy", {"k": 2, "name": "top2"})]
COMPILED_SPARSE = ["acc", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"]
COMPILED_SPARSE += ["sparse_categorical_crossentropy"]
COMPILED_SPARSE += [("SparseCategoricalCrossentropy", {"ignore_class": 1, "name": "rest"})]


def metric_cases():
    """One file a kind of output."""
    cases = {
        "binary": lambda name: metric_case(name, binary(), normal(1), bits, "sigmoid"),
        "binary_exact": lambda name: metric_case(name, binary(), tenths(1), bits),
        "binary_negative": lambda name: metric_case(name, binary(), normal(1), no_positives, "sigmoid"),
        "labels": lambda name: metric_case(name, [*binary(), *several(), *by_label()], normal(4), bits, "sigmoid"),
        "labels_exact": lambda name: metric_case(name, [*several(), *f_scores(), *by_label()], tenths(4), bits),
        "labels_steps": lambda name: metric_case(name, [*binary(), *several()], normal(4), bits, "sigmoid", STEPS),
        "classes": lambda name: metric_case(name, [*one_hot(), *f_scores()], normal(4), hot, "softmax"),
        "classes_exact": lambda name: metric_case(name, [*one_hot(), *f_scores()], positive(4), hot),
        "classes_steps": lambda name: metric_case(name, one_hot(), normal(4), hot, "softmax", STEPS),
        "classes_far": lambda name: metric_case(name, one_hot(), normal(4, 90.0), hot, "softmax"),
        "sparse": lambda name: metric_case(name, sparse(), normal(4), numbers, "softmax"),
        "sparse_exact": lambda name: metric_case(name, sparse(), positive(4), numbers),
        "sparse_steps": lambda name: metric_case(name, sparse(), normal(4), numbers, "softmax", STEPS),
        "sparse_far": lambda name: metric_case(name, sparse(), normal(4, 90.0), numbers, "softmax", STEPS),
        "errors": lambda name: metric_case(name, [*errors(), *r2()], normal(3), near),
        "errors_steps": lambda name: metric_case(name, errors(), positive(3), near, None, STEPS),
        "errors_tanh": lambda name: metric_case(name, errors(), normal(3), near, "tanh"),
        "logits": lambda name: metric_case(name, logits_of_its_own(), normal(4), hot),
        "compiled_binary": lambda name: compiled(name, 1, "sigmoid", bits, COMPILED_BINARY),
        "compiled_classes": lambda name: compiled(name, 4, "softmax", hot, COMPILED_CLASSES),
        "compiled_sparse": lambda name: compiled(name, 4, "softmax", numbers, COMPILED_SPARSE),
    }
    return [(f"metrics_{key}", case) for key, case in cases.items()]
