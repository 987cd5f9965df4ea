"""PyTorch loads `convert --layout pytorch` with no code of this crate, and gives the same numbers.

Needs torch, safetensors and numpy, and the command line built (`cargo build --release`):

    python scripts/torch_layout.py [--program target/release/candle-recurrent]

For each model of the zoo, and for small models made here, the file is loaded by `load_state_dict(strict=True)` into
torch.nn modules that have the layers' names, and the outputs are compared with those of `predict`. Then PyTorch's own
file is read back (`convert FILE OUT --config`), where the variables must be the same bit for bit, and so is a stacked
`torch.nn.LSTM`.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

ROOT = pathlib.Path(__file__).resolve().parent.parent


def modules(config):
    """The model as torch.nn modules by the layers' names, and the steps of its forward pass."""
    tree, features = {}, None
    for layer in config["layers"]:
        kind, c = layer["class_name"], layer["config"]
        name = c["name"]
        if kind == "InputLayer":
            features = c["batch_shape"][-1]
        elif kind == "Embedding":
            tree[name] = torch.nn.Embedding(c["input_dim"], c["output_dim"])
            features = c["output_dim"]
        elif kind == "Dense":
            tree[name] = torch.nn.Linear(features, c["units"], bias=c.get("use_bias", True))
            features = c["units"]
        elif kind in ("LSTM", "GRU", "SimpleRNN", "Bidirectional"):
            both = kind == "Bidirectional"
            kind, c = (c["layer"]["class_name"], c["layer"]["config"]) if both else (kind, c)
            cls = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}[kind]
            extra = {"nonlinearity": c.get("activation", "tanh")} if kind == "SimpleRNN" else {}
            bias = c.get("use_bias", True)
            tree[name] = cls(features, c["units"], batch_first=True, bidirectional=both, bias=bias, **extra)
            features = c["units"] * (2 if both else 1)
        elif kind == "BatchNormalization":
            tree[name] = torch.nn.BatchNorm1d(features, eps=c.get("epsilon", 1e-3))
        elif kind == "LayerNormalization":
            tree[name] = torch.nn.LayerNorm(features, eps=c.get("epsilon", 1e-3))
        elif kind == "Conv1D":
            tree[name] = torch.nn.Conv1d(features, c["filters"], c["kernel_size"][0])
            features = c["filters"]
    return torch.nn.ModuleDict(tree)


ACTIVATIONS = {"linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


def forward(config, tree, x):
    for layer in config["layers"]:
        kind, c = layer["class_name"], layer["config"]
        module = tree[c["name"]] if c["name"] in tree else None
        if kind in ("LSTM", "GRU", "SimpleRNN"):
            x = module(x)[0]
            x = x if c.get("return_sequences") else x[:, -1]
        elif kind == "Bidirectional":
            y = module(x)[0]
            units = c["layer"]["config"]["units"]
            sequences = c["layer"]["config"].get("return_sequences")
            x = y if sequences else torch.cat([y[:, -1, :units], y[:, 0, units:]], -1)
        elif kind == "Embedding":
            x = module(x)
        elif kind in ("BatchNormalization", "Conv1D"):
            x = module(x.transpose(1, 2)).transpose(1, 2)
        elif module is not None:
            x = module(x)
        if kind in ("Dense", "Conv1D"):
            x = ACTIVATIONS[c.get("activation", "linear")](x)
    return x


def sequential(name, shape, *layers):
    layers = [("InputLayer", {"name": "input", "batch_shape": shape})] + list(layers)
    return {"name": name, "layers": [{"class_name": kind, "config": config} for kind, config in layers]}


def cases():
    """Small models of every layer that maps."""
    steps = {"return_sequences": True}
    yield sequential(
        "layers", [None, 7, 3],
        ("Conv1D", {"name": "conv", "filters": 4, "kernel_size": [2], "activation": "relu"}),
        ("BatchNormalization", {"name": "batch_norm"}),
        ("LSTM", {"name": "lstm", "units": 5, **steps}),
        ("LayerNormalization", {"name": "layer_norm"}),
        ("GRU", {"name": "gru", "units": 4, **steps}),
        ("SimpleRNN", {"name": "rnn", "units": 3, "activation": "relu"}),
        ("Dense", {"name": "dense", "units": 2}),
    )
    for kind in ("LSTM", "GRU"):
        inner = {"class_name": kind, "config": {"name": "inner", "units": 4}}
        yield sequential(
            f"bidirectional-{kind.lower()}", [None, 6, 3],
            ("Bidirectional", {"name": "both", "layer": {**inner, "config": {**inner["config"], **steps}}}),
            ("Bidirectional", {"name": "both_1", "layer": inner}),
            ("Dense", {"name": "dense", "units": 1}),
        )
    yield sequential(
        "stacked", [None, 6, 5],
        ("LSTM", {"name": "lstm", "units": 5, **steps}),
        ("LSTM", {"name": "lstm_1", "units": 5, **steps}),
        ("LSTM", {"name": "lstm_2", "units": 5}),
        ("Dense", {"name": "head", "units": 2}),
    )


def random_state(tree, seed):
    generator = torch.Generator().manual_seed(seed)
    state = tree.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=generator) - 0.5
            state[name] = values.abs() + 0.5 if name.endswith("running_var") else values
    return state


