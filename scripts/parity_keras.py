"""One epoch of IMDB in Keras and in this crate from the same weights, batch by batch.

    pip install keras==3.15.1 tensorflow-cpu safetensors scikit-learn
    cargo build --release --example parity
    python scripts/parity_keras.py --data imdb.npz [--write]

The same initial weights (Keras's), rows, order, batches of 64 and RMSprop; no dropout. Prints for each model the largest
difference of a batch's loss and of a weight after the epoch, and fails above 1e-4 and 1e-3. `--write` puts the table into
docs/parity.md.
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
LOSS, WEIGHT = 1e-4, 1e-3


def reviews(path, rows):
    """The chapter's training rows."""
    imdb.get_file = lambda *_, **__: path  # the file that is here, not a download
    (x, y), _ = imdb.load_data(num_words=500)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=42)
    x = keras.preprocessing.sequence.pad_sequences(x, maxlen=100)
    return x[:rows], np.asarray(y[:rows])


def build(config):
    """The zoo's model in Keras, without dropout."""
    layers = [keras.Input((100,), dtype="int32")]
    for layer in config["layers"]:
        kind, c = layer["class_name"], layer["config"]
        if kind == "Embedding":
            layers.append(keras.layers.Embedding(c["input_dim"], c["output_dim"], name=c["name"]))
        elif kind in ("LSTM", "GRU", "SimpleRNN"):
            cls = getattr(keras.layers, kind)
            layers.append(cls(c["units"], return_sequences=c["return_sequences"], name=c["name"]))
        elif kind == "Dense":
            layers.append(keras.layers.Dense(1, activation="sigmoid", name=c["name"]))
    return keras.Sequential(layers)


def name_of(variable):
    """`lstm/lstm_cell/kernel` is `lstm.kernel` here."""
    parts = variable.path.split("/")
    parts = [part for part in parts if not part.endswith("_cell") and not part.startswith("sequential")]
    return ".".join(parts)


def arrays(model):
    return {name_of(variable): np.ascontiguousarray(variable.numpy()) for variable in model.variables
            if "seed" not in variable.path}


def train(model, x, y, rate, batch):
    """The loss of every batch."""
    model.compile(keras.optimizers.RMSprop(learning_rate=rate), "binary_crossentropy")
    losses = []
    for begin in range(0, len(x), batch):
        model.reset_metrics()
        loss = model.train_on_batch(x[begin : begin + batch], y[begin : begin + batch])
        losses.append(float(np.asarray(loss).reshape(-1)[0]))
    return np.array(losses)


def without_dropout(config):
    for layer in config["layers"]:
        for key in ("dropout", "recurrent_dropout"):
            if key in layer["config"]:
                layer["config"][key] = 0.0
    config["layers"] = [layer for layer in config["layers"] if layer["class_name"] != "Dropout"]


def compare(name, x, y, args, folder):
    config = json.loads((ROOT / "models" / name / "config.json").read_text())
    config.pop("results", None)
    without_dropout(config["model"])
    if args.learning_rate:
        config["recipe"]["optimizer"]["learning_rate"] = args.learning_rate
    recipe = config["recipe"]
    (folder / "config.json").write_text(json.dumps(config))
    keras.utils.set_random_seed(7)
    model = build(config["model"])
    start = arrays(model)
    data = {"ids": x.astype(np.uint32), "labels": y.astype(np.uint32)}
    save_file(data | start, folder / "start.safetensors")
    theirs = train(model, x, y, recipe["optimizer"]["learning_rate"], recipe["batch_size"])
    subprocess.run([args.program, folder / "config.json", folder / "start.safetensors", folder / "end.safetensors"],
                   check=True, stdout=subprocess.DEVNULL)
    end = load_file(folder / "end.safetensors")
    ours = end.pop("losses")
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    after = arrays(model)
    assert end.keys() == after.keys(), (end.keys(), after.keys())
    worst = max(after, key=lambda key: np.abs(after[key] - end[key]).max())
    moved = max(float(np.abs(after[key] - start[key]).max()) for key in after)
    return {
        "model": name,
        "batches": len(ours),
        "first": theirs[0],
        "last": theirs[-1],
        "loss": float(np.abs(ours - theirs).max()),
        "weight": float(np.abs(after[worst] - end[worst]).max()),
        "worst": worst,
        "moved": moved,
    }


HEADER = """\
# The same training as Keras's, batch by batch

One epoch of IMDB in Keras {keras} on TensorFlow and in this crate, from the same initial weights (Keras's), over the same
rows in the same order, in batches of {batch}, with RMSprop at a learning rate of {rate:g} and no dropout. {rows} reviews
of 100 tokens. Both sides compute in 32-bit floats; what is left is the order of their sums.

Made by `scripts/parity_keras.py`, which fails if a batch's loss differs by more than {loss:g} or a weight after the epoch
by more than {weight:g}.

| model | batches | Keras's loss, first and last batch | largest difference of a batch's loss | largest difference of a weight | where | farthest that a weight moved |
|---|---|---|---|---|---|---|
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT / "../shared/data/imdb/imdb.npz"), help="Keras's imdb.npz")
    parser.add_argument("--program", default=ROOT / "target/release/examples/parity")
    parser.add_argument("--models", nargs="+", default=["lstm", "stacked-lstm", "gru"])
    parser.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--write", action="store_true", help="write docs/parity.md")
    args = parser.parse_args()
    if not os.path.exists(args.data):
        sys.exit(f"skipped: there is no {args.data}; name an imdb.npz with --data")
    x, y = reviews(os.path.abspath(args.data), args.rows)
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            row = compare(name, x, y, args, pathlib.Path(folder))
            failed |= row["loss"] > LOSS or row["weight"] > WEIGHT
            rows.append("| {model} | {batches} | {first:.4f}, {last:.4f} | {loss:.1e} | {weight:.1e} | `{worst}` | "
                        "{moved:.3f} |".format(**row))
            print(rows[-1], flush=True)
    if args.write:
        recipe = json.loads((ROOT / "models/lstm/config.json").read_text())["recipe"]
        rate = args.learning_rate or recipe["optimizer"]["learning_rate"]
        text = HEADER.format(keras=keras.__version__, batch=recipe["batch_size"], rate=rate, rows=len(x), loss=LOSS,
                             weight=WEIGHT)
        text += "\n".join(rows) + f"\n\nOn {platform.machine()}, {platform.system()}.\n"
        (ROOT / "docs").mkdir(exist_ok=True)
        (ROOT / "docs/parity.md").write_text(text)
    sys.exit(failed)


if __name__ == "__main__":
    main()
