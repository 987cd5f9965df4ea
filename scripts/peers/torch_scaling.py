"""PyTorch's part of bench_scaling.py: the same job as `examples/scaling.rs`, which stands as JSON in the first argument."""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn


def peak():
    """The most memory that this process has held, in bytes, where Linux says so."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    batch, steps, features, vocabulary = job["batch"], job["time"], job["features"], job.get("vocabulary")
    before = peak()
    embedding = nn.Embedding(vocabulary, features) if vocabulary else None
    layer = {"LSTM": nn.LSTM, "GRU": nn.GRU}[job["class_name"]](features, job["units"], batch_first=True)
    training = job["training"]
    if vocabulary:
        x = (torch.arange(batch * steps) * 7919 % vocabulary).reshape(batch, steps)
    else:
        x = (torch.rand(batch, steps, features) * 2 - 1).requires_grad_(training)
    parameters = [*layer.parameters(), *(embedding.parameters() if embedding else [])]
    rmsprop = torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.9, eps=1e-7)

    def step():
        start = time.perf_counter()
        if training:
            rmsprop.zero_grad()
            x.grad = None
            loss = layer(embedding(x) if embedding else x)[0][:, -1].square().sum()
            loss.backward()
            rmsprop.step()
            loss.item()
        else:
            with torch.inference_mode():
                layer(embedding(x) if embedding else x)[0][:, -1].sum().item()
        return time.perf_counter() - start

    begin, times = time.perf_counter(), []
    step()
    while len(times) < 2 or time.perf_counter() - begin < job["seconds"]:
        times.append(step())
    print(json.dumps({"seconds": statistics.median(times), "before": before, "peak": peak(),
                      "version": f"PyTorch {torch.__version__}"}))


if __name__ == "__main__":
    main()
