"""What `convert` writes, in Keras itself.

    pip install keras==3.15.1 tensorflow-cpu safetensors
    cargo build --release
    python scripts/keras_roundtrip.py [--zoo] [--files FOLDER]
        [--program target/release/candle-recurrent]

1. Each model of the zoo to a `.keras` and a `.weights.h5`: Keras loads both, holds the zoo's weights bit for bit, and
   predicts what this crate predicts (1e-6); what Keras then saves is converted back, and its variables must be the
   zoo's bit for bit.
2. Each `.h5` in FOLDER (default ../shared/data/keras, whose `NAME.golden.npz` hold Keras's own answers): whether Keras
   opens it, and if not, whether Keras opens what `convert` makes of it and gives the golden (relative error 1e-4).
3. Each model of tests/fixtures through `convert` to a `.keras`: Keras loads it and gives the golden beside it (1e-5), or
   `convert` says why a file of Keras 3 cannot hold it (CANNOT). So for those that begin with text.
4. Each model of tests/convert/classes.json, in which every class of layers stands, as the test `every_class_is_written`
   writes it: Keras loads it and gives the test's answer (1e-5 of the largest number).

How the 1e-6 is measured: over 3 batches of 8 and one of 256 inputs, against the same Keras model computing in float64.
Keras in float32 is no measure as fine as that: TensorFlow's sigmoid and tanh are approximations, and its answer for an LSTM
over 100 steps is up to 3e-6 away from exact arithmetic, whatever the batch and with or without compilation. Both errors
against float64 are in the table, and so is the difference between the two float32 answers, which may be no more than 1e-6
and Keras's own error together. With `KERAS_BACKEND=torch`, where Keras's functions are finer, that difference is within 1e-6
for all of them.

Prints a table; what is not there is skipped, saying so. Fails where a row fails.
"""

import argparse
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
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A chaotic model: the smallest change of a sum's order shows.
LOOSE = {"aledhita02+lstm_saham_mandiri__gru_model.h5": 1e-3}
# Masks that Keras before 3.4 took another way.
CANNOT = {"k2_bias_axes.h5", "k2_heads.h5", "k2_heads.keras",
          "k2_masked_states.h5", "k2_merged_masks.h5", "k33_merged_masks.keras"}


class Failed(Exception):
    """The program's one line of error."""


class Program:
    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise Failed(done.stderr.strip().removeprefix("error: "))
        return done.stdout


def answers(model, inputs):
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def in_float64(model):
    """The same model and weights, computing in float64."""
    def change(value):
        if isinstance(value, dict):
            return {key: "float64" if item == "float32" else change(item) for key, item in value.items()}
        return [change(item) for item in value] if isinstance(value, list) else value

    config = json.dumps(change(json.loads(model.to_json())))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    exact = keras.models.model_from_json(config)
    keras.config.set_dtype_policy(before)
    exact.set_weights(model.get_weights())
    assert all(weight.dtype == "float64" for weight in exact.weights)
    return exact


def largest(a, b):
    return float(np.abs(np.asarray(a, "float64") - np.asarray(b, "float64")).max())


