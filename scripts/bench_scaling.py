"""How time and memory grow with the size of a layer, the steps, the batch and the vocabulary, beside PyTorch; and how near
the kernels come to what the machine can do.

    pip install torch matplotlib
    cargo build --release --example scaling
    cargo build --release -p candle-recurrent-kernel --example roofline
    python scripts/bench_scaling.py --quick               # a first look
    python scripts/bench_scaling.py --rounds 3 --write    # into docs/scaling.md and docs/scaling/
    python scripts/bench_scaling.py --sweeps steps,batch --write    # some anew, the others as target/scaling.json has them

Each size is a process of its own, ours and PyTorch's in turn in every round. Nothing else should run on the machine.
"""

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "scripts" / "peers"
EXAMPLES = ROOT / "target" / "release" / "examples"
FIGURES = ROOT / "target" / "scaling.json"
NOTE, PICTURES = ROOT / "docs" / "scaling.md", ROOT / "docs" / "scaling"
BEGIN, END = "<!-- begin: bench_scaling.py -->", "<!-- end: bench_scaling.py -->"
sys.path.insert(0, str(ROOT / "scripts"))
from bench_peers import processor, show  # noqa: E402

BASE = {"class_name": "LSTM", "units": 64, "features": 64, "batch": 64, "time": 100}
GATES = {"LSTM": 4, "GRU": 3}
SWEEPS = {
    "units": ("Units", "units (as many features), 64 sequences of 100 steps",
              [{"units": n, "features": n} for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)]),
    "gru-units": ("Units of a GRU", "units (as many features), 64 sequences of 100 steps",
                  [{"class_name": "GRU", "units": n, "features": n} for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)]),
    "steps": ("Steps", "steps of 64 sequences, 64 units", [{"time": n} for n in (10, 30, 100, 300, 1000, 3000, 10000)]),
    "batch": ("Batch", "sequences of 100 steps, 64 units", [{"batch": n} for n in (1, 4, 16, 64, 256, 1024, 4096)]),
    "vocabulary": ("Vocabulary", "rows of an embedding of 16, then 8 units; 64 sequences of 100 steps",
                   [{"vocabulary": n, "features": 16, "units": 8} for n in (500, 5000, 50_000, 500_000, 1_000_000)]),
}
KEY = {"units": "units", "gru-units": "units", "steps": "time", "batch": "batch", "vocabulary": "vocabulary"}
LINES = {"training": ("ours, training", "tab:blue", "-"), "again": ("ours, training with --remat", "tab:cyan", "-."),
         "inference": ("ours, inference", "tab:blue", ":"), "torch-training": ("PyTorch, training", "tab:orange", "-"),
         "torch-inference": ("PyTorch, inference", "tab:orange", ":")}


def run(command, environment):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def jobs(point, args, has_torch):
    """The processes that measure a size, by the line of the picture."""
    job = {**BASE, **point, "threads": args.threads, "seconds": args.seconds}
    ours, torch = [EXAMPLES / "scaling"], [sys.executable, PEERS / "torch_scaling.py"]
    all_jobs = {"training": [*ours, json.dumps({**job, "training": True})],
                "again": [*ours, json.dumps({**job, "training": True, "recompute": True})],
                "inference": [*ours, json.dumps({**job, "training": False})]}
    if has_torch:
        all_jobs["torch-training"] = [*torch, json.dumps({**job, "training": True})]
        all_jobs["torch-inference"] = [*torch, json.dumps({**job, "training": False})]
    return all_jobs


def measure(point, args, environment, has_torch):
    """Of each line the median of the seconds, and the bytes that it took beyond an idle process."""
    answers = {}
    for _ in range(args.rounds):
        for name, command in jobs(point, args, has_torch).items():
            answers.setdefault(name, []).append(run(command, environment))
    found = {}
    for name, each in answers.items():
        memory = [answer["peak"] - answer["before"] for answer in each if answer["peak"]]
        found[name] = (statistics.median(answer["seconds"] for answer in each),
                       statistics.median(memory) if memory else None)
    return found


def multiplications(point, training):
    """Floating-point operations of a layer's products; those of the cell itself are not counted."""
    job = {**BASE, **point}
    once = 2 * (job["features"] + job["units"]) * GATES[job["class_name"]] * job["units"] * job["batch"] * job["time"]
    return 3 * once if training else once


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "--:|" * len(head),
                      *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def size(memory):
    return "" if memory is None else f"{memory / 1e6:.0f} MB" if memory < 1e9 else f"{memory / 1e9:.2f} GB"


