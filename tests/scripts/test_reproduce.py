"""The command of the figures: options, table, and the committed results."""

import json
import sys

import pytest
from helpers import ROOT

import reproduce
from wgan_jax.errors import UserError

FACTS = {
    "command": "python scripts/reproduce.py lines",
    "commit": "abc",
    "device": "cpu: cpu",
    "machine": "x86_64, 2 cores",
    "jax": "0.10",
    "seconds": 61.0,
    "date": "2026-11-22",
}


def test_full_and_tiny_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce.main(["lines", "--full", "--tiny"])
    assert stop.value.code == 2
    assert "--full and --tiny exclude each other" in capsys.readouterr().err


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
    facts = reproduce.describe(reproduce.parse(["lines", "--full", "--seed", "3"]))
    assert facts["command"] == "python scripts/reproduce.py lines --full --seed 3"
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
@pytest.mark.parametrize("name", reproduce.FIGURES)
def test_the_committed_results_are_those_of_the_numbers(name):
    text = (ROOT / "docs" / "figures" / f"{name}.json").read_text()
    finding = reproduce.load(name).finding(json.loads(text)["numbers"])
    table = (ROOT / "docs" / "results.md").read_text()
    (line,) = (line for line in table.splitlines() if line.startswith(f"| [{name}]"))
    assert f"{reproduce.FIGURES[name]} | {finding} |" in line
