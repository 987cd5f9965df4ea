"""Small files of every kind that Keras writes, with its answers: tests/fixtures.

    python scripts/keras_fixtures.py           # needs keras 3.15 and tensorflow; also tf_keras 2.21 for the old forms
    python scripts/keras_fixtures.py k33       # with keras 3.3: merging layers joined no masks

For each model NAME it writes NAME.golden.npz (x0, x1, … and y0, y1, …) and the same model as NAME.keras, NAME.h5 and
NAME.weights.h5 with NAME.json, or some of these. Names say who wrote them: k3_ is Keras 3, k2_ tf_keras 2 (the last
Keras 2), old_ a file of tf_keras rewritten into the form that an older Keras gave it (Keras 1 and early Keras 2 do not
run any more; their forms follow their sources and real files).

Weights and inputs come from NumPy's seeded generator, so the numbers are the same each time.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def fill(model, rng):
    """Weights that make every mistake show: no zeros, no symmetry, variances positive."""
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)
        shape = tuple(weight.shape)
        values = rng.uniform(-0.6, 0.6, shape)
        if "variance" in name:
            values = np.abs(values) + 0.5
        weight.assign(values.astype("float32"))


def features(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def ids(rng, *shape):
    return rng.integers(1, 12, size=shape).astype("int32")


def padded(x):
    x = np.array(x)
    for row in range(len(x)):
        x[row, x.shape[1] - row - 1 :] = 0
    return x


# Each model is a function of the library (keras or tf_keras) that gives the model and its inputs.


def text(k, rng):
    L = k.layers
    model = k.Sequential(
        [
            k.Input((7,), dtype="int32"),
            L.Embedding(12, 3, mask_zero=True),
            L.SpatialDropout1D(0.2),
            L.LSTM(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
            L.GRU(3, return_sequences=True),
            L.SimpleRNN(3, activation="relu"),
            L.Dropout(0.5),
            L.Dense(2, activation="softmax"),
        ]
    )
    return model, [padded(ids(rng, 3, 7))]


def recurrent(k, rng):
    L = k.layers
    x = k.Input((5, 3))
    y = L.LSTM(2, return_sequences=True, activation="relu", recurrent_activation="hard_sigmoid")(x)
    y = L.GRU(3, return_sequences=True, reset_after=False, recurrent_activation="hard_sigmoid")(y)
    y = L.GRU(2, return_sequences=True, use_bias=False)(y)
    y = L.SimpleRNN(3, return_sequences=True, go_backwards=True)(y)
    y = L.LSTM(2, activation="softsign", unit_forget_bias=False)(y)
    return k.Model(x, L.Dense(1)(y)), [features(rng, 2, 5, 3)]


def bidirectional(k, rng):
    L = k.layers
    x = k.Input((5, 3))
    m = L.Masking()(x)
    y = L.Bidirectional(L.LSTM(2, return_sequences=True))(m)
    y = L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum")(y)
    y = L.Bidirectional(L.SimpleRNN(3, return_sequences=True), merge_mode="mul")(y)
    a = L.Bidirectional(
        L.LSTM(2), merge_mode="ave", backward_layer=L.GRU(2, go_backwards=True, activation="elu")
    )(y)
    b, c = L.Bidirectional(L.GRU(2), merge_mode=None)(y)
    return k.Model(x, [a, b, c]), [padded(features(rng, 3, 5, 3))]


def encoder_decoder(k, rng):
    L = k.layers
    source = k.Input((6,), name="source", dtype="int32")
    target = k.Input((4,), name="target", dtype="int32")
    s = L.Embedding(12, 3, mask_zero=True, name="source_words")(source)
    t = L.Embedding(12, 3, name="target_words")(target)
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(s)
    y = L.LSTM(3, return_sequences=True, name="decoder")(t, initial_state=[h, c])
    _, g = L.GRU(2, return_state=True, name="second")(s)
    z = L.GRU(2, name="third")(t, initial_state=g)
    y = L.TimeDistributed(L.Dense(5, activation="softmax"), name="words")(y)
    return k.Model([source, target], [y, z]), [padded(ids(rng, 3, 6)), ids(rng, 3, 4)]


def masked_states(k, rng):
    """Both sides masked: Keras 2 heeds the target's mask beside initial states, Keras 3 does not."""
    L = k.layers
    source = k.Input((6,), name="source", dtype="int32")
    target = k.Input((5,), name="target", dtype="int32")
    s = L.Embedding(12, 3, mask_zero=True, name="source_words")(source)
    t = L.Embedding(12, 3, mask_zero=True, name="target_words")(target)
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(s)
    y = L.LSTM(3, return_sequences=True, name="decoder")(t, initial_state=[h, c])
    xs = [padded(ids(rng, 3, 6)), ids(rng, 3, 5)]
    xs[1][:, 3:] = 0
    return k.Model([source, target], L.Dense(4, name="out")(y)), xs


