"""PyTorch's part of bench_peers.py: does the jobs that come as JSON lines on standard input, one answer a line."""

import time

import numpy as np
import torch
from torch import nn
from worker import Worker, serve

BATCH = 64


def lstm_weights(kernel, recurrent, bias):
    """Keras's i, f, c, o are PyTorch's i, f, g, o."""
    return {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T, "bias_ih_l0": bias,
            "bias_hh_l0": np.zeros_like(bias)}


def gru_weights(kernel, recurrent, bias):
    """Keras's z, r, h as PyTorch's r, z, n."""
    units = recurrent.shape[0]
    order = np.r_[units:2 * units, 0:units, 2 * units:3 * units]
    return {"weight_ih_l0": kernel.T[order], "weight_hh_l0": recurrent.T[order], "bias_ih_l0": bias[0][order],
            "bias_hh_l0": bias[1][order]}


def recurrent(kind, kernel, recurrent_kernel, bias):
    make, convert = {"lstm": (nn.LSTM, lstm_weights), "gru": (nn.GRU, gru_weights)}[kind]
    layer = make(kernel.shape[0], recurrent_kernel.shape[0], batch_first=True)
    values = convert(kernel, recurrent_kernel, bias)
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in values.items()})
    # Keras's LSTM has one bias, its GRU two: a second one would learn as well, and their sum twice as fast.
    layer.bias_hh_l0.requires_grad_(kind == "gru")
    return layer


class Classifier(nn.Module):
    """Embedding, one or more recurrent layers, one logit. Dropout as in Keras: on a layer's input, one mask a review
    for all its steps."""

    def __init__(self, spec, weights):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.from_numpy(weights["embedding.embeddings"].copy()),
                                                      freeze=False)
        self.layers = nn.ModuleList(
            recurrent(kind, *(weights[f"{name}.{part}"] for part in ("kernel", "recurrent_kernel", "bias")))
            for kind, name in spec["layers"])
        self.dropout = spec["dropout"]
        kernel = weights["dense.kernel"]
        self.dense = nn.Linear(*kernel.shape)
        self.dense.load_state_dict({"weight": torch.from_numpy(kernel.T.copy()),
                                    "bias": torch.from_numpy(weights["dense.bias"].copy())})

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            if self.dropout and self.training:
                keep = 1 - self.dropout
                x = x * x.new_empty(x.shape[0], 1, x.shape[2]).bernoulli_(keep).div_(keep)
            x, _ = layer(x)
        return self.dense(x[:, -1]).squeeze(1)


class Mixed(nn.Module):
    """The models of mixed.py."""

    def __init__(self, name, layers):
        super().__init__()
        classes = [layer["class_name"] for layer in layers]
        both, self.last = "Bidirectional" in classes, classes[-1]
        self.embedding = nn.Embedding(500, 32)
        self.convolution = nn.Conv1d(32, 32, 5) if "Conv1D" in classes else None
        self.pooling = nn.MaxPool1d(4)
        self.lstm = nn.LSTM(32, 32, batch_first=True, bidirectional=both)
        self.normalization = nn.BatchNorm1d(32) if "BatchNormalization" in classes else None
        self.second = nn.LSTM(32, 32, batch_first=True) if classes.count("LSTM") == 2 else None
        self.dense = nn.Linear(64 if both else 32, 1)

    def forward(self, ids):
        x = self.embedding(ids)
        if self.convolution is not None:
            x = self.pooling(self.convolution(x.transpose(1, 2))).transpose(1, 2)
        x, (h, _) = self.lstm(x)
        if self.normalization is not None:
            x = self.normalization(x.transpose(1, 2)).transpose(1, 2)
        if self.second is not None:
            x, (h, _) = self.second(x)
        x = x.amax(1) if self.last == "GlobalMaxPooling1D" else torch.cat(list(h), 1)
        return self.dense(x).squeeze(1)


