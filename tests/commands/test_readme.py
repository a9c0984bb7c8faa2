"""Every command of the README does what it says, at a size that takes seconds."""

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from helpers import ROOT, environment, in_process
from PIL import Image

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
TINY = """--run.steps 1 --run.chunk 1 --run.log-every 1 --run.sample-every 1
--run.checkpoint-every 1 --run.grid-size 4 --model.features 1 --data.batch-size 4
--data.heldout 8 --objective.n-critic 1""".split()  # noqa: SIM905
FEW = {
    ".evaluate": ["--num", "10", "--repeats", "2"],
    ".anomaly": ["--num", "8", "--encoder-steps", "50"],
}


def commands(start):
    return [line for line in COMMANDS if line.startswith(start)]


def few(line):
    return [word for name, words in FEW.items() if name in line for word in words]


def offline(line):
    return "mnist" not in line


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder in which the README's commands find what they name."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("configs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "FOLDER").mkdir()
    rng = np.random.default_rng(0)
    splits = {"train": 40, "test": 10}
    arrays = {
        f"{name}_images": rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        for name, count in splits.items()
    }
    labels = {f"{name}_labels": np.arange(n) % 10 for name, n in splits.items()}
    np.savez(folder / "cifar10.npz", **arrays, **labels)
    for i in range(20):
        image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
        image.save(folder / "FOLDER" / f"{i}.png")
    return folder


def run(clone, line, *more):
    words = [sys.executable, *shlex.split(line)[1:], *more]
    done = subprocess.run(
        words,
        cwd=clone,
        env=environment(optimised=False),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(clone, line, *more):
    """Runs `python -m wgan_jax.X` in this process, which has imported all of it."""
    module, *words = shlex.split(line)[2:]
    code, error = in_process(importlib.import_module(module), *words, *more, cwd=clone)
    assert code == 0, error


def test_every_command_is_of_a_kind_that_a_test_runs():
    kinds = ("make ", "pip install ", "python -m wgan_jax.", "python scripts/")
    assert COMMANDS
    assert all(line.startswith(kinds) for line in COMMANDS)


def test_train_and_sample_commands_run(clone, capsys):
    lines = [line for line in commands("python -m") if offline(line)]
    kinds = {line.split(".")[1].split()[0] for line in lines}
    assert {"train", "sample", "evaluate", "convert"} <= kinds
    if not importlib.util.find_spec("torch"):
        lines = [line for line in lines if ".convert" not in line]
    for line in commands("python scripts/pack"):
        run(clone, line)
    for line in lines:
        # What was trained at the tiny size must be converted at it.
        tiny = TINY if "--config" in line else few(line)
        run_here(clone, line, *tiny)
        assert capsys.readouterr().out
    for line in lines:
        if "--config" not in line and "--out" not in line:
            continue
        out = re.search(r"--out (\S+)", line)
        name = out.group(1) if out else f"runs/{re.search(r'configs/(.*).py', line)[1]}"
        assert (clone / name).exists()


@pytest.mark.parametrize("line", commands("make"))
def test_make_targets_exist_and_call_the_commands(line):
    done = subprocess.run(
        [*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = {"make train": "-m wgan_jax.train --config configs/digits.py"}
    assert wanted.get(line, "-m pytest") in done.stdout


@pytest.mark.parametrize("line", commands("pip"))
def test_extras_exist(line):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = re.fullmatch(r'pip install -e "\.\[(\w+)\]"', line).group(1)
    assert extra in project["optional-dependencies"]


@pytest.mark.torch
def test_the_benchmark_command_starts(clone):
    # What it measures is tested in test_benchmark.py.
    assert "--config" in run(clone, "python scripts/benchmark.py", "--help")


@pytest.mark.figures
def test_the_figures_command_starts(clone):
    # What it draws is tested in test_reproduce_*.py.
    for line in commands("python scripts/reproduce"):
        assert "surfaces" in run(clone, line, "--help")


def test_files_that_the_readme_and_the_docs_name_exist():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
