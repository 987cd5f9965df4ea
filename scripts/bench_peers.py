"""Times this crate beside PyTorch, Keras, candle-nn and burn: same data, same initial weights, same order of batches,
all in one run, one after the other in every round.

    pip install numpy safetensors torch keras tensorflow-cpu scikit-learn
    cargo build --release --manifest-path scripts/peers/Cargo.toml    # candle-nn and burn; optional
    python scripts/bench_peers.py --quick                             # a first look
    python scripts/bench_peers.py --rounds 5 --write                  # all rows, into docs/benchmarks.md
    python scripts/bench_peers.py --rows step,review --rounds 9

A peer that is not installed is left out, and the output says so. Nothing else should run on the machine meanwhile.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "scripts" / "peers"
sys.path.insert(0, str(PEERS))
from rows import ROWS  # noqa: E402

IMDB = [ROOT.parent / "shared/data/imdb/imdb.npz", Path.home() / ".keras/datasets/imdb.npz"]
NOTE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: bench_peers.py -->", "<!-- end: bench_peers.py -->"
RUST_PEERS = PEERS / "target/release/peers"


class Peer:
    """A worker process that waits for jobs. It sleeps while others work."""

    def __init__(self, name, command, folder, threads, environment):
        self.name = name
        self.log = open(folder / f"{name}.log", "w")
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, bufsize=1, env=environment)
        self.read()
        self.version = self.ask("versions")["version"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; see {self.log.name}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, op, **job):
        self.process.stdin.write(json.dumps({"op": op, **job}) + "\n")
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Bench:
    """A run: its peers, its settings, and what it found."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.threads = args.threads
        self.rounds = args.rounds or (2 if args.quick else 5)
        self.npz = args.npz
        self.program = ROOT / "target/release/candle-recurrent"
        self.environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads),
                            "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.peers, self.absent, self.summary, self.sections = {}, [], [], []

    def start(self, wanted):
        """Starts the workers that are installed."""
        rust = [("candle-nn", [RUST_PEERS, "candle-nn"]), ("burn", [RUST_PEERS, "burn-ndarray"]),
                ("burn-flex", [RUST_PEERS, "burn-flex"])]
        commands = {"ours": [ROOT / "target/release/examples/bench"],
                    "torch": [sys.executable, PEERS / "torch_worker.py"],
                    "keras": [sys.executable, PEERS / "keras_worker.py"]}
        needs = {"torch": ["torch"], "keras": ["keras", "tensorflow", "sklearn"]}
        for name, command in [*commands.items(), *rust]:
            if name != "ours" and name not in wanted:
                continue
            missing = [module for module in needs.get(name, []) if importlib.util.find_spec(module) is None]
            if not Path(command[0]).exists():
                missing.append(str(Path(command[0]).relative_to(ROOT)))
            if missing:
                self.leave_out(name, f"{', '.join(missing)} is not here")
                continue
            try:
                self.peers[name] = Peer(name, [*command, self.folder, self.threads], self.folder, self.threads,
                                        self.environment)
            except (RuntimeError, OSError, ValueError) as error:
                if name == "ours":
                    raise
                self.leave_out(name, str(error))

    def leave_out(self, name, why):
        self.absent.append(f"{name}: left out ({why})")
        print(self.absent[-1], file=sys.stderr)

    def round_robin(self, jobs, rounds=None):
        """Every job in turn, round after round; gives each job's answers. A job is a function without arguments."""
        answers = {name: [] for name in jobs}
        for number in range(rounds or self.rounds):
            for name, job in jobs.items():
                answers[name].append(job())
                print(f"  round {number + 1}, {name}: {answers[name][-1]}", file=sys.stderr)
        return answers

    def compare(self, work, ours, peer, peer_name, wanted, note=""):
        """A line of the summary: medians in seconds (or other units, where both are the same)."""
        ratio = peer / ours if ours else float("nan")
        line = {"work": work, "ours": ours, "peer": peer, "name": peer_name, "wanted": wanted, "ratio": ratio,
                "note": note}
        self.summary.append(line)
        least = f", at least {wanted}x" if wanted else ""
        print(f"{work} / {peer_name}: {show(ours)} against {show(peer)}, {ratio:.1f}x{least} {note}", file=sys.stderr)

    def section(self, text):
        self.sections.append(text.strip())


def median(values):
    return statistics.median(values)


