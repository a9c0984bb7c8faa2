"""The figures of CIFAR-10 run every part, resume runs, and fit their configurations."""

from pathlib import Path

import numpy as np
import pytest
from helpers import CACHE, ROOT

from figures import cifar, cifar_curves, cifar_resnet
from wgan_jax import config, train, validation
from wgan_jax.errors import UserError
from wgan_jax.metrics import classifier

pytestmark = pytest.mark.figures


@pytest.fixture
def reproduce(reproduce_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE.name)
    monkeypatch.setattr(classifier, "STEPS", 50)
    return lambda name: reproduce_tiny(name, "--runs", tmp_path / "runs")


@pytest.mark.slow
def test_curves(reproduce, monkeypatch, capsys):
    # Compilation takes most of the time: one pair of networks of the four.
    methods = {"cifar10_dcgan_gan": cifar_curves.METHODS["cifar10_dcgan_gan"]}
    monkeypatch.setattr(cifar_curves, "METHODS", methods)
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


@pytest.mark.slow
def test_resnet_of_classes(reproduce, monkeypatch):
    nets = {"cifar10_resnet_acgan": cifar_resnet.NETS["cifar10_resnet_acgan"]}
    monkeypatch.setattr(cifar_resnet, "NETS", nets)
    one_block = ["--model.generator-widths", "1", "--model.critic-widths", "1", "1"]
    one_block += ["--model.critic-halvings", "1"]
    main = train.main
    monkeypatch.setattr(train, "main", lambda words: main([*words, *one_block]))
    numbers, line = reproduce("cifar-resnet")
    (curve,) = numbers["curves"]["cifar10_resnet_acgan"]
    assert len(curve["score_deviation"]) == 2
    assert "paper's Inception score 8.42 +- 0.10" in line


@pytest.mark.parametrize("figure", [cifar_curves, cifar_resnet])
@pytest.mark.parametrize("size", ["tiny", "quick", "full"])
def test_forms_fit_their_configurations(figure, size):
    form = figure.SIZES[size]
    every = form["steps"] // form["evaluations"]
    assert form["steps"] % form["evaluations"] == 0
    assert every % min(every, form["chunk"]) == 0
    assert form["count"] % 100 == 0
    for name in getattr(figure, "METHODS", None) or figure.NETS:
        path = Path(ROOT / "configs" / f"{name}.py")
        validation.validate(config.load(path))
        if size == "full":
            # The paper's length is that of the configuration.
            assert form["steps"] == config.load(path).run.steps


def test_the_full_form_falls_back_to_a_classifier_and_reports_it(monkeypatch, capsys):
    def without(*_):
        raise UserError("no weights here")

    monkeypatch.setattr(cifar, "inception_extractor", without)
    monkeypatch.setattr(cifar, "make_extractor", lambda *a: a[2])
    assert cifar._extractor(None, None, "full") == "classifier"
    assert "no weights here; measuring with a classifier" in capsys.readouterr().out
