#!/usr/bin/env python3
"""Does harm to training runs on purpose, and checks that nothing is lost: docs/reliability.md has its figures.

    scripts/crash_test.py [kills] [faults] [limits] [disk] [power] [readers] [memory] [soak] [--kills N] [--minutes N]

kills    SIGKILL at random moments over all recipes of the zoo, in every second run while saves are slowed down; the run goes
         on until it is done
faults   every write, fsync, rename and unlink of a run in turn fails (ENOSPC, EIO), or kills the program
limits   files may not grow beyond so many bytes: writes are cut short
disk     a small disk, of every size up to what the run takes (needs the right to mount)
power    the power goes at every call of a recorded run: what was not fsynced is gone, or there in part, or not in order
readers  24 processes predict from a folder that is replaced 1,000 times
memory   a million predictions in one process, a thousand epochs: memory stays as it was after the first thousandth
soak     train, resume, convert and predict in random order with random kills, for --minutes

After each harm: a model that is there answers; the run goes on, or begins where it had not; its files are, seconds aside, those
of a run that was never disturbed; nothing is left behind. Linux, with strace for kills, faults and power.
"""

import argparse
import collections
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))

ZOO = ["simple-rnn", "lstm", "dropout-lstm", "stacked-lstm", "gru", "lstm-adam", "dropout-lstm-adam", "stacked-lstm-adam", "gru-adam"]
SMALL = "--vocab-size 60 --max-len 12 --learning-rate 2e-3 --threads 1 --quiet --save-every 0.0003".split()
CALLS = ["write", "fsync", "rename", "renameat", "renameat2", "unlink"]
OURS = ".candle-recurrent-"


class Lost(AssertionError):
    """What must not happen."""


class Program:
    def __init__(self, path):
        self.path = str(path)

    def run(self, *arguments, cwd, before=(), limits=None, timeout=120):
        command = [*before, self.path, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, preexec_fn=limits)
        if "panicked" in done.stderr or done.returncode < 0 or done.returncode > 128:
            if not (before and done.returncode in (-9, 137)):
                raise Lost(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        return done

    def probability(self, folder, cwd):
        done = self.run("predict", folder, "a good film", cwd=cwd)
        if done.returncode != 0:
            raise Lost(f"{folder} does not answer: {done.stderr}")
        return done.stdout


def content(folder):
    """A run's files, without seconds and without the state, which is what made them."""
    files = {}
    for path in sorted(Path(folder).iterdir()):
        if path.name == "state.safetensors":
            continue
        data = path.read_bytes()
        if path.name == "config.json":
            data = b"\n".join(line for line in data.splitlines() if b'"seconds"' not in line)
        elif path.name == "history.csv":
            data = b"\n".join(line.rsplit(b",", 1)[0] for line in data.splitlines())
        files[path.name] = data
    return files


class Case:
    """A recipe, and what it comes to undisturbed."""

    def __init__(self, program, here, recipe, epochs):
        self.program, self.here, self.recipe = program, Path(here), recipe
        self.options = [*SMALL, "--epochs", str(epochs)]
        start = time.time()
        self.train("whole-" + recipe)
        self.seconds = time.time() - start
        self.whole = content(self.here / ("whole-" + recipe))

    def command(self, out):
        return [self.program.path, "train", self.recipe, *self.options, "--out", str(out)]

    def train(self, out, **options):
        done = self.program.run(*self.command(out)[1:], cwd=self.here, **options)
        return done

    def check_and_finish(self, out, harm):
        """The model that is there answers; the run comes to what it would have come to."""
        folder = self.here / out
        if (folder / "config.json").exists():
            self.program.probability(folder, self.here)
        if (folder / "state.safetensors").exists():
            done = self.program.run("train", "--resume", out, "--quiet", "--threads", random.choice([1, 2]), cwd=self.here)
        elif (folder / "config.json").exists():
            raise Lost(f"{harm}: a model without a state")
        else:
            done = self.train(out)
        if done.returncode != 0:
            raise Lost(f"{harm}: cannot go on: {done.stderr}")
        found = content(folder)
        if found != self.whole:
            differing = [name for name in {*found, *self.whole} if found.get(name) != self.whole.get(name)]
            raise Lost(f"{harm}: {out} differs in {differing}")
        shutil.rmtree(folder)


def kills(program, here, args):
    cases = [Case(program, here, recipe, 5) for recipe in ZOO]
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=" + ",".join(CALLS),
            "-e", "inject=" + ",".join(CALLS) + ":delay_enter=3000"]

    def one(index):
        draw = random.Random(args.seed * 1_000_003 + index)
        case, out = cases[index % len(cases)], f"killed-{index}"
        before = slow if index % 2 else []
        length = case.seconds * (3 if before else 1)
        command, killed = case.command(out), 0
        while killed < 3:
            child = subprocess.Popen([*before, *command], cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
            time.sleep(draw.uniform(0, length))
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                killed += 1
            said = child.communicate()[1].decode(errors="replace")
            if child.returncode > 0:
                raise Lost(f"run {index}: exit {child.returncode}: {said}")
            if (Path(here) / out / "config.json").exists():
                program.probability(out, here)
            if child.returncode == 0 or draw.random() < 0.5:
                break
            if (Path(here) / out / "state.safetensors").exists():
                command = [program.path, "train", "--resume", out, "--quiet", "--threads", str(draw.choice([1, 2]))]
        case.check_and_finish(out, f"kill {index}")
        return killed

    with ThreadPoolExecutor(args.jobs) as pool:
        killed = sum(pool.map(one, range(args.kills)))
    return f"{args.kills} runs, killed {killed} times"


def faults(program, here, args):
    case, done = Case(program, here, "gru", 2), collections.Counter()
    log = Path(here) / "calls.log"
    case.train("counted", before=["strace", "-f", "-qq", "-o", log, "-e", "trace=" + ",".join(CALLS)])
    shutil.rmtree(Path(here) / "counted")
    counts = collections.Counter(line.split(None, 1)[1].split("(")[0] for line in log.read_text().splitlines() if "(" in line)
    tries = [(call, number, how) for call in CALLS for number in range(1, counts[call] + 1)
             for how in ("error=ENOSPC", "error=EIO", "signal=KILL")]

    def one(index):
        call, number, how = tries[index]
        out = f"fault-{index}"
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", f"trace={call}", "-e", f"inject={call}:{how}:when={number}"]
        ended = case.train(out, before=trace)
        if how != "signal=KILL" and ended.returncode not in (0, 1):
            raise Lost(f"{tries[index]}: exit {ended.returncode}: {ended.stderr}")
        if ended.returncode == 1 and not ended.stderr.splitlines()[-1].startswith("error: "):
            # The one write that fails may be that of the message.
            if call != "write":
                raise Lost(f"{tries[index]}: no line says why: {ended.stderr!r}")
        case.check_and_finish(out, tries[index])
        return how.split("=")[0], ended.returncode

    with ThreadPoolExecutor(args.jobs) as pool:
        done.update(pool.map(one, range(len(tries))))
    ends = ", ".join(f"{how} exit {code}: {count}" for (how, code), count in sorted(done.items()))
    return f"{len(tries)} faults ({ends})"


def limits(program, here, args):
    case = Case(program, here, "gru", 2)
    largest = max(path.stat().st_size for path in (Path(here) / "whole-gru").iterdir())
    sizes = sorted({*range(0, largest, 701), *range(0, 4000, 97)})
    refused = 0
    for size in sizes:
        out = f"limit-{size}"
        ended = case.train(out, limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)))
        if ended.returncode not in (0, 1):
            raise Lost(f"{size} bytes: exit {ended.returncode}: {ended.stderr}")
        refused += ended.returncode
        case.check_and_finish(out, f"files of at most {size} bytes")
    return f"{len(sizes)} limits, {refused} runs ended by them"


