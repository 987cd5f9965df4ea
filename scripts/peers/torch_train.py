"""`train lstm --data imdb.npz --epochs N` as PyTorch does it, a whole process whose peak memory is measured:
`torch_train.py FOLDER imdb.npz EPOCHS THREADS`."""

import resource
import sys

import numpy as np
import torch
from prepare import imdb
from safetensors import safe_open
from torch import nn
from torch_worker import BATCH, Classifier, optimizer

IMPORTED = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder, npz, epochs, threads):
    torch.set_num_threads(threads)
    sets = {part: (torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(labels.astype(np.float32)))
            for part, (ids, labels) in imdb(npz).items()}
    with safe_open(f"{folder}/weights.safetensors", framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith("lstm/")]
        weights = {name.removeprefix("lstm/"): file.get_tensor(name) for name in names}
    model = Classifier({"layers": [["lstm", "lstm"]], "dropout": 0.0}, weights)
    rmsprop, loss = optimizer(model.parameters()), nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        ids, labels = sets["train"]
        for x, y in zip(ids.split(BATCH), labels.split(BATCH)):
            rmsprop.zero_grad()
            loss(model(x), y).backward()
            rmsprop.step()
        with torch.inference_mode():
            ids, labels = sets["validation"]
            total = sum(loss(model(x), y).item() * len(y) for x, y in zip(ids.split(1000), labels.split(1000)))
        print(f"val_loss {total / len(ids):.4f}")
    print(f"imported {IMPORTED}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
