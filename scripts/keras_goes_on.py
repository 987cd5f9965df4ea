"""Models that Keras began to train, their data, and what Keras made of them when it went on.

    pip install keras==3.15.1 tensorflow-cpu h5py
    python scripts/keras_goes_on.py            # writes tests/fixtures/goes_on_*
    python scripts/keras_goes_on.py back       # goes on in Keras from files of this crate

For each model `goes_on_NAME.keras` as it was after a first `fit`, compiled and with its optimizer's state;
`goes_on_NAME.npz` the data (x, y, x_val, y_val, …); `goes_on_NAME.after.keras` and `goes_on_NAME.json` (the history) after
another `fit` of 50 steps or more without shuffling. `cli/tests/goes_on.rs` does the same with the program.

`back` trains on by the program, converts the run to a `.keras`, trains that on in Keras, and compares with the program going
on twice as long: 50 steps each way.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import keras
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/fixtures"
PROGRAM = os.environ.get("CANDLE_RECURRENT", ROOT / "target/release/candle-recurrent")
L = keras.layers


def forecast(random):
    x = random.normal(size=(200, 8, 3)).astype("f")
    y = (x[:, :, 0].sum(1) + x[:, -1, 1]).astype("f")
    model = keras.Sequential([keras.Input((8, 3)), L.LSTM(5), L.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01, amsgrad=True), "mse", metrics=["mae"])
    return model, [x], [y], {}


def classes(random):
    x, y = random.normal(size=(200, 8, 3)).astype("f"), random.integers(0, 5, 200)
    model = keras.Sequential([keras.Input((8, 3)), L.GRU(5), L.Dense(5, activation="softmax")])
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 20, 0.9)
    model.compile(keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, clipnorm=1.0),
                  "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, [x], [y], {"class_weight": {0: 2.0, 3: 0.5}}


def tagger(random):
    x = random.integers(1, 20, size=(200, 7))
    for row in x:
        row[random.integers(3, 8):] = 0
    model = keras.Sequential([
        keras.Input((7,), dtype="int32"), L.Embedding(20, 4, mask_zero=True),
        L.Bidirectional(L.LSTM(3, return_sequences=True)), L.TimeDistributed(L.Dense(4, activation="softmax")),
    ])
    model.compile(keras.optimizers.RMSprop(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, [x], [x % 4], {}


def two(random):
    left, right = keras.Input((5, 2), name="left"), keras.Input((3,), name="right")
    both = L.Concatenate()([L.LSTM(4)(left), right])
    outputs = [L.Dense(1, activation="sigmoid", name="yes")(both), L.Dense(2, name="where")(both)]
    model = keras.Model([left, right], outputs)
    model.compile("nadam", loss={"yes": "binary_crossentropy", "where": "mse"},
                  loss_weights={"yes": 1.0, "where": 0.3}, metrics={"yes": ["accuracy", "auc"], "where": ["mae"]})
    a, b = random.normal(size=(200, 5, 2)).astype("f"), random.normal(size=(200, 3)).astype("f")
    return model, [a, b], [(a.sum((1, 2)) > 0).astype("f"), b[:, :2]], {}


MODELS = {"forecast": forecast, "classes": classes, "tagger": tagger, "two": two}
FIT = {"batch_size": 16, "shuffle": False, "verbose": 0}


def only(arrays):
    return arrays[0] if len(arrays) == 1 else arrays


def names(letter, arrays, suffix=""):
    if len(arrays) == 1:
        return {letter + suffix: arrays[0]}
    return {f"{letter}{at}{suffix}": array for at, array in enumerate(arrays)}


def write():
    for number, (name, make) in enumerate(MODELS.items()):
        keras.utils.set_random_seed(number)
        model, x, y, extra = make(np.random.default_rng(number))
        train = (only([a[:160] for a in x]), only([a[:160] for a in y]))
        validation = (only([a[160:] for a in x]), only([a[160:] for a in y]))
        model.fit(*train, epochs=2, **FIT, **extra)
        model.save(OUT / f"goes_on_{name}.keras")
        history = model.fit(*train, epochs=5, validation_data=validation, **FIT, **extra).history
        model.save(OUT / f"goes_on_{name}.after.keras")
        (OUT / f"goes_on_{name}.json").write_text(json.dumps(history, indent=1) + "\n")
        arrays = names("x", [a[:160] for a in x]) | names("y", [a[:160] for a in y])
        arrays |= names("x", [a[160:] for a in x], "_val") | names("y", [a[160:] for a in y], "_val")
        np.savez(OUT / f"goes_on_{name}.npz", **arrays)
        print(name, {key: values[-1] for key, values in history.items()})


def back():
    worst = 0.0
    for number, (name, make) in enumerate(MODELS.items()):
        model, x, y, extra = make(np.random.default_rng(number))
        train = (only([a[:160] for a in x]), only([a[:160] for a in y]))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)

            def run(*arguments):
                subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

            # The last epoch is the one that is kept: the loss of training is watched, and early stopping far away.
            more = ["--data", OUT / f"goes_on_{name}.npz", "--batch-size", 16, "--no-shuffle", "--quiet", "--patience", 99]
            if extra:
                more += ["--class-weight", ",".join(f"{key}={value}" for key, value in extra["class_weight"].items())]
            start = OUT / f"goes_on_{name}.keras"
            run("train", start, *more, "--epochs", 5, "--monitor", "loss", "--out", folder / "once")
            run("train", start, *more, "--epochs", 10, "--monitor", "loss", "--out", folder / "twice")
            run("convert", folder / "once", folder / "once.keras")
            run("convert", folder / "twice", folder / "twice.keras")
            once, twice = keras.models.load_model(folder / "once.keras"), keras.models.load_model(folder / "twice.keras")
            kept = [json.loads((folder / run / "config.json").read_text())["results"] for run in ("once", "twice")]
            assert [it["best_epoch"] for it in kept] == [5, 10], f"{name}: the last epoch is not the best: {kept}"
            once.fit(*train, epochs=5, **FIT, **extra)
            error = max(float(np.abs(a - b).max()) for a, b in zip(once.get_weights(), twice.get_weights()))
            steps = int(once.optimizer.iterations), int(twice.optimizer.iterations)
            print(f"{name}: 50 steps here and 50 in Keras against 100 here: weights within {error:.1e}; steps {steps}")
            worst = max(worst, error)
            assert steps[0] == steps[1]
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    back() if sys.argv[1:] == ["back"] else write()
