"""Writes `src/keras/training/classes.json`: what Keras 3.15's `compile` knows by name.

    python scripts/keras_compile_classes.py src/keras/training/classes.json

Of optimisers the arguments with their defaults (`get_config`), of schedules, losses and metrics the arguments' names, and the
names of functions that stand for losses and metrics.
"""

import inspect
import json
import os
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras.src import losses, metrics, optimizers
from keras.src.optimizers import schedules

def is_own(cls, base):
    return inspect.isclass(cls) and issubclass(cls, base) and cls is not base


def arguments(cls):
    found = [p for p in inspect.signature(cls.__init__).parameters if p not in ("self", "kwargs")]
    return sorted(set(found) | {"name"})


def optimizer_defaults(cls):
    config = cls().get_config()
    del config["name"]
    # Keras reads it back from a variable of 32 bits.
    config["learning_rate"] = inspect.signature(cls.__init__).parameters["learning_rate"].default
    return config


def by_class(table, base):
    return {cls.__name__: cls for cls in table if is_own(cls, base)}


def functions(table):
    """Names that are no classes' own; words for the base classes left out."""
    return sorted(name for name in table if name not in ("metric", "mean_metric_wrapper", "Loss", "Metric")
                  and not name.endswith("Wrapper"))


def main(path):
    wrappers = {"LossFunctionWrapper", "MeanMetricWrapper", "MetricWrapper", "Metric", "Loss"}
    opts = {c.__name__: c for c in optimizers.ALL_OBJECTS if is_own(c, optimizers.Optimizer)}
    for out in ("LossScaleOptimizer", "MultiOptimizer"):
        opts.pop(out, None)
    scheds = [getattr(schedules, n) for n in dir(schedules)]
    scheds = by_class(scheds, schedules.learning_rate_schedule.LearningRateSchedule)
    loss = {n: c for n, c in by_class(losses.ALL_OBJECTS, losses.Loss).items() if n not in wrappers}
    metric = {n: c for n, c in by_class(metrics.ALL_OBJECTS, metrics.Metric).items() if n not in wrappers}
    table = {
        "optimizers": {n: optimizer_defaults(c) for n, c in sorted(opts.items())},
        "schedules": {n: arguments(c) for n, c in sorted(scheds.items())},
        "losses": {n: arguments(c) for n, c in sorted(loss.items())},
        "metrics": {n: sorted({*arguments(c), "dtype"}) for n, c in sorted(metric.items())},
        "loss_functions": functions(losses.ALL_OBJECTS_DICT),
        "metric_functions": functions(metrics.ALL_OBJECTS_DICT),
    }
    with open(path, "w", encoding="utf-8") as file:
        parts = []
        for part, of in table.items():
            lines = [f"{json.dumps(n)}: {json.dumps(v)}" for n, v in of.items()] if isinstance(of, dict) else None
            body = "{\n  " + ",\n  ".join(lines) + "\n }" if lines else json.dumps(of)
            parts.append(f" {json.dumps(part)}: {body}")
        file.write("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
