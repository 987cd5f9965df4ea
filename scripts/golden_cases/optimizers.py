"""Every optimizer with every option, and the learning-rate schedules; all cases of each in one file."""

import keras
import numpy as np
import tensorflow as tf

from . import generator, write

STEPS = 100
# After which steps the variables are kept, from 1.
KEPT = [1, 2, 10, 100]
SHAPES = {"a": (2, 3), "b": (4,)}
ROWS, WIDTH, TOKENS = 5, 2, 8

# The options of a class alone, with a rate that takes it somewhere in so many steps.
CLASSES = {
    "RMSprop": (0.001, {"momentum": {"momentum": 0.9}, "centered": {"centered": True, "rho": 0.8}, "centered_momentum": {"centered": True, "momentum": 0.5, "epsilon": 1e-3}}),
    "Adam": (0.001, {"amsgrad": {"amsgrad": True}, "betas": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}}),
    "AdamW": (0.01, {"amsgrad": {"amsgrad": True}}),
    "Nadam": (0.001, {"betas": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}}),
    "Adamax": (0.01, {"betas": {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}}),
    "SGD": (0.01, {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}),
    "Adagrad": (0.1, {"initial": {"initial_accumulator_value": 0.0, "epsilon": 1e-3}}),
    "Adadelta": (1.0, {"rho": {"rho": 0.5, "epsilon": 1e-3}}),
    "Lion": (0.001, {"betas": {"beta_1": 0.5, "beta_2": 0.8}}),
    "Ftrl": (0.1, {"all": {"learning_rate_power": -0.7, "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02, "l2_shrinkage_regularization_strength": 0.03, "beta": 0.1}}),
}  # fmt: skip

# What all of them take.
COMMON = {
    "default": {},
    "weight_decay": {"weight_decay": 0.05},
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.3},
    "global_clipnorm": {"global_clipnorm": 0.7},
    "use_ema": {"use_ema": True, "ema_momentum": 0.9},
    "ema_overwrite": {"use_ema": True, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3, "use_ema": True, "ema_overwrite_frequency": 2},
    "loss_scale": {"loss_scale_factor": 12.0},
    "schedule": {"weight_decay": 0.05},
}

# An Embedding cannot be trained so: Keras divides its slices by a number, which TensorFlow has no operation for.
NOT_OF_SLICES = ["loss_scale"]


def optimizer(class_name, option, arguments):
    rate = arguments["learning_rate"]
    if option == "schedule":
        rate = keras.optimizers.schedules.CosineDecay(rate / 10, 60, 0.1, warmup_target=rate, warmup_steps=20)
    return getattr(keras.optimizers, class_name)(**arguments | {"learning_rate": rate})


def config(made, arguments):
    """Keras's own, as short as it is the same; the rate as it was given, for Keras keeps it in float32."""
    serialized = keras.optimizers.serialize(made)
    fields = {key: value for key, value in serialized["config"].items() if key in arguments}
    if isinstance(fields["learning_rate"], float):
        fields["learning_rate"] = arguments["learning_rate"]
    return {"class_name": serialized["class_name"], "config": fields}


def dense(made, tensors):
    """The variables after some of the steps with the given gradients, one after the other, and the state."""
    variables = [keras.Variable(tensors[key], name=key) for key in SHAPES]
    scale = made.loss_scale_factor or 1.0
    made.build(variables)
    apply = tf.function(lambda *gradients: made.apply(gradients, variables))
    after = []
    for step in range(STEPS):
        apply(*(tf.constant(tensors[f"gradients_{key}"][step] * np.float32(scale)) for key in SHAPES))
        if step + 1 in KEPT:
            after.append(np.concatenate([variable.numpy().ravel() for variable in variables]))
    state = np.concatenate([np.asarray(variable).ravel() for variable in made.variables])
    return np.stack(after), state.astype(np.float32)


class Keep(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.kept = []

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 in KEPT:
            self.kept.append(self.model.get_weights()[0].ravel())


def embedding(made, tensors):
    """An Embedding after the same steps under `fit`, and after it; each row that is looked up has a slice as gradient."""
    model = keras.Sequential([keras.Input((TOKENS,), dtype="int32"), keras.layers.Embedding(ROWS, WIDTH)])
    model.set_weights([tensors["table"]])
    model.compile(made, lambda of, rows: keras.ops.sum(of * rows, axis=(1, 2)))
    keep = Keep()
    model.fit(
        tensors["ids"].astype(np.int32), tensors["slices"], batch_size=1, shuffle=False, verbose=0, callbacks=[keep]
    )
    return np.stack(keep.kept + [model.get_weights()[0].ravel()])


def optimizers(name):
    rng = generator(name)
    tensors = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in SHAPES.items()}
    for key, shape in SHAPES.items():
        gradients = rng.standard_normal((STEPS, *shape)) * 10.0 ** rng.integers(-3, 1, (STEPS, *shape))
        gradients[:, 0] = 0.0
        gradients[1] = 0.0
        tensors[f"gradients_{key}"] = gradients.astype(np.float32)
    tensors["table"] = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    tensors["ids"] = rng.integers(0, ROWS - 1, (STEPS, TOKENS)).astype(np.uint32)  # the last row is never seen
    slices = rng.standard_normal((STEPS, TOKENS, WIDTH)) * 10.0 ** rng.integers(-2, 1, (STEPS, TOKENS, 1))
    tensors["slices"] = slices.astype(np.float32)
    cases = []
    for class_name, (rate, own) in CLASSES.items():
        for option, arguments in (COMMON | own).items():
            arguments = {"learning_rate": rate, **arguments}
            key = f"{class_name}_{option}"
            made = optimizer(class_name, option, arguments)
            after, state = dense(made, tensors)
            tensors |= {f"{key}.after": after, f"{key}.state": state}
            names = [variable.name for variable in made.variables]
            case = {"name": key, **config(made, arguments), "variables": names}
            if option not in NOT_OF_SLICES:
                tensors[f"{key}.table"] = embedding(optimizer(class_name, option, arguments), tensors)
            cases.append(case)
            print(key, flush=True)
            keras.backend.clear_session()
    write(name, {"class_name": "Optimizers", "kept": KEPT, "cases": cases}, tensors)


def schedules(name):
    """The rates of every step."""
    of = keras.optimizers.schedules
    made = {
        "exponential": of.ExponentialDecay(0.1, 30, 0.7),
        "exponential_staircase": of.ExponentialDecay(0.1, 30, 0.7, staircase=True),
        "piecewise": of.PiecewiseConstantDecay([20, 100, 333], [0.1, 0.05, 0.07, 0.001]),
        "polynomial": of.PolynomialDecay(0.1, 300),
        "polynomial_power": of.PolynomialDecay(0.1, 300, end_learning_rate=0.02, power=0.5),
        "polynomial_cycle": of.PolynomialDecay(0.1, 70, end_learning_rate=0.001, power=2.0, cycle=True),
        "inverse_time": of.InverseTimeDecay(0.1, 30, 0.5),
        "inverse_time_staircase": of.InverseTimeDecay(0.1, 30, 0.5, staircase=True),
        "cosine": of.CosineDecay(0.1, 300),
        "cosine_alpha": of.CosineDecay(0.1, 300, alpha=0.1),
        "cosine_warmup": of.CosineDecay(0.01, 300, alpha=0.05, warmup_target=0.2, warmup_steps=77),
        "restarts": of.CosineDecayRestarts(0.1, 20),
        "restarts_all": of.CosineDecayRestarts(0.1, 30, t_mul=1.5, m_mul=0.8, alpha=0.1),
        "restarts_same": of.CosineDecayRestarts(0.1, 60, t_mul=1.0, m_mul=0.9),
    }
    tensors, cases = {}, []
    for key, schedule in made.items():
        at = tf.function(lambda step, schedule=schedule: schedule(step))
        tensors[key] = np.array([at(tf.constant(step, tf.int64)).numpy() for step in range(501)], dtype=np.float32)
        cases.append({"name": key, "schedule": of.serialize(schedule)})
    write(name, {"class_name": "Schedules", "cases": cases}, tensors)


def optimizer_cases():
    return [("optimizers", optimizers), ("schedules", schedules)]
