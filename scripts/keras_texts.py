"""What Keras makes of texts and categories, for tests/keras/texts.rs: tests/fixtures/texts*.

    python scripts/keras_texts.py          # needs keras 3.15 and tensorflow; also tf_keras 2.21 for the old forms

texts.json holds single layers with every argument that changes what they give: the layer as this crate's JSON has it, what
it is given, and what Keras gives. texts_NAME.keras and texts_NAME.h5 are whole models; texts_models.json has what they are
given and their answers.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures"

TEXTS = ["The FILM is good, really good!", "a bad film; it's \tBAD\n", "정말 재미있는 영화", "ÉTÉ été \u2019the\u2019", "", "?!", "the\x0bfilm the film"]
WORDS = ["the", "film", "good", "bad", "정말", "été", "it's", "its", "the film", "film is", "is good", "t", "h"]
ROWS = [["a", "b", "c"], ["b", "b", "zebra"], ["", "정말", "[UNK]"], ["c", "another", "word"]]
NUMBERS = [[5, 6, 7], [-1, 0, 5], [-3, 1000000007, 8], [7, 7, 11]]

# What a config holds that changes no number here.
DROPPED = {"name", "trainable", "dtype", "sparse", "ragged", "encoding", "vocabulary_size", "vocabulary_dtype", "num_bins_",
           "epsilon"}  # fmt: skip


def canonical(layer):
    config = layer.get_config()
    config = {key: value for key, value in config.items() if key not in DROPPED}
    if type(layer).__name__ == "Discretization":
        config.pop("num_bins")
    if type(layer).__name__ == "StringLookup":
        config.pop("oov_method")
    # What a null means where the default is another value.
    keep = {"standardize", "split", "oov_token", "axis"}
    return {key: value for key, value in config.items() if value is not None or key in keep}


def layer_cases(k):
    L = k.layers
    cases = []

    def case(layer, given, dtype="string", weights=None):
        x = np.array(given, dtype=object if dtype == "string" else dtype)
        x = tf.constant(x.tolist(), dtype=tf.string) if dtype == "string" else tf.constant(x)
        y = layer(x) if weights is None else layer(x, count_weights=tf.constant(weights))
        y = tf.sparse.to_dense(y) if isinstance(y, tf.SparseTensor) else y
        y = np.asarray(y)
        texts = y.dtype == object
        values = [value.decode() for value in y.ravel()] if texts else [float(value) for value in y.ravel()]
        cases.append({
            "class_name": type(layer).__name__, "config": canonical(layer), "dtype": dtype, "shape": list(x.shape),
            "given": np.array(given, dtype=object).ravel().tolist(), "weights": None if weights is None else np.array(weights).ravel().tolist(),
            "output_shape": list(y.shape), "output": values,
        })  # fmt: skip

    column = [[text] for text in TEXTS]
    idf = [round(0.3 + 0.1 * i, 3) for i in range(len(WORDS))]

    def words(given=TEXTS, **arguments):
        case(L.TextVectorization(**({"vocabulary": WORDS} | arguments)), given)

    words()
    words(column)
    words(column, vocabulary=["", "[UNK]"] + WORDS)
    for standardize in [None, "lower", "strip_punctuation", "lower_and_strip_punctuation"]:
        for split in ["whitespace", "character"]:
            words(standardize=standardize, split=split, output_sequence_length=6)
    words(column, split=None, standardize=None)
    words([["the", "film"], ["The", "x"]], split=None, standardize="lower")
    words([["the", "film"], ["The", "x"]], split=None, output_sequence_length=3)
    words([["the", "film"], ["The", "x"]], split=None, output_sequence_length=1)
    words([["the", "film"], ["The", ""]], split=None, output_mode="count")
    words([["the", "film", "is"], ["The", "x", "y"]], split=None, ngrams=2)
    words(ngrams=2, output_sequence_length=12)
    words(ngrams=(2,), output_sequence_length=12)
    words(ngrams=(2, 1), output_sequence_length=3)
    words(output_sequence_length=2)
    words(output_sequence_length=20)
    for mode in ["multi_hot", "count"]:
        words(output_mode=mode)
        words(output_mode=mode, max_tokens=20, pad_to_max_tokens=True)
        words(output_mode=mode, max_tokens=20)
        words(output_mode=mode, ngrams=2, sparse=True)
    words(output_mode="tf_idf", idf_weights=idf)
    words(output_mode="tf_idf", idf_weights=idf, max_tokens=20, pad_to_max_tokens=True)
    words(output_mode="tf_idf", vocabulary=["[UNK]"] + WORDS, idf_weights=[0.7] + idf)

    def tokens(given=ROWS, **arguments):
        case(L.StringLookup(**({"vocabulary": ["a", "b", "c", "정말"]} | arguments)), given)

    tokens()
    tokens([row[0] for row in ROWS])
    tokens([[row] for row in ROWS])
    tokens([["a"], ["c"]], num_oov_indices=0)
    for count in [2, 5]:
        tokens(num_oov_indices=count)
        tokens(num_oov_indices=count, mask_token="")
        tokens(num_oov_indices=count, salt=(3, -4))
    tokens(num_oov_indices=3, salt=7)
    tokens(mask_token="")
    tokens(mask_token="b", vocabulary=["a", "c"])
    tokens(oov_token="zebra", vocabulary=["zebra", "a", "b", "c"])
    tokens(mask_token="", oov_token="?", vocabulary=["", "?", "a", "b"])
    tokens(max_tokens=5)
    for mode in ["one_hot", "multi_hot", "count"]:
        tokens(output_mode=mode)
        tokens(output_mode=mode, mask_token="b", vocabulary=["a", "c"])
        tokens(output_mode=mode, max_tokens=9, pad_to_max_tokens=True)
        tokens(output_mode=mode, num_oov_indices=3)
    tokens([["a"], ["x"]], output_mode="one_hot")
    tokens(["a", "x"], output_mode="one_hot")
    tokens(output_mode="tf_idf", idf_weights=[0.5, 0.25, 1.5, 2.0])
    tokens(output_mode="tf_idf", idf_weights=[0.5, 0.25, 1.5, 2.0], max_tokens=9, pad_to_max_tokens=True, num_oov_indices=2)
    case(L.StringLookup(vocabulary=["a", "b"], invert=True), [[0, 1, 2], [1, 2, 1]], "int64")
    case(L.StringLookup(vocabulary=["a", "b"], invert=True, mask_token="-", num_oov_indices=2, oov_token="?"),
         [[0, 1, 2], [3, 4, 9]], "int64")  # fmt: skip

    def numbers(given=NUMBERS, **arguments):
        case(L.IntegerLookup(**({"vocabulary": [5, 6, 7, 1000000007]} | arguments)), given, "int64")

    numbers()
    numbers(num_oov_indices=0, given=[[5], [7]])
    for count in [2, 3]:
        numbers(num_oov_indices=count)
        numbers(num_oov_indices=count, mask_token=0)
        numbers(num_oov_indices=count, oov_method="farmhash")
        numbers(num_oov_indices=count, oov_method="farmhash", salt=[1, 2])
    numbers(mask_token=0)
    numbers(oov_token=-3, vocabulary=[-3, 5, 6])
    numbers(vocabulary=[-1, 5, 6])
    for mode in ["one_hot", "multi_hot", "count"]:
        numbers(output_mode=mode)
        numbers(output_mode=mode, mask_token=7, vocabulary=[5, 6])
        numbers(output_mode=mode, max_tokens=9, pad_to_max_tokens=True)
    numbers(output_mode="tf_idf", idf_weights=[0.5, 0.25, 1.5, 2.0])
    numbers(invert=True, given=[[0, 1, 2], [3, 4, 4]])
    numbers(invert=True, mask_token=9, given=[[0, 1, 2], [3, 4, 5]])

    for arguments in [{"num_bins": 7}, {"num_bins": 7, "salt": 5}, {"num_bins": 7, "salt": [5, 6]}, {"num_bins": 1}]:
        case(L.Hashing(**arguments), ROWS)
        case(L.Hashing(**arguments), NUMBERS, "int64")
        case(L.Hashing(**arguments, mask_value=""), ROWS)
        case(L.Hashing(**arguments, mask_value=0), NUMBERS, "int64")
        for mode in ["one_hot", "multi_hot", "count"]:
            case(L.Hashing(**arguments, output_mode=mode), ROWS)
    case(L.Hashing(4, output_mode="one_hot"), [["a"], ["b"]])

    floats = [[-2.5, 0.0, 0.5], [1.0, 1.5, 99.0], [-1.0, -0.0, 2.0]]
    for mode in ["int", "one_hot", "multi_hot", "count"]:
        case(L.Discretization(bin_boundaries=[-1.0, 0.0, 1.5], output_mode=mode), floats, "float32")
    case(L.Discretization(bin_boundaries=[0.1, 0.3], output_mode="one_hot"), [[0.1], [0.3], [0.2]], "float32")
    block = np.arange(24, dtype="float32").reshape(2, 4, 3) / 7 - 1
    for invert in [False, True]:
        for arguments in [
            {"mean": 3.0, "variance": 2.0}, {"axis": None, "mean": 3.0, "variance": 2.0},
            {"mean": [1.0, -2.0, 0.5], "variance": [4.0, 0.0, 0.25]}, {"axis": 1, "mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0] * 4},
            {"axis": (1, 2), "mean": [1.0, -2.0, 0.5], "variance": [4.0, 0.5, 0.25]},
            {"axis": (2, 1), "mean": [[i + j for j in range(3)] for i in range(4)], "variance": [[1.0 + i * j for j in range(3)] for i in range(4)]},
            {"axis": (1,), "mean": [2.0], "variance": [4.0]},
        ]:  # fmt: skip
            case(L.Normalization(invert=invert, **arguments), block, "float32")
    ids = [[0, 1, 1], [3, 2, 3], [0, 0, 4]]
    for mode in ["one_hot", "multi_hot", "count"]:
        case(L.CategoryEncoding(5, output_mode=mode), ids, "int64")
        case(L.CategoryEncoding(4, output_mode=mode), ids, "int64")
        case(L.CategoryEncoding(5, output_mode=mode), [[0], [4]], "int64")
    case(L.CategoryEncoding(5, output_mode="count"), ids, "int64", weights=[[0.5, 1.0, 2.0], [0.1, 0.2, 0.3], [1.0, 1.0, -1.0]])
    return cases


def fill(model, rng):
    for layer in model.layers:
        if type(layer).__name__ in ("TextVectorization", "StringLookup", "IntegerLookup", "Normalization"):
            continue
        if hasattr(layer, "layers"):
            fill(layer, rng)
            continue
        layer.set_weights([rng.uniform(-0.6, 0.6, weight.shape).astype("float32") for weight in layer.get_weights()])


def classifier(k, learnt, **arguments):
    L = k.layers
    if learnt:
        words = L.TextVectorization(**arguments)
        words.adapt(TEXTS)
    else:
        words = L.TextVectorization(vocabulary=WORDS, **arguments)
    return words


def scaled(k):
    """Normalisations that were adapted, over one axis, two and none, there and back."""
    L = k.layers
    rng = np.random.default_rng(9)
    rows = rng.normal(1.0, 2.0, size=(6, 12)).astype("float32")
    block = rows.reshape(6, 4, 3)
    layers = [L.Normalization(axis=axis, invert=invert) for axis, invert in
              [((1, 2), False), (-1, True), (None, False), (1, True)]]  # fmt: skip
    for layer in layers:
        layer.adapt(block)
    return k.Sequential([k.Input((12,)), L.Reshape((4, 3)), *layers, L.GRU(3), L.Dense(2)]), [rows.tolist()]


def models(k):
    L = k.layers
    features = np.random.default_rng(3).normal(2.0, 3.0, size=(len(TEXTS), 3)).astype("float32")

    def embedded(learnt, shape):
        words = classifier(k, learnt, max_tokens=12 if learnt else None, output_sequence_length=5)
        return k.Sequential([k.Input(shape, dtype="string"), words, L.Embedding(20, 3, mask_zero=True), L.LSTM(4),
                             L.Dense(1, activation="sigmoid")]), [TEXTS]  # fmt: skip

    def counted(learnt, mode):
        x = k.Input((1,), dtype="string", name="text")
        arguments = {"idf_weights": [0.5 + 0.1 * i for i in range(len(WORDS))]} if mode == "tf_idf" and not learnt else {}
        words = classifier(k, learnt, output_mode=mode, **arguments)
        return k.Model(x, L.Dense(3, activation="softmax")(words(x))), [TEXTS]

    def several():
        text, token = k.Input((), dtype="string", name="text"), k.Input((1,), dtype="string", name="token")
        number, value = k.Input((2,), dtype="int64", name="number"), k.Input((3,), name="value")
        tokens = L.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
        numbers = L.IntegerLookup(mask_token=0)
        numbers.adapt(np.array([[5, 6], [7, 7], [5, 7]]))
        scale = L.Normalization()
        scale.adapt(features)
        words = classifier(k, True, output_mode="multi_hot")
        parts = [words(text), tokens(token), L.Flatten()(L.Embedding(9, 2)(numbers(number))), scale(value)]
        parts.append(L.CategoryEncoding(9, output_mode="count")(numbers(number)))
        parts.append(L.Discretization(bin_boundaries=[0.0, 2.0], output_mode="multi_hot")(value))
        rows = len(TEXTS)
        given = [TEXTS, (["a", "b", "c"] * 3)[:rows], [[5, 7], [6, 0], [9, 9], [5, 5], [0, 0], [7, 6], [1, 5]], features.tolist()]
        return k.Model([text, token, number, value], L.Dense(2)(L.Concatenate()(parts))), given

    def nested():
        words = classifier(k, True, output_sequence_length=4)
        inner = k.Sequential([k.Input((1,), dtype="string"), words, L.Embedding(30, 3)], name="reader")
        x = k.Input((1,), dtype="string")
        return k.Model(x, L.Dense(2)(L.GRU(3)(inner(x)))), [TEXTS]

    yield "adapted", lambda: embedded(True, (1,))
    yield "listed", lambda: embedded(False, (1,))
    yield "flat", lambda: embedded(True, ())
    for mode in ["multi_hot", "tf_idf"]:
        yield f"{mode}_adapted", lambda mode=mode: counted(True, mode)
        yield f"{mode}_listed", lambda mode=mode: counted(False, mode)
    yield "several", several
    yield "nested", nested
    yield "scaled", lambda: scaled(k)


def write_models(library, prefix):
    k = importlib.import_module(library)
    answers = {}
    for number, (name, build) in enumerate(models(k)):
        k.backend.clear_session()
        model, given = build()
        fill(model, np.random.default_rng(number))
        inputs = [tf.constant(x, dtype=tf.string) if isinstance(x[0], str) else tf.constant(x) for x in given]
        axes = [len(x.shape) for x in model.inputs]
        inputs = [tf.expand_dims(x, -1) if len(x.shape) < rank else x for x, rank in zip(inputs, axes)]
        answer = np.asarray(model(inputs if len(inputs) > 1 else inputs[0], training=False))
        file = f"texts_{prefix}_{name}"
        answers[file] = {"given": given, "shape": list(answer.shape), "output": answer.ravel().tolist()}
        model.save(OUT / f"{file}.keras")
        # Of the old form there is nothing else that holds what was learnt.
        if name in ("listed", "tf_idf_listed", "scaled") or name == "adapted" and prefix == "k3":
            model.save(OUT / f"{file}.h5")
        print("wrote", file)
    return answers


if __name__ == "__main__":
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "layers":
        json.dump(layer_cases(importlib.import_module("keras")), open(OUT / "texts.json", "w"), ensure_ascii=False, indent=0)
    elif part in ("keras", "tf_keras"):
        answers = write_models(part, "k3" if part == "keras" else "k2")
        json.dump(answers, open(OUT / f"texts_{'k3' if part == 'keras' else 'k2'}.json", "w"), ensure_ascii=False, indent=0)
    else:
        for name in ["layers", "keras", "tf_keras"]:
            subprocess.run([sys.executable, __file__, name], check=True)
