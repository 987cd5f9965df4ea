"""Times each layer of this crate beside PyTorch's and Keras's on TensorFlow: the call, and training (the call, the sum of the
output's squares, and the way back to variables and inputs), at batch 1 and batch 1,024, all in one run, one after the other
in every round.

    pip install numpy safetensors torch keras==3.15.1 tensorflow-cpu
    python scripts/bench_layers.py --quick                 # a first look
    python scripts/bench_layers.py --write                 # into docs/layers.md
    python scripts/bench_layers.py --only LSTM,Attention   # layers whose names hold one of these

The layers are in `scripts/peers/layers.py`. Nothing else should run on the machine meanwhile.
"""

import argparse
import datetime
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_peers
from bench_peers import PEERS, ROOT, Peer, processor, show

sys.path.insert(0, str(PEERS))
from layers import CASES  # noqa: E402

NOTE = ROOT / "docs" / "layers.md"
BEGIN, END = "<!-- begin: bench_layers.py -->", "<!-- end: bench_layers.py -->"
WORK = [(1, False), (1, True), (1024, False), (1024, True)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="layers whose names hold one of these, by comma")
    parser.add_argument("--batches", default="1,1024", help="which sizes of a batch (1,1024)")
    parser.add_argument("--peers", default="torch,keras", help="which, by comma")
    parser.add_argument("--rounds", type=int, help="rounds of every measurement (5; 2 with --quick)")
    parser.add_argument("--seconds", type=float, help="seconds of a measurement (0.2; 0.05 with --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))), help="for everybody (2)")
    parser.add_argument("--no-build", action="store_true", help="the example is built already")
    parser.add_argument("--write", action="store_true", help="put the result into docs/layers.md")
    args = parser.parse_args()
    if args.write and (args.only or args.batches != "1,1024"):
        parser.error("--write replaces the whole result: leave --only and --batches out")
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (0.05 if args.quick else 0.2)
    args.batches = [int(batch) for batch in args.batches.split(",")]
    return args


def start(args, folder):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads),
                   "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    commands = {"ours": [ROOT / "target/release/examples/bench_layers"]}
    for name, needed in (("torch", "torch"), ("keras", "tensorflow")):
        if name in args.peers.split(",") and importlib.util.find_spec(needed) is not None:
            commands[name] = [sys.executable, PEERS / "layers_worker.py", name, folder, args.threads]
    return {name: Peer(name, command, folder, args.threads, environment) for name, command in commands.items()}


def measure(args, peers, case, batch, training):
    """Medians in seconds by peer; None where it has no such layer."""
    times = {name: [] for name in peers}
    for _ in range(args.rounds):
        for name, peer in peers.items():
            answer = peer.ask("time", batch=batch, training=training, seconds=args.seconds, **case.job())
            times[name].append(answer["seconds"])
    return {name: None if None in values else statistics.median(values) for name, values in times.items()}


def cell(times):
    """A cell of the table: our time, and how many times longer each peer takes."""
    ours = times["ours"]
    ratios = [times[name] / ours if times.get(name) else None for name in ("torch", "keras")]
    words = ["–" if ratio is None else f"{ratio:.2f}" if ratio >= 1 else f"**{ratio:.2f}**" for ratio in ratios]
    return f"{show(ours)} | {words[0]} | {words[1]}"


def report(args, peers, rows, command):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout
    works = [(batch, training) for batch, training in WORK if batch in args.batches]
    heads = [f"batch {batch:,}, {'training' if training else 'the call'}" for batch, training in works]
    slower = [(min(times[name] for name in times if times[name]) / times["ours"], case.name, head)
              for case, found in rows for head, times in zip(heads, found)]
    slower = sorted(entry for entry in slower if entry[0] < 1)
    count = sum(len(found) for _, found in rows)
    lines = [
        f"Measured on {datetime.date.today()} at commit {commit.strip()}: {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores; {args.threads} threads for everybody; {args.rounds} rounds of "
        f"{args.seconds:g} s, peers in turn in each of them, medians. "
        f"Versions: {'; '.join(peer.version for peer in peers.values())}.",
        "", f"To repeat: `{command}`", "",
        f"Of {count} rows {count - len(slower)} are as fast as both or faster.", "",
    ]
    for head, at in zip(heads, range(len(heads))):
        lines += [f"### {head[0].upper()}{head[1:]}", "", "| layer | ours | PyTorch ÷ ours | Keras ÷ ours |",
                  "|---|--:|--:|--:|"]
        lines += [f"| {case.name} | {cell(found[at])} |" for case, found in rows]
        lines.append("")
    if slower:
        lines += ["### Slower than the faster of the two", "", "| layer | | the faster ÷ ours |", "|---|---|--:|"]
        lines += [f"| {name} | {head} | {ratio:.2f} |" for ratio, name, head in slower]
    return "\n".join(lines).strip()


def main():
    args = arguments()
    if not args.no_build:
        subprocess.run(["cargo", "build", "--release", "--example", "bench_layers"], cwd=ROOT, check=True)
    wanted = args.only.split(",") if args.only else [""]
    cases = [case for case in CASES if any(word in case.name for word in wanted)]
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        peers = start(args, Path(folder))
        for case in cases:
            found = []
            for batch, training in WORK:
                if batch in args.batches:
                    found.append(measure(args, peers, case, batch, training))
                    print(f"{case.name}, {batch}, {training}: {cell(found[-1])}", file=sys.stderr)
            rows.append((case, found))
        for peer in peers.values():
            peer.close()
    shown = [word for word in sys.argv[1:] if word != "--no-build"]
    text = report(args, peers, rows, " ".join(["python scripts/bench_layers.py", *shown]))
    print(text)
    if args.write:
        bench_peers.write(text, NOTE, BEGIN, END, "Layers")


if __name__ == "__main__":
    main()