def optimizer(parameters, learning_rate=1e-4):
    return torch.optim.RMSprop(parameters, lr=learning_rate, alpha=0.9, eps=1e-7)


class Torch(Worker):
    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        torch.set_num_threads(threads)
        self.loss = nn.BCEWithLogitsLoss()
        self.ids = {part: torch.from_numpy(self.data[f"{part}.ids"].astype(np.int64))
                    for part in ("train", "validation", "test")}
        self.labels = {part: torch.from_numpy(self.data[f"{part}.labels"].astype(np.float32))
                       for part in ("train", "validation", "test")}
        self.steppers = {}

    def versions(self):
        return {"version": f"PyTorch {torch.__version__}"}

    def build(self, name):
        model = Classifier(self.specs[name], self.weights(name))
        return model, optimizer(model.parameters())

    def mixed(self, name, layers):
        model = Mixed(name, layers)
        return model, optimizer(model.parameters())

    def train(self, built, batches):
        model, rmsprop = built
        model.train()
        ids, labels = self.ids["train"], self.labels["train"]
        rows = min(len(ids), batches * BATCH) if batches else len(ids)
        total, start = 0.0, time.perf_counter()
        for at in range(0, rows, BATCH):
            x, y = ids[at:min(at + BATCH, rows)], labels[at:min(at + BATCH, rows)]
            rmsprop.zero_grad()
            loss = self.loss(model(x), y)
            loss.backward()
            rmsprop.step()
            total += loss.item() * len(y)
        return time.perf_counter() - start, total / rows

    def measure(self, model, part, batch):
        model.eval()
        ids, labels = self.ids[part], self.labels[part]
        loss, correct = 0.0, 0
        with torch.inference_mode():
            for x, y in zip(ids.split(batch), labels.split(batch)):
                logits = model(x)
                loss += self.loss(logits, y).item() * len(y)
                correct += ((logits > 0) == (y > 0.5)).sum().item()
        return loss / len(ids), correct / len(ids)

    def validate(self, built):
        return self.measure(built[0], "validation", 1000)

    def evaluate(self, batch, threads):
        torch.set_num_threads(threads or self.threads)
        model = Classifier(self.specs["lstm"], self.weights("zoo"))
        self.measure(model, "validation", batch)
        start = time.perf_counter()
        loss, accuracy = self.measure(model, "test", batch)
        seconds = time.perf_counter() - start
        torch.set_num_threads(self.threads)
        return {"seconds": seconds, "loss": loss, "accuracy": accuracy}

    def review(self, calls, threads):
        torch.set_num_threads(threads or self.threads)
        model = Classifier(self.specs["lstm"], self.weights("zoo")).eval()
        ids, times = self.ids["test"][:1], []
        with torch.inference_mode():
            for _ in range(calls):
                start = time.perf_counter()
                probability = torch.sigmoid(model(ids)).item()
                times.append(time.perf_counter() - start)
        torch.set_num_threads(self.threads)
        return {"seconds": float(np.median(times)), "probability": probability}

    def step(self, kind, units, steps):
        key = (kind, units)
        if key not in self.steppers:
            self.steppers.clear()
            weights = self.weights(f"step/{kind}/{units}")
            layer = recurrent(kind, *(weights[part] for part in ("kernel", "recurrent_kernel", "bias")))
            x = torch.from_numpy(self.array(f"step/x/{units}")).requires_grad_()
            self.steppers[key] = layer, x, optimizer(layer.parameters(), 1e-3)
        layer, x, rmsprop = self.steppers[key]
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            rmsprop.zero_grad()
            x.grad = None
            output, _ = layer(x)
            loss = output[:, -1].square().sum()
            loss.backward()
            rmsprop.step()
            value = loss.item()
            times.append(time.perf_counter() - start)
        return {"seconds": float(np.median(times)), "loss": value}


if __name__ == "__main__":
    serve(Torch)
