"""Models that Keras trained a little, with frozen layers, regularisers and constraints: tests/fixtures/trained_*.

    python scripts/keras_trained.py

Each is a .keras before, one after, and what went between: ids, labels, the history of `fit`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
L, R, C = keras.layers, keras.regularizers, keras.constraints
TIME, WORDS, BATCH, RATE = 7, 12, 8, 0.01


def ids():
    return keras.Input((TIME,), dtype="int32")


def frozen():
    x = ids()
    inside = keras.Input((TIME, 4))
    normed = L.BatchNormalization(name="normed")(L.Dense(4, name="inner", kernel_regularizer="l2")(inside))
    within = keras.Model(inside, normed, name="within")
    y = L.Embedding(WORDS, 4, trainable=False, embeddings_regularizer="l2", name="words")(x)
    y = within(y)
    y = L.BatchNormalization(name="still", trainable=False)(y)
    y = L.TimeDistributed(L.Dense(3, trainable=False, name="each"), name="steps")(y)
    y = L.BatchNormalization(name="moving")(y)
    y = L.Bidirectional(L.LSTM(3), trainable=False, name="both")(y)
    y = L.Dense(3, activation="tanh", name="hidden")(y)
    model = keras.Model(x, L.Dense(1, activation="sigmoid", name="out")(y), name="frozen")
    within.trainable = False
    return model


def regularized():
    return keras.Sequential(
        [
            ids(),
            L.Embedding(WORDS, 4, embeddings_regularizer=R.L2(0.02), name="words"),
            L.Conv1D(4, 3, padding="same", kernel_regularizer=R.L1L2(0.01, 0.02), activity_regularizer="l2", name="conv"),
            L.ActivityRegularization(l1=0.02, l2=0.01, name="activity"),
            L.LSTM(
                4,
                return_sequences=True,
                kernel_regularizer=R.L1(0.01),
                recurrent_regularizer=R.OrthogonalRegularizer(0.1, mode="columns"),
                bias_regularizer=R.L2(0.05),
                activity_regularizer=R.L2(0.03),
                name="lstm",
            ),
            L.BatchNormalization(gamma_regularizer="l2", beta_regularizer="l1", name="norm"),
            L.Bidirectional(L.GRU(3, kernel_regularizer="l2", recurrent_regularizer="l1"), name="both"),
            L.Dense(3, kernel_regularizer=R.OrthogonalRegularizer(0.2), activation="tanh", name="hidden"),
            L.Dense(1, activation="sigmoid", activity_regularizer=R.L1(0.3), bias_regularizer="l2", name="out"),
        ],
        name="regularized",
    )


def activities():
    """Layers within layers whose outputs add to the loss."""
    return keras.Sequential(
        [
            ids(),
            L.Embedding(WORDS, 4, activity_regularizer="l2", name="words"),
            L.ActivityRegularization(l1=0.01, l2=0.1, name="activity"),
            L.Bidirectional(L.LSTM(3, return_sequences=True, activity_regularizer=R.L2(0.1)), name="both"),
            L.LSTM(3, activity_regularizer=R.L1(0.02), name="lstm"),
            L.Dense(1, activation="sigmoid", name="out"),
        ],
        name="activities",
    )


def constrained():
    return keras.Sequential(
        [
            ids(),
            L.Embedding(WORDS, 4, embeddings_constraint=C.MaxNorm(0.05, axis=1), name="words"),
            L.Conv1D(4, 3, kernel_constraint=C.MaxNorm(0.9, axis=[0, 1]), bias_constraint="non_neg", name="conv"),
            L.LSTM(4, return_sequences=True, kernel_constraint="unit_norm", recurrent_constraint="non_neg", name="lstm"),
            L.GRU(3, kernel_constraint=C.MinMaxNorm(0.2, 0.6, rate=0.5, axis=0), name="gru"),
            L.Dense(1, activation="sigmoid", kernel_constraint=C.UnitNorm(axis=0), name="out"),
        ],
        name="constrained",
    )


def cells():
    rules = {"kernel_regularizer": "l2", "recurrent_constraint": C.MaxNorm(0.7)}
    return keras.Sequential(
        [
            ids(),
            L.Embedding(WORDS, 4, name="words"),
            L.RNN([L.LSTMCell(3, **rules), L.LSTMCell(2, **rules)], return_sequences=True, name="stack"),
            L.RNN(L.GRUCell(3, trainable=False), name="still"),
            L.Dense(1, activation="sigmoid", name="out"),
        ],
        name="cells",
    )


def edges():
    """Penalties of zeros, of what an activation with parameters gives, and of a layer in a TimeDistributed, which has none."""
    each = L.Dense(3, activity_regularizer="l2", kernel_regularizer=R.OrthogonalRegularizer(0.1), name="each")
    return keras.Sequential(
        [
            ids(),
            L.Embedding(WORDS, 4, embeddings_constraint="non_neg", embeddings_regularizer="l1", name="words"),
            L.TimeDistributed(each, name="steps"),
            L.LSTM(3, bias_regularizer=R.L1(0.05), name="lstm"),
            L.Dense(3, activation=L.LeakyReLU(0.5), activity_regularizer=R.L2(0.3), bias_regularizer="l1", name="hidden"),
            L.Dense(1, activation="sigmoid", name="out"),
        ],
        name="edges",
    )


def main():
    for index, make in enumerate([frozen, regularized, activities, constrained, cells, edges]):
        keras.utils.clear_session()
        keras.utils.set_random_seed(7 + index)
        model = make()
        rng = np.random.default_rng(index)
        for variable in model.variables:
            # Away from zeros and ones, so that every rule has something to do.
            if make is not edges and variable.name in ("bias", "beta", "moving_mean"):
                variable.assign(0.3 * rng.standard_normal(variable.shape))
        name = f"trained_{make.__name__}"
        model.save(OUT / f"{name}.keras")
        x = rng.integers(0, WORDS, (40, TIME)).astype(np.int32)
        y = (x.sum(axis=1) > WORDS * TIME / 2).astype(np.float32)
        model.compile(keras.optimizers.RMSprop(RATE), "binary_crossentropy", metrics=["accuracy"])
        fitted = model.fit(
            x[:24], y[:24], batch_size=BATCH, epochs=3, shuffle=False, verbose=0,
            validation_data=(x[24:], y[24:]), validation_batch_size=16,
        )  # fmt: skip
        history = {key: np.array(fitted.history[key]) for key in ("loss", "val_loss")}
        model.save(OUT / f"{name}.after.keras", include_optimizer=False)
        np.savez(OUT / f"{name}.golden.npz", x=x.astype(np.uint32), y=y, **history)
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        print(name, history, "trainable", trainable)


if __name__ == "__main__":
    main()
