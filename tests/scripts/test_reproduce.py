"""The command of the figures: options, table, and the committed results."""

import json
import re
import sys

import pytest
from helpers import ROOT

import reproduce
from wgan_jax.errors import UserError

COMMITTED = ROOT / "docs" / "figures"
FACTS = {
    "command": "python scripts/reproduce.py lines",
    "commit": "abc",
    "device": "cpu: cpu",
    "machine": "x86_64, 2 cores",
    "jax": "0.10",
    "seconds": 61.0,
    "date": "2026-11-22",
}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lines", "--full", "--tiny"], "--full and --tiny exclude each other"),
        (["surface"], "NAME surface is not known: did you mean surfaces"),
        (["q"], "NAME q is not known: give one of lines, gaussians"),
        (["lines", "curves"], "lines takes no further name: remove curves"),
        (["lines", "--width", "8"], "--width 8 does not apply to lines: it is an op"),
        (["curves", "--seeds", "0"], "--seeds 0 must be 1 or more"),
        (["curves", "--seeds", "x"], "argument --seeds: invalid int value: 'x': see"),
        (["cifar-curves", "--npz", "no.npz"], "--npz no.npz does not exist"),
        (["lines", "--seed", "-1"], "--seed -1 must be from 0 to"),
        (["lines", "--tin"], "unrecognized arguments: --tin"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence):
    with pytest.raises(UserError) as error:
        reproduce.main(words)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_help_describes_every_figure(capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"{name}: {title}" in text for name, title in reproduce.FIGURES.items())


def test_without_matplotlib_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        reproduce.main(["lines", "--tiny", "--out", str(tmp_path)])


def test_provenance_repeats_the_command():
    words = ["cifar-curves", "--full", "--seed", "3", "--width", "8", "--runs", "/x"]
    options = reproduce.parse(words)
    facts = reproduce.describe(options, "cifar-curves")
    command = "python scripts/reproduce.py cifar-curves --full --seed 3 --width 8"
    assert facts["command"] == command
    assert facts.keys() == FACTS.keys() - {"seconds"}


def test_a_line_of_the_table_is_replaced(tmp_path):
    results = tmp_path / "results.md"
    results.write_text("# Results\n")
    reproduce.record(results, "lines", FACTS, "old")
    reproduce.record(results, "curves", FACTS, "a curve")
    results.write_text(results.read_text() + "\nThe end.\n")
    reproduce.record(results, "lines", FACTS, "new")
    text = results.read_text()
    assert text.startswith("# Results\n")
    assert text.endswith("\nThe end.\n")
    first, second = (line for line in text.splitlines() if line.startswith("| ["))
    assert "| a curve |" in first
    assert "| new | `python scripts/reproduce.py lines`, abc, cpu: cpu (x86" in second


@pytest.mark.figures
@pytest.mark.parametrize("name", sorted(f.stem for f in COMMITTED.glob("*.json")))
def test_the_committed_results_are_those_of_the_numbers(name):
    text = (COMMITTED / f"{name}.json").read_text()
    module = "seeds" if name in reproduce.SYSTEMS else name
    finding = reproduce.load(module).finding(json.loads(text)["numbers"])
    table = (ROOT / "docs" / "results.md").read_text()
    (line,) = (line for line in table.splitlines() if line.startswith(f"| [{name}]"))
    title = (reproduce.FIGURES | reproduce.SYSTEMS)[name]
    assert f"{title} | {finding} |" in line


def test_the_commands_of_the_table_of_experiments_exist(tmp_path):
    text = (ROOT / "docs" / "results.md").read_text()
    section = text.split("\n## Every experiment of both papers\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    commands = [c for row in rows for c in re.findall("`([^`]+)`", row.split("|")[-2])]
    names = []
    for command in commands:
        words = command.replace("FILE", str(tmp_path)).replace("FOLDER", str(tmp_path))
        name, *more = words.split()
        if name == "--full":
            name, more = names[-1], [name]
        reproduce.parse([name, *more])
        names.append(name)
    assert set(names) == set(reproduce.FIGURES)
