"""Compiled models that Keras and tf_keras trained for three steps, with their optimisers' states: tests/fixtures/compiled_*.

    python scripts/keras_compiled.py             # needs keras 3.15 and tensorflow
    python scripts/keras_compiled.py tf          # with tf_keras 2.21
    python scripts/keras_compiled.py check DIR   # opens in Keras 3.15 what was written of them

Beside the files stand compiled_k3.safetensors and compiled_k2.safetensors, the optimisers' variables by FILE|NAME, and compiled_k3.json and
compiled_k2.json, what the model was compiled with in Keras 3.15's words. `check` wants what
`CANDLE_RECURRENT_COMPILED=DIR cargo test --release --test keras it_is_written_back` writes.
"""

import importlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from safetensors.numpy import load_file, save_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
WORDS, TIME, ROWS = 6, 4, 12

# What Keras 3.15 calls what an optimiser keeps, by its attribute (Keras 3, tf_keras); slots of tf_keras's old optimisers.
KEPT = {
    "_model_variables_moving_average": "average",
    "_accumulated_gradients": "gradient_accumulator",
    "_momentums": "momentum",
    "momentums": "momentum",
    "_velocities": "velocity",
    "_velocity_hats": "velocity_hat",
    "_average_gradients": "average_gradient",
    "_accumulators": "accumulator",
    "_linears": "linear",
    "_accumulated_grads": "accumulated_grad",
    "_accumulated_delta_vars": "accumulated_delta_var",
    "_m": "momentum",
    "_u": "norm",
}
SLOTS = {
    "RMSprop": {"rms": "velocity", "momentum": "momentum", "mg": "average_gradient"},
    "Adam": {"m": "momentum", "v": "velocity", "vhat": "velocity_hat"},
    "Adamax": {"m": "momentum", "v": "norm"},
    "Nadam": {"m": "momentum", "v": "velocity"},
    "SGD": {"momentum": "momentum"},
    "Adagrad": {"accumulator": "accumulator"},
    "Adadelta": {"accum_grad": "accumulated_grad", "accum_var": "accumulated_delta_var"},
    "Ftrl": {"accumulator": "accumulator", "linear": "linear"},
}


def sequence(k, rng):
    L = k.layers
    model = k.Sequential(
        [
            k.layers.Input((TIME,), dtype="int32"),
            L.Embedding(WORDS, 3, name="words"),
            L.LSTM(2, name="lstm"),
            L.Dense(1, activation="sigmoid", name="out"),
        ],
        name="sequence",
    )
    x = rng.integers(0, WORDS, (ROWS, TIME)).astype("int32")
    return model, x, rng.integers(0, 2, (ROWS, 1)).astype("float32")


def two_outputs(k, rng):
    """Layers listed in another order than they were made in, one of them frozen, and BatchNormalization."""
    L = k.layers
    x = L.Input((TIME, 3), name="x")
    still = L.Dense(3, name="still", trainable=False)(x)
    both = L.Bidirectional(L.GRU(2), name="both")(still)
    short = L.Dense(2, name="short")(L.Flatten(name="flat")(x))
    normed = L.BatchNormalization(name="normed")(both)
    first = L.Dense(3, activation="softmax", name="first")(normed)
    second = L.Dense(2, name="second")(L.Concatenate(name="join")([short, normed]))
    model = k.Model(x, [first, second], name="two_outputs")
    given = rng.normal(size=(ROWS, TIME, 3)).astype("float32")
    labels = {
        "first": rng.integers(0, 3, (ROWS, 1)).astype("int32"),
        "second": rng.normal(size=(ROWS, 2)).astype("float32"),
    }
    return model, given, labels


def schedule(name, **config):
    return {"class_name": name, "config": config}


def make_rate(k, rate):
    if isinstance(rate, dict):
        return getattr(k.optimizers.schedules, rate["class_name"])(**rate["config"])
    return rate


