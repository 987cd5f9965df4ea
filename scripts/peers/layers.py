"""The layers that bench_layers.py times: Keras's configuration of each, which this crate reads as it is, and what is the
same in PyTorch where that has it. A builder gets the module `torch`, and gives something to call on the inputs."""

STEPS = (100, 32)
PICTURE = (16, 16, 8)


class Case:
    """A layer and what it is called on: `inputs` without the batch; of `ids` below 500; with masks of the first axis.

    `torch` builds PyTorch's module, whose inputs have their channels `first` after the batch where it wants them there,
    for that is PyTorch's own layout.
    """

    def __init__(self, name, class_name, config, inputs=(STEPS,), torch=None, first=False, ids=False, masked=False):
        self.name, self.class_name, self.config, self.inputs = name, class_name, config, inputs
        self.torch, self.first, self.ids, self.masked = torch, first, ids, masked

    def job(self):
        """What the workers are told."""
        return {"name": self.name, "class_name": self.class_name, "config": {"name": "layer", **self.config},
                "inputs": [list(shape) for shape in self.inputs], "ids": self.ids, "masked": self.masked}


def inner(class_name, **config):
    return {"class_name": class_name, "config": {"name": "inner", **config}}


def own(make):
    """A module of a function of PyTorch's and the parameters that it needs: `make` gives the function and their shapes."""
    def build(torch):
        class Own(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.function, shapes = make(torch)
                self.values = torch.nn.ParameterList([torch.randn(shape) * 0.1 for shape in shapes])

            def forward(self, *xs):
                return self.function(*xs, *self.values)
        return Own()
    return build


def function(call):
    """A function without parameters: `call` gets torch first, then the inputs."""
    return own(lambda torch: ((lambda *xs: call(torch, *xs)), []))


def recurrent(kind, **options):
    """The outputs of PyTorch's recurrent module at all steps."""
    def build(torch):
        class Steps(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = getattr(torch.nn, kind)(32, 32, batch_first=True, **options)

            def forward(self, xs):
                return self.layer(xs)[0]
        return Steps()
    return build


def heads(torch):
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, query, value):
            return self.layer(query, value, value, need_weights=False)[0]
    return Attention()


def additive(torch):
    def scores(query, value, scale):
        weights = (torch.tanh(query.unsqueeze(2) + value.unsqueeze(1)) * scale).sum(-1).softmax(-1)
        return weights @ value
    return scores, [(32,)]


def causal(torch):
    class Causal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv1d(32, 32, 5, dilation=2)

        def forward(self, xs):
            return self.layer(torch.nn.functional.pad(xs, (8, 0)))
    return Causal()


def separable(torch, kind, channels, filters, size):
    convolution = getattr(torch.nn, kind)
    return torch.nn.Sequential(convolution(channels, channels, size, groups=channels, bias=False),
                               convolution(channels, filters, 1))


TWO = (STEPS, STEPS)
RECURRENT = {"units": 32, "return_sequences": True}
ACTIVATIONS = {
    "tanh": lambda t, x: t.tanh(x), "sigmoid": lambda t, x: t.sigmoid(x),
    "hard_sigmoid": lambda t, x: t.nn.functional.hardsigmoid(x), "relu": lambda t, x: t.relu(x),
    "relu6": lambda t, x: t.nn.functional.relu6(x), "selu": lambda t, x: t.selu(x),
    "softmax": lambda t, x: t.softmax(x, -1), "log_softmax": lambda t, x: t.log_softmax(x, -1),
    "softplus": lambda t, x: t.nn.functional.softplus(x), "softsign": lambda t, x: t.nn.functional.softsign(x),
    "silu": lambda t, x: t.nn.functional.silu(x), "hard_silu": lambda t, x: t.nn.functional.hardswish(x),
    "gelu": lambda t, x: t.nn.functional.gelu(x), "mish": lambda t, x: t.nn.functional.mish(x),
    "exponential": lambda t, x: t.exp(x),
}

CASES = [
    Case("Dense(32)", "Dense", {"units": 32}, torch=lambda t: t.nn.Linear(32, 32)),
    Case("Dense(32, relu)", "Dense", {"units": 32, "activation": "relu"},
         torch=lambda t: t.nn.Sequential(t.nn.Linear(32, 32), t.nn.ReLU())),
    Case("Dense(128) of vectors", "Dense", {"units": 128}, [(512,)], torch=lambda t: t.nn.Linear(512, 128)),
    Case("TimeDistributed(Dense)", "TimeDistributed", {"layer": inner("Dense", units=32)},
         torch=lambda t: t.nn.Linear(32, 32)),
    Case("EinsumDense", "EinsumDense", {"equation": "abc,cd->abd", "output_shape": [None, 32], "bias_axes": "d"},
         torch=own(lambda t: (lambda x, w, b: t.einsum("abc,cd->abd", x, w) + b, [(32, 32), (32,)]))),
    Case("Embedding", "Embedding", {"input_dim": 500, "output_dim": 32}, [(100,)], ids=True,
         torch=lambda t: t.nn.Embedding(500, 32)),
    *[Case(f"Activation({name})", "Activation", {"activation": name}, torch=function(call))
      for name, call in ACTIVATIONS.items()],
    Case("Softmax over steps", "Softmax", {"axis": 1}, torch=function(lambda t, x: t.softmax(x, 1))),
    Case("ReLU(max_value, threshold)", "ReLU", {"max_value": 2.0, "threshold": 0.5, "negative_slope": 0.1}),
    Case("LeakyReLU", "LeakyReLU", {}, torch=lambda t: t.nn.LeakyReLU(0.3)),
    Case("ELU", "ELU", {}, torch=lambda t: t.nn.ELU()),
    Case("PReLU", "PReLU", {}),
    Case("PReLU, steps share", "PReLU", {"shared_axes": [1]}, torch=lambda t: t.nn.PReLU(32), first=True),
    Case("Conv1D(32, 5)", "Conv1D", {"filters": 32, "kernel_size": 5}, torch=lambda t: t.nn.Conv1d(32, 32, 5),
         first=True),
    Case("Conv1D, causal, dilated", "Conv1D",
         {"filters": 32, "kernel_size": 5, "padding": "causal", "dilation_rate": 2}, torch=causal, first=True),
    Case("Conv1D, strides 2", "Conv1D", {"filters": 32, "kernel_size": 5, "strides": 2},
         torch=lambda t: t.nn.Conv1d(32, 32, 5, stride=2), first=True),
    Case("SeparableConv1D", "SeparableConv1D", {"filters": 32, "kernel_size": 5},
         torch=lambda t: separable(t, "Conv1d", 32, 32, 5), first=True),
    Case("DepthwiseConv1D", "DepthwiseConv1D", {"kernel_size": 5},
         torch=lambda t: t.nn.Conv1d(32, 32, 5, groups=32), first=True),
    Case("Conv1DTranspose, strides 2", "Conv1DTranspose", {"filters": 32, "kernel_size": 4, "strides": 2},
         torch=lambda t: t.nn.ConvTranspose1d(32, 32, 4, stride=2), first=True),
    Case("Conv2D(16, 3)", "Conv2D", {"filters": 16, "kernel_size": 3}, [PICTURE],
         torch=lambda t: t.nn.Conv2d(8, 16, 3), first=True),
    Case("SeparableConv2D", "SeparableConv2D", {"filters": 16, "kernel_size": 3}, [PICTURE],
         torch=lambda t: separable(t, "Conv2d", 8, 16, 3), first=True),
    Case("DepthwiseConv2D", "DepthwiseConv2D", {"kernel_size": 3}, [PICTURE],
         torch=lambda t: t.nn.Conv2d(8, 8, 3, groups=8), first=True),
    Case("Conv2DTranspose, strides 2", "Conv2DTranspose", {"filters": 16, "kernel_size": 3, "strides": 2}, [PICTURE],
         torch=lambda t: t.nn.ConvTranspose2d(8, 16, 3, stride=2), first=True),
    Case("MaxPooling1D(4)", "MaxPooling1D", {"pool_size": 4}, torch=lambda t: t.nn.MaxPool1d(4), first=True),
    Case("AveragePooling1D(4)", "AveragePooling1D", {"pool_size": 4}, torch=lambda t: t.nn.AvgPool1d(4), first=True),
    Case("GlobalMaxPooling1D", "GlobalMaxPooling1D", {}, torch=function(lambda t, x: x.amax(1))),
    Case("GlobalAveragePooling1D", "GlobalAveragePooling1D", {}, torch=function(lambda t, x: x.mean(1))),
    Case("GlobalAveragePooling1D, masked", "GlobalAveragePooling1D", {}, masked=True),
    Case("MaxPooling2D(2)", "MaxPooling2D", {"pool_size": 2}, [PICTURE], torch=lambda t: t.nn.MaxPool2d(2), first=True),
    Case("AveragePooling2D(2)", "AveragePooling2D", {"pool_size": 2}, [PICTURE], torch=lambda t: t.nn.AvgPool2d(2), first=True),
    Case("GlobalMaxPooling2D", "GlobalMaxPooling2D", {}, [PICTURE], torch=function(lambda t, x: x.amax((1, 2)))),
    Case("GlobalAveragePooling2D", "GlobalAveragePooling2D", {}, [PICTURE],
         torch=function(lambda t, x: x.mean((1, 2)))),
    Case("BatchNormalization", "BatchNormalization", {}, torch=lambda t: t.nn.BatchNorm1d(32), first=True),
    Case("LayerNormalization", "LayerNormalization", {}, torch=lambda t: t.nn.LayerNorm(32)),
    Case("GroupNormalization(8)", "GroupNormalization", {"groups": 8}, torch=lambda t: t.nn.GroupNorm(8, 32),
         first=True),
    Case("UnitNormalization", "UnitNormalization", {}, torch=function(lambda t, x: t.nn.functional.normalize(x, dim=-1))),
    Case("Dropout(0.5)", "Dropout", {"rate": 0.5}, torch=lambda t: t.nn.Dropout(0.5)),
    Case("SpatialDropout1D(0.5)", "SpatialDropout1D", {"rate": 0.5}, torch=lambda t: t.nn.Dropout1d(0.5), first=True),
    Case("GaussianNoise", "GaussianNoise", {"stddev": 0.1}),
    Case("GaussianDropout", "GaussianDropout", {"rate": 0.5}),
    Case("AlphaDropout", "AlphaDropout", {"rate": 0.5}, torch=lambda t: t.nn.AlphaDropout(0.5)),
    Case("Add", "Add", {}, TWO, torch=function(lambda t, a, b: a + b)),
    Case("Add of a vector", "Add", {}, [STEPS, (1, 32)], torch=function(lambda t, a, b: a + b)),
    Case("Subtract", "Subtract", {}, TWO, torch=function(lambda t, a, b: a - b)),
    Case("Multiply", "Multiply", {}, TWO, torch=function(lambda t, a, b: a * b)),
    Case("Multiply by a number a step", "Multiply", {}, [STEPS, (100, 1)], torch=function(lambda t, a, b: a * b)),
    Case("Average", "Average", {}, TWO, torch=function(lambda t, a, b: (a + b) / 2)),
    Case("Maximum", "Maximum", {}, TWO, torch=function(lambda t, a, b: t.maximum(a, b))),
    Case("Minimum", "Minimum", {}, TWO, torch=function(lambda t, a, b: t.minimum(a, b))),
    Case("Concatenate", "Concatenate", {}, TWO, torch=function(lambda t, a, b: t.cat([a, b], -1))),
    Case("Concatenate of steps", "Concatenate", {"axis": 1}, TWO, torch=function(lambda t, a, b: t.cat([a, b], 1))),
    Case("Dot", "Dot", {"axes": 2}, TWO, torch=function(lambda t, a, b: a @ b.transpose(1, 2))),
    Case("Attention", "Attention", {}, TWO,
         torch=function(lambda t, a, b: t.nn.functional.scaled_dot_product_attention(a, b, b, scale=1.0))),
    Case("Attention, masked", "Attention", {}, TWO, masked=True),
    Case("AdditiveAttention of 50 steps", "AdditiveAttention", {}, [(50, 32), (50, 32)], torch=own(additive)),
    Case("MultiHeadAttention(4, 8)", "MultiHeadAttention", {"num_heads": 4, "key_dim": 8}, TWO, torch=heads),
    Case("MultiHeadAttention(4, 8), masked", "MultiHeadAttention", {"num_heads": 4, "key_dim": 8}, TWO, masked=True),
    Case("Flatten", "Flatten", {}, torch=function(lambda t, x: x.flatten(1))),
    Case("Reshape", "Reshape", {"target_shape": [50, 64]}, torch=function(lambda t, x: x.reshape(-1, 50, 64))),
    Case("Permute", "Permute", {"dims": [2, 1]}, torch=function(lambda t, x: x.transpose(1, 2).contiguous())),
    Case("RepeatVector(100)", "RepeatVector", {"n": 100}, [(32,)],
         torch=function(lambda t, x: x.unsqueeze(1).repeat(1, 100, 1))),
    Case("ZeroPadding1D(2)", "ZeroPadding1D", {"padding": 2},
         torch=function(lambda t, x: t.nn.functional.pad(x, (0, 0, 2, 2)))),
    Case("Cropping1D(2)", "Cropping1D", {"cropping": [2, 2]}, torch=function(lambda t, x: x[:, 2:-2].contiguous())),
    Case("UpSampling1D(2)", "UpSampling1D", {"size": 2}, torch=function(lambda t, x: x.repeat_interleave(2, 1))),
    Case("ZeroPadding2D(1)", "ZeroPadding2D", {"padding": 1}, [PICTURE],
         torch=function(lambda t, x: t.nn.functional.pad(x, (0, 0, 1, 1, 1, 1)))),
    Case("UpSampling2D(2)", "UpSampling2D", {"size": 2}, [PICTURE], torch=lambda t: t.nn.Upsample(scale_factor=2),
         first=True),
    Case("Masking", "Masking", {}),
    Case("Rescaling", "Rescaling", {"scale": 0.5, "offset": 1.0}, torch=function(lambda t, x: x * 0.5 + 1.0)),
    Case("SimpleRNN(32)", "SimpleRNN", RECURRENT, torch=recurrent("RNN")),
    Case("SimpleRNN(32), relu", "SimpleRNN", {**RECURRENT, "activation": "relu"},
         torch=recurrent("RNN", nonlinearity="relu")),
    Case("LSTM(32)", "LSTM", RECURRENT, torch=recurrent("LSTM")),
    Case("LSTM(32), the last step", "LSTM", {"units": 32},
         torch=lambda t: t.nn.Sequential(recurrent("LSTM")(t), function(lambda t, x: x[:, -1])(t))),
    Case("LSTM(32), hard_sigmoid", "LSTM", {**RECURRENT, "recurrent_activation": "hard_sigmoid"}),
    Case("LSTM(32), relu", "LSTM", {**RECURRENT, "activation": "relu"}),
    Case("LSTM(32), masked", "LSTM", RECURRENT, masked=True),
    Case("LSTM(32), dropout", "LSTM", {**RECURRENT, "dropout": 0.2}),
    Case("LSTM(32), recurrent_dropout", "LSTM", {**RECURRENT, "recurrent_dropout": 0.2}),
    Case("GRU(32)", "GRU", RECURRENT, torch=recurrent("GRU")),
    Case("GRU(32), masked", "GRU", RECURRENT, masked=True),
    Case("Bidirectional(LSTM(32))", "Bidirectional", {"layer": inner("LSTM", **RECURRENT)},
         torch=recurrent("LSTM", bidirectional=True)),
]
