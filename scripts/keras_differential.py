"""Random models of Keras's against this crate: the same numbers, or a refusal that names a layer.

    python scripts/keras_differential.py [--count 200] [--seed 0] [--keras keras|tf_keras] [--keep FOLDER]

Every model is drawn from all classes and arguments that this crate reads. It is saved in every format of its Keras and opened
by the program: the answers must agree within 1e-5 of the largest number (or twenty times what Keras's own differ by where
weights and inputs are a last digit away, or where it runs the model as a graph). `convert` writes it as a `.keras`, which
Keras 3.15 must open with the same answer. Every second model reads ids and ends in one sigmoid: Keras and the program train it for a
few steps of RMSprop in the same batches, and the losses, of validation too, must agree within 1e-4 (or twenty times what
Keras's own differ by where its weights begin a last digit away).

The program is target/release/candle-recurrent; needs tensorflow, and tf_keras for `--keras tf_keras`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections import Counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("CANDLE_RECURRENT", ROOT / "target" / "release" / "candle-recurrent"))
ACTIVATIONS = ["tanh", "relu", "sigmoid", "linear", "elu", "selu", "softplus", "softsign", "hard_sigmoid", "swish", "gelu",
               "exponential", "softmax"]  # fmt: skip
CELL_ACTIVATIONS = ["tanh", "tanh", "tanh", "relu", "sigmoid", "elu", "softsign", "hard_sigmoid"]


class Drawer:
    """Draws layers of one Keras."""

    def __init__(self, k, rng, trained):
        self.k, self.L, self.rng, self.trained, self.count = k, k.layers, rng, trained, 0
        self.is3 = k.__name__ == "keras"

    def flip(self, share=0.5):
        return self.rng.random() < share

    def pick(self, values):
        return values[self.rng.integers(len(values))]

    def number(self, low, high):
        return float(np.round(self.rng.uniform(low, high), 3))

    def size(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def rate(self):
        """Dropout draws other numbers here than in Keras: none where the model is trained."""
        return 0.0 if self.trained else self.number(0, 0.6)

    def activation(self):
        return self.pick(ACTIVATIONS)

    def rules(self, *stems):
        """Regularisers, constraints, a frozen layer."""
        r, c, rules = self.k.regularizers, self.k.constraints, {}
        for stem in stems:
            if self.flip(0.15):
                rules[f"{stem}_regularizer"] = self.pick(
                    [r.L1(self.number(0, 0.05)), r.L2(self.number(0, 0.05)), r.L1L2(0.01, 0.02), "l2"]
                )
            if self.flip(0.15):
                rules[f"{stem}_constraint"] = self.pick([c.MaxNorm(self.number(0.3, 2)), c.NonNeg(), c.UnitNorm(),
                                                         c.MinMaxNorm(0.1, 1.0, rate=0.7)])  # fmt: skip
        if self.flip(0.08):
            rules["activity_regularizer"] = r.L2(self.number(0, 0.1))
        if self.flip(0.08):
            rules["trainable"] = False
        return rules

    def recurrent_arguments(self, kind):
        arguments = {"units": self.size(1, 9), "activation": self.pick(CELL_ACTIVATIONS), "use_bias": self.flip(0.85),
                     "dropout": self.rate() if self.flip(0.3) else 0.0, **self.rules("kernel", "recurrent", "bias")}  # fmt: skip
        if self.flip(0.2):
            arguments["recurrent_dropout"] = self.rate()
        if kind != "SimpleRNN":
            arguments["recurrent_activation"] = self.pick(["sigmoid", "sigmoid", "hard_sigmoid", "tanh"])
        if kind == "GRU":
            arguments["reset_after"] = self.flip(0.7)
        if kind == "LSTM":
            arguments["unit_forget_bias"] = self.flip()
        return arguments

    def recurrent(self, **more):
        kind = self.pick(["LSTM", "GRU", "SimpleRNN"])
        return getattr(self.L, kind)(**self.recurrent_arguments(kind), **more)

    def loop(self):
        return {"return_sequences": self.flip(0.7), "go_backwards": self.flip(0.2), "unroll": self.flip(0.1)}

    def sequence(self, x):
        """A layer on (batch, time, features)."""
        L, time, features = self.L, x.shape[1], x.shape[2]
        choices = [
            lambda: self.recurrent(**self.loop())(x),
            lambda: self.recurrent(**self.loop())(x),
            lambda: L.Bidirectional(
                self.recurrent(return_sequences=self.flip(0.7)), merge_mode=self.pick(["concat", "sum", "mul", "ave"])
            )(x),
            lambda: self.cells(x),
            lambda: self.states(x),
            lambda: L.TimeDistributed(self.pick([
                lambda: L.Dense(self.size(1, 6), activation=self.activation(), **self.rules("kernel", "bias")),
                lambda: L.LayerNormalization(),
                lambda: L.Dropout(self.rate()),
            ])())(x),
            lambda: L.Dense(self.size(1, 8), activation=self.activation(), use_bias=self.flip(0.8), **self.rules("kernel"))(x),
            lambda: L.Conv1D(self.size(1, 6), self.size(1, min(3, time)), strides=self.size(1, 2), groups=1,
                             padding=self.pick(["valid", "same", "causal"]), activation=self.activation(),
                             use_bias=self.flip(0.8), **self.rules("kernel", "bias"))(x),
            lambda: L.Conv1D(self.size(1, 6), 2, dilation_rate=2, padding=self.pick(["same", "causal"]))(x),
            lambda: L.SeparableConv1D(self.size(1, 5), self.size(1, min(3, time)), padding=self.pick(["valid", "same"]),
                                      depth_multiplier=self.size(1, 2), activation=self.activation(),
                                      **self.rules("depthwise", "pointwise"))(x),
            lambda: L.DepthwiseConv1D(self.size(1, min(3, time)), padding=self.pick(["valid", "same"]),
                                      depth_multiplier=self.size(1, 2), strides=self.size(1, 2))(x),
            lambda: L.Conv1DTranspose(self.size(1, 4), self.size(1, 3), strides=self.size(1, 2),
                                      padding=self.pick(["valid", "same"]))(x),
            lambda: getattr(L, self.pick(["MaxPooling1D", "AveragePooling1D"]))(
                self.size(1, 2), strides=self.pick([None, 1, 2]), padding=self.pick(["valid", "same"]))(x),
            lambda: L.UpSampling1D(2)(x),
            lambda: L.ZeroPadding1D(self.pick([1, (0, 2)]))(x),
            lambda: L.Cropping1D((1, 0))(x),
            lambda: L.BatchNormalization(axis=self.pick([-1, 2, 1]), momentum=self.number(0.5, 0.99),
                                         epsilon=self.number(0.001, 0.1), center=self.flip(0.8), scale=self.flip(0.8),
                                         **self.rules("gamma", "beta"))(x),
            lambda: L.LayerNormalization(axis=self.pick([-1, 1, [1, 2]]), epsilon=0.01, center=self.flip(0.8))(x),
            lambda: L.GroupNormalization(groups=self.pick([1, -1, features]), epsilon=0.02)(x),
            lambda: L.UnitNormalization(axis=self.pick([-1, 1]))(x),
            lambda: L.SpatialDropout1D(self.rate())(x),
            lambda: L.GaussianNoise(0.0 if self.trained else 0.3)(x),
            lambda: L.GaussianDropout(self.rate())(x),
            lambda: L.AlphaDropout(self.rate())(x),
            lambda: L.ActivityRegularization(l1=0.01, l2=self.number(0, 0.1))(x),
            lambda: L.Masking(self.pick([0.0, 1.0]))(x),
            lambda: L.Attention(use_scale=self.flip(), score_mode=self.pick(["dot", "concat"]))([x, x]),
            lambda: L.AdditiveAttention(use_scale=self.flip())([x, x, x]),
            lambda: L.MultiHeadAttention(self.size(1, 3), self.size(1, 4), value_dim=self.pick([None, 3]),
                                         use_bias=self.flip(0.8), output_shape=self.pick([None, 4]))(
                x, x, use_causal_mask=self.flip(0.3)),
            lambda: L.EinsumDense("abc,cd->abd", output_shape=(None, self.size(1, 5)), bias_axes=self.pick([None, "d"]),
                                  activation=self.activation())(x),
            lambda: L.PReLU(shared_axes=self.pick([None, [1]]))(x),
            lambda: self.elementwise(x),
            lambda: L.Permute((2, 1))(x),
            lambda: L.Reshape((features, time))(x),
            lambda: self.branch(x, self.sequence_same),
            lambda: L.Dot(axes=2, normalize=self.flip())([x, x]),
            lambda: self.operation(x),
            lambda: self.nested(x),
            lambda: getattr(L, self.pick(["GlobalMaxPooling1D", "GlobalAveragePooling1D"]))(keepdims=self.flip(0.3))(x),
            lambda: L.Flatten()(x),
        ]  # fmt: skip
        return self.pick(choices)()

    def cells(self, x):
        def cell():
            kind = self.pick(["LSTM", "GRU", "SimpleRNN"])
            arguments = self.recurrent_arguments(kind)
            arguments.pop("activity_regularizer", None)
            return getattr(self.L, f"{kind}Cell")(**{k: v for k, v in arguments.items() if "constraint" not in k
                                                     and "regularizer" not in k and k != "trainable"})  # fmt: skip

        return self.L.RNN(cell() if self.flip() else [cell(), cell()], return_sequences=self.flip(0.7))(x)

    def states(self, x):
        """An encoder's states into a decoder."""
        units = self.size(1, 5)
        first = self.L.LSTM(units, return_state=True, return_sequences=True)(x)
        return self.L.LSTM(units, return_sequences=self.flip())(first[0], initial_state=list(first[1:]))

    def elementwise(self, x):
        L = self.L
        slope = {"negative_slope": 0.2} if self.is3 else {"alpha": 0.2}
        return self.pick([
            lambda: L.Activation(self.activation())(x),
            lambda: L.LeakyReLU(**slope)(x),
            lambda: L.ELU(self.number(0.1, 2))(x),
            lambda: L.ReLU(max_value=self.pick([None, 1.5]), threshold=self.number(0, 0.3))(x),
            lambda: L.Softmax(axis=self.pick([-1, 1]))(x),
            lambda: L.Dropout(self.rate())(x),
            lambda: L.Rescaling(self.number(0.5, 2), offset=self.number(-1, 1))(x),
        ])()  # fmt: skip

    def sequence_same(self, x):
        """A layer that keeps the shape."""
        return self.L.Dense(x.shape[-1], activation=self.activation())(x)

    def branch(self, x, same):
        merge = self.pick(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
        return getattr(self.L, merge)()([x, same(x)])

    def operation(self, x):
        if not self.is3:
            return self.pick([lambda: x[:, -1, :], lambda: x[:, 1:], lambda: x * 0.5, lambda: x + 1.0, lambda: x - x / 2.0])()
        o = self.k.ops
        return self.pick([
            lambda: x[:, -1, :], lambda: x[:, ::2], lambda: x * 0.5, lambda: 1.0 - x, lambda: -x, lambda: x + x,
            lambda: o.mean(x, axis=1), lambda: o.sum(x, axis=-1, keepdims=True), lambda: o.max(x, axis=1),
            lambda: o.tanh(x), lambda: o.sigmoid(x), lambda: o.exp(o.clip(x, -2, 2)), lambda: o.abs(x), lambda: o.square(x),
            lambda: o.softmax(x, axis=1), lambda: o.transpose(x, (0, 2, 1)), lambda: o.flip(x, axis=1),
            lambda: o.expand_dims(o.mean(x, axis=1), 1), lambda: o.concatenate([x, x], axis=-1),
            lambda: o.matmul(x, o.transpose(x, (0, 2, 1))), lambda: o.where(x > 0, x, x * 0.1), lambda: o.relu(x),
            lambda: o.reshape(x, (-1, x.shape[1] * x.shape[2])), lambda: o.maximum(x, 0.2), lambda: o.cumsum(x, axis=1),
        ])()  # fmt: skip

    def nested(self, x):
        inside = self.k.Input(x.shape[1:])
        if self.flip():
            y = self.L.Dense(self.size(1, 4), activation="tanh", **self.rules("kernel"))(inside)
            model = self.k.Model(inside, self.L.BatchNormalization()(y))
        else:
            model = self.k.Sequential([inside, self.L.Dense(3), self.recurrent(return_sequences=True)])
        if self.flip(0.2):
            model.trainable = False
        return model(x)

    def vector(self, x):
        """A layer on (batch, features)."""
        L = self.L
        return self.pick([
            lambda: L.Dense(self.size(1, 8), activation=self.activation(), use_bias=self.flip(0.8), **self.rules("kernel", "bias"))(x),
            lambda: L.RepeatVector(self.size(2, 4))(x),
            lambda: L.BatchNormalization(epsilon=0.01)(x),
            lambda: L.LayerNormalization()(x),
            lambda: self.elementwise_vector(x),
            lambda: self.branch(x, self.sequence_same),
            lambda: L.Reshape((x.shape[-1], 1))(x),
            lambda: L.PReLU()(x),
        ])()  # fmt: skip

    def elementwise_vector(self, x):
        L = self.L
        return self.pick([lambda: L.Activation(self.activation())(x), lambda: L.Dropout(self.rate())(x), lambda: L.Softmax()(x)])()

    def picture(self, x):
        """A layer on (batch, rows, columns, channels)."""
        L = self.L
        return self.pick([
            lambda: L.Conv2D(self.size(1, 4), self.pick([1, 2, (2, 1)]), padding=self.pick(["valid", "same"]),
                             activation=self.activation(), **self.rules("kernel"))(x),
            lambda: L.SeparableConv2D(self.size(1, 3), 2, padding="same")(x),
            lambda: L.DepthwiseConv2D(2, padding="same")(x),
            lambda: L.Conv2DTranspose(2, 2, strides=self.size(1, 2), padding="same")(x),
            lambda: L.MaxPooling2D(2, padding="same")(x),
            lambda: L.AveragePooling2D(2, padding="same")(x),
            lambda: L.UpSampling2D(2, interpolation=self.pick(["nearest", "bilinear"]))(x),
            lambda: L.ZeroPadding2D(1)(x),
            lambda: L.Cropping2D(((1, 0), (0, 0)))(x),
            lambda: L.SpatialDropout2D(self.rate())(x),
            lambda: L.BatchNormalization(axis=self.pick([-1, 1]))(x),
            lambda: L.TimeDistributed(L.LSTM(3))(x),
            lambda: L.TimeDistributed(L.Flatten())(x),
            lambda: L.Permute((3, 1, 2))(x),
            lambda: L.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x),
        ])()  # fmt: skip

    def frames(self, x):
        """A layer on (batch, time, rows, columns, channels)."""
        L = self.L
        return self.pick([
            lambda: L.ConvLSTM2D(self.size(1, 3), 2, padding="same", return_sequences=self.flip())(x),
            lambda: L.TimeDistributed(L.Conv2D(2, 2, padding="same", activation="relu"))(x),
            lambda: L.TimeDistributed(L.GlobalAveragePooling2D())(x),
            lambda: L.Conv3D(2, 2, padding="same")(x),
            lambda: L.MaxPooling3D((1, 2, 2), padding="same")(x),
            lambda: L.Reshape((x.shape[1], x.shape[2] * x.shape[3] * x.shape[4]))(x),
        ])()  # fmt: skip

    def step(self, x):
        return {2: self.vector, 3: self.sequence, 4: self.picture, 5: self.frames}[len(x.shape)](x)

    def model(self):
        """A model and its input."""
        k, L, rng = self.k, self.L, self.rng
        if self.trained or self.flip(0.4):
            time = self.size(3, 8)
            entry = k.Input((time,), dtype="int32")
            x = L.Embedding(12, self.size(2, 5), mask_zero=self.flip(0.4), **self.rules("embeddings"))(entry)
            # As Keras's own IMDB gives ids: 1 begins a review, words count from 4, zeros come first.
            self.reviews = [list(map(int, rng.integers(1, 9, rng.integers(1, time + 1)))) for _ in range(24)]
            rows = [[1, *(word + 3 for word in review)][-time:] for review in self.reviews]
            given = np.array([[0] * (time - len(row)) + row for row in rows], np.int32)
        else:
            shape = self.pick([(self.size(3, 7), self.size(1, 4))] * 3 + [(3, 4, 2), (3, 3, 4, 2), (5,)])
            entry = k.Input(shape)
            x = entry
            given = rng.standard_normal((5, *shape)).astype(np.float32)
        depth = self.size(2, 6)
        while depth > 0 or len(x.shape) > 3:
            y = self.step(x)
            if len(y.shape) > 5 or any(n is None or n < 1 or n > 60 for n in y.shape[1:]):
                raise ValueError("too large")
            x, depth = y, depth - 1
        if self.trained:
            if len(x.shape) == 3:
                x = self.recurrent()(x)
            x = L.Dense(1, activation="sigmoid", **self.rules("kernel"))(x)
        return k.Model(entry, x), given


