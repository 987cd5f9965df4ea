"""An epoch in Keras and in this crate from the same weights, batch by batch.

    pip install keras==3.15.1 tensorflow-cpu safetensors scikit-learn
    cargo build --release --example parity
    python scripts/parity_keras.py --data imdb.npz [--write]

The same initial weights (Keras's), rows and batches, each model with its own recipe: the chapter's models over IMDB, with
dropout set to 0 on both sides, whose masks are everybody's own, and three models of other kinds over data that is made
here. A batch's loss may differ by 1e-5, a weight after the epoch by 1e-3, a metric of the epoch by 1e-6; or, where that is
more, by four times what Keras itself is away from its own epoch in 64-bit floats: Adam divides small gradients by their own
size, and rounding grows from step to step. `--write` puts the tables into docs/parity.md.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import keras
import numpy as np
from keras.src.datasets import imdb
from safetensors.numpy import load_file, save_file
from sklearn.model_selection import train_test_split

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOSS, WEIGHT, METRIC, OWN = 1e-5, 1e-3, 1e-6, 4
CHAPTER = ["lstm", "dropout-lstm", "stacked-lstm", "gru"]


def reviews(path, rows):
    """The chapter's training rows."""
    imdb.get_file = lambda *_, **__: path  # the file that is here, not a download
    (x, y), _ = imdb.load_data(num_words=500)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=42)
    x = keras.preprocessing.sequence.pad_sequences(x, maxlen=100)
    return x[:rows].astype(np.uint32), np.asarray(y[:rows], np.uint32)


def chapter(name):
    """A model of the zoo without dropout."""
    config = json.loads((ROOT / "models" / name / "config.json").read_text())
    del config["results"]
    for layer in config["model"]["layers"]:
        if "dropout" in layer["config"]:
            layer["config"]["dropout"] = 0.0
    return config


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def other(name, layers, loss, optimizer, rate, metrics):
    optimizer = {"class_name": optimizer, "config": {"learning_rate": rate}}
    recipe = {"optimizer": optimizer, "loss": loss, "metrics": metrics, "batch_size": 32}
    return {"model": {"name": name, "layers": layers}, "recipe": recipe}


def forecaster():
    """The next value of a noisy wave from the 30 before it."""
    rng = np.random.default_rng(1)
    t = rng.uniform(0, 100, (2000, 1)) + np.arange(31)
    wave = (np.sin(t / 3) + 0.5 * np.sin(t / 7) + rng.normal(0, 0.1, t.shape)).astype(np.float32)
    layers = [layer("InputLayer", "input", batch_shape=[None, 30, 1]), layer("LSTM", "lstm", units=12),
              layer("Dense", "dense", units=1)]
    return other("forecaster", layers, "mean_squared_error", "Adam", 0.01, ["mae"]), wave[:, :30, None], wave[:, 30:]


def classifier():
    """Which of ten paces a walk in three dimensions has."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 10, 2000).astype(np.uint32)
    steps = rng.normal(0, 0.3, (2000, 20, 3)) + np.stack([np.cos(y), np.sin(y), y / 10], axis=-1)[:, None] * 0.2
    layers = [layer("InputLayer", "input", batch_shape=[None, 20, 3]), layer("GRU", "gru", units=16),
              layer("Dense", "dense", units=10, activation="softmax")]
    x = np.cumsum(steps, axis=1).astype(np.float32)
    return other("classifier", layers, "sparse_categorical_crossentropy", "Adam", 0.01, ["accuracy"]), x, y


def tagger():
    """A tag for each word, by the word and the one after it; sentences of 3 to 15 words, padded at the end."""
    rng = np.random.default_rng(3)
    x = rng.integers(1, 40, (2000, 15)).astype(np.uint32)
    x[np.arange(15) >= rng.integers(3, 16, (2000, 1))] = 0
    y = ((x + (np.roll(x, -1, axis=1) > 19)) % 5).astype(np.uint32)
    lstm = layer("LSTM", "lstm", units=8, return_sequences=True)
    dense = layer("Dense", "dense", units=5, activation="softmax")
    layers = [layer("InputLayer", "input", batch_shape=[None, 15], dtype="int32"),
              layer("Embedding", "embedding", input_dim=40, output_dim=8, mask_zero=True),
              layer("Bidirectional", "bidirectional", layer=lstm),
              layer("TimeDistributed", "time_distributed", layer=dense)]
    config = other("tagger", layers, "sparse_categorical_crossentropy", "RMSprop", 0.01, ["accuracy"])
    return config, x, y


def build(entry):
    """A layer of a config.json in Keras."""
    config = dict(entry["config"])
    if entry["class_name"] == "InputLayer":
        return keras.Input(batch_shape=config["batch_shape"], dtype=config.get("dtype"))
    if "layer" in config:
        config["layer"] = build(config["layer"])
    return getattr(keras.layers, entry["class_name"])(**config)


def arrays(model):
    """The variables by our names: `lstm/lstm_cell/kernel` is `lstm.kernel` here."""
    named = {}
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        parts = [part for part in variable.path.split("/")
                 if not part.endswith("_cell") and not part.startswith("sequential")]
        inner = {"Bidirectional": {"forward": "forward_layer", "backward": "backward_layer"}, "TimeDistributed": {}}
        kind = type(model.get_layer(parts[0])).__name__
        if kind in inner:
            within = inner[kind].get(parts[1].split("_")[0], "layer")
            parts = [parts[0], within, parts[-1]]
        named[".".join(parts)] = np.ascontiguousarray(variable.numpy())
    return named


class Losses(keras.callbacks.Callback):
    """The loss of every batch: the mean so far is taken back to nothing after each, the metrics go on."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        self.model._loss_tracker.reset_state()


