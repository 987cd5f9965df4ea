"""Keras's part of bench_peers.py: does the jobs that come as JSON lines on standard input, one answer a line."""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import keras
import numpy as np
import tensorflow as tf
from worker import Worker, serve

BATCH = 64


def from_json(layer):
    config = {key: from_json(value) if key == "layer" else value for key, value in layer["config"].items()}
    return getattr(keras.layers, layer["class_name"])(**config)


class Clock(keras.callbacks.Callback):
    """The time of the epoch itself, without what `fit` prepares before it."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


class Keras(Worker):
    def __init__(self, folder, threads):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        super().__init__(folder, threads)
        self.ids = {part: self.data[f"{part}.ids"].astype(np.int32) for part in ("train", "validation", "test")}
        self.labels = {part: self.data[f"{part}.labels"].astype(np.float32)
                       for part in ("train", "validation", "test")}

    def versions(self):
        return {"version": f"Keras {keras.__version__} on TensorFlow {tf.__version__}"}

    def model(self, name, weights):
        spec = self.specs[name]
        kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple_rnn": keras.layers.SimpleRNN}
        layers = [keras.layers.Input((100,), dtype="int32"), keras.layers.Embedding(500, 16, name="embedding")]
        for at, (kind, layer) in enumerate(spec["layers"]):
            last = at == len(spec["layers"]) - 1
            layers.append(kinds[kind](spec["units"], dropout=spec["dropout"], return_sequences=not last, name=layer))
        model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid", name="dense")])
        for layer in model.layers:
            layer.set_weights([weights[f"{layer.name}.{variable.name}"] for variable in layer.weights])
        model.compile(keras.optimizers.RMSprop(1e-4), "binary_crossentropy", metrics=["accuracy"])
        return model

    def mixed(self, name, layers):
        made = [keras.layers.Input((100,), dtype="int32"), keras.layers.Embedding(500, 32)]
        made += [from_json(layer) for layer in layers]
        model = keras.Sequential([*made, keras.layers.Dense(1, activation="sigmoid")])
        model.compile(keras.optimizers.RMSprop(1e-4), "binary_crossentropy")
        return model

    def build(self, name):
        return self.model(name, self.weights(name))

    def fit(self, model, rows, validation):
        clock, part = Clock(), "train"
        data = (self.ids["validation"], self.labels["validation"]) if validation else None
        history = model.fit(self.ids[part][:rows], self.labels[part][:rows], batch_size=BATCH, epochs=1, shuffle=False,
                            validation_data=data, verbose=0, callbacks=[clock]).history
        return clock.seconds, history["loss"][0]

    def train(self, model, batches):
        rows = min(len(self.ids["train"]), batches * BATCH) if batches else len(self.ids["train"])
        return self.fit(model, rows, False)

    def fit_epoch(self, model):
        """An epoch with its validation, as a whole training has them."""
        built = self.build(model)
        self.fit(built, BATCH * 4, True)
        seconds, loss = self.fit(built, len(self.ids["train"]), True)
        return {"seconds": seconds, "loss": loss}

    def chapter(self, model, epochs):
        """A whole training: the best checkpoint kept, stopped after three epochs without a better one."""
        built, path = self.build(model), str(self.folder / f"best-{model}.keras")
        callbacks = [keras.callbacks.ModelCheckpoint(path, save_best_only=True),
                     keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)]
        start = time.perf_counter()
        history = built.fit(self.ids["train"], self.labels["train"], batch_size=BATCH, epochs=epochs, verbose=0,
                            validation_data=(self.ids["validation"], self.labels["validation"]), shuffle=False,
                            callbacks=callbacks).history["val_loss"]
        built.evaluate(self.ids["test"], self.labels["test"], verbose=0)
        return {"seconds": time.perf_counter() - start, "epochs": len(history), "val_loss": min(history)}

    def validate(self, model):
        return model.evaluate(self.ids["validation"], self.labels["validation"], batch_size=1000, verbose=0)

    def evaluate(self, batch, threads):
        model = self.model("lstm", self.weights("zoo"))
        model.evaluate(self.ids["validation"], self.labels["validation"], batch_size=batch, verbose=0)
        start = time.perf_counter()
        loss, accuracy = model.evaluate(self.ids["test"], self.labels["test"], batch_size=batch, verbose=0)
        return {"seconds": time.perf_counter() - start, "loss": loss, "accuracy": accuracy}

    def save(self, path):
        """The shipped weights as a .keras file, for the row that loads one."""
        self.model("lstm", self.weights("zoo")).save(path)
        return {}

    def read(self, path):
        """`imdb.load_data`, scikit-learn's split and `pad_sequences`, on a file that lies on this disk."""
        from keras.src.datasets import imdb
        from sklearn.model_selection import train_test_split

        imdb.get_file = lambda *arguments, **options: path
        start = time.perf_counter()
        (x, y), (test, _) = imdb.load_data(num_words=500)
        x, validation, y, _ = train_test_split(x, y, test_size=0.2, random_state=42)
        arrays = [keras.utils.pad_sequences(rows, maxlen=100) for rows in (x, validation, test)]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "sum": int(sum(int(array.sum()) for array in arrays))}


if __name__ == "__main__":
    serve(Keras)
