"""Files of torch.save for tests/keras/torch.rs, and what PyTorch computes with them.

Needs torch, numpy and safetensors:

    python scripts/torch_fixtures.py

Writes tests/fixtures/torch/: NAME.pt, cases.json (for each file that opens its architecture, for each that does not what
its message says), golden.safetensors (inputs and outputs).
"""

import io
import json
import os
import pathlib
import shutil
import sys
import warnings
import zipfile
from unittest import mock

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/torch"
STEPS, FEATURES, UNITS = 5, 3, 4

cases, golden = {}, {}


class Net(torch.nn.Module):
    """A recurrent module and a linear one, of the last step."""

    def __init__(self, kind, layers=1, both=False, **extra):
        super().__init__()
        self.rnn = kind(FEATURES, UNITS, layers, batch_first=True, bidirectional=both, **extra)
        self.fc = torch.nn.Linear(UNITS * (1 + both), 2)
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self.both = both

    def forward(self, x):
        y = self.rnn(x)[0]
        last = torch.cat([y[:, -1, :UNITS], y[:, 0, UNITS:]], -1) if self.both else y[:, -1]
        return self.fc(last)


class Reader(torch.nn.Module):
    """Ids to a probability."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(12, FEATURES)
        self.gru = torch.nn.GRU(FEATURES, UNITS, batch_first=True)
        self.dense = torch.nn.Linear(UNITS, 1)

    def forward(self, ids):
        return torch.sigmoid(self.dense(self.gru(self.embedding(ids))[0][:, -1]))


class Evil:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def config(kind, layers=1, both=False, prefix=""):
    """The same model in Keras's words."""
    listed = [{"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [None, STEPS, FEATURES]}}]
    for index in range(layers):
        name = "rnn" if index == 0 else f"rnn_{index}"
        layer = {"class_name": kind, "config": {"name": name, "units": UNITS, "return_sequences": index + 1 < layers}}
        if both:
            layer = {"class_name": "Bidirectional", "config": {"name": name, "layer": layer}}
        listed.append(layer)
    listed.append({"class_name": "Dense", "config": {"name": "fc", "units": 2}})
    return {"model": {"name": "net", "layers": listed}}


def case(name, saved, model, architecture, x=None, **how):
    """A file that opens, and what `model` computes."""
    path = FOLDER / f"{name}.pt"
    torch.save(saved, path, **how)
    torch.load(path, weights_only=False)
    x = torch.rand(2, STEPS, FEATURES) if x is None else x
    with torch.no_grad():
        golden[f"{name}.x"], golden[f"{name}.y"] = x, model(x).float().contiguous()
    cases[name] = {"config": architecture}


def refused(name, saved, *words, **how):
    torch.save(saved, FOLDER / f"{name}.pt", **how)
    cases[name] = {"refused": words}


def net(*arguments, **extra):
    return Net(*arguments, **extra).eval()


def layouts():
    """The recurrent modules, stacked and in both directions."""
    kinds = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}
    for kind, cls in kinds.items():
        for layers, both in [(2, False), (2, True)]:
            model = net(cls, layers, both)
            name = f"{kind.lower()}_{layers}{'_both' if both else ''}"
            case(name, model.state_dict(), model, config(kind, layers, both))


def reader():
    layers = [("InputLayer", {"name": "ids", "batch_shape": [None, STEPS]}),
              ("Embedding", {"name": "embedding", "input_dim": 12, "output_dim": FEATURES}),
              ("GRU", {"name": "gru", "units": UNITS}),
              ("Dense", {"name": "dense", "units": 1, "activation": "sigmoid"})]
    listed = [{"class_name": kind, "config": config} for kind, config in layers]
    model = Reader().eval()
    case("reader", model.state_dict(), model, {"model": {"name": "reader", "layers": listed}},
         torch.randint(0, 12, (2, STEPS)))


def containers():
    """The same state_dict in what people save it in."""
    model = net(torch.nn.LSTM)
    state, own = model.state_dict(), config("LSTM")
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, STEPS, FEATURES)).sum().backward()
    optimizer.step()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    case("parameters", dict(model.named_parameters()), model, own)
    checkpoint = {"epoch": 7, "model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(),
                  "loss": torch.tensor(0.25), "rng": torch.get_rng_state()[:16]}
    case("checkpoint", checkpoint, model, own)
    lightning = {"epoch": 1, "global_step": 20, "pytorch-lightning_version": "2.5.0",
                 "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
                 "loops": {"fit_loop": {"state_dict": {}}},
                 "callbacks": {"EarlyStopping{'monitor': 'val_loss'}": {"best_score": torch.tensor(0.5), "patience": 3}},
                 "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [],
                 "hyper_parameters": {"units": UNITS, "path": pathlib.PurePosixPath("/a/b"), "rate": 1e-3}}
    case("lightning", lightning, model, own)
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    case("wrapped", wrapped, model, own)
    case("module", model, model, own)
    case("module_in_checkpoint", {"model": torch.nn.Sequential(model), "epoch": 1}, model, own)
    keras = {"fc.kernel": state["fc.weight"].t(), "fc.bias": state["fc.bias"],
             "rnn.kernel": state["rnn.weight_ih_l0"].t(), "rnn.recurrent_kernel": state["rnn.weight_hh_l0"].t(),
             "rnn.bias": state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"]}
    case("keras_names", keras, model, own)
    old = {"_use_new_zipfile_serialization": False}
    case("legacy", state, model, own, **old)
    # Without the source code of its classes, which PyTorch puts beside them.
    with mock.patch("torch.serialization.get_source_lines_and_file", side_effect=OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case("legacy_module", model, model, own, **old)
    for protocol in (3, 4, 5):
        case(f"protocol_{protocol}", state, model, own, pickle_protocol=protocol)
    case("legacy_protocol_4", state, model, own, pickle_protocol=4, **old)

    path = FOLDER / "big_endian.pt"
    case("big_endian", state, model, own)
    members = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            data = archive.read(info)
            folder, _, name = info.filename.partition("/")
            if name == "byteorder":
                data = b"big"
            elif name.startswith("data/"):
                data = b"".join(data[at:at + 4][::-1] for at in range(0, len(data), 4))
            members.append((info.filename, data))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    opened = torch.load(path)
    assert all(torch.equal(opened[name], state[name]) for name in state)


def tensors():
    """Types, views, storages that are shared."""
    own = config("GRU")
    for name, dtype in [("half", torch.float16), ("bfloat16", torch.bfloat16), ("double", torch.float64)]:
        model = net(torch.nn.GRU)
        state = {key: tensor.to(dtype) for key, tensor in model.state_dict().items()}
        model.load_state_dict(state)
        case(name, state, model, own)
    model = net(torch.nn.GRU)
    state = model.state_dict()
    flat = torch.cat([torch.full((5,), 9.0)] + [tensor.flatten() for tensor in state.values()])
    shared, at = {}, 5
    for key, tensor in state.items():
        shared[key] = flat[at:at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    case("shared", shared, model, own)
    case("legacy_shared", shared, model, own, _use_new_zipfile_serialization=False)
    model.fc.bias.data = torch.tensor([0.5]).expand(2)
    model.rnn.weight_ih_l0.data = torch.rand(FEATURES, 2 * 3 * UNITS)[:, ::2].t()
    views = {**model.state_dict(), "counter": torch.tensor(3), "flags": torch.tensor([True]),
             "short": torch.tensor([1], dtype=torch.uint16), "empty": torch.zeros(0, dtype=torch.int8)}
    assert not views["rnn.weight_ih_l0"].is_contiguous() and views["fc.bias"].stride() == (0,)
    case("views", views, model, own)
    # PyTorch cannot read this type back from its older files.
    del views["short"]
    case("legacy_views", views, model, own, _use_new_zipfile_serialization=False)


def refusals():
    state = net(torch.nn.GRU).state_dict()
    refused("refused_call", {**state, "x": Evil()}, "call posix.system", "nothing of it was run")
    refused("refused_call_legacy", Evil(), "call posix.system", _use_new_zipfile_serialization=False)
    refused("refused_two", {"generator": state, "critic": dict(state)}, "several sets", "`generator`, `critic`")
    refused("refused_beside", {"state_dict": state, "table": torch.rand(3, 3)}, "several sets", "`state_dict`, `table`")
    refused("refused_tensor", torch.rand(3), "neither a `state_dict`")
    refused("refused_list", list(state.values()), "neither a `state_dict`")
    refused("refused_nothing", {"epoch": 3, "loss": 0.1}, "no `state_dict`", "epoch, loss")
    refused("refused_sparse", {**state, "fc.bias": torch.eye(2).to_sparse()}, "`fc.bias`", "_rebuild_sparse_tensor")
    refused("refused_complex", {**state, "fc.bias": torch.ones(2, dtype=torch.complex64)}, "`fc.bias`", "ComplexFloat")
    refused("refused_float8", {**state, "fc.bias": torch.ones(2).to(torch.float8_e4m3fn)}, "`fc.bias`", "loat8_e4m3fn")
    refused("refused_numpy", {**state, "fc.bias": state["fc.bias"].numpy()}, "`fc.bias`", "NumPy")
    cases["refused_script"] = {"refused": ["TorchScript"]}
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(FOLDER / "refused_script.pt", "w") as small:
        for name in archive.namelist():
            if "code/" not in name:
                small.writestr(zipfile.ZipInfo(name), archive.read(name))


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    torch.manual_seed(0)
    for part in (layouts, reader, containers, tensors, refusals):
        part()
    save_file(golden, FOLDER / "golden.safetensors")
    (FOLDER / "cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"{len(cases)} files with PyTorch {torch.__version__}, Python {sys.version_info.major}.{sys.version_info.minor}")


if __name__ == "__main__":
    main()