def train(model, x, y, recipe):
    """The loss of every batch, and the metrics of the epoch."""
    optimizer = recipe["optimizer"]
    optimizer = getattr(keras.optimizers, optimizer["class_name"])(**optimizer["config"])
    model.compile(optimizer, recipe["loss"], metrics=recipe["metrics"])
    losses = Losses()
    history = model.fit(x, y, batch_size=recipe["batch_size"], shuffle=False, callbacks=[losses], verbose=0).history
    return np.array(losses.losses, np.float64), {name: value[0] for name, value in history.items() if name != "loss"}


def exact(config, weights, x, y):
    """The same epoch in Keras with 64-bit floats."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = keras.Sequential([build(entry) for entry in config["model"]["layers"]])
        model.set_weights(weights)
        return *train(model, x, y, config["recipe"]), arrays(model)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def ours(config, x, y, start, program, folder):
    """The same epoch in this crate."""
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"x0": np.ascontiguousarray(x), "y0": np.ascontiguousarray(y)} | start, folder / "start.safetensors")
    paths = [folder / name for name in ("config.json", "start.safetensors", "end.safetensors")]
    subprocess.run([program, *paths], check=True, stdout=subprocess.DEVNULL)
    end = load_file(paths[-1])
    losses = end.pop("losses")
    figures = {key.removeprefix("figures."): float(end.pop(key)[0]) for key in list(end) if key.startswith("figures.")}
    figures.pop("loss")
    return losses, figures, end


def apart(a, b):
    """The largest difference of the weights, and where."""
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    return max((float(np.abs(a[name] - b[name]).max()), name) for name in a)


def compare(config, x, y, program, folder):
    keras.utils.set_random_seed(7)
    model = keras.Sequential([build(entry) for entry in config["model"]["layers"]])
    start, weights = arrays(model), model.get_weights()
    signed = [array.astype(np.int32) if array.dtype == np.uint32 else array for array in (x, y)]
    theirs, metrics = train(model, *signed, config["recipe"])
    after = arrays(model)
    exact_losses, exact_metrics, exact_after = exact(config, weights, *signed)
    losses, figures, end = ours(config, x, y, start, program, folder)
    assert losses.shape == theirs.shape and figures.keys() == metrics.keys(), (losses.shape, figures)
    own, difference = np.abs(theirs - exact_losses), np.abs(losses - theirs)
    weight, worst = apart(end, after)
    optimizer = config["recipe"]["optimizer"]
    allowed = [
        np.all(difference <= np.maximum(LOSS, OWN * np.maximum.accumulate(own))),
        weight <= max(WEIGHT, OWN * apart(after, exact_after)[0]),
        all(abs(value - figures[key]) <= max(METRIC, OWN * abs(value - exact_metrics[key]))
            for key, value in metrics.items()),
    ]
    return {
        "model": config["model"]["name"],
        "optimizer": f"{optimizer['class_name']}, {optimizer['config']['learning_rate']:g}",
        "batches": len(losses),
        "first": theirs[0],
        "last": theirs[-1],
        "loss": difference.max(),
        "own": own.max(),
        "exact": np.abs(losses - exact_losses).max(),
        "close": int(np.argmax(difference > LOSS)) if difference.max() > LOSS else len(losses),
        "own_close": int(np.argmax(own > LOSS)) if own.max() > LOSS else len(losses),
        "weight": weight,
        "worst": worst,
        "moved": apart(after, start)[0],
        "metrics": ", ".join(f"{key} {metrics[key]:.6f}, {figures[key]:.6f}" for key in metrics),
        "failed": not all(allowed),
    }


ROW = ("| {model} | {optimizer} | {batches} | {first:.4f}, {last:.4f} | {loss:.1e} | {own:.1e} | {exact:.1e} | {close} | "
       "{own_close} | {weight:.1e} at `{worst}` | {moved:.3f} | {metrics} |")
COLUMNS = """\
| model | optimiser, rate | batches | Keras's loss, first and last batch | ours and Keras's | Keras's and its own in 64 bits | \
ours and that | batches that ours and Keras's are within {loss:g} | those that Keras's and its own are | a weight, ours and \
Keras's | farthest that a weight moved | the epoch's metrics, Keras's and ours |
|---|---|--:|---|---|---|---|--:|--:|---|---|---|
"""
TEXT = """\
# The same training as Keras's, batch by batch

