"""The commands and the Python of README.md and docs/usage.md work as printed.

Every command line is parsed up to the point where it would read data or a run. One
command of each module is executed, at a size that takes seconds; the slow test
executes all of them.
"""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, in_process
from PIL import Image

import wgan_jax
from wgan_jax import prepare, suggest
from wgan_jax.algorithm import state
from wgan_jax.distributed import launcher
from wgan_jax.errors import UserError
from wgan_jax.pages import facts
from wgan_jax.runs import directory
from wgan_jax.sweeps import training

PAGES = [ROOT / "README.md", ROOT / "docs" / "usage.md"]
LINKING = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
TEXTS = [page.read_text() for page in PAGES]
KINDS = ("make ", "pip install ", "python -m wgan_jax.", "python scripts/", "source ")
# Sizes of a run that trains in seconds.
TINY = """--run.steps 1 --run.chunk 1 --run.log-every 1 --run.sample-every 1
--run.checkpoint-every 1 --run.grid-size 4 --model.features 1 --data.batch-size 4
--data.heldout 8 --objective.n-critic 1""".split()  # noqa: SIM905
SMALL_DIGITS = """--data.image-size 16 --model.generator-widths 2 1
--model.critic-widths 1 2""".split()  # noqa: SIM905
# Compilation takes most of the time.
ONE_BLOCK = """--model.generator-widths 1 --model.critic-widths 1 1
--model.critic-halvings 1""".split()  # noqa: SIM905
FEW = {
    "evaluate": ["--num", "10", "--repeats", "2"],
    "anomaly": ["--num", "8", "--encoder-steps", "50", "--false-alarm-rate", "0.2"],
}
# One command of each module: all that the quick test executes.
QUICK = [
    "python -m wgan_jax.prepare pack FOLDER records --image-size 64 --channels 3 "
    "--format ppm",
    "python -m wgan_jax.train --config configs/digits.py",
    "python -m wgan_jax.sample runs/digits --num 100 --out grid.png",
    "python -m wgan_jax.evaluate runs/digits",
    "python -m wgan_jax.report runs/digits",
    "python -m wgan_jax.export runs/digits --out generator.stablehlo",
    "python -m wgan_jax.anomaly runs/digits --images FOLDER",
    "python -m wgan_jax.sweep --config configs/toy_8gaussians.py --seeds 3 "
    "--out runs/seeds",
]


def blocks(language):
    """The blocks of code in a language, of both pages."""
    return [b for t in TEXTS for b in re.findall(rf"```{language}\n(.*?)```", t, re.S)]


LINES = [line for block in blocks("bash") for line in block.splitlines()]
# Whole commands inside sentences and tables.
SPANS = [s for t in TEXTS for s in re.findall(r"`([^`\n]+)`", t) if s.startswith(KINDS)]
# Each once, in the order of the pages, without names of commands alone.
COMMANDS = [c for c in dict.fromkeys(LINES + SPANS) if not re.search(r"m \S+$", c)]


def commands(start):
    return [line for line in COMMANDS if line.startswith(start)]


def split(line):
    """Module and words of `python -m wgan_jax.MODULE WORDS`."""
    module, *words = shlex.split(line)[2:]
    return importlib.import_module(module), words


def small(line):
    """Options that make a command take seconds."""
    if "wgan_jax.sweep" in line and "configs/digits.py" in line:
        # Ranking images trains a classifier first.
        return [*TINY, *SMALL_DIGITS, "--features", "none"]
    if "wgan_jax.sweep" in line:
        return [*TINY, "--num", "10"]
    if "configs/digits.py" in line:
        return TINY + SMALL_DIGITS
    if "custom_folder" in line or "--config auto" in line:
        # 64x64 images take twice as many layers.
        return TINY + SMALL_DIGITS
    if "acgan" in line:
        return TINY + ONE_BLOCK
    if "--config" in line:
        return TINY
    return FEW.get(line.split()[2].removeprefix("wgan_jax."), [])


