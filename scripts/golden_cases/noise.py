"""Layers of noise: Keras computes with what the crate's own generator draws, once its own draws were seen to have that shape
and those values."""

import contextlib
from unittest import mock

import numpy as np
import tensorflow as tf
from keras.src import backend, ops

from .recurrent import Stream

# The seed of a training pass in `tests/golden/`.
SEED = 1


@contextlib.contextmanager
def own_noise(layer):
    """Within it Keras draws as the crate does for a layer of this name."""

    def numbers(draw, shape, dtype):
        stream = Stream(SEED, layer)
        values = [draw(stream) for _ in range(int(np.prod(shape)))]
        return tf.constant(np.array(values, np.float32).reshape(shape), dtype)

    keras_dropout = backend.random.dropout

    def dropout(inputs, rate, noise_shape=None, seed=None):
        shape = [n or inputs.shape[i] for i, n in enumerate(noise_shape or inputs.shape)]
        # Keras's own factors: two values, and one along each axis of 1.
        factors = keras_dropout(tf.ones_like(inputs), rate, noise_shape, seed).numpy()
        full = [1] * (factors.ndim - len(shape)) + shape
        first = factors[tuple(slice(0, 1) if n == 1 else slice(None) for n in full)]
        assert np.array_equal(np.broadcast_to(first, factors.shape), factors), (layer, shape)
        assert all(np.isclose(value, 0) or np.isclose(value, 1 / (1 - rate)) for value in np.unique(factors)), layer
        mask = numbers(lambda stream: 0.0 if stream.uniform() < rate else 1 / (1 - rate), shape, inputs.dtype)
        return inputs * mask

    def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        return numbers(lambda stream: mean + stddev * stream.normal(), shape, dtype)

    def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        # In double precision, as the crate compares them.
        stream = Stream(SEED, layer)
        return np.array([stream.uniform() for _ in range(int(np.prod(shape)))]).reshape(shape)

    with (
        mock.patch.object(backend.random, "dropout", dropout),
        mock.patch.object(backend.random, "normal", normal),
        mock.patch.object(ops.random, "uniform", uniform),
    ):
        yield