def zoo(program, folder):
    rng = np.random.default_rng(0)
    for name in sorted(path.name for path in (ROOT / "models").iterdir()):
        layers = json.loads((ROOT / "models" / name / "config.json").read_text())["model"]["layers"]
        shape = layers[0]["config"]["batch_shape"][1:]
        ids = any(layer["class_name"] == "Embedding" for layer in layers)
        ours_keras, theirs_keras = folder / f"{name}.keras", folder / f"{name}-keras.keras"
        program("convert", name, ours_keras)
        program("convert", name, folder / f"{name}.weights.h5")
        model = keras.saving.load_model(ours_keras)
        fresh = keras.models.clone_model(model)
        fresh.load_weights(folder / f"{name}.weights.h5")
        start = load_file(ROOT / "models" / name / "model.safetensors")
        values = lambda arrays: sorted(np.asarray(array).tobytes() for array in arrays)
        same = all(values(held.get_weights()) == values(start.values()) for held in (model, fresh))
        exact = in_float64(model)
        apart, ours_off, keras_off = 0.0, 0.0, 0.0
        for count in (8, 8, 8, 256):
            x = rng.integers(0, 500, (count, *shape)).astype(np.int32) if ids else rng.random((count, *shape), np.float32)
            np.savez(folder / "x.npz", x=x)
            program("predict", name, "--input", folder / "x.npz", "--output", folder / "y.npz")
            ours, truth = np.load(folder / "y.npz")["y"], answers(exact, [x])[0]
            for held in (model, fresh):
                theirs = answers(held, [x])[0]
                apart, keras_off = max(apart, largest(theirs, ours)), max(keras_off, largest(theirs, truth))
            ours_off = max(ours_off, largest(ours, truth))
        model.save(theirs_keras)
        program("convert", theirs_keras, folder / f"{name}-back")
        back = load_file(folder / f"{name}-back" / "model.safetensors")
        same &= back.keys() == start.keys() and all(back[k].tobytes() == start[k].tobytes() for k in start)
        again = folder / f"{name}-again.keras"
        program("convert", folder / f"{name}-back", again)
        same &= bool(np.array_equal(answers(keras.saving.load_model(again), [x])[0], answers(model, [x])[0]))
        yield (f"zoo {name}", f"off float64 by {ours_off:.1e} (Keras in float32 by {keras_off:.1e}, and by {apart:.1e} off "
               f"ours); weights bit for bit: {'yes' if same else 'NO'}",
               ours_off <= 1e-6 and apart <= 1e-6 + keras_off and same)


def opens(path):
    """Why Keras does not open a file, in short; nothing where it does."""
    try:
        keras.saving.load_model(path, compile=False)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:70]
    return None


def golden(path, model, name):
    """The largest relative error over a golden's outputs."""
    arrays = np.load(path)
    worst, pairs = 0.0, [("x", "y"), ("x_pad", "y_pad")]
    for inputs, outputs in pairs:
        numbered = lambda stem: sorted(
            (key for key in arrays if key == stem or key.removeprefix(stem).isdigit() and key.startswith(stem)),
            key=lambda key: int(key.removeprefix(stem) or 0))
        if not numbered(inputs):
            continue
        found = answers(model, [arrays[key] for key in numbered(inputs)])
        for key, output in zip(numbered(outputs), found, strict=True):
            expected = arrays[key]
            worst = max(worst, float(np.abs(output - expected).max() / max(np.abs(expected).max(), 1e-12)))
    return worst


def old_files(program, files, folder):
    for path in sorted(files.rglob("*.h5")):
        name = f"{path.parent.name}/{path.name}"
        answer = path.with_name(f"{path.stem}.golden.npz")
        if not answer.exists():
            answer = path.with_name(f"{path.name}.golden.npz")
        if not answer.exists():
            yield name, "skipped: no golden", True
            continue
        refusal = opens(path)
        converted = folder / "converted.keras"
        try:
            notes = json.loads(program("convert", path, converted, "--json"))["notes"]
        except Failed as error:
            yield name, f"Keras: {refusal or 'opens it'}; convert: {error}", False
            continue
        error = golden(answer, keras.saving.load_model(converted), path.name)
        limit = LOOSE.get(path.name, 1e-4)
        scaled = ", weights scaled for hard_sigmoid" if any("hard_sigmoid" in note for note in notes) else ""
        yield (name, f"{'refused' if refusal else 'opened'} by Keras; converted: golden within {error:.1e}{scaled}",
               error <= limit)


