"""Warnings of `health.check` for records in closed form."""

import math

import numpy as np
import pytest

from wgan_jax.config import Config, Data, Objective
from wgan_jax.training import health

DIAMETER = 10.0


def records(count=6, step=1000, **metrics):
    """Records of a healthy critic at its optimum for W = 1, changed by `metrics`."""
    healthy = {
        "wasserstein": 1.05,
        "jensen_shannon": 0.3,
        "le_cam": 0.3,
        "generator_loss": 5.0,
        "gradient_norm": 1.05,
        "gradient_penalty": 0.0025,
    }
    return [{"step": step + 10 * i} | healthy | metrics for i in range(count)]


def kinds(records, spread=None, diameter=DIAMETER, **objective):
    config = Config(objective=Objective(**objective))
    return list(health.check(config, records, diameter, spread))


@pytest.mark.parametrize("kind", ["wgan", "gan", "lsgan"])
@pytest.mark.parametrize("constraint", ["penalty", "clip"])
def test_healthy_records_have_no_warning(kind, constraint):
    assert kinds(records(), kind=kind, constraint=constraint, spread=0.5) == []


def test_an_estimate_above_that_of_the_farthest_samples_is_implausible():
    # At the optimum for two points 10 apart: slope 1 + 10 / 20, estimate 15.
    assert kinds(records(wasserstein=44.0)) == []
    for value in (46.0, -46.0, -3.9e26):
        assert "estimate" in kinds(records(1, wasserstein=value))
    assert "estimate" in kinds(records(1, heldout_wasserstein=1e9))


def test_an_estimate_in_free_units_may_not_jump():
    calm = records(5, wasserstein=0.05)
    assert kinds([*calm, *records(1, wasserstein=49.0)], constraint="clip") == []
    jump = [*calm, *records(1, wasserstein=51.0)]
    assert kinds(jump, constraint="clip") == ["estimate"]
    assert kinds(records(1, wasserstein=9e5), constraint="clip") == []
    assert kinds(records(1, wasserstein=2e6), constraint="clip") == ["estimate"]


def test_a_bounded_estimate_far_below_zero_is_worse_than_chance():
    for kind, name in (("gan", "jensen_shannon"), ("lsgan", "le_cam")):
        low = records(3, **{name: -3.1})
        assert kinds(low, kind=kind, constraint="none") == ["worse than chance"]
        once = [*records(2), *records(1, **{name: -90.0})]
        assert kinds(once, kind=kind, constraint="none") == []


def test_a_penalty_above_every_plausible_slope_explodes():
    # Three times the slope 1.5 of the optimum for two points 10 apart.
    assert kinds(records(1, gradient_norm=4.4, gradient_penalty=20.0)) == []
    assert kinds(records(1, gradient_norm=4.6)) == ["penalty"]
    assert kinds(records(1, gradient_penalty=20.5)) == ["penalty"]


def test_a_critic_that_scores_everything_equally_is_dead():
    assert kinds(records(wasserstein=0.0), constraint="clip") == ["dead critic"]
    assert kinds(records(wasserstein=1e-9), constraint="clip") == ["dead critic"]
    rounding = records(wasserstein=4e-6)
    assert kinds(rounding, constraint="clip") == ["dead critic"]
    assert kinds(records(wasserstein=1e-4), constraint="clip") == []
    two = [*records(1), *records(2, wasserstein=0.0)]
    assert kinds(two, constraint="clip") == []


def test_slopes_may_exceed_the_target_only_as_far_as_a_soft_penalty_explains():
    # W = 19 explains 1 + 19 / 20; twice that is allowed.
    high = {"wasserstein": 19 * 1.95, "gradient_norm": 1.95}
    assert kinds(records(**high)) == []
    assert kinds(records(gradient_norm=2.3)) == ["slopes"]
    # A small weight explains any slope: no more than twenty times the target.
    soft = {"wasserstein": 12.0, "gradient_norm": 8.0}
    assert kinds(records(**soft), gp_weight=0.1) == []
    assert kinds(records(gradient_norm=20.1), gp_weight=0.0) == ["slopes"]
    assert kinds(records(gradient_norm=2.3, step=10)) == []
    assert kinds(records(2, gradient_norm=2.3)) == []


def test_a_negative_estimate_at_the_target_slope_is_the_mirrored_maximum():
    mirrored = records(wasserstein=-0.95, gradient_norm=0.95)
    assert kinds(mirrored) == ["mirrored critic"]
    assert kinds(mirrored, one_sided=True) == []
    assert kinds(records(wasserstein=-0.05, gradient_norm=0.95)) == []
    assert kinds(records(wasserstein=-0.95, gradient_norm=0.2)) == []
    assert kinds([*mirrored, *records(1)]) == []


def test_samples_without_spread_are_one_image():
    assert kinds(records(), spread=0.019) == ["one image"]
    assert kinds(records(), spread=0.021) == []
    assert kinds(records(step=10), spread=0.0) == []


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_every_configuration_has_a_finite_answer(weight, target):
    for diameter in (math.inf, DIAMETER):
        health.check(
            Config(objective=Objective(gp_weight=weight, gp_target=target)),
            records(wasserstein=0.0, gradient_norm=0.0),
            diameter,
        )


def test_damaged_records_are_passed_over():
    damaged = [{"step": 5}, *records(), {"step": 2000, "wasserstein": 1.0}]
    assert kinds([*damaged, *records(1)]) == []


def test_every_warning_names_a_remedy():
    sick = records(wasserstein=-3.9e26, gradient_norm=1e20, gradient_penalty=1e40)
    found = health.check(Config(), sick, DIAMETER, 0.0)
    found |= health.check(Config(), records(wasserstein=0.0), DIAMETER)
    assert len(found) >= 4
    assert all("; train again with " in sentence for sentence in found.values())


def test_diameter_of_images_and_points():
    data = Data(image_size=4, channels=3)
    assert health.sample_diameter(Config(data=data), np.zeros(0)) == pytest.approx(
        2 * math.sqrt(48)
    )
    toy = Config(data=Data(source="8gaussians"))
    assert health.sample_diameter(toy, np.array([[-1, 0], [2, 4.0]])) == 5
    assert health.sample_diameter(toy, np.array([[1, 0], [3, 4.0]])) == 5
    assert health.sample_diameter(toy, np.zeros((0, 2))) == math.inf


def test_spread_is_the_share_of_the_standard_deviation():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (200, 4, 4, 1), np.uint8)
    assert health.sample_spread(real // 4, real) == pytest.approx(0.25, rel=0.02)
    assert health.sample_spread(np.repeat(real[:1], 9, 0), real) == 0
    assert health.sample_spread(real[:1], real) is None
    assert health.sample_spread(real, np.repeat(real[:1], 9, 0)) is None
    # Columns of different units count equally.
    points = rng.normal(size=(500, 2)) * [1, 1e4]
    assert health.sample_spread(points * [1, 0], points) == pytest.approx(0.5)