def disk(program, here, args):
    case, refused, sizes = Case(program, here, "gru", 3), 0, range(4, 240, 4)
    for size in sizes:
        mount = Path(here) / "small"
        mount.mkdir(exist_ok=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", mount], capture_output=True, text=True)
        if made.returncode != 0:
            return f"left out: {made.stderr.strip()}"
        try:
            ended = case.train("small/run")
            if ended.returncode not in (0, 1):
                raise Lost(f"{size} kB: exit {ended.returncode}: {ended.stderr}")
            refused += ended.returncode
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            case.check_and_finish("small/run", f"a disk of {size} kB")
        finally:
            subprocess.run(["umount", mount], check=True)
    return f"{len(sizes)} sizes, {refused} runs ended by a full disk"


def power(program, here, args):
    import crash_power

    case = Case(program, here, "gru", 3)
    return crash_power.run(case, Path(here), args.seed, args.jobs, Lost)


def readers(program, here, args):
    one, two = Case(program, here, "gru", 2), Case(program, here, "lstm", 3)
    models = [Path(here) / ("whole-" + case.recipe) for case in (one, two)]
    expected = {program.probability(model, here) for model in models}
    assert len(expected) == 2
    program.run("convert", models[0], "shared", cwd=here)
    seen, over, wrong = collections.Counter(), threading.Event(), []

    def read():
        while not over.is_set() and not wrong:
            try:
                answer = program.probability("shared", here)
                if answer not in expected:
                    raise Lost(f"an answer of neither model: {answer}")
                seen[answer] += 1
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(24)]
    [thread.start() for thread in threads]
    for turn in range(1000):
        done = program.run("convert", models[(turn + 1) % 2], "shared", "--overwrite", cwd=here)
        if done.returncode != 0 or wrong:
            wrong.append(Lost(done.stderr))
            break
    over.set()
    [thread.join() for thread in threads]
    if wrong:
        raise wrong[0]
    return f"{sum(seen.values())} answers, {', '.join(map(str, seen.values()))} of either model"