def section(name, found, peak):
    title, axis, points = SWEEPS[name]
    head = [KEY[name].replace("time", "steps"), "training", "PyTorch's", "ratio", "inference", "PyTorch's", "ratio", "memory", "PyTorch's",
            "with `--remat`", "its memory"]
    counts = name.endswith("units")
    rows = []
    for point, lines in zip(points, found):
        value = lambda line, part=0: lines.get(line, (None, None))[part]
        time = lambda line: show(value(line)) if value(line) else ""
        ratio = lambda line: f"{value('torch-' + line) / value(line):.1f}×" if value("torch-" + line) else ""
        row = [f"{point[KEY[name]]:,}", time("training"), time("torch-training"), ratio("training"), time("inference"),
               time("torch-inference"), ratio("inference"), size(value("training", 1)), size(value("torch-training", 1)),
               time("again"), size(value("again", 1))]
        if counts:
            rates = [multiplications(point, line == "training") / value(line) / 1e9 for line in ("training", "inference")]
            row += [f"{rate:.0f} ({100 * rate / peak:.0f} %)" for rate in rates]
        rows.append(row)
    if counts:
        head += ["GFLOP/s in training", "in inference"]
    return f"### {title}\n\n![{title}: {axis}](scaling/{name}.svg)\n\n{axis[0].upper() + axis[1:]}.\n\n{table(head, rows)}"


def draw(name, found):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "scaling", "font.size": 9})
    from matplotlib import pyplot
    title, axis, points = SWEEPS[name]
    xs = [point[KEY[name]] for point in points]
    figure, panels = pyplot.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    for part, (panel, label, scale) in enumerate(zip(panels, ("milliseconds a batch", "MB beyond an idle process"), (1e3, 1e-6))):
        for line, (legend, colour, style) in LINES.items():
            ys = [lines[line][part] * scale if lines.get(line, (None, None))[part] else None for lines in found]
            if any(y is not None for y in ys):
                panel.plot(xs, [float("nan") if y is None else y for y in ys], style, color=colour, marker=".", label=legend)
        panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=label)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    PICTURES.mkdir(exist_ok=True)
    figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each process measures, at least")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sweeps", default=",".join(SWEEPS))
    parser.add_argument("--quick", action="store_true", help="one round, without the largest size")
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md and its pictures")
    args = parser.parse_args()
    if args.write and args.quick:
        parser.error("--write is for whole measurements: leave --quick out")
    if args.quick:
        args.rounds, args.seconds = 1, 0.1
    for name in ("scaling", "roofline"):
        if not (EXAMPLES / name).exists():
            sys.exit(f"{EXAMPLES / name} is missing: build it first (see the top of this script)")
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads),
                   "CUDA_VISIBLE_DEVICES": ""}
    has_torch = importlib.util.find_spec("torch") is not None
    machine = run([EXAMPLES / "roofline"], environment)
    best = machine["threads"][str(args.threads)]
    head = [f"Measured on {datetime.date.today()}: {processor()}, {args.threads} threads for both; {args.rounds} rounds, medians."
            + ("" if has_torch else " PyTorch is not installed.")]
    reads = [f"{int(kib):,} KiB {rate:.0f} GB/s" for kib, rate in best["read_gb_s_by_kib"].items()]
    head.append(f"The machine's best, measured in the same run with {args.threads} threads and vectors of {machine['lanes']} lanes: "
                f"{best['gflops']:.0f} GFLOP/s of fused multiply-adds in registers; reading an array a thread of "
                + ", ".join(reads) + ".")
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    wanted = args.sweeps.split(",")
    for name in wanted:
        title, _, points = SWEEPS[name]
        figures[name] = []
        for point in points[:-1] if args.quick else points:
            found = measure(point, args, environment, has_torch)
            figures[name].append(found)
            print(title, point, {line: (show(s), size(b)) for line, (s, b) in found.items()}, file=sys.stderr)
        if not args.quick:
            FIGURES.write_text(json.dumps(figures))
    sections = ["\n\n".join(head), *(section(name, figures[name], best["gflops"]) for name in SWEEPS
                                      if name in (figures if args.write else wanted))]
    text = "\n\n".join(sections)
    if not args.write:
        return print(text)
    missing = [name for name in SWEEPS if name not in figures]
    if missing:
        sys.exit(f"--write needs all sweeps: measure {', '.join(missing)} too")
    for name in SWEEPS:
        draw(name, figures[name])
    note = NOTE.read_text()
    before, after = note.split(BEGIN)[0], note.split(END)[1]
    NOTE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
