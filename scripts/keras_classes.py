"""The names of Keras's own layers, of versions 1, 2 and 3: src/keras/read/dialect/classes.rs.

    pip download --no-deps keras==1.2.2 keras==2.0.9 keras==2.3.1 keras==2.15.0 keras==3.15.1 keras-core==0.1.7
    python scripts/keras_classes.py *.whl *.tar.gz          # or folders of installed packages

Nothing is imported: classes are read off the sources, those that come from a `Layer` through classes of the same
package. The reader tells a layer of Keras's that it does not know from a class of somebody's own by them.
"""

import ast
import re
import sys
import tarfile
import zipfile
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "src/keras/read/dialect/classes.rs"
# What is no layer of a model's though it comes from one.
OTHER = {"Layer", "Model", "Sequential", "Functional", "Wrapper", "Network", "Container", "BaseRandomLayer"}


def sources(path):
    if path.is_dir():
        yield from ((str(file.relative_to(path)), file.read_bytes()) for file in sorted(path.rglob("*.py")))
    elif path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    else:
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    yield member.name, archive.extractfile(member).read()


def layers(path):
    bases, aliases = {}, {}
    for name, text in sources(path):
        if not re.search(r"(^|/)(layers|engine)/.*\.py$|legacy/layers\.py$", name) or "test" in name.rsplit("/", 1)[-1]:
            continue
        for node in ast.parse(text.decode("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                # @keras_export(["keras.layers.Conv1D", "keras.layers.Convolution1D"])
                marks = [part for mark in node.decorator_list for part in ast.walk(mark) if isinstance(part, ast.Constant)]
                aliases.setdefault(node.name, set()).update(
                    str(part.value).rsplit(".", 1)[1] for part in marks if str(part.value).startswith("keras.layers.")
                )
                # `keras.layers.Layer`, `base_layer.Layer`, `Layer`
                names = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]
                bases.setdefault(node.name, set()).update(names)
    found, before = {"Layer", "_Merge", "_Wrapper"}, 0
    while len(found) != before:
        before = len(found)
        found |= {name for name, of in bases.items() if of & found}
    found |= {alias for name in found for alias in aliases.get(name, ())}
    return {name for name in found - OTHER if not name.startswith(("_", "Base"))}


def main():
    names = set()
    for path in map(Path, sys.argv[1:]):
        of = layers(path)
        print(f"{path.name}: {len(of)} layers")
        names |= of
    lines = "".join(f'    "{name}",\n' for name in sorted(names))
    OUT.write_text(
        "//! The layers of Keras 1, 2 and 3, whether they are supported or not. Made by `scripts/keras_classes.py`.\n\n"
        "/// Their names, sorted.\n"
        "#[rustfmt::skip]\n"
        f"pub(super) const CLASSES: &[&str] = &[\n{lines}];\n"
    )
    print(f"{len(names)} names")


if __name__ == "__main__":
    main()