COSINE = schedule("CosineDecay", initial_learning_rate=0.02, decay_steps=10, alpha=0.1)
STEPS = schedule("PiecewiseConstantDecay", boundaries=[1, 2], values=[0.02, 0.01, 0.005])

# Name: model, class, arguments, whether the class is one of tf_keras's old ones.
KERAS_3 = {
    "rmsprop": (sequence, "RMSprop", {"learning_rate": 0.01, "momentum": 0.8, "centered": True}),
    "rmsprop_plain": (sequence, "RMSprop", {"learning_rate": 0.01, "rho": 0.8}),
    "adam": (sequence, "Adam", {"learning_rate": 0.01, "amsgrad": True}),
    "adamw": (sequence, "AdamW", {"learning_rate": STEPS, "weight_decay": 0.02}),
    "nadam": (sequence, "Nadam", {"learning_rate": 0.01}),
    "adamax": (sequence, "Adamax", {"learning_rate": 0.01, "clipvalue": 0.5}),
    "sgd": (sequence, "SGD", {"learning_rate": COSINE, "momentum": 0.9, "nesterov": True}),
    "adagrad": (sequence, "Adagrad", {"learning_rate": 0.01, "initial_accumulator_value": 0.2}),
    "adadelta": (sequence, "Adadelta", {"learning_rate": 1.0, "global_clipnorm": 1.5}),
    "lion": (sequence, "Lion", {"learning_rate": 0.001}),
    "ftrl": (sequence, "Ftrl", {"learning_rate": 0.01}),
    "averaged": (sequence, "Adam", {"learning_rate": 0.01, "use_ema": True, "gradient_accumulation_steps": 2}),
    "graph": (two_outputs, "Adam", {"learning_rate": 0.01, "clipnorm": 1.0}),
    "graph_rmsprop": (two_outputs, "RMSprop", {"learning_rate": 0.01, "momentum": 0.5}),
}
TF_KERAS = {
    "rmsprop": (sequence, "RMSprop", {"learning_rate": 0.01, "momentum": 0.8, "centered": True}, False),
    "adam": (sequence, "Adam", {"learning_rate": 0.01, "amsgrad": True}, False),
    "adamw": (sequence, "AdamW", {"learning_rate": STEPS, "weight_decay": 0.02}, False),
    "nadam": (sequence, "Nadam", {"learning_rate": 0.01}, False),
    "sgd": (sequence, "SGD", {"learning_rate": 0.01}, False),
    "adadelta": (sequence, "Adadelta", {"learning_rate": 1.0, "use_ema": True}, False),
    "graph": (two_outputs, "Adam", {"learning_rate": 0.01, "clipnorm": 1.0}, False),
    "legacy_rmsprop": (sequence, "RMSprop", {"learning_rate": 0.01, "momentum": 0.8, "centered": True}, True),
    "legacy_adam": (sequence, "Adam", {"learning_rate": 0.01, "amsgrad": True, "decay": 0.1}, True),
    "legacy_nadam": (sequence, "Nadam", {"learning_rate": 0.01}, True),
    "legacy_adamax": (sequence, "Adamax", {"learning_rate": 0.01}, True),
    "legacy_sgd": (sequence, "SGD", {"learning_rate": COSINE, "momentum": 0.9}, True),
    "legacy_adagrad": (sequence, "Adagrad", {"learning_rate": 0.01}, True),
    "legacy_adadelta": (sequence, "Adadelta", {"learning_rate": 1.0}, True),
    "legacy_ftrl": (sequence, "Ftrl", {"learning_rate": 0.01}, True),
    "legacy_graph": (two_outputs, "Adam", {"learning_rate": 0.01}, True),
}