def merged_masks(k, rng):
    """Masks that merging layers join, by Keras 2's rule, by that of Keras 3.4 and later, and in between not at all; and
    what a product makes of masked steps."""
    L = k.layers
    a, b = k.Input((6,), name="a", dtype="int32"), k.Input((6,), name="b", dtype="int32")
    c = k.Input((6, 3), name="c")
    p = L.Embedding(12, 3, mask_zero=True, name="a_words")(a)
    q = L.Embedding(12, 3, mask_zero=True, name="b_words")(b)
    m, n = L.Masking(name="steps")(c), L.Embedding(12, 3, name="unmasked")(b)
    joined = {
        "add": L.Add()([p, q, m]),
        "subtract": L.Subtract()([p, m]),
        "multiply": L.Multiply()([p, q]),
        "multiply_one": L.Multiply()([n, p]),
        "average": L.Average()([p, q]),
        "maximum": L.Maximum()([p, q, m]),
        "minimum": L.Minimum()([p, n]),
        "concatenate": L.Concatenate()([p, L.Dense(2, name="dense")(m)]),
        "concatenate_one": L.Concatenate()([p, n]),
        "after": L.Concatenate(axis=1)([p, L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum")(q)]),
        "same": L.Add()([m, L.TimeDistributed(L.Dense(3), name="steps_dense")(m)]),
    }
    ys = [L.LSTM(2, name=f"{name}_lstm")(y) for name, y in joined.items()]
    ys.append(L.GlobalAveragePooling1D()(joined["concatenate"]))
    ys.append(joined["multiply"])
    xs = [padded(ids(rng, 4, 6)), ids(rng, 4, 6), features(rng, 4, 6, 3)]
    xs[1][:, 4:] = 0
    xs[1][1, 1] = 0
    xs[2][:, 0] = 0
    xs[2][2, 2:] = 0
    return k.Model([a, b, c], ys), xs


def nested(k, rng):
    L = k.layers
    inner = k.Sequential([k.Input((5, 3)), L.Dense(4, activation="tanh"), L.BatchNormalization()], name="inner")
    a = k.Input((5, 4))
    b = L.Bidirectional(L.LSTM(2))(a)
    tower = k.Model(a, [b, L.GlobalMaxPooling1D()(a)], name="tower")
    x, z = k.Input((5, 3), name="x"), k.Input((5, 3), name="z")
    p, q = tower(inner(x))
    r, s = tower(inner(z))
    shared = L.Dense(2, name="shared")
    y = L.Concatenate()([shared(p), shared(r), q, s])
    tail = k.Sequential([k.Input((12,)), L.Dense(3), L.BatchNormalization(), L.Dense(1)], name="tail")
    tail.layers[1].trainable = False
    return k.Model([x, z], tail(y)), [features(rng, 2, 5, 3), features(rng, 2, 5, 3)]


def cells(k, rng):
    L = k.layers
    x = k.Input((5, 3))
    y = L.RNN([L.LSTMCell(2), L.GRUCell(3), L.LSTMCell(3)], return_sequences=True)(x)
    y = L.Bidirectional(L.RNN(L.GRUCell(2, reset_after=False), return_sequences=True))(y)
    y = L.RNN(L.SimpleRNNCell(2, activation="sigmoid"))(y)
    return k.Model(x, y), [features(rng, 2, 5, 3)]


def sequence(k, rng):
    L = k.layers
    x = k.Input((12, 3))
    y = L.Conv1D(4, 3, padding="causal", activation="relu")(x)
    y = L.BatchNormalization()(y)
    y = L.Conv1D(4, 2, padding="same", strides=2)(y)
    y = L.LeakyReLU(0.2)(y)
    y = L.AveragePooling1D(2, strides=1, padding="same")(y)
    y = L.Conv1D(3, 2, dilation_rate=2)(y)
    y = L.PReLU(shared_axes=[1])(y)
    y = L.LayerNormalization()(y)
    y = L.GaussianNoise(0.1)(y)
    y = L.MaxPooling1D(2)(y)
    y = L.ELU(0.7)(y)
    y = L.Permute((2, 1))(y)
    y = L.Reshape((-1, 3))(y)
    y = L.Flatten()(y)
    y = L.RepeatVector(3)(y)
    y = L.TimeDistributed(L.Dense(4))(y)
    y = L.Softmax(axis=1)(y)
    y = L.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.2)(y)
    y = L.Activation("swish")(y)
    return k.Model(x, L.GRU(2)(y)), [features(rng, 2, 12, 3)]


def branches(k, rng):
    L = k.layers
    a, b = k.Input((4, 3), name="a"), k.Input((4, 3), name="b")
    u, v = L.LSTM(3, return_sequences=True)(a), L.GRU(3, return_sequences=True)(b)
    scores = L.Activation("softmax")(L.Dot(axes=2)([u, v]))
    context = L.Dot(axes=[2, 1])([scores, v])
    y = L.Concatenate()([context, u])
    w = L.Multiply()([L.Add()([u, v]), L.Average()([u, v])])
    w = L.Subtract()([w, L.Maximum()([u, v])])
    y = L.Concatenate(axis=1)([L.GlobalAveragePooling1D()(y), L.GlobalMaxPooling1D()(w)])
    return k.Model([a, b], L.Dense(1, activation="sigmoid")(y)), [features(rng, 2, 4, 3), features(rng, 2, 4, 3)]


def pictures(k, rng):
    L = k.layers
    x = k.Input((3, 8, 8, 1))
    y = L.TimeDistributed(L.Conv2D(2, (3, 3), padding="same", activation="relu"))(x)
    y = L.TimeDistributed(L.MaxPooling2D())(y)
    y = L.ConvLSTM2D(2, (2, 2), return_sequences=True, padding="same")(y)
    y = L.MaxPooling3D((1, 2, 2))(y)
    y = L.BatchNormalization()(y)
    y = L.TimeDistributed(L.Flatten())(y)
    return k.Model(x, L.LSTM(2)(y)), [features(rng, 2, 3, 8, 8, 1)]


def half(k, rng):
    L = k.layers
    model = k.Sequential([k.Input((4, 3)), L.LSTM(3, dtype="float64"), L.Dense(2, dtype="float16")])
    return model, [features(rng, 2, 4, 3)]


def attention(k, rng):
    L = k.layers
    words, query = k.Input((6,)), k.Input((4, 5))
    value = L.Embedding(12, 5, mask_zero=True)(words)
    value = L.GRU(5, return_sequences=True)(value)
    ys = [
        L.Attention()([query, value]),
        L.Attention(use_scale=True, dropout=0.3)([query, value, L.Dense(5)(value)]),
        *L.Attention(score_mode="concat", use_scale=True)([value, query], return_attention_scores=True),
        L.Attention()([query, query], use_causal_mask=True),
    ]
    ys.append(L.LSTM(2)(ys[0]))
    return k.Model([words, query], ys), [padded(ids(rng, 3, 6)), features(rng, 3, 4, 5)]


def stateful(k, rng):
    L = k.layers
    x = k.Input((5, 3), batch_size=2)
    y = L.LSTM(3, stateful=True, return_sequences=True)(x)
    y = L.Bidirectional(L.GRU(2, stateful=True))(y)
    return k.Model(x, y), [features(rng, 2, 5, 3)]


def not_numbers(k, rng):
    """Nothing equals NaN, so that it masks nothing; the infinite ones do."""
    L = k.layers
    inputs = [k.Input((5, 3), name=name) for name in ["nan", "inf", "minus_inf"]]
    values = [np.nan, np.inf, -np.inf]
    ys = [L.LSTM(2)(L.Masking(value)(x)) for value, x in zip(values, inputs)]
    xs = [features(rng, 3, 5, 3) for _ in inputs]
    for x, value in zip(xs, [0, np.inf, -np.inf]):
        x[0, 1:3] = x[1, 3:] = value
    return k.Model(inputs, ys), xs


def noises(k, rng):
    """The layers of noise, and the normalisations beside the two of `sequence`."""
    L = k.layers
    x = k.Input((4, 6))
    y = L.Dropout(0.3, noise_shape=(None, 1, 6))(x)
    y = L.GaussianDropout(0.2, seed=3)(y)
    y = L.AlphaDropout(0.1)(y)
    y = L.GroupNormalization(groups=3, epsilon=0.02)(y)
    y = L.SpatialDropout2D(0.2)(L.Reshape((4, 3, 2))(y))
    y = L.GroupNormalization(groups=-1, center=False)(y)
    y = L.SpatialDropout3D(0.2)(L.Reshape((2, 2, 3, 2))(y))
    y = L.GroupNormalization(groups=2, axis=1, scale=False)(y)
    y = L.UnitNormalization(axis=[1, 2])(L.Reshape((4, 6))(y))
    return k.Model(x, [L.LSTM(2)(y), L.UnitNormalization()(y)]), [features(rng, 3, 4, 6)]


def separable(k, rng):
    """Depthwise, separable and transposed convolutions, and a bilinear UpSampling2D."""
    L = k.layers
    x = k.Input((8, 3))
    # Two of a class, so that their order shows.
    y = L.SeparableConv1D(4, 3, padding="same", depth_multiplier=2, activation="hard_sigmoid")(x)
    y = L.SeparableConv1D(3, 2, dilation_rate=2, use_bias=False)(y)
    y = L.DepthwiseConv1D(2, strides=2, padding="same", depth_multiplier=2, activation="hard_sigmoid")(y)
    y = L.Conv1DTranspose(3, 4, strides=2, output_padding=1, activation="hard_sigmoid")(y)
    a = L.GRU(2)(L.Conv1DTranspose(2, 3, padding="same", use_bias=False)(y))
    p = k.Input((3, 4, 2))
    q = L.UpSampling2D((2, 3), interpolation="bilinear")(p)
    q = L.SeparableConv2D(3, (2, 3), strides=2, padding="same", activation=L.LeakyReLU())(q)
    q = L.DepthwiseConv2D((2, 2), depth_multiplier=2, padding="same")(q)
    q = L.Conv2DTranspose(2, (3, 2), strides=(2, 2), padding="same", activation="relu")(q)
    r = L.Conv3DTranspose(2, (2, 1, 3), strides=(1, 2, 1))(L.Reshape((6, 4, 3, 2))(q))
    return k.Model([x, p], [a, q, r]), [features(rng, 2, 8, 3), features(rng, 2, 3, 4, 2)]


def einsum(k, rng):
    L = k.layers
    x = k.Input((4, 6))
    y = L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de", activation="tanh")(x)
    y = L.EinsumDense("abcd,cde->abe", output_shape=(None, 5))(y)
    y = L.EinsumDense("...x,xy->...y", output_shape=3, bias_axes="y", activation="hard_sigmoid")(y)
    return k.Model(x, L.LSTM(2)(y)), [features(rng, 3, 4, 6)]


def heads(k, rng):
    """Attention of several heads, by position and by name, with masks; Keras 3 takes masks away as it runs."""
    L = k.layers
    words, query = k.Input((6,), dtype="int32"), k.Input((4, 5))
    value = L.Embedding(12, 5, mask_zero=True)(words)
    steps = L.Masking()(query)
    keys = L.Dense(3)(value)
    first = L.MultiHeadAttention(2, 3)(value, value)
    ys = [
        first,
        L.MultiHeadAttention(2, 3, value_dim=4, dropout=0.3)(query=steps, key=keys, value=value),
        L.MultiHeadAttention(1, 4, use_bias=False, output_shape=3)(query, query, use_causal_mask=True),
        *L.MultiHeadAttention(3, 2)(query, value, return_attention_scores=True),
        L.AdditiveAttention(dropout=0.2)([steps, value]),
        *L.AdditiveAttention(use_scale=False)([value, value, first], return_attention_scores=True, use_causal_mask=True),
    ]
    if k.__name__ == "keras":
        ys.append(L.MultiHeadAttention(2, 3, use_gate=True, sliding_window=3)(query, query))
        ys.append(L.GroupQueryAttention(3, 4, 2, use_gate=True)(query=steps, value=value))
    else:
        ys.append(L.MultiHeadAttention(2, 3, softmax_robust_masking=True)(value, steps))
    block = L.LayerNormalization()(L.Add()([value, first]))
    block = L.Add()([block, L.MultiHeadAttention(2, 3)(block, block)])
    ys.append(L.GlobalAveragePooling1D()(L.LSTM(3, return_sequences=True)(block)))
    return k.Model([words, query], ys), [padded(ids(rng, 3, 6)), padded(features(rng, 3, 4, 5))]


def bias_axes(k, rng):
    """Biases along an axis that is as long as the last or the second: Keras 3 on TensorFlow adds them along that one."""
    L = k.layers
    x, z = k.Input((3, 4)), k.Input((3, 3))
    constant = np.arange(3, dtype="float32").reshape(3, 1)
    ys = [
        L.MultiHeadAttention(3, 1, name="heads")(x, x),
        L.EinsumDense("abc,cd->abd", output_shape=(3, 3), bias_axes="b", name="einsum")(x),
        z + constant,
    ]
    return k.Model([x, z], ys), [features(rng, 2, 3, 4), features(rng, 2, 3, 3)]


def operators(k, rng):
    """What Python's operators between layers become, in either Keras."""
    L = k.layers
    x, z = k.Input((5, 4), name="x"), k.Input((5, 4), name="z")
    y = L.LSTM(4, return_sequences=True, name="lstm")(x)
    last = y[:, -1, :]
    parts = [last, y[:, :, 0] * 0.5 - 1, y[:, ::-2, 1:3][:, 0], -last / 2.0, 1.0 - last, abs(z)[:, 2], (y @ z[:, :4])[:, 1]]
    parts += [(y + z)[:, 0], (y * z)[:, 1], (y - z)[:, 2], (last + 3) ** 2, 2.0 / (last + 2.0), z[:, None, 3][:, 0]]
    y = L.Concatenate(name="joined")(parts)
    return k.Model([x, z], [L.Dense(2, name="out")(y), y > 0]), [features(rng, 3, 5, 4), features(rng, 3, 5, 4)]


def functions(k, rng):
    """Functions of keras.ops, or of TensorFlow, between layers: an attention with its mask made by hand among them."""
    L = k.layers
    words = k.Input((6,), dtype="int32", name="words")
    y = L.GRU(4, return_sequences=True, name="gru")(L.Embedding(12, 4, name="embedding")(words))
    scores = L.Dense(1, name="scores")(y)
    if k.__name__ == "keras":
        o = k.ops
        known = o.expand_dims(o.cast(o.not_equal(words, 0), "float32"), -1)
        weights = o.softmax(scores + (1.0 - known) * -1e9, axis=1)
        context = o.sum(y * weights, axis=1)
        others = [o.mean(y, axis=1), o.max(y, axis=1), o.std(y, axis=[1, 2], keepdims=True)[:, 0], o.reshape(y, (-1, 24)),
                  o.squeeze(o.transpose(scores, (0, 2, 1)), 1), o.exp(y)[..., 0], o.sqrt(o.square(y))[:, 1], o.tanh(y)[:, 2],
                  o.where(context > 0, context, 0.1 * context), o.clip(context, -0.1, 0.2), o.normalize(context, axis=-1),
                  o.einsum("bij,bkj->bik", y, y)[:, 0], o.flip(y, axis=1)[:, 0], o.stack([context, context], axis=1)[:, 1],
                  o.take(y, [2, 0], axis=1)[:, 1], o.cumsum(y, axis=1)[:, -1], o.one_hot(o.argmax(y, axis=-1)[:, 0], 4),
                  *o.split(context, 2, axis=-1), o.pad(context, ((0, 0), (1, 1))), o.norm(y, axis=2), o.stop_gradient(context),
                  o.relu(context), o.sigmoid(context), o.gelu(context), o.log(o.maximum(context, 0.01)), o.tile(context, (1, 2)),
                  o.repeat(context, 2, axis=1), o.roll(context, 1, axis=1), o.logsumexp(y, axis=1)]  # fmt: skip
    else:
        import tensorflow as tf

        K = k.backend
        known = tf.expand_dims(tf.cast(tf.not_equal(words, 0), tf.float32), -1)
        weights = tf.nn.softmax(scores + (1.0 - known) * -1e9, axis=1)
        context = K.sum(y * weights, axis=1)
        others = [tf.reduce_mean(y, axis=1), K.max(y, axis=1), tf.math.reduce_std(y, [1, 2], keepdims=True)[:, 0],
                  tf.reshape(y, (-1, 24)), K.squeeze(K.permute_dimensions(scores, (0, 2, 1)), 1), K.exp(y)[..., 0],
                  tf.sqrt(tf.square(y))[:, 1], tf.tanh(y)[:, 2], tf.where(context > 0, context, 0.1 * context),
                  K.clip(context, -0.1, 0.2), K.l2_normalize(context, axis=-1), tf.matmul(y, y, transpose_b=True)[:, 0],
                  tf.reverse(y, axis=[1])[:, 0], tf.stack([context, context], axis=1)[:, 1], tf.gather(y, [2, 0], axis=1)[:, 1],
                  tf.cumsum(y, axis=1)[:, -1], tf.one_hot(tf.argmax(y, axis=-1)[:, 0], 4), *tf.split(context, 2, axis=-1),
                  tf.pad(context, ((0, 0), (1, 1))), tf.norm(y, axis=2), tf.stop_gradient(context), tf.nn.relu(context),
                  K.sigmoid(context), tf.nn.gelu(context), tf.math.log(tf.maximum(context, 0.01)), tf.tile(context, (1, 2)),
                  K.repeat_elements(context, 2, axis=1), tf.roll(context, 1, axis=1), tf.reduce_logsumexp(y, axis=1),
                  *tf.split(context, [1, 3], axis=1), tf.concat([context, context], -1), K.batch_dot(y, y, axes=2)[:, 3],
                  tf.nn.leaky_relu(context, alpha=0.1), K.batch_flatten(y)]  # fmt: skip
    return k.Model(words, [L.Dense(3, name="out")(context), *others]), [padded(ids(rng, 3, 6))]


MODELS = [text, recurrent, bidirectional, encoder_decoder, nested, cells, sequence, branches, pictures, half, masked_states,
          merged_masks, attention, stateful, not_numbers, noises, separable,
          einsum, heads, operators, functions]


def answer(model, xs):
    ys = model(xs if len(xs) > 1 else xs[0], training=False)
    ys = ys if isinstance(ys, (list, tuple)) else [ys]
    return [np.asarray(y, "float32") for y in ys]


def save_golden(name, xs, ys):
    arrays = {f"x{i}": x for i, x in enumerate(xs)} | {f"y{i}": y for i, y in enumerate(ys)}
    np.savez_compressed(OUT / f"{name}.golden.npz", **arrays)


def write(library, prefix, models=MODELS):
    k = importlib.import_module(library)
    for number, build in enumerate(models):
        k.backend.clear_session()
        rng = np.random.default_rng(number)
        model, xs = build(k, rng)
        fill(model, rng)
        name = f"{prefix}_{build.__name__}"
        save_golden(name, xs, answer(model, xs))
        # Either form of the larger ones, to keep the folder small.
        large = build not in (text, encoder_decoder, nested, half, operators)
        if not (large and prefix == "k2") or build is heads:
            model.save(OUT / f"{name}.keras")
        # Keras 3 writes attention into a .h5, but opens it no more.
        if not (large and prefix.startswith("k3")) or build in (attention, heads) and prefix == "k3":
            model.save(OUT / f"{name}.h5")
        if build in (text, nested):
            model.save_weights(OUT / f"{name}.weights.h5")
            (OUT / f"{name}.json").write_text(model.to_json())
        print("wrote", name)


def write_types(k):
    """Weights of other types than float32. Keras computes with these types; what is right here is float32 with the
    numbers that the weights stand for."""
    for kind in ["bfloat16", "float16", "int8"]:
        k.backend.clear_session()
        rng = np.random.default_rng(200)
        layers = lambda dtype: [
            k.Input((6,), dtype="int32"),
            k.layers.Embedding(12, 4, dtype=dtype),
            k.layers.LSTM(3, return_sequences=True, recurrent_initializer="zeros", dtype=dtype),
            k.layers.TimeDistributed(k.layers.Dense(4, activation="relu", dtype=dtype), dtype=dtype),
            k.layers.GRU(3, recurrent_initializer="zeros", dtype=dtype),
            k.layers.Dense(2, use_bias=False, dtype=dtype),
        ]
        exact = k.Sequential(layers("float32"))
        model = k.Sequential(layers("float32" if kind == "int8" else kind))
        fill(model, rng)
        if kind == "int8":
            exact.set_weights(model.get_weights())
            model.quantize("int8")
            parts = lambda model: [model.layers[0], model.layers[2].layer, model.layers[-1]]
            for layer, float_layer in zip(parts(model), parts(exact)):
                rows = hasattr(layer, "embeddings_scale")
                whole = np.asarray(layer._embeddings if rows else layer._kernel, "float32")
                scale = np.asarray(layer.embeddings_scale if rows else layer.kernel_scale)
                kernel = float_layer.embeddings if rows else float_layer.kernel
                kernel.assign(whole / (scale[:, None] if rows else scale))
        else:
            exact.set_weights([np.asarray(weight, "float32") for weight in model.get_weights()])
        xs = [ids(rng, 3, 6)]
        save_golden(f"k3_{kind}", xs, answer(exact, xs))
        model.save(OUT / f"k3_{kind}.keras")
        print("wrote", kind)


# Older forms, rewritten from files of tf_keras.

DROPPED = ["dtype", "batch_input_shape", "time_major", "ragged", "registered_name", "module", "build_config"]


def old_sequential(layers, bare):
    """A Sequential's layers as before version 2.2.4: the first layer carries the input's shape."""
    shape = layers[0]["config"]["batch_input_shape"]
    out = []
    for layer in layers[1:]:
        config = {key: value for key, value in layer["config"].items() if key not in DROPPED}
        if not out:
            config["batch_input_shape"] = shape
            config["dtype"] = "float32"
        out.append({"class_name": layer["class_name"], "config": config})
    return out if bare else {"name": "sequential_1", "layers": out}


def rewrite(path, model, config, version, arrays):
    """A legacy file with another configuration and, by layer, other arrays."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_(version)
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
        group = file.create_group("model_weights")
        names = [layer.name for layer in model.layers]
        group.attrs["layer_names"] = np.array([name.encode() for name in names])
        for layer in model.layers:
            inner = group.create_group(layer.name)
            held = arrays(layer)
            inner.attrs["weight_names"] = np.array([f"{layer.name}/w{i}:0".encode() for i in range(len(held))])
            for i, array in enumerate(held):
                inner.create_dataset(f"{layer.name}/w{i}:0", data=array)


def gapped(k, rng):
    """Layers of one class again and again, with weights and without, alone, in models and in wrappers."""
    L = k.layers
    inner = k.Sequential([k.Input((5, 4)), L.Dense(4), L.Dropout(0.1), L.Dense(3), L.Dense(3)], name="inner")
    a = k.Input((5, 3))
    tower = k.Model(a, L.Bidirectional(L.RNN([L.LSTMCell(2), L.GRUCell(3), L.LSTMCell(3)]))(L.GRU(3, return_sequences=True)(a)),
                    name="tower")
    x = k.Input((5, 3), name="x")
    y = L.BatchNormalization()(L.Dense(4)(x))
    y = L.Dropout(0.1)(y)
    y = L.TimeDistributed(L.Activation("tanh"))(L.BatchNormalization()(L.Dense(4)(y)))
    y = L.TimeDistributed(L.Dense(4))(L.Dropout(0.1)(y))
    y = L.TimeDistributed(k.Sequential([k.Input((4,)), L.Dense(4), L.Dense(4)]))(y)
    z = inner(y)
    y = L.Concatenate()([tower(z), L.LSTM(2)(L.Bidirectional(L.LSTM(2, return_sequences=True))(z))])
    y = L.Dense(2)(L.Dense(3)(y))
    return k.Model(x, k.Sequential([k.Input((2,)), L.Dense(2)], name="tail")(y)), [features(rng, 2, 5, 3)]


def write_gapped(k):
    """A `.keras` of tf.keras 2.13: groups under `_layer_checkpoint_dependencies`, a dictionary that holds a layer with
    weights twice; after `_save_state` and `_save_container_state` of its `saving_lib.py`."""
    import io
    import zipfile

    from tf_keras.src.saving.saving_lib import ATTR_SKIPLIST, _is_keras_trackable
    from tf_keras.src.utils.generic_utils import to_snake_case

    skipped = (ATTR_SKIPLIST - {"_layer_checkpoint_dependencies"}) | {"layers"}
    k.backend.clear_session()
    rng = np.random.default_rng(103)
    model, xs = gapped(k, rng)
    fill(model, rng)
    save_golden("old_keras_2_13", xs, answer(model, xs))
    model.save(OUT / "old_keras_2_13.keras")
    visited = set()

    def save(layer, file, group):
        if id(layer) in visited:
            return
        visited.add(id(layer))
        store = {}
        layer.save_own_variables(store)
        # Keras makes a group without arrays too, which would make the file ten times as large.
        for key, value in store.items():
            file[f"{group}/vars/{key}"] = value
        for name in dir(layer):
            if name.startswith("__") or name in skipped:
                continue
            try:
                child = getattr(layer, name)
            except Exception:
                continue
            if _is_keras_trackable(child) and hasattr(child, "save_own_variables"):
                save(child, file, f"{group}/{name}")
            elif isinstance(child, (list, dict, tuple, set)):
                used = {}
                for part in list(child.values()) if isinstance(child, dict) else child:
                    if not (_is_keras_trackable(part) and hasattr(part, "save_own_variables")):
                        continue
                    part_name = to_snake_case(type(part).__name__)
                    used[part_name] = used.get(part_name, -1) + 1
                    part_name += f"_{used[part_name]}" if used[part_name] else ""
                    save(part, file, f"{group}/{name}/{part_name}")

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        save(model, file, "")
    with zipfile.ZipFile(OUT / "old_keras_2_13.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = buffer.getvalue()
    members["metadata.json"] = b'{"keras_version": "2.13.1", "date_saved": "2023-10-21@01:09:24"}'
    with zipfile.ZipFile(OUT / "old_keras_2_13.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def write_reordered(k):
    """Weights whose layers have the architecture's names in another order: Keras goes by the order."""
    def build(names):
        k.backend.clear_session()
        dense = [k.layers.Dense(3, activation="tanh", name=name) for name in names]
        return k.Sequential([k.Input((3,)), *dense])

    rng = np.random.default_rng(104)
    model = build(["b", "c", "a"])
    fill(model, rng)
    model.save_weights(OUT / "old_reordered.h5")
    (OUT / "old_reordered.h5").rename(OUT / "old_reordered.weights.h5")
    named = build(["a", "b", "c"])
    (OUT / "old_reordered.json").write_text(named.to_json())
    (OUT / "reordered.h5").write_bytes((OUT / "old_reordered.weights.h5").read_bytes())
    named.load_weights(OUT / "reordered.h5")
    (OUT / "reordered.h5").unlink()
    xs = [features(rng, 3, 3)]
    save_golden("old_reordered", xs, answer(named, xs))


def write_ragged(k):
    """Sequences of different lengths; the answer is for some of one length, which are the same either way."""
    k.backend.clear_session()
    rng = np.random.default_rng(105)
    model = k.Sequential([k.Input((None,), ragged=True), k.layers.Embedding(12, 3), k.layers.LSTM(2)])
    fill(model, rng)
    import tensorflow as tf

    xs = [ids(rng, 3, 6)]
    save_golden("old_ragged", xs, answer(model, [tf.RaggedTensor.from_tensor(xs[0])]))
    model.save(OUT / "old_ragged.h5")


def write_old():
    k = importlib.import_module("tf_keras")
    L = k.layers
    from tf_keras.src.saving.legacy import hdf5_format

    # Keras 2.1: a bare list, hard sigmoids by default, no `reset_after`.
    rng = np.random.default_rng(100)
    model = k.Sequential(
        [
            k.Input((6,)),
            L.Embedding(12, 3),
            L.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False, return_sequences=True),
            L.LSTM(2, recurrent_activation="hard_sigmoid"),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    fill(model, rng)
    xs = [ids(rng, 3, 6)]
    save_golden("old_keras_2_1", xs, answer(model, xs))
    layers = old_sequential(json.loads(model.to_json())["config"]["layers"], bare=True)
    del layers[1]["config"]["reset_after"]
    layers[0]["config"]["dtype"] = "int32"
    config = {"class_name": "Sequential", "config": layers}
    rewrite(OUT / "old_keras_2_1.h5", model, config, "2.1.2", lambda layer: layer.get_weights())

    # Keras 2.2 with NVIDIA's layers.
    rng = np.random.default_rng(101)
    model = k.Sequential(
        [
            k.Input((6, 3)),
            L.LSTM(2, return_sequences=True),
            L.Bidirectional(L.GRU(3, return_sequences=True)),
            L.GRU(2),
        ]
    )
    fill(model, rng)
    xs = [features(rng, 3, 6, 3)]
    save_golden("old_cudnn", xs, answer(model, xs))
    layers = old_sequential(json.loads(model.to_json())["config"]["layers"], bare=False)
    for layer in layers["layers"]:
        inner = layer["config"].get("layer", layer)
        inner["class_name"] = "CuDNN" + inner["class_name"]
        for key in ["activation", "recurrent_activation", "use_bias", "reset_after", "dropout", "recurrent_dropout"]:
            inner["config"].pop(key, None)
    config = {"class_name": "Sequential", "config": layers}

    def cudnn(layer):
        weights = layer.get_weights()
        parts = [weights[:3], weights[3:]] if len(weights) == 6 else [weights]
        return [array for part in parts for array in to_cudnn(*part)]

    rewrite(OUT / "old_cudnn.h5", model, config, "2.2.4", cudnn)
    # Keras's own reading of these arrays gives the weights back.
    for layer in model.layers:
        inner = getattr(layer, "forward_layer", layer)
        parts = inner.get_weights()
        back = hdf5_format._convert_rnn_weights(inner, to_cudnn(*parts))
        for a, b in zip(back, parts):
            np.testing.assert_allclose(a, b, atol=1e-7)

    # Keras 1.1: other keys, an array a gate, one-dimensional convolutions as flat pictures.
    rng = np.random.default_rng(102)
    model = k.Sequential(
        [
            k.Input((8, 3)),
            L.Conv1D(4, 3, activation="relu"),
            L.MaxPooling1D(2),
            L.Bidirectional(L.LSTM(2, recurrent_activation="hard_sigmoid", return_sequences=True)),
            L.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False),
            L.BatchNormalization(),
            L.Dense(2),
            L.Activation("softmax"),
        ]
    )
    fill(model, rng)
    xs = [features(rng, 3, 8, 3)]
    save_golden("old_keras_1_1", xs, answer(model, xs))
    conv, pool, both, gru, norm, dense, act = (layer.name for layer in model.layers)
    recurrent = {"inner_activation": "hard_sigmoid", "activation": "tanh", "go_backwards": False, "stateful": False,
                 "unroll": False, "consume_less": "cpu", "init": "glorot_uniform", "inner_init": "orthogonal",
                 "dropout_W": 0.0, "dropout_U": 0.0, "W_regularizer": None, "U_regularizer": None, "trainable": True}
    layers = [
        ("Convolution1D", {"name": conv, "batch_input_shape": [None, 8, 3], "nb_filter": 4, "filter_length": 3,
                           "border_mode": "valid", "subsample_length": 1, "activation": "relu", "bias": True,
                           "input_dtype": "float32", "input_dim": 3, "input_length": 8, "init": "uniform"}),
        ("MaxPooling1D", {"name": pool, "pool_length": 2, "stride": 2, "border_mode": "valid"}),
        ("Bidirectional", {"name": both, "merge_mode": "concat", "layer": {"class_name": "LSTM", "config": {
            "name": "forward_lstm_1", "output_dim": 2, "return_sequences": True, "forget_bias_init": "one",
            "input_dim": 4, "input_length": None, **recurrent}}}),
        ("GRU", {"name": gru, "output_dim": 3, "return_sequences": False, **recurrent}),
        ("BatchNormalization", {"name": norm, "mode": 0, "axis": -1, "momentum": 0.99, "epsilon": 0.001,
                                "gamma_regularizer": None, "beta_regularizer": None}),
        ("Dense", {"name": dense, "output_dim": 2, "activation": "linear", "bias": True, "init": "glorot_uniform",
                   "W_regularizer": None, "input_dim": None}),
        ("Activation", {"name": act, "activation": "softmax"}),
    ]
    layers = [{"class_name": name, "config": {"trainable": True, **config}} for name, config in layers]

    def gates(weights, order):
        kernel, recurrent, bias = (np.split(w, len(order), axis=-1) for w in weights)
        return [part for gate in order for part in (kernel[gate], recurrent[gate], bias[gate])]

    def old(layer):
        weights = layer.get_weights()
        if layer.name == conv:
            return [weights[0][:, None], weights[1]]
        if layer.name == both:
            return gates(weights[:3], [0, 2, 1, 3]) + gates(weights[3:], [0, 2, 1, 3])
        if layer.name == gru:
            return gates(weights, [0, 1, 2])
        return weights

    config = {"class_name": "Sequential", "config": layers}
    rewrite(OUT / "old_keras_1_1.h5", model, config, "1.1.1", old)

    write_gapped(k)
    write_reordered(k)
    write_ragged(k)

    # What must be refused: arrays that are elsewhere.
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 3]}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2, "use_bias": False}}]}}
    for name in ["soft_link", "external_link", "external_storage"]:
        with h5py.File(OUT / f"refused_{name}.h5", "w") as file:
            file.attrs["keras_version"] = "2.9.0"
            file.attrs["model_config"] = json.dumps(model)
            group = file.create_group("model_weights/dense")
            file["model_weights"].attrs["layer_names"] = [b"dense"]
            group.attrs["weight_names"] = [b"dense/kernel:0"]
            if name == "soft_link":
                file["elsewhere"] = np.ones((3, 2), "float32")
                group["dense/kernel:0"] = h5py.SoftLink("/elsewhere")
            elif name == "external_link":
                group["dense/kernel:0"] = h5py.ExternalLink("other.h5", "/kernel")
            else:
                group.create_dataset("dense/kernel:0", (3, 2), "float32", external=[("/etc/hostname", 0, 24)])
    print("wrote old forms")