def fixtures(program, folder):
    for path in sorted((ROOT / "tests" / "fixtures").iterdir()):
        if path.is_dir():
            continue
        name, kind = path.name.split(".", 1)
        # Others, of training and of PyTorch, have scripts of their own.
        has_answer = path.with_name(f"{name}.golden.npz").exists()
        if kind in ("golden.npz", "json") or not has_answer or name.startswith(("refused", "texts_", "compiled_", "trained_")):
            continue
        converted = folder / "converted.keras"
        config = ["--config", path.with_name(f"{name}.json")] if kind == "weights.h5" else []
        try:
            program("convert", path, converted, *config)
        except Failed as error:
            yield path.name, f"not converted: {error}".replace(str(path) + ": ", ""), path.name in CANNOT
            continue
        error = golden(path.with_name(f"{name}.golden.npz"), keras.saving.load_model(converted), path.name)
        # Keras computed float16 layers in float16; converted, they are float32.
        limit = 2e-3 if name.endswith("half") else 1e-5
        yield path.name, f"converted: golden within {error:.1e}", error <= limit and path.name not in CANNOT


def classes(folder):
    command = [os.environ.get("CARGO", "cargo"), "test", "--release", "--test", "convert", "every_class_is_written"]
    environment = os.environ | {"CANDLE_RECURRENT_WRITTEN": str(folder)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    cases = json.loads((ROOT / "tests" / "convert" / "classes.json").read_text())
    for index, case in enumerate(cases):
        name = "classes " + ", ".join(layer["class_name"] for layer in case["layers"])
        try:
            model = keras.saving.load_model(folder / f"{index}.keras")
            error = golden(folder / f"{index}.npz", model, name)
        except Exception as failure:
            yield name, f"{type(failure).__name__}: {failure}".replace("\n", " ")[:300], False
            continue
        yield name, f"Keras's answer within {error:.1e}", error <= 1e-5
def texts(program, folder):
    """The models of tests/fixtures that begin with text, whose answers stand in texts_k3.json and texts_k2.json."""
    import tensorflow as tf

    folder_of = ROOT / "tests" / "fixtures"
    answers = {}
    for library in ("k3", "k2"):
        answers |= json.loads((folder_of / f"texts_{library}.json").read_text())
    for path in sorted(folder_of.glob("texts_*")):
        name, kind = path.name.split(".", 1)
        if kind not in ("keras", "h5"):
            continue
        # What was learnt by `adapt` is in no .h5.
        expected = kind == "h5" and name.endswith("adapted")
        converted = folder / "converted.keras"
        try:
            program("convert", path, converted)
        except Failed as error:
            yield path.name, f"not converted: {error}".replace(str(path) + ": ", ""), expected
            continue
        model, answer = keras.saving.load_model(converted), answers[name]
        given = [tf.constant(x, tf.string) if isinstance(x[0], str) else tf.constant(x) for x in answer["given"]]
        given = [tf.expand_dims(x, -1) if len(x.shape) < len(i.shape) else x for x, i in zip(given, model.inputs)]
        found = np.asarray(model(given if len(given) > 1 else given[0], training=False)).ravel()
        error = np.abs(found - np.array(answer["output"])).max()
        yield path.name, f"converted: golden within {error:.1e}", error <= 1e-6 and not expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target/release/candle-recurrent")
    parser.add_argument("--zoo", action="store_true", help="the zoo alone")
    parser.add_argument("--files", type=pathlib.Path, default=ROOT / "../shared/data/keras")
    args = parser.parse_args()
    program, failed, refused, taken = Program(args.program), 0, 0, 0

    def show(rows):
        nonlocal failed, refused, taken
        for name, text, good in rows:
            failed += not good
            refused += text.startswith("refused")
            taken += text.startswith("refused") and good
            print(f"{'ok' if good else 'FAILED':7}{name:75.75} {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        show(zoo(program, folder))
        if not args.zoo:
            show(classes(folder))
            show(fixtures(program, folder))
            show(texts(program, folder))
        if args.zoo:
            pass
        elif args.files.is_dir():
            show(old_files(program, args.files, folder))
            print(f"{refused} old files that Keras {keras.__version__} refuses; after convert it takes {taken}")
        else:
            print(f"skipped: there is no folder {args.files} of old files")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
