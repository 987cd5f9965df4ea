"""What the Python workers of bench_peers.py share: the data, and the loop that answers jobs."""

import json
import os
import sys
import time
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import load_file


class Worker:
    """A peer. Models keep training from epoch to epoch until `first` begins anew from the common weights."""

    def __init__(self, folder, threads):
        self.folder, self.threads = Path(folder), threads
        self.data = load_file(self.folder / "data.safetensors")
        self.specs = json.loads((self.folder / "models.json").read_text())
        self.file = safe_open(self.folder / "weights.safetensors", framework="numpy")
        self.built = {}

    def array(self, name):
        return self.file.get_tensor(name)

    def weights(self, prefix):
        names = [name for name in self.file.keys() if name.startswith(prefix + "/")]
        return {name.removeprefix(prefix + "/"): self.array(name) for name in names}

    def answer(self, job):
        op, model = job["op"], job.get("model")
        if op == "versions":
            return self.versions()
        if op == "first":
            _, loss = self.train(self.build(model), job["batches"])
            self.built[model] = self.build(model)
            return {"loss": loss}
        if op == "epoch":
            seconds, loss = self.train(self.built[model], job.get("batches"))
            return {"seconds": seconds, "loss": loss}
        if op == "validate":
            loss, accuracy = self.validate(self.built[model])
            return {"loss": loss, "accuracy": accuracy}
        if op == "step":
            return self.step(job["kind"], job["units"], job["steps"])
        if op == "mixed":
            key = job["model"]
            if key not in self.built:
                self.built[key] = self.mixed(key, job["layers"])
            seconds, loss = self.train(self.built[key], job["batches"])
            return {"seconds": seconds, "loss": loss}
        if op == "evaluate":
            return self.evaluate(job["batch"], job.get("threads"))
        if op == "review":
            return self.review(job["calls"], job.get("threads"))
        return getattr(self, op)(**{key: value for key, value in job.items() if key != "op"})


def serve(make):
    """`WORKER FOLDER THREADS`: JSON lines in, JSON lines out. What a framework prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    start = time.perf_counter()
    worker = make(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"ready": time.perf_counter() - start}), file=answers)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)