def show(seconds):
    """A time as people write it; bytes where the number is that large."""
    if seconds >= 1e6:
        return f"{seconds / 2**20:.0f} MB"
    for unit, scale in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 100 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(bench, data, command):
    """The run as Markdown."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scikit-learn")
                if importlib.util.find_spec({"scikit-learn": "sklearn"}.get(name, name))]
    versions = [peer.version for peer in bench.peers.values()]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout
    quick = " This was a `--quick` run: few rounds on a machine that did other work too; take it as a rough guide." \
        if bench.args.quick else ""
    lines = [
        f"Measured on {datetime.date.today()} at commit {commit.strip()}: {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()}; {bench.threads} threads for everybody; data: "
        f"{data}; {bench.rounds} rounds, peers in turn in each of them, medians.{quick}",
        "",
        f"Versions: {'; '.join([*versions, *packages, rustc, f'Python {platform.python_version()}'])}.",
        "",
        f"To repeat: `{command}`",
        "",
        *[f"- {line}" for line in bench.absent],
        "",
        "| work | ours | against | theirs | ratio | wanted | |",
        "|---|--:|---|--:|--:|--:|---|",
    ]
    for line in bench.summary:
        met = "" if line["wanted"] is None else "yes" if line["ratio"] >= line["wanted"] else "**no**"
        wanted = "" if line["wanted"] is None else f"{line['wanted']:g}×"
        note = f" ({line['note']})" if line["note"] else ""
        lines.append(f"| {line['work']} | {show(line['ours'])} | {line['name']}{note} | {show(line['peer'])} | "
                     f"{line['ratio']:.1f}× | {wanted} | {met} |")
    return "\n".join([*lines, "", "\n\n".join(bench.sections)]).strip()


def write(text, note=NOTE, begin=BEGIN, end=END, title="Benchmarks"):
    """Replaces what an earlier run wrote; the words around it stay."""
    old = note.read_text() if note.exists() else f"# {title}\n\n{begin}\n{end}\n"
    if begin not in old or end not in old:
        sys.exit(f"{note.name} lacks the lines {begin} and {end}")
    before, rest = old.split(begin, 1)
    note.parent.mkdir(exist_ok=True)
    note.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"which, by comma (default: all): {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, help="rounds of every measurement (5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="few rounds, few batches of the slow peers")
    parser.add_argument("--peers", default="torch,keras,candle-nn,burn,burn-flex", help="which, by comma")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))), help="for everybody (2)")
    parser.add_argument("--units", default="32,64,128,256,512,1024", help="sizes of the row `step`")
    parser.add_argument("--candle-batches", type=int, help="batches of candle-nn's epoch, scaled up (313; 30 quick)")
    parser.add_argument("--burn-batches", type=int, help="batches of burn's epoch, scaled up (10; 4 quick)")
    parser.add_argument("--full", action="store_true", help="run Keras's five trainings in full, do not extrapolate")
    parser.add_argument("--npz", type=Path, help="an imdb.npz (default: where one usually is)")
    parser.add_argument("--no-build", action="store_true", help="the program and the example are built already")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    args = parser.parse_args()
    unknown = [row for row in args.rows.split(",") if row not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    args.candle_batches = args.candle_batches or (30 if args.quick else 313)
    args.burn_batches = args.burn_batches or (4 if args.quick else 10)
    args.units = [int(units) for units in args.units.split(",")]
    if not args.npz:
        args.npz = next((path for path in IMDB if path.is_file()), None)
    return args


def main():
    args = arguments()
    from prepare import prepare

    if not args.no_build:
        build = ["cargo", "build", "--release", "--bin", "candle-recurrent", "--example", "bench"]
        subprocess.run(build, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        folder = Path(folder)
        data = prepare(folder, args.npz, ROOT / "models/lstm/model.safetensors", args.units)
        bench = Bench(args, folder)
        bench.start(args.peers.split(","))
        for row in args.rows.split(","):
            print(f"{row} …", file=sys.stderr)
            try:
                ROWS[row](bench)
            except RuntimeError as error:
                bench.leave_out(f"row {row}", str(error))
        for peer in bench.peers.values():
            peer.close()
    shown = [word for word in sys.argv[1:] if word != "--no-build"]
    text = report(bench, data, " ".join(["python scripts/bench_peers.py", *shown]))
    print(text)
    if args.write:
        write(text)


if __name__ == "__main__":
    main()
