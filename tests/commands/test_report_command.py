"""`python -m wgan_jax.report` as users run it, and the page at the end of training."""

import pytest
from helpers import TOY, in_process
from pages.runs import write_run

from wgan_jax import report, train
from wgan_jax.pages.facts import read_facts


def test_the_command_writes_a_page_and_a_picture(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    png = tmp_path / "run.png"
    assert in_process(report, run, "--png", png) == (0, "")
    text = f"page of 1 run: {run / 'report.html'}; picture: {png}\n"
    assert capsys.readouterr().out == text
    assert png.exists()
    # The page of a run is written again; a file of the user is not.
    assert in_process(report, run) == (0, "")
    code, error = in_process(report, run, "--png", png)
    assert (code, "already exists" in error) == (2, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "error: RUN is missing: give a run directory, as in runs/digits\n"),
        (
            ["none"],
            "error: none is not a run directory, nor a folder of runs: it does ",
        ),
        (["run", "--out", "a.txt"], "error: --out a.txt must end in .html\n"),
        (["run", "--png", "a.jpg"], "error: --png a.jpg must end in .png\n"),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path, words, sentence):
    write_run(tmp_path / "run")
    code, error = in_process(report, *words, cwd=tmp_path)
    assert code == 2
    assert error.startswith(sentence)
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_diverges_has_a_page(tmp_path):
    words = [*TOY, "--optimizer.critic-lr", "1e30", "--out", tmp_path, "--report"]
    code, error = in_process(train, *words)
    assert (code, "training diverged" in error) == (2, True)
    assert read_facts(tmp_path).diverged.startswith("training diverged")
    assert "diverged</span>" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_page_that_fails_is_one_warning(tmp_path, monkeypatch, capsys):
    def fail(paths):
        raise RuntimeError("no page today")

    monkeypatch.setattr(train, "write_page", fail)
    words = [*TOY, "--run.steps", "5", "--out", tmp_path, "--report"]
    assert in_process(train, *words) == (0, "")
    lines = capsys.readouterr().out.splitlines()
    (warning,) = (line for line in lines if line.startswith("warning: "))
    assert "no page today" in warning
    assert f"python -m wgan_jax.report {tmp_path}" in warning