One epoch in Keras {keras} on TensorFlow and in this crate, from the same initial weights (Keras's), over the same rows in
the same order and the same batches. Both sides compute in 32-bit floats; what differs is the order of their sums. Columns
five to seven are the largest difference of a batch's loss.

Adam at a rate of 0.001 makes that difference grow from step to step, for it divides each gradient by its own size, however
small. It is the same between Keras and Keras: beside each epoch stands its own in 64-bit floats, from the same weights.

Made by `scripts/parity_keras.py`, which fails if a batch's loss differs by more than {loss:g}, a weight after the epoch by
more than {weight:g}, or a metric of the epoch by more than {metric:g}; or, where that is more, by more than {own} times what
Keras is away from its own in 64-bit floats (for losses, so far in the epoch).

## The chapter

IMDB, {rows} reviews of 100 tokens, with the recipes of [`models/`](../models): optimiser, rate, batches of 64. Dropout is set
to 0 on both sides, for its masks are drawn from different random numbers; so `dropout-lstm` is `lstm` here.

{chapter}

## Other kinds of models

Batches of 32 of 2000 rows that the script makes. `forecaster`: LSTM(12), Dense(1), mean squared error. `classifier`: GRU(16),
Dense(10, softmax), sparse categorical crossentropy. `tagger`: Embedding with `mask_zero`, Bidirectional(LSTM(8)),
TimeDistributed(Dense(5, softmax)), sparse categorical crossentropy over the words that are there.

{others}

On {machine}, {system}.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "../shared/data/imdb/imdb.npz"), help="Keras's imdb.npz")
    parser.add_argument("--program", default=ROOT / "target/release/examples/parity")
    parser.add_argument("--models", nargs="*", default=[*CHAPTER, *(f"{name}-adam" for name in CHAPTER)])
    parser.add_argument("--rows", type=int, default=20000, help="of IMDB")
    parser.add_argument("--write", action="store_true", help="write docs/parity.md")
    args = parser.parse_args()
    if args.write and not args.models:
        parser.error("--write wants the chapter's models too")
    if args.models and not os.path.exists(args.data):
        sys.exit(f"skipped: there is no {args.data}; name an imdb.npz with --data, or leave IMDB out with --models")
    tables, failed = {"chapter": [], "others": []}, []

    def add(table, *case):
        row = compare(*case, args.program, pathlib.Path(folder))
        tables[table].append(ROW.format(**row))
        print(tables[table][-1], flush=True)
        if row["failed"]:
            failed.append(row["model"])

    with tempfile.TemporaryDirectory() as folder:
        for make in (forecaster, classifier, tagger):
            add("others", *make())
        x, y = reviews(os.path.abspath(args.data), args.rows) if args.models else (None, None)
        for name in args.models:
            add("chapter", chapter(name), x, y)
    if failed:
        sys.exit(f"too far apart: {', '.join(failed)}")
    if args.write:
        tables = {name: COLUMNS.format(loss=LOSS) + "\n".join(rows) for name, rows in tables.items()}
        text = TEXT.format(keras=keras.__version__, loss=LOSS, weight=WEIGHT, metric=METRIC, own=OWN,
                           rows=len(x), machine=platform.machine(), system=platform.system(), **tables)
        (ROOT / "docs/parity.md").write_text(text)


if __name__ == "__main__":
    main()