@pytest.fixture(autouse=True)
def short_trials(monkeypatch):
    """Sweeps choose between their two modes by a measurement of half a second."""
    monkeypatch.setattr(training, "TRIAL_SECONDS", 0.01)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder in which the commands find what they name."""
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
    lines = "".join(f"line {i} of a text\n" for i in range(60))
    (folder / "lines.txt").write_text(lines)
    np.savez(folder / "vectors.npz", rng.normal(size=(40, 3)).astype(np.float32))
    for i in range(20):
        image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
        image.save(folder / "FOLDER" / f"{i}.png")
    return folder


# Commands that have run in `clone`.
EXECUTED = set()


def execute(line, clone, capsys):
    EXECUTED.add(line)
    # A run of one step.
    module, words = split(line.replace("--checkpoint 250", "--checkpoint 1"))
    status, error = in_process(module, *words, *small(line), cwd=clone)
    assert status == 0, f"{line}: {error}"
    assert capsys.readouterr().out
    if out := re.search(r"--out (\S+)", line):
        assert (clone / out[1]).exists()


def test_every_command_is_of_a_kind_that_a_test_covers():
    assert all(line.startswith(KINDS) for line in LINES)


def test_every_command_has_an_example_in_the_readme_and_a_line_of_the_quick_test():
    names = {path.stem for path in (ROOT / "wgan_jax").glob("*.py")}
    names = {n for n in names if f"python -m wgan_jax.{n}" in source(n)}
    assert {split(s)[0].__name__ for s in SPANS if "-m" in s} >= {
        f"wgan_jax.{name}" for name in names
    }
    quick = {split(line)[0].__name__.removeprefix("wgan_jax.") for line in QUICK}
    # Writing and reading PyTorch's files needs an extra.
    assert quick == names - {"convert"}
    assert set(QUICK) <= set(COMMANDS)


def source(name):
    return (ROOT / "wgan_jax" / f"{name}.py").read_text()


class Reached(Exception):
    """A command has checked its options and would read data or a run next."""


@pytest.fixture
def stop_before_data(monkeypatch):
    """Makes a command raise `Reached` before it reads data or a run."""

    def reached(*_, **__):
        raise Reached

    # A module that is imported later would keep `reached`.
    for line in QUICK:
        split(line)
    targets = (
        directory.claimed,
        directory.read_config,
        facts.find_runs,
        launcher.supervise,
        prepare.check,
        prepare.pack,
        prepare.prepare_tfds,
        state.make_spec,
        suggest.automatic,
    )
    for name, module in list(sys.modules.items()):
        if name.startswith("wgan_jax"):
            for attribute, value in list(vars(module).items()):
                if any(value is target for target in targets):
                    monkeypatch.setattr(module, attribute, reached)


OTHERS = [ROOT / "docs" / f"{name}.md" for name in ("scaling", "export", "report")]
SHOWN = [
    line
    for page in OTHERS
    for line in re.findall(r"^python -m wgan_jax.*", page.read_text(), re.M)
]
READING = [
    pytest.param(line, marks=[pytest.mark.onnx] if line.endswith(".onnx") else [])
    for line in dict.fromkeys(commands("python -m") + SHOWN)
]


@pytest.mark.parametrize("line", READING)
def test_the_options_of_every_command_are_right(line, stop_before_data, monkeypatch):
    monkeypatch.chdir(ROOT)
    module, words = split(line)
    # Files of weights are read, with PyTorch, before all else; so are runs of a page.
    reading = "torch is not installed|netG.pth|RUN is not a run directory"
    with pytest.raises((Reached, UserError), match=rf"^$|{reading}"):
        module.main(words)


def test_a_wrong_file_or_option_does_not_count_as_right(stop_before_data):
    module, words = split("python -m wgan_jax.train --config configs/digit.py")
    with pytest.raises(UserError, match=r"configs/digit\.py"):
        module.main(words)
    module, words = split("python -m wgan_jax.sample runs/digits --number 3")
    with pytest.raises(UserError, match="--number"):
        module.main(words)


def test_one_command_of_each_module_runs(clone, capsys):
    for line in QUICK:
        execute(line, clone, capsys)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.stream
def test_every_command_runs(clone, capsys):
    # TFDS data sets need TensorFlow and network, and RUN stands for any run.
    lines = [line for line in commands("python -m") if not re.search("mnist|RUN", line)]
    # The quick test comes first, unless this one was chosen alone.
    lines = [line for line in lines if line not in EXECUTED]
    # Runs first: examples in tables use those that later lines train.
    order = ("prepare", "train", "sweep", "convert", "export", "sample", "evaluate")
    order += ("anomaly", "report")
    lines.sort(key=lambda line: order.index(line.split()[2].removeprefix("wgan_jax.")))
    for line in lines:
        execute(line, clone, capsys)


@pytest.mark.parametrize("block", blocks("python"))
def test_the_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "steps=500" in block
    names = {}
    exec(compile(block.replace("steps=500", "steps=5"), "README.md", "exec"), names)
    assert names["run"].step == 5
    assert (names["images"].shape, names["images"].dtype) == ((16, 8, 8), np.uint8)
    again = wgan_jax.load(tmp_path / "runs" / "from_python").sample(16)
    assert np.array_equal(again, names["images"])


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


@pytest.mark.parametrize("line", commands("python scripts/"))
def test_scripts_exist_and_know_their_options(line):
    path, *words = shlex.split(line)[1:]
    # Options are looked up in the text: the scripts import what extras install.
    folder = ROOT / Path(path).with_suffix("")
    texts = [p.read_text() for p in [ROOT / path, *folder.parent.rglob("*.py")]]
    for word in words:
        if word.startswith("--"):
            assert any(f'"{word}"' in text for text in texts), word


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_files_and_sections_that_a_page_links_to_exist(page):
    for link, _, section in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", page.read_text()):
        if link.startswith("http"):
            continue
        target = page.parent / link if link else page
        assert target.exists(), f"{page.name}: {link}"
        if section:
            assert section in sections(target.read_text()), f"{link}#{section}"


def sections(text):
    """The anchors of a page's headings, by GitHub's rule."""
    titles = re.findall(r"^#+ (.*)", text, re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
