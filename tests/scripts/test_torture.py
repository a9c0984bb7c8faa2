"""The torture tests in a short form; `python scripts/torture.py` is the long one."""

import shutil

import pytest
from helpers import TOY, in_process

import torture
from tortures import disks, flips, hostile, kills, writers
from tortures.runs import Tally, difference_of_runs, unclear_error
from wgan_jax import train

# Orbax reports a file that it cannot read to an event loop that is closed by then.
damages = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A short finished run."""
    out = tmp_path_factory.mktemp("torture") / "whole"
    assert in_process(train, *TOY, "--out", out) == (0, "")
    flips.keep_best(out)
    return out


@damages
def test_no_damaged_file_of_a_run_is_read_wrongly(whole, tmp_path):
    tallies = list(flips.damage(whole, tmp_path / "damaged", seed=1, count=2))
    assert len(tallies) == 6
    assert all(tally.count == 2 for tally in tallies)
    assert [tally.failures for tally in tallies] == [[]] * 6


def test_a_run_equals_itself_and_no_other_one(whole, tmp_path):
    assert difference_of_runs(whole, whole) is None
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    records = (other / "metrics.jsonl").read_text()
    (other / "metrics.jsonl").write_text(records.replace('"step": 5', '"step": 6'))
    assert "metrics.jsonl" in difference_of_runs(whole, other)


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        (2, "error: run.steps=0 must be greater than 0\n", None),
        (2, "warning: slow\nerror: no\n", None),
        (1, "Traceback ...\nValueError: no\n", "a traceback: ValueError: no"),
        (2, "no\n", "not one sentence: no"),
        (-6, "abort\n", "exit status -6: abort"),
    ],
)
def test_one_sentence_and_exit_status_2_are_recognised(code, stderr, expected):
    assert unclear_error(code, stderr) == expected


def test_the_table_names_each_failure():
    tally = Tally("kills", 2, ["the state differs"])
    assert torture.table([tally]).splitlines()[2:] == [
        "| kills | 1 | 2 |",
        "FAILED kills: the state differs",
    ]


@pytest.mark.slow
@pytest.mark.stream
@damages
@pytest.mark.parametrize("part", torture.PARTS)
def test_one_round_of_each_part(part, tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "KILLS", 1)
    monkeypatch.setattr(kills, "KINDS", ("stream",))
    # A full disk is tested with the train command.
    monkeypatch.setattr(disks, "WAYS", (disks.read_only, disks.immutable))
    monkeypatch.setattr(writers, "CONFLICTS", 1)
    monkeypatch.setattr(flips, "FLIPS", 10)
    monkeypatch.setattr(hostile, "EVERY", 20)
    assert torture.main([part, "--out", str(tmp_path / "out")]) == 0
