"""Tables and curves of a sweep, and the units of its critics' estimates."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import TOY, in_process, truncate
from PIL import Image

from wgan_jax import sweep
from wgan_jax.config import Config
from wgan_jax.runs.directory import read_config
from wgan_jax.sweeps.measures import Score, measure_members
from wgan_jax.sweeps.members import Member, make_members
from wgan_jax.sweeps.report import write_report
from wgan_jax.sweeps.settings import Setting, replace_field


def members_with(folder, values, setting="", config=None):
    """Members of one setting whose last records have these estimates."""
    members = []
    for seed, value in enumerate(values):
        out = folder / setting / f"seed-{seed}"
        out.mkdir(parents=True)
        steps = ({"step": s, "wasserstein": s * value, "seconds": 1.0} for s in (1, 2))
        (out / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in steps))
        members.append(Member(setting, seed, config or Config(), out))
    return members


def scores_of(members, values, data="8gaussians"):
    return {
        member.name: Score("wasserstein", "exact W1", data, (9, 9), value, 0.5)
        for member, value in zip(members, values, strict=True)
    }


def changed(**values):
    config = Config()
    for name, value in values.items():
        config = replace_field(config, name.replace("__", "."), value)
    return config


def test_standard_deviations_have_two_digits(tmp_path, capsys):
    write_report(tmp_path, members_with(tmp_path, [1.0, 1.01, 1.02]), {}, {})
    output = capsys.readouterr().out
    assert output.startswith("Mean +- standard deviation over 3 seeds.\n")
    assert "| as configured | 3 | 0 | 2 | 2.020 +- 0.020 |" in output


def test_tiny_numbers_have_an_exponent(tmp_path, capsys):
    write_report(tmp_path, members_with(tmp_path, [1e-6, 2e-6, 3e-6]), {}, {})
    assert "| 4e-06 +- 2e-06 |" in capsys.readouterr().out


def test_one_seed_has_no_standard_deviation(tmp_path, capsys):
    members = members_with(tmp_path, [1.5])
    write_report(tmp_path, members, {}, scores_of(members, [0.75]))
    output = capsys.readouterr().out
    assert "one seed, which proves little: take --seeds 3 or more" in output
    assert "| as configured | 1 | 0 | 2 | 0.75 | 1.5 | 3 |" in output


def test_settings_are_ranked_by_the_score_and_estimates_have_their_units(tmp_path):
    clip = changed(objective__constraint="clip")
    lost = members_with(tmp_path, [1.0], "lost")
    worse = members_with(tmp_path, [100.0, 102.0], "worse")
    better = members_with(tmp_path, [0.01, 0.01], "better", clip)
    scores = scores_of(worse, [2.0, 3.0]) | scores_of(better, [1.0, 1.5])
    members = [*lost, *worse, *better]
    write_report(tmp_path, members, {lost[0].name: "diverged"}, scores)
    ranking, estimates = (tmp_path / "summary.md").read_text().split("\nEstimates")
    assert ranking.splitlines() == [
        "exact W1 of 9 / 9 samples, best first; "
        "mean +- standard deviation over 2 seeds.",
        "",
        "| setting | seeds | diverged | steps | exact W1 "
        "| divided by 0.5 of real samples |",
        "|---|---|---|---|---|---|",
        "| better | 2 | 0 | 2 | 1.25 +- 0.35 | 2.50 +- 0.71 |",
        "| worse | 2 | 0 | 2 | 2.50 +- 0.71 | 5.0 +- 1.4 |",
        "| lost | 0 | 1 | 0 | - | - |",
    ]
    assert estimates.splitlines()[4:] == [
        "| lost | penalty, slope 1 | - |",
        "| worse | penalty, slope 1 | 202.0 +- 2.8 |",
        "| better | weights clipped at 0.01 | 0.02 |",
    ]
    rows = json.loads((tmp_path / "summary.json").read_text())
    assert [row["setting"] for row in rows] == ["lost", "worse", "better"]
    assert rows[1]["score"]["values"] == [2.0, 3.0]


def test_scores_of_other_data_have_a_ranking_of_their_own(tmp_path):
    plane = members_with(tmp_path, [1.0], "plane")
    other = members_with(tmp_path, [1.0], "other")
    scores = scores_of(plane, [1.0]) | scores_of(other, [9.0], "25gaussians")
    write_report(tmp_path, [*plane, *other], {}, scores)
    assert (tmp_path / "summary.md").read_text().count("best first") == 2


def test_the_plot_has_a_panel_for_the_scores_and_for_each_unit(tmp_path):
    one = members_with(tmp_path, [1.0, 2.0], "a")
    same = members_with(tmp_path, [1.0, 3.0], "b")
    heights = []
    for config in (
        Config(),
        changed(objective__clip=0.5, objective__constraint="clip"),
    ):
        members = [*one, *(replace(member, config=config) for member in same)]
        scores = scores_of(members, [1.0, 2.0, 3.0, 4.0])
        write_report(tmp_path, members, {}, scores)
        with Image.open(tmp_path / "curves.png") as picture:
            pixels = np.asarray(picture)
        heights.append(len(pixels))
        assert pixels.std() > 10
    assert heights[1] - heights[0] == 2 * 260


@pytest.mark.slow
# Orbax reports a file that it cannot read to an event loop that is closed by then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_member_that_cannot_be_measured_is_left_out(tmp_path, capsys):
    words = [*TOY, "--seeds", "2", "--num", "20", "--run.steps", "5"]
    assert in_process(sweep, *words, "--out", tmp_path) == (0, "")
    (row,) = json.loads((tmp_path / "summary.json").read_text())
    first, _ = row["score"]["values"]
    truncate(tmp_path / "seed-1" / "checkpoints" / "5")
    capsys.readouterr()
    setting = Setting(config=read_config(tmp_path / "seed-0"))
    members = make_members([setting], tmp_path, 2, [])
    scores = measure_members(members, "auto", 20)
    assert {name: score.value for name, score in scores.items()} == {"seed 0": first}
    assert "warning: seed 1 is not measured: no checkpoint" in capsys.readouterr().out
    assert not measure_members(members, "auto", 20, stopped=lambda: True)
