"""The figures of photographs train, measure, name failures and continue."""

import dataclasses

import numpy as np
import pytest
from helpers import CACHE

import reproduce as reproduce_command
from figures import bedrooms, grid, lsun
from wgan_jax import validation
from wgan_jax.errors import UserError

pytestmark = pytest.mark.figures


@pytest.fixture
def reproduce(reproduce_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    runs = tmp_path / "runs"
    return lambda name, *more: reproduce_tiny(name, "--runs", runs, *more)


class Options:
    """Options of the command that a form depends on."""

    images = steps = width = hours = None
    tfds_dir = ""


# Compilation takes most of the time: one cell of the table.
@pytest.mark.slow
def test_the_grid(reproduce, monkeypatch, capsys):
    monkeypatch.setattr(grid, "NETWORKS", {"mlp": "G: MLP"})
    monkeypatch.setattr(grid, "METHODS", {"lsgan": "LSGAN", "dcgan": "DCGAN"})
    numbers, line = reproduce("grid", "--hours", "1e-9")
    assert [p["failure"] for p in numbers["panels"]] == [None, None]
    assert "0 of 2 cells trained" in line
    numbers, line = reproduce("grid")
    # The tiny form trains one cell of each row.
    panel, other = numbers["panels"]
    assert other["failure"] is None
    # Two updates make no image.
    assert panel["failure"] == "collapsed"
    assert "LSGAN 1 of 1 (mlp collapsed)" in line
    assert panel["steps"] == panel["records"][-1][0] == numbers["form"]["steps"]
    assert panel["distance"] > numbers["real"]["distance"] > 0
    assert numbers["noise"]["distance"] > numbers["real"]["distance"]
    capsys.readouterr()
    again, _ = reproduce("grid", "tanh")
    assert "compiling" not in capsys.readouterr().out
    assert again == numbers


@pytest.mark.slow
def test_the_networks_of_wgan(reproduce, monkeypatch):
    runs = {"mlps-wgan": lsun.RUNS["mlps-wgan"], "mlps-gan": lsun.RUNS["mlps-gan"]}
    monkeypatch.setattr(lsun, "RUNS", runs)
    numbers, line = reproduce("lsun", "--steps", "2")
    for run in numbers["runs"].values():
        assert run["steps"] == 2
        assert len(run["records"]) == 1
    assert "WGAN MLPs, rate 5e-3" in line
    assert "(paper 15)" in line


def test_failures_are_decided_in_order():
    noise = {"distance": 5.0}
    good = {"diverged": "", "distance": 4.0, "diversity": 0.5, "nearest": 0.5}
    for changes, name in (
        ({}, ""),
        ({"distance": 5.0}, "no better than noise"),
        ({"diversity": 0.09, "distance": 9.0}, "collapsed"),
        ({"nearest": 0.09}, "collapsed"),
        ({"diverged": "x", "nearest": 0.0}, "diverged"),
    ):
        assert grid.failure(good | changes, noise) == name
    # A run that diverged before its first checkpoint has no samples.
    assert grid.failure({"diverged": "x"}, noise) == "diverged"
    panel = {"failure": "diverged", "diverged": "x"}
    assert grid.describe(panel) == "diverged"


def test_a_run_that_diverges_is_recorded_once(tmp_path, monkeypatch):
    form = grid.SIZES["tiny"]
    config = grid.TABLE.cell("mlp", "wgan")
    config = bedrooms.resized(config, form, "tiny", 0, Options)
    calls = []

    def diverge(argv):
        calls.append(argv)
        raise bedrooms.Diverged("training diverged: critic_loss")

    monkeypatch.setattr(bedrooms.train, "main", diverge)
    for _ in range(2):
        found = bedrooms.result(config, tmp_path / "runs" / "x", None)
        assert found["diverged"] == "training diverged: critic_loss"
        assert (found["png"], found["records"]) == ("", [])
    assert len(calls) == 1
    monkeypatch.setattr(bedrooms.train, "main", lambda argv: 0)
    with pytest.raises(UserError, match="was stopped: the same command resumes it"):
        bedrooms.train_run(config, tmp_path / "runs" / "y")


def test_a_folder_without_images_is_named_as_typed(tmp_path):
    class Given(Options):
        images = tmp_path

    base = grid.TABLE.get_config()
    config = bedrooms.resized(base, grid.SIZES["quick"], "quick", 0, Given)
    with pytest.raises(UserError, match=f"--images {tmp_path}: .* has no image files"):
        bedrooms.Reference(config, grid.SIZES["quick"])


def test_the_median_filter_spans_101_updates():
    values = np.zeros(21)
    values[10] = 1.0
    run = {"records": [[5 * (i + 1), v] for i, v in enumerate(values)]}
    assert lsun.filtered(run)[1] == [0.0] * 21
    values[:11] = 1.0
    run = {"records": [[5 * (i + 1), v] for i, v in enumerate(values)]}
    assert lsun.filtered(run)[1] == values.tolist()


def cells(figure, size):
    form = bedrooms.given(figure.SIZES[size], Options)
    if figure is grid:
        tables = [(grid.TABLE.cell, pair) for pair in all_pairs()]
    else:
        tables = []
        for table, arguments, _, _ in lsun.RUNS.values():
            module = bedrooms.table(table)
            make = module.experiment if arguments else module.get_config
            tables.append((make, arguments))
    for make, arguments in tables:
        config = make(*arguments)
        length = form | {"steps": min(form["steps"], config.run.steps)}
        yield config, bedrooms.resized(config, length, size, 0, Options)


def all_pairs():
    return [(n, m) for n in grid.NETWORKS for m in grid.METHODS]


@pytest.mark.parametrize("figure", [grid, lsun])
def test_forms_fit_their_configurations(figure):
    for size in ("tiny", "quick", "full"):
        for config, resized in cells(figure, size):
            validation.validate(resized)
            if size == "full":
                # The paper's networks, lengths and rates.
                same = dataclasses.replace(resized, data=config.data, run=config.run)
                assert same == config
                assert resized.run.steps == config.run.steps
                assert resized.data.batch_size == config.data.batch_size
    names = list(grid.NETWORKS)
    assert names == list(grid.TABLE.NETWORKS) == list(reproduce_command.ROWS)
    assert set(grid.METHODS) == set(grid.TABLE.METHODS)
