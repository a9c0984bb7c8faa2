"""The package where a dependency or a part of Unix is missing, as on Windows."""

import ast
import subprocess
import sys

import numpy as np
from helpers import ROOT, environment
from PIL import Image

# Modules of the standard library that Windows does not have.
UNIX = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}

# Runs in a process without array_record, as if it were not installed.
WITHOUT_RECORDS = """
import contextlib, sys
sys.modules["array_record"] = None
import wgan_jax.anomaly, wgan_jax.convert, wgan_jax.evaluate, wgan_jax.sample
import wgan_jax.sweep
from wgan_jax import cli, prepare, train

folder = sys.argv[1]
digits = ["--config", "configs/digits.py", "--out", folder + "/run", "--data.source"]
for command, words in (
    (train, [*digits, "array_record", "--data.dir", folder]),
    (train, [*digits, "tfds", "--data.name", "mnist"]),
    (prepare, ["pack", folder, folder + "/new", "--image-size=8", "--channels=1"]),
    (prepare, ["tfds", "mnist"]),
):
    try:
        cli.run(lambda: command.main(words))
    except SystemExit as stop:
        assert stop.code == 2
"""


def test_without_array_record_its_parts_get_one_sentence(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RECORDS, tmp_path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 4, done.stderr
    for line in lines:
        assert "needs array-record" in line
        assert "pip install 'wgan-jax[records]'" in line
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.png"]


def unguarded_imports(tree):
    """Top-level names that a module imports as it is loaded, outside of a `try`."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_loading_a_module_needs_no_part_of_unix():
    for path in (ROOT / "wgan_jax").rglob("*.py"):
        missing = UNIX & set(unguarded_imports(ast.parse(path.read_text())))
        assert not missing, f"{path} imports {missing}"


def test_array_record_is_imported_late():
    for path in (ROOT / "wgan_jax").rglob("*.py"):
        names = set(unguarded_imports(ast.parse(path.read_text())))
        assert "array_record" not in names, path
