"""An epoch of the zoo's `lstm` with RMSprop and with Adam, here and in PyTorch, in turns.

    pip install torch numpy
    cargo build --release -p candle-recurrent-cli
    python scripts/bench_optimizers.py [--rounds 7]

20,000 reviews of 100 ids (random ones), batches of 64, two threads. Times are medians over rounds, validation left out but for
64 rows; the rounds take turns, so that what else the machine does falls on all alike.
"""

import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("CANDLE_RECURRENT", ROOT / "target/release/candle-recurrent")
ROWS, TIME, IDS, BATCH, EPOCHS = 20000, 100, 500, 64, 4


class Lstm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = torch.nn.Embedding(IDS, 16), torch.nn.LSTM(16, 8, batch_first=True)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, ids):
        _, (h, _) = self.lstm(self.embedding(ids))
        return self.head(h[-1]).squeeze(-1)


def theirs(x, y, optimizer):
    model = Lstm()
    step = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}[optimizer](model.parameters(), lr=1e-4)
    loss = torch.nn.BCEWithLogitsLoss()
    start = time.perf_counter()
    for begin in range(0, ROWS, BATCH):
        step.zero_grad(set_to_none=True)
        loss(model(x[begin : begin + BATCH]), y[begin : begin + BATCH]).backward()
        step.step()
    return time.perf_counter() - start


def ours(data, folder, optimizer):
    out = folder / "run"
    subprocess.run([PROGRAM, "train", ROOT / "models/lstm/config.json", "--data", data, "--optimizer", optimizer,
                    "--learning-rate", "1e-4", "--epochs", str(EPOCHS), "--patience", "99", "--threads", "2", "--quiet",
                    "--out", out], check=True, stdout=subprocess.DEVNULL)
    with open(out / "history.csv") as file:
        return [float(row["seconds"]) for row in csv.DictReader(file)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(2)
    random = np.random.default_rng(1)
    x, y = random.integers(0, IDS, (ROWS, TIME)).astype(np.uint32), random.integers(0, 2, ROWS).astype(np.float32)
    times = {(who, name): [] for who in ("ours", "PyTorch") for name in ("rmsprop", "adam")}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "reviews.npz"
        np.savez(data, x=x, y=y, x_val=x[:64], y_val=y[:64])
        ids, labels = torch.from_numpy(x.astype(np.int64)), torch.from_numpy(y)
        for _ in range(args.rounds):
            for name in ("rmsprop", "adam"):
                times["ours", name] += ours(data, folder, name)
                times["PyTorch", name].append(theirs(ids, labels, name))
    median = {key: statistics.median(values) for key, values in times.items()}
    for (who, name), seconds in median.items():
        print(f"{who:8} {name:8} {seconds * 1e3:8.1f} ms an epoch (least {min(times[who, name]) * 1e3:.1f})")
    print(f"ours, Adam against RMSprop: {median['ours', 'adam'] / median['ours', 'rmsprop']:.3f}")
    for name in ("rmsprop", "adam"):
        print(f"PyTorch against ours, {name}: {median['PyTorch', name] / median['ours', name]:.1f}")


if __name__ == "__main__":
    main()
