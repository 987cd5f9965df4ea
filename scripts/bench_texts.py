#!/usr/bin/env python3
"""Texts learnt by candle-recurrent and by fastText: accuracy and seconds in one run, on the same rows and threads.

    python -m venv ../fasttext && ../fasttext/bin/pip install fasttext-wheel numpy
    ../fasttext/bin/python scripts/bench_texts.py --nsmc FOLDER --imdb FOLDER

--nsmc names a folder with ratings_train.txt and ratings_test.txt (id, document and label, separated by tabs), --imdb one
with Keras's imdb.npz and imdb_word_index.json, which are decoded into words. --nsmc-train and --imdb-train say what
candle-recurrent trains, a model (a name of its zoo or a config.json) with the options of `train`; each may come several times.
fastText counts pairs of words; it is not tuned. Each seed trains both, one after the other. Seconds are those of the whole command, from
reading the file to the test, of candle-recurrent, and of train_supervised, from reading the file, of fastText.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The settings of fastText: its own, and those of its tutorial on text classification.
FASTTEXT = {
    "fastText, word bigrams": {"wordNgrams": 2},
    "fastText, word bigrams, lr 0.5, 25 epochs": {"wordNgrams": 2, "lr": 0.5, "epoch": 25},
}

# What candle-recurrent trains where nothing is said; chosen on validation parts.
TRAININGS = {
    "nsmc": [
        "gru --tokenizer bpe --vocab-size 3000 --max-len 60 --optimizer adam --learning-rate 5e-3 --epochs 3 --no-masking",
        "examples/short-texts.json",
    ],
    "imdb": ["gru --vocab-size 10000 --max-len 200 --optimizer adam --learning-rate 3e-3 --epochs 3"],
}


def fasttext_lines(rows):
    return "".join(f"__label__{label} {' '.join(text.split())}\n" for text, label in rows)


def nsmc(folder, here):
    """The files as they are, and in fastText's form."""
    files = {}
    for part in ["train", "test"]:
        path = Path(folder).resolve() / f"ratings_{part}.txt"
        lines = path.read_text(encoding="utf-8").split("\n")[1:]
        fields = [line.split("\t") for line in lines]
        rows = [(row[1], row[2].strip()) for row in fields if len(row) == 3]
        kept = here / f"nsmc_{part}.txt"
        kept.write_text(fasttext_lines(rows), encoding="utf-8")
        files[part] = (path, kept)
    return files


def imdb(folder, here):
    """Keras's ids as words again. Id 1 begins a review, and a word of rank r has the id r + 3."""
    import numpy as np

    ranks = json.loads((Path(folder) / "imdb_word_index.json").read_text())
    words = {rank + 3: word for word, rank in ranks.items()}
    files = {}
    with np.load(Path(folder) / "imdb.npz", allow_pickle=True) as arrays:
        for part in ["train", "test"]:
            ids, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
            rows = [
                (" ".join(words[i] for i in review if i in words), ["neg", "pos"][label])
                for review, label in zip(ids, labels)
            ]
            kept = here / f"imdb_{part}.txt"
            kept.write_text(fasttext_lines(rows), encoding="utf-8")
            files[part] = (kept, kept)
    return files


def candle(program, words, files, seed, threads, here):
    out = here / "run"
    command = [program, "train", *words, "--data", files["train"][0], "--test", files["test"][0], "--out", out]
    command += ["--seed", seed, "--json", "--quiet"] + (["--threads", threads] if threads else [])
    began = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)["test_accuracy"], seconds


def fasttext_run(settings, files, seed, threads):
    import fasttext

    began = time.perf_counter()
    options = {**settings, "seed": seed, "verbose": 0, **({"thread": threads} if threads else {})}
    model = fasttext.train_supervised(str(files["train"][1]), **options)
    seconds = time.perf_counter() - began
    # Of one label a row, precision at 1 is accuracy.
    return model.test(str(files["test"][1]))[1], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nsmc", metavar="FOLDER")
    parser.add_argument("--imdb", metavar="FOLDER")
    parser.add_argument("--nsmc-train", action="append", metavar="MODEL AND OPTIONS")
    parser.add_argument("--imdb-train", action="append", metavar="MODEL AND OPTIONS")
    parser.add_argument("--program", default=str(ROOT / "target/release/candle-recurrent"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of both [default: one a core]")
    arguments = parser.parse_args()
    print("| data | what | accuracy, median | lowest and highest | seconds, median |\n|---|---|--:|--:|--:|")
    for name, read in [("nsmc", nsmc), ("imdb", imdb)]:
        folder = getattr(arguments, name)
        if not folder:
            continue
        trainings = getattr(arguments, f"{name}_train") or TRAININGS[name]
        with tempfile.TemporaryDirectory() as here:
            here = Path(here)
            files = read(folder, here)
            runs = {}
            for seed in range(1, arguments.seeds + 1):
                for training in trainings:
                    ours = candle(arguments.program, shlex.split(training), files, seed, arguments.threads, here)
                    runs.setdefault(f"candle-recurrent, `{training}`", []).append(ours)
                for what, settings in FASTTEXT.items():
                    runs.setdefault(what, []).append(fasttext_run(settings, files, seed, arguments.threads))
            for what, results in runs.items():
                accuracies, seconds = zip(*results)
                print(
                    f"| {name} | {what} | {statistics.median(accuracies):.4f} | {min(accuracies):.4f} to "
                    f"{max(accuracies):.4f} | {statistics.median(seconds):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
