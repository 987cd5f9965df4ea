"""SimpleRNN, LSTM and GRU."""

import sys

import keras
import numpy as np
import tensorflow as tf

from . import CELLS, ELEMENTWISE, ROWWISE, agree, config_of, generator, write


class Stream:
    """The crate's own random numbers (`src/nn/random.rs`): SplitMix64, a stream for each name."""

    MASK = 2**64 - 1

    def __init__(self, seed, name):
        value = 0xCBF29CE484222325
        for byte in name.encode():
            value = (value ^ byte) * 0x100000001B3 & self.MASK
        self.state = seed
        self.state = value ^ self.next()
        self.state = self.next()

    def next(self):
        self.state = self.state + 0x9E3779B97F4A7C15 & self.MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & self.MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & self.MASK
        return z ^ z >> 31

    def uniform(self):
        return (self.next() >> 11) / 2**53

    def normal(self):
        while True:
            x, y = 2 * self.uniform() - 1, 2 * self.uniform() - 1
            s = x * x + y * y
            if 0 < s < 1:
                return x * np.sqrt(-2 * np.log(s) / s)


def dropout_mask(kind, shape, rate):
    """The factors that the crate draws for a layer named `layer` in a batch with the seed `DROPOUT_SEED`."""
    stream = Stream(DROPOUT_SEED, f"layer/{kind}")
    values = [0.0 if stream.uniform() < rate else 1.0 / (1.0 - rate) for _ in range(int(np.prod(shape)))]
    return np.array(values, np.float32).reshape(shape)


DROPOUT_SEED = 11


def own_dropout(cell):
    """Makes Keras use the crate's dropout masks in place of its own, after a look at the shape that its own have."""
    used = {}
    draw = cell._create_dropout_mask

    def create(kind, rate):
        def get(step_input):
            if rate == 0:
                return None
            if kind not in used:
                keras_mask = draw(step_input, rate)
                if rate == 1.0:
                    used[kind] = keras_mask
                    return keras_mask
                per_gate = isinstance(keras_mask, list)
                shape = np.shape(keras_mask)
                mask = dropout_mask(kind, shape, rate)
                if not set(np.unique(np.float32(keras_mask))) <= set(np.unique(mask)) or np.unique(mask).size != 2:
                    sys.exit(f"{kind}: Keras's factors are {np.unique(keras_mask)}, not {np.unique(mask)}")
                mask = tf.constant(mask, step_input.dtype)
                used[kind] = tf.unstack(mask) if per_gate else mask
            return used[kind]

        return get

    cell.get_dropout_mask = create("dropout", cell.dropout)
    cell.get_recurrent_dropout_mask = create("recurrent_dropout", cell.recurrent_dropout)
    return used


