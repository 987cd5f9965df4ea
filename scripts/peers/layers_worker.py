"""The part of PyTorch or of Keras in bench_layers.py: `layers_worker.py torch|keras FOLDER THREADS`, jobs as JSON lines."""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import numpy as np
from layers import CASES
from worker import serve


def timed(call, seconds, least=3):
    """The median of calls that take so many seconds together, and at least a few of them."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end and len(times) < 2000:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Peer:
    """Layers of one framework; the last one built is kept."""

    def __init__(self):
        self.cases = {case.name: case for case in CASES}
        self.key, self.call = None, None

    def inputs(self, case, batch):
        random = np.random.default_rng(0)
        if case.ids:
            return [random.integers(0, 500, (batch, *shape)).astype(np.int32) for shape in case.inputs]
        return [random.standard_normal((batch, *shape), dtype=np.float32) for shape in case.inputs]

    def answer(self, job):
        if job["op"] == "versions":
            return {"version": self.version()}
        key = (job["name"], job["batch"], job["training"])
        if key != self.key:
            self.key, self.call = None, None
            self.call = self.build(self.cases[job["name"]], job["batch"], job["training"])
            self.key = key
        return {"seconds": timed(self.call, job["seconds"]) if self.call else None}


class Torch(Peer):
    def __init__(self, _, threads):
        import torch

        super().__init__()
        self.torch = torch
        torch.set_num_threads(threads)

    def version(self):
        return f"PyTorch {self.torch.__version__}"

    def build(self, case, batch, training):
        if case.torch is None:
            return None
        torch, module = self.torch, case.torch(self.torch)
        xs = [torch.from_numpy(x) for x in self.inputs(case, batch)]
        xs = [x.movedim(-1, 1).contiguous() for x in xs] if case.first else xs
        if not training:
            module.eval()

            def infer():
                with torch.inference_mode():
                    module(*xs)
            return infer
        xs = [x if case.ids else x.requires_grad_() for x in xs]
        wanted = [value for value in (*xs, *module.parameters()) if value.requires_grad]

        def train():
            torch.autograd.grad(module(*xs).square().sum(), wanted)
        return train


class Keras(Peer):
    def __init__(self, _, threads):
        import keras
        import tensorflow as tf

        super().__init__()
        self.keras, self.tf = keras, tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    def version(self):
        return f"Keras {self.keras.__version__} on TensorFlow {self.tf.__version__}"

    def layer(self, class_name, config):
        config = {key: self.layer(value["class_name"], value["config"]) if key == "layer" else value
                  for key, value in config.items()}
        return getattr(self.keras.layers, class_name)(**config)

    def build(self, case, batch, training):
        tf, job = self.tf, case.job()
        layer = self.layer(job["class_name"], job["config"])
        xs = [tf.constant(x) for x in self.inputs(case, batch)]
        # Steps after the first three quarters are masked.
        masks = [tf.constant(np.arange(x.shape[1])[None].repeat(batch, 0) < x.shape[1] * 3 // 4) for x in xs]

        def call(xs, **options):
            if case.masked:
                options["mask"] = masks[0] if len(xs) == 1 else masks
            if job["class_name"] == "MultiHeadAttention":
                options.pop("mask", None)
                options |= {"query_mask": masks[0], "value_mask": masks[1]} if case.masked else {}
                return layer(xs[0], xs[1], **options)
            return layer(xs[0] if len(xs) == 1 else list(xs), **options)

        takes = "training" in layer._call_signature.parameters
        mode = {"training": training} if takes else {}
        call(xs, **mode)

        @tf.function
        def infer(*xs):
            return call(xs, **mode)

        @tf.function
        def train(*xs):
            variables = layer.trainable_variables
            with tf.GradientTape() as tape:
                if not case.ids:
                    tape.watch(xs)
                loss = tf.reduce_sum(tf.square(call(xs, **mode)))
            wanted = [*([] if case.ids else xs), *(variable.value for variable in variables)]
            return loss, tape.gradient(loss, wanted)
        run = train if training else infer
        return lambda: run(*xs)


if __name__ == "__main__":
    kind = {"torch": Torch, "keras": Keras}[sys.argv.pop(1)]
    serve(kind)
