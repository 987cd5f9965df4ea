"""What all peers of bench_peers.py are given: the same ids, the same initial weights, in the same order."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file

UNITS = 8
SPECS = {
    "simple-rnn": {"layers": [["simple_rnn", "simple_rnn"]], "dropout": 0.0},
    "lstm": {"layers": [["lstm", "lstm"]], "dropout": 0.0},
    "dropout-lstm": {"layers": [["lstm", "lstm"]], "dropout": 0.3},
    "stacked-lstm": {"layers": [["lstm", "lstm"], ["lstm", "lstm_1"]], "dropout": 0.3},
    "gru": {"layers": [["gru", "gru"]], "dropout": 0.0},
}
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def imdb(path):
    """The three sets as Keras and scikit-learn make them: 500 words, the last 100 ids, split with seed 42."""
    with np.load(path, allow_pickle=True) as file:
        halves = [(file[f"x_{half}"], file[f"y_{half}"]) for half in ("train", "test")]
    rng = np.random.RandomState(113)
    sets = []
    for reviews, labels in halves:
        order = np.arange(len(reviews))
        rng.shuffle(order)
        ids = np.zeros((len(reviews), 100), np.uint32)
        for row, index in zip(ids, order):
            words = np.array(reviews[index][-100:], np.int64) + 3
            if len(words) < 100:
                words = np.concatenate([[1], words])
            row[100 - len(words):] = np.where(words < 500, words, 2)
        sets.append((ids, labels[order].astype(np.uint8)))
    (ids, labels), test = sets
    order = np.random.RandomState(42).permutation(len(ids))
    held = len(ids) // 5
    return {"train": (ids[order[held:]], labels[order[held:]]),
            "validation": (ids[order[:held]], labels[order[:held]]), "test": test}


def random_ids():
    """Ids and labels of the same shape that mean nothing."""
    rng = np.random.default_rng(1)
    sizes = {"train": 20000, "validation": 5000, "test": 25000}
    return {part: (rng.integers(1, 500, (rows, 100), np.uint32), rng.integers(0, 2, rows, np.uint8))
            for part, rows in sizes.items()}


def recurrent_weights(rng, kind, features, units):
    """Keras's initial values: Glorot uniform, orthogonal, zeros with the LSTM's forget gate at 1."""
    width = GATES[kind] * units
    limit = np.sqrt(6 / (features + width))
    q, r = np.linalg.qr(rng.normal(size=(width, units)))
    bias = np.zeros((2, width) if kind == "gru" else width)
    if kind == "lstm":
        bias[units:2 * units] = 1
    weights = {"kernel": rng.uniform(-limit, limit, (features, width)),
               "recurrent_kernel": (q * np.sign(np.diag(r))).T, "bias": bias}
    return {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}


def model_weights(rng, spec):
    weights = {"embedding.embeddings": rng.uniform(-0.05, 0.05, (500, 16)).astype(np.float32)}
    features = 16
    for kind, name in spec["layers"]:
        made = recurrent_weights(rng, kind, features, UNITS)
        weights |= {f"{name}.{part}": value for part, value in made.items()}
        features = UNITS
    limit = np.sqrt(6 / (features + 1))
    weights["dense.kernel"] = rng.uniform(-limit, limit, (features, 1)).astype(np.float32)
    weights["dense.bias"] = np.zeros(1, np.float32)
    return weights


def prepare(folder, npz, shipped, step_units):
    """Writes data.safetensors, weights.safetensors and models.json; says what the data are."""
    sets = imdb(npz) if npz else random_ids()
    save_file({f"{part}.{what}": np.ascontiguousarray(array) for part, pair in sets.items()
               for what, array in zip(("ids", "labels"), pair)}, folder / "data.safetensors")
    rng = np.random.default_rng(42)
    weights = {f"{name}/{part}": value for name, spec in SPECS.items()
               for part, value in model_weights(rng, spec).items()}
    weights |= {f"zoo/{name}": value for name, value in load_file(shipped).items()}
    for units in step_units:
        for kind in ("lstm", "gru"):
            made = recurrent_weights(rng, kind, units, units)
            weights |= {f"step/{kind}/{units}/{part}": value for part, value in made.items()}
        weights[f"step/x/{units}"] = rng.normal(size=(64, 100, units)).astype(np.float32)
    save_file(weights, folder / "weights.safetensors")
    specs = {name: {**spec, "units": UNITS} for name, spec in SPECS.items()}
    (folder / "models.json").write_text(json.dumps(specs))
    return "IMDB" if npz else "random ids of IMDB's shape (no imdb.npz was found), so losses mean nothing"