def recurrent(
    name,
    family,
    batch=3,
    time=6,
    features=3,
    units=4,
    mask=None,
    initial_state=False,
    state_gradient=False,
    training=False,
    scale=0.6,
    **arguments,
):
    """One call of a recurrent layer and all its gradients."""
    class_name, always, states = CELLS[family]
    arguments = {**always, **arguments}
    rng = generator(name)

    def normal(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def run(dtype, given):
        layer = getattr(keras.layers, class_name)(units, return_state=True, dtype=dtype, seed=7, **arguments)
        layer.build((batch, time, features))
        weights = {variable.name: variable for variable in layer.trainable_variables}
        tensors = {}
        for key, variable in weights.items():
            tensors[key] = given[key] if given else normal(*variable.shape, scale=scale)
            variable.assign(tensors[key])
        tensors["x"] = given["x"] if given else normal(batch, time, features)
        x = tf.constant(tensors["x"], dtype)
        initial = None
        if initial_state:
            keys = [f"initial_state_{i}" for i in range(states)]
            tensors |= {key: given[key] if given else normal(batch, units) for key in keys}
            initial = [tf.constant(tensors[key], dtype) for key in keys]
        used = own_dropout(layer.cell) if training else {}
        with tf.GradientTape() as tape:
            tape.watch([x] + (initial or []))
            y, *final = layer(
                x,
                mask=None if mask is None else np.array(mask, bool),
                initial_state=initial,
                training=training,
            )
            tensors["dy"] = given["dy"] if given else normal(*y.shape)
            loss = tf.reduce_sum(y * tf.constant(tensors["dy"], dtype))
            for i, state in enumerate(final if state_gradient else []):
                tensors[f"dstate_{i}"] = given[f"dstate_{i}"] if given else normal(batch, units)
                loss += tf.reduce_sum(state * tf.constant(tensors[f"dstate_{i}"], dtype))
        sources = {"dx": x} | {f"d_{key}": variable.value for key, variable in weights.items()}
        sources |= {f"d_initial_state_{i}": value for i, value in enumerate(initial or [])}
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        tensors |= {key: value.numpy() for key, value in gradients.items()}
        tensors |= {f"{key}_mask": np.array(value, np.float32) for key, value in used.items()}
        tensors["y"] = y.numpy()
        tensors |= {f"state_{i}": value.numpy() for i, value in enumerate(final)}
        return config_of(layer), tensors

    config, tensors = run("float32", None)
    agree(name, tensors, run("float64", tensors)[1])
    if mask is not None:
        tensors["mask"] = np.array(mask, np.uint8)
    case = {"class_name": class_name, "config": config, "training": training, "mask": mask is not None}
    if training:
        case["seed"] = DROPOUT_SEED
    write(name, case, tensors)


def stateful(name, family, batch=3, time=4, features=3, units=4, mask=None, **arguments):
    """Two batches through a stateful layer: the second starts where the first ended."""
    class_name, always, _ = CELLS[family]
    rng = generator(name)
    layer = getattr(keras.layers, class_name)(units, stateful=True, return_state=True, **always, **arguments)
    layer.build((batch, time, features))
    tensors = {}
    for variable in layer.trainable_variables:
        tensors[variable.name] = (0.6 * rng.standard_normal(variable.shape)).astype(np.float32)
        variable.assign(tensors[variable.name])
    for i in (1, 2):
        x = rng.standard_normal((batch, time, features)).astype(np.float32)
        y, *final = layer(x, mask=None if mask is None else np.array(mask, bool))
        tensors |= {f"x_{i}": x, f"y_{i}": y.numpy()}
        tensors |= {f"state_{j}_{i}": value.numpy() for j, value in enumerate(final)}
    if mask is not None:
        tensors["mask"] = np.array(mask, np.uint8)
    case = {"class_name": class_name, "config": config_of(layer), "training": False, "mask": mask is not None}
    write(name, case, tensors)


# Padded before, holes inside and no valid step at all.
MASK = [[0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0]]


def recurrent_cases(family):
    """Every option of one recurrent layer."""

    def case(suffix, **options):
        cases.append((f"{family}_{suffix}", lambda name: recurrent(name, family, **options)))

    cases = []
    case("default")
    case("sequences", return_sequences=True)
    case("backwards", go_backwards=True)
    case("backwards_sequences", go_backwards=True, return_sequences=True)
    case("no_bias", use_bias=False, return_sequences=True)
    case("mask", mask=MASK, batch=4)
    case("mask_sequences", mask=MASK, batch=4, return_sequences=True)
    case("mask_backwards_sequences", mask=MASK, batch=4, return_sequences=True, go_backwards=True)
    case("mask_initial_state", mask=MASK, batch=4, initial_state=True)
    case("mask_initial_state_sequences", mask=MASK, batch=4, return_sequences=True, initial_state=True)
    case("initial_state", initial_state=True)
    case("state_gradient", initial_state=True, return_sequences=True, state_gradient=True, mask=MASK[:3])
    case("dropout", training=True, dropout=0.4)
    case("recurrent_dropout", training=True, recurrent_dropout=0.4, return_sequences=True)
    case("both_dropouts", training=True, dropout=0.3, recurrent_dropout=0.4)
    case(
        "both_dropouts_mask_backwards",
        training=True, dropout=0.3, recurrent_dropout=0.4, mask=MASK, batch=4, go_backwards=True,
        initial_state=True, return_sequences=True,
    )  # fmt: skip
    case("large", batch=19, time=5, features=5, units=9, scale=0.4)
    if family in ("lstm", "simple_rnn"):
        case("dropout_all", training=True, dropout=1.0)
    if family in ("lstm", "gru"):
        case("one_step", time=1, return_sequences=True)
        case("one_unit", units=1, features=1, batch=1)
    if family == "lstm":
        long_mask = (generator(f"{family}_large_mask").random((19, 5)) < 0.7).astype(int).tolist()
        case(
            "large_mask", batch=19, time=5, features=3, units=9, scale=0.4, mask=long_mask, return_sequences=True,
            initial_state=True,
        )  # fmt: skip
    if family != "gru_reset_before":
        wide = 33 if family == "lstm" else 17
        case(f"units_{wide}", units=wide, features=3, batch=2, time=5, scale=0.25)

    small = {"batch": 2, "time": 4, "features": 2, "units": 3, "return_sequences": True, "scale": 0.3}
    names = ELEMENTWISE + ROWWISE
    if family == "lstm":
        case("no_unit_forget_bias", unit_forget_bias=False)
        case("dropout_inference", dropout=0.3, recurrent_dropout=0.4)
        case("mask_zero_output", mask=MASK, batch=4, return_sequences=True, zero_output_for_mask=True)
        case("mask_zero_output_last", mask=MASK, batch=4, zero_output_for_mask=True, initial_state=True)
        # Each name once as the activation and once as that of the gates.
        pairs = [(name, names[(i + 3) % len(names)]) for i, name in enumerate(names)]
    elif family == "gru":
        pairs = [(name, names[(i + 3) % len(names)]) for i, name in enumerate(names) if i % 2 == 1]
    elif family == "gru_reset_before":
        pairs = [("relu", "hard_sigmoid"), ("linear", "softmax"), ("gelu", "swish"), ("elu", "tanh")]
    else:
        pairs = [(name, None) for name in ("relu", "linear", "gelu", "softmax", "selu", "mish", "hard_sigmoid")]
        # exp of exp of exp leaves float32's range with weights of the usual size.
        case("activation_exponential", **{**small, "activation": "exponential", "scale": 0.15})
    for activation, gate in pairs:
        options = {"activation": activation} | ({"recurrent_activation": gate} if gate else {})
        case("_".join(["activation", *options.values()]), **options, **small)
    for suffix, options in [("stateful", {}), ("stateful_mask", {"mask": [row[:4] for row in MASK[:3]]})]:
        options = {"return_sequences": True, **options}
        cases.append((f"{family}_{suffix}", lambda name, options=options: stateful(name, family, **options)))
    return cases