def spread_weights(model, rng):
    """Weights of every sign and some size, so that every argument shows; variances stay positive."""
    for variable in model.weights:
        value = variable.numpy()
        noise = rng.standard_normal(value.shape).astype(value.dtype) * 0.3 if value.dtype.kind == "f" else 0
        variable.assign(np.abs(value + noise) + 0.1 if "variance" in variable.name else value + noise)


def program(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


def relative(found, expected):
    if found.shape != expected.shape:
        return float("inf")
    worst = np.abs(found - expected).max() if found.size else 0.0
    return float(worst / max(np.abs(expected).max(), 1e-3)) if np.isfinite(expected).all() else float("nan")


def spread(model, given, expected, rng):
    """How far Keras's own answer is defined: run as a graph, and from weights and inputs that differ in the last digit."""
    before = model.get_weights()
    near = lambda x: (x * (1 + 1e-7 * rng.standard_normal(x.shape))).astype(x.dtype)  # noqa: E731
    answers = [model.predict(given, verbose=0)]
    for _ in range(3):
        model.set_weights([near(w) if w.dtype.kind == "f" else w for w in before])
        answers.append(np.asarray(model(near(given) if given.dtype.kind == "f" else given, training=False)))
    model.set_weights(before)
    return max(relative(answer, expected) for answer in answers)


def describe(model):
    return " ".join(type(layer).__name__ for layer in model.layers)


class Tally:
    def __init__(self):
        self.counts, self.refusals, self.wrong = Counter(), Counter(), []

    def take(self, kind, index, what, error, limit, model, own=lambda: 0.0):
        """`own` gives the spread of Keras's own answer, which is asked for where it matters."""
        if error <= limit:
            self.counts[f"{kind}: agrees"] += 1
        elif error <= 20 * own():
            self.counts[f"{kind}: agrees as far as Keras does with itself"] += 1
        elif np.isnan(error):
            self.counts[f"{kind}: Keras's own answer is not finite"] += 1
        else:
            self.counts[f"{kind}: WRONG"] += 1
            self.wrong.append(f"{index} {kind} {error:.1e} {what}: {describe(model)}")

    def refuse(self, kind, message):
        self.counts[f"{kind}: refused"] += 1
        self.refusals[message.split(": ", 2)[-1][:160]] += 1


def check(index, k, seed, folder, tally, keras3):
    rng = np.random.default_rng([seed, index])
    trained = index % 2 == 1
    for _ in range(50):
        k.backend.clear_session()
        k.utils.set_random_seed(int(rng.integers(1 << 30)))
        try:
            drawer = Drawer(k, rng, trained)
            model, given = drawer.model()
            spread_weights(model, rng)
            expected = np.asarray(model(given, training=False))
            break
        except Exception:
            # Drawn arguments that Keras refuses.
            continue
    else:
        tally.counts["no model drawn"] += 1
        return
    x, y = folder / "x.npz", folder / "y.npz"
    np.savez(x, x=given)
    names = {"keras": ["model.keras", "model.h5"], "tf_keras": ["model.h5", "model.keras"]}[k.__name__]
    good = None
    for name in names:
        path = folder / f"{index}_{name}"
        try:
            model.save(path)
        except Exception:
            tally.counts[f"{name}: Keras cannot save it"] += 1
            continue
        code, message = program("predict", path, "--input", x, "--output", y)
        if code != 0:
            tally.refuse(name, message)
            continue
        error = relative(np.load(y)["y"], expected)
        tally.take(name, index, "", error, 1e-5, model, lambda: spread(model, given, expected, rng))
        good = path if error <= 1e-5 else good
    if good is not None:
        out = folder / f"{index}_converted.keras"
        code, message = program("convert", good, out)
        if code != 0:
            tally.refuse("convert", message)
        else:
            try:
                again = keras3.models.load_model(out)
                error = relative(np.asarray(again(given, training=False)), expected)
                tally.take("convert", index, "", error, 1e-5, model, lambda: spread(again, given, expected, rng))
            except Exception as failure:
                tally.counts["convert: WRONG"] += 1
                tally.wrong.append(f"{index} convert: Keras refuses it: {str(failure)[:300]!r}: {describe(model)}")
    # The optimisers of tf_keras square an embedding's gradient otherwise than Keras 3, which this crate follows.
    if trained and good is not None and model.trainable_variables and k is keras3:
        train(index, k, model, given, folder, tally, rng)


def optimizer(k, rng):
    """One of Keras's optimisers with options drawn."""
    o, rate = k.optimizers, float(rng.choice([0.003, 0.01]))
    if rng.random() < 0.2:
        rate = o.schedules.ExponentialDecay(rate, 2, 0.8)
    kinds = [
        lambda **c: o.RMSprop(rate, momentum=float(rng.choice([0.0, 0.9])), **c),
        lambda **c: o.Adam(rate, amsgrad=bool(rng.random() < 0.3), **c),
        lambda **c: o.AdamW(rate, weight_decay=0.01, **c),
        lambda **c: o.Nadam(rate, **c),
        lambda **c: o.Adamax(rate, **c),
        lambda **c: o.SGD(rate, momentum=0.9, nesterov=bool(rng.random() < 0.5), **c),
        lambda **c: o.Adagrad(rate, **c),
        lambda **c: o.Adadelta(rate, **c),
        lambda **c: o.Lion(rate, **c),
    ]
    common = [{}, {}, {}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}]
    return kinds[rng.integers(len(kinds))](**common[rng.integers(len(common))])