def to_cudnn(kernel, recurrent, bias):
    """The arrays of CuDNNLSTM or CuDNNGRU for those of LSTM or GRU, by the formulas of Keras 2's hdf5_format."""
    gates = 3 if bias.ndim == 2 else 4
    kernel = [k.T.reshape(k.shape) for k in np.split(kernel, gates, axis=1)]
    recurrent = [k.T for k in np.split(recurrent, gates, axis=1)]
    bias = bias.reshape(-1) if gates == 3 else np.concatenate([bias / 4, bias * 3 / 4])
    return [np.hstack(kernel), np.hstack(recurrent), bias]


def write_tokenizers():
    """tokenizers.json: Keras's Tokenizer in every form that it is kept in, with what it makes of texts."""
    import pickle

    from tf_keras.preprocessing import sequence, text

    fitted = ["The film is good, really good!", "A bad film. It's a DULL film", "정말 재미있는 영화 film", "ΣΑΣ saw ÉTÉ"]
    texts = ["The FILM is good", "it's a bad, bad film; really", "정말 지루한 영화", "ΣΑΣ été ÉTÉ", "!?", "unheard of", "the\tfilm\nsaw"]
    options = {
        "plain": {},
        "cut": {"num_words": 8},
        "oov": {"oov_token": "<OOV>"},
        "oov_cut": {"oov_token": "<OOV>", "num_words": 6},
        "case": {"lower": False, "filters": "!,."},
        "split": {"split": "i", "filters": " \t\n!?.,;"},
        "characters": {"char_level": True, "num_words": 11},
        "characters_oov": {"char_level": True, "oov_token": "?", "lower": False},
    }  # fmt: skip
    cases = []
    for name, arguments in options.items():
        tokenizer = text.Tokenizer(**arguments)
        tokenizer.fit_on_texts(fitted)
        rows = tokenizer.texts_to_sequences(texts)
        padded = {
            f"{padding} {truncating}": sequence.pad_sequences(
                rows, maxlen=6, padding=padding, truncating=truncating
            ).tolist()
            for padding in ("pre", "post")
            for truncating in ("pre", "post")
        }
        pickles = {str(protocol): pickle.dumps(tokenizer, protocol).hex() for protocol in (2, 3, 4, 5)}
        words = pickle.dumps(tokenizer.word_index, 4).hex()
        cases.append({"name": name, "to_json": tokenizer.to_json(), "word_index": tokenizer.word_index, "pickles": pickles,
                      "word_index_pickle": words, "sequences": rows, "padded": padded})  # fmt: skip
    with open(OUT / "tokenizers.json", "w") as file:
        json.dump({"texts": texts, "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print("wrote tokenizers")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "k3":
        write("keras", "k3")
        write_types(importlib.import_module("keras"))
    elif part == "k2":
        write("tf_keras", "k2", [*MODELS, bias_axes])
    elif part == "k33":
        write("keras", "k33", [merged_masks])
    elif part == "old":
        write_old()
    elif part == "tokenizers":
        write_tokenizers()
    else:
        for name in ["k3", "k2", "old", "tokenizers"]:
            # Each library in a process of its own.
            subprocess.run([sys.executable, __file__, name], check=True)
