"""Runs that fail in a known way, through the public command, warn of their fault."""

import json

import numpy as np
import pytest
from helpers import TOY, in_process, records

from wgan_jax import sweep, train

RUN = [*TOY, "--run.steps", "30", "--run.checkpoint-every", "30"]
RUN += ["--objective.n-critic", "60"]
CLIP = [*RUN, "--objective.constraint", "clip"]
DEAD = [*CLIP, "--objective.clip", "1e-12"]


def found(out):
    """{kind: sentence} of the warnings in the records of a run."""
    return {k: s for r in records(out) for k, s in r.get("warnings", {}).items()}


@pytest.mark.slow
def test_a_dead_critic_is_reported_at_once_at_the_end_and_on_resume(tmp_path, capsys):
    out = tmp_path / "run"
    assert in_process(train, *DEAD, "--out", out) == (0, "")
    ((kind, sentence),) = found(out).items()
    assert kind == "dead critic"
    printed = capsys.readouterr().out
    assert printed.count(f"warning: {sentence}\n") == 1
    end = printed.split("warnings of this run:\n")[1]
    assert end.startswith(f"  {sentence}\ndone: 30 steps")
    # The resumed run knows the warning and does not find it again.
    more = ["--run.steps", "45", "--extend"]
    assert in_process(train, *DEAD, *more, "--out", out) == (0, "")
    printed = capsys.readouterr().out
    assert printed.count(f"  {sentence}\n") == 2
    assert "warning: " not in printed
    assert found(out) == {kind: sentence}


def test_an_absurd_estimate_warns_before_the_run_diverges(tmp_path, capsys):
    steep = ["--optimizer.kind", "rmsprop", "--optimizer.critic-lr", "1000"]
    code, error = in_process(train, *RUN, *steep, "--out", tmp_path / "run")
    # The estimate is about 1e16; rounding decides whether it overflows in 30 steps.
    assert code == (2 if "training diverged" in error else 0)
    assert {"estimate", "penalty"} <= found(tmp_path / "run").keys()
    assert "warnings of this run:\n" in capsys.readouterr().out


def test_the_mirrored_maximum_of_the_penalty(tmp_path):
    # On a line a critic cannot turn: if it starts on the wrong side of slope zero, as
    # with seed 0, the penalty at zero, weight * target^2, holds it there.
    points = np.random.default_rng(0).normal(5, 0.3, (500, 1)).astype(np.float32)
    np.savez(tmp_path / "line.npz", vectors=points)
    line = ["--data.source", "vectors", "--data.dir", tmp_path / "line.npz"]
    line += ["--data.dimensions", "1", "--data.no-standardise"]
    line += ["--objective.gp-weight", "1000"]
    line += ["--optimizer.generator-lr", "1e-6", "--model.critic-widths", "1"]
    for seed, kinds in ((0, ["mirrored critic"]), (1, [])):
        out = tmp_path / f"{seed}"
        code = in_process(train, *RUN, *line, "--out", out, "--seed", seed)
        assert code == (0, "")
        assert list(found(out)) == kinds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("slopes", "--objective.gp-weight 0"),
        (
            "estimate",
            "--objective.constraint clip --objective.clip 1000 "
            "--optimizer.critic-lr 10",
        ),
        (
            "worse than chance",
            "--objective.kind gan --objective.constraint none "
            "--optimizer.critic-lr 300",
        ),
        (
            "one image",
            "--objective.n-critic 2 --run.steps 200 --run.checkpoint-every 200 "
            "--optimizer.generator-lr 1",
        ),
    ],
)
def test_a_fault_is_in_the_records(tmp_path, kind, options):
    out = tmp_path / "run"
    assert in_process(train, *RUN, *options.split(), "--out", out) == (0, "")
    assert kind in found(out)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["together", "in-turn"])
def test_a_sweep_reports_the_warnings_of_each_member(tmp_path, capsys, mode):
    out, vary = tmp_path / "sweep", ["--vary", "objective.clip=0.1,1e-12"]
    options = [*CLIP, *vary, "--seeds", "2", "--mode", mode, "--num", "50"]
    assert in_process(sweep, *options, "--out", out) == (0, "")
    healthy, dead = json.loads((out / "summary.json").read_text())
    assert not any(healthy["warnings"].values())
    printed, table = capsys.readouterr().out, (out / "summary.md").read_text()
    for name, warnings in dead["warnings"].items():
        line = f"warning: {name}, {warnings['dead critic']}\n"
        assert printed.count(line) == 2
        assert line in table
