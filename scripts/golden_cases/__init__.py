"""What the golden cases share; `../goldens.py` explains them."""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens"

# The recurrent layers: name of the case's family, Keras class, arguments, states, gates.
CELLS = {
    "simple_rnn": ("SimpleRNN", {}, 1),
    "lstm": ("LSTM", {}, 2),
    "gru": ("GRU", {"reset_after": True}, 1),
    "gru_reset_before": ("GRU", {"reset_after": False}, 1),
}

# Keras's activations that the crate knows, by name: those that map one number to one number.
ELEMENTWISE = [
    "linear", "tanh", "sigmoid", "hard_sigmoid", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "softsign",
    "silu", "swish", "gelu", "exponential", "mish", "hard_silu", "hard_swish",
]  # fmt: skip
# Those that look along the last axis.
ROWWISE = ["softmax", "log_softmax"]

FIELDS = [
    "units", "activation", "recurrent_activation", "use_bias", "unit_forget_bias", "reset_after", "dropout",
    "recurrent_dropout", "return_sequences", "go_backwards", "stateful", "zero_output_for_mask", "input_dim",
    "output_dim", "mask_zero", "rate",
]  # fmt: skip


def generator(name):
    """The random numbers of a case."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def config_of(layer):
    """The fields of a layer's Keras config that change numbers."""
    config = layer.get_config()
    if not config.get("zero_output_for_mask"):
        config.pop("zero_output_for_mask", None)
    return {field: config[field] for field in FIELDS if field in config}


def full_name(variable):
    """`lstm/lstm_cell/kernel` is `lstm.kernel` here."""
    parts = variable.path.split("/")
    return f"{parts[-3] if parts[-2].endswith('_cell') else parts[-2]}.{parts[-1]}"


def write(name, case, tensors):
    """One case to its file; the order of the tensors and the bytes are the same on every run."""
    arrays = {key: np.asarray(value, order="C") for key, value in sorted(tensors.items())}
    case = {"name": name, **case}
    save_file(arrays, OUT / f"{name}.safetensors", metadata={"case": json.dumps(case, separators=(",", ":"))})
    print(f"{name}: {sum(value.nbytes for value in arrays.values())} bytes", flush=True)


def agree(name, single, double, tolerance=1e-5):
    """Stops where float32 and float64 differ by more than a few roundings."""
    for key, value in single.items():
        if not np.issubdtype(value.dtype, np.floating):
            continue
        error = np.max(np.abs(value - double[key]) / np.maximum(1.0, np.abs(double[key])), initial=0.0)
        if not error < tolerance:
            sys.exit(f"{name}: {key} differs by {error:.2e} between float32 and float64")
