"""The rows of bench_peers.py: what is measured, against whom, and at least how many times faster it should be."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mixed import MIXED

PEERS = Path(__file__).resolve().parent
ROOT = PEERS.parent.parent
NAMES = {"ours": "this crate", "torch": "PyTorch", "keras": "Keras on TensorFlow",
         "candle-nn": "candle-nn `seq`, autograd", "burn": "burn, ndarray, autodiff",
         "burn-flex": "burn, flex, autodiff"}
EPOCHS = {
    "lstm": {"torch": 12, "keras": 40, "candle-nn": 90, "burn": 500, "burn-flex": None},
    "gru": {"torch": 40, "keras": None, "candle-nn": None},
    "stacked-lstm": {"torch": 12, "keras": None},
}
STEPS = {"lstm": {32: 3, 64: 2, 128: 1.6, 256: 1.3, 512: 1.1, 1024: 1.05},
         "gru": {32: 12, 64: 6, 128: 2.3, 256: 1.7, 512: 1.3, 1024: 1.2}}
BATCHES = 313
TEXT = "I expected to hate it, but it is lovely"
# Starts a program from a small process, since a child inherits its parent's peak memory; prints the child's in KiB.
PEAK = ("import os,sys\npid=os.fork()\nif pid==0: os.execvp(sys.argv[1],sys.argv[1:])\n_,status,usage=os.wait4(pid,0)\n"
        "print('peak',usage.ru_maxrss)\nsys.exit(os.waitstatus_to_exitcode(status))")


def median(values):
    return statistics.median(values)


def count(threads):
    return f"{threads} thread" + "s" * (threads > 1)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def present(bench, names):
    return [name for name in names if name in bench.peers]


def epoch(bench):
    """A pass over 20,000 reviews in batches of 64, in order, with RMSprop; validation is not in the time."""
    first = bench.args.burn_batches
    shares = {"candle-nn": bench.args.candle_batches, "burn": first, "burn-flex": first}
    losses = []
    for model, peers in EPOCHS.items():
        names = ["ours", *present(bench, peers)]
        begun = {name: [bench.peers[name].ask("first", model=model, batches=batches)["loss"] for batches in (1, first)]
                 for name in names}
        jobs = {name: lambda name=name: bench.peers[name].ask("epoch", model=model, batches=shares.get(name))
                for name in names}
        answers = bench.round_robin(jobs)
        times = {}
        for name in names:
            batches = shares.get(name) or BATCHES
            times[name] = median([answer["seconds"] for answer in answers[name]]) * BATCHES / batches
            whole = batches >= BATCHES
            valid = bench.peers[name].ask("validate", model=model) if whole else None
            losses.append([model, NAMES[name], *(f"{loss:.6f}" for loss in begun[name]), batches * bench.rounds,
                           f"{answers[name][-1]['loss']:.4f}" if whole else "",
                           f"{valid['loss']:.4f}" if whole else "", f"{valid['accuracy']:.4f}" if whole else ""])
        for name in names[1:]:
            batches = shares.get(name) or BATCHES
            note = "" if batches >= BATCHES else f"{batches} batches, scaled"
            bench.compare(f"epoch of `{model}`", times["ours"], times[name], NAMES[name], peers[name], note)
    head = ["model", "by", "loss of the first batch", f"of the first {first}", "batches trained",
            "loss of the last epoch", "val_loss", "val_accuracy"]
    bench.section("### Losses after the timed epochs\n\nEverybody began with the same weights and saw the same batches "
                  "in the same order; an LSTM has one bias everywhere, as in Keras. RMSprop: ours and Keras's have "
                  "epsilon inside the root and square an embedding's gradient slice by slice; PyTorch's, burn's and the "
                  "one written for candle-nn (which has none) have epsilon outside it and square the sum. So the first "
                  "batch has the same loss for all, and later ones differ in the last digits. With dropout the masks are "
                  "everybody's own.\n\n"
                  + table(head, losses))


def step(bench):
    """Forward, backward to weights and input, RMSprop: batch 64, length 100, inputs = units."""
    if "torch" not in bench.peers:
        return bench.leave_out("row step", "it is against PyTorch")
    losses = []
    for kind, sizes in STEPS.items():
        for units in bench.args.units:
            steps = max(2, 1600 // units) // (2 if bench.args.quick else 1)
            names = ["ours", "torch"]
            for name in names:
                bench.peers[name].ask("step", kind=kind, units=units, steps=1)
            jobs = {name: lambda name=name: bench.peers[name].ask("step", kind=kind, units=units, steps=steps)
                    for name in names}
            answers = bench.round_robin(jobs)
            ours, theirs = (median([answer["seconds"] for answer in answers[name]]) for name in names)
            bench.compare(f"training step, {kind.upper()}, units = inputs = {units}", ours, theirs, "PyTorch",
                          sizes.get(units))
            losses.append([kind.upper(), units, 1 + steps * bench.rounds,
                           *(f"{answers[name][-1]['loss']:.4f}" for name in names)])
    bench.section("### Losses after the timed steps\n\nThe sum of the squares of the last output.\n\n"
                  + table(["layer", "units", "steps", "this crate", "PyTorch"], losses))


def evaluate(bench):
    """25,000 reviews of 100 by the shipped lstm; PyTorch at the best of its batch sizes and numbers of threads."""
    rows, ours = [], 1024
    jobs = {"ours": lambda: bench.peers["ours"].ask("evaluate", batch=ours)}
    label = {"ours": f"batches of {ours}"}
    for name in present(bench, ["torch", "keras"]):
        peer, sizes = bench.peers[name], (64, 256, 1024, 4096, 25000)
        settings = [(batch, threads) for batch in sizes for threads in ({bench.threads, 1} if name == "torch" else {0})]
        tried = {setting: peer.ask("evaluate", batch=setting[0], threads=setting[1])["seconds"] for setting in settings}
        batch, threads = min(tried, key=tried.get)
        jobs[name] = lambda peer=peer, batch=batch, threads=threads: peer.ask("evaluate", batch=batch, threads=threads)
        label[name] = f"batches of {batch}" + (f", {count(threads)}" if threads else "")
    answers = bench.round_robin(jobs)
    times = {name: median([answer["seconds"] for answer in answers[name]]) for name in jobs}
    for name in jobs:
        last = answers[name][-1]
        rows.append([NAMES[name], label[name], f"{last['loss']:.6f}", f"{last['accuracy']:.4f}"])
        if name != "ours":
            bench.compare("evaluate 25,000 reviews of 100", times["ours"], times[name], NAMES[name],
                          {"torch": 4}.get(name), label[name])
    bench.section("### What `evaluate` found\n\n" + table(["by", "setting", "loss", "accuracy"], rows))


def review(bench):
    """One review of 100 ids, weights loaded, in the same process."""
    calls = 300 if bench.args.quick else 1000
    jobs = {"ours": lambda: bench.peers["ours"].ask("review", calls=calls)}
    if "torch" in bench.peers:
        threads = min({1, bench.threads}, key=lambda threads: bench.peers["torch"].ask("review", calls=calls,
                                                                                       threads=threads)["seconds"])
        jobs["torch"] = lambda: bench.peers["torch"].ask("review", calls=calls, threads=threads)
    answers = bench.round_robin(jobs)
    times = {name: median([answer["seconds"] for answer in answers[name]]) for name in jobs}
    found = ", ".join(f"{NAMES[name]} {answers[name][-1]['probability']:.6f} in {times[name] * 1e6:.1f} µs"
                      for name in jobs)
    bench.section(f"### One review\n\nProbability that the first test review is positive: {found}.")
    if "torch" in jobs:
        bench.compare("one review, weights loaded", times["ours"], times["torch"], NAMES["torch"], 10,
                      f"inference mode, {count(threads)}")


def run(command, bench):
    """Seconds and output of a whole process."""
    start = time.perf_counter()
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=bench.environment, cwd=bench.folder)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return seconds, done.stdout


def predict(bench):
    """`predict lstm TEXT`, from the start of the process to its end."""
    ours = [bench.program, "predict", "lstm", TEXT]
    times = [run(ours, bench)[0] for _ in range(10 if bench.args.quick else 40)]
    answer = run(ours, bench)[1].split()[1]
    if "keras" not in bench.peers:
        bench.section(f"### predict\n\nWhole process: {median(times) * 1e3:.1f} ms (median of {len(times)}).")
        return bench.leave_out("row predict", "it is against Keras")
    path = bench.folder / "lstm.keras"
    bench.peers["keras"].ask("save", path=str(path))
    keras = [sys.executable, PEERS / "keras_predict.py", path, ROOT / "models/lstm/tokenizer.json", TEXT]
    run(keras, bench)
    slow = []
    for _ in range(bench.rounds):
        times += [run(ours, bench)[0] for _ in range(10)]
        slow.append(run(keras, bench))
    bench.compare("`predict lstm \"…\"`, whole process", median(times), median([seconds for seconds, _ in slow]),
                  "Keras: import, load, predict", 300)
    bench.section(f"### predict\n\nThe probability of the text: this crate {answer}, Keras {slow[-1][1].strip()}. Ours "
                  f"took {median(times) * 1e3:.1f} ms, from {min(times) * 1e3:.1f} to {max(times) * 1e3:.1f} in "
                  f"{len(times)} runs (at most 20 wanted).")


def train_all(bench):
    """`train NAME --data imdb.npz` of the first edition's five models, whole processes, against Keras training the same for as
    many epochs."""
    if "keras" not in bench.peers or not bench.npz:
        return bench.leave_out("row train-all", "it needs Keras and an imdb.npz")
    seconds, ours = 0.0, []
    for name in ("simple-rnn", "lstm", "dropout-lstm", "stacked-lstm", "gru"):
        command = [bench.program, "train", name, "--data", bench.npz, "--quiet", "--json", "--out", bench.folder / name]
        took, output = run(command + (["--epochs", "5"] if bench.args.quick else []), bench)
        seconds += took
        ours.append(json.loads(output))
    keras = bench.peers["keras"]
    rows, total, how = [], 0.0, "extrapolated from an epoch of each model"
    if bench.args.full:
        how = "in full"
    for trained in ours:
        if bench.args.full:
            answer = keras.ask("chapter", model=trained["model"], epochs=5 if bench.args.quick else 100)
            took, epochs, loss = answer["seconds"], answer["epochs"], answer["val_loss"]
        else:
            each = keras.ask("fit_epoch", model=trained["model"])["seconds"]
            took, epochs, loss = each * trained["epochs"], trained["epochs"], float("nan")
        total += took
        rows.append([trained["model"], trained["epochs"], f"{trained['seconds']:.1f} s",
                     f"{trained['best_val_loss']:.4f}", epochs, f"{took:.1f} s", f"{loss:.4f}" if bench.args.full else ""])
        print(f"  {rows[-1]}", file=sys.stderr)
    total += keras.ask("read", path=str(bench.npz))["seconds"]
    bench.compare("the five models trained on IMDB, whole processes" + (", 5 epochs" if bench.args.quick else ""), seconds, total,
                  f"Keras, the same models, {how}", 30)
    bench.section("### train all\n\nKeras's time is that of its epochs with validation and of reading the data; its "
                  "imports, checkpoints and pictures are not counted, ours are.\n\n"
                  + table(["model", "our epochs", "our time", "our best val_loss", "Keras's epochs", "Keras's time",
                           "Keras's best val_loss"], rows))


def peak(command, bench):
    """Peak memory, in bytes, and output of a whole process."""
    _, output = run([sys.executable, "-ISc", PEAK, *command], bench)
    lines = output.strip().splitlines()
    return int(lines[-1].split()[1]) * 1024, lines[:-1]


def memory(bench):
    """The most memory that training `lstm` on IMDB holds."""
    if "torch" not in bench.peers or not bench.npz:
        return bench.leave_out("row memory", "it needs PyTorch and an imdb.npz")
    epochs = "2"
    ours = [bench.program, "train", "lstm", "--data", bench.npz, "--epochs", epochs, "--quiet"]
    torch = [sys.executable, PEERS / "torch_train.py", bench.folder, bench.npz, epochs, str(bench.threads)]
    jobs = {"ours": lambda: peak([*ours, "--out", bench.folder / "memory"], bench), "torch": lambda: peak(torch, bench)}
    answers = bench.round_robin(jobs, 1 if bench.args.quick else 3)
    mine, theirs = (median([size for size, _ in answers[name]]) for name in jobs)
    imported = int(answers["torch"][-1][1][-1].split()[1]) * 1024
    bench.compare("peak memory of training `lstm` on IMDB", mine, theirs, "PyTorch's process", 5)
    bench.section(f"### Memory\n\nOf PyTorch's {theirs / 2**20:.0f} MB, {imported / 2**20:.0f} are there once it is "
                  "imported; the rest is NumPy reading the file, the arrays, and training.")


def read(bench):
    """imdb.npz to the three arrays of ids."""
    if "keras" not in bench.peers or not bench.npz:
        return bench.leave_out("row read", "it needs Keras and an imdb.npz")
    jobs = {name: lambda name=name: bench.peers[name].ask("read", path=str(bench.npz)) for name in ("ours", "keras")}
    for job in jobs.values():
        job()
    answers = bench.round_robin(jobs)
    ours, theirs = (median([answer["seconds"] for answer in answers[name]]) for name in jobs)
    sums = {answer["sum"] for each in answers.values() for answer in each}
    if len(sums) != 1:
        raise RuntimeError(f"the arrays differ: their sums are {sums}")
    bench.compare("reading imdb.npz, making the three arrays", ours, theirs, "NumPy, scikit-learn and Keras", 3)


def phases(bench):
    """Where an epoch of ours goes."""
    rows = []
    for model in EPOCHS:
        found = bench.peers["ours"].ask("phases", model=model)
        whole = sum(found.values())
        names = list(found)
        shares = [f"{100 * seconds / whole:.0f} %" for seconds in found.values()]
        rows.append([f"`{model}`", f"{whole * 1e3:.0f} ms", *shares])
    bench.section("### Where our epoch goes\n\nThe same loop with a clock around its parts (forward and backward are "
                  "the kernels, but for the last layer and Candle's graph).\n\n"
                  + table(["model", "epoch", *names], rows))


def mixed(bench):
    """An epoch of models that have other layers around their recurrent ones, some batches of it."""
    batches, times = (20 if bench.args.quick else 60), {}
    for model, (label, layers, wanted, alone) in MIXED.items():
        peers = [name for name in present(bench, ["torch", "keras"]) if name == "keras" or model != "hard-sigmoid"]
        names = ["ours", *peers]
        job = {"model": model, "layers": layers}
        for name in names:
            bench.peers[name].ask("mixed", **job, batches=5)
        jobs = {name: lambda name=name: bench.peers[name].ask("mixed", **job, batches=batches) for name in names}
        answers = bench.round_robin(jobs)
        of = {name: median([answer["seconds"] for answer in answers[name]]) * BATCHES / batches for name in names}
        times[model] = of["ours"]
        for name in peers:
            bench.compare(f"epoch of {label}", of["ours"], of[name], NAMES[name], wanted if name == "torch" else 1,
                          f"{batches} batches, scaled")
    rows = [[MIXED[model][0], show(times[model]), show(times[alone]), f"{times[model] / times[alone]:.2f}"]
            for model, (_, _, _, alone) in MIXED.items() if alone]
    bench.section("### What stands around a recurrent layer\n\nOur time beside that of the recurrent layers alone, at most "
                  "1.3 wanted.\n\n" + table(["model", "epoch", "its recurrent layers", "ratio"], rows))


def show(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


ROWS = {"epoch": epoch, "step": step, "mixed": mixed, "evaluate": evaluate, "review": review, "predict": predict,
        "train-all": train_all, "memory": memory, "read": read, "phases": phases}
