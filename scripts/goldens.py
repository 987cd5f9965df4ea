#!/usr/bin/env python3
"""Writes tests/goldens/: what Keras itself computes, for the tests to compare with.

    pip install keras==3.15.1 tensorflow-cpu safetensors
    python scripts/goldens.py            # everything
    python scripts/goldens.py lstm_mask  # only the cases whose name starts so

One safetensors file a case. Its metadata `case` is JSON: `class_name` and `config` in Keras's words, `training`, and
what else the case needs. Tensors:

    x, mask, initial_state_0, initial_state_1        what the layer is given
    kernel, recurrent_kernel, bias, embeddings       its weights
    dropout_mask, recurrent_dropout_mask             dropout masks, scaled by 1/(1-p); with a leading gate axis where
                                                     Keras draws one for each gate
    y, state_0, state_1                              what it returns
    dy, dstate_0, dstate_1                           a gradient from above, for y and for the final states
    dx, d_kernel, ..., d_initial_state_0, ...        gradients of sum(y * dy) [+ sum(state_i * dstate_i)]

A file of losses holds many cases one after another, flat: `x` is the last layer's pre-activation, `dx` the gradient there.

Keras is given the dropout masks that the crate's own generator draws for a layer `layer` and the seed in `seed`, once
its own masks were seen to have that shape and those factors. For the Dropout layer the mask is Keras's own.

Everything is drawn from NumPy's PCG64 with the case's name as the seed and computed in float32 on the CPU. Each case is
computed again in float64 with the same numbers; the script stops where the two disagree, because then the float32
figures would say little.
"""

import platform
import sys

from golden_cases import CELLS, OUT, keras, np, tf
from golden_cases.graphs import graph_cases
from golden_cases.layers import activations_elementwise, activations_rowwise, binary_crossentropy, other_cases
from golden_cases.losses import all_losses
from golden_cases.metrics import metric_cases
from golden_cases.models import model_cases, summaries
from golden_cases.operations import operation_cases
from golden_cases.optimizers import optimizer_cases
from golden_cases.recurrent import recurrent_cases


def initialisers():
    """Facts about the initial values that Keras draws, for the README: largest value against its bound."""
    keras.utils.set_random_seed(1)
    rows = []
    for name in ("simple-rnn", "lstm", "gru"):
        layer = {"simple-rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[name](8)
        layer.build((None, 100, 16))
        kernel, recurrent_kernel, bias = (variable.numpy() for variable in layer.trainable_variables)
        limit = np.sqrt(6 / sum(kernel.shape))
        product = recurrent_kernel @ recurrent_kernel.T
        off = np.abs(product - np.eye(8)).max()
        rows.append(
            f"| {type(layer).__name__} | {kernel.shape} | {limit:.6f} | {np.abs(kernel).max():.4f} | "
            f"{recurrent_kernel.shape} | {'yes' if off < 1e-5 else 'no'} | "
            f"{bias.reshape(-1, 8)[:, 0].tolist()} |"
        )
    return rows


README = """# Golden numbers

What Keras itself computes, for `tests/golden/` to compare with. Written by `scripts/goldens.py`; do not edit by hand.

    pip install keras=={keras} tensorflow-cpu=={tensorflow} safetensors
    python scripts/goldens.py

Written with Keras {keras}, TensorFlow {tensorflow} (CPU), NumPy {numpy}, Python {python}.

One safetensors file a case; the metadata entry `case` is JSON with the Keras class, its config and what the case needs.
The tensors' names are explained at the top of the script. All numbers are float32 as Keras computes them; each case was
computed in float64 as well and agrees within 1e-5 (training runs within 3e-5). The random numbers come from the case's
name, so a case stays the same when others are added.

- `train_*` and `inference_*` store no inputs: ids and initial weights follow from integer arithmetic (`sequence`,
  `ruled_weight` and `ruled_batch` in the script). Of the embedding table every twentieth row is kept.
- `summaries.txt` is the output of `model.summary()` (default width) for the five models of the zoo. The model has the
  zoo's name; the layers have Keras's automatic names: `embedding`, `simple_rnn`, `lstm`, `lstm_1`, `gru`, `dense`.
- `train_*` are what `fit` without shuffling gives as well. TensorFlow keeps the gradient of an Embedding as one slice a
  token, and Keras squares slice by slice: RMSprop's mean square of a row gathers the sum of the squares of its slices,
  not the square of their sum. `optimizers` shows it alone.
- `optimizers` holds 100 steps of every optimizer with every option, from given gradients in a `tf.function` (`.after`,
  `.state`), and of an Embedding under `fit` (`.table`); `schedules` the rates of steps 0 to 500.
- `metrics_*` hold batches (`values_0`, `targets_0`, `sample_0`, `mask_0`, …), where `values` are logits if the case has
  an `activation`, and for each metric its figure after all of them: `plain`, `masked` by the mask, `weighted` by mask and
  sample weights. `metrics_compiled_*` are what `evaluate` gives of a model whose Embedding makes the mask.
- A slope where an activation has a kink is TensorFlow's choice: 0 for relu at 0, 0.2 for leaky_relu at 0, 0 for
  relu6 at 0 and 6 and for hard_sigmoid at -3 and 3.

## Initial values that Keras draws (16 features, 8 units)

| layer | kernel | glorot limit sqrt(6/(in+out)) | largest drawn | recurrent_kernel | its rows orthonormal | bias, first of each block |
|---|---|---|---|---|---|---|
{initialisers}

`Embedding`: uniform in ±0.05. `Dense(1)` on 8: glorot limit {dense:.6f}, bias zeros. The glorot limit of a gated layer is
that of the whole fused matrix; the recurrent kernel as a whole has orthonormal rows, its square blocks have not.
"""


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:]
    keras.utils.set_random_seed(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    cases = [case for family in CELLS for case in recurrent_cases(family)]
    cases += other_cases() + optimizer_cases() + model_cases() + graph_cases() + operation_cases() + all_losses()
    cases += metric_cases()
    cases += [
        ("activations_elementwise", activations_elementwise),
        ("activations_rowwise", activations_rowwise),
        ("binary_crossentropy", binary_crossentropy),
    ]
    for name, make in cases:
        if not wanted or any(name.startswith(prefix) for prefix in wanted):
            make(name)
    if wanted:
        return
    known = {name for name, _ in cases}
    for path in sorted(OUT.glob("*.safetensors")):
        if path.stem not in known:
            path.unlink()
    summaries()
    text = README.format(
        keras=keras.__version__,
        tensorflow=tf.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
        initialisers="\n".join(initialisers()),
        dense=np.sqrt(6 / 9),
    )
    (OUT / "README.md").write_text(text, encoding="utf-8")
    print(f"{len(cases)} cases, {sum(path.stat().st_size for path in OUT.iterdir())} bytes")


if __name__ == "__main__":
    main()