def resident(pid):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def memory(program, here, args):
    lines = Path(here) / "lines.txt"
    with open(lines, "w") as out:
        out.writelines(f"a {'good' if i % 3 else 'bad'} film number {i % 977}\n" for i in range(1_000_000))
    works = {
        "a million predictions": [program.path, "predict", "lstm", "--input", "lines.txt", "--output", "answers.csv"],
        "a thousand epochs": [program.path, "train", "gru", *SMALL, "--epochs", "1000", "--patience", "100000", "--out", "long"],
    }
    told = []
    for name, command in works.items():
        child = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start, found = time.time(), []
        while child.poll() is None:
            found.append((time.time() - start, resident(child.pid)))
            time.sleep(0.01)
        if child.returncode != 0:
            raise Lost(f"{name}: exit {child.returncode}")
        whole = found[-1][0]
        early = max(size for at, size in found if at <= max(whole / 1000, 0.3))
        late = max(size for _, size in found)
        told.append(f"{name}: {early / 1024:.1f} MB after {max(whole / 1000, 0.3):.2f} s, at most {late / 1024:.1f} MB in {whole:.1f} s")
        if late > early * 1.25 + 4096:
            raise Lost(f"{name}: memory grows: {told[-1]}")
    return "; ".join(told)


def soak(program, here, args):
    draw, end, done = random.Random(args.seed), time.time() + args.minutes * 60, collections.Counter()
    case = Case(program, here, "gru", 4)
    runs = Path(here) / "soak"
    runs.mkdir()
    while time.time() < end:
        work = draw.choice(["train", "train", "resume", "convert", "predict"])
        there = [path.name for path in runs.iterdir()]
        ready = [name for name in there if (runs / name / "config.json").exists()]
        if work == "train":
            command = ["train", draw.choice(ZOO), *SMALL, "--epochs", str(draw.randint(1, 6)), "--out", f"run{draw.randint(0, 5)}", "--overwrite"]
        elif work == "resume" and there:
            name = draw.choice(there)
            if not (runs / name / "state.safetensors").exists():
                continue
            command = ["train", "--resume", name, "--epochs", str(draw.randint(1, 8)), "--quiet"]
        elif work == "convert" and ready:
            command = ["convert", draw.choice(ready), f"copy{draw.randint(0, 3)}", "--overwrite"]
        elif work == "predict" and ready:
            command = ["predict", draw.choice(ready), "a good film"]
        else:
            continue
        if command[0] == "convert" and command[1] == command[2]:
            continue
        child = subprocess.Popen([program.path, *command], cwd=runs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        killed = draw.random() < 0.5
        if killed:
            time.sleep(draw.uniform(0, case.seconds))
            child.kill()
        said = child.communicate()[1].decode(errors="replace")
        known = ("are done already", "another model has replaced that of the run")
        if child.returncode not in (0, -9) and not any(it in said for it in known):
            raise Lost(f"{command}: exit {child.returncode}: {said}")
        done[work + (" killed" if child.returncode == -9 else "")] += 1
    # Whatever lies there now is tidied up by the next writer, and nothing else than runs is left.
    for path in sorted(runs.iterdir()):
        if (path / "state.safetensors").exists():
            ended = program.run("train", "--resume", path.name, "--quiet", cwd=runs)
        if not (path / "state.safetensors").exists() or "another model has replaced" in ended.stderr:
            ended = program.run("train", "gru", *SMALL, "--epochs", "1", "--out", path.name, "--overwrite", cwd=runs)
        if ended.returncode != 0:
            raise Lost(f"{path.name}: {ended.stderr}")
        left = [it.name for it in path.iterdir() if it.name.startswith(OURS) or it.suffix in (".tmp", ".lock")]
        if left:
            raise Lost(f"{path.name}: {left} are left")
    return ", ".join(f"{count} {work}" for work, count in sorted(done.items()))


def main():
    works = {it.__name__: it for it in (kills, faults, limits, disk, power, readers, memory, soak)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="HARM", help=", ".join(works) + "; all but soak where none is named")
    parser.add_argument("--program", default=ROOT / "target/release/candle-recurrent", type=Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if unknown := set(args.works) - set(works):
        parser.error(f"{', '.join(unknown)}: the harms are {', '.join(works)}")
    if not args.program.exists():
        parser.error(f"{args.program} is not there: cargo build --release -p candle-recurrent-cli")
    random.seed(args.seed)
    failed = False
    for name in args.works or [name for name in works if name != "soak"]:
        start = time.time()
        with tempfile.TemporaryDirectory(prefix="crash-test-") as here:
            try:
                told = works[name](Program(args.program.resolve()), here, args)
            except Lost as lost:
                told, failed = f"LOST: {lost}", True
        print(f"{name}: {told}; {time.time() - start:.0f} s", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
