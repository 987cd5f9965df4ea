"""Times `predict` beside Keras over a folder of Keras's files (.keras, .h5): one row, and many.

    pip install numpy keras tensorflow-cpu tf-keras    # tf-keras is optional: for files that Keras 3 does not open
    cargo build --release
    python scripts/bench_files.py FOLDER
    python scripts/bench_files.py FOLDER --only '*gru*' --rounds 5

Of each file, in turns, round after round:

- one row: the whole process from its start to its end, ours and Python's (import Keras, load the model, predict);
- many rows (--rows): the whole process, and `predict` alone. Keras's alone is in a process that has the model loaded and has
  predicted before, at the best of three batch sizes; ours is the process less that of one row.

Inputs are random numbers from 0 to 1 in the model's shapes, ids within the vocabulary where an Embedding reads them; axes of any length are
--length. What the two give must agree within 1e-5 (a file of large weights may be chaotic: there Keras is as far from itself in
64 bits). A file that Keras does not open is left out with a word.
Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCHES = [32, 256, 1000]


# What follows runs in a process of its own, with Keras.

def load(library, path):
    import importlib
    keras = importlib.import_module(library)
    saving = keras.models if library == "tf_keras" else keras.saving
    return keras, saving.load_model(path, compile=False)


def inputs_of(keras, model):
    """Of each input the shape, and of how many ids it is; none where it holds other numbers."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    try:
        tensors = model.inputs
    except AttributeError:
        # One that begins with an Embedding, and is built by what it is called with.
        return [((None, None), layers[0].input_dim)]
    if len(tensors) == 1:
        return [(tensors[0].shape, min((layer.input_dim for layer in layers), default=None))]
    ids = [next((layer.input_dim for layer in layers if layer.input is tensor), None) for tensor in tensors]
    return [(tensor.shape, count) for tensor, count in zip(tensors, ids)]


def make_inputs(args, keras, model):
    import numpy
    random = numpy.random.default_rng(0)
    arrays, inputs = {}, inputs_of(keras, model)
    for number, (shape, ids) in enumerate(inputs):
        shape = [args.rows, *(axis or args.length for axis in shape[1:])]
        array = random.integers(0, ids, shape) if ids else random.random(shape)
        arrays["x" if len(inputs) == 1 else f"x{number}"] = array.astype("int32" if ids else "float32")
    for name, rows in [("one", 1), ("many", args.rows)]:
        numpy.savez(args.inputs / f"{name}.npz", **{key: array[:rows] for key, array in arrays.items()})


def read_inputs(path):
    import numpy
    with numpy.load(path) as file:
        arrays = [file[name] for name in sorted(file.files)]
    return arrays[0] if len(arrays) == 1 else arrays


def write_answers(path, answers):
    import numpy
    answers = answers if isinstance(answers, list) else [answers]
    numpy.savez(path, **{f"y{number}": answer for number, answer in enumerate(answers)})


def worker(args):
    """One process of Keras's: makes the inputs, or predicts for them."""
    keras, model = load(args.library, args.path)
    if args.job == "inputs":
        make_inputs(args, keras, model)
        print(json.dumps({"version": keras.__version__}))
        return
    inputs = read_inputs(args.inputs / f"{args.job}.npz")
    write_answers(args.inputs / f"{args.job}-keras.npz", model.predict(inputs, verbose=0))
    if args.job == "one":
        return
    # The rest is not part of the process that is timed.
    print("answered", flush=True)
    best = {}
    for batch in BATCHES:
        model.predict(inputs, batch_size=batch, verbose=0)
        times = []
        while len(times) < 3 or (sum(times) < 1 and len(times) < 15):
            start = time.perf_counter()
            model.predict(inputs, batch_size=batch, verbose=0)
            times.append(time.perf_counter() - start)
        best[batch] = statistics.median(times)
    print(json.dumps(best))


# And this in the one that compares.

