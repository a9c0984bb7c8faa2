"""Imports point one way: no folder imports one above it, nothing imports a command."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "wgan_jax"
# From the bottom up. A unit imports only units of lower layers.
LAYERS = (
    ("errors",),
    ("references", "files"),
    ("pictures",),
    ("config",),
    ("nn", "distributed"),
    ("algorithm", "data"),
    ("validation", "sizes"),
    ("runs",),
    ("metrics",),
    ("evaluation", "anogan", "exports"),
    ("training", "pages"),
    ("sweeps",),
    ("suggest",),
    ("interface",),
    ("cli",),
    (
        "train",
        "sample",
        "evaluate",
        "sweep",
        "anomaly",
        "convert",
        "export",
        "prepare",
        "report",
    ),
    ("__main__", "__init__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Modules that worker processes of a stream import, in which JAX is hidden.
WITHOUT_JAX = (
    "config",
    "data/decoding",
    "data/readers",
    "data/shuffle",
    "data/sources/__init__",
    "data/tfds",
    "data/worker",
)
# Each library with a moving API is imported by one place.
ONE_PLACE = {
    "flax": "nn/",
    "grain": "data/stream.py",
    "jax2onnx": "exports/onnx_model.py",
    "orbax": "runs/checkpoint.py",
    "ot": "metrics/transport.py",
    "pyarrow": "data/sources/parquet.py",
    "tyro": "cli.py",
}


def imports(path):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files():
    return sorted(PACKAGE.rglob("*.py"))


def unit(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_layers_below_its_own(path):
    own = unit(path)
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package != "wgan_jax" or not rest:
            continue
        other = rest.split(".")[0]
        # `from wgan_jax import __version__` names no module.
        if other == own or other.startswith("__"):
            continue
        assert RANK[other] < RANK[own], f"{own} imports {name}"


def test_every_file_and_folder_has_a_layer():
    assert {unit(path) for path in files()} == set(RANK)


@pytest.mark.parametrize(("library", "place"), ONE_PLACE.items())
def test_a_library_with_a_moving_api_is_imported_in_one_place(library, place):
    users = {
        str(path.relative_to(PACKAGE))
        for path in files()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users
    assert all(user.startswith(place) for user in users)


@pytest.mark.parametrize("module", WITHOUT_JAX)
def test_what_stream_workers_import_does_not_need_jax(module):
    """Also not through a module of the package that it imports."""
    seen, waiting = set(), [PACKAGE / f"{module}.py"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for name in imports(path):
            assert name.split(".")[0] != "jax", f"{path} imports {name}"
            parts = name.split(".")[1:] if name.startswith("wgan_jax.") else []
            # Not the package's own file, which imports its names when they are used.
            for length in range(1, len(parts) + 1):
                stem = PACKAGE.joinpath(*parts[:length])
                for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                    if file.exists() and file not in seen:
                        waiting.append(file)


def test_the_training_loop_stands_on_few_modules():
    names = {n for n in imports(PACKAGE / "training/loop.py") if "wgan_jax" in n}
    modules = {".".join(name.split(".")[1:3]) for name in names}
    assert len(modules) <= 5, modules