def compiled(k, make):
    """Loss, its weights, metrics: for `compile`, and in Keras 3's words."""
    if make is sequence:
        words = {"loss": "binary_crossentropy", "loss_weights": None, "metrics": ["accuracy", "mae"], "weighted_metrics": None}
        return dict(words), words
    given = {
        "loss": {"first": k.losses.SparseCategoricalCrossentropy(), "second": "mse"},
        "loss_weights": {"first": 0.5, "second": 2.0},
        "metrics": {"first": [k.metrics.SparseCategoricalAccuracy(name="right")], "second": ["mae"]},
        "weighted_metrics": None,
    }
    words = dict(given)
    words["loss"] = {"first": {"class_name": "SparseCategoricalCrossentropy"}, "second": "mse"}
    right = {"class_name": "SparseCategoricalAccuracy", "config": {"name": "right", "dtype": "float32"}}
    words["metrics"] = {"first": [right], "second": ["mae"]}
    return given, words


def array(variable):
    value = variable.numpy()
    return np.array(value, dtype=value.dtype)


def in_h5(make, words):
    """tf_keras writes the metrics that it made of names into an .h5, output by output."""
    def metric(name, label):
        return {"class_name": name, "config": {"name": label, "dtype": "float32"}}

    of_sequence = [metric("BinaryAccuracy", "accuracy"), metric("MeanAbsoluteError", "mae")]
    of_graph = [[metric("SparseCategoricalAccuracy", "right")], [metric("MeanAbsoluteError", "mae")]]
    return {**words, "metrics": of_sequence if make is sequence else of_graph}


def names(model):
    """The trained variables of a model by this crate's names; all layers here are called once."""
    found = {}
    for layer in model.layers:
        parts = {layer.name: layer}
        if layer.__class__.__name__ == "Bidirectional":
            parts = {f"{layer.name}.forward_layer": layer.forward_layer, f"{layer.name}.backward_layer": layer.backward_layer}
        for prefix, part in parts.items():
            for variable in part.trainable_weights:
                own = variable.name.split("/")[-1].split(":")[0]
                found[id(variable)] = f"{prefix}.{own}"
    return found


def state(model, optimizer, is_legacy):
    known = names(model)
    trained = model.trainable_weights
    # With accumulated gradients Keras 3's `iterations` is another number.
    arrays = {"iterations": array(optimizer.iterations if is_legacy else optimizer._iterations)}
    if is_legacy:
        for slot, name in SLOTS[optimizer.__class__.__name__].items():
            if slot in optimizer.get_slot_names():
                for variable in trained:
                    arrays[f"{known[id(variable)]}/{name}"] = array(optimizer.get_slot(variable, slot))
        if hasattr(optimizer, "_m_cache"):
            arrays["u_product"] = array(optimizer._m_cache)
        return arrays
    for attribute, name in KEPT.items():
        kept = getattr(optimizer, attribute, None)
        if attribute == "_m" and optimizer.__class__.__name__ != "Adamax":
            continue
        if name == "momentum" and getattr(optimizer, "momentum", 1) == 0:
            continue
        if isinstance(kept, list) and kept:
            assert len(kept) == len(trained), (attribute, len(kept))
            for variable, value in zip(trained, kept):
                arrays[f"{known[id(variable)]}/{name}"] = array(value)
    # tf_keras multiplies it once a variable, and does not write it.
    if hasattr(optimizer, "_u_product") and "tf_keras" not in type(optimizer).__module__:
        arrays["u_product"] = array(optimizer._u_product)
    rate = getattr(optimizer, "_learning_rate", None)
    if "keras.src" in type(optimizer).__module__ and "tf_keras" not in type(optimizer).__module__ and hasattr(rate, "path"):
        arrays["learning_rate"] = array(rate)
    return arrays


def expected(k, case, words, config):
    words = dict(words)
    config = dict(config)
    if isinstance(config["learning_rate"], dict):
        config["learning_rate"] = {"class_name": config["learning_rate"]["class_name"], "config": config["learning_rate"]["config"]}
    decay = config.pop("decay", None)
    if decay:
        rate = {"initial_learning_rate": config["learning_rate"], "decay_steps": 1, "decay_rate": decay, "staircase": False}
        config["learning_rate"] = schedule("InverseTimeDecay", **rate)
    words["optimizer"] = {"class_name": case, "config": config}
    return words


