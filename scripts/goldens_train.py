"""Golden numbers of Keras 3.15 (TensorFlow backend) for tests/train.rs.

    pip install keras==3.15.1 tensorflow-cpu safetensors
    python scripts/goldens_train.py

Writes train.safetensors and callbacks.json to tests/goldens/train.
"""

import itertools
import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import save

OUT = Path(__file__).resolve().parent.parent / "tests" / "goldens" / "train"

def write(arrays, name):
    arrays = {key: np.ascontiguousarray(array, dtype=np.float32) for key, array in arrays.items()}
    (OUT / name).write_bytes(save(arrays))


def train():
    arrays = {}
    rng = np.random.default_rng(2)
    logits = np.concatenate([rng.normal(size=11) * 3, [0.0, -0.0, 1e-3, 30, -30, 88, -88, 120, -120, 1e4, -1e4]])
    logits = tf.Variable(logits.astype(np.float32).reshape(-1, 1))
    for name, targets in {"ones": np.ones(22), "zeros": np.zeros(22), "mixed": np.arange(22) % 2}.items():
        targets = targets.astype(np.float32).reshape(-1, 1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(targets, logits, from_logits=True))
        accuracy = keras.metrics.binary_accuracy(targets, keras.ops.sigmoid(logits))
        arrays |= {f"loss/{name}/targets": targets, f"loss/{name}/loss": loss.numpy(),
                   f"loss/{name}/gradient": tape.gradient(loss, logits).numpy(),
                   f"loss/{name}/accuracy": np.mean(accuracy.numpy())}
    arrays["loss/logits"] = logits.numpy()

    # A logistic regression on the ids: 22 rows in batches of 8, 8 and 6, not shuffled.
    x, x_val = rng.integers(0, 10, size=(22, 4)), rng.integers(0, 10, size=(13, 4))
    y, y_val = (x.sum(1) > 18).astype(np.float32), (x_val.sum(1) > 18).astype(np.float32)
    kernel, bias = rng.normal(size=(4, 1)).astype(np.float32), np.array([0.1], dtype=np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.set_weights([kernel, bias])
    model.compile(keras.optimizers.RMSprop(0.02), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x / 10, y, batch_size=8, epochs=5, shuffle=False, validation_data=(x_val / 10, y_val), verbose=0)
    arrays |= {"fit/x": x, "fit/y": y, "fit/x_val": x_val, "fit/y_val": y_val, "fit/kernel": kernel, "fit/bias": bias}
    arrays |= {f"fit/{name}": np.array(values) for name, values in history.history.items()}
    arrays |= {"fit/kernel_after": model.get_weights()[0], "fit/bias_after": model.get_weights()[1]}
    write(arrays, "train.safetensors")


class Recorder:
    """Stands for the model: its weights are the epoch's number."""

    stop_training, epoch, restored = False, 0, None

    def get_weights(self):
        return self.epoch

    def set_weights(self, epoch):
        self.restored = epoch


def plateau(sequences):
    """What ReduceLROnPlateau makes of the rate: the rates of the epochs, and the one after the last."""
    cases = []
    grid = itertools.product(
        sequences.items(), ["val_loss", "val_accuracy"], [0, 1, 3], [1e-4, 0.025], [0, 2], [0.0, 0.03]
    )
    for (name, values), monitor, patience, min_delta, cooldown, min_lr in grid:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1))
        mode = "min" if monitor == "val_loss" else "max"
        rule = keras.callbacks.ReduceLROnPlateau(
            monitor, factor=0.5, patience=patience, min_delta=min_delta, cooldown=cooldown, min_lr=min_lr, mode=mode
        )
        rule.set_model(model)
        rule.on_train_begin()
        rates = [float(model.optimizer.learning_rate.numpy())]
        for epoch, value in enumerate(values):
            rule.on_epoch_end(epoch, {monitor: value})
            rates.append(float(model.optimizer.learning_rate.numpy()))
        cases.append([name, monitor, patience, min_delta, cooldown, min_lr, rates])
    return cases


def callbacks():
    sequences = {
        "falls": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        "rises": [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "flat": [0.5] * 6,
        "dips": [0.7, 0.6, 0.65, 0.64, 0.63, 0.55, 0.6, 0.61, 0.62, 0.63],
        "small steps": [0.7, 0.69, 0.68, 0.67, 0.66, 0.65, 0.64],
        "late": [0.5, 0.9, 0.8, 0.75, 0.74, 0.76, 0.77, 0.78],
        "single": [0.5],
    }
    cases = []
    grid = itertools.product(
        sequences.items(), ["val_loss", "val_accuracy"], [0, 1, 2, 3], [0.0, 0.025, -0.025], [None, 0.62], [0, 2]
    )
    for (name, values), monitor, patience, min_delta, baseline, start in grid:
        model = Recorder()
        options = {"monitor": monitor, "patience": patience, "min_delta": min_delta, "baseline": baseline,
                   "start_from_epoch": start, "restore_best_weights": True}
        stopping = keras.callbacks.EarlyStopping(**options, mode="min" if monitor == "val_loss" else "max")
        checkpoint = keras.callbacks.ModelCheckpoint("x.keras", monitor, save_best_only=True, mode=stopping.mode)
        stopping.set_model(model)
        checkpoint.set_model(model)
        checkpoint._set_monitor_op()
        stopping.on_train_begin()
        saved, ran = [], 0
        for epoch, value in enumerate(values):
            model.epoch, ran = epoch + 1, epoch + 1
            stopping.on_epoch_end(epoch, {monitor: value})
            if checkpoint._should_save_model(epoch, None, {monitor: value}, "x.keras"):
                saved.append(epoch + 1)
            if model.stop_training:
                break
        stopping.on_train_end()
        cases.append([name, monitor, patience, min_delta, baseline, start,
                      ran, stopping.wait, model.stop_training, model.restored, saved])
    lines = ",\n".join(json.dumps(case) for case in cases)
    plateaus = ",\n".join(json.dumps(case) for case in plateau(sequences))
    text = (f'{{"sequences": {json.dumps(sequences)},\n"cases": [\n{lines}\n],\n"plateaus": [\n{plateaus}\n]}}\n')
    (OUT / "callbacks.json").write_text(text)


OUT.mkdir(parents=True, exist_ok=True)
train()
callbacks()
