"""The models of the row `mixed`: recurrent layers with what stands around them, after an Embedding(500, 32)."""


from itertools import count

NUMBERS = count()


def layer(class_name, **config):
    return {"class_name": class_name, "config": {"name": f"{class_name.lower()}_{next(NUMBERS)}", **config}}


def lstm(**config):
    return layer("LSTM", units=32, **config)


def bidirectional(**config):
    return layer("Bidirectional", layer=lstm(**config))


STEPS = {"return_sequences": True}
# A name, the layers, how many times faster than PyTorch it should be, and the model of its recurrent layers alone.
MIXED = {
    "one": ("LSTM(32)", [lstm()], None, None),
    "two": ("LSTM(32) over steps, LSTM(32)", [lstm(**STEPS), lstm()], None, None),
    "bidirectional": ("Bidirectional(LSTM(32))", [bidirectional()], 1, None),
    "max": ("LSTM(32) over steps, GlobalMaxPooling1D", [lstm(**STEPS), layer("GlobalMaxPooling1D")], 1, "one"),
    "bidirectional-max": ("Bidirectional(LSTM(32)) over steps, GlobalMaxPooling1D",
                          [bidirectional(**STEPS), layer("GlobalMaxPooling1D")], 1, "bidirectional"),
    "normalized": ("LSTM(32) over steps, BatchNormalization, LSTM(32)",
                   [lstm(**STEPS), layer("BatchNormalization"), lstm()], 1, "two"),
    "convolution": ("Conv1D(32, 5), MaxPooling1D(4), LSTM(32)",
                    [layer("Conv1D", filters=32, kernel_size=5), layer("MaxPooling1D", pool_size=4), lstm()], 2, None),
    "hard-sigmoid": ("LSTM(32, recurrent_activation='hard_sigmoid')", [lstm(recurrent_activation="hard_sigmoid")], None,
                     "one"),
}