def train(index, k, model, given, folder, tally, rng):
    """Five steps of four rows, the weights after them, and the loss of a validation."""
    y = (given.sum(axis=1) % 2).astype(np.float32)
    y[:2] = [0, 1]
    rows = min(20, len(given) - 4)
    x, y, x_val, y_val = given[:rows], y[:rows], given[rows:], y[rows:]
    before, answers = model.get_weights(), []
    start, run, out = folder / f"{index}_start.keras", folder / f"{index}_run", folder / f"{index}_run.keras"
    how = optimizer(k, rng)
    config = k.optimizers.serialize(how)
    for noise in (0.0, 1e-7):
        # The same once more from weights that differ in the last digit: how far Keras's own answer is defined. Where a
        # gradient is 0 but for rounding (a bias before a BatchNormalization), many an optimiser makes a step of it all
        # the same.
        model.set_weights([w * (1 + noise * rng.standard_normal(w.shape)).astype(w.dtype) for w in before])
        model.compile(k.optimizers.deserialize(config), "binary_crossentropy")
        try:
            if noise == 0.0:
                model.save(start)
            history = model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0, validation_data=(x_val, y_val)).history
        except Exception:
            tally.counts["train: Keras cannot train it"] += 1
            return
        answers.append(({key: history[key][0] for key in ("loss", "val_loss")}, model.get_weights()))

    def differ(a, b):
        losses = max(abs(a[0][key] - b[0][key]) / max(abs(b[0][key]), 1e-3) for key in ("loss", "val_loss"))
        weights = max(float(np.abs(one - other).max()) for one, other in zip(a[1], b[1]) if one.size)
        return max(losses, weights)

    data = folder / f"{index}_data.npz"
    np.savez(data, x=x, y=y, x_val=x_val, y_val=y_val)
    code, message = program("train", start, "--data", data, "--no-shuffle", "--epochs", 1, "--batch-size", 4, "--out", run)
    if code == 0:
        code, message = program("convert", run, out)
    if code != 0:
        tally.refuse("train", message)
        return
    history = (run / "history.csv").read_text().splitlines()
    found = dict(zip(history[0].split(","), map(float, history[1].split(","))))
    again = k.models.load_model(out, compile=False)
    spread = differ(answers[1], answers[0])
    error = differ((found, again.get_weights()), answers[0])
    name = type(how).__name__
    tally.take("train", index, f"({name}, Keras's spread {spread:.1e})", error, max(1e-4, 20 * spread), model)
    tally.counts[f"trained with {name}"] += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first model")
    parser.add_argument("--keras", choices=["keras", "tf_keras"], default="keras")
    parser.add_argument("--keep", type=pathlib.Path, help="where the files of models that differ stay")
    args = parser.parse_args()
    import keras as keras3

    k = keras3 if args.keras == "keras" else __import__("tf_keras")
    tally = Tally()
    for index in range(args.first, args.first + args.count):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            before = len(tally.wrong)
            check(index, k, args.seed, folder, tally, keras3)
            if args.keep and len(tally.wrong) > before:
                args.keep.mkdir(parents=True, exist_ok=True)
                for path in folder.iterdir():
                    if path.is_file():
                        (args.keep / f"{index}_{path.name}").write_bytes(path.read_bytes())
        for line in tally.wrong[before:]:
            print(line, flush=True)
    print(json.dumps(tally.counts, indent=1))
    print("refused:")
    for message, count in tally.refusals.most_common():
        print(f"{count:5}  {message}")
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
