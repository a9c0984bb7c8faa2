"""The figures of images run, and their measures of quality are correct."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.stats import ortho_group

from figures import critics, curves, generators, overfitting, training
from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import heldout_estimate
from wgan_jax.config import Data
from wgan_jax.validation import validate

pytestmark = pytest.mark.figures

# ----------------------------------------------------------------------------- figures


# Compilation takes most of the time: one pair of networks of each kind.


@pytest.mark.slow
def test_curves(reproduce_tiny, monkeypatch, tmp_path):
    nets = "MLP generator, MLP critic"
    monkeypatch.setattr(curves, "NETS", {nets: curves.NETS[nets]})
    numbers, line = reproduce_tiny("curves", "--runs", tmp_path / "runs")
    form, runs = numbers["form"], numbers["runs"]
    assert [(r["objective"], r["failure"]) for r in runs] == [
        ("wgan", True),
        ("gan", False),
    ]
    assert runs[0]["learning_rate"] == form["failing_rate"]
    for run in runs:
        assert len(run["seeds"]) == form["seeds"] == 2
        assert [grid["step"] for grid in run["grids"]] == [2, 4, 6, 8]
        assert run["seeds"][0]["training"] != run["seeds"][1]["training"]
        for seed in run["seeds"]:
            assert len(seed["training"]) == len(seed["filtered"]) == form["records"]
            for name in ("heldout", "frechet", "sliced"):
                assert len(seed[name]) == form["evaluations"]
            # Digits are far from what 8 updates make.
            assert min(seed["frechet"]) > numbers["real"]["frechet"]
    for seed in runs[1]["seeds"]:
        # log 2 is the largest divergence, and thus the largest lower bound of it.
        assert max(seed["training"] + seed["heldout"]) < np.log(2)
        at_evaluations = np.array(seed["filtered"])[1::2]
        rank = curves.rank_correlation(at_evaluations, seed["frechet"])
        assert seed["rank_training_frechet"] == rank
    assert len({s["png"] for s in runs[1]["grids"]}) == 4
    ranks = [seed["rank_training_frechet"] for seed in runs[1]["seeds"]]
    assert f"GAN {training.mean_std_text(ranks)} (mlp/mlp)" in line
    assert "(mlp/mlp at rate 0.005)" in line
    # What is finished is not trained again.
    monkeypatch.delattr(training, "make_trainer")
    again, _ = reproduce_tiny("curves", "--runs", tmp_path / "runs")
    assert again == numbers


@pytest.mark.slow
def test_overfitting(reproduce_tiny):
    numbers, line = reproduce_tiny("overfitting")
    form = numbers["form"]
    assert list(numbers["runs"]) == ["penalty", "clip"]
    for constraint, runs in numbers["runs"].items():
        assert len(runs) == form["seeds"] == 2
        for run in runs:
            assert {len(c) for c in run.values()} == {form["steps"] // form["every"]}
            assert run["training_estimate"] != run["heldout_estimate"]
            for which in ("training", "heldout"):
                estimate = np.array(run[f"{which}_estimate"])
                loss = np.array(run[f"{which}_loss"])
                # The loss includes the penalty; under clipping it is the estimate.
                if constraint == "penalty":
                    assert (estimate > loss).all()
                else:
                    np.testing.assert_array_equal(estimate, loss)
        gaps = numbers["relative_gap"][constraint]
        assert f"relative gap {training.mean_std_text(gaps)}" in line
    assert "the second half: penalty " in line


def test_relative_gap_is_that_of_the_second_half():
    losses = {"training_loss": [9, 9, 4, 6], "heldout_loss": [0, 0, 2, 4]}
    assert overfitting.relative_gap(losses) == pytest.approx(0.4)


def test_only_clipped_critics_have_a_norm():
    for size, form in overfitting.SIZES.items():
        for constraint, (depth, norm, _) in overfitting.CRITICS.items():
            data_config = Data(image_size=form["image_size"])
            config = overfitting.make_config(constraint, data_config, form)
            validate(config)
            assert config.objective.constraint == constraint
            assert config.model.critic_norm == norm
            unit = form["units"] // form["features"]
            assert config.model.critic_widths == (unit,) * depth, size


@pytest.mark.slow
def test_generators(reproduce_tiny, monkeypatch):
    constant = {"constant": generators.GENERATORS["constant"]}
    monkeypatch.setattr(generators, "GENERATORS", constant)
    numbers, line = reproduce_tiny("generators")
    wgan, gan = numbers["panels"]
    assert (wgan["objective"], gan["objective"]) == ("wgan", "gan")
    assert wgan["png"] != gan["png"]
    for panel in (wgan, gan):
        first, second = panel["seeds"]
        assert first != second
        assert min(first["frechet"], second["frechet"]) > numbers["real"]["frechet"]
        # After four updates all generated images are nearly equal.
        assert 0 <= max(first["diversity"], second["diversity"]) < 0.5
        frechet = generators.summary(panel, "frechet", 1)
        assert f"{panel['objective'].upper()}: constant {frechet}," in line


@pytest.mark.parametrize("size", ["tiny", "quick", "full"])
def test_every_choice_of_networks_can_be_trained(size):
    pairs = [(curves, g, c) for g, c, _ in curves.NETS.values()]
    pairs += [(generators, g, "dcgan") for g in generators.GENERATORS]
    for figure, generator, critic in pairs:
        form = figure.SIZES[size]
        model = training.image_model(generator, critic, form)
        for kind in ("wgan", "gan"):
            data_config = Data(
                image_size=form["image_size"], batch_size=form["batch_size"]
            )
            validate(training.image_config(kind, data_config, model, form["rate"]))
        if figure is curves:
            assert form["steps"] % form["records"] == 0
            assert form["records"] % form["evaluations"] == 0
    form = overfitting.SIZES[size]
    for constraint in overfitting.OBJECTIVES:
        data_config = Data(image_size=form["image_size"], batch_size=form["batch_size"])
        validate(overfitting.make_config(constraint, data_config, form))


def test_the_networks_are_those_of_the_paper():
    """Parameters counted by hand, for 64x64 in grey at the released widths."""

    def parameters(generator, critic):
        form = {"features": 64, "units": 512, "image_size": 64}
        model = training.image_model(generator, critic, form)
        config = training.image_config("wgan", Data(image_size=64), model, 5e-5)
        spec, _ = training.make_trainer(config, np.zeros((64, 64, 64, 1), np.uint8))
        return spec.generator.parameters, spec.critic.parameters

    kernels = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64)
    critic = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * 896
    # The first and the last convolution have biases, because they have no norm.
    assert parameters("dcgan", "dcgan") == (kernels + 2 * 960 + 1, critic + 64 + 1)
    constant = 16 * (100 * 64 + 3 * 64 * 64 + 64) + 4 * 64 + 1
    assert parameters("constant", "dcgan")[0] == constant
    # "A bit more than an order of magnitude" fewer (Fig. 6).
    assert 10 < (kernels / constant) < 13
    hidden = 3 * (512 * 512 + 512)
    assert parameters("mlp", "mlp") == (
        100 * 512 + 512 + hidden + 513 * 4096,
        4096 * 512 + 512 + hidden + 513,
    )


# ---------------------------------------------------------------------------- measures


def gaussian(seed, d):
    draw = np.random.default_rng(seed)
    root = draw.normal(size=(d, d))
    return draw.normal(size=d), root @ root.T


def test_frechet_distance_of_one_dimension_and_of_a_shift():
    one = training.frechet([3.0], [[4.0]], np.array([1.0]), np.array([[25.0]]))
    assert one == pytest.approx((3 - 1) ** 2 + (2 - 5) ** 2)
    mean, covariance = gaussian(0, 6)
    shifted = training.frechet(mean, covariance, mean + 2, covariance)
    assert shifted == pytest.approx(6 * 4)
    same = training.frechet(mean, covariance, mean, covariance)
    assert same == pytest.approx(0, abs=1e-10 * np.trace(covariance))


def test_frechet_distance_of_covariances_that_commute():
    """Sum of the squared differences of deviations, also where some are zero."""
    axes = ortho_group.rvs(5, random_state=0)
    s, t = np.array([[3.0, 1, 0, 0, 2], [1.0, 4, 2, 0, 2]])
    distance = training.frechet(
        np.zeros(5), axes * s**2 @ axes.T, np.zeros(5), axes * t**2 @ axes.T
    )
    assert distance == pytest.approx(np.square(s - t).sum(), rel=1e-6)


def test_frechet_distance_of_any_covariances():
    """Comparison with the general matrix square root, for non-singular covariances."""
    x, y = gaussian(1, 7), gaussian(2, 7)
    cross = np.trace(scipy.linalg.sqrtm(x[1] @ y[1]).real)
    expected = np.square(x[0] - y[0]).sum() + np.trace(x[1] + y[1]) - 2 * cross
    assert training.frechet(*x, *y) == pytest.approx(expected)
    assert training.frechet(*y, *x) == pytest.approx(expected)


def test_principal_axes_have_the_largest_variance():
    axes = ortho_group.rvs(6, random_state=3)
    x = np.random.default_rng(3).normal(size=(500, 6)) * [9, 7, 5, 1, 0.5, 0.1]
    mean, principal = training.principal_axes(x @ axes.T + 10, 3)
    assert principal.shape == (6, 3)
    np.testing.assert_allclose(mean, (x @ axes.T + 10).mean(0))
    right = np.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    expected = axes @ right[:3].T
    np.testing.assert_allclose(np.abs(principal.T @ expected), np.eye(3), atol=1e-9)


def test_pairwise_distances():
    triangle = np.array([[0.0, 0], [3, 0], [0, 4]])
    assert training.pairwise(triangle) == pytest.approx((12 / 3, (3 + 3 + 4) / 3))
    assert training.pairwise(np.ones((5, 2))) == (0, 0)


def test_quality_of_the_real_and_of_a_collapsed_generator():
    images = np.random.default_rng(5).integers(0, 256, (300, 4, 4, 1), np.uint8)
    dataset = training.Dataset(train=images[:200], heldout=images[200:])
    quality, real = training.make_quality(dataset, 100, components=8)
    same = quality(dataset.heldout)
    assert same["frechet"] == pytest.approx(real["frechet"])
    assert (same["sliced"], same["diversity"], same["nearest"]) == (0, 1, 1)
    collapsed = quality(np.repeat(images[:2], 50, 0))
    assert collapsed["frechet"] > 2 * real["frechet"]
    assert collapsed["nearest"] == 0
    assert collapsed["diversity"] < 0.8


def test_a_median_filter_keeps_the_ends_and_drops_a_spike():
    values = np.full(120, 2.0)
    values[[0, 50]] = 9
    np.testing.assert_array_equal(curves.smooth(values)[1:], 2.0)
    line = np.arange(120.0)
    np.testing.assert_array_equal(curves.smooth(line), line)
    assert curves.rank_correlation([1, 2, 3, 9], [4, 5, 6, 7]) == pytest.approx(1)
    assert curves.rank_correlation([1, 1, 1], [4, 5, 6]) is None


def test_mean_std_text():
    assert training.mean_std_text([1.0, None, 3.0]) == "2.00 +- 1.41"
    assert training.mean_std_text([0.5], 1) == "0.5"
    assert training.mean_std_text([None]) == "undefined"


def test_pictures_survive_their_text():
    picture = np.random.default_rng(6).integers(0, 256, (5, 7, 1), np.uint8)
    decoded = training.to_picture(training.to_text(picture))
    np.testing.assert_array_equal(decoded, picture.repeat(3, 2))


def test_costs_are_the_heldout_estimate_and_the_penalty(new_key):
    """With a generator of constant images, so that the noise has no effect."""
    data_config = Data(image_size=8, batch_size=4)
    form = {"features": 2, "units": 4, "image_size": 8, "faster": (1, 1)}
    config = overfitting.make_config("penalty", data_config, form)
    spec = make_spec(config, get_batch=None)
    spec = dataclasses.replace(
        spec,
        generator=critics.fixed_generator(lambda z: jnp.full((len(z), 8, 8, 1), 0.3)),
    )
    state = jax.jit(partial(init_state, spec=spec))(new_key())
    real = jax.random.normal(new_key(), (10, 8, 8, 1))
    estimate, loss = jax.jit(partial(overfitting.costs, spec=spec))(
        state, real, new_key()
    )
    expected = jax.jit(partial(heldout_estimate, spec=spec))(state, real, new_key())
    np.testing.assert_allclose(estimate, expected, rtol=1e-4)
    # An untrained critic is nearly flat: its penalty is close to 10 (0 - 1)^2.
    assert 5 < estimate - loss < 10
