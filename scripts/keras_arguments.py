"""The arguments that each layer of Keras has had, in every version given, as tests/fixtures/keras_arguments.json.

    python scripts/keras_arguments.py MAJOR:FOLDER...

Each FOLDER is an unpacked source of Keras (`pip download --no-deps keras==2.3.1`, unpacked), the installed `keras`, or
`tf_keras`; MAJOR says which Keras it is: 1, 2 (tf.keras too) or 3. Nothing of them is executed: their classes are read as text. What counts is what `get_config` writes, for that is
what stands in files, and what `__init__` names.
"""

import ast
import json
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "keras_arguments.json"

# Where other things have the names of layers: an initialiser `Identity`, a metric `Average`.
OTHERS = {"applications", "backend", "callbacks", "constraints", "initializers", "losses", "metrics", "ops", "optimizers",
          "optimizer_v1", "random", "regularizers", "saving", "testing"}  # fmt: skip


def classes(folder: Path):
    """Every class by name: its bases, and the arguments it names itself."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        if path.name.endswith("_test.py") or OTHERS & {path.stem, *path.relative_to(folder).parts}:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError:
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
                # Some classes are defined for each version of TensorFlow: their arguments add up.
                old_bases, old_arguments, in_layers = found.get(node.name, ([], set(), False))
                in_layers |= "layers" in path.parts or "legacy" in path.parts
                found[node.name] = (old_bases + bases, old_arguments | arguments(node), in_layers)
        for node in tree.body:
            # `AvgPool1D = AveragePooling1D`
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in found:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, ([node.value.id], set(), "layers" in path.parts))
    return found


def arguments(node: ast.ClassDef):
    names = set()
    for function in node.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        if function.name == "__init__":
            parameters = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            names |= {parameter.arg for parameter in parameters} - {"self"}
            # `kwargs.pop("time_major", False)`, and Keras 1's sets of allowed names.
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in ("kwargs.pop", "kwargs.get") and call.args:
                    if isinstance(call.args[0], ast.Constant):
                        names.add(call.args[0].value)
        if function.name == "get_config":
            for part in ast.walk(function):
                if isinstance(part, ast.Dict):
                    names |= {key.value for key in part.keys if isinstance(key, ast.Constant)}
                if isinstance(part, ast.Assign):
                    for target in part.targets:
                        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                            names.add(target.slice.value)
    return {name for name in names if isinstance(name, str)}


def inherited(name, found, seen=()):
    if name not in found or name in seen:
        return set()
    bases, own, _ = found[name]
    return own.union(*(inherited(base, found, (*seen, name)) for base in bases))


def is_layer(name, found, seen=()):
    if name in ("Layer", "BaseLayer", "Wrapper"):
        return True
    if name not in found or name in seen:
        return False
    return any(is_layer(base, found, (*seen, name)) for base in found[name][0])


def main(folders):
    everything = {}
    for folder in folders:
        major, _, folder = folder.partition(":")
        found = classes(Path(folder))
        for name, (_, _, in_layers) in found.items():
            if in_layers and not name.startswith("_") and (is_layer(name, found) or name.endswith(("Cell", "Cells"))):
                known = everything.setdefault(name, {})
                for argument in inherited(name, found):
                    known.setdefault(argument, set()).add(major)
    table = {
        name: {argument: "".join(sorted(majors)) for argument, majors in sorted(everything[name].items())}
        for name in sorted(everything)
    }
    OUT.write_text(json.dumps(table, indent=0) + "\n")
    print(f"{len(table)} classes, {sum(map(len, table.values()))} arguments in {OUT.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
