"""The figures of CIFAR-10 run the whole path, go on with runs, and fit their forms."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import CACHE, ROOT

from wgan_jax import config, validation
from wgan_jax.errors import UserError

pytestmark = pytest.mark.figures


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def reproduce(scripts, tmp_path, monkeypatch):
    """Runs the tiny form of a figure; returns (numbers, its line in the table)."""
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)

    def run(name):
        results = tmp_path / "results.md"
        places = ["--out", tmp_path, "--results", results, "--runs", tmp_path / "runs"]
        words = [name, "--tiny", *map(str, places)]
        assert scripts("reproduce").main(words) == 0
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
        (line,) = (r for r in results.read_text().splitlines() if f"[{name}]" in r)
        whole = json.loads((tmp_path / f"{name}.json").read_text())
        return whole["numbers"], line

    return run


def test_curves(scripts, reproduce, monkeypatch, tmp_path, capsys):
    curves = scripts("figures.cifar_curves")
    # Compiling is all that takes time: one net of the four.
    kept = {"cifar10_dcgan_gan": curves.METHODS["cifar10_dcgan_gan"]}
    monkeypatch.setattr(curves, "METHODS", kept)
    numbers, line = reproduce("cifar-curves")
    real, (curve,) = numbers["real"], numbers["curves"]["cifar10_dcgan_gan"]
    assert real["score_is"] == "classifier_score"
    assert curve["steps"] == [2, 4]
    for name in ("score", "frechet"):
        assert len(curve[name]) == 2
        assert np.isfinite(curve[name]).all()
    assert min(curve["frechet"]) > real["frechet"]
    assert f"DCGAN {curve['frechet'][-1]:.1f} ({curve['score'][-1]:.2f})" in line
    assert "classifier_frechet (classifier_score) after 4 generator updates" in line
    capsys.readouterr()
    again, _ = reproduce("cifar-curves")
    assert "is trained to the end" in capsys.readouterr().out
    assert again == numbers


def test_resnet_of_classes(scripts, reproduce, monkeypatch):
    resnet = scripts("figures.cifar_resnet")
    kept = {"cifar10_resnet_acgan": resnet.NETS["cifar10_resnet_acgan"]}
    monkeypatch.setattr(resnet, "NETS", kept)
    numbers, line = reproduce("cifar-resnet")
    (curve,) = numbers["curves"]["cifar10_resnet_acgan"]
    assert len(curve["score_deviation"]) == 2
    assert "paper's Inception score 8.42 +- 0.10" in line


@pytest.mark.parametrize("name", ["cifar_curves", "cifar_resnet"])
@pytest.mark.parametrize("size", ["tiny", "quick", "full"])
def test_forms_are_whole_and_fit_their_configurations(scripts, name, size):
    figure = scripts(f"figures.{name}")
    form = figure.SIZES[size]
    every = form["steps"] // form["looks"]
    assert form["steps"] % form["looks"] == every % min(every, form["chunk"]) == 0
    assert form["count"] % 100 == 0
    for each in getattr(figure, "METHODS", None) or figure.NETS:
        path = Path(ROOT / "configs" / f"{each}.py")
        validation.validate(config.load(path))
        if size == "full":
            # The paper's length is that of the configuration.
            assert form["steps"] == config.load(path).run.steps


def test_the_full_form_falls_back_to_a_classifier_and_says_so(
    scripts, monkeypatch, capsys
):
    cifar = scripts("figures.cifar")

    def without(*_):
        raise UserError("no weights here")

    monkeypatch.setattr(cifar, "inception_extractor", without)
    monkeypatch.setattr(cifar, "make_extractor", lambda *a: a[2])
    assert cifar._extractor(None, None, "full") == "classifier"
    assert "no weights here; measuring by a classifier" in capsys.readouterr().out