class Files:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def keras(self, library, path, job):
        """The seconds of a process of Keras's until it has answered, and what it says."""
        command = [sys.executable, __file__, str(path), "--worker", library, job, "--inputs", str(self.folder),
                   "--rows", str(self.args.rows), "--length", str(self.args.length)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment, close_fds=False)
        first = process.stdout.readline()
        answered = time.perf_counter() - start
        out, err = process.communicate()
        seconds = answered if job == "many" else time.perf_counter() - start
        if process.returncode:
            words = [line for line in err.splitlines() if line.strip()] or ["it says nothing"]
            raise RuntimeError(words[-1][:100])
        return seconds, (out if job == "many" else first)

    def ours(self, path, job):
        """The seconds of a process of ours."""
        command = [str(self.args.program), "predict", str(path), "--input", str(self.folder / f"{job}.npz"),
                   "--output", str(self.folder / f"{job}-ours.npz")]
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, close_fds=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[:200])
        return seconds

    def difference(self):
        """The largest difference of the answers, of numbers above 1 as a part of them."""
        import numpy
        largest = 0.0
        with numpy.load(self.folder / "many-ours.npz") as ours, numpy.load(self.folder / "many-keras.npz") as keras:
            for own, theirs in zip(sorted(ours.files), sorted(keras.files), strict=True):
                own, theirs = ours[own], keras[theirs]
                if own.shape != theirs.shape:
                    return float("inf")
                apart = abs(own - theirs) / numpy.maximum(1, abs(theirs))
                largest = max(largest, float(apart.max(initial=0)))
        return largest

    def measure(self, path):
        """The medians of a file, in seconds."""
        library, version, why = None, None, []
        for library in ["keras", "tf_keras"]:
            try:
                version = json.loads(self.keras(library, path, "inputs")[1])["version"]
                break
            except RuntimeError as error:
                why.append(f"{library}: {error}")
        if version is None:
            raise RuntimeError("; ".join(why))
        times = {"ours one": [], "ours many": [], "keras one": [], "keras many": [], "keras alone": []}
        for job in ["one", "many"]:
            self.ours(path, job)
        for _ in range(self.args.rounds):
            times["keras one"].append(self.keras(library, path, "one")[0])
            many, alone = self.keras(library, path, "many")
            times["keras many"].append(many)
            times["keras alone"].append(min(json.loads(alone).values()))
            for _ in range(self.args.ours):
                for job in ["one", "many"]:
                    times[f"ours {job}"].append(self.ours(path, job))
        medians = {name: statistics.median(values) for name, values in times.items()}
        medians["ours alone"] = medians["ours many"] - medians["ours one"]
        difference = self.difference()
        if difference > 1e-5 and library == "keras":
            # Keras 3 reads some words of older files in another sense.
            try:
                self.keras("tf_keras", path, "many")
                difference = self.difference()
            except RuntimeError:
                pass
        return medians, f"{library} {version}", difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, metavar="FOLDER")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/candle-recurrent")
    parser.add_argument("--only", default="*", metavar="GLOB", help="files whose names fit")
    parser.add_argument("--rows", type=int, default=1000, help="the many rows")
    parser.add_argument("--length", type=int, default=100, help="the length of axes that may be of any")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", type=int, default=5, help="runs of ours in a round")
    parser.add_argument("--json", type=Path, help="where to put the medians")
    parser.add_argument("--worker", nargs=2, metavar=("LIBRARY", "JOB"), help=argparse.SUPPRESS)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        args.library, args.job = args.worker
        return worker(args)

    names = sorted(path for path in args.path.rglob(args.only) if path.suffix in [".keras", ".h5"])
    found, left_out = {}, []
    print(f"| file | by | one row: ours | Keras | ratio | {args.rows} rows: ours | Keras | ratio | alone: ours | Keras "
          "| ratio | apart |\n|" + "---|" * 12)
    for path in names:
        name = path.relative_to(args.path)
        try:
            with tempfile.TemporaryDirectory() as folder:
                medians, by, difference = Files(args, Path(folder)).measure(path)
        except RuntimeError as error:
            left_out.append(f"{name}: left out ({error})")
            print(left_out[-1], file=sys.stderr, flush=True)
            continue
        found[str(name)] = {**medians, "by": by, "difference": difference}
        cells = []
        for job in ["one", "many", "alone"]:
            ours, keras = medians[f"ours {job}"], medians[f"keras {job}"]
            cells += [f"{1000 * ours:.1f} ms", f"{1000 * keras:.0f} ms", f"{keras / max(ours, 1e-4):.1f}"]
        print(f"| {name} | {by} | {' | '.join(cells)} | {difference:.0e} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))

    print()
    for job, times, what in [("one", 100, "one row, whole process"), ("many", 3, f"{args.rows} rows, whole process"),
                             ("alone", 3, f"{args.rows} rows, `predict` alone")]:
        met = sum(file[f"keras {job}"] >= times * file[f"ours {job}"] for file in found.values())
        print(f"{what}: at most 1/{times} of Keras's time for {met} of {len(found)} files")
    met = sum(file["keras alone"] >= 3 * file["ours many"] for file in found.values())
    print(f"{args.rows} rows, our whole process beside Keras's `predict` alone: at most 1/3 for {met} of {len(found)} files")
    apart = [name for name, file in found.items() if file["difference"] > 1e-5]
    print(f"answers agree within 1e-5 for {len(found) - len(apart)} of {len(found)} files", *apart, sep="\n  ")
    print(f"{len(left_out)} files left out", *left_out, sep="\n  ")


if __name__ == "__main__":
    main()
