"""Forecasts of two public series: this program and a PyTorch LSTM on the same windows, scales, split, optimiser and epochs.

Both series come with statsmodels: CO2 at Mauna Loa (weekly, 1958 to 2001) and sunspots (yearly, 1700 to 2008).

    pip install statsmodels pandas torch
    cargo build --release
    python scripts/bench_series.py [--program target/release/candle-recurrent] [--seeds 3] [--epochs 60] [--series co2]

Prints medians over the seeds. Both sides keep the epoch with the best validation loss. Seconds are those of the training with
its validation, without reading the file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

UNITS, BATCH = 32, 32
MODEL = {
    "model": {
        "name": "lstm",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": [None, 8, 1]}},
            {"class_name": "LSTM", "config": {"name": "lstm", "units": UNITS}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 1}},
        ],
    }
}


def series(folder):
    """Each series as a CSV: its path, column, window, horizon."""
    import statsmodels.api as sm

    co2 = sm.datasets.co2.load_pandas().data
    co2.to_csv(folder / "co2.csv", index_label="date")
    sunspots = sm.datasets.sunspots.load_pandas().data
    sunspots.columns = ["year", "activity"]
    sunspots.to_csv(folder / "sunspots.csv", index=False)
    return [("co2", "date", "co2", 104, 26), ("sunspots", "year", "activity", 33, 1)]


def ours(program, folder, name, time_column, column, window, horizon, seed, epochs):
    out = folder / f"{name}-{seed}"
    command = [program, "train", "model.json", "--data", f"{name}.csv", "--target", column, "--time-column", time_column]
    command += ["--window", window, "--horizon", horizon, "--missing", "forward", "--seed", seed, "--epochs", epochs]
    command += ["--optimizer", "adam", "--batch-size", BATCH, "--patience", epochs, "--reshuffle", "--out", out, "--json", "-q"]
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    whole = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout), json.loads((out / "config.json").read_text())["series"], whole


class Lstm(torch.nn.Module):
    def __init__(self, horizon):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, UNITS, batch_first=True)
        self.dense = torch.nn.Linear(UNITS, horizon)

    def forward(self, x):
        return self.dense(self.lstm(x)[0][:, -1])


def pytorch(folder, name, column, config, seed, epochs):
    """The test MAE in the file's units, and the seconds of the training."""
    import pandas

    values = pandas.read_csv(folder / f"{name}.csv")[column].ffill().to_numpy()
    window, horizon, scaler = config["window"], config["horizon"], config["scalers"][0]
    scaled = torch.tensor((values - scaler["center"]) / scaler["scale"], dtype=torch.float32)
    rows = len(values)
    bounds = [0, int(rows * 0.6 + 0.5), int(rows * 0.8 + 0.5), rows]

    def part(at):
        first = max(bounds[at], window)
        origins = range(first, bounds[at + 1] - horizon + 1)
        x = torch.stack([scaled[o - window : o] for o in origins])
        y = torch.stack([scaled[o : o + horizon] for o in origins])
        level = x[:, -1:] if config["relative"] else torch.zeros(len(x), 1)
        return (x - level)[:, :, None], y - level

    (train_x, train_y), validation, test = part(0), part(1), part(2)
    torch.manual_seed(seed)
    model = Lstm(horizon)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    loss = torch.nn.MSELoss()
    best, kept = float("inf"), None
    start = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(train_x))
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            loss(model(train_x[rows]), train_y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            value = loss(model(validation[0]), validation[1]).item()
        if value < best:
            best, kept = value, {key: tensor.clone() for key, tensor in model.state_dict().items()}
    seconds = time.perf_counter() - start
    model.load_state_dict(kept)
    with torch.no_grad():
        error = (model(test[0]) - test[1]).abs().mean().item()
    return error * scaler["scale"], seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="target/release/candle-recurrent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--series", default="co2,sunspots", help="which of them, separated by commas")
    arguments = parser.parse_args()
    program = str(Path(arguments.program).resolve())
    print("| series | steps ahead | ours MAE | PyTorch MAE | naive | seasonal naive | ours s | PyTorch s | times faster |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "model.json").write_text(json.dumps(MODEL))
        asked = arguments.series.split(",")
        for name, time_column, column, window, horizon in series(folder):
            if name not in asked:
                continue
            figures = []
            for seed in range(arguments.seeds):
                report, config, _ = ours(
                    program, folder, name, time_column, column, window, horizon, seed, arguments.epochs
                )
                error, seconds = pytorch(folder, name, column, config, seed, arguments.epochs)
                test = report["forecast"]["test"]
                naive = [test[way]["mae"] for way in ("naive", "seasonal_naive")]
                own = (test["model"]["mae"], error, *naive, report["seconds"], seconds)
                figures.append((*own, seconds / report["seconds"]))
            own = [statistics.median(of) for of in zip(*figures)]
            cells = [f"{value:.3f}" for value in own[:4]] + [f"{value:.2f}" for value in own[4:6]] + [f"{own[6]:.1f}"]
            print(f"| {name} | {horizon} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