def train(k, name, make, case, config, is_legacy, form):
    """Trains a model anew and writes it in one form: saving an .h5 changes what Keras 3 says in a .keras after it."""
    k.backend.clear_session()
    k.utils.set_random_seed(7)
    rng = np.random.default_rng(11)
    model, x, y = make(k, rng)
    arguments = {**config, "learning_rate": make_rate(k, config["learning_rate"])}
    optimizers = k.optimizers.legacy if is_legacy else k.optimizers
    optimizer = getattr(optimizers, case)(**arguments)
    given, words = compiled(k, make)
    if form == "h5" and k.__name__ == "tf_keras":
        words = in_h5(make, words)
    model.compile(optimizer=optimizer, **given)
    model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    path = OUT / f"{name}.{form}"
    model.save(path)
    found = {f"{path.name}|{key}": value for key, value in state(model, optimizer, is_legacy).items()}
    loss = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)["loss"]
    return found, expected(k, case, words, config), float(loss)


def write(k, prefix, cases):
    arrays, words = {}, {}
    for name, (make, case, config, *rest) in cases.items():
        is_legacy = bool(rest and rest[0])
        # In tf_keras old optimisers have no place in a .keras.
        for form in ["h5"] if is_legacy else ["keras", "h5"]:
            if form == "h5" and prefix == "compiled_k3" and name not in ("adam", "nadam", "sgd", "graph", "averaged"):
                continue
            if form == "keras" and prefix == "compiled_k2" and name not in ("adam", "nadam", "sgd", "graph"):
                continue
            found, said, loss = train(k, f"{prefix}_{name}", make, case, config, is_legacy, form)
            arrays.update(found)
            words[f"{prefix}_{name}.{form}"] = {**said, "evaluated": loss}
            print(name, form, len(found))
    save_file(dict(sorted(arrays.items())), OUT / f"{prefix}.safetensors")
    (OUT / f"{prefix}.json").write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")


def check(k, folder):
    """Opens each written file, holds its optimiser's variables, loss and metrics against the fixture's, and trains it on."""
    failed, arrays, words = 0, {}, {}
    for prefix in ("compiled_k3", "compiled_k2"):
        arrays.update(load_file(OUT / f"{prefix}.safetensors"))
        words.update(json.loads((OUT / f"{prefix}.json").read_text(encoding="utf-8")))
    for path in sorted(folder.glob("*.keras")):
        name = path.name.removesuffix(".written.keras")
        make = two_outputs if "graph" in name else sequence
        _, x, y = make(k, np.random.default_rng(11))
        model = k.saving.load_model(path)
        mine = {key.split("|")[1]: value for key, value in arrays.items() if key.startswith(f"{name}|")}
        found = state(model, model.optimizer, False)
        wrong = [key for key in mine if key not in found or not np.array_equal(found[key], mine[key])]
        loss = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)["loss"]
        off = abs(loss - words[name]["evaluated"])
        model.fit(x, y, batch_size=4, verbose=0)
        steps = int(model.optimizer._iterations) - int(mine["iterations"])
        good = not wrong and off < 1e-6 and steps == 3 and model.optimizer.__class__.__name__ == words[name]["optimizer"]["class_name"]
        failed += not good
        print(f"{'ok' if good else 'FAILED':7}{name:40} {len(mine)} variables, wrong {wrong}, loss within {off:.1e}")
    sys.exit(failed > 0)


def main():
    which = sys.argv[1] if len(sys.argv) > 1 else "k3"
    if which == "tf":
        write(importlib.import_module("tf_keras"), "compiled_k2", TF_KERAS)
    elif which == "check":
        check(importlib.import_module("keras"), Path(sys.argv[2]))
    else:
        write(importlib.import_module("keras"), "compiled_k3", KERAS_3)


if __name__ == "__main__":
    main()