class Program:
    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr.strip()}")
        return done.stdout

    def predict(self, model, x, folder):
        save_file({"x": x}, folder / "x.safetensors")
        self("predict", model, "--input", folder / "x.safetensors", "--output", folder / "y.safetensors")
        return load_file(folder / "y.safetensors")["y"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target/release/candle-recurrent")
    program = Program(parser.parse_args().program)
    worst_of_all, rows = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rng = np.random.default_rng(0)

        for name in sorted(path.name for path in (ROOT / "models").iterdir()):
            config = json.loads((ROOT / "models" / name / "config.json").read_text())["model"]
            program("convert", name, folder / f"{name}.safetensors", "--layout", "pytorch")
            tree = modules(config).eval()
            tree.load_state_dict(load_torch(folder / f"{name}.safetensors"), strict=True)
            if config["layers"][1]["class_name"] == "Embedding":
                x = rng.integers(0, 500, (8, 100)).astype(np.int32)
            else:
                x = rng.random((8, *config["layers"][0]["config"]["batch_shape"][1:])).astype(np.float32)
            rows.append((f"zoo {name}", compare(program, name, config, tree, x, folder)))

        for seed, config in enumerate(cases()):
            name = config["name"]
            (folder / "config.json").write_text(json.dumps({"model": config}))
            tree = modules(config).eval()
            state = random_state(tree, seed)
            tree.load_state_dict(state)
            save_torch(state, folder / "torch.safetensors")
            # PyTorch's file in, ours out and in again, then out in PyTorch's names: the same bits.
            model = folder / name
            program("convert", folder / "torch.safetensors", model, "--config", folder / "config.json")
            x = rng.random((8, *config["layers"][0]["config"]["batch_shape"][1:])).astype(np.float32)
            rows.append((f"from PyTorch: {name}", compare(program, model, config, tree, x, folder)))
            program("convert", model, folder / "back.safetensors", "--layout", "pytorch")
            back = modules(config).eval()
            back.load_state_dict(load_torch(folder / "back.safetensors"), strict=True)
            rows.append((f"and back: {name}", compare(program, model, config, back, x, folder)))

        # One torch.nn.LSTM of three layers, and names that are not the layers'.
        config = list(cases())[-1]
        (folder / "config.json").write_text(json.dumps({"model": config}))
        stacked = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(5, 5, 3, batch_first=True), "fc": torch.nn.Linear(5, 2)})
        save_torch(stacked.state_dict(), folder / "torch.safetensors")
        program("convert", folder / "torch.safetensors", folder / "three", "--config", folder / "config.json")
        x = rng.random((8, 6, 5)).astype(np.float32)
        with torch.no_grad():
            theirs = stacked["fc"](stacked["rnn"](torch.from_numpy(x))[0][:, -1]).numpy()
        ours = program.predict(folder / "three", x, folder)
        rows.append(("from PyTorch: nn.LSTM(num_layers=3)", float(np.abs(ours - theirs).max())))

    for name, worst in rows:
        worst_of_all = max(worst_of_all, worst)
        print(f"{name:40} {worst:.1e}  {'ok' if worst <= 1e-6 else 'TOO FAR'}")
    print(f"worst {worst_of_all:.1e} of {len(rows)}")
    sys.exit(worst_of_all > 1e-6)


def compare(program, model, config, tree, x, folder):
    with torch.no_grad():
        tensor = torch.from_numpy(x.astype(np.int64) if x.dtype == np.int32 else x)
        theirs = forward(config, tree, tensor).numpy()
    ours = program.predict(model, x, folder)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max())


if __name__ == "__main__":
    main()
