"""What `convert` writes, in Keras itself.

    pip install keras==3.15.1 tensorflow-cpu safetensors
    cargo build --release
    python scripts/keras_roundtrip.py [--files FOLDER] [--program target/release/candle-recurrent]

1. Each model of the zoo to a `.keras` and a `.weights.h5`: Keras loads both and predicts what this crate predicts
   (1e-6); what Keras then saves is converted back, and its variables must be the zoo's bit for bit.
2. Each `.h5` in FOLDER (default ../shared/data/keras, whose `NAME.golden.npz` hold Keras's own answers): whether Keras
   opens it, and if not, whether Keras opens what `convert` makes of it and gives the golden (relative error 1e-4).

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
    return [np.asarray(output) for output in outputs]


def zoo(program, folder):
    rng = np.random.default_rng(0)
    for name in ("simple-rnn", "lstm", "dropout-lstm", "stacked-lstm", "gru"):
        layers = json.loads((ROOT / "models" / name / "config.json").read_text())["model"]["layers"]
        shape = layers[0]["config"]["batch_shape"][1:]
        ids = any(layer["class_name"] == "Embedding" for layer in layers)
        x = rng.integers(0, 500, (8, *shape)).astype(np.int32) if ids else rng.random((8, *shape), np.float32)
        np.savez(folder / "x.npz", x=x)
        program("predict", name, "--input", folder / "x.npz", "--output", folder / "y.npz")
        ours = np.load(folder / "y.npz")["y"]
        ours_keras, theirs_keras = folder / f"{name}.keras", folder / f"{name}-keras.keras"
        program("convert", name, ours_keras)
        program("convert", name, folder / f"{name}.weights.h5")
        model = keras.saving.load_model(ours_keras)
        worst = float(np.abs(answers(model, [x])[0] - ours).max())
        fresh = keras.models.clone_model(model)
        fresh.load_weights(folder / f"{name}.weights.h5")
        worst = max(worst, float(np.abs(answers(fresh, [x])[0] - ours).max()))
        model.save(theirs_keras)
        program("convert", theirs_keras, folder / f"{name}-back")
        back = load_file(folder / f"{name}-back" / "model.safetensors")
        start = load_file(ROOT / "models" / name / "model.safetensors")
        same = back.keys() == start.keys() and all(back[k].tobytes() == start[k].tobytes() for k in start)
        again = folder / f"{name}-again.keras"
        program("convert", folder / f"{name}-back", again)
        same &= bool(np.array_equal(answers(keras.saving.load_model(again), [x])[0], answers(model, [x])[0]))
        yield (f"zoo {name}", f"Keras differs by {worst:.1e}; back bit for bit: {'yes' if same else 'NO'}",
               worst <= 1e-6 and same)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target/release/candle-recurrent")
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
        if args.files.is_dir():
            show(old_files(program, args.files, folder))
            print(f"{refused} old files that Keras {keras.__version__} refuses; after convert it takes {taken}")
        else:
            print(f"skipped: there is no folder {args.files} of old files")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
